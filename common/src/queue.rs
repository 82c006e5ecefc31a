//! Bounded queues of batches with a way back for the empty ones.
//!
//! A full queue never blocks the sender: it gets its batch back and decides what to drop. Emptied batches return
//! through a second channel, so that a running pipeline allocates none; when the sender finds no empty batch it
//! makes one, and the number of batches alive is bounded by both channels and the stages' hands.

use std::time::Duration;

use crate::channel::{self, Receiver, Sender, bounded};
use crate::flow::FlowBatch;

/// The sending end.
#[derive(Debug, Clone)]
pub struct BatchSender {
    full: Sender<FlowBatch>,
    empty: Receiver<FlowBatch>,
}

/// The receiving end.
#[derive(Debug, Clone)]
pub struct BatchReceiver {
    full: Receiver<FlowBatch>,
    empty: Sender<FlowBatch>,
}

/// What a receiver finds.
#[derive(Debug)]
pub enum Received {
    /// A batch of rows.
    Batch(FlowBatch),
    /// Nothing came within the time.
    Quiet,
    /// Every sender is gone and the queue is empty.
    Closed,
}

/// A queue of at most `batches` full batches.
pub fn bounded_queue(batches: usize) -> (BatchSender, BatchReceiver) {
    let (full_tx, full_rx) = bounded(batches);
    let (empty_tx, empty_rx) = bounded(batches + 2);
    (BatchSender { full: full_tx, empty: empty_rx }, BatchReceiver { full: full_rx, empty: empty_tx })
}

impl BatchSender {
    /// An empty batch: a returned one, or a new one.
    pub fn take_empty(&self) -> FlowBatch {
        self.empty.try_receive().unwrap_or_default()
    }

    /// Passes a batch on.
    ///
    /// # Errors
    /// The batch itself when the queue is full or the receiver has gone.
    #[allow(clippy::result_large_err)]
    pub fn send(&self, batch: FlowBatch) -> Result<(), FlowBatch> {
        self.full.try_send(batch)
    }

    /// Passes a batch on, waiting for room: for a stage behind which nothing can be lost by waiting.
    ///
    /// # Errors
    /// The batch itself when the receiver has gone.
    #[allow(clippy::result_large_err)]
    pub fn send_waiting(&self, batch: FlowBatch) -> Result<(), FlowBatch> {
        self.full.send(batch)
    }

    /// Batches waiting in the queue.
    pub fn len(&self) -> usize {
        self.full.len()
    }

    /// Whether no batch waits.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty()
    }
}

impl BatchReceiver {
    /// Waits for a batch for up to `wait`.
    pub fn receive(&self, wait: Duration) -> Received {
        match self.full.receive_within(wait) {
            channel::Received::Item(batch) => Received::Batch(batch),
            channel::Received::Quiet => Received::Quiet,
            channel::Received::Closed => Received::Closed,
        }
    }

    /// Empties a batch and sends it back; one too many is freed.
    pub fn give_back(&self, mut batch: FlowBatch) {
        batch.clear();
        let _ = self.empty.try_send(batch);
    }

    /// Batches that wait.
    pub fn len(&self) -> usize {
        self.full.len()
    }

    /// Whether no batch waits.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::BYTES;
    use crate::exporter::ExporterId;

    fn batch(rows: usize) -> FlowBatch {
        let mut batch = FlowBatch::new();
        batch.fill(BYTES, rows, 1);
        batch.advance(rows, ExporterId(0));
        batch
    }

    #[test]
    fn a_full_queue_hands_the_batch_back() {
        let (sender, receiver) = bounded_queue(1);
        sender.send(batch(1)).unwrap();
        assert_eq!(sender.send(batch(2)).unwrap_err().rows(), 2);
        assert!(matches!(receiver.receive(Duration::ZERO), Received::Batch(b) if b.rows() == 1));
        assert!(matches!(receiver.receive(Duration::ZERO), Received::Quiet));
    }

    #[test]
    fn empty_batches_come_back_with_their_memory() {
        let (sender, receiver) = bounded_queue(2);
        receiver.give_back(batch(100));
        let mut again = sender.take_empty();
        assert!(again.is_empty());
        assert!(again.open(BYTES).capacity() >= 100);
    }

    #[test]
    fn closed_means_every_sender_is_gone_and_nothing_is_left() {
        let (sender, receiver) = bounded_queue(2);
        sender.send(batch(3)).unwrap();
        drop(sender);
        assert!(matches!(receiver.receive(Duration::ZERO), Received::Batch(_)));
        assert!(matches!(receiver.receive(Duration::ZERO), Received::Closed));
    }
}
