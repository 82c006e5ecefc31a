//! The metrics of the sink.

use helios_common::ledger::DropReason;
use helios_common::side::{SideAccounts, SideTable};
use helios_metrics::Buckets;

use crate::block::CloseReason;
use crate::error::Class;
use crate::sink::SinkStats;

/// Upper bounds of the latency's buckets in milliseconds. A quiet network's rows wait for the flush interval (1 s), a
/// busy one's for their block to fill; minutes mean that ClickHouse is away. They are closest about the flush interval
/// and the half second after it, within which rows should be there.
const LATENCY_BOUNDS_MS: [u64; 22] = [
    100, 250, 500, 750, 1_000, 1_100, 1_200, 1_300, 1_400, 1_500, 1_750, 2_000, 2_500, 3_000, 4_000, 5_000, 7_500,
    10_000, 30_000, 60_000, 300_000, 3_600_000,
];

const NS_PER_SECOND: f64 = 1e9;

helios_metrics::metrics! {
    /// What the sink counts.
    pub METRICS of SinkStats {
        Gauge "helios_sink_schema_ready" [] "1 when the tables are as this version needs them" =
            |stats, out| out.one(stats.insert.schema_ready);
        Gauge "helios_sink_open_block_rows" [] "Rows in the open block" =
            |stats, out| out.one(stats.open_rows);
        Counter "helios_sink_blocks_closed_total" ["reason"] "Closed blocks, by reason: rows, bytes, age, columns (a new column appeared), drain (the stop)" =
            |stats, out| out.all(CloseReason::ALL.map(|reason| [reason.name()]).into_iter().zip(stats.closed));
        Gauge "helios_sink_backlog_blocks" [] "Closed blocks that ClickHouse has not acknowledged, those being sent included" =
            |stats, out| out.one(stats.backlog.blocks);
        Gauge "helios_sink_backlog_rows" [] "Rows of the blocks in the backlog" =
            |stats, out| out.one(stats.backlog.rows);
        Gauge "helios_sink_backlog_bytes" [] "Bytes of the blocks in the backlog; limited by clickhouse.max_backlog_bytes" =
            |stats, out| out.one(stats.backlog.octets);
        Gauge "helios_sink_inserts_in_flight" [] "Blocks being sent" =
            |stats, out| out.one(stats.backlog.in_flight);
        Counter "helios_sink_encoded_bytes_total" [] "Bytes of blocks before compression" =
            |stats, out| out.one(stats.encode.octets_plain);
        Counter "helios_sink_compressed_bytes_total" [] "Bytes of blocks after compression" =
            |stats, out| out.one(stats.encode.octets_written);
        Counter "helios_sink_encode_seconds_total" [] "Time spent encoding blocks" =
            |stats, out| out.one(stats.encode.encode_ns as f64 / NS_PER_SECOND);
        Counter "helios_sink_compress_seconds_total" [] "Time spent compressing blocks" =
            |stats, out| out.one(stats.encode.compress_ns as f64 / NS_PER_SECOND);
        Counter "helios_sink_rollup_seconds_total" [] "Time spent making rollups of blocks" =
            |stats, out| out.one(stats.encode.rollup_ns as f64 / NS_PER_SECOND);
        Counter "helios_sink_rollup_rows_total" [] "Rows of rollups made of blocks; no part of the accounts of flows" =
            |stats, out| out.one(stats.encode.rollup_rows);
        Counter "helios_sink_rollup_rows_stored_total" [] "Of these, and of those that earlier processes left, rows that ClickHouse acknowledged with their blocks" =
            |stats, out| out.one(stats.insert.rollup_rows);
        Counter "helios_sink_inserts_total" [] "Blocks acknowledged by ClickHouse" =
            |stats, out| out.one(stats.insert.blocks);
        Counter "helios_sink_inserted_bytes_total" [] "Bytes of the acknowledged blocks, as sent" =
            |stats, out| out.one(stats.insert.octets);
        Counter "helios_sink_insert_seconds_total" [] "Time from sending a block to its acknowledgement, sum of all inserts" =
            |stats, out| out.one(stats.insert.insert_ns as f64 / NS_PER_SECOND);
        Counter "helios_sink_insert_failures_total" ["class"] "Failed inserts, by class: transient and replica are retried, configuration needs an operator, refused blocks are set aside" =
            |stats, out| out.all(Class::ALL.map(|class| [class.name()]).into_iter().zip(stats.insert.failures));
        Gauge "helios_sink_unwritten_rows" [] "Rows of the open block that are not encoded, or with a spool not in it; a crash loses these and the rows in the queues" =
            |stats, out| out.one(stats.unwritten_rows);
        Gauge "helios_sink_spool_available" [] "1 when the spool accepts blocks; 0 when its disk fails, when there is no room, or when none is configured" =
            |stats, out| out.one(stats.spool.available);
        Gauge "helios_sink_spool_configured" [] "1 when a spool is configured; alert if helios_sink_spool_available is 0 at the same time" =
            |stats, out| out.one(stats.spool.configured);
        Gauge "helios_sink_spool_files" [] "Blocks in the spool, including those that are in memory as well" =
            |stats, out| out.one(stats.spool.files);
        Gauge "helios_sink_spool_bytes" [] "Bytes of the spool; limited by clickhouse.spool.max_bytes" =
            |stats, out| out.one(stats.spool.octets);
        Gauge "helios_sink_spool_waiting_blocks" [] "Blocks that are in the spool only; falls to 0 during the replay" =
            |stats, out| out.one(stats.backlog.kept_blocks);
        Gauge "helios_sink_spool_waiting_rows" [] "Rows of the blocks that are in the spool only" =
            |stats, out| out.one(stats.backlog.kept_rows);
        Gauge "helios_sink_spool_aside_files" [] "Refused blocks and damaged files that need a decision: helios spool list" =
            |stats, out| out.one(stats.spool.aside_files);
        Gauge "helios_sink_spool_aside_bytes" [] "Bytes of these, with those of blocks that are to be sent again: bounded by clickhouse.spool.max_aside_bytes" =
            |stats, out| out.one(stats.spool.aside_octets);
        Counter "helios_sink_spool_recovered_blocks_total" [] "Blocks taken over from earlier processes" =
            |stats, out| out.one(stats.spool.recovered_blocks);
        Gauge "helios_sink_spool_scanned" [] "1 when all blocks of earlier processes are found" =
            |stats, out| out.one(stats.spool.scanned);
        Counter "helios_sink_spool_failures_total" [] "Failed writes, reads, moves and removals of spool files" =
            |stats, out| out.one(stats.spool.write_failures);
        Counter "helios_sink_spool_damaged_files_total" [] "Spool files set aside because their content is damaged" =
            |stats, out| out.one(stats.spool.damaged_files);
        Counter "helios_sink_side_rows_offered_total" ["table"] "Rows of side tables that the sink received: offered + recovered = stored + dropped + in flight" =
            |stats, out| out.all(tables(stats).map(|(table, accounts)| ([table], accounts.offered)));
        Counter "helios_sink_side_rows_recovered_total" ["table"] "Rows of side tables that an earlier process left in the spool" =
            |stats, out| out.all(tables(stats).map(|(table, accounts)| ([table], accounts.recovered)));
        Counter "helios_sink_side_rows_stored_total" ["table"] "Rows of side tables that ClickHouse acknowledged" =
            |stats, out| out.all(tables(stats).map(|(table, accounts)| ([table], accounts.stored)));
        Counter "helios_sink_side_rows_dropped_total" ["table", "reason"] "Dropped rows of side tables, by reason" =
            |stats, out| out.all(tables(stats).flat_map(|(table, accounts)| {
                DropReason::ALL.iter().zip(accounts.dropped).map(move |(reason, rows)| ([table, reason.name()], rows))
            }));
        Gauge "helios_sink_side_rows_in_flight" ["table"] "Rows of side tables between offer and acknowledgement" =
            |stats, out| out.all(tables(stats).map(|(table, accounts)| ([table], accounts.in_flight())));
        Histogram "helios_sink_latency_seconds" [] "Time from the arrival of a datagram to the acknowledgement of its rows, per row" =
            |stats, out| out.histogram(&latency(&stats.insert.latency));
    }
}

/// The accounts of the side tables.
fn tables(stats: &SinkStats) -> impl Iterator<Item = (&'static str, &SideAccounts)> {
    SideTable::ALL.iter().map(|table| table.name()).zip(&stats.side)
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
