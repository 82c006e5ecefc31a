//! The accounts of side tables: offered + recovered = stored + dropped{reason} + in flight.
//!
//! Simpler than the flows' [`Ledger`](crate::ledger::Ledger): between the one who offers a row and ClickHouse's
//! acknowledgement there is one queue and one block.

use std::sync::Mutex;

use super::SideTable;
use crate::ledger::DropReason;

/// One table's rows since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SideAccounts {
    /// Rows that the sink was offered.
    pub offered: u64,
    /// Left in the spool by an earlier process.
    pub recovered: u64,
    /// Rows that ClickHouse acknowledged.
    pub stored: u64,
    /// Indexed by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
}

impl SideAccounts {
    /// Rows that were given up, for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Negative only after a double count.
    pub fn in_flight(&self) -> i64 {
        (self.offered + self.recovered) as i64 - self.stored as i64 - self.dropped_total() as i64
    }
}

/// Shared by the threads that offer rows and the sink that stores them.
#[derive(Debug, Default)]
pub struct SideLedger(Mutex<[SideAccounts; SideTable::ALL.len()]>);

impl SideLedger {
    fn book(&self, table: SideTable, entry: impl FnOnce(&mut SideAccounts)) {
        let mut accounts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        entry(&mut accounts[table as usize]);
    }

    /// Books rows that are offered.
    pub fn offered(&self, table: SideTable, rows: u64) {
        self.book(table, |accounts| accounts.offered += rows);
    }

    /// Books rows of an earlier process.
    pub fn recovered(&self, table: SideTable, rows: u64) {
        self.book(table, |accounts| accounts.recovered += rows);
    }

    /// Books rows that ClickHouse acknowledged.
    pub fn stored(&self, table: SideTable, rows: u64) {
        self.book(table, |accounts| accounts.stored += rows);
    }

    /// Books rows that are given up.
    pub fn dropped(&self, table: SideTable, reason: DropReason, rows: u64) {
        self.book(table, |accounts| accounts.dropped[reason as usize] += rows);
    }

    /// Indexed by [`SideTable`].
    pub fn snapshot(&self) -> [SideAccounts; SideTable::ALL.len()] {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
