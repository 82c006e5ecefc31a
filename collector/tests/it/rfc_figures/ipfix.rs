//! RFC 7011, Appendix A: an IPFIX message of a template set, a data set, an options template set and its data.

use helios_common::columns::{BYTES, DST_ADDR, NEXT_HOP, OBSERVATION_DOMAIN_ID, PACKETS, SRC_ADDR, VRF_NAME};
use helios_common::exporter::mapped;

use super::{figure, message};
use crate::bench::Bench;

/// A.1. The export time, the sequence number and the domain are open in the figure.
const HEADER: &str = "
    000a 0098       # Version = 0x000a, Length = 152
    6553f100        # Export Time: the bench's moment
    00000000        # Sequence Number
    0000002a        # Observation Domain ID: 42
";

/// A.2.1.
const TEMPLATE_SET: &str = "
    0002 001c       # Set ID = 2, Length = 28
    0100 0005       # Template ID 256, Field Count = 5
    0008 0004       # sourceIPv4Address = 8
    000c 0004       # destinationIPv4Address = 12
    000f 0004       # ipNextHopIPv4Address = 15
    0002 0004       # packetDeltaCount = 2
    0001 0004       # octetDeltaCount = 1
";

/// A.2.2, with the enterprise number for documentation (RFC 5612).
const ENTERPRISE_TEMPLATE_SET: &str = "
    0002 0020       # Set ID = 2, Length = 32
    0101 0005       # Template ID 257, Field Count = 5
    0008 0004       # sourceIPv4Address = 8
    000c 0004       # destinationIPv4Address = 12
    800f 0004       # |1| Information Element id. = 15
    00007ed9        # Enterprise number
    0002 0004       # packetDeltaCount = 2
    0001 0004       # octetDeltaCount = 1
";

/// The records of A.3.
const RECORDS: &str = "
    c000020c c00002fe c0000201 00001391 00518c81    # 192.0.2.12, 192.0.2.254, 192.0.2.1, 5009, 5344385
    c000021b c0000217 c0000202 000002ec 0005ef46    # 192.0.2.27, 192.0.2.23, 192.0.2.2, 748, 388934
    c0000238 c0000241 c0000203 00000005 00001986    # 192.0.2.56, 192.0.2.65, 192.0.2.3, 5, 6534
";

/// A.4.1.
const OPTIONS_TEMPLATE_SET: &str = "
    0003 0018       # Set ID = 3, Length = 24
    0102 0003       # Template ID 258, Field Count = 3
    0001 008d       # Scope Field Count = 1, lineCardId = 141
    0004 0029       # Scope 1 Field Length = 4, exportedMessageTotalCount = 41
    0002 002a       # Field Length = 2, exportedFlowRecordTotalCount = 42
    0002 0000       # Field Length = 2, Padding
";

/// The records of A.4.4: of the template of A.4.1 or of that of A.4.3, which differ in their scope only.
const OPTIONS_RECORDS: &str = "
    00000001 0159 27d9      # 1, 345, 10201
    00000002 02b2 4fb2      # 2, 690, 20402
";

fn assert_the_three_flows(bench: &Bench) {
    let out = &bench.out;
    let sources: Vec<_> = [12, 27, 56].map(|last| mapped([192, 0, 2, last])).to_vec();
    let destinations: Vec<_> = [254, 23, 65].map(|last| mapped([192, 0, 2, last])).to_vec();
    assert_eq!((out.values(SRC_ADDR), out.values(DST_ADDR)), (&sources[..], &destinations[..]));
    assert_eq!(out.values(PACKETS), [5009, 748, 5]);
    assert_eq!(out.values(BYTES), [5_344_385, 388_934, 6534]);
}

#[test]
fn the_message_of_appendix_a_is_three_flows_and_two_options_records() {
    let data = format!("0100 0040 {RECORDS}");
    let options = format!("0102 0014 {OPTIONS_RECORDS}");
    let message: Vec<u8> = [HEADER, TEMPLATE_SET, &data, OPTIONS_TEMPLATE_SET, &options].map(figure).concat();
    assert_eq!(message.len(), 152, "the length in the figure of A.1");

    let mut bench = Bench::new();
    let decoded = bench.decode(&message);
    assert_eq!((decoded.templates, decoded.options_templates), (1, 1));
    assert_eq!((decoded.data_records, decoded.options_records, decoded.rows), (3, 2, 3));
    assert_the_three_flows(&bench);
    assert_eq!(bench.out.values(NEXT_HOP), [1, 2, 3].map(|last| mapped([192, 0, 2, last])));
    assert_eq!(bench.out.values(OBSERVATION_DOMAIN_ID), [42; 3]);
}

#[test]
fn an_enterprise_specific_element_is_not_ianas_of_the_same_number() {
    let mut bench = Bench::new();
    bench.decode(&message(&[ENTERPRISE_TEMPLATE_SET, &format!("0101 0040 {RECORDS}")]));
    assert_the_three_flows(&bench);
    assert!(bench.out.values(NEXT_HOP).is_empty(), "element 15 of an enterprise is no next hop");
}

/// A.4.2.
const ENTERPRISE_OPTIONS_TEMPLATE_SET: &str = "
    0003 001c       # Set ID = 3, Length = 28
    0103 0003       # Template ID 259, Field Count = 3
    0001 008d       # Scope Field Count = 1, lineCardId = 141
    0004 0029       # Scope 1 Field Length = 4, exportedMessageTotalCount = 41
    0002 802a       # Field Length = 2, |1| Information Element id. = 42
    0004 0000       # Field Length = 4, Enterprise number ...
    7ed9 0000       # ... Enterprise number, Padding
";

/// A.4.3.
const ENTERPRISE_SCOPE_TEMPLATE_SET: &str = "
    0003 001c       # Set ID = 3, Length = 28
    0104 0003       # Template ID 260, Field Count = 3
    0001 807b       # Scope Field Count = 1, |1| Scope 1 Infor. El. id. = 123
    0004 0000       # Scope 1 Field Length = 4, Enterprise Number ...
    7ed9 0029       # ... Enterprise Number, exportedMessageTotalCount = 41
    0002 002a       # Field Length = 2, exportedFlowRecordTotalCount = 42
    0002 0000       # Field Length = 2, Padding
";

#[test]
fn options_of_enterprises_and_of_their_scopes_are_read_behind_padding() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&message(&[
        ENTERPRISE_OPTIONS_TEMPLATE_SET,
        "0103 000e 00000001 0159 000027d9", // a record of 10 octets: 1, 345, 10201
        ENTERPRISE_SCOPE_TEMPLATE_SET,
        &format!("0104 0014 {OPTIONS_RECORDS}"), // the figure of A.4.4
    ]));
    assert_eq!((decoded.options_templates, decoded.options_records, decoded.rows), (2, 3, 0));
    assert_eq!(decoded.sets_without_template, 0);
}

#[test]
fn variable_lengths_of_one_and_of_three_octets_are_read() {
    let template = "0002 0010 0100 0002  00ec ffff  0001 0004"; // VRFname, octetDeltaCount
    let long = "62".repeat(1000);
    let records = format!(
        "05 7661727973    00000001    # A.5.1: 5, 5-octet Information Element
         ff03e8 {long}    00000002    # A.5.2: 255, 1000, 1000-octet Information Element
         ff0005 7661727973 00000003   # Section 7: three octets may be taken for a length below 255
         00               00000004    # Section 7: a length of 0",
    );
    let octets = figure(&records).len() + 4;
    let mut bench = Bench::new();
    let decoded = bench.decode(&message(&[template, &format!("0100 {octets:04x} {records}")]));
    assert_eq!((decoded.data_records, bench.out.values(BYTES)), (4, &[1, 2, 3, 4][..]));
    let names = bench.names_of(bench.out.values(VRF_NAME));
    assert_eq!((&*names[0], &*names[2], &*names[3]), ("varys", "varys", ""));
    assert!(!names[1].is_empty() && names[1].bytes().all(|octet| octet == b'b'), "a long name is cut, not lost");
}

/// Section 3.3.1: padding is shorter than any record of its set, also than one of variable length.
#[test]
fn sets_of_every_kind_may_be_padded() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&message(&[
        "0002 0013 0100 0002 0008 0004 0001 0004 000000", // 3 octets behind the only template
        "0100 001b c0000201 00000007 c0000202 00000009 00000000000000", // 7 behind records of 8
        "0003 0013 0101 0002 0001 0095 0004 0022 0004 00", // 1 behind an options template
        "0101 000f 00000000 00000064 000000",             // 3 behind an options record of 8
    ]));
    assert_eq!((decoded.templates, decoded.data_records), (1, 2));
    assert_eq!((decoded.options_templates, decoded.options_records), (1, 1));
    assert_eq!(bench.out.values(BYTES), [7, 9]);
}
