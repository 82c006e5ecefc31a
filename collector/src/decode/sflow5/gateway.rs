//! The extended gateway record: what BGP knows about the route of a sampled packet.

use helios_common::exporter::Address;

use super::super::DecodeError;
use super::super::cursor::Cursor;
use super::structures::{Words, any_address};
use super::words;

/// An extended gateway record, its lists checked and left in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gateway<'a> {
    pub next_hop: Address,
    /// The router's own AS where the record has 0: the source is its own network.
    pub src_as: u32,
    pub src_peer_as: u32,
    /// The last AS of the path; the router's own AS when the path is empty.
    pub dst_as: u32,
    /// The first AS of the path.
    pub dst_peer_as: u32,
    segments: &'a [u8],
    communities: Words<'a>,
    /// 0 if the record ends before it.
    pub local_pref: u32,
}

impl<'a> Gateway<'a> {
    /// Reads the record. Its local preference, the last field, may be missing.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when a list runs past the record.
    pub(super) fn parse(record: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let next_hop = any_address(record)?;
        let [own_as, src_as, src_peer_as, n_segments] = words(record)?;
        let start = record.rest();
        for _ in 0..n_segments {
            let [_, n_ases] = words(record)?;
            record.skip(n_ases as usize * 4)?;
        }
        let segments = start.get(..start.len() - record.remaining()).unwrap_or(&[]);
        let communities = Words::parse(record)?;
        let local_pref = record.u32().unwrap_or(0);
        let mut gateway = Self {
            next_hop,
            src_as: if src_as == 0 { own_as } else { src_as },
            src_peer_as,
            dst_as: own_as,
            dst_peer_as: 0,
            segments,
            communities,
            local_pref,
        };
        let mut path = gateway.as_path();
        if let Some(first) = path.next() {
            gateway.dst_peer_as = first;
            gateway.dst_as = path.last().unwrap_or(first);
        }
        Ok(gateway)
    }

    /// The ASes of all segments, nearest first. The members of an AS_SET have no order; they come as they were sent.
    pub(super) fn as_path(&self) -> impl Iterator<Item = u32> + use<'a> {
        let mut segments = Cursor::new(self.segments);
        let mut n_ases = 0;
        std::iter::from_fn(move || {
            while n_ases == 0 {
                [_, n_ases] = words(&mut segments).ok()?;
            }
            n_ases -= 1;
            segments.u32().ok()
        })
    }

    pub(super) fn communities(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.communities.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::exporter::{NO_ADDRESS, mapped};

    #[rustfmt::skip]
    const RECORD: [u32; 18] = [
        1, 0xc000_0201,                // next hop 192.0.2.1
        64500, 64501, 64502,           // own AS, source AS, source peer AS
        3,                             // segments of the path
        2, 2, 100, 200,                // AS_SEQUENCE of two
        2, 0,                          // an empty one
        1, 1, 300,                     // AS_SET of one
        1, 0xfbf4_0001,                // one community, 64500:1
        100,                           // local preference
    ];

    fn octets(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn the_path_runs_over_its_segments() {
        let octets = octets(&RECORD);
        let gateway = Gateway::parse(&mut Cursor::new(&octets)).unwrap();
        assert_eq!(gateway.next_hop, mapped([192, 0, 2, 1]));
        assert_eq!((gateway.src_as, gateway.src_peer_as), (64501, 64502));
        assert_eq!((gateway.dst_peer_as, gateway.dst_as), (100, 300));
        assert_eq!(gateway.as_path().collect::<Vec<_>>(), [100, 200, 300]);
        assert_eq!(gateway.communities().collect::<Vec<_>>(), [0xfbf4_0001]);
        assert_eq!(gateway.local_pref, 100);
    }

    #[test]
    fn an_empty_path_and_no_source_mean_the_routers_own_as() {
        let octets = octets(&[0, 64500, 0, 0, 0, 0, 100]);
        let gateway = Gateway::parse(&mut Cursor::new(&octets)).unwrap();
        assert_eq!((gateway.next_hop, gateway.src_as, gateway.dst_as), (NO_ADDRESS, 64500, 64500));
        assert_eq!((gateway.dst_peer_as, gateway.as_path().count()), (0, 0));
    }

    #[test]
    fn lists_that_run_past_the_record_are_refused() {
        let whole = octets(&RECORD);
        // Without the local preference the record is still complete in what it is read for.
        for cut in 0..whole.len() - 4 {
            assert_eq!(Gateway::parse(&mut Cursor::new(&whole[..cut])), Err(DecodeError::Truncated), "cut at {cut}");
        }
        let without = Gateway::parse(&mut Cursor::new(&whole[..whole.len() - 4])).unwrap();
        assert_eq!(without.local_pref, 0);
        let mut long = RECORD;
        long[7] = u32::MAX;
        assert_eq!(Gateway::parse(&mut Cursor::new(&octets(&long))), Err(DecodeError::Truncated));
    }
}
