//! Blocks of pcap and pcapng files to packets with a time and a link type.

use std::io::{self, Read};

use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, InterfaceDescriptionBlock, PcapBlockOwned};

use super::link::Link;

/// Octets of a pcap file's header, and enough of a pcapng file to know the length of its first block.
const HEAD_OCTETS: usize = 24;

/// The first octets of a pcapng file, the same in both byte orders, and the byte-order mark behind its length.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];

/// Longest section header (it may hold comments) that is read.
const MAX_SECTION_HEADER_OCTETS: usize = 64 << 10;

const NS_PER_SEC: u128 = 1_000_000_000;

/// A captured packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub timestamp_ns: u64,
    /// `None` for a link type that is not known here.
    pub link: Option<Link>,
    pub octets: &'a [u8],
}

/// What earlier blocks say about the packets of later ones.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    interfaces: Vec<Interface>,
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: Option<Link>,
    units_per_sec: u128,
    offset_secs: i64,
}

impl Interface {
    fn of(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let exponent = u32::from(block.if_tsresol & 0x7f);
        let units_per_sec = match block.if_tsresol & 0x80 {
            0 => 10_u128.checked_pow(exponent),
            _ => 1_u128.checked_shl(exponent),
        };
        let link = Link::of(block.linktype.0);
        // A resolution beyond 128 bits does not exist: taken for nanoseconds, so that only the times are wrong.
        Self { link, units_per_sec: units_per_sec.unwrap_or(NS_PER_SEC).max(1), offset_secs: block.if_tsoffset }
    }

    fn unix_ns(&self, units: u64) -> u64 {
        let ns = u128::from(units).saturating_mul(NS_PER_SEC) / self.units_per_sec;
        let offset_ns = i128::from(self.offset_secs) * NS_PER_SEC as i128;
        let ns = i128::try_from(ns).unwrap_or(i128::MAX).saturating_add(offset_ns);
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

impl Blocks {
    /// The packet that a block holds, if it holds one.
    pub(super) fn packet<'a>(&mut self, block: &'a PcapBlockOwned<'_>) -> Option<Packet<'a>> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let units_per_sec = if header.is_nanosecond_precision() { NS_PER_SEC } else { 1_000_000 };
                self.interfaces = vec![Interface { link: Link::of(header.network.0), units_per_sec, offset_secs: 0 }];
                None
            }
            PcapBlockOwned::Legacy(packet) => {
                let interface = self.interfaces.first()?;
                let fraction_ns = u128::from(packet.ts_usec) * NS_PER_SEC / interface.units_per_sec;
                let timestamp_ns = (u128::from(packet.ts_sec) * NS_PER_SEC + fraction_ns) as u64;
                Some(Packet { timestamp_ns, link: interface.link, octets: packet.data })
            }
            PcapBlockOwned::NG(block) => self.ng_packet(block),
        }
    }

    fn ng_packet<'a>(&mut self, block: &'a Block<'_>) -> Option<Packet<'a>> {
        match block {
            Block::SectionHeader(_) => self.interfaces.clear(),
            Block::InterfaceDescription(description) => self.interfaces.push(Interface::of(description)),
            Block::EnhancedPacket(packet) => {
                let interface = self.interfaces.get(packet.if_id as usize);
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                return Some(Packet {
                    timestamp_ns: interface.map_or(0, |interface| interface.unix_ns(units)),
                    link: interface.and_then(|interface| interface.link),
                    octets: packet.packet_data(),
                });
            }
            // Has no time, and belongs to the first interface.
            Block::SimplePacket(packet) => {
                let link = self.interfaces.first().and_then(|interface| interface.link);
                return Some(Packet { timestamp_ns: 0, link, octets: packet.packet_data() });
            }
            _ => {}
        }
        None
    }
}

/// Reads as much of a capture as it takes to recognise it, however little a pipe gives at a time.
pub(super) fn read_head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    read_up_to(input, HEAD_OCTETS, &mut head)?;
    if let Some((magic, rest)) = head.split_first_chunk::<4>()
        && *magic == SECTION_HEADER
        && let Some((length, rest)) = rest.split_first_chunk::<4>()
    {
        let little = rest.starts_with(&LITTLE_ENDIAN);
        let length = if little { u32::from_le_bytes(*length) } else { u32::from_be_bytes(*length) };
        read_up_to(input, MAX_SECTION_HEADER_OCTETS.min(length as usize), &mut head)?;
    }
    Ok(head)
}

fn read_up_to(input: &mut impl Read, length: usize, head: &mut Vec<u8>) -> io::Result<()> {
    let missing = length.saturating_sub(head.len());
    input.take(missing as u64).read_to_end(head)?;
    Ok(())
}
