//! What the sink counts.

use std::fmt;

use helios_common::ledger::DropReason;
use helios_common::side::{SideAccounts, SideTable};
use helios_sink::SinkStats;
use helios_sink::block::CloseReason;
use helios_sink::error::Class;

use super::scrape::{Buckets, Scrape};
use super::table;

/// Upper bounds of the latency's buckets in milliseconds. A quiet network's rows wait for the flush interval (1 s), a
/// busy one's for their block to fill; minutes mean that ClickHouse is away. They are closest about the flush interval
/// and the half second after it, within which rows should be there.
const LATENCY_BOUNDS_MS: [u64; 22] = [
    100, 250, 500, 750, 1_000, 1_100, 1_200, 1_300, 1_400, 1_500, 1_750, 2_000, 2_500, 3_000, 4_000, 5_000, 7_500,
    10_000, 30_000, 60_000, 300_000, 3_600_000,
];

const NS_PER_SECOND: f64 = 1e9;

pub fn write(out: &mut Scrape<'_>, stats: &SinkStats) -> fmt::Result {
    out.one(&table::SCHEMA_READY, stats.insert.schema_ready)?;
    out.one(&table::OPEN_ROWS, stats.open_rows)?;
    out.family(&table::BLOCKS_CLOSED, CloseReason::ALL.iter().map(|reason| [reason.name()]).zip(stats.closed))?;
    out.one(&table::BACKLOG_BLOCKS, stats.backlog.blocks)?;
    out.one(&table::BACKLOG_ROWS, stats.backlog.rows)?;
    out.one(&table::BACKLOG_BYTES, stats.backlog.octets)?;
    out.one(&table::INSERTS_IN_FLIGHT, stats.backlog.in_flight)?;
    out.one(&table::ENCODED_BYTES, stats.encode.octets_plain)?;
    out.one(&table::COMPRESSED_BYTES, stats.encode.octets_written)?;
    out.one(&table::ENCODE_SECONDS, stats.encode.encode_ns as f64 / NS_PER_SECOND)?;
    out.one(&table::COMPRESS_SECONDS, stats.encode.compress_ns as f64 / NS_PER_SECOND)?;
    out.one(&table::INSERTS, stats.insert.blocks)?;
    out.one(&table::INSERTED_BYTES, stats.insert.octets)?;
    out.one(&table::INSERT_SECONDS, stats.insert.insert_ns as f64 / NS_PER_SECOND)?;
    let failures = Class::ALL.iter().map(|class| [class.name()]).zip(stats.insert.failures);
    out.family(&table::INSERT_FAILURES, failures)?;
    out.one(&table::UNWRITTEN_ROWS, stats.unwritten_rows)?;
    spool(out, stats)?;
    side(out, &stats.side)?;
    out.histogram(&table::LATENCY, &latency(&stats.insert.latency))
}

fn spool(out: &mut Scrape<'_>, SinkStats { spool, backlog, .. }: &SinkStats) -> fmt::Result {
    out.one(&table::SPOOL_AVAILABLE, spool.available)?;
    out.one(&table::SPOOL_CONFIGURED, spool.configured)?;
    out.one(&table::SPOOL_FILES, spool.files)?;
    out.one(&table::SPOOL_BYTES, spool.octets)?;
    out.one(&table::SPOOL_WAITING_BLOCKS, backlog.kept_blocks)?;
    out.one(&table::SPOOL_WAITING_ROWS, backlog.kept_rows)?;
    out.one(&table::SPOOL_ASIDE, spool.aside_files)?;
    out.one(&table::SPOOL_RECOVERED, spool.recovered_blocks)?;
    out.one(&table::SPOOL_SCANNED, spool.scanned)?;
    out.one(&table::SPOOL_FAILURES, spool.write_failures)?;
    out.one(&table::SPOOL_DAMAGED, spool.damaged_files)
}

/// The accounts of the side tables.
fn side(out: &mut Scrape<'_>, accounts: &[SideAccounts; SideTable::ALL.len()]) -> fmt::Result {
    let tables = || SideTable::ALL.iter().map(|table| table.name()).zip(accounts);
    out.family(&table::SIDE_OFFERED, tables().map(|(table, accounts)| ([table], accounts.offered)))?;
    out.family(&table::SIDE_RECOVERED, tables().map(|(table, accounts)| ([table], accounts.recovered)))?;
    out.family(&table::SIDE_STORED, tables().map(|(table, accounts)| ([table], accounts.stored)))?;
    let dropped = tables().flat_map(|(table, accounts)| {
        DropReason::ALL.iter().zip(accounts.dropped).map(move |(reason, rows)| ([table, reason.name()], rows))
    });
    out.family(&table::SIDE_DROPPED, dropped)?;
    out.family(&table::SIDE_IN_FLIGHT, tables().map(|(table, accounts)| ([table], accounts.in_flight())))
}

/// The fine histogram of the sink in the coarse buckets of a scrape. A cell of it that a bound cuts belongs to the bucket
/// that it begins in.
fn latency(histogram: &hdrhistogram::Histogram<u64>) -> Buckets {
    let bounds = LATENCY_BOUNDS_MS.iter().map(|&bound| bound as f64 / 1000.0);
    // Nothing lies beyond the histogram's own end, but a histogram's last bucket has no bound.
    let mut buckets: Vec<_> = bounds.chain([f64::MAX]).map(|bound| (bound, 0)).collect();
    for cell in histogram.iter_recorded() {
        let ms = histogram.lowest_equivalent(cell.value_iterated_to());
        let at = LATENCY_BOUNDS_MS.partition_point(|&bound| bound < ms);
        if let Some((_, count)) = buckets.get_mut(at) {
            *count += cell.count_at_value();
        }
    }
    let count = histogram.len();
    Buckets { sum: histogram.mean() * count as f64 / 1000.0, count, buckets }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    #[test]
    fn every_row_is_in_exactly_one_bucket() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 3_600_000, 2).unwrap();
        for ms in [1, 90, 260, 999, 1_200, 7_000, 200_000, 3_600_000] {
            histogram.record_n(ms, 10).unwrap();
        }
        let Buckets { count, buckets, .. } = latency(&histogram);
        assert_eq!((count, buckets.iter().map(|(_, count)| count).sum::<u64>()), (80, 80), "{buckets:?}");
    }
}
