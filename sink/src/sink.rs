//! The running sink: one thread that makes blocks, some tasks that send them.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use helios_common::flow::FlowBatch;
use helios_common::ledger::{DropReason, Ledger, Stage};
use helios_common::names::Names;
use helios_common::queue::{BatchReceiver, Received};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::backlog::{Backlog, Occupancy};
use crate::block::{Assembler, Block, BlockLimits, CloseReason, EncodeCosts};
use crate::client::{self, ConnectError};
use crate::config::{ConfigError, SinkConfig};
use crate::insert::{InsertStats, Inserter};

/// How long the block thread waits for a batch before it looks at the age of the open block.
const TICK: Duration = Duration::from_millis(20);

/// The sink did not start.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("clickhouse.{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; clickhouse."))]
    Config(Vec<ConfigError>),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot start the block thread: {0}")]
    Thread(io::Error),
}

/// The sink at one moment.
#[derive(Debug, Clone)]
pub struct SinkStats {
    pub insert: InsertStats,
    /// Closed blocks that are not stored yet.
    pub backlog: Occupancy,
    pub open_rows: u64,
    /// Closed blocks by [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
    pub encode: EncodeCosts,
}

/// What became of the rows when draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Rows that ClickHouse did not take in time.
    pub lost_rows: u64,
}

#[derive(Debug, Default)]
struct Assembly {
    open_rows: u64,
    closed: [u64; CloseReason::ALL.len()],
    encode: EncodeCosts,
}

/// Stores what comes through a queue of batches.
pub struct Sink {
    inserter: Arc<Inserter>,
    assembly: Arc<Mutex<Assembly>>,
    block_thread: JoinHandle<()>,
    tasks: JoinSet<()>,
}

impl Sink {
    /// Starts the block thread and the inserters on `runtime`. ClickHouse need not be there yet: the schema is made,
    /// and blocks are sent, when it is.
    ///
    /// # Errors
    /// [`SinkError`] for a configuration that cannot work.
    pub fn start(
        config: &SinkConfig,
        input: BatchReceiver,
        ledger: Arc<Ledger>,
        names: Arc<Names>,
        runtime: &Handle,
    ) -> Result<Self, SinkError> {
        config.validate().map_err(SinkError::Config)?;
        client::connect(config)?;
        let backlog = Arc::new(Backlog::new(config.max_backlog_bytes));
        let inserter = Arc::new(Inserter::new(config.clone(), Arc::clone(&backlog), Arc::clone(&ledger)));
        let assembly = Arc::new(Mutex::new(Assembly::default()));
        let limits =
            BlockLimits { rows: config.block_rows, octets: config.block_bytes, compression: config.compression };
        let blocks = BlockThread {
            input,
            assembler: Assembler::new(config.database.clone(), limits, names),
            backlog,
            ledger,
            assembly: Arc::clone(&assembly),
            flush_interval: config.flush_interval(),
            connections: config.connections,
        };
        let thread = std::thread::Builder::new().name("block-0".into());
        let block_thread = thread.spawn(move || blocks.run()).map_err(SinkError::Thread)?;
        let mut tasks = JoinSet::new();
        let (ready, waiting) = tokio::sync::watch::channel(false);
        let preparing = Arc::clone(&inserter);
        tasks.spawn_on(
            async move {
                preparing.prepare().await;
                ready.send_replace(true);
            },
            runtime,
        );
        for _ in 0..config.connections {
            let (inserter, mut waiting) = (Arc::clone(&inserter), waiting.clone());
            tasks.spawn_on(
                async move {
                    // The sender ends with the preparing task: either it is ready or everything is over.
                    let _ = waiting.wait_for(|ready| *ready).await;
                    inserter.run().await;
                },
                runtime,
            );
        }
        Ok(Self { inserter, assembly, block_thread, tasks })
    }

    pub fn stats(&self) -> SinkStats {
        let assembly = self.assembly.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        SinkStats {
            insert: self.inserter.stats().clone(),
            backlog: self.inserter.backlog.occupancy(),
            open_rows: assembly.open_rows,
            closed: assembly.closed,
            encode: assembly.encode,
        }
    }

    /// Whether the block thread is alive.
    pub fn is_running(&self) -> bool {
        !self.block_thread.is_finished()
    }

    /// Stores what is there, once the queue's sender has gone, and ends. What ClickHouse has not taken after `limit`
    /// is given up and counted.
    pub async fn drain(mut self, limit: Duration) -> Drained {
        let deadline = tokio::time::Instant::now() + limit;
        let before = self.inserter.ledger.snapshot().dropped_total();
        let thread = self.block_thread;
        if tokio::task::spawn_blocking(move || thread.join()).await.is_err() {
            tracing::error!("the block thread panicked");
        }
        self.inserter.backlog.close();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout_at(deadline, all).await.is_err() {
            self.inserter.abandon.send_replace(true);
            for block in self.inserter.backlog.abandon() {
                self.inserter.ledger.dropped(Stage::Insert, DropReason::Shutdown, block.rows);
            }
            while self.tasks.join_next().await.is_some() {}
        }
        Drained { lost_rows: self.inserter.ledger.snapshot().dropped_total() - before }
    }
}

/// What the thread `block-0` works with.
struct BlockThread {
    input: BatchReceiver,
    assembler: Assembler,
    backlog: Arc<Backlog>,
    ledger: Arc<Ledger>,
    assembly: Arc<Mutex<Assembly>>,
    flush_interval: Duration,
    connections: usize,
}

impl BlockThread {
    fn run(mut self) {
        loop {
            match self.input.receive(TICK) {
                Received::Batch(batch) => self.append(batch),
                Received::Quiet => {}
                Received::Closed => break,
            }
            if self.is_due() {
                self.close(CloseReason::Age);
            }
        }
        self.close(CloseReason::Drain);
    }

    /// An open block that is old enough goes when an inserter is free for it; until then it grows.
    fn is_due(&self) -> bool {
        self.assembler.age().is_some_and(|age| age >= self.flush_interval)
            && self.backlog.occupancy().blocks < self.connections
    }

    fn append(&mut self, batch: FlowBatch) {
        let mut closed = Vec::new();
        if let Err(error) = self.assembler.append(&batch, |block, reason| closed.push((block, reason))) {
            // Columns and schema follow one table: this is a bug, and its rows stay in flight for everybody to see.
            tracing::error!(%error, "a batch could not be encoded");
        }
        self.input.give_back(batch);
        for (block, reason) in closed {
            self.pass_on(block, reason);
        }
        self.show();
    }

    fn close(&mut self, reason: CloseReason) {
        match self.assembler.close() {
            Ok(Some(block)) => self.pass_on(block, reason),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a block could not be closed"),
        }
        self.show();
    }

    fn pass_on(&self, block: Block, reason: CloseReason) {
        self.ledger.moved(Stage::Block, Stage::Insert, block.rows);
        self.assembly.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).closed[reason as usize] += 1;
        for dropped in self.backlog.push(block) {
            self.ledger.dropped(Stage::Insert, DropReason::BacklogFull, dropped.rows);
        }
    }

    fn show(&self) {
        let mut assembly = self.assembly.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        assembly.open_rows = self.assembler.rows();
        assembly.encode = self.assembler.costs;
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("running", &self.is_running()).finish_non_exhaustive()
    }
}
