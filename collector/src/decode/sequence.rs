//! Loss on the way from exporter to collector, by the sequence numbers of the messages.
//!
//! | protocol | the sequence counts | a message takes |
//! |---|---|---|
//! | NetFlow v5, v7 | flows, per engine | its record count |
//! | NetFlow v9 (RFC 3954 §5.1) | messages, per source id | 1 |
//! | IPFIX (RFC 7011 §3.1) | data records, options data included, per domain and transport session | its records |
//! | sFlow v5 | datagrams, per sub-agent | 1 |
//!
//! A number ahead of the expected one is a gap: its units count as lost until they turn up late. A number behind is a
//! late message if it fills a gap, else a duplicate. A jump too far for either is a restart. While a template is
//! missing, the number of records of an IPFIX message is unknown: the next message sets the expectation anew.
//!
//! Some exporters number something else than their protocol says: messages instead of flows (Open vSwitch), flows and
//! templates, or a message's own flows already in its number (softflowd). What each of these units would have expected is
//! compared with what came. A difference that another unit explains is no loss yet; when that unit has explained
//! [`RECOGNISED`] messages in a row, the session is counted by it. Where no unit explains any of [`UNEXPLAINED`]
//! messages, the unit does not fit: what they had lost by it is taken back, nothing more counts as lost, and the exporter's
//! state says so.

/// Gaps that late messages can still fill. Reordering on real paths spans a few messages.
const REMEMBERED_GAPS: usize = 8;

/// A jump of more units than this is a restart: at 100,000 records a second it is ten seconds without a message.
const MAX_GAP: u32 = 1 << 20;

/// A number this far behind is an old message, beyond it a restart.
const MAX_LATE: u32 = 1 << 16;

/// Messages in a row that a unit has to explain to be taken for the session's.
const RECOGNISED: u8 = 4;

/// Messages in a row that no unit explains, after which none fits. A path that loses 93 of 100 messages has as many once
/// in a hundred times.
const UNEXPLAINED: u8 = 64;

/// What a message holds, in the units that exporters number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Units {
    /// What the protocol numbers.
    pub own: u32,
    /// Flow records without options data.
    pub data_records: u32,
    /// Records of any kind, and templates.
    pub all_records: u32,
}

impl Units {
    /// Of a protocol that numbers messages, or of one without records of other kinds.
    pub(super) const fn of(own: u32) -> Self {
        Self { own, data_records: own, all_records: own }
    }
}

/// What a session's numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Unit {
    /// What the protocol says.
    #[default]
    Own,
    Messages,
    DataRecords,
    AllRecords,
    /// What the protocol says, the message's own included.
    OwnIncluded,
    DataRecordsIncluded,
}

impl Unit {
    const ALL: [Self; 6] =
        [Self::Own, Self::Messages, Self::DataRecords, Self::AllRecords, Self::OwnIncluded, Self::DataRecordsIncluded];

    /// How far the number goes from a message to the next one.
    const fn step(self, before: Units, now: Units) -> u32 {
        match self {
            Self::Own => before.own,
            Self::Messages => 1,
            Self::DataRecords => before.data_records,
            Self::AllRecords => before.all_records,
            Self::OwnIncluded => now.own,
            Self::DataRecordsIncluded => now.data_records,
        }
    }

    const fn is_included(self) -> bool {
        matches!(self, Self::OwnIncluded | Self::DataRecordsIncluded)
    }

    /// What a message adds behind its number.
    const fn behind(self, now: Units) -> u32 {
        match self {
            Self::Messages => 1,
            Self::OwnIncluded | Self::DataRecordsIncluded => 0,
            unit => unit.step(now, now),
        }
    }

    /// What of a message is in front of its number.
    const fn before(self, now: Units) -> u32 {
        match self {
            Self::OwnIncluded | Self::DataRecordsIncluded => self.step(now, now),
            _ => 0,
        }
    }
}

helios_metrics::counters! {
    /// What the numbers said so far. Units are the protocol's: flows, messages, data records or datagrams.
    pub struct LossCounts {
        /// Units that never came. A late message takes a loss back.
        pub lost,
        /// Messages that came late and filled a gap.
        pub reordered,
        /// Messages that came twice.
        pub duplicates,
        /// Jumps too far for a gap or a late message: the exporter numbers from another start.
        pub restarts,
    }
}

/// Missing units: `length` of them from `start` on.
#[derive(Debug, Clone, Copy, Default)]
struct Gap {
    start: u32,
    length: u32,
}

/// The numbers of one stream of messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Sequence {
    expected: Option<u32>,
    gaps: [Gap; REMEMBERED_GAPS],
    next_gap: usize,
    unit: Unit,
    /// The last message in order of arrival.
    latest: Option<(u32, Units)>,
    /// Messages in a row that each unit explained.
    explained: [u8; Unit::ALL.len()],
    /// Messages in a row that no unit explained.
    unexplained: u8,
    /// What those had lost by the session's unit.
    unexplained_lost: u64,
    /// Differences that another unit explains: they count when that turns out not to be the session's.
    doubtful: LossCounts,
    pub counts: LossCounts,
}

impl Sequence {
    /// Takes note of a message with number `sequence` that held `units`; `None` if their number is unknown.
    pub(super) fn observe(&mut self, sequence: u32, units: Option<Units>) {
        self.explain(sequence, units);
        if self.unit_does_not_fit() {
            self.counts.lost = self.counts.lost.saturating_sub(std::mem::take(&mut self.unexplained_lost));
            self.expected = None;
            return;
        }
        let own = units.map(|units| (self.unit.before(units), self.unit.behind(units)));
        let (first, counted) = own.map_or((sequence, None), |(before, behind)| {
            (sequence.wrapping_sub(before), Some(before.wrapping_add(behind)))
        });
        let before = self.counts;
        self.follow(first, counted);
        if self.counts != before && self.is_explained_otherwise() {
            self.doubtful.add(&self.counts.since(&before));
            self.counts = before;
        }
        let lost = self.unexplained_lost + self.counts.lost.saturating_sub(before.lost);
        self.unexplained_lost = if self.unexplained > 0 { lost } else { 0 };
    }

    /// Whether the numbers count nothing that a message is known to hold.
    pub(super) const fn unit_does_not_fit(&self) -> bool {
        self.unexplained >= UNEXPLAINED
    }

    /// Whether the number of the last message was wrong for the session's unit, and right for another.
    fn is_explained_otherwise(&self) -> bool {
        self.explained(self.unit) == 0 && self.explained.iter().any(|&messages| messages > 0)
    }

    fn explained(&self, unit: Unit) -> u8 {
        self.explained.get(unit as usize).copied().unwrap_or(0)
    }

    /// Compares what came with what each unit would have expected, and takes another unit if it explains more.
    fn explain(&mut self, sequence: u32, units: Option<Units>) {
        let Some(now) = units else {
            self.latest = None;
            return;
        };
        let Some((before, held)) = self.latest.replace((sequence, now)) else { return };
        let went = sequence.wrapping_sub(before);
        let mut any = false;
        for (unit, messages) in Unit::ALL.into_iter().zip(&mut self.explained) {
            let is_right = went == unit.step(held, now);
            any |= is_right;
            *messages = if is_right { messages.saturating_add(1) } else { 0 };
        }
        self.unexplained = if any { 0 } else { self.unexplained.saturating_add(1) };
        if self.explained(self.unit) > 0 {
            // Right, and not only because other units would have expected the same.
            if self.explained.iter().all(|&messages| messages == 0 || messages <= self.explained(self.unit)) {
                self.counts.add(&std::mem::take(&mut self.doubtful));
            }
            return;
        }
        let recognised = Unit::ALL.into_iter().find(|&unit| self.explained(unit) >= RECOGNISED);
        if let Some(unit) = recognised {
            // What the wrong unit made of its numbers was none of it.
            self.doubtful = LossCounts::default();
            self.unit = unit;
            self.gaps = Default::default();
            self.expected = Some(sequence.wrapping_sub(unit.before(now)));
        }
    }

    /// Follows messages whose first unit has the number `sequence`.
    fn follow(&mut self, sequence: u32, units: Option<u32>) {
        let Some(expected) = self.expected else {
            self.expected = units.map(|units| sequence.wrapping_add(units));
            return;
        };
        let ahead = sequence.wrapping_sub(expected);
        let behind = expected.wrapping_sub(sequence);
        if ahead <= MAX_GAP {
            if ahead > 0 {
                self.open_gap(Gap { start: expected, length: ahead });
            }
            self.expected = units.map(|units| sequence.wrapping_add(units));
        } else if behind <= MAX_LATE {
            self.late(sequence, units.unwrap_or(0));
        } else {
            self.counts.restarts += 1;
            self.gaps = Default::default();
            self.expected = units.map(|units| sequence.wrapping_add(units));
        }
    }

    fn open_gap(&mut self, gap: Gap) {
        self.counts.lost += u64::from(gap.length);
        self.remember(gap);
    }

    /// Remembers a gap in place of the oldest one.
    fn remember(&mut self, gap: Gap) {
        if let Some(oldest) = self.gaps.get_mut(self.next_gap) {
            *oldest = gap;
        }
        self.next_gap = (self.next_gap + 1) % REMEMBERED_GAPS;
    }

    /// A message from before: it fills its part of a gap, or it came twice, or the exporter began anew near zero.
    fn late(&mut self, sequence: u32, units: u32) {
        let filled = self.gaps.iter_mut().find(|gap| sequence.wrapping_sub(gap.start) < gap.length);
        let Some(filled) = filled else {
            if sequence <= units {
                self.counts.restarts += 1;
                self.gaps = Default::default();
                self.expected = Some(sequence.wrapping_add(units));
            } else {
                self.counts.duplicates += 1;
            }
            return;
        };
        let gap = *filled;
        let offset = sequence.wrapping_sub(gap.start);
        let units = units.min(gap.length - offset);
        self.counts.lost = self.counts.lost.saturating_sub(u64::from(units));
        self.counts.reordered += 1;
        // What is left of the gap behind the message stays remembered, what lies before it if there is room.
        *filled = Gap { start: gap.start.wrapping_add(offset + units), length: gap.length - offset - units };
        if offset > 0 {
            self.remember(Gap { start: gap.start, length: offset });
        }
    }
}

/// Source ports of one domain whose numbers are followed: line cards of a device, or a restarted exporter.
const MAX_SESSIONS: usize = 8;

/// What the numbers of one domain take at the most.
pub(super) const MAX_SESSIONS_OCTETS: usize = MAX_SESSIONS * size_of::<(u16, Sequence)>();

/// The numbers of one observation domain, by transport session.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: Vec<(u16, Sequence)>,
    /// Of sessions that made room.
    past: LossCounts,
}

impl Sessions {
    /// Takes note of a message that came from `port`.
    pub(super) fn observe(&mut self, port: u16, sequence: u32, units: Option<Units>) {
        let at = match self.sessions.iter().position(|(known, _)| *known == port) {
            Some(at) => at,
            None => {
                if self.sessions.len() >= MAX_SESSIONS {
                    let (_, oldest) = self.sessions.remove(0);
                    self.past.add(&oldest.counts);
                }
                self.sessions.push((port, Sequence::default()));
                self.sessions.len() - 1
            }
        };
        if let Some((_, session)) = self.sessions.get_mut(at) {
            session.observe(sequence, units);
        }
    }

    /// Begins anew, with what was counted.
    pub(super) fn forget(&mut self) {
        *self = Self { sessions: Vec::new(), past: self.counts() };
    }

    /// Sessions whose numbers count nothing that is known here.
    pub(super) fn unfit(&self) -> usize {
        self.sessions.iter().filter(|(_, sequence)| sequence.unit_does_not_fit()).count()
    }

    /// The numbers that are expected next, by port. A number that includes the message's own units cannot be told before it.
    pub(super) fn expected(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        let told = self.sessions.iter().filter(|(_, sequence)| !sequence.unit.is_included());
        told.filter_map(|(port, sequence)| Some((*port, sequence.expected?)))
    }

    /// Expects a session to go on with `next`.
    pub(super) fn resume(&mut self, port: u16, next: u32) {
        if self.sessions.len() < MAX_SESSIONS {
            self.sessions.push((port, Sequence { expected: Some(next), ..Sequence::default() }));
        }
    }

    pub(super) fn counts(&self) -> LossCounts {
        let mut counts = self.past;
        self.sessions.iter().for_each(|(_, sequence)| counts.add(&sequence.counts));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observes messages of `units` each.
    fn observed(numbers: &[u32], units: u32) -> LossCounts {
        let mut sequence = Sequence::default();
        for &number in numbers {
            sequence.observe(number, Some(Units::of(units)));
        }
        sequence.counts
    }

    #[test]
    fn numbers_in_order_lose_nothing_also_over_the_wrap() {
        assert_eq!(observed(&[u32::MAX - 1, u32::MAX, 0, 1], 1), LossCounts::default());
        assert_eq!(observed(&[100, 130, 160], 30), LossCounts::default());
    }

    #[test]
    fn a_gap_is_loss_in_units() {
        assert_eq!(observed(&[0, 30, 120, 150], 30).lost, 60);
    }

    #[test]
    fn a_late_message_takes_its_loss_back() {
        let counts = observed(&[1, 2, 5, 3, 4, 6], 1);
        assert_eq!(counts, LossCounts { reordered: 2, ..LossCounts::default() });
        let counts = observed(&[1, 5, 3, 6], 1);
        assert_eq!(counts, LossCounts { lost: 2, reordered: 1, ..LossCounts::default() });
    }

    #[test]
    fn a_message_that_comes_twice_is_no_loss() {
        assert_eq!(observed(&[7, 8, 8, 9], 1), LossCounts { duplicates: 1, ..LossCounts::default() });
    }

    #[test]
    fn a_late_message_that_comes_twice_counts_once() {
        let counts = observed(&[1, 4, 2, 2, 5], 1);
        assert_eq!(counts, LossCounts { lost: 1, reordered: 1, duplicates: 1, restarts: 0 });
    }

    #[test]
    fn a_restart_is_neither_loss_nor_lateness() {
        assert_eq!(observed(&[3_000_000_000, 0, 1, 2], 1), LossCounts { restarts: 1, ..LossCounts::default() });
        assert_eq!(observed(&[5000, 5001, 0, 1, 2], 1), LossCounts { restarts: 1, ..LossCounts::default() });
    }

    #[test]
    fn an_unknown_number_of_records_sets_the_expectation_anew() {
        let mut sequence = Sequence::default();
        sequence.observe(10, Some(Units::of(5)));
        sequence.observe(15, None);
        sequence.observe(40, Some(Units::of(5)));
        sequence.observe(45, Some(Units::of(5)));
        assert_eq!(sequence.counts, LossCounts::default());
    }

    #[test]
    fn ports_of_one_domain_are_followed_apart() {
        let mut sessions = Sessions::default();
        for number in 0..10 {
            sessions.observe(1000, number, Some(Units::of(1)));
            sessions.observe(2000, number + 500_000, Some(Units::of(1)));
        }
        assert_eq!(sessions.counts(), LossCounts::default());
    }

    #[test]
    fn a_session_that_is_resumed_counts_what_was_lost_meanwhile() {
        let mut before = Sessions::default();
        before.observe(4000, 100, Some(Units::of(10)));
        let mut after = Sessions::default();
        before.expected().for_each(|(port, next)| after.resume(port, next));
        after.observe(4000, 150, Some(Units::of(10)));
        after.observe(4001, 7, Some(Units::of(10)));
        assert_eq!(after.counts(), LossCounts { lost: 40, ..LossCounts::default() });
    }

    #[test]
    fn a_session_that_makes_room_keeps_its_counts() {
        let mut sessions = Sessions::default();
        sessions.observe(1, 0, Some(Units::of(1)));
        sessions.observe(1, 11, Some(Units::of(1)));
        for port in 2..20 {
            sessions.observe(port, 0, Some(Units::of(1)));
        }
        assert_eq!(sessions.counts().lost, 10);
    }

    /// Records of each message, and the numbers that count up in another way.
    const RECORDS: [u32; 12] = [30, 7, 12, 30, 1, 22, 9, 30, 30, 5, 17, 2];

    fn numbered(step: impl Fn(u32, u32) -> u32) -> LossCounts {
        let mut sequence = Sequence::default();
        let (mut number, mut before) = (1000_u32, RECORDS[0]);
        for (at, &records) in RECORDS.iter().enumerate() {
            if at > 0 {
                number += step(before, records);
            }
            before = records;
            sequence.observe(number, Some(Units { own: records, data_records: records, all_records: records + 1 }));
        }
        sequence.counts
    }

    #[test]
    fn numbers_of_another_unit_are_no_loss() {
        assert_eq!(numbered(|before, _| before), LossCounts::default(), "as the protocol says");
        assert_eq!(numbered(|_, _| 1), LossCounts::default(), "messages");
        assert_eq!(numbered(|before, _| before + 1), LossCounts::default(), "records and templates");
        assert_eq!(numbered(|_, now| now), LossCounts::default(), "the message's own included");
    }

    #[test]
    fn loss_in_a_recognised_unit_counts_in_it() {
        let mut sequence = Sequence::default();
        for number in (0..20).chain(25..30) {
            sequence.observe(number, Some(Units::of(30 + number % 3)));
        }
        assert_eq!((sequence.unit, sequence.counts.lost), (Unit::Messages, 5));
    }

    #[test]
    fn a_loss_that_looks_like_another_unit_counts_when_the_own_one_goes_on() {
        // 20 flows were lost behind the second message: as many as the message behind the gap had.
        let mut sequence = Sequence::default();
        let mut number = 0;
        for (flows, lost) in [(10, 0), (10, 10), (20, 0), (30, 0), (10, 0), (30, 0)] {
            sequence.observe(number, Some(Units::of(flows)));
            number += flows + lost;
        }
        assert_eq!((sequence.unit, sequence.counts.lost), (Unit::Own, 10));
    }

    #[test]
    fn numbers_that_count_nothing_known_do_not_fit_and_lose_nothing() {
        let mut sequence = Sequence::default();
        // Numbers that are right, a gap of 30, and then nothing that a unit explains.
        let right = [0, 10, 20, 60, 70, 80];
        right.into_iter().for_each(|number| sequence.observe(number, Some(Units::of(10))));
        for n in 1..200_u32 {
            sequence.observe(n * 1500 + n % 7, Some(Units::of(10)));
        }
        assert!(sequence.unit_does_not_fit());
        assert_eq!(sequence.counts.lost, 30);
        let mut sessions = Sessions::default();
        (0..100).for_each(|n| sessions.observe(1, n * 999, Some(Units::of(10))));
        assert_eq!(sessions.unfit(), 1);
    }

    #[test]
    fn heavy_loss_is_loss_all_the_same() {
        let mut sequence = Sequence::default();
        let numbers = (0..1000_u32).filter(|n| n % 10 < 3);
        numbers.for_each(|n| sequence.observe(n * 24, Some(Units::of(24))));
        assert_eq!((sequence.unit_does_not_fit(), sequence.counts.lost), (false, 99 * 7 * 24));
    }
}
