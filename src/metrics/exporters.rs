//! Metrics per exporter: the only label whose values come from outside, hence capped.
//!
//! Whoever can send a datagram can be an exporter. Beyond the limit, exporters are summed up under `other`, so that sums
//! over `exporter` are right and a flood of made-up addresses does not reach Prometheus. Who has a series of its own is
//! for the collector to say ([`ExporterList`]).

use std::fmt;

use helios_collector::ExporterList;
use helios_collector::decode::{ExporterStats, HeldCounts, Protocol};
use helios_common::exporter::ip_of;

use super::scrape::Scrape;
use super::table;

/// The label of all exporters beyond the limit.
const OTHER: &str = "other";

pub fn write(out: &mut Scrape<'_>, exporters: &ExporterList) -> fmt::Result {
    let series = labelled(exporters);
    out.one(&table::EXPORTERS, exporters.n_known)?;
    let all = |value: fn(&ExporterStats) -> u64| series.iter().map(move |(name, stats)| ([name], value(stats)));
    out.family(&table::EXPORTER_DATAGRAMS, all(|exporter| exporter.stats.messages.iter().sum()))?;
    out.family(&table::EXPORTER_RECORDS, all(|exporter| exporter.stats.data_records))?;
    out.family(&table::EXPORTER_DROPPED, all(|exporter| exporter.stats.discarded.iter().sum()))?;
    let lost = series.iter().flat_map(|(name, exporter)| {
        let spoken = Protocol::ALL.iter().zip(&exporter.loss).filter(|(_, loss)| loss.lost > 0);
        spoken.map(move |(protocol, loss)| ([name.as_str(), protocol.name()], loss.lost))
    });
    out.family(&table::EXPORTER_LOST, lost)?;
    out.family(&table::EXPORTER_REORDERED, all(|exporter| exporter.loss_total().reordered))?;
    out.family(&table::EXPORTER_DUPLICATES, all(|exporter| exporter.loss_total().duplicates))?;
    out.family(&table::EXPORTER_RESTARTS, all(|exporter| exporter.loss_total().restarts))?;
    let skew = series.iter().map(|(name, exporter)| ([name], exporter.clock_skew_ms as f64 / 1000.0));
    out.family(&table::EXPORTER_CLOCK_SKEW, skew)?;
    out.family(&table::EXPORTER_SAMPLING, all(|exporter| exporter.sampling_interval.into()))?;
    out.family(&table::EXPORTER_SAMPLING_EFFECTIVE, all(|exporter| exporter.metered.effective_interval().into()))?;
    out.family(&table::EXPORTER_SAMPLES_DROPPED, all(|exporter| exporter.metered.drops))?;
    out.family(&table::EXPORTER_SETS_WITHOUT_TEMPLATE, all(|exporter| exporter.stats.sets_without_template))?;
    let held = series.iter().flat_map(|(name, exporter)| {
        let HeldCounts { held, decoded, expired, evicted } = exporter.held_sets;
        let outcomes = [("held", held), ("decoded", decoded), ("expired", expired), ("evicted", evicted)];
        spoken(name, outcomes)
    });
    out.family(&table::EXPORTER_HELD_SETS, held)?;
    out.family(&table::EXPORTER_TEMPLATES, all(|exporter| exporter.templates as u64))?;
    let gone = series.iter().flat_map(|(name, exporter)| {
        let ExporterStats { templates_expired, templates_evicted, templates_refused, .. } = *exporter;
        spoken(name, [("expired", templates_expired), ("evicted", templates_evicted), ("refused", templates_refused)])
    });
    out.family(&table::EXPORTER_TEMPLATES_GONE, gone)?;
    out.family(&table::EXPORTER_OPTIONS_REFUSED, all(|exporter| exporter.options_refused))?;
    let last_seen = series.iter().map(|(name, exporter)| ([name], exporter.stats.last_seen as f64 / 1000.0));
    out.family(&table::EXPORTER_LAST_SEEN, last_seen)
}

/// The samples of an exporter that have something to say: most exporters never have one.
fn spoken<'a, const N: usize>(
    name: &'a str,
    counts: [(&'static str, u64); N],
) -> impl Iterator<Item = ([&'a str; 2], u64)> {
    counts.into_iter().filter(|(_, count)| *count > 0).map(move |(label, count)| ([name, label], count))
}

/// What each value of the label `exporter` stands for.
fn labelled(exporters: &ExporterList) -> Vec<(String, ExporterStats)> {
    let own = exporters.own.iter().map(|stats| (ip_of(stats.address).to_string(), *stats));
    let others = exporters.others.iter().chain(&exporters.past_others).copied().reduce(|mut all, stats| {
        let skew = all.clock_skew_ms;
        let sampling_interval = all.sampling_interval.max(stats.sampling_interval);
        all.merge(&stats);
        all.sampling_interval = sampling_interval;
        all.clock_skew_ms = if skew.abs() > stats.clock_skew_ms.abs() { skew } else { stats.clock_skew_ms };
        all
    });
    own.chain(others.map(|others| (OTHER.to_owned(), others))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig};
    use helios_common::exporter::Exporters;
    use helios_common::flow::FlowBatch;
    use helios_common::names::Names;
    use std::sync::Arc;

    /// Exporters by the number of NetFlow v5 messages that they sent, the last octet of their address.
    fn exporters(datagrams: &[u8]) -> Vec<ExporterStats> {
        let names = Arc::new(Names::new());
        let mut decoder = Decoder::new(DecoderConfig::default(), Arc::new(Exporters::new(Arc::clone(&names))), names);
        let (mut message, mut out) = (vec![0, 5, 0, 1], FlowBatch::new());
        message.resize(24 + 48, 0);
        for &last in datagrams {
            let source = ([192, 0, 2, last], 2055).into();
            for _ in 0..last {
                let meta = DatagramMeta { source, received_at: i64::from(last) };
                decoder.decode(&message, &meta, &mut out).unwrap();
            }
        }
        let mut all: Vec<_> = decoder.exporters().collect();
        all.sort_by_key(|stats| stats.address);
        all
    }

    fn skewed(stats: ExporterStats, clock_skew_ms: i64) -> ExporterStats {
        ExporterStats { clock_skew_ms, ..stats }
    }

    #[test]
    fn exporters_beyond_the_limit_are_one_series_and_nothing_is_lost_from_the_sum() {
        let all = exporters(&[1, 2, 3, 4, 5]);
        let list =
            ExporterList { own: all[..2].to_vec(), others: all[2..4].to_vec(), past_others: Some(all[4]), n_known: 4 };
        let series = labelled(&list);
        let shown: Vec<_> =
            series.iter().map(|(name, stats)| (name.as_str(), stats.stats.messages.iter().sum::<u64>())).collect();
        assert_eq!(shown, [("192.0.2.1", 1), ("192.0.2.2", 2), ("other", 12)]);
        assert_eq!((series[2].1.stats.data_records, series[2].1.stats.last_seen), (12, 5));
    }

    #[test]
    fn of_further_exporters_the_clock_that_is_farthest_off_shows() {
        let all = exporters(&[1, 2, 3]);
        let others = vec![skewed(all[0], 20), skewed(all[1], -3000), skewed(all[2], 500)];
        let series = labelled(&ExporterList { others, n_known: 3, ..ExporterList::default() });
        assert_eq!((series.len(), series[0].1.clock_skew_ms), (1, -3000));
    }
}
