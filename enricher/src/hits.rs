//! Which sources know what was looked up: hits and misses by source, though rows meet flattened tables only.
//!
//! When tables are built every record is given the number of the [`SourceSet`] that it was made of; there are few
//! distinct ones. For a row that costs the load of that number and an addition ([`Uses`]), no string, hash or lock; once per
//! batch the sums are added to the counters of the sources. A source has a hit when it knows something of what the
//! look-up found, also where another source's value goes before its own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hashbrown::HashMap;

use crate::inventory::merge::SourceId;
use crate::snapshot::Snapshot;

/// Sources that can be told apart. Those of the inventory count from 0, the three of below are the last.
pub const SOURCES_MAX: usize = u128::BITS as usize;

/// The file of `enricher.geoip.city`.
pub const GEOIP_CITY: SourceId = 125;
/// The file of `enricher.geoip.asn`.
pub const GEOIP_ASN: SourceId = 126;
/// What exporters say of their own interfaces.
pub const OPTIONS_DATA: SourceId = 127;

helios_metrics::label_set! {
    /// What a source is asked for.
    pub enum Asked {
        Exporter = "exporter",
        Interface = "interface",
        Address = "address",
    }
}

/// Any of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SourceSet(u128);

impl SourceSet {
    /// The source alone; nothing for [`NO_SOURCE`](crate::inventory::merge::NO_SOURCE).
    pub const fn of(source: SourceId) -> Self {
        Self(if (source as usize) < SOURCES_MAX { 1 << source } else { 0 })
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn sources(self) -> impl Iterator<Item = usize> {
        (0..SOURCES_MAX).filter(move |source| self.0 >> source & 1 == 1)
    }
}

/// Distinct sets of sources; the number of each is its position, 0 is that of no source.
#[derive(Debug)]
pub struct SourceSets {
    list: Vec<SourceSet>,
    numbers: HashMap<SourceSet, u16, foldhash::fast::RandomState>,
}

impl Default for SourceSets {
    fn default() -> Self {
        Self { list: vec![SourceSet::default()], numbers: HashMap::from_iter([(SourceSet::default(), 0)]) }
    }
}

impl SourceSets {
    /// The number of a set. Of more sets than memos have room for, the last ones are not counted.
    pub fn number(&mut self, set: SourceSet) -> u16 {
        let next = self.list.len() as u16;
        if next == OWN && !self.numbers.contains_key(&set) {
            return 0;
        }
        let number = *self.numbers.entry(set).or_insert(next);
        if number == next {
            self.list.push(set);
        }
        number
    }

    /// All sets by their numbers.
    pub fn list(&self) -> &[SourceSet] {
        &self.list
    }
}

/// Beside the number of an interface's set: the exporter itself said something as well.
pub const OWN: u16 = 1 << 15;

/// Neighbours mostly have the same set, and an addition to a counter waits for the one before it to the same: they take
/// turns in so many.
const TURNS: usize = 4;

/// How often the sets of a snapshot were met since they were last counted. A worker's own.
#[derive(Debug, Default)]
pub struct Uses {
    addresses: Vec<[u64; TURNS]>,
    exporters: Vec<u64>,
    interfaces: Vec<u64>,
    /// Interfaces that their exporter itself told of.
    own: u64,
}

impl Uses {
    /// Makes room for the sets of a snapshot.
    pub fn fit(&mut self, snapshot: &Snapshot) {
        let (addresses, directory) = (snapshot.addresses.sets().len(), snapshot.directory.sets().len());
        self.addresses.resize(addresses, [0; TURNS]);
        self.exporters.resize(directory, 0);
        self.interfaces.resize(directory, 0);
    }

    pub(crate) fn exporters(&mut self, set: u16, rows: u64) {
        add(&mut self.exporters, set, rows);
    }

    #[inline(always)]
    pub(crate) fn interface(&mut self, tag: u16) {
        self.own += u64::from(tag / OWN);
        add(&mut self.interfaces, tag % OWN, 1);
    }

    /// Addresses whose records have the ids, `tags` being those of all records.
    #[inline(always)]
    pub fn addresses(&mut self, ids: &[u32], tags: &[u16]) {
        for (n, &id) in ids.iter().enumerate() {
            let set = tags.get(id as usize).copied().unwrap_or(0);
            if let Some(counts) = self.addresses.get_mut(usize::from(set)) {
                counts[n % TURNS] += 1;
            }
        }
    }
}

#[inline(always)]
fn add(counts: &mut [u64], set: u16, n: u64) {
    if let Some(count) = counts.get_mut(usize::from(set)) {
        *count += n;
    }
}

/// Hits by source, and how often any source was asked.
#[derive(Debug)]
pub struct Hits {
    asked: [AtomicU64; Asked::ALL.len()],
    hits: [[AtomicU64; SOURCES_MAX]; Asked::ALL.len()],
}

impl Default for Hits {
    fn default() -> Self {
        Self { asked: Default::default(), hits: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))) }
    }
}

impl Hits {
    pub(crate) fn ask(&self, asked: Asked, n: u64) {
        self.asked[asked as usize].fetch_add(n, Relaxed);
    }

    /// Adds what a batch met of a snapshot's sets, and forgets it.
    pub fn take(&self, uses: &mut Uses, snapshot: &Snapshot) {
        let (addresses, directory) = (snapshot.addresses.sets(), snapshot.directory.sets());
        let sums = uses.addresses.iter_mut().map(|counts| std::mem::take(counts).iter().sum());
        self.count(Asked::Address, sums, addresses);
        self.count(Asked::Exporter, uses.exporters.iter_mut().map(std::mem::take), directory);
        self.count(Asked::Interface, uses.interfaces.iter_mut().map(std::mem::take), directory);
        let own = std::mem::take(&mut uses.own);
        self.hits[Asked::Interface as usize][usize::from(OPTIONS_DATA)].fetch_add(own, Relaxed);
    }

    fn count(&self, asked: Asked, uses: impl Iterator<Item = u64>, sets: &[SourceSet]) {
        for (uses, set) in uses.zip(sets).filter(|(uses, _)| *uses > 0) {
            for source in set.sources() {
                self.hits[asked as usize][source].fetch_add(uses, Relaxed);
            }
        }
    }

    /// Hits and misses of a source in what it can be asked for.
    pub fn of(&self, source: SourceId, asked: Asked) -> SourceHits {
        let hits = self.hits[asked as usize].get(usize::from(source)).map_or(0, |hits| hits.load(Relaxed));
        let misses = self.asked[asked as usize].load(Relaxed).saturating_sub(hits);
        SourceHits { asked: asked.name(), hits, misses }
    }
}

/// How often a source knew what was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceHits {
    /// Exporters, interfaces or addresses.
    pub asked: &'static str,
    /// Look-ups of which the source knew something.
    pub hits: u64,
    /// All other look-ups of the kind, whichever source answered them.
    pub misses: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::merge::NO_SOURCE;

    #[test]
    fn sets_have_numbers_and_none_is_0() {
        let mut sets = SourceSets::default();
        let two = SourceSet::of(3).with(SourceSet::of(GEOIP_ASN));
        assert_eq!([sets.number(SourceSet::of(NO_SOURCE)), sets.number(two), sets.number(SourceSet::of(3))], [0, 1, 2]);
        assert_eq!((sets.number(two), sets.list().len()), (1, 3));
        assert_eq!(two.sources().collect::<Vec<_>>(), [3, 126]);
    }

    #[test]
    fn a_number_too_many_is_that_of_no_source() {
        let mut sets = SourceSets::default();
        let numbers: Vec<u16> = (0..40_000_u128).map(|bits| sets.number(SourceSet(bits))).collect();
        assert_eq!((numbers[32_767], numbers[32_768], numbers[39_999]), (32_767, 0, 0));
        assert_eq!(sets.number(SourceSet(5)), 5, "the others keep theirs");
    }
}
