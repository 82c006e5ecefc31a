//! The times of rows: absent ones, corrected ones, and those that make no sense.
//!
//! An exporter's clock that is off by more than `collector.max_clock_skew_ms` is corrected before its records are read
//! (see [`Clock::corrected`](super::plan::Clock::corrected)). What is still impossible then gives way here: a time
//! in the future, one from before any flow that a device still remembers, an end before its beginning. The column
//! `clock_status` says so. `received_at` is never touched.

use helios_common::columns::{CLOCK_STATUS, FLOW_END, FLOW_START};
use helios_common::flow::FlowBatch;
use helios_common::time::UnixMs;

/// The oldest begin of a flow that is believed. sysUptime tells no more than 49.7 days; some devices report
/// connections that were open for weeks.
const MAX_PAST_MS: i64 = 100 * 24 * 3600 * 1000;

/// Values of the `clock_status` column that differ from the default.
const CORRECTED: u8 = 1;
const IMPLAUSIBLE: u8 = 2;

/// Fills the times that the `n` open rows have none of with the arrival, and bounds the others: they are at most
/// `max_skew_ms` behind it. `corrected` if they were moved.
pub(super) fn complete(n: usize, received_at: UnixMs, max_skew_ms: Option<i64>, corrected: bool, out: &mut FlowBatch) {
    let exported = [FLOW_START, FLOW_END].map(|col| out.values(col).len() > out.rows());
    for (col, exported) in [FLOW_START, FLOW_END].into_iter().zip(exported) {
        if !exported {
            out.fill(col, n, received_at);
        }
    }
    let Some(max_skew_ms) = max_skew_ms.filter(|_| exported != [false; 2]) else { return };
    if corrected {
        out.fill(CLOCK_STATUS, n, CORRECTED);
    }
    let bounds = Bounds { received_at, max_skew_ms };
    let times = out.open_values(FLOW_START).iter().zip(out.open_values(FLOW_END));
    // Without a way out of the loop, several rows are compared at once.
    if !times.fold(true, |all, (&start, &end)| all & bounds.hold(start, end)) {
        bounds.impose(n, out);
    }
}

/// Between which times a flow can have been.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    received_at: UnixMs,
    max_skew_ms: i64,
}

impl Bounds {
    const fn contain(self, at: UnixMs) -> bool {
        (self.received_at - MAX_PAST_MS <= at) & (at <= self.received_at + self.max_skew_ms)
    }

    const fn hold(self, start: UnixMs, end: UnixMs) -> bool {
        self.contain(start) & self.contain(end) & (start <= end)
    }

    /// Makes the times of every row possible ones: an impossible end becomes the arrival, an impossible start the end.
    #[expect(clippy::indexing_slicing, reason = "a slice of the open rows has `n` values")]
    fn impose(self, n: usize, out: &mut FlowBatch) {
        for row in 0..n {
            let at = out.rows() + row;
            let (start, end) = (out.get(FLOW_START, at), out.get(FLOW_END, at));
            if self.hold(start, end) {
                continue;
            }
            let possible_end = if self.contain(end) { end } else { self.received_at };
            let possible_start = if self.contain(start) { start.min(possible_end) } else { possible_end };
            let (starts, ends) = out.open_slices(FLOW_START, FLOW_END, n);
            (starts[row], ends[row]) = (possible_start, possible_end);
            // A start that was not exported is the arrival, which is after the end: the exporter made no mistake.
            if start != self.received_at || possible_end != end {
                out.open_slice(CLOCK_STATUS, n)[row] = IMPLAUSIBLE;
            }
        }
    }
}
