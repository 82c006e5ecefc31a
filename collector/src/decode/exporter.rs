//! What a decoder keeps of each exporter, and what it counts of it.

use helios_common::columns::{BYTES, SAMPLING_INTERVAL};
use helios_common::exporter::{Address, ExporterId};
use helios_common::flow::FlowBatch;
use helios_common::time::UnixMs;

use super::budget::{SMALLEST_TABLE_OCTETS, hashed_with_removals};
use super::by_hand::ByHand;
use super::domain::Domain;
use super::minute::Last;
use super::options::Tables;
use super::pending::HeldCounts;
use super::sequence::LossCounts;
use super::sflow5::Metered;
use super::tally::Tally;
use super::{DecodeError, Decoded, Protocol, Transport};

/// A slot of the table of exporters, as it is accounted for.
pub(super) const EXPORTER_SLOT_OCTETS: usize = hashed_with_removals(size_of::<([u8; 16], Exporter)>());

/// What an exporter takes, with the smallest size that each of its tables may have, and its first domains: a vector begins
/// with room for four.
pub(super) const EXPORTER_OCTETS: usize = EXPORTER_SLOT_OCTETS + 4 * size_of::<Domain>() + 9 * SMALLEST_TABLE_OCTETS;

/// One exporter.
#[derive(Debug)]
pub(super) struct Exporter {
    pub id: ExporterId,
    pub address: Address,
    /// Where its first datagram came from.
    pub socket: Address,
    pub domains: Vec<Domain>,
    /// Templates of all domains, and what they take if none shares its definition.
    pub templates: usize,
    pub template_octets: usize,
    /// When it was first seen; `i64::MIN` if it was known before a restart.
    pub known_since: UnixMs,
    /// Octets that the held sets of all domains cost.
    pub held_octets: usize,
    pub tables: Tables,
    /// Sampling intervals that the configuration sets for it.
    pub by_hand: Option<Box<ByHand>>,
    pub stats: Stats,
}

impl Exporter {
    pub(super) fn new(id: ExporterId, address: Address, socket: Address, now: UnixMs) -> Self {
        let stats = Stats { first_seen: now, last_seen: now, ..Stats::default() };
        Self {
            id,
            address,
            socket,
            domains: Vec::new(),
            templates: 0,
            template_octets: 0,
            known_since: now,
            held_octets: 0,
            tables: Tables::default(),
            by_hand: None,
            stats,
        }
    }

    /// Whether there is something new to save since the last time this was asked.
    pub(super) fn take_changed(&mut self) -> bool {
        let mut changed = std::mem::take(&mut self.tables.changed);
        for domain in &mut self.domains {
            changed |= std::mem::take(&mut domain.templates.changed);
        }
        changed
    }

    /// Forgets what is too old: held sets, and templates that were last defined before `oldest_template`.
    pub(super) fn expire(&mut self, now: UnixMs, oldest_template: Option<UnixMs>) {
        for domain in &mut self.domains {
            domain.pending.expire(now);
            if let Some(oldest) = oldest_template {
                domain.templates.expire(oldest);
            }
        }
        self.templates = self.domains.iter().map(|domain| domain.templates.n_definitions()).sum();
        self.template_octets = self.domains.iter().map(|domain| domain.templates.octets()).sum();
        self.held_octets = self.domains.iter().map(|domain| domain.pending.octets()).sum();
    }

    /// The domains that have something to report, with the exporter's address.
    pub(super) fn due(&mut self) -> impl Iterator<Item = (Address, &mut Domain)> {
        let address = self.address;
        self.domains.iter_mut().filter(|domain| domain.minutes.unreported() > 0).map(move |domain| (address, domain))
    }

    /// Addresses that its messages come from.
    fn n_senders(&self) -> usize {
        let is_first = |at: usize, socket| !self.domains.iter().take(at).any(|domain| domain.socket == socket);
        self.domains.iter().enumerate().filter(|(at, domain)| is_first(*at, domain.socket)).count()
    }

    #[expect(clippy::indexing_slicing, reason = "an array of `ALL.len()` values has every `place`")]
    pub(super) fn snapshot(&self, transport: Transport) -> ExporterStats {
        let mut held = HeldCounts::default();
        let mut loss = [LossCounts::default(); Protocol::ALL.len()];
        let (mut last, mut metered) = (Last::default(), Metered::default());
        for domain in &self.domains {
            loss[domain.protocol.place()].add(&domain.sessions.counts());
            metered.add(&domain.minutes.metered());
            if domain.minutes.last.seen >= last.seen {
                last = domain.minutes.last;
            }
            held.add(&domain.pending.counts);
        }
        ExporterStats {
            address: self.address,
            transports: Transport::ALL.map(|known| known == transport),
            stats: self.stats,
            domains: self.domains.len(),
            senders: self.n_senders(),
            templates: self.templates,
            templates_evicted: self.domains.iter().map(|domain| domain.templates.evicted).sum(),
            templates_expired: self.domains.iter().map(|domain| domain.templates.expired).sum(),
            templates_alternated: self.domains.iter().map(|domain| domain.templates.alternated).sum(),
            templates_disputed: self.domains.iter().map(|domain| domain.templates.n_disputed()).sum(),
            unfit_sequences: self.domains.iter().map(|domain| domain.sessions.unfit()).sum(),
            templates_refused: self.domains.iter().map(|domain| domain.templates.refused).sum(),
            options_refused: self.tables.refused,
            held_sets: held,
            loss,
            clock_skew_ms: last.clock_skew_ms,
            sampling_interval: last.sampling_interval,
            metered,
        }
    }
}

/// Counts of one exporter since it was first seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub first_seen: UnixMs,
    pub last_seen: UnixMs,
    /// What became of its decoded messages.
    pub tally: Tally,
    /// Octets of the rows, each multiplied by its sampling interval: an estimate of the traffic.
    pub estimated_octets: u64,
    /// Since when all of its data waits for templates; `None` while data can be decoded.
    pub waits_for_template_since: Option<UnixMs>,
    /// Messages discarded, indexed as [`DecodeError::ALL`].
    pub discarded: [u64; DecodeError::ALL.len()],
}

impl Stats {
    /// Counts a message whose rows are the last of `out`.
    pub(super) fn decoded(&mut self, decoded: &Decoded, now: UnixMs, out: &FlowBatch) {
        self.last_seen = now;
        self.tally.count(decoded);
        self.estimated_octets = self.estimated_octets.saturating_add(estimated_octets(out, decoded.rows as usize));
        if decoded.data_records + decoded.held_records > 0 {
            self.waits_for_template_since = None;
        } else if decoded.sets_without_template > 0 {
            self.waits_for_template_since.get_or_insert(now);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.tally.add(&other.tally);
        self.estimated_octets = self.estimated_octets.saturating_add(other.estimated_octets);
        let waits = self.waits_for_template_since.into_iter().chain(other.waits_for_template_since);
        self.waits_for_template_since = waits.min();
        self.discarded.iter_mut().zip(other.discarded).for_each(|(mine, theirs)| *mine += theirs);
    }

    #[expect(clippy::indexing_slicing, reason = "an array of `ALL.len()` values has every `place`")]
    pub(super) fn discarded(&mut self, error: DecodeError, now: UnixMs) {
        self.last_seen = now;
        self.discarded[error.place()] += 1;
    }
}

/// Octets of the last rows of a batch, each multiplied by its sampling interval.
fn estimated_octets(out: &FlowBatch, rows: usize) -> u64 {
    let first = out.rows().saturating_sub(rows);
    let octets = out.values(BYTES).get(first..).unwrap_or_default();
    let intervals = out.values(SAMPLING_INTERVAL).get(first..).unwrap_or_default();
    // A column that ends early holds its default from there on, which is 1 for the interval.
    let scaled = octets.iter().zip(intervals.iter().chain(std::iter::repeat(&1)));
    scaled.fold(0, |sum, (&octets, &interval)| sum.saturating_add(octets.saturating_mul(u64::from(interval.max(1)))))
}

/// An exporter as metrics and the API show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExporterStats {
    /// Of an sFlow agent, the address that its messages name; of any other exporter, the one that they come from.
    pub address: Address,
    /// What its messages came over, indexed as [`Transport::ALL`].
    pub transports: [bool; Transport::ALL.len()],
    /// Messages, traffic and times since the exporter was first seen.
    pub stats: Stats,
    /// Observation domains that are known now; of NetFlow v5 engines, of sFlow sub-agents.
    pub domains: usize,
    /// Addresses that its messages come from: more than one for senders with one sFlow agent address.
    pub senders: usize,
    /// Templates that are known now.
    pub templates: usize,
    /// Templates that gave way to newer ones because no room was left.
    pub templates_evicted: u64,
    /// Templates that were not defined again in time.
    pub templates_expired: u64,
    /// Definitions of templates that no record could be read with, or that no room was left for.
    pub templates_refused: u64,
    /// Definitions of templates that went back to one that was there before.
    pub templates_alternated: u64,
    /// Template ids that ports define in different ways now.
    pub templates_disputed: usize,
    /// Sessions whose sequence numbers count nothing that is known: their loss is not known either.
    pub unfit_sequences: usize,
    /// Entries of options data that there was no room for.
    pub options_refused: u64,
    /// Data sets that came before their template.
    pub held_sets: HeldCounts,
    /// By sequence numbers, in the units of each protocol; indexed as [`Protocol::ALL`].
    pub loss: [LossCounts; Protocol::ALL.len()],
    /// The exporter's clock in its last message minus its arrival; 0 for sFlow.
    pub clock_skew_ms: i64,
    /// As announced last; 0 if it never was.
    pub sampling_interval: u32,
    /// What the sample pools of an sFlow agent say.
    pub metered: Metered,
}

impl ExporterStats {
    /// One that was seen and sent nothing.
    #[cfg(test)]
    pub(crate) fn new(address: Address, now: UnixMs) -> Self {
        Exporter::new(ExporterId(1), address, address, now).snapshot(Transport::Udp)
    }

    /// One that an earlier process has seen. What it sent over, and how much, is not known.
    pub(crate) fn silent(address: Address, first_seen: UnixMs, last_seen: UnixMs) -> Self {
        let mut stats = Exporter::new(ExporterId::default(), address, address, first_seen).snapshot(Transport::Udp);
        stats.transports = Default::default();
        stats.stats.last_seen = last_seen;
        stats
    }

    /// Of all protocols. What came late, came twice or began anew are messages in each of them; what was lost is not.
    pub fn loss_total(&self) -> LossCounts {
        let mut total = LossCounts::default();
        self.loss.iter().for_each(|loss| total.add(loss));
        total
    }

    /// What remains of it when its decoder forgets it: counts, and no state.
    pub(crate) fn past(&self) -> Self {
        let stats = Stats { waits_for_template_since: None, ..self.stats };
        Self { domains: 0, senders: 0, templates: 0, templates_disputed: 0, unfit_sequences: 0, stats, ..*self }
    }

    /// Adds what another worker saw of the same exporter.
    pub fn merge(&mut self, other: &Self) {
        if other.stats.last_seen > self.stats.last_seen {
            (self.clock_skew_ms, self.sampling_interval) = (other.clock_skew_ms, other.sampling_interval);
        }
        self.stats.merge(&other.stats);
        self.transports.iter_mut().zip(other.transports).for_each(|(mine, theirs)| *mine |= theirs);
        self.domains += other.domains;
        self.senders += other.senders;
        self.templates += other.templates;
        self.templates_evicted += other.templates_evicted;
        self.templates_expired += other.templates_expired;
        self.templates_refused += other.templates_refused;
        self.templates_alternated += other.templates_alternated;
        self.templates_disputed += other.templates_disputed;
        self.unfit_sequences += other.unfit_sequences;
        self.options_refused += other.options_refused;
        self.held_sets.add(&other.held_sets);
        self.loss.iter_mut().zip(&other.loss).for_each(|(mine, theirs)| mine.add(theirs));
        self.metered.add(&other.metered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::exporter::mapped;

    #[test]
    fn traffic_is_estimated_from_the_rows_of_the_message_alone() {
        let mut batch = FlowBatch::new();
        batch.open(BYTES).extend([1_000_000, 100, 200, 300]);
        batch.open(SAMPLING_INTERVAL).extend([1, 10, 0]);
        batch.advance(4, ExporterId(0));
        assert_eq!(estimated_octets(&batch, 3), 100 * 10 + 200 + 300, "an interval that is missing is 1");
        assert_eq!(estimated_octets(&batch, 0), 0);
        batch.open(BYTES).push(u64::MAX);
        batch.fill(SAMPLING_INTERVAL, 1, 2);
        batch.advance(1, ExporterId(0));
        assert_eq!(estimated_octets(&batch, 1), u64::MAX, "an absurd record does not wrap");
    }

    #[test]
    fn what_two_workers_saw_of_an_exporter_is_added_up() {
        let seen = |first_seen, last_seen, skew, interval| {
            let mut exporter = Exporter::new(ExporterId(1), mapped([192, 0, 2, 1]), mapped([192, 0, 2, 1]), first_seen)
                .snapshot(Transport::Udp);
            exporter.stats.last_seen = last_seen;
            exporter.stats.tally.datagrams[4] = 10;
            exporter.stats.discarded[1] = 1;
            exporter.loss[4] = LossCounts { lost: 2, reordered: 1, duplicates: 0, restarts: 0 };
            (exporter.clock_skew_ms, exporter.sampling_interval) = (skew, interval);
            exporter.metered = Metered { samples: 1, pool: 100, drops: 3 };
            exporter.held_sets.held = 5;
            exporter
        };
        let mut all = seen(50, 70, -10, 256);
        let other = ExporterStats { transports: [false, true, false], ..seen(40, 90, 30, 512) };
        all.merge(&other);
        assert_eq!(all.transports, [true, true, false]);
        assert_eq!((all.stats.first_seen, all.stats.last_seen), (40, 90));
        assert_eq!((all.stats.tally.datagrams[4], all.stats.discarded[1], all.held_sets.held), (20, 2, 10));
        assert_eq!(all.loss_total(), LossCounts { lost: 4, reordered: 2, duplicates: 0, restarts: 0 });
        assert_eq!((all.clock_skew_ms, all.sampling_interval), (30, 512), "the latest is what counts");
        assert_eq!(all.metered.drops, 6);
    }
}
