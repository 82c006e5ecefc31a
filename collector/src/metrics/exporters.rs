//! Metrics per exporter: the only label whose values come from outside, hence capped.
//!
//! Any sender of a datagram can be an exporter. Beyond the limit, exporters are summed up under `other`, so that sums
//! over `exporter` are right and a flood of made-up addresses does not reach Prometheus. [`ExporterList`] says which
//! exporters have a series of their own.

use helios_common::exporter::ip_of;

use crate::ExporterList;
use crate::decode::tally::Tally;
use crate::decode::{ExporterStats, HeldCounts, Protocol};

/// The label of all exporters beyond the limit.
const OTHER: &str = "other";

/// Exporters as their metrics show them.
#[derive(Debug)]
pub struct Exporters {
    n_known: usize,
    series: Vec<(String, ExporterStats)>,
}

impl Exporters {
    /// Labels the exporters of the list, and sums up those that have no series of their own.
    pub fn new(exporters: &ExporterList) -> Self {
        Self { n_known: exporters.n_known, series: labelled(exporters) }
    }

    /// One sample per series.
    fn each<V>(&self, value: impl Fn(&ExporterStats) -> V) -> impl Iterator<Item = ([&str; 1], V)> {
        self.series.iter().map(move |(name, exporter)| ([name.as_str()], value(exporter)))
    }

    /// What became of the messages of each series, for [`crate::decode::tally::BY_EXPORTER`].
    pub fn tallies(&self) -> Vec<(String, Tally)> {
        self.series.iter().map(|(name, exporter)| (name.clone(), exporter.stats.tally)).collect()
    }

    /// Samples with a label beside the exporter: those that are not 0, since most exporters never have one.
    fn labelled(
        &self,
        counts: impl Fn(&ExporterStats) -> Vec<(&'static str, u64)>,
    ) -> impl Iterator<Item = ([&str; 2], u64)> {
        self.series.iter().flat_map(move |(name, exporter)| {
            let counted = counts(exporter).into_iter().filter(|(_, count)| *count > 0);
            counted.map(move |(label, count)| ([name.as_str(), label], count))
        })
    }
}

helios_metrics::metrics! {
    /// What is known of each exporter besides [`crate::decode::tally::BY_EXPORTER`].
    pub METRICS of Exporters {
        Gauge "helios_collector_exporters" [] "Exporters with state in memory" =
            |exporters, out| out.one(exporters.n_known);
        Counter "helios_collector_exporter_estimated_bytes_total" ["exporter"] "Bytes of the exporter's flows, each multiplied by its sampling interval: an estimate of its traffic" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.stats.estimated_octets));
        Counter "helios_collector_exporter_dropped_datagrams_total" ["exporter"] "Discarded datagrams of the exporter" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.stats.discarded.iter().sum::<u64>()));
        Counter "helios_collector_exporter_lost_total" ["exporter", "protocol"] "Losses before Helios, by sequence numbers: flows (v5, v7), messages (v9), records (IPFIX), datagrams (sFlow)" =
            |exporters, out| out.all(exporters.labelled(|exporter| {
                Protocol::ALL.iter().map(|protocol| protocol.name()).zip(exporter.loss.map(|loss| loss.lost)).collect()
            }));
        Counter "helios_collector_exporter_reordered_total" ["exporter"] "Messages of the exporter that arrived late" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.loss_total().reordered));
        Counter "helios_collector_exporter_duplicates_total" ["exporter"] "Messages of the exporter that arrived twice" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.loss_total().duplicates));
        Counter "helios_collector_exporter_restarts_total" ["exporter"] "Restarts of the exporter's sequence numbers" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.loss_total().restarts));
        Gauge "helios_collector_exporter_clock_skew_seconds" ["exporter"] "Exporter's clock minus arrival, last message; for `other`, the largest offset" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.clock_skew_ms as f64 / 1000.0));
        Gauge "helios_collector_exporter_sampling_interval" ["exporter"] "Last announced sampling interval, N of 1-in-N; 0 if none; for `other`, the largest" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.sampling_interval));
        Gauge "helios_collector_exporter_effective_sampling_interval" ["exporter"] "Packets per sample, by the sample pool of an sFlow agent; 0 if unknown" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.metered.effective_interval()));
        Counter "helios_collector_exporter_dropped_samples_total" ["exporter"] "Samples that the sFlow agent itself dropped" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.metered.drops));
        Counter "helios_collector_exporter_held_sets_total" ["exporter", "outcome"] "Data sets that arrived before their template, by outcome: held; of the held ones decoded or expired; evicted because no room was left" =
            |exporters, out| out.all(exporters.labelled(|exporter| {
                let HeldCounts { held, decoded, expired, evicted } = exporter.held_sets;
                vec![("held", held), ("decoded", decoded), ("expired", expired), ("evicted", evicted)]
            }));
        Gauge "helios_collector_exporter_templates" ["exporter"] "Templates of the exporter in memory" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.templates));
        Counter "helios_collector_exporter_templates_gone_total" ["exporter", "reason"] "Templates removed, by reason: expired (not refreshed), evicted (by newer ones), refused (on arrival)" =
            |exporters, out| out.all(exporters.labelled(|exporter| {
                let ExporterStats { templates_expired, templates_evicted, templates_refused, .. } = *exporter;
                vec![("expired", templates_expired), ("evicted", templates_evicted), ("refused", templates_refused)]
            }));
        Counter "helios_collector_exporter_templates_alternated_total" ["exporter"] "Template definitions that returned to an earlier one: two senders behind one address disagree about a template id" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.templates_alternated));
        Gauge "helios_collector_exporter_templates_disputed" ["exporter"] "Template ids that source ports of the exporter define differently; the data of each port is decoded by its own definition" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.templates_disputed));
        Gauge "helios_collector_exporter_sequences_unfit" ["exporter"] "Sessions of the exporter whose sequence numbers count no known unit; their losses are unknown" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.unfit_sequences));
        Counter "helios_collector_exporter_options_refused_total" ["exporter"] "Samplers, interfaces, VRFs and applications not stored because a table is full" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.options_refused));
        Gauge "helios_collector_exporter_last_seen_timestamp_seconds" ["exporter"] "Arrival of the exporter's last datagram, Unix time" =
            |exporters, out| out.all(exporters.each(|exporter| exporter.stats.last_seen as f64 / 1000.0));
    }
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
    use crate::decode::{DatagramMeta, Decoder, DecoderConfig};
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

    /// docs/configuration.md (`admin.max_exporters`) has 8 KiB for each exporter's part of an answer.
    #[test]
    fn the_text_of_an_exporter_takes_what_the_configuration_reference_says() {
        let metrics = METRICS.metrics().chain(crate::decode::tally::BY_EXPORTER.metrics());
        let label = r#"{exporter="2001:0db8:0000:0000:0000:0000:0000:0001",protocol="netflow9"} 18446744073709551615"#;
        let octets = |metric: &helios_metrics::Metric| {
            let series = if metric.labels.len() > 1 { Protocol::ALL.len() } else { 1 };
            series * (metric.name.len() + label.len() + 1)
        };
        let text: usize = metrics.map(octets).sum();
        assert!(text <= 6 << 10, "{text} octets, and up to five names of 255 octets");
    }

    #[test]
    fn exporters_beyond_the_limit_are_one_series_and_nothing_is_lost_from_the_sum() {
        let all = exporters(&[1, 2, 3, 4, 5]);
        let list =
            ExporterList { own: all[..2].to_vec(), others: all[2..4].to_vec(), past_others: Some(all[4]), n_known: 4 };
        let series = labelled(&list);
        let shown: Vec<_> = series
            .iter()
            .map(|(name, stats)| (name.as_str(), stats.stats.tally.datagrams.iter().sum::<u64>()))
            .collect();
        assert_eq!(shown, [("192.0.2.1", 1), ("192.0.2.2", 2), ("other", 12)]);
        assert_eq!((series[2].1.stats.tally.records.iter().sum::<u64>(), series[2].1.stats.last_seen), (12, 5));
    }

    #[test]
    fn of_further_exporters_the_clock_that_is_farthest_off_shows() {
        let all = exporters(&[1, 2, 3]);
        let others = vec![skewed(all[0], 20), skewed(all[1], -3000), skewed(all[2], 500)];
        let series = labelled(&ExporterList { others, n_known: 3, ..ExporterList::default() });
        assert_eq!((series.len(), series[0].1.clock_skew_ms), (1, -3000));
    }
}
