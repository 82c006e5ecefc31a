//! Packets inside packets: GRE, NVGRE, ERSPAN, VXLAN, VXLAN-GPE, Geneve, GTP-U, MPLS over UDP, IP in IP, EtherIP.

use super::link::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, ETHER_TYPE_MPLS, ETHER_TYPE_MPLS_UPSTREAM};
use super::octets::Octets;
use super::ports::{TunnelPorts, UdpTunnel};
use super::{Decapsulate, Link, transport, tunnel_type};

/// Transparent Ethernet bridging: a frame in GRE or Geneve.
const ETHER_TYPE_BRIDGING: u16 = 0x6558;

/// ERSPAN types I and II, and type III, in GRE (draft-foschiano-erspan §4).
const PROTOCOL_ERSPAN: u16 = 0x88be;
const PROTOCOL_ERSPAN_3: u16 = 0x22eb;

const UDP_HEADER_OCTETS: usize = 8;

/// A tunnel that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tunnel<'a> {
    /// Value of the `tunnel_type` column.
    pub kind: u8,
    /// The tunnel is decapsulated if the configured set contains this.
    pub family: Decapsulate,
    pub id: u32,
    /// The inner packet, if it is one that can be read.
    pub inner: Option<(Link, Octets<'a>)>,
}

/// The value of the `tunnel_type` column for a tunnel of which nothing but the outer header is known.
pub fn outer_tunnel_type(proto: u8, dst_port: u16, ports: &TunnelPorts) -> u8 {
    match proto {
        transport::IPV4 | transport::IPV6 => tunnel_type::IPIP,
        transport::GRE => tunnel_type::GRE,
        transport::UDP => match ports.tunnel(dst_port) {
            Some(UdpTunnel::Vxlan | UdpTunnel::StrictVxlan | UdpTunnel::VxlanGpe) => tunnel_type::VXLAN,
            Some(UdpTunnel::Geneve) => tunnel_type::GENEVE,
            Some(UdpTunnel::Gtp) => tunnel_type::GTP,
            Some(UdpTunnel::Mpls) => tunnel_type::MPLS,
            None => tunnel_type::OTHER,
        },
        _ => tunnel_type::OTHER,
    }
}

/// Protocols directly over IP that need no header of their own, or hardly any.
pub(super) fn over_ip(proto: u8, octets: Octets<'_>) -> Option<Tunnel<'_>> {
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
pub(super) fn over_udp(dst_port: u16, octets: Octets<'_>) -> Option<Tunnel<'_>> {
    let tunnel = octets.ports().tunnel(dst_port)?;
    let payload = octets.after(UDP_HEADER_OCTETS)?;
    match tunnel {
        UdpTunnel::Vxlan => vxlan(payload, false),
        UdpTunnel::StrictVxlan => vxlan(payload, true),
        UdpTunnel::VxlanGpe => vxlan_gpe(payload),
        UdpTunnel::Geneve => geneve(payload),
        UdpTunnel::Gtp => gtp(payload),
        UdpTunnel::Mpls => {
            let inner = Some((Link::Mpls, payload));
            Some(Tunnel { kind: tunnel_type::MPLS, family: Decapsulate::MPLS, id: 0, inner })
        }
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

/// VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe §3): flags with a version in two bits, the I bit, P (a next protocol is told) and O
/// (control packets), 16 reserved bits, the next protocol, a VNI of 24 bits, 8 reserved bits.
#[inline(never)]
fn vxlan_gpe(octets: Octets<'_>) -> Option<Tunnel<'_>> {
    const VERSION: u8 = 0x30;
    const VALID_VNI: u8 = 0x08;
    const PROTOCOL: u8 = 0x04;
    const CONTROL: u8 = 0x01;
    let &[flags, _, _, protocol, v0, v1, v2, _] = octets.first()?;
    if flags & VERSION != 0 {
        return None;
    }
    let inner = match flags & (PROTOCOL | CONTROL) {
        0 => octets.after(8).map(|frame| (Link::Ethernet, frame)),
        PROTOCOL => next_protocol(protocol, octets.after(8)),
        _ => None,
    };
    let id = if flags & VALID_VNI == 0 { 0 } else { u32::from_be_bytes([0, v0, v1, v2]) };
    Some(Tunnel { kind: tunnel_type::VXLAN, family: Decapsulate::VXLAN, id, inner })
}

/// What follows VXLAN-GPE or a network service header, which number it alike (RFC 8300 §2.2): version and length of the
/// service header in words are in its first two octets, the next protocol in its fourth. One of them is stepped over.
fn next_protocol(protocol: u8, payload: Option<Octets<'_>>) -> Option<(Link, Octets<'_>)> {
    const SERVICE_HEADER: u8 = 4;
    let payload = payload?;
    let (protocol, payload) = if protocol == SERVICE_HEADER {
        let &[version, words, _, next] = payload.first()?;
        if version >> 6 != 0 {
            return None;
        }
        (next, payload.after(usize::from(words & 0x3f) * 4)?)
    } else {
        (protocol, payload)
    };
    let link = match protocol {
        1 => Link::Ipv4,
        2 => Link::Ipv6,
        3 => Link::Ethernet,
        5 => Link::Mpls,
        _ => return None,
    };
    Some((link, payload))
}

/// GTP-U (3GPP TS 29.281 §5.1): flags with version 1 and the bit that tells it from charging data, the type of message,
/// a length, the tunnel endpoint identifier. With any of the flags E, S, PN four octets follow: sequence number, N-PDU number, and
/// the type of the next extension header. Extension headers tell their length in words of four octets (§5.2).
#[inline(never)]
fn gtp(octets: Octets<'_>) -> Option<Tunnel<'_>> {
    const G_PDU: u8 = 255;
    const MAX_EXTENSIONS: usize = 4;
    let &[flags, message, _, _, t0, t1, t2, t3] = octets.first()?;
    if flags >> 4 != 0b0011 {
        return None;
    }
    let payload = || {
        let mut payload = octets.after(8)?;
        if flags & 0b0111 == 0 {
            return Some(payload);
        }
        let &[_, _, _, mut next] = payload.first()?;
        payload = payload.after(4)?;
        if flags & 0b0100 == 0 {
            return Some(payload);
        }
        for _ in 0..MAX_EXTENSIONS {
            if next == 0 {
                return Some(payload);
            }
            let [words] = payload.first::<1>()?;
            let octets = usize::from(*words) * 4;
            [next] = *payload.chunk_at::<1>(octets.checked_sub(1)?)?;
            payload = payload.after(octets)?;
        }
        None
    };
    let inner = if message == G_PDU { payload() } else { None };
    let inner = inner.and_then(|payload| Some((payload.ip_link()?, payload)));
    let id = u32::from_be_bytes([t0, t1, t2, t3]);
    Some(Tunnel { kind: tunnel_type::GTP, family: Decapsulate::GTP, id, inner })
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
pub(super) fn gre(octets: Octets<'_>) -> Option<Tunnel<'_>> {
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
    if let PROTOCOL_ERSPAN | PROTOCOL_ERSPAN_3 = protocol {
        return Some(erspan(protocol, flags & SEQUENCE != 0, octets.after(header_octets)));
    }
    tunnel.inner = link_of(protocol).zip(octets.after(header_octets));
    Some(tunnel)
}

/// A mirrored frame (draft-foschiano-erspan §4): type I has no header of its own and no sequence number in front; type II
/// has 8 octets, type III 12, and 8 more if its last bit says so. The id is that of the session, the lower ten bits of
/// the second word. Five bits of type III say whether a frame was mirrored or an IP packet.
#[inline(never)]
fn erspan(protocol: u16, has_sequence: bool, octets: Option<Octets<'_>>) -> Tunnel<'_> {
    const TYPE_2: u8 = 1;
    const TYPE_3: u8 = 2;
    let mut tunnel = Tunnel { kind: tunnel_type::ERSPAN, family: Decapsulate::ERSPAN, id: 0, inner: None };
    let Some(octets) = octets else { return tunnel };
    if protocol == PROTOCOL_ERSPAN && !has_sequence {
        tunnel.inner = Some((Link::Ethernet, octets));
        return tunnel;
    }
    let Some(&[version, _, s0, s1]) = octets.first() else { return tunnel };
    tunnel.id = u32::from(u16::from_be_bytes([s0, s1]) & 0x03ff);
    tunnel.inner = match (protocol, version >> 4) {
        (PROTOCOL_ERSPAN, TYPE_2) => octets.after(8).map(|frame| (Link::Ethernet, frame)),
        (PROTOCOL_ERSPAN_3, TYPE_3) => erspan_3(octets),
        _ => None,
    };
    tunnel
}

/// What is behind the header of type III.
fn erspan_3(octets: Octets<'_>) -> Option<(Link, Octets<'_>)> {
    const HEADER_OCTETS: usize = 12;
    const FRAME: u8 = 0;
    const IP_PACKET: u8 = 2;
    let &[mirrored, last] = octets.chunk_at(HEADER_OCTETS - 2)?;
    let payload = octets.after(HEADER_OCTETS + 8 * usize::from(last & 1))?;
    match mirrored >> 2 & 0x1f {
        FRAME => Some((Link::Ethernet, payload)),
        IP_PACKET => payload.ip_link().map(|link| (link, payload)),
        _ => None,
    }
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
    use super::super::ports::VXLAN_LINUX_PORT;
    use super::super::{MAX_TUNNELS, Packet, dissect};
    use super::*;

    const VXLAN_PORT: u16 = 4789;
    const GENEVE_PORT: u16 = 6081;
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

    /// draft-foschiano-erspan §4.1 to §4.3: no header, 8 octets, 12 octets and 8 more. Session 0x123.
    #[test]
    fn mirrored_frames_of_every_type_are_looked_into() {
        let type_1 = vec![0, 0, 0x88, 0xbe];
        let type_2 = [&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 7][..], &[0x10, 1, 0x01, 0x23, 0, 0, 0, 9]].concat();
        let type_3 = [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 7][..], &[0x20, 1, 0x01, 0x23, 1, 2, 3, 4, 0, 0, 0, 0]].concat();
        let mut longer = type_3.clone();
        *longer.last_mut().unwrap() |= 1;
        longer.extend([0; 8]);
        for (header, session) in [(type_1, 0), (type_2, 0x123), (type_3, 0x123), (longer, 0x123)] {
            let octets = ipv4(1, transport::GRE, &[header, frame(&inner())].concat());
            assert_taken_apart(&packet(Decapsulate::ERSPAN, &octets), tunnel_type::ERSPAN, session);
            assert_outer(&packet(Decapsulate::GRE, &octets), 47, tunnel_type::ERSPAN, session);
            for cut in 20..octets.len() {
                packet(Decapsulate::ALL, &octets[..cut]);
            }
        }
    }

    /// Type III mirrors IP packets as well, by five bits in front of the hardware's number.
    #[test]
    fn a_mirrored_packet_without_its_frame_is_looked_into() {
        let header = |kind: u8, rest: &[u8]| {
            let gre = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 7];
            let last = u8::from(!rest.is_empty());
            [&gre[..], &[0x20, 1, 0x01, 0x23, 1, 2, 3, 4, 0, 0, 0x80 | kind << 2 | 3, 0xf0 | last], rest].concat()
        };
        for header in [header(2, &[]), header(2, &[0; 8])] {
            let octets = ipv4(1, transport::GRE, &[header, inner()].concat());
            assert_taken_apart(&packet(Decapsulate::ERSPAN, &octets), tunnel_type::ERSPAN, 0x123);
        }
        for (kind, payload) in [(1, inner()), (3, frame(&inner())), (31, frame(&inner())), (2, frame(&inner()))] {
            let octets = ipv4(1, transport::GRE, &[header(kind, &[]), payload].concat());
            assert_outer(&packet(Decapsulate::ERSPAN, &octets), 47, tunnel_type::ERSPAN, 0x123);
        }
    }

    /// 3GPP TS 29.281 §5.1 and §5.2: without and with sequence number and extension headers, which 5G always has.
    #[test]
    fn a_packet_of_a_mobile_subscriber_is_looked_into() {
        let plain = vec![0x30, 255, 0, 28, 0x12, 0x34, 0x56, 0x78];
        let sequence = [&[0x32, 255, 0, 32, 0x12, 0x34, 0x56, 0x78][..], &[0, 1, 0, 0]].concat();
        let session = [&[0x34, 255, 0, 36, 0x12, 0x34, 0x56, 0x78][..], &[0, 0, 0, 0x85], &[1, 0x10, 9, 0]].concat();
        for header in [plain, sequence, session] {
            let octets = ipv4(1, transport::UDP, &udp(2152, &[header, inner()].concat()));
            assert_taken_apart(&packet(Decapsulate::GTP, &octets), tunnel_type::GTP, 0x1234_5678);
            assert_outer(&packet(Decapsulate::NONE, &octets), 17, tunnel_type::GTP, 0x1234_5678);
        }
        let echo = ipv4(1, transport::UDP, &udp(2152, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0]));
        assert_outer(&packet(Decapsulate::ALL, &echo), 17, tunnel_type::GTP, 0);
        // Extension headers without an end, and one without a length.
        for extension in [[1, 0, 0, 0x85], [0, 0, 0, 0x85]] {
            let header = [&[0x34, 255, 0, 36, 0, 0, 0, 1][..], &[0, 0, 0, 0x85], &extension.repeat(9)].concat();
            let octets = ipv4(1, transport::UDP, &udp(2152, &header));
            assert_outer(&packet(Decapsulate::ALL, &octets), 17, tunnel_type::GTP, 1);
        }
    }

    #[test]
    fn generic_vxlan_says_what_it_carries() {
        let service = [&[0x0c, 0, 0, 4, 0, 0, 7, 0][..], &[0x0f, 0xc2, 1, 1], &[0; 4]].concat();
        for (header, payload) in [
            (vec![0x0c, 0, 0, 1, 0, 0, 7, 0], inner()),
            (vec![0x0c, 0, 0, 3, 0, 0, 7, 0], frame(&inner())),
            (vec![0x08, 0, 0, 0, 0, 0, 7, 0], frame(&inner())),
            (service, inner()),
        ] {
            let octets = ipv4(1, transport::UDP, &udp(4790, &[header, payload].concat()));
            assert_taken_apart(&packet(Decapsulate::VXLAN, &octets), tunnel_type::VXLAN, 7);
        }
        let control = ipv4(1, transport::UDP, &udp(4790, &[&[0x0d, 0, 0, 1, 0, 0, 7, 0][..], &inner()].concat()));
        assert_outer(&packet(Decapsulate::ALL, &control), 17, tunnel_type::VXLAN, 7);
    }

    #[test]
    fn labels_over_udp_are_read() {
        let payload = [&[0, 6, 0x41, 64][..], &inner()].concat(); // label 100
        let octets = ipv4(1, transport::UDP, &udp(6635, &payload));
        let got = packet(Decapsulate::MPLS, &octets);
        assert_taken_apart(&got, tunnel_type::MPLS, 0);
        assert_eq!(got.labels(), [100]);
        assert_outer(&packet(Decapsulate::VXLAN, &octets), 17, tunnel_type::MPLS, 0);
    }

    #[test]
    fn tunnels_are_told_by_the_ports_of_the_configuration() {
        const PORTS: TunnelPorts = TunnelPorts::new(&[(7777, UdpTunnel::Vxlan)]);
        let set = Decapsulate::ALL.with_ports(&PORTS);
        let vxlan = |port| {
            let payload = [&[0x08, 0, 0, 0, 0, 0, 7, 0][..], &frame(&inner())].concat();
            ipv4(1, transport::UDP, &udp(port, &payload))
        };
        assert_taken_apart(&packet(set, &vxlan(7777)), tunnel_type::VXLAN, 7);
        assert_outer(&packet(set, &vxlan(VXLAN_PORT)), 17, tunnel_type::NONE, 0);
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
