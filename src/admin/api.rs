//! The JSON interface. Keys are a promise to scripts: added, never renamed within `v1`.

use std::collections::BTreeMap;

use helios_collector::api::{Datagrams, Relay, Socket};
use helios_common::clock::unix_ms;
use helios_common::ledger::{DropReason, Stage};
use helios_enricher::api::{Hits, Source, lookups};
use helios_metrics::counted;
use helios_netbox::api::NetBoxState;
use helios_sink::api::{ClickHouse, Latency};
use serde::Serialize;

use crate::pipeline::{QueueDepth, Snapshot, Target, View};

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
    clickhouse: ClickHouse,
    /// From a datagram's arrival to the acknowledgement of the block that holds its rows.
    latency_ms: Option<Latency>,
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

impl Pipeline {
    /// The state of a pipeline now.
    pub(super) fn new(view: &View) -> Self {
        let snapshot = &view.snapshot();
        let total = snapshot.collector.total();
        let accounts = &snapshot.accounts;
        let Target { url, database } = view.target();
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
            datagrams: Datagrams::from(&total),
            counts: total.tally.fields().collect(),
            stages: Stage::ALL.iter().map(|&stage| StageState::new(stage, snapshot)).collect(),
            sockets: snapshot.collector.sockets.iter().map(Socket::from).collect(),
            relay: Relay::from(&snapshot.collector.relay),
            sources: snapshot.enricher.sources.iter().map(Source::from).collect(),
            lookups: lookups(&snapshot.enricher),
            netbox: snapshot.netbox.as_ref().map(NetBoxState::from),
            clickhouse: ClickHouse::new(url.clone(), database.clone(), &snapshot.sink),
            latency_ms: Latency::of(&snapshot.sink),
        }
    }
}

impl StageState {
    fn new(stage: Stage, snapshot: &Snapshot) -> Self {
        let dropped = &snapshot.accounts.dropped[stage as usize];
        let queue = snapshot.queues.iter().find(|queue| queue.name == stage.name());
        Self {
            stage: stage.name(),
            rows_in_flight: snapshot.accounts.held(stage),
            rows_dropped: dropped.iter().sum(),
            dropped: counted(DropReason::ALL.map(DropReason::name), dropped),
            queue: queue.map(|&QueueDepth { batches, capacity, .. }| Queue { batches, capacity }),
        }
    }
}
