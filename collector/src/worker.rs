//! Receive workers: socket -> decoder -> batch -> queue, one thread each.
//!
//! A worker never waits for anybody but its sockets: a batch that the queue does not take is dropped and counted.
//! The clock is read once per receive call. Counts are published once per receive call, what is known of the
//! exporters once a second. Rows of side tables are offered to the sink once per receive call.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use helios_common::exporter::{Address, Exporters};
use helios_common::ledger::Ledger;
use helios_common::names::Names;
use helios_common::queue::BatchSender;
use helios_common::side::{ExporterMinute, SideSender};
use helios_common::time::UnixMs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::config::{CollectorConfig, ConfigError};
use crate::decode::{
    DatagramMeta, DecodeError, Decoded, Decoder, DecoderConfig, Discarded, ExporterStats, Protocol, Transport, template,
};
use crate::output::Output;
use crate::state::{Saver, StateError, StateFile, StateStats};
use crate::tcp::{self, ConnectionStats, Connections, Server, ServerError, Sessions};
use crate::udp::{BindError, Ring, SocketOptions, SocketStats, UdpSocket, Wait, bind_group};

/// Buffers per receive call, see [`Ring::new`].
const RING_BUFFERS: usize = 16;

/// After a receive call that brought fewer datagrams than this, the kernel gets time to gather more.
///
/// Waking up costs more than decoding: a worker that wakes up for each of 1,000 datagrams a second spends six times as
/// much as one that lets them gather for 10 ms. At 2,000 a second, 25 ms spare another seventh.
const FEW_DATAGRAMS: u64 = 8;
const MAX_GATHER_TIME: Duration = Duration::from_millis(25);

/// Shorter gathering saves nothing.
const MIN_GATHER_TIME: Duration = Duration::from_millis(1);

/// What a 10 Gbit/s link brings in a second, counted as the kernel does: about twice its octets.
const LINK_OCTETS_PER_SECOND: f64 = 2.5e9;

/// How often exporters and sockets are looked at.
pub(crate) const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// Silent exporters are looked for about once a minute.
const EXPIRE_EVERY: u32 = 60;

/// Exporters whose templates never change are saved again about once a day: what was saved long ago counts as outdated.
const SAVE_ANEW_EVERY: u32 = 86_400;

/// Sequence numbers are saved every ten seconds: so much counts as lost after a crash although it had arrived.
const SAVE_SEQUENCES_EVERY: u32 = 10;

/// Exporters whose state is saved at a time: some milliseconds of work at the most, after a start with thousands of
/// devices the rest follows a second later.
const SAVES_PER_PUBLICATION: usize = 256;

/// How long a stopping worker keeps reading what the kernel had queued before the stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// The collector did not start.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Tcp(#[from] ServerError),
    #[error("cannot start a receive thread: {0}")]
    Thread(io::Error),
}

/// Counts of one worker, or of all. Datagrams: received = decoded + discarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub datagrams_received: u64,
    pub octets_received: u64,
    /// By [`Protocol::ALL`].
    pub datagrams_decoded: [u64; Protocol::ALL.len()],
    /// By [`DecodeError::ALL`].
    pub datagrams_discarded: [u64; DecodeError::ALL.len()],
    /// Flow records on the wire, held ones included when they are decoded; by [`Protocol::ALL`].
    pub records: [u64; Protocol::ALL.len()],
    pub rows: u64,
    pub options_records: u64,
    pub template_definitions: u64,
    pub sets_without_template: u64,
    /// Lists in records (RFC 6313) that could not be read.
    pub unreadable_lists: u64,
    pub counter_samples: u64,
    /// Counter samples that became rows, and that contradict themselves.
    pub counter_rows: u64,
    pub malformed_counter_samples: u64,
    /// Records of counter samples of a structure that is not read, and that are shorter than theirs.
    pub unknown_counter_records: u64,
    pub malformed_counter_records: u64,
    pub receive_calls: u64,
}

impl Counts {
    pub(crate) fn decoded(&mut self, decoded: &Decoded) {
        let at = Protocol::ALL.iter().position(|&protocol| protocol == decoded.protocol).unwrap_or(0);
        self.datagrams_decoded[at] += 1;
        self.records[at] += u64::from(decoded.data_records + decoded.held_records);
        self.rows += u64::from(decoded.rows);
        self.options_records += u64::from(decoded.options_records);
        self.template_definitions += u64::from(decoded.templates + decoded.options_templates);
        self.sets_without_template += u64::from(decoded.sets_without_template);
        self.unreadable_lists += u64::from(decoded.unreadable_lists);
        let sflow = &decoded.sflow;
        self.counter_samples += u64::from(sflow.counter_samples + sflow.expanded_counter_samples);
        self.counter_rows += u64::from(sflow.counter_rows);
        self.malformed_counter_samples += u64::from(sflow.malformed_counter_samples);
        self.unknown_counter_records += u64::from(sflow.unknown_counter_records);
        self.malformed_counter_records += u64::from(sflow.malformed_counter_records);
    }

    pub(crate) fn discarded(&mut self, discarded: &Discarded) {
        let at = DecodeError::ALL.iter().position(|&error| error == discarded.error).unwrap_or(0);
        self.datagrams_discarded[at] += 1;
        self.template_definitions += u64::from(discarded.templates + discarded.options_templates);
    }

    /// Adds the counts of another worker.
    pub fn add(&mut self, other: &Self) {
        let arrays = [
            (&mut self.datagrams_decoded[..], &other.datagrams_decoded[..]),
            (&mut self.datagrams_discarded[..], &other.datagrams_discarded[..]),
            (&mut self.records[..], &other.records[..]),
        ];
        for (mine, theirs) in arrays {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
        self.datagrams_received += other.datagrams_received;
        self.octets_received += other.octets_received;
        self.rows += other.rows;
        self.options_records += other.options_records;
        self.template_definitions += other.template_definitions;
        self.sets_without_template += other.sets_without_template;
        self.unreadable_lists += other.unreadable_lists;
        self.counter_samples += other.counter_samples;
        self.counter_rows += other.counter_rows;
        self.malformed_counter_samples += other.malformed_counter_samples;
        self.unknown_counter_records += other.unknown_counter_records;
        self.malformed_counter_records += other.malformed_counter_records;
        self.receive_calls += other.receive_calls;
    }

    /// received - decoded - discarded: 0 unless a datagram was lost between socket and decoder.
    pub fn imbalance(&self) -> i64 {
        let accounted: u64 = self.datagrams_decoded.iter().chain(&self.datagrams_discarded).sum();
        self.datagrams_received as i64 - accounted as i64
    }
}

/// One socket of one worker.
#[derive(Debug, Clone, Copy)]
pub struct SocketReport {
    pub worker: usize,
    pub local: SocketAddr,
    /// Receive buffer asked for and granted, in octets.
    pub buffer_asked: usize,
    pub buffer_granted: usize,
    pub gro: bool,
    pub stats: SocketStats,
}

/// All workers at one moment.
#[derive(Debug, Clone)]
pub struct CollectorStats {
    /// The UDP workers', then those of IPFIX over TCP if it is configured.
    pub workers: Vec<Counts>,
    pub sockets: Vec<SocketReport>,
    pub connections: ConnectionStats,
    pub state: StateStats,
}

impl CollectorStats {
    /// The sum of the workers.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.workers.iter().for_each(|counts| total.add(counts));
        total
    }
}

/// What a worker shows to others.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) counts: Mutex<Counts>,
    sockets: Mutex<Vec<SocketReport>>,
    pub(crate) exporters: Mutex<Vec<ExporterStats>>,
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// All receive workers.
#[derive(Debug)]
pub struct Collector {
    shared: Vec<Arc<Shared>>,
    threads: Vec<JoinHandle<()>>,
    local_addrs: Vec<SocketAddr>,
    tcp_addrs: Vec<SocketAddr>,
    connections: Option<Arc<Connections>>,
    stop: Arc<AtomicBool>,
    state: Option<StateFile>,
}

impl Collector {
    /// Binds the sockets and starts a thread per worker.
    ///
    /// # Errors
    /// [`CollectorError`] with what to do about it; nothing runs then.
    pub fn start(
        config: &CollectorConfig,
        out: BatchSender,
        side: SideSender,
        ledger: Arc<Ledger>,
        exporters: Arc<Exporters>,
        names: Arc<Names>,
    ) -> Result<Self, CollectorError> {
        config.validate()?;
        let decoder = config.decoder()?;
        let options = SocketOptions {
            receive_buffer: config.receive_buffer_bytes,
            gro: config.gro,
            wait: config.flush_interval(),
        };
        let mut per_worker: Vec<Vec<UdpSocket>> = (0..config.workers).map(|_| Vec::new()).collect();
        let mut local_addrs = Vec::new();
        for &address in &config.listen {
            let group = bind_group(address, config.workers, &options)?;
            local_addrs.extend(group.first().map(UdpSocket::local_addr));
            warn_if_capped(&group, config.receive_buffer_bytes);
            for (sockets, socket) in per_worker.iter_mut().zip(group) {
                sockets.push(socket);
            }
        }
        let tcp = Server::bind(config)?;
        let state = config.state_dir.as_deref().map(StateFile::open).transpose()?;
        let mut collector = Self {
            shared: Vec::new(),
            threads: Vec::new(),
            local_addrs,
            tcp_addrs: tcp.as_ref().map(Server::local_addrs).unwrap_or_default(),
            connections: tcp.as_ref().map(|server| Arc::clone(&server.connections)),
            stop: Arc::new(AtomicBool::new(false)),
            state,
        };
        for (number, sockets) in per_worker.into_iter().enumerate() {
            let shared = Arc::new(Shared::default());
            collector.shared.push(Arc::clone(&shared));
            let mut decoder = Decoder::new(decoder, Arc::clone(&exporters), Arc::clone(&names));
            if let Some(state) = &collector.state {
                decoder.remember(state.memory());
            }
            let worker = Worker::new(
                Source { number, sockets, decoder, saver: collector.state.as_ref().and_then(StateFile::saver) },
                Output::new(out.clone(), side.clone(), Arc::clone(&ledger)),
                Limits::new(config),
                shared,
            );
            let stop = Arc::clone(&collector.stop);
            let thread = std::thread::Builder::new().name(format!("receive-{number}"));
            collector.threads.push(thread.spawn(move || worker.run(&stop)).map_err(CollectorError::Thread)?);
        }
        if let Some(server) = tcp {
            let output = Output::new(out, side, ledger);
            collector.serve_tcp(server, config, decoder, output, (exporters, names))?;
        }
        Ok(collector)
    }

    fn serve_tcp(
        &mut self,
        server: Server,
        config: &CollectorConfig,
        decoder: DecoderConfig,
        output: Output,
        tables: (Arc<Exporters>, Arc<Names>),
    ) -> Result<(), CollectorError> {
        let worker = self.shared.len() as u32;
        let shared = Arc::new(Shared::default());
        self.shared.push(Arc::clone(&shared));
        let connections = Arc::clone(&server.connections);
        let limits = tcp::Limits::new(config);
        // Sessions share what the workers' own templates may take.
        let max_templates = (template::MAX_WORKER_TEMPLATES / limits.connections).max(template::MIN_SESSION_TEMPLATES);
        let transport = if config.tcp.tls.certificate.is_some() { Transport::Tls } else { Transport::Tcp };
        let decoder = DecoderConfig { transport, max_templates, ..decoder };
        let stop = Arc::clone(&self.stop);
        let serve = move || {
            let sessions = Sessions::new(limits, decoder, tables, (output, worker), (shared, connections));
            server.run(sessions, &stop);
        };
        let thread = std::thread::Builder::new().name("receive-tcp".into());
        self.threads.push(thread.spawn(serve).map_err(CollectorError::Thread)?);
        Ok(())
    }

    /// The TCP addresses that IPFIX is listened for on.
    pub fn tcp_addrs(&self) -> &[SocketAddr] {
        &self.tcp_addrs
    }

    /// The addresses that are listened on, with the port that the kernel chose for port 0.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Whether every worker's thread is alive.
    pub fn is_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    pub fn stats(&self) -> CollectorStats {
        CollectorStats {
            workers: self.shared.iter().map(|shared| *locked(&shared.counts)).collect(),
            sockets: self.shared.iter().flat_map(|shared| locked(&shared.sockets).clone()).collect(),
            connections: self.connections.as_ref().map(|connections| connections.snapshot()).unwrap_or_default(),
            state: self.state.as_ref().map(StateFile::stats).unwrap_or_default(),
        }
    }

    /// What each exporter sent, at most a second old, by address. What several workers saw of one (two addresses of
    /// an sFlow agent) is added up.
    pub fn exporters(&self) -> Vec<ExporterStats> {
        let mut all: BTreeMap<Address, ExporterStats> = BTreeMap::new();
        for shared in &self.shared {
            for stats in locked(&shared.exporters).iter() {
                all.entry(stats.address).and_modify(|known| known.merge(stats)).or_insert(*stats);
            }
        }
        all.into_values().collect()
    }

    /// Stops receiving: what the kernel had queued is still read, open batches are handed on, threads end and the
    /// way to the enricher closes.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // The state file is closed when `self.state` is dropped, after the last worker has saved to it.
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a receive thread panicked");
            }
        }
    }
}

fn warn_if_capped(group: &[UdpSocket], asked: usize) {
    let Some(socket) = group.first().filter(|socket| socket.receive_buffer < asked) else { return };
    tracing::warn!(
        listen = %socket.local_addr(),
        asked,
        granted = socket.receive_buffer,
        "receive buffer capped by the kernel: bursts may be lost; raise it with `sysctl -w net.core.rmem_max={asked}` \
         or grant CAP_NET_ADMIN"
    );
}

/// When batches are handed on.
#[derive(Debug, Clone, Copy)]
struct Limits {
    batch_rows: usize,
    flush_interval: Duration,
    receive_buffer: usize,
}

impl Limits {
    fn new(config: &CollectorConfig) -> Self {
        Self {
            batch_rows: config.batch_rows,
            flush_interval: config.flush_interval(),
            receive_buffer: config.receive_buffer_bytes,
        }
    }
}

/// What a worker reads from.
struct Source {
    number: usize,
    sockets: Vec<UdpSocket>,
    decoder: Decoder,
    saver: Option<Saver>,
}

struct Worker {
    number: usize,
    sockets: Vec<UdpSocket>,
    ring: Ring,
    decoder: Decoder,
    saver: Option<Saver>,
    output: Output,
    limits: Limits,
    shared: Arc<Shared>,
    counts: Counts,
    published: Instant,
    publications: u32,
    minute: Minute,
}

/// The minute that the next rows of `exporters` are of.
struct Minute {
    begin: UnixMs,
    /// Datagrams that the kernel had dropped before it.
    kernel_drops: u64,
}

impl Worker {
    fn new(source: Source, output: Output, limits: Limits, shared: Arc<Shared>) -> Self {
        let Source { number, sockets, decoder, saver } = source;
        let mut worker = Self {
            number,
            sockets,
            ring: Ring::new(RING_BUFFERS),
            decoder,
            saver,
            output,
            limits,
            shared,
            counts: Counts::default(),
            published: Instant::now(),
            publications: 0,
            minute: Minute { begin: minute_of(unix_ms()), kernel_drops: 0 },
        };
        worker.publish();
        worker
    }

    fn run(mut self, stop: &AtomicBool) {
        let gather = gather_time(self.sockets.iter().map(|socket| socket.receive_buffer).min().unwrap_or(0));
        while !stop.load(Ordering::Relaxed) {
            let datagrams = match self.sockets.len() {
                1 => self.receive(0, Wait::Timeout),
                _ => self.receive_any(),
            };
            self.tick();
            if let Some(gather) = gather
                && (1..FEW_DATAGRAMS).contains(&datagrams)
            {
                std::thread::sleep(gather);
            }
        }
        self.publish();
        let deadline = Instant::now() + DRAIN_LIMIT;
        while !self.sockets.is_empty() {
            while Instant::now() < deadline && self.receive(0, Wait::No) > 0 {}
            // Closed at once: until then the kernel gives it datagrams that another process on the port could have read.
            self.sockets.remove(0);
        }
        self.output.hand_on();
        self.publish();
        self.close_minute(unix_ms());
        if let Some(saver) = self.saver.take() {
            saver.save_sequences(self.number, self.decoder.sequences());
            self.decoder.changed(saver.room(), |address, saved| saver.save(address, &saved));
        }
    }

    /// Waits for any of several sockets; returns how many datagrams came.
    fn receive_any(&mut self) -> u64 {
        let mut ready = Vec::with_capacity(self.sockets.len());
        for socket in &self.sockets {
            ready.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        }
        let wait = PollTimeout::try_from(self.limits.flush_interval).unwrap_or(PollTimeout::MAX);
        if poll(&mut ready, wait).unwrap_or(0) == 0 {
            return 0;
        }
        let readable: Vec<bool> = ready.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let readable = readable.into_iter().enumerate().filter(|(_, readable)| *readable);
        readable.map(|(socket, _)| self.receive(socket, Wait::No)).sum()
    }

    /// One receive call; returns how many datagrams came.
    fn receive(&mut self, socket: usize, wait: Wait) -> u64 {
        let Self { ring, decoder, output, counts, sockets, limits, .. } = self;
        let Some(socket) = sockets.get(socket) else { return 0 };
        let datagrams = match ring.receive(socket, wait) {
            Ok(datagrams) => datagrams,
            Err(error) => {
                tracing::warn!(listen = %socket.local_addr(), %error, "receive failed");
                return 0;
            }
        };
        let received_at = unix_ms();
        let before = counts.datagrams_received;
        counts.receive_calls += 1;
        for datagram in datagrams {
            counts.datagrams_received += 1;
            counts.octets_received += datagram.octets.len() as u64;
            let meta = DatagramMeta { source: datagram.source, received_at };
            match decoder.decode(datagram.octets, &meta, &mut output.batch) {
                Ok(decoded) => {
                    counts.decoded(&decoded);
                    output.unbooked += u64::from(decoded.rows);
                }
                Err(discarded) => counts.discarded(&discarded),
            }
            if output.batch.rows() >= limits.batch_rows {
                output.hand_on();
            }
        }
        output.book();
        output.side.offer(decoder.take_counters());
        *locked(&self.shared.counts) = *counts;
        counts.datagrams_received - before
    }

    /// What time brings: a batch that has waited long enough goes on, counts are shown.
    fn tick(&mut self) {
        if self.output.is_due(self.limits.flush_interval) {
            self.output.hand_on();
        }
        if self.published.elapsed() >= PUBLISH_INTERVAL {
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.published = Instant::now();
        self.publications += 1;
        if self.publications.is_multiple_of(EXPIRE_EVERY) {
            self.decoder.expire(unix_ms());
        }
        if self.publications.is_multiple_of(SAVE_ANEW_EVERY) {
            self.decoder.save_anew();
        }
        if let Some(saver) = &self.saver {
            if self.publications.is_multiple_of(SAVE_SEQUENCES_EVERY) {
                saver.save_sequences(self.number, self.decoder.sequences());
            }
            let limit = saver.room().min(SAVES_PER_PUBLICATION);
            self.decoder.changed(limit, |address, saved| saver.save(address, &saved));
        }
        let mut exporters = locked(&self.shared.exporters);
        exporters.clear();
        exporters.extend(self.decoder.exporters());
        drop(exporters);
        // The last figures stay when the sockets are gone.
        if !self.sockets.is_empty() {
            *locked(&self.shared.sockets) = self.sockets.iter().map(|socket| self.report(socket)).collect();
        }
        let now = unix_ms();
        if minute_of(now) != self.minute.begin {
            self.close_minute(now);
        }
    }

    /// Offers the rows of `exporters` of the minute that is over, and begins another.
    fn close_minute(&mut self, now: UnixMs) {
        let dropped: u64 = locked(&self.shared.sockets).iter().map(|socket| u64::from(socket.stats.dropped)).sum();
        let mut rows = self.decoder.close_minute();
        for row in &mut rows {
            *row = ExporterMinute {
                received_at: self.minute.begin,
                worker: self.number as u32,
                kernel_drops: dropped.saturating_sub(self.minute.kernel_drops),
                ..*row
            };
        }
        self.output.side.offer(rows);
        self.minute = Minute { begin: minute_of(now), kernel_drops: dropped };
    }

    fn report(&self, socket: &UdpSocket) -> SocketReport {
        SocketReport {
            worker: self.number,
            local: socket.local_addr(),
            buffer_asked: self.limits.receive_buffer,
            buffer_granted: socket.receive_buffer,
            gro: socket.gro,
            stats: socket.stats().unwrap_or_default(),
        }
    }
}

/// How long a receive buffer can gather what comes, whatever comes; `None` if that is not worth it.
fn gather_time(receive_buffer: usize) -> Option<Duration> {
    let full_after = Duration::from_secs_f64(receive_buffer as f64 / LINK_OCTETS_PER_SECOND);
    (full_after >= MIN_GATHER_TIME).then_some(full_after.min(MAX_GATHER_TIME))
}

pub(crate) const fn minute_of(at: UnixMs) -> UnixMs {
    at - at.rem_euclid(60_000)
}

pub(crate) fn unix_ms() -> UnixMs {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as UnixMs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::columns::{BYTES, SRC_ADDR};
    use helios_common::exporter::mapped;
    use helios_common::ledger::Stage;
    use helios_common::queue::{BatchReceiver, Received, bounded_queue};
    use helios_common::side::queue::ReceivedRows;
    use helios_common::side::{SideReceiver, SideRows, side_queue};
    use std::net::UdpSocket as Sender;

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
        assert_eq!((counts.datagrams_received, counts.rows, counts.imbalance()), (30, 330, 0));
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
        assert_eq!((counts.counter_samples, counts.counter_rows, counts.rows), (1, 1, 0));
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
}
