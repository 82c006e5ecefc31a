//! The flow records of a sample.
//!
//! The raw header is the packet; where an agent sends none, the Ethernet, IPv4 and IPv6 records that older agents
//! fill in themselves take its place. The extended records add what the device knew: VLANs, routes, NAT, tunnels.
//! Their order does not matter: records are found first and applied afterwards. Of two of a kind the first counts.
//!
//! Everything else, and all records of enterprises, is stepped over by its length: users, URLs, the descriptions of MPLS
//! (1010), the inner header's place (1027, 1028: the header is taken apart anyway), the radio of 802.11 (1014 to 1016),
//! queues, ACLs, and what applications did in a transaction: of it the socket tells who spoke with whom.
//!
//! Sources: "sFlow Version 5" §5.2.3, "sFlow 802.11 Structures" (2007), "sFlow Host Structures" (2010).

use super::super::DecodeError;
use super::super::cursor::Cursor;
use super::super::packet::{Decapsulate, Link, Packet, dissect, outer_tunnel_type, tunnel_type};
use super::gateway::Gateway;
use super::rows::{Route, Row};
use super::structures::{Ethernet, Ip, RawHeader, Router, Switch, Words, mpls_circuit, unencrypted};
use super::{TAG_OCTETS, tagged, words};

/// Records that one sample may have: sFlow.org registered some 60 structures, and each says its thing once.
pub(super) const MAX_RECORDS: u32 = 128;

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
const EXTENDED_MPLS_TUNNEL: u32 = 1008;
const EXTENDED_MPLS_VC: u32 = 1009;
const EXTENDED_MPLS_LDP_FEC: u32 = 1011;
const EXTENDED_VLAN_TUNNEL: u32 = 1012;
const EXTENDED_80211_PAYLOAD: u32 = 1013;
const EXTENDED_NAT_PORT: u32 = 1020;
const EXTENDED_L2_TUNNEL_EGRESS: u32 = 1021;
const EXTENDED_L2_TUNNEL_INGRESS: u32 = 1022;
const EXTENDED_IPV4_TUNNEL_EGRESS: u32 = 1023;
const EXTENDED_IPV4_TUNNEL_INGRESS: u32 = 1024;
const EXTENDED_IPV6_TUNNEL_EGRESS: u32 = 1025;
const EXTENDED_IPV6_TUNNEL_INGRESS: u32 = 1026;
const EXTENDED_VNI_EGRESS: u32 = 1029;
const EXTENDED_VNI_INGRESS: u32 = 1030;
const EXTENDED_SOCKET_IPV4: u32 = 2100;
const EXTENDED_SOCKET_IPV6: u32 = 2101;

/// Octets of an Ethernet header without tags, for frames whose own header cannot tell.
const FRAME_HEADER_OCTETS: u32 = 14;
/// Octets of the frame check sequence, which the Ethernet record counts.
const FRAME_CHECK_OCTETS: u32 = 4;

/// What a sample was found to hold besides its route.
#[derive(Default)]
struct Found<'a> {
    header: Option<RawHeader<'a>>,
    ethernet: Option<Ethernet>,
    ip: Option<Ip>,
    switch: Option<Switch>,
    labels: Option<Words<'a>>,
    /// Tags that the device took off before it copied the header, outermost first.
    stripped_tags: Option<Words<'a>>,
    /// The outer header of a tunnel that begins or ends in the device.
    tunnel: Option<Ip>,
    vni: Option<u32>,
    /// A tunnel whose outer header is a frame: there is one, that is all that the columns can say.
    layer2_tunnel: bool,
    /// The LSP or, before it, the virtual circuit by which the packet went through an MPLS network.
    mpls_tunnel: Option<u32>,
    mpls_vc: Option<u32>,
    /// Prefix length of the destination, as LDP distributed it.
    fec_prefix: Option<u32>,
    /// What an encrypted 802.11 frame carries, from its LLC header on.
    unencrypted: Option<&'a [u8]>,
}

/// Reads `n` records into `row` and `route`, which hold none yet; returns how many were shorter than their structure.
///
/// # Errors
/// [`DecodeError::BadCount`] for more records than there can be, [`DecodeError::Truncated`] when one runs past the
/// sample.
#[inline]
pub(super) fn read<'a>(
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
        let record = Cursor::new(tagged(&mut sample, length)?);
        if found.record(format, record, route).is_err() {
            malformed += 1;
        }
    }
    found.apply(decapsulate, row);
    if let (None, Some(bits @ 1..=128)) = (route.router, found.fec_prefix) {
        route.router = Some(Router { dst_mask: bits as u8, ..Router::default() });
    }
    Ok(malformed)
}

impl<'a> Found<'a> {
    #[inline]
    fn record(&mut self, format: u32, mut record: Cursor<'a>, route: &mut Route<'a>) -> Result<(), DecodeError> {
        let record = &mut record;
        match format {
            RAW_HEADER => first(&mut self.header, RawHeader::parse(record)?),
            EXTENDED_SWITCH => first(&mut self.switch, Switch::parse(record)?),
            EXTENDED_ROUTER => first(&mut route.router, Router::parse(record)?),
            EXTENDED_GATEWAY => first(&mut route.gateway, Gateway::parse(record)?),
            ETHERNET => first(&mut self.ethernet, Ethernet::parse(record)?),
            IPV4 => first(&mut self.ip, Ip::parse_v4(record)?),
            IPV6 => first(&mut self.ip, Ip::parse_v6(record)?),
            EXTENDED_MPLS => first(&mut self.labels, Words::parse_after_address(record)?),
            EXTENDED_NAT => route.nat = Some(route.nat.unwrap_or_default().parse_addresses(record)?),
            EXTENDED_NAT_PORT => route.nat = Some(route.nat.unwrap_or_default().parse_ports(record)?),
            EXTENDED_MPLS_TUNNEL => first(&mut self.mpls_tunnel, mpls_circuit(record)?),
            EXTENDED_MPLS_VC => first(&mut self.mpls_vc, mpls_circuit(record)?),
            EXTENDED_MPLS_LDP_FEC => first(&mut self.fec_prefix, record.u32()?),
            EXTENDED_80211_PAYLOAD => first(&mut self.unencrypted, unencrypted(record)?),
            EXTENDED_SOCKET_IPV4 => first(&mut self.ip, Ip::parse_socket_v4(record)?),
            EXTENDED_SOCKET_IPV6 => first(&mut self.ip, Ip::parse_socket_v6(record)?),
            EXTENDED_VLAN_TUNNEL => first(&mut self.stripped_tags, Words::parse(record)?),
            EXTENDED_IPV4_TUNNEL_EGRESS | EXTENDED_IPV4_TUNNEL_INGRESS => {
                first(&mut self.tunnel, Ip::parse_v4(record)?)
            }
            EXTENDED_IPV6_TUNNEL_EGRESS | EXTENDED_IPV6_TUNNEL_INGRESS => {
                first(&mut self.tunnel, Ip::parse_v6(record)?)
            }
            EXTENDED_L2_TUNNEL_EGRESS | EXTENDED_L2_TUNNEL_INGRESS => {
                Ethernet::parse(record)?;
                self.layer2_tunnel = true;
            }
            EXTENDED_VNI_EGRESS | EXTENDED_VNI_INGRESS => first(&mut self.vni, record.u32()?),
            _ => {}
        }
        Ok(())
    }

    #[inline]
    fn apply(&self, decapsulate: Decapsulate, row: &mut Row) {
        if let Some(header) = self.header {
            header_fields(&header, decapsulate, row);
        }
        if !row.packet.has_ip() {
            self.stand_in(decapsulate, row);
        }
        if self.labels.is_some() || self.stripped_tags.is_some() {
            self.stacks(&mut row.packet);
        }
        if let Some(Switch { src_vlan, dst_vlan }) = self.switch {
            // What the device says of its VLANs goes before what is left of them in the frame.
            if src_vlan != 0 {
                row.packet.vlan = src_vlan;
            }
            row.dst_vlan = dst_vlan;
        }
        let circuit = self.mpls_vc.or(self.mpls_tunnel);
        if self.tunnel.is_some() || self.vni.is_some() || self.layer2_tunnel || circuit.is_some() {
            self.tunnel(circuit, decapsulate, &mut row.packet);
        }
    }

    /// The records that take a header's place, or that of what could not be read in it.
    #[inline(never)]
    fn stand_in(&self, decapsulate: Decapsulate, row: &mut Row) {
        if let Some(octets) = self.unencrypted {
            let Packet { src_mac, dst_mac, .. } = row.packet;
            dissect(Link::Llc, octets, decapsulate, &mut row.packet);
            (row.packet.src_mac, row.packet.dst_mac) = (src_mac, dst_mac);
            if row.packet.layer3_length > 0 {
                row.bytes = row.packet.layer3_length;
            }
        }
        if let (None, Some(ethernet)) = (self.header, self.ethernet) {
            ethernet.fill(&mut row.packet);
            row.frame_length = ethernet.length;
            row.bytes = ethernet.length.saturating_sub(FRAME_HEADER_OCTETS + FRAME_CHECK_OCTETS);
        }
        if let (Some(ip), false) = (self.ip, row.packet.has_ip()) {
            ip.fill(&mut row.packet);
            row.bytes = ip.length;
        }
    }

    /// Labels and tags that the header has not: the labels of a record if the header shows none, and tags that were
    /// stripped, which were outside those that are left.
    #[inline(never)]
    fn stacks(&self, packet: &mut Packet) {
        if let (Some(labels), 0) = (self.labels, packet.n_mpls_labels) {
            for (label, entry) in packet.mpls_labels.iter_mut().zip(labels.iter()) {
                *label = entry >> 12;
                packet.n_mpls_labels += 1;
            }
        }
        if let Some(tags) = self.stripped_tags {
            let left = [packet.vlan, packet.inner_vlan];
            let stripped = tags.iter().map(|tag| tag as u16 & 0x0fff);
            let mut vlans = stripped.chain(left).filter(|&vlan| vlan != 0);
            [packet.vlan, packet.inner_vlan] = [vlans.next().unwrap_or(0), vlans.next().unwrap_or(0)];
        }
    }

    /// The tunnel that the device put the packet into or took it from, unless the header itself shows one.
    #[inline(never)]
    fn tunnel(&self, circuit: Option<u32>, decapsulate: Decapsulate, packet: &mut Packet) {
        if packet.tunnel_type == tunnel_type::MPLS {
            // A pseudowire has no number in the packet.
            packet.tunnel_id = circuit.unwrap_or(packet.tunnel_id);
        }
        if packet.tunnel_type != tunnel_type::NONE {
            return;
        }
        let without_mpls = self.tunnel.is_some() || self.vni.is_some() || self.layer2_tunnel;
        (packet.tunnel_type, packet.tunnel_id) = match circuit {
            Some(id) if !without_mpls => (tunnel_type::MPLS, id),
            _ => (tunnel_type::OTHER, self.vni.unwrap_or(0)),
        };
        if let Some(outer) = self.tunnel {
            packet.outer_src_addr = outer.src_addr;
            packet.outer_dst_addr = outer.dst_addr;
            packet.tunnel_type = outer_tunnel_type(outer.proto, outer.dst_port, decapsulate.ports());
        }
    }
}

#[inline]
fn header_fields(header: &RawHeader<'_>, decapsulate: Decapsulate, row: &mut Row) {
    row.frame_length = header.frame_length;
    let link_octets = match header.link {
        Some(link) => {
            dissect(link, header.octets, decapsulate, &mut row.packet);
            let read = row.packet.layer3_offset;
            if link == Link::Ethernet { read.max(FRAME_HEADER_OCTETS) } else { read }
        }
        None => FRAME_HEADER_OCTETS,
    };
    row.bytes = match row.packet.layer3_length {
        0 => header.frame_length.saturating_sub(header.stripped).saturating_sub(link_octets),
        length => length,
    };
}

/// Keeps the first of a kind.
#[inline]
fn first<T>(place: &mut Option<T>, value: T) {
    if place.is_none() {
        *place = Some(value);
    }
}
