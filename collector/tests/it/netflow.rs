//! NetFlow and IPFIX messages, written by the encoders, read by the decoder: what the RFCs demand of a collector.

use helios_collector::decode::DecodeError;
use helios_collector::encode::{Field, Put, VARIABLE_LENGTH, enterprise_field, field, ipfix, netflow5, netflow9};
use helios_collector::state::StateFile;
use helios_common::columns::{
    APPLICATION, BYTES, COMMUNITIES, DST_ADDR, DST_PORT, ETHER_TYPE, FLOW_END, FLOW_START, ICMP_CODE, ICMP_TYPE,
    IN_IF_INDEX, IN_IF_NAME, LARGE_COMMUNITIES, MPLS_LABELS, OBSERVATION_DOMAIN_ID, OUT_IF_DESCRIPTION, OUT_IF_INDEX,
    OUT_IF_NAME, PACKETS, RECEIVED_AT, SAMPLING_INTERVAL, SAMPLING_SOURCE, SRC_ADDR, SRC_PORT, TCP_FLAGS, VRF_NAME,
};
use helios_common::exporter::mapped;

use crate::bench::{Bench, NOW, NOW_SECS, ipfix, ipfix_in, netflow9};

/// Values of `sampling_source`.
const RECORD: u8 = 1;
const SAMPLER: u8 = 2;
const INTERFACE: u8 = 3;
const DOMAIN: u8 = 4;
const HEADER: u8 = 5;

/// Source address and octets: the shortest flow that says anything.
const SHORT: [Field; 2] = [field(8, 4), field(1, 4)];

fn short(last: u8, octets: u32) -> Vec<u8> {
    let mut record = vec![10, 0, 0, last];
    record.put_u32(octets);
    record
}

#[test]
fn a_set_before_its_template_is_held_and_its_rows_come_last() {
    let mut bench = Bench::new();
    let early = bench.decode(&ipfix(|m| m.data(256, |out| out.put(&short(1, 100)))));
    assert_eq!((early.rows, early.sets_without_template), (0, 1));

    let late = bench.decode(&ipfix(|m| {
        m.template(256, &SHORT);
        m.data(256, |out| out.put(&short(2, 200)));
    }));
    assert_eq!((late.rows, late.data_records, late.held_rows, late.held_records), (2, 1, 1, 1));
    assert_eq!(bench.out.values(BYTES), [200, 100]);
}

#[test]
fn a_set_without_template_does_not_hurt_the_other_sets() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &SHORT);
        m.data(999, |out| out.put(&[1; 40]));
        m.data(256, |out| out.put(&short(1, 100)));
    }));
    assert_eq!((decoded.rows, decoded.sets_without_template), (1, 1));
}

#[test]
fn the_scope_of_a_template_is_address_version_and_domain_but_not_the_port() {
    let mut bench = Bench::new();
    bench.decode(&ipfix_in(1, |m| m.template(256, &SHORT)));
    bench.source = "192.0.2.1:5000".parse().unwrap();
    assert_eq!(bench.decode(&ipfix_in(1, |m| m.data(256, |out| out.put(&short(1, 1))))).rows, 1);
    assert_eq!(bench.decode(&ipfix_in(2, |m| m.data(256, |out| out.put(&short(1, 1))))).rows, 0);
    assert_eq!(bench.decode(&netflow9(0, |m| m.data(256, 1, |out| out.put(&short(1, 1))))).rows, 0);
    bench.source = "192.0.2.2:5000".parse().unwrap();
    assert_eq!(bench.decode(&ipfix_in(1, |m| m.data(256, |out| out.put(&short(1, 1))))).rows, 0);
}

#[test]
fn a_changed_definition_takes_effect_within_the_message() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &SHORT);
        m.data(256, |out| out.put(&short(1, 100)));
        m.template(256, &[field(1, 4), field(8, 4)]);
        m.data(256, |out| out.put(&[0, 0, 0, 50, 10, 0, 0, 9]));
    }));
    assert_eq!(bench.out.values(BYTES), [100, 50]);
    assert_eq!(bench.out.get(SRC_ADDR, 1), mapped([10, 0, 0, 9]));
}

#[test]
fn withdrawal_over_udp_is_ignored() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| m.template(256, &SHORT)));
    bench.decode(&ipfix(|m| m.withdraw_template(256)));
    assert_eq!(bench.decode(&ipfix(|m| m.data(256, |out| out.put(&short(1, 100))))).rows, 1);
}

#[test]
fn a_template_without_octets_is_refused_and_its_data_is_not_a_memory_bomb() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&netflow9(0, |m| {
        m.template(256, &[]);
        m.template(257, &[field(8, 0), field(1, 0)]);
        m.data(256, 0, |out| out.put(&[0; 1000]));
        m.data(257, 0, |out| out.put(&[0; 1000]));
    }));
    assert_eq!((decoded.templates, decoded.rows, decoded.sets_without_template), (2, 0, 2));
}

#[test]
fn a_flood_of_templates_of_one_exporter_leaves_the_others_theirs() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| m.template(256, &SHORT)));
    bench.source = "192.0.2.66:4000".parse().unwrap();
    for domain in 0..250 {
        bench.decode(&ipfix_in(domain, |m| (256..356).for_each(|id| m.template(id, &SHORT))));
    }
    let flooder =
        bench.decoder.exporters().find(|exporter| exporter.stats.tally.datagrams.iter().sum::<u64>() == 250).unwrap();
    assert_eq!(flooder.templates, 4096);
    bench.source = "192.0.2.1:4000".parse().unwrap();
    assert_eq!(bench.decode(&ipfix(|m| m.data(256, |out| out.put(&short(1, 1))))).rows, 1);
}

#[test]
fn more_records_than_a_message_may_hold_are_refused_without_a_row() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| m.template(256, &[field(4, 1)])));
    let bomb = ipfix(|m| m.data(256, |out| out.put(&[6; 60_000])));
    assert_eq!(bench.try_decode(&bomb).unwrap_err().error, DecodeError::TooMuchOutput);
    assert_eq!(bench.out.rows(), 0);
}

#[test]
fn a_message_without_a_whole_set_leaves_no_row_and_the_next_one_is_whole() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| m.template(256, &SHORT)));
    let mut broken = ipfix(|m| m.data(256, |out| out.put(&short(1, 1))));
    broken[18..20].copy_from_slice(&200_u16.to_be_bytes()); // a set that claims 200 octets
    assert_eq!(bench.try_decode(&broken).unwrap_err().error, DecodeError::BadLength);
    assert_eq!(bench.out.rows(), 0);
    bench.decode(&ipfix(|m| m.data(256, |out| out.put(&short(2, 200)))));
    assert_eq!(bench.out.values(BYTES), [200]);
}

#[test]
fn every_prefix_of_a_message_is_survived() {
    let whole = ipfix(|m| {
        m.template(256, &[field(8, 4), field(96, VARIABLE_LENGTH), field(1, 8)]);
        m.options_template(257, 1, &[field(149, 4), field(34, 4)]);
        m.data(256, |out| {
            out.put(&[10, 0, 0, 1]);
            out.put_variable(b"ssh");
            out.put_u64(5);
        });
        m.data(257, |out| out.put(&[0, 0, 0, 1, 0, 0, 0, 9]));
    });
    for length in 0..whole.len() {
        let mut bench = Bench::new();
        let mut cut = whole[..length].to_vec();
        // A prefix that ends with a set is whole but for its header's length; any other is an error.
        if let Ok(decoded) = bench.try_decode(&cut) {
            assert_eq!(decoded.contradictions, 1, "{length} octets of {} were taken for a message", whole.len());
        }
        bench = Bench::new();
        if length >= 16 {
            cut[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            let rows = bench.try_decode(&cut).map_or(0, |decoded| decoded.rows);
            assert_eq!(bench.out.rows(), rows as usize);
        }
    }
}

#[test]
fn integers_may_have_any_width_from_one_to_eight_octets() {
    for width in 1..=8_u16 {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.template(256, &[field(1, width), field(10, width), field(7, width)]);
            m.data(256, |out| {
                for _ in 0..3 {
                    out.put(&200_u64.to_be_bytes()[8 - width as usize..]);
                }
            });
        }));
        let row = (bench.out.get(BYTES, 0), bench.out.get(IN_IF_INDEX, 0), bench.out.get(SRC_PORT, 0));
        assert_eq!(row, (200, 200, 200), "width {width}");
    }
}

#[test]
fn a_value_beyond_its_column_is_the_largest_one_not_a_wrapped_one() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(10, 8)]);
        m.data(256, |out| out.put_u64(1 << 40 | 5));
    }));
    assert_eq!(bench.out.get(IN_IF_INDEX, 0), u32::MAX);
}

#[test]
fn the_family_that_is_not_used_is_zero_and_does_not_win() {
    let mut bench = Bench::new();
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(8, 4), field(27, 16), field(28, 16), field(12, 4)]);
        m.data(256, 2, |out| {
            out.put(&[0; 4]);
            out.put(&v6);
            out.put(&v6);
            out.put(&[0; 4]);
            out.put(&[10, 0, 0, 1]);
            out.put(&[0; 32]);
            out.put(&[10, 0, 0, 2]);
        });
    }));
    assert_eq!((bench.out.get(SRC_ADDR, 0), bench.out.get(DST_ADDR, 0)), (v6, v6));
    assert_eq!(
        (bench.out.get(SRC_ADDR, 1), bench.out.get(DST_ADDR, 1)),
        (mapped([10, 0, 0, 1]), mapped([10, 0, 0, 2]))
    );
    assert_eq!(bench.out.values(ETHER_TYPE), [0x86dd, 0x0800]);
}

#[test]
fn deltas_come_before_totals_even_when_they_are_zero() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(85, 4), field(1, 4)]);
        m.data(256, |out| out.put(&[0, 0, 0, 99, 0, 0, 0, 0]));
        m.template(257, &[field(85, 4), field(86, 4)]);
        m.data(257, |out| out.put(&[0, 0, 0, 99, 0, 0, 0, 3]));
    }));
    assert_eq!((bench.out.values(BYTES), bench.out.values(PACKETS)), (&[0, 99][..], &[0, 3][..]));
}

#[test]
fn a_biflow_becomes_two_rows_and_an_empty_reverse_none() {
    const REVERSE: u32 = 29305;
    let fields = [
        field(8, 4),
        field(12, 4),
        field(7, 2),
        field(11, 2),
        field(1, 4),
        enterprise_field(REVERSE, 1, 4),
        field(6, 1),
    ];
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &fields);
        m.data(256, |out| {
            out.put(&[10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 1, 187, 0, 0, 0, 100, 0, 0, 0, 40, 0x1b]);
            out.put(&[10, 0, 0, 3, 10, 0, 0, 4, 0, 80, 1, 187, 0, 0, 0, 7, 0, 0, 0, 0, 0x02]);
        });
    }));
    assert_eq!((decoded.data_records, decoded.rows), (2, 3));
    let out = &bench.out;
    assert_eq!(out.values(BYTES), [100, 7, 40]);
    assert_eq!((out.get(SRC_ADDR, 2), out.get(DST_ADDR, 2)), (mapped([10, 0, 0, 2]), mapped([10, 0, 0, 1])));
    assert_eq!((out.get(SRC_PORT, 2), out.get(DST_PORT, 2)), (443, 80));
    assert_eq!(out.values(TCP_FLAGS), [0x1b, 2, 0], "flags of one direction are not the other's");
}

#[test]
fn initiator_and_responder_are_two_directions_also_with_variable_lengths() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(8, 4), field(12, 4), field(231, 4), field(232, 4), field(298, 4), field(299, 4)]);
        m.data(256, 1, |out| out.put(&[10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2]));
    }));
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(8, 4), field(96, VARIABLE_LENGTH), field(231, 4), field(232, 4)]);
        m.data(256, |out| {
            out.put(&[10, 0, 0, 9]);
            out.put_variable(b"x");
            out.put(&[0, 0, 0, 8, 0, 0, 0, 3]);
        });
    }));
    assert_eq!(bench.out.values(BYTES), [5, 6, 8, 3]);
    assert_eq!(bench.out.values(PACKETS), [1, 2, 0, 0]);
    assert_eq!(bench.out.get(DST_ADDR, 3), mapped([10, 0, 0, 9]));
}

#[test]
fn strings_of_variable_length_may_be_empty_and_lose_no_record() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &[field(236, VARIABLE_LENGTH), field(1, 4)]);
        m.data(256, |out| {
            for (name, octets) in [("blue", 1), ("", 2), ("red", 3)] {
                out.put_variable(name.as_bytes());
                out.put_u32(octets);
            }
        });
    }));
    assert_eq!(
        (decoded.rows, bench.names_of(bench.out.values(VRF_NAME))),
        (3, ["blue", "", "red"].map(str::to_owned).to_vec())
    );
    assert_eq!(bench.out.values(BYTES), [1, 2, 3]);
}

#[test]
fn sysuptime_of_version_9_is_relative_to_its_header() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(10_000, |m| {
        m.template(256, &[field(22, 4), field(21, 4)]);
        m.data(256, 1, |out| {
            out.put_u32(u32::MAX - 4_999); // 5 s before the uptime wrapped
            out.put_u32(9_500);
        });
    }));
    assert_eq!((bench.out.get(FLOW_START, 0), bench.out.get(FLOW_END, 0)), (NOW - 15_000, NOW - 500));
}

#[test]
fn ipfix_sysuptime_needs_the_boot_time_from_options_data() {
    let mut bench = Bench::new();
    let flow = |m: &mut ipfix::Message<'_>| m.data(256, |out| out.put_u32(60_000));
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(22, 4)]);
        flow(m);
        m.options_template(257, 1, &[field(149, 4), field(160, 8)]);
        m.data(257, |out| {
            out.put_u32(0);
            out.put_u64(NOW as u64 - 100_000);
        });
        flow(m);
    }));
    assert_eq!(bench.out.values(FLOW_START), [NOW, NOW - 40_000]);
}

#[test]
fn ipfix_sysuptime_without_a_boot_time_keeps_the_durations_of_flows() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        let fields = [field(22, 4), field(21, 4), field(1, 4), enterprise_field(29305, 1, 4)];
        m.template(256, &fields);
        m.data(256, |out| {
            // Begin and end in milliseconds, over the wrap; octets of both directions. The second flow ended last.
            for (start, end, octets, back) in [(u32::MAX - 2999, u32::MAX - 999, 1, 3), (u32::MAX, 4000, 2, 0)] {
                [start, end, octets, back].into_iter().for_each(|value| out.put_u32(value));
            }
        });
    }));
    assert_eq!(bench.out.values(BYTES), [1, 2, 3]);
    assert_eq!(bench.out.values(FLOW_END), [NOW - 5000, NOW, NOW - 5000], "the way back has the clock of the record");
    assert_eq!(bench.out.values(FLOW_START), [NOW - 7000, NOW - 4001, NOW - 7000]);
}

#[test]
fn a_time_that_is_none_becomes_the_arrival() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(152, 8), field(153, 8)]);
        m.data(256, |out| {
            out.put_u64(u64::MAX);
            out.put_u64(NOW as u64 - 7);
        });
    }));
    assert_eq!((bench.out.get(FLOW_START, 0), bench.out.get(FLOW_END, 0)), (NOW, NOW - 7));
    assert_eq!(bench.out.get(RECEIVED_AT, 0), NOW);
}

#[test]
fn a_label_stack_ends_at_its_bottom() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(70, 3), field(71, 3), field(72, 3)]);
        m.data(256, 2, |out| {
            out.put(&[0x00, 0x01, 0x00, 0x00, 0x02, 0x01, 0x00, 0x09, 0x00]); // 16, 32 (bottom), left over
            out.put(&[0x49, 0x3e, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00]); // 300012, then empty
        });
    }));
    assert_eq!(bench.out.list(MPLS_LABELS, 0), [16, 32]);
    assert_eq!(bench.out.list(MPLS_LABELS, 1), [300_012]);
}

#[test]
fn icmp_in_the_destination_port_is_type_and_code() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(4, 1), field(11, 2)]);
        m.data(256, 2, |out| out.put(&[1, 3, 1, 6, 3, 1]));
    }));
    assert_eq!((bench.out.values(ICMP_TYPE), bench.out.values(ICMP_CODE)), (&[3, 0][..], &[1, 0][..]));
    assert_eq!(bench.out.values(DST_PORT), [0x301, 0x301]);
}

/// A sampler table, an interface's interval and a domain's interval, then a record for each way to find one.
#[test]
fn the_sampling_interval_comes_from_record_then_sampler_then_interface_then_domain() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        use netflow9::Scope;
        m.options_template(300, &[(Scope::System, 4)], &[field(48, 1), field(50, 4)]);
        m.options_template(301, &[(Scope::Interface, 4)], &[field(34, 4)]);
        m.options_template(302, &[(Scope::System, 4)], &[field(34, 4)]);
        m.data(300, 1, |out| out.put(&[0, 0, 0, 0, 5, 0, 0, 0, 100]));
        m.data(301, 1, |out| out.put(&[0, 0, 0, 7, 0, 0, 0, 200]));
        m.data(302, 1, |out| out.put(&[0, 0, 0, 0, 0, 0, 1, 44]));
        m.template(256, &[field(10, 4), field(48, 1), field(34, 4)]);
        m.data(256, 4, |out| {
            for (interface, sampler, interval) in [(7, 5, 400), (7, 5, 0), (7, 9, 0), (8, 9, 0)] {
                out.put_u32(interface);
                out.put_u8(sampler);
                out.put_u32(interval);
            }
        });
    }));
    assert_eq!(bench.out.values(SAMPLING_INTERVAL), [400, 100, 200, 300]);
    assert_eq!(bench.out.values(SAMPLING_SOURCE), [RECORD, SAMPLER, INTERFACE, DOMAIN]);
}

#[test]
fn a_sampler_of_another_domain_of_the_exporter_counts_and_ratios_are_rounded() {
    let mut bench = Bench::new();
    bench.decode(&ipfix_in(1, |m| {
        m.options_template(300, 1, &[field(302, 8), field(305, 4), field(306, 4)]);
        m.data(300, |out| {
            out.put_u64(5);
            out.put_u32(2);
            out.put_u32(3); // 2 of 5: nearer to 1 of 3 than to 1 of 2
        });
    }));
    bench.decode(&ipfix_in(2, |m| {
        m.template(256, &[field(302, 8), field(1, 4)]);
        m.data(256, |out| {
            out.put_u64(5);
            out.put_u32(1);
        });
    }));
    assert_eq!((bench.out.get(SAMPLING_INTERVAL, 0), bench.out.get(SAMPLING_SOURCE, 0)), (3, SAMPLER));
    assert_eq!(bench.out.get(OBSERVATION_DOMAIN_ID, 0), 2);
}

#[test]
fn an_unknown_interval_is_one_and_says_so() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &SHORT);
        m.data(256, |out| out.put(&short(1, 100)));
    }));
    assert_eq!((bench.out.get(SAMPLING_INTERVAL, 0), bench.out.get(SAMPLING_SOURCE, 0)), (1, 0));
}

#[test]
fn applications_get_their_names_from_the_options_table() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.options_template(300, &[(netflow9::Scope::System, 4)], &[field(95, 4), field(96, 8)]);
        m.data(300, 1, |out| {
            out.put(&[0, 0, 0, 0, 3, 0, 0, 22]);
            out.put_text("ssh", 8);
        });
        m.template(256, &[field(95, 4)]);
        m.data(256, 2, |out| out.put(&[3, 0, 0, 22, 3, 0, 0, 99]));
    }));
    assert_eq!(bench.names_of(bench.out.values(APPLICATION)), ["ssh", ""]);
}

#[test]
fn interfaces_and_vrfs_get_their_names_from_the_options_tables() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.options_template(300, &[(netflow9::Scope::Interface, 4)], &[field(82, 8), field(83, 8)]);
        m.data(300, 1, |out| {
            out.put_u32(7);
            out.put_text("Gi0/7", 8);
            out.put_text("uplink", 8);
        });
        m.options_template(301, &[(netflow9::Scope::System, 4)], &[field(234, 4), field(236, 8)]);
        m.data(301, 1, |out| {
            out.put(&[0, 0, 0, 0, 0, 0, 0, 3]);
            out.put_text("blue", 8);
        });
        m.template(256, &[field(10, 4), field(14, 4), field(234, 4)]);
        m.data(256, 2, |out| out.put(&[0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0, 4]));
    }));
    let name = |col| bench.names_of(bench.out.values(col));
    assert_eq!(
        (name(IN_IF_NAME), name(OUT_IF_NAME)),
        (vec!["Gi0/7".into(), "".into()], vec!["".into(), "Gi0/7".into()])
    );
    assert_eq!(
        (name(OUT_IF_DESCRIPTION), name(VRF_NAME)),
        (vec!["".into(), "uplink".into()], vec!["blue".into(), "".into()])
    );
}

#[test]
fn version_5_fills_every_column_of_its_record() {
    let record = netflow5::Record {
        in_if_index: 4,
        out_if_index: 5,
        packets: 6,
        octets: 700,
        first_ms: 50_000,
        last_ms: 59_000,
        proto: 6,
        ..netflow5::Record::default()
    };
    let header = netflow5::Header {
        sys_uptime_ms: 60_000,
        export_secs: NOW_SECS,
        sampling: 0x4000 | 1000,
        engine_type: 1,
        engine_id: 2,
        ..netflow5::Header::default()
    };
    let mut message = Vec::new();
    netflow5::message(&header, [&record, &record], &mut message);
    let mut bench = Bench::new();
    assert_eq!(bench.decode(&message).rows, 2);
    let out = &bench.out;
    assert_eq!((out.get(BYTES, 1), out.get(PACKETS, 1), out.get(OUT_IF_INDEX, 1)), (700, 6, 5));
    assert_eq!((out.get(FLOW_START, 1), out.get(FLOW_END, 1)), (NOW - 10_000, NOW - 1_000));
    assert_eq!((out.get(SAMPLING_INTERVAL, 1), out.get(SAMPLING_SOURCE, 1)), (1000, HEADER));
    assert_eq!(out.get(OBSERVATION_DOMAIN_ID, 1), 0x0102);
}

#[test]
fn templates_samplers_and_applications_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut before = Bench::new();
    before.decode(&netflow9(0, |m| {
        m.options_template(300, &[(netflow9::Scope::System, 4)], &[field(48, 1), field(50, 4)]);
        m.data(300, 1, |out| out.put(&[0, 0, 0, 0, 5, 0, 0, 0, 100]));
        m.options_template(301, &[(netflow9::Scope::System, 4)], &[field(95, 4), field(96, 8)]);
        m.data(301, 1, |out| {
            out.put(&[0, 0, 0, 0, 3, 0, 0, 22]);
            out.put_text("ssh", 8);
        });
        m.options_template(302, &[(netflow9::Scope::Template, 2)], &[field(34, 2)]);
        m.data(302, 1, |out| out.put(&[1, 1, 3, 0xe8])); // template 257: 1000
        m.template(256, &[field(1, 4), field(48, 1), field(95, 4)]);
        m.template(257, &[field(1, 4)]);
    }));
    let state = StateFile::open(directory.path()).unwrap();
    let saver = state.saver().unwrap();
    before.decoder.changed(10, |address, saved| saver.save(address, &saved));
    before.decoder.changed(10, |_, _| panic!("nothing changed since"));
    before.decoder.save_anew();
    let mut offered = 0;
    for taken in [false, true, true] {
        before.decoder.changed(10, |_, _| {
            offered += 1;
            taken
        });
    }
    assert_eq!(offered, 2, "one that was not taken comes again, one that was does not");
    drop((saver, state));

    let state = StateFile::open(directory.path()).unwrap();
    let mut after = Bench::new();
    after.decoder.remember(state.memory());
    let decoded = after.decode(&netflow9(0, |m| m.data(256, 1, |out| out.put(&[0, 0, 1, 0, 5, 3, 0, 0, 22]))));
    assert_eq!((decoded.rows, after.out.get(BYTES, 0), after.out.get(SAMPLING_INTERVAL, 0)), (1, 256, 100));
    assert_eq!(after.names_of(after.out.values(APPLICATION)), ["ssh"]);
    after.decode(&netflow9(0, |m| m.data(257, 1, |out| out.put_u32(1))));
    assert_eq!(after.out.get(SAMPLING_INTERVAL, 1), 1000);
}

#[test]
fn communities_come_from_lists_and_a_malformed_list_costs_nothing_else() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &[field(8, 4), field(485, VARIABLE_LENGTH), field(291, VARIABLE_LENGTH), field(1, 4)]);
        m.data(256, |out| {
            // 64500:1 and 64500:2; then a list whose element ends beyond it; then one in the list of nobody.
            let community: &[u8] = &[3, 1, 0xe3, 0, 4, 0xfb, 0xf4, 0, 1, 0xfb, 0xf4, 0, 2];
            let cut: &[u8] = &[3, 1, 0xe3, 0, 4, 0xfb, 0xf4, 0];
            // 64500:7:9 as a large community (489).
            let large: &[u8] = &[3, 1, 0xe9, 0, 12, 0, 0, 0xfb, 0xf4, 0, 0, 0, 7, 0, 0, 0, 9];
            for (octets, (first, second)) in [(1, (community, large)), (2, (cut, large)), (3, (&[], community))] {
                out.put(&[10, 0, 0, 1]);
                out.put_variable(first);
                out.put_variable(second);
                out.put_u32(octets);
            }
        });
    }));
    assert_eq!((decoded.rows, bench.out.values(BYTES)), (3, &[1, 2, 3][..]));
    let both = [64500 << 16 | 1, 64500 << 16 | 2];
    let communities = [0, 1, 2].map(|row| bench.out.list(COMMUNITIES, row).to_vec());
    assert_eq!(communities, [both.to_vec(), vec![], both.to_vec()]);
    let large = (64500_u128 << 64 | 7 << 32 | 9).to_le_bytes();
    let larges = [0, 1, 2].map(|row| bench.out.list(LARGE_COMMUNITIES, row).to_vec());
    assert_eq!(larges, [vec![large], vec![large], vec![]]);
}

#[test]
fn labels_of_a_frame_in_a_record_are_kept_in_its_row() {
    let mut bench = Bench::new();
    // Ethernet with one label, 16, bottom of stack, in front of nothing; the other frame has none.
    let labelled = [[0; 12].as_slice(), &[0x88, 0x47, 0, 1, 1, 64]].concat();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(10, 4), field(315, VARIABLE_LENGTH)]);
        m.data(256, |out| {
            for frame in [&[0; 14][..], &labelled] {
                out.put_u32(1);
                out.put_variable(frame);
            }
        });
    }));
    let labels = [0, 1].map(|row| bench.out.list(MPLS_LABELS, row).to_vec());
    assert_eq!(labels, [vec![], vec![16]]);
}
