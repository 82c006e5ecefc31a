//! Which pairs of AS `summary_1h` lists: those that had the most traffic in the last hours.
//!
//! A network of 50,000 flows a second sees some hundred thousand pairs an hour, most of them for a flow or two. The pairs that
//! are listed are chosen by what this process saw of them for hours, and not by the block alone: so they are the same from block
//! to block, an hour of the table has about as many of them as a block, and what is listed is nearly all that a pair had.
//!
//! Weights are kept as in the algorithm Space-Saving: a pair that comes in begins with the weight of those that went, so that one
//! which has much of the traffic cannot be kept out. They choose and are stored nowhere: a process that starts anew learns them
//! from its first blocks.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use helios_common::columns::{ColumnData, DST_AS, SRC_AS};

use super::keyed::{folded, numbers, word};
use super::minutes::Minutes;

/// Pairs that are listed at a time, about. With neighbours, directions and boundaries, an hour has some ten thousand rows of them.
const LISTED: usize = 4096;

/// Pairs whose weight is known between two blocks at the most.
const KNOWN: usize = 4 * LISTED;

const HOUR_MS: i64 = 3_600_000;

/// What decides over pairs.
#[derive(Debug)]
pub(super) struct Listed {
    /// Octets of the last hours by pair, those of every hour before counting half.
    weights: HashMap<u64, u64, Keyed>,
    /// The weight that a pair begins with.
    floor: u64,
    /// The weight from which on a pair is listed.
    least: u64,
    /// The hour of the last block, in hours since 1970.
    hour: i64,
    /// Memory for choosing.
    order: Vec<u64>,
}

impl Listed {
    pub(super) fn new() -> Self {
        Self { weights: HashMap::with_hasher(Keyed::new()), floor: 0, least: 0, hour: 0, order: Vec::new() }
    }

    /// Adds the groups of a block to the weights, and tells of each whether its pair is listed.
    pub(super) fn mark(&mut self, minutes: &Minutes) -> ColumnData {
        self.begin(minutes.times.iter().copied().max().unwrap_or_default() / HOUR_MS);
        for (pair, group) in pairs(minutes).zip(&minutes.groups) {
            let weight = self.weights.entry(pair).or_insert(self.floor);
            *weight = weight.saturating_add(group.sums.bytes);
        }
        self.choose();
        // Chosen with what this block has, so that no block lists many more than there is room for.
        let weight = |pair| self.weights.get(&pair).copied().unwrap_or_default();
        ColumnData::U8(pairs(minutes).map(|pair| u8::from(weight(pair) >= self.least)).collect())
    }

    /// Halves all weights for every hour that has gone by. A block of earlier hours, from a spool, changes nothing.
    fn begin(&mut self, hour: i64) {
        let halves = u32::try_from(hour - self.hour).unwrap_or(0);
        if halves == 0 {
            return;
        }
        self.hour = hour;
        let halved = |weight: u64| weight.checked_shr(halves).unwrap_or(0);
        self.weights.values_mut().for_each(|weight| *weight = halved(*weight));
        (self.floor, self.least) = (halved(self.floor), halved(self.least));
    }

    /// Finds the weight from which on pairs are listed, and forgets the lightest where there are too many.
    fn choose(&mut self) {
        if self.weights.len() <= LISTED {
            self.least = 0;
            return;
        }
        let Self { weights, floor, least, order, .. } = self;
        order.clear();
        order.extend(weights.values());
        let (_, weight, lighter) = order.select_nth_unstable_by(LISTED - 1, |a, b| b.cmp(a));
        // As many pairs as that weigh the same would be listed together, or none of them.
        let same = lighter.iter().filter(|other| *other == weight).count();
        *least = (*weight).saturating_add(u64::from(same > LISTED)).max(1);
        if weights.len() > KNOWN {
            let (_, lightest, _) = lighter.select_nth_unstable_by(LISTED, |a, b| b.cmp(a));
            *floor = (*lightest).max(*floor);
            weights.retain(|_, weight| *weight > *floor);
            weights.shrink_to(2 * KNOWN);
        }
    }
}

/// The pair of AS of every group.
fn pairs(minutes: &Minutes) -> impl Iterator<Item = u64> {
    let of = |wanted| {
        let values = minutes.keys.iter().find(|(column, _)| *column == wanted).map(|(_, values)| values);
        match values {
            Some(ColumnData::U32(values)) => &values[..],
            other => unreachable!("AS numbers are a dimension of 32 bits, not {other:?}: see `dimensions`"),
        }
    };
    let (sources, targets) = (of(SRC_AS.column()), of(DST_AS.column()));
    sources.iter().zip(targets).map(|(&src, &dst)| u64::from(src) << 32 | u64::from(dst))
}

/// Hashes pairs, of which exporters choose the numbers.
#[derive(Debug, Clone, Copy)]
struct Keyed(u64);

impl Keyed {
    fn new() -> Self {
        let [number] = numbers();
        Self(number)
    }
}

impl BuildHasher for Keyed {
    type Hasher = Hashed;

    fn build_hasher(&self) -> Hashed {
        Hashed { number: self.0, hash: 0 }
    }
}

#[derive(Debug)]
struct Hashed {
    number: u64,
    hash: u64,
}

impl Hasher for Hashed {
    fn write_u64(&mut self, value: u64) {
        self.hash = folded(word(value ^ self.hash, self.number));
    }

    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.write_u64(u64::from(*octet)));
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use helios_common::columns::{BYTES, RECEIVED_AT};
    use helios_common::exporter::ExporterId;
    use helios_common::flow::FlowBatch;

    use super::super::Measures;
    use super::*;

    /// Marks of flows of `pairs`, which are source AS and octets, that arrive in an hour.
    fn marks(listed: &mut Listed, hour: i64, pairs: &[(u32, u64)]) -> Vec<u8> {
        let (mut minutes, mut measures) = (Minutes::new(), Measures::default());
        for pairs in pairs.chunks(1000) {
            let mut batch = FlowBatch::new();
            for &(asn, bytes) in pairs {
                batch.set(RECEIVED_AT, hour * HOUR_MS);
                batch.set(SRC_AS, asn);
                batch.set(BYTES, bytes);
                batch.advance(1, ExporterId(0));
            }
            batch.seal();
            measures.of(&batch, 0, batch.rows());
            minutes.add(&batch, 0, batch.rows(), &measures);
        }
        match listed.mark(&minutes) {
            ColumnData::U8(marks) => marks,
            other => unreachable!("{other:?}"),
        }
    }

    fn count(marks: &[u8]) -> usize {
        marks.iter().filter(|mark| **mark == 1).count()
    }

    /// Pairs that are seen once, each of its own: `n` octets and fewer.
    fn crowd(from: u32, n: u32) -> Vec<(u32, u64)> {
        (0..n).map(|pair| (from + pair, u64::from(n - pair))).collect()
    }

    #[test]
    fn few_pairs_are_all_listed_and_of_many_the_busiest_from_the_first_block_on() {
        let mut listed = Listed::new();
        assert_eq!(count(&marks(&mut listed, 1, &crowd(0, 4096))), 4096);
        let mut listed = Listed::new();
        let found = marks(&mut listed, 1, &crowd(0, 60_000));
        assert_eq!((count(&found), count(&found[..LISTED])), (LISTED, LISTED));
    }

    #[test]
    fn a_steady_pair_stays_listed_among_ever_new_ones() {
        let mut listed = Listed::new();
        let mut all = 0;
        for block in 1..100 {
            let mut pairs = crowd(block * 100_000, 5_000);
            pairs.push((7, 4_000));
            let found = marks(&mut listed, 1, &pairs);
            assert!(block < 5 || found[5_000] == 1, "block {block}");
            all += count(&found);
            assert!(listed.weights.len() <= KNOWN + pairs.len());
        }
        // Each of the crowd is new, so that what is listed of it is listed once.
        assert!(all < 99 * LISTED, "{all}");
    }

    #[test]
    fn pairs_of_yesterday_give_way() {
        let mut listed = Listed::new();
        marks(&mut listed, 1, &crowd(0, 20_000).iter().map(|&(asn, bytes)| (asn, bytes << 8)).collect::<Vec<_>>());
        let today = crowd(100_000, 20_000);
        assert_eq!(count(&marks(&mut listed, 1, &today)), 0);
        marks(&mut listed, 24, &today);
        assert!(count(&marks(&mut listed, 24, &today)) >= LISTED);
        // What comes late, from a spool, does not turn the clock back.
        marks(&mut listed, 2, &today);
        assert_eq!(listed.hour, 24);
    }

    #[test]
    fn pairs_that_weigh_the_same_are_not_all_listed() {
        let mut listed = Listed::new();
        let same: Vec<_> = (0..50_000).map(|pair| (pair, 40)).collect();
        assert!(count(&marks(&mut listed, 1, &same)) <= LISTED);
        assert!(count(&marks(&mut listed, 1, &same)) <= LISTED);
    }
}
