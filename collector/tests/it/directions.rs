//! The second row of a biflow record, column by column: what it holds follows from the column table alone (RFC 5103 §4).

use std::fmt::Debug;

use helios_collector::encode::{Put, enterprise_field, field};
use helios_common::columns::{APPLICATION, Column, ColumnData, ColumnKind, Direction, Rollup, SAMPLING_INTERVAL};
use helios_common::flow::FlowBatch;
use helios_common::ie::{self, Ie, REVERSE_PEN, Type, iana};

use crate::bench::{Bench, NOW, NOW_SECS, ipfix};

/// A value of the element that differs from the default of its column.
fn value_of(element: Ie) -> Vec<u8> {
    // An element of the reverse direction has the type of the other one (RFC 5103 §6.1).
    let forward = if element.pen == REVERSE_PEN { iana(element.id) } else { element };
    let ty = ie::info(forward).map_or(Type::Unsigned, |info| info.ty);
    match ty {
        Type::Unsigned if element == iana(351) => vec![1, 0, 0, 0, 0, 0, 0, 9], // an overlay of kind 1, its number 9
        Type::Unsigned if [iana(32), iana(139)].contains(&element) => vec![1, 1], // type and code
        Type::Unsigned => vec![1],
        Type::Ipv4Address => vec![192, 0, 2, 1],
        Type::Ipv6Address => vec![0x20; 16],
        Type::MacAddress => vec![2; 6],
        Type::DateTimeSeconds => NOW_SECS.to_be_bytes().to_vec(),
        Type::DateTimeMilliseconds => NOW.to_be_bytes().to_vec(),
        Type::DateTimeNtp => ((u64::from(NOW_SECS) + 2_208_988_800) << 32).to_be_bytes().to_vec(),
        Type::SysUptime | Type::DeltaMicroseconds => 1_000_u32.to_be_bytes().to_vec(),
        Type::MplsLabel => vec![1, 1, 0x11],
        Type::String | Type::OctetArray => b"x".to_vec(),
        Type::Float => 0.5_f32.to_be_bytes().to_vec(),
        // No column is filled from a whole list.
        Type::List => Vec::new(),
    }
}

/// One value as text; `None` for the default, which need not be there.
fn cell(batch: &FlowBatch, column: Column, row: usize) -> Option<String> {
    fn of<T: Debug + Default + PartialEq>(values: &[T], row: usize) -> Option<String> {
        values.get(row).filter(|value| **value != T::default()).map(|value| format!("{value:?}"))
    }
    match batch.data(column) {
        ColumnData::U8(values) => of(values, row),
        ColumnData::U16(values) => of(values, row),
        ColumnData::U32(values) => of(values, row),
        ColumnData::U64(values) => of(values, row),
        ColumnData::I64(values) => of(values, row),
        ColumnData::Octets16(values) => of(values, row),
        ColumnData::U32List(lists) => {
            Some(lists.get(row)).filter(|list| !list.is_empty()).map(|list| format!("{list:?}"))
        }
        ColumnData::U128List(lists) => {
            Some(lists.get(row)).filter(|list| !list.is_empty()).map(|list| format!("{list:?}"))
        }
    }
}

/// A record with this element and 100 octets one way, 40 the other.
fn decode(element: Ie) -> Bench {
    let value = value_of(element);
    let length = value.len() as u16;
    let own =
        if element.pen == 0 { field(element.id, length) } else { enterprise_field(element.pen, element.id, length) };
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &[own, field(1, 4), enterprise_field(REVERSE_PEN, 1, 4)]);
        m.data(256, |out| {
            out.put(&value);
            out.put_u32(100);
            out.put_u32(40);
        });
    }));
    assert_eq!(decoded.rows, 2, "{element:?}");
    bench
}

#[test]
fn the_column_table_decides_what_the_reverse_row_holds() {
    for filled in Column::all().filter(|column| column.spec().rollup != Rollup::Sum) {
        // Numbers from 0x8000 on are NetFlow v9's, which has no reverse elements: bit 15 announces an enterprise in IPFIX.
        for element in filled.elements().into_iter().filter(|element| element.id < 0x8000) {
            let bench = decode(element);
            // Sampling has rules of its own, `applicationId` is a key of a table that was not sent.
            let is_looked_up =
                filled == SAMPLING_INTERVAL.column() || (filled, element) == (APPLICATION.column(), iana(95));
            let name = filled.spec().name;
            assert!(is_looked_up || cell(&bench.out, filled, 0).is_some(), "{element:?} did not fill {name}");
            for column in Column::all().filter(|column| column.spec().rollup != Rollup::Sum) {
                let spec = column.spec();
                let forward = cell(&bench.out, column, 0);
                let (reverse, expected) = match spec.direction {
                    Direction::Both | Direction::Fixed => (cell(&bench.out, column, 1), forward),
                    Direction::Pair(partner) => (cell(&bench.out, partner, 1), forward),
                    Direction::OneWay => (cell(&bench.out, column, 1), None),
                };
                assert_eq!(
                    reverse, expected,
                    "{}, which is {:?}, with {element:?} of {name}",
                    spec.name, spec.direction
                );
            }
        }
    }
}

#[test]
fn a_reverse_element_fills_its_own_direction_only() {
    // Counters have elements of their own for the reverse direction; the test above has them.
    let is_one = |column: &Column| column.spec().direction == Direction::OneWay && column.spec().rollup != Rollup::Sum;
    for column in Column::all().filter(is_one) {
        let is_list = matches!(column.spec().kind, ColumnKind::U32List | ColumnKind::U128List);
        for element in column.elements().into_iter().filter(|element| element.pen == 0 && !is_list) {
            let bench = decode(Ie { pen: REVERSE_PEN, id: element.id });
            let of_it = [0, 1].map(|row| cell(&bench.out, column, row));
            assert!(of_it[0].is_none() && of_it[1].is_some(), "{}: {of_it:?}", column.spec().name);
        }
    }
}
