//! IPv4 and IPv6 headers, as far as it takes to find UDP.
//!
//! Sources: RFC 791, RFC 8200 (extension headers §4), RFC 4302 (authentication header), RFC 768.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use helios_collector::decode::cursor::Cursor;

pub(super) const UDP: u8 = 17;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

const UDP_HEADER_OCTETS: usize = 8;

/// An IP packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ip<'a> {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub payload: &'a [u8],
    /// Present if the packet is not a whole one.
    pub fragment: Option<Fragment>,
}

/// Which part of a packet a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fragment {
    pub id: u32,
    /// In octets.
    pub offset: usize,
    pub more: bool,
}

impl Fragment {
    /// From the 16 bits that hold the offset in units of 8 octets, in their upper or lower 13 bits.
    fn of(id: u32, units: u16, more: bool) -> Option<Self> {
        (units > 0 || more).then_some(Self { id, offset: usize::from(units) * 8, more })
    }
}

/// A UDP datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Udp<'a> {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub payload: &'a [u8],
    /// There is less than the headers say: the capture kept only the first octets of each packet.
    pub cut: bool,
}

impl<'a> Ip<'a> {
    /// Parses an IPv4 or IPv6 packet; `None` if the octets are neither.
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::parse_v4(packet),
            6 => Self::parse_v6(packet),
            _ => None,
        }
    }

    fn parse_v4(packet: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(packet);
        let header_octets = usize::from(cursor.u8().ok()? & 0x0f) * 4;
        cursor.skip(1).ok()?;
        let length = usize::from(cursor.u16().ok()?);
        let id = u32::from(cursor.u16().ok()?);
        let flags_and_offset = cursor.u16().ok()?;
        cursor.skip(1).ok()?;
        let protocol = cursor.u8().ok()?;
        cursor.skip(2).ok()?;
        let src = Ipv4Addr::from(cursor.array().ok()?).into();
        let dst = Ipv4Addr::from(cursor.array().ok()?).into();
        // Zero is what a sending host's capture has where the network card cuts the segments.
        let end = if length == 0 { packet.len() } else { length.min(packet.len()) };
        let payload = packet.get(header_octets.max(20)..end)?;
        let fragment = Fragment::of(id, flags_and_offset & 0x1fff, flags_and_offset & 0x2000 != 0);
        Some(Self { src, dst, protocol, payload, fragment })
    }

    fn parse_v6(packet: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(packet);
        cursor.skip(4).ok()?;
        let length = usize::from(cursor.u16().ok()?);
        let mut protocol = cursor.u8().ok()?;
        cursor.skip(1).ok()?;
        let src = Ipv6Addr::from(cursor.array::<16>().ok()?).into();
        let dst = Ipv6Addr::from(cursor.array::<16>().ok()?).into();
        let end = if length == 0 { cursor.remaining() } else { length.min(cursor.remaining()) };
        let mut cursor = Cursor::new(cursor.take(end).ok()?);
        let mut fragment = None;
        loop {
            let header_octets = match protocol {
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => usize::from(*cursor.rest().get(1)?) * 8 + 8,
                AUTHENTICATION => usize::from(*cursor.rest().get(1)?) * 4 + 8,
                FRAGMENT => 8,
                _ => break,
            };
            let mut header = Cursor::new(cursor.take(header_octets).ok()?);
            let is_fragment = protocol == FRAGMENT;
            protocol = header.u8().ok()?;
            if is_fragment {
                header.skip(1).ok()?;
                let offset_and_flags = header.u16().ok()?;
                fragment = Fragment::of(header.u32().ok()?, offset_and_flags >> 3, offset_and_flags & 1 != 0);
                // Behind the first fragment there are no headers, only octets of the packet.
                break;
            }
        }
        Some(Self { src, dst, protocol, payload: cursor.rest(), fragment })
    }

    /// Parses the whole payload of the packet, or of its fragments joined, as a datagram.
    pub(super) fn udp<'b>(&self, payload: &'b [u8]) -> Option<Udp<'b>> {
        let mut cursor = Cursor::new(payload);
        let source = SocketAddr::new(self.src, cursor.u16().ok()?);
        let destination = SocketAddr::new(self.dst, cursor.u16().ok()?);
        let length = usize::from(cursor.u16().ok()?);
        cursor.skip(2).ok()?;
        // Zero: as with IP, or an IPv6 jumbogram (RFC 2675).
        let promised = if length == 0 { cursor.remaining() } else { length.checked_sub(UDP_HEADER_OCTETS)? };
        let cut = promised > cursor.remaining();
        let payload = cursor.take(promised.min(cursor.remaining())).ok()?;
        Some(Udp { source, destination, payload, cut })
    }
}
