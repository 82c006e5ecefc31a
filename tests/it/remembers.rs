//! What survives a crash: the first datagram after it becomes rows, with the right sampling interval, and what was lost
//! meanwhile is counted.

use std::net::UdpSocket;
use std::path::Path;
use std::time::SystemTime;

use helios_collector::encode::{Field, Put, field, ipfix};
use helios_testkit::Engine;

use crate::running::{Helios, wait_for};

/// Octets, and the sampler that chose the packets.
const FLOW: [Field; 2] = [field(1, 4), field(48, 2)];
const SAMPLERS: [Field; 2] = [field(48, 2), field(50, 4)];
const DOMAIN: u32 = 7;

fn message(sequence: u32, write: impl FnOnce(&mut ipfix::Message<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let header = ipfix::Header { export_secs: now.as_secs() as u32, sequence, observation_domain_id: DOMAIN };
    write(&mut ipfix::Message::begin(&header, &mut out));
    out
}

/// Templates, and sampler 3 with 1 in 512: one record.
fn announcement() -> Vec<u8> {
    message(0, |m| {
        m.template(256, &FLOW);
        m.options_template(257, 1, &SAMPLERS);
        m.data(257, |out| {
            out.put_u16(3);
            out.put_u32(512);
        });
    })
}

/// One flow.
fn flow(sequence: u32) -> Vec<u8> {
    message(sequence, |m| {
        m.data(256, |out| {
            out.put_u32(1500);
            out.put_u16(3);
        });
    })
}

/// Waits until a file of the state directory has `text` in it.
fn wait_for_saved(directory: &Path, file: &str, text: &str) {
    wait_for(&format!("{text} in {file}"), || {
        std::fs::read_to_string(directory.join(file)).ok()?.contains(text).then_some(())
    });
}

fn wait_for_rows(engine: &Engine, rows: u64) {
    wait_for("the rows", || {
        let sql = "SELECT countIf(sampling_interval = 512 AND sampling_source = 'sampler'), count() FROM helios.flows";
        (engine.query(sql) == format!("{rows}\t{rows}\n")).then_some(())
    });
}

fn wait_for_lost(helios: &Helios, records: f64) {
    wait_for("the loss", || (helios.metric("helios_collector_exporter_lost_total")? == records).then_some(()));
}

/// What the API says of the only exporter.
fn the_exporter(helios: &Helios) -> Option<(String, String)> {
    let exporters = helios.json("/api/v1/exporters");
    let exporter = exporters["exporters"].as_array()?.first()?;
    let text = |key: &str| exporter[key].as_str().map(str::to_owned);
    Some((text("address")?, text("last_seen")?))
}

#[test]
fn a_device_that_fell_silent_before_a_restart_is_known_after_it_with_its_last_datagram() {
    let engine = Engine::start();
    let directory = tempfile::tempdir().unwrap();
    let state = format!("collector.state_dir={}", directory.path().display());
    let devices = directory.path().join("devices.yaml");
    std::fs::write(&devices, "devices:\n  - {name: lab-fw1, addresses: [127.0.0.1], site: lab}\n").unwrap();
    let inventory = format!("enricher.inventory.files={}", devices.display());
    let exporter = UdpSocket::bind("127.0.0.1:0").unwrap();
    let helios = Helios::ready(&engine.url(), &[&state, &inventory]);
    exporter.send_to(&announcement(), helios.flows).unwrap();
    let before = wait_for("the exporter", || the_exporter(&helios));
    let seen = helios.metric("helios_collector_exporter_last_seen_timestamp_seconds");
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");

    let helios = Helios::ready(&engine.url(), &[&state, &inventory]);
    assert_eq!(the_exporter(&helios), Some(before));
    let exporters = helios.json("/api/v1/exporters");
    let exporter = &exporters["exporters"][0];
    assert_eq!((&exporter["name"], &exporter["site"]), (&"lab-fw1".into(), &"lab".into()), "{exporters}");
    assert_eq!(exporters["unknown"], serde_json::json!([]), "{exporters}");
    assert_eq!(helios.metric("helios_collector_exporter_last_seen_timestamp_seconds"), seen);
    assert_eq!(
        helios.metric("helios_collector_exporter_datagrams_total"),
        Some(0.0),
        "nothing was sent to this process"
    );
}

#[test]
fn a_kill_costs_neither_rows_nor_the_sampling_interval_nor_the_count_of_what_was_lost() {
    let engine = Engine::start();
    let directory = tempfile::tempdir().unwrap();
    let exporter = UdpSocket::bind("127.0.0.1:0").unwrap();
    let state = format!("collector.state_dir={}", directory.path().display());
    let start = |workers: u32| Helios::ready(&engine.url(), &[&state, &format!("collector.workers={workers}")]);

    let helios = start(2);
    exporter.send_to(&announcement(), helios.flows).unwrap();
    exporter.send_to(&flow(1), helios.flows).unwrap();
    wait_for_rows(&engine, 1);
    wait_for_saved(directory.path(), "exporters.state", "127.0.0.1 ");
    // Domain, port and the next number.
    let next = format!("127.0.0.1 ipfix {DOMAIN} {} 2\n", exporter.local_addr().unwrap().port());
    wait_for_saved(directory.path(), "sequences.state", &next);
    helios.kill();

    let helios = start(2);
    exporter.send_to(&flow(5), helios.flows).unwrap();
    wait_for_rows(&engine, 2);
    wait_for_lost(&helios, 3.0);
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");

    let helios = start(1);
    exporter.send_to(&flow(10), helios.flows).unwrap();
    wait_for_rows(&engine, 3);
    wait_for_lost(&helios, 4.0);
}
