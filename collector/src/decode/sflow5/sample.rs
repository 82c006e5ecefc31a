//! Flow samples, expanded flow samples and discarded packets: what comes before their records.

use super::super::DecodeError;
use super::super::cursor::Cursor;
use super::super::packet::Decapsulate;
use super::interface::{Interface, forwarding_status};
use super::meters::{Meter, Source};
use super::rows::{Route, Row};
use super::{records, words};

/// Samples by what is made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    /// A row of flows.
    Packet(PacketSample),
    /// A row of interface counters.
    Counters { expanded: bool },
    /// Nothing.
    Other,
}

/// Samples that become rows of flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketSample {
    Flow,
    ExpandedFlow,
    Discarded,
}

/// The class of a source that is a logical entity: an application, which samples transactions and no packets ("sFlow
/// Host Structures").
const LOGICAL_ENTITY: u32 = 3;

/// Values of the `sampling_source` column.
const SAMPLING_UNKNOWN: u8 = 0;
const SAMPLING_BY_RECORD: u8 = 1;

/// Values of the `flow_direction` column.
const INGRESS: u8 = 1;
const EGRESS: u8 = 2;

/// The fields that all three kinds have in some form.
struct Head {
    meter: Meter,
    sampling_rate: u32,
    input: Interface,
    output: Interface,
    /// Why the packet was dropped, if it was.
    dropped: Option<u32>,
    n_records: u32,
}

/// Reads a sample into `row` and `route`, which hold defaults; returns its counts, and how many of its records were too
/// short.
///
/// # Errors
/// [`DecodeError`] when the sample ends before its records do, or has more of them than a sample may.
#[inline]
pub(super) fn read<'a>(
    kind: PacketSample,
    octets: &'a [u8],
    decapsulate: Decapsulate,
    row: &mut Row,
    route: &mut Route<'a>,
) -> Result<(Meter, u32), DecodeError> {
    let mut cursor = Cursor::new(octets);
    let head = match kind {
        PacketSample::Flow => flow(&mut cursor)?,
        PacketSample::ExpandedFlow => expanded_flow(&mut cursor)?,
        PacketSample::Discarded => discarded(&mut cursor)?,
    };
    row.packets = u8::from(head.meter.source.class != LOGICAL_ENTITY);
    row.in_if_index = head.input.if_index();
    row.out_if_index = head.output.if_index();
    row.flow_direction = direction(head.meter.source, row.in_if_index, row.out_if_index);
    row.forwarding_status = head.dropped.map_or(0, forwarding_status);
    row.discard_reason = head.dropped.map_or(0, |reason| reason.try_into().unwrap_or(u16::MAX));
    (row.sampling_interval, row.sampling_source) = match head.sampling_rate {
        0 => (1, SAMPLING_UNKNOWN),
        rate => (rate, SAMPLING_BY_RECORD),
    };
    let malformed_records = records::read(cursor, head.n_records, decapsulate, row, route)?;
    Ok((head.meter, malformed_records))
}

#[inline]
fn flow(cursor: &mut Cursor<'_>) -> Result<Head, DecodeError> {
    let [sequence, source, sampling_rate, pool, drops, input, output, n_records] = words(cursor)?;
    let (input, output) = (Interface::compact(input), Interface::compact(output));
    Ok(Head {
        meter: Meter { source: Source::compact(source), sequence, pool, drops },
        sampling_rate,
        input,
        output,
        dropped: output.discard_reason(),
        n_records,
    })
}

fn expanded_flow(cursor: &mut Cursor<'_>) -> Result<Head, DecodeError> {
    let [sequence, class, index, sampling_rate, pool, drops] = words(cursor)?;
    let [in_format, input, out_format, output, n_records] = words(cursor)?;
    let (input, output) = (Interface::expanded(in_format, input), Interface::expanded(out_format, output));
    let meter = Meter { source: Source { class, index }, sequence, pool, drops };
    Ok(Head { meter, sampling_rate, input, output, dropped: output.discard_reason(), n_records })
}

/// A discarded packet is reported once for itself: its rate is 1. `drops` counts those that were not reported. The
/// output, a plain ifIndex like the input, is where the packet was to go.
fn discarded(cursor: &mut Cursor<'_>) -> Result<Head, DecodeError> {
    let [sequence, class, index, drops, input, output, reason, n_records] = words(cursor)?;
    let (input, output) = (Interface::expanded(0, input), Interface::expanded(0, output));
    let meter = Meter { source: Source { class, index }, sequence, pool: 0, drops };
    Ok(Head { meter, sampling_rate: 1, input, output, dropped: Some(reason), n_records })
}

/// A packet sampled on the interface it came in by is seen at ingress; on the one it went out by, at egress. Both
/// at once, as on a packet that turns round, tell nothing.
#[inline]
fn direction(source: Source, input: u32, output: u32) -> u8 {
    if source.class != 0 || source.index == 0 {
        return 0;
    }
    match (source.index == input, source.index == output) {
        (true, false) => INGRESS,
        (false, true) => EGRESS,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_source_tells_the_direction() {
        let source = Source { class: 0, index: 3 };
        assert_eq!(direction(source, 3, 4), INGRESS);
        assert_eq!(direction(source, 4, 3), EGRESS);
        assert_eq!(direction(source, 3, 3), 0);
        assert_eq!(direction(source, 1, 2), 0);
        assert_eq!(direction(Source { class: 1, index: 3 }, 3, 4), 0);
        assert_eq!(direction(Source { class: 0, index: 0 }, 0, 4), 0);
    }

    #[test]
    fn a_compact_data_source_has_its_class_in_the_first_octet() {
        let source = Source::compact(0x0200_0015);
        assert_eq!((source.class, source.index), (2, 21));
    }
}
