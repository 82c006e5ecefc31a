//! Inserters: send blocks until ClickHouse has them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use clickhouse::error::Error;
use hdrhistogram::Histogram;
use helios_common::clock;
use helios_common::time::UnixMs;
use helios_web::Backoff;
use tokio::sync::{Notify, watch};

use crate::backlog::{Backlog, Lane, Pause};
use crate::block::Block;
use crate::client::ConnectError;
use crate::cluster::{Cluster, DiscoverError, Replica};
use crate::config::SinkConfig;
use crate::error::{Class, with_cause};
use crate::ledgers::Ledgers;
use crate::migrate::{self, MigrateError};
use crate::retention;
use crate::trouble::{Ended, Task, Trouble, Troubles};

/// The same failure is logged at most once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How often the schema is looked at while nothing fails.
const SCHEMA_INTERVAL: Duration = Duration::from_secs(60);

/// Attempts with a block that ClickHouse says it cannot read: bytes may be lost on the way once, not every time.
const UNREADABLE_ATTEMPTS: u32 = 5;

/// How often the time-out of a slow server is doubled at the most: a minute becomes a quarter of an hour.
const MAX_DOUBLINGS: u32 = 4;

const NOT_READY: &str = "the schema is not ready: rows wait, receiving goes on";

/// Latencies up to an hour, two digits.
const LATENCY_MAX_MS: u64 = 3_600_000;

/// What happened at ClickHouse's side.
#[derive(Debug, Clone)]
pub struct InsertStats {
    pub blocks: u64,
    pub rows: u64,
    /// Rows of rollups that were sent with the blocks.
    pub rollup_rows: u64,
    /// As sent, compressed.
    pub octets: u64,
    /// Failed attempts by [`Class::ALL`].
    pub failures: [u64; Class::ALL.len()],
    pub insert_ns: u64,
    /// Whether the schema is as this version needs it.
    pub schema_ready: bool,
    /// What went missing of it after it was ready.
    pub schema_error: Option<String>,
    /// The latest error and when it came, whether it stands or not.
    pub last_error: Option<(UnixMs, String)>,
    /// The error that stands; `None` when all is well.
    pub trouble: Option<Trouble>,
    /// Milliseconds from the arrival of a datagram to the acknowledgement of its rows, weighted by rows.
    pub latency: Histogram<u64>,
}

/// What became of a block.
enum Outcome {
    Stored,
    /// With ClickHouse's message.
    Refused(String),
    Failed(Class),
    /// The time for draining is over.
    Abandoned,
}

/// Shared by all inserters.
pub(crate) struct Inserter {
    pub config: SinkConfig,
    pub backlog: Arc<Backlog>,
    pub ledgers: Ledgers,
    /// As configured until the servers are asked.
    cluster: Mutex<Arc<Cluster>>,
    retries: Mutex<HashMap<Lane, Retry>>,
    /// How often the time-out was doubled where inserts did not end within it.
    doublings: Mutex<HashMap<Lane, u32>>,
    stats: Mutex<InsertStats>,
    logged: Mutex<HashMap<String, Instant>>,
    troubles: Mutex<Troubles>,
    /// Set when the time for draining is over.
    pub abandon: watch::Sender<bool>,
    /// ClickHouse refused a block for its configuration: the schema may not be as it was.
    schema_doubted: Notify,
}

impl Inserter {
    pub(crate) fn new(config: SinkConfig, backlog: Arc<Backlog>, ledgers: Ledgers) -> Self {
        let stats = InsertStats {
            blocks: 0,
            rows: 0,
            rollup_rows: 0,
            octets: 0,
            failures: [0; Class::ALL.len()],
            insert_ns: 0,
            schema_ready: false,
            schema_error: None,
            last_error: None,
            trouble: None,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_MS, 2).expect("the bounds are in order"),
        };
        let abandon = watch::Sender::new(false);
        let cluster = Mutex::new(Arc::new(Cluster::configured(&config)));
        Self {
            config,
            cluster,
            backlog,
            ledgers,
            retries: Mutex::default(),
            doublings: Mutex::default(),
            stats: Mutex::new(stats),
            logged: Mutex::default(),
            troubles: Mutex::default(),
            abandon,
            schema_doubted: Notify::new(),
        }
    }

    pub(crate) fn stats(&self) -> MutexGuard<'_, InsertStats> {
        self.stats.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Why rows are not stored now because of the schema; `None` if it is in place.
    pub(crate) fn schema_trouble(&self) -> Option<String> {
        let stats = self.stats();
        if stats.schema_ready {
            return None;
        }
        Some(match stats.schema_error.as_ref().or(stats.last_error.as_ref().map(|(_, error)| error)) {
            Some(error) => format!("the schema is not ready: {error}"),
            None => "the schema is not ready yet".to_owned(),
        })
    }

    /// Where blocks go.
    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Brings the schema up to date, or waits until somebody else has, as often as it takes. The end of draining cuts
    /// it short: a server that does not answer must not hold up a stop.
    pub(crate) async fn prepare(&self) {
        let mut abandon = self.abandon.subscribe();
        tokio::select! {
            () = self.prepare_with_retries() => {
                self.stats().schema_ready = true;
                self.over(Troubles::schema_in_place);
            }
            _ = abandon.wait_for(|abandon| *abandon) => {}
        }
    }

    async fn prepare_with_retries(&self) {
        let mut retry = Retry::new(&self.config);
        while let Err(class) = self.try_prepare().await {
            self.pause(&mut retry, class).await;
        }
    }

    /// `Ok` as soon as there is a shard that takes rows; blocks of the others wait for
    /// [`prepare_rest`](Self::prepare_rest).
    async fn try_prepare(&self) -> Result<(), Class> {
        let cluster = Cluster::discover(&self.config).await.map_err(|error| self.discover_failed(&error))?;
        let cluster = Arc::new(cluster);
        self.backlog.set_shards(cluster.n_shards());
        *self.cluster.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::clone(&cluster);
        let mut unprepared: Vec<usize> = Vec::new();
        let mut latest = Class::Transient;
        for shard in 0..cluster.n_shards() {
            match self.prepare_shard(&cluster, shard).await {
                // Made ON CLUSTER, the schema is everywhere with the first success; else every shard has to be reached.
                Ok(()) if self.config.cluster.name.is_some() => {
                    unprepared.clear();
                    break;
                }
                Ok(()) => {}
                Err(class) => {
                    latest = class;
                    unprepared.push(shard);
                }
            }
        }
        if unprepared.len() == cluster.n_shards() {
            return Err(latest);
        }
        self.backlog.hold(unprepared);
        Ok(())
    }

    /// Prepares the shards that could not be reached at first, one as soon as the other.
    pub(crate) async fn prepare_rest(&self) {
        let cluster = self.cluster();
        let mut retry = Retry::new(&self.config);
        loop {
            let mut class = None;
            for shard in self.backlog.held_shards() {
                match self.prepare_shard(&cluster, shard).await {
                    Ok(()) => self.backlog.release(shard),
                    Err(failure) => class = Some(failure),
                }
            }
            let Some(class) = class else {
                self.over(Troubles::schema_in_place);
                return;
            };
            self.pause(&mut retry, class).await;
        }
    }

    async fn prepare_shard(&self, cluster: &Cluster, shard: usize) -> Result<(), Class> {
        let mut class = Class::Transient;
        for replica in cluster.replicas(shard, Instant::now()) {
            let client = replica.client(&self.config).await;
            let client = client.map_err(|error| self.connect_failed(&error, &replica, Task::Schema))?;
            let result = if self.config.migrate {
                migrate::apply(&client, &self.config, |step| tracing::info!(step = step.purpose, "schema")).await
            } else {
                migrate::check(&client, &self.config).await.map(|()| Vec::new())
            };
            match result {
                Ok(steps) => {
                    let database = &self.config.database;
                    tracing::info!(url = replica.url, database, changes = steps.len(), "the schema is in place");
                    return Ok(());
                }
                Err(error) => {
                    replica.failed(&self.config, Instant::now());
                    class = self.migrate_failed(&error, &replica);
                }
            }
        }
        Err(class)
    }

    /// Looks after the schema once it was ready: when ClickHouse refuses blocks, and once in a while. `/readyz` says what is
    /// missing. A database that was dropped is made again unless `clickhouse.migrate` is off. A single table, column or
    /// view that is missing is waited for: somebody may be at work on it, and have moved it out of the way.
    pub(crate) async fn keep_schema(&self) {
        let mut retry = Retry::new(&self.config);
        loop {
            let _ = tokio::time::timeout(SCHEMA_INTERVAL, self.schema_doubted.notified()).await;
            let cluster = self.cluster();
            for shard in 0..cluster.n_shards() {
                // Those that were away at the start are `prepare_rest`'s.
                if self.backlog.held_shards().contains(&shard) {
                    continue;
                }
                while !self.is_schema_kept(&cluster, shard).await {
                    self.pause(&mut retry, Class::Transient).await;
                }
            }
            retry = Retry::new(&self.config);
            // Blocks that are refused for other reasons ask no more often than this.
            tokio::time::sleep(self.config.retry_max()).await;
        }
    }

    /// Whether the shard's schema is in place. Also true if no server answers: then inserts fail and say so.
    async fn is_schema_kept(&self, cluster: &Cluster, shard: usize) -> bool {
        let Some(replica) = cluster.replicas(shard, Instant::now()).into_iter().next() else { return true };
        let Ok(client) = replica.client(&self.config).await else { return true };
        match migrate::check(&client, &self.config).await {
            Ok(()) => {
                self.schema_is_back(shard);
                return true;
            }
            Err(error @ MigrateError::Missing { database, .. }) => {
                self.schema_is_gone(&error, &replica);
                if !(database && self.config.migrate) {
                    return false;
                }
            }
            Err(_) => return true,
        }
        // A row that came between a table and the views that read it would be missing in the rollups.
        let _ = tokio::time::timeout(self.config.insert_timeout(), self.backlog.hold_also(shard)).await;
        let prepared = self.prepare_shard(cluster, shard).await.is_ok();
        if prepared {
            self.schema_is_back(shard);
        }
        prepared
    }

    fn schema_is_gone(&self, error: &MigrateError, replica: &Replica) {
        let error = error.to_string();
        let mut stats = self.stats();
        stats.schema_ready = false;
        stats.schema_error = Some(error.clone());
        drop(stats);
        self.log(Class::Configuration, &error, &replica.url, NOT_READY);
    }

    fn schema_is_back(&self, shard: usize) {
        let mut stats = self.stats();
        stats.schema_error = None;
        let was_ready = std::mem::replace(&mut stats.schema_ready, true);
        drop(stats);
        if !was_ready {
            tracing::info!(shard, "the schema is complete again");
            self.backlog.resume(shard);
        }
    }

    /// Drops what is beyond the budgets, again and again.
    pub(crate) async fn keep_within_budget(&self) {
        if !self.config.max_table_bytes.is_set() {
            return;
        }
        loop {
            for replica in self.cluster().one_of_each() {
                self.drop_excess(&replica).await;
            }
            tokio::time::sleep(retention::INTERVAL).await;
        }
    }

    async fn drop_excess(&self, replica: &Replica) {
        let Ok(client) = replica.client(&self.config).await else { return };
        match retention::apply(&client, &self.config).await {
            Ok(dropped) => {
                self.over(|troubles, now| troubles.worked(&replica.url, Task::TableSizes, now));
                for gone in dropped {
                    let (table, partition) = (gone.table.name(), &gone.partition);
                    tracing::info!(
                        url = replica.url,
                        table,
                        partition,
                        rows = gone.rows,
                        bytes = gone.bytes,
                        "a partition was dropped: the table is over its clickhouse.max_table_bytes"
                    );
                }
            }
            Err(error) => {
                self.note(
                    Class::of(&error),
                    &with_cause(&error),
                    (&replica.url, Task::TableSizes),
                    "cannot keep tables within clickhouse.max_table_bytes",
                );
            }
        }
    }

    /// Sends blocks until the backlog is closed and nothing waits in memory.
    pub(crate) async fn run(self: Arc<Self>) {
        while let Some(block) = self.backlog.next().await {
            let Some(block) = self.on_disk(move |backlog| backlog.sending(block)).await else { continue };
            let lane = self.backlog.lane(&block);
            let begin = Instant::now();
            let outcome = self.insert(&block, lane).await;
            if let Outcome::Stored = outcome {
                self.count(&block, begin);
            }
            if let Outcome::Failed(Class::Configuration) = outcome {
                // A table may have gone: see `keep_schema`.
                self.schema_doubted.notify_one();
            }
            let pause = self.retry_after(lane, &outcome);
            self.on_disk(move |backlog| match outcome {
                Outcome::Stored => backlog.stored(&block),
                Outcome::Refused(message) => backlog.refused(block, &message),
                Outcome::Failed(Class::Configuration) => backlog.put_back(block, Pause::Block(pause)),
                Outcome::Failed(_) => backlog.put_back(block, Pause::Lane(pause)),
                Outcome::Abandoned => backlog.give_up(block),
            })
            .await;
        }
    }

    /// Does what touches files, where a slow disk holds up no connection. `None` if it panicked.
    async fn on_disk<T: Send + 'static>(&self, what: impl FnOnce(&Backlog) -> T + Send + 'static) -> Option<T> {
        let backlog = Arc::clone(&self.backlog);
        let done = tokio::task::spawn_blocking(move || what(&backlog)).await;
        done.inspect_err(|error| tracing::error!(%error, "a block could not be booked")).ok()
    }

    /// How long the block or its lane is left alone after that.
    fn retry_after(&self, lane: Lane, outcome: &Outcome) -> Duration {
        let mut retries = self.retries.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match outcome {
            Outcome::Failed(class) => retries.entry(lane).or_insert_with(|| Retry::new(&self.config)).next(*class),
            _ => {
                retries.remove(&lane);
                Duration::ZERO
            }
        }
    }

    /// Sends one block to a replica of its shard, at once to the next one if that fails, and again at once if it did
    /// not arrive whole.
    async fn insert(&self, block: &Block, lane: Lane) -> Outcome {
        let mut retry = Retry::new(&self.config);
        let mut unreadable = 0;
        let mut class = Class::Transient;
        for replica in self.cluster().replicas(lane.shard, Instant::now()) {
            loop {
                let message;
                (class, message) = match self.attempt(block, lane, &replica).await {
                    Ok(()) => {
                        replica.succeeded();
                        self.over(|troubles, now| troubles.worked(&replica.url, Task::Insert(lane), now));
                        return Outcome::Stored;
                    }
                    Err(failure) => failure,
                };
                if *self.abandon.borrow() {
                    return Outcome::Abandoned;
                }
                if class.is_of_replica() {
                    replica.failed(&self.config, Instant::now());
                    break;
                }
                unreadable += 1;
                if class == Class::Refused || unreadable >= UNREADABLE_ATTEMPTS {
                    return Outcome::Refused(message);
                }
                self.pause(&mut retry, class).await;
            }
        }
        Outcome::Failed(class)
    }

    /// One attempt, cut short when draining is over.
    async fn attempt(&self, block: &Block, lane: Lane, replica: &Replica) -> Result<(), (Class, String)> {
        let failed =
            |error: ConnectError| (self.connect_failed(&error, replica, Task::Insert(lane)), error.to_string());
        let inserts = replica.inserts(&self.config).await.map_err(failed)?;
        let mut abandon = self.abandon.subscribe();
        let begin = Instant::now();
        let result = tokio::select! {
            result = inserts.insert(block, self.timeout(lane)) => result,
            _ = abandon.wait_for(|abandon| *abandon) => Err(Error::TimedOut),
        };
        self.learn_speed(lane, &result, begin.elapsed());
        result.map_err(|error| (self.failed(&error, replica, lane), error.to_string()))
    }

    /// How long an insert may take.
    fn timeout(&self, lane: Lane) -> Duration {
        let doublings = self.doublings.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.config.insert_timeout() * (1 << doublings.get(&lane).copied().unwrap_or(0))
    }

    /// A server that is always slower than the time-out would never store a block: it gets more time with each attempt,
    /// until inserts are fast again.
    fn learn_speed(&self, lane: Lane, result: &Result<(), Error>, took: Duration) {
        let mut doublings = self.doublings.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match result {
            Ok(()) if took < self.config.insert_timeout() / 2 => _ = doublings.remove(&lane),
            Err(Error::TimedOut) => {
                let doublings = doublings.entry(lane).or_default();
                *doublings = (*doublings + 1).min(MAX_DOUBLINGS);
            }
            _ => {}
        }
    }

    fn count(&self, block: &Block, begin: Instant) {
        let now = clock::unix_ms();
        let mut stats = self.stats();
        stats.blocks += 1;
        stats.rows += block.rows;
        stats.rollup_rows += block.rollups.iter().map(|rollup| rollup.rows).sum::<u64>();
        stats.octets += block.octets;
        stats.insert_ns += begin.elapsed().as_nanos() as u64;
        for &(arrival, rows) in &block.arrivals {
            let latency = (now - arrival).clamp(1, LATENCY_MAX_MS as i64) as u64;
            stats.latency.saturating_record_n(latency, u64::from(rows));
        }
    }

    fn failed(&self, error: &Error, replica: &Replica, lane: Lane) -> Class {
        let class = Class::of(error);
        let advice = match class {
            Class::Transient => "ClickHouse did not take a block: trying again",
            Class::Replica => "a replica cannot store anything now: trying others of its shard, and again",
            Class::Configuration => {
                "ClickHouse does not take blocks as configured: check clickhouse.user, password, quota and schema"
            }
            Class::Unreadable => "ClickHouse could not read a block: trying again a few times",
            Class::Refused => {
                "ClickHouse refused a block for good: it is set aside, see `helios spool list`; without a spool it is \
                 dropped"
            }
        };
        self.note(class, &with_cause(error), (&replica.url, Task::Insert(lane)), advice);
        class
    }

    fn connect_failed(&self, error: &ConnectError, replica: &Replica, task: Task) -> Class {
        let advice = "cannot connect to ClickHouse as configured";
        self.note(Class::Configuration, &with_cause(error), (&replica.url, task), advice);
        Class::Configuration
    }

    fn discover_failed(&self, error: &DiscoverError) -> Class {
        let class = match error {
            DiscoverError::Look { source, .. } => Class::of(source),
            DiscoverError::Connect(_) | DiscoverError::Unknown { .. } => Class::Configuration,
        };
        self.note(class, &with_cause(error), (&self.config.url, Task::Schema), NOT_READY);
        class
    }

    fn migrate_failed(&self, error: &MigrateError, replica: &Replica) -> Class {
        let class = error.client_error().map_or(Class::Configuration, Class::of);
        self.note(class, &with_cause(error), (&replica.url, Task::Schema), NOT_READY);
        class
    }

    /// Counts a failure, which stands until the same works again, and logs it unless the same was logged a moment ago.
    fn note(&self, class: Class, error: &str, (url, task): (&str, Task), advice: &str) {
        let error: String = error.chars().take(500).collect();
        let now = clock::unix_ms();
        let mut troubles = self.troubles();
        troubles.failed(url, task, class, &error, now);
        if self.log(class, &error, url, advice) {
            troubles.logged();
        }
        let mut stats = self.stats();
        stats.failures[class as usize] += 1;
        stats.last_error = Some((now, error));
        stats.trouble = troubles.latest();
    }

    /// Takes note that something worked, and logs the end of an outage that the log has the begin of.
    fn over(&self, worked: impl FnOnce(&mut Troubles, UnixMs) -> Option<Ended>) {
        let mut troubles = self.troubles();
        let ended = worked(&mut troubles, clock::unix_ms());
        self.stats().trouble = troubles.latest();
        drop(troubles);
        if let Some(Ended { lasted_ms, failures, logged: true }) = ended {
            let backlog = self.backlog.occupancy();
            let (blocks, rows) = (backlog.blocks + backlog.kept_blocks, backlog.rows + backlog.kept_rows);
            let lasted_seconds = lasted_ms / 1000;
            tracing::info!(
                lasted_seconds,
                failed_attempts = failures,
                waiting_blocks = blocks,
                waiting_rows = rows,
                "the outage has ended: ClickHouse works again"
            );
        }
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Logs trouble unless the same was logged a moment ago; whether it did.
    fn log(&self, class: Class, error: &str, url: &str, advice: &str) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let kind = format!("{url} {advice}");
        let due = logged.get(&kind).is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if due {
            logged.insert(kind, Instant::now());
            tracing::warn!(url, class = class.name(), error, "{advice}");
        }
        due
    }

    /// Waits before the next attempt, but not beyond the end of draining.
    async fn pause(&self, retry: &mut Retry, class: Class) {
        let mut abandon = self.abandon.subscribe();
        tokio::select! {
            () = tokio::time::sleep(retry.next(class)) => {}
            _ = abandon.wait_for(|abandon| *abandon) => {}
        }
    }
}

/// Times between attempts: growing ones after what passes by itself, the longest after a mistake of configuration.
struct Retry(Backoff);

impl Retry {
    fn new(config: &SinkConfig) -> Self {
        Self(Backoff::new(config.retry_initial(), config.retry_max()))
    }

    fn next(&mut self, class: Class) -> Duration {
        if class == Class::Configuration { self.0.longest() } else { self.0.pause() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit_and_a_mistake_waits_for_the_longest() {
        let config = SinkConfig { retry_initial_ms: 100, retry_max_ms: 1000, ..SinkConfig::default() };
        let mut retry = Retry::new(&config);
        let pauses: Vec<u64> = (0..6).map(|_| retry.next(Class::Transient).as_millis() as u64).collect();
        for (pause, base) in pauses.iter().zip([100, 200, 400, 800, 1000, 1000]) {
            assert!((base * 3 / 4..=base * 5 / 4).contains(pause), "{pauses:?}");
        }
        assert!(Retry::new(&config).next(Class::Configuration).as_millis() >= 750);
    }
}
