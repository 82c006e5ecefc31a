//! Rows of a message, gathered and then written column by column.
//!
//! Writing a row at a time would look every column up for every row. A chunk of rows stays in the first-level cache,
//! and a column that none of them fills is not touched, so that it stays out of the block.

use arrayvec::ArrayVec;
use helios_common::columns::{
    AS_PATH, BGP_NEXT_HOP, BYTES, COMMUNITIES, Col, DISCARD_REASON, DST_ADDR, DST_AS, DST_MAC, DST_MASK, DST_PEER_AS,
    DST_PORT, DST_VLAN, ETHER_TYPE, EXPORT_PROTOCOL, EXPORTER_ADDRESS, EXPORTER_SOCKET_ADDRESS, FLOW_DIRECTION,
    FLOW_END, FLOW_START, FORWARDING_STATUS, FRAGMENT_OFFSET, FRAME_LENGTH, ICMP_CODE, ICMP_TYPE, IN_IF_INDEX,
    INNER_VLAN, IPV6_FLOW_LABEL, LOCAL_PREF, MPLS_LABELS, NEXT_HOP, OBSERVATION_DOMAIN_ID, OUT_IF_INDEX,
    OUTER_DST_ADDR, OUTER_SRC_ADDR, PACKETS, POST_NAT_DST_ADDR, POST_NAT_DST_PORT, POST_NAT_SRC_ADDR,
    POST_NAT_SRC_PORT, PROTO, RECEIVED_AT, SAMPLING_INTERVAL, SAMPLING_SOURCE, SRC_ADDR, SRC_AS, SRC_MAC, SRC_MASK,
    SRC_PEER_AS, SRC_PORT, SRC_VLAN, TCP_FLAGS, TOS, TTL, TUNNEL_ID, TUNNEL_TYPE, Value,
};
use helios_common::exporter::NO_ADDRESS;
use helios_common::flow::FlowBatch;

use super::super::Protocol;
use super::super::packet::Packet;
use super::gateway::Gateway;
use super::structures::{Nat, Router};
use super::{Header, SampleContext};

/// Rows that are gathered before they are written: a message of 1500 octets holds some ten samples.
const CHUNK: usize = 16;

/// A sample as a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    pub packet: Packet,
    /// 1, or 0 for what is no packet.
    pub packets: u8,
    pub bytes: u32,
    pub frame_length: u32,
    pub in_if_index: u32,
    pub out_if_index: u32,
    pub sampling_interval: u32,
    pub dst_vlan: u16,
    pub sampling_source: u8,
    pub flow_direction: u8,
    pub forwarding_status: u8,
    pub discard_reason: u16,
}

impl Row {
    /// Octets of the frame; of the packet if the agent told no more.
    pub(super) fn frame_octets(&self) -> u32 {
        if self.frame_length == 0 { self.bytes } else { self.frame_length }
    }
}

/// What the device knew of a packet's way. Apart from the row, because switches tell nothing of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Route<'a> {
    pub router: Option<Router>,
    pub gateway: Option<Gateway<'a>>,
    pub nat: Option<Nat>,
}

impl Route<'_> {
    fn is_known(&self) -> bool {
        self.router.is_some() || self.gateway.is_some() || self.nat.is_some()
    }
}

/// The rows that were not written yet.
#[derive(Default)]
pub(super) struct Rows<'a> {
    rows: ArrayVec<Row, CHUNK>,
    /// Routes that are known, each with the place of its row.
    routes: ArrayVec<(usize, Route<'a>), CHUNK>,
}

impl<'a> Rows<'a> {
    /// Whether they have to be written before another one is added.
    pub(super) fn is_full(&self) -> bool {
        self.rows.is_full()
    }

    pub(super) fn add(&mut self, row: Row, route: &Route<'a>) {
        if route.is_known() {
            self.routes.push((self.rows.len(), *route));
        }
        self.rows.push(row);
    }

    /// Appends the rows to the batch.
    pub(super) fn write(&mut self, header: &Header, context: &SampleContext<'_>, out: &mut FlowBatch) {
        let rows = self.rows.as_slice();
        if rows.is_empty() {
            return;
        }
        write_message(rows.len(), header, context, out);
        write_rows(rows, out);
        write_packets(rows, out);
        write_rare(rows, &Used::by(rows), out);
        write_routes(rows.len(), &self.routes, out);
        if let Some(by_hand) = context.by_hand {
            by_hand.apply(rows.len(), out);
        }
        out.advance(rows.len(), context.exporter);
        self.rows.clear();
        self.routes.clear();
    }
}

/// What all rows of a message share.
fn write_message(n: usize, header: &Header, context: &SampleContext<'_>, out: &mut FlowBatch) {
    out.fill(RECEIVED_AT, n, context.received_at);
    out.fill(FLOW_START, n, context.received_at);
    out.fill(FLOW_END, n, context.received_at);
    out.fill(EXPORTER_ADDRESS, n, context.exporter_address);
    out.fill(EXPORT_PROTOCOL, n, Protocol::Sflow5 as u8);
    if let Some(socket) = context.socket_address {
        out.fill(EXPORTER_SOCKET_ADDRESS, n, socket);
    }
    if header.sub_agent != 0 {
        out.fill(OBSERVATION_DOMAIN_ID, n, header.sub_agent);
    }
}

fn write_rows(rows: &[Row], out: &mut FlowBatch) {
    column(PACKETS, rows, out, |row| u64::from(row.packets));
    column(BYTES, rows, out, |row| u64::from(row.bytes));
    column(SAMPLING_INTERVAL, rows, out, |row| row.sampling_interval);
    column(SAMPLING_SOURCE, rows, out, |row| row.sampling_source);
    column(FRAME_LENGTH, rows, out, |row| row.frame_length);
    column(IN_IF_INDEX, rows, out, |row| row.in_if_index);
    column(OUT_IF_INDEX, rows, out, |row| row.out_if_index);
}

fn write_packets(rows: &[Row], out: &mut FlowBatch) {
    column(SRC_ADDR, rows, out, |row| row.packet.src_addr);
    column(DST_ADDR, rows, out, |row| row.packet.dst_addr);
    column(SRC_PORT, rows, out, |row| row.packet.src_port);
    column(DST_PORT, rows, out, |row| row.packet.dst_port);
    column(PROTO, rows, out, |row| row.packet.proto);
    column(TCP_FLAGS, rows, out, |row| row.packet.tcp_flags);
    column(TOS, rows, out, |row| row.packet.tos);
    column(TTL, rows, out, |row| row.packet.ttl);
    column(ETHER_TYPE, rows, out, |row| row.packet.ether_type);
    column(SRC_MAC, rows, out, |row| row.packet.src_mac);
    column(DST_MAC, rows, out, |row| row.packet.dst_mac);
}

/// Columns that many networks never fill: of each, all values or'ed.
#[derive(Default)]
struct Used {
    flow_direction: u8,
    forwarding_status: u8,
    dst_vlan: u16,
    vlan: u16,
    inner_vlan: u16,
    icmp: u8,
    fragment_offset: u16,
    ipv6_flow_label: u32,
    n_mpls_labels: u8,
    tunnel_type: u8,
}

impl Used {
    /// One pass over all rows: looking at them once per column costs more than writing them.
    fn by(rows: &[Row]) -> Self {
        let mut used = Self::default();
        for Row { packet, flow_direction, forwarding_status, dst_vlan, .. } in rows {
            used.flow_direction |= flow_direction;
            used.forwarding_status |= forwarding_status;
            used.dst_vlan |= dst_vlan;
            used.vlan |= packet.vlan;
            used.inner_vlan |= packet.inner_vlan;
            used.icmp |= packet.icmp_type | packet.icmp_code;
            used.fragment_offset |= packet.fragment_offset;
            used.ipv6_flow_label |= packet.ipv6_flow_label;
            used.n_mpls_labels |= packet.n_mpls_labels;
            used.tunnel_type |= packet.tunnel_type;
        }
        used
    }
}

fn write_rare(rows: &[Row], used: &Used, out: &mut FlowBatch) {
    if used.flow_direction != 0 {
        column(FLOW_DIRECTION, rows, out, |row| row.flow_direction);
    }
    if used.forwarding_status != 0 {
        column(FORWARDING_STATUS, rows, out, |row| row.forwarding_status);
        column(DISCARD_REASON, rows, out, |row| row.discard_reason);
    }
    if used.vlan != 0 {
        column(SRC_VLAN, rows, out, |row| row.packet.vlan);
    }
    if used.dst_vlan != 0 {
        column(DST_VLAN, rows, out, |row| row.dst_vlan);
    }
    if used.inner_vlan != 0 {
        column(INNER_VLAN, rows, out, |row| row.packet.inner_vlan);
    }
    if used.icmp != 0 {
        column(ICMP_TYPE, rows, out, |row| row.packet.icmp_type);
        column(ICMP_CODE, rows, out, |row| row.packet.icmp_code);
    }
    if used.fragment_offset != 0 {
        column(FRAGMENT_OFFSET, rows, out, |row| row.packet.fragment_offset);
    }
    if used.ipv6_flow_label != 0 {
        column(IPV6_FLOW_LABEL, rows, out, |row| row.packet.ipv6_flow_label);
    }
    if used.tunnel_type != 0 {
        column(TUNNEL_TYPE, rows, out, |row| row.packet.tunnel_type);
        column(TUNNEL_ID, rows, out, |row| row.packet.tunnel_id);
        column(OUTER_SRC_ADDR, rows, out, |row| row.packet.outer_src_addr);
        column(OUTER_DST_ADDR, rows, out, |row| row.packet.outer_dst_addr);
    }
    if used.n_mpls_labels != 0 {
        let lists = out.open_list(MPLS_LABELS);
        for row in rows {
            lists.push(row.packet.labels().iter().copied());
        }
    }
}

fn write_routes(n: usize, routes: &[(usize, Route<'_>)], out: &mut FlowBatch) {
    if routes.iter().any(|(_, route)| route.router.is_some()) {
        let router = |route: &Route<'_>| route.router.unwrap_or_default();
        sparse(NEXT_HOP, n, routes, out, |route| router(route).next_hop);
        sparse(SRC_MASK, n, routes, out, |route| router(route).src_mask);
        sparse(DST_MASK, n, routes, out, |route| router(route).dst_mask);
    }
    if routes.iter().any(|(_, route)| route.gateway.is_some()) {
        write_gateways(n, routes, out);
    }
    if routes.iter().any(|(_, route)| route.nat.is_some()) {
        let nat = |route: &Route<'_>| route.nat.unwrap_or_default();
        sparse(POST_NAT_SRC_ADDR, n, routes, out, |route| nat(route).src_addr);
        sparse(POST_NAT_DST_ADDR, n, routes, out, |route| nat(route).dst_addr);
        sparse(POST_NAT_SRC_PORT, n, routes, out, |route| nat(route).src_port);
        sparse(POST_NAT_DST_PORT, n, routes, out, |route| nat(route).dst_port);
    }
}

fn write_gateways(n: usize, routes: &[(usize, Route<'_>)], out: &mut FlowBatch) {
    let of = |route: &Route<'_>, value: fn(&Gateway<'_>) -> u32| route.gateway.as_ref().map_or(0, value);
    sparse(BGP_NEXT_HOP, n, routes, out, |route| route.gateway.map_or(NO_ADDRESS, |gateway| gateway.next_hop));
    sparse(SRC_AS, n, routes, out, |route| of(route, |gateway| gateway.src_as));
    sparse(DST_AS, n, routes, out, |route| of(route, |gateway| gateway.dst_as));
    sparse(SRC_PEER_AS, n, routes, out, |route| of(route, |gateway| gateway.src_peer_as));
    sparse(DST_PEER_AS, n, routes, out, |route| of(route, |gateway| gateway.dst_peer_as));
    sparse(LOCAL_PREF, n, routes, out, |route| of(route, |gateway| gateway.local_pref));
    let first = out.rows();
    let paths = out.open_list(AS_PATH);
    for (row, route) in routes {
        paths.pad(first + row);
        paths.push(route.gateway.iter().flat_map(Gateway::as_path));
    }
    let communities = out.open_list(COMMUNITIES);
    for (row, route) in routes {
        communities.pad(first + row);
        communities.push(route.gateway.iter().flat_map(Gateway::communities));
    }
}

/// Writes a column of all rows.
#[inline]
fn column<T: Value>(col: Col<T>, rows: &[Row], out: &mut FlowBatch, value: impl Fn(&Row) -> T) {
    out.open(col).extend(rows.iter().map(value));
}

/// Writes a column of the rows whose route is known, out of `n`.
#[inline]
fn sparse<'a, T: Value>(
    col: Col<T>,
    n: usize,
    routes: &[(usize, Route<'a>)],
    out: &mut FlowBatch,
    value: impl Fn(&Route<'a>) -> T,
) {
    let values = out.open_slice(col, n);
    for (row, route) in routes {
        if let Some(place) = values.get_mut(*row) {
            *place = value(route);
        }
    }
}
