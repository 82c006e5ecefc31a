//! Packets inside of flow records: `dataLinkFrameSection` (RFC 7133) and `ipHeaderPacketSection` (RFC 5477).
//!
//! What the record's own fields already told stays; the packet fills the rest. A record that counts nothing else is
//! one packet of the length that its IP header tells.

use helios_common::columns::{
    BYTES, Col, DST_ADDR, DST_MAC, DST_PORT, ETHER_TYPE, FRAGMENT_OFFSET, ICMP_CODE, ICMP_TYPE, INNER_VLAN,
    IPV6_FLOW_LABEL, MPLS_LABELS, OUTER_DST_ADDR, OUTER_SRC_ADDR, PACKETS, PROTO, SRC_ADDR, SRC_MAC, SRC_PORT,
    SRC_VLAN, TCP_FLAGS, TOS, TTL, TUNNEL_ID, TUNNEL_TYPE, Value,
};
use helios_common::flow::FlowBatch;

use super::packet::{Decapsulate, Link, Packet, dissect};

/// The link that `dataLinkFrameType` tells (RFC 7133): 1 is Ethernet, 2 is IEEE 802.11, 0 is nothing. `None` for others.
pub(super) fn link_of(frame_type: u64) -> Option<Link> {
    match frame_type {
        0 | 1 => Some(Link::Ethernet),
        2 => Some(Link::Wireless),
        _ => None,
    }
}

/// Fills row `row` of `n` open rows from the packet that begins with `octets`.
pub(super) fn write(
    octets: &[u8],
    link: Link,
    decapsulate: Decapsulate,
    (row, n): (usize, usize),
    out: &mut FlowBatch,
) {
    let mut packet = Packet::default();
    dissect(link, octets, decapsulate, &mut packet);
    let (labels, at) = (packet.labels(), out.rows() + row);
    let lists = out.open_list(MPLS_LABELS);
    // Rows come in order: one that is there has the labels of the record itself.
    if !labels.is_empty() && lists.len() <= at {
        lists.pad(at);
        lists.push(labels.iter().copied());
    }
    let mut row = Row { row, n, out };
    row.put(SRC_ADDR, packet.src_addr);
    row.put(DST_ADDR, packet.dst_addr);
    row.put(OUTER_SRC_ADDR, packet.outer_src_addr);
    row.put(OUTER_DST_ADDR, packet.outer_dst_addr);
    row.put(TUNNEL_TYPE, packet.tunnel_type);
    row.put(TUNNEL_ID, packet.tunnel_id);
    row.put(SRC_MAC, packet.src_mac);
    row.put(DST_MAC, packet.dst_mac);
    row.put(SRC_VLAN, packet.vlan);
    row.put(INNER_VLAN, packet.inner_vlan);
    row.put(ETHER_TYPE, packet.ether_type);
    row.put(SRC_PORT, packet.src_port);
    row.put(DST_PORT, packet.dst_port);
    row.put(PROTO, packet.proto);
    row.put(TCP_FLAGS, packet.tcp_flags);
    row.put(TOS, packet.tos);
    row.put(TTL, packet.ttl);
    row.put(ICMP_TYPE, packet.icmp_type);
    row.put(ICMP_CODE, packet.icmp_code);
    row.put(FRAGMENT_OFFSET, packet.fragment_offset);
    row.put(IPV6_FLOW_LABEL, packet.ipv6_flow_label);
    row.put(BYTES, u64::from(packet.layer3_length));
    row.put(PACKETS, 1);
}

/// One of several open rows.
struct Row<'a> {
    row: usize,
    n: usize,
    out: &'a mut FlowBatch,
}

impl Row<'_> {
    /// Sets a column that the record left at its default.
    fn put<T: Value + PartialEq>(&mut self, col: Col<T>, value: T) {
        if value == T::default() {
            return;
        }
        if let Some(present) = self.out.open_slice(col, self.n).get_mut(self.row)
            && *present == T::default()
        {
            *present = value;
        }
    }
}
