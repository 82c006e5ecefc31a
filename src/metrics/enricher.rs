//! What the enricher counts.

use std::fmt;
use std::time::UNIX_EPOCH;

use helios_enricher::EnricherStats;
use helios_enricher::hits::SourceHits;
use helios_enricher::stats::{Lookup, SourceStats};

use super::scrape::{Number, Scrape};
use super::table::{self, Metric};

/// The label of what exporters say of their own interfaces.
const OPTIONS_DATA: &str = "options_data";

pub fn write(out: &mut Scrape<'_>, stats: &EnricherStats) -> fmt::Result {
    out.one(&table::ENRICHER_BATCHES, stats.batches)?;
    out.one(&table::ENRICHER_ROWS, stats.rows)?;
    let lookups = Lookup::ALL.iter().zip(stats.lookups);
    let samples = lookups
        .flat_map(|(lookup, (hits, misses))| [([lookup.name(), "hit"], hits), ([lookup.name(), "miss"], misses)]);
    out.family(&table::ENRICHER_LOOKUPS, samples)?;
    let own = [(OPTIONS_DATA, std::slice::from_ref(&stats.options_data))];
    let sources = stats.sources.iter().map(|source| (source.source.as_str(), source.lookups.as_slice()));
    let samples = own.into_iter().chain(sources).flat_map(|(source, lookups)| {
        lookups.iter().flat_map(move |SourceHits { asked, hits, misses }| {
            [([source, asked, "hit"], *hits), ([source, asked, "miss"], *misses)]
        })
    });
    out.family(&table::SOURCE_LOOKUPS, samples)?;
    out.one(&table::ENRICHER_TABLE_BYTES, stats.table_bytes)?;
    out.one(&table::ENRICHER_DEVICES, stats.devices)?;
    out.one(&table::ENRICHER_INTERFACES, stats.interfaces)?;
    out.one(&table::ENRICHER_GENERATION, stats.generation)?;
    type Value = fn(&SourceStats) -> Option<Number>;
    let loaded_at = |source: &SourceStats| {
        let since = source.loaded_at?.duration_since(UNIX_EPOCH).ok()?;
        Some(Number::Real(since.as_secs_f64()))
    };
    let values: [(&Metric, Value); 6] = [
        (&table::SOURCE_ENTRIES, |source| Some(source.entries.into())),
        (&table::SOURCE_LOADED, loaded_at),
        (&table::SOURCE_LOADS, |source| Some(source.loads.into())),
        (&table::SOURCE_FAILURES, |source| Some(source.failures.into())),
        (&table::DATABASE_BUILT, |source| Some(source.database.as_ref()?.build_epoch.into())),
        (&table::DATABASE_SIZE, |source| Some(source.database.as_ref()?.file_bytes.into())),
    ];
    for (metric, value) in values {
        let samples = stats.sources.iter().filter_map(|source| Some(([&source.source], value(source)?)));
        out.family(metric, samples)?;
    }
    Ok(())
}
