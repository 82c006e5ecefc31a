//! One sFlow message, read by this project and by flowparser-sflow, an independent decoder.
//!
//! flowparser-sflow gives the structures on the wire; what they mean in columns is said here once more, in the
//! shortest form, and compared row by row.
//!
//! Where both are known to differ, and why (flowparser-sflow 0.3.0):
//! - Discarded packets: it reads the data source as one word. The specification has two (`sflow_data_source_expanded`),
//!   and so do the published captures, in which it finds too many records and gives up.
//! - A malformed sample or record fails its whole message; here it is left out and counted.
//! - An agent that does not know its address (type 0) is refused.
//! - A raw header that is longer than its record is refused; here it is read as far as it goes.
//! - Octets behind the last sample are taken for another message.

use flowparser_sflow::datagram::AddressType;
use flowparser_sflow::flow_records::{ExtendedGateway, FlowRecord, SampledIpv4};
use flowparser_sflow::{SflowDatagram, SflowParser, SflowSample};
use helios_collector::decode::DecodeError;
use helios_collector::decode::cursor::Cursor;
use helios_collector::decode::packet::{Decapsulate, Link, Packet, dissect};
use helios_collector::decode::sflow5::{Header, Meters, Output, SampleContext, SampleCounts, decode_samples};
use helios_common::columns::*;
use helios_common::exporter::{Address, ExporterId, mapped};
use helios_common::flow::FlowBatch;
use helios_common::side::InterfaceCounters;

mod counters;

/// Values of the column `tunnel_type`.
const NO_TUNNEL: u8 = 0;
const MPLS: u8 = 5;

/// Decodes a message as the collector does.
pub fn decode(
    datagram: &[u8],
    decapsulate: Decapsulate,
    out: &mut FlowBatch,
) -> Result<(Header, SampleCounts), DecodeError> {
    decode_with_counters(datagram, decapsulate, out).map(|(header, counts, _)| (header, counts))
}

fn decode_with_counters(
    datagram: &[u8],
    decapsulate: Decapsulate,
    out: &mut FlowBatch,
) -> Result<(Header, SampleCounts, Vec<InterfaceCounters>), DecodeError> {
    let mut cursor = Cursor::new(datagram);
    let header = Header::parse(&mut cursor)?;
    let context = SampleContext {
        received_at: 1_700_000_000_000,
        exporter: ExporterId(1),
        exporter_address: header.agent,
        socket_address: None,
        by_hand: None,
        decapsulate,
    };
    let (mut counters, mut meters) = (Vec::new(), Meters::default());
    let mut out = Output { flows: out, counters: &mut counters, meters: &mut meters, room: true };
    let counts = decode_samples(cursor, &header, &context, &mut out)?;
    Ok((header, counts, counters))
}

/// Compares both readings of a message that flowparser-sflow accepts; returns how many rows were compared, or `None`
/// if it does not accept it or one of its known faults is in the way.
#[track_caller]
pub fn compare(datagram: &[u8]) -> Option<usize> {
    let theirs = SflowParser::default().parse_bytes(datagram).datagrams.into_iter().next()?;
    if theirs.samples.iter().any(|sample| matches!(sample, SflowSample::DiscardedPacket(_))) {
        return None;
    }
    let mut out = FlowBatch::new();
    let read = decode_with_counters(datagram, Decapsulate::NONE, &mut out);
    let (header, counts, counters) = read.expect("what the other decoder reads is read");
    compare_header(&theirs, &header);
    compare_counts(&theirs, &counts);
    counters::compare(&theirs, &counters);
    let mut row = 0;
    for sample in &theirs.samples {
        if let Some(sample) = Sample::of(sample) {
            sample.compare(&out, row);
            row += 1;
        }
    }
    assert_eq!((out.rows(), counts.rows as usize), (row, row));
    assert_eq!((counts.malformed_samples, counts.malformed_records), (0, 0));
    assert_eq!((counts.malformed_counter_samples, counts.malformed_counter_records), (0, 0));
    Some(row)
}

#[track_caller]
fn compare_header(theirs: &SflowDatagram, ours: &Header) {
    assert_eq!(ours.agent, address(&theirs.agent_address));
    assert_eq!(
        (ours.sub_agent, ours.sequence, ours.uptime_ms),
        (theirs.sub_agent_id, theirs.sequence_number, theirs.uptime)
    );
    assert_eq!(ours.n_samples as usize, theirs.samples.len());
}

#[track_caller]
fn compare_counts(theirs: &SflowDatagram, ours: &SampleCounts) {
    let count = |is: fn(&SflowSample) -> bool| theirs.samples.iter().filter(|sample| is(sample)).count() as u32;
    assert_eq!(ours.samples, theirs.samples.len() as u32);
    assert_eq!(ours.flow_samples, count(|sample| matches!(sample, SflowSample::Flow(_))));
    assert_eq!(ours.expanded_flow_samples, count(|sample| matches!(sample, SflowSample::ExpandedFlow(_))));
    assert_eq!(ours.counter_samples, count(|sample| matches!(sample, SflowSample::Counter(_))));
    assert_eq!(ours.expanded_counter_samples, count(|sample| matches!(sample, SflowSample::ExpandedCounter(_))));
    assert_eq!(ours.other_samples, count(|sample| matches!(sample, SflowSample::Unknown { .. })));
}

/// Next hops and agents: zero of either family is none.
fn address(theirs: &AddressType) -> Address {
    match theirs {
        AddressType::IPv4(v4) if v4.is_unspecified() => [0; 16],
        AddressType::IPv4(v4) => mapped(v4.octets()),
        AddressType::IPv6(v6) => v6.octets(),
    }
}

/// What both kinds of flow samples say.
struct Sample<'a> {
    rate: u32,
    /// Format and value.
    input: (u32, u32),
    output: (u32, u32),
    records: &'a [FlowRecord],
}

/// The first record of a kind.
macro_rules! first {
    ($records:expr, $kind:ident) => {
        $records.iter().find_map(|record| match record {
            FlowRecord::$kind(record) => Some(record),
            _ => None,
        })
    };
}

impl<'a> Sample<'a> {
    fn of(sample: &'a SflowSample) -> Option<Self> {
        let compact = |value: u32| (value >> 30, value & 0x3fff_ffff);
        match sample {
            SflowSample::Flow(flow) => Some(Self {
                rate: flow.sampling_rate,
                input: compact(flow.input),
                output: compact(flow.output),
                records: &flow.records,
            }),
            SflowSample::ExpandedFlow(flow) => Some(Self {
                rate: flow.sampling_rate,
                input: (flow.input_format, flow.input_value),
                output: (flow.output_format, flow.output_value),
                records: &flow.records,
            }),
            _ => None,
        }
    }

    #[track_caller]
    fn compare(&self, out: &FlowBatch, row: usize) {
        let if_index = |(format, value)| if format == 0 && value != 0x3fff_ffff { value } else { 0 };
        assert_eq!(out.get(SAMPLING_INTERVAL, row), self.rate.max(1));
        assert_eq!(out.get(SAMPLING_SOURCE, row), u8::from(self.rate > 0));
        assert_eq!(out.get(IN_IF_INDEX, row), if_index(self.input));
        assert_eq!(out.get(OUT_IF_INDEX, row), if_index(self.output));
        assert_eq!(out.get(FORWARDING_STATUS, row) >> 6, if self.output.0 == 1 { 2 } else { 0 });
        self.compare_packet(out, row);
        self.compare_vlans(out, row);
        let router = first!(self.records, ExtendedRouter);
        assert_eq!(out.get(NEXT_HOP, row), router.map_or([0; 16], |router| address(&router.next_hop)));
        let mask = |bits: u32| if bits <= 128 { bits as u8 } else { 0 };
        assert_eq!(out.get(SRC_MASK, row), router.map_or(0, |router| mask(router.src_mask_len)));
        let label = first!(self.records, ExtendedMplsLdpFec).map(|label| label.mpls_fec_addr_prefix_length);
        let dst_mask = router.map(|router| router.dst_mask_len).or(label).unwrap_or(0);
        assert_eq!(out.get(DST_MASK, row), mask(dst_mask));
        compare_gateway(first!(self.records, ExtendedGateway), out, row);
        self.compare_nat(out, row);
    }

    /// The header as this project takes it apart, or the records in its place.
    #[track_caller]
    fn compare_packet(&self, out: &FlowBatch, row: usize) {
        let mut packet = Packet::default();
        let header = first!(self.records, RawPacketHeader);
        if let Some(link) = header.and_then(|header| Link::of_sflow(header.header_protocol)) {
            dissect(link, &header.expect("it has a link").header, Decapsulate::NONE, &mut packet);
        }
        let ethernet = first!(self.records, SampledEthernet);
        let frame_length = header.map(|header| header.frame_length).or(ethernet.map(|ethernet| ethernet.length));
        assert_eq!(out.get(FRAME_LENGTH, row), frame_length.unwrap_or(0));
        let circuit = first!(self.records, ExtendedMplsVc).map(|circuit| circuit.vll_vc_id);
        let circuit = circuit.or(first!(self.records, ExtendedMplsTunnel).map(|tunnel| tunnel.tunnel_id));
        let tunnel = match (circuit, packet.tunnel_type) {
            (Some(id), NO_TUNNEL | MPLS) => (MPLS, id),
            (_, in_header) => (in_header, packet.tunnel_id),
        };
        assert_eq!((out.get(TUNNEL_TYPE, row), out.get(TUNNEL_ID, row)), tunnel);
        let ends = |record: &&FlowRecord| {
            use FlowRecord::{ExtendedSocketIpv4, ExtendedSocketIpv6, SampledIpv4, SampledIpv6};
            matches!(record, SampledIpv4(_) | SampledIpv6(_) | ExtendedSocketIpv4(_) | ExtendedSocketIpv6(_))
        };
        match self.records.iter().find(ends) {
            Some(FlowRecord::ExtendedSocketIpv4(socket)) if !packet.has_ip() => {
                let ends = (mapped(socket.remote_ip.octets()), mapped(socket.local_ip.octets()));
                assert_eq!((out.get(SRC_ADDR, row), out.get(DST_ADDR, row)), ends);
                assert_eq!(out.get(DST_PORT, row), socket.local_port as u16);
            }
            Some(FlowRecord::ExtendedSocketIpv6(socket)) if !packet.has_ip() => {
                let ends = (socket.remote_ip.octets(), socket.local_ip.octets());
                assert_eq!((out.get(SRC_ADDR, row), out.get(DST_ADDR, row)), ends);
                assert_eq!(out.get(SRC_PORT, row), socket.remote_port as u16);
            }
            Some(FlowRecord::SampledIpv4(ip)) if !packet.has_ip() => compare_ipv4(ip, out, row),
            Some(FlowRecord::SampledIpv6(ip)) if !packet.has_ip() => {
                assert_eq!((out.get(SRC_ADDR, row), out.get(DST_ADDR, row)), (ip.src_ip.octets(), ip.dst_ip.octets()));
                assert_eq!((out.get(PROTO, row), out.get(BYTES, row)), (ip.protocol as u8, u64::from(ip.length)));
            }
            _ => {
                assert_eq!((out.get(SRC_ADDR, row), out.get(DST_ADDR, row)), (packet.src_addr, packet.dst_addr));
                assert_eq!((out.get(SRC_PORT, row), out.get(DST_PORT, row)), (packet.src_port, packet.dst_port));
                assert_eq!((out.get(PROTO, row), out.get(TCP_FLAGS, row)), (packet.proto, packet.tcp_flags));
            }
        }
        if let (None, Some(ethernet)) = (header, ethernet) {
            let mac = |bytes: [u8; 6]| bytes.into_iter().fold(0, |mac, octet| mac << 8 | u64::from(octet));
            assert_eq!(out.get(SRC_MAC, row), mac(ethernet.src_mac.bytes()));
            assert_eq!(out.get(DST_MAC, row), mac(ethernet.dst_mac.bytes()));
        }
    }

    #[track_caller]
    fn compare_vlans(&self, out: &FlowBatch, row: usize) {
        let vlan = |value: u32| if value <= 4095 { value as u16 } else { 0 };
        if let Some(switch) = first!(self.records, ExtendedSwitch) {
            assert_eq!(out.get(DST_VLAN, row), vlan(switch.dst_vlan));
            if vlan(switch.src_vlan) != 0 {
                assert_eq!(out.get(SRC_VLAN, row), vlan(switch.src_vlan));
            }
        }
    }

    #[track_caller]
    fn compare_nat(&self, out: &FlowBatch, row: usize) {
        let last = |is: fn(&FlowRecord) -> bool| self.records.iter().rev().find(|record| is(record));
        if let Some(FlowRecord::ExtendedNat(nat)) = last(|record| matches!(record, FlowRecord::ExtendedNat(_))) {
            assert_eq!(out.get(POST_NAT_SRC_ADDR, row), address(&nat.src_address));
            assert_eq!(out.get(POST_NAT_DST_ADDR, row), address(&nat.dst_address));
        }
        if let Some(FlowRecord::ExtendedNatPort(nat)) = last(|record| matches!(record, FlowRecord::ExtendedNatPort(_)))
        {
            assert_eq!(out.get(POST_NAT_SRC_PORT, row), nat.src_port as u16);
            assert_eq!(out.get(POST_NAT_DST_PORT, row), nat.dst_port as u16);
        }
    }
}

#[track_caller]
fn compare_ipv4(ip: &SampledIpv4, out: &FlowBatch, row: usize) {
    assert_eq!(
        (out.get(SRC_ADDR, row), out.get(DST_ADDR, row)),
        (mapped(ip.src_ip.octets()), mapped(ip.dst_ip.octets()))
    );
    assert_eq!((out.get(SRC_PORT, row), out.get(DST_PORT, row)), (ip.src_port as u16, ip.dst_port as u16));
    assert_eq!((out.get(PROTO, row), out.get(TCP_FLAGS, row)), (ip.protocol as u8, ip.tcp_flags as u16));
    assert_eq!((out.get(TOS, row), out.get(BYTES, row)), (ip.tos as u8, u64::from(ip.length)));
}

#[track_caller]
fn compare_gateway(gateway: Option<&ExtendedGateway>, out: &FlowBatch, row: usize) {
    let Some(gateway) = gateway else {
        assert_eq!((out.get(SRC_AS, row), out.get(DST_AS, row), out.list(AS_PATH, row)), (0, 0, &[][..]));
        return;
    };
    let path: Vec<u32> = gateway.as_path_segments.iter().flat_map(|segment| segment.values.clone()).collect();
    assert_eq!((out.list(AS_PATH, row), out.list(COMMUNITIES, row)), (&path[..], &gateway.communities[..]));
    assert_eq!(out.get(BGP_NEXT_HOP, row), address(&gateway.next_hop));
    assert_eq!(out.get(SRC_AS, row), if gateway.src_as == 0 { gateway.as_number } else { gateway.src_as });
    assert_eq!(out.get(DST_AS, row), path.last().copied().unwrap_or(gateway.as_number));
    assert_eq!(out.get(SRC_PEER_AS, row), gateway.src_peer_as);
    assert_eq!(out.get(DST_PEER_AS, row), path.first().copied().unwrap_or(0));
}
