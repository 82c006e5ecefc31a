//! Rollups that helios makes and those that views make: every row counts once, whoever rolled it up, and an installation
//! of an earlier version goes on with what it has.

use std::sync::Arc;

use helios_common::names::Names;
use helios_sink::block::Block;
use helios_sink::config::Compression;

use super::support::{Stand, assembler, block, traffic};

/// The schema of version 1 as it was released: `SHOW CREATE` of every rollup table and view, and what it had recorded.
const RELEASED: &str = include_str!("../data/schema-1.sql");

/// A block whose rollups somebody else has to make: as an earlier version sends it, or as a crash leaves it.
fn bare(mut block: Block) -> Block {
    block.rollups.clear();
    block
}

fn flows_of(stand: &Stand, rows: usize, what: &str) {
    let flows = stand.query(
        "SELECT toStartOfMinute(received_at) AS at, exporter_name, proto, flow_direction, \
         sum(bytes * sampling_interval), sum(packets * sampling_interval), count() FROM t.flows \
         GROUP BY ALL ORDER BY ALL",
    );
    assert_eq!(stand.rows(), rows.to_string(), "{what}");
    let minutes = stand.query(
        "SELECT received_at, exporter_name, proto, flow_direction, sum(bytes), sum(packets), sum(flows) FROM t.flows_1m \
         GROUP BY ALL ORDER BY ALL",
    );
    assert_eq!(minutes, flows, "{what}: flows_1m");
    let total =
        stand.query("SELECT sum(bytes * sampling_interval), sum(packets * sampling_interval), count() FROM t.flows");
    for table in [
        "flows_1h WHERE 1",
        "summary_1h WHERE side = 'interface'",
        "summary_1h WHERE side = 'place'",
        "talkers_1m WHERE side = 'total'",
        "talkers_1h WHERE side = 'total'",
    ] {
        let sums = stand.query(&format!("SELECT sum(bytes), sum(packets), sum(flows) FROM t.{table}"));
        assert_eq!(sums, total, "{what}: {table}");
    }
    for (side, column) in [("src", "src_addr"), ("dst", "dst_addr")] {
        let hosts = stand.query(&format!(
            "SELECT {column}, sum(bytes * sampling_interval), count() FROM t.flows GROUP BY 1 ORDER BY 1"
        ));
        let listed = stand.query(&format!(
            "SELECT host, sum(bytes), sum(flows) FROM t.talkers_1h WHERE side = '{side}' GROUP BY 1 ORDER BY 1"
        ));
        assert_eq!(listed, hosts, "{what}: {side}");
    }
}

#[test]
fn a_block_counts_once_whether_helios_or_a_view_rolled_it_up() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let mut assembler = assembler(&names, Compression::Lz4);
    let with = block(&mut assembler, [traffic(&names, 0, 3000)]);
    let without = bare(block(&mut assembler, [traffic(&names, 3000, 3000)]));
    for attempt in ["sent once", "sent again"] {
        for (block, rows) in [(&with, 3000), (&without, 6000)] {
            stand.insert(block);
            flows_of(&stand, if attempt == "sent once" { rows } else { 6000 }, attempt);
        }
    }
}

#[test]
fn summaries_begin_with_a_whole_hour_where_there_were_rollups_before() {
    let stand = Stand::migrated();
    for drop in ["summary_1h_mv", "summary_1h"] {
        stand.query(&format!("DROP TABLE t.{drop} SYNC"));
    }
    stand.query("ALTER TABLE t.flows_1m DROP COLUMN as_listed");
    stand.query("TRUNCATE TABLE t.schema_migrations");
    let names = Arc::new(Names::new());
    let mut assembler = assembler(&names, Compression::Lz4);
    stand.insert(&bare(block(&mut assembler, [traffic(&names, 0, 500)])));
    let done = stand.migrate().unwrap();
    for step in ["add column flows_1m.as_listed", "create table summary_1h", "create view summary_1h_mv"] {
        assert!(done.iter().any(|purpose| purpose == step), "{step}: {done:?}");
    }
    let begin = stand.query(
        "SELECT extract(create_table_query, 'received_at >= toDateTime.([0-9]+)') FROM system.tables \
         WHERE database = 't' AND name = 'summary_1h_mv'",
    );
    assert_eq!(begin.parse::<u64>().unwrap() % 3600, 0);
    let begin = format!("toDateTime({begin})");
    // What came before is in the other tables, and so is what comes until the hour begins, late rows of before included.
    let [late, early, on_time] = [0, 1, 2].map(|n| block(&mut assembler, [traffic(&names, 500 + n * 500, 500)]));
    stand.insert(&late);
    assert_eq!(stand.query("SELECT count() FROM t.summary_1h"), "0");
    // An earlier version and this one, which do not wait for each other's acknowledgements.
    let hour = |minutes: i32, rows: u32| format!("SELECT {begin} + INTERVAL {minutes} MINUTE, 'router', {rows}, 1");
    let insert = |token: &str, select: &str| {
        stand.query(&format!(
            "INSERT INTO t.flows_1m (received_at, exporter_name, bytes, flows) SETTINGS insert_deduplicate = 1, \
             deduplicate_blocks_in_dependent_materialized_views = 1, insert_deduplication_token = '{token}' {select}"
        ))
    };
    for (token, minutes) in [("last of before", -1), ("first", 0), ("second", 59), ("first", 0)] {
        insert(token, &hour(minutes, 10));
    }
    let sums =
        "SELECT side, min(received_at) = BEGIN, sum(bytes), sum(flows) FROM t.summary_1h GROUP BY side ORDER BY side";
    assert_eq!(stand.query(&sums.replace("BEGIN", &begin)), "interface\t1\t20\t2\nplace\t1\t20\t2");
    // Every later look leaves the begin as it is.
    assert_eq!(stand.plan(), [""; 0]);
    stand.migrate().unwrap();
    stand.insert(&early);
    stand.insert(&on_time);
    assert_eq!(stand.query(&sums.replace("BEGIN", &begin)), "interface\t1\t20\t2\nplace\t1\t20\t2");
    assert_eq!(stand.query("SELECT sum(flows) FROM t.flows_1h"), "2003");
}

#[test]
fn pairs_of_as_that_are_not_listed_are_a_part_of_the_total() {
    let stand = Stand::migrated();
    stand.query(
        "INSERT INTO t.flows_1m (received_at, exporter_name, src_as, dst_as, flow_direction, as_listed, bytes, packets, flows) \
         SELECT toStartOfHour(now()), 'router', number, 1, 'ingress', number % 4 = 0, 10, 1, 1 FROM numbers(100)",
    );
    let sums = |side: &str| {
        stand.query(&format!(
            "SELECT count(), sum(bytes), sum(flows), any(flow_direction) FROM t.summary_1h WHERE side = '{side}'"
        ))
    };
    assert_eq!([sums("as"), sums("interface")], ["25\t250\t25\tingress", "1\t1000\t100\tingress"]);
    assert_eq!(stand.query("SELECT countIf(src_as % 4 != 0) FROM t.summary_1h"), "0");
}

#[test]
fn pairs_and_services_add_up_to_the_total() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    stand.insert(&block(&mut assembler(&names, Compression::Lz4), [traffic(&names, 0, 2000)]));
    let services =
        "SELECT proto, port, sum(bytes), sum(flows) FROM t.talkers_1m WHERE side = 'service' GROUP BY 1, 2 ORDER BY 1";
    let flows = "SELECT proto, 0, sum(bytes * sampling_interval), count() FROM t.flows GROUP BY 1 ORDER BY 1";
    assert_eq!(stand.query(services), stand.query(flows));
    // Of many pairs the busiest are listed, each with no more than it has.
    let pairs = "SELECT count(), countIf(p.bytes > f.bytes), countIf(f.bytes = 0) FROM \
                 (SELECT exporter_name, host, peer, sum(bytes) AS bytes FROM t.talkers_1m WHERE side = 'pair' GROUP BY 1, 2, 3) AS p \
                 LEFT JOIN (SELECT exporter_name, src_addr AS host, dst_addr AS peer, sum(bytes * sampling_interval) AS bytes \
                 FROM t.flows GROUP BY 1, 2, 3) AS f USING (exporter_name, host, peer)";
    let pairs = stand.query(pairs);
    let counts: Vec<usize> = pairs.split('\t').map(|count| count.parse().unwrap()).collect();
    assert!(counts[0] > 50 && counts[1..] == [0, 0], "{pairs}");
}

#[test]
fn an_installation_of_version_1_changes_over_without_a_gap_or_a_doubled_minute() {
    let stand = Stand::migrated();
    for drop in ["flows_1m_mv", "flows_1h_mv", "summary_1h_mv", "talkers_1m_mv", "talkers_1h_mv"] {
        stand.query(&format!("DROP TABLE t.{drop} SYNC"));
    }
    for drop in ["flows_1m", "flows_1h", "summary_1h", "talkers_1m", "talkers_1h"] {
        stand.query(&format!("DROP TABLE t.{drop} SYNC"));
    }
    stand.query("TRUNCATE TABLE t.schema_migrations");
    for statement in RELEASED.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
        stand.query(statement);
    }
    let names = Arc::new(Names::new());
    let mut assembler = assembler(&names, Compression::Lz4);
    let [before, during, after] = [0, 1, 2].map(|n| block(&mut assembler, [traffic(&names, n * 2000, 2000)]));
    let (before, during) = (bare(before), bare(during));
    stand.insert(&before);
    stand.insert(&before);
    let done = stand.migrate().unwrap();
    for step in [
        "add column flows_1m.src_site",
        "add column flows_1h.src_peer_as",
        "widen column talkers_1h.side",
        "add column talkers_1h.peer",
        "create table talkers_1m",
        "create view talkers_1m_mv",
        "replace view flows_1m_mv, which would count rows twice",
        "change view talkers_1h_mv",
    ] {
        assert!(done.iter().any(|purpose| purpose == step), "{step}: {done:?}");
    }
    assert_eq!(stand.plan(), [""; 0]);
    // Both versions run, and no acknowledgement comes in time.
    for block in [&after, &during, &during, &after] {
        stand.insert(block);
    }
    let sums = |sql: &str| stand.query(sql);
    let flows = sums("SELECT sum(bytes * sampling_interval), sum(packets * sampling_interval), count() FROM t.flows");
    assert!(flows.ends_with("\t6000"), "{flows}");
    for table in
        ["flows_1m WHERE 1", "flows_1h WHERE 1", "talkers_1h WHERE side = 'src'", "talkers_1h WHERE side = 'dst'"]
    {
        assert_eq!(sums(&format!("SELECT sum(bytes), sum(packets), sum(flows) FROM t.{table}")), flows, "{table}");
    }
    // A total has what came since.
    assert_eq!(sums("SELECT sum(flows) FROM t.talkers_1h WHERE side = 'total'"), "4000");
    // The views were replaced, and still know what the earlier version sent: its retry counts once.
    stand.insert(&before);
    for table in ["flows_1m", "flows_1h"] {
        assert_eq!(sums(&format!("SELECT sum(bytes), sum(packets), sum(flows) FROM t.{table}")), flows, "{table}");
    }
    // Merged by the whole key, rows of the new dimensions stay apart.
    stand.query("OPTIMIZE TABLE t.talkers_1h FINAL");
    assert_eq!(sums("SELECT uniq(side) FROM t.talkers_1h"), "5");
}

#[test]
fn a_schema_of_version_1_is_not_taken_for_complete() {
    let stand = Stand::migrated();
    let released =
        RELEASED.split(";\n").find(|statement| statement.contains("VIEW IF NOT EXISTS t.flows_1m_mv\n")).unwrap();
    stand.query(&released.replace("CREATE MATERIALIZED VIEW IF NOT EXISTS", "CREATE OR REPLACE MATERIALIZED VIEW"));
    let error = stand.check().unwrap_err().to_string();
    assert!(error.contains("replace view flows_1m_mv"), "{error}");
    stand.migrate().unwrap();
    stand.check().unwrap();
}
