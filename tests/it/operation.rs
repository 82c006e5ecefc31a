//! `helios run` as a supervisor meets it: probes, pages, signals. ClickHouse is away throughout; what happens when it
//! is there is shown by the scenarios with the engine.

use std::collections::BTreeSet;
use std::net::UdpSocket;

use helios_collector::encode::netflow5::{self, Record};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::expect::root;
use crate::running::{Helios, nobody, wait_for};

/// A running helios that serves its pages.
fn start(settings: &[&str]) -> Helios {
    let helios = Helios::start(&nobody(), settings);
    wait_for("the admin port to be served", || helios.get("/healthz"));
    helios
}

fn send(helios: &Helios, records: usize) {
    let mut message = Vec::new();
    let record = Record { src_addr: [10, 0, 0, 1], packets: 1, octets: 100, ..Record::default() };
    netflow5::message(&netflow5::Header::default(), &vec![record; records], &mut message);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&message, helios.flows).unwrap();
}

fn wait_for_rows(helios: &Helios, rows: f64) {
    wait_for("the rows to be decoded", || (helios.metric("helios_pipeline_rows_decoded_total")? == rows).then_some(()));
}

#[test]
fn it_receives_while_clickhouse_is_away_and_says_that_it_is_not_ready() {
    let helios = start(&[]);
    assert_eq!(helios.get("/healthz").unwrap().0, 200);
    send(&helios, 7);
    wait_for_rows(&helios, 7.0);
    let reason = wait_for("the reason", || {
        let (status, body) = helios.get("/readyz")?;
        assert_eq!(status, 503);
        body.contains("the schema is not ready: ").then_some(body)
    });
    assert!(reason.contains("Connection refused"), "{reason}");
    assert_eq!(helios.metric("helios_pipeline_ready"), Some(0.0));
    assert_eq!(helios.metric("helios_pipeline_rows_imbalance"), Some(0.0));
    assert_eq!(helios.metric("helios_pipeline_rows_in_flight"), Some(7.0));
    // The same error stands in the API, with its time, and once in the list of problems.
    let pipeline = helios.json("/api/v1/pipeline");
    assert!(pipeline["clickhouse"]["last_error"].as_str().unwrap().contains("Connection refused"), "{pipeline}");
    assert!(pipeline["clickhouse"]["last_error_at"].is_string() && pipeline["clickhouse"]["trouble_since"].is_string());
    let problems = pipeline["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((&problems[0]["part"], problems[0]["since"].is_string()), (&"pipeline".into(), true));
}

#[test]
fn the_json_pages_account_for_every_row_and_name_the_exporter() {
    let helios = start(&[]);
    send(&helios, 5);
    wait_for_rows(&helios, 5.0);
    let pipeline = helios.json("/api/v1/pipeline");
    let rows = &pipeline["rows"];
    assert_eq!((&rows["decoded"], &rows["in_flight"], &rows["imbalance"]), (&5.into(), &5.into(), &0.into()));
    assert_eq!(pipeline["datagrams"]["received"], 1);
    assert_eq!(pipeline["stages"].as_array().unwrap().len(), 6);
    assert_eq!(pipeline["ready"], false);
    let exporter = wait_for("the exporter", || helios.json("/api/v1/exporters")["exporters"].get(0).cloned());
    assert_eq!((&exporter["address"], &exporter["protocols"]), (&"127.0.0.1".into(), &serde_json::json!(["netflow5"])));
    assert_eq!((&exporter["records"], &exporter["datagrams"]), (&5.into(), &1.into()));
}

/// Adds the keys of all objects, but not what a counter is counted by.
fn collect_keys(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                keys.insert(key.clone());
                if !["dropped", "lost", "failures", "lookups"].contains(&key.as_str()) {
                    collect_keys(value, keys);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_json_pages_is_described() {
    let helios = start(&[]);
    send(&helios, 1);
    wait_for_rows(&helios, 1.0);
    wait_for("the exporter", || helios.json("/api/v1/exporters")["exporters"].get(0).cloned());
    let page = std::fs::read_to_string(root().join("docs/api.md")).unwrap();
    let mut keys = BTreeSet::new();
    for path in ["/api/v1/pipeline", "/api/v1/exporters"] {
        collect_keys(&helios.json(path), &mut keys);
    }
    assert!(keys.len() > 80, "{keys:?}");
    keys.retain(|key| !page.contains(&format!("`{key}`")) && !page.contains(&format!(".{key}`")));
    assert!(keys.is_empty(), "docs/api.md does not have {keys:?}");
}

#[test]
fn a_signal_without_rows_under_way_ends_with_0() {
    let (status, log) = start(&[]).stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("helios is receiving") && log.contains("stopped"), "{log}");
}

#[test]
fn rows_that_could_not_be_stored_are_counted_and_the_exit_code_is_1() {
    let helios = start(&["pipeline.shutdown_timeout_ms=300"]);
    send(&helios, 9);
    wait_for_rows(&helios, 9.0);
    let (status, log) = helios.stop();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("helios: 9 rows could not be stored before the deadline"), "{log}");
}

/// `timeout` signals its child and then the group that the child is in, a terminal the whole group. Two kinds of signals, since
/// the kernel keeps one of a kind only.
#[test]
fn signals_that_come_together_are_one_stop() {
    let folder = tempfile::tempdir().unwrap();
    let state = format!("collector.state_dir={}", folder.path().display());
    let helios = start(&[&state, "pipeline.shutdown_timeout_ms=300"]);
    send(&helios, 9);
    wait_for_rows(&helios, 9.0);
    helios.signal(Signal::SIGINT);
    let (status, log) = helios.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("kept_in_spool=9"), "{log}");
}

#[test]
fn the_log_can_be_json() {
    let (_, log) = start(&["log.format=json"]).stop();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
    }
}

#[test]
fn the_status_page_needs_nothing_from_elsewhere() {
    let (status, page) = start(&[]).get("/").unwrap();
    assert_eq!(status, 200);
    assert!(page.contains("<title>Helios</title>"));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page loads something");
    assert!(!page.contains("innerHTML"), "what exporters send must not become markup");
}

#[test]
fn a_page_that_is_not_there_says_which_are() {
    let (status, body) = start(&[]).get("/metric").unwrap();
    assert_eq!(status, 404);
    assert!(body.contains("/metrics"), "{body}");
}
