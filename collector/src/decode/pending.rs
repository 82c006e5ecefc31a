//! Data sets that came before their template: held for a while, decoded when it arrives.

use std::collections::VecDeque;

use helios_common::time::UnixMs;

use super::sets::Header;

/// A template refresh is due within minutes on any device; what is older belongs to a template that left.
const MAX_AGE_MS: i64 = 30 * 60 * 1000;

/// Held octets of all exporters of one worker. When as many are held, further sets are not, and count as evicted:
/// spoofed senders do not push out what honest ones have waiting.
pub(super) const MAX_WORKER_HELD_OCTETS: usize = 64 << 20;

/// What a held set costs besides its octets: without it, sets of no record would be held for nothing, in any number. A queue
/// has room for twice as many sets as it holds at the most.
const OVERHEAD_OCTETS: usize = 2 * size_of::<HeldSet>();

/// A held set, with what its records need to be decoded as if they came when they did.
#[derive(Debug, Clone)]
pub(super) struct HeldSet {
    pub template: u16,
    pub octets: Vec<u8>,
    pub header: Header,
    pub received_at: UnixMs,
}

impl HeldSet {
    const fn cost(&self) -> usize {
        self.octets.len() + OVERHEAD_OCTETS
    }
}

helios_metrics::counters! {
    /// What happened to held sets, in sets.
    pub struct HeldCounts {
        /// Sets that were held, whatever became of them.
        pub held,
        /// Held sets whose template came in time.
        pub decoded,
        /// Held sets whose template did not come in time.
        pub expired,
        /// Sets that no room was left for: on arrival, or when later ones came.
        pub evicted,
    }
}

/// The held sets of one observation domain, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pending {
    sets: VecDeque<HeldSet>,
    octets: usize,
    pub counts: HeldCounts,
}

impl Pending {
    /// Holds a set, if `room` more octets have place for it; the oldest ones of this domain go while more than
    /// `max_octets` are held.
    pub(super) fn hold(&mut self, set: HeldSet, max_octets: usize, room: usize) {
        if set.cost() > max_octets.min(room) {
            self.counts.evicted += 1;
            return;
        }
        self.octets += set.cost();
        self.counts.held += 1;
        self.sets.push_back(set);
        while self.octets > max_octets {
            if self.pop().is_none() {
                break;
            }
            self.counts.evicted += 1;
        }
    }

    fn pop(&mut self) -> Option<HeldSet> {
        let set = self.sets.pop_front()?;
        self.octets -= set.cost();
        self.give_back();
        Some(set)
    }

    /// Shrinks the queue when it has room for more than twice as many sets as it holds, and leaves room for some.
    fn give_back(&mut self) {
        let held = self.sets.len();
        if self.sets.capacity() > 2 * held.max(2) {
            self.sets.shrink_to(held + held / 2);
        }
    }

    /// Takes out the sets of `template`, oldest first.
    pub(super) fn release(&mut self, template: u16, now: UnixMs) -> Vec<HeldSet> {
        self.expire(now);
        if !self.sets.iter().any(|set| set.template == template) {
            return Vec::new();
        }
        let mut released = Vec::new();
        for set in std::mem::take(&mut self.sets) {
            if set.template == template {
                released.push(set);
            } else {
                self.sets.push_back(set);
            }
        }
        self.octets = self.sets.iter().map(HeldSet::cost).sum();
        self.counts.decoded += released.len() as u64;
        released
    }

    /// Gives up sets that waited too long.
    pub(super) fn expire(&mut self, now: UnixMs) {
        while self.sets.front().is_some_and(|set| now - set.received_at > MAX_AGE_MS) {
            self.pop();
            self.counts.expired += 1;
        }
    }

    /// Takes sets back that were released, but not decoded yet.
    pub(super) fn take_back(&mut self, sets: impl Iterator<Item = HeldSet>) {
        for set in sets {
            self.octets += set.cost();
            self.counts.decoded -= 1;
            self.sets.push_back(set);
        }
        self.sets.make_contiguous().sort_by_key(|set| set.received_at);
    }

    /// What the held sets cost.
    pub(super) const fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(template: u16, octets: usize, received_at: UnixMs) -> HeldSet {
        let header = Header { export_ms: 0, sys_uptime_ms: None, sequence: 0, domain: 0 };
        HeldSet { template, octets: vec![0; octets], header, received_at }
    }

    #[test]
    fn only_the_sets_of_the_template_are_released() {
        let mut pending = Pending::default();
        for template in [256, 257, 256] {
            pending.hold(set(template, 10, 0), 1000, usize::MAX);
        }
        assert_eq!(pending.release(256, 1).len(), 2);
        assert_eq!(pending.release(257, 1).len(), 1);
        assert_eq!(pending.counts, HeldCounts { held: 3, decoded: 3, expired: 0, evicted: 0 });
    }

    #[test]
    fn the_oldest_set_goes_when_the_limit_is_reached() {
        let mut pending = Pending::default();
        let limit = 100 + OVERHEAD_OCTETS;
        pending.hold(set(256, 60, 1), limit, usize::MAX);
        pending.hold(set(256, 60, 2), limit, usize::MAX);
        pending.hold(set(256, 200, 3), limit, usize::MAX);
        let kept = pending.release(256, 4);
        assert_eq!(kept.iter().map(|set| set.received_at).collect::<Vec<_>>(), [2]);
        assert_eq!(pending.counts.evicted, 2);
    }

    #[test]
    fn sets_without_a_record_are_not_held_in_any_number() {
        let mut pending = Pending::default();
        for _ in 0..1000 {
            pending.hold(set(256, 0, 1), 10 * OVERHEAD_OCTETS, usize::MAX);
        }
        assert_eq!(pending.release(256, 2).len(), 10);
    }

    #[test]
    fn a_queue_whose_sets_come_and_go_takes_no_more_than_they_cost() {
        let mut pending = Pending::default();
        for at in 0..5000 {
            pending.hold(set(256, 0, at), 1 << 20, usize::MAX);
            let taken = pending.sets.capacity() * size_of::<HeldSet>();
            assert!(
                taken <= pending.octets().max(4 * size_of::<HeldSet>()),
                "{taken} octets for {}",
                pending.sets.len()
            );
        }
        for at in 1..5001 {
            pending.expire(at + MAX_AGE_MS);
            let taken = pending.sets.capacity() * size_of::<HeldSet>();
            assert!(
                taken <= pending.octets().max(4 * size_of::<HeldSet>()),
                "{taken} octets for {}",
                pending.sets.len()
            );
        }
        assert!(pending.is_empty());
    }

    #[test]
    fn sets_expire() {
        let mut pending = Pending::default();
        pending.hold(set(256, 10, 0), 1000, usize::MAX);
        assert!(pending.release(256, MAX_AGE_MS + 1).is_empty());
        assert_eq!(pending.counts.expired, 1);
    }

    #[test]
    fn without_room_a_set_is_not_held_and_no_other_goes() {
        let mut pending = Pending::default();
        pending.hold(set(256, 60, 1), 1000, 60 + OVERHEAD_OCTETS);
        pending.hold(set(256, 60, 2), 1000, 59 + OVERHEAD_OCTETS);
        assert_eq!(pending.counts, HeldCounts { held: 1, decoded: 0, expired: 0, evicted: 1 });
        assert_eq!(pending.octets(), 60 + OVERHEAD_OCTETS);
    }

    #[test]
    fn sets_that_are_taken_back_stand_in_the_order_of_their_arrival() {
        let mut pending = Pending::default();
        for at in 1..5 {
            pending.hold(set(256 + at as u16 % 2, 10, at), 10_000, usize::MAX);
        }
        let released = pending.release(257, 6);
        pending.take_back(released.into_iter().skip(1));
        assert_eq!(pending.sets.iter().map(|set| set.received_at).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!((pending.counts.decoded, pending.octets()), (1, 3 * (10 + OVERHEAD_OCTETS)));
    }
}
