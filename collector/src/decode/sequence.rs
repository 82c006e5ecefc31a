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
//! missing, nobody knows how many records an IPFIX message had: the next message sets the expectation anew.

/// Gaps that late messages can still fill. Reordering on real paths spans a few messages.
const REMEMBERED_GAPS: usize = 8;

/// A jump of more units than this is a restart: at 100,000 records a second it is ten seconds without a message.
const MAX_GAP: u32 = 1 << 20;

/// A number this far behind is an old message, beyond it a restart.
const MAX_LATE: u32 = 1 << 16;

/// What the numbers said so far. Units are the protocol's: flows, messages, data records or datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossCounts {
    /// Units that never came.
    pub lost: u64,
    /// Messages that came late and filled a gap.
    pub reordered: u64,
    /// Messages that came twice.
    pub duplicates: u64,
    pub restarts: u64,
}

impl LossCounts {
    pub fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.duplicates += other.duplicates;
        self.restarts += other.restarts;
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
pub struct Sequence {
    expected: Option<u32>,
    gaps: [Gap; REMEMBERED_GAPS],
    next_gap: usize,
    pub counts: LossCounts,
}

impl Sequence {
    /// Takes note of a message with number `sequence` that took `units`; `None` if nobody knows how many.
    pub fn observe(&mut self, sequence: u32, units: Option<u32>) {
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
        self.gaps[self.next_gap] = gap;
        self.next_gap = (self.next_gap + 1) % REMEMBERED_GAPS;
    }

    /// A message from before: it fills its part of a gap, or it came twice, or the exporter began anew near zero.
    fn late(&mut self, sequence: u32, units: u32) {
        let filled = self.gaps.iter().position(|gap| sequence.wrapping_sub(gap.start) < gap.length);
        let Some(at) = filled else {
            if sequence <= units {
                self.counts.restarts += 1;
                self.gaps = Default::default();
                self.expected = Some(sequence.wrapping_add(units));
            } else {
                self.counts.duplicates += 1;
            }
            return;
        };
        let gap = self.gaps[at];
        let offset = sequence.wrapping_sub(gap.start);
        let units = units.min(gap.length - offset);
        self.counts.lost = self.counts.lost.saturating_sub(u64::from(units));
        self.counts.reordered += 1;
        // What is left of the gap behind the message stays remembered, what lies before it if there is room.
        self.gaps[at] = Gap { start: gap.start.wrapping_add(offset + units), length: gap.length - offset - units };
        if offset > 0 {
            self.gaps[self.next_gap] = Gap { start: gap.start, length: offset };
            self.next_gap = (self.next_gap + 1) % REMEMBERED_GAPS;
        }
    }
}

/// Source ports of one domain whose numbers are followed: line cards of a device, or a restarted exporter.
const MAX_SESSIONS: usize = 8;

/// What the numbers of one domain take at the most.
pub(super) const MAX_SESSIONS_OCTETS: usize = MAX_SESSIONS * size_of::<(u16, Sequence)>();

/// The numbers of one observation domain, by transport session.
#[derive(Debug, Default)]
pub struct Sessions {
    sessions: Vec<(u16, Sequence)>,
    /// Of sessions that made room.
    past: LossCounts,
}

impl Sessions {
    pub fn observe(&mut self, port: u16, sequence: u32, units: Option<u32>) {
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
        self.sessions[at].1.observe(sequence, units);
    }

    /// The numbers that are expected next, by port.
    pub fn expected(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        self.sessions.iter().filter_map(|(port, sequence)| Some((*port, sequence.expected?)))
    }

    /// Expects a session to go on with `next`.
    pub fn resume(&mut self, port: u16, next: u32) {
        if self.sessions.len() < MAX_SESSIONS {
            self.sessions.push((port, Sequence { expected: Some(next), ..Sequence::default() }));
        }
    }

    pub fn counts(&self) -> LossCounts {
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
            sequence.observe(number, Some(units));
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
        sequence.observe(10, Some(5));
        sequence.observe(15, None);
        sequence.observe(40, Some(5));
        sequence.observe(45, Some(5));
        assert_eq!(sequence.counts, LossCounts::default());
    }

    #[test]
    fn ports_of_one_domain_are_followed_apart() {
        let mut sessions = Sessions::default();
        for number in 0..10 {
            sessions.observe(1000, number, Some(1));
            sessions.observe(2000, number + 500_000, Some(1));
        }
        assert_eq!(sessions.counts(), LossCounts::default());
    }

    #[test]
    fn a_session_that_is_resumed_counts_what_was_lost_meanwhile() {
        let mut before = Sessions::default();
        before.observe(4000, 100, Some(10));
        let mut after = Sessions::default();
        before.expected().for_each(|(port, next)| after.resume(port, next));
        after.observe(4000, 150, Some(10));
        after.observe(4001, 7, Some(10));
        assert_eq!(after.counts(), LossCounts { lost: 40, ..LossCounts::default() });
    }

    #[test]
    fn a_session_that_makes_room_keeps_its_counts() {
        let mut sessions = Sessions::default();
        sessions.observe(1, 0, Some(1));
        sessions.observe(1, 11, Some(1));
        for port in 2..20 {
            sessions.observe(port, 0, Some(1));
        }
        assert_eq!(sessions.counts().lost, 10);
    }
}
