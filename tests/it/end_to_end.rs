//! Simulated exporters in, ClickHouse rows out: the figures of the simulator, of the pipeline and of ClickHouse agree.

use std::process::Command;

use helios_testkit::Engine;
use serde_json::Value;

use crate::running::{Helios, wait_for};

/// Sends flows of every protocol and returns what the simulator says it sent.
fn simulate(helios: &Helios, flows: u64, seed: u64) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.json");
    let output = Command::new(env!("CARGO_BIN_EXE_helios"))
        .args(["simulate", "--target", &helios.flows.to_string(), "--exporters", "10"])
        .args(["--rate", "20000", "--count", &flows.to_string(), "--seed", &seed.to_string(), "--summary-json"])
        .arg(&summary)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap()
}

fn wait_for_stored(helios: &Helios, rows: u64) {
    wait_for("all rows to be stored", || {
        (helios.metric("helios_pipeline_rows_stored_total")? == rows as f64).then_some(())
    });
}

fn number(engine: &Engine, sql: &str) -> u64 {
    engine.query(sql).trim().parse().unwrap()
}

#[test]
fn every_flow_is_stored_once_and_the_rollups_add_up() {
    let engine = Engine::start();
    let helios = Helios::ready(&engine.url(), &[]);
    let sent = simulate(&helios, 60_000, 1);
    let total = &sent["total"];
    wait_for_stored(&helios, total["flows"].as_u64().unwrap());
    for (protocol, counts) in sent["protocols"].as_object().unwrap() {
        let row = engine.query(&format!(
            "SELECT count(), sum(bytes), sum(packets), sum(bytes * sampling_interval), sum(packets * sampling_interval)
             FROM helios.flows WHERE export_protocol = '{protocol}'"
        ));
        let stored: Vec<u64> = row.split_whitespace().map(|field| field.parse().unwrap()).collect();
        let wanted =
            ["flows", "bytes", "packets", "bytes_scaled", "packets_scaled"].map(|key| counts[key].as_u64().unwrap());
        assert_eq!(stored, wanted, "{protocol}");
    }
    let scaled = total["bytes_scaled"].as_u64().unwrap();
    for table in ["flows_1m", "flows_1h"] {
        assert_eq!(number(&engine, &format!("SELECT sum(bytes) FROM helios.{table}")), scaled, "{table}");
        assert_eq!(number(&engine, &format!("SELECT sum(flows) FROM helios.{table}")), total["flows"], "{table}");
    }
    for identity in ["helios_pipeline_rows_imbalance", "helios_collector_datagrams_imbalance"] {
        assert_eq!(helios.metric(identity), Some(0.0), "{identity}");
    }
    let received = helios.metric("helios_collector_datagrams_received_total").unwrap();
    assert_eq!(received, total["datagrams"].as_f64().unwrap(), "the kernel lost datagrams");
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");
}

#[test]
fn a_stop_under_load_stores_what_was_received() {
    let engine = Engine::start();
    let helios = Helios::ready(&engine.url(), &["clickhouse.flush_interval_ms=60000"]);
    let sent = simulate(&helios, 30_000, 2);
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");
    assert_eq!(number(&engine, "SELECT count() FROM helios.flows"), sent["total"]["flows"]);
}

#[test]
fn a_clickhouse_that_dies_and_comes_back_gets_every_row_once() {
    let mut engine = Engine::start();
    let helios = Helios::ready(&engine.url(), &["clickhouse.retry_max_ms=500"]);
    let first = simulate(&helios, 10_000, 3)["total"]["flows"].as_u64().unwrap();
    wait_for_stored(&helios, first);
    engine.kill();
    let second = simulate(&helios, 10_000, 4)["total"]["flows"].as_u64().unwrap();
    wait_for("an insert to fail", || (helios.metric("helios_sink_insert_failures_total")? > 0.0).then_some(()));
    assert_eq!(helios.metric("helios_pipeline_rows_imbalance"), Some(0.0));
    engine.resume();
    wait_for_stored(&helios, first + second);
    assert_eq!(number(&engine, "SELECT count() FROM helios.flows"), first + second);
    assert_eq!(number(&engine, "SELECT sum(flows) FROM helios.flows_1m"), first + second);
    assert_eq!(helios.metric("helios_pipeline_rows_dropped_total"), Some(0.0));
}
