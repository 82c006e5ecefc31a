//! Packets against etherparse, an independent dissector that also verifies lengths and checksums.

use etherparse::{LinkExtSlice, NetSlice, SlicedPacket, TransportSlice};

use super::*;

const ETHERNET: Layer<'_> = Layer::Ethernet { dst: [2, 0, 0, 0, 0, 1], src: [2, 0, 0, 0, 0, 2] };
const IPV4: Ipv4<'_> =
    Ipv4 { src: [10, 0, 0, 1], dst: [192, 0, 2, 2], tos: 0xb8, ttl: 64, id: 7, fragment: 0x4000, options: &[] };
const IPV6: Ipv6 = Ipv6 { src: [0x20; 16], dst: [0xfe; 16], traffic_class: 0xb8, flow_label: 0xabcde, hop_limit: 63 };
const TCP: Layer<'_> = Layer::Tcp { src_port: 51_000, dst_port: 443, flags: 0x018 };
const UDP: Layer<'_> = Layer::Udp { src_port: 5_353, dst_port: 53 };

fn built(layers: &[Layer<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    write(layers, &mut out);
    out
}

#[test]
fn tags_and_addresses_are_read_back() {
    let vlans = [Layer::Vlan { tpid: TPID_8021AD, tci: 100 }, Layer::Vlan { tpid: TPID_8021Q, tci: 0x2000 | 200 }];
    let packet = built(&[ETHERNET, vlans[0], vlans[1], Layer::Ipv4(IPV4), TCP, Layer::Payload(b"hello")]);
    let sliced = SlicedPacket::from_ethernet(&packet).unwrap();
    let ids: Vec<u16> = sliced
        .link_exts
        .iter()
        .filter_map(|ext| match ext {
            LinkExtSlice::Vlan(vlan) => Some(vlan.vlan_identifier().value()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, [100, 200]);
    let Some(NetSlice::Ipv4(ip)) = sliced.net else { panic!("no IPv4: {packet:02x?}") };
    let header = ip.header().to_header();
    assert_eq!((header.source, header.destination, header.time_to_live), (IPV4.src, IPV4.dst, 64));
    assert_eq!(
        (usize::from(header.total_len), header.calc_header_checksum()),
        (packet.len() - 22, header.header_checksum)
    );
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP: {packet:02x?}") };
    assert_eq!((tcp.source_port(), tcp.destination_port(), tcp.ack(), tcp.psh()), (51_000, 443, true, true));
    assert_eq!(tcp.calc_checksum_ipv4(IPV4.src, IPV4.dst).unwrap(), tcp.checksum());
}

#[test]
fn ipv6_and_udp_checksums_are_right() {
    let packet = built(&[ETHERNET, Layer::Ipv6(IPV6), UDP, Layer::Payload(b"odd")]);
    let sliced = SlicedPacket::from_ethernet(&packet).unwrap();
    let Some(NetSlice::Ipv6(ip)) = sliced.net else { panic!("no IPv6: {packet:02x?}") };
    let header = ip.header().to_header();
    assert_eq!((header.source, header.destination, header.hop_limit), (IPV6.src, IPV6.dst, 63));
    assert_eq!((header.traffic_class, header.flow_label.value()), (0xb8, 0xabcde));
    let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP: {packet:02x?}") };
    assert_eq!((usize::from(udp.length()), udp.payload()), (8 + 3, &b"odd"[..]));
    let calculated = udp.to_header().calc_checksum_ipv6_raw(IPV6.src, IPV6.dst, udp.payload()).unwrap();
    assert_eq!(calculated, udp.checksum());
}

#[test]
fn icmp_of_both_versions_is_read_back() {
    let packet = built(&[Layer::Ipv4(IPV4), Layer::Icmp { icmp_type: 8, code: 0 }, Layer::Payload(&[1; 56])]);
    let sliced = SlicedPacket::from_ip(&packet).unwrap();
    let Some(TransportSlice::Icmpv4(icmp)) = sliced.transport else { panic!("no ICMP: {packet:02x?}") };
    assert_eq!((icmp.type_u8(), icmp.code_u8()), (8, 0));
    assert_eq!(checksum(&packet[20..], 0), 0, "a segment with its checksum sums to zero");

    let packet = built(&[Layer::Ipv6(IPV6), Layer::Icmpv6 { icmp_type: 135, code: 0 }, Layer::Payload(&[1; 24])]);
    let sliced = SlicedPacket::from_ip(&packet).unwrap();
    let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else { panic!("no ICMPv6: {packet:02x?}") };
    assert!(icmp.is_checksum_valid(IPV6.src, IPV6.dst));
}

#[test]
fn vxlan_holds_a_whole_inner_frame() {
    let outer = Layer::Udp { src_port: 50_000, dst_port: VXLAN_PORT };
    let inner = [ETHERNET, Layer::Ipv4(Ipv4 { src: [172, 16, 0, 1], ..IPV4 }), TCP];
    let mut layers = vec![ETHERNET, Layer::Ipv6(IPV6), outer, Layer::Vxlan { vni: 0x0a0b0c }];
    layers.extend(inner);
    let packet = built(&layers);
    let sliced = SlicedPacket::from_ethernet(&packet).unwrap();
    let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP: {packet:02x?}") };
    let (vxlan, frame) = udp.payload().split_at(8);
    assert_eq!(vxlan, [8, 0, 0, 0, 0x0a, 0x0b, 0x0c, 0]);
    assert_eq!(frame, built(&inner));
}

#[test]
fn gre_and_mpls_carry_their_type_and_the_bottom_of_the_stack() {
    let packet = built(&[Layer::Ipv4(IPV4), Layer::Gre { key: Some(42) }, Layer::Ipv6(IPV6), UDP]);
    assert_eq!(packet[9], 47);
    assert_eq!(packet[20..28], [0x20, 0, 0x86, 0xdd, 0, 0, 0, 42], "key present, IPv6, key");

    let labels = [Layer::Mpls { label: 16, ttl: 64 }, Layer::Mpls { label: 0xfffff, ttl: 1 }];
    let packet = built(&[ETHERNET, labels[0], labels[1], Layer::Ipv4(IPV4), UDP]);
    #[rustfmt::skip]
    assert_eq!(packet[12..22], [
        0x88, 0x47,
        0, 1, 0, 64,            // label 16, more to come
        0xff, 0xff, 0xf1, 1,    // label 0xfffff, bottom of the stack
    ]);
}

#[test]
fn options_and_fragments_are_part_of_the_header() {
    let header = Ipv4 { options: &[0x94, 4, 0, 0], fragment: 0x2000 | 185, ..IPV4 };
    let packet = built(&[Layer::Ipv4(header), Layer::Fragment { protocol: 17, octets: &[9; 8] }]);
    assert_eq!((packet[0], packet[9], packet.len()), (0x46, 17, 24 + 8));
    assert_eq!((packet[6..8].to_vec(), checksum(&packet[..24], 0)), (vec![0x20, 185], 0));
}
