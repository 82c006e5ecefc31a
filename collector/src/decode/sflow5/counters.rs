//! Counter samples: a row of `interface_counters` each.
//!
//! ```text
//!  counters_sample                       counters_sample_expanded
//!   0  sequence number                    0  sequence number
//!   4  source: 8 bits class, 24 index     4  class of the source
//!   8  number of records                  8  index of the source
//!                                        12  number of records
//! ```
//!
//! Read are the structures that every device has: the interface (1), Ethernet (2), a VLAN (5), the processor (1001) and
//! the port's name (1005). All others (Token Ring, 100BaseVG, 802.11, LACP, hosts and what runs on them, enterprises')
//! are stepped over by their length and counted. Of two of a kind the first counts. A sample with none that is read
//! is no row.
//!
//! Sources: sFlow.org "sFlow Version 5" (July 2004) §5.3 `counters_sample`, `if_counters`, `ethernet_counters`,
//! `vlan_counters`, `processor`; "sFlow Port NAME structure" (2013).

use helios_common::side::interface_counters as present;
use helios_common::side::{InterfaceCounters, Text};

use super::super::DecodeError;
use super::super::cursor::Cursor;
use super::meters::Source;
use super::records::MAX_RECORDS;
use super::{TAG_OCTETS, tagged, words};

// Formats of counter records (sflow.org "Structure Numbers").
const GENERIC: u32 = 1;
const ETHERNET: u32 = 2;
const VLAN: u32 = 5;
const PROCESSOR: u32 = 1001;
const PORT_NAME: u32 = 1005;

/// The greatest value of `ifDirection` that the column has a label for.
const IF_DIRECTION_MAX: u32 = 4;

/// Records of a sample that became nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Of a structure that is not read.
    pub unknown: u32,
    /// Shorter than their structure.
    pub malformed: u32,
}

/// Reads a counter sample into `row`, whose structures are none yet.
///
/// # Errors
/// [`DecodeError`] when the sample ends before its records do, or has more of them than a sample may.
pub(super) fn read(expanded: bool, octets: &[u8], row: &mut InterfaceCounters) -> Result<LeftOut, DecodeError> {
    let mut sample = Cursor::new(octets);
    row.sequence = sample.u32()?;
    let source = if expanded {
        let [class, index] = words(&mut sample)?;
        Source { class, index }
    } else {
        Source::compact(sample.u32()?)
    };
    (row.source_type, row.source_index) = (source.class, source.index);
    let n = sample.u32()?;
    if n > MAX_RECORDS || n as usize > sample.remaining() / TAG_OCTETS {
        return Err(DecodeError::BadCount);
    }
    let mut left_out = LeftOut::default();
    for _ in 0..n {
        let [format, length] = words(&mut sample)?;
        let mut record = Cursor::new(tagged(&mut sample, length)?);
        match structure(format) {
            None => left_out.unknown += 1,
            Some(bit) if row.structures & bit != 0 => {}
            Some(bit) => match fill(format, &mut record, row) {
                Ok(()) => row.structures |= bit,
                Err(_) => left_out.malformed += 1,
            },
        }
    }
    Ok(left_out)
}

/// The bit of a structure that is read.
const fn structure(format: u32) -> Option<u32> {
    match format {
        GENERIC => Some(present::GENERIC),
        ETHERNET => Some(present::ETHERNET),
        VLAN => Some(present::VLAN),
        PROCESSOR => Some(present::PROCESSOR),
        PORT_NAME => Some(present::PORT_NAME),
        _ => None,
    }
}

/// Reads a structure whole before it changes the row: one that is too short leaves nothing.
fn fill(format: u32, record: &mut Cursor<'_>, row: &mut InterfaceCounters) -> Result<(), DecodeError> {
    match format {
        GENERIC => generic(record, row),
        ETHERNET => ethernet(record, row),
        VLAN => vlan(record, row),
        PROCESSOR => processor(record, row),
        _ => {
            let length = record.u32()?;
            row.if_name = Text::new(record.take(length as usize)?);
            Ok(())
        }
    }
}

/// `if_counters`, after the interfaces group of RFC 2233.
fn generic(record: &mut Cursor<'_>, row: &mut InterfaceCounters) -> Result<(), DecodeError> {
    let [if_index, if_type, speed_high, speed_low, direction, status] = words(record)?;
    let [in_high, in_low, in_ucast, in_multicast, in_broadcast, in_discards, in_errors, in_unknown] = words(record)?;
    let [out_high, out_low, out_ucast, out_multicast, out_broadcast, out_discards, out_errors, promiscuous] =
        words(record)?;
    row.if_index = if_index;
    row.if_type = if_type;
    row.if_speed = wide(speed_high, speed_low);
    row.if_direction = if direction <= IF_DIRECTION_MAX { direction as u8 } else { 0 };
    row.if_status = status;
    row.if_in_octets = wide(in_high, in_low);
    row.if_in_ucast_pkts = in_ucast;
    row.if_in_multicast_pkts = in_multicast;
    row.if_in_broadcast_pkts = in_broadcast;
    row.if_in_discards = in_discards;
    row.if_in_errors = in_errors;
    row.if_in_unknown_protos = in_unknown;
    row.if_out_octets = wide(out_high, out_low);
    row.if_out_ucast_pkts = out_ucast;
    row.if_out_multicast_pkts = out_multicast;
    row.if_out_broadcast_pkts = out_broadcast;
    row.if_out_discards = out_discards;
    row.if_out_errors = out_errors;
    row.if_promiscuous_mode = promiscuous;
    Ok(())
}

/// `ethernet_counters`, after the dot3 group of RFC 2358.
fn ethernet(record: &mut Cursor<'_>, row: &mut InterfaceCounters) -> Result<(), DecodeError> {
    [
        row.dot3_stats_alignment_errors,
        row.dot3_stats_fcs_errors,
        row.dot3_stats_single_collision_frames,
        row.dot3_stats_multiple_collision_frames,
        row.dot3_stats_sqe_test_errors,
        row.dot3_stats_deferred_transmissions,
        row.dot3_stats_late_collisions,
        row.dot3_stats_excessive_collisions,
        row.dot3_stats_internal_mac_transmit_errors,
        row.dot3_stats_carrier_sense_errors,
        row.dot3_stats_frame_too_longs,
        row.dot3_stats_internal_mac_receive_errors,
        row.dot3_stats_symbol_errors,
    ] = words(record)?;
    Ok(())
}

/// `vlan_counters`.
fn vlan(record: &mut Cursor<'_>, row: &mut InterfaceCounters) -> Result<(), DecodeError> {
    let [id, high, low, ucast, multicast, broadcast, discards] = words(record)?;
    row.vlan_id = id;
    row.vlan_octets = wide(high, low);
    row.vlan_ucast_pkts = ucast;
    row.vlan_multicast_pkts = multicast;
    row.vlan_broadcast_pkts = broadcast;
    row.vlan_discards = discards;
    Ok(())
}

/// `processor`: loads in hundredths of a percent, memory in octets.
fn processor(record: &mut Cursor<'_>, row: &mut InterfaceCounters) -> Result<(), DecodeError> {
    let [cpu_5s, cpu_1m, cpu_5m, total_high, total_low, free_high, free_low] = words(record)?;
    (row.cpu_5s, row.cpu_1m, row.cpu_5m) = (cpu_5s, cpu_1m, cpu_5m);
    row.memory_total = wide(total_high, total_low);
    row.memory_free = wide(free_high, free_low);
    Ok(())
}

/// Sixty-four bits are two words, the upper one first (RFC 4506 §4.5).
const fn wide(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn record(format: u32, contents: &[u8]) -> Vec<u8> {
        [&octets(&[format, contents.len() as u32])[..], contents].concat()
    }

    #[rustfmt::skip]
    const IF_COUNTERS: [u32; 22] = [
        7, 6, 2, 0x540b_e400, 1, 3,    // ifIndex, Ethernet, 10 Gbit/s, full duplex, up and up
        1, 5, 11, 12, 13, 14, 15, 16,  // in: octets 2^32 + 5, then packets
        2, 6, 21, 22, 23, 24, 25, 2,   // out: the same, not promiscuous
    ];

    fn sample(records: &[Vec<u8>]) -> Vec<u8> {
        [octets(&[41, 7, records.len() as u32]), records.concat()].concat()
    }

    fn read_compact(octets: &[u8]) -> Result<(InterfaceCounters, LeftOut), DecodeError> {
        let mut row = InterfaceCounters::default();
        read(false, octets, &mut row).map(|left_out| (row, left_out))
    }

    #[test]
    fn an_interface_with_ethernet_errors_is_one_row() {
        let ethernet: Vec<u32> = (31..44).collect();
        let (row, left_out) =
            read_compact(&sample(&[record(1, &octets(&IF_COUNTERS)), record(2, &octets(&ethernet))])).unwrap();
        assert_eq!((row.sequence, row.source_type, row.source_index, row.structures), (41, 0, 7, 3));
        assert_eq!((row.if_index, row.if_type, row.if_speed), (7, 6, 10_000_000_000));
        assert_eq!((row.if_direction, row.if_status, row.if_promiscuous_mode), (1, 3, 2));
        assert_eq!((row.if_in_octets, row.if_out_octets), ((1 << 32) + 5, (2 << 32) + 6));
        assert_eq!((row.if_in_ucast_pkts, row.if_in_unknown_protos), (11, 16));
        assert_eq!((row.if_out_ucast_pkts, row.if_out_errors), (21, 25));
        assert_eq!((row.dot3_stats_alignment_errors, row.dot3_stats_symbol_errors), (31, 43));
        assert_eq!(left_out, LeftOut::default());
    }

    #[test]
    fn vlans_and_processors_are_sources_of_their_own() {
        let vlan = record(5, &octets(&[100, 1, 2, 3, 4, 5, 6]));
        let processor = record(1001, &octets(&[2500, 1250, 625, 1, 0, 0, 512]));
        let (row, _) = read_compact(&sample(&[vlan, processor])).unwrap();
        assert_eq!((row.structures, row.vlan_id, row.vlan_octets), (12, 100, (1 << 32) + 2));
        assert_eq!((row.vlan_ucast_pkts, row.vlan_discards), (3, 6));
        assert_eq!((row.cpu_5s, row.cpu_1m, row.cpu_5m), (2500, 1250, 625));
        assert_eq!((row.memory_total, row.memory_free), (1 << 32, 512));
    }

    #[test]
    fn a_port_tells_its_name() {
        let name = record(1005, &[&octets(&[5])[..], b"ge-0/\0\0\0"].concat());
        let (row, _) = read_compact(&sample(&[name])).unwrap();
        assert_eq!(row.if_name.to_text(), "ge-0/");
        assert_eq!(row.structures, present::PORT_NAME);
    }

    #[test]
    fn an_expanded_source_has_all_its_bits() {
        let sample = [octets(&[1, 2, 0x4ca3_f0d1, 1]), record(1, &octets(&IF_COUNTERS))].concat();
        let mut row = InterfaceCounters::default();
        read(true, &sample, &mut row).unwrap();
        assert_eq!((row.source_type, row.source_index, row.if_index), (2, 0x4ca3_f0d1, 7));
    }

    #[test]
    fn structures_that_are_not_read_are_counted_and_the_others_stay() {
        let host = record(2000, &[0; 40]);
        let enterprise = record((4413 << 12) | 1, &[0xff; 8]);
        let (row, left_out) = read_compact(&sample(&[host, record(1, &octets(&IF_COUNTERS)), enterprise])).unwrap();
        assert_eq!((row.structures, row.if_index), (1, 7));
        assert_eq!(left_out, LeftOut { unknown: 2, malformed: 0 });
    }

    #[test]
    fn a_structure_that_is_too_short_leaves_nothing_of_itself() {
        let whole = octets(&IF_COUNTERS);
        for cut in 0..whole.len() {
            let vlan = record(5, &octets(&[9, 0, 1, 1, 1, 1, 1]));
            let (row, left_out) = read_compact(&sample(&[record(1, &whole[..cut]), vlan])).unwrap();
            assert_eq!((row.structures, row.if_index, row.if_in_octets, row.vlan_id), (4, 0, 0, 9), "cut at {cut}");
            assert_eq!(left_out, LeftOut { unknown: 0, malformed: 1 });
        }
    }

    #[test]
    fn a_direction_that_has_no_label_is_unknown() {
        let mut counters = IF_COUNTERS;
        counters[4] = 5;
        let (row, _) = read_compact(&sample(&[record(1, &octets(&counters))])).unwrap();
        assert_eq!(row.if_direction, 0);
    }

    #[test]
    fn a_sample_that_is_cut_or_claims_too_much_is_refused() {
        let whole = sample(&[record(1, &octets(&IF_COUNTERS))]);
        for cut in 0..whole.len() {
            assert!(read_compact(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let many = octets(&[1, 7, u32::MAX]);
        assert_eq!(read_compact(&many), Err(DecodeError::BadCount));
    }
}
