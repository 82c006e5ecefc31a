//! NetFlow and IPFIX against netflow_parser, an independent decoder, on random and damaged messages.
//!
//! Where both are known to differ, and why (netflow_parser 1.0.6), so that damaged messages are compared only where
//! both take all of one:
//! - A malformed message leaves no row here (RFC 7011 §9.1); it gives what it read before the fault, with an error.
//! - It ends an IPFIX set at a variable-length field of length 0; an empty string is a value here (RFC 7011 §7).
//! - It finds no record by a template with a field of no length, which devices send; here it is stepped over.
//!
//! sFlow and sampled headers have oracles of their own: sflow_oracle.rs and packet_oracle.rs.

use helios_collector::decode::Protocol;
use helios_collector::encode::{Field, Put, VARIABLE_LENGTH, enterprise_field, field};
use netflow_parser::variable_versions::field_value::FieldValue;
use netflow_parser::variable_versions::{ipfix, v9};
use netflow_parser::{NetflowPacket, NetflowParser};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::bench::{Bench, ipfix as message_of, netflow9};
use helios_collector::encode::flows::{Flow, Row, message, rows};

/// Cases of each property: seconds in all. A failure is printed with its seed and its smallest form.
const CASES: u32 = 96;

const VERSIONS: [Protocol; 4] = [Protocol::Netflow5, Protocol::Netflow7, Protocol::Netflow9, Protocol::Ipfix];

/// The numbers of a record, in the order of `flows`: ports, service, packets, octets, interfaces, systems.
type Numbers = [u64; 9];

/// Where they stand among the fields of a record of the template-based versions.
const PLACES: [usize; 9] = [3, 4, 7, 8, 9, 10, 11, 12, 13];

fn of_fields<'a>(fields: impl Iterator<Item = &'a FieldValue>) -> Numbers {
    let values: Vec<_> = fields.collect();
    PLACES.map(|at| values[at].as_u64().unwrap())
}

/// Both fixed versions have the same fields under the same names.
macro_rules! numbers_of {
    () => {
        |flow| {
            [
                u64::from(flow.src_port),
                u64::from(flow.dst_port),
                u64::from(flow.tos),
                u64::from(flow.d_pkts),
                u64::from(flow.d_octets),
                u64::from(flow.input),
                u64::from(flow.output),
                u64::from(flow.src_as),
                u64::from(flow.dst_as),
            ]
        }
    };
}

/// What netflow_parser reads; `None` if it does not take the whole message.
fn theirs(octets: &[u8]) -> Option<Vec<Numbers>> {
    let result = NetflowParser::default().parse_bytes(octets);
    let ([packet], None) = (&result.packets[..], &result.error) else { return None };
    Some(match packet {
        NetflowPacket::V5(message) => message.flowsets.iter().map(numbers_of!()).collect(),
        NetflowPacket::V7(message) => message.flowsets.iter().map(numbers_of!()).collect(),
        NetflowPacket::V9(message) => {
            let data = message.flowsets.iter().filter_map(|set| match &set.body {
                v9::FlowSetBody::Data(data) => Some(&data.fields),
                _ => None,
            });
            data.flatten().map(|record| of_fields(record.iter().map(|(_, value)| value))).collect()
        }
        NetflowPacket::IPFix(message) => {
            let data = message.flowsets.iter().filter_map(|set| match &set.body {
                ipfix::FlowSetBody::Data(data) => Some(&data.fields),
                _ => None,
            });
            data.flatten().map(|record| of_fields(record.iter().map(|(_, value)| value))).collect()
        }
        _ => return None,
    })
}

fn numbers(row: &Row) -> Numbers {
    let (sources, destinations) = (row.ports.0, row.ports.1);
    [
        u64::from(sources),
        u64::from(destinations),
        u64::from(row.tos),
        row.packets,
        row.octets,
        u64::from(row.interfaces.0),
        u64::from(row.interfaces.1),
        u64::from(row.systems.0),
        u64::from(row.systems.1),
    ]
}

fn flow() -> impl Strategy<Value = Flow> {
    (any::<[u16; 6]>(), any::<[u32; 2]>(), any::<[u8; 3]>(), any::<[[u8; 4]; 3]>()).prop_map(
        |(words, [packets, octets], [proto, tcp_flags, tos], [src, dst, next_hop])| Flow {
            src,
            dst,
            next_hop,
            src_port: words[0],
            dst_port: words[1],
            in_if_index: words[2],
            out_if_index: words[3],
            src_as: words[4],
            dst_as: words[5],
            packets,
            octets,
            proto,
            tcp_flags,
            tos,
            began_ms_ago: 5_000,
            ended_ms_ago: 1_000,
            ..Flow::default()
        },
    )
}

/// Compares both readings where both take the whole message; tells whether they did.
fn compare(protocol: Protocol, octets: &[u8]) -> Result<bool, TestCaseError> {
    let mut bench = Bench::new();
    let (Some(theirs), Ok(_)) = (theirs(octets), bench.try_decode(octets)) else { return Ok(false) };
    let ours: Vec<_> = rows(&bench.out).iter().map(numbers).collect();
    prop_assert_eq!(ours, theirs, "{}", protocol.name());
    Ok(true)
}

/// The elements of [`Numbers`], each with the least octets that hold its value.
const ELEMENTS: [(u16, u16); 9] = [(7, 2), (11, 2), (5, 1), (2, 4), (1, 4), (10, 2), (14, 2), (16, 2), (17, 2)];

/// An enterprise that neither decoder knows (RFC 5612: for documentation).
const UNKNOWN_PEN: u32 = 32_473;

/// What stands in a template: one of the numbers, wider by some octets, or a field of an unknown enterprise.
#[derive(Debug, Clone, Copy)]
enum Part {
    Number(usize, u16),
    Unknown(u16),
}

/// The numbers in any order and in any of the widths 1, 2, 4 and 8, with unknown fields among them.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    let widened = vec(0..3_u32, ELEMENTS.len());
    (widened, vec(1..40_u16, 0..6)).prop_flat_map(|(widened, unknown)| {
        let number = |(at, wider): (usize, u32)| Part::Number(at, (ELEMENTS[at].1 << wider).min(8));
        let numbers = widened.into_iter().enumerate().map(number);
        Just(numbers.chain(unknown.into_iter().map(Part::Unknown)).collect::<Vec<_>>()).prop_shuffle()
    })
}

/// A number of version 9, which has no enterprises, that neither decoder knows; as many follow as fields are long.
const UNKNOWN_TYPE: u16 = 41_000;

/// Records of `rows` by a template of `parts`.
fn mutated(protocol: Protocol, parts: &[Part], rows: &[Numbers]) -> Vec<u8> {
    let specifier = |part: &Part| -> Field {
        match *part {
            Part::Number(at, width) => field(ELEMENTS[at].0, width),
            Part::Unknown(length) if protocol == Protocol::Netflow9 => field(UNKNOWN_TYPE + length, length),
            Part::Unknown(length) => enterprise_field(UNKNOWN_PEN, length, length),
        }
    };
    let template: Vec<_> = parts.iter().map(specifier).collect();
    let write = |out: &mut Vec<u8>| {
        for (row, part) in rows.iter().flat_map(|row| parts.iter().map(move |part| (row, part))) {
            match *part {
                Part::Number(at, width) => out.put(&row[at].to_be_bytes()[8 - usize::from(width)..]),
                Part::Unknown(length) => out.put(&vec![0xa5; usize::from(length)]),
            }
        }
    };
    if protocol == Protocol::Netflow9 {
        return netflow9(0, |m| {
            m.template(256, &template);
            m.data(256, rows.len(), write);
        });
    }
    message_of(|m| {
        m.template(256, &template);
        m.data(256, write);
    })
}

/// What netflow_parser reads at the places of the numbers.
fn theirs_by(parts: &[Part], octets: &[u8]) -> Vec<Numbers> {
    fn read<'a>(parts: &[Part], values: impl Iterator<Item = &'a FieldValue>) -> Numbers {
        let mut numbers = Numbers::default();
        for (part, value) in parts.iter().zip(values) {
            if let Part::Number(at, _) = *part {
                numbers[at] = value.as_u64().unwrap();
            }
        }
        numbers
    }
    let result = NetflowParser::default().parse_bytes(octets);
    match &result.packets[..] {
        [NetflowPacket::IPFix(message)] => {
            let data = message.flowsets.iter().filter_map(|set| match &set.body {
                ipfix::FlowSetBody::Data(data) => Some(&data.fields),
                _ => None,
            });
            data.flatten().map(|record| read(parts, record.iter().map(|(_, value)| value))).collect()
        }
        [NetflowPacket::V9(message)] => {
            let data = message.flowsets.iter().filter_map(|set| match &set.body {
                v9::FlowSetBody::Data(data) => Some(&data.fields),
                _ => None,
            });
            data.flatten().map(|record| read(parts, record.iter().map(|(_, value)| value))).collect()
        }
        _ => Vec::new(),
    }
}

/// Fields of whose templates both decoders are known to make something else: of no length, and of a variable one.
fn is_disputed(length: u16) -> bool {
    matches!(length, 0 | VARIABLE_LENGTH)
}

/// Data records that netflow_parser finds; `None` if it does not take the whole message, misses a template or has a
/// disputed one.
fn records_of_theirs(octets: &[u8]) -> Option<u32> {
    let result = NetflowParser::default().parse_bytes(octets);
    let ([packet], None) = (&result.packets[..], &result.error) else { return None };
    let mut records = 0;
    match packet {
        NetflowPacket::V9(message) => {
            for set in &message.flowsets {
                match &set.body {
                    v9::FlowSetBody::Data(data) => records += data.fields.len(),
                    v9::FlowSetBody::NoTemplate(_) => return None,
                    v9::FlowSetBody::Template(all) => {
                        let mut fields = all.templates.iter().flat_map(|template| &template.fields);
                        if fields.any(|field| is_disputed(field.field_length)) {
                            return None;
                        }
                    }
                    _ => {}
                }
            }
        }
        NetflowPacket::IPFix(message) => {
            for set in &message.flowsets {
                match &set.body {
                    ipfix::FlowSetBody::Data(data) => records += data.fields.len(),
                    ipfix::FlowSetBody::NoTemplate(_) => return None,
                    ipfix::FlowSetBody::Template(one)
                        if one.fields.iter().any(|field| is_disputed(field.field_length)) =>
                    {
                        return None;
                    }
                    _ => {}
                }
            }
        }
        _ => return None,
    }
    Some(records as u32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn both_decoders_read_the_same(flows in vec(flow(), 1..20)) {
        for protocol in VERSIONS {
            prop_assert!(compare(protocol, &message(protocol, &flows))?, "{} was not taken by both", protocol.name());
        }
    }

    #[test]
    fn both_decoders_read_the_same_in_damaged_records(
        flows in vec(flow(), 1..6),
        damage in vec((any::<Index>(), any::<u8>()), 1..8),
    ) {
        for protocol in VERSIONS {
            let mut octets = message(protocol, &flows);
            // The records are the end of each message; what is before them says how to read them.
            let records = flows.len() * 48;
            let start = octets.len() - records;
            for (at, value) in &damage {
                octets[start + at.index(records)] = *value;
            }
            compare(protocol, &octets)?;
        }
    }

    #[test]
    fn a_message_that_was_cut_is_never_read_differently(flows in vec(flow(), 1..4), at in any::<Index>()) {
        for protocol in VERSIONS {
            let octets = message(protocol, &flows);
            compare(protocol, &octets[..at.index(octets.len())])?;
        }
    }

    #[test]
    fn both_decoders_read_the_same_by_templates_of_any_order_and_width(flows in vec(flow(), 1..8), parts in parts()) {
        let expected: Vec<_> = flows.iter().map(|flow| numbers(&flow.row())).collect();
        for protocol in [Protocol::Netflow9, Protocol::Ipfix] {
            let octets = mutated(protocol, &parts, &expected);
            let mut bench = Bench::new();
            bench.decode(&octets);
            let ours: Vec<_> = rows(&bench.out).iter().map(numbers).collect();
            prop_assert_eq!(&ours, &expected, "{}", protocol.name());
            prop_assert_eq!(&theirs_by(&parts, &octets), &expected, "{}", protocol.name());
        }
    }

    /// Counts, rates and engines of versions 5 and 7 that are not what they were.
    #[test]
    fn both_decoders_read_the_same_under_damaged_headers(
        flows in vec(flow(), 1..6),
        damage in vec((2..24_usize, any::<u8>()), 1..4),
    ) {
        for protocol in [Protocol::Netflow5, Protocol::Netflow7] {
            let mut octets = message(protocol, &flows);
            for &(at, value) in &damage {
                octets[at] = value;
            }
            compare(protocol, &octets)?;
        }
    }

    /// Templates and set headers that are not what they were: both find as many records.
    #[test]
    fn both_decoders_find_the_same_records_by_damaged_templates(
        flows in vec(flow(), 1..6),
        parts in parts(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let values: Vec<_> = flows.iter().map(|flow| numbers(&flow.row())).collect();
        for protocol in [Protocol::Netflow9, Protocol::Ipfix] {
            let mut octets = mutated(protocol, &parts, &values);
            for (at, value) in &damage {
                let at = at.index(octets.len());
                octets[at] = *value;
            }
            let mut bench = Bench::new();
            let (Some(theirs), Ok(ours)) = (records_of_theirs(&octets), bench.try_decode(&octets)) else { continue };
            prop_assert_eq!(ours.data_records, theirs, "{}: {:02x?}", protocol.name(), octets);
        }
    }
}
