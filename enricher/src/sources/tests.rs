//! Sources as they come, change, fail and come back.

use std::thread;
use std::time::{Duration, Instant};

use helios_common::exporter::address_of;
use helios_testkit::web::Server;

use super::*;

const DEADLINE: Duration = Duration::from_secs(120);

fn config(json: serde_json::Value) -> EnricherConfig {
    serde_json::from_value(json).unwrap()
}

fn network_of(snapshot: &Snapshot, names: &Names, ip: [u8; 4]) -> String {
    names.read().get(snapshot.addresses.record_of(0, address_of(ip.into())).network).to_owned()
}

/// Looks until there is another snapshot.
fn next(sources: &mut Sources, current: &Snapshot) -> Snapshot {
    let start = Instant::now();
    loop {
        if let Some(snapshot) = sources.poll(current) {
            return snapshot;
        }
        assert!(start.elapsed() < DEADLINE, "no news in {DEADLINE:?}");
        thread::sleep(Duration::from_millis(5)); // between two looks
    }
}

#[test]
fn a_file_is_taken_up_when_it_changes_and_refused_when_it_is_broken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("networks.csv");
    let write = |text: &str| {
        std::fs::write(directory.path().join("new"), text).unwrap();
        std::fs::rename(directory.path().join("new"), &path).unwrap();
    };
    write("network,name\n10.1.0.0/16,one\n");
    let names = Arc::new(Names::new());
    let config = config(serde_json::json!({"networks": {"files": [path]}}));
    let (mut sources, first) = Sources::open(&config, vec![], Remotes::Poll, &names).unwrap();
    assert_eq!(network_of(&first, &names, [10, 1, 0, 1]), "one");
    assert!(sources.poll(&first).is_none());

    write("network,name\n10.1.0.0/16,two\n");
    let second = next(&mut sources, &first);
    assert_eq!((network_of(&second, &names, [10, 1, 0, 1]), second.generation), ("two".into(), 1));

    write("network,name\n10.1.0.0/99,three\n");
    assert!((0..4).all(|_| sources.poll(&second).is_none()));
    let stats = &sources.monitor().stats(&Hits::default())[0];
    assert_eq!((stats.loads, stats.failures, stats.entries), (2, 1, 1));
    assert!(stats.refusal.as_ref().unwrap().contains("`10.1.0.0/99` is no network"), "{stats:?}");

    std::fs::remove_file(&path).unwrap();
    assert!((0..4).all(|_| sources.poll(&second).is_none()));
    assert_eq!(sources.monitor().stats(&Hits::default())[0].failures, 2);
    write("network,name\n10.1.0.0/16,four\n");
    assert_eq!(network_of(&next(&mut sources, &second), &names, [10, 1, 0, 1]), "four");
}

#[test]
fn a_file_that_cannot_be_used_at_the_start_is_a_mistake_of_the_configuration() {
    let names = Arc::new(Names::new());
    let open = |json| Sources::open(&config(json), vec![], Remotes::Poll, &names).unwrap_err().to_string();
    let error = open(serde_json::json!({"inventory": {"files": ["/nonexistent/devices.yaml"]}}));
    assert!(error.starts_with("enricher.inventory.files: cannot read /nonexistent/devices.yaml"), "{error}");
}

#[test]
fn a_server_that_fails_leaves_what_it_said_and_comes_back() {
    let server = Server::start("network,name\n10.1.0.0/16,one\n");
    let url = server.url("networks.csv");
    let names = Arc::new(Names::new());
    let config = config(serde_json::json!({"networks": {"http": [{"url": url, "refresh_interval_ms": 1000}]}}));
    let (mut sources, first) = Sources::open(&config, vec![], Remotes::Poll, &names).unwrap();
    let second = next(&mut sources, &first);
    assert_eq!(network_of(&second, &names, [10, 1, 0, 1]), "one");

    server.answer(503, "");
    let start = Instant::now();
    while sources.monitor().stats(&Hits::default())[0].failures == 0 {
        assert!(start.elapsed() < DEADLINE);
        thread::sleep(Duration::from_millis(5)); // between two looks
    }
    assert!(sources.poll(&second).is_none());
    assert!(sources.monitor().stats(&Hits::default())[0].refusal.as_ref().unwrap().contains("answers 503"));

    server.answer(200, "network,name\n10.1.0.0/16,two\n");
    assert_eq!(network_of(&next(&mut sources, &second), &names, [10, 1, 0, 1]), "two");
    assert_eq!(sources.monitor().stats(&Hits::default())[0].refusal, None);
}

#[test]
fn nonsense_and_emptiness_are_refused() {
    let names = Arc::new(Names::new());
    for (body, problem) in [("<html></html>", "first line"), ("network\n", "empty")] {
        let url = Server::start(body).url("networks.csv");
        let config = config(serde_json::json!({"networks": {"http": [{"url": url}]}}));
        let (sources, _) = Sources::open(&config, vec![], Remotes::AskOnce, &names).unwrap();
        let refusal = sources.monitor().stats(&Hits::default())[0].refusal.clone().unwrap();
        assert!(refusal.contains(problem), "{refusal}");
    }
}

#[test]
fn interfaces_of_prometheus_join_the_devices_of_files() {
    let body = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"__name__":"ifHighSpeed","instance":"192.0.2.1:161","ifIndex":"7","ifName":"xe0"},"value":[1,"1000"]}]}}"#;
    let url = Server::start(body).url("");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("devices.yaml");
    let devices = "devices: [{name: edge1, addresses: [192.0.2.1], interfaces: [{name: xe0, description: uplink}]}]";
    std::fs::write(&path, devices).unwrap();
    let names = Arc::new(Names::new());
    let json = serde_json::json!({"inventory": {"files": [path]}, "interfaces": {"prometheus": {"url": url}}});
    let (sources, snapshot) = Sources::open(&config(json), vec![], Remotes::AskOnce, &names).unwrap();
    let address = address_of([192, 0, 2, 1].into());
    let entry = helios_common::exporter::Entry { address, socket: address, address_name: 0 };
    let exporter = snapshot.directory.exporter(&entry);
    let (interface, _) = snapshot.directory.interface(&exporter, 7, 0, 0).unwrap();
    let view = names.read();
    assert_eq!((view.get(exporter.name), view.get(interface.description)), ("edge1", "uplink"));
    assert_eq!(interface.speed, 1_000_000_000);
    drop(view);
    assert_eq!(sources.labels().len(), 2);
}
