//! RFC 7011, section 6.2: integers "MAY be encoded using fewer octets than those implied by their type".
//!
//! Devices also send more octets than the type has, up to 8: values that a column cannot hold become its largest.
//! The tests go over the table of columns, so that a column that is added there is covered.

use helios_collector::encode::{Field, Put, enterprise_field, field};
use helios_common::columns::{
    BYTES, Column, ColumnKind, DST_VLAN, FLOW_DIRECTION, FLOW_END_REASON, FLOW_START, FORWARDING_STATUS, ICMP_CODE,
    ICMP_TYPE, INNER_VLAN, IPV6_FLOW_LABEL, SAMPLING_INTERVAL, SRC_VLAN, TCP_FLAGS, TOS, TUNNEL_ID, TUNNEL_TYPE,
};
use helios_common::flow::FlowBatch;
use helios_common::ie::{self, Ie, REVERSE_PEN, Type};

use crate::bench::{Bench, NOW, ipfix, netflow9};

/// `samplingPacketInterval` and `samplingSize`: packets taken, from which alone no interval follows.
const PACKETS_TAKEN: [u16; 2] = [305, 309];

/// `icmpTypeCodeIPv4` and `icmpTypeCodeIPv6`: the type in the upper octet, the code in the lower one.
const ICMP_TYPE_CODES: [u16; 2] = [32, 139];

/// `layer2SegmentId`: the kind of overlay in the upper octet of eight, its number in the lower three.
const SEGMENT: u16 = 351;

/// The `width` lowest octets of a value.
fn octets(value: u64, width: u16) -> Vec<u8> {
    value.to_be_bytes()[8 - usize::from(width)..].to_vec()
}

/// A value that takes all octets of the width.
fn wide(width: u16) -> u64 {
    0x8182_8384_8586_8788 >> (64 - 8 * width)
}

/// The first row's value of an integer column; `None` for a column of another kind.
fn read(out: &FlowBatch, column: Column) -> Option<u64> {
    match column.spec().kind {
        ColumnKind::U8 | ColumnKind::Enum(_) => Some(out.get(column.typed::<u8>()?, 0).into()),
        ColumnKind::U16 => Some(out.get(column.typed::<u16>()?, 0).into()),
        ColumnKind::U32 => Some(out.get(column.typed::<u32>()?, 0).into()),
        ColumnKind::U64 => Some(out.get(column.typed::<u64>()?, 0)),
        _ => None,
    }
}

/// What the column makes of a value that stands in the element.
fn expected(column: Column, element: Ie, value: u64) -> u64 {
    let is = |columns: &[Column]| columns.contains(&column);
    let both = ICMP_TYPE_CODES.contains(&element.id);
    match column.spec().kind {
        _ if both && is(&[ICMP_TYPE.column()]) => value >> 8 & 0xff,
        _ if both && is(&[ICMP_CODE.column()]) => value & 0xff,
        _ if is(&[SRC_VLAN.column(), DST_VLAN.column(), INNER_VLAN.column(), TCP_FLAGS.column()]) => value & 0x0fff,
        _ if is(&[IPV6_FLOW_LABEL.column()]) => value & 0x000f_ffff,
        _ if is(&[TOS.column()]) && element.id == 195 => value << 2 & 0xff,
        _ if is(&[TOS.column()]) && element.id == 196 => value << 5 & 0xff,
        _ if is(&[TUNNEL_ID.column()]) && element.id == SEGMENT => value & 0x00ff_ffff,
        // No kind of tunnel has the upper octet of the value that takes eight.
        _ if is(&[TUNNEL_TYPE.column()]) && element.id == SEGMENT => 0,
        // Of Open vSwitch's: 1 is VXLAN, a number that it has not is another tunnel.
        _ if is(&[TUNNEL_TYPE.column()]) => {
            if value == 1 {
                3
            } else {
                7
            }
        }
        _ if is(&[FORWARDING_STATUS.column()]) => value & 0xff,
        _ if is(&[FLOW_DIRECTION.column()]) => [1, 2].get(value as usize).copied().unwrap_or(0),
        _ if is(&[FLOW_END_REASON.column()]) => {
            if value > 5 {
                0
            } else {
                value
            }
        }
        _ if is(&[SAMPLING_INTERVAL.column()]) && PACKETS_TAKEN.contains(&element.id) => 1,
        ColumnKind::U8 => value.min(u8::MAX.into()),
        ColumnKind::U16 => value.min(u16::MAX.into()),
        ColumnKind::U32 => value.min(u32::MAX.into()),
        _ => value,
    }
}

fn integers() -> impl Iterator<Item = (Column, Ie)> {
    let elements =
        Column::all().flat_map(|column| column.spec().elements.iter().map(move |&element| (column, element)));
    elements.filter(|(_, element)| ie::info(*element).is_some_and(|info| info.ty == Type::Unsigned))
}

/// A record of one field: of version 9, which has numbers above 32767 but none of enterprises, or of IPFIX.
fn message(field: Field, value: &[u8]) -> Vec<u8> {
    if field.ie.pen == 0 {
        netflow9(0, |m| {
            m.template(256, &[field]);
            m.data(256, 1, |out| out.put(value));
        })
    } else {
        ipfix(|m| {
            m.template(256, &[field]);
            m.data(256, |out| out.put(value));
        })
    }
}

#[test]
fn every_integer_column_reads_one_to_eight_octets_of_every_element() {
    for (column, element) in integers() {
        for width in 1..=8 {
            for value in [1, wide(width)] {
                let mut bench = Bench::new();
                bench.decode(&message(Field { ie: element, length: width }, &octets(value, width)));
                let told = format!("{value:#x} of {width} octets of element {} in {}", element.id, column.spec().name);
                assert_eq!(read(&bench.out, column), Some(expected(column, element, value)), "{told}");
            }
        }
    }
}

#[test]
fn integers_of_other_widths_stand_in_the_row_of_their_own_record() {
    for width in 1..=8 {
        let mut bench = Bench::new();
        bench.decode(&netflow9(0, |m| {
            m.template(256, &[field(7, width), field(1, width), field(10, width)]);
            m.data(256, 3, |out| (1..=9).for_each(|value| out.put(&octets(value, width))));
        }));
        assert_eq!(bench.out.values(BYTES), [2, 5, 8], "width {width}");
    }
}

#[test]
fn reverse_counters_read_one_to_eight_octets() {
    for width in 1..=8 {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.template(256, &[field(1, 4), enterprise_field(REVERSE_PEN, 1, width)]);
            m.data(256, |out| {
                out.put_u32(7);
                out.put(&octets(wide(width), width));
            });
        }));
        assert_eq!(bench.out.values(BYTES), [7, wide(width)], "width {width}");
    }
}

/// `flowStartSysUpTime` and `flowStartDeltaMicroseconds` are unsigned32 in the registry, times by their meaning.
#[test]
fn times_that_are_integers_read_fewer_and_more_octets() {
    const UPTIME_MS: u32 = 70_000;
    for width in 2..=8 {
        for (id, value, start) in [(22, 60_000, NOW - 10_000), (158, 50_000, NOW - 50)] {
            let mut bench = Bench::new();
            bench.decode(&netflow9(UPTIME_MS, |m| {
                m.template(256, &[field(id, width)]);
                m.data(256, 1, |out| out.put(&octets(value, width)));
            }));
            assert_eq!(bench.out.values(FLOW_START), [start], "element {id} of {width} octets");
        }
    }
}

#[test]
fn sampler_tables_read_one_to_eight_octets() {
    for width in 1..=8 {
        for (id, interval) in [(48, 34), (48, 50), (302, 34), (302, 305)] {
            let mut bench = Bench::new();
            bench.decode(&ipfix(|m| {
                // An interval of 100, or one packet of 100; the fields 306 and 305 in this order.
                let announced = if interval == 305 { [(306, 99), (305, 1)] } else { [(210, 0), (interval, 100)] };
                let fields = announced.map(|(element, _)| field(element, width));
                m.options_template(300, 1, &[field(id, width), fields[0], fields[1]]);
                m.data(300, |out| {
                    out.put(&octets(9, width));
                    announced.iter().for_each(|&(_, value)| out.put(&octets(value, width)));
                });
                m.template(256, &[field(id, width)]);
                m.data(256, |out| out.put(&octets(9, width)));
            }));
            assert_eq!(bench.out.values(SAMPLING_INTERVAL), [100], "{id}, {interval}: width {width}");
        }
    }
}
