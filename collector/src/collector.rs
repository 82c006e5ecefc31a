//! The collector as a whole: sockets bound, a thread per worker and one for IPFIX over TCP, what they counted, the stop.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use helios_common::clock::unix_ms;
use helios_common::exporter::{Address, Exporters};
use helios_common::ledger::Ledger;
use helios_common::names::Names;
use helios_common::queue::BatchSender;
use helios_common::side::SideSender;

use crate::config::{CollectorConfig, ConfigError};
use crate::counts::{Counts, Shared, SocketReport, locked};
use crate::decode::budget::Budget;
use crate::decode::{
    Decoder, DecoderConfig, ExporterStats, MAX_WORKER_TOTALS, MIN_SESSION_TOTALS, RefusedSender, Transport,
};
use crate::output::Output;
use crate::proxy::Proxies;
use crate::relay::{Relay, RelayError, RelayStats};
use crate::roster::{ExporterList, Roster};
use crate::state::{StateError, StateFile, StateStats};
use crate::tcp::{self, ConnectionStats, Connections, Server, ServerError, Sessions};
use crate::udp::{BindError, SocketOptions, UdpSocket, bind_group};
use crate::worker::{Limits, Source, Worker};

/// The collector did not start.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// A value of the section `collector` cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A UDP address of `collector.listen` could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// `collector.state_dir` could not be made or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// A TCP address of `collector.tcp.listen` could not be opened, or its certificates cannot be used.
    #[error(transparent)]
    Tcp(#[from] ServerError),
    /// A destination of `collector.relay` cannot be sent to.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The system refused a thread.
    #[error("cannot start a receive thread: {0}")]
    Thread(io::Error),
}

/// All workers at one moment.
#[derive(Debug, Clone)]
pub struct CollectorStats {
    /// The UDP workers', then those of IPFIX over TCP if it is configured.
    pub workers: Vec<Counts>,
    /// UDP sockets of all workers, one per worker and listening address, as they were at most a second ago.
    pub sockets: Vec<SocketReport>,
    /// Connections of IPFIX over TCP; all 0 if it is not configured.
    pub connections: ConnectionStats,
    /// What `collector.relay` passed on; without a destination if it is not configured.
    pub relay: RelayStats,
    /// Octets that decoding keeps for all exporters.
    pub decoding_octets: usize,
    /// Limit of `decoding_octets` (`collector.max_state_bytes`).
    pub max_decoding_octets: usize,
    /// Faults of the state files; all 0 without `collector.state_dir`.
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

/// All receive workers.
#[derive(Debug)]
pub struct Collector {
    shared: Vec<Arc<Shared>>,
    threads: Vec<JoinHandle<()>>,
    local_addrs: Vec<SocketAddr>,
    tcp_addrs: Vec<SocketAddr>,
    connections: Option<Arc<Connections>>,
    relay: Option<Relay>,
    budget: Arc<Budget>,
    roster: Arc<Roster>,
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
        let proxies = Arc::new(config.proxies()?);
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
        let relay = Relay::start(&config.relay)?;
        let state = config.state_dir.as_deref().map(StateFile::open).transpose()?;
        let roster = Arc::new(Roster::default());
        if let Some(state) = &state {
            roster.lock().restore(state.seen());
        }
        let mut collector = Self {
            shared: Vec::new(),
            threads: Vec::new(),
            local_addrs,
            tcp_addrs: tcp.as_ref().map(Server::local_addrs).unwrap_or_default(),
            connections: tcp.as_ref().map(|server| Arc::clone(&server.connections)),
            relay,
            budget: Arc::new(Budget::new(config.max_state_bytes)),
            roster,
            stop: Arc::new(AtomicBool::new(false)),
            state,
        };
        for (number, sockets) in per_worker.into_iter().enumerate() {
            let shared = Arc::new(Shared::new(Arc::clone(&collector.roster)));
            collector.shared.push(Arc::clone(&shared));
            let mut decoder = Decoder::new(decoder.clone(), Arc::clone(&exporters), Arc::clone(&names));
            decoder.charge_to(Arc::clone(&collector.budget));
            if let Some(state) = &collector.state {
                decoder.remember(state.memory());
            }
            let worker = Worker::new(
                Source {
                    number,
                    sockets,
                    decoder,
                    saver: collector.state.as_ref().and_then(StateFile::saver),
                    copier: collector.relay.as_ref().map(Relay::copier),
                    proxies: Arc::clone(&proxies),
                },
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
            collector.serve_tcp(server, config, (decoder, proxies), output, (exporters, names))?;
        }
        Ok(collector)
    }

    fn serve_tcp(
        &mut self,
        server: Server,
        config: &CollectorConfig,
        (decoder, proxies): (DecoderConfig, Arc<Proxies>),
        output: Output,
        tables: (Arc<Exporters>, Arc<Names>),
    ) -> Result<(), CollectorError> {
        let worker = self.shared.len() as u32;
        let shared = Arc::new(Shared::new(Arc::clone(&self.roster)));
        self.shared.push(Arc::clone(&shared));
        let connections = Arc::clone(&server.connections);
        let limits = tcp::Limits::new(config);
        let transport = if config.tcp.tls.certificate.is_some() { Transport::Tls } else { Transport::Tcp };
        let max_totals = (MAX_WORKER_TOTALS / limits.connections).max(MIN_SESSION_TOTALS);
        let decoder = DecoderConfig { transport, max_totals, ..decoder };
        let budget = Arc::new(Budget::part_of(Arc::clone(&self.budget), self.budget.max() / 2));
        let stop = Arc::clone(&self.stop);
        let serve = move || {
            let sessions =
                Sessions::new(limits, (decoder, proxies), tables, (output, worker), (shared, connections, budget));
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

    /// The counts of all workers, sockets, connections and files, since the start.
    pub fn stats(&self) -> CollectorStats {
        CollectorStats {
            workers: self.shared.iter().map(|shared| *locked(&shared.counts)).collect(),
            sockets: self.shared.iter().flat_map(|shared| locked(&shared.sockets).clone()).collect(),
            connections: self.connections.as_ref().map(|connections| connections.snapshot()).unwrap_or_default(),
            relay: self.relay.as_ref().map(Relay::stats).unwrap_or_default(),
            decoding_octets: self.budget.used(),
            max_decoding_octets: self.budget.max(),
            state: self.state.as_ref().map(StateFile::stats).unwrap_or_default(),
        }
    }

    /// What each exporter sent, at most a second old. What several workers saw of one (two addresses of an sFlow agent)
    /// is added up, and so is what it had sent before a decoder forgot it.
    pub fn exporters(&self) -> ExporterList {
        let mut roster = self.roster.lock();
        let mut known: BTreeMap<Address, ExporterStats> = BTreeMap::new();
        for shared in &self.shared {
            for stats in locked(&shared.exporters).iter() {
                known.entry(stats.address).and_modify(|known| known.merge(stats)).or_insert(*stats);
            }
        }
        roster.list(known, unix_ms())
    }

    /// Sets how many exporters have series of their own in the metrics (`admin.max_exporters`).
    pub fn limit_exporters(&self, limit: usize) {
        self.roster.lock().limit(limit);
    }

    /// The last senders whose datagrams were discarded, by reason; at most a second old.
    pub fn refused(&self) -> Vec<RefusedSender> {
        RefusedSender::latest(self.shared.iter().flat_map(|shared| locked(&shared.refused).clone()).collect())
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
        if let Some(relay) = self.relay {
            relay.stop();
        }
        if let Some(saver) = self.state.as_ref().and_then(StateFile::saver) {
            saver.save_seen(self.roster.lock().seen());
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

#[cfg(test)]
mod tests;
