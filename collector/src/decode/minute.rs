//! What the table `exporters` gets: the counts of every observation domain, minute by minute.
//!
//! Counts run on for as long as the domain is known. Closing a minute takes the difference to what was reported
//! before; a minute in which nothing came has no row. Loss that a late message takes back after its minute was closed
//! stays reported, and is set off against the next: over time the sum is right.

use helios_common::columns::{SAMPLING_INTERVAL, SAMPLING_SOURCE};
use helios_common::flow::FlowBatch;
use helios_common::side::ExporterMinute;
use helios_common::time::UnixMs;

use super::sequence::LossCounts;
use super::sflow5::Metered;
use super::{Decoded, Protocol};

/// Values of the `sampling_source` column that are no announcement of the exporter.
const NOT_ANNOUNCED: [u8; 2] = [0, 6];

/// Counts since the domain was first seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    datagrams: u64,
    records: u64,
    options_records: u64,
    flows: u64,
    sets_without_template: u64,
    template_definitions: u64,
    samples: u64,
    counter_samples: u64,
    metered: Metered,
    loss: LossCounts,
}

/// The counts of one domain, and what of them was reported.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Minutes {
    total: Tally,
    reported: Tally,
    /// As of the last message.
    pub last: Last,
}

/// What is not counted: its last value is all that there is to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Last {
    pub seen: UnixMs,
    /// The exporter's clock minus the arrival; 0 if the protocol has no clock.
    pub clock_skew_ms: i64,
    /// As announced; 0 if it never was.
    pub sampling_interval: u32,
}

impl Minutes {
    /// Takes note of a message whose rows are the last of `out`. `export_ms` is its own time, if it has one.
    pub(super) fn message(
        &mut self,
        decoded: &Decoded,
        received_at: UnixMs,
        export_ms: Option<UnixMs>,
        out: &FlowBatch,
    ) {
        let total = &mut self.total;
        total.datagrams += 1;
        total.records += u64::from(decoded.data_records + decoded.held_records);
        total.options_records += u64::from(decoded.options_records);
        total.flows += u64::from(decoded.rows);
        total.sets_without_template += u64::from(decoded.sets_without_template);
        total.template_definitions += u64::from(decoded.templates + decoded.options_templates);
        let sflow = &decoded.sflow;
        total.samples += u64::from(sflow.flow_samples + sflow.expanded_flow_samples);
        total.counter_samples += u64::from(sflow.counter_samples + sflow.expanded_counter_samples);
        total.metered.add(&sflow.metered);
        self.last.seen = received_at;
        self.last.clock_skew_ms = export_ms.map_or(0, |export_ms| export_ms - received_at);
        if let Some(row) = out.rows().checked_sub(1).filter(|_| decoded.rows > 0)
            && !NOT_ANNOUNCED.contains(&out.get(SAMPLING_SOURCE, row))
        {
            self.last.sampling_interval = out.get(SAMPLING_INTERVAL, row);
        }
    }

    pub(super) fn metered(&self) -> Metered {
        self.total.metered
    }

    /// Messages that were not reported yet.
    pub(super) fn unreported(&self) -> u64 {
        self.total.datagrams - self.reported.datagrams
    }

    /// The row of the time since the last call, without what the caller knows: minute, exporter, domain, worker,
    /// templates. `None` if no message came.
    pub(super) fn close(&mut self, protocol: Protocol, loss: LossCounts) -> Option<ExporterMinute> {
        self.total.loss = loss;
        let (total, before) = (self.total, self.reported);
        if self.unreported() == 0 {
            return None;
        }
        let lost = total.loss.lost.saturating_sub(before.loss.lost);
        self.reported = total;
        self.reported.loss.lost = before.loss.lost + lost;
        let metered = total.metered.since(&before.metered);
        Some(ExporterMinute {
            export_protocol: protocol as u8,
            datagrams: total.datagrams - before.datagrams,
            records: total.records - before.records,
            options_records: total.options_records - before.options_records,
            flows: total.flows - before.flows,
            lost,
            reordered: total.loss.reordered - before.loss.reordered,
            duplicates: total.loss.duplicates - before.loss.duplicates,
            restarts: total.loss.restarts - before.loss.restarts,
            sets_without_template: total.sets_without_template - before.sets_without_template,
            template_definitions: total.template_definitions - before.template_definitions,
            clock_skew_ms: self.last.clock_skew_ms,
            sampling_interval: self.last.sampling_interval,
            samples: total.samples - before.samples,
            sample_pool: metered.pool,
            sample_drops: metered.drops,
            effective_sampling_interval: metered.effective_interval(),
            counter_samples: total.counter_samples - before.counter_samples,
            last_seen: self.last.seen,
            ..ExporterMinute::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::exporter::ExporterId;

    const NOW: UnixMs = 1_700_000_000_000;

    fn decoded(rows: u32) -> Decoded {
        Decoded { rows, data_records: rows, ..Decoded::new(Protocol::Ipfix) }
    }

    fn batch(sampling_interval: u32, source: u8) -> FlowBatch {
        let mut batch = FlowBatch::new();
        batch.fill(SAMPLING_INTERVAL, 3, sampling_interval);
        batch.fill(SAMPLING_SOURCE, 3, source);
        batch.advance(3, ExporterId(0));
        batch
    }

    fn lost(lost: u64) -> LossCounts {
        LossCounts { lost, ..LossCounts::default() }
    }

    #[test]
    fn a_row_has_the_difference_to_the_one_before_and_silence_has_none() {
        let mut minutes = Minutes::default();
        let out = batch(100, 1);
        minutes.message(&decoded(3), NOW, Some(NOW - 700), &out);
        minutes.message(&decoded(3), NOW + 5, Some(NOW + 1005), &out);
        let row = minutes.close(Protocol::Ipfix, lost(7)).unwrap();
        assert_eq!((row.datagrams, row.records, row.flows, row.lost), (2, 6, 6, 7));
        assert_eq!((row.clock_skew_ms, row.last_seen, row.sampling_interval), (1000, NOW + 5, 100));
        assert_eq!(row.export_protocol, 10);
        assert_eq!(minutes.close(Protocol::Ipfix, lost(7)), None);
        minutes.message(&decoded(3), NOW + 9, None, &out);
        let row = minutes.close(Protocol::Ipfix, lost(7)).unwrap();
        assert_eq!((row.datagrams, row.flows, row.lost, row.clock_skew_ms), (1, 3, 0, 0));
    }

    #[test]
    fn loss_that_is_taken_back_is_set_off_against_the_next() {
        let mut minutes = Minutes::default();
        let mut sum = 0;
        for total in [10, 8, 11, 11, 15] {
            minutes.message(&decoded(3), NOW, None, &batch(1, 0));
            sum += minutes.close(Protocol::Ipfix, lost(total)).unwrap().lost;
            assert!(sum >= total, "{sum} reported of {total}");
        }
        assert_eq!(sum, 15);
    }

    #[test]
    fn an_interval_that_is_configured_or_unknown_was_not_announced() {
        for source in NOT_ANNOUNCED {
            let mut minutes = Minutes::default();
            minutes.message(&decoded(3), NOW, None, &batch(512, source));
            assert_eq!(minutes.last.sampling_interval, 0);
        }
        let mut minutes = Minutes::default();
        minutes.message(&decoded(3), NOW, None, &batch(512, 2));
        minutes.message(&decoded(0), NOW, None, &batch(7, 2));
        assert_eq!(minutes.last.sampling_interval, 512, "a message without rows announces nothing");
    }
}
