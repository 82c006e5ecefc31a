//! sFlow through the whole decoder: what it keeps of agents, sub-agents and the sources of their samples.

#![allow(clippy::unwrap_used)] // As tests do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use helios_collector::decode::{DatagramMeta, DecodeError, Decoder, DecoderConfig, MAX_MINUTE_ROWS};
use helios_collector::encode::sflow5::records::{Direction, IfCounters, SampledIpv4};
use helios_collector::encode::sflow5::{CounterSample, FlowSample, Header, Interface, Message, Source};
use helios_common::columns::{EXPORTER_ADDRESS, EXPORTER_SOCKET_ADDRESS, OBSERVATION_DOMAIN_ID, SAMPLING_INTERVAL};
use helios_common::exporter::{Exporters, address_of};
use helios_common::flow::FlowBatch;
use helios_common::names::Names;
use helios_common::side::ExporterMinute;

const NOW: i64 = 1_700_000_000_000;
const RATE: u32 = 1000;

/// A decoder, and agents behind one socket.
struct Stand {
    decoder: Decoder,
    out: FlowBatch,
}

impl Stand {
    fn new() -> Self {
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        Self { decoder: Decoder::new(DecoderConfig::default(), exporters, names), out: FlowBatch::new() }
    }

    fn decode(&mut self, datagram: &[u8]) -> Result<u32, DecodeError> {
        self.decode_from("198.51.100.1", datagram)
    }

    fn decode_from(&mut self, sender: &str, datagram: &[u8]) -> Result<u32, DecodeError> {
        let meta = DatagramMeta { source: SocketAddr::new(sender.parse().unwrap(), 6343), received_at: NOW };
        let decoded = self.decoder.decode(datagram, &meta, &mut self.out).map_err(|discarded| discarded.error)?;
        Ok(decoded.rows)
    }

    fn minutes(&mut self) -> Vec<ExporterMinute> {
        let mut rows = self.decoder.close_minute();
        rows.sort_by_key(|row| row.observation_domain_id);
        rows
    }
}

fn agent(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// A message with one flow sample of interface 7, whose pool has grown by `pool` packets so far.
fn flow_message(sub_agent_id: u32, sequence: u32, sample: u32, pool: u32, drops: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = Message::begin(&Header { agent: agent(9), sub_agent_id, sequence, uptime_ms: 1 }, &mut out);
    let sample = FlowSample {
        sequence: sample,
        source: Source { class: 0, index: 7 },
        sampling_rate: RATE,
        sample_pool: pool,
        drops,
        input: Interface::Index(7),
        output: Interface::INTERNAL,
    };
    message.flow_sample(&sample, |records| {
        records.sampled_ipv4(&SampledIpv4 { length: 100, protocol: 17, ..SampledIpv4::default() });
    });
    out
}

/// Two devices that were given one agent address, as copies of a configuration have it, from the same port.
#[test]
fn senders_with_one_agent_address_are_told_apart_in_rows_counts_and_sequence_numbers() {
    let mut stand = Stand::new();
    let senders = ["198.51.100.1", "198.51.100.2"];
    for n in 0..20 {
        // The second one lost every other message, and its pool grows ten times as fast.
        stand.decode_from(senders[0], &flow_message(0, n, n, n * RATE, 0)).unwrap();
        stand.decode_from(senders[1], &flow_message(0, 70_000 + n * 2, n, n * RATE * 10, 0)).unwrap();
    }
    stand.decode_from(senders[1], &counter_message(1)).unwrap();
    let sockets: Vec<_> = senders.iter().map(|sender| address_of(sender.parse().unwrap())).collect();
    assert_eq!(stand.out.get(EXPORTER_SOCKET_ADDRESS, 0), sockets[0]);
    assert_eq!(stand.out.get(EXPORTER_SOCKET_ADDRESS, 1), sockets[1]);
    assert_eq!(stand.decoder.take_counters()[0].exporter_socket_address, sockets[1]);
    let exporters: Vec<_> = stand.decoder.exporters().collect();
    assert_eq!((exporters.len(), exporters[0].senders, exporters[0].loss_total().lost), (1, 2, 19));
    let saved: Vec<_> = stand.decoder.sequences().iter().map(|(_, saved)| (saved.socket, saved.next)).collect();
    assert_eq!(saved[..2], [(sockets[0], 20), (sockets[1], 70_039)]);
    let minutes = stand.minutes();
    let told = |row: &ExporterMinute| (row.exporter_socket_address, row.datagrams, row.lost, row.restarts);
    assert_eq!(told(&minutes[0]), (sockets[0], 20, 0, 0));
    assert_eq!(told(&minutes[1]), (sockets[1], 20, 19, 0));
    let intervals = [&minutes[0], &minutes[1]].map(|row| row.effective_sampling_interval);
    assert_eq!(intervals, [RATE, RATE * 10]);
}

/// An agent that comes from ever new addresses of a NAT: each takes the place of the one that is silent the longest.
#[test]
fn an_agent_with_more_addresses_than_it_may_have_domains_loses_no_flow() {
    let mut stand = Stand::new();
    for n in 0..1000_u32 {
        let sender = format!("198.51.{}.{}", n / 250, n % 250 + 1);
        assert_eq!(stand.decode_from(&sender, &flow_message(0, n, n, n, 0)), Ok(1), "{sender}");
    }
    assert!(stand.decoder.exporters().all(|exporter| exporter.domains <= 256));
    let datagrams: u64 = stand.minutes().iter().map(|row| row.datagrams).sum();
    assert_eq!(datagrams, 1000);
}

fn counter_message(sequence: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = Message::begin(&Header { agent: agent(9), sub_agent_id: 3, sequence, uptime_ms: 55 }, &mut out);
    let source = Source { class: 0, index: 7 };
    let inbound = Direction { octets: 1 << 40, unicast: 5, ..Direction::default() };
    message.expanded_counter_sample(&CounterSample { sequence: 1, source }, |records| {
        records.if_counters(&IfCounters { index: 7, inbound, ..IfCounters::default() });
    });
    out
}

#[test]
fn sub_agents_number_their_datagrams_independently() {
    let mut stand = Stand::new();
    for n in 0..5 {
        stand.decode(&flow_message(1, 100 + n, n, n * RATE, 0)).unwrap();
        stand.decode(&flow_message(2, 90_000 + 2 * n, n, n * RATE, 0)).unwrap();
    }
    let rows = stand.minutes();
    let seen: Vec<_> = rows.iter().map(|row| (row.observation_domain_id, row.datagrams, row.lost)).collect();
    assert_eq!(seen, [(1, 5, 0), (2, 5, 4)]);
    assert!(rows.iter().all(|row| row.exporter_address == address_of(agent(9)) && row.restarts == 0));
    assert_eq!(
        (stand.out.get(EXPORTER_ADDRESS, 1), stand.out.get(OBSERVATION_DOMAIN_ID, 1)),
        (address_of(agent(9)), 2)
    );
}

#[test]
fn the_effective_interval_stands_beside_the_announced_one() {
    let mut stand = Stand::new();
    // Of every two samples one is lost on the way, and the agent drops one in all.
    for n in 0..11 {
        stand.decode(&flow_message(0, n, 2 * n, 2 * n * RATE, u32::from(n > 5))).unwrap();
    }
    let row = stand.minutes()[0];
    assert_eq!((row.sampling_interval, row.effective_sampling_interval), (RATE, 2 * RATE));
    assert_eq!((row.samples, row.sample_pool, row.sample_drops), (11, u64::from(20 * RATE), 1));
    assert!(stand.out.values(SAMPLING_INTERVAL).iter().all(|&interval| interval == RATE), "rows are as sampled");
    let stats = stand.decoder.exporters().next().unwrap();
    assert_eq!((stats.sampling_interval, stats.metered.effective_interval()), (RATE, 2 * RATE));
}

#[test]
fn counter_samples_are_taken_once_and_are_no_flows() {
    let mut stand = Stand::new();
    assert_eq!(stand.decode(&counter_message(1)), Ok(0));
    let rows = stand.decoder.take_counters();
    assert_eq!((rows.len(), stand.out.rows()), (1, 0));
    let row = rows[0];
    assert_eq!((row.exporter_address, row.sub_agent_id, row.uptime_ms), (address_of(agent(9)), 3, 55));
    assert_eq!((row.received_at, row.source_index, row.if_index), (NOW, 7, 7));
    assert_eq!((row.if_in_octets, row.if_in_ucast_pkts), (1 << 40, 5));
    assert!(stand.decoder.take_counters().is_empty());
    let minute = stand.minutes()[0];
    assert_eq!((minute.datagrams, minute.counter_samples, minute.flows), (1, 1, 0));
}

#[test]
fn a_message_without_a_whole_sample_leaves_no_counters_either() {
    let mut stand = Stand::new();
    stand.decode(&counter_message(1)).unwrap();
    let mut datagram = counter_message(2);
    datagram.pop();
    assert_eq!(stand.decode(&datagram), Err(DecodeError::Truncated));
    assert_eq!(stand.decoder.take_counters().len(), 1);
    // The header announces a second sample that the message does not hold as a whole. The first one is.
    let mut datagram = counter_message(3);
    datagram[27] = 2;
    datagram.extend([0, 0, 0, 2, 0, 0, 1, 0]);
    assert_eq!(stand.decode(&datagram), Ok(0));
    assert_eq!(stand.decoder.take_counters().len(), 1);
    assert_eq!(stand.decoder.exporters().next().unwrap().stats.tally.contradicting_lengths, 1);
}

#[test]
fn counters_that_nobody_takes_do_not_pile_up() {
    let mut stand = Stand::new();
    for n in 0..40_000 {
        stand.decode(&counter_message(n)).unwrap();
    }
    assert!(stand.decoder.take_counters().len() <= helios_collector::decode::MAX_COUNTER_ROWS);
}

#[test]
fn made_up_domains_do_not_push_an_exporter_out_of_its_minute() {
    let mut stand = Stand::new();
    let mut decode = |agent: u32, sub_agent: u32, sequence: u32| {
        let mut datagram = flow_message(sub_agent, sequence, sequence, sequence * RATE, 0);
        datagram[8..12].copy_from_slice(&agent.to_be_bytes());
        stand.decode(&datagram).unwrap();
        stand.out.clear();
    };
    for n in 0..MAX_MINUTE_ROWS as u32 + 1000 {
        decode(0x0a00_0000 + n / 250, n % 250, 1);
    }
    (1..4).for_each(|sequence| decode(0xc000_0209, 0, sequence));
    let rows = stand.decoder.close_minute();
    assert_eq!(rows.len(), MAX_MINUTE_ROWS);
    assert_eq!(rows.iter().find(|row| row.datagrams == 3).unwrap().exporter_address, address_of(agent(9)));
    assert_eq!(stand.decoder.close_minute().len(), 1001, "the others' counts waited");
}

#[test]
fn an_agent_that_does_not_know_its_address_is_known_by_its_socket() {
    let mut stand = Stand::new();
    let mut datagram = flow_message(0, 1, 1, RATE, 0);
    datagram.splice(4..12, [0, 0, 0, 0]);
    assert_eq!(stand.decode(&datagram), Ok(1));
    assert_eq!(stand.out.get(EXPORTER_ADDRESS, 0), address_of([198, 51, 100, 1].into()));
}

#[test]
fn an_agent_address_of_an_unknown_type_has_an_error_of_its_own() {
    let mut stand = Stand::new();
    let mut datagram = flow_message(0, 1, 1, RATE, 0);
    datagram[7] = 3;
    assert_eq!(stand.decode(&datagram), Err(DecodeError::UnknownAddressType));
    assert_eq!(DecodeError::UnknownAddressType.name(), "unknown_address_type");
}
