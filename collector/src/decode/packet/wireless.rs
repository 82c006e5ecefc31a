//! MAC frames of IEEE 802.11.
//!
//! ```text
//!   0  frame control: protocol version, type and subtype of the frame; flags
//!   2  duration
//!   4  address 1: the receiver
//!  10  address 2: the transmitter
//!  16  address 3
//!  22  sequence control
//!   +  address 4, if the frame goes from one access point to another
//!   +  QoS control, in QoS data; HT control behind it, if the order flag is set
//!   +  LLC and payload; in an A-MSDU, frames of the form of 802.3
//! ```
//!
//! Which of the addresses are source and destination follows from the two flags of direction (IEEE 802.11-2020 table
//! 9-30). Management and control frames carry no packets, encrypted payloads cannot be read: of both the addresses stay.

use super::Packet;
use super::link::{frame as ethernet, llc};
use super::octets::Octets;

const HEADER_OCTETS: usize = 24;
const ADDRESS_OCTETS: usize = 6;
const QOS_OCTETS: usize = 2;
const HT_CONTROL_OCTETS: usize = 4;

/// Protocol version and type in the first octet; data frames of version 0.
const TYPE_MASK: u8 = 0x0f;
const DATA: u8 = 0x08;
/// Subtypes of data: with QoS control, without data.
const QOS: u8 = 0x80;
const NO_DATA: u8 = 0x40;

// Flags in the second octet.
const TO_DS: u8 = 0x01;
const FROM_DS: u8 = 0x02;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;

/// In the first octet of QoS control: the payload is an A-MSDU.
const AGGREGATE: u8 = 0x80;

/// Addresses of a frame; returns the EtherType of its packet and the packet.
#[inline(never)]
pub(super) fn frame<'a>(octets: Octets<'a>, out: &mut Packet) -> Option<(u16, Octets<'a>)> {
    let &[kind, flags] = octets.first()?;
    if kind & TYPE_MASK != DATA {
        return None;
    }
    let address = |at: usize| octets.chunk_at::<ADDRESS_OCTETS>(at).map(mac);
    let (receiver, transmitter, third) = (address(4)?, address(10)?, address(16)?);
    let mut header_octets = HEADER_OCTETS;
    (out.dst_mac, out.src_mac) = match (flags & TO_DS != 0, flags & FROM_DS != 0) {
        (false, false) => (receiver, transmitter),
        (false, true) => (receiver, third),
        (true, false) => (third, transmitter),
        (true, true) => {
            header_octets += ADDRESS_OCTETS;
            (third, address(HEADER_OCTETS)?)
        }
    };
    let mut aggregate = false;
    if kind & QOS != 0 {
        let [control] = octets.chunk_at::<1>(header_octets)?;
        aggregate = control & AGGREGATE != 0;
        header_octets += QOS_OCTETS;
        if flags & ORDER != 0 {
            header_octets += HT_CONTROL_OCTETS;
        }
    }
    let body = octets.after(header_octets)?;
    out.layer3_offset = body.offset();
    if kind & NO_DATA != 0 || flags & PROTECTED != 0 {
        return None;
    }
    if aggregate {
        return ethernet(body, out);
    }
    let (ether_type, payload) = llc(body)?;
    out.layer3_offset = payload.offset();
    out.ether_type = ether_type;
    Some((ether_type, payload))
}

fn mac(octets: &[u8; ADDRESS_OCTETS]) -> u64 {
    octets.iter().fold(0, |value, &octet| value << 8 | u64::from(octet))
}

#[cfg(test)]
mod tests {
    use super::super::{Decapsulate, Link, dissect};
    use super::*;

    const ADDRESSES: [u8; 18] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 3];
    const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00];

    /// 192.0.2.1 to 192.0.2.2, protocol 59, 20 octets.
    const IPV4: [u8; 20] = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];

    fn packet(control: [u8; 2], behind_sequence: &[&[u8]]) -> Packet {
        let head = [&control[..], &[0, 0], &ADDRESSES, &[0x10, 0]].concat();
        let mut out = Packet::default();
        dissect(Link::Wireless, &[head, behind_sequence.concat()].concat(), Decapsulate::ALL, &mut out);
        out
    }

    fn last_octets(packet: &Packet) -> (u8, u8) {
        (packet.src_mac as u8, packet.dst_mac as u8)
    }

    #[test]
    fn the_direction_tells_which_addresses_are_the_ends() {
        for (flags, ends) in [(0, (2, 1)), (FROM_DS, (3, 1)), (TO_DS, (2, 3))] {
            let got = packet([DATA, flags], &[&SNAP, &IPV4]);
            assert_eq!((last_octets(&got), got.ether_type, got.proto), (ends, 0x0800, 59), "flags {flags}");
            assert_eq!((got.layer3_offset, got.layer3_length), (32, 20));
        }
        let got = packet([DATA, TO_DS | FROM_DS], &[&[2, 0, 0, 0, 0, 4], &SNAP, &IPV4]);
        assert_eq!((last_octets(&got), got.proto, got.layer3_offset), ((4, 3), 59, 38));
    }

    #[test]
    fn quality_of_service_and_high_throughput_lengthen_the_header() {
        let got = packet([DATA | QOS, TO_DS], &[&[6, 0], &SNAP, &IPV4]);
        assert_eq!((got.proto, got.layer3_offset), (59, 34));
        let got = packet([DATA | QOS, TO_DS | ORDER], &[&[6, 0], &[0; 4], &SNAP, &IPV4]);
        assert_eq!((got.proto, got.layer3_offset), (59, 38));
    }

    #[test]
    fn the_first_frame_of_an_aggregate_is_read() {
        let subframe = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0, 28];
        let got = packet([DATA | QOS, FROM_DS], &[&[AGGREGATE, 0], &subframe, &SNAP, &IPV4]);
        assert_eq!((last_octets(&got), got.proto), ((8, 9), 59));
    }

    #[test]
    fn what_is_encrypted_or_no_data_leaves_the_addresses_at_most() {
        let got = packet([DATA, TO_DS | PROTECTED], &[&SNAP, &IPV4]);
        assert_eq!((last_octets(&got), got.has_ip(), got.layer3_offset), ((2, 3), false, 24));
        assert!(!packet([DATA | NO_DATA, TO_DS], &[&SNAP, &IPV4]).has_ip());
        let beacon = packet([0x80, 0], &[&SNAP, &IPV4]);
        assert_eq!(beacon, Packet::default());
    }

    #[test]
    fn a_header_may_be_cut_anywhere() {
        let whole = [&[DATA | QOS, TO_DS | FROM_DS, 0, 0][..], &ADDRESSES, &[0; 10], &SNAP, &IPV4].concat();
        for cut in 0..whole.len() {
            let mut out = Packet::default();
            dissect(Link::Wireless, &whole[..cut], Decapsulate::ALL, &mut out);
            assert!(!out.has_ip(), "cut at {cut}");
        }
    }
}
