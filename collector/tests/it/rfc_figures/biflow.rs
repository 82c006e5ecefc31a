//! RFC 5103, Appendix A: one record of both directions of a typical HTTP transaction.

use helios_common::columns::{
    BYTES, DST_ADDR, DST_PORT, FLOW_START, OBSERVATION_DOMAIN_ID, PACKETS, PROTO, SRC_ADDR, SRC_PORT,
};
use helios_common::exporter::mapped;

use super::{message, message_in};
use crate::bench::Bench;

/// Figure 7, with 256 for "Template ID >= 256".
const TEMPLATE_SET: &str = "
    0002 0040       # Set ID = 2, Length = 64
    0100 000b       # Template ID >= 256, Field Count = 11
    0096 0004       # flowStartSeconds 150
    8096 0004       # |1| flowStartSeconds 150
    00007279        # Reverse PEN 29305
    0008 0004       # sourceIPv4Address 8
    000c 0004       # destinationIPv4Address 12
    0007 0002       # sourceTransportPort 7
    000b 0002       # destinationTransportPort 11
    0004 0001       # protocolIdentifier 4
    0055 0004       # octetTotalCount 85
    8055 0004       # |1| octetTotalCount 85
    00007279        # Reverse PEN 29305
    0056 0004       # packetTotalCount 86
    8056 0004       # |1| packetTotalCount 86
    00007279        # Reverse PEN 29305
";

/// Figure 8.
const DATA_SET: &str = "
    0100 0029       # Set ID >= 256, Length = 41
    43e0e910        # 2006-02-01 17:00:00
    43e0e911        # 2006-02-01 17:00:01
    c0000202        # 192.0.2.2
    c0000203        # 192.0.2.3
    8002 0050       # 32770, 80
    06 00004650     # 6, 18000
    0001f400        # 128000
    00000041        # 65
    0000006e        # 110
";

/// 2006-02-01 17:00:00 UTC.
const START: i64 = 1_138_813_200_000;

#[test]
fn the_http_transaction_of_figure_8_is_a_row_each_way() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&message(&[TEMPLATE_SET, DATA_SET]));
    assert_eq!((decoded.data_records, decoded.rows), (1, 2));
    let out = &bench.out;
    let (client, server) = (mapped([192, 0, 2, 2]), mapped([192, 0, 2, 3]));
    assert_eq!((out.values(SRC_ADDR), out.values(DST_ADDR)), (&[client, server][..], &[server, client][..]));
    assert_eq!((out.values(SRC_PORT), out.values(DST_PORT)), (&[32770, 80][..], &[80, 32770][..]));
    assert_eq!(out.values(PROTO), [6, 6]);
    assert_eq!((out.values(BYTES), out.values(PACKETS)), (&[18_000, 128_000][..], &[65, 110][..]));
    assert_eq!(out.values(FLOW_START), [START, START + 1000], "each direction began at its own time");
}

/// Figures 9 and 10: the perimeter as the reason for the directions of domain 33, which are no different for it.
#[test]
fn the_direction_assignment_of_figure_10_is_options_data_and_no_flow() {
    let options = "
        0003 0012       # Set ID = 3, Length = 18
        0101 0002       # Template ID >= 256, Field Count = 2
        0001 0095       # Scope Count = 1, observationDomainId 149
        0004 00ef       # Field Length = 4, biflowDirection 239
        0001            # Field Length = 1
    ";
    let record = "0101 0009 00000021 03"; // Set ID >= 256, Length = 9: 33, 3
    let mut bench = Bench::new();
    let decoded = bench.decode(&message_in(33, &[options, record, TEMPLATE_SET, DATA_SET]));
    assert_eq!((decoded.options_templates, decoded.options_records, decoded.rows), (1, 1, 2));
    assert_eq!(bench.out.values(SRC_PORT), [32770, 80]);
    assert_eq!(bench.out.values(OBSERVATION_DOMAIN_ID), [33, 33]);
}
