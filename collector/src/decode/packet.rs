//! Sampled headers: the first octets of a frame, taken apart.
//!
//! Used for the raw header records of sFlow and for the frame sections of IPFIX: dataLinkFrameSection (element 315)
//! is [`Link::Ethernet`], ipHeaderPacketSection (313) is [`Link::of_ip`]. There is no allocation and no error: a
//! header may be cut anywhere, and what was read up to there is kept. A layer counts when its fixed part is whole;
//! of the transport header the ports are enough.
//!
//! ```text
//!  802.11 ───────────────┐
//!  Ethernet ─ tags ─ LLC, SNAP, PPPoE┬─────────────────── IPv4 / IPv6 ─ extension headers ─ TCP, UDP, SCTP, ICMP ...
//!  PPP, Cisco HDLC ──────────────────┤                          │
//!                                    └─ MPLS ─┬─ IPv4 / IPv6    └─ GRE, ERSPAN, VXLAN, Geneve, GTP-U, MPLS over UDP,
//!                                             │                    IP in IP, EtherIP ─ once more
//!                                             └─ control word ─ Ethernet
//! ```
//!
//! A tunnel that [`Decapsulate`] names is taken apart: the inner packet fills the plain fields, the outermost
//! addresses are kept beside it. That happens only when the inner IP header is readable; otherwise, and for tunnels
//! that are not named, the plain fields stay those of the outer packet and only the tunnel's type and id are noted.
//! MPLS has no addresses of its own to keep: what lies behind its labels is always read, frames included.
//! VLAN tags are not a matter of the inner packet: the two outermost of all are kept, wherever they were found.
//!
//! Deliberately not read: LLC frames other than SNAP and IP, Token Ring, FDDI, ATM, aggregates of 802.11 (A-MPDU), L2TP,
//! GRE versions other than 0, the payload of ESP and of encrypted 802.11 frames.
//!
//! Sources: IEEE 802.1Q, IEEE 802.2 and RFC 1042 (LLC, SNAP), RFC 1661, 1662 and 2615 (PPP, its framing, over SONET),
//! RFC 1547 (Cisco HDLC), RFC 2516 (PPPoE), IEEE 802.1ah (backbone bridges), IEEE 802.1BR (E-TAG), IEEE 802.11, RFC 3032 and 4385 (MPLS, control word), RFC 791, RFC 8200, RFC 9293, RFC 2784, 2890 and
//! 7637 (GRE, NVGRE), RFC 7348 (VXLAN), draft-ietf-nvo3-vxlan-gpe, RFC 8300 (NSH), RFC 8926 (Geneve), RFC 7510 (MPLS in UDP), draft-foschiano-erspan,
//! 3GPP TS 29.281 (GTP-U), RFC 2003 and 4213 (IP in IP), RFC 3378 (EtherIP).

use std::ops::BitOr;

use helios_common::exporter::Address;

mod octets;
mod ports;
mod link;
mod wireless;
mod ip;
mod transport;
mod tunnel;

use octets::Octets;
pub use ports::{TunnelPorts, UdpTunnel, VXLAN_ACI_PORT, VXLAN_LINUX_PORT};
use tunnel::Tunnel;
pub use tunnel::outer_tunnel_type;

/// MPLS labels that are kept: as many as IPFIX has elements for (70 to 79). Deeper ones are passed over.
pub const MAX_LABELS: usize = 10;

/// Tunnels inside one another that are taken apart. An overlay in an overlay over a transit tunnel needs three.
pub const MAX_TUNNELS: usize = 4;

/// What a sampled header begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A MAC header of Ethernet, with or without VLAN tags.
    Ethernet,
    /// An IPv4 header.
    Ipv4,
    /// An IPv6 header.
    Ipv6,
    /// A stack of MPLS labels (RFC 3032).
    Mpls,
    /// With or without the address and control octets of its framing; Cisco HDLC is told by them.
    Ppp,
    /// A MAC frame of IEEE 802.11.
    Wireless,
    /// An LLC header, as it follows the MAC header of 802.11.
    Llc,
}

impl Link {
    /// Header protocols of sFlow (sFlow v5, `enum header_protocol`); `None` for those that are not read.
    pub const fn of_sflow(header_protocol: u32) -> Option<Self> {
        match header_protocol {
            // A subframe of an A-MSDU has the form of an 802.3 frame.
            1 | 17 => Some(Self::Ethernet),
            // PPP, and PPP over SONET.
            7 | 14 => Some(Self::Ppp),
            11 => Some(Self::Ipv4),
            12 => Some(Self::Ipv6),
            13 => Some(Self::Mpls),
            15 => Some(Self::Wireless),
            _ => None,
        }
    }

    /// Octets that begin with an IP header of either version.
    pub const fn of_ip(octets: &[u8]) -> Option<Self> {
        match octets {
            [0x40..=0x4f, ..] => Some(Self::Ipv4),
            [0x60..=0x6f, ..] => Some(Self::Ipv6),
            _ => None,
        }
    }
}

/// A set of tunnel types, and the ports by which those over UDP are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decapsulate {
    set: u8,
    ports: &'static TunnelPorts,
}

impl Decapsulate {
    /// No tunnel is taken apart.
    pub const NONE: Self = Self::of(0);
    /// GRE with IP, MPLS or Ethernet inside, and NVGRE.
    pub const GRE: Self = Self::of(1);
    /// IPv4 or IPv6 directly in either (protocols 4 and 41), and EtherIP (97).
    pub const IPIP: Self = Self::of(1 << 1);
    /// VXLAN and VXLAN-GPE.
    pub const VXLAN: Self = Self::of(1 << 2);
    /// Geneve (RFC 8926).
    pub const GENEVE: Self = Self::of(1 << 3);
    /// Mirrored frames over GRE: ERSPAN types I, II and III.
    pub const ERSPAN: Self = Self::of(1 << 4);
    /// GTP-U.
    pub const GTP: Self = Self::of(1 << 5);
    /// MPLS over UDP.
    pub const MPLS: Self = Self::of(1 << 6);
    /// Every tunnel of [`NAMES`](Self::NAMES).
    pub const ALL: Self = Self::of(0x7f);

    /// Every tunnel type by the name that configuration has for it.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("gre", Self::GRE),
        ("ipip", Self::IPIP),
        ("vxlan", Self::VXLAN),
        ("geneve", Self::GENEVE),
        ("erspan", Self::ERSPAN),
        ("gtp", Self::GTP),
        ("mpls", Self::MPLS),
    ];

    const fn of(set: u8) -> Self {
        Self { set, ports: &TunnelPorts::REGISTERED }
    }

    /// The set of one tunnel type, by the name that configuration has for it.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, set)| set)
    }

    /// The same set with other ports than the registered ones.
    pub const fn with_ports(self, ports: &'static TunnelPorts) -> Self {
        Self { ports, ..self }
    }

    pub(crate) const fn ports(self) -> &'static TunnelPorts {
        self.ports
    }

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.set & other.set == other.set
    }
}

impl BitOr for Decapsulate {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self { set: self.set | other.set, ..self }
    }
}

/// Values of the `tunnel_type` column that are written here.
pub mod tunnel_type {
    /// The packet was in no tunnel.
    pub const NONE: u8 = 0;
    /// GRE (RFC 2784).
    pub const GRE: u8 = 1;
    /// IPv4 or IPv6 directly in either (RFC 2003, RFC 4213).
    pub const IPIP: u8 = 2;
    /// VXLAN (RFC 7348), VXLAN-GPE included.
    pub const VXLAN: u8 = 3;
    /// Geneve (RFC 8926).
    pub const GENEVE: u8 = 4;
    /// MPLS over UDP (RFC 7510), or an Ethernet pseudowire (RFC 4448).
    pub const MPLS: u8 = 5;
    /// NVGRE (RFC 7637).
    pub const NVGRE: u8 = 6;
    /// A tunnel without a value of its own, such as EtherIP and backbone bridges (IEEE 802.1ah).
    pub const OTHER: u8 = 7;
    /// ERSPAN types I, II and III.
    pub const ERSPAN: u8 = 8;
    /// GTP-U (3GPP TS 29.281).
    pub const GTP: u8 = 9;
}

/// What a sampled header says. Fields that were not found are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packet {
    /// Source of the IP header; IPv4 is mapped into IPv6, as in every [`Address`].
    pub src_addr: Address,
    /// Destination of the IP header.
    pub dst_addr: Address,
    /// Source of the outermost tunnel that was taken apart.
    pub outer_src_addr: Address,
    /// Destination of the outermost tunnel that was taken apart.
    pub outer_dst_addr: Address,
    /// Source MAC address in the lower 48 bits.
    pub src_mac: u64,
    /// Destination MAC address in the lower 48 bits.
    pub dst_mac: u64,
    /// Octets of the packet from its IP header on, as that header tells; 0 if it does not (no IP header, or a length
    /// of 0 as segmentation offload and jumbograms leave it).
    pub layer3_length: u32,
    /// Octets before the layer 3 header that the plain fields describe.
    pub layer3_offset: u32,
    /// The 20 bits of the flow label (RFC 8200 §3).
    pub ipv6_flow_label: u32,
    /// VNI of VXLAN and Geneve, key of GRE, TEID of GTP-U, I-SID of a backbone bridge.
    pub tunnel_id: u32,
    /// Labels of 20 bits, top of stack first; the first `n_mpls_labels` count.
    pub mpls_labels: [u32; MAX_LABELS],
    /// Labels in `mpls_labels`, 0 to [`MAX_LABELS`].
    pub n_mpls_labels: u8,
    /// 4 or 6 once an IP header was read.
    pub ip_version: u8,
    /// EtherType behind the tags; that of the IP header, if there is one.
    pub ether_type: u16,
    /// VLAN id of the outermost tag, 1 to 4095.
    pub vlan: u16,
    /// VLAN id of the second tag, 1 to 4095.
    pub inner_vlan: u16,
    /// Source port of TCP, UDP, UDP-Lite, SCTP or DCCP.
    pub src_port: u16,
    /// Destination port of the same.
    pub dst_port: u16,
    /// The 12 bits of tcpControlBits (RFC 7125).
    pub tcp_flags: u16,
    /// In units of 8 octets.
    pub fragment_offset: u16,
    /// IANA protocol number of what follows the IP header and its extension headers.
    pub proto: u8,
    /// Type of service of IPv4, traffic class of IPv6: DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
    /// Time to live of IPv4, hop limit of IPv6.
    pub ttl: u8,
    /// Type of ICMP (RFC 792) or ICMPv6 (RFC 4443).
    pub icmp_type: u8,
    /// Code of ICMP or ICMPv6.
    pub icmp_code: u8,
    /// See [`tunnel_type`]. MPLS means an Ethernet pseudowire; it gives way to a tunnel found inside it, because
    /// its labels are known anyway.
    pub tunnel_type: u8,
}

impl Packet {
    /// The MPLS label stack, top first.
    pub fn labels(&self) -> &[u32] {
        self.mpls_labels.get(..usize::from(self.n_mpls_labels)).unwrap_or(&[])
    }

    /// Whether the addresses are set.
    pub const fn has_ip(&self) -> bool {
        self.ip_version != 0
    }

    /// The start of an inner packet: what lies below IP is kept until an inner frame says otherwise.
    fn inner(&self) -> Self {
        Self {
            outer_src_addr: self.outer_src_addr,
            outer_dst_addr: self.outer_dst_addr,
            src_mac: self.src_mac,
            dst_mac: self.dst_mac,
            tunnel_id: self.tunnel_id,
            mpls_labels: self.mpls_labels,
            n_mpls_labels: self.n_mpls_labels,
            vlan: self.vlan,
            inner_vlan: self.inner_vlan,
            tunnel_type: self.tunnel_type,
            ..Self::default()
        }
    }
}

/// Reads a sampled header into `out`, over whatever it held.
pub fn dissect(link: Link, frame: &[u8], decapsulate: Decapsulate, out: &mut Packet) {
    *out = Packet::default();
    if let Some(tunnel) = link::read(link, Octets::new(frame, decapsulate.ports), out) {
        take_apart(tunnel, decapsulate, out);
    }
}

/// Moves `packet` inwards, tunnel by tunnel. Not inlined: most samples hold none.
#[inline(never)]
fn take_apart(outermost: Tunnel<'_>, decapsulate: Decapsulate, packet: &mut Packet) {
    packet.tunnel_type = outermost.kind;
    packet.tunnel_id = outermost.id;
    let (outer_src_addr, outer_dst_addr) = (packet.src_addr, packet.dst_addr);
    let mut next = Some(outermost);
    for _ in 0..MAX_TUNNELS {
        let Some(Tunnel { family, inner: Some((link, octets)), .. }) = next else { return };
        if !decapsulate.contains(family) {
            return;
        }
        let mut inner = packet.inner();
        next = link::read(link, octets, &mut inner);
        if !inner.has_ip() {
            return;
        }
        *packet = Packet { outer_src_addr, outer_dst_addr, ..inner };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::columns::TUNNEL_TYPES;

    #[test]
    fn tunnel_types_are_those_of_the_column() {
        let label = |value: u8| TUNNEL_TYPES.iter().find(|(v, _)| *v == value).map(|(_, label)| *label);
        assert_eq!(label(tunnel_type::NONE), Some("none"));
        assert_eq!(label(tunnel_type::GRE), Some("gre"));
        assert_eq!(label(tunnel_type::IPIP), Some("ipip"));
        assert_eq!(label(tunnel_type::VXLAN), Some("vxlan"));
        assert_eq!(label(tunnel_type::GENEVE), Some("geneve"));
        assert_eq!(label(tunnel_type::MPLS), Some("mpls"));
        assert_eq!(label(tunnel_type::NVGRE), Some("nvgre"));
        assert_eq!(label(tunnel_type::OTHER), Some("other"));
        assert_eq!(label(tunnel_type::ERSPAN), Some("erspan"));
        assert_eq!(label(tunnel_type::GTP), Some("gtp"));
    }

    #[test]
    fn a_set_is_made_of_its_names() {
        let names = ["gre", "ipip", "vxlan", "geneve", "erspan", "gtp", "mpls"];
        let all = names.map(|name| Decapsulate::by_name(name).unwrap());
        assert_eq!(all.into_iter().fold(Decapsulate::NONE, |set, one| set | one), Decapsulate::ALL);
        assert!(!(Decapsulate::GRE | Decapsulate::IPIP).contains(Decapsulate::VXLAN));
        assert_eq!(Decapsulate::by_name("l2tp"), None);
    }

    #[test]
    fn ip_is_told_by_its_version() {
        assert_eq!(Link::of_ip(&[0x45, 0]), Some(Link::Ipv4));
        assert_eq!(Link::of_ip(&[0x60]), Some(Link::Ipv6));
        assert_eq!(Link::of_ip(&[0x55]), None);
        assert_eq!(Link::of_ip(&[]), None);
    }
}
