//! The JSON interface. Keys are a promise to scripts: added, never renamed within `v1`.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use helios_collector::SocketReport;
use helios_collector::config::RelaySource;
use helios_collector::decode::DecodeError;
use helios_collector::relay::{Failure, RelayStats};
use helios_common::clock::unix_ms;
use helios_common::ledger::{DropReason, Stage};
use helios_enricher::hits::SourceHits;
use helios_enricher::stats::{Lookup, SourceStats};
use serde::Serialize;

use crate::pipeline::{QueueDepth, Snapshot, View};
use helios_common::time::Utc;

mod clickhouse;
pub(super) mod exporters;
mod problems;

/// `/api/v1/pipeline`.
#[derive(Debug, Serialize)]
pub(super) struct Pipeline {
    version: &'static str,
    uptime_seconds: f64,
    ready: bool,
    not_ready: Option<String>,
    /// What is wrong now; empty when all is well.
    problems: Vec<problems::Problem>,
    rows: Rows,
    datagrams: Datagrams,
    /// What became of decoded datagrams: every counter of [`helios_collector::decode::tally`], by name.
    counts: BTreeMap<&'static str, u64>,
    stages: Vec<StageState>,
    sockets: Vec<Socket>,
    relay: Relay,
    /// Sources of names, and how often rows found what they asked for.
    sources: Vec<Source>,
    lookups: BTreeMap<&'static str, Hits>,
    /// `null` if names do not come from NetBox.
    netbox: Option<NetBoxState>,
    clickhouse: clickhouse::ClickHouse,
    /// From a datagram's arrival to the acknowledgement of the block that holds its rows.
    latency_ms: Option<clickhouse::Latency>,
}

/// decoded + recovered = stored + dropped + in_flight + imbalance, and the imbalance is 0.
#[derive(Debug, Serialize)]
struct Rows {
    decoded: u64,
    /// Left in the spool by earlier processes.
    recovered: u64,
    stored: u64,
    dropped: u64,
    in_flight: i64,
    imbalance: i64,
}

/// received = decoded + dropped + imbalance, and the imbalance is 0.
#[derive(Debug, Serialize)]
struct Datagrams {
    received: u64,
    bytes: u64,
    decoded: u64,
    dropped: BTreeMap<&'static str, u64>,
    imbalance: i64,
}

#[derive(Debug, Serialize)]
struct StageState {
    stage: &'static str,
    rows_in_flight: i64,
    rows_dropped: u64,
    dropped: BTreeMap<&'static str, u64>,
    /// The queue before the stage.
    queue: Option<Queue>,
}

#[derive(Debug, Serialize)]
struct Queue {
    batches: usize,
    capacity: usize,
}

#[derive(Debug, Serialize)]
struct Socket {
    listen: String,
    worker: usize,
    queued_bytes: u32,
    capacity_bytes: u32,
    buffer_bytes: usize,
    buffer_asked_bytes: usize,
    dropped_datagrams: u64,
    gro: bool,
}

/// What is passed on to other collectors.
#[derive(Debug, Serialize)]
struct Relay {
    destinations: Vec<Destination>,
    /// Datagrams that went to none of them because the queue was full.
    left_out: u64,
}

#[derive(Debug, Serialize)]
struct Destination {
    to: String,
    source: RelaySource,
    sent: u64,
    sent_bytes: u64,
    failures: BTreeMap<&'static str, u64>,
}

impl From<&RelayStats> for Relay {
    fn from(stats: &RelayStats) -> Self {
        let destinations = stats.destinations.iter().map(|destination| Destination {
            to: destination.to.to_string(),
            source: destination.source,
            sent: destination.sent,
            sent_bytes: destination.sent_octets,
            failures: named(Failure::ALL.iter().map(|failure| failure.name()), &destination.failed),
        });
        Self { destinations: destinations.collect(), left_out: stats.left_out }
    }
}

/// Where names come from.
#[derive(Debug, Serialize)]
struct Source {
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

impl Pipeline {
    pub(super) fn new(view: &View) -> Self {
        let snapshot = &view.snapshot();
        let total = snapshot.collector.total();
        let accounts = &snapshot.accounts;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: view.started().elapsed().map_or(0.0, |since| since.as_secs_f64()),
            ready: snapshot.readiness.is_ok(),
            not_ready: snapshot.readiness.clone().err(),
            problems: problems::of(snapshot, unix_ms()),
            rows: Rows {
                decoded: accounts.decoded,
                recovered: accounts.recovered,
                stored: accounts.stored,
                dropped: accounts.dropped_total(),
                in_flight: accounts.in_flight(),
                imbalance: accounts.imbalance(),
            },
            datagrams: Datagrams {
                received: total.datagrams_received,
                bytes: total.octets_received,
                decoded: total.tally.datagrams.iter().sum(),
                dropped: named(DecodeError::ALL.iter().map(|error| error.name()), &total.datagrams_discarded),
                imbalance: total.imbalance(),
            },
            counts: total.tally.fields().collect(),
            stages: Stage::ALL.iter().map(|&stage| StageState::new(stage, snapshot)).collect(),
            sockets: snapshot.collector.sockets.iter().map(Socket::from).collect(),
            relay: Relay::from(&snapshot.collector.relay),
            sources: snapshot.enricher.sources.iter().map(Source::from).collect(),
            lookups: Lookup::ALL
                .iter()
                .zip(snapshot.enricher.lookups)
                .map(|(lookup, (hits, misses))| (lookup.name(), Hits { hits, misses }))
                .collect(),
            netbox: snapshot.netbox.as_ref().map(NetBoxState::from),
            clickhouse: clickhouse::ClickHouse::new(view.target(), &snapshot.sink),
            latency_ms: clickhouse::Latency::of(&snapshot.sink),
        }
    }
}

/// Counts that are not zero, by name.
fn named(names: impl Iterator<Item = &'static str>, counts: &[u64]) -> BTreeMap<&'static str, u64> {
    names.zip(counts.iter().copied()).filter(|(_, count)| *count > 0).collect()
}

impl StageState {
    fn new(stage: Stage, snapshot: &Snapshot) -> Self {
        let dropped = &snapshot.accounts.dropped[stage as usize];
        let queue = snapshot.queues.iter().find(|queue| queue.name == stage.name());
        Self {
            stage: stage.name(),
            rows_in_flight: snapshot.accounts.held(stage),
            rows_dropped: dropped.iter().sum(),
            dropped: named(DropReason::ALL.iter().map(|reason| reason.name()), dropped),
            queue: queue.map(|&QueueDepth { batches, capacity, .. }| Queue { batches, capacity }),
        }
    }
}

impl From<&SocketReport> for Socket {
    fn from(socket: &SocketReport) -> Self {
        Self {
            listen: socket.local.to_string(),
            worker: socket.worker,
            queued_bytes: socket.stats.queued,
            capacity_bytes: socket.stats.capacity,
            buffer_bytes: socket.buffer_granted,
            buffer_asked_bytes: socket.buffer_asked,
            dropped_datagrams: socket.stats.dropped,
            gro: socket.gro,
        }
    }
}

#[derive(Debug, Serialize)]
struct Hits {
    hits: u64,
    misses: u64,
}

/// The state of NetBox's snapshot.
#[derive(Debug, Serialize)]
struct NetBoxState {
    rows: BTreeMap<&'static str, usize>,
    /// Since NetBox last confirmed the snapshot; `null` if there is none.
    age_seconds: Option<f64>,
    refreshes: u64,
    failures: BTreeMap<&'static str, u64>,
    /// Why the snapshot is not fresh, and what to do.
    problem: Option<String>,
}

impl From<&helios_netbox::Stats> for NetBoxState {
    fn from(stats: &helios_netbox::Stats) -> Self {
        Self {
            rows: stats.rows.iter().copied().collect(),
            age_seconds: stats.age_ms.map(|ms| ms as f64 / 1000.0),
            refreshes: stats.refreshes,
            failures: stats.failures.iter().copied().filter(|(_, count)| *count > 0).collect(),
            problem: stats.problem.as_ref().map(|problem| problem.message.clone()),
        }
    }
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
