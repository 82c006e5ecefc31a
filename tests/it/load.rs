//! Load with numbered rows, and what has to be true of them afterwards.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use helios_collector::encode::netflow5::{self, Header, Record};
use helios_testkit::Engine;

use crate::running::{Helios, PATIENCE, wait_for};

/// Records of one message.
const RECORDS: u32 = 30;

/// The source address of the first record; the next ones count on.
pub const FIRST: u32 = 10 << 24;

/// An exporter whose records are numbered by their source address.
pub struct Exporter {
    socket: UdpSocket,
    to: std::net::SocketAddr,
    pub sent: u32,
}

impl Exporter {
    pub fn new(to: std::net::SocketAddr) -> Self {
        Self::from([127, 0, 0, 1].into(), to)
    }

    /// An exporter that sends from this address.
    pub fn from(address: std::net::IpAddr, to: std::net::SocketAddr) -> Self {
        Self { socket: UdpSocket::bind((address, 0)).unwrap(), to, sent: 0 }
    }

    /// Sends a message; a port that nobody listens on answers with an error that says nothing new.
    fn send(&mut self) {
        let records: Vec<Record> = (self.sent..self.sent + RECORDS)
            .map(|n| Record { src_addr: (FIRST + n).to_be_bytes(), packets: 1, octets: 100, ..Record::default() })
            .collect();
        let mut message = Vec::new();
        netflow5::message(&Header { sequence: self.sent, ..Header::default() }, &records, &mut message);
        let _ = self.socket.send_to(&message, self.to);
        self.sent += RECORDS;
    }

    /// Sends rows of which a collector that lives reads every one, however slow the machine is.
    pub fn send_rows(&mut self, rows: u32) {
        for n in 0..rows / RECORDS {
            if n % 10 == 0 {
                wait_for_room(self.to.port());
            }
            self.send();
        }
    }

    /// Sends rows without a look at whether they are read, in bursts with pauses.
    pub fn flood(&mut self, rows: u32) {
        for n in 0..rows / RECORDS {
            self.send();
            if n % 50 == 49 {
                std::thread::sleep(Duration::from_millis(2)); // paces, waits for nothing
            }
        }
    }
}

/// What may wait in a socket before the next datagram is sent: a quarter of an untuned receive buffer.
const QUEUED_MAX: u64 = 100_000;

/// Waits until those who listen on the UDP port have read most of what was sent to it. Nobody may, which is as good.
pub fn wait_for_room(port: u16) {
    let local = format!(":{port:04X}");
    wait_for("the receiver to read", || {
        let table = std::fs::read_to_string("/proc/net/udp").unwrap();
        // Number, local and remote address, state, lengths of both queues.
        let queued = table.lines().filter_map(|line| {
            let mut fields = line.split_whitespace();
            fields.nth(1)?.ends_with(&local).then_some(())?;
            u64::from_str_radix(fields.nth(2)?.split_once(':')?.1, 16).ok()
        });
        queued.max().is_none_or(|octets| octets < QUEUED_MAX).then_some(())
    });
}

/// A number from the environment: `make torture` makes tests as long as anybody wants.
pub fn parameter(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

pub fn number(engine: &Engine, sql: &str) -> u64 {
    engine.query(sql).trim().parse().unwrap()
}

/// Every identity that must hold at every moment.
pub fn assert_balanced(helios: &Helios) {
    assert_eq!(helios.metric("helios_pipeline_rows_imbalance"), Some(0.0));
}

/// Waits until every row that was decoded is stored, or in the spool's files as far as a crash is concerned.
pub fn wait_until_safe(helios: &Helios, decoded: u64) {
    wait_for("the rows to be safe", || {
        // One scrape: a batch in a thread's hands is in no queue and no block, but always in flight.
        let (_, page) = helios.get("/metrics")?;
        let value = |sample: &str| -> Option<f64> {
            page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
        };
        let in_flight = |stage: &str| value(&format!("helios_pipeline_rows_in_flight{{stage=\"{stage}\"}}"));
        let safe = value("helios_pipeline_rows_decoded_total")? == decoded as f64
            && in_flight("collect")? + in_flight("enrich")? == 0.0
            && in_flight("block")? == value("helios_sink_open_block_rows")?
            && value("helios_sink_unwritten_rows")? == 0.0;
        safe.then_some(())
    });
}

/// Waits until the spool is empty, as long as rows come out of it: after a hundred crashes there are many.
pub fn wait_until_replayed(helios: &Helios) {
    let mut left = f64::INFINITY;
    while left > 0.0 {
        left = wait_for("rows of the spool to be stored", || {
            let scanned = helios.metric("helios_sink_spool_scanned")? == 1.0;
            // A block is gone from the files after its rows are.
            let now = helios.metric("helios_sink_spool_files")? + helios.metric("helios_sink_spool_waiting_rows")?;
            (scanned && now < left).then_some(now)
        });
    }
}

/// Settings of a helios with its state in `directory`.
pub fn with_state(directory: &Path) -> Vec<String> {
    vec![
        format!("collector.state_dir={}", directory.display()),
        "clickhouse.spool.min_free_bytes=0".to_owned(),
        "clickhouse.spool.max_unwritten_ms=50".to_owned(),
        "clickhouse.retry_max_ms=500".to_owned(),
        "clickhouse.insert_timeout_ms=3000".to_owned(),
    ]
}

pub fn texts(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

/// The engine's tables agree: each row once in `flows`, and as often in the rollups.
pub fn assert_once(engine: &Engine, rows: u64) {
    assert_eq!(number(engine, "SELECT count() FROM helios.flows"), rows);
    assert_eq!(number(engine, "SELECT uniqExact(src_addr) FROM helios.flows"), rows, "a row is there twice");
    for table in ["flows_1m", "flows_1h"] {
        assert_eq!(number(engine, &format!("SELECT sum(flows) FROM helios.{table}")), rows, "{table}");
        assert_eq!(number(engine, &format!("SELECT sum(bytes) FROM helios.{table}")), rows * 100, "{table}");
    }
    let talkers = "SELECT sum(flows) FROM helios.talkers_1h WHERE side = 'total'";
    assert_eq!(number(engine, talkers), rows, "talkers_1h");
}

/// An exporter that sends until it is told to end.
pub struct Load {
    thread: JoinHandle<u32>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
}

impl Load {
    pub fn on(to: std::net::SocketAddr) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let mut exporter = Exporter::new(to);
            while !stopped.load(Ordering::Relaxed) {
                exporter.send_rows(RECORDS);
                count.store(exporter.sent, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1)); // paces, waits for nothing
            }
            exporter.sent
        });
        let load = Self { thread, stop, sent };
        let begin = Instant::now();
        while load.sent.load(Ordering::Relaxed) == 0 {
            assert!(begin.elapsed() < PATIENCE, "nothing was sent");
            std::thread::yield_now();
        }
        load
    }

    /// Rows sent in all.
    pub fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
