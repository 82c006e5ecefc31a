//! Interfaces of a sample: an ifIndex, a reason for having none, or several.

/// Stands for the device itself: the packet came from it or ended in it.
const INTERNAL: u32 = 0x3fff_ffff;

/// Where a packet came in or went out (sFlow v5, `interface` and `interface_expanded`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    /// 0 is unknown, or internal to the device.
    Index(u32),
    /// Nowhere: the packet was dropped, for this reason.
    Discarded(u32),
    /// To so many interfaces, 0 if their number is unknown.
    Multiple(u32),
    /// A format that version 5 does not have.
    Unknown,
}

impl Interface {
    /// Two bits of format, thirty of value.
    pub(super) const fn compact(octets: u32) -> Self {
        Self::expanded(octets >> 30, octets & INTERNAL)
    }

    /// Format and value apart: an ifIndex has all its 32 bits.
    pub(super) const fn expanded(format: u32, value: u32) -> Self {
        match (format, value) {
            (0, INTERNAL) => Self::Index(0),
            (0, index) => Self::Index(index),
            (1, reason) => Self::Discarded(reason),
            (2, n) => Self::Multiple(n),
            _ => Self::Unknown,
        }
    }

    /// The value of the `in_if_index` and `out_if_index` columns.
    pub(super) const fn if_index(self) -> u32 {
        match self {
            Self::Index(index) => index,
            Self::Discarded(_) | Self::Multiple(_) | Self::Unknown => 0,
        }
    }

    pub(super) const fn discard_reason(self) -> Option<u32> {
        match self {
            Self::Discarded(reason) => Some(reason),
            _ => None,
        }
    }
}

/// The value of the `forwarding_status` column (RFC 7270 §4.12: upper two bits 2, dropped) for a reason of sFlow: codes
/// up to 255 are those of ICMP destination unreachable, the others are sFlow's own (sflow.org `drop_reason`).
///
/// The registry of forwardingStatus is the coarser one: what it has no word for is "dropped, unknown".
pub(super) const fn forwarding_status(reason: u32) -> u8 {
    const DROPPED: u8 = 0b10 << 6;
    const ACL_DENY: u8 = DROPPED | 1;
    const ACL_DROP: u8 = DROPPED | 2;
    const UNROUTABLE: u8 = DROPPED | 3;
    const ADJACENCY: u8 = DROPPED | 4;
    const FRAGMENTATION: u8 = DROPPED | 5;
    const BAD_TTL: u8 = DROPPED | 9;
    const POLICER: u8 = DROPPED | 10;
    const WRED: u8 = DROPPED | 11;
    const RPF: u8 = DROPPED | 12;
    const BAD_OUTPUT: u8 = DROPPED | 14;
    match reason {
        // Net unreachable, source route failed, net or host unknown, isolated, unreachable for this TOS.
        0 | 5..=8 | 11 | 12 => UNROUTABLE,
        // Blackhole route, not routable.
        269 | 281 => UNROUTABLE,
        // Host unreachable, unresolved neighbour.
        1 | 279 => ADJACENCY,
        // Fragmentation needed, packet too big.
        4 | 262 => FRAGMENTATION,
        // Prohibited by an administrator: net, host, communication; precedence.
        9 | 10 | 13..=15 => ACL_DENY,
        257 => BAD_TTL,
        258 => ACL_DROP,
        260 => WRED,
        // Traffic shaping.
        261 => POLICER,
        // Port list is empty, port loopback filter.
        267 | 268 => BAD_OUTPUT,
        // Multicast reverse path forwarding.
        280 => RPF,
        _ => DROPPED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_two_bits_are_the_format() {
        assert_eq!(Interface::compact(0x0000_001b), Interface::Index(27));
        assert_eq!(Interface::compact(0x4000_0102), Interface::Discarded(258));
        assert_eq!(Interface::compact(0x8000_0007), Interface::Multiple(7));
        assert_eq!(Interface::compact(0xc000_0001), Interface::Unknown);
    }

    #[test]
    fn the_internal_interface_is_none() {
        assert_eq!(Interface::compact(0x3fff_ffff), Interface::Index(0));
        assert_eq!(Interface::expanded(0, 0x3fff_ffff), Interface::Index(0));
    }

    #[test]
    fn expanded_interfaces_have_all_bits_of_the_index() {
        assert_eq!(Interface::expanded(0, 1_285_816_721).if_index(), 1_285_816_721);
        assert_eq!(Interface::expanded(2, 9).if_index(), 0);
        assert_eq!(Interface::expanded(1, 256).if_index(), 0);
    }

    #[test]
    fn every_reason_is_a_drop() {
        for reason in (0..300).chain([u32::MAX]) {
            assert_eq!(forwarding_status(reason) >> 6, 2, "reason {reason}");
        }
        assert_eq!(forwarding_status(256), 128); // unknown
        assert_eq!(forwarding_status(257), 137); // TTL exceeded
        assert_eq!(forwarding_status(258), 130); // ACL
        assert_eq!(forwarding_status(1), 132); // host unreachable
    }
}
