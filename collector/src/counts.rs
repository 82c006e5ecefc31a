//! What the receiving threads count and show to others.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use helios_common::time::UnixMs;

use crate::decode::{DecodeError, Decoded, Discarded, ExporterStats, Protocol, RefusedSender};
use crate::roster::Roster;
use crate::udp::SocketStats;

/// How often exporters and sockets are looked at.
pub(crate) const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

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
    /// Messages with lengths that contradict each other, of which what could be told was decoded.
    pub contradictions: u64,
    /// Flow samples of sFlow that contradict themselves.
    pub malformed_samples: u64,
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
        self.contradictions += u64::from(decoded.contradictions);
        self.malformed_samples += u64::from(decoded.sflow.malformed_samples);
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
        self.contradictions += other.contradictions;
        self.malformed_samples += other.malformed_samples;
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
