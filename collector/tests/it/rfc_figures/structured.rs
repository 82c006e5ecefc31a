//! RFC 6313, section 9: lists in data records and in options records, and what sections 4 and 5 say of odd ones.

use helios_common::columns::{
    BYTES, COMMUNITIES, DST_ADDR, DST_PORT, FLOW_START, IN_IF_INDEX, OUT_IF_INDEX, PACKETS, PROTO, SRC_ADDR, SRC_PORT,
};
use helios_common::exporter::mapped;

use super::message;
use crate::bench::{Bench, NOW};

/// Figure 11.
const MULTICAST_TEMPLATE: &str = "
    0002 0018       # Set ID = 2, Length = 24
    0100 0004       # Template ID = 256, Field Count = 4
    000a 0004       # ingressInterface = 10
    0008 0004       # sourceIPv4Address = 8
    000c 0004       # DestinationIPv4Address = 12
    0123 ffff       # basicList = 291
";

/// The record of figures 12 to 14 up to its list.
const MULTICAST_FLOW: &str = "
    00000009        # ingressInterface = 9
    c00002c9        # sourceIPv4Address = 192.0.2.201
    e9fc0001        # DestinationIPv4Address = 233.252.0.1
";

/// The elements of the list in figures 12 and 14, from its field id on.
const EGRESS_INTERFACES: &str = "
    000e 0004       # egressInterface FieldId = 14, Field Length = 4
    00000001 00000004 00000008
";

fn multicast(list: &str) -> Bench {
    let data = format!("{MULTICAST_FLOW} {list}");
    let length = super::figure(&data).len() + 4;
    let mut bench = Bench::new();
    let decoded = bench.decode(&message(&[MULTICAST_TEMPLATE, &format!("0100 {length:04x} {data}")]));
    assert_eq!((decoded.rows, decoded.unreadable_lists), (1, 0));
    assert_eq!(bench.out.values(IN_IF_INDEX), [9]);
    assert_eq!(bench.out.values(SRC_ADDR), [mapped([192, 0, 2, 201])]);
    assert_eq!(bench.out.values(DST_ADDR), [mapped([233, 252, 0, 1])]);
    bench
}

#[test]
fn the_interfaces_of_figures_12_and_14_are_known_by_their_first() {
    for semantic in ["03", "01"] {
        let bench = multicast(&format!("ff 0011 {semantic} {EGRESS_INTERFACES}")); // List Length = 17
        assert_eq!(bench.out.values(OUT_IF_INDEX), [1], "semantic {semantic}");
    }
}

#[test]
fn the_list_of_names_of_figure_13_is_walked() {
    let bench = multicast(
        "ff 0019 03             # List Length = 25, semantic=allOf
         0052 ffff              # InterfaceName FieldId = 82, Field Len=0xFFFF
         05 46 45 30 2f 30      # FE0/0
         07 46 45 31 30 2f 31 30 # FE10/10
         05 46 45 32 2f 32      # FE2/2",
    );
    assert!(bench.out.values(OUT_IF_INDEX).is_empty());
}

/// Section 4.4.2: "none of the elements are actual properties of the Data Record".
#[test]
fn what_a_list_of_semantic_none_of_holds_is_no_property_of_the_flow() {
    let bench = multicast(&format!("ff 0011 00 {EGRESS_INTERFACES}"));
    assert!(bench.out.values(OUT_IF_INDEX).iter().all(|&index| index == 0));
    for (semantic, expected) in [("00", &[][..]), ("03", &[64500 << 16 | 1])] {
        let bench = multicast(&format!("ff 0009 {semantic} 01e3 0004 fbf40001")); // a bgpCommunity
        assert_eq!(bench.out.list(COMMUNITIES, 0), expected, "semantic {semantic}");
    }
}

/// Figures 15 to 17. The times are open in the figure: the bench's moment and one millisecond more each.
#[test]
fn the_one_way_delay_of_figure_17_is_one_flow_of_five_observations() {
    let templates = "
        0002 0010       # Set ID = 2, Length = 16
        0101 0002       # Template ID = 257, Field Count = 2
        0144 0008       # observationTimeMicroSec=324
        0146 0004       # digestHashValue = 326
        0002 0020       # Set ID = 2, Length = 32
        0102 0006       # Template ID = 258, Field Count = 6
        0008 0004       # sourceIPv4Address = 8
        000c 0004       # destinationIPv4Address = 12
        0007 0002       # sourceTransportPort = 7
        000b 0002       # destinationTransportPort= 11
        0004 0001       # protocolIdentifier = 4
        0124 ffff       # subTemplateList = 292
    ";
    let data = "
        0102 0053               # Set ID = 258, Length = 83
        c0000201 c0000269       # 192.0.2.1, 192.0.2.105
        0401 0050 06            # 1025, 80, Protocol = 6
        ff 003f                 # one-way metrics list len = 63
        03 0101                 # semantic=allOf, TemplateID = 257
        e8fe6f80 00000000 91230613
        e8fe6f80 00418937 91230650
        e8fe6f80 0083126f 91230725
        e8fe6f80 00c49ba6 91230844
        e8fe6f80 010624dd 91230978
    ";
    let mut bench = Bench::new();
    let decoded = bench.decode(&message(&[templates, data]));
    assert_eq!((decoded.templates, decoded.data_records, decoded.unreadable_lists), (2, 1, 0));
    let out = &bench.out;
    assert_eq!(
        (out.values(SRC_ADDR), out.values(DST_ADDR)),
        (&[mapped([192, 0, 2, 1])][..], &[mapped([192, 0, 2, 105])][..])
    );
    assert_eq!((out.values(SRC_PORT), out.values(DST_PORT), out.values(PROTO)), (&[1025][..], &[80][..], &[6][..]));
    assert_eq!(out.values(FLOW_START), [NOW], "the first observation");
}

/// Figures 18 to 20.
const SELECTOR_TEMPLATES: &str = "
    0002 0010       # Set ID = 2, Length = 16
    0103 0002       # Template ID = 259, Field Count = 2
    012e 0004       # selectorId = 302
    0130 0001       # selectorAlgorithm = 304
    0002 0018       # Set ID = 2, Length = 24
    0104 0004       # Template ID = 260, Field Count = 4
    012e 0004       # selectorId = 302
    0130 0001       # selectorAlgorithm = 304
    0131 0001       # samplingPacketInterval = 305
    0132 0001       # samplingPacketSpace = 306
    0002 0028       # Set ID = 2, Length = 40
    0105 0008       # Template ID = 261, Field Count = 8
    001b 0010       # sourceIPv6Address = 27
    001c 0010       # destinationIPv6Address = 28
    0007 0002       # sourceTransportPort = 7
    000b 0002       # destinationTransportPort=11
    0004 0001       # protocolIdentifier = 4
    0055 0004       # octetTotalCount = 85
    0056 0004       # packetTotalCount = 86
    0125 ffff       # subTemplateMultiList = 293
";

/// Figure 21 up to the length of its list.
const SELECTED_FLOW: &str = "
    20010db8000000000000000000000001    # 2001:DB8::1
    20010db8000000000000000000000002    # 2001:DB8::2
    0401 0050 06                        # 1025, 80, protocol = 6
    0001a5e0 00000078                   # octetTotalCount = 108000, packetTotalCount = 120
";

/// Decodes figures 18 to 21 with another list than that of figure 21, if one likes.
fn selected(list: &str) -> (Bench, u32) {
    let data = format!("{SELECTED_FLOW} {list}");
    let length = super::figure(&data).len() + 4;
    let mut bench = Bench::new();
    let decoded = bench.decode(&message(&[SELECTOR_TEMPLATES, &format!("0105 {length:04x} {data}")]));
    assert_eq!((decoded.templates, decoded.rows), (3, 1));
    assert_eq!((bench.out.values(BYTES), bench.out.values(PACKETS)), (&[108_000][..], &[120][..]));
    assert_eq!((bench.out.values(SRC_PORT), bench.out.values(DST_PORT)), (&[1025][..], &[80][..]));
    (bench, decoded.unreadable_lists)
}

#[test]
fn the_selectors_of_figure_21_are_walked() {
    let (_, unreadable) = selected(
        "ff 0015 03             # Attributes List Length = 21, semantic=allOf
         0103 0009              # Filtering Template ID = 259, Length = 9
         00000064 05            # selectorId = 100, selectorAlg = 5
         0104 000b              # Sampling Template ID = 260, Length = 11
         0000000f 01 01 63      # selectorId = 15, selectorAlg = 1, Interval = 1, Space = 99",
    );
    assert_eq!(unreadable, 0);
}

/// Section 4.5.3: "In the exceptional case of zero instances [...] only the Semantic field and Template ID field(s), and
/// the Data Record Length field is set to zero." A length of 4, the header's own, says the same by the other rule.
#[test]
fn a_multi_list_without_instances_is_readable() {
    let empty = ["ff 0005 03 0103 0000", "ff 0009 03 0103 0000 0104 0000", "ff 0005 03 0103 0004", "ff 0001 03"];
    for list in empty {
        assert_eq!(selected(list).1, 0, "{list}");
    }
    assert_eq!(selected("ff 0005 03 0103 0003").1, 1, "shorter than its header, but not zero");
}

/// Figures 23 to 27: a list in an options record is neither a flow nor padding, and what is behind it is read.
#[test]
fn the_selection_sequence_of_figure_27_is_options_data() {
    let templates = "
        0003 001a       # Set ID = 3, Length = 26
        0106 0004       # Template ID = 262, Field Count = 4
        0001 012d       # Scope Field Count = 1, selectionSequenceId = 301
        0004 0125       # Scope 1 Length = 4, subTemplateMultiList = 293
        ffff 012e       # Field Length = 0xFFFF, selectorId = 302
        0004 012e       # Field Length = 4, selectorId = 302
        0004            # Field Length = 4
        0002 0010 0107 0002 0008 0004 000a 0004             # Figure 24: Template ID = 263
        0002 0010 0108 0002 0008 0004 008d 0004             # Figure 25: Template ID = 264
        0002 0014 0109 0003 0008 0004 008d 0004 000a 0004   # Figure 26: Template ID = 265
    ";
    let data = "
        0106 0044                   # Set ID = 262, Length = 68
        00000007                    # selectionSequenceId = 7
        ff 0031 03                  # Observation Point List Len=49, semantic=allOf
        0107 000c                   # OP1 Template ID = 263, OP1 Length = 12
        c000020b 00000001           # 192.0.2.11, ingressInterface = 1
        0108 0014                   # OP2&OP3 Template ID = 264, Length = 20
        c000020c 0000000a           # 192.0.2.12, lineCardId = A
        c000020d 0000000b           # 192.0.2.13, lineCardId = B
        0109 0010                   # OP4 Template ID = 265, OP4 Length = 16
        c000020e 0000000c 00000002  # 192.0.2.14, lineCardId = C, ingressInterface = 2
        00000005 0000000a           # selectorId = 5, selectorId = 10
    ";
    let mut bench = Bench::new();
    let decoded = bench.decode(&message(&[templates, data, data]));
    assert_eq!((decoded.templates, decoded.options_templates), (3, 1));
    assert_eq!((decoded.options_records, decoded.rows, decoded.data_records), (2, 0, 0));
}

/// Section 5.6, case study 2: attackers and targets as a subTemplateList of participants, each a basicList of
/// subTemplateLists. The RFC gives no octets; template 300 is the attacker, 301 the target, 302 the participant.
#[test]
fn lists_of_lists_of_lists_are_walked() {
    let templates = "
        0002 0024
        012c 0002 0008 0004 0007 0002   # 300: src IP address, src port
        012d 0002 000c 0004 000b 0002   # 301: dst IP address, dst port
        012e 0001 0123 ffff             # 302: basicList
        0002 0010 0100 0002 0004 0001 0124 ffff # 256: protocolIdentifier, subTemplateList
    ";
    let sized = |octets: &str| format!("{:02x} {octets}", super::figure(octets).len());
    let attackers = sized("01 012c c0000201 0401 c0000202 0402"); // exactlyOneOf, A1, A2
    let target = sized("ff 012d c0000265 0050"); // undefined, T1
    let participant = sized(&format!("03 0124 ffff {attackers} {target}")); // allOf, of subTemplateLists
    let alert = format!("06 {}", sized(&format!("03 012e {participant}")));
    let data = format!("0100 {:04x} {alert}", super::figure(&alert).len() + 4);
    let mut bench = Bench::new();
    let decoded = bench.decode(&message(&[templates, &data]));
    assert_eq!((decoded.rows, decoded.unreadable_lists), (1, 0));
    let out = &bench.out;
    assert_eq!((out.values(SRC_ADDR), out.values(SRC_PORT)), (&[mapped([192, 0, 2, 1])][..], &[1025][..]));
    assert_eq!((out.values(DST_ADDR), out.values(DST_PORT)), (&[mapped([192, 0, 2, 101])][..], &[80][..]));
}

/// The set of figure 21 before its template and those of its lists: held as a whole, and whole when they have come.
#[test]
fn a_set_with_lists_is_held_for_its_template() {
    let data = format!("0105 0049 {SELECTED_FLOW} ff 0015 03 0103 0009 00000064 05 0104 000b 0000000f 01 01 63");
    let mut bench = Bench::new();
    let early = bench.decode(&message(&[&data]));
    assert_eq!((early.rows, early.sets_without_template), (0, 1));
    let late = bench.decode(&message(&[SELECTOR_TEMPLATES]));
    assert_eq!((late.held_records, late.held_rows, late.unreadable_lists), (1, 1, 0));
    assert_eq!((bench.out.values(BYTES), bench.out.values(DST_PORT)), (&[108_000][..], &[80][..]));
}
