//! The running sink behind a proxy that misbehaves: every row is stored once, whatever happens to inserts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_common::ledger::{Ledger, Stage};
use helios_common::names::Names;
use helios_common::queue::{BatchSender, bounded_queue};
use helios_common::side::{SideSender, side_queue};
use helios_sink::config::ClusterConfig;
use helios_sink::error::Class;
use helios_sink::{Sink, SinkConfig};
use helios_testkit::Engine;
use helios_testkit::proxy::{Fault, Proxy, Schedule};
use tokio::runtime::Runtime;

use super::support::traffic;

/// Hangs of a server that was slow take up to sixteen times the time-out below.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// Longer than an insert takes on a busy machine, shorter than the faults that are to be late.
const INSERT_TIMEOUT: Duration = Duration::from_millis(1500);

/// A sink, and what feeds it.
pub(super) struct Running {
    sink: Sink,
    sender: BatchSender,
    ledger: Arc<Ledger>,
    names: Arc<Names>,
    runtime: Runtime,
    pub(super) side: SideSender,
    sent: usize,
    database: String,
}

pub(super) fn config(shards: &[&[&Proxy]], database: &str) -> SinkConfig {
    let urls = |proxies: &&[&Proxy]| proxies.iter().map(|proxy| proxy.url()).collect();
    SinkConfig {
        cluster: ClusterConfig { name: None, shards: shards.iter().map(urls).collect() },
        database: database.into(),
        block_rows: 1000,
        flush_interval_ms: 50,
        insert_timeout_ms: INSERT_TIMEOUT.as_millis() as u64,
        retry_initial_ms: 10,
        retry_max_ms: 100,
        ..SinkConfig::default()
    }
}

impl Running {
    pub(super) fn start(config: &SinkConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (ledger, names) = (Arc::new(Ledger::new()), Arc::new(Names::new()));
        let (sender, receiver) = bounded_queue(8);
        let (side_sender, side) = side_queue();
        let sink =
            Sink::start(config, receiver, side, Arc::clone(&ledger), Arc::clone(&names), runtime.handle()).unwrap();
        let database = config.database.clone();
        Self { sink, sender, ledger, names, runtime, side: side_sender, sent: 0, database }
    }

    /// Blocks of a thousand rows each.
    pub(super) fn send(&mut self, blocks: usize) {
        for _ in 0..blocks {
            self.ledger.decoded(1000);
            self.ledger.moved(Stage::Collect, Stage::Enrich, 1000);
            self.ledger.moved(Stage::Enrich, Stage::Block, 1000);
            self.sender.send_waiting(traffic(&self.names, self.sent, 1000)).unwrap();
            self.sent += 1000;
        }
    }

    pub(super) fn wait_for_stored(&self, rows: usize) {
        let deadline = Instant::now() + PATIENCE;
        while (self.ledger.snapshot().stored as usize) < rows {
            let accounts = self.ledger.snapshot();
            assert_eq!(accounts.imbalance(), 0);
            assert!(Instant::now() < deadline, "{accounts:?}: {:?}", self.sink.stats().insert.last_error);
            std::thread::sleep(Duration::from_millis(5)); // between two looks at the accounts
        }
    }

    /// Waits until `done`, and says what the last insert failed with where that does not come.
    pub(super) fn until(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "waited in vain for {what}: {}", self.last_error());
            std::thread::sleep(Duration::from_millis(5)); // between two looks at the state
        }
    }

    pub(super) fn wait_for_all(&self) {
        self.wait_for_stored(self.sent);
    }

    pub(super) fn last_error(&self) -> String {
        self.sink.stats().insert.last_error.clone().map_or_else(String::new, |(_, error)| error)
    }

    pub(super) fn failures(&self, class: Class) -> u64 {
        self.sink.stats().insert.failures[class as usize]
    }

    /// Ends a sink that was sent nothing.
    fn end_without_rows(self) {
        self.until("the schema", || self.sink.schema_trouble().is_none());
        drop(self.sender);
        self.runtime.block_on(self.sink.drain(PATIENCE));
    }

    /// Ends, and every row that was sent is in every table once.
    pub(super) fn end(self, engine: &Engine, what: &str) {
        self.wait_for_stored(self.sent);
        drop(self.sender);
        let drained = self.runtime.block_on(self.sink.drain(PATIENCE));
        let accounts = self.ledger.snapshot();
        assert_eq!((drained.lost_rows, accounts.dropped_total(), accounts.imbalance()), (0, 0, 0), "{what}");
        let database = &self.database;
        let rows = engine.query(&format!(
            "SELECT (SELECT count() FROM {database}.flows), (SELECT sum(flows) FROM {database}.flows_1m), \
             (SELECT sum(flows) FROM {database}.flows_1h)"
        ));
        assert_eq!(rows.trim(), format!("{0}\t{0}\t{0}", self.sent), "{what}");
    }
}

#[test]
fn after_every_kind_of_fault_every_row_is_stored_once() {
    let engine = Engine::start();
    let late = Fault::LateAnswer(INSERT_TIMEOUT * 2);
    let faults: [(&str, &[Fault], Class); 8] = [
        ("reset", &[Fault::Reset, Fault::Reset], Class::Transient),
        ("cut", &[Fault::CutRequest { after: 0 }, Fault::CutRequest { after: 5000 }], Class::Transient),
        ("lost_request", &[Fault::LoseRequest], Class::Transient),
        ("lost_answer", &[Fault::LoseAnswer, Fault::LoseAnswer, Fault::LoseAnswer], Class::Transient),
        ("late", &[Fault::Hang, late], Class::Transient),
        ("status", &[Fault::Status(500), Fault::Status(503), Fault::Delay(INSERT_TIMEOUT / 5)], Class::Transient),
        // READONLY replica, then without its Keeper.
        ("replica", &[Fault::Exception(242), Fault::Exception(999)], Class::Replica),
        // Too many parts, memory and time limits pass; a missing table or column, a quota and a password are mended.
        ("exceptions", &[252, 241, 159, 60, 16, 201, 516].map(Fault::Exception), Class::Configuration),
    ];
    for (what, list, class) in faults {
        let proxy = Proxy::start(&engine.url(), Schedule::list(list.iter().copied()));
        let mut running = Running::start(&config(&[&[&proxy]], what));
        running.send(4);
        running.wait_for_stored(4000);
        assert!(running.failures(class) > 0, "{what}: {:?}", running.sink.stats().insert.failures);
        running.end(&engine, what);
        assert!(proxy.done().len() > list.len(), "{what}: {:?}", proxy.done());
    }
}

/// Whoever answers 200 in ClickHouse's place, or whatever is left of an exception behind a 200: nothing counts as stored.
#[test]
fn nothing_but_clickhouses_acknowledgement_counts_as_stored() {
    let engine = Engine::start();
    let proxy = Proxy::start(&engine.url(), Schedule::list(Fault::false_ok()));
    let mut running = Running::start(&config(&[&[&proxy]], "acknowledged"));
    running.send(4);
    running.wait_for_stored(4000);
    assert_eq!(running.failures(Class::Transient), Fault::false_ok().count() as u64);
    running.end(&engine, "acknowledged");
}

/// The engine itself refuses: its tables take no more parts for a while.
#[test]
fn blocks_that_the_tables_do_not_take_are_sent_again_until_they_do() {
    let engine = Engine::start();
    let proxy = Proxy::start(&engine.url(), Schedule::Quiet);
    let mut running = Running::start(&config(&[&[&proxy]], "parts"));
    running.send(1);
    running.wait_for_stored(1000);
    engine.query("SYSTEM STOP MERGES parts.flows");
    engine.query("ALTER TABLE parts.flows MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 0");
    running.send(4);
    running.until("three failures", || running.failures(Class::Transient) >= 3);
    assert!(running.last_error().contains("Code: 252"), "{}", running.last_error());
    assert_eq!(running.ledger.snapshot().stored, 1000, "what was refused is not stored");
    engine.query("ALTER TABLE parts.flows RESET SETTING parts_to_throw_insert, parts_to_delay_insert");
    running.end(&engine, "parts");
}

/// Tables that are dropped while rows come are made again, and the rows are stored in the new ones.
#[test]
fn a_database_that_is_dropped_is_said_and_made_again() {
    let engine = Engine::start();
    let proxy = Proxy::start(&engine.url(), Schedule::Quiet);
    let mut running = Running::start(&config(&[&[&proxy]], "dropped"));
    running.send(1);
    running.wait_for_stored(1000);
    assert_eq!(running.sink.schema_trouble(), None);
    engine.query("DROP DATABASE dropped SYNC");
    running.send(2);
    running.wait_for_stored(3000);
    assert!(running.failures(Class::Configuration) > 0);
    let rows = engine.query("SELECT (SELECT count() FROM dropped.flows), (SELECT sum(flows) FROM dropped.flows_1m)");
    assert_eq!(rows.trim(), "2000\t2000");
}

/// As above, with `clickhouse.migrate` off: the sink says what is missing until somebody has made it.
#[test]
fn without_migrations_what_is_missing_is_named_and_waited_for() {
    let engine = Engine::start();
    let proxy = Proxy::start(&engine.url(), Schedule::Quiet);
    let made = config(&[&[&proxy]], "waited");
    let stand = |sql: &str| engine.query(sql);
    Running::start(&made).end_without_rows();
    stand("ALTER TABLE waited.flows DROP COLUMN tcp_flags");
    stand("DROP VIEW waited.flows_1h_mv SYNC");
    let mut running = Running::start(&SinkConfig { migrate: false, ..made.clone() });
    running.send(1);
    let missing = ["add column flows.tcp_flags", "create view flows_1h_mv"];
    running.until("both steps", || missing.iter().all(|step| running.last_error().contains(step)));
    assert!(running.sink.schema_trouble().is_some_and(|why| why.contains(missing[0])));
    assert_eq!(running.ledger.snapshot().stored, 0);
    // Somebody upgrades the schema.
    Running::start(&made).end_without_rows();
    running.end(&engine, "waited");
}

/// Nothing waits and no ClickHouse is there: a stop takes no time.
#[test]
fn a_stop_with_nothing_to_send_does_not_wait_for_a_clickhouse_that_is_away() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let state = tempfile::tempdir().unwrap();
    let mut config = SinkConfig { url, ..SinkConfig::default() };
    for spool in [None, Some(state.path().to_owned())] {
        config.spool.directory = spool.clone();
        let mut running = Running::start(&config);
        // Rows that the spool holds are not waited for either.
        running.send(usize::from(spool.is_some()));
        drop(running.sender);
        let begin = Instant::now();
        let drained = running.runtime.block_on(running.sink.drain(PATIENCE));
        assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
        assert_eq!((drained.lost_rows, drained.kept_rows), (0, if spool.is_some() { 1000 } else { 0 }));
    }
}

#[test]
fn under_random_faults_every_row_is_stored_once() {
    let engine = Engine::start();
    // `make torture` has more of them.
    let seeds = std::env::var("HELIOS_FAULT_SEEDS").map_or(2, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        let proxy = Proxy::start(&engine.url(), Schedule::seeded(seed, 50));
        let mut running = Running::start(&config(&[&[&proxy]], &format!("seed_{seed}")));
        running.send(20);
        running.end(&engine, &format!("seed {seed}: {:?}", proxy.done()));
    }
}

#[test]
fn a_server_that_is_always_slower_than_the_time_out_gets_more_time() {
    let engine = Engine::start();
    let late = Duration::from_secs(1);
    let proxy = Proxy::start(&engine.url(), Schedule::Always(Fault::Delay(late)));
    let mut running = Running::start(&SinkConfig { insert_timeout_ms: 300, ..config(&[&[&proxy]], "slow") });
    running.send(4);
    running.wait_for_stored(4000);
    assert!(running.failures(Class::Transient) > 0);
    running.end(&engine, "slow");
}

#[test]
fn a_wrong_password_is_tried_at_the_longest_interval_only() {
    let engine = Engine::start();
    let proxy = Proxy::start(&engine.url(), Schedule::Always(Fault::Exception(516)));
    let mut running = Running::start(&SinkConfig { retry_max_ms: 400, ..config(&[&[&proxy]], "password") });
    running.send(1);
    let begin = Instant::now();
    running.until("three failures", || running.failures(Class::Configuration) >= 3);
    // Two pauses of 400 ms less a quarter.
    assert!(begin.elapsed() >= Duration::from_millis(550), "{:?}", begin.elapsed());
    proxy.follow(Schedule::Quiet);
    running.end(&engine, "password");
}

#[test]
fn a_replica_that_fails_is_passed_over_with_the_same_token() {
    let engine = Engine::start();
    let good = Proxy::start(&engine.url(), Schedule::Quiet);
    // What it does commit is not doubled by the retry at the other one.
    let bad = Proxy::start(
        &engine.url(),
        Schedule::list([Fault::LoseAnswer, Fault::Exception(242), Fault::LoseAnswer, Fault::Reset]),
    );
    let mut running = Running::start(&config(&[&[&bad, &good]], "failover"));
    running.send(12);
    running.end(&engine, "failover");
    assert!(!bad.done().is_empty() && good.done().len() >= 6, "{:?} {:?}", bad.done(), good.done());
}

#[test]
fn a_shard_that_is_away_does_not_stop_the_others() {
    let engine = Engine::start();
    let good = Proxy::start(&engine.url(), Schedule::Quiet);
    let bad = Proxy::start(&engine.url(), Schedule::Always(Fault::Reset));
    let mut running = Running::start(&config(&[&[&good], &[&bad]], "shards"));
    running.send(10);
    running.wait_for_stored(5000);
    assert_eq!(running.ledger.snapshot().stored, 5000, "blocks of a shard stay its own");
    bad.follow(Schedule::Quiet);
    running.end(&engine, "shards");
}

#[test]
fn a_shard_that_is_away_at_the_start_gets_its_blocks_when_it_comes() {
    let engine = Engine::start();
    for away_first in [true, false] {
        let (good, bad) = (Proxy::start(&engine.url(), Schedule::Quiet), Proxy::start(&engine.url(), Schedule::Quiet));
        bad.be_away(true);
        let order = if away_first { [&bad, &good] } else { [&good, &bad] };
        let database = format!("late_{away_first}");
        let mut running = Running::start(&config(&order.each_ref().map(std::slice::from_ref), &database));
        running.send(10);
        running.wait_for_stored(5000);
        let stats = running.sink.stats();
        assert!(stats.insert.schema_ready && bad.done().is_empty(), "{:?}", bad.done());
        bad.be_away(false);
        running.end(&engine, &database);
        assert!(!bad.done().is_empty());
    }
}

#[test]
fn over_tls_with_an_authority_of_ones_own() {
    let engine = Engine::start();
    let proxy = Proxy::encrypted(&engine.url(), Schedule::list([Fault::LoseAnswer]));
    let stranger = Proxy::encrypted(&engine.url(), Schedule::Quiet);
    let trusting = |ca_file: Option<PathBuf>| SinkConfig { ca_file, ..config(&[&[&proxy]], "tls") };
    let mut running = Running::start(&trusting(proxy.ca_file()));
    running.send(2);
    running.end(&engine, "tls");

    let distrusting = Running::start(&trusting(stranger.ca_file()));
    distrusting.until("a failure", || distrusting.failures(Class::Transient) > 0);
    assert!(!distrusting.sink.stats().insert.schema_ready, "a certificate of an unknown authority was taken");
}
