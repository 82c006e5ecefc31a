//! The ledgers that account for the rows of a block: flows are in the pipeline's, side tables have their own.

use std::sync::Arc;

use helios_common::ledger::{DropReason, Ledger, Stage};
use helios_common::side::SideLedger;

use crate::block::Block;
use crate::schema::Table;

/// Enters what becomes of closed blocks.
#[derive(Debug, Clone)]
pub struct Ledgers {
    /// The pipeline's, for rows of `flows`.
    pub flows: Arc<Ledger>,
    /// For rows of side tables.
    pub side: Arc<SideLedger>,
}

impl Ledgers {
    /// The block was closed: its rows left the block stage.
    pub fn closed(&self, block: &Block) {
        self.moved(block.table, Stage::Block, Stage::Insert, block.rows);
    }

    /// Closed rows went from one place to another. Side tables have one account for all of them.
    pub fn moved(&self, table: Table, from: Stage, to: Stage, rows: u64) {
        if let Table::Flows = table {
            self.flows.moved(from, to, rows);
        }
    }

    /// The spool holds rows of an earlier process.
    pub fn recovered(&self, table: Table, rows: u64) {
        match table {
            Table::Side(table) => self.side.recovered(table, rows),
            _ => self.flows.recovered(rows),
        }
    }

    /// ClickHouse acknowledged the block.
    pub fn stored(&self, block: &Block) {
        match block.table {
            Table::Side(table) => self.side.stored(table, block.rows),
            _ => self.flows.stored(block.rows),
        }
    }

    /// Closed rows were given up.
    pub fn dropped(&self, table: Table, place: Stage, reason: DropReason, rows: u64) {
        match table {
            Table::Side(table) => self.side.dropped(table, reason, rows),
            _ => self.flows.dropped(place, reason, rows),
        }
    }
}
