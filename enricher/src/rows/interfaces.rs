//! Names, descriptions, speeds and classes of the interfaces that flows came in and went out by.

use std::ops::BitOrAssign;

use helios_common::columns::{
    Col, IN_IF_BOUNDARY, IN_IF_CONNECTIVITY, IN_IF_DESCRIPTION, IN_IF_INDEX, IN_IF_NAME, IN_IF_PROVIDER, IN_IF_ROLE,
    IN_IF_SPEED, OUT_IF_BOUNDARY, OUT_IF_CONNECTIVITY, OUT_IF_DESCRIPTION, OUT_IF_INDEX, OUT_IF_NAME, OUT_IF_PROVIDER,
    OUT_IF_ROLE, OUT_IF_SPEED, Value,
};
use helios_common::exporter::Exporters;
use helios_common::flow::FlowBatch;
use helios_common::names::NameId;

use crate::directory::Interface;
use crate::memo::{InterfaceKey, Memo};
use crate::snapshot::Snapshot;
use crate::stats::Tally;

/// The columns of one side of a flow.
struct Side {
    index: Col<u32>,
    name: Col<NameId>,
    description: Col<NameId>,
    speed: Col<u64>,
    role: Col<NameId>,
    provider: Col<NameId>,
    connectivity: Col<NameId>,
    boundary: Col<u8>,
}

const SIDES: [Side; 2] = [
    Side {
        index: IN_IF_INDEX,
        name: IN_IF_NAME,
        description: IN_IF_DESCRIPTION,
        speed: IN_IF_SPEED,
        role: IN_IF_ROLE,
        provider: IN_IF_PROVIDER,
        connectivity: IN_IF_CONNECTIVITY,
        boundary: IN_IF_BOUNDARY,
    },
    Side {
        index: OUT_IF_INDEX,
        name: OUT_IF_NAME,
        description: OUT_IF_DESCRIPTION,
        speed: OUT_IF_SPEED,
        role: OUT_IF_ROLE,
        provider: OUT_IF_PROVIDER,
        connectivity: OUT_IF_CONNECTIVITY,
        boundary: OUT_IF_BOUNDARY,
    },
];

pub(super) fn write(
    batch: &mut FlowBatch,
    snapshot: &Snapshot,
    exporters: &Exporters,
    memo: &mut Memo,
    tally: &mut Tally,
) {
    let mut ids = std::mem::take(&mut memo.ids);
    for side in &SIDES {
        // Rows beyond the end of the column have no interface.
        if batch.values(side.index).is_empty() {
            continue;
        }
        tally.interfaces += batch.values(side.index).len() as u64;
        let silent = batch.values(side.name).is_empty() && batch.values(side.description).is_empty();
        if silent && !snapshot.directory.knows_interfaces() {
            continue;
        }
        ids.clear();
        side.resolve(batch, snapshot, exporters, memo, &mut ids);
        tally.interface_hits += memo.count(&ids);
        side.gather(batch, memo, &ids);
    }
    memo.ids = ids;
}

impl Side {
    /// Appends the record id of each row that has an ifIndex column.
    fn resolve(
        &self,
        batch: &FlowBatch,
        snapshot: &Snapshot,
        exporters: &Exporters,
        memo: &mut Memo,
        ids: &mut Vec<u32>,
    ) {
        let directory = &snapshot.directory;
        let (indices, names) = (batch.values(self.index), batch.values(self.name));
        let descriptions = batch.values(self.description);
        let mut start = 0;
        for run in batch.runs() {
            let end = (run.end as usize).min(indices.len());
            let (exporter, _) = memo.exporter(run.exporter, exporters, directory);
            // Neighbours mostly have the same interface.
            let (mut last, mut id) = (InterfaceKey::default(), 0);
            for row in start..end {
                let (name, description) = (at(names, row), at(descriptions, row));
                let key = InterfaceKey { exporter: run.exporter.0, index: at(indices, row), name, description };
                if key != last {
                    let nothing = key.index | name | description == 0;
                    (last, id) = (key, if nothing { 0 } else { memo.interface(key, &exporter, directory) });
                }
                ids.push(id);
            }
            start = end;
        }
    }

    fn gather(&self, batch: &mut FlowBatch, memo: &Memo, ids: &[u32]) {
        write_column(batch, self.name, memo, ids, |record| record.name);
        write_column(batch, self.description, memo, ids, |record| record.description);
        write_column(batch, self.speed, memo, ids, |record| record.speed);
        write_column(batch, self.role, memo, ids, |record| record.role);
        write_column(batch, self.provider, memo, ids, |record| record.provider);
        write_column(batch, self.connectivity, memo, ids, |record| record.connectivity);
        write_column(batch, self.boundary, memo, ids, |record| record.boundary);
    }
}

fn at(values: &[u32], row: usize) -> u32 {
    values.get(row).copied().unwrap_or(0)
}

/// Writes a column of all rows that have an id. The record has what the row itself said, if it said anything.
fn write_column<T: Value + PartialEq + BitOrAssign>(
    batch: &mut FlowBatch,
    col: Col<T>,
    memo: &Memo,
    ids: &[u32],
    value: impl Fn(&Interface) -> T,
) {
    // Most networks fill few of these columns.
    if value(&memo.any()) == T::default() {
        return;
    }
    let (nothing, records) = (Interface::default(), memo.records());
    let (mut any, was_absent) = (T::default(), batch.values(col).is_empty());
    for (cell, &id) in batch.open(col).iter_mut().zip(ids) {
        *cell = value(records.get(id as usize).unwrap_or(&nothing));
        any |= *cell;
    }
    if was_absent && any == T::default() {
        batch.open(col).clear();
    }
}
