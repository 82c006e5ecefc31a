//! What holds for any input: what encoders write is what is read, any octets are survived within bounds, a cut message
//! leaves a beginning of its rows, and the order of sets does not matter.

use helios_collector::decode::Protocol;
use helios_collector::encode::{Field, Put, VARIABLE_LENGTH, field};
use helios_common::columns::{
    BYTES, Col, DST_AS, DST_PORT, IN_IF_INDEX, OUT_IF_INDEX, PACKETS, PROTO, SRC_AS, SRC_PORT, TOS, VRF_NAME, Value,
};
use helios_common::flow::FlowBatch;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::bench::{Bench, ipfix, netflow9};
use helios_collector::encode::flows::{Flow, INTERVAL, Row, message, rows};

/// Rows of one message, however it is made.
const MAX_ROWS: usize = 8192;

/// Cases of each property: seconds in all. A failure is printed with its seed and its smallest form.
const CASES: u32 = 64;

/// Of the property that cuts each case at every octet.
const FEW_CASES: u32 = 8;

fn flow() -> impl Strategy<Value = Flow> {
    // Without ICMP: its ports are type and code, which is another rule, and older than sFlow.
    let proto = any::<u8>().prop_filter("not ICMP", |proto| ![1, 58].contains(proto));
    let times = (0..3_600_000_u32, 0..60_000_u32);
    (any::<([u8; 4], [u8; 4], [u8; 4])>(), any::<[u16; 6]>(), any::<[u32; 2]>(), any::<[u8; 2]>(), proto, times)
        .prop_flat_map(|start| (Just(start), (0..=32_u8, 0..=32_u8)))
        .prop_map(|((addresses, words, [packets, octets], [tcp_flags, tos], proto, (began, ended)), masks)| Flow {
            src: addresses.0,
            dst: addresses.1,
            next_hop: addresses.2,
            src_port: words[0],
            dst_port: words[1],
            in_if_index: words[2],
            out_if_index: words[3],
            src_as: words[4],
            dst_as: words[5],
            packets,
            octets,
            tcp_flags,
            tos,
            proto,
            src_mask: masks.0,
            dst_mask: masks.1,
            began_ms_ago: began + ended,
            ended_ms_ago: ended,
        })
}

fn decoded(protocol: Protocol, flows: &[Flow]) -> Vec<Row> {
    let mut bench = Bench::new();
    assert_eq!(bench.decode(&message(protocol, flows)).rows as usize, flows.len());
    rows(&bench.out)
}

type Read = fn(&FlowBatch, usize) -> u64;

/// Elements of one column each, with the largest value that the column keeps.
const INTEGERS: [(u16, Read, u64); 10] = [
    (1, |batch, row| batch.get(BYTES, row), u64::MAX),
    (2, |batch, row| batch.get(PACKETS, row), u64::MAX),
    (10, |batch, row| wide(batch, IN_IF_INDEX, row), u32::MAX as u64),
    (14, |batch, row| wide(batch, OUT_IF_INDEX, row), u32::MAX as u64),
    (16, |batch, row| wide(batch, SRC_AS, row), u32::MAX as u64),
    (17, |batch, row| wide(batch, DST_AS, row), u32::MAX as u64),
    (7, |batch, row| wide(batch, SRC_PORT, row), u16::MAX as u64),
    (11, |batch, row| wide(batch, DST_PORT, row), u16::MAX as u64),
    (5, |batch, row| wide(batch, TOS, row), u8::MAX as u64),
    (4, |batch, row| wide(batch, PROTO, row), u8::MAX as u64),
];

fn wide<T: Value + Into<u64>>(batch: &FlowBatch, col: Col<T>, row: usize) -> u64 {
    batch.get(col, row).into()
}

/// Any of those elements in any order, in widths of 1 to 8 octets, with values for some records.
fn integers() -> impl Strategy<Value = (Vec<(usize, u16)>, Vec<Vec<u64>>)> {
    let fields = subsequence((0..INTEGERS.len()).collect::<Vec<_>>(), 1..=INTEGERS.len()).prop_shuffle();
    fields
        .prop_flat_map(|fields| {
            let n = fields.len();
            (Just(fields), vec(1..=8_u16, n), vec(vec(any::<u64>(), n), 1..8))
        })
        .prop_map(|(fields, widths, values)| (fields.into_iter().zip(widths).collect(), values))
}

/// Writes the low `width` octets of each value, and a name of some length behind each record if there is one.
fn write_integers(fields: &[(usize, u16)], records: &[Vec<u64>], name: Option<&str>, out: &mut Vec<u8>) {
    for record in records {
        for ((_, width), value) in fields.iter().zip(record) {
            out.put(&value.to_be_bytes()[8 - usize::from(*width)..]);
        }
        if let Some(name) = name {
            out.put_variable(name.as_bytes());
        }
    }
}

fn template_of(fields: &[(usize, u16)], name: bool) -> Vec<Field> {
    let mut template: Vec<_> = fields.iter().map(|&(at, width)| field(INTEGERS[at].0, width)).collect();
    if name {
        template.push(field(236, VARIABLE_LENGTH));
    }
    template
}

/// Templates and data of both template-based versions, as a message of its own each.
fn exchange(version: u8) -> (Vec<u8>, Vec<u8>) {
    let fields = [field(8, 4), field(1, 4), field(6, 1)];
    let records = |out: &mut Vec<u8>| (1..=5).for_each(|last| out.put(&[10, 0, 0, last, 0, 0, 1, last, 2]));
    if version == 9 {
        (netflow9(0, |m| m.template(256, &fields)), netflow9(0, |m| m.data(256, 5, records)))
    } else {
        (ipfix(|m| m.template(256, &fields)), ipfix(|m| m.data(256, records)))
    }
}

/// Octets that look like a message: of a version, with sets whose lengths mostly fit.
fn nearly_a_message() -> impl Strategy<Value = Vec<u8>> {
    let set = (prop_oneof![0..4_u16, 256..260_u16, any::<u16>()], vec(any::<u8>(), 0..60), -2..3_i32).prop_map(
        |(id, body, off)| {
            let mut set = id.to_be_bytes().to_vec();
            set.put_u16((body.len() as i32 + 4 + off).max(0) as u16);
            set.put(&body);
            set
        },
    );
    (select(vec![9_u16, 10]), any::<[u8; 18]>(), vec(set, 0..8)).prop_map(|(version, header, sets)| {
        let mut message = version.to_be_bytes().to_vec();
        message.put(&header[..if version == 9 { 18 } else { 14 }]);
        message.extend(sets.concat());
        if version == 10 {
            let length = (message.len() as u16).to_be_bytes();
            message[2..4].copy_from_slice(&length);
        }
        message
    })
}

/// Decodes and checks what holds for any octets.
fn survive(bench: &mut Bench, octets: &[u8]) -> Result<(), TestCaseError> {
    let before = bench.out.rows();
    match bench.try_decode(octets) {
        Ok(decoded) => {
            prop_assert_eq!(bench.out.rows(), before + decoded.rows as usize);
            prop_assert!(decoded.rows as usize - decoded.held_rows as usize <= MAX_ROWS);
        }
        Err(_) => prop_assert_eq!(bench.out.rows(), before),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn what_is_written_in_each_version_is_what_is_read(flows in vec(flow(), 1..20)) {
        for protocol in Protocol::ALL {
            let expected: Vec<_> = flows.iter().map(|flow| flow.row().as_carried_by(protocol)).collect();
            let read: Vec<_> = decoded(protocol, &flows).into_iter().map(|row| row.as_carried_by(protocol)).collect();
            prop_assert_eq!(read, expected, "{}", protocol.name());
        }
    }

    #[test]
    fn the_same_flows_are_the_same_rows_in_every_version(flows in vec(flow(), 1..20)) {
        let reference = decoded(Protocol::Ipfix, &flows);
        for protocol in Protocol::ALL {
            let carried = |row: Row| row.as_carried_by(protocol);
            let read: Vec<_> = decoded(protocol, &flows).into_iter().map(carried).collect();
            let wanted: Vec<_> = reference.iter().copied().map(carried).collect();
            prop_assert_eq!(read, wanted, "{}", protocol.name());
        }
        prop_assert!(reference.iter().all(|row| row.sampling_interval == Some(INTERVAL)));
    }

    #[test]
    fn integers_of_any_width_and_order_are_read_or_held_to_their_columns_largest((fields, records) in integers()) {
        let names = [None, Some(""), Some("blue"), Some("red"), Some("a name of more than a few octets")];
        for name in names {
            let template = template_of(&fields, name.is_some());
            let mut ipfix_bench = Bench::new();
            ipfix_bench.decode(&ipfix(|m| {
                m.template(256, &template);
                m.data(256, |out| write_integers(&fields, &records, name, out));
            }));
            let mut netflow9_bench = Bench::new();
            netflow9_bench.decode(&netflow9(0, |m| {
                m.template(256, &template);
                m.data(256, records.len(), |out| write_integers(&fields, &records, name, out));
            }));
            for bench in [&ipfix_bench, &netflow9_bench] {
                for (row, record) in records.iter().enumerate() {
                    for (&(at, width), &value) in fields.iter().zip(record) {
                        let (element, read, largest) = INTEGERS[at];
                        let sent = value & u64::MAX >> (64 - 8 * u32::from(width));
                        prop_assert_eq!(read(&bench.out, row), sent.min(largest), "element {} of {}", element, width);
                    }
                    let vrf = bench.names_of(&[bench.out.get(VRF_NAME, row)]);
                    prop_assert_eq!(vrf[0].as_str(), name.unwrap_or(""));
                }
            }
        }
    }

    #[test]
    fn any_octets_are_survived(messages in vec(vec(any::<u8>(), 0..200), 1..6)) {
        let mut bench = Bench::new();
        for octets in messages {
            survive(&mut bench, &octets)?;
        }
    }

    #[test]
    fn messages_that_nearly_fit_are_survived_in_any_order(messages in vec(nearly_a_message(), 1..12)) {
        let mut bench = Bench::new();
        for octets in messages {
            survive(&mut bench, &octets)?;
        }
    }

    #[test]
    fn damaged_messages_are_survived(
        flows in vec(flow(), 1..6),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for protocol in Protocol::ALL {
            let mut bench = Bench::new();
            let mut octets = message(protocol, &flows);
            survive(&mut bench, &octets)?;
            for (at, value) in &damage {
                let at = at.index(octets.len());
                octets[at] = *value;
                survive(&mut bench, &octets)?;
            }
        }
    }

    #[test]
    fn the_order_of_templates_and_data_does_not_matter(flags in any::<[bool; 12]>()) {
        for version in [9, 10] {
            let (template, data) = exchange(version);
            let n_data = flags.iter().filter(|is_data| **is_data).count();
            let mut bench = Bench::new();
            for is_data in flags {
                bench.decode(if is_data { &data } else { &template });
            }
            bench.decode(&template);
            let mut octets = bench.out.values(BYTES).to_vec();
            octets.sort_unstable();
            let one: Vec<u64> = (1..=5).map(|last| 256 + last).collect();
            let mut wanted = vec![&one[..]; n_data].concat();
            wanted.sort_unstable();
            prop_assert_eq!(octets, wanted);
        }
    }

    #[test]
    fn the_order_of_sets_within_a_message_does_not_matter(order in Just([0, 1, 2, 3]).prop_shuffle()) {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            for set in order {
                match set {
                    0 => m.template(256, &[field(8, 4), field(1, 4)]),
                    1 => m.template(257, &[field(8, 4), field(2, 4)]),
                    2 => m.data(256, |out| out.put(&[10, 0, 0, 1, 0, 0, 0, 7])),
                    _ => m.data(257, |out| out.put(&[10, 0, 0, 2, 0, 0, 0, 9])),
                }
            }
        }));
        let sums = (bench.out.values(BYTES).iter().sum::<u64>(), bench.out.values(PACKETS).iter().sum::<u64>());
        prop_assert_eq!((bench.out.rows(), sums), (2, (7, 9)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(FEW_CASES))]

    #[test]
    fn a_message_cut_anywhere_leaves_a_beginning_of_its_rows(flows in vec(flow(), 1..4)) {
        for protocol in Protocol::ALL {
            let whole = message(protocol, &flows);
            let all = decoded(protocol, &flows);
            for length in 0..whole.len() {
                let mut cut = whole[..length].to_vec();
                if protocol == Protocol::Ipfix && length >= 4 {
                    // As if the exporter had sent so much: otherwise the length alone refuses it.
                    cut[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                }
                let mut bench = Bench::new();
                survive(&mut bench, &cut)?;
                prop_assert!(all.starts_with(&rows(&bench.out)), "{} cut to {length} octets", protocol.name());
            }
        }
    }
}

#[test]
fn a_message_has_a_bounded_number_of_rows_over_all_of_its_sets() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| m.template(256, &[field(4, 1)])));
    let bomb = ipfix(|m| (0..8).for_each(|_| m.data(256, |out| out.put(&[6; 8000]))));
    assert!(bench.try_decode(&bomb).is_err());
    assert_eq!(bench.out.rows(), 0);
}
