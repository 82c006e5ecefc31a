//! RFC 3954, section 11: an export packet of a template, its flows, an options template and its records.

use helios_common::columns::{BYTES, DST_ADDR, NEXT_HOP, PACKETS, SRC_ADDR};
use helios_common::exporter::mapped;

use super::figure;
use crate::bench::Bench;

/// Sections 11.1 to 11.5, in the order of the export packet that section 11 shows.
const EXPORT_PACKET: &str = "
    0009 0007       # 11.1: Version = 9, Count = 7
    00002710        # sysUpTime: 10 s
    6553f100        # UNIX Secs: the bench's moment
    00000000        # Sequence Number
    00000007        # Source ID

    0000 001c       # 11.2: FlowSet ID = 0, Length = 28
    0100 0005       # Template ID 256, Field Count = 5
    0008 0004       # IP_SRC_ADDR = 8
    000c 0004       # IP_DST_ADDR = 12
    000f 0004       # IP_NEXT_HOP = 15
    0002 0004       # IN_PKTS = 2
    0001 0004       # IN_BYTES = 1

    0100 0040       # 11.3: FlowSet ID = 256, Length = 64
    c6a8010c 0a050cfe c0a80101 00001391 00518c81    # 198.168.1.12, 10.5.12.254, 192.168.1.1, 5009, 5344385
    c0a8011b 0a050c17 c0a80101 000002ec 0005ef46    # 192.168.1.27, 10.5.12.23, 192.168.1.1, 748, 388934
    c0a80138 0a050c41 c0a80101 00000005 00001986    # 192.168.1.56, 10.5.12.65, 192.168.1.1, 5, 6534

    0001 0018       # 11.4: FlowSet ID = 1, Length = 24
    0101 0004       # Template ID 257, Option Scope Length = 4
    0008 0003       # Option Length = 8, Scope 1 Field Type = 3
    0002 0029       # Scope 1 Field Length = 2, TOTAL_EXP_PKTS_SENT = 41
    0002 002a       # Field Length = 2, TOTAL_FLOWS_EXP = 42
    0002 0000       # Field Length = 2, Padding

    0101 0010       # 11.5: FlowSet ID = 257, Length = 16
    0001 0159       # 1, 345
    27d9 0002       # 10201, 2
    02b2 4fb2       # 690, 20402
";

#[test]
fn the_export_packet_of_section_11_is_three_flows_and_two_options_records() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&figure(EXPORT_PACKET));
    assert_eq!((decoded.templates, decoded.options_templates), (1, 1));
    assert_eq!((decoded.data_records, decoded.options_records, decoded.rows), (3, 2, 3));
    let out = &bench.out;
    let sources = [[198, 168, 1, 12], [192, 168, 1, 27], [192, 168, 1, 56]].map(mapped);
    let destinations = [254, 23, 65].map(|last| mapped([10, 5, 12, last]));
    assert_eq!((out.values(SRC_ADDR), out.values(DST_ADDR)), (&sources[..], &destinations[..]));
    assert_eq!(out.values(NEXT_HOP), [mapped([192, 168, 1, 1]); 3]);
    assert_eq!(out.values(PACKETS), [5009, 748, 5]);
    assert_eq!(out.values(BYTES), [5_344_385, 388_934, 6534]);
}

/// Section 9: "the Collector MUST accept padding in the Data FlowSet and Options Template FlowSet, which means for the
/// Flow Data Records, the Options Data Records and the Template Records".
#[test]
fn flow_sets_may_be_padded() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&figure(
        "0009 0006 00002710 6553f100 00000000 00000007
         0000 0014 0100 0002 0008 0004 0004 0001 00000000   # a template, 4 octets of padding
         0100 0010 0a000001 06 0a000002 11 0000             # 2 records of 5 octets, 2 of padding
         0001 0018 0101 0004 0004 0001 0004 0022 0004 000000000000 # an options template, 6 of padding
         0101 0010 00000000 00000064 00000000               # a record of 8 octets, 4 of padding",
    ));
    assert_eq!((decoded.templates, decoded.data_records, decoded.rows), (1, 2, 2));
    assert_eq!((decoded.options_templates, decoded.options_records), (1, 1));
    assert_eq!(bench.out.values(SRC_ADDR), [[10, 0, 0, 1], [10, 0, 0, 2]].map(mapped));
}
