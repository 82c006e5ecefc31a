//! Writes the name columns of a batch.
//!
//! Work goes by separate passes over [`CHUNK`] rows: first the ids of all addresses, then one gather per column.
//! Loads of a pass do not depend on each other, so the memory answers many at a time; one pass that did everything
//! for a row before the next took nearly twice as long. Nothing here allocates, locks or hashes per row.
//!
//! A column in which every row would hold its default is left absent.

use helios_common::columns::{
    Col, DST_ADDR, DST_AS, DST_AS_NAME, DST_CITY, DST_COUNTRY, EXPORTER_NAME, SRC_ADDR, SRC_AS, SRC_AS_NAME, SRC_CITY,
    SRC_COUNTRY,
};
use helios_common::exporter::{Address, ExporterId, Exporters};
use helios_common::flow::FlowBatch;
use helios_common::names::NameId;

use crate::geoip::Geo;
use crate::lookup::CHUNK;
use crate::snapshot::Snapshot;
use crate::stats::Tally;

/// The columns of one end of a flow.
struct Side {
    address: Col<Address>,
    country: Col<NameId>,
    city: Col<NameId>,
    asn: Col<u32>,
    as_name: Col<NameId>,
}

const SIDES: [Side; 2] = [
    Side { address: SRC_ADDR, country: SRC_COUNTRY, city: SRC_CITY, asn: SRC_AS, as_name: SRC_AS_NAME },
    Side { address: DST_ADDR, country: DST_COUNTRY, city: DST_CITY, asn: DST_AS, as_name: DST_AS_NAME },
];

/// Names of exporters by id, asked for once each.
#[derive(Debug, Default)]
pub struct ExporterNames(Vec<Option<NameId>>);

impl ExporterNames {
    fn of(&mut self, id: ExporterId, exporters: &Exporters) -> NameId {
        let index = id.0 as usize;
        if let Some(Some(name)) = self.0.get(index) {
            return *name;
        }
        let Some(entry) = exporters.get(id) else { return NameId::default() };
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        if let Some(name) = self.0.get_mut(index) {
            *name = Some(entry.address_name);
        }
        entry.address_name
    }

    /// Writes the name of each row's exporter.
    pub fn write(&mut self, batch: &mut FlowBatch, exporters: &Exporters) {
        let mut start = 0;
        for run in 0..batch.runs().len() {
            let run = batch.runs()[run];
            let name = self.of(run.exporter, exporters);
            batch.open(EXPORTER_NAME)[start..run.end as usize].fill(name);
            start = run.end as usize;
        }
    }
}

/// Writes what the snapshot knows about the batch's addresses.
pub fn enrich(batch: &mut FlowBatch, snapshot: &Snapshot) -> Tally {
    let mut tally = Tally::default();
    if let Some(geo) = &snapshot.geo {
        for side in &SIDES {
            side.write(batch, geo, &mut tally);
        }
    }
    tally
}

impl Side {
    fn write(&self, batch: &mut FlowBatch, geo: &Geo, tally: &mut Tally) {
        let knows = geo.knows();
        let (mut ids, mut numbers) = ([0; CHUNK], [0; CHUNK]);
        let (mut countries, mut cities, mut asns, mut as_names) = <(Pass, Pass, Pass, Pass)>::default();
        let rows = batch.rows();
        for start in (0..rows).step_by(CHUNK) {
            let chunk = start..rows.min(start + CHUNK);
            let ids = &mut ids[..chunk.len()];
            tally.addresses += look_up(batch.values(self.address), start, geo, ids);
            if knows.country {
                countries.gather(&mut batch.open(self.country)[chunk.clone()], ids, |id| geo.place(id).country);
            }
            if knows.city {
                cities.gather(&mut batch.open(self.city)[chunk.clone()], ids, |id| geo.place(id).city);
            }
            if knows.asn {
                let numbers = &mut numbers[..chunk.len()];
                asns.fill(&mut batch.open(self.asn)[chunk.clone()], numbers, ids, geo);
                as_names.name(&mut batch.open(self.as_name)[chunk], numbers, ids, geo);
            }
        }
        tally.city_hits += countries.hits.max(cities.hits);
        tally.asn_hits += asns.hits;
        let columns = [
            (knows.country, self.country, countries),
            (knows.city, self.city, cities),
            (knows.asn, self.asn, asns),
            (knows.asn, self.as_name, as_names),
        ];
        for (known, col, pass) in columns {
            if known && pass.any == 0 {
                batch.open(col).clear();
            }
        }
    }
}

/// Writes the ids of the rows from `start` on; rows without an address get 0. Returns how many had one.
fn look_up(addresses: &[Address], start: usize, geo: &Geo, ids: &mut [u32]) -> u64 {
    let addresses = addresses.get(start..).unwrap_or(&[]);
    let present = addresses.len().min(ids.len());
    let (with_address, without) = ids.split_at_mut(present);
    geo.lookup(&addresses[..present], with_address);
    without.fill(0);
    present as u64
}

/// What the passes over one column found.
#[derive(Debug, Clone, Copy, Default)]
struct Pass {
    /// All values, or'ed.
    any: u32,
    /// Rows for whose address something was known.
    hits: u64,
}

impl Pass {
    fn gather(&mut self, column: &mut [u32], ids: &[u32], value: impl Fn(u32) -> u32) {
        for (cell, &id) in column.iter_mut().zip(ids) {
            *cell = value(id);
            self.any |= *cell;
            self.hits += u64::from(*cell != 0);
        }
    }

    /// Writes AS numbers where the flow has none, and leaves the numbers of all rows in `numbers`.
    fn fill(&mut self, column: &mut [u32], numbers: &mut [u32], ids: &[u32], geo: &Geo) {
        for ((cell, number), &id) in column.iter_mut().zip(numbers).zip(ids) {
            let known = geo.place(id).asn;
            *cell = if *cell == 0 { known } else { *cell };
            *number = *cell;
            self.any |= *cell;
            self.hits += u64::from(known != 0);
        }
    }

    /// Writes the names of AS numbers. Most are the place's own, whose name is at hand.
    fn name(&mut self, column: &mut [u32], numbers: &[u32], ids: &[u32], geo: &Geo) {
        for ((cell, &number), &id) in column.iter_mut().zip(numbers).zip(ids) {
            let place = geo.place(id);
            *cell = if number == place.asn { place.as_name } else { geo.as_name(number) };
            self.any |= *cell;
        }
    }
}

#[cfg(test)]
mod tests;
