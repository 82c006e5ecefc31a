//! Sessions: a decoder for each connection, and what they share. They run on one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_common::clock::unix_ms;
use helios_common::exporter::{Address, Exporters, address_of};
use helios_common::names::Names;
use helios_common::side::ExporterMinute;
use helios_common::time::{UnixMs, minute_of};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::connection::{Connections, Trouble};
use super::framing::{NotIpfix, Stream};
use crate::config::CollectorConfig;
use crate::counts::{Counts, PUBLISH_INTERVAL, Shared, locked};
use crate::decode::budget::{Account, Budget};
use crate::decode::refused::Refused;
use crate::decode::{DatagramMeta, DecodeError, Decoder, DecoderConfig, ExporterStats, RefusedSender};
use crate::descriptors;
use crate::log_limit::LogLimit;
use crate::output::Output;
use crate::proxy::Proxies;

/// One address may take an eighth of what all connections may: it takes eight of them to use it up.
const SOURCES_AT_LEAST: usize = 8;

/// Bounds of connections and batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub batch_rows: usize,
    pub flush_interval: Duration,
    pub connections: usize,
    pub idle: Duration,
}

impl Limits {
    pub(crate) fn new(config: &CollectorConfig) -> Self {
        Self {
            batch_rows: config.batch_rows,
            flush_interval: config.flush_interval(),
            connections: descriptors::connections(config.tcp.max_connections, descriptors::limit()),
            idle: Duration::from_millis(config.tcp.idle_timeout_ms),
        }
    }
}

/// What all connections share; they run on one thread.
pub(crate) struct Sessions {
    pub decoder: DecoderConfig,
    pub proxies: Arc<Proxies>,
    pub exporters: Arc<Exporters>,
    pub names: Arc<Names>,
    pub limits: Limits,
    pub connections: Arc<Connections>,
    /// What all connections together may take.
    budget: Arc<Budget>,
    acceptor: RefCell<Option<TlsAcceptor>>,
    shared: Arc<Shared>,
    state: RefCell<State>,
    logged: RefCell<LogLimit<Trouble>>,
    stopping: Cell<bool>,
    wake: Notify,
}

struct State {
    output: Output,
    counts: Counts,
    decoders: BTreeMap<u64, Rc<RefCell<Decoder>>>,
    next: u64,
    /// What the connections from one address may take together.
    budgets: BTreeMap<Address, Arc<Budget>>,
    published: Instant,
    minute: i64,
    /// Rows of `exporters` and figures of sessions that have ended since they were last shown.
    ended_minutes: Vec<ExporterMinute>,
    ended: BTreeMap<Address, ExporterStats>,
    /// Senders of connections that were turned away by their address.
    not_allowed: Refused,
    worker: u32,
}

impl State {
    /// Forgets what is too old in every session, and budgets of addresses that have no connection.
    fn expire(&mut self, now: UnixMs) {
        for decoder in self.decoders.values() {
            decoder.borrow_mut().expire(now);
        }
        self.budgets.retain(|_, budget| Arc::strong_count(budget) > 1);
    }
}

impl Sessions {
    pub(crate) fn new(
        limits: Limits,
        (decoder, proxies): (DecoderConfig, Arc<Proxies>),
        (exporters, names): (Arc<Exporters>, Arc<Names>),
        (output, worker): (Output, u32),
        (shared, connections, budget): (Arc<Shared>, Arc<Connections>, Arc<Budget>),
    ) -> Self {
        let state = State {
            output,
            counts: Counts::default(),
            decoders: BTreeMap::new(),
            next: 0,
            budgets: BTreeMap::new(),
            published: Instant::now(),
            minute: minute_of(unix_ms()),
            ended_minutes: Vec::new(),
            ended: BTreeMap::new(),
            not_allowed: Refused::default(),
            worker,
        };
        Self {
            decoder,
            proxies,
            exporters,
            names,
            limits,
            connections,
            budget,
            acceptor: RefCell::new(None),
            shared,
            state: RefCell::new(state),
            logged: RefCell::default(),
            stopping: Cell::new(false),
            wake: Notify::new(),
        }
    }

    /// What accepts TLS connections from now on; `None` where they are plain.
    pub(crate) fn accept_with(&self, acceptor: Option<TlsAcceptor>) {
        self.acceptor.replace(acceptor);
    }

    pub(crate) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.acceptor.borrow().clone()
    }

    /// Writes a log line unless one about the same trouble was written within the last minute. `write` is told how many
    /// were left out since then.
    pub(crate) fn log(&self, trouble: Trouble, write: impl FnOnce(u64)) {
        if let Some(left_out) = self.logged.borrow_mut().allow(trouble, Instant::now()) {
            write(left_out);
        }
    }

    /// Lets connections end by themselves once nothing more is there to read.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.wake.notify_waiters();
    }

    /// Waits for [`stop`](Self::stop).
    pub(crate) async fn stopped(&self) {
        let woken = self.wake.notified();
        if !self.stopping.get() {
            woken.await;
        }
    }

    /// Whether `collector.allow` has this address; takes note of one that it has not.
    pub(crate) fn allows(&self, peer: SocketAddr) -> bool {
        let address = address_of(peer.ip());
        let allowed = self.decoder.allow.accepts(address);
        if !allowed {
            self.state.borrow_mut().not_allowed.note(address, DecodeError::NotAllowed, unix_ms());
        }
        allowed
    }

    /// An account for a connection from this address.
    pub(crate) fn account(&self, peer: SocketAddr) -> Account {
        let budgets = &mut self.state.borrow_mut().budgets;
        let part = || Arc::new(Budget::part_of(Arc::clone(&self.budget), self.budget.max() / SOURCES_AT_LEAST));
        Account::new(Arc::clone(budgets.entry(address_of(peer.ip())).or_insert_with(part)))
    }

    /// A decoder for a new session.
    pub(crate) fn begin(&self, peer: SocketAddr) -> (u64, Rc<RefCell<Decoder>>) {
        let mut decoder = Decoder::new(self.decoder.clone(), Arc::clone(&self.exporters), Arc::clone(&self.names));
        decoder.charge_to(self.account(peer).budget());
        let decoder = Rc::new(RefCell::new(decoder));
        let mut state = self.state.borrow_mut();
        state.next += 1;
        let number = state.next;
        state.decoders.insert(number, Rc::clone(&decoder));
        (number, decoder)
    }

    /// The end of a session.
    pub(crate) fn end(&self, number: u64) {
        let state = &mut *self.state.borrow_mut();
        let Some(decoder) = state.decoders.remove(&number) else { return };
        let mut decoder = decoder.borrow_mut();
        state.ended_minutes.extend(decoder.close_minute());
        for stats in decoder.exporters() {
            let past = stats.past();
            state.ended.entry(stats.address).and_modify(|known| known.merge(&past)).or_insert(past);
        }
    }

    /// Decodes the messages that are there; returns how many there were.
    pub(crate) fn decode(
        &self,
        stream: &mut Stream,
        decoder: &RefCell<Decoder>,
        source: SocketAddr,
    ) -> Result<u64, NotIpfix> {
        let State { output, counts, .. } = &mut *self.state.borrow_mut();
        let meta = DatagramMeta { source, received_at: unix_ms() };
        let mut decoder = decoder.borrow_mut();
        let before = counts.datagrams_received;
        let result = loop {
            let message = match stream.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break Ok(counts.datagrams_received - before),
                Err(error) => break Err(error),
            };
            counts.datagrams_received += 1;
            counts.octets_received += message.len() as u64;
            match decoder.decode(message, &meta, &mut output.batch) {
                Ok(decoded) => {
                    counts.tally.count(&decoded);
                    output.unbooked += u64::from(decoded.rows);
                }
                Err(discarded) => counts.discarded(&discarded),
            }
            if output.batch.is_full(self.limits.batch_rows) {
                output.hand_on_waiting();
            }
        };
        output.book();
        *locked(&self.shared.counts) = *counts;
        result
    }

    /// What time brings.
    pub(crate) fn tick(&self) {
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
        let now = unix_ms();
        let mut all: BTreeMap<Address, ExporterStats> = BTreeMap::new();
        let mut refused = state.not_allowed.senders().to_vec();
        for decoder in state.decoders.values() {
            let decoder = decoder.borrow();
            refused.extend_from_slice(decoder.refused());
            for stats in decoder.exporters() {
                all.entry(stats.address).and_modify(|known| known.merge(&stats)).or_insert(stats);
            }
        }
        let gone: Vec<ExporterStats> = std::mem::take(&mut state.ended).into_values().collect();
        self.shared.show(all.into_values(), &gone, now);
        *locked(&self.shared.refused) = RefusedSender::latest(refused);
        let now = minute_of(now);
        if now != state.minute {
            self.close_minute(state);
            state.minute = now;
            state.expire(now);
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
    pub(crate) fn finish(&self) {
        let state = &mut *self.state.borrow_mut();
        state.output.hand_on_waiting();
        self.publish(state);
        self.close_minute(state);
    }
}
