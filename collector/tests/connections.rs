//! What connections of IPFIX over TCP cost in memory, against what docs/configuration.md says beside
//! `collector.tcp.max_connections`. A process of its own: the allocator counts all of its threads.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Helpers of tests fail by panicking, as tests do.
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_collector::config::TcpConfig;
use helios_collector::encode::{field, ipfix};
use helios_collector::{Collector, CollectorConfig};
use helios_common::exporter::Exporters;
use helios_common::ledger::Ledger;
use helios_common::names::Names;
use helios_common::queue::bounded_queue;
use helios_common::side::side_queue;
use helios_testkit::alloc::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PATIENCE: Duration = Duration::from_secs(120);
const CONNECTIONS: u32 = 200;
const STATED: i64 = 256 << 10;

/// The longest message that there is: a template, and a set of a reserved number that nobody reads.
fn message() -> Vec<u8> {
    let mut octets = Vec::new();
    let header = ipfix::Header { export_secs: 1_700_000_000, sequence: 0, observation_domain_id: 1 };
    ipfix::Message::begin(&header, &mut octets).template(256, &[field(8, 4), field(1, 8)]);
    let rest = u16::MAX - octets.len() as u16;
    octets.extend([[0, 4], rest.to_be_bytes()].concat());
    octets.resize(usize::from(u16::MAX), 0);
    octets[2..4].copy_from_slice(&u16::MAX.to_be_bytes());
    octets
}

#[test]
fn a_connection_takes_what_the_configuration_reference_says() {
    let listen: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap()];
    let tcp = TcpConfig { listen: listen.clone(), ..TcpConfig::default() };
    let config = CollectorConfig { listen, tcp, ..CollectorConfig::default() };
    let names = Arc::new(Names::new());
    let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
    let ((sender, _receiver), (side, _)) = (bounded_queue(4), side_queue());
    let collector = Collector::start(&config, sender, side, Arc::new(Ledger::new()), exporters, names).unwrap();
    let wait = |what: &str, condition: &mut dyn FnMut() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(5)); // between two looks at a condition
        }
    };
    let received = || collector.stats().total().datagrams_received;
    // A whole message, and all of the next one but its last octet: the most that a session waits with.
    let message = message();
    let (begin, end) = message.split_at(message.len() - 1);
    let sent = [&message[..], begin].concat();
    let (before, accounted) = (alloc::process_octets(), collector.stats().decoding_octets as i64);
    let mut held: Vec<TcpStream> =
        (0..CONNECTIONS).map(|_| TcpStream::connect(collector.tcp_addrs()[0]).unwrap()).collect();
    for connection in &mut held {
        connection.write_all(&sent).unwrap();
    }
    let mut peak = 0;
    let mut taken = || {
        let taken = alloc::process_octets() - before;
        peak = peak.max(taken);
        taken
    };
    let waiting = i64::from(CONNECTIONS) * begin.len() as i64;
    wait("the unfinished messages", &mut || taken() >= waiting && received() == u64::from(CONNECTIONS));
    let accounted = collector.stats().decoding_octets as i64 - accounted;
    assert!(accounted >= i64::from(CONNECTIONS) * STATED, "{accounted} octets accounted for");
    for connection in &mut held {
        connection.write_all(end).unwrap();
    }
    wait("the last octets", &mut || {
        taken();
        received() == u64::from(2 * CONNECTIONS)
    });
    assert!(peak <= i64::from(CONNECTIONS) * STATED, "{} octets for each connection", peak / i64::from(CONNECTIONS));
    assert!(peak <= accounted, "{peak} octets on the heap, {accounted} accounted for");
    drop(held);
    wait("the end of the connections", &mut || collector.stats().connections.open == 0);
    wait("their memory", &mut || alloc::process_octets() - before < waiting / 4);
}
