//! Metrics per exporter: the only label whose values come from outside, hence capped.
//!
//! Whoever can send a datagram can be an exporter. Beyond the limit the busiest keep their own series and the rest
//! are summed up under `other`, so that sums over `exporter` are right and a flood of made-up addresses does not
//! reach Prometheus.

use std::fmt;

use helios_collector::decode::sflow5::Metered;
use helios_collector::decode::{ExporterStats, HeldCounts, Protocol};
use helios_common::exporter::{Address, ip_of};

use super::scrape::Scrape;
use super::table;

/// The label of all exporters beyond the limit.
const OTHER: &str = "other";

/// What is shown of one exporter, or of all further ones.
#[derive(Debug, Clone, Default, PartialEq)]
struct Series {
    datagrams: u64,
    records: u64,
    dropped: u64,
    lost: [u64; Protocol::ALL.len()],
    reordered: u64,
    duplicates: u64,
    restarts: u64,
    clock_skew_ms: i64,
    sampling_interval: u32,
    metered: Metered,
    sets_without_template: u64,
    held_sets: HeldCounts,
    templates: u64,
    templates_expired: u64,
    templates_evicted: u64,
    templates_refused: u64,
    options_refused: u64,
    last_seen_ms: i64,
}

impl Series {
    fn add(&mut self, other: &Self) {
        self.datagrams += other.datagrams;
        self.records += other.records;
        self.dropped += other.dropped;
        self.lost.iter_mut().zip(other.lost).for_each(|(mine, theirs)| *mine += theirs);
        self.reordered += other.reordered;
        self.duplicates += other.duplicates;
        self.restarts += other.restarts;
        if other.clock_skew_ms.abs() > self.clock_skew_ms.abs() {
            self.clock_skew_ms = other.clock_skew_ms;
        }
        self.sampling_interval = self.sampling_interval.max(other.sampling_interval);
        self.metered.add(&other.metered);
        self.sets_without_template += other.sets_without_template;
        self.held_sets.add(&other.held_sets);
        self.templates += other.templates;
        self.templates_expired += other.templates_expired;
        self.templates_evicted += other.templates_evicted;
        self.templates_refused += other.templates_refused;
        self.options_refused += other.options_refused;
        self.last_seen_ms = self.last_seen_ms.max(other.last_seen_ms);
    }
}

impl From<&ExporterStats> for Series {
    fn from(exporter: &ExporterStats) -> Self {
        let (stats, loss) = (&exporter.stats, exporter.loss_total());
        Self {
            datagrams: stats.messages.iter().sum(),
            records: stats.data_records,
            dropped: stats.discarded.iter().sum(),
            lost: exporter.loss.map(|loss| loss.lost),
            reordered: loss.reordered,
            duplicates: loss.duplicates,
            restarts: loss.restarts,
            clock_skew_ms: exporter.clock_skew_ms,
            sampling_interval: exporter.sampling_interval,
            metered: exporter.metered,
            sets_without_template: stats.sets_without_template,
            held_sets: exporter.held_sets,
            templates: exporter.templates as u64,
            templates_expired: exporter.templates_expired,
            templates_evicted: exporter.templates_evicted,
            templates_refused: exporter.templates_refused,
            options_refused: exporter.options_refused,
            last_seen_ms: stats.last_seen,
        }
    }
}

pub fn write(out: &mut Scrape<'_>, exporters: &[ExporterStats], limit: usize) -> fmt::Result {
    let (n_exporters, series) = capped(exporters.iter().map(|exporter| (exporter.address, exporter.into())), limit);
    out.one(&table::EXPORTERS, n_exporters)?;
    let all = |value: fn(&Series) -> u64| series.iter().map(move |(name, series)| ([name], value(series)));
    out.family(&table::EXPORTER_DATAGRAMS, all(|series| series.datagrams))?;
    out.family(&table::EXPORTER_RECORDS, all(|series| series.records))?;
    out.family(&table::EXPORTER_DROPPED, all(|series| series.dropped))?;
    let lost = series.iter().flat_map(|(name, series)| {
        let spoken = Protocol::ALL.iter().zip(series.lost).filter(|(_, lost)| *lost > 0);
        spoken.map(move |(protocol, lost)| ([name.as_str(), protocol.name()], lost))
    });
    out.family(&table::EXPORTER_LOST, lost)?;
    out.family(&table::EXPORTER_REORDERED, all(|series| series.reordered))?;
    out.family(&table::EXPORTER_DUPLICATES, all(|series| series.duplicates))?;
    out.family(&table::EXPORTER_RESTARTS, all(|series| series.restarts))?;
    let skew = series.iter().map(|(name, series)| ([name], series.clock_skew_ms as f64 / 1000.0));
    out.family(&table::EXPORTER_CLOCK_SKEW, skew)?;
    out.family(&table::EXPORTER_SAMPLING, all(|series| series.sampling_interval.into()))?;
    out.family(&table::EXPORTER_SAMPLING_EFFECTIVE, all(|series| series.metered.effective_interval().into()))?;
    out.family(&table::EXPORTER_SAMPLES_DROPPED, all(|series| series.metered.drops))?;
    out.family(&table::EXPORTER_SETS_WITHOUT_TEMPLATE, all(|series| series.sets_without_template))?;
    let held = series.iter().flat_map(|(name, series)| {
        let HeldCounts { held, decoded, expired, evicted } = series.held_sets;
        let outcomes = [("held", held), ("decoded", decoded), ("expired", expired), ("evicted", evicted)];
        spoken(name, outcomes)
    });
    out.family(&table::EXPORTER_HELD_SETS, held)?;
    out.family(&table::EXPORTER_TEMPLATES, all(|series| series.templates))?;
    let gone = series.iter().flat_map(|(name, series)| {
        let Series { templates_expired, templates_evicted, templates_refused, .. } = *series;
        spoken(name, [("expired", templates_expired), ("evicted", templates_evicted), ("refused", templates_refused)])
    });
    out.family(&table::EXPORTER_TEMPLATES_GONE, gone)?;
    out.family(&table::EXPORTER_OPTIONS_REFUSED, all(|series| series.options_refused))?;
    let last_seen = series.iter().map(|(name, series)| ([name], series.last_seen_ms as f64 / 1000.0));
    out.family(&table::EXPORTER_LAST_SEEN, last_seen)
}

/// The samples of an exporter that have something to say: most exporters never have one.
fn spoken<'a, const N: usize>(
    name: &'a str,
    counts: [(&'static str, u64); N],
) -> impl Iterator<Item = ([&'a str; 2], u64)> {
    counts.into_iter().filter(|(_, count)| *count > 0).map(move |(label, count)| ([name, label], count))
}

/// How many exporters there are, and the series by label: `limit` of their own, the busiest, and the rest together.
fn capped(exporters: impl Iterator<Item = (Address, Series)>, limit: usize) -> (usize, Vec<(String, Series)>) {
    let mut busiest: Vec<(Address, Series)> = exporters.collect();
    let n_exporters = busiest.len();
    // Stable, and they come by address: of two equally busy ones the lower stays, scrape after scrape.
    busiest.sort_by_key(|(_, series)| std::cmp::Reverse(series.datagrams));
    let rest = busiest.split_off(limit.min(n_exporters));
    let mut series: Vec<(String, Series)> =
        busiest.into_iter().map(|(address, series)| (ip_of(address).to_string(), series)).collect();
    if !rest.is_empty() {
        let mut other = Series::default();
        rest.iter().for_each(|(_, series)| other.add(series));
        series.push((OTHER.to_owned(), other));
    }
    (n_exporters, series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::exporter::mapped;

    fn exporter(last: u8, datagrams: u64) -> (Address, Series) {
        let series = Series { datagrams, records: 10 * datagrams, last_seen_ms: i64::from(last), ..Series::default() };
        (mapped([192, 0, 2, last]), series)
    }

    #[test]
    fn beyond_the_limit_the_busiest_keep_their_name_and_nothing_is_lost_from_the_sum() {
        let (n_exporters, series) = capped((1..=5).map(|n| exporter(n, u64::from(n))), 2);
        let shown: Vec<_> = series.iter().map(|(name, series)| (name.as_str(), series.datagrams)).collect();
        assert_eq!((n_exporters, shown), (5, vec![("192.0.2.5", 5), ("192.0.2.4", 4), ("other", 6)]));
        assert_eq!((series[2].1.records, series[2].1.last_seen_ms), (60, 3));
    }

    #[test]
    fn of_further_exporters_the_clock_that_is_farthest_off_shows() {
        let skewed = |last, clock_skew_ms| {
            let (address, series) = exporter(last, 1);
            (address, Series { clock_skew_ms, ..series })
        };
        let (_, series) = capped([skewed(1, 20), skewed(2, -3000), skewed(3, 500)].into_iter(), 0);
        assert_eq!(series[0].1.clock_skew_ms, -3000);
    }

    #[test]
    fn a_limit_of_none_leaves_only_the_sum() {
        let (_, series) = capped([exporter(1, 3), exporter(2, 4)].into_iter(), 0);
        assert_eq!((series[0].0.as_str(), series[0].1.datagrams, series.len()), ("other", 7, 1));
    }
}
