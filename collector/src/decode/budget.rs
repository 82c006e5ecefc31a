//! How many octets the decoding state of a process takes, and how many it may take.
//!
//! Every decoder charges what it keeps (exporters, domains, templates, entries of options tables, held sets, sources of
//! samples, totals of flows) to a [`Budget`]. Budgets are nested: the sessions of one TCP source share one, all TCP sessions share one,
//! and all decoders share that of the process. A sender that wants more than its budget has left is refused what is new;
//! what is there stays. An eighth of each budget is for established exporters
//! (see [`ESTABLISHED_MS`](super::template::ESTABLISHED_MS)).
//!
//! Sizes are upper bounds of what the structures take on the heap, the slack of growing tables included;
//! `collector/tests/alloc.rs` holds them against the allocator. One message is charged when it has been decoded: the
//! process may exceed its budget by what one datagram per worker brings, less than 8 MiB each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all decoders of a process may take if nothing is configured. 8,000 devices with 4 observation domains, 20
/// templates and 500 interfaces each take a quarter of it, and less than half if no two of them have a definition in
/// common. `collector/tests/alloc.rs` has the calculation.
pub const DEFAULT_MAX_OCTETS: usize = 1 << 30;

/// Octets of a hash table for each of its entries. It doubles when it is seven eighths full: it has up to 16/7 as many
/// slots as entries.
pub(super) const fn hashed(entry: usize) -> usize {
    (entry + 1) * 16 / 7
}

/// The same for a table from which entries are removed as well. The slots of removed entries are not free at once, so that it
/// doubles when little more than half of it is in use. [`is_sparse`] tells when it has to be shrunk.
pub(super) const fn hashed_with_removals(entry: usize) -> usize {
    2 * hashed(entry)
}

/// Whether a table whose entries come and go takes more than is accounted for the `len` entries that it has: it is shrunk to
/// fit then. It takes half of that at the most when it has been shrunk, so that this does not happen with every entry.
///
/// `allocated` are its octets on the heap and not its capacity, which leaves out the slots of removed entries.
pub(super) const fn is_sparse(allocated: usize, len: usize, octets_per_entry: usize) -> bool {
    allocated > SMALLEST_TABLE_OCTETS + len * octets_per_entry
}

/// What the smallest hash table may take, whatever it holds: four slots of up to 24 octets.
pub(super) const SMALLEST_TABLE_OCTETS: usize = 128;

/// An entry of a table of options data. The longest have 24 octets.
pub(super) const ENTRY_OCTETS: usize = hashed(24);

/// A source of sFlow samples.
pub(super) const SOURCE_OCTETS: usize = hashed(24);

/// Octets that may be taken, and that are.
#[derive(Debug)]
pub struct Budget {
    max: usize,
    used: AtomicUsize,
    whole: Option<Arc<Budget>>,
}

impl Budget {
    /// A budget of its own.
    pub const fn new(max: usize) -> Self {
        Self { max, used: AtomicUsize::new(0), whole: None }
    }

    /// A budget of at most `max` octets of `whole`.
    pub const fn part_of(whole: Arc<Self>, max: usize) -> Self {
        Self { max, used: AtomicUsize::new(0), whole: Some(whole) }
    }

    /// Octets that may be taken.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Octets that are taken.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Octets that may still be taken, by an established exporter or by another one.
    pub fn room(&self, established: bool) -> usize {
        let max = if established { self.max } else { self.max - self.max / 8 };
        let room = max.saturating_sub(self.used());
        self.whole.as_ref().map_or(room, |whole| whole.room(established).min(room))
    }

    fn change(&self, from: usize, to: usize) {
        if to >= from {
            self.used.fetch_add(to - from, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(from - to, Ordering::Relaxed);
        }
        if let Some(whole) = &self.whole {
            whole.change(from, to);
        }
    }
}

/// What one user takes of a budget. All of it is given back when the account is dropped.
#[derive(Debug)]
pub struct Account {
    budget: Arc<Budget>,
    charged: usize,
}

impl Account {
    /// An account with nothing charged.
    pub const fn new(budget: Arc<Budget>) -> Self {
        Self { budget, charged: 0 }
    }

    /// Charges `octets` in place of what was charged before.
    pub fn charge(&mut self, octets: usize) {
        if octets != self.charged {
            self.budget.change(self.charged, octets);
            self.charged = octets;
        }
    }

    /// Octets that may still be taken.
    pub fn room(&self, established: bool) -> usize {
        self.budget.room(established)
    }

    /// What is charged.
    pub fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.budget)
    }

    /// Octets that are charged to this account.
    pub const fn charged(&self) -> usize {
        self.charged
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.charge(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_of_the_whole_and_gives_back_when_it_ends() {
        let whole = Arc::new(Budget::new(1600));
        let part = Arc::new(Budget::part_of(Arc::clone(&whole), 800));
        let (mut one, mut other) = (Account::new(Arc::clone(&part)), Account::new(Arc::clone(&whole)));
        one.charge(300);
        other.charge(900);
        assert_eq!((part.used(), whole.used()), (300, 1200));
        assert_eq!((one.room(true), one.room(false)), (400, 200), "the whole has less left than the part");
        one.charge(100);
        assert_eq!((part.used(), whole.used()), (100, 1000));
        drop(one);
        drop(other);
        assert_eq!((part.used(), whole.used(), part.room(false)), (0, 0, 700));
    }
}
