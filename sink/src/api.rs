//! What `/api/v1` shows of the sink. Keys are a promise to scripts: added, never renamed within `v1`.

use std::collections::BTreeMap;

use helios_common::time::Utc;
use helios_metrics::counted;
use serde::Serialize;

use crate::SinkStats;
use crate::error::Class;
use crate::migrate::SCHEMA_VERSION;

/// Where rows go, and what is under way to it.
#[derive(Debug, Serialize)]
pub struct ClickHouse {
    url: String,
    database: String,
    /// The version of the schema that this program makes.
    schema_version: u32,
    schema_ready: bool,
    open_block_rows: u64,
    backlog: Backlog,
    spool: Spool,
    inserts: u64,
    inserted_bytes: u64,
    failures: BTreeMap<&'static str, u64>,
    /// The latest error of those that stand; `null` when all is well.
    last_error: Option<String>,
    last_error_at: Option<String>,
    /// The first error since all was well.
    trouble_since: Option<String>,
}

/// Closed blocks that are not stored yet.
#[derive(Debug, Serialize)]
struct Backlog {
    blocks: usize,
    rows: u64,
    bytes: u64,
    in_flight: usize,
}

/// Blocks on disk.
#[derive(Debug, Serialize)]
struct Spool {
    configured: bool,
    available: bool,
    files: usize,
    bytes: u64,
    /// On disk only: what is still to be replayed.
    waiting_blocks: usize,
    waiting_rows: u64,
    replaying_blocks: usize,
    recovered_blocks: u64,
    recovered_rows: u64,
    scanned: bool,
    aside_files: usize,
    aside_bytes: u64,
    damaged_files: u64,
    /// `null` when all is well.
    last_error: Option<String>,
    last_error_at: Option<String>,
}

impl Spool {
    fn new(stats: &SinkStats) -> Self {
        let (spool, backlog) = (&stats.spool, &stats.backlog);
        Self {
            configured: spool.configured,
            available: spool.available,
            files: spool.files,
            bytes: spool.octets,
            waiting_blocks: backlog.kept_blocks,
            waiting_rows: backlog.kept_rows,
            replaying_blocks: backlog.replaying,
            recovered_blocks: spool.recovered_blocks,
            recovered_rows: spool.recovered_rows,
            scanned: spool.scanned,
            aside_files: spool.aside_files,
            aside_bytes: spool.aside_octets,
            damaged_files: spool.damaged_files,
            last_error: spool.last_error.clone(),
            last_error_at: spool.last_error_at.map(|at| Utc(at).to_string()),
        }
    }
}

impl ClickHouse {
    /// `url` and `database` are those of the configuration.
    pub fn new(url: String, database: String, stats: &SinkStats) -> Self {
        let backlog = &stats.backlog;
        let trouble = stats.insert.trouble.as_ref();
        Self {
            url,
            database,
            schema_version: SCHEMA_VERSION,
            schema_ready: stats.insert.schema_ready,
            open_block_rows: stats.open_rows,
            backlog: Backlog {
                blocks: backlog.blocks,
                rows: backlog.rows,
                bytes: backlog.octets,
                in_flight: backlog.in_flight,
            },
            spool: Spool::new(stats),
            inserts: stats.insert.blocks,
            inserted_bytes: stats.insert.octets,
            failures: counted(Class::ALL.map(Class::name), &stats.insert.failures),
            last_error: trouble.map(|trouble| trouble.error.clone()),
            last_error_at: trouble.map(|trouble| Utc(trouble.at).to_string()),
            trouble_since: trouble.map(|trouble| Utc(trouble.since).to_string()),
        }
    }
}

/// Milliseconds from the arrival of a datagram to the acknowledgement of its rows: quantiles over all rows since the start.
#[derive(Debug, Serialize)]
pub struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
    rows: u64,
}

impl Latency {
    /// `None` until a row has been stored.
    pub fn of(stats: &SinkStats) -> Option<Self> {
        let latency = &stats.insert.latency;
        let quantile = |quantile| latency.value_at_quantile(quantile);
        (!latency.is_empty()).then(|| Self {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: latency.max(),
            rows: latency.len(),
        })
    }
}
