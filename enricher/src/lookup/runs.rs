//! Runs: the whole address space cut into disjoint stretches of one value each.
//!
//! What prefixes mean once longest match has been decided. Two sets of runs join into one, which is how several
//! databases become one table with one look-up per address.

/// An address of one family as a number.
pub trait Key: Copy + Ord + Into<u128> {
    /// Bits of an address: 32 or 128.
    const BITS: u32;
    /// The low bits of a number that fits.
    fn low(number: u128) -> Self;
}

impl Key for u32 {
    const BITS: u32 = 32;

    fn low(number: u128) -> Self {
        number as Self
    }
}

impl Key for u128 {
    const BITS: u32 = 128;

    fn low(number: u128) -> Self {
        number
    }
}

/// A prefix and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<K> {
    /// First address, host bits zero.
    pub start: K,
    /// Leading bits that count.
    pub bits: u8,
    /// What a look-up finds; 0 is the value of no prefix.
    pub value: u32,
}

/// The addresses from `start` up to the next run have this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<K> {
    /// First address of the run.
    pub start: K,
    /// 0: no prefix holds these addresses.
    pub value: u32,
}

/// Runs by ascending start. The first one starts at 0, neighbours differ in value, 0 is the value of no prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs<K>(Vec<Run<K>>);

impl<K: Key> Default for Runs<K> {
    fn default() -> Self {
        Self(vec![Run { start: K::low(0), value: 0 }])
    }
}

impl<K: Key> Runs<K> {
    /// Decides longest match for prefixes in any order; of two equal prefixes the later one counts.
    pub fn flatten(mut entries: Vec<Entry<K>>) -> Self {
        // The sort is stable and outer prefixes go before inner ones that start with them, so that the innermost
        // prefix around an address is always the last one opened.
        entries.sort_by_key(|entry| (entry.start, entry.bits));
        let mut runs = Self::default();
        let mut open: Vec<Entry<K>> = Vec::new();
        for entry in entries {
            runs.close(&mut open, Some(entry.start));
            runs.begin(entry.start, entry.value);
            open.push(entry);
        }
        runs.close(&mut open, None);
        runs
    }

    /// Ends the open prefixes that do not reach `start`: what is around each takes over behind it.
    fn close(&mut self, open: &mut Vec<Entry<K>>, start: Option<K>) {
        while let Some(inner) = open.pop_if(|inner| start.is_none_or(|start| last(inner) < start.into())) {
            let end = last(&inner);
            if end < space_end::<K>() {
                self.begin(K::low(end + 1), open.last().map_or(0, |outer| outer.value));
            }
        }
    }

    /// From `start` on, which is not before the last run, the value is `value`.
    pub fn begin(&mut self, start: K, value: u32) {
        debug_assert!(self.0.last().is_none_or(|run| run.start <= start));
        self.0.pop_if(|run| run.start == start);
        if self.0.last().is_none_or(|run| run.value != value) {
            self.0.push(Run { start, value });
        }
    }

    /// Lays two sets of runs over each other: the value of each stretch follows from both its values.
    pub fn join(&self, other: &Self, mut value: impl FnMut(u32, u32) -> u32) -> Self {
        let (mut ours, mut theirs) = (self.0.as_slice(), other.0.as_slice());
        let mut joined = Self(Vec::with_capacity(ours.len().max(theirs.len())));
        while let ([our, our_rest @ ..], [their, their_rest @ ..]) = (ours, theirs) {
            joined.begin(our.start.max(their.start), value(our.value, their.value));
            let (our_next, their_next) =
                (our_rest.first().map(|run| run.start), their_rest.first().map(|run| run.start));
            match (our_next, their_next) {
                (Some(our_next), Some(their_next)) => {
                    ours = if our_next <= their_next { our_rest } else { ours };
                    theirs = if their_next <= our_next { their_rest } else { theirs };
                }
                (Some(_), None) => ours = our_rest,
                (None, _) => theirs = their_rest,
            }
        }
        joined
    }

    /// As [`join`](Self::join) where these runs have a value; elsewhere there is none.
    ///
    /// What it costs follows from the stretches with values and what lies under them, not from all of `other`: thousands
    /// of small tables can be laid over one large one.
    pub fn join_within(&self, other: &Self, mut value: impl FnMut(u32, u32) -> u32) -> Self {
        let mut joined = Self(Vec::new());
        for (at, run) in self.0.iter().enumerate() {
            if run.value == 0 {
                joined.begin(run.start, 0);
                continue;
            }
            let end = self.0.get(at + 1).map(|next| next.start);
            let first = other.0.partition_point(|their| their.start <= run.start).saturating_sub(1);
            let under = other.0.iter().skip(first).take_while(|their| end.is_none_or(|end| their.start < end));
            for their in under {
                joined.begin(their.start.max(run.start), value(run.value, their.value));
            }
        }
        joined
    }

    /// The same stretches with other values.
    pub fn map(&self, mut value: impl FnMut(u32) -> u32) -> Self {
        let mut mapped = Self(Vec::new());
        for run in &self.0 {
            mapped.begin(run.start, value(run.value));
        }
        mapped
    }

    pub(crate) fn as_slice(&self) -> &[Run<K>] {
        &self.0
    }
}

fn space_end<K: Key>() -> u128 {
    u128::MAX >> (128 - K::BITS)
}

/// The last address of a prefix.
fn last<K: Key>(entry: &Entry<K>) -> u128 {
    let host_bits = K::BITS - u32::from(entry.bits);
    entry.start.into() | 1_u128.checked_shl(host_bits).map_or(u128::MAX, |beyond| beyond - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flatten(entries: &[(u32, u8, u32)]) -> Vec<(u32, u32)> {
        let entries = entries.iter().map(|&(start, bits, value)| Entry { start, bits, value }).collect();
        plain(&Runs::flatten(entries))
    }

    fn plain<K: Key>(runs: &Runs<K>) -> Vec<(K, u32)> {
        runs.as_slice().iter().map(|run| (run.start, run.value)).collect()
    }

    #[test]
    fn gaps_are_runs_of_nothing_and_equal_neighbours_are_one_run() {
        assert_eq!(flatten(&[]), [(0, 0)]);
        assert_eq!(
            flatten(&[(0x0a00_0000, 9, 1), (0x0a80_0000, 9, 1), (0x0c00_0000, 8, 2)]),
            [(0, 0), (0x0a00_0000, 1), (0x0b00_0000, 0), (0x0c00_0000, 2), (0x0d00_0000, 0)]
        );
    }

    #[test]
    fn an_inner_prefix_interrupts_the_outer_one_and_can_end_with_it() {
        assert_eq!(
            flatten(&[(0xffff_ff00, 24, 3), (0, 0, 1), (0xff00_0000, 8, 2)]),
            [(0, 1), (0xff00_0000, 2), (0xffff_ff00, 3)]
        );
    }

    #[test]
    fn joining_cuts_at_the_borders_of_both() {
        let ours = Runs::flatten(vec![Entry { start: 0x1000_0000_u32, bits: 4, value: 1 }]);
        let theirs = Runs::flatten(vec![
            Entry { start: 0x1800_0000, bits: 5, value: 5 },
            Entry { start: 0x2000_0000, bits: 4, value: 6 },
        ]);
        let joined = ours.join(&theirs, |our, their| our * 10 + their);
        assert_eq!(plain(&joined), [(0, 0), (0x1000_0000, 10), (0x1800_0000, 15), (0x2000_0000, 6), (0x3000_0000, 0)]);
        assert_eq!(plain(&joined.map(|value| value % 5)), [(0, 0), (0x2000_0000, 1), (0x3000_0000, 0)]);
    }
}
