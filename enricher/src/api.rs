//! What `/api/v1` shows of the enricher. Keys are a promise to scripts: added, never renamed within `v1`.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use helios_common::time::Utc;
use serde::Serialize;

use crate::hits::SourceHits;
use crate::stats::{EnricherStats, Lookup, SourceStats};

/// A source of names.
#[derive(Debug, Serialize)]
pub struct Source {
    source: String,
    location: String,
    entries: u64,
    /// When it last answered with something usable.
    loaded: Option<String>,
    loads: u64,
    failures: u64,
    /// How often it knew something of what was found, by what was looked up.
    lookups: BTreeMap<&'static str, Hits>,
    /// Why the source as it is now is not in use.
    refusal: Option<String>,
    /// Of a database.
    database_type: Option<String>,
    built: Option<String>,
}

impl From<&SourceStats> for Source {
    fn from(source: &SourceStats) -> Self {
        let utc = |secs: u64| Utc(i64::try_from(secs).unwrap_or(0).saturating_mul(1000)).to_string();
        let loaded = source.loaded_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self {
            source: source.source.clone(),
            location: source.location.clone(),
            entries: source.entries,
            loaded: loaded.map(|since| utc(since.as_secs())),
            loads: source.loads,
            failures: source.failures,
            lookups: source
                .lookups
                .iter()
                .map(|&SourceHits { asked, hits, misses }| (asked, Hits { hits, misses }))
                .collect(),
            refusal: source.refusal.clone(),
            database_type: source.database.as_ref().map(|database| database.database_type.clone()),
            built: source.database.as_ref().map(|database| utc(database.build_epoch)),
        }
    }
}

/// Look-ups that found something, and those that did not.
#[derive(Debug, Serialize)]
pub struct Hits {
    hits: u64,
    misses: u64,
}

/// How often rows found what they asked for, by the name of the [`Lookup`].
pub fn lookups(stats: &EnricherStats) -> BTreeMap<&'static str, Hits> {
    let lookups = Lookup::ALL.iter().zip(stats.lookups);
    lookups.map(|(lookup, (hits, misses))| (lookup.name(), Hits { hits, misses })).collect()
}
