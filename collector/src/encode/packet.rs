//! Builds packets from a list of layers: what sFlow samples, frame sections and capture files carry.
//!
//! Type fields, lengths and checksums follow from what comes next in the list, so a packet is right by
//! construction; to make a wrong one, change its octets.
//!
//! Sources: IEEE 802.3 and 802.1Q, RFC 3032 (MPLS), RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443,
//! RFC 2784 and 2890 (GRE), RFC 7348 (VXLAN), RFC 1071 (checksum).

use super::{Put, patch_u16};
use crate::checksum::{Pseudo, checksum, seal_transport};

/// The port of VXLAN (RFC 7348 §5).
pub const VXLAN_PORT: u16 = 4789;

/// Tag protocol identifier of customer VLAN tags (IEEE 802.1Q).
pub const TPID_8021Q: u16 = 0x8100;
/// Tag protocol identifier of service VLAN tags (IEEE 802.1ad).
pub const TPID_8021AD: u16 = 0x88a8;

/// EtherType of IPv4 (RFC 894).
pub const ETHER_TYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6 (RFC 2464 §3).
pub const ETHER_TYPE_IPV6: u16 = 0x86dd;
const ETHER_TYPE_MPLS: u16 = 0x8847;
/// Ethernet inside GRE (RFC 1701 appendix A).
const ETHER_TYPE_BRIDGED: u16 = 0x6558;
/// Local experimental, for payload that is no known protocol.
const ETHER_TYPE_EXPERIMENTAL: u16 = 0x88b5;

const PROTO_ICMP: u8 = 1;
const PROTO_IPIP: u8 = 4;
const PROTO_TCP: u8 = 6;
const PROTO_UDP: u8 = 17;
const PROTO_IPV6: u8 = 41;
const PROTO_GRE: u8 = 47;
const PROTO_ICMPV6: u8 = 58;
/// Use for experimentation and testing (RFC 3692).
const PROTO_EXPERIMENTAL: u8 = 253;

/// One header of a packet, or its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer<'a> {
    /// An Ethernet header of 14 octets (IEEE 802.3); its EtherType follows from the next layer.
    Ethernet {
        /// Destination MAC address.
        dst: [u8; 6],
        /// Source MAC address.
        src: [u8; 6],
    },
    /// A VLAN tag (IEEE 802.1Q).
    Vlan {
        /// Tag protocol identifier, [`TPID_8021Q`] or [`TPID_8021AD`]; the layer before has it as EtherType.
        tpid: u16,
        /// Tag control information: priority and drop eligibility in the upper 4 bits, VLAN id in the lower 12.
        tci: u16,
    },
    /// One label; the last one in a row gets the bottom-of-stack bit.
    Mpls {
        /// 20 bits.
        label: u32,
        /// Time to live of the label (RFC 3032 §2.1).
        ttl: u8,
    },
    /// An IPv4 header with the options that it has.
    Ipv4(Ipv4<'a>),
    /// An IPv6 header without extension headers.
    Ipv6(Ipv6),
    /// A TCP header of 20 octets (RFC 9293 §3.1).
    Tcp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// The 12 bits behind the data offset: tcpControlBits of RFC 7125.
        flags: u16,
    },
    /// A UDP header (RFC 768).
    Udp {
        /// Source port.
        src_port: u16,
        /// Destination port; [`VXLAN_PORT`] in front of [`Vxlan`](Self::Vxlan).
        dst_port: u16,
    },
    /// An ICMP header of 8 octets (RFC 792), the last four of them 0.
    Icmp {
        /// Type of the message, such as 8 for an echo request.
        icmp_type: u8,
        /// Code within the type.
        code: u8,
    },
    /// An ICMPv6 header of 8 octets (RFC 4443), the last four of them 0.
    Icmpv6 {
        /// Type of the message, such as 128 for an echo request.
        icmp_type: u8,
        /// Code within the type.
        code: u8,
    },
    /// A GRE header of version 0 without checksum and sequence number (RFC 2784).
    Gre {
        /// Key with its flag (RFC 2890 §2.1); `None` leaves both out.
        key: Option<u32>,
    },
    /// A VXLAN header (RFC 7348 §5).
    Vxlan {
        /// VXLAN Network Identifier of 24 bits.
        vni: u32,
    },
    /// A part of an IP payload, its transport header included: what follows the IP header of a fragment.
    Fragment {
        /// IANA protocol number of the whole payload, for the IP header before.
        protocol: u8,
        /// What this fragment carries.
        octets: &'a [u8],
    },
    /// Octets of no known protocol.
    Payload(&'a [u8]),
}

/// An IPv4 header (RFC 791 §3.1), but for what follows from the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ipv4<'a> {
    /// Source Address, as on the wire.
    pub src: [u8; 4],
    /// Destination Address, as on the wire.
    pub dst: [u8; 4],
    /// Type of service: DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
    /// Time to Live: hops that the packet has left.
    pub ttl: u8,
    /// Identification, which the fragments of a packet share.
    pub id: u16,
    /// Flags in the upper three bits (0x2000 more fragments), offset in units of 8 octets.
    pub fragment: u16,
    /// A multiple of 4 octets, 40 at most.
    pub options: &'a [u8],
}

/// An IPv6 header (RFC 8200 §3), but for what follows from the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ipv6 {
    /// Source Address, as on the wire.
    pub src: [u8; 16],
    /// Destination Address, as on the wire.
    pub dst: [u8; 16],
    /// DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// 20 bits; higher ones are cut off.
    pub flow_label: u32,
    /// Hop Limit: hops that the packet has left.
    pub hop_limit: u8,
}

impl Layer<'_> {
    /// What a layer before this one has to say in its EtherType.
    fn ether_type(&self) -> u16 {
        match self {
            Self::Ethernet { .. } => ETHER_TYPE_BRIDGED,
            Self::Vlan { tpid, .. } => *tpid,
            Self::Mpls { .. } => ETHER_TYPE_MPLS,
            Self::Ipv4(_) => ETHER_TYPE_IPV4,
            Self::Ipv6(_) => ETHER_TYPE_IPV6,
            _ => ETHER_TYPE_EXPERIMENTAL,
        }
    }

    /// What an IP header before this one has to say in its protocol field.
    fn protocol(&self) -> u8 {
        match self {
            Self::Ipv4(_) => PROTO_IPIP,
            Self::Ipv6(_) => PROTO_IPV6,
            Self::Tcp { .. } => PROTO_TCP,
            Self::Udp { .. } => PROTO_UDP,
            Self::Icmp { .. } => PROTO_ICMP,
            Self::Icmpv6 { .. } => PROTO_ICMPV6,
            Self::Gre { .. } => PROTO_GRE,
            Self::Fragment { protocol, .. } => *protocol,
            _ => PROTO_EXPERIMENTAL,
        }
    }
}

/// Appends the packet that `layers` describe, outermost first.
///
/// # Panics
/// When an IP packet would be longer than 65,535 octets.
pub fn write(layers: &[Layer<'_>], out: &mut Vec<u8>) {
    write_in(layers, Pseudo::None, out);
}

/// Writes the first layer, what is inside it, then the first layer's lengths and checksums.
fn write_in(layers: &[Layer<'_>], pseudo: Pseudo, out: &mut Vec<u8>) {
    let Some((layer, inside)) = layers.split_first() else { return };
    let ether_type = inside.first().map_or(ETHER_TYPE_EXPERIMENTAL, Layer::ether_type);
    let start = out.len();
    match layer {
        Layer::Ethernet { dst, src } => {
            out.put(dst);
            out.put(src);
            out.put_u16(ether_type);
            write_in(inside, Pseudo::None, out);
        }
        Layer::Vlan { tci, .. } => {
            out.put_u16(*tci);
            out.put_u16(ether_type);
            write_in(inside, Pseudo::None, out);
        }
        Layer::Mpls { label, ttl } => {
            let bottom = !matches!(inside.first(), Some(Layer::Mpls { .. }));
            out.put_u32(label << 12 | u32::from(bottom) << 8 | u32::from(*ttl));
            write_in(inside, Pseudo::None, out);
        }
        Layer::Ipv4(header) => write_ipv4(header, inside, out),
        Layer::Ipv6(header) => write_ipv6(header, inside, out),
        Layer::Tcp { src_port, dst_port, flags } => {
            out.put_u16(*src_port);
            out.put_u16(*dst_port);
            out.put_u64(0); // sequence and acknowledgement number
            out.put_u16(5 << 12 | flags);
            out.put_u16(65_535); // window
            out.put_u32(0); // checksum, urgent pointer
            write_in(inside, Pseudo::None, out);
            seal_transport(out, start, 16, pseudo, PROTO_TCP);
        }
        Layer::Udp { src_port, dst_port } => {
            out.put_u16(*src_port);
            out.put_u16(*dst_port);
            out.put_u32(0); // length, checksum
            write_in(inside, Pseudo::None, out);
            let length = out.len() - start;
            patch_u16(out, start + 4, length);
            seal_transport(out, start, 6, pseudo, PROTO_UDP);
        }
        Layer::Icmp { icmp_type, code } => {
            write_icmp(*icmp_type, *code, inside, out);
            seal_transport(out, start, 2, Pseudo::None, PROTO_ICMP);
        }
        Layer::Icmpv6 { icmp_type, code } => {
            write_icmp(*icmp_type, *code, inside, out);
            seal_transport(out, start, 2, pseudo, PROTO_ICMPV6);
        }
        Layer::Gre { key } => {
            out.put_u16(if key.is_some() { 0x2000 } else { 0 });
            out.put_u16(ether_type);
            if let Some(key) = key {
                out.put_u32(*key);
            }
            write_in(inside, Pseudo::None, out);
        }
        Layer::Vxlan { vni } => {
            out.put_u32(0x0800_0000); // the VNI is valid
            out.put_u32(vni << 8);
            write_in(inside, Pseudo::None, out);
        }
        Layer::Fragment { octets, .. } | Layer::Payload(octets) => {
            out.put(octets);
            write_in(inside, Pseudo::None, out);
        }
    }
}

fn write_ipv4(header: &Ipv4<'_>, inside: &[Layer<'_>], out: &mut Vec<u8>) {
    let start = out.len();
    let words = 5 + header.options.len() as u8 / 4;
    out.put_u8(4 << 4 | words);
    out.put_u8(header.tos);
    out.put_u16(0); // total length
    out.put_u16(header.id);
    out.put_u16(header.fragment);
    out.put_u8(header.ttl);
    out.put_u8(inside.first().map_or(PROTO_EXPERIMENTAL, Layer::protocol));
    out.put_u16(0); // header checksum
    out.put(&header.src);
    out.put(&header.dst);
    out.put(header.options);
    let end = out.len();
    write_in(inside, Pseudo::Ipv4(header.src, header.dst), out);
    let length = out.len() - start;
    patch_u16(out, start + 2, length);
    let sum = checksum(&out[start..end], 0);
    patch_u16(out, start + 10, usize::from(sum));
}

fn write_ipv6(header: &Ipv6, inside: &[Layer<'_>], out: &mut Vec<u8>) {
    out.put_u32(6 << 28 | u32::from(header.traffic_class) << 20 | header.flow_label & 0xf_ffff);
    let length_at = out.len();
    out.put_u16(0); // payload length
    out.put_u8(inside.first().map_or(PROTO_EXPERIMENTAL, Layer::protocol));
    out.put_u8(header.hop_limit);
    out.put(&header.src);
    out.put(&header.dst);
    let payload = out.len();
    write_in(inside, Pseudo::Ipv6(header.src, header.dst), out);
    let length = out.len() - payload;
    patch_u16(out, length_at, length);
}

fn write_icmp(icmp_type: u8, code: u8, inside: &[Layer<'_>], out: &mut Vec<u8>) {
    out.put_u8(icmp_type);
    out.put_u8(code);
    out.put_u16(0); // checksum
    out.put_u32(0); // rest of the header
    write_in(inside, Pseudo::None, out);
}

#[cfg(test)]
mod tests;
