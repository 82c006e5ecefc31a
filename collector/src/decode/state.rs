//! What a decoder keeps per exporter and observation domain, and counts of it.

use helios_common::exporter::{Address, ExporterId};
use helios_common::time::UnixMs;

use super::options::Tables;
use super::pending::{HeldCounts, Pending};
use super::sequence::{LossCounts, Sessions};
use super::template::TemplateStore;
use super::{DecodeError, Decoded, Protocol};

/// Observation domains per exporter: a large chassis has one per line card, a probe one per port.
const MAX_DOMAINS: usize = 256;

/// One exporter.
#[derive(Debug)]
pub(super) struct Exporter {
    pub id: ExporterId,
    pub address: Address,
    pub domains: Vec<Domain>,
    /// Templates of all domains.
    pub templates: usize,
    pub tables: Tables,
    pub stats: Stats,
}

/// One observation domain of one version.
#[derive(Debug)]
pub(super) struct Domain {
    pub protocol: Protocol,
    pub id: u32,
    pub templates: TemplateStore,
    pub pending: Pending,
    pub sessions: Sessions,
    /// Templates of the current message that sets may have waited for.
    pub arrived: Vec<u16>,
}

impl Exporter {
    pub fn new(id: ExporterId, address: Address, now: UnixMs) -> Self {
        let stats = Stats { first_seen: now, last_seen: now, ..Stats::default() };
        Self { id, address, domains: Vec::new(), templates: 0, tables: Tables::default(), stats }
    }

    /// Whether there is something new to save since the last time this was asked.
    pub fn take_changed(&mut self) -> bool {
        let mut changed = std::mem::take(&mut self.tables.changed);
        for domain in &mut self.domains {
            changed |= std::mem::take(&mut domain.templates.changed);
        }
        changed
    }

    pub fn snapshot(&self) -> ExporterStats {
        let mut held = HeldCounts::default();
        let mut loss = [LossCounts::default(); Protocol::ALL.len()];
        for domain in &self.domains {
            if let Some(at) = Protocol::ALL.iter().position(|&protocol| protocol == domain.protocol) {
                loss[at].add(&domain.sessions.counts());
            }
            held.held += domain.pending.counts.held;
            held.decoded += domain.pending.counts.decoded;
            held.expired += domain.pending.counts.expired;
            held.evicted += domain.pending.counts.evicted;
        }
        ExporterStats {
            address: self.address,
            stats: self.stats,
            domains: self.domains.len(),
            templates: self.templates,
            templates_evicted: self.domains.iter().map(|domain| domain.templates.evicted).sum(),
            templates_refused: self.domains.iter().map(|domain| domain.templates.refused).sum(),
            held_sets: held,
            loss,
        }
    }
}

/// The domain of a message. Devices have few: a scan beats a hash.
pub(super) fn domain(domains: &mut Vec<Domain>, protocol: Protocol, id: u32) -> Result<&mut Domain, DecodeError> {
    let at = match domains.iter().position(|domain| domain.id == id && domain.protocol == protocol) {
        Some(at) => at,
        None if domains.len() >= MAX_DOMAINS => return Err(DecodeError::TooManyDomains),
        None => {
            domains.push(Domain {
                protocol,
                id,
                templates: TemplateStore::default(),
                pending: Pending::default(),
                sessions: Sessions::default(),
                arrived: Vec::new(),
            });
            domains.len() - 1
        }
    };
    Ok(&mut domains[at])
}

/// Counts of one exporter since it was first seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub first_seen: UnixMs,
    pub last_seen: UnixMs,
    /// Messages decoded, indexed as [`Protocol::ALL`].
    pub messages: [u64; 5],
    pub data_records: u64,
    pub options_records: u64,
    pub rows: u64,
    pub template_definitions: u64,
    pub sets_without_template: u64,
    /// Messages discarded, indexed as [`DecodeError::ALL`].
    pub discarded: [u64; DecodeError::ALL.len()],
}

impl Stats {
    pub(super) fn decoded(&mut self, decoded: &Decoded, now: UnixMs) {
        self.last_seen = now;
        if let Some(at) = Protocol::ALL.iter().position(|&protocol| protocol == decoded.protocol) {
            self.messages[at] += 1;
        }
        self.data_records += u64::from(decoded.data_records + decoded.held_records);
        self.options_records += u64::from(decoded.options_records);
        self.rows += u64::from(decoded.rows);
        self.template_definitions += u64::from(decoded.templates + decoded.options_templates);
        self.sets_without_template += u64::from(decoded.sets_without_template);
    }

    pub(super) fn discarded(&mut self, error: DecodeError, now: UnixMs) {
        self.last_seen = now;
        if let Some(at) = DecodeError::ALL.iter().position(|&known| known == error) {
            self.discarded[at] += 1;
        }
    }
}

/// An exporter as metrics and the API show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExporterStats {
    pub address: Address,
    pub stats: Stats,
    pub domains: usize,
    /// Templates that are known now.
    pub templates: usize,
    pub templates_evicted: u64,
    pub templates_refused: u64,
    pub held_sets: HeldCounts,
    /// By sequence numbers, in the units of each protocol; indexed as [`Protocol::ALL`].
    pub loss: [LossCounts; Protocol::ALL.len()],
}
