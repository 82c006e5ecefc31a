//! The rights that docs/operating.md gives Helios in ClickHouse are enough, and it says for what each set is.

use std::process::{Command, Output};

use helios_testkit::Engine;

use crate::expect::root;
use crate::load::{Exporter, number};
use crate::running::{Helios, wait_for};

/// The sets of rights of the user helios, in the order of the page, such as `SELECT, INSERT ON helios.*`.
fn granted() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let grants = page.lines().filter_map(|line| line.strip_prefix("GRANT ")?.strip_suffix(" TO helios;"));
    grants.map(str::to_owned).collect()
}

fn migrate(engine: &Engine, setting: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
    command.args(["migrate", "--clickhouse-url", &engine.url(), "--set", setting]).output().unwrap()
}

/// Has a helios store 300 more rows.
fn store(engine: &Engine, settings: &[&str]) {
    let before = number(engine, "SELECT count() FROM helios.flows");
    let helios = Helios::ready(&engine.url(), settings);
    Exporter::new(helios.flows).send_rows(300);
    wait_for("the rows", || (number(engine, "SELECT count() FROM helios.flows") == before + 300).then_some(()));
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");
}

#[test]
fn the_rights_of_the_page_are_enough() {
    let [all, less] = granted().try_into().expect("two sets of rights");
    let mut engine = Engine::start();
    engine.restrict(&[&all]);
    let made = migrate(&engine, "clickhouse.retention_days.flows=7");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let changed = migrate(&engine, "columns=[{name: user_name, id: 371, type: string}]");
    assert!(String::from_utf8_lossy(&changed.stdout).contains("add column flows.user_name"));
    // As if an earlier version had made another view.
    engine.query(
        "INSERT INTO helios.schema_migrations SELECT version, name, now64(3), 7 FROM helios.schema_migrations WHERE name = 'flows_1h_mv'",
    );
    let changed = migrate(&engine, "columns=[{name: user_name, id: 371, type: string}]");
    assert!(String::from_utf8_lossy(&changed.stdout).contains("change view flows_1h_mv"));
    store(&engine, &["clickhouse.max_table_bytes.flows=1000000000"]);

    engine.restrict(&[&less]);
    store(&engine, &["clickhouse.migrate=false"]);
    let refused = migrate(&engine, "clickhouse.retention_days.flows=9");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("ALTER TTL"), "{said}");
}
