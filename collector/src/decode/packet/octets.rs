//! The unread part of a sampled header, which knows how far into the frame it is.

use super::ports::TunnelPorts;

/// Octets of a frame from some offset on, and the ports by which tunnels in it are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Octets<'a> {
    rest: &'a [u8],
    offset: usize,
    ports: &'static TunnelPorts,
}

impl<'a> Octets<'a> {
    pub(super) const fn new(frame: &'a [u8], ports: &'static TunnelPorts) -> Self {
        Self { rest: frame, offset: 0, ports }
    }

    pub(super) const fn ports(self) -> &'static TunnelPorts {
        self.ports
    }

    /// Octets of the frame before these.
    pub(super) const fn offset(self) -> u32 {
        self.offset as u32
    }

    /// What an IP header at the front is of.
    pub(super) fn ip_link(self) -> Option<super::Link> {
        super::Link::of_ip(self.rest)
    }

    /// The first `N` octets; `None` if the header was cut before.
    #[inline]
    pub(super) fn first<const N: usize>(self) -> Option<&'a [u8; N]> {
        self.rest.first_chunk()
    }

    /// `N` octets from `at` on; `None` if the header was cut before.
    #[inline]
    pub(super) fn chunk_at<const N: usize>(self, at: usize) -> Option<&'a [u8; N]> {
        self.rest.get(at..)?.first_chunk()
    }

    /// What follows the first `n` octets; `None` if the header was cut before.
    #[inline]
    pub(super) fn after(self, n: usize) -> Option<Self> {
        Some(Self { rest: self.rest.get(n..)?, offset: self.offset + n, ..self })
    }

    /// At most `n` octets: what lies behind a packet's own length is padding of the frame.
    #[inline]
    pub(super) fn at_most(self, n: usize) -> Self {
        Self { rest: self.rest.get(..n).unwrap_or(self.rest), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_past_the_cut_is_none() {
        let octets = Octets::new(&[1, 2, 3, 4], &TunnelPorts::REGISTERED).after(1).unwrap();
        assert_eq!((octets.offset(), octets.first()), (1, Some(&[2, 3, 4])));
        assert_eq!(octets.first::<4>(), None);
        assert_eq!(octets.chunk_at(2), Some(&[4]));
        assert_eq!(octets.chunk_at::<1>(3), None);
        assert_eq!(octets.after(3).map(|rest| rest.first::<1>()), Some(None));
        assert_eq!(octets.after(4), None);
    }

    #[test]
    fn padding_is_cut_and_a_longer_length_changes_nothing() {
        let octets = Octets::new(&[1, 2, 3], &TunnelPorts::REGISTERED);
        assert_eq!(octets.at_most(2).first::<3>(), None);
        assert_eq!(octets.at_most(9), octets);
    }
}
