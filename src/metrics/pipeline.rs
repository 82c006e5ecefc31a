//! The ledger and what lies between the stages.

use std::fmt;

use helios_common::ledger::{DropReason, Stage};

use super::scrape::Scrape;
use super::table;
use crate::pipeline::Snapshot;

pub fn write(out: &mut Scrape<'_>, snapshot: &Snapshot) -> fmt::Result {
    let accounts = &snapshot.accounts;
    out.one(&table::READY, snapshot.readiness.is_ok())?;
    out.one(&table::ROWS_DECODED, accounts.decoded)?;
    out.one(&table::ROWS_RECOVERED, accounts.recovered)?;
    out.one(&table::ROWS_STORED, accounts.stored)?;
    let dropped = Stage::ALL.iter().flat_map(|&stage| {
        DropReason::ALL
            .iter()
            .map(move |&reason| ([stage.name(), reason.name()], accounts.dropped[stage as usize][reason as usize]))
    });
    out.family(&table::ROWS_DROPPED, dropped)?;
    let in_flight = Stage::ALL.iter().map(|&stage| ([stage.name()], accounts.held(stage)));
    out.family(&table::ROWS_IN_FLIGHT, in_flight)?;
    out.one(&table::ROWS_IMBALANCE, accounts.imbalance())?;
    let queues = || snapshot.queues.iter();
    out.family(&table::QUEUE_BATCHES, queues().map(|queue| ([queue.name], queue.batches)))?;
    out.family(&table::QUEUE_CAPACITY, queues().map(|queue| ([queue.name], queue.capacity)))?;
    out.one(&table::NAMES, snapshot.names.held)?;
    out.one(&table::NAMES_REFUSED, snapshot.names.refused)
}
