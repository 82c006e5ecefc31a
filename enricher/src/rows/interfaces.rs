//! Names, descriptions, speeds and classes of the interfaces that flows came in and went out by.

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

pub fn write(batch: &mut FlowBatch, snapshot: &Snapshot, exporters: &Exporters, memo: &mut Memo, tally: &mut Tally) {
    let mut ids = std::mem::take(&mut memo.ids);
    for side in &SIDES {
        // Rows beyond the end of the column have no interface.
        if batch.values(side.index).is_empty() {
            continue;
        }
        ids.clear();
        side.resolve(batch, snapshot, exporters, memo, &mut ids);
        tally.interfaces += ids.len() as u64;
        tally.interface_hits += ids.iter().filter(|&&id| id != 0).count() as u64;
        side.gather(batch, memo.records(), &ids);
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
            for row in start..end {
                let (name, description) = (at(names, row), at(descriptions, row));
                let key = InterfaceKey { exporter: run.exporter.0, index: at(indices, row), name, description };
                let nothing = key.index | name | description == 0;
                ids.push(if nothing { 0 } else { memo.interface(key, &exporter, directory) });
            }
            start = end;
        }
    }

    fn gather(&self, batch: &mut FlowBatch, records: &[Interface], ids: &[u32]) {
        write_column(batch, self.name, records, ids, |record| record.name);
        write_column(batch, self.description, records, ids, |record| record.description);
        write_column(batch, self.speed, records, ids, |record| record.speed);
        write_column(batch, self.role, records, ids, |record| record.role);
        write_column(batch, self.provider, records, ids, |record| record.provider);
        write_column(batch, self.connectivity, records, ids, |record| record.connectivity);
        write_column(batch, self.boundary, records, ids, |record| record.boundary);
    }
}

fn at(values: &[u32], row: usize) -> u32 {
    values.get(row).copied().unwrap_or(0)
}

/// Writes a column of all rows that have an id. The record has what the row itself said, if it said anything.
fn write_column<T: Value + PartialEq>(
    batch: &mut FlowBatch,
    col: Col<T>,
    records: &[Interface],
    ids: &[u32],
    value: impl Fn(&Interface) -> T,
) {
    let nothing = Interface::default();
    let record = |id: u32| records.get(id as usize).unwrap_or(&nothing);
    // Most networks fill few of these columns: a look at the ids is cheaper than a column of zeros.
    if !ids.iter().any(|&id| value(record(id)) != T::default()) {
        return;
    }
    for (cell, &id) in batch.open(col).iter_mut().zip(ids) {
        *cell = value(record(id));
    }
}
