//! The running sink and a ClickHouse that is not always there.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_common::exporter::mapped;
use helios_common::ledger::{DropReason, Ledger, Stage};
use helios_common::names::Names;
use helios_common::queue::{BatchSender, bounded_queue};
use helios_common::side::{ExporterMinute, InterfaceCounters, SideSender, SideTable, Text, side_queue};
use helios_sink::{Sink, SinkConfig};
use helios_testkit::Engine;

use super::support::{last_hour, traffic};

const PATIENCE: Duration = Duration::from_secs(180);

/// Passes rows on as the stages before the sink would.
fn send(sender: &BatchSender, ledger: &Ledger, names: &Names, first: usize, rows: usize) {
    ledger.decoded(rows as u64);
    ledger.moved(Stage::Collect, Stage::Enrich, rows as u64);
    ledger.moved(Stage::Enrich, Stage::Block, rows as u64);
    sender.send_waiting(traffic(names, first, rows)).unwrap();
}

/// A hundred rows of each side table.
fn offer_side_rows(sender: &SideSender, n: i64) {
    let exporter_address = mapped([10, 0, 0, 1]);
    let received_at = last_hour() + n;
    let counters = (0..100).map(|if_index| InterfaceCounters {
        received_at,
        exporter_address,
        if_index,
        if_name: Text::new(b"ge-0"),
        if_direction: 1,
        if_in_octets: u64::from(if_index) * 1_000_000_000_000,
        ..InterfaceCounters::default()
    });
    sender.offer(counters.collect::<Vec<_>>());
    let minutes = (0..100).map(|lost| ExporterMinute {
        received_at,
        exporter_address,
        export_protocol: 15,
        lost,
        clock_skew_ms: -(lost as i64),
        ..ExporterMinute::default()
    });
    sender.offer(minutes.collect::<Vec<_>>());
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

    let (side_sender, side) = side_queue();
    let sink = Sink::start(&config, receiver, side, Arc::clone(&ledger), Arc::clone(&names), runtime.handle()).unwrap();
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
    for n in 0..10 {
        offer_side_rows(&side_sender, n);
    }
    engine.resume();
    drop(sender);
    let drained = runtime.block_on(sink.drain(PATIENCE));

    let accounts = ledger.snapshot();
    assert_eq!((drained.lost_rows, accounts.stored, accounts.in_flight(), accounts.imbalance()), (0, 14_000, 0, 0));
    assert_eq!(engine.query("SELECT count() FROM t.flows"), "14000\n");
    assert_eq!(engine.query("SELECT sum(flows) FROM t.flows_1h"), "14000\n");
    // Rows of side tables wait and are stored like those of flows, in accounts of their own.
    for table in SideTable::ALL {
        let accounts = side_sender.ledger().snapshot()[table as usize];
        assert_eq!((accounts.offered, accounts.stored, accounts.in_flight()), (1000, 1000, 0), "{table:?}");
    }
    assert_eq!(
        engine.query("SELECT count(), uniq(if_index), any(if_name), sum(if_in_octets), any(if_direction) FROM t.interface_counters"),
        "1000\t100\tge-0\t49500000000000000\tfull_duplex\n"
    );
    let minute = "SELECT count(), any(IPv6NumToString(exporter_address)), any(export_protocol), min(clock_skew_ms), sum(lost) FROM t.exporters";
    assert_eq!(engine.query(minute), "1000\t::ffff:10.0.0.1\tsflow5\t-99\t49500\n");
}

#[test]
fn what_clickhouse_never_takes_is_counted_as_lost_at_the_deadline() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (ledger, names) = (Arc::new(Ledger::new()), Arc::new(Names::new()));
    let (sender, receiver) = bounded_queue(8);
    // Port 1 of the loopback: nothing listens there.
    let config = SinkConfig { url: "http://127.0.0.1:1".into(), block_rows: 1000, ..SinkConfig::default() };
    let (side_sender, side) = side_queue();
    let sink = Sink::start(&config, receiver, side, Arc::clone(&ledger), Arc::clone(&names), runtime.handle()).unwrap();
    for n in 0..5 {
        send(&sender, &ledger, &names, n * 700, 700);
    }
    offer_side_rows(&side_sender, 0);
    drop(sender);
    let drained = runtime.block_on(sink.drain(Duration::from_millis(300)));
    let accounts = ledger.snapshot();
    assert_eq!((drained.lost_rows, accounts.stored, accounts.in_flight(), accounts.imbalance()), (3500, 0, 0, 0));
    for accounts in side_sender.ledger().snapshot() {
        assert_eq!((accounts.dropped[DropReason::Shutdown as usize], accounts.in_flight()), (100, 0));
    }
}

#[test]
fn a_server_that_hangs_before_the_schema_is_there_does_not_hold_up_a_stop() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (ledger, names) = (Arc::new(Ledger::new()), Arc::new(Names::new()));
    let (sender, receiver) = bounded_queue(8);
    let hanging = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hanging.local_addr().unwrap());
    let config = SinkConfig { url, block_rows: 1000, ..SinkConfig::default() };
    let (_side, side) = side_queue();
    let sink = Sink::start(&config, receiver, side, Arc::clone(&ledger), Arc::clone(&names), runtime.handle()).unwrap();
    // It takes the question and says nothing.
    let (asked, _) = hanging.accept().unwrap();
    send(&sender, &ledger, &names, 0, 700);
    drop(sender);
    let drained =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, sink.drain(Duration::from_millis(300))).await });
    let drained = drained.expect("a stop waits for a server that hangs");
    let accounts = ledger.snapshot();
    assert_eq!((drained.lost_rows, accounts.in_flight(), accounts.imbalance()), (700, 0, 0));
    drop(asked);
}

/// Files of blocks in a spool, those that are being filled included.
fn files(spool: &Path) -> usize {
    let runs = std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path());
    let names = runs.filter(|path| path.is_dir()).flat_map(|run| std::fs::read_dir(run).unwrap());
    names.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() != "lock")).count()
}

#[test]
fn an_outage_leaves_few_files_of_side_tables_and_every_row_is_stored() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (ledger, names) = (Arc::new(Ledger::new()), Arc::new(Names::new()));
    let (sender, receiver) = bounded_queue(8);
    let mut engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let mut config = SinkConfig {
        url: engine.url(),
        database: "t".into(),
        flush_interval_ms: 10,
        retry_initial_ms: 50,
        retry_max_ms: 200,
        ..SinkConfig::default()
    };
    config.spool.directory = Some(folder.path().to_owned());
    config.spool.min_free_bytes = 0;
    engine.kill();
    let (side_sender, side) = side_queue();
    let sink = Sink::start(&config, receiver, side, Arc::clone(&ledger), Arc::clone(&names), runtime.handle()).unwrap();

    // Thirty flush intervals of both tables: a file of each would be sixty.
    let encoded = || sink.stats().spool.octets;
    let deadline = Instant::now() + PATIENCE;
    for n in 0..30 {
        let before = encoded();
        offer_side_rows(&side_sender, n);
        while encoded() == before {
            assert!(Instant::now() < deadline, "rows are not written: {:?}", sink.stats().spool);
            std::thread::sleep(Duration::from_millis(5)); // between two looks at the spool
        }
    }
    assert!(files(folder.path()) <= 4, "a block that waits and one that grows of each table: {}", files(folder.path()));
    engine.resume();
    let expected = "3000\t100\n";
    for table in ["interface_counters", "exporters"] {
        let distinct = if table == "exporters" { "lost" } else { "if_index" };
        let rows = format!("SELECT count(), uniq({distinct}) FROM t.{table}");
        while engine.try_query(&rows).ok().as_deref() != Some(expected) {
            assert!(Instant::now() < deadline, "{table}: {:?}", engine.try_query(&rows));
            std::thread::sleep(Duration::from_millis(20)); // between two looks at the table
        }
    }
    drop(sender);
    runtime.block_on(sink.drain(PATIENCE));
    for accounts in side_sender.ledger().snapshot() {
        assert_eq!((accounts.offered, accounts.stored, accounts.in_flight()), (3000, 3000, 0));
    }
    assert_eq!(files(folder.path()), 0);
}
