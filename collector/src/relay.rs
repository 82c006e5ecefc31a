//! Passes received datagrams on, unchanged, to other collectors (`collector.relay`): a trial beside the collector of
//! today, or a second one.
//!
//! Each receive worker copies the accepted datagrams of a receive call into a [`Copies`], and one thread sends them to
//! every destination. A worker never waits: what finds no room in the queue is left out and counted. A destination never
//! holds up another one: its sockets do not block, and what they do not take is counted by its reason.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use helios_common::channel::{Receiver, Sender, bounded};

use crate::config::{RelayConfig, RelaySource};
use crate::log_limit::LogLimit;

mod sockets;

use sockets::{Own, Raw};

/// Octets of datagrams that wait for the thread: a second of 250 Mbit/s.
const MAX_WAITING_OCTETS: usize = 32 << 20;

/// Receive calls whose datagrams wait. Each is an allocation beside its octets.
const MAX_WAITING_COPIES: usize = 4096;

/// Empty [`Copies`] that are used again. Each has room for what the largest receive call brought, 1 MiB at the most.
const MAX_SPARE: usize = 32;

/// How often a datagram for which the socket has no room is tried again, and after how long: a burst of the receive
/// thread is shorter than that, and other destinations wait meanwhile.
const FULL_ATTEMPTS: u32 = 5;
const FULL_PAUSE: Duration = Duration::from_millis(1);

/// The relay did not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum RelayError {
    #[error(
        "collector.relay cannot send to {to} with the exporters' addresses: {source}. That takes CAP_NET_RAW (systemd: \
         AmbientCapabilities=CAP_NET_RAW, containers: --cap-add=NET_RAW); with `source: helios` it takes none"
    )]
    Raw { to: SocketAddr, source: io::Error },
    #[error("cannot start the thread of collector.relay: {0}")]
    Thread(io::Error),
}

helios_metrics::label_set! {
    /// Why a datagram did not go to a destination.
    pub enum Failure {
        /// The socket had no room for it.
        Full = "full",
        /// The exporter's address is of the other family, and was to be kept.
        AddressFamily = "address_family",
        /// The system refused it: no route, nobody listens, too long.
        Error = "error",
    }
}

/// What went to one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DestinationStats {
    /// Address and UDP port of the destination.
    pub to: SocketAddr,
    /// Which source address the datagrams carry.
    pub source: RelaySource,
    /// Datagrams that the system took.
    pub sent: u64,
    /// Octets of the payload of these datagrams.
    pub sent_octets: u64,
    /// By [`Failure::ALL`].
    pub failed: [u64; Failure::ALL.len()],
}

/// The relay at one moment; empty if there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// In the order of `collector.relay`.
    pub destinations: Vec<DestinationStats>,
    /// Datagrams that found no room in the queue and went to no destination.
    pub left_out: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    sent_octets: AtomicU64,
    failed: [AtomicU64; Failure::ALL.len()],
}

/// What workers, thread and [`Relay`] share.
#[derive(Debug)]
struct Shared {
    destinations: Vec<(RelayConfig, Counters)>,
    waiting_octets: AtomicUsize,
    left_out: AtomicU64,
}

/// The datagrams of one receive call.
#[derive(Debug, Default)]
struct Copies {
    octets: Vec<u8>,
    /// Where each came from, and its length.
    datagrams: Vec<(SocketAddr, usize)>,
}

/// The thread that sends.
#[derive(Debug)]
pub(crate) struct Relay {
    shared: Arc<Shared>,
    queue: Sender<Copies>,
    spare: Receiver<Copies>,
    thread: JoinHandle<()>,
}

impl Relay {
    /// Opens the sockets and starts the thread; `None` without a destination. The thread ends when the last
    /// [`Copier`] is dropped and the queue is sent.
    ///
    /// # Errors
    /// [`RelayError`] with what to do about it.
    pub(crate) fn start(config: &[RelayConfig]) -> Result<Option<Self>, RelayError> {
        if config.is_empty() {
            return Ok(None);
        }
        let outlets = config.iter().map(Outlet::open).collect::<Result<Vec<_>, _>>()?;
        let destinations = config.iter().map(|&config| (config, Counters::default())).collect();
        let shared =
            Arc::new(Shared { destinations, waiting_octets: AtomicUsize::new(0), left_out: AtomicU64::new(0) });
        let (queue, waiting) = bounded(MAX_WAITING_COPIES);
        let (give_back, spare) = bounded(MAX_SPARE);
        let forwarder = Forwarder { shared: Arc::clone(&shared), outlets, logged: LogLimit::default() };
        let thread = std::thread::Builder::new().name("relay".into());
        let thread = thread.spawn(move || forwarder.run(&waiting, &give_back)).map_err(RelayError::Thread)?;
        Ok(Some(Self { shared, queue, spare, thread }))
    }

    /// What a worker hands its datagrams to.
    pub(crate) fn copier(&self) -> Copier {
        let (queue, spare) = (self.queue.clone(), self.spare.clone());
        Copier { shared: Arc::clone(&self.shared), queue, spare, open: Copies::default() }
    }

    pub(crate) fn stats(&self) -> RelayStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let destination = |(config, counters): &(RelayConfig, Counters)| DestinationStats {
            to: config.to,
            source: config.source,
            sent: load(&counters.sent),
            sent_octets: load(&counters.sent_octets),
            failed: std::array::from_fn(|at| counters.failed.get(at).map_or(0, load)),
        };
        RelayStats {
            destinations: self.shared.destinations.iter().map(destination).collect(),
            left_out: load(&self.shared.left_out),
        }
    }

    /// Sends what waits and ends, once all workers have.
    pub(crate) fn stop(self) {
        drop(self.queue);
        if self.thread.join().is_err() {
            tracing::error!("the relay thread panicked");
        }
    }
}

/// One worker's way to the relay.
#[derive(Debug)]
pub(crate) struct Copier {
    shared: Arc<Shared>,
    queue: Sender<Copies>,
    spare: Receiver<Copies>,
    open: Copies,
}

impl Copier {
    /// Copies a datagram.
    pub(crate) fn copy(&mut self, source: SocketAddr, octets: &[u8]) {
        self.open.octets.extend_from_slice(octets);
        self.open.datagrams.push((source, octets.len()));
    }

    /// Hands on what was copied since the last time, or leaves it out where too much waits.
    pub(crate) fn hand_on(&mut self) {
        if self.open.datagrams.is_empty() {
            return;
        }
        let octets = self.open.octets.len();
        if self.shared.waiting_octets.load(Ordering::Relaxed) + octets > MAX_WAITING_OCTETS {
            return self.leave_out();
        }
        let full = std::mem::replace(&mut self.open, self.spare.try_receive().unwrap_or_default());
        // Before it is sent: the thread takes off what it has sent.
        self.shared.waiting_octets.fetch_add(octets, Ordering::Relaxed);
        if let Err(copies) = self.queue.try_send(full) {
            self.shared.waiting_octets.fetch_sub(octets, Ordering::Relaxed);
            self.open = copies;
            self.leave_out();
        }
    }

    fn leave_out(&mut self) {
        self.shared.left_out.fetch_add(self.open.datagrams.len() as u64, Ordering::Relaxed);
        self.open.octets.clear();
        self.open.datagrams.clear();
    }
}

/// How datagrams reach a destination.
enum Outlet {
    Own(Own),
    Raw(Raw),
}

impl Outlet {
    fn open(config: &RelayConfig) -> Result<Self, RelayError> {
        match config.source {
            RelaySource::Helios => Ok(Self::Own(Own::to(config.to))),
            RelaySource::Exporter => {
                Raw::to(config.to).map(Self::Raw).map_err(|source| RelayError::Raw { to: config.to, source })
            }
        }
    }

    fn send(&mut self, source: SocketAddr, octets: &[u8]) -> Result<(), (Failure, io::Error)> {
        let classed = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => (Failure::Full, error),
            io::ErrorKind::AddrNotAvailable => (Failure::AddressFamily, error),
            _ => (Failure::Error, error),
        };
        match self {
            Self::Own(own) => own.send(octets).map_err(classed),
            Self::Raw(raw) => raw.send(source, octets).map_err(classed),
        }
    }
}

/// What the thread works with.
struct Forwarder {
    shared: Arc<Shared>,
    /// In the order of the destinations.
    outlets: Vec<Outlet>,
    logged: LogLimit<(SocketAddr, &'static str)>,
}

impl Forwarder {
    fn run(mut self, waiting: &Receiver<Copies>, give_back: &Sender<Copies>) {
        while let Some(mut copies) = waiting.receive() {
            let mut rest = copies.octets.as_slice();
            for &(source, length) in &copies.datagrams {
                let Some((datagram, behind)) = rest.split_at_checked(length) else { break };
                rest = behind;
                self.send(source, datagram);
            }
            self.shared.waiting_octets.fetch_sub(copies.octets.len(), Ordering::Relaxed);
            copies.octets.clear();
            copies.datagrams.clear();
            // One that finds no room is freed.
            let _ = give_back.try_send(copies);
        }
    }

    fn send(&mut self, source: SocketAddr, datagram: &[u8]) {
        let Self { shared, outlets, logged } = self;
        for (outlet, (config, counters)) in outlets.iter_mut().zip(&shared.destinations) {
            let mut result = outlet.send(source, datagram);
            for _ in 1..FULL_ATTEMPTS {
                if !matches!(result, Err((Failure::Full, _))) {
                    break;
                }
                std::thread::sleep(FULL_PAUSE);
                result = outlet.send(source, datagram);
            }
            match result {
                Ok(()) => {
                    counters.sent.fetch_add(1, Ordering::Relaxed);
                    counters.sent_octets.fetch_add(datagram.len() as u64, Ordering::Relaxed);
                }
                Err((failure, error)) => {
                    if let Some(counter) = counters.failed.get(failure as usize) {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                    let reason = failure.name();
                    if let Some(left_out) = logged.allow((config.to, reason), Instant::now()) {
                        tracing::warn!(to = %config.to, exporter = %source, reason, %error, left_out, "a datagram could not be passed on (collector.relay)");
                    }
                }
            }
        }
    }
}

/// Whether this process may send with the exporters' addresses.
///
/// # Errors
/// What the system says.
pub fn may_keep_source(to: SocketAddr) -> io::Result<()> {
    Raw::to(to).map(|_| ())
}

#[cfg(test)]
mod tests;
