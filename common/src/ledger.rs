//! The conservation of rows: decoded + recovered = stored + dropped{stage, reason} + in flight.
//!
//! In flight are rows in memory, rows in the spool and rows that are set aside there. Recovered are those that an
//! earlier process left in the spool: it had decoded them, this one has to store them.
//!
//! Double entry: a stage books every batch that it takes in and every batch that it lets go, with the rows it
//! counted itself. A batch that gets lost on the way stays in flight for ever, which shows after a drain;
//! a batch that is passed on twice makes a stage's holding negative, which shows at once. One lock per batch
//! of thousands of rows makes every snapshot consistent.

use std::sync::Mutex;

helios_metrics::label_set! {
    /// Where rows can be between decoder and acknowledgement, in the order of their way.
    pub enum Stage {
        /// In a receive worker's open batch.
        Collect = "collect",
        /// In the channel to the enricher, or with it.
        Enrich = "enrich",
        /// In the channel to the sink, or in a block that is still open.
        Block = "block",
        /// In a closed block in memory that ClickHouse has not acknowledged; the spool may hold it as well.
        Insert = "insert",
        /// In a closed block that only the spool holds.
        Spool = "spool",
        /// In a block that ClickHouse refused, set aside in the spool until somebody decides.
        Aside = "aside",
    }
}

helios_metrics::label_set! {
    /// Why rows were given up. The metric label set is closed.
    pub enum DropReason {
        /// The next stage's channel was full.
        ChannelFull = "channel_full",
        /// Memory for blocks that wait for ClickHouse was used up; the oldest block went.
        BacklogFull = "backlog_full",
        /// ClickHouse refused the block for good.
        Refused = "refused",
        /// The deadline of a stop passed before ClickHouse took the block.
        Shutdown = "shutdown",
        /// The spool was full; the oldest or the newest block went, as configured.
        SpoolFull = "spool_full",
        /// The block's file in the spool was not what had been written.
        Damaged = "damaged",
        /// Somebody gave the block up.
        Operator = "operator",
        /// Memory for blocks was used up while the spool could not be written: its disk failed, or other programs filled it.
        SpoolUnavailable = "spool_unavailable",
    }
}

/// The accounts at one moment. All figures are rows since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Rows that decoders made.
    pub decoded: u64,
    /// Left in the spool by an earlier process.
    pub recovered: u64,
    /// Rows that ClickHouse acknowledged.
    pub stored: u64,
    /// Indexed by [`Stage`], then [`DropReason`].
    pub dropped: [[u64; DropReason::ALL.len()]; Stage::ALL.len()],
    entered: [u64; Stage::ALL.len()],
    left: [u64; Stage::ALL.len()],
}

impl Accounts {
    /// Rows that `stage` has taken in and neither let go nor dropped. Negative only after a double count.
    pub fn held(&self, stage: Stage) -> i64 {
        let dropped: u64 = self.dropped[stage as usize].iter().sum();
        self.entered[stage as usize] as i64 - self.left[stage as usize] as i64 - dropped as i64
    }

    /// Rows that are neither stored nor dropped.
    pub fn in_flight(&self) -> i64 {
        Stage::ALL.iter().map(|&stage| self.held(stage)).sum()
    }

    /// Rows that were given up, at any stage and for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().flatten().sum()
    }

    /// Rows that outlive the process: in the spool or set aside.
    pub fn kept(&self) -> i64 {
        self.held(Stage::Spool) + self.held(Stage::Aside)
    }

    /// decoded + recovered - stored - dropped - in flight: 0 unless rows were lost or counted twice between two stages.
    pub fn imbalance(&self) -> i64 {
        (self.decoded + self.recovered) as i64 - self.stored as i64 - self.dropped_total() as i64 - self.in_flight()
    }
}

/// Shared by all stages.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Accounts>);

impl Ledger {
    /// A ledger without rows.
    pub fn new() -> Self {
        Self::default()
    }

    fn book(&self, entry: impl FnOnce(&mut Accounts)) {
        entry(&mut self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    /// A worker decoded `rows` into its open batch.
    pub fn decoded(&self, rows: u64) {
        self.book(|accounts| {
            accounts.decoded += rows;
            accounts.entered[Stage::Collect as usize] += rows;
        });
    }

    /// The spool of an earlier process held `rows`.
    pub fn recovered(&self, rows: u64) {
        self.book(|accounts| {
            accounts.recovered += rows;
            accounts.entered[Stage::Spool as usize] += rows;
        });
    }

    /// `from` handed a batch of `rows` to `to`.
    pub fn moved(&self, from: Stage, to: Stage, rows: u64) {
        self.book(|accounts| {
            accounts.left[from as usize] += rows;
            accounts.entered[to as usize] += rows;
        });
    }

    /// `stage` gave `rows` up.
    pub fn dropped(&self, stage: Stage, reason: DropReason, rows: u64) {
        self.book(|accounts| accounts.dropped[stage as usize][reason as usize] += rows);
    }

    /// ClickHouse acknowledged a block of `rows`.
    pub fn stored(&self, rows: u64) {
        self.book(|accounts| {
            accounts.left[Stage::Insert as usize] += rows;
            accounts.stored += rows;
        });
    }

    /// All accounts at one moment, consistent with each other.
    pub fn snapshot(&self) -> Accounts {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_on_their_way_balance_at_every_step() {
        let ledger = Ledger::new();
        ledger.decoded(100);
        assert_eq!((ledger.snapshot().in_flight(), ledger.snapshot().imbalance()), (100, 0));
        ledger.moved(Stage::Collect, Stage::Enrich, 60);
        ledger.dropped(Stage::Collect, DropReason::ChannelFull, 40);
        ledger.moved(Stage::Enrich, Stage::Block, 60);
        ledger.moved(Stage::Block, Stage::Insert, 60);
        ledger.stored(60);
        let end = ledger.snapshot();
        assert_eq!((end.stored, end.dropped_total(), end.in_flight(), end.imbalance()), (60, 40, 0, 0));
    }

    #[test]
    fn rows_of_an_earlier_process_are_an_account_of_their_own() {
        let ledger = Ledger::new();
        ledger.decoded(10);
        ledger.moved(Stage::Collect, Stage::Insert, 10);
        ledger.moved(Stage::Insert, Stage::Spool, 10);
        ledger.recovered(5);
        ledger.moved(Stage::Spool, Stage::Insert, 5);
        ledger.stored(5);
        let end = ledger.snapshot();
        assert_eq!((end.decoded, end.recovered, end.stored, end.kept(), end.imbalance()), (10, 5, 5, 10, 0));
    }

    #[test]
    fn a_batch_passed_on_twice_shows_as_a_negative_holding() {
        let ledger = Ledger::new();
        ledger.decoded(10);
        ledger.moved(Stage::Collect, Stage::Enrich, 10);
        ledger.moved(Stage::Enrich, Stage::Block, 10);
        ledger.moved(Stage::Enrich, Stage::Block, 10);
        assert_eq!(ledger.snapshot().held(Stage::Enrich), -10);
    }

    #[test]
    fn a_block_stored_twice_shows_as_a_negative_holding() {
        let ledger = Ledger::new();
        ledger.decoded(10);
        ledger.moved(Stage::Collect, Stage::Insert, 10);
        ledger.stored(10);
        ledger.stored(10);
        assert_eq!(ledger.snapshot().held(Stage::Insert), -10);
    }
}
