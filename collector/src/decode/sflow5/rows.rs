//! Rows of a message, gathered and then written column by column.
//!
//! Writing a row at a time would look every column up for every row. A chunk of rows stays in the first-level cache,
//! and a column that none of them fills is not touched, so that it stays out of the block.

use helios_common::columns::{
    AS_PATH, BGP_NEXT_HOP, BYTES, COMMUNITIES, Col, DST_ADDR, DST_AS, DST_MAC, DST_MASK, DST_PEER_AS, DST_PORT, DST_VLAN,
    ETHER_TYPE, EXPORT_PROTOCOL, EXPORTER_ADDRESS, FLOW_DIRECTION, FLOW_END, FLOW_START, FORWARDING_STATUS,
    FRAGMENT_OFFSET, FRAME_LENGTH, ICMP_CODE, ICMP_TYPE, IN_IF_INDEX, INNER_VLAN, IPV6_FLOW_LABEL, MPLS_LABELS, NEXT_HOP,
    OBSERVATION_DOMAIN_ID, OUT_IF_INDEX, OUTER_DST_ADDR, OUTER_SRC_ADDR, PACKETS, POST_NAT_DST_ADDR, POST_NAT_DST_PORT,
    POST_NAT_SRC_ADDR, POST_NAT_SRC_PORT, PROTO, RECEIVED_AT, SAMPLING_INTERVAL, SAMPLING_SOURCE, SRC_ADDR, SRC_AS,
    SRC_MAC, SRC_MASK, SRC_PEER_AS, SRC_PORT, SRC_VLAN, TCP_FLAGS, TOS, TTL, TUNNEL_ID, TUNNEL_TYPE, Value,
};
use helios_common::exporter::Address;
use helios_common::flow::FlowBatch;

use super::super::Protocol;
use super::super::packet::Packet;
use super::gateway::Gateway;
use super::{Header, SampleContext};

/// Rows that are gathered before they are written: a message of 1500 octets holds some ten samples.
const CHUNK: usize = 16;

/// A sample as a row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Row<'a> {
    pub packet: Packet,
    pub bytes: u32,
    pub frame_length: u32,
    pub in_if_index: u32,
    pub out_if_index: u32,
    pub sampling_interval: u32,
    pub dst_vlan: u16,
    pub sampling_source: u8,
    pub flow_direction: u8,
    pub forwarding_status: u8,
    pub router: Option<Router>,
    pub gateway: Option<Gateway<'a>>,
    pub nat: Option<Nat>,
}

/// An extended router record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Router {
    pub next_hop: Address,
    pub src_mask: u8,
    pub dst_mask: u8,
}

/// The extended NAT records: addresses and ports after translation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nat {
    pub src_addr: Address,
    pub dst_addr: Address,
    pub src_port: u16,
    pub dst_port: u16,
}

impl Row<'_> {
    /// Back to defaults, except for the packet, which is written in any case.
    #[inline]
    pub fn reset(&mut self) {
        *self = Self { packet: self.packet, ..Self::default() };
    }

    /// Octets of the frame; of the packet if the agent told no more.
    pub fn frame_octets(&self) -> u32 {
        if self.frame_length == 0 { self.bytes } else { self.frame_length }
    }
}

/// The rows that were not written yet.
pub struct Rows<'a> {
    rows: [Row<'a>; CHUNK],
    n: usize,
}

impl<'a> Rows<'a> {
    pub fn new() -> Self {
        Self { rows: [Row::default(); CHUNK], n: 0 }
    }

    /// The place of the next row.
    #[inline]
    pub fn next(&mut self) -> &mut Row<'a> {
        let n = self.n.min(CHUNK - 1);
        &mut self.rows[n]
    }

    /// Keeps the row that was written to [`next`](Self::next).
    #[inline]
    pub fn keep(&mut self, header: &Header, context: &SampleContext, out: &mut FlowBatch) {
        self.n += 1;
        if self.n == CHUNK {
            self.write(header, context, out);
        }
    }

    /// Appends the rows to the batch.
    pub fn write(&mut self, header: &Header, context: &SampleContext, out: &mut FlowBatch) {
        let rows = self.rows.get(..self.n).unwrap_or(&[]);
        if !rows.is_empty() {
            write_message(rows.len(), header, context, out);
            write_samples(rows, out);
            write_packets(rows, out);
            write_routes(rows, out);
            out.advance(rows.len(), context.exporter);
        }
        self.n = 0;
    }
}

/// What all rows of a message share.
fn write_message(n: usize, header: &Header, context: &SampleContext, out: &mut FlowBatch) {
    out.fill(RECEIVED_AT, n, context.received_at);
    out.fill(FLOW_START, n, context.received_at);
    out.fill(FLOW_END, n, context.received_at);
    out.fill(EXPORTER_ADDRESS, n, context.exporter_address);
    out.fill(EXPORT_PROTOCOL, n, Protocol::Sflow5 as u8);
    if header.sub_agent != 0 {
        out.fill(OBSERVATION_DOMAIN_ID, n, header.sub_agent);
    }
    out.fill(PACKETS, n, 1);
}

fn write_samples(rows: &[Row<'_>], out: &mut FlowBatch) {
    every(BYTES, rows, out, |row| u64::from(row.bytes));
    every(SAMPLING_INTERVAL, rows, out, |row| row.sampling_interval);
    every(SAMPLING_SOURCE, rows, out, |row| row.sampling_source);
    every(FRAME_LENGTH, rows, out, |row| row.frame_length);
    every(IN_IF_INDEX, rows, out, |row| row.in_if_index);
    every(OUT_IF_INDEX, rows, out, |row| row.out_if_index);
    filled(FLOW_DIRECTION, rows, out, |row| row.flow_direction);
    filled(FORWARDING_STATUS, rows, out, |row| row.forwarding_status);
    filled(DST_VLAN, rows, out, |row| row.dst_vlan);
}

fn write_packets(rows: &[Row<'_>], out: &mut FlowBatch) {
    every(SRC_ADDR, rows, out, |row| row.packet.src_addr);
    every(DST_ADDR, rows, out, |row| row.packet.dst_addr);
    every(SRC_PORT, rows, out, |row| row.packet.src_port);
    every(DST_PORT, rows, out, |row| row.packet.dst_port);
    every(PROTO, rows, out, |row| row.packet.proto);
    every(TCP_FLAGS, rows, out, |row| row.packet.tcp_flags);
    every(TOS, rows, out, |row| row.packet.tos);
    every(TTL, rows, out, |row| row.packet.ttl);
    every(ETHER_TYPE, rows, out, |row| row.packet.ether_type);
    every(SRC_MAC, rows, out, |row| row.packet.src_mac);
    every(DST_MAC, rows, out, |row| row.packet.dst_mac);
    filled(SRC_VLAN, rows, out, |row| row.packet.vlan);
    filled(INNER_VLAN, rows, out, |row| row.packet.inner_vlan);
    filled(ICMP_TYPE, rows, out, |row| row.packet.icmp_type);
    filled(ICMP_CODE, rows, out, |row| row.packet.icmp_code);
    filled(FRAGMENT_OFFSET, rows, out, |row| row.packet.fragment_offset);
    filled(IPV6_FLOW_LABEL, rows, out, |row| row.packet.ipv6_flow_label);
    filled(TUNNEL_TYPE, rows, out, |row| row.packet.tunnel_type);
    filled(TUNNEL_ID, rows, out, |row| row.packet.tunnel_id);
    filled(OUTER_SRC_ADDR, rows, out, |row| row.packet.outer_src_addr);
    filled(OUTER_DST_ADDR, rows, out, |row| row.packet.outer_dst_addr);
    if rows.iter().any(|row| row.packet.n_mpls_labels > 0) {
        let lists = out.open_list(MPLS_LABELS);
        for row in rows {
            lists.push(row.packet.labels().iter().copied());
        }
    }
}

/// The extended records. Most agents send the same ones with every sample.
fn write_routes(rows: &[Row<'_>], out: &mut FlowBatch) {
    if rows.iter().any(|row| row.router.is_some()) {
        let router = |row: &Row<'_>| row.router.unwrap_or_default();
        every(NEXT_HOP, rows, out, |row| router(row).next_hop);
        every(SRC_MASK, rows, out, |row| router(row).src_mask);
        every(DST_MASK, rows, out, |row| router(row).dst_mask);
    }
    if rows.iter().any(|row| row.gateway.is_some()) {
        write_gateways(rows, out);
    }
    if rows.iter().any(|row| row.nat.is_some()) {
        let nat = |row: &Row<'_>| row.nat.unwrap_or_default();
        every(POST_NAT_SRC_ADDR, rows, out, |row| nat(row).src_addr);
        every(POST_NAT_DST_ADDR, rows, out, |row| nat(row).dst_addr);
        every(POST_NAT_SRC_PORT, rows, out, |row| nat(row).src_port);
        every(POST_NAT_DST_PORT, rows, out, |row| nat(row).dst_port);
    }
}

fn write_gateways(rows: &[Row<'_>], out: &mut FlowBatch) {
    let of = |row: &Row<'_>, value: fn(Gateway<'_>) -> u32| row.gateway.map_or(0, value);
    every(BGP_NEXT_HOP, rows, out, |row| row.gateway.map_or([0; 16], |gateway| gateway.next_hop));
    every(SRC_AS, rows, out, |row| of(row, |gateway| gateway.src_as));
    every(DST_AS, rows, out, |row| of(row, |gateway| gateway.dst_as));
    every(SRC_PEER_AS, rows, out, |row| of(row, |gateway| gateway.src_peer_as));
    every(DST_PEER_AS, rows, out, |row| of(row, |gateway| gateway.dst_peer_as));
    let paths = out.open_list(AS_PATH);
    for row in rows {
        paths.push(row.gateway.iter().flat_map(Gateway::as_path));
    }
    let communities = out.open_list(COMMUNITIES);
    for row in rows {
        communities.push(row.gateway.iter().flat_map(Gateway::communities));
    }
}

/// Writes a column that about every row fills.
#[inline]
fn every<'r, 'a: 'r, T: Value>(col: Col<T>, rows: &'r [Row<'a>], out: &mut FlowBatch, value: impl Fn(&'r Row<'a>) -> T) {
    out.open(col).extend(rows.iter().map(value));
}

/// Writes a column if one of the rows fills it.
#[inline]
fn filled<'r, 'a: 'r, T: Value + PartialEq>(
    col: Col<T>,
    rows: &'r [Row<'a>],
    out: &mut FlowBatch,
    value: impl Fn(&'r Row<'a>) -> T,
) {
    if rows.iter().any(|row| value(row) != T::default()) {
        every(col, rows, out, value);
    }
}
