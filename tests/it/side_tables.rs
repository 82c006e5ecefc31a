//! Counter samples in, `interface_counters` out; and what `exporters` says of a run agrees with what was sent.

use std::process::Command;

use helios_testkit::Engine;
use serde_json::Value;

use crate::running::{Helios, wait_for};

/// Sends flows and returns what the simulator says it sent.
fn simulate(helios: &Helios, protocols: &str, flows: u32) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.json");
    let output = Command::new(env!("CARGO_BIN_EXE_helios"))
        .args(["simulate", "--target", &helios.flows.to_string(), "--exporters", "10", "--rate", "20000"])
        .args(["--protocol", protocols, "--count", &flows.to_string(), "--summary-json"])
        .arg(&summary)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap()
}

fn wait_for_datagrams(helios: &Helios, sent: &Value) {
    let datagrams = sent["total"]["datagrams"].as_f64().unwrap();
    wait_for("all datagrams to be received", || {
        (helios.metric("helios_collector_datagrams_received_total")? == datagrams).then_some(())
    });
}

#[test]
fn counter_samples_of_an_outage_are_stored_once_beside_the_flows() {
    let mut engine = Engine::start();
    let helios = Helios::ready(&engine.url(), &["clickhouse.retry_max_ms=500"]);
    engine.kill();
    let sent = simulate(&helios, "sflow", 5_000);
    wait_for_datagrams(&helios, &sent);
    let samples = helios.metric("helios_collector_counter_samples_total").unwrap();
    assert!(samples > 100.0, "{samples} counter samples");
    for identity in
        ["helios_collector_unknown_counter_records_total", "helios_collector_malformed_counter_records_total"]
    {
        assert_eq!(helios.metric(identity), Some(0.0), "{identity}");
    }
    engine.resume();
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");
    let stored = engine.query(
        "SELECT count(), uniqExact(exporter_address, source_index, sequence), uniqExact(exporter_address), min(if_index = source_index),
                groupUniqArray(if_type), groupUniqArray(toString(if_direction)), groupUniqArray(if_status), groupUniqArray(structures)
         FROM helios.interface_counters",
    );
    assert_eq!(stored, format!("{samples}\t{samples}\t10\t1\t[6]\t['full_duplex']\t[3]\t[3]\n"));
    assert_eq!(engine.query("SELECT DISTINCT if_speed FROM helios.interface_counters"), "10000000000\n");
    let flows = engine.query("SELECT count() FROM helios.flows");
    assert_eq!(flows.trim().parse::<u64>().unwrap(), sent["total"]["flows"], "counter samples are no flows");
}

#[test]
fn the_minutes_of_the_exporters_add_up_to_what_was_sent() {
    let engine = Engine::start();
    let helios = Helios::ready(&engine.url(), &[]);
    let sent = simulate(&helios, "v5,v9,ipfix,sflow", 20_000);
    wait_for_datagrams(&helios, &sent);
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");
    for (protocol, counts) in sent["protocols"].as_object().unwrap() {
        let row = engine.query(&format!(
            "SELECT sum(datagrams), sum(flows), sum(records) FROM helios.exporters WHERE export_protocol = '{protocol}'"
        ));
        let stored: Vec<u64> = row.split_whitespace().map(|field| field.parse().unwrap()).collect();
        let wanted = ["datagrams", "flows", "flows"].map(|key| counts[key].as_u64().unwrap());
        assert_eq!(stored, wanted, "{protocol}");
    }
    let losses =
        "SELECT sum(lost), sum(reordered), sum(duplicates), sum(restarts), max(kernel_drops) FROM helios.exporters";
    assert_eq!(engine.query(losses), "0\t0\t0\t0\t0\n");
    // The announced interval is that of the flows, and the sample pools of the agents say the same.
    assert_eq!(
        engine.query(
            "SELECT count() > 0, countIf(e.sampling_interval != f.sampling_interval) FROM helios.exporters AS e
             JOIN (SELECT DISTINCT exporter_address, export_protocol, sampling_interval FROM helios.flows) AS f
             USING (exporter_address, export_protocol) WHERE e.sampling_interval > 0 AND export_protocol = 'ipfix'"
        ),
        "1\t0\n"
    );
    assert_eq!(
        engine.query(
            "SELECT sum(samples), sum(counter_samples) > 0, max(abs(clock_skew_ms)) FROM helios.exporters WHERE export_protocol = 'sflow5'"
        ),
        format!("{}\t1\t0\n", sent["protocols"]["sflow5"]["flows"])
    );
    assert_eq!(engine.query("SELECT max(abs(clock_skew_ms)) < 60000, min(templates) > 0 FROM helios.exporters WHERE export_protocol = 'ipfix'"), "1\t1\n");
}
