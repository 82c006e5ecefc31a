//! Times that a record tells in another way than by a start and an end.
//!
//! A device without a clock leaves absolute times zero and tells sysUptime beside them: a zero is no time. Of a flow whose
//! duration (161, 162) and one end are told, the other end follows. And where the header's clock is wrong, the record's
//! own times need not be.

use helios_common::columns::{Col, FLOW_END, FLOW_START};
use helios_common::flow::FlowBatch;
use helios_common::ie::iana;
use helios_common::time::{UnixMs, ntp_to_unix_ms};

use super::{Clock, Op, Plan, Step, is_time};
use crate::decode::records::Records;
use crate::decode::template::Field;

/// `flowDurationMilliseconds` and `flowDurationMicroseconds`, and how many of each make a millisecond.
const DURATIONS: [(u16, u64); 2] = [(161, 1), (162, 1000)];

/// A template whose columns of time are not filled by one field each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gaps {
    /// The field of a duration and its units in a millisecond.
    duration: Option<(usize, u64)>,
    start: bool,
    end: bool,
}

impl Gaps {
    /// Finds the columns that several steps or a duration fill, and lets their steps leave a zero for what they do not know.
    pub(super) fn compile(fields: &[Field], steps: &mut [Step]) -> Option<Self> {
        let duration = DURATIONS.into_iter().find_map(|(id, per_ms)| {
            let at = fields.iter().position(|field| field.ie == iana(id) && field.length > 0)?;
            Some((at, per_ms))
        });
        let filled_by = |steps: &[Step], col| steps.iter().filter(|step| step.fills(col)).count();
        let (starts, ends) = (filled_by(steps, FLOW_START), filled_by(steps, FLOW_END));
        let duration = duration.filter(|_| starts + ends > 0);
        let start = starts > 1 || duration.is_some();
        let end = ends > 1 || duration.is_some();
        for step in steps.iter_mut() {
            step.gaps = (start && step.fills(FLOW_START)) || (end && step.fills(FLOW_END));
        }
        (start || end).then_some(Self { duration, start, end })
    }

    /// Completes the times of the open rows that `records` become.
    pub(super) fn fill<R: Records>(&self, records: &R, absent: UnixMs, out: &mut FlowBatch) {
        let n = records.len();
        for (row, duration) in (0..n).map(|row| (row, self.duration_ms(records, row))) {
            let at = out.rows() + row;
            let (start, end) = (out.get(FLOW_START, at), out.get(FLOW_END, at));
            let (told_start, told_end) = match (start, end, duration) {
                (0, 1.., Some(duration)) => (end - duration, end),
                (1.., 0, Some(duration)) => (start, start + duration),
                _ => (start, end),
            };
            let mut put = |col: Col<UnixMs>, open: bool, time: UnixMs| {
                if let Some(place) = out.open_slice(col, if open { n } else { 0 }).get_mut(row) {
                    *place = if time == 0 { absent } else { time };
                }
            };
            put(FLOW_START, self.start, told_start);
            put(FLOW_END, self.end, told_end);
        }
    }

    /// A duration that cannot be one of a flow is none.
    fn duration_ms<R: Records>(&self, records: &R, row: usize) -> Option<UnixMs> {
        let (field, per_ms) = self.duration?;
        let ms = records.unsigned(row, field) / per_ms;
        is_time(ms + 1).then_some(ms as UnixMs)
    }
}

impl Step {
    /// Whether the step writes this column of time.
    fn fills(&self, col: Col<UnixMs>) -> bool {
        let column = match self.op {
            Op::Seconds(col) | Op::Milliseconds(col) | Op::Ntp(col) | Op::Uptime(col) | Op::DeltaMicroseconds(col) => {
                col
            }
            _ => return false,
        };
        column.column() == col.column()
    }

    /// Whether the step writes the end of flows from a field that is a time in itself.
    pub(super) fn is_absolute_end(&self) -> bool {
        matches!(self.op, Op::Seconds(_) | Op::Milliseconds(_) | Op::Ntp(_)) && self.fills(FLOW_END)
    }

    /// What a field that is a time in itself says, in milliseconds.
    fn absolute_ms(&self, value: u64) -> u64 {
        match self.op {
            Op::Seconds(_) => value.saturating_mul(1000),
            Op::Ntp(_) => ntp_to_unix_ms(value).max(0) as u64,
            _ => value,
        }
    }
}

impl Plan {
    /// Whether to believe times in records whose message's header is off: flows are exported soon after their end, so
    /// that the latest end is near the clock that it was taken by. If it is nearer to the arrival than to the header, the
    /// header alone is wrong, and the records' own times stay as they are.
    pub(super) fn believed<R: Records>(&self, records: &R, clock: Clock) -> Clock {
        let Some(step) = self.absolute.filter(|_| clock.correction_ms != 0) else { return clock };
        let ends = (0..records.len()).map(|row| step.absolute_ms(records.unsigned(row, step.field)));
        let Some(latest) = ends.filter(|&end| is_time(end)).max() else { return clock };
        let (arrival, header) = (clock.export_ms, clock.export_ms - clock.correction_ms);
        let distance = |from: UnixMs| from.abs_diff(latest as UnixMs);
        if distance(arrival) < distance(header) { Clock { correction_ms: 0, ..clock } } else { clock }
    }
}
