//! The stage between its queues: every row comes out, whatever happens to the databases and to the sink.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use helios_common::columns::{DST_ADDR, DST_CITY, EXPORTER_NAME, SRC_ADDR, SRC_AS_NAME, SRC_CITY};
use helios_common::exporter::{Address, ExporterId, address_of};
use helios_common::names::NameId;
use helios_common::queue::bounded_queue;
use tempfile::TempDir;

use super::*;
use crate::config::GeoipConfig;
use crate::geoip::GeoipError;
use crate::inventory::{Device, Inventory};
use crate::stats::Lookup;
use helios_lab::mmdb::{Writer, asn_record, city_record};

/// Longest time a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(60);

struct Stand {
    names: Arc<Names>,
    exporters: Arc<Exporters>,
    ledger: Arc<Ledger>,
}

impl Stand {
    fn new() -> Self {
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        Self { names, exporters, ledger: Arc::new(Ledger::new()) }
    }

    fn start(&self, config: &EnricherConfig, queue: usize) -> (Enricher, BatchSender, BatchReceiver) {
        let (to_stage, input) = bounded_queue(queue);
        let (output, from_stage) = bounded_queue(queue);
        let enricher = Enricher::start(config, self.surroundings(input, output)).unwrap();
        (enricher, to_stage, from_stage)
    }

    fn surroundings(&self, input: BatchReceiver, output: BatchSender) -> Surroundings {
        let (ledger, names, exporters) =
            (Arc::clone(&self.ledger), Arc::clone(&self.names), Arc::clone(&self.exporters));
        Surroundings { input, output, ledger, names, exporters, external: Vec::new() }
    }

    /// Fills and books a batch as the collector does.
    fn batch(&self, mut batch: FlowBatch, source: Address, rows: usize) -> FlowBatch {
        let exporter = self.exporters.intern(address_of([10, 0, 0, 1].into()));
        batch.fill(SRC_ADDR, rows, source);
        batch.fill(DST_ADDR, rows, source);
        batch.advance(rows, exporter);
        self.ledger.decoded(rows as u64);
        self.ledger.moved(Stage::Collect, Stage::Enrich, rows as u64);
        batch
    }

    fn name(&self, id: NameId) -> String {
        self.names.read().get(id).to_owned()
    }
}

fn write_city(path: &Path, city: &str) {
    let mut writer = Writer::new("GeoLite2-City");
    let record = writer.record(&city_record("DE", Some(city)));
    writer.insert("192.0.2.0/24".parse().unwrap(), record);
    writer.write(path).unwrap();
}

fn city_config(directory: &TempDir, reload_interval_ms: u64) -> (EnricherConfig, PathBuf) {
    let path = directory.path().join("city.mmdb");
    write_city(&path, "Berlin");
    let geoip = GeoipConfig { city: Some(path.clone()), asn: None };
    (EnricherConfig { geoip, reload_interval_ms, ..EnricherConfig::default() }, path)
}

fn next(receiver: &BatchReceiver) -> Option<FlowBatch> {
    match receiver.receive(DEADLINE) {
        Received::Batch(batch) => Some(batch),
        Received::Closed => None,
        Received::Quiet => panic!("nothing came out in {DEADLINE:?}"),
    }
}

const KNOWN: [u8; 4] = [192, 0, 2, 1];

#[test]
fn without_databases_rows_pass_on_with_their_exporter() {
    let stand = Stand::new();
    let (enricher, sender, receiver) = stand.start(&EnricherConfig::default(), 4);
    sender.send(stand.batch(FlowBatch::new(), address_of(KNOWN.into()), 3)).unwrap();
    drop(sender);
    let batch = next(&receiver).unwrap();
    assert_eq!((batch.rows(), stand.name(batch.get(EXPORTER_NAME, 2))), (3, "10.0.0.1".into()));
    assert!(!batch.present().contains(SRC_CITY.column()));
    assert!(next(&receiver).is_none());
    let stats = enricher.stats();
    assert_eq!((stats.batches, stats.rows, stats.sources), (1, 3, vec![]));
    enricher.join();
    assert_eq!(stand.ledger.snapshot().held(Stage::Enrich), 0);
    assert_eq!(stand.ledger.snapshot().held(Stage::Block), 3);
}

#[test]
fn a_stopped_enricher_has_passed_on_every_row_that_waited() {
    let stand = Stand::new();
    let (enricher, sender, receiver) = stand.start(&EnricherConfig::default(), 2);
    let feeder = thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            for rows in 1..=50 {
                let batch = stand.batch(sender.take_empty(), address_of(KNOWN.into()), rows);
                sender.send_waiting(batch).unwrap();
            }
            drop(sender);
        });
        let mut rows = 0;
        while let Some(batch) = next(&receiver) {
            rows += batch.rows();
            receiver.give_back(batch);
        }
        feeder.join().unwrap();
        rows
    });
    assert_eq!(feeder, 50 * 51 / 2);
    assert_eq!((enricher.stats().rows, enricher.stats().batches), (50 * 51 / 2, 50));
    enricher.join();
    assert_eq!(stand.ledger.snapshot().held(Stage::Enrich), 0);
}

#[test]
fn both_databases_write_their_columns_and_count() {
    let directory = tempfile::tempdir().unwrap();
    let (mut config, _) = city_config(&directory, 0);
    let mut writer = Writer::new("GeoLite2-ASN");
    let record = writer.record(&asn_record(64_500, "Example"));
    writer.insert("192.0.2.0/24".parse().unwrap(), record);
    let asn = directory.path().join("asn.mmdb");
    writer.write(&asn).unwrap();
    config.geoip.asn = Some(asn);

    let stand = Stand::new();
    let (enricher, sender, receiver) = stand.start(&config, 4);
    sender.send(stand.batch(FlowBatch::new(), address_of(KNOWN.into()), 5)).unwrap();
    sender.send(stand.batch(FlowBatch::new(), address_of([10, 9, 8, 7].into()), 2)).unwrap();
    let batch = next(&receiver).unwrap();
    assert_eq!(stand.name(batch.get(DST_CITY, 4)), "Berlin");
    assert_eq!(stand.name(batch.get(SRC_AS_NAME, 4)), "Example");
    next(&receiver).unwrap();
    let stats = enricher.stats();
    let sources: Vec<_> = stats.sources.iter().map(|source| (source.source.as_str(), source.entries)).collect();
    assert_eq!(sources, [("geoip_city", 1), ("geoip_asn", 1)]);
    let lookups: Vec<_> = Lookup::ALL.iter().map(|lookup| lookup.name()).zip(stats.lookups).collect();
    let expected =
        [("exporter", (0, 7)), ("interface", (0, 0)), ("place", (10, 4)), ("as", (10, 4)), ("network", (14, 0))];
    assert_eq!(lookups, expected);
    assert!(stats.table_bytes > 0);
    drop(sender);
    enricher.join();
}

#[test]
fn a_database_that_cannot_be_read_prevents_the_start() {
    let (_sender, input) = bounded_queue(1);
    let (output, _receiver) = bounded_queue(1);
    let stand = Stand::new();
    let geoip = GeoipConfig { city: Some("/nonexistent/city.mmdb".into()), ..GeoipConfig::default() };
    let config = EnricherConfig { geoip, ..EnricherConfig::default() };
    let started = Enricher::start(&config, stand.surroundings(input, output));
    let error = started.unwrap_err();
    assert!(matches!(error, EnricherError::Source(SourceError::Geoip(GeoipError::Unreadable { .. }))), "{error}");
}

#[test]
fn rows_are_counted_as_dropped_when_the_sink_has_gone() {
    let stand = Stand::new();
    let (enricher, sender, receiver) = stand.start(&EnricherConfig::default(), 4);
    drop(receiver);
    for _ in 0..3 {
        sender.send_waiting(stand.batch(FlowBatch::new(), address_of(KNOWN.into()), 7)).unwrap();
    }
    drop(sender);
    enricher.join();
    let accounts = stand.ledger.snapshot();
    assert_eq!(accounts.dropped[Stage::Block as usize][DropReason::Shutdown as usize], 21);
    assert_eq!((accounts.in_flight(), accounts.imbalance()), (0, 0));
}

#[test]
fn batches_go_round_with_their_memory() {
    let stand = Stand::new();
    let (enricher, sender, receiver) = stand.start(&EnricherConfig::default(), 4);
    let mut warmed = false;
    for _ in 0..20 {
        let mut empty = sender.take_empty();
        warmed |= empty.open(SRC_ADDR).capacity() >= 1000;
        sender.send_waiting(stand.batch(empty, address_of(KNOWN.into()), 1000)).unwrap();
        receiver.give_back(next(&receiver).unwrap());
    }
    assert!(warmed, "every batch that the collector got was a new one");
    drop(sender);
    enricher.join();
}

/// The city of all rows, which a batch may have one of only.
fn city_of(stand: &Stand, batch: &FlowBatch) -> String {
    let first = batch.get(SRC_CITY, 0);
    for row in 0..batch.rows() {
        assert_eq!((batch.get(SRC_CITY, row), batch.get(DST_CITY, row)), (first, first), "mixed in row {row}");
    }
    stand.name(first)
}

#[test]
fn databases_replaced_under_load_never_mix_within_a_batch() {
    const ROWS: usize = 3000;
    let directory = tempfile::tempdir().unwrap();
    let (config, path) = city_config(&directory, 10);
    let stand = Stand::new();
    let (enricher, sender, receiver) = stand.start(&config, 4);
    let enough = AtomicBool::new(false);
    let (mut sent, mut received, mut cities) = (0, 0, Vec::new());
    thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let mut sent = 0;
            while !enough.load(Ordering::Relaxed) {
                let batch = stand.batch(sender.take_empty(), address_of(KNOWN.into()), ROWS);
                sender.send_waiting(batch).unwrap();
                sent += ROWS;
            }
            drop(sender);
            sent
        });
        let started = Instant::now();
        while let Some(batch) = next(&receiver) {
            received += batch.rows();
            let city = city_of(&stand, &batch);
            receiver.give_back(batch);
            if cities.last() != Some(&city) {
                // The next version is written when this one has shown up in the rows.
                cities.push(city);
                if cities.len() < 5 {
                    write_city(&path, &format!("City {}", cities.len()));
                }
            }
            assert!(started.elapsed() < DEADLINE, "only {cities:?} in {DEADLINE:?}");
            enough.fetch_or(cities.len() == 5, Ordering::Relaxed);
        }
        sent = feeder.join().unwrap();
    });
    assert_eq!(cities, ["Berlin", "City 1", "City 2", "City 3", "City 4"]);
    assert_eq!(sent, received);
    assert!(enricher.stats().generation >= 4);
    enricher.join();
    assert_eq!(stand.ledger.snapshot().held(Stage::Enrich), 0);
}

#[test]
fn an_exporter_beyond_the_table_is_nameless_and_not_lost() {
    let stand = Stand::new();
    let (enricher, sender, receiver) = stand.start(&EnricherConfig::default(), 2);
    let mut batch = FlowBatch::new();
    batch.fill(SRC_ADDR, 2, address_of(KNOWN.into()));
    batch.advance(2, ExporterId(5));
    stand.ledger.decoded(2);
    stand.ledger.moved(Stage::Collect, Stage::Enrich, 2);
    sender.send(batch).unwrap();
    drop(sender);
    assert_eq!(next(&receiver).unwrap().rows(), 2);
    enricher.join();
}

#[test]
fn a_source_that_takes_its_time_holds_no_row_up() {
    let stand = Stand::new();
    let (to_stage, input) = bounded_queue(4);
    let (output, from_stage) = bounded_queue(4);
    let (entered, has_entered) = std::sync::mpsc::channel();
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    let mut starting = true;
    let news = move |names: &Names| {
        if std::mem::take(&mut starting) {
            return None;
        }
        // Building takes as long as the test wants it to; nobody listens any more once the gate has been passed.
        let _ = entered.send(());
        gate.recv().ok()?;
        let name = names.intern("edge1");
        let addresses = vec![address_of([10, 0, 0, 1].into())];
        Some(Inventory { devices: vec![Device { name, addresses, ..Device::default() }], ..Inventory::default() })
    };
    let status = crate::sources::status::SourceStatus::shared("slow".to_owned(), String::new());
    let mut surroundings = stand.surroundings(input, output);
    surroundings.external.push(External { status, news: Box::new(news) });
    let config = EnricherConfig { reload_interval_ms: 10, ..EnricherConfig::default() };
    let enricher = Enricher::start(&config, surroundings).unwrap();
    has_entered.recv_timeout(DEADLINE).unwrap();
    let pass = || {
        // As the collector sends: one that finds the queue full drops the batch.
        to_stage.send(stand.batch(to_stage.take_empty(), address_of(KNOWN.into()), 100)).unwrap();
        let batch = next(&from_stage).unwrap();
        let name = stand.name(batch.get(EXPORTER_NAME, 99));
        from_stage.give_back(batch);
        name
    };
    for _ in 0..200 {
        assert_eq!(pass(), "10.0.0.1", "the snapshot from before is in use while the next one is built");
    }
    open_gate.send(()).unwrap();
    let started = Instant::now();
    while pass() != "edge1" {
        assert!(started.elapsed() < DEADLINE);
    }
    drop((to_stage, open_gate));
    enricher.join();
    assert_eq!(stand.ledger.snapshot().held(Stage::Enrich), 0);
}
