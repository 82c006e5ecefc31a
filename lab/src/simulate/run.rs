//! Runs a simulation: visits its exporters in turn at a rate, sends or writes what they say, counts it.
//!
//! One thread does it all; drawing a flow and handing it to the kernel takes less than collecting it.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use helios_common::clock;

use super::exporter::{Datagrams, Identity, Now};
use super::summary::{NotSent, Sent, Summary, per_second};
use super::{Simulation, exporter};
use crate::capture;
use crate::send::pace::Pace;
use crate::send::{Failure, OpenError, Sender, open, reserve_sockets};

/// Flows of one visit at full speed: a full segmented send of any protocol, and little enough for the L2 cache.
pub const MAX_VISIT_FLOWS: usize = 960;

/// Flows of one visit at low rates: a full datagram of most protocols.
const MIN_VISIT_FLOWS: f64 = 30.0;

/// Visits a second at higher rates.
const VISITS_PER_SEC: f64 = 1_000.0;

/// Longest sleep: a stop is noticed at its end.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// Flows per second by the times in a file if no rate is given: nothing has to keep up with it.
pub const FILE_FLOWS_PER_SEC: f64 = 10_000.0;

/// Octets of a file that are written at once.
const FILE_BUFFER_OCTETS: usize = 1 << 20;

/// Port that datagrams in a file come from.
const FILE_SOURCE_PORT: u16 = 50_000;

/// Share of the flows that the rate asks for above which missing ones are a shortfall.
const MIN_SHORTFALL: f64 = 0.02;

/// How much, how long, how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// `None`: as fast as possible.
    pub flows_per_sec: Option<f64>,
    /// At least one of the limits is set.
    pub flows: Option<u64>,
    /// `None`: until the flows are sent.
    pub duration: Option<Duration>,
}

impl Load {
    /// The number of flows that are missing from what the rate asks for; `None` for a run without a rate, and if at most 2 % are
    /// missing.
    pub fn shortfall(&self, summary: &Summary) -> Option<f64> {
        let asked = self.flows_per_sec? * summary.elapsed_secs;
        let missing = asked - (summary.total.sent.flows + summary.not_sent.flows) as f64;
        // Flows of the visit that the end interrupted do not count as missing.
        (missing > MIN_SHORTFALL * asked && missing > MAX_VISIT_FLOWS as f64).then_some(missing)
    }

    /// Flows of one visit: many where speed counts, few where a device would not have many to report.
    fn visit_flows(&self, exporters: usize) -> usize {
        let Some(rate) = self.flows_per_sec else { return MAX_VISIT_FLOWS };
        let per_exporter = (rate / exporters.max(1) as f64).clamp(1.0, MIN_VISIT_FLOWS);
        (rate / VISITS_PER_SEC).clamp(per_exporter, MAX_VISIT_FLOWS as f64) as usize
    }
}

/// Where datagrams go.
#[derive(Debug)]
pub enum Output {
    /// A socket for each exporter, in the order of their numbers.
    Network(Vec<Sender>),
    /// A capture file; nothing is sent.
    File {
        /// Writes the datagrams with the headers that they would have.
        writer: capture::Writer<BufWriter<File>>,
        /// Destination of the datagrams in the file.
        target: SocketAddr,
    },
}

impl Output {
    /// Opens a capture file, whose datagrams go to `target`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn file(path: &Path, target: SocketAddr) -> io::Result<Self> {
        let file = BufWriter::with_capacity(FILE_BUFFER_OCTETS, File::create(path)?);
        Ok(Self::File { writer: capture::Writer::new(file)?, target })
    }

    /// Opens a socket to `target` for each exporter: UDP, with segmentation offload (UDP_SEGMENT) if `segmentation`, or TCP if
    /// `tcp`.
    ///
    /// # Errors
    /// [`OpenError`] for the first socket that cannot be opened.
    pub fn network(
        simulation: &Simulation,
        target: SocketAddr,
        tcp: bool,
        segmentation: bool,
    ) -> Result<Self, OpenError> {
        reserve_sockets(simulation.exporters().len())?;
        let any = match target {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let senders = simulation.exporters().iter().map(|exporter| {
            let mut sender = open(SocketAddr::new(exporter.identity().source.unwrap_or(any), 0), target, tcp)?;
            sender.set_segmentation(segmentation);
            Ok(sender)
        });
        senders.collect::<Result<_, _>>().map(Self::Network)
    }

    fn send(
        &mut self,
        identity: &Identity,
        now: Now,
        datagrams: &Datagrams,
        failed: &mut Vec<(usize, Failure)>,
    ) -> io::Result<()> {
        match self {
            Self::Network(senders) => {
                if let Some(sender) = senders.get_mut(identity.number as usize) {
                    sender.send(&datagrams.burst, failed);
                }
            }
            Self::File { writer, target } => {
                let source = identity.source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let source = SocketAddr::new(source, FILE_SOURCE_PORT);
                for n in 0..datagrams.len() {
                    writer.datagram(now.unix_ns, source, *target, datagrams.burst.datagram(n))?;
                }
            }
        }
        Ok(())
    }
}

/// The clock of a run: the wall clock, or one that the flows move on.
#[derive(Debug)]
enum Clock {
    Wall { started: Instant, pace: Option<Pace> },
    Flows { start: Now, flows: u64, ns_per_flow: f64 },
}

impl Clock {
    fn new(output: &Output, load: &Load, start: Now) -> Self {
        match output {
            Output::Network(_) => {
                let started = Instant::now();
                Self::Wall { started, pace: load.flows_per_sec.map(Pace::new) }
            }
            Output::File { .. } => {
                let rate = load.flows_per_sec.unwrap_or(FILE_FLOWS_PER_SEC);
                Self::Flows { start, flows: 0, ns_per_flow: 1e9 / rate }
            }
        }
    }

    fn elapsed(&self) -> Duration {
        match self {
            Self::Wall { started, .. } => started.elapsed(),
            Self::Flows { flows, ns_per_flow, .. } => Duration::from_nanos((*flows as f64 * ns_per_flow) as u64),
        }
    }

    /// Waits until `n` flows may be sent; `None` when the time is up or `stop` is set.
    fn wait(&mut self, n: usize, load: &Load, stop: &AtomicBool) -> Option<Now> {
        loop {
            let left = match load.duration {
                Some(duration) => duration.checked_sub(self.elapsed()).filter(|left| !left.is_zero())?,
                None => MAX_PAUSE,
            };
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let pause = match self {
                Self::Wall { pace: Some(pace), .. } => pace.take(n, Instant::now()).err(),
                Self::Wall { pace: None, .. } => None,
                Self::Flows { flows, .. } => {
                    *flows += n as u64;
                    None
                }
            };
            match pause {
                Some(pause) => thread::sleep(pause.min(left).min(MAX_PAUSE)),
                None => return Some(self.now()),
            }
        }
    }

    fn now(&self) -> Now {
        match self {
            Self::Wall { .. } => wall_clock(),
            Self::Flows { start, .. } => Now { unix_ns: start.unix_ns + self.elapsed().as_nanos() as u64 },
        }
    }
}

/// The present.
pub fn wall_clock() -> Now {
    Now { unix_ns: clock::since_epoch().as_nanos() as u64 }
}

/// What a run has done so far.
#[derive(Debug, Clone, Copy)]
pub struct SentSoFar {
    /// Since the start; of a file, in the times that it holds.
    pub elapsed: Duration,
    /// Flows that were sent.
    pub flows: u64,
    /// Datagrams that were sent, those without flows included.
    pub datagrams: u64,
    /// Datagrams that the kernel did not take.
    pub not_sent: u64,
}

impl fmt::Display for SentSoFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flows, datagrams, not_sent, .. } = *self;
        let secs = self.elapsed.as_secs_f64();
        write!(f, "{secs:.0} s: {flows} flows in {datagrams} datagrams, {} flows/s", per_second(flows as f64 / secs))?;
        if not_sent > 0 { write!(f, ", {not_sent} datagrams not sent") } else { Ok(()) }
    }
}

/// Runs until a limit of `load` is reached or `stop` is set. `watch` is called after every visit.
///
/// `start` is when the simulation was set up; in a file, its times begin there.
///
/// # Errors
/// When a file cannot be written. What the network does not take is counted, not an error.
pub fn run(
    simulation: &mut Simulation,
    load: &Load,
    output: &mut Output,
    start: Now,
    stop: &AtomicBool,
    mut watch: impl FnMut(SentSoFar),
) -> io::Result<Summary> {
    let exporters = simulation.exporters().len();
    let visit_flows = load.visit_flows(exporters);
    let mut clock = Clock::new(output, load, start);
    let mut counts = Counts { sent: vec![Sent::default(); exporters], ..Counts::default() };
    let mut datagrams = Datagrams::default();
    let mut failed = Vec::new();
    let mut drawn = 0;
    for number in (0..exporters).cycle() {
        let left = load.flows.map_or(u64::MAX, |flows| flows - drawn);
        let flows = left.min(visit_flows as u64) as usize;
        if flows == 0 {
            break;
        }
        let Some(now) = clock.wait(flows, load, stop) else { break };
        datagrams.clear();
        failed.clear();
        simulation.visit(number, flows, now, &mut datagrams);
        drawn += flows as u64;
        let Some(identity) = simulation.exporters().get(number).map(exporter::Exporter::identity) else { break };
        output.send(identity, now, &datagrams, &mut failed)?;
        counts.take(number, identity, &datagrams, &failed);
        watch(counts.status(clock.elapsed()));
    }
    let elapsed = clock.elapsed();
    let identities = simulation.exporters().iter().map(exporter::Exporter::identity);
    Ok(Summary::new(identities.zip(counts.sent), counts.not_sent, elapsed))
}

/// What was sent, by exporter.
#[derive(Debug, Default)]
struct Counts {
    sent: Vec<Sent>,
    not_sent: NotSent,
    flows: u64,
    datagrams: u64,
}

impl Counts {
    fn take(&mut self, number: usize, identity: &Identity, datagrams: &Datagrams, failed: &[(usize, Failure)]) {
        let Some(sent) = self.sent.get_mut(number) else { return };
        let (flows, messages) = (sent.flows, sent.datagrams);
        let mut failures = failed.iter().peekable();
        for (n, content) in datagrams.contents.iter().enumerate() {
            match failures.next_if(|(at, _)| *at == n) {
                Some((_, failure)) => self.not_sent.count(content, *failure),
                None => sent.count(identity, content, datagrams.burst.datagram(n).len()),
            }
        }
        self.flows += sent.flows - flows;
        self.datagrams += sent.datagrams - messages;
    }

    fn status(&self, elapsed: Duration) -> SentSoFar {
        SentSoFar { elapsed, flows: self.flows, datagrams: self.datagrams, not_sent: self.not_sent.datagrams }
    }
}

impl Output {
    /// Flushes a file.
    ///
    /// # Errors
    /// When its last octets cannot be written.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Network(_) => Ok(()),
            Self::File { writer, .. } => writer.finish().map(|_| ()),
        }
    }
}
