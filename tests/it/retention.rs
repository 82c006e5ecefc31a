//! `helios retention` against an engine: what it would drop, what it drops, and what it says when a limit cannot be kept.

use std::process::Command;

use helios_testkit::Engine;

use crate::running::Helios;

/// What it prints.
fn retention(engine: &Engine, limit: u64, further: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
    command.args(["retention", "--clickhouse-url", &engine.url(), "--set"]);
    let output = command.arg(format!("clickhouse.max_table_bytes.flows={limit}")).args(further).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_dry_run_tells_what_goes_and_drops_nothing() {
    let engine = Engine::start();
    let said = retention(&engine, 1000, &["--dry-run"]);
    assert!(said.contains("flows is empty, or not there") && said.contains("helios migrate"), "{said}");
    drop(Helios::ready(&engine.url(), &[]));
    for days in [3, 2, 0] {
        engine.query(&format!("INSERT INTO helios.flows (received_at, bytes) SELECT now() - INTERVAL {days} DAY, 1"));
    }
    let rows = || engine.query("SELECT count() FROM helios.flows").trim().to_owned();
    let said = retention(&engine, 1 << 30, &["--dry-run"]);
    assert!(said.contains("in 3 partitions\n  within its limit"), "{said}");
    let planned = retention(&engine, 1, &["--dry-run"]);
    assert_eq!(planned.matches("would drop 20").count(), 2, "{planned}");
    assert!(planned.contains("more than the limit: the newest partition always stays"), "{planned}");
    assert_eq!(rows(), "3");
    let done = retention(&engine, 1, &[]);
    assert_eq!(done, planned.replace("would drop", "dropped"));
    assert_eq!(rows(), "1");
}
