use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_ipc::reader::StreamReader;
use helios_common::columns::{
    Column, ColumnData, DST_ADDR, DST_PORT, ETHER_TYPE, EXPORTER_NAME, IN_IF_BOUNDARY, IN_IF_NAME, PROTO, SRC_ADDR,
    SRC_AS, SRC_PEER_AS, SRC_PORT, SRC_SITE,
};
use helios_common::exporter::{ExporterId, mapped};
use proptest::prelude::*;

use super::*;
use crate::block::{Assembler, BlockLimits};
use crate::config::Compression;
use crate::schema::rollup::{Side, TALKERS_PER_EXPORTER, dimensions};
use crate::spool::file::{self, Contents};
use crate::spool::{Spool, SpoolConfig};

/// A flow as the test makes it: every value from a small range, so that keys repeat.
#[derive(Debug, Clone, Copy)]
struct Flow {
    at: i64,
    exporter: u8,
    key: [u8; 6],
    hosts: (u8, u8),
    ports: (u16, u16),
    bytes: u64,
    packets: u64,
    interval: u32,
    event: u8,
}

fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let small = 0_u8..3;
    let key = [small.clone(), small.clone(), small.clone(), small.clone(), small.clone(), small.clone()];
    let sums = (prop_oneof![Just(0), Just(u64::MAX), 0..2000_u64], 0..3_u64, 0..4_u32, 0..2_u8);
    let flow = (0..200_000_i64, small, key, (0..3_u8, 0..3_u8), (0..4_u16, 0..4_u16), sums).prop_map(
        |(ms, exporter, key, hosts, ports, (bytes, packets, interval, event))| Flow {
            at: 1_700_000_000_000 + ms,
            exporter,
            key,
            hosts,
            ports,
            bytes,
            packets,
            interval,
            event,
        },
    );
    prop::collection::vec(flow, 0..400)
}

/// `lacking` are columns that the batch has nothing in.
fn batch(flows: &[Flow], names: &Names, lacking: &[Column]) -> FlowBatch {
    let mut batch = FlowBatch::new();
    for flow in flows {
        let [interface, asn, peer, proto, boundary, site] = flow.key;
        batch.set(RECEIVED_AT, flow.at);
        batch.set(EXPORTER_NAME, names.intern(&format!("router-{}", flow.exporter)));
        batch.set(IN_IF_NAME, names.intern(&format!("eth{interface}")));
        batch.set(SRC_AS, 64_500 + u32::from(asn));
        batch.set(PROTO, [6, 17, 1][usize::from(proto)]);
        batch.set(ETHER_TYPE, 0x0800 + u16::from(boundary));
        batch.set(IN_IF_BOUNDARY, boundary);
        let mut optional = |column: Column, set: &mut dyn FnMut(&mut FlowBatch)| {
            if !lacking.contains(&column) {
                set(&mut batch);
            }
        };
        optional(SRC_PEER_AS.column(), &mut |batch| batch.set(SRC_PEER_AS, u32::from(peer)));
        optional(SRC_SITE.column(), &mut |batch| batch.set(SRC_SITE, names.intern(&format!("site{site}"))));
        optional(SAMPLING_INTERVAL.column(), &mut |batch| batch.set(SAMPLING_INTERVAL, flow.interval));
        optional(FIREWALL_EVENT.column(), &mut |batch| batch.set(FIREWALL_EVENT, flow.event));
        batch.set(SRC_ADDR, mapped([192, 0, 2, flow.hosts.0]));
        batch.set(DST_ADDR, mapped([198, 51, 100, flow.hosts.1]));
        batch.set(SRC_PORT, flow.ports.0);
        batch.set(DST_PORT, flow.ports.1);
        batch.set(BYTES, flow.bytes);
        batch.set(PACKETS, flow.packets);
        batch.advance(1, ExporterId(u32::from(flow.exporter)));
    }
    batch.seal();
    batch
}

/// Every row of a rollup as text, by column, and its sums. Rows of one key are added up, as ClickHouse does it.
type Rows = BTreeMap<Vec<(String, String)>, [u64; 3]>;

fn read(rollup: &Rollup) -> Rows {
    let mut rows = Rows::new();
    for batch in StreamReader::try_new(&rollup.body[..], None).unwrap().map(Result::unwrap) {
        for row in 0..batch.num_rows() {
            let keys = batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
            let keys =
                keys.into_iter().filter(|name| !["as_listed", "bytes", "packets", "flows"].contains(&name.as_str()));
            let key = keys.map(|name| (name.clone(), value(&batch, &name, row))).collect();
            let sum = |name: &str| batch[name].as_primitive::<UInt64Type>().value(row);
            add(&mut rows, key, [sum("bytes"), sum("packets"), sum("flows")]);
        }
    }
    rows
}

fn add(rows: &mut Rows, key: Vec<(String, String)>, sums: [u64; 3]) {
    let row = rows.entry(key).or_default();
    row.iter_mut().zip(sums).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
}

fn value(batch: &RecordBatch, name: &str, row: usize) -> String {
    let column = &batch[name];
    if let Some(names) = column.as_dictionary_opt::<UInt16Type>() {
        return names.values().as_string::<i32>().value(names.keys().value(row).into()).to_owned();
    }
    if let Some(addresses) = column.as_fixed_size_binary_opt() {
        return format!("{:?}", addresses.value(row));
    }
    let times = column.as_primitive_opt::<TimestampMillisecondType>().map(|times| times.value(row).to_string());
    let bytes = || column.as_primitive_opt::<UInt8Type>().map(|values| values.value(row).to_string());
    let shorts = || column.as_primitive_opt::<UInt16Type>().map(|values| values.value(row).to_string());
    let words = || column.as_primitive_opt::<UInt32Type>().map(|values| values.value(row).to_string());
    times.or_else(bytes).or_else(shorts).or_else(words).unwrap()
}

/// A value of a batch as [`value`] shows it.
fn text(batch: &FlowBatch, column: Column, row: usize, names: &Names) -> String {
    let name = matches!(column.spec().kind, helios_common::columns::ColumnKind::Name);
    match batch.data(column) {
        ColumnData::U8(values) => values.get(row).copied().unwrap_or_default().to_string(),
        ColumnData::U16(values) => values.get(row).copied().unwrap_or_default().to_string(),
        ColumnData::U32(values) if name => names.read().get(values.get(row).copied().unwrap_or_default()).to_owned(),
        ColumnData::U32(values) => values.get(row).copied().unwrap_or_default().to_string(),
        other => unreachable!("{other:?} is no dimension"),
    }
}

/// What a row counts for, as the views say it; `None` for an event.
fn counted(batch: &FlowBatch, row: usize) -> Option<[u64; 3]> {
    let (bytes, packets) = (batch.get(BYTES, row), batch.get(PACKETS, row));
    let interval = u64::from(batch.get(SAMPLING_INTERVAL, row).max(1));
    let event = batch.get(FIREWALL_EVENT, row) != 0;
    (bytes != 0 || packets != 0 || !event).then(|| [bytes.wrapping_mul(interval), packets.wrapping_mul(interval), 1])
}

fn minute(batch: &FlowBatch, row: usize) -> String {
    (batch.get(RECEIVED_AT, row) / 60_000 * 60_000).to_string()
}

/// `flows_1m` row by row, in the plainest way.
fn naive_minutes(batches: &[FlowBatch], carried: ColumnSet, names: &Names) -> Rows {
    let mut rows = Rows::new();
    for batch in batches {
        for row in 0..batch.rows() {
            let Some(sums) = counted(batch, row) else { continue };
            let keys = dimensions().filter(|column| carried.contains(*column));
            let keys = keys.map(|column| (column.spec().name.to_owned(), text(batch, column, row, names)));
            add(&mut rows, [("received_at".to_owned(), minute(batch, row))].into_iter().chain(keys).collect(), sums);
        }
    }
    rows
}

fn roll_up(rollups: &mut Rollups, batches: &[FlowBatch], names: &Names) -> (ColumnSet, Vec<Rollup>) {
    let mut carried = ColumnSet::default();
    for batch in batches {
        carried = carried.union(batch.present());
        // In two steps, as when a block ends in the middle of a batch.
        rollups.add(batch, 0, batch.rows() / 3);
        rollups.add(batch, batch.rows() / 3, batch.rows());
    }
    let body: MakeBody<'_> = &mut |encode| {
        let mut stream = Vec::new();
        encode(&mut |octets| stream.extend_from_slice(octets));
        stream.into()
    };
    let made = rollups.finish(carried, names, body).unwrap();
    (carried, made)
}

fn of_table(made: &[Rollup], table: Table) -> Rows {
    made.iter().find(|rollup| rollup.table == table).map(read).unwrap_or_default()
}

/// Sums of the rows of a side.
fn side_sums(talkers: &Rows, side: Side) -> Rows {
    let mut sums = Rows::new();
    for (key, row) in talkers {
        if key.contains(&("side".to_owned(), (side as u8).to_string())) {
            let of = ["received_at", "exporter_name"].map(|name| key.iter().find(|(key, _)| key == name).cloned());
            add(&mut sums, of.into_iter().flatten().collect(), *row);
        }
    }
    sums
}

proptest! {
    #[test]
    fn rows_are_those_of_a_naive_aggregation(blocks in prop::collection::vec((flows(), flows()), 1..3)) {
        let names = Names::new();
        let mut rollups = Rollups::new("t");
        for (first, second) in blocks {
            let lacking = [SRC_PEER_AS.column(), SRC_SITE.column(), SAMPLING_INTERVAL.column(), FIREWALL_EVENT.column()];
            let batches = [batch(&first, &names, &[]), batch(&second, &names, &lacking)];
            let (carried, made) = roll_up(&mut rollups, &batches, &names);
            prop_assert_eq!(of_table(&made, Table::Flows1m), naive_minutes(&batches, carried, &names));

            let talkers = of_table(&made, Table::Talkers1m);
            let mut totals = Rows::new();
            for batch in &batches {
                for row in 0..batch.rows() {
                    let Some(sums) = counted(batch, row) else { continue };
                    let exporter = text(batch, EXPORTER_NAME.column(), row, &names);
                    add(&mut totals, vec![("received_at".into(), minute(batch, row)), ("exporter_name".into(), exporter)], sums);
                }
            }
            // Nine talkers of a side at the most, fewer than there is room for: each side has all of the traffic.
            for side in [Side::Src, Side::Dst, Side::Pair, Side::Service, Side::Total] {
                prop_assert_eq!(side_sums(&talkers, side), totals.clone(), "{:?}", side);
            }
        }
    }
}

/// `n` flows of an exporter, every host once, but for one that has every tenth flow.
fn crowd(n: u32, names: &Names) -> FlowBatch {
    let mut batch = FlowBatch::new();
    for flow in 0..n {
        let host = if flow % 10 == 0 { 0 } else { flow };
        batch.set(RECEIVED_AT, 1_700_000_000_000);
        batch.set(EXPORTER_NAME, names.intern("router"));
        batch.set(SRC_ADDR, mapped((0x0a00_0000 + host).to_be_bytes()));
        batch.set(BYTES, 100);
        batch.set(PACKETS, 1);
        batch.advance(1, ExporterId(0));
    }
    batch.seal();
    batch
}

#[test]
fn of_a_crowd_the_busiest_are_listed_and_the_total_says_how_much_they_are() {
    let names = Names::new();
    let mut rollups = Rollups::new("t");
    let (_, made) = roll_up(&mut rollups, &[crowd(100_000, &names)], &names);
    let talkers = of_table(&made, Table::Talkers1m);
    let sources: Vec<_> = talkers.iter().filter(|(key, _)| key.contains(&("side".into(), "1".into()))).collect();
    assert_eq!(sources.len(), TALKERS_PER_EXPORTER as usize);
    let busiest = format!("{:?}", mapped([10, 0, 0, 0]));
    let of_busiest = sources.iter().find(|(key, _)| key.contains(&("host".into(), busiest.clone()))).unwrap().1;
    assert_eq!(*of_busiest, [1_000_000, 10_000, 10_000]);
    let total: Vec<_> = side_sums(&talkers, Side::Total).into_values().collect();
    assert_eq!(total, [[10_000_000, 100_000, 100_000]]);
    let listed = side_sums(&talkers, Side::Src).into_values().next().unwrap();
    assert!(listed[0] < total[0][0], "not all are listed");
}

#[test]
fn a_host_that_begins_late_comes_in_with_most_of_what_it_has() {
    let names = Names::new();
    let mut batch = FlowBatch::new();
    // Ten times as many hosts as a table has room for, and behind them one with every tenth flow.
    for flow in 0..200_000_u32 {
        let late = flow >= 100_000 && flow % 10 == 0;
        let host = if late { u32::MAX } else { flow };
        batch.set(RECEIVED_AT, 1_700_000_000_000);
        batch.set(EXPORTER_NAME, names.intern("router"));
        batch.set(SRC_ADDR, mapped(host.to_be_bytes()));
        batch.set(BYTES, 100);
        batch.set(PACKETS, 1);
        batch.advance(1, ExporterId(0));
    }
    batch.seal();
    let (_, made) = roll_up(&mut Rollups::new("t"), &[batch], &names);
    let talkers = of_table(&made, Table::Talkers1m);
    let late = format!("{:?}", mapped(u32::MAX.to_be_bytes()));
    let found = talkers
        .iter()
        .find(|(key, _)| key.contains(&("host".into(), late.clone())) && key.contains(&("side".into(), "1".into())));
    let [bytes, packets, flows] = *found.unwrap().1;
    assert!(flows > 5_000 && flows <= 10_000, "{flows} of 10000 flows");
    assert_eq!((bytes, packets), (flows * 100, flows));
}

#[test]
fn many_groups_over_many_chunks_are_each_there_once() {
    let names = Names::new();
    let mut rollups = Rollups::new("t");
    let batches: Vec<FlowBatch> = (0..20)
        .map(|b| {
            let mut batch = FlowBatch::new();
            for n in 0..8000_u32 {
                batch.set(RECEIVED_AT, 0);
                // Every AS in two batches.
                batch.set(SRC_AS, (b / 2) * 8000 + n);
                batch.set(BYTES, 1);
                batch.advance(1, ExporterId(0));
            }
            batch.seal();
            batch
        })
        .collect();
    let (_, made) = roll_up(&mut rollups, &batches, &names);
    let minutes = made.iter().find(|rollup| rollup.table == Table::Flows1m).unwrap();
    let rows = of_table(&made, Table::Flows1m);
    assert_eq!((minutes.rows, rows.len()), (80_000, 80_000));
    assert!(rows.values().all(|sums| *sums == [2, 0, 2]));
}

#[test]
fn rollups_are_kept_with_their_block_and_left_out_without_its_end() {
    let names = std::sync::Arc::new(Names::new());
    let limits = BlockLimits { rows: 1000, octets: u64::MAX, compression: Compression::Lz4 };
    let mut assembler = Assembler::new("t".into(), limits, std::sync::Arc::clone(&names));
    assembler.append(&crowd(100, &names), |_, _| unreachable!("there is room for more")).unwrap();
    let block = assembler.close().unwrap().unwrap();
    assert_eq!(block.rollups.iter().map(|rollup| rollup.table).collect::<Vec<_>>(), [Table::Flows1m, Table::Talkers1m]);

    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::open(&SpoolConfig { min_free_bytes: 0, ..SpoolConfig::default() }, directory.path()).unwrap();
    let kept = spool.write(&block).unwrap();
    let loaded = spool.load(&kept).unwrap();
    assert_eq!((&loaded.rollups, loaded.octets, &loaded.pieces), (&block.rollups, block.octets, &block.pieces));

    // A crash between the second rollup and the end, in it, or before it: one alone would count half of the block.
    let folders = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let file = files.map(|entry| entry.unwrap().path()).find(|path| path.to_string_lossy().contains(&*kept.name));
    let whole = std::fs::read(file.unwrap()).unwrap();
    let torn = directory.path().join("torn");
    let rollups: usize = block.rollups.iter().map(|rollup| file::encode_rollup(rollup).len()).sum();
    for cut in 29..29 + rollups {
        std::fs::write(&torn, &whole[..whole.len() - cut]).unwrap();
        let mut contents = Contents::read(&torn).unwrap();
        assert!(!contents.closed && contents.rollups.is_empty(), "{cut}");
        contents.close_as_it_stands(&torn).unwrap();
        let again = Contents::read(&torn).unwrap();
        assert!(again.closed && again.tail == file::Tail::Nothing, "{cut}");
        let recovered = again.into_block();
        assert_eq!((recovered.rows, &recovered.pieces, recovered.rollups), (block.rows, &block.pieces, Vec::new()));
    }
}

#[test]
fn a_block_without_traffic_has_no_rollups() {
    let names = Names::new();
    let mut batch = FlowBatch::new();
    batch.set(RECEIVED_AT, 0);
    batch.set(NAT_EVENT, 1);
    batch.advance(1, ExporterId(0));
    batch.seal();
    let (_, made) = roll_up(&mut Rollups::new("t"), &[batch], &names);
    assert_eq!(made, []);
}
