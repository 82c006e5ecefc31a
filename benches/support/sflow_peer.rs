//! `flowparser-sflow` and `etherparse`, used as well as their interfaces allow: parse the samples, dissect their
//! headers, fill the columns that Helios fills.

use etherparse::{LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice};
use flowparser_sflow::samples::FlowSample;
use flowparser_sflow::{AddressType, FlowRecord, SflowDatagram, SflowParser, SflowSample};
use helios_collector::decode::DatagramMeta;
use helios_common::columns::*;
use helios_common::exporter::{Address, ExporterId, mapped};
use helios_common::flow::{BATCH_ROWS, FlowBatch};

use super::traffic::Traffic;

const SFLOW5: u8 = 15;
const SAMPLED_BY_RECORD: u8 = 1;

#[derive(Default)]
pub struct SflowPeer {
    parser: SflowParser,
    rows: Vec<Row>,
    pub batch: FlowBatch,
}

/// A sample as a row: gathered, then written column by column.
#[derive(Default)]
struct Row {
    src_addr: Address,
    dst_addr: Address,
    src_mac: u64,
    dst_mac: u64,
    bytes: u64,
    sampling_interval: u32,
    frame_length: u32,
    in_if_index: u32,
    out_if_index: u32,
    src_port: u16,
    dst_port: u16,
    tcp_flags: u16,
    vlan: u16,
    ether_type: u16,
    proto: u8,
    tos: u8,
    ttl: u8,
    flow_direction: u8,
}

impl SflowPeer {
    /// Parses all datagrams once; a sampled header stays what it is, octets.
    pub fn parse(&mut self, traffic: &mut Traffic) -> usize {
        let mut rows = 0;
        for datagram in &mut traffic.datagrams {
            datagram.advance();
            let parsed = self.parser.parse_bytes(&datagram.octets);
            rows +=
                std::hint::black_box(&parsed.datagrams).iter().map(|datagram| datagram.samples.len()).sum::<usize>();
        }
        rows
    }

    /// Parses all datagrams once, dissects the headers and fills columns.
    pub fn columns(&mut self, traffic: &mut Traffic) -> usize {
        let mut rows = 0;
        for datagram in &mut traffic.datagrams {
            datagram.advance();
            if self.batch.rows() >= BATCH_ROWS {
                self.batch.seal();
                self.batch.clear();
            }
            for parsed in &self.parser.parse_bytes(&datagram.octets).datagrams {
                self.rows.clear();
                self.rows.extend(parsed.samples.iter().filter_map(row));
                write(&self.rows, parsed, &datagram.meta, &mut self.batch);
                rows += self.rows.len();
            }
        }
        rows
    }
}

fn row(sample: &SflowSample) -> Option<Row> {
    let SflowSample::Flow(sample) = sample else { return None };
    let mut row = Row {
        sampling_interval: sample.sampling_rate,
        in_if_index: sample.input,
        out_if_index: sample.output,
        flow_direction: direction(sample),
        ..Row::default()
    };
    dissect(sample, &mut row);
    Some(row)
}

/// The sampling interface tells it: 1 ingress, 2 egress.
fn direction(sample: &FlowSample) -> u8 {
    match (sample.source_id_index == sample.input, sample.source_id_index == sample.output) {
        (true, false) => 1,
        (false, true) => 2,
        _ => 0,
    }
}

fn dissect(sample: &FlowSample, row: &mut Row) {
    for record in &sample.records {
        let FlowRecord::RawPacketHeader(header) = record else { continue };
        row.frame_length = header.frame_length;
        let Ok(packet) = LaxSlicedPacket::from_ethernet(&header.header) else { continue };
        if let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link {
            row.src_mac = mac(ethernet.source());
            row.dst_mac = mac(ethernet.destination());
        }
        row.vlan = packet.vlan_ids().first().map_or(0, |vlan| vlan.value());
        network(&packet, row);
        match &packet.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                (row.src_port, row.dst_port) = (tcp.source_port(), tcp.destination_port());
                row.tcp_flags = u16::from(tcp.slice()[13]);
            }
            Some(TransportSlice::Udp(udp)) => {
                (row.src_port, row.dst_port) = (udp.source_port(), udp.destination_port());
            }
            _ => {}
        }
    }
}

fn network(packet: &LaxSlicedPacket<'_>, row: &mut Row) {
    match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            row.ether_type = 0x0800;
            (row.src_addr, row.dst_addr) = (mapped(header.source()), mapped(header.destination()));
            (row.proto, row.ttl) = (header.protocol().0, header.ttl());
            row.tos = header.slice()[1];
            row.bytes = u64::from(header.total_len());
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            row.ether_type = 0x86dd;
            (row.src_addr, row.dst_addr) = (header.source(), header.destination());
            (row.proto, row.ttl) = (header.next_header().0, header.hop_limit());
            row.tos = header.traffic_class();
            row.bytes = 40 + u64::from(header.payload_length());
        }
        _ => {}
    }
}

fn mac([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

fn write(rows: &[Row], datagram: &SflowDatagram, meta: &DatagramMeta, out: &mut FlowBatch) {
    let n = rows.len();
    let agent = match datagram.agent_address {
        AddressType::IPv4(v4) => mapped(v4.octets()),
        AddressType::IPv6(v6) => v6.octets(),
    };
    out.fill(RECEIVED_AT, n, meta.received_at);
    out.fill(FLOW_START, n, meta.received_at);
    out.fill(FLOW_END, n, meta.received_at);
    out.fill(EXPORTER_ADDRESS, n, agent);
    out.fill(EXPORT_PROTOCOL, n, SFLOW5);
    out.fill(PACKETS, n, 1);
    out.fill(SAMPLING_SOURCE, n, SAMPLED_BY_RECORD);
    out.open(BYTES).extend(rows.iter().map(|row| row.bytes));
    out.open(SAMPLING_INTERVAL).extend(rows.iter().map(|row| row.sampling_interval));
    out.open(FRAME_LENGTH).extend(rows.iter().map(|row| row.frame_length));
    out.open(IN_IF_INDEX).extend(rows.iter().map(|row| row.in_if_index));
    out.open(OUT_IF_INDEX).extend(rows.iter().map(|row| row.out_if_index));
    out.open(SRC_ADDR).extend(rows.iter().map(|row| row.src_addr));
    out.open(DST_ADDR).extend(rows.iter().map(|row| row.dst_addr));
    out.open(SRC_PORT).extend(rows.iter().map(|row| row.src_port));
    out.open(DST_PORT).extend(rows.iter().map(|row| row.dst_port));
    out.open(PROTO).extend(rows.iter().map(|row| row.proto));
    out.open(TCP_FLAGS).extend(rows.iter().map(|row| row.tcp_flags));
    out.open(TOS).extend(rows.iter().map(|row| row.tos));
    out.open(TTL).extend(rows.iter().map(|row| row.ttl));
    out.open(ETHER_TYPE).extend(rows.iter().map(|row| row.ether_type));
    out.open(SRC_MAC).extend(rows.iter().map(|row| row.src_mac));
    out.open(DST_MAC).extend(rows.iter().map(|row| row.dst_mac));
    out.open(SRC_VLAN).extend(rows.iter().map(|row| row.vlan));
    out.open(FLOW_DIRECTION).extend(rows.iter().map(|row| row.flow_direction));
    out.advance(n, ExporterId(0));
}
