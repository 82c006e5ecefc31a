//! What `/api/v1` shows of the collector. Keys are a promise to scripts: added, never renamed within `v1`.

use std::collections::BTreeMap;

use helios_common::exporter::ip_of;
use helios_common::time::{UnixMs, Utc};
use helios_metrics::counted;
use serde::Serialize;

use crate::config::RelaySource;
use crate::counts::{Counts, SocketReport};
use crate::decode::{DecodeError, ExporterStats, Protocol, RefusedSender, Transport};
use crate::relay::{Failure, RelayStats};

/// received = decoded + dropped + imbalance, and the imbalance is 0.
#[derive(Debug, Serialize)]
pub struct Datagrams {
    received: u64,
    bytes: u64,
    decoded: u64,
    dropped: BTreeMap<&'static str, u64>,
    imbalance: i64,
}

impl From<&Counts> for Datagrams {
    fn from(total: &Counts) -> Self {
        Self {
            received: total.datagrams_received,
            bytes: total.octets_received,
            decoded: total.tally.datagrams.iter().sum(),
            dropped: counted(DecodeError::ALL.map(DecodeError::name), &total.datagrams_discarded),
            imbalance: total.imbalance(),
        }
    }
}

/// A UDP socket of a worker.
#[derive(Debug, Serialize)]
pub struct Socket {
    listen: String,
    worker: usize,
    queued_bytes: u32,
    capacity_bytes: u32,
    buffer_bytes: usize,
    buffer_asked_bytes: usize,
    dropped_datagrams: u64,
    gro: bool,
}

impl From<&SocketReport> for Socket {
    fn from(socket: &SocketReport) -> Self {
        Self {
            listen: socket.local.to_string(),
            worker: socket.worker,
            queued_bytes: socket.stats.queued,
            capacity_bytes: socket.stats.capacity,
            buffer_bytes: socket.buffer_granted,
            buffer_asked_bytes: socket.buffer_asked,
            dropped_datagrams: socket.stats.dropped,
            gro: socket.gro,
        }
    }
}

/// What is passed on to other collectors.
#[derive(Debug, Serialize)]
pub struct Relay {
    destinations: Vec<Destination>,
    /// Datagrams that were sent to no destination because the queue was full.
    left_out: u64,
}

#[derive(Debug, Serialize)]
struct Destination {
    to: String,
    source: RelaySource,
    sent: u64,
    sent_bytes: u64,
    failures: BTreeMap<&'static str, u64>,
}

impl From<&RelayStats> for Relay {
    fn from(stats: &RelayStats) -> Self {
        let destinations = stats.destinations.iter().map(|destination| Destination {
            to: destination.to.to_string(),
            source: destination.source,
            sent: destination.sent,
            sent_bytes: destination.sent_octets,
            failures: counted(Failure::ALL.map(Failure::name), &destination.failed),
        });
        Self { destinations: destinations.collect(), left_out: stats.left_out }
    }
}

/// An exporter that sent nothing for so many milliseconds is silent: as in the example of an alert in docs/metrics.md.
pub const SILENT_AFTER_MS: i64 = 600_000;

helios_metrics::label_set! {
    /// How an exporter is, the worst state first.
    #[derive(PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum State {
        Silent = "silent",
        WaitsForTemplate = "waits_for_template",
        Ok = "ok",
    }
}

impl State {
    /// The state at `now`.
    pub fn of(exporter: &ExporterStats, now: UnixMs) -> Self {
        if now - exporter.stats.last_seen > SILENT_AFTER_MS {
            Self::Silent
        } else if exporter.stats.waits_for_template_since.is_some() {
            Self::WaitsForTemplate
        } else {
            Self::Ok
        }
    }
}

/// A sender whose datagrams were discarded.
#[derive(Debug, Serialize)]
pub struct Refused {
    address: String,
    reason: &'static str,
    datagrams: u64,
    first_seen: String,
    last_seen: String,
}

impl From<&RefusedSender> for Refused {
    fn from(sender: &RefusedSender) -> Self {
        Self {
            address: ip_of(sender.address).to_string(),
            reason: sender.reason.name(),
            datagrams: sender.datagrams,
            first_seen: Utc(sender.first_seen).to_string(),
            last_seen: Utc(sender.last_seen).to_string(),
        }
    }
}

/// What an exporter sent and what became of it.
#[derive(Debug, Serialize)]
pub struct Exporter {
    /// Names of the protocols that it speaks.
    pub protocols: Vec<&'static str>,
    /// What it sends over: udp, tcp, tls.
    transports: Vec<&'static str>,
    observation_domains: usize,
    /// Addresses that its datagrams come from.
    senders: usize,
    templates: usize,
    /// Template ids that its source ports define differently: each port's data is decoded by its own definition.
    disputed_templates: usize,
    /// Every counter of [`helios_collector::decode::tally`], by name: `datagrams`, `records`, `rows`, ...
    #[serde(flatten)]
    pub counts: BTreeMap<&'static str, u64>,
    /// Bytes of its flows, each multiplied by its sampling interval.
    estimated_bytes: u64,
    held_sets: Held,
    /// Since when all of its data waits for templates.
    waits_for_template_since: Option<String>,
    /// Datagrams discarded, by reason.
    dropped: BTreeMap<&'static str, u64>,
    /// What never arrived, by protocol and in the unit that its sequence numbers count: flows, messages, records or datagrams.
    lost: BTreeMap<&'static str, u64>,
    /// Set if sequence numbers of a session count in no known unit: its loss is unknown then.
    loss_note: Option<&'static str>,
    /// Messages that came late, and twice; sequences that began anew.
    reordered: u64,
    duplicates: u64,
    restarts: u64,
    /// The exporter's clock minus this host's.
    clock_skew_ms: i64,
    sampling: Sampling,
    first_seen: String,
    last_seen: String,
}

/// N of 1-in-N packets: as announced last, and as the sample pools of an sFlow agent have it. 0 is unknown.
#[derive(Debug, Serialize)]
struct Sampling {
    announced_interval: u32,
    effective_interval: u32,
    /// Samples that the agent itself had to drop.
    dropped_samples: u64,
}

/// Data sets that came before their template.
#[derive(Debug, Serialize)]
struct Held {
    held: u64,
    decoded: u64,
    expired: u64,
    evicted: u64,
}

impl From<&ExporterStats> for Exporter {
    fn from(exporter: &ExporterStats) -> Self {
        let (stats, held) = (&exporter.stats, &exporter.held_sets);
        let spoken = Protocol::ALL.iter().zip(stats.tally.datagrams).filter(|(_, messages)| *messages > 0);
        let transports = Transport::ALL.iter().zip(exporter.transports).filter(|(_, used)| *used);
        let lost = exporter.loss.map(|loss| loss.lost);
        let loss = exporter.loss_total();
        Self {
            protocols: spoken.map(|(protocol, _)| protocol.name()).collect(),
            transports: transports.map(|(transport, _)| transport.name()).collect(),
            observation_domains: exporter.domains,
            senders: exporter.senders,
            templates: exporter.templates,
            disputed_templates: exporter.templates_disputed,
            counts: stats.tally.fields().collect(),
            estimated_bytes: stats.estimated_octets,
            held_sets: Held { held: held.held, decoded: held.decoded, expired: held.expired, evicted: held.evicted },
            waits_for_template_since: stats.waits_for_template_since.map(|since| Utc(since).to_string()),
            dropped: counted(DecodeError::ALL.map(DecodeError::name), &stats.discarded),
            lost: counted(Protocol::ALL.map(Protocol::name), &lost),
            loss_note: (exporter.unfit_sequences > 0).then_some("unit does not fit"),
            reordered: loss.reordered,
            duplicates: loss.duplicates,
            restarts: loss.restarts,
            clock_skew_ms: exporter.clock_skew_ms,
            sampling: Sampling {
                announced_interval: exporter.sampling_interval,
                effective_interval: exporter.metered.effective_interval(),
                dropped_samples: exporter.metered.drops,
            },
            first_seen: Utc(stats.first_seen).to_string(),
            last_seen: Utc(stats.last_seen).to_string(),
        }
    }
}
