//! Below IP: Ethernet with its tags and LLC, PPP, PPPoE, backbone bridges, MPLS and the pseudowires inside it.
//!
//! Each layer hands what it did not read to the next one above, down to the tunnel that may begin there.

use super::octets::Octets;
use super::tunnel::Tunnel;
use super::{Link, MAX_LABELS, Packet, ip, tunnel_type, wireless};

pub(super) const ETHER_TYPE_IPV4: u16 = 0x0800;
pub(super) const ETHER_TYPE_IPV6: u16 = 0x86dd;
pub(super) const ETHER_TYPE_MPLS: u16 = 0x8847;
/// MPLS with upstream-assigned labels (RFC 5332).
pub(super) const ETHER_TYPE_MPLS_UPSTREAM: u16 = 0x8848;

/// A session of PPP over Ethernet (RFC 2516 §4).
const ETHER_TYPE_PPPOE: u16 = 0x8864;
/// The I-TAG of a backbone bridge (IEEE 802.1ah), behind which a customer's whole frame stands.
const ETHER_TYPE_BACKBONE: u16 = 0x88e7;

/// Octets of a tag in front of the EtherType behind it, if it is one: 802.1Q, 802.1ad, and the two that switches used
/// for stacked tags before 802.1ad; Cisco's VN-Tag; the E-TAG of 802.1BR and Cisco's metadata with a security group.
const fn tag_octets(ether_type: u16) -> Option<usize> {
    match ether_type {
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => Some(VLAN_TAG_OCTETS),
        0x8926 => Some(4),
        0x893f | 0x8909 => Some(6),
        _ => None,
    }
}

/// Octets of a VLAN tag's control information: no other tag is so short.
const VLAN_TAG_OCTETS: usize = 2;

/// EtherTypes below are lengths of 802.3 frames.
const MIN_ETHER_TYPE: u16 = 0x0600;

const FRAME_HEADER_OCTETS: usize = 14;
const ETHER_TYPE_OCTETS: usize = 2;
/// Version and type, code, session, length.
const PPPOE_OCTETS: usize = 6;
/// Flags and the 24 bits of the service.
const BACKBONE_TAG_OCTETS: usize = 4;
const LABEL_OCTETS: usize = 4;
const CONTROL_WORD_OCTETS: usize = 4;

const LLC_OCTETS: usize = 3;
const SNAP_OCTETS: usize = 5;

/// VLAN id of a tag: the upper four bits are priority and drop eligibility.
const VLAN_ID_MASK: u16 = 0x0fff;

const BOTTOM_OF_STACK: u32 = 1 << 8;

/// Reads a packet from its link layer on; returns the tunnel that its payload is.
#[inline]
pub(super) fn read<'a>(link: Link, octets: Octets<'a>, out: &mut Packet) -> Option<Tunnel<'a>> {
    match link {
        Link::Ethernet => match frame(octets, out)? {
            (ETHER_TYPE_BACKBONE, payload) => behind_link(backbone(payload, out)?, out),
            read => behind_link(read, out),
        },
        Link::Ppp => behind_link(ppp(octets, out)?, out),
        Link::Wireless => behind_link(wireless::frame(octets, out)?, out),
        Link::Llc => behind_link(llc(octets)?, out),
        Link::Ipv4 => ip::v4(octets, out),
        Link::Ipv6 => ip::v6(octets, out),
        Link::Mpls => mpls(octets, out),
    }
}

#[inline]
fn behind_link<'a>((ether_type, payload): (u16, Octets<'a>), out: &mut Packet) -> Option<Tunnel<'a>> {
    match ether_type {
        ETHER_TYPE_MPLS | ETHER_TYPE_MPLS_UPSTREAM => mpls(payload, out),
        _ => network_layer(ether_type, payload, out),
    }
}

#[inline]
fn network_layer<'a>(ether_type: u16, payload: Octets<'a>, out: &mut Packet) -> Option<Tunnel<'a>> {
    match ether_type {
        ETHER_TYPE_IPV4 => ip::v4(payload, out),
        ETHER_TYPE_IPV6 => ip::v6(payload, out),
        _ => None,
    }
}

/// Addresses and tags of a frame; returns its EtherType and payload.
#[inline]
pub(super) fn frame<'a>(octets: Octets<'a>, out: &mut Packet) -> Option<(u16, Octets<'a>)> {
    let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = octets.first::<FRAME_HEADER_OCTETS>()?;
    out.dst_mac = u64::from_be_bytes([0, 0, d0, d1, d2, d3, d4, d5]);
    out.src_mac = u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]);
    let mut ether_type = u16::from_be_bytes([t0, t1]);
    let mut payload = octets.after(FRAME_HEADER_OCTETS)?;
    while let Some(n) = tag_octets(ether_type) {
        let Some(behind) = payload.chunk_at::<ETHER_TYPE_OCTETS>(n) else { break };
        if n == VLAN_TAG_OCTETS {
            tag(u16::from_be_bytes(*payload.first()?) & VLAN_ID_MASK, out);
        }
        ether_type = u16::from_be_bytes(*behind);
        payload = payload.after(n + ETHER_TYPE_OCTETS)?;
    }
    out.layer3_offset = payload.offset();
    if ether_type < MIN_ETHER_TYPE {
        (ether_type, payload) = llc(payload)?;
        out.layer3_offset = payload.offset();
    } else if ether_type == ETHER_TYPE_PPPOE {
        out.ether_type = ether_type;
        (ether_type, payload) = pppoe(payload)?;
        out.layer3_offset = payload.offset();
    }
    out.ether_type = ether_type;
    Some((ether_type, payload))
}

/// What a session of PPP over Ethernet carries: PPP without the octets of its framing (RFC 2516 §4: version and type are
/// 1, the code of a session is 0).
#[inline(never)]
fn pppoe(octets: Octets<'_>) -> Option<(u16, Octets<'_>)> {
    match *octets.first::<2>()? {
        [0x11, 0] => ppp_protocol(octets.after(PPPOE_OCTETS)?),
        _ => None,
    }
}

/// The customer's frame behind the I-TAG of a backbone bridge. The service is the tunnel's id; the MAC addresses
/// become the customer's. Backbones inside backbones are not followed.
#[inline(never)]
fn backbone<'a>(octets: Octets<'a>, out: &mut Packet) -> Option<(u16, Octets<'a>)> {
    let &[_, s0, s1, s2] = octets.first::<BACKBONE_TAG_OCTETS>()?;
    out.tunnel_type = tunnel_type::OTHER;
    out.tunnel_id = u32::from_be_bytes([0, s0, s1, s2]);
    frame(octets.after(BACKBONE_TAG_OCTETS)?, out)
}

/// The LLC header of an 802.3 frame; returns the EtherType that it stands for and the payload. RFC 1042 §"Header
/// Format": SNAP has the EtherType behind an organisation of 0, or of 0000f8 where a bridge put it in (IEEE 802.1H).
#[inline(never)]
pub(super) fn llc(octets: Octets<'_>) -> Option<(u16, Octets<'_>)> {
    match *octets.first::<LLC_OCTETS>()? {
        [0xaa, 0xaa, 0x03] => {
            let octets = octets.after(LLC_OCTETS)?;
            let &[o0, o1, o2, t0, t1] = octets.first::<SNAP_OCTETS>()?;
            let known = matches!([o0, o1, o2], [0, 0, 0] | [0, 0, 0xf8]);
            known.then_some(u16::from_be_bytes([t0, t1])).zip(octets.after(SNAP_OCTETS))
        }
        [0x06, 0x06, 0x03] => Some((ETHER_TYPE_IPV4, octets.after(LLC_OCTETS)?)),
        _ => None,
    }
}

/// The header of PPP; returns the EtherType that its protocol stands for and the payload.
///
/// In front of the protocol may stand the all-stations address and the control octet of HDLC-like framing (RFC 1662
/// §3.1), which links agree to leave out. Cisco's HDLC has other addresses there, and an EtherType. A protocol of one
/// octet is odd (RFC 1661 §6.5).
#[inline(never)]
fn ppp<'a>(octets: Octets<'a>, out: &mut Packet) -> Option<(u16, Octets<'a>)> {
    let (ether_type, payload) = match octets.first::<2>()? {
        [0x0f | 0x8f, 0x00] => {
            let octets = octets.after(2)?;
            (u16::from_be_bytes(*octets.first::<2>()?), octets.after(2)?)
        }
        [0xff, 0x03] => ppp_protocol(octets.after(2)?)?,
        _ => ppp_protocol(octets)?,
    };
    out.layer3_offset = payload.offset();
    Some((ether_type, payload))
}

fn ppp_protocol(octets: Octets<'_>) -> Option<(u16, Octets<'_>)> {
    let (protocol, n_octets) = match *octets.first::<1>()? {
        [odd] if odd & 1 == 1 => (u16::from(odd), 1),
        _ => (u16::from_be_bytes(*octets.first::<2>()?), 2),
    };
    let ether_type = match protocol {
        0x0021 => ETHER_TYPE_IPV4,
        0x0057 => ETHER_TYPE_IPV6,
        0x0281 => ETHER_TYPE_MPLS,
        0x0283 => ETHER_TYPE_MPLS_UPSTREAM,
        _ => return None,
    };
    Some((ether_type, octets.after(n_octets)?))
}

/// Keeps the two outermost VLANs. Id 0 is a priority tag: it names no VLAN.
fn tag(vlan: u16, out: &mut Packet) {
    if out.vlan == 0 {
        out.vlan = vlan;
    } else if out.inner_vlan == 0 {
        out.inner_vlan = vlan;
    }
}

/// Walks a label stack. What follows the bottom has no type of its own: its first four bits tell IPv4, IPv6 and
/// the control word of a pseudowire apart (RFC 4385 §3), anything else is refused.
///
/// An Ethernet pseudowire without a control word cannot be told from IP when its destination address begins with
/// 4 or 6, the reason why RFC 8469 asks for the control word; it is refused or fails the checks of the IP header.
#[inline(never)]
fn mpls<'a>(mut octets: Octets<'a>, out: &mut Packet) -> Option<Tunnel<'a>> {
    loop {
        let entry = u32::from_be_bytes(*octets.first::<LABEL_OCTETS>()?);
        octets = octets.after(LABEL_OCTETS)?;
        out.layer3_offset = octets.offset();
        let n = usize::from(out.n_mpls_labels);
        if n < MAX_LABELS
            && let Some(label) = out.mpls_labels.get_mut(n)
        {
            *label = entry >> 12;
            out.n_mpls_labels += 1;
        }
        if entry & BOTTOM_OF_STACK != 0 {
            break;
        }
    }
    match octets.first()? {
        [0x40..=0x4f] => ip::v4(octets, out),
        [0x60..=0x6f] => ip::v6(octets, out),
        [0x00..=0x0f] => {
            let (ether_type, payload) = frame(octets.after(CONTROL_WORD_OCTETS)?, out)?;
            if out.tunnel_type == tunnel_type::NONE {
                out.tunnel_type = tunnel_type::MPLS;
            }
            network_layer(ether_type, payload, out)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decapsulate, dissect};
    use super::*;

    #[rustfmt::skip]
    const MACS: [u8; 12] = [
        0x02, 0, 0, 0, 0, 0xdd,                          // destination
        0x02, 0, 0, 0, 0, 0x55,                          // source
    ];

    const VLAN_TPIDS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];

    /// 192.0.2.1 to 192.0.2.2, protocol 59, 20 octets.
    #[rustfmt::skip]
    const IPV4: [u8; 20] = [
        0x45, 0, 0, 20,  0, 0, 0, 0,  64, 59, 0, 0,      // version and IHL, TOS, length; id, fragment; TTL, protocol
        192, 0, 2, 1,    192, 0, 2, 2,
    ];

    fn packet(link: Link, parts: &[&[u8]]) -> Packet {
        let mut out = Packet::default();
        dissect(link, &parts.concat(), Decapsulate::ALL, &mut out);
        out
    }

    #[test]
    fn tags_of_every_type_in_any_order_are_masked_to_the_vlan() {
        for outer in VLAN_TPIDS {
            for inner in VLAN_TPIDS {
                // Priority 7 and drop eligible: the upper four bits of both tags are set.
                let tags = [outer.to_be_bytes(), [0xf0, 100], inner.to_be_bytes(), [0xf1, 0]].concat();
                let got = packet(Link::Ethernet, &[&MACS, &tags, &[0x08, 0x00], &IPV4]);
                assert_eq!((got.vlan, got.inner_vlan, got.ether_type), (100, 256, 0x0800));
                assert_eq!((got.layer3_offset, got.proto), (22, 59));
            }
        }
    }

    #[test]
    fn tags_of_fabrics_are_stepped_over() {
        let vn_tag = [0x89, 0x26, 0x80, 0x01, 0, 5];
        let e_tag = [0x89, 0x3f, 0x20, 1, 0, 2, 0, 3];
        let security_group = [0x89, 0x09, 1, 1, 0, 1, 0x12, 0x34];
        for tag in [&vn_tag[..], &e_tag, &security_group] {
            let got = packet(Link::Ethernet, &[&MACS, tag, &[0x81, 0, 0, 7, 0x08, 0], &IPV4]);
            assert_eq!((got.vlan, got.ether_type, got.proto), (7, 0x0800, 59));
            assert_eq!(got.layer3_offset as usize, 12 + tag.len() + 6);
            let cut = packet(Link::Ethernet, &[&MACS, &tag[..tag.len() - 1]]);
            assert_eq!((cut.ether_type.to_be_bytes(), cut.layer3_offset), ([tag[0], tag[1]], 14));
        }
    }

    #[test]
    fn pppoe_sessions_are_looked_into() {
        // Version and type 1, code 0, session 0x1234, length 22, PPP of IPv4.
        let session = [0x88, 0x64, 0x11, 0, 0x12, 0x34, 0, 22, 0, 0x21];
        let got = packet(Link::Ethernet, &[&MACS, &[0x81, 0, 0, 7], &session, &IPV4]);
        assert_eq!((got.vlan, got.ether_type, got.proto, got.layer3_offset), (7, 0x0800, 59, 26));
        assert_eq!((got.layer3_length, got.tunnel_type), (20, tunnel_type::NONE));
        // LCP in a session, and what is no session: the frame is all there is.
        for other in [[0x11, 0, 0, 1, 0, 2, 0xc0, 0x21], [0x21, 0, 0, 1, 0, 2, 0, 0x21], [0x11, 9, 0, 0, 0, 2, 0, 0x21]]
        {
            let got = packet(Link::Ethernet, &[&MACS, &[0x88, 0x64], &other, &IPV4]);
            assert_eq!((got.ether_type, got.has_ip(), got.layer3_offset), (0x8864, false, 14));
        }
    }

    #[test]
    fn the_frame_of_a_customer_is_behind_that_of_the_backbone() {
        let inner_macs = [0xaa, 0, 0, 0, 0, 1, 0xaa, 0, 0, 0, 0, 2];
        // B-TAG of VLAN 100, I-TAG of service 0x012345, the customer's frame with VLAN 9.
        let backbone = [0x88, 0xa8, 0, 100, 0x88, 0xe7, 0xe0, 0x01, 0x23, 0x45];
        let got = packet(Link::Ethernet, &[&MACS, &backbone, &inner_macs, &[0x81, 0, 0, 9, 0x08, 0], &IPV4]);
        assert_eq!((got.dst_mac, got.vlan, got.inner_vlan, got.proto), (0xaa00_0000_0001, 100, 9, 59));
        assert_eq!((got.tunnel_type, got.tunnel_id, got.layer3_offset), (tunnel_type::OTHER, 0x01_2345, 40));
        let nested = [&backbone[4..], &MACS[..]].concat().repeat(3000);
        assert!(!packet(Link::Ethernet, &[&MACS, &nested]).has_ip());
    }

    #[test]
    fn a_third_tag_is_passed_over_and_a_priority_tag_is_no_vlan() {
        let tags = [0x81, 0, 0xe0, 0, 0x81, 0, 0, 7, 0x81, 0, 0, 8, 0x81, 0, 0, 9];
        let got = packet(Link::Ethernet, &[&MACS, &tags, &[0x08, 0x00], &IPV4]);
        assert_eq!((got.vlan, got.inner_vlan, got.proto), (7, 8, 59));
    }

    #[test]
    fn a_tag_that_was_cut_leaves_the_macs() {
        let got = packet(Link::Ethernet, &[&MACS, &[0x81, 0, 0]]);
        assert_eq!((got.dst_mac, got.src_mac), (0x0200_0000_00dd, 0x0200_0000_0055));
        assert_eq!((got.vlan, got.ether_type, got.layer3_offset), (0, 0x8100, 14));
    }

    #[test]
    fn a_length_is_no_ether_type() {
        let got = packet(Link::Ethernet, &[&MACS, &[0x00, 0x26], &[0x42, 0x42, 3]]);
        assert_eq!((got.ether_type, got.has_ip(), got.layer3_offset), (0, false, 14));
    }

    #[test]
    fn snap_is_an_ether_type_behind_a_length() {
        for organisation in [[0, 0, 0], [0, 0, 0xf8]] {
            let got = packet(Link::Ethernet, &[&MACS, &[0, 28, 0xaa, 0xaa, 3], &organisation, &[0x08, 0x00], &IPV4]);
            assert_eq!((got.ether_type, got.proto, got.layer3_offset), (0x0800, 59, 22));
        }
        let tagged = [0x81, 0, 0, 7, 0, 28, 0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00];
        let got = packet(Link::Ethernet, &[&MACS, &tagged, &IPV4]);
        assert_eq!((got.vlan, got.proto, got.layer3_offset), (7, 59, 26));
        let got = packet(Link::Ethernet, &[&MACS, &[0, 23, 6, 6, 3], &IPV4]);
        assert_eq!((got.ether_type, got.proto, got.layer3_offset), (0x0800, 59, 17));
    }

    #[test]
    fn snap_of_other_organisations_is_no_ether_type() {
        // Cisco Discovery Protocol: 0x2000 of 00000c.
        let got = packet(Link::Ethernet, &[&MACS, &[0, 28, 0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0x00], &IPV4]);
        assert_eq!((got.ether_type, got.has_ip(), got.layer3_offset), (0, false, 14));
        let cut = packet(Link::Ethernet, &[&MACS, &[0, 28, 0xaa, 0xaa, 3, 0, 0]]);
        assert_eq!((cut.ether_type, cut.layer3_offset), (0, 14));
    }

    #[test]
    fn ppp_is_read_with_its_framing_without_and_compressed() {
        for header in [&[0xff, 3, 0, 0x21][..], &[0, 0x21], &[0x21], &[0xff, 3, 0x21]] {
            let got = packet(Link::Ppp, &[header, &IPV4]);
            assert_eq!((got.ether_type, got.proto, got.layer3_offset as usize), (0x0800, 59, header.len()));
        }
        let got = packet(Link::Ppp, &[&[0xff, 3, 0x02, 0x81, 0, 1, 0x11, 64], &IPV4]);
        assert_eq!((got.labels(), got.proto, got.layer3_offset), (&[17][..], 59, 8));
    }

    #[test]
    fn cisco_hdlc_is_told_from_ppp_by_its_address() {
        let got = packet(Link::Ppp, &[&[0x0f, 0, 0x08, 0], &IPV4]);
        assert_eq!((got.ether_type, got.proto, got.layer3_offset), (0x0800, 59, 4));
    }

    #[test]
    fn what_ppp_says_to_itself_is_no_packet() {
        // LCP.
        let got = packet(Link::Ppp, &[&[0xff, 3, 0xc0, 0x21], &IPV4]);
        assert_eq!((got.has_ip(), got.layer3_offset), (false, 0));
        for cut in [&[][..], &[0xff], &[0xff, 3], &[0xff, 3, 0]] {
            assert_eq!(packet(Link::Ppp, &[cut]), Packet::default());
        }
    }

    #[test]
    fn labels_are_kept_to_the_bottom_of_the_stack() {
        // 18 (EXP 5), 16, explicit null 0 with bottom of stack.
        let labels = [0x00, 0x01, 0x2a, 0xff, 0x00, 0x01, 0x00, 0xff, 0x00, 0x00, 0x01, 0xff];
        let got = packet(Link::Mpls, &[&labels, &IPV4]);
        assert_eq!((got.labels(), got.ether_type), (&[18, 16, 0][..], 0x0800));
        assert_eq!((got.layer3_offset, got.tunnel_type), (12, tunnel_type::NONE));
    }

    #[test]
    fn labels_beyond_the_limit_are_passed_over() {
        let mut labels = [[0, 1, 0, 64]; MAX_LABELS + 3].concat();
        *labels.last_mut().unwrap() = 64;
        let bottom = labels.len() - 2;
        labels[bottom] |= 1;
        let got = packet(Link::Mpls, &[&labels, &IPV4]);
        assert_eq!((got.labels(), got.proto), (&[16; MAX_LABELS][..], 59));
    }

    #[test]
    fn an_invalid_nibble_is_refused_and_the_labels_stay() {
        for first in [0x10, 0x30, 0x50, 0x70, 0xf5] {
            let got = packet(Link::Ethernet, &[&MACS, &[0x88, 0x47, 0, 6, 0x41, 64, first], &IPV4]);
            assert_eq!((got.labels(), got.has_ip(), got.ether_type), (&[100][..], false, 0x8847));
            assert_eq!((got.layer3_length, got.layer3_offset), (0, 18));
        }
    }

    #[test]
    fn a_pseudowire_is_looked_into_behind_its_control_word() {
        let label = [0, 1, 0x11, 64]; // 17, bottom of stack
        let inner_macs = [0xaa, 0, 0, 0, 0, 1, 0xaa, 0, 0, 0, 0, 2];
        let parts: [&[u8]; 6] = [&MACS, &[0x88, 0x47], &label, &[0, 0, 0, 9], &inner_macs, &[0x08, 0x00]];
        let got = packet(Link::Ethernet, &[&parts.concat(), &IPV4]);
        assert_eq!((got.labels(), got.tunnel_type, got.proto), (&[17][..], tunnel_type::MPLS, 59));
        assert_eq!((got.dst_mac, got.layer3_offset), (0xaa00_0000_0001, 36));
    }

    #[test]
    fn a_stack_without_a_bottom_ends_with_the_header() {
        let got = packet(Link::Mpls, &[&[0, 1, 0, 64].repeat(40)]);
        assert_eq!((got.labels().len(), got.has_ip()), (MAX_LABELS, false));
    }
}
