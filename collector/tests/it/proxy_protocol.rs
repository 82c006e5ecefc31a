//! Exporters behind load balancers, by sockets: the PROXY protocol, version 2, over TCP and UDP.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail by panicking, as tests do.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_collector::config::TcpConfig;
use helios_collector::encode::{Put, field, ipfix, netflow5};
use helios_collector::{Collector, CollectorConfig};
use helios_common::exporter::{Exporters, ip_of};
use helios_common::ledger::Ledger;
use helios_common::names::Names;
use helios_common::queue::{BatchReceiver, bounded_queue};
use helios_common::side::side_queue;
use rustls::pki_types::ServerName;

use crate::tcp::Certificates;

const PATIENCE: Duration = Duration::from_secs(120);

/// A collector that takes 127.0.0.1 for a load balancer, as 127.0.0.2 is not.
struct Stand {
    collector: Collector,
    _receiver: BatchReceiver,
}

fn start(allow: &[&str]) -> Stand {
    start_with(allow, TcpConfig::default())
}

fn start_with(allow: &[&str], tcp: TcpConfig) -> Stand {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let config = CollectorConfig {
        listen: listen.clone(),
        tcp: TcpConfig { listen, ..tcp },
        proxy_protocol: vec!["127.0.0.1".into()],
        allow: allow.iter().map(|&prefix| prefix.to_owned()).collect(),
        flush_interval_ms: 20,
        ..CollectorConfig::default()
    };
    let (sender, receiver) = bounded_queue(64);
    let names = Arc::new(Names::new());
    let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
    let (side, _) = side_queue();
    let collector = Collector::start(&config, sender, side, Arc::new(Ledger::new()), exporters, names).unwrap();
    Stand { collector, _receiver: receiver }
}

impl Stand {
    fn wait(&self, what: &str, condition: impl Fn(&Collector) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.collector) {
            assert!(Instant::now() < deadline, "waited in vain for {what}: {:?}", self.collector.stats());
            std::thread::sleep(Duration::from_millis(5)); // between two looks at a condition
        }
    }

    fn wait_for_exporters(&self, addresses: &[&str]) {
        self.wait(&format!("the exporters {addresses:?}"), |collector| {
            let known: Vec<String> =
                collector.exporters().iter().map(|exporter| ip_of(exporter.address).to_string()).collect();
            known == addresses
        });
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.collector.tcp_addrs()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// The header for a connection or a datagram of the exporter 192.0.2.`last`, as section 2.2 has it.
fn header(last: u8) -> Vec<u8> {
    let mut out = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    out.put(&[0x21, 0x11, 0, 12, 192, 0, 2, last, 127, 0, 0, 1, 0x27, 0x10, 0x12, 0x83]);
    out
}

fn ipfix_flow() -> Vec<u8> {
    let mut octets = Vec::new();
    let header = ipfix::Header { export_secs: 1_700_000_000, sequence: 0, observation_domain_id: 1 };
    let mut message = ipfix::Message::begin(&header, &mut octets);
    message.template(256, &[field(8, 4), field(1, 4)]);
    message.data(256, |out| out.put(&[10, 0, 0, 1, 0, 0, 0, 100]));
    octets
}

fn netflow5_flow() -> Vec<u8> {
    let mut octets = Vec::new();
    netflow5::message(&netflow5::Header::default(), &[netflow5::Record::default()], &mut octets);
    octets
}

#[test]
fn sessions_over_tcp_are_of_the_exporters_behind_the_load_balancer() {
    let stand = start(&[]);
    let mut sessions = [stand.connect(), stand.connect()];
    for (last, session) in [7, 8].into_iter().zip(&mut sessions) {
        // In pieces, as a network may bring it.
        for octet in header(last) {
            session.write_all(&[octet]).unwrap();
        }
        session.write_all(&ipfix_flow()).unwrap();
    }
    stand.wait_for_exporters(&["192.0.2.7", "192.0.2.8"]);
    let mut bare = stand.connect();
    bare.write_all(&ipfix_flow()).unwrap();
    assert_eq!(bare.read(&mut [0; 1]).unwrap_or(0), 0, "a load balancer has to send the header");
    stand.wait("the end of the third", |collector| collector.stats().connections.failed == 1);
    assert_eq!(stand.collector.stats().total().tally.rows, 2);
}

/// Section 2: the header is the first that a connection brings, in front of the TLS handshake and in the clear.
#[test]
fn over_tls_the_header_stands_in_front_of_the_handshake() {
    let certificates = Certificates::new();
    let stand = start_with(&[], certificates.config());
    let tls = |stream: TcpStream| {
        let name = ServerName::try_from("localhost").unwrap();
        let client = rustls::ClientConnection::new(Arc::new(certificates.client(true)), name).unwrap();
        rustls::StreamOwned::new(client, stream)
    };
    let mut behind = stand.connect();
    behind.write_all(&header(7)).unwrap();
    let mut behind = tls(behind);
    behind.write_all(&ipfix_flow()).unwrap();
    behind.flush().unwrap();
    stand.wait_for_exporters(&["192.0.2.7"]);
    // A header inside of TLS is not looked for: the handshake is no header.
    let mut inside = tls(stand.connect());
    let _ = inside.write_all(&[header(8), ipfix_flow()].concat()).and_then(|()| inside.flush());
    assert!(matches!(inside.read(&mut [0]), Ok(0) | Err(_)));
    stand.wait("the end of the second", |collector| collector.stats().connections.failed == 1);
    stand.wait_for_exporters(&["192.0.2.7"]);
    assert_eq!(stand.collector.stats().total().tally.rows, 1);
}

#[test]
fn datagrams_are_of_the_exporters_behind_the_load_balancer_and_nobody_else_is_believed() {
    let stand = start(&[]);
    let to = stand.collector.local_addrs()[0];
    let balancer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = UdpSocket::bind("127.0.0.2:0").unwrap();
    for last in [7, 8] {
        balancer.send_to(&[header(last), netflow5_flow()].concat(), to).unwrap();
    }
    balancer.send_to(&netflow5_flow(), to).unwrap();
    other.send_to(&[header(9), netflow5_flow()].concat(), to).unwrap();
    other.send_to(&netflow5_flow(), to).unwrap();
    stand.wait_for_exporters(&["127.0.0.2", "192.0.2.7", "192.0.2.8"]);
    stand.wait("all datagrams", |collector| collector.stats().total().datagrams_received == 5);
    let refused = stand.collector.refused();
    let mut refused: Vec<_> = refused.iter().map(|one| (ip_of(one.address).to_string(), one.reason.name())).collect();
    refused.sort();
    assert_eq!(refused, [("127.0.0.1".into(), "no_proxy_header"), ("127.0.0.2".into(), "unknown_version")]);
    assert_eq!((stand.collector.stats().total().tally.rows, stand.collector.stats().total().imbalance()), (3, 0));
}

#[test]
fn behind_a_load_balancer_the_exporters_address_has_to_be_allowed() {
    let stand = start(&["192.0.2.7"]);
    let balancer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sessions = [stand.connect(), stand.connect()];
    for (last, session) in [7, 8].into_iter().zip(&mut sessions) {
        balancer.send_to(&[header(last), netflow5_flow()].concat(), stand.collector.local_addrs()[0]).unwrap();
        session.write_all(&[header(last), ipfix_flow()].concat()).unwrap();
    }
    stand.wait("both of each", |collector| {
        collector.stats().connections.not_allowed == 1 && collector.stats().total().datagrams_received == 3
    });
    stand.wait_for_exporters(&["192.0.2.7"]);
    assert_eq!(stand.collector.stats().total().tally.rows, 2);
}
