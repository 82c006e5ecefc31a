//! Counter samples, read by both decoders.

use flowparser_sflow::counter_records::CounterRecord;
use flowparser_sflow::{SflowDatagram, SflowSample};
use helios_common::side::{InterfaceCounters, Text, interface_counters};

/// Compares the rows of a message's counter samples.
#[track_caller]
pub fn compare(theirs: &SflowDatagram, ours: &[InterfaceCounters]) {
    let mut rows = ours.iter();
    for sample in &theirs.samples {
        let (sequence, class, index, records) = match sample {
            SflowSample::Counter(sample) => {
                (sample.sequence_number, sample.source_id_type, sample.source_id_index, &sample.records)
            }
            SflowSample::ExpandedCounter(sample) => {
                (sample.sequence_number, sample.source_id_type, sample.source_id_index, &sample.records)
            }
            _ => continue,
        };
        let mut expected = InterfaceCounters::default();
        records.iter().for_each(|record| fill(record, &mut expected));
        if expected.structures == 0 {
            continue;
        }
        let row = rows.next().expect("a sample that tells something is a row");
        assert_eq!((row.sequence, row.source_type, row.source_index), (sequence, class, index));
        // What the sample's head and the message say was compared; the rest is the records'.
        expected.received_at = row.received_at;
        expected.exporter_address = row.exporter_address;
        expected.sub_agent_id = row.sub_agent_id;
        expected.uptime_ms = row.uptime_ms;
        (expected.sequence, expected.source_type, expected.source_index) = (sequence, class, index);
        assert_eq!(*row, expected);
    }
    assert_eq!(rows.next(), None, "a row that the other decoder has not");
}

/// The first of a kind counts.
fn fill(record: &CounterRecord, row: &mut InterfaceCounters) {
    let bit = match record {
        CounterRecord::GenericInterface(_) => interface_counters::GENERIC,
        CounterRecord::EthernetInterface(_) => interface_counters::ETHERNET,
        CounterRecord::Vlan(_) => interface_counters::VLAN,
        CounterRecord::Processor(_) => interface_counters::PROCESSOR,
        CounterRecord::PortName(_) => interface_counters::PORT_NAME,
        _ => return,
    };
    if row.structures & bit != 0 {
        return;
    }
    row.structures |= bit;
    match record {
        CounterRecord::GenericInterface(theirs) => {
            row.if_index = theirs.if_index;
            row.if_type = theirs.if_type;
            row.if_speed = theirs.if_speed;
            row.if_direction = if theirs.if_direction <= 4 { theirs.if_direction as u8 } else { 0 };
            row.if_status = theirs.if_status;
            row.if_in_octets = theirs.if_in_octets;
            row.if_in_ucast_pkts = theirs.if_in_ucast_pkts;
            row.if_in_multicast_pkts = theirs.if_in_multicast_pkts;
            row.if_in_broadcast_pkts = theirs.if_in_broadcast_pkts;
            row.if_in_discards = theirs.if_in_discards;
            row.if_in_errors = theirs.if_in_errors;
            row.if_in_unknown_protos = theirs.if_in_unknown_protos;
            row.if_out_octets = theirs.if_out_octets;
            row.if_out_ucast_pkts = theirs.if_out_ucast_pkts;
            row.if_out_multicast_pkts = theirs.if_out_multicast_pkts;
            row.if_out_broadcast_pkts = theirs.if_out_broadcast_pkts;
            row.if_out_discards = theirs.if_out_discards;
            row.if_out_errors = theirs.if_out_errors;
            row.if_promiscuous_mode = theirs.if_promiscuous_mode;
        }
        CounterRecord::EthernetInterface(theirs) => {
            row.dot3_stats_alignment_errors = theirs.dot3_stats_alignment_errors;
            row.dot3_stats_fcs_errors = theirs.dot3_stats_fcs_errors;
            row.dot3_stats_single_collision_frames = theirs.dot3_stats_single_collision_frames;
            row.dot3_stats_multiple_collision_frames = theirs.dot3_stats_multiple_collision_frames;
            row.dot3_stats_sqe_test_errors = theirs.dot3_stats_sqe_test_errors;
            row.dot3_stats_deferred_transmissions = theirs.dot3_stats_deferred_transmissions;
            row.dot3_stats_late_collisions = theirs.dot3_stats_late_collisions;
            row.dot3_stats_excessive_collisions = theirs.dot3_stats_excessive_collisions;
            row.dot3_stats_internal_mac_transmit_errors = theirs.dot3_stats_internal_mac_transmit_errors;
            row.dot3_stats_carrier_sense_errors = theirs.dot3_stats_carrier_sense_errors;
            row.dot3_stats_frame_too_longs = theirs.dot3_stats_frame_too_longs;
            row.dot3_stats_internal_mac_receive_errors = theirs.dot3_stats_internal_mac_receive_errors;
            row.dot3_stats_symbol_errors = theirs.dot3_stats_symbol_errors;
        }
        CounterRecord::Vlan(theirs) => {
            row.vlan_id = theirs.vlan_id;
            row.vlan_octets = theirs.octets;
            row.vlan_ucast_pkts = theirs.ucast_pkts;
            row.vlan_multicast_pkts = theirs.multicast_pkts;
            row.vlan_broadcast_pkts = theirs.broadcast_pkts;
            row.vlan_discards = theirs.discards;
        }
        CounterRecord::Processor(theirs) => {
            (row.cpu_5s, row.cpu_1m, row.cpu_5m) = (theirs.cpu_5s, theirs.cpu_1m, theirs.cpu_5m);
            (row.memory_total, row.memory_free) = (theirs.total_memory, theirs.free_memory);
        }
        CounterRecord::PortName(theirs) => row.if_name = Text::new(theirs.name.as_bytes()),
        _ => {}
    }
}
