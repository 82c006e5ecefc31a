//! Sampled headers against etherparse, an independent library: once as the builder of packets, once as the reader of
//! the same octets, whole, cut and damaged.
//!
//! Where both are known to differ (etherparse 0.21, [`agrees`] skips exactly these):
//! - It goes by the version in the IP header; here an EtherType that names the other version is refused.
//! - It knows three tag types and up to three tags or MACsec headers; here 0x9200 is a tag, MACsec is not read, and
//!   there is no limit to the tags.
//! - It wants IPv4 options and the whole TCP, UDP or ICMP header; here the fixed header, the ports or the ICMP type
//!   and code are enough, so that a header that was cut tells as much as it can.
//! - It gives a first fragment no ports; they are in it.
//! - It refuses a hop-by-hop header that is not the first, and an authentication header of length 0; here both are
//!   stepped over. It does not know the mobility, HIP and shim6 headers. It follows a chain without a limit.
//! - It reads no MPLS, no tunnel, no SCTP, DCCP or UDP-Lite.

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options, Ipv6Extensions, Ipv6FlowLabel,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, LinkSlice,
    PacketBuilder, TcpHeader, TcpSlice, TransportSlice, VlanId,
};
use helios_collector::decode::packet::{Decapsulate, Link, MAX_LABELS, Packet, dissect, tunnel_type};
use helios_common::exporter::mapped;
use proptest::collection::vec;
use proptest::prelude::*;

fn read(link: Link, octets: &[u8], decapsulate: Decapsulate) -> Packet {
    let mut packet = Packet::default();
    dissect(link, octets, decapsulate, &mut packet);
    packet
}

/// A packet to build, and what reading it has to give.
#[derive(Debug, Clone)]
struct Built {
    macs: [[u8; 6]; 2],
    vlans: Vec<u16>,
    v6: bool,
    addresses: [[u8; 16]; 2],
    tos: u8,
    ttl: u8,
    flow_label: u32,
    /// Words of IPv4 options, or a selection of IPv6 extension headers.
    extensions: u8,
    fragmented: bool,
    transport: Transport,
    payload: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Transport {
    Tcp { ports: [u16; 2], flags: u16 },
    Udp { ports: [u16; 2] },
    Icmp { kind: u8, code: u8 },
}

impl Built {
    fn octets(&self) -> Vec<u8> {
        let frame = PacketBuilder::ethernet2(self.macs[0], self.macs[1]);
        let vlan = |id: u16| VlanId::try_new(id).expect("12 bits");
        let ip = match self.vlans[..] {
            [] => frame.ip(self.ip()),
            [only] => frame.single_vlan(vlan(only)).ip(self.ip()),
            [outer, inner, ..] => frame.double_vlan(vlan(outer), vlan(inner)).ip(self.ip()),
        };
        let mut octets = Vec::new();
        match self.transport {
            Transport::Tcp { ports: [from, to], flags } => {
                ip.tcp_header(tcp_header(from, to, flags)).write(&mut octets, &self.payload).expect("it is valid");
            }
            Transport::Udp { ports: [from, to] } => {
                ip.udp(from, to).write(&mut octets, &self.payload).expect("it is valid")
            }
            Transport::Icmp { kind, code } if self.v6 => {
                ip.icmpv6_raw(kind, code, [0; 4]).write(&mut octets, &self.payload).expect("it is valid");
            }
            Transport::Icmp { kind, code } => {
                ip.icmpv4_raw(kind, code, [0; 4]).write(&mut octets, &self.payload).expect("it is valid");
            }
        }
        octets
    }

    fn ip(&self) -> IpHeaders {
        if self.v6 { self.ipv6() } else { self.ipv4() }
    }

    fn ipv4(&self) -> IpHeaders {
        let [source, destination] = self.addresses.map(|address| *address.last_chunk().expect("16 octets"));
        let options = vec![1; usize::from(self.extensions % 11) * 4];
        let header = Ipv4Header {
            dscp: (self.tos >> 2).try_into().expect("6 bits"),
            ecn: (self.tos & 3).try_into().expect("2 bits"),
            time_to_live: self.ttl,
            more_fragments: self.fragmented,
            source,
            destination,
            options: Ipv4Options::try_from(&options[..]).expect("at most 40 octets"),
            ..Ipv4Header::default()
        };
        IpHeaders::Ipv4(header, Ipv4Extensions::default())
    }

    fn ipv6(&self) -> IpHeaders {
        let raw = |bit: u8| {
            let present = self.extensions & bit != 0;
            let payload = [0; 6 + 8];
            let octets = if bit & 5 == 0 { &payload[..6] } else { &payload[..] };
            present.then(|| Ipv6RawExtHeader::new_raw(IpNumber(0), octets).expect("a multiple of 8, less 2"))
        };
        let header = Ipv6Header {
            traffic_class: self.tos,
            flow_label: Ipv6FlowLabel::try_new(self.flow_label).expect("20 bits"),
            hop_limit: self.ttl,
            source: self.addresses[0],
            destination: self.addresses[1],
            ..Ipv6Header::default()
        };
        let extensions = Ipv6Extensions {
            hop_by_hop_options: raw(1),
            destination_options: raw(2),
            fragment: self.fragmented.then(|| Ipv6FragmentHeader::new(IpNumber(0), IpFragOffset::ZERO, true, 7)),
            ..Ipv6Extensions::default()
        };
        IpHeaders::Ipv6(header, extensions)
    }

    /// What the octets say, without lengths and offsets.
    fn expected(&self) -> Packet {
        let mac = |octets: [u8; 6]| octets.into_iter().fold(0, |mac, octet| mac << 8 | u64::from(octet));
        let address = |octets: [u8; 16]| {
            if self.v6 { octets } else { mapped(*octets.last_chunk().expect("16 octets")) }
        };
        let mut vlans = self.vlans.iter().copied().filter(|&vlan| vlan != 0);
        let mut packet = Packet {
            src_mac: mac(self.macs[0]),
            dst_mac: mac(self.macs[1]),
            vlan: vlans.next().unwrap_or(0),
            inner_vlan: vlans.next().unwrap_or(0),
            ether_type: if self.v6 { 0x86dd } else { 0x0800 },
            ip_version: if self.v6 { 6 } else { 4 },
            src_addr: address(self.addresses[0]),
            dst_addr: address(self.addresses[1]),
            tos: self.tos,
            ttl: self.ttl,
            ipv6_flow_label: if self.v6 { self.flow_label } else { 0 },
            ..Packet::default()
        };
        match self.transport {
            Transport::Tcp { ports, flags } => {
                (packet.proto, packet.tcp_flags, [packet.src_port, packet.dst_port]) = (6, flags, ports);
            }
            Transport::Udp { ports } => (packet.proto, [packet.src_port, packet.dst_port]) = (17, ports),
            Transport::Icmp { kind, code } => {
                (packet.proto, packet.icmp_type, packet.icmp_code) = (if self.v6 { 58 } else { 1 }, kind, code);
            }
        }
        packet
    }
}

fn tcp_header(from: u16, to: u16, flags: u16) -> TcpHeader {
    let bit = |n: u16| flags & (1 << n) != 0;
    let mut header = TcpHeader::new(from, to, 1, 1024);
    (header.fin, header.syn, header.rst, header.psh, header.ack) = (bit(0), bit(1), bit(2), bit(3), bit(4));
    (header.urg, header.ece, header.cwr, header.ns) = (bit(5), bit(6), bit(7), bit(8));
    header
}

/// Ports that begin no tunnel.
fn port() -> impl Strategy<Value = u16> {
    any::<u16>().prop_filter("a tunnel's port", |port| ![4789, 6081, 8472].contains(port))
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        ([port(), port()], 0..512_u16).prop_map(|(ports, flags)| Transport::Tcp { ports, flags }),
        [port(), port()].prop_map(|ports| Transport::Udp { ports }),
        any::<[u8; 2]>().prop_map(|[kind, code]| Transport::Icmp { kind, code }),
    ]
}

fn built() -> impl Strategy<Value = Built> {
    let below_ip = (any::<[[u8; 6]; 2]>(), vec(0..4096_u16, 0..3));
    let ip = (any::<bool>(), any::<[[u8; 16]; 2]>(), any::<[u8; 3]>(), 0..1_u32 << 20, prop::bool::weighted(0.2));
    (below_ip, ip, transport(), vec(any::<u8>(), 0..64)).prop_map(|((macs, vlans), ip, transport, payload)| {
        let (v6, addresses, [tos, ttl, extensions], flow_label, fragmented) = ip;
        Built { macs, vlans, v6, addresses, tos, ttl, flow_label, extensions, fragmented, transport, payload }
    })
}

/// The plain fields, without what depends on where the packet lies.
fn plain(packet: Packet) -> Packet {
    Packet { layer3_length: 0, layer3_offset: 0, ..packet }
}

/// Compares with etherparse's reading of the same octets.
fn agrees(frame: &[u8]) -> Result<(), TestCaseError> {
    let ours = read(Link::Ethernet, frame, Decapsulate::NONE);
    let Ok(theirs) = LaxSlicedPacket::from_ethernet(frame) else {
        prop_assert_eq!(ours, Packet::default());
        return Ok(());
    };
    let Some(LinkSlice::Ethernet2(ethernet)) = &theirs.link else { return Ok(()) };
    let below_ip = theirs.link_exts.last().map_or(Some(ethernet.ether_type().0), |ext| match ext {
        LaxLinkExtSlice::Vlan(vlan) => Some(vlan.ether_type().0),
        LaxLinkExtSlice::Macsec(_) => None,
    });
    if theirs.link_exts.is_full() || matches!(below_ip, None | Some(0x9200 | 0x8847 | 0x8848 | 0x88e7)) {
        return Ok(());
    }
    let mac = |octets: [u8; 6]| octets.into_iter().fold(0, |mac, octet| mac << 8 | u64::from(octet));
    prop_assert_eq!((ours.src_mac, ours.dst_mac), (mac(ethernet.source()), mac(ethernet.destination())));
    let mut vlans = theirs.vlan_ids().into_iter().map(|id| id.value()).filter(|&id| id != 0);
    prop_assert_eq!(ours.vlan, vlans.next().unwrap_or(0));
    prop_assert_eq!(ours.inner_vlan, vlans.next().unwrap_or(0));
    agrees_in_ip(&ours, &theirs)
}

fn agrees_in_ip(ours: &Packet, theirs: &LaxSlicedPacket<'_>) -> Result<(), TestCaseError> {
    match &theirs.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            if ours.ether_type == 0x86dd {
                prop_assert_eq!(ours.ip_version, 0);
                return Ok(());
            }
            prop_assert_eq!((ours.src_addr, ours.dst_addr), (mapped(header.source()), mapped(header.destination())));
            prop_assert_eq!((ours.tos, ours.ttl), (header.dcp().value() << 2 | header.ecn().value(), header.ttl()));
            prop_assert_eq!(ours.fragment_offset, header.fragments_offset().value());
            let length = usize::from(header.total_len());
            prop_assert_eq!(ours.layer3_length as usize, if length < header.slice().len() { 0 } else { length });
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            if ours.ether_type == 0x0800 {
                prop_assert_eq!(ours.ip_version, 0);
                return Ok(());
            }
            prop_assert_eq!((ours.src_addr, ours.dst_addr), (header.source(), header.destination()));
            prop_assert_eq!((ours.tos, ours.ttl), (header.traffic_class(), header.hop_limit()));
            prop_assert_eq!(ours.ipv6_flow_label, header.flow_label().value());
            if header.payload_length() > 0 {
                prop_assert_eq!(ours.layer3_length, u32::from(header.payload_length()) + 40);
            }
        }
        // What we read without them is an IPv4 header that was cut in its options.
        Some(LaxNetSlice::Arp(_)) | None => {
            prop_assert!(ours.ip_version != 6);
            return Ok(());
        }
    }
    let payload = theirs.net.as_ref().and_then(LaxNetSlice::ip_payload_ref).expect("IP has one");
    if theirs.stop_err.is_none() && ![0, 135, 139, 140].contains(&payload.ip_number.0) {
        prop_assert_eq!(ours.proto, payload.ip_number.0);
    }
    agrees_in_transport(ours, theirs.transport.as_ref())
}

fn agrees_in_transport(ours: &Packet, theirs: Option<&TransportSlice<'_>>) -> Result<(), TestCaseError> {
    match theirs {
        Some(TransportSlice::Tcp(tcp)) => {
            prop_assert_eq!((ours.src_port, ours.dst_port), (tcp.source_port(), tcp.destination_port()));
            prop_assert_eq!(ours.tcp_flags & 0x1ff, tcp_flags(tcp));
        }
        Some(TransportSlice::Udp(udp)) => {
            prop_assert_eq!((ours.src_port, ours.dst_port), (udp.source_port(), udp.destination_port()));
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            prop_assert_eq!((ours.icmp_type, ours.icmp_code), (icmp.type_u8(), icmp.code_u8()));
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            prop_assert_eq!((ours.icmp_type, ours.icmp_code), (icmp.type_u8(), icmp.code_u8()));
        }
        Some(TransportSlice::Igmp(_)) | None => {}
    }
    Ok(())
}

fn tcp_flags(tcp: &TcpSlice<'_>) -> u16 {
    let flags = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg(), tcp.ece(), tcp.cwr(), tcp.ns()];
    flags.into_iter().rev().fold(0, |all, flag| all << 1 | u16::from(flag))
}

proptest! {
    #[test]
    fn what_was_built_is_read(built in built()) {
        let octets = built.octets();
        let got = read(Link::Ethernet, &octets, Decapsulate::ALL);
        prop_assert_eq!(plain(got), built.expected());
        prop_assert_eq!(got.layer3_offset as usize, 14 + 4 * built.vlans.len());
        prop_assert_eq!(got.layer3_length, octets.len() as u32 - got.layer3_offset);
        agrees(&octets)?;
    }

    /// A header that was cut tells less, never something else. The protocol and the EtherType of a cut header are
    /// the last that was read.
    #[test]
    fn a_header_cut_anywhere_keeps_what_was_read(built in built()) {
        let octets = built.octets();
        let whole = built.expected();
        for cut in 0..octets.len() {
            let got = read(Link::Ethernet, &octets[..cut], Decapsulate::ALL);
            agrees(&octets[..cut])?;
            let kept = |got: u64, whole: u64| got == 0 || got == whole;
            prop_assert!(got.src_addr == [0; 16] || (got.src_addr, got.dst_addr) == (whole.src_addr, whole.dst_addr));
            for (got, whole) in [
                (got.src_mac, whole.src_mac),
                (got.dst_mac, whole.dst_mac),
                (got.ipv6_flow_label.into(), whole.ipv6_flow_label.into()),
                (got.ttl.into(), whole.ttl.into()),
                (got.tos.into(), whole.tos.into()),
                (got.src_port.into(), whole.src_port.into()),
                (got.dst_port.into(), whole.dst_port.into()),
                (got.tcp_flags.into(), whole.tcp_flags.into()),
                (got.icmp_type.into(), whole.icmp_type.into()),
                (got.icmp_code.into(), whole.icmp_code.into()),
                (got.vlan.into(), whole.vlan.into()),
                (got.inner_vlan.into(), whole.inner_vlan.into()),
            ] {
                prop_assert!(kept(got, whole), "cut at {}: {} was {}", cut, got, whole);
            }
        }
    }

    #[test]
    fn damaged_headers_are_read_the_same(
        built in built(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut octets = built.octets();
        for (place, octet) in damage {
            let at = place.index(octets.len());
            octets[at] = octet;
        }
        agrees(&octets)?;
    }

    #[test]
    fn any_octets_are_read_within_bounds(octets in vec(any::<u8>(), 0..200), set in 0..16_usize) {
        let tunnels = [Decapsulate::GRE, Decapsulate::IPIP, Decapsulate::VXLAN, Decapsulate::GENEVE];
        let decapsulate = (0..4).filter(|n| set >> n & 1 == 1).fold(Decapsulate::NONE, |all, n| all | tunnels[n]);
        for link in [Link::Ethernet, Link::Ipv4, Link::Ipv6, Link::Mpls] {
            let got = read(link, &octets, decapsulate);
            prop_assert!(got.layer3_offset as usize <= octets.len());
            prop_assert!(got.labels().len() <= MAX_LABELS);
        }
        agrees(&octets)?;
    }

    /// Whatever a tunnel carries is read as it would be without the tunnel, and the tunnel is told apart.
    #[test]
    fn a_packet_in_a_tunnel_is_the_packet(outer in built(), inner in built(), id in 1..1_u32 << 24) {
        for tunnel in Tunnel::ALL {
            let octets = tunnel.wrap(&outer, &inner, id);
            let alone = inner.expected();
            let got = read(Link::Ethernet, &octets, Decapsulate::ALL);
            let outside = read(Link::Ethernet, &octets, Decapsulate::NONE);
            prop_assert_eq!((got.tunnel_type, got.tunnel_id), tunnel.names(id), "{:?}", tunnel);
            prop_assert_eq!((outside.tunnel_type, outside.tunnel_id), tunnel.names(id), "{:?}", tunnel);
            prop_assert_eq!((got.src_addr, got.dst_addr), (alone.src_addr, alone.dst_addr));
            prop_assert_eq!((got.proto, got.tos, got.ttl), (alone.proto, alone.tos, alone.ttl));
            prop_assert_eq!((got.src_port, got.dst_port, got.tcp_flags), (alone.src_port, alone.dst_port, alone.tcp_flags));
            prop_assert_eq!((got.icmp_type, got.icmp_code), (alone.icmp_type, alone.icmp_code));
            prop_assert_eq!((got.ether_type, got.ipv6_flow_label), (alone.ether_type, alone.ipv6_flow_label));
            prop_assert_eq!((outside.src_addr, outside.dst_addr), (got.outer_src_addr, got.outer_dst_addr));
            prop_assert_eq!((outside.outer_src_addr, outside.outer_dst_addr), ([0; 16], [0; 16]));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tunnel {
    Gre,
    Bridged,
    Vxlan,
    Geneve,
    IpInIp,
}

impl Tunnel {
    const ALL: [Self; 5] = [Self::Gre, Self::Bridged, Self::Vxlan, Self::Geneve, Self::IpInIp];

    fn names(self, id: u32) -> (u8, u32) {
        match self {
            Self::Gre => (tunnel_type::GRE, id),
            // A virtual subnet in the key's upper 24 bits, if it is not one of the reserved ones.
            Self::Bridged if id >> 8 >= 0x1000 => (tunnel_type::NVGRE, id >> 8),
            Self::Bridged => (tunnel_type::GRE, id),
            Self::Vxlan => (tunnel_type::VXLAN, id),
            Self::Geneve => (tunnel_type::GENEVE, id),
            Self::IpInIp => (tunnel_type::IPIP, 0),
        }
    }

    /// The inner packet in a tunnel of the outer one, whose own transport header goes.
    fn wrap(self, outer: &Built, inner: &Built, id: u32) -> Vec<u8> {
        let frame = inner.octets();
        let packet = &frame[14 + 4 * inner.vlans.len()..];
        let ether_type = inner.expected().ether_type.to_be_bytes();
        let [_, v0, v1, v2] = id.to_be_bytes();
        let (proto, dst_port, payload) = match self {
            Self::Gre => (47, 0, [&[0x20, 0], &ether_type[..], &id.to_be_bytes(), packet].concat()),
            Self::Bridged => (47, 0, [&[0x20, 0, 0x65, 0x58][..], &id.to_be_bytes(), &frame].concat()),
            Self::Vxlan => (17, 4789, [&[8, 0, 0, 0, v0, v1, v2, 0][..], &frame].concat()),
            Self::Geneve => (17, 6081, [&[0, 0], &ether_type[..], &[v0, v1, v2, 0], packet].concat()),
            Self::IpInIp => (if inner.v6 { 41 } else { 4 }, 0, packet.to_vec()),
        };
        let outer = Built {
            transport: Transport::Udp { ports: [50_000, dst_port] },
            extensions: 0,
            fragmented: false,
            payload,
            ..outer.clone()
        };
        let mut octets = outer.octets();
        if proto != 17 {
            // The UDP header goes, the IP header names the other protocol and is 8 octets shorter.
            let ip = 14 + 4 * outer.vlans.len();
            let (header_octets, length_at, proto_at) =
                if outer.v6 { (40, ip + 4, ip + 6) } else { (20, ip + 2, ip + 9) };
            octets.drain(ip + header_octets..ip + header_octets + 8);
            let length = u16::from_be_bytes([octets[length_at], octets[length_at + 1]]) - 8;
            octets[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
            octets[proto_at] = proto;
        }
        octets
    }
}
