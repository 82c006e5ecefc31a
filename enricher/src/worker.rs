//! The enricher's thread: takes a batch, has its names written, passes it on.
//!
//! Every row that comes in goes out. When the next stage is full the worker waits: rows then pile up in the queue
//! before it, and are lost in one place only, where the collector finds that queue full and counts them.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use helios_common::exporter::Exporters;
use helios_common::flow::FlowBatch;
use helios_common::ledger::{DropReason, Ledger, Stage};
use helios_common::names::Names;
use helios_common::queue::{BatchReceiver, BatchSender, Received};
use tracing::error;

use crate::config::EnricherConfig;
use crate::geoip::GeoipError;
use crate::geoip::reload::{Files, Status, Watcher};
use crate::rows::{self, ExporterNames};
use crate::snapshot::{Current, Snapshot};
use crate::stats::{Counters, EnricherStats, SourceStats};

/// The worker wakes up by batches; this long it sleeps when there are none.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// Why the enricher cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EnricherError {
    /// A configured database cannot be used: a mistake in the configuration.
    #[error(transparent)]
    Geoip(#[from] GeoipError),
    #[error("cannot start the thread {name}: {error}")]
    Thread { name: &'static str, error: io::Error },
}

/// The running stage.
#[derive(Debug)]
pub struct Enricher {
    worker: JoinHandle<()>,
    watcher: Option<Watcher>,
    shared: Arc<Shared>,
    databases: Vec<Arc<Mutex<Status>>>,
}

#[derive(Debug)]
struct Shared {
    snapshot: Current,
    counters: Counters,
}

impl Enricher {
    /// Loads the databases and starts the threads `enrich-0` and, with databases that may change, `geoip-reload`.
    ///
    /// # Errors
    /// A database that is configured and cannot be used, or no thread to be had.
    pub fn start(
        config: &EnricherConfig,
        input: BatchReceiver,
        output: BatchSender,
        ledger: Arc<Ledger>,
        names: Arc<Names>,
        exporters: Arc<Exporters>,
    ) -> Result<Self, EnricherError> {
        let (files, geo) = Files::open(&config.geoip, &names)?;
        let databases = files.statuses();
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(Snapshot { generation: 0, geo }),
            counters: Counters::default(),
        });
        let watcher = match config.geoip.reload_interval() {
            Some(interval) if !databases.is_empty() => Some(watch(interval, files, Arc::clone(&shared))?),
            _ => None,
        };
        let stage = Worker { input, output, ledger, exporters, shared: Arc::clone(&shared) };
        let worker = thread::Builder::new()
            .name("enrich-0".into())
            .spawn(move || stage.run())
            .map_err(|error| EnricherError::Thread { name: "enrich-0", error })?;
        Ok(Self { worker, watcher, shared, databases })
    }

    pub fn stats(&self) -> EnricherStats {
        let snapshot = self.shared.snapshot.load();
        let counters = &self.shared.counters;
        let source = |status: &Arc<Mutex<Status>>| {
            SourceStats::new(&status.lock().unwrap_or_else(|poisoned| poisoned.into_inner()), counters)
        };
        EnricherStats {
            batches: counters.batches.load(Relaxed),
            rows: counters.rows.load(Relaxed),
            generation: snapshot.generation,
            table_bytes: snapshot.geo.as_ref().map_or(0, |geo| geo.bytes()),
            sources: self.databases.iter().map(source).collect(),
        }
    }

    /// Waits until every sender into the stage is gone and all its rows are passed on.
    pub fn join(self) {
        if self.worker.join().is_err() {
            error!("the thread enrich-0 had died");
        }
        if let Some(watcher) = self.watcher {
            watcher.stop();
        }
    }
}

fn watch(interval: Duration, mut files: Files, shared: Arc<Shared>) -> Result<Watcher, EnricherError> {
    let mut replaced = None;
    let look = move || {
        // A replaced snapshot is freed here at the next look. The worker may hold the last reference for the rest of
        // its batch, and would stand still while hundreds of megabytes go back to the system.
        drop(replaced.take());
        let current = shared.snapshot.load_full();
        let Some(geo) = current.geo.as_ref().and_then(|geo| files.poll(geo)) else { return };
        let generation = current.generation + 1;
        shared.snapshot.store(Arc::new(Snapshot { generation, geo: Some(geo) }));
        replaced = Some(current);
    };
    Watcher::start(interval, look).map_err(|error| EnricherError::Thread { name: "geoip-reload", error })
}

struct Worker {
    input: BatchReceiver,
    output: BatchSender,
    ledger: Arc<Ledger>,
    exporters: Arc<Exporters>,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(self) {
        let mut exporter_names = ExporterNames::default();
        loop {
            match self.input.receive(IDLE_WAIT) {
                Received::Batch(batch) => self.pass(batch, &mut exporter_names),
                Received::Quiet => {}
                Received::Closed => break,
            }
        }
    }

    fn pass(&self, mut batch: FlowBatch, exporter_names: &mut ExporterNames) {
        let rows = batch.rows();
        exporter_names.write(&mut batch, &self.exporters);
        let tally = rows::enrich(&mut batch, &self.shared.snapshot.load());
        self.shared.counters.add(rows, tally);
        batch.seal();
        // Booked before it is sent: the sink may book the same rows on before this thread runs again.
        self.ledger.moved(Stage::Enrich, Stage::Block, rows as u64);
        match self.output.send_waiting(batch) {
            Ok(()) => self.input.give_back(self.output.take_empty()),
            Err(refused) => {
                // The sink has gone before its time. Its own error stops the process; rows are counted until then.
                self.ledger.dropped(Stage::Block, DropReason::Shutdown, rows as u64);
                self.input.give_back(refused);
            }
        }
    }
}

#[cfg(test)]
mod tests;
