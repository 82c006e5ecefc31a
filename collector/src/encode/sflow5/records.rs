//! What sFlow samples are made of: sampled headers, what switch and router knew of the packet, counters.
//!
//! Source: sflow.org, "sFlow Version 5" (July 2004), §5.4 flow data types and §5.5 counter data types.

use std::net::IpAddr;

use super::super::{Put, patch_u32};
use super::{put_address, structure};

/// Flow records of enterprise 0.
const SAMPLED_HEADER: u32 = 1;
const SAMPLED_ETHERNET: u32 = 2;
const SAMPLED_IPV4: u32 = 3;
const SAMPLED_IPV6: u32 = 4;
const EXTENDED_SWITCH: u32 = 1001;
const EXTENDED_ROUTER: u32 = 1002;
const EXTENDED_GATEWAY: u32 = 1003;

/// Counter records of enterprise 0.
const IF_COUNTERS: u32 = 1;
const ETHERNET_COUNTERS: u32 = 2;

/// Values of [`SampledHeader::protocol`] (`header_protocol`).
pub mod header_protocol {
    pub const ETHERNET: u32 = 1;
    pub const IPV4: u32 = 11;
    pub const IPV6: u32 = 12;
    pub const MPLS: u32 = 13;
}

/// The first octets of a packet (`sampled_header`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampledHeader<'a> {
    /// See [`header_protocol`].
    pub protocol: u32,
    /// Length of the packet on the wire, before sampling cut it.
    pub frame_length: u32,
    /// Octets removed from the packet, the frame check sequence above all.
    pub stripped: u32,
    pub header: &'a [u8],
}

/// The header fields of an IPv4 packet (`sampled_ipv4`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampledIpv4 {
    /// Length of the IP packet.
    pub length: u32,
    pub protocol: u32,
    pub src: [u8; 4],
    pub dst: [u8; 4],
    pub src_port: u32,
    pub dst_port: u32,
    pub tcp_flags: u32,
    pub tos: u32,
}

/// The header fields of an IPv6 packet (`sampled_ipv6`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampledIpv6 {
    /// Length of the IP packet.
    pub length: u32,
    pub protocol: u32,
    pub src: [u8; 16],
    pub dst: [u8; 16],
    pub src_port: u32,
    pub dst_port: u32,
    pub tcp_flags: u32,
    pub priority: u32,
}

/// VLANs and priorities (`extended_switch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtendedSwitch {
    pub src_vlan: u32,
    pub src_priority: u32,
    pub dst_vlan: u32,
    pub dst_priority: u32,
}

/// The route's next hop and prefix lengths (`extended_router`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedRouter {
    pub next_hop: IpAddr,
    pub src_mask: u32,
    pub dst_mask: u32,
}

/// A part of an AS path (`as_path_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathSegment<'a> {
    /// Unordered.
    Set(&'a [u32]),
    Sequence(&'a [u32]),
}

/// What BGP knew (`extended_gateway`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedGateway<'a> {
    pub next_hop: IpAddr,
    /// AS of the router.
    pub own_as: u32,
    pub src_as: u32,
    pub src_peer_as: u32,
    /// AS path to the destination.
    pub dst_path: &'a [PathSegment<'a>],
    pub communities: &'a [u32],
    pub local_preference: u32,
}

/// Counters of an interface (`if_counters`, RFC 2233).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IfCounters {
    pub index: u32,
    pub if_type: u32,
    pub speed: u64,
    /// 1 full duplex, 2 half duplex, 3 in, 4 out.
    pub direction: u32,
    /// Bit 0 ifAdminStatus, bit 1 ifOperStatus.
    pub status: u32,
    pub inbound: Direction,
    pub in_unknown_protocols: u32,
    pub outbound: Direction,
    pub promiscuous_mode: u32,
}

/// Half of [`IfCounters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Direction {
    pub octets: u64,
    pub unicast: u32,
    pub multicast: u32,
    pub broadcast: u32,
    pub discards: u32,
    pub errors: u32,
}

/// The records of a sample that is being written.
#[derive(Debug)]
pub struct Records<'a> {
    out: &'a mut Vec<u8>,
    count_at: usize,
    count: usize,
}

impl Records<'_> {
    /// Appends the number of records and the records.
    pub(super) fn write(out: &mut Vec<u8>, write: impl FnOnce(&mut Records<'_>)) {
        let count_at = out.len();
        out.put_u32(0);
        write(&mut Records { out, count_at, count: 0 });
    }

    /// A record of any format: enterprise in the upper 20 bits, format in the lower 12.
    pub fn record(&mut self, format: u32, content: impl FnOnce(&mut Vec<u8>)) {
        structure(self.out, format, content);
        self.count += 1;
        patch_u32(self.out, self.count_at, self.count);
    }

    pub fn sampled_header(&mut self, sampled: &SampledHeader<'_>) {
        self.record(SAMPLED_HEADER, |out| {
            out.put_u32(sampled.protocol);
            out.put_u32(sampled.frame_length);
            out.put_u32(sampled.stripped);
            put_opaque(sampled.header, out);
        });
    }

    /// The Ethernet header of a packet (`sampled_ethernet`).
    pub fn sampled_ethernet(&mut self, length: u32, src: [u8; 6], dst: [u8; 6], ether_type: u32) {
        self.record(SAMPLED_ETHERNET, |out| {
            out.put_u32(length);
            for mac in [src, dst] {
                out.put(&mac);
                out.put_u16(0);
            }
            out.put_u32(ether_type);
        });
    }

    pub fn sampled_ipv4(&mut self, sampled: &SampledIpv4) {
        self.record(SAMPLED_IPV4, |out| {
            out.put_u32(sampled.length);
            out.put_u32(sampled.protocol);
            out.put(&sampled.src);
            out.put(&sampled.dst);
            for value in [sampled.src_port, sampled.dst_port, sampled.tcp_flags, sampled.tos] {
                out.put_u32(value);
            }
        });
    }

    pub fn sampled_ipv6(&mut self, sampled: &SampledIpv6) {
        self.record(SAMPLED_IPV6, |out| {
            out.put_u32(sampled.length);
            out.put_u32(sampled.protocol);
            out.put(&sampled.src);
            out.put(&sampled.dst);
            for value in [sampled.src_port, sampled.dst_port, sampled.tcp_flags, sampled.priority] {
                out.put_u32(value);
            }
        });
    }

    pub fn extended_switch(&mut self, switch: &ExtendedSwitch) {
        self.record(EXTENDED_SWITCH, |out| {
            for value in [switch.src_vlan, switch.src_priority, switch.dst_vlan, switch.dst_priority] {
                out.put_u32(value);
            }
        });
    }

    pub fn extended_router(&mut self, router: &ExtendedRouter) {
        self.record(EXTENDED_ROUTER, |out| {
            put_address(router.next_hop, out);
            out.put_u32(router.src_mask);
            out.put_u32(router.dst_mask);
        });
    }

    pub fn extended_gateway(&mut self, gateway: &ExtendedGateway<'_>) {
        self.record(EXTENDED_GATEWAY, |out| {
            put_address(gateway.next_hop, out);
            for autonomous_system in [gateway.own_as, gateway.src_as, gateway.src_peer_as] {
                out.put_u32(autonomous_system);
            }
            put_count(gateway.dst_path.len(), out);
            for segment in gateway.dst_path {
                let (kind, path) = match segment {
                    PathSegment::Set(path) => (1, path),
                    PathSegment::Sequence(path) => (2, path),
                };
                out.put_u32(kind);
                put_array(path, out);
            }
            put_array(gateway.communities, out);
            out.put_u32(gateway.local_preference);
        });
    }

    pub fn if_counters(&mut self, counters: &IfCounters) {
        self.record(IF_COUNTERS, |out| {
            out.put_u32(counters.index);
            out.put_u32(counters.if_type);
            out.put_u64(counters.speed);
            out.put_u32(counters.direction);
            out.put_u32(counters.status);
            counters.inbound.write(out);
            out.put_u32(counters.in_unknown_protocols);
            counters.outbound.write(out);
            out.put_u32(counters.promiscuous_mode);
        });
    }

    /// Ethernet error counters (`ethernet_counters`), in the order of RFC 2358.
    pub fn ethernet_counters(&mut self, counters: &[u32; 13]) {
        self.record(ETHERNET_COUNTERS, |out| {
            for &counter in counters {
                out.put_u32(counter);
            }
        });
    }
}

impl Direction {
    fn write(&self, out: &mut Vec<u8>) {
        out.put_u64(self.octets);
        for counter in [self.unicast, self.multicast, self.broadcast, self.discards, self.errors] {
            out.put_u32(counter);
        }
    }
}

/// Octets with their length before them, padded to 4.
fn put_opaque(octets: &[u8], out: &mut Vec<u8>) {
    put_count(octets.len(), out);
    out.put(octets);
    for _ in 0..octets.len().wrapping_neg() % 4 {
        out.put_u8(0);
    }
}

fn put_array(values: &[u32], out: &mut Vec<u8>) {
    put_count(values.len(), out);
    for &value in values {
        out.put_u32(value);
    }
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    out.put_u32(u32::try_from(count).expect("what fits a datagram"));
}
