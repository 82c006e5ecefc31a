//! Link layers: where in a captured frame the IP packet begins.
//!
//! Source: tcpdump.org, "Link-layer header types"; the numbers are those of pcap files.

use helios_collector::decode::cursor::Cursor;

const ETHER_TYPE_IPV4: u16 = 0x0800;
const ETHER_TYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and what devices used before 802.1ad.
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// Link types in which IP is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// 4 octets of address family, in the byte order of the host (NULL) or of the network (LOOP).
    Loopback,
    Ethernet,
    /// IPv4 or IPv6 with nothing before it.
    Raw,
    /// Linux cooked, versions 1 and 2: captures on the interface "any".
    Cooked,
    Cooked2,
}

impl Link {
    pub(super) fn of(number: i32) -> Option<Self> {
        // The upper bits tell how long the frame check sequence is, which IP's own length makes irrelevant.
        Some(match number & 0xffff {
            0 | 108 => Self::Loopback,
            1 => Self::Ethernet,
            // 12 and 14 are what BSD systems write for raw IP; 228 and 229 are IPv4 and IPv6 alone.
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            113 => Self::Cooked,
            276 => Self::Cooked2,
            _ => return None,
        })
    }

    /// The IP packet in a frame; `None` if it holds something else.
    pub(super) fn ip_packet(self, frame: &[u8]) -> Option<&[u8]> {
        let mut cursor = Cursor::new(frame);
        match self {
            Self::Raw => {}
            // The numbers of IPv6's address family differ from system to system: the packet's version tells.
            Self::Loopback => cursor.skip(4).ok()?,
            Self::Ethernet => {
                cursor.skip(12).ok()?;
                skip_to_ip(&mut cursor)?;
            }
            Self::Cooked => {
                cursor.skip(14).ok()?;
                skip_to_ip(&mut cursor)?;
            }
            Self::Cooked2 => {
                let ether_type = cursor.u16().ok()?;
                cursor.skip(18).ok()?;
                skip_tags(ether_type, &mut cursor)?;
            }
        }
        Some(cursor.rest())
    }
}

fn skip_to_ip(cursor: &mut Cursor<'_>) -> Option<()> {
    let ether_type = cursor.u16().ok()?;
    skip_tags(ether_type, cursor)
}

fn skip_tags(mut ether_type: u16, cursor: &mut Cursor<'_>) -> Option<()> {
    while VLAN_TAGS.contains(&ether_type) {
        cursor.skip(2).ok()?;
        ether_type = cursor.u16().ok()?;
    }
    matches!(ether_type, ETHER_TYPE_IPV4 | ETHER_TYPE_IPV6).then_some(())
}
