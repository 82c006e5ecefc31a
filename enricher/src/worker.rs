//! The enricher's thread: takes a batch, has its names written, passes it on.
//!
//! Every row that comes in goes out. When the next stage is full the worker waits: rows then pile up in the queue
//! before it, and are lost in one place only, where the collector finds that queue full and counts them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use helios_common::exporter::{Entry, Exporters};
use helios_common::flow::FlowBatch;
use helios_common::ledger::{DropReason, Ledger, Stage};
use helios_common::names::Names;
use helios_common::queue::{BatchReceiver, BatchSender, Received};
use tracing::error;

use crate::config::EnricherConfig;
use crate::directory::Exporter;
use crate::hits::{Asked, OPTIONS_DATA};
use crate::memo::Memo;
use crate::reload::Reloader;
use crate::rows;
use crate::snapshot::Current;
use crate::sources::{External, Monitor, Remotes, SourceError, Sources};
use crate::stats::{Counters, EnricherStats};

/// The worker wakes up by batches; this long it sleeps when there are none.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// How often servers and NetBox are looked at for news when files are not.
const REMOTE_INTERVAL: Duration = Duration::from_secs(5);

/// Why the enricher cannot start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum EnricherError {
    /// A configured file or rule cannot be used: a mistake in the configuration.
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("cannot start the thread {name}: {error}")]
    Thread { name: &'static str, error: io::Error },
}

/// What the stage works with beside its configuration.
#[derive(Debug)]
pub struct Surroundings {
    /// From the collector; the worker ends when it is closed and empty.
    pub input: BatchReceiver,
    /// To the sink.
    pub output: BatchSender,
    /// Where the worker accounts for rows that it cannot pass on.
    pub ledger: Arc<Ledger>,
    /// What the name ids of the rows refer to, shared with the collector and the sink.
    pub names: Arc<Names>,
    /// What the exporter ids of the rows refer to.
    pub exporters: Arc<Exporters>,
    /// Sources that somebody else keeps up to date.
    pub external: Vec<External>,
}

/// The running stage.
#[derive(Debug)]
pub struct Enricher {
    worker: JoinHandle<()>,
    reloader: Option<Reloader>,
    snapshot: Arc<Current>,
    counters: Arc<Counters>,
    monitor: Monitor,
}

impl Enricher {
    /// Reads the sources and starts the threads `enrich-0` and, with sources that may change, `enrich-sources`.
    ///
    /// # Errors
    /// A configured file or rule cannot be used, or the system has no thread left.
    pub fn start(config: &EnricherConfig, surroundings: Surroundings) -> Result<Self, EnricherError> {
        let Surroundings { input, output, ledger, names, exporters, external } = surroundings;
        let watches_remotes =
            !external.is_empty() || !config.networks.http.is_empty() || config.interfaces.prometheus.url.is_some();
        let (sources, snapshot) = Sources::open(config, external, Remotes::Poll, &names)?;
        let monitor = sources.monitor();
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let counters = Arc::new(Counters::default());
        let interval = config.reload_interval().or(watches_remotes.then_some(REMOTE_INTERVAL));
        let reloader = match interval {
            Some(interval) if sources.changeable() => {
                let thread = Reloader::start(interval, sources, Arc::clone(&snapshot), Arc::clone(&exporters));
                Some(thread.map_err(|error| EnricherError::Thread { name: "enrich-sources", error })?)
            }
            _ => None,
        };
        let stage = Worker {
            input,
            output,
            ledger,
            exporters,
            snapshot: Arc::clone(&snapshot),
            counters: Arc::clone(&counters),
        };
        let worker = thread::Builder::new()
            .name("enrich-0".into())
            .spawn(move || stage.run())
            .map_err(|error| EnricherError::Thread { name: "enrich-0", error })?;
        Ok(Self { worker, reloader, snapshot, counters, monitor })
    }

    /// Counters, sizes of the tables and states of the sources as they are now.
    pub fn stats(&self) -> EnricherStats {
        let snapshot = self.snapshot.load();
        EnricherStats {
            batches: self.counters.batches.load(Relaxed),
            rows: self.counters.rows.load(Relaxed),
            lookups: self.counters.lookups(),
            generation: snapshot.generation,
            table_bytes: snapshot.addresses.bytes(),
            devices: snapshot.directory.len(),
            interfaces: snapshot.directory.n_interfaces(),
            options_data: self.counters.hits.of(OPTIONS_DATA, Asked::Interface),
            sources: self.monitor.stats(&self.counters.hits),
        }
    }

    /// What the sources say of an exporter now.
    pub fn exporter(&self, entry: &Entry) -> Exporter {
        self.snapshot.load().directory.exporter(entry)
    }

    /// Waits until every sender into the stage is gone and all its rows are passed on.
    pub fn join(self) {
        if self.worker.join().is_err() {
            error!("the thread enrich-0 had died");
        }
        if let Some(reloader) = self.reloader {
            reloader.stop();
        }
    }
}

struct Worker {
    input: BatchReceiver,
    output: BatchSender,
    ledger: Arc<Ledger>,
    exporters: Arc<Exporters>,
    snapshot: Arc<Current>,
    counters: Arc<Counters>,
}

impl Worker {
    fn run(self) {
        let mut memo = Memo::default();
        loop {
            match self.input.receive(IDLE_WAIT) {
                Received::Batch(batch) => self.pass(batch, &mut memo),
                Received::Quiet => {}
                Received::Closed => break,
            }
        }
    }

    fn pass(&self, mut batch: FlowBatch, memo: &mut Memo) {
        let rows = batch.rows();
        let snapshot = self.snapshot.load();
        let tally = rows::enrich(&mut batch, &snapshot, &self.exporters, memo);
        self.counters.add(&tally);
        self.counters.hits.take(&mut memo.uses, &snapshot);
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
