//! IPv4 and IPv6 headers, with the extension headers between IPv6 and its payload.

use helios_common::exporter::mapped;

use super::Packet;
use super::link::{ETHER_TYPE_IPV4, ETHER_TYPE_IPV6};
use super::octets::Octets;
use super::transport;
use super::tunnel::Tunnel;

const IPV4_HEADER_OCTETS: usize = 20;
const IPV6_HEADER_OCTETS: usize = 40;

/// Extension headers that are followed. RFC 8200 §4.1 recommends each at most once (destination options twice).
const MAX_EXTENSION_HEADERS: usize = 10;

// Protocol numbers (IANA) that lead on to another header.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// Reads an IPv4 packet.
#[inline]
pub(super) fn v4<'a>(octets: Octets<'a>, out: &mut Packet) -> Option<Tunnel<'a>> {
    #[rustfmt::skip]
    let &[
        version_ihl, tos, l0, l1, // version and header length, type of service, total length
        _, _, f0, f1,             // identification, flags and fragment offset
        ttl, proto, _, _,         // time to live, protocol, checksum
        s0, s1, s2, s3, d0, d1, d2, d3,
    ] = octets.first::<IPV4_HEADER_OCTETS>()?;
    let header_octets = usize::from(version_ihl & 0x0f) * 4;
    if version_ihl >> 4 != 4 || header_octets < IPV4_HEADER_OCTETS {
        return None;
    }
    out.ip_version = 4;
    out.ether_type = ETHER_TYPE_IPV4;
    out.layer3_offset = octets.offset();
    out.src_addr = mapped([s0, s1, s2, s3]);
    out.dst_addr = mapped([d0, d1, d2, d3]);
    out.tos = tos;
    out.ttl = ttl;
    out.proto = proto;
    out.fragment_offset = u16::from_be_bytes([f0, f1]) & 0x1fff;
    let total_length = usize::from(u16::from_be_bytes([l0, l1]));
    let mut payload = octets.after(header_octets);
    // A packet that a network card is yet to segment has a total length of 0.
    if total_length >= header_octets {
        out.layer3_length = total_length as u32;
        payload = payload.map(|octets| octets.at_most(total_length - header_octets));
    }
    if out.fragment_offset != 0 {
        return None;
    }
    if proto == AUTHENTICATION { upper_layer(proto, payload?, out) } else { transport::read(proto, payload?, out) }
}

/// Reads an IPv6 packet.
#[inline]
pub(super) fn v6<'a>(octets: Octets<'a>, out: &mut Packet) -> Option<Tunnel<'a>> {
    let header = octets.first::<IPV6_HEADER_OCTETS>()?;
    let (&[w0, w1, w2, w3, l0, l1, next_header, hop_limit], addresses) = header.split_first_chunk()?;
    let word = u32::from_be_bytes([w0, w1, w2, w3]);
    if word >> 28 != 6 {
        return None;
    }
    let (src_addr, dst_addr) = addresses.split_first_chunk()?;
    out.ip_version = 6;
    out.ether_type = ETHER_TYPE_IPV6;
    out.layer3_offset = octets.offset();
    out.src_addr = *src_addr;
    out.dst_addr = *dst_addr.first_chunk()?;
    out.tos = (word >> 20) as u8;
    out.ipv6_flow_label = word & 0x000f_ffff;
    out.ttl = hop_limit;
    out.proto = next_header;
    let payload_length = usize::from(u16::from_be_bytes([l0, l1]));
    let mut payload = octets.after(IPV6_HEADER_OCTETS)?;
    // 0 is a jumbogram (RFC 2675), or a packet that is yet to be segmented, unless there is nothing to carry.
    if payload_length > 0 || next_header == NO_NEXT_HEADER {
        out.layer3_length = (IPV6_HEADER_OCTETS + payload_length) as u32;
        payload = payload.at_most(payload_length);
    }
    upper_layer(next_header, payload, out)
}

/// Follows extension headers (RFC 8200 §4) to the upper layer. `out.proto` is the last one known when the chain is
/// cut or too long. ESP and "no next header" end it like any upper layer.
#[inline]
fn upper_layer<'a>(mut proto: u8, mut octets: Octets<'a>, out: &mut Packet) -> Option<Tunnel<'a>> {
    for _ in 0..MAX_EXTENSION_HEADERS {
        let header_octets = match proto {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HIP | SHIM6 => {
                let &[next, length] = octets.first()?;
                proto = next;
                (usize::from(length) + 1) * 8
            }
            AUTHENTICATION => {
                let &[next, length] = octets.first()?;
                proto = next;
                (usize::from(length) + 2) * 4
            }
            FRAGMENT => {
                let &[next, _, o0, o1] = octets.first()?;
                proto = next;
                out.fragment_offset = u16::from_be_bytes([o0, o1]) >> 3;
                8
            }
            _ => return transport::read(proto, octets, out),
        };
        out.proto = proto;
        if out.fragment_offset != 0 {
            return None;
        }
        octets = octets.after(header_octets)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Decapsulate, Link, dissect};
    use super::*;

    const PORTS: [u8; 8] = [0x30, 0x39, 0x01, 0xbb, 0, 8, 0, 0]; // UDP from 12345 to 443

    fn packet(link: Link, octets: &[u8]) -> Packet {
        let mut out = Packet::default();
        dissect(link, octets, Decapsulate::ALL, &mut out);
        out
    }

    #[rustfmt::skip]
    fn ipv4(ihl: u8, total_length: u16, fragment: u16, proto: u8) -> Vec<u8> {
        let [l0, l1] = total_length.to_be_bytes();
        let [f0, f1] = fragment.to_be_bytes();
        let mut header = vec![
            0x40 | ihl, 0xb8, l0, l1,                    // TOS: expedited forwarding
            0x12, 0x34, f0, f1,                          // identification, flags and offset
            61, proto, 0, 0,                             // TTL, protocol, checksum
            192, 0, 2, 1,                                // source
            198, 51, 100, 2,                             // destination
        ];
        header.resize(usize::from(ihl) * 4, 1);          // options: no operation
        header
    }

    fn ipv6(payload_length: u16, next_header: u8) -> Vec<u8> {
        let [l0, l1] = payload_length.to_be_bytes();
        // Version 6, traffic class 0xb8, flow label 0xabcde.
        let mut header = vec![0x6b, 0x8a, 0xbc, 0xde, l0, l1, next_header, 63];
        header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]); // 2001:db8::1
        header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]); // 2001:db8::2
        header
    }

    #[test]
    fn every_field_of_an_ipv4_header_is_where_rfc_791_puts_it() {
        let got = packet(Link::Ipv4, &[&ipv4(5, 28, 0x4000, 17)[..], &PORTS].concat());
        assert_eq!((got.src_addr, got.dst_addr), (mapped([192, 0, 2, 1]), mapped([198, 51, 100, 2])));
        assert_eq!((got.tos, got.ttl, got.proto, got.layer3_length), (0xb8, 61, 17, 28));
        assert_eq!((got.src_port, got.dst_port), (12345, 443));
        assert_eq!((got.fragment_offset, got.ether_type, got.ip_version), (0, 0x0800, 4));
    }

    #[test]
    fn ipv4_options_are_stepped_over() {
        let got = packet(Link::Ipv4, &[&ipv4(15, 68, 0, 17)[..], &PORTS].concat());
        assert_eq!((got.src_port, got.dst_port), (12345, 443));
    }

    #[test]
    fn an_ipv4_header_cut_in_its_options_keeps_the_addresses() {
        let got = packet(Link::Ipv4, &ipv4(15, 68, 0, 17)[..40]);
        assert_eq!((got.dst_addr, got.layer3_length, got.dst_port), (mapped([198, 51, 100, 2]), 68, 0));
    }

    #[test]
    fn a_header_shorter_than_itself_is_refused() {
        let mut octets = ipv4(5, 28, 0, 17);
        octets[0] = 0x44;
        assert_eq!(packet(Link::Ipv4, &octets), Packet::default());
        octets[0] = 0x55;
        assert_eq!(packet(Link::Ipv4, &octets), Packet::default());
        assert_eq!(packet(Link::Ipv6, &ipv4(15, 60, 0, 17)), Packet::default());
    }

    #[test]
    fn only_the_first_fragment_has_ports() {
        let first = packet(Link::Ipv4, &[&ipv4(5, 1500, 0x2000, 17)[..], &PORTS].concat());
        assert_eq!((first.fragment_offset, first.dst_port), (0, 443));
        let second = packet(Link::Ipv4, &[&ipv4(5, 1500, 0x20b9, 17)[..], &PORTS].concat());
        assert_eq!((second.fragment_offset, second.dst_port, second.proto), (185, 0, 17));
    }

    #[test]
    fn a_total_length_of_zero_is_unknown_and_hides_no_ports() {
        let got = packet(Link::Ipv4, &[&ipv4(5, 0, 0, 17)[..], &PORTS].concat());
        assert_eq!((got.layer3_length, got.dst_port), (0, 443));
    }

    #[test]
    fn padding_of_the_frame_is_no_transport_header() {
        let got = packet(Link::Ipv4, &[&ipv4(5, 20, 0, 17)[..], &[0xff; 26]].concat());
        assert_eq!((got.src_port, got.dst_port, got.layer3_length), (0, 0, 20));
        let got = packet(Link::Ipv6, &[&ipv6(2, 17)[..], &[0xff; 26]].concat());
        assert_eq!((got.src_port, got.dst_port, got.layer3_length), (0, 0, 42));
    }

    #[test]
    fn every_field_of_an_ipv6_header_is_where_rfc_8200_puts_it() {
        let got = packet(Link::Ipv6, &[&ipv6(8, 17)[..], &PORTS].concat());
        assert_eq!((got.tos, got.ipv6_flow_label, got.ttl, got.proto), (0xb8, 0xabcde, 63, 17));
        assert_eq!((got.src_addr[15], got.dst_addr[15], got.layer3_length), (1, 2, 48));
        assert_eq!((got.src_port, got.dst_port, got.ether_type, got.ip_version), (12345, 443, 0x86dd, 6));
    }

    #[test]
    fn extension_headers_lead_to_the_upper_layer() {
        #[rustfmt::skip]
        let chain = [
            &[43, 1][..], &[0; 14],                      // hop-by-hop, 16 octets
            &[60, 0, 0, 0, 0, 0, 0, 0],                  // routing, 8 octets
            &[44, 0, 1, 4, 0, 0, 0, 0],                  // destination options
            &[51, 0, 0x00, 0x01, 0, 0, 0, 9],            // fragment: offset 0, more follow
            &[135, 4], &[0; 22],                         // authentication, 24 octets
            &[139, 0, 0, 0, 0, 0, 0, 0],                 // mobility
            &[140, 0, 0, 0, 0, 0, 0, 0],                 // HIP
            &[17, 0, 0, 0, 0, 0, 0, 0],                  // shim6
            &PORTS,
        ]
        .concat();
        let got = packet(Link::Ipv6, &[&ipv6(chain.len() as u16, 0)[..], &chain].concat());
        assert_eq!((got.proto, got.src_port, got.dst_port), (17, 12345, 443));
    }

    #[test]
    fn a_later_ipv6_fragment_keeps_the_protocol_without_ports() {
        let chain = [&[17, 0, 0x05, 0xc8, 0, 0, 0, 9][..], &PORTS].concat(); // offset 185, the last one
        let got = packet(Link::Ipv6, &[&ipv6(16, 44)[..], &chain].concat());
        assert_eq!((got.proto, got.fragment_offset, got.dst_port), (17, 185, 0));
    }

    #[test]
    fn a_chain_that_is_cut_keeps_the_last_protocol_known() {
        let chain = [60, 1, 0, 0, 0, 0, 0, 0]; // hop-by-hop of 16 octets, 8 are there
        assert_eq!(packet(Link::Ipv6, &[&ipv6(64, 0)[..], &chain].concat()).proto, 60);
        assert_eq!(packet(Link::Ipv6, &ipv6(64, 0)).proto, 0);
    }

    #[test]
    fn a_chain_without_an_end_is_given_up() {
        let chain = [60, 0, 0, 0, 0, 0, 0, 0].repeat(MAX_EXTENSION_HEADERS + 1);
        let got = packet(Link::Ipv6, &[&ipv6(200, 60)[..], &chain, &PORTS].concat());
        assert_eq!((got.proto, got.dst_port), (60, 0));
    }

    #[test]
    fn esp_and_no_next_header_end_the_chain() {
        for end in [50, NO_NEXT_HEADER] {
            let got = packet(Link::Ipv6, &[&ipv6(8, end)[..], &PORTS].concat());
            assert_eq!((got.proto, got.dst_port), (end, 0));
        }
        assert_eq!(packet(Link::Ipv6, &ipv6(0, NO_NEXT_HEADER)).layer3_length, 40);
        assert_eq!(packet(Link::Ipv6, &ipv6(0, 6)).layer3_length, 0);
    }

    #[test]
    fn the_authentication_header_is_followed_in_ipv4_too() {
        let header = [&[17, 4][..], &[0; 22]].concat();
        let got = packet(Link::Ipv4, &[&ipv4(5, 52, 0, AUTHENTICATION)[..], &header, &PORTS].concat());
        assert_eq!((got.proto, got.dst_port), (17, 443));
    }
}
