//! Tables within a number of bytes.

use std::sync::Arc;

use helios_common::columns::{BYTES, RECEIVED_AT, SRC_ADDR};
use helios_common::exporter::{ExporterId, mapped};
use helios_common::flow::FlowBatch;
use helios_common::names::Names;
use helios_sink::config::Compression;
use helios_sink::retention;
use helios_sink::schema::Table;

use super::support::{Stand, assembler, block, last_hour};

const DAY_MS: i64 = 86_400_000;

fn day(days_ago: i64) -> FlowBatch {
    let mut batch = FlowBatch::new();
    for n in 0..1000_u32 {
        batch.open(RECEIVED_AT).push(last_hour() - days_ago * DAY_MS);
        batch.open(SRC_ADDR).push(mapped(n.to_be_bytes()));
        batch.open(BYTES).push(u64::from(n));
        batch.advance(1, ExporterId(0));
    }
    batch.seal();
    batch
}

#[test]
fn the_oldest_days_go_until_the_table_is_within_its_bytes() {
    let mut stand = Stand::migrated();
    let names = Arc::new(Names::new());
    let mut assembler = assembler(&names, Compression::Lz4);
    for days_ago in [1, 0, 3, 2] {
        stand.insert(&block(&mut assembler, [day(days_ago)]));
    }
    assert!(stand.drops(retention::plan).is_empty(), "without a limit nothing goes");
    let size =
        "SELECT toUInt64(sum(bytes_on_disk)) FROM system.parts WHERE database = 't' AND table = 'flows' AND active";
    let bytes: u64 = stand.query(size).parse().unwrap();

    // Two of the four days are less than this, three are more.
    stand.config.max_table_bytes.flows = bytes * 5 / 8;
    let oldest = stand.query("SELECT toString(min(toDate(received_at))) FROM t.flows");
    let planned = stand.drops(retention::plan);
    assert_eq!(planned.len(), 2);
    assert_eq!((planned[0].table, planned[0].rows), (Table::Flows, 1000));
    assert_eq!(planned[0].partition, oldest);
    assert_eq!(stand.rows(), "4000", "a plan drops nothing");
    assert_eq!(stand.drops(retention::apply), planned);
    assert_eq!(stand.rows(), "2000");
    assert_eq!(stand.query("SELECT count() FROM t.flows WHERE received_at < now() - INTERVAL 47 HOUR"), "0");
    assert!(stand.drops(retention::plan).is_empty());

    stand.config.max_table_bytes.flows = 1;
    stand.drops(retention::apply);
    assert_eq!(stand.rows(), "1000", "the newest day stays");
    assert_eq!(stand.query("SELECT sum(flows) FROM t.flows_1m"), "4000", "other tables have limits of their own");
}
