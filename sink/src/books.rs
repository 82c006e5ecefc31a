//! Whose accounts a block's rows are in: flows have the pipeline's ledger, side tables their own.

use std::sync::Arc;

use helios_common::ledger::{DropReason, Ledger, Stage};
use helios_common::side::SideLedger;

use crate::block::Block;
use crate::schema::Table;

/// Books what becomes of closed blocks.
#[derive(Debug, Clone)]
pub struct Books {
    pub flows: Arc<Ledger>,
    pub side: Arc<SideLedger>,
}

impl Books {
    /// The block was closed: its rows left the block stage.
    pub fn closed(&self, block: &Block) {
        if let Table::Flows = block.table {
            self.flows.moved(Stage::Block, Stage::Insert, block.rows);
        }
    }

    /// ClickHouse acknowledged the block.
    pub fn stored(&self, block: &Block) {
        match block.table {
            Table::Side(table) => self.side.stored(table, block.rows),
            _ => self.flows.stored(block.rows),
        }
    }

    /// The closed block was given up.
    pub fn dropped(&self, block: &Block, reason: DropReason) {
        match block.table {
            Table::Side(table) => self.side.dropped(table, reason, block.rows),
            _ => self.flows.dropped(Stage::Insert, reason, block.rows),
        }
    }
}
