//! The metrics of the enricher.

use std::time::UNIX_EPOCH;

use crate::hits::SourceHits;
use crate::stats::{EnricherStats, Lookup, SourceStats};

/// The label of what exporters say of their own interfaces.
const OPTIONS_DATA: &str = "options_data";

helios_metrics::metrics! {
    /// What the enricher and its sources count.
    pub METRICS of EnricherStats {
        Counter "helios_enricher_batches_total" [] "Batches enriched" =
            |stats, out| out.one(stats.batches);
        Counter "helios_enricher_rows_total" [] "Rows enriched" =
            |stats, out| out.one(stats.rows);
        Counter "helios_enricher_lookups_total" ["lookup", "result"] "Look-ups for rows, by kind and whether a name was found" =
            |stats, out| out.all(Lookup::ALL.iter().zip(stats.lookups).flat_map(|(lookup, answers)| outcomes(lookup.name(), answers)));
        Counter "helios_enricher_source_lookups_total" ["source", "lookup", "result"] "Look-ups for rows, by source, kind and whether the source knew a name" =
            |stats, out| out.all(by_source(stats));
        Gauge "helios_enricher_table_bytes" [] "Memory of the address tables" =
            |stats, out| out.one(stats.table_bytes);
        Gauge "helios_enricher_devices" [] "Devices in the inventory" =
            |stats, out| out.one(stats.devices);
        Gauge "helios_enricher_interfaces" [] "Interfaces in the inventory" =
            |stats, out| out.one(stats.interfaces);
        Gauge "helios_enricher_generation" [] "Replacements of the names in use since the start" =
            |stats, out| out.one(stats.generation);
        Gauge "helios_enricher_source_entries" ["source"] "Networks, devices, interfaces and VRFs of the source that are in use" =
            |stats, out| out.all(each(stats, |source| Some(source.entries)));
        Gauge "helios_enricher_source_loaded_timestamp_seconds" ["source"] "Last successful load of the source, Unix time" =
            |stats, out| out.all(each(stats, loaded_at));
        Counter "helios_enricher_source_loads_total" ["source"] "Successful loads of the source" =
            |stats, out| out.all(each(stats, |source| Some(source.loads)));
        Counter "helios_enricher_source_failures_total" ["source"] "Failed loads of the source; the names of the last successful one stay in use" =
            |stats, out| out.all(each(stats, |source| Some(source.failures)));
        Gauge "helios_enricher_database_build_timestamp_seconds" ["source"] "Build time of the database in use, Unix time" =
            |stats, out| out.all(each(stats, |source| Some(source.database.as_ref()?.build_epoch)));
        Gauge "helios_enricher_database_size_bytes" ["source"] "Size of the database file" =
            |stats, out| out.all(each(stats, |source| Some(source.database.as_ref()?.file_bytes)));
    }
}

fn outcomes(lookup: &'static str, (hits, misses): (u64, u64)) -> [([&'static str; 2], u64); 2] {
    [([lookup, "hit"], hits), ([lookup, "miss"], misses)]
}

/// What each source was asked and knew.
fn by_source(stats: &EnricherStats) -> impl Iterator<Item = ([&str; 3], u64)> {
    let own = [(OPTIONS_DATA, std::slice::from_ref(&stats.options_data))];
    let sources = stats.sources.iter().map(|source| (source.source.as_str(), source.lookups.as_slice()));
    own.into_iter().chain(sources).flat_map(|(source, lookups)| {
        lookups.iter().flat_map(move |SourceHits { asked, hits, misses }| {
            [([source, *asked, "hit"], *hits), ([source, *asked, "miss"], *misses)]
        })
    })
}

/// A sample per source that has the value.
fn each<V>(stats: &EnricherStats, value: impl Fn(&SourceStats) -> Option<V>) -> impl Iterator<Item = ([&str; 1], V)> {
    stats.sources.iter().filter_map(move |source| Some(([source.source.as_str()], value(source)?)))
}

fn loaded_at(source: &SourceStats) -> Option<f64> {
    Some(source.loaded_at?.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}
