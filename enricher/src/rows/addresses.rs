//! Places, autonomous systems and networks of both ends of a flow.

use std::ops::Range;

use helios_common::columns::{
    Col, DST_ADDR, DST_AS, DST_AS_NAME, DST_CITY, DST_COUNTRY, DST_NETWORK, DST_ROLE, DST_SITE, DST_TENANT,
    INGRESS_VRF_ID, SRC_ADDR, SRC_AS, SRC_AS_NAME, SRC_CITY, SRC_COUNTRY, SRC_NETWORK, SRC_ROLE, SRC_SITE, SRC_TENANT,
    VRF_NAME,
};
use helios_common::exporter::{Address, Exporters};
use helios_common::flow::FlowBatch;
use helios_common::names::NameId;

use crate::addresses::{Addresses, Knows, Record};
use crate::hits::Uses;
use crate::lookup::CHUNK;
use crate::memo::Memo;
use crate::snapshot::Snapshot;
use crate::stats::Tally;

/// The columns of one end of a flow.
struct Side {
    address: Col<Address>,
    country: Col<NameId>,
    city: Col<NameId>,
    asn: Col<u32>,
    as_name: Col<NameId>,
    network: Col<NameId>,
    site: Col<NameId>,
    role: Col<NameId>,
    tenant: Col<NameId>,
}

const SIDES: [Side; 2] = [
    Side {
        address: SRC_ADDR,
        country: SRC_COUNTRY,
        city: SRC_CITY,
        asn: SRC_AS,
        as_name: SRC_AS_NAME,
        network: SRC_NETWORK,
        site: SRC_SITE,
        role: SRC_ROLE,
        tenant: SRC_TENANT,
    },
    Side {
        address: DST_ADDR,
        country: DST_COUNTRY,
        city: DST_CITY,
        asn: DST_AS,
        as_name: DST_AS_NAME,
        network: DST_NETWORK,
        site: DST_SITE,
        role: DST_ROLE,
        tenant: DST_TENANT,
    },
];

pub(super) fn write(
    batch: &mut FlowBatch,
    snapshot: &Snapshot,
    exporters: &Exporters,
    memo: &mut Memo,
    tally: &mut Tally,
) {
    let mut vrfs = std::mem::take(&mut memo.ids);
    vrfs.clear();
    let named = !batch.values(INGRESS_VRF_ID).is_empty() || !batch.values(VRF_NAME).is_empty();
    if named && snapshot.directory.has_vrfs() {
        resolve_vrfs(batch, snapshot, exporters, memo, &mut vrfs);
    }
    for side in &SIDES {
        side.write(batch, &snapshot.addresses, &vrfs, &mut memo.uses, tally);
    }
    memo.ids = vrfs;
}

/// Appends the routing table of each row. Neighbours mostly have the same.
fn resolve_vrfs(batch: &FlowBatch, snapshot: &Snapshot, exporters: &Exporters, memo: &mut Memo, vrfs: &mut Vec<u32>) {
    let mut start = 0;
    for run in batch.runs() {
        let mut last = (0, 0, 0);
        for row in start..run.end as usize {
            let (id, name) = (batch.get(INGRESS_VRF_ID, row), batch.get(VRF_NAME, row));
            if (id, name) != (last.0, last.1) {
                last = (id, name, memo.vrf(run.exporter, id, name, exporters, &snapshot.directory));
            }
            vrfs.push(u32::from(last.2));
        }
        start = run.end as usize;
    }
}

/// Some rows of a batch and the ids of their records.
struct Chunk<'a> {
    rows: Range<usize>,
    ids: &'a [u32],
}

/// What the passes over the columns found: all their values, or'ed.
#[derive(Debug, Default)]
struct Seen {
    country: u32,
    city: u32,
    asn: u32,
    as_name: u32,
    network: u32,
    site: u32,
    role: u32,
    tenant: u32,
}

impl Side {
    fn write(&self, batch: &mut FlowBatch, addresses: &Addresses, vrfs: &[u32], uses: &mut Uses, tally: &mut Tally) {
        let (mut ids, mut seen) = ([0; CHUNK], Seen::default());
        let rows = batch.rows();
        for start in (0..rows).step_by(CHUNK) {
            let chunk = start..rows.min(start + CHUNK);
            let ids = &mut ids[..chunk.len()];
            tally.addresses += look_up(batch.values(self.address), &chunk, addresses, vrfs, ids);
            uses.addresses(ids, addresses.tags());
            self.gather(batch, addresses, &Chunk { rows: chunk, ids }, &mut seen, tally);
        }
        let Knows { country, city, asn, network, site, role, tenant } = addresses.knows();
        let columns = [
            (country, self.country, seen.country),
            (city, self.city, seen.city),
            (asn, self.asn, seen.asn),
            (asn, self.as_name, seen.as_name),
            (network, self.network, seen.network),
            (site, self.site, seen.site),
            (role, self.role, seen.role),
            (tenant, self.tenant, seen.tenant),
        ];
        for (known, col, seen) in columns {
            if known && seen == 0 {
                batch.open(col).clear();
            }
        }
    }

    fn gather(
        &self,
        batch: &mut FlowBatch,
        addresses: &Addresses,
        chunk: &Chunk<'_>,
        seen: &mut Seen,
        tally: &mut Tally,
    ) {
        let knows = addresses.knows();
        let mut pass = |known: bool, col, seen: &mut u32, value: fn(&Record) -> u32| {
            if !known {
                return 0;
            }
            let (mut any, mut hits) = (0, 0);
            for (cell, &id) in batch.open(col)[chunk.rows.clone()].iter_mut().zip(chunk.ids) {
                *cell = value(addresses.record(id));
                any |= *cell;
                hits += u64::from(*cell != 0);
            }
            *seen |= any;
            hits
        };
        let countries = pass(knows.country, self.country, &mut seen.country, |record| record.country);
        let cities = pass(knows.city, self.city, &mut seen.city, |record| record.city);
        tally.place_hits += countries.max(cities);
        tally.network_hits += pass(knows.network, self.network, &mut seen.network, |record| record.network);
        pass(knows.site, self.site, &mut seen.site, |record| record.site);
        pass(knows.role, self.role, &mut seen.role, |record| record.role);
        pass(knows.tenant, self.tenant, &mut seen.tenant, |record| record.tenant);
        if knows.asn {
            self.systems(batch, addresses, chunk, seen, tally);
        }
    }

    /// Writes AS numbers and their names. Most numbers are the record's own, whose name is at hand.
    fn systems(
        &self,
        batch: &mut FlowBatch,
        addresses: &Addresses,
        chunk: &Chunk<'_>,
        seen: &mut Seen,
        tally: &mut Tally,
    ) {
        let mut numbers = [0; CHUNK];
        let Chunk { rows, ids } = chunk;
        let numbers = &mut numbers[..ids.len()];
        for ((cell, number), &id) in batch.open(self.asn)[rows.clone()].iter_mut().zip(numbers.iter_mut()).zip(*ids) {
            *number = addresses.asn(id, *cell);
            *cell = *number;
            seen.asn |= *number;
            tally.as_hits += u64::from(*number != 0);
        }
        for ((cell, &number), &id) in batch.open(self.as_name)[rows.clone()].iter_mut().zip(&*numbers).zip(*ids) {
            let record = addresses.record(id);
            *cell = if number == record.asn { record.as_name } else { addresses.as_name(number) };
            seen.as_name |= *cell;
        }
    }
}

/// Writes the record ids of a chunk's rows; rows without an address get 0. Returns how many had one.
///
/// Rows of a VRF are looked up in its table as well, which is small; `vrfs` is empty if no row has any.
fn look_up(all: &[Address], chunk: &Range<usize>, addresses: &Addresses, vrfs: &[u32], ids: &mut [u32]) -> u64 {
    let present = all.get(chunk.start..all.len().min(chunk.end)).unwrap_or(&[]);
    let (with_address, without) = ids.split_at_mut(present.len());
    addresses.lookup(present, with_address);
    without.fill(0);
    let vrfs = vrfs.get(chunk.start..).unwrap_or(&[]);
    for ((address, id), &vrf) in present.iter().zip(with_address).zip(vrfs) {
        if vrf != 0 {
            let own = addresses.lookup_in(vrf as u16, *address);
            *id = if own == 0 { *id } else { own };
        }
    }
    present.len() as u64
}
