//! Above IP: ports, TCP flags, ICMP types, and the protocols that carry another packet.

use super::Packet;
use super::octets::Octets;
use super::tunnel::{self, Tunnel};

// Protocol numbers (IANA).
const ICMP: u8 = 1;
pub(super) const IPV4: u8 = 4;
const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const DCCP: u8 = 33;
pub(super) const IPV6: u8 = 41;
pub(super) const GRE: u8 = 47;
const ICMPV6: u8 = 58;
pub(super) const ETHER_IP: u8 = 97;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// Where TCP has its data offset and flags (RFC 9293 §3.1).
const TCP_FLAGS_OFFSET: usize = 12;

/// Data offset out, the rest in: three reserved bits, AE (once NS), and eight flags.
const TCP_FLAGS_MASK: u16 = 0x0fff;

/// Reads the transport header; returns the tunnel that it begins.
#[inline]
pub(super) fn read<'a>(proto: u8, octets: Octets<'a>, out: &mut Packet) -> Option<Tunnel<'a>> {
    match proto {
        TCP => {
            ports(octets, out)?;
            out.tcp_flags = u16::from_be_bytes(*octets.chunk_at(TCP_FLAGS_OFFSET)?) & TCP_FLAGS_MASK;
            None
        }
        UDP => {
            ports(octets, out)?;
            tunnel::over_udp(out.dst_port, octets)
        }
        SCTP | DCCP | UDP_LITE => {
            ports(octets, out)?;
            None
        }
        ICMP | ICMPV6 => {
            [out.icmp_type, out.icmp_code] = *octets.first()?;
            None
        }
        GRE => tunnel::gre(octets),
        IPV4 | IPV6 | ETHER_IP => tunnel::over_ip(proto, octets),
        _ => None,
    }
}

/// The first four octets of every transport protocol that has ports.
#[inline]
fn ports(octets: Octets<'_>, out: &mut Packet) -> Option<()> {
    let &[s0, s1, d0, d1] = octets.first()?;
    out.src_port = u16::from_be_bytes([s0, s1]);
    out.dst_port = u16::from_be_bytes([d0, d1]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::TunnelPorts;
    use super::*;

    fn packet(proto: u8, octets: &[u8]) -> Packet {
        let mut out = Packet::default();
        assert!(read(proto, Octets::new(octets, &TunnelPorts::REGISTERED), &mut out).is_none());
        out
    }

    #[rustfmt::skip]
    const TCP_HEADER: [u8; 20] = [
        0xc0, 0x00, 0x00, 0x16,                          // from 49152 to 22
        0, 0, 0, 1,  0, 0, 0, 2,                         // sequence, acknowledgement
        0x51, 0xc2, 0xff, 0xff,                          // offset 5, AE, CWR, ECE, SYN; window
        0, 0, 0, 0,                                      // checksum, urgent pointer
    ];

    #[test]
    fn tcp_flags_are_twelve_bits() {
        let got = packet(TCP, &TCP_HEADER);
        assert_eq!((got.src_port, got.dst_port, got.tcp_flags), (49152, 22, 0x1c2));
    }

    #[test]
    fn tcp_cut_before_its_flags_keeps_the_ports() {
        let got = packet(TCP, &TCP_HEADER[..13]);
        assert_eq!((got.dst_port, got.tcp_flags), (22, 0));
        assert_eq!(packet(TCP, &TCP_HEADER[..3]), Packet::default());
    }

    #[test]
    fn every_protocol_with_ports_has_them_in_front() {
        for proto in [UDP, DCCP, SCTP, UDP_LITE] {
            let got = packet(proto, &TCP_HEADER[..4]);
            assert_eq!((got.src_port, got.dst_port, got.tcp_flags), (49152, 22, 0));
        }
        assert_eq!(packet(50, &TCP_HEADER), Packet::default());
    }

    #[test]
    fn icmp_has_a_type_and_a_code() {
        for proto in [ICMP, ICMPV6] {
            let got = packet(proto, &[3, 13, 0, 0]);
            assert_eq!((got.icmp_type, got.icmp_code, got.dst_port), (3, 13, 0));
        }
    }
}
