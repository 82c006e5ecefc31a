//! What counters, events and numbers of flow records mean: totals beside the counters of two directions, what is no
//! volume, events of a firewall with its translations, and lists where they are rare.
//!
//! The elements are those of the IANA registry; NSEL as in Cisco's "NetFlow Secure Event Logging".

use helios_collector::encode::{Put, VARIABLE_LENGTH, enterprise_field, field};
use helios_common::columns::{
    BGP_NEXT_HOP, BYTES, DST_ADDR, DST_PORT, ETHER_TYPE, FIREWALL_EVENT, FLOW_END, FLOW_START, FORWARDING_STATUS,
    ICMP_CODE, ICMP_TYPE, IPV6_FLOW_LABEL, MPLS_LABELS, NEXT_HOP, OUTER_DST_ADDR, OUTER_SRC_ADDR, PACKETS,
    POST_NAT_DST_ADDR, POST_NAT_SRC_ADDR, POST_NAT_SRC_PORT, PROTO, SAMPLING_INTERVAL, SRC_ADDR, SRC_PORT, TCP_FLAGS,
};
use helios_common::exporter::mapped;

use crate::bench::{Bench, NOW, ipfix, netflow9};

#[test]
fn type_and_code_of_icmp_in_one_number_may_be_wider_than_two_octets() {
    for (element, width) in [(32, 2), (32, 4), (139, 2), (139, 3)] {
        let mut bench = Bench::new();
        bench.decode(&netflow9(0, |m| {
            m.template(256, &[field(12, 4), field(element, width)]);
            m.data(256, 1, |out| {
                out.put(&[192, 0, 2, 1]);
                out.put(&0x0301_u32.to_be_bytes()[4 - usize::from(width)..]);
            });
        }));
        assert_eq!((bench.out.get(ICMP_TYPE, 0), bench.out.get(ICMP_CODE, 0)), (3, 1), "{element}, {width} octets");
    }
}

/// RFC 7011 §6.1 has 4 octets for an IPv4 address and 16 for an IPv6 address, and no shorter encoding of either (§6.2).
#[test]
fn an_address_is_of_the_family_that_its_length_tells_and_octets_of_another_length_are_none() {
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let cases: [(u16, &[u8], _, u16); 6] = [
        (8, &[10, 0, 0, 1], mapped([10, 0, 0, 1]), 0x0800),
        (8, &v6, v6, 0x86dd),
        (27, &v6, v6, 0x86dd),
        (27, &[10, 0, 0, 1], mapped([10, 0, 0, 1]), 0x0800),
        (8, &[10, 0, 0], [0; 16], 0),
        (27, &v6[..8], [0; 16], 0),
    ];
    for (element, octets, address, ether_type) in cases {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.template(256, &[field(element, octets.len() as u16), field(1, 4)]);
            m.data(256, |out| {
                out.put(octets);
                out.put_u32(7);
            });
        }));
        let got = (bench.out.get(SRC_ADDR, 0), bench.out.get(ETHER_TYPE, 0), bench.out.get(BYTES, 0));
        assert_eq!(got, (address, ether_type, 7), "element {element} of {} octets", octets.len());
    }
}

#[test]
fn bits_that_are_not_of_the_number_are_no_part_of_it() {
    // tcpControlBits with the data offset of the header in front (RFC 7125 §3: "MUST be ignored by the collector"), a
    // flow label with the version and traffic class of its word.
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(6, 2), field(31, 4)]);
        m.data(256, 1, |out| out.put(&[0x51, 0xc2, 0x6b, 0x8a, 0xbc, 0xde]));
    }));
    assert_eq!((bench.out.get(TCP_FLAGS, 0), bench.out.get(IPV6_FLOW_LABEL, 0)), (0x1c2, 0xabcde));
}

#[test]
fn of_several_clocks_the_most_precise_one_counts() {
    let nanoseconds = ((NOW as u64 / 1000 + 2_208_988_800) << 32) | 1 << 31; // half a second later
    let seconds = (NOW / 1000) as u32;
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(150, 4), field(151, 4), field(156, 8), field(157, 8)]);
        m.data(256, |out| {
            (0..2).for_each(|_| out.put_u32(seconds));
            (0..2).for_each(|_| out.put_u64(nanoseconds));
        });
    }));
    assert_eq!((bench.out.get(FLOW_START, 0), bench.out.get(FLOW_END, 0)), (NOW + 500, NOW + 500));
}

#[test]
fn the_way_of_one_direction_is_not_that_of_the_other() {
    let reverse = |id, length| enterprise_field(29305, id, length);
    let forward = [field(8, 4), field(12, 4), field(15, 4), field(18, 4), field(89, 1), field(31, 3), field(1, 4)];
    let tunnel = [enterprise_field(6876, 893, 4), enterprise_field(6876, 894, 4)];
    let record = |out: &mut Vec<u8>| {
        out.put(&[10, 0, 0, 1, 10, 0, 0, 2, 192, 0, 2, 1, 192, 0, 2, 2, 0x80, 0, 0, 5]);
        out.put_u32(100);
        out.put(&[198, 51, 100, 1, 198, 51, 100, 2]);
        out.put_u32(900);
        out.put(&[192, 0, 2, 9]);
    };
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[&forward[..], &tunnel, &[reverse(1, 4), reverse(15, 4)]].concat());
        m.data(256, record);
    }));
    let out = &bench.out;
    assert_eq!((out.values(BYTES), out.values(SRC_ADDR)[1]), (&[100, 900][..], mapped([10, 0, 0, 2])));
    assert_eq!(out.values(NEXT_HOP), [mapped([192, 0, 2, 1]), mapped([192, 0, 2, 9])], "each its own");
    assert_eq!((out.get(BGP_NEXT_HOP, 0), out.get(BGP_NEXT_HOP, 1)), (mapped([192, 0, 2, 2]), [0; 16]));
    assert_eq!((out.get(FORWARDING_STATUS, 0), out.get(FORWARDING_STATUS, 1)), (0x80, 0));
    assert_eq!((out.get(IPV6_FLOW_LABEL, 0), out.get(IPV6_FLOW_LABEL, 1)), (5, 0));
    let ends = [mapped([198, 51, 100, 1]), mapped([198, 51, 100, 2])];
    assert_eq!((out.get(OUTER_SRC_ADDR, 1), out.get(OUTER_DST_ADDR, 1)), (ends[1], ends[0]));
}

#[test]
fn a_section_from_the_middle_of_a_packet_is_no_header() {
    // RFC 7133 §3.3: sectionOffset (409) tells how many octets of the packet come before the section.
    let header = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 59, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(409, 2), field(313, 20), field(1, 4)]);
        m.data(256, |out| {
            for offset in [0, 14] {
                out.put_u16(offset);
                out.put(&header);
                out.put_u32(1500);
            }
        });
    }));
    let out = &bench.out;
    assert_eq!((out.get(SRC_ADDR, 0), out.get(PROTO, 0)), (mapped([192, 0, 2, 1]), 59));
    assert_eq!((out.get(SRC_ADDR, 1), out.get(PROTO, 1)), ([0; 16], 0));
    assert_eq!(out.values(BYTES), [1500, 1500]);
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
