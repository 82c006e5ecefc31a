//! Senders whose datagrams were discarded: the last few for each reason.
//!
//! A sender of garbage, or of a version that Helios does not decode, is no exporter and has no state. An operator who
//! looks for a missing device finds its address here. The table is small and forged senders replace others: it lists the
//! last senders, not all of them.

use helios_common::exporter::Address;
use helios_common::time::UnixMs;

use super::DecodeError;

/// Senders that are kept for each reason.
pub const SENDERS_PER_REASON: usize = 16;

/// A sender and what became of its datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedSender {
    /// Where the datagrams came from.
    pub address: Address,
    /// Why its datagrams were discarded; a sender has an entry for each reason.
    pub reason: DecodeError,
    /// Datagrams discarded for this reason since it was first kept here.
    pub datagrams: u64,
    /// Arrival of the first of these datagrams.
    pub first_seen: UnixMs,
    /// Arrival of the last of these datagrams.
    pub last_seen: UnixMs,
}

impl RefusedSender {
    /// Puts together what several threads saw: the latest senders for each reason, the last one first.
    pub fn latest(mut all: Vec<Self>) -> Vec<Self> {
        all.sort_by_key(|sender| (sender.reason as u8, std::cmp::Reverse(sender.last_seen)));
        let mut latest: Vec<Self> = Vec::new();
        for sender in all {
            let room = of(&latest, sender.reason) < SENDERS_PER_REASON;
            match latest.iter_mut().find(|known| (known.address, known.reason) == (sender.address, sender.reason)) {
                Some(known) => {
                    known.datagrams += sender.datagrams;
                    known.first_seen = known.first_seen.min(sender.first_seen);
                }
                None if room => latest.push(sender),
                None => {}
            }
        }
        latest
    }
}

fn of(senders: &[RefusedSender], reason: DecodeError) -> usize {
    senders.iter().filter(|sender| sender.reason == reason).count()
}

/// The last senders for each reason.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    senders: Vec<RefusedSender>,
}

impl Refused {
    /// Takes note of a discarded datagram.
    pub(crate) fn note(&mut self, address: Address, reason: DecodeError, now: UnixMs) {
        let new = RefusedSender { address, reason, datagrams: 1, first_seen: now, last_seen: now };
        let same = |sender: &&mut RefusedSender| (sender.address, sender.reason) == (address, reason);
        if let Some(known) = self.senders.iter_mut().find(same) {
            known.datagrams += 1;
            known.last_seen = now;
        } else if of(&self.senders, reason) < SENDERS_PER_REASON {
            self.senders.push(new);
        } else if let Some(oldest) =
            self.senders.iter_mut().filter(|sender| sender.reason == reason).min_by_key(|sender| sender.last_seen)
        {
            *oldest = new;
        }
    }

    pub(crate) fn senders(&self) -> &[RefusedSender] {
        &self.senders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_senders_of_each_reason_are_kept_and_a_flood_of_one_reason_pushes_out_no_other() {
        let mut refused = Refused::default();
        let sender = |n: u128| n.to_be_bytes();
        refused.note(sender(1), DecodeError::BadCount, 10);
        refused.note(sender(1), DecodeError::BadCount, 20);
        for n in 0..1000 {
            refused.note(sender(n), DecodeError::UnknownVersion, 100 + n as i64);
        }
        let senders = refused.senders();
        assert_eq!(senders.len(), 1 + SENDERS_PER_REASON);
        let bad_count = RefusedSender {
            address: sender(1),
            reason: DecodeError::BadCount,
            datagrams: 2,
            first_seen: 10,
            last_seen: 20,
        };
        assert_eq!(senders[0], bad_count);
        assert!(senders[1..].iter().all(|sender| sender.last_seen >= 1100 - SENDERS_PER_REASON as i64));
        let both = RefusedSender::latest([senders, &[RefusedSender { last_seen: 5000, ..bad_count }]].concat());
        let of_both = both.iter().find(|sender| sender.reason == DecodeError::BadCount).unwrap();
        assert_eq!((both.len(), of_both.datagrams, of_both.last_seen), (senders.len(), 4, 5000));
    }
}
