//! Large blocks and blocks of many days, sent more than once: ClickHouse makes several parts of them, each of which has
//! to be known again, in `flows` and in every rollup.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_common::columns::RECEIVED_AT;
use helios_common::flow::FlowBatch;
use helios_common::ledger::{Ledger, Stage};
use helios_common::names::Names;
use helios_common::queue::{BatchSender, bounded_queue};
use helios_common::side::{SideSender, side_queue};
use helios_sink::block::Block;
use helios_sink::config::Compression;
use helios_sink::{Sink, SinkConfig, SinkStats};
use helios_testkit::proxy::{Fault, Proxy, Schedule};
use tokio::runtime::Runtime;

use super::support::{Stand, assembler, block, traffic};

const PATIENCE: Duration = Duration::from_secs(120);

const DAY_MS: i64 = 86_400_000;

/// Fewer than `flows` keeps, and more than a week has left: rollups that are partitioned by week have two.
const DAYS: usize = 6;

const ROLLUPS: [&str; 5] = ["flows_1m", "flows_1h", "summary_1h", "talkers_1m", "talkers_1h"];

/// Rows of a block: `make torture` has it as large as helios makes it.
fn rows() -> usize {
    std::env::var("HELIOS_BLOCK_ROWS").map_or(150_000, |rows| rows.parse().unwrap())
}

/// Traffic whose neighbours are of different days, as after a long outage.
fn of_many_days(names: &Names, first: usize, rows: usize) -> FlowBatch {
    let mut batch = traffic(names, first, rows);
    for (n, at) in batch.open(RECEIVED_AT).iter_mut().enumerate() {
        *at -= (n % DAYS) as i64 * DAY_MS;
    }
    batch
}

fn large_block(names: &Arc<Names>) -> Block {
    let batches = (0..rows()).step_by(8000).map(|first| of_many_days(names, first, 8000.min(rows() - first)));
    block(&mut assembler(names, Compression::Lz4), batches)
}

/// Every table has these rows once, by figures that a single doubled or lost part would change.
fn assert_once(stand: &Stand, rows: usize, what: &str) {
    let flows =
        stand.query("SELECT count(), sum(bytes * sampling_interval), sum(packets * sampling_interval) FROM t.flows");
    assert_eq!(flows.split('\t').next(), Some(&*rows.to_string()), "{what}");
    for rollup in ROLLUPS {
        let side = match rollup {
            "flows_1m" | "flows_1h" => "",
            "summary_1h" => "WHERE side = 'place'",
            _ => "WHERE side = 'total'",
        };
        let sums = stand.query(&format!("SELECT sum(flows), sum(bytes), sum(packets) FROM t.{rollup} {side}"));
        assert_eq!(sums, flows, "{what}: {rollup}");
    }
}

fn partitions(stand: &Stand, table: &str) -> usize {
    let sql = format!("SELECT uniq(partition) FROM system.parts WHERE database = 't' AND table = '{table}' AND active");
    stand.query(&sql).parse().unwrap()
}

#[test]
fn a_block_of_many_days_is_stored_once_however_often_it_is_sent() {
    let mut stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let block = large_block(&names);
    stand.insert(&block);
    assert_once(&stand, rows(), "sent once");
    assert_eq!((partitions(&stand, "flows"), partitions(&stand, "flows_1m")), (DAYS, DAYS));
    stand.insert(&block);
    assert_once(&stand, rows(), "sent twice");
    stand.engine.kill();
    stand.engine.resume();
    stand.insert(&block);
    assert_once(&stand, rows(), "sent again after a crash of ClickHouse");
}

#[test]
fn a_block_that_clickhouse_cuts_in_pieces_is_stored_once_however_often_it_is_sent() {
    // What an administrator may have set for all users, or a later version of ClickHouse may choose.
    for settings in [
        [("max_insert_block_size", "10000"), ("min_insert_block_size_rows", "0"), ("min_insert_block_size_bytes", "0")],
        [("max_insert_block_size", "70000"), ("min_insert_block_size_rows", "70000"), ("max_block_size", "5000")],
    ] {
        let mut stand = Stand::migrated();
        let settings_of_address: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        stand.config.url = format!("{}/?{}", stand.engine.url(), settings_of_address.join("&"));
        let block = large_block(&Arc::new(Names::new()));
        for attempt in ["sent once", "sent twice", "sent three times"] {
            stand.insert(&block);
            assert_once(&stand, rows(), &format!("{settings:?}, {attempt}"));
        }
        let written = "SELECT count() FROM system.parts WHERE database = 't' AND table = 'flows' AND level = 0";
        let written: usize = stand.query(written).parse().unwrap();
        assert!(written >= 2 * DAYS, "{settings:?} cut nothing: {written} parts of {DAYS} days");
    }
}

#[test]
fn a_block_that_got_as_far_as_some_tables_reaches_the_others_when_it_is_sent_again() {
    for missing in ROLLUPS {
        let stand = Stand::migrated();
        let names = Arc::new(Names::new());
        stand.query(&format!("RENAME TABLE t.{missing} TO t.away"));
        let block = large_block(&names);
        let attempt = stand.try_insert(&block);
        assert!(attempt.is_err(), "{missing} is missing");
        stand.query(&format!("RENAME TABLE t.away TO t.{missing}"));
        stand.insert(&block);
        stand.insert(&block);
        assert_once(&stand, rows(), missing);
    }
}

/// A sink with a spool.
struct Running {
    sink: Sink,
    sender: BatchSender,
    ledger: Arc<Ledger>,
    names: Arc<Names>,
    runtime: Runtime,
    _side: SideSender,
}

impl Running {
    fn start(url: String, spool: &Path) -> Self {
        let mut config = SinkConfig {
            url,
            database: "t".into(),
            // Closed by nothing but the end.
            flush_interval_ms: 600_000,
            retry_initial_ms: 10,
            retry_max_ms: 100,
            insert_timeout_ms: 20_000,
            ..SinkConfig::default()
        };
        config.spool.directory = Some(spool.to_owned());
        config.spool.min_free_bytes = 0;
        config.spool.max_unwritten_ms = 50;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (ledger, names) = (Arc::new(Ledger::new()), Arc::new(Names::new()));
        let (sender, receiver) = bounded_queue(8);
        let (side_sender, side) = side_queue();
        let sink =
            Sink::start(&config, receiver, side, Arc::clone(&ledger), Arc::clone(&names), runtime.handle()).unwrap();
        Self { sink, sender, ledger, names, runtime, _side: side_sender }
    }

    fn send(&self, rows: usize) {
        for first in (0..rows).step_by(8000) {
            let rows = 8000.min(rows - first);
            self.ledger.decoded(rows as u64);
            self.ledger.moved(Stage::Collect, Stage::Enrich, rows as u64);
            self.ledger.moved(Stage::Enrich, Stage::Block, rows as u64);
            self.sender.send_waiting(of_many_days(&self.names, first, rows)).unwrap();
        }
    }

    fn wait_for(&self, what: &str, done: impl Fn(&SinkStats) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.sink.stats()) {
            assert!(Instant::now() < deadline, "waited in vain for {what}: {:?}", self.sink.stats().insert.last_error);
            std::thread::sleep(Duration::from_millis(10)); // between two looks at the state
        }
    }
}

/// What a crash leaves of a directory: the files as they are now.
fn image(of: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(of).unwrap().map(Result::unwrap) {
        let copy = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            image(&entry.path(), &copy);
        } else {
            std::fs::copy(entry.path(), copy).unwrap();
        }
    }
}

#[test]
fn a_block_recovered_after_a_crash_and_committed_without_an_answer_is_stored_once() {
    let stand = Stand::migrated();
    let directory = tempfile::tempdir().unwrap();
    let (before, after) = (directory.path().join("before"), directory.path().join("after"));
    // Nobody takes the block before the crash: all that is left of it is the file that was being filled.
    let crashing = Running::start("http://127.0.0.1:1".into(), &before);
    crashing.send(rows());
    crashing
        .wait_for("all rows to be written", |stats| stats.open_rows as usize == rows() && stats.unwritten_rows == 0);
    image(&before, &after);

    // ClickHouse commits it twice, and helios hears of neither.
    let proxy = Proxy::start(&stand.engine.url(), Schedule::list([Fault::LoseAnswer, Fault::LoseAnswer]));
    let recovered = Running::start(proxy.url(), &after);
    recovered.wait_for("the block to be stored", |_| recovered.ledger.snapshot().stored as usize == rows());
    assert_eq!(proxy.done().iter().filter(|fault| **fault == Fault::LoseAnswer).count(), 2, "{:?}", proxy.done());
    assert_once(&stand, rows(), "recovered");
    for running in [recovered, crashing] {
        let Running { sink, sender, runtime, .. } = running;
        drop(sender);
        runtime.block_on(sink.drain(Duration::from_millis(200)));
    }
}
