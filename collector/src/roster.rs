//! All exporters as metrics and the API show them: counters that never fall.
//!
//! A decoder forgets an exporter that was silent for an hour, and TCP sessions end. The roster keeps their counts and adds
//! later ones. Exporters that an earlier process has seen are there from the start, with the times of their first and last
//! datagram. A limited number of exporters have their own series in the metrics. An exporter keeps its series, silent or
//! not. When all series are taken, a new exporter gets the series of one that the decoders have forgotten. If there is none,
//! all of its counts go to `other` as long as it is known.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use hashbrown::{HashMap, HashSet};
use helios_common::exporter::Address;
use helios_common::time::UnixMs;

use crate::decode::ExporterStats;
use crate::state::Seen;

/// Exporters with their own series by default: those of the largest network that Helios is made for, and some more.
pub(crate) const DEFAULT_LIMIT: usize = 10_000;

/// A series of an exporter that no decoder knows goes to another one after so long a silence, and no sooner: an exporter
/// that connects anew is the same one.
const SILENT_MS: i64 = 60 * 60 * 1000;

/// All exporters at one moment.
#[derive(Debug, Clone, Default)]
pub struct ExporterList {
    /// With series of their own, by address. Some of them may be silent and forgotten by the decoders.
    pub own: Vec<ExporterStats>,
    /// Those beyond the limit, by address.
    pub others: Vec<ExporterStats>,
    /// What exporters beyond the limit had counted that are forgotten.
    pub past_others: Option<ExporterStats>,
    /// Exporters that decoders keep state for.
    pub n_known: usize,
}

impl ExporterList {
    /// Every exporter, those with series of their own first.
    pub fn iter(&self) -> impl Iterator<Item = &ExporterStats> {
        self.own.iter().chain(&self.others)
    }
}

/// Keeps who has a series and what exporters counted that are gone.
#[derive(Debug)]
pub(crate) struct Roster(Mutex<Table>);

/// The roster while it is changed.
#[derive(Debug)]
pub(crate) struct Table {
    limit: usize,
    own: HashMap<Address, Own>,
    /// Known exporters that are counted under `other`.
    others: HashSet<Address>,
    past_others: Option<ExporterStats>,
}

/// An exporter with a series of its own.
#[derive(Debug, Default)]
pub(crate) struct Own {
    past: Option<ExporterStats>,
    first_seen: UnixMs,
    last_seen: UnixMs,
    known: bool,
}

impl Default for Roster {
    fn default() -> Self {
        Self(Mutex::new(Table { limit: DEFAULT_LIMIT, own: HashMap::new(), others: HashSet::new(), past_others: None }))
    }
}

impl Roster {
    /// Locks the table. A thread takes this lock before the lock of its list of exporters, and changes both under it, so
    /// that no exporter is counted twice.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Table {
    /// Sets how many exporters have series of their own. Those that have one keep it, but for exporters of an earlier
    /// process.
    pub(crate) fn limit(&mut self, limit: usize) {
        self.limit = limit;
        while self.own.len() > self.limit && self.free_one(UnixMs::MAX) {}
    }

    /// Gives exporters of an earlier process their series back, with nothing counted.
    pub(crate) fn restore(&mut self, seen: &[Seen]) {
        for &Seen { address, first_seen, last_seen } in seen.iter().take(self.limit) {
            let past = Some(ExporterStats::silent(address, first_seen, last_seen));
            self.own.insert(address, Own { past, first_seen, last_seen, known: false });
        }
    }

    /// Takes note of an exporter that a decoder knows. Returns what is kept of it, if it has a series of its own.
    pub(crate) fn note(&mut self, stats: &ExporterStats, now: UnixMs) -> Option<&mut Own> {
        let own = self.own(stats.address, now)?;
        own.known = true;
        own.first_seen = own.first_seen.min(stats.stats.first_seen);
        own.last_seen = own.last_seen.max(stats.stats.last_seen);
        Some(own)
    }

    /// When the exporters with series of their own were seen.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = |(&address, own): (&Address, &Own)| {
            let Own { first_seen, last_seen, .. } = *own;
            Seen { address, first_seen, last_seen }
        };
        self.own.iter().map(seen).collect()
    }

    /// Keeps what an exporter had counted that a decoder forgot or whose session ended.
    pub(crate) fn retire(&mut self, gone: &ExporterStats, now: UnixMs) {
        let gone = gone.past();
        let past = match self.own(gone.address, now) {
            Some(own) => {
                own.last_seen = own.last_seen.max(gone.stats.last_seen);
                &mut own.past
            }
            None => &mut self.past_others,
        };
        match past {
            Some(past) => past.merge(&gone),
            None => *past = Some(gone),
        }
    }

    /// All exporters, `known` being those that decoders keep state for.
    pub(crate) fn list(&mut self, known: BTreeMap<Address, ExporterStats>, now: UnixMs) -> ExporterList {
        self.others.retain(|address| known.contains_key(address));
        for (address, own) in &mut self.own {
            own.known = known.contains_key(address);
        }
        let mut list = ExporterList { n_known: known.len(), past_others: self.past_others, ..ExporterList::default() };
        for stats in known.values() {
            let Some(own) = self.note(stats, now) else {
                list.others.push(*stats);
                continue;
            };
            let mut all = *stats;
            if let Some(past) = &own.past {
                all.merge(past);
            }
            list.own.push(all);
        }
        list.own.extend(self.own.values().filter(|own| !own.known).filter_map(|own| own.past));
        list.own.sort_unstable_by_key(|stats| stats.address);
        list
    }

    /// What is kept of an exporter with a series of its own, which it gets now if there is one left.
    fn own(&mut self, address: Address, now: UnixMs) -> Option<&mut Own> {
        if !self.own.contains_key(&address) {
            if self.others.contains(&address) {
                return None;
            }
            if self.own.len() >= self.limit && !self.free_one(now) {
                self.others.insert(address);
                return None;
            }
            self.own.insert(address, Own { known: true, first_seen: now, last_seen: 0, past: None });
        }
        self.own.get_mut(&address)
    }

    /// Ends the series of the exporter that has been silent the longest; `false` if there is none to end.
    fn free_one(&mut self, now: UnixMs) -> bool {
        let silent = self.own.iter().filter(|(_, own)| !own.known && now.saturating_sub(own.last_seen) >= SILENT_MS);
        let longest = silent.min_by_key(|(_, own)| own.last_seen).map(|(&address, _)| address);
        longest.is_some_and(|address| self.own.remove(&address).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tally::Tally;
    use helios_common::exporter::mapped;

    const HOUR_MS: i64 = SILENT_MS;

    fn exporter(last: u8, datagrams: u64, last_seen: UnixMs) -> ExporterStats {
        let mut stats = ExporterStats::new(mapped([192, 0, 2, last]), 0);
        (stats.stats.tally.datagrams[3], stats.stats.last_seen, stats.templates) = (datagrams, last_seen, 5);
        stats
    }

    fn known(exporters: &[ExporterStats]) -> BTreeMap<Address, ExporterStats> {
        exporters.iter().map(|stats| (stats.address, *stats)).collect()
    }

    fn table(limit: usize) -> Table {
        let Roster(table) = Roster::default();
        let mut table = table.into_inner().unwrap();
        table.limit(limit);
        table
    }

    /// docs/configuration.md (`admin.max_exporters`) has 3 KiB for each exporter, and as much while it is scraped.
    #[test]
    fn an_exporter_takes_what_the_configuration_reference_says() {
        // One more than a table of 4,096 slots takes: it has doubled.
        const N: usize = 4096 / 8 * 7 + 1;
        let mut table = table(N);
        let seen: Vec<_> =
            (0..N as u128).map(|number| Seen { address: number.to_be_bytes(), first_seen: 1, last_seen: 2 }).collect();
        table.restore(&seen);
        let kept = table.own.allocation_size() / N;
        // The list of one moment, and with labels for the metrics of decoding and of messages.
        let labelled = size_of::<(String, ExporterStats)>() + size_of::<(String, Tally)>() + 2 * "2001:db8::".len() * 4;
        let scraped = 2 * size_of::<ExporterStats>() + labelled;
        assert!((512..=3 << 10).contains(&kept), "{kept} octets");
        assert!((512..=3 << 10).contains(&scraped), "{scraped} octets");
    }

    fn datagrams<'a>(list: impl IntoIterator<Item = &'a ExporterStats>) -> Vec<u64> {
        list.into_iter().map(|stats| stats.stats.tally.datagrams.iter().sum()).collect()
    }

    #[test]
    fn an_exporter_that_is_forgotten_keeps_its_counts_and_its_last_seen_and_goes_on_with_them() {
        let mut table = table(10);
        table.list(known(&[exporter(1, 100, 5)]), 5);
        table.retire(&exporter(1, 100, 5), HOUR_MS + 5);
        for now in [HOUR_MS, 500 * HOUR_MS] {
            let list = table.list(BTreeMap::new(), now);
            assert_eq!((list.n_known, datagrams(&list.own)), (0, vec![100]));
            assert_eq!((list.own[0].stats.last_seen, list.own[0].templates), (5, 0));
        }
        let list = table.list(known(&[exporter(1, 7, 600 * HOUR_MS)]), 600 * HOUR_MS);
        assert_eq!((datagrams(&list.own), list.own[0].templates), (vec![107], 5));
    }

    #[test]
    fn whoever_has_a_series_keeps_it_and_other_never_falls() {
        let mut table = table(2);
        let first =
            table.list(known(&[exporter(1, 1, 0), exporter(2, 2, 0), exporter(3, 300, 0), exporter(4, 400, 0)]), 0);
        assert_eq!((datagrams(&first.own), datagrams(&first.others)), (vec![1, 2], vec![300, 400]));
        // The busiest of the others falls silent and is forgotten, the next one comes: the sum of `other` grows only.
        table.retire(&exporter(3, 310, 0), HOUR_MS);
        let later =
            table.list(known(&[exporter(1, 1, HOUR_MS), exporter(2, 2, HOUR_MS), exporter(4, 401, HOUR_MS)]), HOUR_MS);
        let other: u64 = datagrams(later.others.iter().chain(&later.past_others)).iter().sum();
        assert_eq!((other, datagrams(&later.own)), (711, vec![1, 2]));
    }

    #[test]
    fn a_silent_exporters_series_goes_to_a_new_one_only_when_none_is_left() {
        let mut table = table(2);
        table.list(known(&[exporter(1, 1, 0), exporter(2, 2, 0)]), 0);
        table.retire(&exporter(1, 1, 0), HOUR_MS / 2);
        let early = table.list(known(&[exporter(2, 2, 0), exporter(3, 3, 0)]), HOUR_MS / 2);
        assert_eq!((datagrams(&early.own), datagrams(&early.others)), (vec![1, 2], vec![3]));
        let late = table.list(known(&[exporter(2, 2, 0), exporter(4, 4, 0)]), HOUR_MS);
        assert_eq!((datagrams(&late.own), datagrams(&late.others)), (vec![2, 4], vec![]));
    }

    #[test]
    fn exporters_of_an_earlier_process_are_there_with_their_times_and_give_way_to_a_lower_limit() {
        let mut table = table(10);
        let seen = |last: u8| Seen {
            address: mapped([192, 0, 2, last]),
            first_seen: i64::from(last),
            last_seen: HOUR_MS * i64::from(last),
        };
        table.restore(&[seen(1), seen(2), seen(3)]);
        let list = table.list(known(&[exporter(2, 7, 9 * HOUR_MS)]), 9 * HOUR_MS);
        let times = |stats: &ExporterStats| (stats.stats.first_seen, stats.stats.last_seen / HOUR_MS);
        assert_eq!(list.own.iter().map(times).collect::<Vec<_>>(), [(1, 1), (0, 9), (3, 3)]);
        assert_eq!((datagrams(&list.own), list.n_known), (vec![0, 7, 0], 1));
        let mut saved = table.seen();
        saved.sort_unstable_by_key(|seen| seen.address);
        assert_eq!(saved[0], seen(1));
        table.limit(2);
        let mut left: Vec<_> = table.own.keys().map(|address| address[15]).collect();
        left.sort_unstable();
        assert_eq!(left, [2, 3], "the one that was silent the longest goes");
        table.limit(1);
        assert_eq!(table.own.len(), 1);
    }

    #[test]
    fn a_limit_of_none_leaves_only_the_others() {
        let list = table(0).list(known(&[exporter(1, 3, 0), exporter(2, 4, 0)]), 0);
        assert_eq!((list.own.len(), datagrams(&list.others)), (0, vec![3, 4]));
    }
}
