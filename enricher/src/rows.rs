//! Writes the name columns of a batch.
//!
//! Work goes by separate passes: first the ids of all rows' records, then one gather per column. Loads of a pass do not
//! depend on each other, so the memory answers many at a time; one pass that did everything for a row before the next
//! took nearly twice as long. Nothing here allocates, locks or hashes a string per row.
//!
//! A column in which every row would hold its default is left absent.

mod addresses;
mod interfaces;

use helios_common::columns::{
    EXPORTER_GROUP, EXPORTER_NAME, EXPORTER_REGION, EXPORTER_ROLE, EXPORTER_SITE, EXPORTER_TENANT,
};
use helios_common::exporter::Exporters;
use helios_common::flow::FlowBatch;

use crate::memo::Memo;
use crate::snapshot::Snapshot;
use crate::stats::Tally;

/// Writes what the snapshot knows about the batch's rows. `memo` is the worker's own.
pub fn enrich(batch: &mut FlowBatch, snapshot: &Snapshot, exporters: &Exporters, memo: &mut Memo) -> Tally {
    memo.prepare(snapshot.generation, exporters.epoch());
    memo.uses.fit(snapshot);
    let mut tally = Tally { rows: batch.rows() as u64, ..Tally::default() };
    write_exporters(batch, snapshot, exporters, memo, &mut tally);
    interfaces::write(batch, snapshot, exporters, memo, &mut tally);
    addresses::write(batch, snapshot, exporters, memo, &mut tally);
    tally
}

/// Rows of one exporter follow each other: its columns are filled run by run.
fn write_exporters(
    batch: &mut FlowBatch,
    snapshot: &Snapshot,
    exporters: &Exporters,
    memo: &mut Memo,
    tally: &mut Tally,
) {
    let mut start = 0;
    for run in 0..batch.runs().len() {
        let run = batch.runs()[run];
        let rows = start..run.end as usize;
        let (exporter, _) = memo.exporter(run.exporter, exporters, &snapshot.directory);
        let columns = [
            (EXPORTER_NAME, exporter.name),
            (EXPORTER_SITE, exporter.site),
            (EXPORTER_REGION, exporter.region),
            (EXPORTER_ROLE, exporter.role),
            (EXPORTER_TENANT, exporter.tenant),
            (EXPORTER_GROUP, exporter.group),
        ];
        for (col, value) in columns {
            if value != 0 {
                batch.open(col)[rows.clone()].fill(value);
            }
        }
        memo.uses.exporters(exporter.sources, rows.len() as u64);
        tally.exporter_hits += if exporter.known.is_some() { rows.len() as u64 } else { 0 };
        start = rows.end;
    }
}

#[cfg(test)]
mod tests;
