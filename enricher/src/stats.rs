//! What the enricher counts, and the picture of it that metrics and the API show.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::geoip::Role;
use crate::geoip::database::Info;
use crate::geoip::reload::Status;

/// Counters that the worker adds to once per batch.
#[derive(Debug, Default)]
pub struct Counters {
    pub batches: AtomicU64,
    pub rows: AtomicU64,
    city: Answers,
    asn: Answers,
}

/// Addresses that a source was asked about.
#[derive(Debug, Default)]
struct Answers {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What one batch adds to the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Addresses that were looked up.
    pub addresses: u64,
    /// Of these, addresses with a country, or a city in files without countries.
    pub city_hits: u64,
    /// Of these, addresses with an autonomous system.
    pub asn_hits: u64,
}

impl Counters {
    pub fn add(&self, rows: usize, tally: Tally) {
        self.batches.fetch_add(1, Relaxed);
        self.rows.fetch_add(rows as u64, Relaxed);
        for (answers, hits) in [(&self.city, tally.city_hits), (&self.asn, tally.asn_hits)] {
            answers.hits.fetch_add(hits, Relaxed);
            answers.misses.fetch_add(tally.addresses - hits, Relaxed);
        }
    }

    /// Hits and misses of the databases in this role.
    pub(crate) fn answers(&self, role: Role) -> (u64, u64) {
        let answers = match role {
            Role::City => &self.city,
            Role::Asn => &self.asn,
        };
        (answers.hits.load(Relaxed), answers.misses.load(Relaxed))
    }
}

/// The enricher at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnricherStats {
    pub batches: u64,
    /// Rows taken in; as many were passed on.
    pub rows: u64,
    /// Snapshots taken up since the start.
    pub generation: u64,
    /// Memory of the look-up tables.
    pub table_bytes: usize,
    /// The configured databases.
    pub sources: Vec<SourceStats>,
}

/// A configured database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStats {
    /// `geoip_city` or `geoip_asn`.
    pub source: &'static str,
    pub path: PathBuf,
    /// Of the version in use.
    pub info: Info,
    /// Versions taken up, the first one included.
    pub loads: u64,
    /// Versions refused.
    pub failures: u64,
    /// Why the file as it is now is not in use.
    pub refusal: Option<String>,
    /// Addresses that the database knew.
    pub hits: u64,
    pub misses: u64,
}

impl SourceStats {
    pub(crate) fn new(status: &Status, counters: &Counters) -> Self {
        let (hits, misses) = counters.answers(status.role);
        Self {
            source: status.role.name(),
            path: status.path.clone(),
            info: status.info.clone(),
            loads: status.loads,
            failures: status.failures,
            refusal: status.refusal.clone(),
            hits,
            misses,
        }
    }
}
