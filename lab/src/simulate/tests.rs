//! Compares what a simulation says it sent with what independent decoders and Helios' own decoder read.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use flowparser_sflow::flow_records::FlowRecord;
use flowparser_sflow::{SflowParser, SflowSample};
use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig};
use helios_common::columns::{BYTES, FLOW_END, FLOW_START, IN_IF_INDEX, PACKETS, SAMPLING_INTERVAL, SRC_ADDR};
use helios_common::exporter::Exporters;
use helios_common::flow::FlowBatch;
use helios_common::names::Names;
use netflow_parser::variable_versions::{ipfix, v9};
use netflow_parser::{NetflowPacket, NetflowParser};

use super::run::{Load, Output, run};
use super::summary::Summary;
use super::*;
use crate::capture::{Capture, Datagram, Writer};
use crate::send::Sender;

/// 2024-07-03T00:00:00Z.
const START: Now = Now { unix_ns: 1_719_964_800_000_000_000 };

fn settings(protocols: &[Protocol]) -> Settings {
    Settings {
        exporters: 2 * protocols.len() as u32,
        protocols: protocols.to_vec(),
        seed: 7,
        addresses: Addresses::Distinct(Sources::LOOPBACK),
        templates: 4,
    }
}

/// Writes a simulation to a file and reads it back.
fn written(settings: &Settings, load: Load) -> (Summary, Vec<Datagram>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let summary = write_to(file.path(), settings, load);
    let datagrams = Capture::open(file.path()).unwrap().map(|datagram| datagram.unwrap()).collect();
    (summary, datagrams)
}

fn write_to(path: &Path, settings: &Settings, load: Load) -> Summary {
    let mut simulation = Simulation::new(settings, START);
    let writer = Writer::new(BufWriter::new(File::create(path).unwrap())).unwrap();
    let mut output = Output::File { writer, target: "127.0.0.1:2055".parse().unwrap() };
    let summary = run(&mut simulation, &load, &mut output, START, &AtomicBool::new(false), |_| {}).unwrap();
    output.finish().unwrap();
    summary
}

fn flows(flows: u64) -> Load {
    Load { flows_per_sec: Some(50_000.0), flows: Some(flows), duration: None }
}

/// Reads one protocol's datagrams with decoders that know nothing of ours.
fn independent_volume(protocol: Protocol, datagrams: &[Datagram]) -> Volume {
    let mut parsers = HashMap::<SocketAddr, NetflowParser>::new();
    let mut volume = Volume::default();
    for datagram in datagrams {
        if protocol == Protocol::Sflow5 {
            volume.add(sflow_volume(&datagram.payload));
            continue;
        }
        if protocol == Protocol::Netflow1 {
            volume.add(netflow1_volume(&datagram.payload));
            continue;
        }
        let parser = parsers.entry(datagram.source).or_default();
        let parsed = parser.parse_bytes(&datagram.payload);
        assert!(parsed.error.is_none(), "{parsed:?}");
        for packet in &parsed.packets {
            for (bytes, packets) in counters(packet) {
                volume.add(Volume { flows: 1, bytes, packets });
            }
        }
    }
    volume
}

/// Octets and packets of every flow record; in our templates they are the first two fields.
fn counters(packet: &NetflowPacket) -> Vec<(u64, u64)> {
    match packet {
        NetflowPacket::V5(v5) => v5.flowsets.iter().map(|r| (r.d_octets.into(), r.d_pkts.into())).collect(),
        NetflowPacket::V7(v7) => v7.flowsets.iter().map(|r| (r.d_octets.into(), r.d_pkts.into())).collect(),
        NetflowPacket::V9(v9) => {
            let sets = v9.flowsets.iter().filter_map(|set| match &set.body {
                v9::FlowSetBody::Data(data) => Some(&data.fields),
                _ => None,
            });
            sets.flatten().map(|r| (r[0].1.as_u64().unwrap(), r[1].1.as_u64().unwrap())).collect()
        }
        NetflowPacket::IPFix(ipfix) => {
            let sets = ipfix.flowsets.iter().filter_map(|set| match &set.body {
                ipfix::FlowSetBody::Data(data) => Some(&data.fields),
                _ => None,
            });
            sets.flatten().map(|r| (r[0].1.as_u64().unwrap(), r[1].1.as_u64().unwrap())).collect()
        }
        other => panic!("unexpected packet {other:?}"),
    }
}

/// No crate reads NetFlow v1: by the offsets of Cisco's table. A header of 16 octets with the count at 2, records of 48 with
/// dPkts at 16 and dOctets at 20.
fn netflow1_volume(payload: &[u8]) -> Volume {
    let word = |at: usize| u64::from(u32::from_be_bytes(payload[at..at + 4].try_into().unwrap()));
    let n_records = usize::from(u16::from_be_bytes([payload[2], payload[3]]));
    assert_eq!((payload[..2].to_vec(), payload.len()), (vec![0, 1], 16 + 48 * n_records));
    let mut volume = Volume::default();
    for at in (0..n_records).map(|record| 16 + 48 * record) {
        volume.add(Volume { flows: 1, bytes: word(at + 20), packets: word(at + 16) });
    }
    volume
}

/// One packet a flow sample, its octets from the length in the sampled IP header.
fn sflow_volume(payload: &[u8]) -> Volume {
    let mut volume = Volume::default();
    let parsed = SflowParser::default().parse_bytes(payload);
    assert!(parsed.error.is_none(), "{parsed:?}");
    for sample in parsed.datagrams.iter().flat_map(|datagram| &datagram.samples) {
        let SflowSample::Flow(sample) = sample else { continue };
        let FlowRecord::RawPacketHeader(raw) = &sample.records[0] else { panic!("{:?}", sample.records) };
        let ip = ip_packet(&raw.header);
        let word = |at: usize| u64::from(u16::from_be_bytes([ip[at], ip[at + 1]]));
        let bytes = if ip[0] >> 4 == 4 { word(2) } else { 40 + word(4) };
        let layer2 = raw.header.len() - ip.len();
        assert_eq!(u64::from(raw.frame_length), bytes + layer2 as u64 + 4, "frame and packet length agree");
        volume.add(Volume { flows: 1, bytes, packets: 1 });
    }
    volume
}

fn ip_packet(frame: &[u8]) -> &[u8] {
    if frame[12..14] == [0x81, 0] { &frame[18..] } else { &frame[14..] }
}

#[test]
fn independent_decoders_read_exactly_what_the_summary_says() {
    for protocol in Protocol::ALL {
        let (summary, datagrams) = written(&settings(&[protocol]), flows(5_000));
        let sent = summary.total.sent;
        assert_eq!(sent.flows, 5_000);
        assert_eq!(sent.datagrams, datagrams.len() as u64);
        assert_eq!(sent.octets, datagrams.iter().map(|datagram| datagram.payload.len() as u64).sum::<u64>());
        let expected = Volume { flows: sent.flows, bytes: sent.bytes, packets: sent.packets };
        assert_eq!(independent_volume(protocol, &datagrams), expected, "{}", protocol.name());
    }
}

#[test]
fn our_decoder_reads_the_same_with_every_sampling_interval_and_nothing_missing() {
    // Long enough for announcements to be repeated by time.
    let load = Load { flows_per_sec: Some(1_000.0), flows: Some(45_000), duration: None };
    let (summary, datagrams) = written(&settings(&Protocol::ALL), load);
    let names = Arc::new(Names::new());
    let mut decoder = Decoder::new(DecoderConfig::default(), Arc::new(Exporters::new(Arc::clone(&names))), names);
    let mut batch = FlowBatch::new();
    for datagram in &datagrams {
        let received_at = (datagram.timestamp_ns / 1_000_000) as i64;
        let decoded =
            decoder.decode(&datagram.payload, &DatagramMeta { source: datagram.source, received_at }, &mut batch);
        let decoded = decoded.unwrap();
        assert_eq!((decoded.sets_without_template, decoded.held_rows), (0, 0));
    }
    batch.seal();
    let rows = 0..batch.rows();
    let scaled = |col| rows.clone().map(|row| batch.get(col, row) * u64::from(batch.get(SAMPLING_INTERVAL, row))).sum();
    let (bytes_scaled, packets_scaled): (u64, u64) = (scaled(BYTES), scaled(PACKETS));
    let total = summary.total.sent;
    assert_eq!(batch.rows() as u64, total.flows);
    assert_eq!(batch.values(BYTES).iter().sum::<u64>(), total.bytes);
    assert_eq!((bytes_scaled, packets_scaled), (total.bytes_scaled, total.packets_scaled));
    assert!(rows.clone().all(|row| (1..=12).contains(&batch.get(IN_IF_INDEX, row))));
    for row in rows {
        let (start, end) = (batch.get(FLOW_START, row), batch.get(FLOW_END, row));
        let plausible = START.ms() as i64 - 80_000..=START.ms() as i64 + 46_000;
        assert!(start <= end && plausible.contains(&start) && plausible.contains(&end), "row {row}: {start} to {end}");
    }
    let exporters: Vec<_> = decoder.exporters().collect();
    assert_eq!(exporters.len(), summary.exporters.len());
    for exporter in exporters {
        let lost: u64 = exporter.loss.iter().map(|loss| loss.lost + loss.duplicates + loss.restarts).sum();
        assert_eq!(lost, 0, "sequence numbers of {exporter:?}");
    }
}

#[test]
fn a_seed_determines_every_octet() {
    let (first, datagrams) = written(&settings(&Protocol::ALL), flows(3_000));
    let (again, same) = written(&settings(&Protocol::ALL), flows(3_000));
    assert!(datagrams == same && first == again);
    let (_, other) = written(&Settings { seed: 8, ..settings(&Protocol::ALL) }, flows(3_000));
    assert!(datagrams != other);
}

#[test]
fn the_share_of_ipv6_is_about_a_sixth_where_a_protocol_has_it() {
    for (protocol, expected) in [(Protocol::Netflow9, 10..20), (Protocol::Ipfix, 10..20), (Protocol::Sflow5, 14..19)] {
        let (_, datagrams) = written(&settings(&[protocol]), flows(6_000));
        let names = Arc::new(Names::new());
        let mut decoder = Decoder::new(DecoderConfig::default(), Arc::new(Exporters::new(Arc::clone(&names))), names);
        let mut batch = FlowBatch::new();
        for datagram in &datagrams {
            let meta = DatagramMeta { source: datagram.source, received_at: START.ms() as i64 };
            decoder.decode(&datagram.payload, &meta, &mut batch).unwrap();
        }
        let v6 =
            batch.values(SRC_ADDR).iter().filter(|address| address[..12] != [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        let per_cent = v6.count() * 100 / batch.rows();
        assert!(expected.contains(&per_cent), "{}: {per_cent} %", protocol.name());
    }
}

#[test]
fn announcements_come_first_and_again_after_their_time_or_number() {
    let mut simulation = Simulation::new(&settings(&[Protocol::Netflow9]), START);
    let mut announced = |flows: usize, secs: u64| {
        let mut datagrams = Datagrams::default();
        let now = Now { unix_ns: START.unix_ns + secs * 1_000_000_000 };
        simulation.visit(0, flows, now, &mut datagrams);
        datagrams.contents.iter().map(|content| content.announcement).collect::<Vec<_>>()
    };
    assert_eq!(announced(10, 0), [true, true, false], "templates with samplers, interfaces, flows");
    assert_eq!(announced(10, 19), [false]);
    assert_eq!(announced(10, 20), [true, true, false]);
    assert!(announced(25_000, 20).iter().all(|announcement| !announcement), "in one visit nothing is repeated");
    assert_eq!(announced(10, 20), [true, true, false], "after 1,000 datagrams");
}

#[test]
fn as_many_templates_are_announced_as_asked_for() {
    let asked = Settings { templates: 40, ..settings(&[Protocol::Netflow9, Protocol::Ipfix]) };
    let (_, datagrams) = written(&asked, flows(3_000));
    let names = Arc::new(Names::new());
    let mut decoder = Decoder::new(DecoderConfig::default(), Arc::new(Exporters::new(Arc::clone(&names))), names);
    let mut batch = FlowBatch::new();
    for datagram in &datagrams {
        let meta = DatagramMeta { source: datagram.source, received_at: START.ms() as i64 };
        decoder.decode(&datagram.payload, &meta, &mut batch).unwrap();
    }
    assert_eq!(decoder.exporters().map(|exporter| exporter.templates).collect::<Vec<_>>(), [40; 4]);
    assert!(decoder.exporters().all(|exporter| exporter.loss_total().lost == 0));
    assert_eq!(batch.rows(), 3_000);
}

#[test]
fn full_datagrams_are_of_one_length_and_fit_a_frame() {
    for protocol in Protocol::ALL {
        let mut simulation = Simulation::new(&settings(&[protocol]), START);
        let mut datagrams = Datagrams::default();
        simulation.visit(0, 960, START, &mut datagrams);
        let lengths = (0..datagrams.len()).filter(|&n| !datagrams.contents[n].announcement);
        let lengths: Vec<usize> = lengths.map(|n| datagrams.burst.datagram(n).len()).collect();
        let (last, full) = lengths.split_last().unwrap();
        assert!(full.iter().all(|length| length == &full[0] && last <= length), "{}: {lengths:?}", protocol.name());
        let all = (0..datagrams.len()).map(|n| datagrams.burst.datagram(n).len());
        assert!(all.clone().all(|length| length <= 1_472), "{}: {:?}", protocol.name(), all.max());
    }
}

#[test]
fn transport_checksums_stay_right_when_the_clients_port_changes() {
    let (_, datagrams) = written(&settings(&[Protocol::Sflow5]), flows(600));
    let mut verified = 0;
    for datagram in &datagrams {
        let parsed = SflowParser::default().parse_bytes(&datagram.payload);
        for sample in parsed.datagrams.iter().flat_map(|datagram| &datagram.samples) {
            let SflowSample::Flow(sample) = sample else { continue };
            let FlowRecord::RawPacketHeader(raw) = &sample.records[0] else { continue };
            let ip = ip_packet(&raw.header);
            // Only small packets are sampled whole.
            if ip.len() == 52 && matches!(ip[9], 6 | 17) {
                let pseudo = [&ip[12..20], &[0, ip[9], 0, 32]].concat();
                let words = [&pseudo, &ip[20..]].concat();
                let sum: u32 = words.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
                assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{ip:02x?}");
                verified += 1;
            }
        }
    }
    assert!(verified > 200, "{verified}");
}

#[test]
fn what_is_sent_arrives_from_the_exporters_addresses() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = receiver.local_addr().unwrap();
    let settings = settings(&Protocol::ALL);
    let mut simulation = Simulation::new(&settings, START);
    let sources: Vec<IpAddr> = simulation.exporters().iter().filter_map(|e| e.identity().source).collect();
    let senders = sources.iter().map(|&source| Sender::connect(SocketAddr::new(source, 0), target).unwrap());
    let mut output = Output::Network(senders.collect());
    let load = Load { flows_per_sec: Some(1_000_000.0), flows: Some(300), duration: None };
    let summary = run(&mut simulation, &load, &mut output, START, &AtomicBool::new(false), |_| {}).unwrap();
    assert_eq!((summary.total.sent.flows, summary.not_sent.datagrams), (300, 0));
    let mut buffer = [0; 2_000];
    let mut seen = HashMap::<IpAddr, u64>::new();
    for _ in 0..summary.total.sent.datagrams {
        let (_, source) = receiver.recv_from(&mut buffer).unwrap();
        *seen.entry(source.ip()).or_default() += 1;
    }
    let sent = summary.exporters.iter().filter(|exporter| exporter.sent.datagrams > 0);
    let sent: HashMap<IpAddr, u64> = sent.map(|exporter| (exporter.source.unwrap(), exporter.sent.datagrams)).collect();
    assert_eq!(seen, sent);
}

#[test]
fn time_and_the_stop_flag_end_a_run_that_has_no_other_end() {
    let load = Load { flows_per_sec: Some(10_000.0), flows: None, duration: Some(Duration::from_secs(3)) };
    let (summary, datagrams) = written(&settings(&[Protocol::Netflow5]), load);
    assert!((29_900..=30_000).contains(&summary.total.sent.flows), "{}", summary.total.sent.flows);
    let last = datagrams.iter().map(|datagram| datagram.timestamp_ns).max().unwrap();
    assert!(last - START.unix_ns <= 3_000_000_000, "the times in a file pass as the flows would");

    let mut simulation = Simulation::new(&settings(&[Protocol::Netflow5]), START);
    let load = Load { flows_per_sec: Some(1e-6), flows: None, duration: None };
    let stopped = AtomicBool::new(true);
    let mut output = Output::Network(Vec::new());
    let summary = run(&mut simulation, &load, &mut output, START, &stopped, |_| {}).unwrap();
    assert_eq!(summary.total.sent.flows, 0);
}

#[test]
fn exporters_that_share_an_address_differ_in_domain_and_agent() {
    let shared = Settings { addresses: Addresses::Shared, ..settings(&Protocol::ALL) };
    let simulation = Simulation::new(&shared, START);
    let mut told: Vec<_> = simulation.exporters().iter().map(|e| (e.identity().domain, e.identity().agent)).collect();
    assert!(simulation.exporters().iter().all(|exporter| exporter.identity().source.is_none()));
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), simulation.exporters().len());
}

#[test]
fn prefixes_are_read_and_hold_as_many_exporters_as_they_have_addresses() {
    let sources: Sources = "127.5.6.7/24".parse().unwrap();
    assert_eq!((sources.to_string(), sources.capacity()), ("127.5.6.0/24".into(), 254));
    assert_eq!(sources.address(253).to_string(), "127.5.6.254");
    for wrong in ["127.0.0.1", "127.0.0.0/31", "127.0.0.0/0", "::/64", "x/8", "1.2.3.4/x"] {
        assert_eq!(wrong.parse::<Sources>(), Err(NotAPrefix), "{wrong}");
    }
}
