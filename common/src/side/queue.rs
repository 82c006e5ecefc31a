//! The bounded way of side rows to the sink. A full queue drops what is offered, counted; nobody ever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{SideLedger, SideRows};
use crate::channel::{Closer, Received, Receiver, Sender, bounded};
use crate::ledger::DropReason;

/// Hand-overs that wait at most. A receive worker makes one per receive call, and the sink's thread does nothing but
/// take them.
pub const QUEUE_HAND_OVERS: usize = 256;

/// Rows that wait at most, some 300 octets each: 60 MB. The interfaces of a thousand switches tell theirs at once.
pub const QUEUE_ROWS: usize = 200_000;

/// The offering end; one for every thread that has rows.
#[derive(Debug, Clone)]
pub struct SideSender {
    rows: Sender<SideRows>,
    waiting: Arc<AtomicUsize>,
    ledger: Arc<SideLedger>,
}

/// The sink's end.
#[derive(Debug)]
pub struct SideReceiver {
    rows: Receiver<SideRows>,
    waiting: Arc<AtomicUsize>,
    ledger: Arc<SideLedger>,
}

/// What a receiver finds.
#[derive(Debug, PartialEq, Eq)]
pub enum ReceivedRows {
    /// Rows of one table.
    Rows(SideRows),
    /// Nothing came within the time.
    Quiet,
    /// The queue is empty, and every sender is gone or the queue is closed.
    Closed,
}

/// A queue of at most [`QUEUE_HAND_OVERS`] and [`QUEUE_ROWS`].
pub fn side_queue() -> (SideSender, SideReceiver) {
    let (sender, receiver) = bounded(QUEUE_HAND_OVERS);
    let ledger = Arc::new(SideLedger::default());
    let waiting = Arc::new(AtomicUsize::new(0));
    let sender = SideSender { rows: sender, waiting: Arc::clone(&waiting), ledger: Arc::clone(&ledger) };
    (sender, SideReceiver { rows: receiver, waiting, ledger })
}

impl SideSender {
    /// Offers rows; they are dropped and counted when the queue is full or the sink has gone.
    pub fn offer(&self, rows: impl Into<SideRows>) {
        let rows = rows.into();
        if rows.is_empty() {
            return;
        }
        let (table, n_rows) = (rows.table(), rows.len());
        // Booked first: the sink may have stored them before this call returns.
        self.ledger.offered(table, n_rows as u64);
        // A count and no lock: two senders at once may both be refused where one would have fit.
        let waiting = self.waiting.fetch_add(n_rows, Ordering::Relaxed) + n_rows;
        if waiting > QUEUE_ROWS || self.rows.try_send(rows).is_err() {
            self.waiting.fetch_sub(n_rows, Ordering::Relaxed);
            self.ledger.dropped(table, DropReason::ChannelFull, n_rows as u64);
        }
    }

    /// The accounts of the rows.
    pub fn ledger(&self) -> &Arc<SideLedger> {
        &self.ledger
    }
}

impl SideReceiver {
    /// Waits for rows for up to `wait`.
    pub fn receive(&self, wait: Duration) -> ReceivedRows {
        match self.rows.receive_within(wait) {
            Received::Item(rows) => {
                self.waiting.fetch_sub(rows.len(), Ordering::Relaxed);
                ReceivedRows::Rows(rows)
            }
            Received::Quiet => ReceivedRows::Quiet,
            Received::Closed => ReceivedRows::Closed,
        }
    }

    /// What closes the queue: rows that are offered afterwards are dropped and counted.
    pub fn closer(&self) -> Closer<SideRows> {
        self.rows.closer()
    }

    /// The accounts of the rows.
    pub fn ledger(&self) -> &Arc<SideLedger> {
        &self.ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side::{ExporterMinute, SideTable};

    #[test]
    fn a_full_queue_drops_what_is_offered_and_counts_it() {
        let (sender, receiver) = side_queue();
        for _ in 0..QUEUE_HAND_OVERS + 3 {
            sender.offer(vec![ExporterMinute::default(); 2]);
        }
        let accounts = sender.ledger().snapshot()[SideTable::Exporters as usize];
        let n = QUEUE_HAND_OVERS as u64;
        assert_eq!((accounts.offered, accounts.dropped_total(), accounts.in_flight()), (2 * n + 6, 6, 2 * n as i64));
        drop(sender);
        let mut received = 0;
        while let ReceivedRows::Rows(rows) = receiver.receive(Duration::ZERO) {
            received += rows.len() as u64;
        }
        assert_eq!((received, receiver.receive(Duration::ZERO)), (2 * n, ReceivedRows::Closed));
    }

    #[test]
    fn rows_are_bounded_however_few_hand_overs_they_come_in() {
        let (sender, receiver) = side_queue();
        sender.offer(vec![ExporterMinute::default(); QUEUE_ROWS + 1]);
        sender.offer(vec![ExporterMinute::default(); QUEUE_ROWS]);
        sender.offer(vec![ExporterMinute::default(); 1]);
        let accounts = || sender.ledger().snapshot()[SideTable::Exporters as usize];
        assert_eq!(accounts().dropped_total(), QUEUE_ROWS as u64 + 2);
        let ReceivedRows::Rows(rows) = receiver.receive(Duration::ZERO) else { unreachable!("rows wait") };
        assert_eq!(rows.len(), QUEUE_ROWS);
        sender.offer(vec![ExporterMinute::default(); 7]);
        assert_eq!(accounts().dropped_total(), QUEUE_ROWS as u64 + 2, "there is room again");
    }

    #[test]
    fn no_rows_are_no_hand_over() {
        let (sender, receiver) = side_queue();
        sender.offer(Vec::<ExporterMinute>::new());
        assert_eq!(receiver.receive(Duration::ZERO), ReceivedRows::Quiet);
    }
}
