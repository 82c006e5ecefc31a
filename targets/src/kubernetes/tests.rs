//! Against a server that answers like Kubernetes' API server.

use std::time::Instant;

use helios_testkit::kubernetes::{ConfigMap as Stored, DATA_BYTES_MAX, Server};

use super::*;
use crate::config::TargetsConfig;
use crate::device::{Device, Named, Source};
use crate::plan::Plan;

const NAMESPACE: &str = "helios-collection";

const _: () = assert!(PART_BYTES < DATA_BYTES_MAX, "a part is smaller than what the server takes");

fn documents(devices: std::ops::Range<u32>) -> Documents {
    let device = |at: u32| Device {
        name: format!("edge-{at:05}.zurich.example.net"),
        status: "active".to_owned(),
        monitored: true,
        address: Some([10, (at >> 16) as u8, (at >> 8) as u8, at as u8].into()),
        site: Named::plain("Zurich Altstetten"),
        region: "Europe".into(),
        role: Named::plain("Edge router"),
        platform: Named::plain(if at.is_multiple_of(4) { "ios" } else { "eos" }),
        tenant: Named::plain("Acme"),
        ..Device::new(Source::Device(at))
    };
    let (devices, begun) = (devices.map(device).collect::<Vec<_>>(), Instant::now());
    let n_devices = devices.len();
    let plan = Plan::new(devices, &TargetsConfig::default());
    assert!(plan.left_out.is_empty());
    let documents = Documents::of(&plan);
    eprintln!("{n_devices} devices planned in {:?}", begun.elapsed());
    documents
}

fn rendered(documents: &Documents) -> [String; 4] {
    ListKind::ALL.map(|kind| documents.render(kind))
}

fn maps(server: &Server, token: Token) -> ConfigMaps {
    let access = Access { url: server.url(), token, ..Access::default() };
    ConfigMaps::new(access, NAMESPACE.to_owned()).unwrap()
}

fn read(maps: &ConfigMaps) -> Result<Published, KubernetesError> {
    helios_web::block_on(maps.read()).unwrap()
}

/// Publishes, and returns the names of what was written.
fn publish(maps: &ConfigMaps, planned: &Documents, gnmic_parts: u32) -> Vec<String> {
    let parts = changes(&read(maps).unwrap(), planned, gnmic_parts).unwrap();
    for part in &parts {
        helios_web::block_on(maps.apply(part)).unwrap().unwrap();
    }
    parts.iter().map(Part::name).collect()
}

fn stored(server: &Server) -> BTreeMap<String, Stored> {
    let cluster = server.cluster();
    cluster.config_maps.iter().map(|((_, name), map)| (name.clone(), map.clone())).collect()
}

#[test]
fn eight_thousand_devices_fit_and_one_more_moves_nobody() {
    let server = Server::start(NAMESPACE);
    let maps = maps(&server, Token::None);
    let eight_thousand = documents(0..8_000);
    publish(&maps, &eight_thousand, 4);
    let before = stored(&server);
    for (name, map) in &before {
        let bytes: usize = map.data.values().map(String::len).sum();
        eprintln!("{name}: {bytes} bytes");
        assert!(bytes <= PART_BYTES, "{name}: {bytes}");
        assert_eq!(map.labels.get(MANAGED_BY.0).map(String::as_str), Some(MANAGED_BY.1));
    }
    assert!(before.contains_key("helios-targets-gnmic-3"), "one for each instance of gnmic");
    assert!(rendered(&read(&maps).unwrap().documents) == rendered(&eight_thousand), "read back it is what was planned");
    assert_eq!(publish(&maps, &eight_thousand, 4), [""; 0], "what did not change is not written");
    // Device 8,000 is a switch that is asked by SNMP and answers echo requests.
    let written = publish(&maps, &documents(0..8_001), 4);
    assert_eq!(written.len(), 2, "{written:?}");
    let after = stored(&server);
    for (name, map) in before.iter().filter(|(name, _)| !written.contains(name)) {
        assert_eq!(after[name], *map, "{name}");
    }
}

#[test]
fn parts_that_are_no_longer_needed_are_emptied_and_stay() {
    let server = Server::start(NAMESPACE);
    let maps = maps(&server, Token::None);
    publish(&maps, &documents(0..40), 3);
    let written = publish(&maps, &documents(0..2), 1);
    assert!(written.contains(&"helios-targets-gnmic-2".to_owned()), "{written:?}");
    let all = stored(&server);
    let text = &all["helios-targets-gnmic-2"].data["gnmic.yaml"];
    assert!(text.ends_with("{}\n"), "{text}");
    assert_eq!(rendered(&read(&maps).unwrap().documents), rendered(&documents(0..2)));
    assert_eq!(publish(&maps, &documents(0..2), 1), [""; 0], "an empty part is not written again and again");
    server.cluster().config_maps.remove(&(NAMESPACE.to_owned(), "helios-targets-gnmic-0".to_owned()));
    let written = publish(&maps, &documents(0..2), 1);
    assert_eq!(written, ["helios-targets-gnmic-0"], "a part that somebody deleted comes back");
}

#[test]
fn what_somebody_changed_is_taken_back_and_what_is_somebody_elses_is_left_alone() {
    let server = Server::start(NAMESPACE);
    let maps = maps(&server, Token::None);
    publish(&maps, &documents(0..8), 1);
    let key = (NAMESPACE.to_owned(), "helios-targets-icmp-0".to_owned());
    {
        let mut cluster = server.cluster();
        let map = cluster.config_maps.get_mut(&key).unwrap();
        map.data.insert("icmp.json".into(), "[\n]\n".into());
        map.owners.insert("icmp.json".into(), "kubectl-edit".into());
    }
    assert_eq!(publish(&maps, &documents(0..8), 1), ["helios-targets-icmp-0"]);
    server.cluster().config_maps.get_mut(&key).unwrap().labels.clear();
    let error = read(&maps).unwrap_err().to_string();
    assert!(error.contains("helios-targets-icmp-0 was not written by helios targets"), "{error}");
    server.cluster().config_maps.get_mut(&key).unwrap().data.clear();
    assert!(read(&maps).is_ok(), "an empty one, as a chart makes it, may be taken");
    assert_eq!(publish(&maps, &documents(0..8), 1), ["helios-targets-icmp-0"]);
}

#[test]
fn the_token_is_read_anew_for_every_request() {
    let server = Server::start(NAMESPACE);
    server.cluster().token = "second".into();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first").unwrap();
    let maps = maps(&server, Token::File(file.clone()));
    let error = read(&maps).unwrap_err().to_string();
    assert!(error.contains("(401)") && error.contains("token"), "{error}");
    std::fs::write(&file, "second\n").unwrap();
    assert!(read(&maps).is_ok());
}

#[test]
fn a_refusal_says_what_is_missing() {
    let server = Server::start("another");
    let maps = maps(&server, Token::None);
    let published = read(&maps).unwrap();
    let part = changes(&published, &documents(0..4), 1).unwrap().remove(0);
    let refused = || helios_web::block_on(maps.apply(&part)).unwrap().unwrap_err().to_string();
    let error = refused();
    assert!(
        error.contains("namespaces \"helios-collection\" not found") && error.contains("TARGET_NAMESPACE"),
        "{error}"
    );
    server.cluster().forbidden.insert("patch");
    let error = refused();
    assert!(error.contains("cannot patch") && error.contains("get, create and patch"), "{error}");
    assert!(server.cluster().config_maps.is_empty());
}
