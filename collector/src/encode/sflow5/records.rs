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
    /// `ETHERNET-ISO88023`: a MAC header.
    pub const ETHERNET: u32 = 1;
    /// `IPv4`: an IPv4 header without a link layer.
    pub const IPV4: u32 = 11;
    /// `IPv6`: an IPv6 header without a link layer.
    pub const IPV6: u32 = 12;
    /// `MPLS`: a label stack without a link layer.
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
    /// The sampled octets, of any number; padded to 4 when they are written.
    pub header: &'a [u8],
}

/// The header fields of an IPv4 packet (`sampled_ipv4`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampledIpv4 {
    /// Length of the IP packet.
    pub length: u32,
    /// IANA protocol number.
    pub protocol: u32,
    /// `src_ip`.
    pub src: [u8; 4],
    /// `dst_ip`.
    pub dst: [u8; 4],
    /// `src_port`: of TCP or UDP, below 65,536.
    pub src_port: u32,
    /// `dst_port`: of TCP or UDP, below 65,536.
    pub dst_port: u32,
    /// `tcp_flags`, in the lower octet.
    pub tcp_flags: u32,
    /// `tos`: type of service of the IP header, in the lower octet.
    pub tos: u32,
}

/// The header fields of an IPv6 packet (`sampled_ipv6`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampledIpv6 {
    /// Length of the IP packet.
    pub length: u32,
    /// IANA number of the next header.
    pub protocol: u32,
    /// `src_ip`.
    pub src: [u8; 16],
    /// `dst_ip`.
    pub dst: [u8; 16],
    /// `src_port`: of TCP or UDP, below 65,536.
    pub src_port: u32,
    /// `dst_port`: of TCP or UDP, below 65,536.
    pub dst_port: u32,
    /// `tcp_flags`, in the lower octet.
    pub tcp_flags: u32,
    /// `priority`: traffic class of the IP header, in the lower octet.
    pub priority: u32,
}

/// VLANs and priorities (`extended_switch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtendedSwitch {
    /// `src_vlan`: 802.1Q VLAN id of the incoming frame.
    pub src_vlan: u32,
    /// `src_priority`: 802.1p priority of the incoming frame, 0 to 7.
    pub src_priority: u32,
    /// `dst_vlan`: 802.1Q VLAN id of the outgoing frame.
    pub dst_vlan: u32,
    /// `dst_priority`: 802.1p priority of the outgoing frame, 0 to 7.
    pub dst_priority: u32,
}

/// The route's next hop and prefix lengths (`extended_router`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedRouter {
    /// `nexthop`: address of the next router.
    pub next_hop: IpAddr,
    /// `src_mask_len`: prefix length of the route to the source, in bits.
    pub src_mask: u32,
    /// `dst_mask_len`: prefix length of the route to the destination, in bits.
    pub dst_mask: u32,
}

/// A part of an AS path (`as_path_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathSegment<'a> {
    /// Unordered.
    Set(&'a [u32]),
    /// `AS_SEQUENCE`: AS numbers in the order of the path, the nearest first.
    Sequence(&'a [u32]),
}

/// What BGP knew (`extended_gateway`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtendedGateway<'a> {
    /// `nexthop`: address of the border router on the way to the destination.
    pub next_hop: IpAddr,
    /// AS of the router.
    pub own_as: u32,
    /// `src_as`: AS of the source.
    pub src_as: u32,
    /// `src_peer_as`: AS of the peer that the packet came from.
    pub src_peer_as: u32,
    /// AS path to the destination.
    pub dst_path: &'a [PathSegment<'a>],
    /// `communities`: AS number in the upper 16 bits, value in the lower 16 (RFC 1997).
    pub communities: &'a [u32],
    /// `localpref`: LOCAL_PREF of the route (RFC 4271 §5.1.5).
    pub local_preference: u32,
}

/// Counters of an interface (`if_counters`, RFC 2233).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IfCounters {
    /// `ifIndex`.
    pub index: u32,
    /// `ifType`: IANAifType, such as 6 for Ethernet.
    pub if_type: u32,
    /// `ifSpeed`, in bit/s.
    pub speed: u64,
    /// 1 full duplex, 2 half duplex, 3 in, 4 out.
    pub direction: u32,
    /// Bit 0 ifAdminStatus, bit 1 ifOperStatus.
    pub status: u32,
    /// The counters `ifIn...`.
    pub inbound: Direction,
    /// `ifInUnknownProtos`: received packets of protocols that the device does not know.
    pub in_unknown_protocols: u32,
    /// The counters `ifOut...`.
    pub outbound: Direction,
    /// `ifPromiscuousMode`: 1 true, 2 false (TruthValue of RFC 2579).
    pub promiscuous_mode: u32,
}

/// Half of [`IfCounters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Direction {
    /// `ifInOctets`, `ifOutOctets`: octets of whole frames.
    pub octets: u64,
    /// `ifInUcastPkts`, `ifOutUcastPkts`.
    pub unicast: u32,
    /// `ifInMulticastPkts`, `ifOutMulticastPkts`.
    pub multicast: u32,
    /// `ifInBroadcastPkts`, `ifOutBroadcastPkts`.
    pub broadcast: u32,
    /// `ifInDiscards`, `ifOutDiscards`: packets without an error that were discarded.
    pub discards: u32,
    /// `ifInErrors`, `ifOutErrors`: packets with an error.
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

    /// Appends a flow record of format 1, `sampled_header`.
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

    /// Appends a flow record of format 3, `sampled_ipv4`.
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

    /// Appends a flow record of format 4, `sampled_ipv6`.
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

    /// Appends a flow record of format 1001, `extended_switch`.
    pub fn extended_switch(&mut self, switch: &ExtendedSwitch) {
        self.record(EXTENDED_SWITCH, |out| {
            for value in [switch.src_vlan, switch.src_priority, switch.dst_vlan, switch.dst_priority] {
                out.put_u32(value);
            }
        });
    }

    /// Appends a flow record of format 1002, `extended_router`.
    pub fn extended_router(&mut self, router: &ExtendedRouter) {
        self.record(EXTENDED_ROUTER, |out| {
            put_address(router.next_hop, out);
            out.put_u32(router.src_mask);
            out.put_u32(router.dst_mask);
        });
    }

    /// Appends a flow record of format 1003, `extended_gateway`.
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

    /// Appends a counter record of format 1, `if_counters`.
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
