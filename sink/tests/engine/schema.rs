//! Creating, changing and upgrading the schema.

use std::sync::Arc;

use helios_common::columns::{
    BYTES, EXPORTER_NAME, FLOW_DIRECTION, IN_IF_BOUNDARY, OUT_IF_BOUNDARY, RECEIVED_AT, SAMPLING_INTERVAL, SRC_ADDR,
};
use helios_common::exporter::{ExporterId, mapped};
use helios_common::flow::FlowBatch;
use helios_common::names::Names;
use helios_common::side::{ExporterMinute, InterfaceCounters, SideTable, interface_counters};
use helios_sink::config::Compression;
use helios_sink::migrate::{MigrateError, SCHEMA_VERSION};
use helios_sink::side::SideAssembler;

use super::support::{Stand, assembler, block, last_hour, traffic};

#[test]
fn a_schema_is_made_once_and_then_complete() {
    let stand = Stand::migrated();
    assert_eq!(stand.plan(), [""; 0]);
    assert_eq!(stand.migrate().unwrap(), [""; 0]);
    let tables = stand.query("SELECT name FROM system.tables WHERE database = 't' ORDER BY name");
    let expected = [
        "exporters",
        "flows",
        "flows_1h",
        "flows_1h_mv",
        "flows_1m",
        "flows_1m_mv",
        "interface_counters",
        "schema_migrations",
        "summary_1h",
        "summary_1h_mv",
        "talkers_1h",
        "talkers_1h_mv",
        "talkers_1m",
        "talkers_1m_mv",
    ];
    assert_eq!(tables.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_schema_that_was_half_made_is_completed() {
    let stand = Stand::migrated();
    stand.engine.query("DROP TABLE t.talkers_1h_mv SYNC");
    stand.engine.query("DROP TABLE t.flows_1h SYNC");
    stand.engine.query("TRUNCATE TABLE t.schema_migrations");
    assert!(stand.migrate().unwrap().contains(&"create table flows_1h".to_owned()));
    assert_eq!(stand.plan(), [""; 0]);
}

#[test]
fn retention_is_changed_in_place() {
    let mut stand = Stand::migrated();
    let names = Arc::new(Names::new());
    stand.insert(&block(&mut assembler(&names, Compression::Lz4), [traffic(&names, 0, 100)]));
    stand.config.retention_days.flows = 2;
    stand.config.retention_days.flows_1m = 0;
    assert_eq!(stand.plan(), ["keep flows for 2 days", "keep flows_1m for ever"]);
    stand.migrate().unwrap();
    assert_eq!(stand.plan(), [""; 0]);
    assert!(stand.query("SHOW CREATE TABLE t.flows").contains("toIntervalDay(2)"));
    assert!(!stand.query("SHOW CREATE TABLE t.flows_1m").contains("TTL"));
    assert_eq!(stand.rows(), "100");
    stand.config.retention_days.flows_1m = 30;
    stand.migrate().unwrap();
    assert!(stand.query("SHOW CREATE TABLE t.flows_1m").contains("toIntervalDay(30)"));
}

#[test]
fn a_newer_schema_is_left_alone() {
    let stand = Stand::migrated();
    let newer = SCHEMA_VERSION + 1;
    stand.engine.query(&format!("INSERT INTO t.schema_migrations VALUES ({newer}, 'schema', now64(3), 0)"));
    let error = stand.migrate().unwrap_err();
    assert!(matches!(error, MigrateError::Newer { found, .. } if found == newer), "{error}");
    assert!(error.to_string().contains("run the newer helios"), "{error}");
}

#[test]
fn an_older_schema_is_upgraded_with_its_rows() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    stand.insert(&block(&mut assembler(&names, Compression::Lz4), [traffic(&names, 0, 1000)]));
    // As an older version would have made it: a column less, an enum with fewer labels, no talkers, a simpler view.
    stand.engine.query("ALTER TABLE t.flows DROP COLUMN application");
    stand.engine.query("ALTER TABLE t.flows MODIFY COLUMN tunnel_type Enum8('none' = 0, 'gre' = 1)");
    stand.engine.query("DROP TABLE t.talkers_1h_mv SYNC");
    stand.engine.query("DROP TABLE t.talkers_1h SYNC");
    stand.engine.query(
        "INSERT INTO t.schema_migrations SELECT version, name, now64(3) + 1, 7 FROM t.schema_migrations WHERE name = 'flows_1m_mv'",
    );
    let done = stand.migrate().unwrap();
    for step in [
        "add column flows.application",
        "widen column flows.tunnel_type",
        "create table talkers_1h",
        "change view flows_1m_mv",
    ] {
        assert!(done.iter().any(|purpose| purpose == step), "{step}: {done:?}");
    }
    stand.insert(&block(&mut assembler(&names, Compression::Lz4), [traffic(&names, 1000, 1000)]));
    assert_eq!(stand.query("SELECT count(), uniq(application) FROM t.flows"), "2000\t1");
    assert_eq!(stand.query("SELECT sum(flows) FROM t.flows_1m"), "2000");
    assert_eq!(stand.query("SELECT sum(flows) FROM t.talkers_1h WHERE side = 'src'"), "1000");
}

#[test]
fn the_queries_of_the_documentation_work() {
    let stand = Stand::migrated();
    let names = Arc::new(Names::new());
    // A block of its own for each: they have different columns.
    for batch in [traffic(&names, 0, 1000), border(&names)] {
        stand.insert(&block(&mut assembler(&names, Compression::Lz4), [batch]));
    }
    insert_side_rows(&stand);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
    let mut pages: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let pages: String = pages.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let blocks: Vec<&str> = pages.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    // What others rest on comes first, whatever the order of the pages.
    let (definitions, queries): (Vec<&str>, Vec<&str>) = blocks.iter().partition(|block| block.starts_with("CREATE"));
    assert!(queries.len() >= 19, "{}", queries.len());
    let ask = |block: &str| stand.engine.query(block.replace("helios.", "t.").trim_end().trim_end_matches(';'));
    for definition in definitions {
        ask(definition);
    }
    for query in queries {
        assert!(!ask(query).is_empty(), "no row answers {query}");
    }
}

/// A flow that comes in from outside and one that goes there.
fn border(names: &Names) -> FlowBatch {
    const EXTERNAL: u8 = 1;
    let mut batch = FlowBatch::new();
    for (direction, inside, outside) in [(1, EXTERNAL, 0), (2, 0, EXTERNAL)] {
        batch.open(RECEIVED_AT).push(last_hour() + 3_600_000);
        batch.open(EXPORTER_NAME).push(names.intern("router-1"));
        batch.open(SRC_ADDR).push(mapped([192, 0, 2, 7]));
        batch.open(BYTES).push(1000);
        batch.open(SAMPLING_INTERVAL).push(1);
        batch.open(FLOW_DIRECTION).push(direction);
        batch.open(IN_IF_BOUNDARY).push(inside);
        batch.open(OUT_IF_BOUNDARY).push(outside);
        batch.advance(1, ExporterId(1));
    }
    batch.seal();
    batch
}

/// Two samples of an interface whose errors went over the wrap, and a minute of its exporter.
fn insert_side_rows(stand: &Stand) {
    let received_at = last_hour() + 3_600_000;
    let exporter_address = mapped([10, 0, 0, 1]);
    let assembler = |table| SideAssembler::new("t", table, Compression::Lz4, None);
    let mut counters = assembler(SideTable::InterfaceCounters);
    counters.append(&[u32::MAX - 1, 3].map(|if_in_errors| InterfaceCounters {
        received_at: received_at + i64::from(if_in_errors == 3),
        exporter_address,
        structures: interface_counters::GENERIC,
        if_in_errors,
        ..InterfaceCounters::default()
    }));
    stand.insert(&counters.close().unwrap().unwrap());
    let mut minutes = assembler(SideTable::Exporters);
    minutes.append(&[ExporterMinute { received_at, exporter_address, lost: 7, ..ExporterMinute::default() }]);
    stand.insert(&minutes.close().unwrap().unwrap());
    let grown =
        "SELECT toUInt32(max(if_in_errors * (if_in_errors < 10)) - max(if_in_errors)) FROM t.interface_counters";
    assert_eq!(stand.query(grown), "5");
}
