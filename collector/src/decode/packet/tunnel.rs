//! Packets inside packets: GRE, NVGRE, VXLAN, Geneve, IP in IP, EtherIP.

use super::link::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, ETHER_TYPE_MPLS, ETHER_TYPE_MPLS_UPSTREAM};
use super::octets::Octets;
use super::{Decapsulate, Link, transport, tunnel_type};

/// Transparent Ethernet bridging: a frame in GRE or Geneve.
const ETHER_TYPE_BRIDGING: u16 = 0x6558;

const VXLAN_PORT: u16 = 4789;
/// Where Linux put VXLAN before the port was assigned; flannel and others stayed there.
const VXLAN_LINUX_PORT: u16 = 8472;
const GENEVE_PORT: u16 = 6081;

const UDP_HEADER_OCTETS: usize = 8;

/// A tunnel that was found.
#[derive(Debug, Clone, Copy)]
pub struct Tunnel<'a> {
    /// Value of the `tunnel_type` column.
    pub kind: u8,
    /// Whose presence in the set decides whether the tunnel is taken apart.
    pub family: Decapsulate,
    pub id: u32,
    /// The inner packet, if it is one that can be read.
    pub inner: Option<(Link, Octets<'a>)>,
}

/// The value of the `tunnel_type` column for a tunnel of which nothing but the outer header is known.
pub const fn outer_tunnel_type(proto: u8, dst_port: u16) -> u8 {
    match (proto, dst_port) {
        (transport::IPV4 | transport::IPV6, _) => tunnel_type::IPIP,
        (transport::GRE, _) => tunnel_type::GRE,
        (transport::UDP, VXLAN_PORT | VXLAN_LINUX_PORT) => tunnel_type::VXLAN,
        (transport::UDP, GENEVE_PORT) => tunnel_type::GENEVE,
        _ => tunnel_type::OTHER,
    }
}

/// Protocols directly over IP that need no header of their own, or hardly any.
pub fn over_ip(proto: u8, octets: Octets<'_>) -> Option<Tunnel<'_>> {
    let ip_in_ip =
        |link| Tunnel { kind: tunnel_type::IPIP, family: Decapsulate::IPIP, id: 0, inner: Some((link, octets)) };
    match proto {
        transport::IPV4 => Some(ip_in_ip(Link::Ipv4)),
        transport::IPV6 => Some(ip_in_ip(Link::Ipv6)),
        transport::ETHER_IP => ether_ip(octets),
        _ => None,
    }
}

/// EtherIP (RFC 3378 §3): a version of 3 in four bits, twelve bits of nothing, a frame.
fn ether_ip(octets: Octets<'_>) -> Option<Tunnel<'_>> {
    let &[version, _] = octets.first()?;
    let inner = if version >> 4 == 3 { octets.after(2).map(|frame| (Link::Ethernet, frame)) } else { None };
    Some(Tunnel { kind: tunnel_type::OTHER, family: Decapsulate::IPIP, id: 0, inner })
}

/// Tunnels over UDP, told by the destination port. `octets` begin with the UDP header.
#[inline]
pub fn over_udp(dst_port: u16, octets: Octets<'_>) -> Option<Tunnel<'_>> {
    match dst_port {
        VXLAN_PORT => vxlan(octets.after(UDP_HEADER_OCTETS)?, false),
        VXLAN_LINUX_PORT => vxlan(octets.after(UDP_HEADER_OCTETS)?, true),
        GENEVE_PORT => geneve(octets.after(UDP_HEADER_OCTETS)?),
        _ => None,
    }
}

/// VXLAN (RFC 7348 §5): flags with the I bit, 24 reserved bits, a VNI of 24 bits, 8 reserved bits.
///
/// Reserved bits must be ignored; `strict` looks at them nevertheless, on a port that others use as well.
fn vxlan(octets: Octets<'_>, strict: bool) -> Option<Tunnel<'_>> {
    const VALID_VNI: u8 = 0x08;
    let &[flags, r0, r1, r2, v0, v1, v2, r3] = octets.first()?;
    if flags & VALID_VNI == 0 || (strict && [flags, r0, r1, r2, r3] != [VALID_VNI, 0, 0, 0, 0]) {
        return None;
    }
    Some(Tunnel {
        kind: tunnel_type::VXLAN,
        family: Decapsulate::VXLAN,
        id: u32::from_be_bytes([0, v0, v1, v2]),
        inner: octets.after(8).map(|frame| (Link::Ethernet, frame)),
    })
}

/// Geneve (RFC 8926 §3.4): version 0 and the options' length in words, control bits, protocol, VNI; then options.
fn geneve(octets: Octets<'_>) -> Option<Tunnel<'_>> {
    const CONTROL_PACKET: u8 = 0x80;
    let &[version_length, control, p0, p1, v0, v1, v2, _] = octets.first()?;
    if version_length >> 6 != 0 {
        return None;
    }
    let payload = octets.after(8 + usize::from(version_length & 0x3f) * 4);
    let link = if control & CONTROL_PACKET == 0 { link_of(u16::from_be_bytes([p0, p1])) } else { None };
    Some(Tunnel {
        kind: tunnel_type::GENEVE,
        family: Decapsulate::GENEVE,
        id: u32::from_be_bytes([0, v0, v1, v2]),
        inner: link.zip(payload),
    })
}

/// GRE (RFC 2784, RFC 2890): flags, protocol, then whatever the flags announce. NVGRE (RFC 7637 §3.2) is GRE that
/// carries a frame and has a key, nothing else, with a virtual subnet id in the key's upper 24 bits; ids below
/// 0x1000 are reserved, which tells it from a bridged GRE tunnel with a small key of its own.
///
/// Version 1 (PPTP) and source routing (RFC 1701) are noted and not looked into.
pub fn gre(octets: Octets<'_>) -> Option<Tunnel<'_>> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const VERSION: u16 = 0x0007;
    const MIN_VIRTUAL_SUBNET: u32 = 0x1000;

    let &[f0, f1, p0, p1] = octets.first()?;
    let (flags, protocol) = (u16::from_be_bytes([f0, f1]), u16::from_be_bytes([p0, p1]));
    let mut tunnel = Tunnel { kind: tunnel_type::GRE, family: Decapsulate::GRE, id: 0, inner: None };
    if flags & (ROUTING | VERSION) != 0 {
        return Some(tunnel);
    }
    let mut header_octets = if flags & CHECKSUM == 0 { 4 } else { 8 };
    if flags & KEY != 0 {
        let Some(key) = octets.chunk_at(header_octets) else { return Some(tunnel) };
        tunnel.id = u32::from_be_bytes(*key);
        header_octets += 4;
    }
    if flags & SEQUENCE != 0 {
        header_octets += 4;
    }
    let only_key = flags & (CHECKSUM | KEY | SEQUENCE) == KEY;
    if protocol == ETHER_TYPE_BRIDGING && only_key && tunnel.id >> 8 >= MIN_VIRTUAL_SUBNET {
        tunnel.kind = tunnel_type::NVGRE;
        tunnel.id >>= 8;
    }
    tunnel.inner = link_of(protocol).zip(octets.after(header_octets));
    Some(tunnel)
}

fn link_of(ether_type: u16) -> Option<Link> {
    match ether_type {
        ETHER_TYPE_IPV4 => Some(Link::Ipv4),
        ETHER_TYPE_IPV6 => Some(Link::Ipv6),
        ETHER_TYPE_BRIDGING => Some(Link::Ethernet),
        ETHER_TYPE_MPLS | ETHER_TYPE_MPLS_UPSTREAM => Some(Link::Mpls),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_TUNNELS, Packet, dissect};
    use super::*;
    use helios_common::exporter::mapped;

    /// An IPv4 header from 10.0.0.`n` to 10.0.1.`n`.
    fn ipv4(n: u8, proto: u8, payload: &[u8]) -> Vec<u8> {
        let [l0, l1] = (20 + payload.len() as u16).to_be_bytes();
        let header = [0x45, 0, l0, l1, 0, 0, 0, 0, 64, proto, 0, 0, 10, 0, 0, n, 10, 0, 1, n];
        [&header[..], payload].concat()
    }

    /// A UDP header from port 5555, and its payload.
    fn udp(dst_port: u16, payload: &[u8]) -> Vec<u8> {
        let [p0, p1] = dst_port.to_be_bytes();
        let [l0, l1] = (8 + payload.len() as u16).to_be_bytes();
        [&[0x15, 0xb3, p0, p1, l0, l1, 0, 0][..], payload].concat()
    }

    fn frame(payload: &[u8]) -> Vec<u8> {
        [&[2, 0, 0, 0, 0, 0xd, 2, 0, 0, 0, 0, 0x5, 0x08, 0x00][..], payload].concat()
    }

    /// The innermost packet of all tests: UDP to port 53.
    fn inner() -> Vec<u8> {
        ipv4(9, transport::UDP, &udp(53, &[]))
    }

    fn packet(decapsulate: Decapsulate, octets: &[u8]) -> Packet {
        let mut out = Packet::default();
        dissect(Link::Ipv4, octets, decapsulate, &mut out);
        out
    }

    #[track_caller]
    fn assert_taken_apart(got: &Packet, kind: u8, id: u32) {
        assert_eq!((got.src_addr, got.dst_addr), (mapped([10, 0, 0, 9]), mapped([10, 0, 1, 9])));
        assert_eq!((got.outer_src_addr, got.outer_dst_addr), (mapped([10, 0, 0, 1]), mapped([10, 0, 1, 1])));
        assert_eq!((got.tunnel_type, got.tunnel_id), (kind, id));
        assert_eq!((got.dst_port, got.layer3_length), (53, 28));
    }

    #[track_caller]
    fn assert_outer(got: &Packet, proto: u8, kind: u8, id: u32) {
        assert_eq!((got.src_addr, got.proto), (mapped([10, 0, 0, 1]), proto));
        assert_eq!((got.outer_src_addr, got.tunnel_type, got.tunnel_id), ([0; 16], kind, id));
    }

    #[test]
    fn ip_in_ip_is_the_inner_packet_unless_it_is_to_stay_whole() {
        let octets = ipv4(1, transport::IPV4, &inner());
        assert_taken_apart(&packet(Decapsulate::ALL, &octets), tunnel_type::IPIP, 0);
        assert_outer(&packet(Decapsulate::GRE | Decapsulate::VXLAN, &octets), 4, tunnel_type::IPIP, 0);
        assert_eq!(packet(Decapsulate::NONE, &octets).layer3_length, 48);
    }

    #[test]
    fn gre_flags_tell_how_long_the_header_is() {
        let cases: [(&[u8], u32); 5] = [
            (&[0x00, 0, 8, 0], 0),
            (&[0x80, 0, 8, 0, 0xab, 0xcd, 0, 0], 0), // checksum
            (&[0x20, 0, 8, 0, 0, 0, 1, 2], 0x102),   // key
            (&[0x10, 0, 8, 0, 0, 0, 0, 7], 0),       // sequence
            (&[0xb0, 0, 8, 0, 0xab, 0xcd, 0, 0, 0, 0, 1, 2, 0, 0, 0, 7], 0x102), // all three
        ];
        for (header, key) in cases {
            let octets = ipv4(1, transport::GRE, &[header, &inner()].concat());
            assert_taken_apart(&packet(Decapsulate::ALL, &octets), tunnel_type::GRE, key);
            assert_outer(&packet(Decapsulate::IPIP, &octets), 47, tunnel_type::GRE, key);
        }
    }

    #[test]
    fn pptp_and_source_routed_gre_stay_whole() {
        for header in [[0x30, 0x81, 0x88, 0x0b], [0x40, 0, 8, 0]] {
            let octets = ipv4(1, transport::GRE, &[&header[..], &[0; 8], &inner()].concat());
            assert_outer(&packet(Decapsulate::ALL, &octets), 47, tunnel_type::GRE, 0);
        }
    }

    #[test]
    fn a_frame_in_gre_is_nvgre_when_its_key_holds_a_virtual_subnet() {
        let with_key = |key: [u8; 4]| {
            let header = [&[0x20, 0, 0x65, 0x58][..], &key].concat();
            packet(Decapsulate::ALL, &ipv4(1, transport::GRE, &[header, frame(&inner())].concat()))
        };
        let got = with_key([0x00, 0x12, 0x34, 0x56]); // subnet 0x1234, flow id 0x56
        assert_taken_apart(&got, tunnel_type::NVGRE, 0x1234);
        assert_eq!((got.dst_mac, got.src_mac), (0x0200_0000_000d, 0x0200_0000_0005));
        assert_taken_apart(&with_key([0, 0, 0, 100]), tunnel_type::GRE, 100);
        let bridged = [&[0, 0, 0x65, 0x58][..], &frame(&inner())].concat();
        assert_taken_apart(&packet(Decapsulate::ALL, &ipv4(1, transport::GRE, &bridged)), tunnel_type::GRE, 0);
    }

    #[test]
    fn mpls_in_gre_keeps_its_labels() {
        let payload = [&[0, 0, 0x88, 0x47, 0, 6, 0x41, 64][..], &inner()].concat(); // label 100
        let got = packet(Decapsulate::ALL, &ipv4(1, transport::GRE, &payload));
        assert_taken_apart(&got, tunnel_type::GRE, 0);
        assert_eq!(got.labels(), [100]);
    }

    #[test]
    fn vxlan_is_told_by_either_port() {
        for port in [VXLAN_PORT, VXLAN_LINUX_PORT] {
            let payload = [&[0x08, 0, 0, 0, 0x01, 0x02, 0x03, 0][..], &frame(&inner())].concat();
            let octets = ipv4(1, transport::UDP, &udp(port, &payload));
            assert_taken_apart(&packet(Decapsulate::VXLAN, &octets), tunnel_type::VXLAN, 0x010203);
            let whole = packet(Decapsulate::NONE, &octets);
            assert_outer(&whole, 17, tunnel_type::VXLAN, 0x010203);
            assert_eq!((whole.src_port, whole.dst_port), (5555, port));
        }
    }

    #[test]
    fn reserved_bits_of_vxlan_are_ignored_on_its_own_port_only() {
        let payload = [&[0x88, 0, 0, 7, 0, 0, 1, 0][..], &frame(&inner())].concat(); // a group policy id
        let octets = ipv4(1, transport::UDP, &udp(VXLAN_PORT, &payload));
        assert_taken_apart(&packet(Decapsulate::ALL, &octets), tunnel_type::VXLAN, 1);
        let octets = ipv4(1, transport::UDP, &udp(VXLAN_LINUX_PORT, &payload));
        assert_outer(&packet(Decapsulate::ALL, &octets), 17, tunnel_type::NONE, 0);
        let octets = ipv4(1, transport::UDP, &udp(VXLAN_PORT, &[0; 60]));
        assert_outer(&packet(Decapsulate::ALL, &octets), 17, tunnel_type::NONE, 0);
    }

    #[test]
    fn geneve_options_are_stepped_over() {
        for (protocol, payload) in [([0x65, 0x58], frame(&inner())), ([0x08, 0x00], inner())] {
            // Two words of options, VNI 5.
            let header = [&[0x02, 0x40][..], &protocol, &[0, 0, 5, 0], &[0xee; 8]].concat();
            let octets = ipv4(1, transport::UDP, &udp(GENEVE_PORT, &[header, payload].concat()));
            assert_taken_apart(&packet(Decapsulate::GENEVE, &octets), tunnel_type::GENEVE, 5);
            assert_outer(&packet(Decapsulate::VXLAN, &octets), 17, tunnel_type::GENEVE, 5);
        }
    }

    #[test]
    fn geneve_control_packets_and_later_versions_are_not_looked_into() {
        let control = [&[0x00, 0x80, 0x65, 0x58, 0, 0, 5, 0][..], &frame(&inner())].concat();
        let octets = ipv4(1, transport::UDP, &udp(GENEVE_PORT, &control));
        assert_outer(&packet(Decapsulate::ALL, &octets), 17, tunnel_type::GENEVE, 5);
        let version_1 = [&[0x40, 0x00, 0x65, 0x58, 0, 0, 5, 0][..], &frame(&inner())].concat();
        let octets = ipv4(1, transport::UDP, &udp(GENEVE_PORT, &version_1));
        assert_outer(&packet(Decapsulate::ALL, &octets), 17, tunnel_type::NONE, 0);
    }

    #[test]
    fn ether_ip_carries_a_frame_in_version_3() {
        let octets = ipv4(1, transport::ETHER_IP, &[&[0x30, 0][..], &frame(&inner())].concat());
        assert_taken_apart(&packet(Decapsulate::ALL, &octets), tunnel_type::OTHER, 0);
        let octets = ipv4(1, transport::ETHER_IP, &[&[0x40, 0][..], &frame(&inner())].concat());
        assert_outer(&packet(Decapsulate::ALL, &octets), 97, tunnel_type::OTHER, 0);
    }

    #[test]
    fn an_inner_packet_that_was_cut_leaves_the_outer_one() {
        let payload = [&[0x08, 0, 0, 0, 0, 0, 7, 0][..], &frame(&inner())].concat();
        let octets = ipv4(1, transport::UDP, &udp(VXLAN_PORT, &payload));
        let inner_ip = 20 + 8 + 8 + 14;
        for cut in 36..inner_ip + 20 {
            assert_outer(&packet(Decapsulate::ALL, &octets[..cut]), 17, tunnel_type::VXLAN, 7);
        }
        let got = packet(Decapsulate::ALL, &octets[..inner_ip + 20]);
        assert_eq!((got.src_addr, got.tunnel_id, got.dst_port), (mapped([10, 0, 0, 9]), 7, 0));
        // Without the whole VXLAN header there is no tunnel yet.
        assert_outer(&packet(Decapsulate::ALL, &octets[..35]), 17, tunnel_type::NONE, 0);
    }

    #[test]
    fn an_inner_frame_without_ip_leaves_the_outer_packet() {
        let mut arp = frame(&[0; 28]);
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        let payload = [&[0x08, 0, 0, 0, 0, 0, 7, 0][..], &arp].concat();
        let got = packet(Decapsulate::ALL, &ipv4(1, transport::UDP, &udp(VXLAN_PORT, &payload)));
        assert_outer(&got, 17, tunnel_type::VXLAN, 7);
        assert_eq!((got.dst_port, got.ether_type), (VXLAN_PORT, 0x0800));
    }

    #[test]
    fn of_nested_tunnels_the_outermost_is_named_and_the_innermost_shown() {
        let gre = ipv4(2, transport::GRE, &[&[0x20, 0, 8, 0, 0, 0, 0, 9][..], &inner()].concat());
        let vxlan = [&[0x08, 0, 0, 0, 0, 0, 7, 0][..], &frame(&gre)].concat();
        let octets = ipv4(1, transport::UDP, &udp(VXLAN_PORT, &vxlan));
        assert_taken_apart(&packet(Decapsulate::ALL, &octets), tunnel_type::VXLAN, 7);
        // The inner one is to stay whole: the walk ends in front of it.
        let got = packet(Decapsulate::VXLAN, &octets);
        assert_eq!((got.src_addr, got.proto, got.tunnel_id), (mapped([10, 0, 0, 2]), 47, 7));
        assert_eq!(got.outer_src_addr, mapped([10, 0, 0, 1]));
    }

    #[test]
    fn tunnels_are_taken_apart_up_to_the_limit() {
        let mut octets = inner();
        for n in (1..=MAX_TUNNELS as u8 + 1).rev() {
            octets = ipv4(n, transport::IPV4, &octets);
        }
        let got = packet(Decapsulate::ALL, &octets);
        let last = MAX_TUNNELS as u8 + 1;
        assert_eq!((got.src_addr, got.proto), (mapped([10, 0, 0, last]), transport::IPV4));
        assert_eq!(got.outer_src_addr, mapped([10, 0, 0, 1]));
    }
}
