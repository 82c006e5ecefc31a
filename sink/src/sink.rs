//! The running sink: a thread that makes blocks of flows, one for all else, some tasks that send them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use helios_common::channel::Closer;
use helios_common::flow::FlowBatch;
use helios_common::ledger::Ledger;
use helios_common::names::Names;
use helios_common::queue::{BatchReceiver, Received};
use helios_common::side::{SideAccounts, SideReceiver, SideRows, SideTable};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::backlog::{Backlog, Occupancy};
use crate::block::{Assembler, Block, BlockLimits, CloseReason, EncodeCosts};
use crate::client::{self, ConnectError};
use crate::config::{ConfigError, SinkConfig};
use crate::insert::{InsertStats, Inserter};
use crate::ledgers::Ledgers;
use crate::schema::Table;
use crate::side::{SideAssembler, SideThread};
use crate::spool::{Policy, Scanner, Spool, SpoolStats};

/// How long the block thread waits for a batch at the least before it looks at the age of the open block, and how long
/// while no block is open: with nothing to do it does not wake up fifty times a second.
const TICK: Duration = Duration::from_millis(20);
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// What a stop takes at most beyond its limit, for a disk that is slow to take the last blocks.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The sink did not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum SinkError {
    #[error("clickhouse.{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; clickhouse."))]
    Config(Vec<ConfigError>),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot start a block thread: {0}")]
    Thread(io::Error),
}

/// The sink at one moment.
#[derive(Debug, Clone)]
pub struct SinkStats {
    /// Inserts and their outcomes.
    pub insert: InsertStats,
    /// Closed blocks that are not stored yet.
    pub backlog: Occupancy,
    /// Rows of the block that is being filled.
    pub open_rows: u64,
    /// Of these, rows that are not encoded yet.
    pub unwritten_rows: u64,
    /// Closed blocks by [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Of flows.
    pub encode: EncodeCosts,
    /// Without a spool all figures are 0.
    pub spool: SpoolStats,
    /// Rows of side tables, indexed by [`SideTable`].
    pub side: [SideAccounts; SideTable::ALL.len()],
}

/// What became of the rows when draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Rows that ClickHouse did not take in time, and that no spool holds.
    pub lost_rows: u64,
    /// Rows that wait in the spool for the next process.
    pub kept_rows: u64,
}

#[derive(Debug, Default)]
struct Assembly {
    open_rows: u64,
    unwritten_rows: u64,
    closed: [u64; CloseReason::ALL.len()],
    encode: EncodeCosts,
}

/// Stores what comes through a queue of batches and one of side rows.
pub struct Sink {
    inserter: Arc<Inserter>,
    assembly: Arc<Mutex<Assembly>>,
    block_thread: JoinHandle<()>,
    side_thread: JoinHandle<()>,
    /// After the last rows that will be offered.
    close_side: Closer<SideRows>,
    spool: Disk,
    tasks: JoinSet<()>,
    /// Reaches shards that were away at the start, and keeps tables within their bytes; not waited for at a stop.
    upkeep: tokio::task::JoinHandle<()>,
}

/// The spool and the thread that looks after it.
struct Disk {
    spool: Option<Arc<Spool>>,
    /// Why there is none, though there should be.
    error: Option<String>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Disk {
    /// A spool that cannot be opened is an alarm, not an end: blocks wait in memory then.
    fn open(config: &SinkConfig) -> Self {
        let opened = config.spool.active().map(|root| Spool::open(&config.spool, root));
        let (spool, error) = match opened {
            Some(Ok(spool)) => (Some(spool), None),
            Some(Err(error)) => {
                tracing::error!(
                    directory = %config.spool.active().map_or_else(String::new, |root| root.display().to_string()), %error,
                    "the spool cannot be opened: blocks are in memory only and a crash would lose them; \
                     check clickhouse.spool.directory and its permissions, and start again"
                );
                (None, Some(error.to_string()))
            }
            None => (None, None),
        };
        Self { spool, error, thread: None, stop: Arc::new(AtomicBool::new(false)) }
    }

    fn start(&mut self, backlog: &Arc<Backlog>) -> io::Result<()> {
        if let Some(spool) = &self.spool {
            let (spool, backlog, stop) = (Arc::clone(spool), Arc::clone(backlog), Arc::clone(&self.stop));
            let scanner = Scanner { spool, backlog, stop };
            self.thread = Some(std::thread::Builder::new().name("spool".into()).spawn(move || scanner.run())?);
        }
        Ok(())
    }

    fn stats(&self) -> SpoolStats {
        let none =
            || SpoolStats { configured: self.error.is_some(), last_error: self.error.clone(), ..SpoolStats::default() };
        self.spool.as_ref().map_or_else(none, |spool| spool.stats())
    }

    /// Ends the thread; the files stay. Another process may take them at once if no thread of this process `writes` any
    /// more, else when this process has ended.
    fn close(self, writes: bool) {
        self.stop.store(true, Ordering::Release);
        self.thread.iter().for_each(|thread| thread.thread().unpark());
        if self.thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the spool thread panicked");
        }
        if let Some(spool) = self.spool.filter(|_| !writes) {
            spool.release();
        }
    }
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
        side: SideReceiver,
        ledger: Arc<Ledger>,
        names: Arc<Names>,
        runtime: &Handle,
    ) -> Result<Self, SinkError> {
        config.validate().map_err(SinkError::Config)?;
        client::connect(config)?;
        let database = config.storage_database();
        let ledgers = Ledgers { flows: ledger, side: Arc::clone(side.ledger()) };
        let mut disk = Disk::open(config);
        let backlog = Arc::new(Backlog::new(config.max_backlog_bytes, disk.spool.clone(), ledgers.clone()));
        disk.start(&backlog).map_err(SinkError::Thread)?;
        let inserter = Arc::new(Inserter::new(config.clone(), Arc::clone(&backlog), ledgers.clone()));
        let assembly = Arc::new(Mutex::new(Assembly::default()));
        let limits =
            BlockLimits { rows: config.block_rows, octets: config.block_bytes, compression: config.compression };
        let close_side = side.closer();
        let always = disk.spool.as_ref().filter(|_| config.spool.policy == Policy::Always);
        let side_assembler = |table| SideAssembler::new(&database, table, config.compression, always.cloned());
        let sides = SideThread {
            input: side,
            assemblers: SideTable::ALL.map(side_assembler),
            backlog: Arc::clone(&backlog),
            ledgers: ledgers.clone(),
            flush_interval: config.flush_interval(),
        };
        let assembler = Assembler::new(database, limits, names);
        let assembler = match always {
            Some(spool) => assembler.with_spool(Arc::clone(spool), config.spool.max_unwritten_rows),
            None => assembler,
        };
        let blocks = BlockThread {
            input,
            assembler,
            max_unwritten: config.spool.max_unwritten(),
            backlog,
            ledgers,
            assembly: Arc::clone(&assembly),
            flush_interval: config.flush_interval(),
            connections: config.connections,
        };
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let block_thread = thread("block-0").spawn(move || blocks.run()).map_err(SinkError::Thread)?;
        let side_thread = thread("side-0").spawn(move || sides.run()).map_err(SinkError::Thread)?;
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
        let (keeper, mut is_ready) = (Arc::clone(&inserter), waiting.clone());
        let upkeep = runtime.spawn(async move {
            let _ = is_ready.wait_for(|ready| *ready).await;
            tokio::join!(keeper.prepare_rest(), keeper.keep_within_budget(), keeper.keep_schema());
        });
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
        Ok(Self { inserter, assembly, block_thread, side_thread, close_side, spool: disk, tasks, upkeep })
    }

    /// Everything that metrics and the API show. Sends no request and does not wait for ClickHouse.
    pub fn stats(&self) -> SinkStats {
        let assembly = self.assembly.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        SinkStats {
            insert: self.inserter.stats().clone(),
            backlog: self.inserter.backlog.occupancy(),
            open_rows: assembly.open_rows,
            unwritten_rows: assembly.unwritten_rows,
            closed: assembly.closed,
            encode: assembly.encode,
            spool: self.spool.stats(),
            side: self.inserter.ledgers.side.snapshot(),
        }
    }

    /// Why rows are not stored now because of the schema; `None` if it is in place. Sends no request and does not wait.
    pub fn schema_trouble(&self) -> Option<String> {
        self.inserter.schema_trouble()
    }

    /// Whether the block thread is alive.
    pub fn is_running(&self) -> bool {
        !self.block_thread.is_finished()
    }

    /// Stores what is there, once the queue's sender has gone, and ends. Side rows offered from now on may be lost.
    /// What ClickHouse has not taken after `limit` stays in the spool; without one it is given up and counted. With
    /// one, a ClickHouse that does not take blocks is not waited for.
    pub async fn drain(mut self, limit: Duration) -> Drained {
        let deadline = tokio::time::Instant::now() + limit;
        let before = self.inserter.ledgers.flows.snapshot().dropped_total();
        self.close_side.close();
        self.upkeep.abort();
        let threads = [self.block_thread, self.side_thread];
        let joined = tokio::task::spawn_blocking(move || threads.map(|thread| thread.join().is_ok()));
        let joined = tokio::time::timeout_at(deadline, joined).await;
        let writes = joined.is_err();
        match joined {
            Ok(Ok([true, true])) => {}
            Ok(_) => tracing::error!("a block thread panicked"),
            // Its rows stay in flight in the accounts, where the pipeline counts them as lost.
            Err(_) => tracing::error!("a block thread did not pass on its rows in time"),
        }
        self.inserter.backlog.close();
        // Without a schema nothing can be sent, and what is in the spool is not waited for.
        if self.inserter.schema_trouble().is_some() && self.inserter.backlog.leave_all() {
            self.inserter.abandon.send_replace(true);
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout_at(deadline, all).await.is_err() {
            self.inserter.abandon.send_replace(true);
            let backlog = Arc::clone(&self.inserter.backlog);
            let rest = async {
                let _ = tokio::task::spawn_blocking(move || backlog.abandon()).await;
                while self.tasks.join_next().await.is_some() {}
            };
            if tokio::time::timeout(LAST_WRITES, rest).await.is_err() {
                tracing::error!("the disk does not answer: blocks that are not in the spool yet are lost");
            }
        }
        let spool = self.spool;
        let closing = tokio::task::spawn_blocking(move || spool.close(writes));
        if tokio::time::timeout(LAST_WRITES, closing).await.is_err() {
            tracing::error!("the disk does not answer: the spool is left as it is");
        }
        let accounts = self.inserter.ledgers.flows.snapshot();
        Drained { lost_rows: accounts.dropped_total() - before, kept_rows: u64::try_from(accounts.kept()).unwrap_or(0) }
    }
}

/// What the thread `block-0` works with.
struct BlockThread {
    input: BatchReceiver,
    assembler: Assembler,
    backlog: Arc<Backlog>,
    ledgers: Ledgers,
    assembly: Arc<Mutex<Assembly>>,
    flush_interval: Duration,
    max_unwritten: Duration,
    connections: usize,
}

impl BlockThread {
    fn run(mut self) {
        loop {
            match self.input.receive(self.wait()) {
                Received::Batch(batch) => self.append(batch),
                Received::Quiet => {}
                Received::Closed => break,
            }
            if self.is_due() {
                self.close(CloseReason::Age);
            } else {
                self.write_old();
            }
        }
        self.close(CloseReason::Drain);
    }

    /// How long nothing falls due if no batch comes.
    fn wait(&self) -> Duration {
        let Some(age) = self.assembler.age() else { return IDLE_WAIT };
        let unwritten = self.assembler.unwritten_age().map(|age| self.max_unwritten.saturating_sub(age));
        let closing = self.flush_interval.saturating_sub(age);
        unwritten.map_or(closing, |writing| writing.min(closing)).max(TICK)
    }

    /// An open block that is old enough goes when an inserter is free for it; until then it grows.
    fn is_due(&self) -> bool {
        self.assembler.age().is_some_and(|age| age >= self.flush_interval)
            && !self.backlog.is_busy(Table::Flows, self.connections)
    }

    /// Rows that have waited long enough go to the spool, however few they are.
    fn write_old(&mut self) {
        if self.assembler.refile() {
            self.show();
        }
        match self.assembler.encode_older_than(self.max_unwritten) {
            Ok(true) => self.show(),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "a chunk could not be encoded"),
        }
    }

    fn append(&mut self, batch: FlowBatch) {
        self.backlog.make_room();
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
        self.ledgers.closed(&block);
        self.assembly.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).closed[reason as usize] += 1;
        self.backlog.push(block);
    }

    fn show(&self) {
        let mut assembly = self.assembly.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        assembly.open_rows = self.assembler.rows();
        assembly.unwritten_rows = self.assembler.unwritten_rows();
        assembly.encode = self.assembler.costs;
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("running", &self.is_running()).finish_non_exhaustive()
    }
}
