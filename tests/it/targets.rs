//! `helios targets`: from a file of devices to the collectors' files, and what happens when devices or NetBox are gone.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use helios_testkit::kubernetes::Server;

use serde_json::Value;

fn targets(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
    let file = format!("targets.static_file={}", directory.join("devices.yaml").display());
    command.env_clear().arg("targets").args(["--set", &file, "--out"]).arg(directory.join("out"));
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Writes the file of devices; each is a switch of the platform `eos`, the last one paused.
fn devices(directory: &Path, names: &[&str]) {
    let mut text = "devices:\n".to_owned();
    for (at, name) in names.iter().enumerate() {
        text.push_str(&format!("- {{name: {name}, address: 192.0.2.{}, site: Zurich, platform: eos}}\n", at + 1));
    }
    text.push_str("- {name: spare, address: 192.0.2.99, platform: eos, monitor: false}\n");
    fs::write(directory.join("devices.yaml"), text).unwrap();
}

#[test]
fn devices_become_files_that_change_only_when_the_devices_do() {
    let folder = tempfile::tempdir().unwrap();
    devices(folder.path(), &["leaf1", "leaf2"]);
    let dry = targets(folder.path(), &["--dry-run"]);
    assert!(dry.status.success(), "{}", said(&dry));
    assert!(said(&dry).contains("+ leaf1: ") && said(&dry).contains("spare"), "{}", said(&dry));
    assert!(said(&dry).ends_with("2 devices added, 0 changed, 0 gone, 0 unchanged, 1 left out\n"), "{}", said(&dry));
    assert!(!folder.path().join("out").exists(), "a dry run writes nothing");

    let first = targets(folder.path(), &[]);
    assert!(said(&first).contains("wrote gnmic.yaml, snmp.json, icmp.json, tcp.json"), "{}", said(&first));
    let icmp: Value = serde_json::from_slice(&fs::read(folder.path().join("out/icmp.json")).unwrap()).unwrap();
    let labels: Vec<_> = icmp.as_array().unwrap().iter().map(|group| &group["labels"]["device"]).collect();
    assert_eq!(labels, ["leaf1", "leaf2"]);
    assert_eq!(icmp[0]["targets"][0], "192.0.2.1");

    let again = targets(folder.path(), &[]);
    assert!(said(&again).contains("2 unchanged") && said(&again).contains("nothing written"), "{}", said(&again));
}

#[test]
fn a_plan_that_lost_too_much_is_refused_until_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    devices(folder.path(), &["a", "b", "c", "d"]);
    assert!(targets(folder.path(), &[]).status.success());
    let before = fs::read(folder.path().join("out/icmp.json")).unwrap();
    devices(folder.path(), &["a"]);
    let refused = targets(folder.path(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("icmp would go from 4 to 1") && said(&refused).contains("- b"),
        "{}",
        said(&refused)
    );
    assert_eq!(fs::read(folder.path().join("out/icmp.json")).unwrap(), before);
    assert!(targets(folder.path(), &["--allow-loss"]).status.success());
    assert_ne!(fs::read(folder.path().join("out/icmp.json")).unwrap(), before);
}

#[test]
fn a_netbox_that_is_away_changes_nothing_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    devices(folder.path(), &["a"]);
    let away = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let url = format!("netbox.url={away}");
    fs::write(folder.path().join("token"), "0123456789abcdef").unwrap();
    let token = format!("netbox.token_file={}", folder.path().join("token").display());
    let output = targets(folder.path(), &["--set", &url, "--set", &token]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&away) && said(&output).contains("the targets are unchanged"), "{}", said(&output));
    assert!(!folder.path().join("out").exists());
}

#[test]
fn without_devices_or_directory_the_configuration_is_wrong() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_helios")).env_clear().arg("targets").args(arguments).output();
        let output = output.unwrap();
        (output.status.code(), said(&output))
    };
    let (code, text) = run(&[]);
    assert!(code == Some(78) && text.contains("--out DIRECTORY") && text.contains("--kubernetes"), "{text}");
    let (code, text) = run(&["--out", "nowhere"]);
    assert!(code == Some(78) && text.contains("NETBOX_API_URL") && text.contains("targets.static_file"), "{text}");
}

/// `helios targets --kubernetes` for the devices of `directory`.
fn kubernetes(directory: &Path, server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
    let file = format!("targets.static_file={}", directory.join("devices.yaml").display());
    command.env_clear().env("TARGET_NAMESPACE", "collection").args(["targets", "--kubernetes", "--set", &file]);
    command.args(["--kube-api", &server.url()]).args(arguments).output().unwrap()
}

#[test]
fn config_maps_are_applied_once_and_a_dry_run_shows_the_same_difference() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start("collection");
    devices(folder.path(), &["leaf1", "leaf2"]);
    let difference =
        |output: &Output| said(output).lines().filter(|line| !line.starts_with("wrote")).collect::<Vec<_>>().join("\n");
    let dry = kubernetes(folder.path(), &server, &["--dry-run"]);
    assert!(dry.status.success() && said(&dry).contains("+ leaf1: "), "{}", said(&dry));
    assert!(server.cluster().config_maps.is_empty(), "a dry run writes nothing");
    let first = kubernetes(folder.path(), &server, &[]);
    assert_eq!(difference(&first), difference(&dry));
    assert!(said(&first).contains("wrote helios-targets-gnmic-0, "), "{}", said(&first));
    let gnmic =
        server.cluster().config_maps[&("collection".into(), "helios-targets-gnmic-0".into())].data["gnmic.yaml"]
            .clone();
    assert!(gnmic.contains("\"leaf2\": {"), "{gnmic}");

    server.cluster().requests.clear();
    let again = kubernetes(folder.path(), &server, &[]);
    assert!(said(&again).contains("2 unchanged") && said(&again).contains("nothing written"), "{}", said(&again));
    assert!(server.cluster().requests.iter().all(|request| request.starts_with("GET ")));

    devices(folder.path(), &[]);
    let refused = kubernetes(folder.path(), &server, &[]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("from 2 to 0"), "{}", said(&refused));
    assert!(said(&refused).contains("- leaf1: "), "{}", said(&refused));
}

#[test]
fn without_an_api_the_message_says_how_to_have_one() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_helios")).env_clear().args(["targets"]).env("TARGET_NAMESPACE", "x").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("KUBECONFIG") && said(&output).contains("kubectl proxy"), "{}", said(&output));
}
