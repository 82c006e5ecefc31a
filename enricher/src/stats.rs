//! What the enricher counts, and the picture of it that metrics and the API show.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use crate::geoip::database::Info;
use crate::geoip::reload::DatabaseStatus;
use crate::hits::{Asked, Hits, SourceHits};

/// Counters that the worker adds to once per batch.
#[derive(Debug, Default)]
pub struct Counters {
    /// Batches taken in; as many were passed on.
    pub batches: AtomicU64,
    /// Rows of these batches.
    pub rows: AtomicU64,
    answers: [Answers; Lookup::ALL.len()],
    /// By source.
    pub hits: Hits,
}

#[derive(Debug, Default)]
struct Answers {
    hits: AtomicU64,
    misses: AtomicU64,
}

helios_metrics::label_set! {
    /// What is looked up for a row.
    pub enum Lookup {
        /// Its exporter, in the inventory.
        Exporter = "exporter",
        /// Its interfaces.
        Interface = "interface",
        /// Country or city of its addresses.
        Place = "place",
        /// Autonomous systems of its addresses, those that came with the flow included.
        System = "as",
        /// Networks of its addresses, well-known ranges included.
        Network = "network",
    }
}

/// What one batch adds to the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Rows of the batch.
    pub rows: u64,
    /// Of these, rows of exporters that the inventory knows.
    pub exporter_hits: u64,
    /// Interfaces that were looked up.
    pub interfaces: u64,
    /// Of these, interfaces that a source or the exporter itself knows.
    pub interface_hits: u64,
    /// Addresses that were looked up.
    pub addresses: u64,
    /// Of these, addresses with a country or city.
    pub place_hits: u64,
    /// Addresses with an AS number, those that came with the flow included.
    pub as_hits: u64,
    /// Of these, addresses in a network, well-known ranges included.
    pub network_hits: u64,
}

impl Counters {
    pub(crate) fn add(&self, tally: &Tally) {
        self.batches.fetch_add(1, Relaxed);
        self.rows.fetch_add(tally.rows, Relaxed);
        self.hits.ask(Asked::Exporter, tally.rows);
        self.hits.ask(Asked::Interface, tally.interfaces);
        self.hits.ask(Asked::Address, tally.addresses);
        let counts = [
            (tally.rows, tally.exporter_hits),
            (tally.interfaces, tally.interface_hits),
            (tally.addresses, tally.place_hits),
            (tally.addresses, tally.as_hits),
            (tally.addresses, tally.network_hits),
        ];
        for (answers, (asked, hits)) in self.answers.iter().zip(counts) {
            answers.hits.fetch_add(hits, Relaxed);
            // A row without the address can have a number of its own: more may be known than was asked for.
            answers.misses.fetch_add(asked.saturating_sub(hits), Relaxed);
        }
    }

    /// Hits and misses by [`Lookup::ALL`].
    pub(crate) fn lookups(&self) -> [(u64, u64); Lookup::ALL.len()] {
        self.answers.each_ref().map(|answers| (answers.hits.load(Relaxed), answers.misses.load(Relaxed)))
    }
}

/// The enricher at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnricherStats {
    /// Batches taken in; as many were passed on.
    pub batches: u64,
    /// Rows taken in; as many were passed on.
    pub rows: u64,
    /// Hits and misses by [`Lookup::ALL`].
    pub lookups: [(u64, u64); Lookup::ALL.len()],
    /// Snapshots taken up since the start.
    pub generation: u64,
    /// Memory of the look-up tables.
    pub table_bytes: usize,
    /// Devices of the inventory, and their interfaces.
    pub devices: usize,
    /// Interfaces of all devices.
    pub interfaces: usize,
    /// Interfaces that their exporter itself told of in options data.
    pub options_data: SourceHits,
    /// The configured sources.
    pub sources: Vec<SourceStats>,
}

/// A configured source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStats {
    /// The metric label: `geoip_city`, `netbox`, `networks:offices.csv`.
    pub source: String,
    /// File or address.
    pub location: String,
    /// Networks of a database, entries of an inventory.
    pub entries: u64,
    /// When the version in use was taken up; `None` if none is.
    pub loaded_at: Option<SystemTime>,
    /// Versions taken up, the first one included.
    pub loads: u64,
    /// Versions refused, attempts that failed.
    pub failures: u64,
    /// Why the source as it is now is not in use.
    pub refusal: Option<String>,
    /// How often it knew what it can be asked for.
    pub lookups: Vec<SourceHits>,
    /// Of a database, what it says of itself.
    pub database: Option<Database>,
}

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// As configured.
    pub path: PathBuf,
    /// `database_type` of the metadata, such as `GeoLite2-City`.
    pub database_type: String,
    /// Unix seconds.
    pub build_epoch: u64,
    /// Size of the file.
    pub file_bytes: u64,
}

impl From<&DatabaseStatus> for SourceStats {
    fn from(status: &DatabaseStatus) -> Self {
        let Info { database_type, build_epoch, networks, file_bytes, .. } = status.info.clone();
        Self {
            source: status.role.name().to_owned(),
            location: status.path.display().to_string(),
            entries: networks,
            loaded_at: Some(status.loaded_at),
            loads: status.loads,
            failures: status.failures,
            refusal: status.refusal.clone(),
            lookups: Vec::new(),
            database: Some(Database { path: status.path.clone(), database_type, build_epoch, file_bytes }),
        }
    }
}
