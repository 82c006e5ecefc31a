//! What counters, events and numbers of flow records mean: every integer column in every width, totals beside the
//! counters of two directions, events of firewalls and of NAT, and lists where they are rare.
//!
//! The elements are those of the IANA registry; NSEL as in Cisco's "NetFlow Secure Event Logging", NAT events as in
//! RFC 8158 §5.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking, as tests do.

mod bench;

use helios_collector::encode::{Put, VARIABLE_LENGTH, enterprise_field, field};
use helios_common::columns::{
    BYTES, COLUMNS, Column, DST_ADDR, DST_AS, DST_PORT, FIREWALL_EVENT, FORWARDING_STATUS, ICMP_CODE, ICMP_TYPE, Kind,
    MPLS_LABELS, NAT_EVENT, PACKETS, POST_NAT_DST_ADDR, POST_NAT_SRC_ADDR, POST_NAT_SRC_PORT, PROTO, SAMPLING_INTERVAL,
    SRC_ADDR, SRC_AS, SRC_PORT,
};
use helios_common::exporter::mapped;
use helios_common::ie::{self, Ie, Type};

use bench::{Bench, ipfix, netflow9};

/// The first row's value of an integer column; `None` for columns of another kind.
fn integer(bench: &Bench, column: Column) -> Option<u64> {
    match column.spec().kind {
        Kind::U8 => Some(bench.out.get(column.typed::<u8>()?, 0).into()),
        Kind::U16 => Some(bench.out.get(column.typed::<u16>()?, 0).into()),
        Kind::U32 => Some(bench.out.get(column.typed::<u32>()?, 0).into()),
        Kind::U64 => Some(bench.out.get(column.typed::<u64>()?, 0)),
        _ => None,
    }
}

/// What a record with `value` in a field of `width` octets becomes in `column`.
fn decoded(element: Ie, width: u16, value: u64, column: Column) -> Option<u64> {
    let mut bench = Bench::new();
    // Version 9 has numbers above 32767 without an enterprise.
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(12, 4), field(element.id, width)]);
        m.data(256, 1, |out| {
            out.put(&[192, 0, 2, 1]);
            out.put(&value.to_be_bytes()[8 - usize::from(width)..]);
        });
    }));
    assert_eq!(bench.out.get(DST_ADDR, 0), mapped([192, 0, 2, 1]));
    integer(&bench, column)
}

#[test]
fn every_integer_column_takes_every_width_from_one_to_eight_octets() {
    // Type and code of ICMP stand in one number, an interval of packets is a ratio: they have tests of their own.
    let combined = [32, 139, 305, 309];
    let mut taken = 0;
    for column in Column::all().take(COLUMNS.len()) {
        let unsigned = |element: &&Ie| ie::info(**element).is_some_and(|info| info.ty == Type::Unsigned);
        let elements = column.spec().elements.iter().filter(unsigned);
        for &element in elements.filter(|element| !combined.contains(&element.id)) {
            for width in 1..=8 {
                let Some(value) = decoded(element, width, 7, column) else { continue };
                assert_eq!(value, 7, "{} from {element:?} of {width} octets", column.spec().name);
                taken += 1;
            }
        }
    }
    assert!(taken >= 8 * 40, "{taken} widths");
}

#[test]
fn type_and_code_of_icmp_in_one_number_may_be_wider_than_two_octets() {
    for (element, width) in [(32, 2), (32, 4), (139, 2), (139, 3)] {
        let element = ie::iana(element);
        let read = |column| decoded(element, width, 0x0301, column);
        assert_eq!((read(ICMP_TYPE.column()), read(ICMP_CODE.column())), (Some(3), Some(1)), "{element:?}, {width}");
    }
}

#[test]
fn a_forwarding_status_of_four_octets_is_the_same_as_of_one() {
    for width in [1, 4] {
        // 128 dropped for an unknown reason, 64 forwarded (RFC 7270 §4.12).
        for status in [64, 128, 130] {
            assert_eq!(decoded(ie::iana(89), width, status, FORWARDING_STATUS.column()), Some(status));
        }
    }
}

#[test]
fn as_trans_is_the_number_that_was_exported() {
    // RFC 6793 §9: 23456 stands for an AS of four octets that the exporter has only two for. What it stands for is known
    // to the routing table, not to the record.
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(16, 2), field(17, 4)]);
        m.data(256, 1, |out| out.put(&[0x5b, 0xa0, 0, 6, 0, 1]));
    }));
    assert_eq!((bench.out.get(SRC_AS, 0), bench.out.get(DST_AS, 0)), (23_456, 6 << 16 | 1));
}

#[test]
fn a_total_of_both_directions_gives_way_to_the_counters_of_each() {
    // Cisco ASA 8.x: 85 counts both directions, 231 and 232 one each. The sum of both rows is the total.
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[85, 231, 232, 86, 298, 299].map(|id| field(id, 4)));
        m.data(256, 1, |out| [1100, 1000, 100, 11, 9, 2].into_iter().for_each(|value| out.put_u32(value)));
    }));
    assert_eq!((bench.out.values(BYTES), bench.out.values(PACKETS)), (&[1000, 100][..], &[9, 2][..]));
}

#[test]
fn counters_of_what_left_the_device_stand_in_where_nothing_else_was_counted() {
    for (bytes, packets) in [(23, 24), (171, 172), (85, 86)] {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.template(256, &[field(bytes, 8), field(packets, 4)]);
            m.data(256, |out| {
                out.put_u64(900);
                out.put_u32(3);
            });
        }));
        assert_eq!((bench.out.get(BYTES, 0), bench.out.get(PACKETS, 0)), (900, 3), "elements {bytes}, {packets}");
    }
}

#[test]
fn packets_that_were_dropped_or_never_exported_are_no_volume() {
    // 132 to 135 dropped, 166 to 168 not sent by the metering process.
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[132, 133, 134, 135, 166, 167, 168, 1].map(|id| field(id, 4)));
        m.data(256, |out| [9, 9, 9, 9, 9, 9, 9, 40].into_iter().for_each(|value| out.put_u32(value)));
    }));
    assert_eq!((bench.out.get(BYTES, 0), bench.out.get(PACKETS, 0)), (40, 0));
}

#[test]
fn the_events_of_an_asa_connection_are_its_rows_in_both_directions() {
    let mut bench = Bench::new();
    let key = [10, 0, 0, 1, 192, 0, 2, 1, 0x9c, 0x40, 1, 187, 6];
    let translated = [203, 0, 113, 1, 192, 0, 2, 1, 0x30, 0x39, 1, 187];
    let addresses = [field(8, 4), field(12, 4), field(7, 2), field(11, 2), field(4, 1)];
    let post = [field(225, 4), field(226, 4), field(227, 2), field(228, 2)];
    let event = [field(233, 1), field(33_002, 2)];
    let counters = [field(231, 4), field(232, 4), field(298, 4), field(299, 4)];
    bench.decode(&netflow9(0, |m| {
        m.template(260, &[&addresses[..], &post, &event].concat());
        m.template(263, &[&addresses[..], &post, &event, &counters].concat());
        m.data(260, 1, |out| out.put(&[&key[..], &translated, &[1, 0, 0]].concat())); // created
        m.data(263, 2, |out| {
            for (event, counters) in [(5, [500, 700, 5, 7]), (2, [30, 0, 1, 0])] {
                out.put(&[&key[..], &translated, &[event, 0x07, 0xd0]].concat()); // updated, then torn down
                counters.into_iter().for_each(|value| out.put_u32(value));
            }
        });
    }));
    let out = &bench.out;
    assert_eq!(out.values(FIREWALL_EVENT), [1, 5, 2, 5], "the tear-down counted nothing on its way back");
    assert_eq!((out.values(BYTES), out.values(PACKETS)), (&[0, 500, 30, 700][..], &[0, 5, 1, 7][..]));
    assert_eq!((out.get(SRC_ADDR, 3), out.get(DST_ADDR, 3)), (mapped([192, 0, 2, 1]), mapped([10, 0, 0, 1])));
    assert_eq!((out.get(SRC_PORT, 3), out.get(DST_PORT, 3)), (443, 40_000));
    assert_eq!((out.get(POST_NAT_SRC_ADDR, 1), out.get(POST_NAT_SRC_PORT, 1)), (mapped([203, 0, 113, 1]), 12_345));
    assert_eq!(out.get(POST_NAT_DST_ADDR, 3), mapped([203, 0, 113, 1]));
}

#[test]
fn every_nat_event_is_a_row_that_says_which() {
    // RFC 8158 §4.3: 1 to 19; 16 and 17 are the allocation and release of a block of ports, of which 361 to 364 and
    // 466 tell the first, the last, the step, how many, and the instance.
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(
            256,
            &[
                field(323, 8),
                field(8, 4),
                field(225, 4),
                field(361, 2),
                field(362, 2),
                field(363, 2),
                field(364, 2),
                field(466, 4),
                field(230, 1),
            ],
        );
        m.data(256, |out| {
            for event in 1..=19 {
                out.put_u64(bench::NOW as u64);
                out.put(&[100, 64, 0, 1, 203, 0, 113, 7, 4, 0, 7, 255, 0, 1, 4, 0, 0, 0, 0, 1, event]);
            }
        });
    }));
    let out = &bench.out;
    assert_eq!(out.values(NAT_EVENT), (1..=19).collect::<Vec<u8>>());
    assert_eq!(
        (out.get(SRC_ADDR, 15), out.get(POST_NAT_SRC_ADDR, 15)),
        (mapped([100, 64, 0, 1]), mapped([203, 0, 113, 7]))
    );
    assert_eq!((out.get(BYTES, 0), out.get(PACKETS, 0)), (0, 0));
}

#[test]
fn elements_that_say_who_exported_do_not_rename_the_exporter() {
    // exporterIPv4Address (130) and exporterIPv6Address (131): of a mediator's origin, not of the flow.
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(130, 4), field(131, 16), field(1, 4)]);
        m.data(256, |out| {
            out.put(&[198, 51, 100, 1]);
            out.put(&[0; 16]);
            out.put_u32(5);
        });
    }));
    let address = bench.out.get(helios_common::columns::EXPORTER_ADDRESS, 0);
    assert_eq!((address, bench.out.get(BYTES, 0)), (mapped([192, 0, 2, 1]), 5));
}

#[test]
fn a_list_in_an_options_record_is_stepped_over() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.options_template(257, 1, &[field(302, 4), field(291, VARIABLE_LENGTH), field(305, 4), field(306, 4)]);
        m.data(257, |out| {
            out.put_u32(3);
            out.put_variable(&[3, 0, 34, 0, 4, 0, 0, 0, 7]); // samplingInterval 7, in a list
            [1, 99].into_iter().for_each(|value| out.put_u32(value));
        });
        m.template(256, &[field(302, 4), field(1, 4)]);
        m.data(256, |out| [3, 40].into_iter().for_each(|value| out.put_u32(value)));
    }));
    assert_eq!((decoded.options_records, bench.out.get(SAMPLING_INTERVAL, 0)), (1, 100));
}

#[test]
fn a_list_in_a_set_that_was_held_is_read_with_templates_that_came_later() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.data(256, |out| {
            out.put_variable(&[3, 1, 44, 1, 187]); // subTemplateList of template 300: port 443
            out.put_u8(6);
        });
    }));
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &[field(292, VARIABLE_LENGTH), field(4, 1)]);
        m.template(300, &[field(11, 2)]);
    }));
    assert_eq!((bench.out.values(PROTO), bench.out.values(DST_PORT)), (&[6][..], &[443][..]));
    assert_eq!(decoded.unreadable_lists, 0);
}

#[test]
fn citrix_strings_between_flow_fields_are_stepped_over() {
    // AppFlow (PEN 5951): 32-bit ids and strings of variable length, of any length, amid the flow's own fields.
    let citrix = |id, length| enterprise_field(5951, id, length);
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(
            256,
            &[
                field(8, 4),
                citrix(132, 4),
                citrix(140, VARIABLE_LENGTH),
                field(12, 4),
                citrix(142, VARIABLE_LENGTH),
                field(1, 8),
                citrix(147, VARIABLE_LENGTH),
                field(7, 2),
            ],
        );
        m.data(256, |out| {
            for length in [0, 254, 255, 700] {
                out.put(&[10, 0, 0, 1, 0, 0, 0, 9]);
                out.put_variable(&vec![b'u'; length]);
                out.put(&[10, 0, 0, 2]);
                out.put_variable(b"GET");
                out.put_u64(length as u64 + 1);
                out.put_variable(b"");
                out.put_u16(8080);
            }
        });
    }));
    assert_eq!(decoded.rows, 4);
    assert_eq!((bench.out.values(BYTES), bench.out.values(SRC_PORT)), (&[1, 255, 256, 701][..], &[8080; 4][..]));
}

#[test]
fn scopes_and_options_without_octets_are_stepped_over() {
    // Some devices announce a scope "system" of length 0, as RFC 3954 §6.1 lets them.
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.options_template(257, 2, &[field(144, 0), field(302, 2), field(305, 4), field(306, 4), field(82, 0)]);
        m.data(257, |out| out.put(&[0, 4, 0, 0, 0, 1, 0, 0, 3, 231]));
        m.template(256, &[field(302, 2), field(70, 3), field(1, 4)]);
        m.data(256, |out| out.put(&[0, 4, 0, 0x06, 0x41, 0, 0, 0, 9]));
    }));
    assert_eq!((decoded.options_records, bench.out.get(SAMPLING_INTERVAL, 0)), (1, 1000));
    assert_eq!(bench.out.list(MPLS_LABELS, 0).to_vec(), [100]);
}
