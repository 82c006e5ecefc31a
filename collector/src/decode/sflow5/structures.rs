//! Structures inside flow records, as they are on the wire.
//!
//! Each reads the octets it knows from the front of its record and leaves what may follow.

use helios_common::exporter::{Address, mapped};

use super::super::DecodeError;
use super::super::cursor::Cursor;
use super::super::packet::{Link, Packet};
use super::{address, words};

/// `sampled_header`: the first octets of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawHeader<'a> {
    /// `None` for a link layer that is not read.
    pub link: Option<Link>,
    pub frame_length: u32,
    /// Octets that were taken off the frame before it was copied, the frame check sequence among them.
    pub stripped: u32,
    pub octets: &'a [u8],
}

impl<'a> RawHeader<'a> {
    /// A header that is shorter than it says was cut by the agent's own buffer: what is there is read.
    #[inline]
    pub(super) fn parse(record: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let [protocol, frame_length, stripped, header_length] = words(record)?;
        let rest = record.rest();
        let octets = rest.get(..header_length as usize).unwrap_or(rest);
        Ok(Self { link: Link::of_sflow(protocol), frame_length, stripped, octets })
    }
}

/// `sampled_ethernet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ethernet {
    /// Octets of the frame, its check sequence included.
    pub length: u32,
    src_mac: u64,
    dst_mac: u64,
    ether_type: u16,
}

impl Ethernet {
    pub(super) fn parse(record: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let length = record.u32()?;
        let (src_mac, dst_mac) = (mac(record)?, mac(record)?);
        let ether_type = record.u32()? as u16;
        Ok(Self { length, src_mac, dst_mac, ether_type })
    }

    pub(super) fn fill(&self, packet: &mut Packet) {
        packet.src_mac = self.src_mac;
        packet.dst_mac = self.dst_mac;
        packet.ether_type = self.ether_type;
    }
}

/// Six octets, padded to eight as everything in XDR is.
fn mac(record: &mut Cursor<'_>) -> Result<u64, DecodeError> {
    record.u64().map(|padded| padded >> 16)
}

/// `sampled_ipv4` or `sampled_ipv6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ip {
    /// Octets of the packet.
    pub length: u32,
    pub proto: u8,
    pub src_addr: Address,
    pub dst_addr: Address,
    pub dst_port: u16,
    src_port: u16,
    tcp_flags: u16,
    tos: u8,
    version: u8,
}

impl Ip {
    pub(super) fn parse_v4(record: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let head = words(record)?;
        let (src_addr, dst_addr) = (mapped(record.array()?), mapped(record.array()?));
        Self::parse_rest(4, head, [src_addr, dst_addr], record)
    }

    pub(super) fn parse_v6(record: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let head = words(record)?;
        let addresses = [record.array()?, record.array()?];
        Self::parse_rest(6, head, addresses, record)
    }

    /// `extended_socket_ipv4`: the transport of an application's transaction, of which there is no packet. The client,
    /// the socket's remote end, is the source.
    pub(super) fn parse_socket_v4(record: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let proto = record.u32()?;
        let (local, remote) = (mapped(record.array()?), mapped(record.array()?));
        Self::of_socket(4, proto, [local, remote], record)
    }

    pub(super) fn parse_socket_v6(record: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let proto = record.u32()?;
        let ends = [record.array()?, record.array()?];
        Self::of_socket(6, proto, ends, record)
    }

    fn of_socket(
        version: u8,
        proto: u32,
        [local, remote]: [Address; 2],
        record: &mut Cursor<'_>,
    ) -> Result<Self, DecodeError> {
        let [local_port, remote_port] = words(record)?;
        Ok(Self {
            length: 0,
            proto: proto as u8,
            src_addr: remote,
            dst_addr: local,
            dst_port: local_port as u16,
            src_port: remote_port as u16,
            tcp_flags: 0,
            tos: 0,
            version,
        })
    }

    fn parse_rest(
        version: u8,
        [length, proto]: [u32; 2],
        [src_addr, dst_addr]: [Address; 2],
        record: &mut Cursor<'_>,
    ) -> Result<Self, DecodeError> {
        let [src_port, dst_port, tcp_flags, tos] = words(record)?;
        Ok(Self {
            length,
            proto: proto as u8,
            src_addr,
            dst_addr,
            dst_port: dst_port as u16,
            src_port: src_port as u16,
            tcp_flags: tcp_flags as u16,
            tos: tos as u8,
            version,
        })
    }

    pub(super) fn fill(&self, packet: &mut Packet) {
        packet.src_addr = self.src_addr;
        packet.dst_addr = self.dst_addr;
        packet.src_port = self.src_port;
        packet.dst_port = self.dst_port;
        packet.tcp_flags = self.tcp_flags;
        packet.proto = self.proto;
        packet.tos = self.tos;
        packet.ip_version = self.version;
        packet.ether_type = if self.version == 4 { 0x0800 } else { 0x86dd };
    }
}

/// `extended_switch`: the VLANs by which the packet came and went. 0 if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Switch {
    pub src_vlan: u16,
    pub dst_vlan: u16,
}

impl Switch {
    #[inline]
    pub(super) fn parse(record: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let [src_vlan, _src_priority, dst_vlan, _dst_priority] = words(record)?;
        Ok(Self { src_vlan: vlan_id(src_vlan), dst_vlan: vlan_id(dst_vlan) })
    }
}

/// Agents say that there is no VLAN with 0, some with all bits set.
const fn vlan_id(value: u32) -> u16 {
    if value <= 4095 { value as u16 } else { 0 }
}

/// `extended_router`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Router {
    pub next_hop: Address,
    pub src_mask: u8,
    pub dst_mask: u8,
}

impl Router {
    pub(super) fn parse(record: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let next_hop = any_address(record)?;
        let [src_mask, dst_mask] = words(record)?.map(|bits| if bits <= 128 { bits as u8 } else { 0 });
        Ok(Self { next_hop, src_mask, dst_mask })
    }
}

/// `extended_nat` and `extended_nat_port`: the packet after translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Nat {
    pub src_addr: Address,
    pub dst_addr: Address,
    pub src_port: u16,
    pub dst_port: u16,
}

impl Nat {
    pub(super) fn parse_addresses(self, record: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self { src_addr: any_address(record)?, dst_addr: any_address(record)?, ..self })
    }

    pub(super) fn parse_ports(self, record: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let [src_port, dst_port] = words(record)?.map(|port| port as u16);
        Ok(Self { src_port, dst_port, ..self })
    }
}

/// A list of unsigned integers that was left in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    pub(super) fn parse(record: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let n = record.u32()?;
        record.take(n as usize * 4).map(Self)
    }

    /// The list behind an address, as in `extended_mpls`: its incoming label stack. The outgoing one follows.
    pub(super) fn parse_after_address(record: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        any_address(record)?;
        Self::parse(record)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let (words, _) = self.0.as_chunks();
        words.iter().map(|octets| u32::from_be_bytes(*octets))
    }
}

/// The number in `extended_mpls_tunnel` and `extended_mpls_vc`, which stands behind a name.
pub(super) fn mpls_circuit(record: &mut Cursor<'_>) -> Result<u32, DecodeError> {
    const BEHIND_NAME_OCTETS: usize = 8;
    opaque(record, BEHIND_NAME_OCTETS)?;
    let [id, _class_of_service] = words(record)?;
    Ok(id)
}

/// The payload in `extended_80211_payload`, which stands behind the cipher suite.
pub(super) fn unencrypted<'a>(record: &mut Cursor<'a>) -> Result<&'a [u8], DecodeError> {
    let _cipher_suite = record.u32()?;
    opaque(record, 0)
}

/// Octets with their number in front, padded with zeros to whole words (RFC 4506 §4.10). Of an agent that does not pad,
/// no more than the `behind` octets of the fields that follow are left, and the first of these is not zero.
fn opaque<'a>(record: &mut Cursor<'a>, behind: usize) -> Result<&'a [u8], DecodeError> {
    let length = record.u32()? as usize;
    let octets = record.take(length)?;
    let is_field = |octets: &[u8]| octets.iter().take(4).any(|&octet| octet != 0);
    if record.remaining() > behind || !is_field(record.rest()) {
        let padding = length.wrapping_neg() % 4;
        record.skip(if behind == 0 { padding.min(record.remaining()) } else { padding })?;
    }
    Ok(octets)
}

/// An address of a type that is not known has a length that is not known either.
pub(super) fn any_address(record: &mut Cursor<'_>) -> Result<Address, DecodeError> {
    address(record)?.ok_or(DecodeError::BadLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// What a parser returns for every length of the record that is too short: never a value.
    #[track_caller]
    fn assert_needs_all<T>(record: &[u8], parse: impl Fn(&mut Cursor<'_>) -> Result<T, DecodeError>) -> T {
        for cut in 0..record.len() {
            assert_eq!(parse(&mut Cursor::new(&record[..cut])).err(), Some(DecodeError::Truncated), "cut at {cut}");
        }
        let mut longer = Cursor::new(record);
        let value = parse(&mut longer).unwrap();
        assert!(longer.is_empty());
        value
    }

    #[test]
    fn a_raw_header_that_was_cut_is_what_is_there() {
        let mut record = octets(&[1, 1518, 4, 6]);
        record.extend([1, 2, 3, 4, 5, 6, 0, 0]); // two octets of padding
        let header = RawHeader::parse(&mut Cursor::new(&record)).unwrap();
        assert_eq!((header.link, header.frame_length, header.stripped), (Some(Link::Ethernet), 1518, 4));
        assert_eq!(header.octets, [1, 2, 3, 4, 5, 6]);
        assert_eq!(RawHeader::parse(&mut Cursor::new(&record[..19])).unwrap().octets, [1, 2, 3]);
        assert!(RawHeader::parse(&mut Cursor::new(&record[..15])).is_err());
    }

    #[test]
    fn macs_are_padded_to_eight_octets() {
        // Length 64; source 02:00:00:00:00:05, destination 02:00:00:00:00:0d, each with two octets of padding; ARP.
        let record = octets(&[64, 0x0200_0000, 0x0005_ffff, 0x0200_0000, 0x000d_ffff, 0x0806]);
        let ethernet = assert_needs_all(&record, Ethernet::parse);
        let mut packet = Packet::default();
        ethernet.fill(&mut packet);
        assert_eq!((packet.src_mac, packet.dst_mac), (0x0200_0000_0005, 0x0200_0000_000d));
        assert_eq!((packet.ether_type, ethernet.length), (0x0806, 64));
    }

    #[test]
    fn ipv4_fields_are_words() {
        let record = octets(&[1500, 6, 0xc000_0201, 0xc633_6402, 49152, 443, 0x18, 0xb8]);
        let ip = assert_needs_all(&record, Ip::parse_v4);
        let mut packet = Packet::default();
        ip.fill(&mut packet);
        assert_eq!((packet.src_addr, packet.dst_addr), (mapped([192, 0, 2, 1]), mapped([198, 51, 100, 2])));
        assert_eq!((packet.proto, packet.src_port, packet.dst_port), (6, 49152, 443));
        assert_eq!((packet.tcp_flags, packet.tos, packet.ether_type, ip.length), (0x18, 0xb8, 0x0800, 1500));
    }

    #[test]
    fn ipv6_fields_are_words_but_for_the_addresses() {
        let record = octets(&[60, 17, 0x2001_0db8, 0, 0, 1, 0x2001_0db8, 0, 0, 2, 5353, 53, 0, 0x20]);
        let ip = assert_needs_all(&record, Ip::parse_v6);
        let mut packet = Packet::default();
        ip.fill(&mut packet);
        assert_eq!(
            (packet.src_addr[15], packet.dst_addr[15], packet.dst_addr[..4].to_vec()),
            (1, 2, vec![0x20, 1, 0xd, 0xb8])
        );
        assert_eq!((packet.proto, packet.dst_port, packet.tos, packet.ether_type), (17, 53, 0x20, 0x86dd));
    }

    #[test]
    fn a_vlan_beyond_twelve_bits_is_none() {
        let switch = assert_needs_all(&octets(&[100, 7, u32::MAX, u32::MAX]), Switch::parse);
        assert_eq!(switch, Switch { src_vlan: 100, dst_vlan: 0 });
    }

    #[test]
    fn a_router_has_a_next_hop_of_either_family_or_none() {
        let v4 = assert_needs_all(&octets(&[1, 0xc000_0201, 24, 16]), Router::parse);
        assert_eq!(v4, Router { next_hop: mapped([192, 0, 2, 1]), src_mask: 24, dst_mask: 16 });
        let v6 = assert_needs_all(&octets(&[2, 0x2001_0db8, 0, 0, 1, 48, 64]), Router::parse);
        assert_eq!((v6.next_hop[15], v6.src_mask, v6.dst_mask), (1, 48, 64));
        let none = assert_needs_all(&octets(&[0, 300, 0]), Router::parse);
        assert_eq!(none, Router::default());
        assert_eq!(Router::parse(&mut Cursor::new(&octets(&[9, 0, 0, 0]))), Err(DecodeError::BadLength));
    }

    #[test]
    fn nat_comes_in_two_records_that_do_not_undo_each_other() {
        let ports = assert_needs_all(&octets(&[1025, 80]), |record| Nat::default().parse_ports(record));
        let both = assert_needs_all(&octets(&[1, 0xc000_0201, 1, 0xc000_0202]), |record| ports.parse_addresses(record));
        assert_eq!((both.src_addr, both.dst_addr), (mapped([192, 0, 2, 1]), mapped([192, 0, 2, 2])));
        assert_eq!((both.src_port, both.dst_port), (1025, 80));
    }

    #[test]
    fn the_far_end_of_a_socket_is_the_source() {
        let record = octets(&[6, 0xc000_0201, 0xc633_6402, 443, 49152]);
        let ip = assert_needs_all(&record, Ip::parse_socket_v4);
        assert_eq!((ip.src_addr, ip.dst_addr), (mapped([198, 51, 100, 2]), mapped([192, 0, 2, 1])));
        assert_eq!((ip.src_port, ip.dst_port, ip.proto, ip.length), (49152, 443, 6, 0));
        let record = octets(&[17, 0x2001_0db8, 0, 0, 1, 0x2001_0db8, 0, 0, 2, 53, 5353]);
        let ip = assert_needs_all(&record, Ip::parse_socket_v6);
        assert_eq!((ip.src_addr[15], ip.dst_addr[15], ip.dst_port, ip.version), (2, 1, 53, 6));
    }

    #[test]
    fn names_are_padded_to_whole_words() {
        for (name, padded) in [("", ""), ("a", "a\0\0\0"), ("abcd", "abcd"), ("abcde", "abcde\0\0\0")] {
            let record = [&octets(&[name.len() as u32])[..], padded.as_bytes(), &octets(&[77, 5])].concat();
            assert_eq!(assert_needs_all(&record, mpls_circuit), 77);
        }
        assert!(mpls_circuit(&mut Cursor::new(&octets(&[u32::MAX, 1, 2]))).is_err());
    }

    #[test]
    fn a_list_is_as_long_as_it_says() {
        let list = assert_needs_all(&octets(&[2, 7, 8]), |record| {
            Words::parse(record).map(|list| list.iter().collect::<Vec<_>>())
        });
        assert_eq!(list, [7, 8]);
        assert!(Words::parse(&mut Cursor::new(&octets(&[u32::MAX, 7]))).is_err());
    }
}
