//! Rollups: what the flows of a block add up to, made by column while the block is filled.
//!
//! ClickHouse's materialized views took more than half of what a flow costs it. Helios has every row in its hands as
//! columns of numbers, names included, and adds them up for a fraction of that: [`minutes`] by all dimensions of
//! `flows_1m`, [`listed`] which of them `summary_1h` keeps apart, [`busiest`] the busiest hosts and services of every exporter for `talkers_1m`. [`encode`] makes the
//! streams of the resulting rows, which travel with the block that they were made of: see [`Rollup`].
//!
//! The rows of the tables by hour are still made by ClickHouse, which reads the few rows by minute for them. A block
//! without rollups, of an earlier version or left behind by a crash, is rolled up by ClickHouse as before: see
//! [`schema::rollup`](crate::schema::rollup).
//!
//! Everything here runs on the block thread and allocates per block and batch, never per row.

use std::sync::Arc;

use arrow_schema::ArrowError;
use bytes::Bytes;
use helios_common::columns::{BYTES, FIREWALL_EVENT, NAT_EVENT, PACKETS, RECEIVED_AT, SAMPLING_INTERVAL};
use helios_common::flow::{ColumnSet, FlowBatch};
use helios_common::names::Names;

use crate::schema::Table;

pub(crate) mod busiest;
mod encode;
pub(crate) mod keyed;
mod listed;
pub(crate) mod minutes;

use encode::{MakeBody, Pieces};

use busiest::Busiest;
use listed::Listed;
use minutes::Minutes;

/// Rows that are looked at together: what is worked out of them stays in a core's first cache.
const ROWS_AT_ONCE: usize = 1024;

const MINUTE_MS: i64 = 60_000;

/// What a block of flows adds to one rollup table. It is sent after the flows, with the same token, to the same
/// replica; the block is stored when all of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollup {
    /// A table of minutes: `flows_1m` or `talkers_1m`.
    pub table: Table,
    /// The statement that the body is the data of.
    pub statement: Arc<str>,
    /// Of the rollup, after its flows are added up.
    pub rows: u64,
    /// The body, compressed as the block's pieces are.
    pub body: Bytes,
}

/// Sums of one row of a rollup. Like ClickHouse's, they wrap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub bytes: u64,
    pub packets: u64,
    pub flows: u64,
}

impl Sums {
    fn add(&mut self, bytes: u64, packets: u64) {
        self.bytes = self.bytes.wrapping_add(bytes);
        self.packets = self.packets.wrapping_add(packets);
        self.flows += 1;
    }

    fn merge(&mut self, other: Self) {
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.packets = self.packets.wrapping_add(other.packets);
        self.flows += other.flows;
    }
}

/// What rows of a batch count for.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    /// Minutes since 1970: enough for 8,000 years.
    minutes: Vec<u32>,
    /// Times the sampling interval.
    bytes: Vec<u64>,
    packets: Vec<u64>,
    /// False for NAT and firewall events, which are no traffic.
    counts: Vec<bool>,
}

impl Measures {
    fn of(&mut self, batch: &FlowBatch, from: usize, to: usize) {
        let rows = to - from;
        self.minutes.clear();
        let arrivals = part(batch.values(RECEIVED_AT), from, to);
        self.minutes.extend(arrivals.iter().map(|&at| at.div_euclid(MINUTE_MS) as u32));
        self.minutes.resize(rows, 0);
        for (scaled, col) in [(&mut self.bytes, BYTES), (&mut self.packets, PACKETS)] {
            scaled.clear();
            scaled.extend_from_slice(part(batch.values(col), from, to));
            scaled.resize(rows, 0);
            // A row that says nothing about sampling is one that was not sampled, never one that counts for nothing.
            for (value, &interval) in scaled.iter_mut().zip(part(batch.values(SAMPLING_INTERVAL), from, to)) {
                *value = value.wrapping_mul(u64::from(interval.max(1)));
            }
        }
        self.counts.clear();
        self.counts.resize(rows, true);
        for col in [NAT_EVENT, FIREWALL_EVENT] {
            let events = part(batch.values(col), from, to).iter().enumerate();
            for (row, _) in events.filter(|(_, event)| **event != 0) {
                let (bytes, packets) = (batch.get(BYTES, from + row), batch.get(PACKETS, from + row));
                self.counts[row] &= bytes != 0 || packets != 0;
            }
        }
    }
}

/// The part of a column that rows `from..to` have; what is missing is default.
fn part<T>(values: &[T], from: usize, to: usize) -> &[T] {
    values.get(from..to.min(values.len())).unwrap_or(&[])
}

/// Rolls up the rows of one block after the other.
#[derive(Debug)]
pub(crate) struct Rollups {
    measures: Measures,
    minutes: Minutes,
    listed: Listed,
    busiest: Busiest,
    pieces: Pieces,
}

impl Rollups {
    /// Rollups in the tables of `database`.
    pub(crate) fn new(database: &str) -> Self {
        Self {
            measures: Measures::default(),
            minutes: Minutes::new(),
            listed: Listed::new(),
            busiest: Busiest::new(),
            pieces: Pieces::new(database),
        }
    }

    /// Adds the rows `from..to` of a sealed batch.
    pub(crate) fn add(&mut self, batch: &FlowBatch, from: usize, to: usize) {
        let mut begin = from;
        while begin < to {
            let end = to.min(begin + ROWS_AT_ONCE);
            self.measures.of(batch, begin, end);
            self.minutes.add(batch, begin, end, &self.measures);
            self.busiest.add(batch, begin, end, &self.measures);
            begin = end;
        }
    }

    /// What the rows since the last call add up to; `body` makes a body of a stream. Columns that are not among `carried`
    /// have held nothing.
    ///
    /// # Errors
    /// [`ArrowError`] if columns and schema do not fit together, which is a bug.
    pub(crate) fn finish(
        &mut self,
        carried: ColumnSet,
        names: &Names,
        body: MakeBody<'_>,
    ) -> Result<Vec<Rollup>, ArrowError> {
        let listed = self.listed.mark(&self.minutes);
        let minutes = self.pieces.minutes((&mut self.minutes, &listed), carried, names, body)?;
        let talkers = self.pieces.talkers(&mut self.busiest, names, body)?;
        Ok([minutes, talkers].into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests;
