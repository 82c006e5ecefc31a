//! Blocks become rows: exact values, each once, in every table.

use std::sync::Arc;

use helios_common::columns::{
    BYTES, Column, DST_COUNTRY, EXPORT_PROTOCOL, FIREWALL_EVENT, FLOW_START, IN_IF_NAME, IN_IF_SPEED,
    LARGE_COMMUNITIES, MPLS_LABELS, PROTO, RECEIVED_AT, SRC_ADDR, SRC_AS, SRC_COUNTRY, SRC_MAC, SRC_PORT,
};
use helios_common::exporter::ExporterId;
use helios_common::flow::FlowBatch;
use helios_common::names::Names;
use helios_sink::block::{Assembler, BlockLimits};
use helios_sink::config::Compression;

use super::support::{Stand, assembler, block, last_hour, traffic};

const TABLES: [&str; 6] = ["flows", "flows_1m", "flows_1h", "summary_1h", "talkers_1m", "talkers_1h"];

#[test]
fn every_kind_of_column_arrives_as_it_was() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let at = last_hour();
    let mut batch = FlowBatch::new();
    batch.open(RECEIVED_AT).push(at + 123);
    batch.open(FLOW_START).push(at - 1);
    batch.open(SRC_ADDR).push("2001:db8::1:2".parse::<std::net::Ipv6Addr>().unwrap().octets());
    batch.open(SRC_MAC).push(0x0011_2233_4455);
    batch.open(PROTO).push(255);
    batch.open(SRC_PORT).push(65_535);
    batch.open(SRC_AS).push(u32::MAX);
    batch.open(BYTES).push(u64::MAX);
    batch.open(IN_IF_SPEED).push(400_000_000_000);
    batch.open(EXPORT_PROTOCOL).push(10);
    batch.open(SRC_COUNTRY).push(names.intern("DE"));
    batch.open(IN_IF_NAME).push(names.intern("Größe '\\\"\n🦀"));
    batch.open_list(MPLS_LABELS).push([16, 1_048_575]);
    // 64500 * 2^64 + 1 * 2^32 + 2, least significant octet first.
    batch.open_list(LARGE_COMMUNITIES).push([(64_500_u128 << 64 | 1 << 32 | 2).to_le_bytes(), [0; 16]]);
    batch.advance(1, ExporterId(0));
    // The second row has nothing but its time: defaults in every column.
    batch.open(RECEIVED_AT).push(at + 124);
    batch.advance(1, ExporterId(0));
    batch.seal();

    for (n, compression) in [Compression::Lz4, Compression::None].into_iter().enumerate() {
        stand.insert(&block(&mut assembler(&names, compression), [batch.clone()]));
        assert_eq!(stand.rows(), (2 * (n + 1)).to_string());
        let first = stand.query(
            "SELECT toUnixTimestamp64Milli(received_at), toUnixTimestamp64Milli(flow_start), src_addr, \
             MACNumToString(src_mac), proto, src_port, src_as, bytes, in_if_speed, export_protocol, src_country, \
             hex(in_if_name), mpls_labels, large_communities FROM t.flows WHERE proto = 255 LIMIT 1",
        );
        let name: String = "Größe '\\\"\n🦀".bytes().map(|octet| format!("{octet:02X}")).collect();
        let large = 64_500_u128 << 64 | 1 << 32 | 2;
        let expected = format!(
            "{}\t{}\t2001:db8::1:2\t00:11:22:33:44:55\t255\t65535\t4294967295\t18446744073709551615\t400000000000\t\
             ipfix\tDE\t{name}\t[16,1048575]\t[{large},0]",
            at + 123,
            at - 1
        );
        assert_eq!(first, expected);
        let second = stand.query(
            "SELECT flow_start = 0, src_addr, src_mac, src_as, bytes, export_protocol, src_country, mpls_labels, \
             large_communities, dst_addr, communities, sampling_interval FROM t.flows WHERE proto = 0 LIMIT 1",
        );
        assert_eq!(second, "1\t::\t0\t0\t0\tunknown\t\t[]\t[]\t::\t[]\t1");
    }
}

#[test]
fn names_stay_right_over_many_chunks_with_ever_new_names() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let at = last_hour();
    // 200,000 rows are four chunks. The first column meets new names all the time, in the second they come and go.
    let batches = (0..25).map(|b| {
        let mut batch = FlowBatch::new();
        for n in b * 8000..(b + 1) * 8000_u64 {
            batch.open(RECEIVED_AT).push(at);
            batch.open(BYTES).push(n);
            batch.open(SRC_COUNTRY).push(names.intern(&format!("a{}", n / 10)));
            batch.open(DST_COUNTRY).push(names.intern(&format!("b{}", (n * n) % 977)));
            batch.advance(1, ExporterId(0));
        }
        batch.seal();
        batch
    });
    stand.insert(&block(&mut assembler(&names, Compression::Lz4), batches));
    let wrong = "SELECT count(), countIf(src_country != concat('a', toString(intDiv(bytes, 10)))), \
                 countIf(dst_country != concat('b', toString(bytes * bytes % 977))) FROM t.flows";
    assert_eq!(stand.query(wrong), "200000\t0\t0");
}

/// Sides of `summary_1h`: as long as there are few pairs of AS, each has all traffic.
const SUMMARIES: [&str; 3] = ["interface", "place", "as"];

/// What every rollup says, and what `flows` says to the same question.
fn totals(stand: &Stand, table: &str) -> String {
    match table {
        "flows" => {
            stand.query("SELECT sum(bytes * sampling_interval), sum(packets * sampling_interval), count() FROM t.flows")
        }
        "summary_1h" => SUMMARIES
            .map(|side| {
                stand
                    .query(&format!("SELECT sum(bytes), sum(packets), sum(flows) FROM t.{table} WHERE side = '{side}'"))
            })
            .into_iter()
            .reduce(|one, other| if one == other { one } else { format!("{one} and {other}") })
            .unwrap_or_default(),
        "talkers_1m" | "talkers_1h" => {
            stand.query(&format!("SELECT sum(bytes), sum(packets), sum(flows) FROM t.{table} WHERE side = 'dst'"))
        }
        _ => stand.query(&format!("SELECT sum(bytes), sum(packets), sum(flows) FROM t.{table}")),
    }
}

#[test]
fn rollups_add_up_to_what_was_received() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let mut assembler = assembler(&names, Compression::Lz4);
    for n in 0..3 {
        stand.insert(&block(&mut assembler, [traffic(&names, n * 5000, 5000)]));
    }
    for table in TABLES {
        assert_eq!(totals(&stand, table), totals(&stand, "flows"), "{table}");
    }
    // Key by key, not only in total.
    for (table, truncate) in [("flows_1m", "toStartOfMinute"), ("flows_1h", "toStartOfHour")] {
        let difference = format!(
            "SELECT count() FROM (SELECT {truncate}(received_at) AS at, exporter_name, proto, flow_direction, \
             sum(bytes * sampling_interval) AS b, count() AS f FROM t.flows GROUP BY ALL EXCEPT \
             SELECT received_at, exporter_name, proto, flow_direction, sum(bytes), sum(flows) FROM t.{table} GROUP BY ALL)"
        );
        assert_eq!(stand.query(&difference), "0", "{table}");
    }
    for (side, keys) in [
        (
            "interface",
            "exporter_name, exporter_site, in_if_name, out_if_name, in_if_boundary, out_if_boundary, flow_direction",
        ),
        (
            "place",
            "src_country, dst_country, src_site, dst_site, src_tenant, dst_tenant, proto, ether_type, flow_direction",
        ),
        ("as", "src_as, dst_as, src_peer_as, dst_peer_as, flow_direction"),
    ] {
        let sums = |table: &str, of_side: &str, bytes: &str, flows: &str| {
            stand.query(&format!(
                "SELECT toStartOfHour(received_at) AS at, {keys}, {bytes}, {flows} FROM t.{table} {of_side} \
                 GROUP BY at, {keys} ORDER BY ALL"
            ))
        };
        let flows = sums("flows", "", "sum(bytes * sampling_interval)", "count()");
        let summary = sums("summary_1h", &format!("WHERE side = '{side}'"), "sum(bytes)", "sum(flows)");
        assert_eq!(summary, flows, "{side}");
        assert!(flows.lines().count() > 1, "{side}: {flows}");
    }
}

#[test]
fn talkers_are_the_hosts_of_both_sides() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let mut assembler = assembler(&names, Compression::Lz4);
    for n in 0..2 {
        stand.insert(&block(&mut assembler, [traffic(&names, n * 5000, 5000)]));
    }
    for (side, column) in [("src", "src_addr"), ("dst", "dst_addr")] {
        let top = |query: &str| stand.query(&format!("{query} GROUP BY ALL ORDER BY 3 DESC, 1, 2"));
        let raw = top(&format!("SELECT exporter_name, {column}, sum(bytes * sampling_interval), count() FROM t.flows"));
        let talkers =
            top(&format!("SELECT exporter_name, host, sum(bytes), sum(flows) FROM t.talkers_1h WHERE side = '{side}'"));
        assert_eq!(talkers, raw);
        assert!(raw.lines().count() > 80);
    }
}

#[test]
fn events_without_traffic_stay_out_of_the_rollups() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let mut batch = FlowBatch::new();
    batch.open(RECEIVED_AT).extend([last_hour(); 3]);
    batch.open(BYTES).extend([0, 0, 10]);
    batch.open(FIREWALL_EVENT).extend([3, 0, 2]);
    batch.advance(3, ExporterId(0));
    batch.seal();
    stand.insert(&block(&mut assembler(&names, Compression::Lz4), [batch]));
    assert_eq!(stand.rows(), "3");
    assert_eq!(stand.query("SELECT sum(bytes), sum(flows) FROM t.flows_1m"), "10\t2");
}

#[test]
fn a_block_that_is_sent_again_counts_once_in_every_table() {
    let mut stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let mut assembler = assembler(&names, Compression::Lz4);
    let first = block(&mut assembler, [traffic(&names, 0, 5000)]);
    let second = block(&mut assembler, [traffic(&names, 5000, 5000)]);
    stand.insert(&first);
    stand.insert(&second);
    let before = TABLES.map(|table| totals(&stand, table));
    // At once, after another block, and by an engine that was killed meanwhile.
    stand.insert(&second);
    stand.insert(&first);
    stand.engine.kill();
    stand.engine.resume();
    stand.insert(&first);
    assert_eq!(TABLES.map(|table| totals(&stand, table)), before);
    assert_eq!(stand.rows(), "10000");
    // The same rows under another token are other rows.
    stand.insert(&block(&mut assembler, [traffic(&names, 0, 5000)]));
    assert_eq!(stand.rows(), "15000");
}

#[test]
fn a_wider_block_follows_a_narrow_one() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let mut assembler: Assembler = assembler(&names, Compression::Lz4);
    let mut blocks = Vec::new();
    let mut wider = traffic(&names, 100, 50);
    wider.fill(RECEIVED_AT, 50, last_hour());
    wider.fill(SRC_AS, 50, 65_000);
    wider.advance(50, ExporterId(0));
    wider.seal();
    for batch in [traffic(&names, 0, 100), wider, traffic(&names, 200, 10)] {
        assembler.append(&batch, |block, _| blocks.push(block)).unwrap();
    }
    blocks.extend(assembler.close().unwrap());
    blocks.iter().for_each(|block| stand.insert(block));
    assert_eq!(blocks.iter().map(|block| block.rows).collect::<Vec<_>>(), [100, 110]);
    assert_eq!(stand.query("SELECT count(), countIf(src_as = 65000) FROM t.flows"), "210\t50");
}

#[test]
fn the_largest_block_of_every_column_is_one_part() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let mut batch = FlowBatch::new();
    Column::all().for_each(|column| fill_all(&mut batch, column));
    batch.advance(8000, ExporterId(0));
    batch.seal();
    let defaults = &stand.config;
    let limits = BlockLimits { rows: defaults.block_rows, octets: defaults.block_bytes, compression: Compression::Lz4 };
    let mut assembler = Assembler::new("t".into(), limits, Arc::clone(&names));
    let mut closed = Vec::new();
    while closed.is_empty() {
        assembler.append(&batch, |block, _| closed.push(block)).unwrap();
    }
    stand.insert(&closed[0]);
    assert!(closed[0].rows > 500_000, "{}", closed[0].rows);
    let parts = "SELECT count(), sum(rows) FROM system.parts WHERE database = 't' AND table = 'flows' AND level = 0";
    assert_eq!(stand.query(parts), format!("1\t{}", closed[0].rows));
}

/// Fills a column of 8000 open rows, whatever its type.
fn fill_all(batch: &mut FlowBatch, column: Column) {
    if let Some(col) = column.typed::<u8>() {
        batch.fill(col, 8000, 0);
    } else if let Some(col) = column.typed::<u16>() {
        batch.fill(col, 8000, 1);
    } else if let Some(col) = column.typed::<u32>() {
        batch.fill(col, 8000, 1);
    } else if let Some(col) = column.typed::<u64>() {
        batch.fill(col, 8000, 1);
    } else if let Some(col) = column.typed::<i64>() {
        batch.fill(col, 8000, last_hour());
    } else if let Some(col) = column.typed::<[u8; 16]>() {
        batch.fill(col, 8000, [1; 16]);
    }
}
