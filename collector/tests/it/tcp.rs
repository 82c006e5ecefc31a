//! IPFIX over TCP and TLS, by sockets: what RFC 7011 §8 and §10.4 ask of a collector.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail by panicking, as tests do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_collector::config::{TcpConfig, TlsConfig};
use helios_collector::encode::{Put, field, ipfix};
use helios_collector::{Collector, CollectorConfig};
use helios_common::exporter::Exporters;
use helios_common::ledger::Ledger;
use helios_common::names::Names;
use helios_common::queue::{BatchReceiver, Received, bounded_queue};
use helios_common::side::side_queue;
use rustls::pki_types::{CertificateDer, ServerName};

const PATIENCE: Duration = Duration::from_secs(120);

struct Stand {
    collector: Collector,
    ledger: Arc<Ledger>,
    receiver: BatchReceiver,
}

fn start(tcp: TcpConfig, queue: usize) -> Stand {
    start_with(tcp, queue, CollectorConfig::default())
}

fn start_with(tcp: TcpConfig, queue: usize, config: CollectorConfig) -> Stand {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let tcp = TcpConfig { listen: listen.clone(), ..tcp };
    let config = CollectorConfig { listen, tcp, batch_rows: 256, flush_interval_ms: 20, ..config };
    let (sender, receiver) = bounded_queue(queue);
    let (ledger, names) = (Arc::new(Ledger::new()), Arc::new(Names::new()));
    let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
    let (side, _) = side_queue();
    let collector = Collector::start(&config, sender, side, Arc::clone(&ledger), exporters, names).unwrap();
    Stand { collector, ledger, receiver }
}

impl Stand {
    fn address(&self) -> SocketAddr {
        self.collector.tcp_addrs()[0]
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Rows that have come, once there are `expected` of them.
    fn rows(&self, expected: usize) -> usize {
        let (mut rows, deadline) = (0, Instant::now() + PATIENCE);
        while rows < expected && Instant::now() < deadline {
            if let Received::Batch(batch) = self.receiver.receive(Duration::from_millis(100)) {
                rows += batch.rows();
                self.receiver.give_back(batch);
            }
        }
        rows
    }

    fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < deadline, "waited in vain for {what}: {:?}", self.collector.stats().connections);
            std::thread::sleep(Duration::from_millis(5)); // between two looks at a condition
        }
    }
}

fn message(sequence: u32, content: impl FnOnce(&mut ipfix::Message<'_>)) -> Vec<u8> {
    let mut octets = Vec::new();
    let header = ipfix::Header { export_secs: 1_700_000_000, sequence, observation_domain_id: 1 };
    content(&mut ipfix::Message::begin(&header, &mut octets));
    octets
}

fn template() -> Vec<u8> {
    message(0, |message| message.template(256, &[field(8, 4), field(1, 8)]))
}

fn data(sequence: u32, records: u32) -> Vec<u8> {
    message(sequence, |message| {
        message.data(256, |out| {
            for _ in 0..records {
                out.put_u32(0xc000_0201);
                out.put_u64(100);
            }
        });
    })
}

#[test]
fn messages_are_told_apart_whatever_the_segments() {
    let stand = start(TcpConfig::default(), 16);
    let mut exporter = stand.connect();
    exporter.set_nodelay(true).unwrap();
    let stream = [template(), data(0, 3), data(3, 4), data(7, 5)].concat();
    // All but the last octets at once, then octet by octet.
    let (whole, rest) = stream.split_at(stream.len() - 20);
    exporter.write_all(whole).unwrap();
    for octet in rest {
        exporter.write_all(&[*octet]).unwrap();
    }
    assert_eq!(stand.rows(12), 12);
    let counts = stand.collector.stats().total();
    assert_eq!((counts.datagrams_received, counts.imbalance()), (4, 0));
}

#[test]
fn templates_are_of_their_session_and_end_with_it() {
    let stand = start(TcpConfig::default(), 16);
    let (mut first, mut second) = (stand.connect(), stand.connect());
    first.write_all(&[template(), data(0, 2)].concat()).unwrap();
    assert_eq!(stand.rows(2), 2);
    second.write_all(&data(0, 7)).unwrap();
    stand.wait("the second session's data", |stand| stand.collector.stats().total().tally.sets_without_template == 1);
    drop(first);
    stand.wait("the end of the first session", |stand| stand.collector.stats().connections.open == 1);
    let mut third = stand.connect();
    third.write_all(&data(0, 7)).unwrap();
    stand.wait("the third session's data", |stand| stand.collector.stats().total().tally.sets_without_template == 2);
    assert_eq!(stand.collector.stats().total().tally.rows, 2);
}

#[test]
fn a_withdrawn_template_is_gone() {
    let stand = start(TcpConfig::default(), 16);
    let mut exporter = stand.connect();
    let withdrawal = message(2, |message| message.withdraw_template(256));
    exporter.write_all(&[template(), data(0, 2), withdrawal, data(2, 2)].concat()).unwrap();
    stand.wait("data without a template", |stand| stand.collector.stats().total().tally.sets_without_template == 1);
    let all = message(4, |message| message.withdraw_template(ipfix::ALL_TEMPLATES));
    exporter.write_all(&[template(), all, data(4, 2)].concat()).unwrap();
    stand.wait("data without a template", |stand| stand.collector.stats().total().tally.sets_without_template == 2);
    // The two records that were held came to light with the second definition.
    assert_eq!(stand.collector.stats().total().tally.rows, 4);
}

#[test]
fn garbage_ends_its_own_connection_only() {
    let stand = start(TcpConfig::default(), 16);
    let (mut honest, mut broken) = (stand.connect(), stand.connect());
    honest.write_all(&template()).unwrap();
    broken.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = broken.read_to_end(&mut rest); // ends, by whatever the kernel calls it
    stand.wait("the end of the connection", |stand| stand.collector.stats().connections.failed == 1);
    honest.write_all(&data(0, 5)).unwrap();
    assert_eq!(stand.rows(5), 5);
}

#[test]
fn a_full_queue_makes_exporters_wait_and_loses_nothing() {
    const MESSAGES: u32 = 400;
    let stand = start(TcpConfig::default(), 2);
    let address = stand.address();
    let exporter = std::thread::spawn(move || {
        let mut exporter = TcpStream::connect(address).unwrap();
        exporter.write_all(&template()).unwrap();
        for number in 0..MESSAGES {
            exporter.write_all(&data(number * 100, 100)).unwrap();
        }
    });
    // Nobody takes batches until the queue has been full for a while.
    stand.wait("a full queue", |stand| stand.receiver.len() == 2);
    assert_eq!(stand.rows((MESSAGES * 100) as usize), (MESSAGES * 100) as usize);
    exporter.join().unwrap();
    let accounts = stand.ledger.snapshot();
    assert_eq!((accounts.decoded, accounts.dropped_total()), (u64::from(MESSAGES) * 100, 0));
    let lost: u64 = stand.collector.exporters().iter().map(|exporter| exporter.loss_total().lost).sum();
    assert_eq!(lost, 0);
}

#[test]
fn connections_are_limited() {
    let stand = start(TcpConfig { max_connections: 2, ..TcpConfig::default() }, 16);
    let _held = [stand.connect(), stand.connect()];
    stand.wait("two connections", |stand| stand.collector.stats().connections.open == 2);
    let mut third = stand.connect();
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)), "the third is closed at once");
    stand.wait("the limit", |stand| stand.collector.stats().connections.refused == 1);
}

#[test]
fn silent_connections_are_closed() {
    let stand = start(TcpConfig { idle_timeout_ms: 1_000, ..TcpConfig::default() }, 16);
    let _held = [stand.connect(), stand.connect()];
    stand.wait("the silent ones to be closed", |stand| stand.collector.stats().connections.idle == 2);
}

/// A connection from another address of this host.
fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn templates_of_1000_fields_over_200_connections_stay_within_the_budget_and_an_honest_session_goes_on() {
    const MAX: usize = 192 << 20;
    let config = CollectorConfig { max_state_bytes: MAX, ..CollectorConfig::default() };
    let stand = start_with(TcpConfig::default(), 64, config);
    let mut honest = stand.connect();
    honest.write_all(&[template(), data(0, 3)].concat()).unwrap();
    assert_eq!(stand.rows(3), 3);
    let source = |number: u32| [127, 1, 0, (number % 16) as u8 + 1];
    let mut hostile: Vec<TcpStream> = (0..200).map(|number| connect_from(source(number), stand.address())).collect();
    stand.wait("all connections", |stand| stand.collector.stats().connections.open == 201);
    for (number, connection) in hostile.iter_mut().enumerate() {
        for part in 0..3 {
            let templates = message(0, |m| {
                for id in 0..16 {
                    let own = [field(1 + (part * 16 + id) % 48, 1 + number as u16)];
                    let fields: Vec<_> = own.into_iter().chain((1..1000).map(|at| field(1 + at % 400, 2))).collect();
                    m.template(256 + part * 16 + id, &fields);
                }
            });
            connection.write_all(&templates).unwrap();
        }
    }
    stand.wait("the templates", |stand| stand.collector.stats().total().datagrams_received == 2 + 200 * 3);
    let stats = stand.collector.stats();
    assert_eq!((stats.max_decoding_octets, stats.connections.open), (MAX, 201));
    assert!(stats.decoding_octets <= MAX / 2 + (8 << 20), "{} octets", stats.decoding_octets);
    assert!(stats.decoding_octets >= MAX / 4, "{} octets: the limit was not reached", stats.decoding_octets);
    honest.write_all(&data(3, 5)).unwrap();
    assert_eq!(stand.rows(5), 5);
    drop(hostile);
    stand.wait("the end of the hostile sessions", |stand| stand.collector.stats().connections.open == 1);
    stand.wait("their memory", |stand| stand.collector.stats().decoding_octets < 4 << 20);
}

#[test]
fn one_address_takes_a_part_of_what_all_connections_may() {
    let config = CollectorConfig { max_state_bytes: 16 << 20, ..CollectorConfig::default() };
    let stand = start_with(TcpConfig::default(), 16, config);
    let greedy: Vec<TcpStream> = (0..20).map(|_| connect_from([127, 1, 0, 1], stand.address())).collect();
    stand.wait("refused connections", |stand| {
        let connections = stand.collector.stats().connections;
        connections.refused + connections.open == 20 && connections.refused > 0
    });
    let mut honest = connect_from([127, 1, 0, 2], stand.address());
    honest.write_all(&[template(), data(0, 3)].concat()).unwrap();
    assert_eq!((stand.rows(3), greedy.len()), (3, 20));
}

#[test]
fn a_stop_reads_what_had_come() {
    let stand = start(TcpConfig::default(), 64);
    let mut exporter = stand.connect();
    exporter.write_all(&template()).unwrap();
    stand.wait("the session", |stand| stand.collector.stats().total().datagrams_received == 1);
    exporter.write_all(&(0..100).flat_map(|n| data(n * 10, 10)).collect::<Vec<u8>>()).unwrap();
    exporter.shutdown(Shutdown::Write).unwrap();
    let Stand { collector, ledger, .. } = stand;
    collector.stop();
    assert_eq!(ledger.snapshot().decoded, 1000);
}

/// An authority and what it signed, as PEM files.
pub struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["collector", "exporter"] {
            let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            std::fs::write(folder.path().join(format!("{name}.crt")), signed.cert.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), signed.signing_key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> TcpConfig {
        let tls = TlsConfig {
            certificate: Some(self.path("collector.crt")),
            key: Some(self.path("collector.key")),
            client_ca: Some(self.path("exporter.crt")),
        };
        TcpConfig { tls, ..TcpConfig::default() }
    }

    /// An exporter's side, with a certificate or without.
    pub fn client(&self, with_certificate: bool) -> rustls::ClientConfig {
        use rustls::pki_types::pem::PemObject;
        let certificate = |path: &Path| CertificateDer::from_pem_file(path).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(&self.path("collector.crt"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        if !with_certificate {
            return builder.with_no_client_auth();
        }
        let key = rustls::pki_types::PrivateKeyDer::from_pem_file(self.path("exporter.key")).unwrap();
        builder.with_client_auth_cert(vec![certificate(&self.path("exporter.crt"))], key).unwrap()
    }
}

#[test]
fn over_tls_exporters_with_a_certificate_are_heard_and_others_are_not() {
    let certificates = Certificates::new();
    let stand = start(certificates.config(), 16);
    let connect = |with_certificate| {
        let name = ServerName::try_from("localhost").unwrap();
        let client = rustls::ClientConnection::new(Arc::new(certificates.client(with_certificate)), name).unwrap();
        rustls::StreamOwned::new(client, stand.connect())
    };
    let mut stranger = connect(false);
    let _ = stranger.write_all(&template()).and_then(|()| stranger.flush());
    assert!(matches!(stranger.read(&mut [0]), Ok(0) | Err(_)));
    stand.wait("the stranger to be refused", |stand| stand.collector.stats().connections.failed == 1);
    let mut exporter = connect(true);
    exporter.write_all(&[template(), data(0, 6)].concat()).unwrap();
    exporter.flush().unwrap();
    assert_eq!(stand.rows(6), 6);
}

#[test]
fn changed_certificates_are_used_for_new_connections() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let config = certificates.config();
    let stand = start(config, 16);
    let rows = |certificates: &Certificates| {
        let name = ServerName::try_from("localhost").unwrap();
        let client = rustls::ClientConnection::new(Arc::new(certificates.client(true)), name).unwrap();
        let mut exporter = rustls::StreamOwned::new(client, stand.connect());
        let sent = exporter.write_all(&[template(), data(0, 6)].concat()).and_then(|()| exporter.flush());
        sent.is_ok()
    };
    assert!(rows(&certificates));
    assert_eq!(stand.rows(6), 6);
    assert!(!rows(&others), "the new certificate is not there yet");
    // A file that cannot be used changes nothing.
    std::fs::write(certificates.path("collector.key"), "no key").unwrap();
    assert!(rows(&certificates));
    assert_eq!(stand.rows(6), 6);
    for name in ["collector.crt", "collector.key", "exporter.crt"] {
        std::fs::copy(others.path(name), certificates.path(name)).unwrap();
    }
    stand.wait("the new certificate", |_| rows(&others));
    assert_eq!(stand.rows(6), 6);
}

#[test]
fn certificates_that_cannot_be_used_are_named_with_their_key() {
    let certificates = Certificates::new();
    let mut config = certificates.config();
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.tls.key = Some(certificates.path("nowhere.key"));
    let collector = CollectorConfig { tcp: config, ..CollectorConfig::default() };
    let Err(error) = helios_collector::tcp::Server::bind(&collector) else { panic!("a missing key was accepted") };
    assert!(error.to_string().starts_with("collector.tcp.tls.key: cannot read"), "{error}");
}
