//! Audit entries on their way to ClickHouse. A server that is away delays no step: entries wait here, and go with the next ones.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::Entry;

/// Entries that wait at most: some 30 MB. They are on standard output in any case.
const ENTRIES_MAX: usize = 20_000;
/// After a failure the server is left alone for so long.
const PAUSE: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    /// Not before.
    next: Option<Instant>,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    pub(super) fn push(&self, entries: &[Entry]) {
        let mut waiting = self.lock();
        waiting.entries.extend(entries.iter().cloned());
        let over = waiting.entries.len().saturating_sub(ENTRIES_MAX);
        if over > 0 {
            waiting.entries.drain(..over);
            tracing::error!(
                entries = over,
                "ClickHouse is away for long; these audit entries are on standard output alone"
            );
        }
    }

    /// All that wait, where it is time to try.
    pub(super) fn due(&self, now: Instant) -> Vec<Entry> {
        let mut waiting = self.lock();
        if waiting.next.is_some_and(|next| now < next) {
            return Vec::new();
        }
        waiting.entries.drain(..).collect()
    }

    /// They could not be sent: they wait again, before what came meanwhile.
    pub(super) fn put_back(&self, entries: Vec<Entry>, now: Instant) {
        let mut waiting = self.lock();
        waiting.next = Some(now + PAUSE);
        for entry in entries.into_iter().rev() {
            waiting.entries.push_front(entry);
        }
    }

    /// The next try may come at once.
    pub(super) fn hurry(&self) {
        self.lock().next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: i64) -> Entry {
        Entry { number, ..Entry::default() }
    }

    #[test]
    fn what_could_not_be_sent_goes_with_the_next_ones_in_order() {
        let (outbox, now) = (Outbox::default(), Instant::now());
        outbox.push(&[entry(1), entry(2)]);
        let first = outbox.due(now);
        outbox.put_back(first, now);
        outbox.push(&[entry(3)]);
        assert_eq!(outbox.due(now), Vec::new());
        let numbers: Vec<i64> = outbox.due(now + PAUSE).iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(outbox.len(), 0);
    }
}
