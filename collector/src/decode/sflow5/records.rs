//! The flow records of a sample.
//!
//! The raw header is the packet; where an agent sends none, the Ethernet, IPv4 and IPv6 records that older agents
//! fill in themselves take its place. The extended records add what the device knew: VLANs, routes, NAT, tunnels.
//! Their order does not matter: records are found first and applied afterwards. Of two of a kind the first counts.
//!
//! Structures are read by their first octets, so that one that was extended at its end is still read. Everything
//! else, and all records of enterprises, is stepped over by its length: users, URLs, MPLS details beyond the label
//! stack, 802.11, sockets, queues, hardware traps.

use helios_common::exporter::{Address, NO_ADDRESS, mapped};

use super::super::DecodeError;
use super::super::cursor::Cursor;
use super::super::packet::{Decapsulate, Link, MAX_LABELS, Packet, dissect, tunnel_type};
use super::gateway::Gateway;
use super::rows::{Route, Router, Row};
use super::{TAG_OCTETS, address, words};

/// Records that one sample may have: sFlow.org registered some 60 structures, and each says its thing once.
const MAX_RECORDS: u32 = 128;

// Formats of flow records (sflow.org "Structure Numbers").
const RAW_HEADER: u32 = 1;
const ETHERNET: u32 = 2;
const IPV4: u32 = 3;
const IPV6: u32 = 4;
const EXTENDED_SWITCH: u32 = 1001;
const EXTENDED_ROUTER: u32 = 1002;
const EXTENDED_GATEWAY: u32 = 1003;
const EXTENDED_MPLS: u32 = 1006;
const EXTENDED_NAT: u32 = 1007;
const EXTENDED_VLAN_TUNNEL: u32 = 1012;
const EXTENDED_NAT_PORT: u32 = 1020;
const EXTENDED_IPV4_TUNNEL_EGRESS: u32 = 1023;
const EXTENDED_IPV4_TUNNEL_INGRESS: u32 = 1024;
const EXTENDED_IPV6_TUNNEL_EGRESS: u32 = 1025;
const EXTENDED_IPV6_TUNNEL_INGRESS: u32 = 1026;
const EXTENDED_VNI_EGRESS: u32 = 1029;
const EXTENDED_VNI_INGRESS: u32 = 1030;

/// Octets of an Ethernet header without tags, for frames whose own header cannot tell.
const FRAME_HEADER_OCTETS: u32 = 14;
/// Octets of the frame check sequence, which the Ethernet record counts.
const FRAME_CHECK_OCTETS: u32 = 4;

type Ethernet = [u8; 24];
type Ipv4 = [u8; 32];
type Ipv6 = [u8; 56];

/// The raw header record.
#[derive(Clone, Copy)]
struct RawHeader<'a> {
    link: Option<Link>,
    frame_length: u32,
    /// Octets that were taken off the frame before its header was copied, such as the frame check sequence.
    stripped: u32,
    octets: &'a [u8],
}

/// What a sample was found to hold.
#[derive(Default)]
struct Found<'a> {
    header: Option<RawHeader<'a>>,
    ethernet: Option<&'a Ethernet>,
    ipv4: Option<&'a Ipv4>,
    ipv6: Option<&'a Ipv6>,
    switch: Option<[u32; 4]>,
    labels: Option<&'a [u8]>,
    stripped_tags: Option<&'a [u8]>,
    ipv4_tunnel: Option<&'a Ipv4>,
    ipv6_tunnel: Option<&'a Ipv6>,
    vni: Option<u32>,
}

/// Reads `n` records into `row` and `route`, which hold none yet; returns how many were shorter than their structure.
pub fn read<'a>(
    mut sample: Cursor<'a>,
    n: u32,
    decapsulate: Decapsulate,
    row: &mut Row,
    route: &mut Route<'a>,
) -> Result<u32, DecodeError> {
    if n > MAX_RECORDS || n as usize > sample.remaining() / TAG_OCTETS {
        return Err(DecodeError::BadCount);
    }
    let mut found = Found::default();
    let mut malformed = 0;
    for _ in 0..n {
        let [format, length] = words(&mut sample)?;
        let record = Cursor::new(sample.take(length as usize)?);
        if found.record(format, record, route).is_err() {
            malformed += 1;
        }
    }
    found.apply(decapsulate, row);
    Ok(malformed)
}

impl<'a> Found<'a> {
    #[inline]
    fn record(&mut self, format: u32, mut record: Cursor<'a>, route: &mut Route<'a>) -> Result<(), DecodeError> {
        match format {
            RAW_HEADER => first(&mut self.header, raw_header(&mut record)?),
            EXTENDED_SWITCH => first(&mut self.switch, words(&mut record)?),
            EXTENDED_ROUTER => first(&mut route.router, router(&mut record)?),
            EXTENDED_GATEWAY => first(&mut route.gateway, Gateway::parse(record)?),
            ETHERNET => first(&mut self.ethernet, structure(record)?),
            IPV4 => first(&mut self.ipv4, structure(record)?),
            IPV6 => first(&mut self.ipv6, structure(record)?),
            EXTENDED_MPLS => first(&mut self.labels, label_stack(&mut record)?),
            EXTENDED_NAT => {
                let nat = route.nat.get_or_insert_default();
                (nat.src_addr, nat.dst_addr) = (any_address(&mut record)?, any_address(&mut record)?);
            }
            EXTENDED_NAT_PORT => {
                let nat = route.nat.get_or_insert_default();
                [nat.src_port, nat.dst_port] = words(&mut record)?.map(|port: u32| port as u16);
            }
            EXTENDED_VLAN_TUNNEL => first(&mut self.stripped_tags, list(&mut record)?),
            EXTENDED_IPV4_TUNNEL_EGRESS | EXTENDED_IPV4_TUNNEL_INGRESS => first(&mut self.ipv4_tunnel, structure(record)?),
            EXTENDED_IPV6_TUNNEL_EGRESS | EXTENDED_IPV6_TUNNEL_INGRESS => first(&mut self.ipv6_tunnel, structure(record)?),
            EXTENDED_VNI_EGRESS | EXTENDED_VNI_INGRESS => first(&mut self.vni, record.u32()?),
            _ => {}
        }
        Ok(())
    }

    #[inline]
    fn apply(&self, decapsulate: Decapsulate, row: &mut Row) {
        if let Some(header) = self.header {
            header.apply(decapsulate, row);
        }
        if !row.packet.has_ip() {
            self.apply_fields(row);
        }
        if let Some([src_vlan, _, dst_vlan, _]) = self.switch {
            if let Some(vlan) = vlan_id(src_vlan) {
                row.packet.vlan = vlan;
            }
            row.dst_vlan = vlan_id(dst_vlan).unwrap_or(0);
        }
        if self.labels.is_some() || self.stripped_tags.is_some() {
            self.apply_stacks(&mut row.packet);
        }
        if self.ipv4_tunnel.is_some() || self.ipv6_tunnel.is_some() || self.vni.is_some() {
            self.apply_tunnel(&mut row.packet);
        }
    }

    /// The records that stand in for a header.
    #[inline(never)]
    fn apply_fields(&self, row: &mut Row) {
        let packet = &mut row.packet;
        if let (None, Some(ethernet)) = (self.header, self.ethernet) {
            let length = ethernet_fields(ethernet, packet);
            row.frame_length = length;
            row.bytes = length.saturating_sub(FRAME_HEADER_OCTETS + FRAME_CHECK_OCTETS);
        }
        if let Some(length) = self.ipv4.map(|ipv4| ipv4_fields(ipv4, packet)) {
            row.bytes = length;
        } else if let Some(length) = self.ipv6.map(|ipv6| ipv6_fields(ipv6, packet)) {
            row.bytes = length;
        }
    }

    /// Labels and tags that are not in the header: those of a label stack record if the header has none, and tags
    /// that were stripped, which were outside those that are left.
    #[inline(never)]
    fn apply_stacks(&self, packet: &mut Packet) {
        if let Some(entries) = self.labels
            && packet.n_mpls_labels == 0
        {
            for (label, entry) in packet.mpls_labels.iter_mut().zip(words_of(entries)) {
                *label = entry >> 12;
                packet.n_mpls_labels += 1;
            }
        }
        if let Some(tags) = self.stripped_tags {
            let left = [packet.vlan, packet.inner_vlan].into_iter().filter(|&vlan| vlan != 0);
            let mut all = words_of(tags).filter_map(|tag| vlan_id(tag & 0x0fff)).chain(left);
            [packet.vlan, packet.inner_vlan] = [all.next().unwrap_or(0), all.next().unwrap_or(0)];
        }
    }

    /// The tunnel that the device put the packet into, or took it from, unless the header itself shows one.
    #[inline(never)]
    fn apply_tunnel(&self, packet: &mut Packet) {
        if packet.tunnel_type != tunnel_type::NONE {
            return;
        }
        let mut outer = Packet::default();
        if let Some(ipv4) = self.ipv4_tunnel {
            ipv4_fields(ipv4, &mut outer);
        } else if let Some(ipv6) = self.ipv6_tunnel {
            ipv6_fields(ipv6, &mut outer);
        }
        packet.outer_src_addr = outer.src_addr;
        packet.outer_dst_addr = outer.dst_addr;
        packet.tunnel_type = tunnel_type::of_outer(outer.proto, outer.dst_port);
        packet.tunnel_id = self.vni.unwrap_or(0);
    }
}

impl RawHeader<'_> {
    #[inline]
    fn apply(&self, decapsulate: Decapsulate, row: &mut Row) {
        row.frame_length = self.frame_length;
        let link_octets = match self.link {
            Some(link) => {
                dissect(link, self.octets, decapsulate, &mut row.packet);
                let read = row.packet.layer3_offset;
                if link == Link::Ethernet { read.max(FRAME_HEADER_OCTETS) } else { read }
            }
            None => FRAME_HEADER_OCTETS,
        };
        row.bytes = match row.packet.layer3_length {
            0 => self.frame_length.saturating_sub(self.stripped).saturating_sub(link_octets),
            length => length,
        };
    }
}

/// Keeps the first of a kind.
#[inline]
fn first<T>(place: &mut Option<T>, value: T) {
    if place.is_none() {
        *place = Some(value);
    }
}

/// The first octets of a record.
fn structure<'a, const N: usize>(record: Cursor<'a>) -> Result<&'a [u8; N], DecodeError> {
    record.rest().first_chunk().ok_or(DecodeError::Truncated)
}

/// A header that is shorter than it says was cut by the agent's own buffer: what is there is read.
#[inline]
fn raw_header<'a>(record: &mut Cursor<'a>) -> Result<RawHeader<'a>, DecodeError> {
    let [protocol, frame_length, stripped, header_length] = words(record)?;
    let octets = record.rest();
    let octets = octets.get(..header_length as usize).unwrap_or(octets);
    Ok(RawHeader { link: Link::of_sflow(protocol), frame_length, stripped, octets })
}

fn router(record: &mut Cursor<'_>) -> Result<Router, DecodeError> {
    let next_hop = any_address(record)?;
    let [src_mask, dst_mask] = words(record)?.map(|bits: u32| if bits <= 128 { bits as u8 } else { 0 });
    Ok(Router { next_hop, src_mask, dst_mask })
}

/// The incoming label stack, whose labels the packet had; the outgoing one follows and is not read.
fn label_stack<'a>(record: &mut Cursor<'a>) -> Result<&'a [u8], DecodeError> {
    any_address(record)?;
    list(record)
}

/// A list of unsigned integers.
fn list<'a>(record: &mut Cursor<'a>) -> Result<&'a [u8], DecodeError> {
    let n = record.u32()?;
    record.take(n as usize * 4)
}

fn any_address(record: &mut Cursor<'_>) -> Result<Address, DecodeError> {
    Ok(address(record)?.unwrap_or(NO_ADDRESS))
}

fn words_of(octets: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let (words, _) = octets.as_chunks();
    words.iter().take(MAX_LABELS).map(|octets| u32::from_be_bytes(*octets))
}

/// A VLAN of a record; agents say "none" with 0, and some with all bits set.
const fn vlan_id(value: u32) -> Option<u16> {
    match value {
        1..=4095 => Some(value as u16),
        _ => None,
    }
}

/// ```text
///  0  length of the frame, check sequence included    4  source (6 octets, padded to 8)
/// 12  destination (6, padded to 8)                   20  EtherType
/// ```
fn ethernet_fields(octets: &Ethernet, packet: &mut Packet) -> u32 {
    let [l0, l1, l2, l3, s0, s1, s2, s3, s4, s5, _, _, d0, d1, d2, d3, d4, d5, _, _, _, _, t0, t1] = *octets;
    packet.src_mac = u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]);
    packet.dst_mac = u64::from_be_bytes([0, 0, d0, d1, d2, d3, d4, d5]);
    packet.ether_type = u16::from_be_bytes([t0, t1]);
    u32::from_be_bytes([l0, l1, l2, l3])
}

/// ```text
///  0  length of the packet   4  protocol    8  source   12  destination
/// 16  source port           20  destination port        24  TCP flags     28  type of service
/// ```
fn ipv4_fields(octets: &Ipv4, packet: &mut Packet) -> u32 {
    let [_, _, _, _, _, _, _, _, s0, s1, s2, s3, d0, d1, d2, d3, ..] = *octets;
    let mut fields = words_of(octets);
    let mut next = || fields.next().unwrap_or(0);
    let (length, proto, _, _) = (next(), next(), next(), next());
    packet.src_addr = mapped([s0, s1, s2, s3]);
    packet.dst_addr = mapped([d0, d1, d2, d3]);
    packet.ip_version = 4;
    packet.ether_type = 0x0800;
    transport_fields(proto, [next(), next(), next(), next()], packet);
    length
}

/// As [`ipv4_fields`], with addresses of 16 octets and the traffic class (`priority`) in the last place.
fn ipv6_fields(octets: &Ipv6, packet: &mut Packet) -> u32 {
    let (Some((head, rest)), Some(tail)) = (octets.split_first_chunk::<8>(), octets.last_chunk::<16>()) else { return 0 };
    let (Some((src_addr, rest)), mut head) = (rest.split_first_chunk(), words_of(head)) else { return 0 };
    packet.src_addr = *src_addr;
    packet.dst_addr = rest.first_chunk().copied().unwrap_or(NO_ADDRESS);
    packet.ip_version = 6;
    packet.ether_type = 0x86dd;
    let (length, proto) = (head.next().unwrap_or(0), head.next().unwrap_or(0));
    let mut tail = words_of(tail);
    let mut next = || tail.next().unwrap_or(0);
    transport_fields(proto, [next(), next(), next(), next()], packet);
    length
}

fn transport_fields(proto: u32, [src_port, dst_port, tcp_flags, tos]: [u32; 4], packet: &mut Packet) {
    packet.proto = proto as u8;
    packet.src_port = src_port as u16;
    packet.dst_port = dst_port as u16;
    packet.tcp_flags = tcp_flags as u16;
    packet.tos = tos as u8;
}
