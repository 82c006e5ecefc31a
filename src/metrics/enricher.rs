//! What the enricher counts.

use std::fmt;

use helios_enricher::EnricherStats;
use helios_enricher::stats::SourceStats;

use super::scrape::{Number, Scrape};
use super::table::{self, Metric};

pub fn write(out: &mut Scrape<'_>, stats: &EnricherStats) -> fmt::Result {
    out.one(&table::ENRICHER_BATCHES, stats.batches)?;
    out.one(&table::ENRICHER_ROWS, stats.rows)?;
    out.one(&table::ENRICHER_TABLE_BYTES, stats.table_bytes)?;
    type Value = fn(&SourceStats) -> Number;
    let values: [(&Metric, Value); 7] = [
        (&table::DATABASE_NETWORKS, |source| source.info.networks.into()),
        (&table::DATABASE_BUILT, |source| source.info.build_epoch.into()),
        (&table::DATABASE_SIZE, |source| source.info.file_bytes.into()),
        (&table::DATABASE_LOADS, |source| source.loads.into()),
        (&table::DATABASE_FAILURES, |source| source.failures.into()),
        (&table::DATABASE_HITS, |source| source.hits.into()),
        (&table::DATABASE_MISSES, |source| source.misses.into()),
    ];
    for (metric, value) in values {
        out.family(metric, stats.sources.iter().map(|source| ([source.source], value(source))))?;
    }
    Ok(())
}
