//! Sends the datagrams of a capture to a collector: what `helios replay` does.
//!
//! Each source (address and port) of the capture gets a socket of its own, because templates, samplers and sequence
//! numbers belong to the transport session: two exporters in one capture stay two. Towards loopback targets sources
//! can keep addresses of their own as well. Octets are sent as captured, with the times, sequence numbers and uptimes of
//! the capture.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::capture::{Capture, CaptureError, Counts};
use crate::send::pace::Pace;
use crate::send::{Burst, Failure, OpenError, Sender, open, reserve_sockets, stream};

/// Datagrams that are sent at once if all are due.
const MAX_BURST: usize = 64;

/// A datagram that is due so soon is sent now: the kernel does not keep shorter pauses.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// Longest sleep: a stop is noticed at its end.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// Addresses that stand for sources without a loopback address: 127.128.0.0/9.
const MAPPED_SOURCES: u32 = 0x7f80_0000;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times as fast as captured.
    Captured(f64),
    /// Evenly spaced, whatever the times in the capture.
    DatagramsPerSec(f64),
    /// As fast as the kernel takes them.
    Max,
}

/// What to do with a capture.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The collector.
    pub target: SocketAddr,
    /// When each datagram is due.
    pub speed: Speed,
    /// Longer pauses of the capture are shortened to this.
    pub max_gap: Duration,
    /// How often the capture is sent.
    pub times: u32,
    /// Send from a loopback address for each address of the capture.
    pub keep_sources: bool,
    /// Send only what was captured on its way to this port.
    pub port: Option<u16>,
    /// Send IPFIX messages over TCP, and nothing else.
    pub tcp: bool,
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Since the replay began, pauses included.
    pub elapsed: Duration,
    /// Datagrams and octets that the kernel took.
    pub datagrams: u64,
    /// UDP payload; the headers do not count.
    pub octets: u64,
    /// Datagrams before which an ICMP answer said that nobody listens at the target.
    pub refused: u64,
    /// Datagrams that the kernel did not take for another reason.
    pub failed: u64,
    /// The last failure that was not a refusal.
    pub failure: Option<Failure>,
    /// To other ports than the one asked for.
    pub other_ports: u64,
    /// Not one IPFIX message each, which over TCP they have to be.
    pub not_ipfix: u64,
    /// Pauses of the capture that were longer than `max_gap`.
    pub shortened_gaps: u64,
    /// Each source of the capture and the address it was sent from, in order of appearance.
    pub sources: Vec<(SocketAddr, SocketAddr)>,
    /// What the capture held, at its last reading.
    pub capture: Counts,
}

/// Sources that are listed at the end; more would bury the result.
const LISTED_SOURCES: usize = 20;

impl Report {
    /// The figures in one line: datagrams, octets, sources, time, rate.
    pub fn line(&self) -> String {
        let Report { datagrams, octets, elapsed, .. } = self;
        let secs = elapsed.as_secs_f64();
        let sources = self.sources.len();
        let rate = if secs > 0.0 { *datagrams as f64 / secs } else { 0.0 };
        format!("{datagrams} datagrams, {octets} octets from {sources} sources in {secs:.1} s, {rate:.0} datagrams/s")
    }

    /// A sentence for each thing about the replay that a user should know.
    pub fn notes(&self, settings: &Settings) -> Vec<String> {
        let mut notes = self.capture.notes();
        if self.refused > 0 {
            let target = settings.target;
            notes.push(format!("{} datagrams refused: nobody listens at {target}", self.refused));
        }
        if let Some(failure) = self.failure {
            notes.push(format!("{} datagrams not sent; last error: {failure}", self.failed));
        }
        if self.not_ipfix > 0 {
            notes.push(format!("{} datagrams that are not IPFIX left out", self.not_ipfix));
        }
        if self.other_ports > 0 {
            notes.push(format!("{} datagrams to other ports left out", self.other_ports));
        }
        if self.shortened_gaps > 0 {
            let (gaps, max) = (self.shortened_gaps, settings.max_gap);
            notes.push(format!("{gaps} pauses of the capture shortened to {max:?}: --max-gap keeps longer ones"));
        }
        if settings.keep_sources {
            for (captured, sent) in self.sources.iter().take(LISTED_SOURCES) {
                notes.push(format!("{captured} was sent from {sent}"));
            }
        }
        notes
    }
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum ReplayError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Sends the capture that `open` opens, each time anew. `watch` is called after every burst.
///
/// # Errors
/// When the capture cannot be read or a socket cannot be opened. Datagrams that the network refuses are counted and are no
/// error.
pub fn run(
    settings: &Settings,
    mut open: impl FnMut() -> Result<Capture, CaptureError>,
    stop: &AtomicBool,
    watch: impl FnMut(&Report),
) -> Result<Report, ReplayError> {
    let mut replay = Replay::new(settings, stop, watch);
    for _ in 0..settings.times {
        let mut capture = open()?;
        replay.schedule.begin();
        for datagram in capture.by_ref() {
            let datagram = datagram?;
            if settings.port.is_some_and(|port| port != datagram.destination.port()) {
                replay.report.other_ports += 1;
                continue;
            }
            if settings.tcp && !stream::is_message(&datagram.payload) {
                replay.report.not_ipfix += 1;
                continue;
            }
            replay.wait(datagram.timestamp_ns);
            if stop.load(Ordering::Relaxed) {
                break;
            }
            replay.take(datagram.source, &datagram.payload)?;
        }
        replay.flush();
        replay.report.capture = capture.counts();
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(replay.finish())
}

/// A replay under way.
struct Replay<'a, W> {
    settings: &'a Settings,
    stop: &'a AtomicBool,
    watch: W,
    started: Instant,
    schedule: Schedule,
    /// Sockets, in order of the appearance of their source.
    senders: Vec<Sender>,
    by_source: HashMap<SocketAddr, usize>,
    addresses: HashMap<IpAddr, IpAddr>,
    burst: Burst,
    burst_sender: usize,
    failed: Vec<(usize, Failure)>,
    report: Report,
}

impl<'a, W: FnMut(&Report)> Replay<'a, W> {
    fn new(settings: &'a Settings, stop: &'a AtomicBool, watch: W) -> Self {
        let started = Instant::now();
        Self {
            settings,
            stop,
            watch,
            started,
            schedule: Schedule::new(settings),
            senders: Vec::new(),
            by_source: HashMap::new(),
            addresses: HashMap::new(),
            burst: Burst::default(),
            burst_sender: 0,
            failed: Vec::new(),
            report: Report::default(),
        }
    }

    /// Waits until the next datagram is due; what was due before leaves first.
    fn wait(&mut self, timestamp_ns: u64) {
        let mut due = self.schedule.due(timestamp_ns);
        while let Some(pause) = due.pause(&mut self.schedule, self.started) {
            self.flush();
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(pause.min(MAX_PAUSE));
        }
    }

    /// Adds a datagram to the burst of its source.
    fn take(&mut self, source: SocketAddr, payload: &[u8]) -> Result<(), ReplayError> {
        let sender = self.sender(source)?;
        if sender != self.burst_sender || self.burst.len() == MAX_BURST {
            self.flush();
            self.burst_sender = sender;
        }
        self.burst.push(|out| out.extend_from_slice(payload));
        Ok(())
    }

    /// The socket of a source, opened at its first sight.
    fn sender(&mut self, source: SocketAddr) -> Result<usize, ReplayError> {
        if let Some(&sender) = self.by_source.get(&source) {
            return Ok(sender);
        }
        let target = self.settings.target;
        let from = SocketAddr::new(self.address(source.ip()), 0);
        // Doubling keeps the system calls few.
        if self.senders.len().is_power_of_two() {
            reserve_sockets(self.senders.len() * 2)?;
        }
        let sender = open(from, target, self.settings.tcp)?;
        self.report.sources.push((source, sender.local_addr().unwrap_or(from)));
        self.senders.push(sender);
        self.by_source.insert(source, self.senders.len() - 1);
        Ok(self.senders.len() - 1)
    }

    /// The address to send a captured address' datagrams from.
    fn address(&mut self, captured: IpAddr) -> IpAddr {
        if !self.settings.keep_sources {
            return match self.settings.target {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
        }
        if captured.is_ipv4() && captured.is_loopback() {
            return captured;
        }
        let next = Ipv4Addr::from(MAPPED_SOURCES + 1 + self.addresses.len() as u32);
        *self.addresses.entry(captured).or_insert(next.into())
    }

    /// Sends the burst.
    fn flush(&mut self) {
        let Some(sender) = self.senders.get_mut(self.burst_sender).filter(|_| !self.burst.is_empty()) else { return };
        self.failed.clear();
        sender.send(&self.burst, &mut self.failed);
        let mut failures = self.failed.iter().peekable();
        for n in 0..self.burst.len() {
            match failures.next_if(|(at, _)| *at == n) {
                None => {
                    self.report.datagrams += 1;
                    self.report.octets += self.burst.datagram(n).len() as u64;
                }
                Some((_, Failure::Refused)) => self.report.refused += 1,
                Some((_, failure)) => {
                    self.report.failed += 1;
                    self.report.failure = Some(*failure);
                }
            }
        }
        self.burst.clear();
        self.report.elapsed = self.started.elapsed();
        (self.watch)(&self.report);
    }

    fn finish(mut self) -> Report {
        self.report.elapsed = self.started.elapsed();
        self.report.shortened_gaps = self.schedule.shortened_gaps();
        self.report
    }
}

/// When datagrams are due.
#[derive(Debug)]
enum Schedule {
    Captured(Timeline),
    Rate(Pace),
    Max,
}

/// When one datagram is due.
enum Due {
    At(Duration),
    Paced,
    Now,
}

impl Schedule {
    fn new(settings: &Settings) -> Self {
        match settings.speed {
            Speed::Captured(factor) => Self::Captured(Timeline::new(factor, settings.max_gap)),
            Speed::DatagramsPerSec(rate) => Self::Rate(Pace::new(rate)),
            Speed::Max => Self::Max,
        }
    }

    /// Begins a reading of the capture.
    fn begin(&mut self) {
        if let Self::Captured(timeline) = self {
            timeline.previous_ns = None;
        }
    }

    fn due(&mut self, timestamp_ns: u64) -> Due {
        match self {
            Self::Captured(timeline) => Due::At(timeline.due(timestamp_ns)),
            Self::Rate(_) => Due::Paced,
            Self::Max => Due::Now,
        }
    }

    fn shortened_gaps(&self) -> u64 {
        match self {
            Self::Captured(timeline) => timeline.shortened,
            Self::Rate(_) | Self::Max => 0,
        }
    }
}

impl Due {
    /// How long to wait before asking again; `None` when the datagram may leave.
    fn pause(&mut self, schedule: &mut Schedule, started: Instant) -> Option<Duration> {
        match (self, schedule) {
            (Self::At(at), _) => at.checked_sub(started.elapsed()).filter(|left| *left >= MIN_PAUSE),
            (Self::Paced, Schedule::Rate(pace)) => pace.take(1, Instant::now()).err(),
            _ => None,
        }
    }
}

/// The times of a capture, moved to the present.
#[derive(Debug)]
struct Timeline {
    factor: f64,
    max_gap: Duration,
    previous_ns: Option<u64>,
    position: Duration,
    shortened: u64,
}

impl Timeline {
    fn new(factor: f64, max_gap: Duration) -> Self {
        Self { factor, max_gap, previous_ns: None, position: Duration::ZERO, shortened: 0 }
    }

    /// When a datagram is due, counted from the start of the replay.
    fn due(&mut self, timestamp_ns: u64) -> Duration {
        let previous_ns = self.previous_ns.unwrap_or(timestamp_ns);
        let gap = Duration::from_nanos(timestamp_ns.saturating_sub(previous_ns));
        self.shortened += u64::from(gap > self.max_gap);
        self.position += gap.min(self.max_gap).div_f64(self.factor);
        // A time a little earlier is reordering, and the latest time stays. A time much earlier begins another capture in the file.
        let back = Duration::from_nanos(previous_ns.saturating_sub(timestamp_ns));
        self.previous_ns = Some(if back > self.max_gap { timestamp_ns } else { previous_ns.max(timestamp_ns) });
        self.position
    }
}

#[cfg(test)]
mod tests;
