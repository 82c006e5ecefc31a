//! Cisco's tables of NetFlow versions 1, 5 and 7: every field of header and record at its offset.

use helios_collector::decode::{LossCounts, Protocol};
use helios_common::columns::{
    BYTES, DST_ADDR, DST_AS, DST_MASK, DST_PORT, FLOW_END, FLOW_START, IN_IF_INDEX, NEXT_HOP, OBSERVATION_DOMAIN_ID,
    OUT_IF_INDEX, PACKETS, PROTO, SAMPLING_INTERVAL, SRC_ADDR, SRC_AS, SRC_MASK, SRC_PORT, TCP_FLAGS, TOS,
};
use helios_common::exporter::mapped;

use super::figure;
use crate::bench::{Bench, NOW};

/// The first 20 octets of both headers, behind version and count.
const HEADER: &str = "
    0000ea60        #  4 SysUptime: 60 s
    6553f100        #  8 unix_secs: the bench's moment
    1dcd6500        # 12 unix_nsecs: half a second
    00000065        # 16 flow_sequence: 101
";

/// The first 36 octets of all records: what routers and switches say alike.
const RECORD: &str = "
    0a000001        #  0 srcaddr: 10.0.0.1
    c0000202        #  4 dstaddr: 192.0.2.2
    0a0000fe        #  8 nexthop: 10.0.0.254
    0003 0104       # 12 input: 3, 14 output: 260
    00000005        # 16 dPkts
    00000bb8        # 20 dOctets: 3000
    00002710        # 24 First: 10 s
    0000c350        # 28 Last: 50 s
    d431 01bb       # 32 srcport: 54321, 34 dstport: 443
";

fn assert_the_record(bench: &Bench) {
    let out = &bench.out;
    assert_eq!((out.get(SRC_ADDR, 0), out.get(DST_ADDR, 0)), (mapped([10, 0, 0, 1]), mapped([192, 0, 2, 2])));
    assert_eq!(out.get(NEXT_HOP, 0), mapped([10, 0, 0, 254]));
    assert_eq!((out.get(IN_IF_INDEX, 0), out.get(OUT_IF_INDEX, 0)), (3, 260));
    assert_eq!((out.get(PACKETS, 0), out.get(BYTES, 0)), (5, 3000));
    assert_eq!((out.get(FLOW_START, 0), out.get(FLOW_END, 0)), (NOW + 500 - 50_000, NOW + 500 - 10_000));
    assert_eq!((out.get(SRC_PORT, 0), out.get(DST_PORT, 0)), (54_321, 443));
    assert_eq!((out.get(TCP_FLAGS, 0), out.get(PROTO, 0), out.get(TOS, 0)), (0x1b, 6, 0xb8));
}

fn assert_systems_and_masks(bench: &Bench) {
    let out = &bench.out;
    assert_eq!((out.get(SRC_AS, 0), out.get(DST_AS, 0)), (64_500, 23_456), "AS_TRANS stays what it is");
    assert_eq!((out.get(SRC_MASK, 0), out.get(DST_MASK, 0)), (24, 20));
}

/// Version 1 has neither a sequence number nor systems and masks: the header ends behind the time.
#[test]
fn every_field_of_version_1_is_at_its_offset() {
    let header = HEADER.lines().take(4).collect::<Vec<_>>().join("\n");
    let rest = "
        0000            # 36 pad1
        06 b8 1b        # 38 prot, 39 tos, 40 flags
        01 02 03        # 41 tcp_retx_cnt, 42 tcp_retx_secs, 43 tcp_misseq_cnt
        ffffffff        # 44 reserved
    ";
    let message = figure(&format!("0001 0001 {header}\n{RECORD}\n{rest}"));
    assert_eq!(message.len(), 16 + 48);
    let mut bench = Bench::new();
    let decoded = bench.decode(&message);
    assert_eq!((decoded.protocol, decoded.rows), (Protocol::Netflow1, 1));
    assert_the_record(&bench);
    let out = &bench.out;
    assert_eq!((out.get(SRC_AS, 0), out.get(DST_AS, 0), out.get(SRC_MASK, 0), out.get(DST_MASK, 0)), (0, 0, 0, 0));
    assert_eq!((out.get(SAMPLING_INTERVAL, 0), out.get(OBSERVATION_DOMAIN_ID, 0)), (1, 0));
    bench.decode(&message);
    assert_eq!(bench.decoder.exporters().next().unwrap().loss_total(), LossCounts::default(), "nothing is numbered");
}

#[test]
fn every_field_of_version_5_is_at_its_offset() {
    let rest = "
        00 1b 06 b8     # 36 pad1, 37 tcp_flags, 38 prot, 39 tos
        fbf4 5ba0       # 40 src_as: 64500, 42 dst_as: 23456
        18 14 0000      # 44 src_mask, 45 dst_mask, 46 pad2
    ";
    let header = format!("0005 0001 {HEADER} 01 02 4064"); // 20 engine_type, 21 engine_id, 22 mode 1, 1 of 100
    let message = figure(&format!("{header}\n{RECORD}\n{rest}"));
    assert_eq!(message.len(), 24 + 48);
    let mut bench = Bench::new();
    assert_eq!(bench.decode(&message).rows, 1);
    assert_the_record(&bench);
    assert_systems_and_masks(&bench);
    assert_eq!((bench.out.get(SAMPLING_INTERVAL, 0), bench.out.get(OBSERVATION_DOMAIN_ID, 0)), (100, 0x0102));
}

#[test]
fn every_field_of_version_7_is_at_its_offset() {
    let rest = "
        00 1b 06 b8     # 36 flags, 37 tcp_flags, 38 prot, 39 tos
        fbf4 5ba0       # 40 src_as: 64500, 42 dst_as: 23456
        18 14 0000      # 44 src_mask, 45 dst_mask, 46 flags
        0a0000fd        # 48 router_sc: 10.0.0.253
    ";
    let header = format!("0007 0001 {HEADER} 01024064"); // 20 reserved: neither an engine nor an interval
    let message = figure(&format!("{header}\n{RECORD}\n{rest}"));
    assert_eq!(message.len(), 24 + 52);
    let mut bench = Bench::new();
    assert_eq!(bench.decode(&message).rows, 1);
    assert_the_record(&bench);
    assert_systems_and_masks(&bench);
    assert_eq!((bench.out.get(SAMPLING_INTERVAL, 0), bench.out.get(OBSERVATION_DOMAIN_ID, 0)), (1, 0));
}
