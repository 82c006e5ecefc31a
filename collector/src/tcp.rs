//! IPFIX over TCP and TLS (RFC 7011 §10.4, §11).
//!
//! Every connection is a transport session with a decoder of its own: templates live and die with it (§8.1), may be
//! withdrawn (§8.4), and numbers of messages are followed per session. All connections are served by one thread: a
//! full queue makes it wait, TCP's windows close, and exporters wait instead of losing anything. Exporters that speak
//! TCP are few and slow beside those that speak UDP; a thread for each, with a stack of its own, would buy nothing.
//!
//! A stream that is no IPFIX ends its connection and no other. A message that is malformed within its length is
//! discarded and counted as over UDP.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use helios_common::clock::unix_ms;
use helios_common::exporter::{Address, Exporters};
use helios_common::names::Names;
use helios_common::side::ExporterMinute;
use helios_common::time::minute_of;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use crate::config::CollectorConfig;
use crate::counts::{Counts, PUBLISH_INTERVAL, Shared, locked};
use crate::decode::{DatagramMeta, Decoder, DecoderConfig, ExporterStats};
use crate::output::Output;

mod framing;
mod tls;

use framing::Stream;
pub use tls::{TlsError, check_certificates};

/// Octets that one read may bring.
const READ_OCTETS: usize = 64 << 10;

/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long what exporters had sent before a stop is read for.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on TCP {address}: {source}; is another process using the port?")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// What became of connections.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicU64,
    accepted: AtomicU64,
    /// Turned away because as many as allowed were open.
    refused: AtomicU64,
    /// Ended because of what came: no IPFIX, a failed handshake, an error of the connection.
    failed: AtomicU64,
    /// Ended after a long silence.
    idle: AtomicU64,
}

/// [`Connections`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    pub open: u64,
    pub accepted: u64,
    pub refused: u64,
    pub failed: u64,
    pub idle: u64,
}

impl Connections {
    pub fn snapshot(&self) -> ConnectionStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConnectionStats {
            open: load(&self.open),
            accepted: load(&self.accepted),
            refused: load(&self.refused),
            failed: load(&self.failed),
            idle: load(&self.idle),
        }
    }
}

/// Listening sockets and what serves them.
pub struct Server {
    listeners: Vec<std::net::TcpListener>,
    acceptor: Option<TlsAcceptor>,
    pub connections: Arc<Connections>,
}

impl Server {
    /// Listens on the configured addresses and reads the certificates; `None` if TCP is not configured.
    ///
    /// # Errors
    /// [`ServerError`], with what to do about it.
    pub fn bind(config: &CollectorConfig) -> Result<Option<Self>, ServerError> {
        if config.tcp.listen.is_empty() {
            return Ok(None);
        }
        let acceptor = tls::acceptor(&config.tcp.tls)?;
        let mut listeners = Vec::new();
        for &address in &config.tcp.listen {
            let listener = std::net::TcpListener::bind(address)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(|source| ListenError { address, source })?;
            listeners.push(listener);
        }
        Ok(Some(Self { listeners, acceptor, connections: Arc::default() }))
    }

    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves connections until `stop`: what the thread `receive-tcp` does.
    pub fn run(self, sessions: Sessions, stop: &AtomicBool) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "IPFIX over TCP cannot be served"),
        };
        let local = LocalSet::new();
        let shared = Rc::new(sessions);
        local.block_on(&runtime, self.serve(Rc::clone(&shared), stop));
        shared.finish();
    }

    async fn serve(self, sessions: Rc<Sessions>, stop: &AtomicBool) {
        let mut tasks = tokio::task::JoinSet::new();
        for listener in self.listeners {
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!(%error, "a TCP listener cannot be served");
                    continue;
                }
            };
            tasks.spawn_local(accept(listener, self.acceptor.clone(), Rc::clone(&sessions)));
        }
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(sessions.limits.flush_interval.min(PUBLISH_INTERVAL)).await;
            sessions.tick();
        }
        tasks.shutdown().await;
        // Connections end by themselves once nothing more is there to read.
        sessions.stopping.set(true);
        sessions.wake.notify_waiters();
        let deadline = Instant::now() + DRAIN_LIMIT;
        while sessions.connections.open.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await; // between two looks at who is still reading
        }
    }
}

/// IPFIX over TCP cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Bounds of connections and batches.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub batch_rows: usize,
    pub flush_interval: Duration,
    pub connections: usize,
    pub idle: Duration,
}

impl Limits {
    pub fn new(config: &CollectorConfig) -> Self {
        Self {
            batch_rows: config.batch_rows,
            flush_interval: config.flush_interval(),
            connections: config.tcp.max_connections,
            idle: Duration::from_secs(config.tcp.idle_timeout_s),
        }
    }
}

/// What all connections share; they run on one thread.
pub struct Sessions {
    pub decoder: DecoderConfig,
    pub exporters: Arc<Exporters>,
    pub names: Arc<Names>,
    pub limits: Limits,
    pub connections: Arc<Connections>,
    shared: Arc<Shared>,
    state: RefCell<State>,
    stopping: std::cell::Cell<bool>,
    wake: tokio::sync::Notify,
}

struct State {
    output: Output,
    counts: Counts,
    decoders: BTreeMap<u64, Rc<RefCell<Decoder>>>,
    next: u64,
    published: Instant,
    minute: i64,
    /// Rows of `exporters` and figures of sessions that have ended.
    ended_minutes: Vec<ExporterMinute>,
    ended: BTreeMap<Address, ExporterStats>,
    worker: u32,
}

/// Exporters of ended sessions that are still told of.
const MAX_ENDED: usize = 4096;

impl Sessions {
    pub(crate) fn new(
        limits: Limits,
        decoder: DecoderConfig,
        (exporters, names): (Arc<Exporters>, Arc<Names>),
        (output, worker): (Output, u32),
        (shared, connections): (Arc<Shared>, Arc<Connections>),
    ) -> Self {
        let state = State {
            output,
            counts: Counts::default(),
            decoders: BTreeMap::new(),
            next: 0,
            published: Instant::now(),
            minute: minute_of(unix_ms()),
            ended_minutes: Vec::new(),
            ended: BTreeMap::new(),
            worker,
        };
        Self {
            decoder,
            exporters,
            names,
            limits,
            connections,
            shared,
            state: RefCell::new(state),
            stopping: std::cell::Cell::new(false),
            wake: tokio::sync::Notify::new(),
        }
    }

    /// A decoder for a new session.
    fn begin(&self) -> (u64, Rc<RefCell<Decoder>>) {
        let decoder = Decoder::new(self.decoder, Arc::clone(&self.exporters), Arc::clone(&self.names));
        let decoder = Rc::new(RefCell::new(decoder));
        let mut state = self.state.borrow_mut();
        state.next += 1;
        let number = state.next;
        state.decoders.insert(number, Rc::clone(&decoder));
        (number, decoder)
    }

    fn end(&self, number: u64) {
        let state = &mut *self.state.borrow_mut();
        let Some(decoder) = state.decoders.remove(&number) else { return };
        let mut decoder = decoder.borrow_mut();
        state.ended_minutes.extend(decoder.close_minute());
        for stats in decoder.exporters() {
            state.ended.entry(stats.address).and_modify(|known| known.merge_ended(&stats)).or_insert(stats);
        }
        while state.ended.len() > MAX_ENDED {
            let silent = state.ended.iter().min_by_key(|(_, stats)| stats.stats.last_seen).map(|(&address, _)| address);
            silent.and_then(|address| state.ended.remove(&address));
        }
    }

    /// Decodes the messages that are there.
    fn decode(
        &self,
        stream: &mut Stream,
        decoder: &RefCell<Decoder>,
        source: SocketAddr,
    ) -> Result<(), framing::NotIpfix> {
        let State { output, counts, .. } = &mut *self.state.borrow_mut();
        let meta = DatagramMeta { source, received_at: unix_ms() };
        let mut decoder = decoder.borrow_mut();
        let result = loop {
            let message = match stream.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            counts.datagrams_received += 1;
            counts.octets_received += message.len() as u64;
            match decoder.decode(message, &meta, &mut output.batch) {
                Ok(decoded) => {
                    counts.decoded(&decoded);
                    output.unbooked += u64::from(decoded.rows);
                }
                Err(discarded) => counts.discarded(&discarded),
            }
            if output.batch.rows() >= self.limits.batch_rows {
                output.hand_on_waiting();
            }
        };
        output.book();
        *locked(&self.shared.counts) = *counts;
        result
    }

    /// What time brings.
    fn tick(&self) {
        let state = &mut *self.state.borrow_mut();
        if state.output.is_due(self.limits.flush_interval) {
            state.output.hand_on_waiting();
        }
        if state.published.elapsed() >= PUBLISH_INTERVAL {
            state.published = Instant::now();
            self.publish(state);
        }
    }

    fn publish(&self, state: &mut State) {
        let mut all = state.ended.clone();
        for decoder in state.decoders.values() {
            for stats in decoder.borrow().exporters() {
                all.entry(stats.address).and_modify(|known| known.merge(&stats)).or_insert(stats);
            }
        }
        *locked(&self.shared.exporters) = all.into_values().collect();
        let now = minute_of(unix_ms());
        if now != state.minute {
            self.close_minute(state);
            state.minute = now;
        }
    }

    fn close_minute(&self, state: &mut State) {
        let mut rows = std::mem::take(&mut state.ended_minutes);
        for decoder in state.decoders.values() {
            rows.extend(decoder.borrow_mut().close_minute());
        }
        for row in &mut rows {
            (row.received_at, row.worker) = (state.minute, state.worker);
        }
        state.output.side.offer(rows);
    }

    /// The end: nothing more will come.
    fn finish(&self) {
        let state = &mut *self.state.borrow_mut();
        state.output.hand_on_waiting();
        self.publish(state);
        self.close_minute(state);
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, sessions: Rc<Sessions>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a TCP connection could not be accepted");
                // Out of file descriptors, as a rule: trying again at once would only burn a core.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connections = &sessions.connections;
        if connections.open.load(Ordering::Relaxed) >= sessions.limits.connections as u64 {
            connections.refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(exporter = %peer, limit = sessions.limits.connections, "connection refused: collector.tcp.max_connections are open");
            continue;
        }
        connections.accepted.fetch_add(1, Ordering::Relaxed);
        connections.open.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_local(connection(stream, peer, acceptor.clone(), Rc::clone(&sessions)));
    }
}

/// Why a connection ended that its exporter did not end.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    #[error("the TLS handshake took longer than {} s", HANDSHAKE_LIMIT.as_secs())]
    HandshakeTime,
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    NotIpfix(#[from] framing::NotIpfix),
    #[error("nothing came for collector.tcp.idle_timeout_s")]
    Idle,
}

async fn connection(stream: TcpStream, peer: SocketAddr, acceptor: Option<TlsAcceptor>, sessions: Rc<Sessions>) {
    let result = match acceptor {
        None => session(stream, peer, &sessions).await,
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => session(stream, peer, &sessions).await,
            Ok(Err(error)) => Err(Ended::Handshake(error)),
            Err(_) => Err(Ended::HandshakeTime),
        },
    };
    if let Err(ended) = result {
        let counter = match ended {
            Ended::Idle => &sessions.connections.idle,
            _ => &sessions.connections.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(exporter = %peer, reason = %ended, "IPFIX connection closed");
    }
    sessions.connections.open.fetch_sub(1, Ordering::Relaxed);
}

/// Reads a session to its end.
async fn session(mut input: impl AsyncRead + Unpin, peer: SocketAddr, sessions: &Sessions) -> Result<(), Ended> {
    let (number, decoder) = sessions.begin();
    let mut stream = Stream::default();
    let result = loop {
        let room = stream.tail();
        room.reserve(READ_OCTETS);
        let read = tokio::select! {
            biased;
            read = input.read_buf(room) => read,
            // At a stop, what is there was read above; what is not, the exporter will send to whoever comes next.
            () = stopped(sessions) => break Ok(()),
            () = tokio::time::sleep(sessions.limits.idle) => break Err(Ended::Idle),
        };
        match read {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error.into()),
        }
        if let Err(error) = sessions.decode(&mut stream, &decoder, peer) {
            break Err(error.into());
        }
    };
    sessions.end(number);
    result
}

async fn stopped(sessions: &Sessions) {
    let woken = sessions.wake.notified();
    if !sessions.stopping.get() {
        woken.await;
    }
}
