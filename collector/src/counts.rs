//! What the receiving threads count and show to others.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use helios_common::time::UnixMs;

use crate::decode::tally::Tally;
use crate::decode::{DecodeError, Discarded, ExporterStats, RefusedSender};
use crate::roster::Roster;
use crate::udp::SocketStats;

/// How often exporters and sockets are looked at.
pub(crate) const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// Counts of one worker, or of all. Datagrams: received = decoded + discarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams, and over TCP messages, whatever became of them.
    pub datagrams_received: u64,
    /// Octets of these.
    pub octets_received: u64,
    /// Indexed as [`DecodeError::ALL`].
    pub datagrams_discarded: [u64; DecodeError::ALL.len()],
    /// Receive system calls.
    pub receive_calls: u64,
    /// What became of decoded datagrams.
    pub tally: Tally,
}

impl Counts {
    /// Counts a datagram that was discarded. Its templates were learned before the fault.
    pub(crate) fn discarded(&mut self, discarded: &Discarded) {
        self.datagrams_discarded[discarded.error.place()] += 1;
        self.tally.template_definitions += u64::from(discarded.templates + discarded.options_templates);
    }

    /// Adds the counts of another worker.
    pub fn add(&mut self, other: &Self) {
        self.datagrams_received += other.datagrams_received;
        self.octets_received += other.octets_received;
        self.datagrams_discarded.iter_mut().zip(other.datagrams_discarded).for_each(|(mine, theirs)| *mine += theirs);
        self.receive_calls += other.receive_calls;
        self.tally.add(&other.tally);
    }

    /// received - decoded - discarded: 0 unless a datagram was lost between socket and decoder.
    pub fn imbalance(&self) -> i64 {
        let accounted: u64 = self.tally.datagrams.iter().chain(&self.datagrams_discarded).sum();
        self.datagrams_received as i64 - accounted as i64
    }
}

/// One socket of one worker.
#[derive(Debug, Clone, Copy)]
pub struct SocketReport {
    /// Number of the worker, from 0.
    pub worker: usize,
    /// Address that the socket listens on, with the port that the kernel chose for port 0.
    pub local: SocketAddr,
    /// Receive buffer that the configuration asks for, in octets (`collector.receive_buffer_bytes`).
    pub buffer_asked: usize,
    /// Receive buffer that the kernel granted, in octets of the same measure.
    pub buffer_granted: usize,
    /// Whether the kernel hands over several datagrams of one sender at once (UDP_GRO).
    pub gro: bool,
    /// What waits in the socket and what the kernel dropped, as read at most a second ago.
    pub stats: SocketStats,
}

/// What a worker shows to others.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) counts: Mutex<Counts>,
    pub(crate) sockets: Mutex<Vec<SocketReport>>,
    pub(crate) exporters: Mutex<Vec<ExporterStats>>,
    pub(crate) refused: Mutex<Vec<RefusedSender>>,
    /// Of all threads.
    pub(crate) roster: Arc<Roster>,
}

impl Shared {
    pub(crate) fn new(roster: Arc<Roster>) -> Self {
        Self { roster, ..Self::default() }
    }

    /// Shows the exporters that a thread knows. Those that are `gone` since the last time are counted as past in the same
    /// step.
    pub(crate) fn show(&self, known: impl Iterator<Item = ExporterStats>, gone: &[ExporterStats], now: UnixMs) {
        let mut roster = self.roster.lock();
        gone.iter().for_each(|stats| roster.retire(stats, now));
        let mut shown = locked(&self.exporters);
        shown.clear();
        shown.extend(known);
        for stats in shown.iter() {
            roster.note(stats, now);
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
