//! The running sink and a ClickHouse that is not always there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_common::ledger::{Ledger, Stage};
use helios_common::names::Names;
use helios_common::queue::{BatchSender, bounded_queue};
use helios_sink::{Sink, SinkConfig};
use helios_testkit::Engine;

use super::support::traffic;

const PATIENCE: Duration = Duration::from_secs(60);

/// Passes rows on as the stages before the sink would.
fn send(sender: &BatchSender, ledger: &Ledger, names: &Names, first: usize, rows: usize) {
    ledger.decoded(rows as u64);
    ledger.moved(Stage::Collect, Stage::Enrich, rows as u64);
    ledger.moved(Stage::Enrich, Stage::Block, rows as u64);
    sender.send_waiting(traffic(names, first, rows)).unwrap();
}

#[test]
fn rows_wait_for_a_clickhouse_that_comes_later_and_goes_meanwhile() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (ledger, names) = (Arc::new(Ledger::new()), Arc::new(Names::new()));
    let (sender, receiver) = bounded_queue(8);
    let mut engine = Engine::start();
    let config = SinkConfig {
        url: engine.url(),
        database: "t".into(),
        block_rows: 1000,
        flush_interval_ms: 50,
        retry_initial_ms: 50,
        retry_max_ms: 500,
        ..SinkConfig::default()
    };
    engine.kill();

    let sink = Sink::start(&config, receiver, Arc::clone(&ledger), Arc::clone(&names), runtime.handle()).unwrap();
    for n in 0..10 {
        send(&sender, &ledger, &names, n * 700, 700);
    }
    engine.resume();
    let deadline = Instant::now() + PATIENCE;
    while ledger.snapshot().stored < 1000 {
        assert!(Instant::now() < deadline, "nothing was stored: {:?}", sink.stats().insert.last_error);
        std::thread::yield_now();
    }
    engine.kill();
    for n in 10..20 {
        send(&sender, &ledger, &names, n * 700, 700);
    }
    engine.resume();
    drop(sender);
    let drained = runtime.block_on(sink.drain(PATIENCE));

    let accounts = ledger.snapshot();
    assert_eq!((drained.lost_rows, accounts.stored, accounts.in_flight(), accounts.imbalance()), (0, 14_000, 0, 0));
    assert_eq!(engine.query("SELECT count() FROM t.flows"), "14000\n");
    assert_eq!(engine.query("SELECT sum(flows) FROM t.flows_1h"), "14000\n");
}

#[test]
fn what_clickhouse_never_takes_is_counted_as_lost_at_the_deadline() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (ledger, names) = (Arc::new(Ledger::new()), Arc::new(Names::new()));
    let (sender, receiver) = bounded_queue(8);
    // Port 1 of the loopback: nothing listens there.
    let config = SinkConfig { url: "http://127.0.0.1:1".into(), block_rows: 1000, ..SinkConfig::default() };
    let sink = Sink::start(&config, receiver, Arc::clone(&ledger), Arc::clone(&names), runtime.handle()).unwrap();
    for n in 0..5 {
        send(&sender, &ledger, &names, n * 700, 700);
    }
    drop(sender);
    let drained = runtime.block_on(sink.drain(Duration::from_millis(300)));
    let accounts = ledger.snapshot();
    assert_eq!((drained.lost_rows, accounts.stored, accounts.in_flight(), accounts.imbalance()), (3500, 0, 0, 0));
}
