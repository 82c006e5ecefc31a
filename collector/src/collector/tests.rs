use super::*;
use helios_common::clock::unix_ms;
use helios_common::columns::{BYTES, SRC_ADDR};
use helios_common::exporter::mapped;
use helios_common::ledger::Stage;
use helios_common::queue::{BatchReceiver, Received, bounded_queue};
use helios_common::side::ExporterMinute;
use helios_common::side::queue::ReceivedRows;
use helios_common::side::{SideReceiver, SideRows, side_queue};
use helios_common::time::minute_of;
use std::net::UdpSocket as Sender;
use std::time::Duration;

/// A NetFlow v5 message of `count` records from 192.0.2.1, 100 octets each.
fn netflow5(count: u8) -> Vec<u8> {
    let mut message = vec![0, 5, 0, count];
    message.resize(24, 0);
    for _ in 0..count {
        let start = message.len();
        message.resize(start + 48, 0);
        message[start..start + 4].copy_from_slice(&[192, 0, 2, 1]);
        message[start + 23] = 100;
    }
    message
}

struct Setup {
    collector: Collector,
    ledger: Arc<Ledger>,
    receiver: BatchReceiver,
    counters: SideReceiver,
}

fn start(config: CollectorConfig, queue: usize) -> Setup {
    let (sender, receiver) = bounded_queue(queue);
    let (ledger, names) = (Arc::new(Ledger::new()), Arc::new(Names::new()));
    let (side, counters) = side_queue();
    let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
    let collector = Collector::start(&config, sender, side, Arc::clone(&ledger), exporters, names).unwrap();
    Setup { collector, ledger, receiver, counters }
}

fn config(listen: &[&str]) -> CollectorConfig {
    let listen = listen.iter().map(|address| address.parse().unwrap()).collect();
    CollectorConfig { listen, receive_buffer_bytes: 1 << 20, flush_interval_ms: 20, ..CollectorConfig::default() }
}

#[test]
fn flows_arrive_on_every_address_and_every_datagram_is_accounted_for() {
    let Setup { collector, ledger, receiver, .. } = start(config(&["127.0.0.1:0", "[::1]:0"]), 64);
    let v4 = Sender::bind("127.0.0.1:0").unwrap();
    let v6 = Sender::bind("[::1]:0").unwrap();
    for _ in 0..10 {
        v4.send_to(&netflow5(30), collector.local_addrs()[0]).unwrap();
        v6.send_to(&netflow5(3), collector.local_addrs()[1]).unwrap();
        v4.send_to(b"garbage", collector.local_addrs()[0]).unwrap();
    }
    let mut rows = 0;
    while rows < 330 {
        let Received::Batch(batch) = receiver.receive(Duration::from_secs(10)) else { panic!("{rows} rows came") };
        assert_eq!((batch.get(SRC_ADDR, 0), batch.get(BYTES, 0)), (mapped([192, 0, 2, 1]), 100));
        rows += batch.rows();
    }
    collector.stop.store(true, Ordering::Relaxed);
    let shared = collector.shared.clone();
    collector.stop();
    let counts = *locked(&shared[0].counts);
    assert_eq!((counts.datagrams_received, counts.tally.rows, counts.imbalance()), (30, 330, 0));
    assert_eq!(counts.datagrams_discarded[0], 10);
    assert_eq!((ledger.snapshot().decoded, ledger.snapshot().held(Stage::Enrich)), (330, 330));
}

/// An sFlow message of 192.0.2.9 with a counter sample of a processor.
fn processor_counters() -> Vec<u8> {
    let words = [5, 1, 0xc000_0209, 0, 1, 1000, 1, 2, 48, 1, 7, 1, 1001, 28, 2500, 0, 0, 0, 0, 0, 0];
    words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect()
}

#[test]
fn counter_samples_go_their_own_way_and_make_no_flow() {
    let Setup { collector, ledger, counters, .. } = start(config(&["127.0.0.1:0"]), 64);
    let sender = Sender::bind("127.0.0.1:0").unwrap();
    sender.send_to(&processor_counters(), collector.local_addrs()[0]).unwrap();
    let received = counters.receive(Duration::from_secs(10));
    let ReceivedRows::Rows(SideRows::InterfaceCounters(rows)) = received else { panic!("{received:?}") };
    assert_eq!((rows.len(), rows[0].cpu_5s, rows[0].exporter_address), (1, 2500, mapped([192, 0, 2, 9])));
    let shared = collector.shared.clone();
    collector.stop();
    let counts = *locked(&shared[0].counts);
    assert_eq!((counts.tally.counter_samples, counts.tally.counter_rows, counts.tally.rows), (1, 1, 0));
    assert_eq!((ledger.snapshot().decoded, counts.imbalance()), (0, 0));
}

#[test]
fn a_minute_of_an_exporter_is_a_row_also_the_one_that_a_stop_cuts() {
    let Setup { collector, counters: side, .. } = start(config(&["127.0.0.1:0"]), 64);
    let sender = Sender::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        sender.send_to(&netflow5(30), collector.local_addrs()[0]).unwrap();
    }
    let begin = minute_of(unix_ms());
    collector.stop();
    // The numbers of the three messages are the same: the second and third came twice.
    let mut rows = Vec::new();
    while let ReceivedRows::Rows(SideRows::Exporters(more)) = side.receive(Duration::from_secs(1)) {
        rows.extend(more);
    }
    let sum = |value: fn(&ExporterMinute) -> u64| rows.iter().map(value).sum::<u64>();
    assert_eq!((sum(|row| row.datagrams), sum(|row| row.records), sum(|row| row.flows)), (3, 90, 90));
    let row = rows[0];
    assert_eq!((row.exporter_address, row.export_protocol, row.worker), (mapped([127, 0, 0, 1]), 5, 0));
    assert!((begin..=begin + 60_000).contains(&row.received_at) && row.received_at % 60_000 == 0, "{row:?}");
}

#[test]
fn a_full_queue_drops_whole_batches_and_counts_them() {
    let small = CollectorConfig { batch_rows: 256, ..config(&["127.0.0.1:0"]) };
    let Setup { collector, ledger, receiver, .. } = start(small, 2);
    let sender = Sender::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        sender.send_to(&netflow5(30), collector.local_addrs()[0]).unwrap();
    }
    while ledger.snapshot().decoded < 3000 {
        std::thread::yield_now();
    }
    collector.stop();
    let mut kept = 0;
    while let Received::Batch(batch) = receiver.receive(Duration::ZERO) {
        kept += batch.rows() as u64;
    }
    let accounts = ledger.snapshot();
    assert!(kept > 0 && kept < 3000, "{kept}");
    assert_eq!((accounts.decoded, accounts.dropped_total()), (3000, 3000 - kept));
    assert_eq!((accounts.held(Stage::Collect), accounts.imbalance()), (0, 0));
}

#[test]
fn what_the_kernel_had_queued_before_a_stop_is_not_lost() {
    let Setup { collector, ledger, .. } = start(config(&["127.0.0.1:0"]), 64);
    let sender = Sender::bind("127.0.0.1:0").unwrap();
    for _ in 0..200 {
        sender.send_to(&netflow5(1), collector.local_addrs()[0]).unwrap();
    }
    collector.stop();
    assert_eq!(ledger.snapshot().decoded, 200);
}
