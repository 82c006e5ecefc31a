//! Structured data in data records (RFC 6313).

use helios_collector::encode::{Put, VARIABLE_LENGTH, field};
use helios_common::columns::{BYTES, DST_PORT, MPLS_LABELS, PROTO, SRC_ADDR, SRC_PORT};
use helios_common::exporter::mapped;

use crate::bench::{Bench, ipfix};

/// Decodes a record for each of `lists`: a list field of the kind, then `protocolIdentifier` 6. Template 300 is
/// `sourceTransportPort`, `octetDeltaCount` of 4 octets; 301 is a variable-length `interfaceName` and a basicList.
fn decode(kind: u16, lists: &[&[u8]]) -> (Bench, u32) {
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(300, &[field(7, 2), field(1, 4)]);
        m.template(301, &[field(82, VARIABLE_LENGTH), field(291, VARIABLE_LENGTH)]);
        m.template(256, &[field(8, 4), field(kind, VARIABLE_LENGTH), field(4, 1)]);
        m.data(256, |out| {
            for list in lists {
                out.put(&[192, 0, 2, 1]);
                out.put_variable(list);
                out.put(&[6]);
            }
        });
    }));
    assert_eq!(bench.out.values(PROTO), vec![6; lists.len()], "what is behind a list stays");
    assert_eq!(bench.out.values(SRC_ADDR), vec![mapped([192, 0, 2, 1]); lists.len()]);
    (bench, decoded.unreadable_lists)
}

#[test]
fn the_first_element_of_a_basic_list_fills_the_column_that_the_record_leaves_empty() {
    // allOf destinationTransportPort: 80, 443; none; oneOf sourceIPv4Address, which the record has itself.
    let lists: [&[u8]; 3] = [&[3, 0, 11, 0, 2, 0, 80, 1, 187], &[3, 0, 11, 0, 2], &[2, 0, 8, 0, 4, 10, 0, 0, 1]];
    let (bench, unreadable) = decode(291, &lists);
    assert_eq!((bench.out.values(DST_PORT), unreadable), (&[80, 0, 0][..], 0));
}

#[test]
fn a_basic_list_of_label_stack_sections_is_the_stack() {
    // ordered mplsTopLabelStackSection, 3 octets each: 100, 200 with the bottom-of-stack bit.
    let (bench, _) = decode(291, &[&[4, 0, 70, 0, 3, 0, 6, 0x40, 0, 12, 0x81], &[3, 0, 11, 0, 2, 0, 80]]);
    let labels: Vec<_> = bench.out.list(MPLS_LABELS, 0).to_vec();
    assert_eq!(labels, [100, 200]);
    assert!(bench.out.list(MPLS_LABELS, 1).is_empty());
}

#[test]
fn the_first_record_of_a_sub_template_list_fills_columns() {
    let list = [3, 1, 44, 0, 80, 0, 0, 4, 0, 0, 81, 0, 0, 8, 0];
    let (bench, unreadable) = decode(292, &[&list, &[3, 1, 44]]);
    assert_eq!((bench.out.values(SRC_PORT), bench.out.values(BYTES)), (&[80, 0][..], &[1024, 0][..]));
    assert_eq!(unreadable, 0);
}

#[test]
fn blocks_of_a_multi_list_are_of_their_own_templates_and_lists_in_them_are_followed() {
    // Template 301: "e0" and a basicList of destinationTransportPort 443; template 300: port 80, 1024 octets.
    let list =
        [&[3][..], &[1, 45, 0, 15, 2, b'e', b'0', 7, 3, 0, 11, 0, 2, 1, 187], &[1, 44, 0, 10, 0, 80, 0, 0, 4, 0]]
            .concat();
    let (bench, unreadable) = decode(293, &[&list]);
    assert_eq!((bench.out.values(DST_PORT), bench.out.values(SRC_PORT)), (&[443][..], &[80][..]));
    assert_eq!((bench.out.values(BYTES), unreadable), (&[1024][..], 0));
}

#[test]
fn an_unreadable_list_costs_only_itself_and_is_counted() {
    // A block longer than its list; an unknown template; a block shorter than its header; a good one.
    let lists: [&[u8]; 4] = [
        &[3, 1, 44, 0, 11, 0, 80, 0, 0, 4, 0],
        &[3, 9, 9, 0, 5, 1],
        &[3, 1, 44, 0, 3],
        &[3, 1, 44, 0, 10, 0, 80, 0, 0, 4, 0],
    ];
    let (bench, unreadable) = decode(293, &lists);
    assert_eq!((bench.out.values(SRC_PORT), unreadable), (&[0, 0, 0, 80][..], 3));
    // Records of a subTemplateList have no padding: octets behind the last one are a fault.
    let (bench, unreadable) = decode(292, &[&[3, 1, 44, 0, 80, 0, 0, 4, 0, 0]]);
    assert_eq!((bench.out.values(SRC_PORT).iter().sum::<u16>(), unreadable), (0, 1));
}

#[test]
fn lists_are_followed_four_deep() {
    let nested = |depth: usize| {
        let mut list = vec![3, 0, 11, 0, 2, 1, 187];
        for _ in 1..depth {
            list = [&[3, 1, 35, 255, 255, list.len() as u8][..], &list].concat();
        }
        list
    };
    let (bench, unreadable) = decode(291, &[&nested(4), &nested(5)]);
    assert_eq!((bench.out.values(DST_PORT), unreadable), (&[443, 0][..], 1));
}

#[test]
fn a_list_cut_at_any_octet_is_unreadable_or_a_shorter_list() {
    let list = [3, 1, 44, 0, 80, 0, 0, 4, 0, 0, 81, 0, 0, 8, 0];
    for end in 1..list.len() {
        let (bench, unreadable) = decode(292, &[&list[..end]]);
        let whole = end >= 3 && (end - 3) % 6 == 0;
        assert_eq!(unreadable, u32::from(!whole), "{end}");
        assert_eq!(bench.out.values(SRC_PORT).contains(&80), whole && end > 3, "{end}");
    }
}
