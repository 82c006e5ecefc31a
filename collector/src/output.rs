//! From a receiving thread to the enricher: the open batch, booked and handed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_common::flow::FlowBatch;
use helios_common::ledger::{DropReason, Ledger, Stage};
use helios_common::queue::BatchSender;
use helios_common::side::SideSender;

/// The open batch and where it goes.
pub(crate) struct Output {
    sender: BatchSender,
    pub side: SideSender,
    ledger: Arc<Ledger>,
    pub batch: FlowBatch,
    /// Rows of the open batch that the ledger does not know yet.
    pub unbooked: u64,
    /// When it was first found with rows in it.
    opened: Option<Instant>,
}

impl Output {
    pub(crate) fn new(sender: BatchSender, side: SideSender, ledger: Arc<Ledger>) -> Self {
        let batch = sender.take_empty();
        Self { sender, side, ledger, batch, unbooked: 0, opened: None }
    }

    /// Whether the open batch has had rows for so long.
    pub(crate) fn is_due(&mut self, interval: Duration) -> bool {
        if self.batch.is_empty() {
            self.opened = None;
            return false;
        }
        self.opened.get_or_insert_with(Instant::now).elapsed() >= interval
    }

    /// Tells the ledger what was decoded since the last call.
    pub(crate) fn book(&mut self) {
        if self.unbooked > 0 {
            self.ledger.decoded(std::mem::take(&mut self.unbooked));
        }
    }

    /// Hands the open batch on. One that the queue does not take is dropped and counted: a UDP socket cannot wait.
    pub(crate) fn hand_on(&mut self) {
        let Some((full, rows)) = self.take_full() else { return };
        if let Err(mut refused) = self.sender.send(full) {
            self.ledger.dropped(Stage::Enrich, DropReason::ChannelFull, rows);
            refused.clear();
            self.batch = refused;
        }
    }

    /// Hands the open batch on and waits until the queue takes it: TCP makes the exporter wait meanwhile.
    pub(crate) fn hand_on_waiting(&mut self) {
        let Some((full, rows)) = self.take_full() else { return };
        if let Err(mut refused) = self.sender.send_waiting(full) {
            // The enricher has gone before its time: its own error stops the process.
            self.ledger.dropped(Stage::Enrich, DropReason::Shutdown, rows);
            refused.clear();
            self.batch = refused;
        }
    }

    /// The open batch, sealed and booked, with an empty one in its place; `None` if it has no rows.
    fn take_full(&mut self) -> Option<(FlowBatch, u64)> {
        self.book();
        self.opened = None;
        let rows = self.batch.rows() as u64;
        if rows == 0 {
            return None;
        }
        self.batch.seal();
        let full = std::mem::replace(&mut self.batch, self.sender.take_empty());
        // Booked before the batch is visible to the enricher, which books it onwards.
        self.ledger.moved(Stage::Collect, Stage::Enrich, rows);
        Some((full, rows))
    }
}
