//! Each sample forward, refused in the middle, half done in the middle, and dry.

use serde_json::{Value, json};

use helios_runbooks::resource::{Phase, RunbookSpec, StepPhase};

use crate::device::Fault;
use crate::rig::{Rig, sample};

const ISIS: &str =
    "/network-instances/network-instance[name=default]/protocols/protocol[identifier=ISIS][name=isis]/isis";
const BGP: &str = "/network-instances/network-instance[name=default]/protocols/protocol[identifier=BGP][name=bgp]/bgp";

/// The tree of a device that every sample can work on.
fn leaves() -> Vec<(String, Value)> {
    let leaf = |path: String, value: Value| (path.parse::<helios_gnmi::Path>().unwrap().to_string(), value);
    let af = "levels/level[level-number=2]/afi-safi/af[afi-name=IPV4][safi-name=UNICAST]";
    vec![
        leaf("/interfaces/interface[name=Ethernet1]/config/enabled".into(), json!(true)),
        leaf("/interfaces/interface[name=Ethernet1]/state/oper-status".into(), json!("UP")),
        leaf(format!("{ISIS}/interfaces/interface[interface-id=Ethernet1]/{af}/config/metric"), json!(10)),
        leaf(format!("{ISIS}/global/lsp-bit/overload-bit/config/set-bit"), json!(false)),
        leaf(format!("{BGP}/neighbors/neighbor[neighbor-address=192.0.2.2]/config/enabled"), json!(true)),
        leaf(format!("{BGP}/neighbors/neighbor[neighbor-address=192.0.2.2]/state/session-state"), json!("ESTABLISHED")),
        leaf("/sampling/sflow/config/ingress-sampling-rate".into(), json!(1000)),
        leaf("/sampling/sflow/interfaces/interface[name=Ethernet1]/config/enabled".into(), json!(false)),
    ]
}

/// A sample whose waits are short: what is tested is the order of things, not their length.
fn short(name: &str) -> RunbookSpec {
    let spec = serde_json::to_string(&sample(name)).unwrap();
    let spec = spec.replace("\"10s\"", "\"0s\"").replace("\"5s\"", "\"0s\"");
    let spec = ["10m", "15m", "3m", "60s", "30s"]
        .iter()
        .fold(spec, |spec, long| spec.replace(&format!("\"within\":\"{long}\""), "\"within\":\"1s\""));
    let spec = spec.replace("\"interval\":\"15s\"", "\"interval\":\"1s\"");
    serde_json::from_str(&spec).unwrap()
}

async fn rig(name: &str) -> Rig {
    let values = match name {
        "undrain" | "interface-undrain" => json!({"device": "r1", "interface": "Ethernet1", "metric": 20}),
        "bgp-soft-reset" => json!({"device": "r1", "neighbor": "192.0.2.2"}),
        "rtbh-blackhole" => json!({"device": "r1", "prefix": "198.51.100.1/32", "hold": "1s"}),
        "maintenance-mode" => {
            json!({"device": "r1", "starts_at": "2026-12-01T22:00:00Z", "ends_at": "2026-12-02T02:00:00Z"})
        }
        "sampling-change" => json!({"devices": "r1,r2", "rate": 4096, "settle": "1s"}),
        _ => json!({"device": "r1", "interface": "Ethernet1"}),
    };
    let devices: &[&str] = if name == "sampling-change" { &["r1", "r2"] } else { &["r1"] };
    let leaves = leaves();
    let leaves: Vec<(&str, Value)> = leaves.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
    let mut rig = Rig::new(short(name), values, devices, &leaves).await;
    if name == "maintenance-mode" {
        let spec = serde_json::to_string(&rig.spec).unwrap();
        let spec = spec.replace("http://alertmanager-helios.helios-visualization:9093", rig.server());
        rig.spec = serde_json::from_str(&spec).unwrap();
    }
    if name == "isolate-flapping-link" {
        *rig.number.lock().unwrap() = Some(3.0);
    }
    if name == "sampling-change" {
        *rig.number.lock().unwrap() = None;
    }
    rig
}

/// Name, Sets of the way forward.
const SAMPLES: &[(&str, usize)] = &[
    ("interface-bounce", 2),
    ("interface-drain", 1),
    ("interface-undrain", 1),
    ("bgp-soft-reset", 2),
    ("isolate-flapping-link", 1),
    ("rtbh-blackhole", 2),
    ("maintenance-mode", 1),
    ("collect-diagnostics", 0),
    ("sampling-change", 2),
    ("configuration-drift", 1),
];

#[test]
fn there_are_ten_samples_and_each_is_tested() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), SAMPLES.len());
}

#[tokio::test]
async fn each_sample_succeeds() {
    for (name, sets) in SAMPLES {
        let rig = rig(name).await;
        let status = rig.run(false).await;
        assert_eq!(status.phase, Phase::Succeeded, "{name}: {} {:#?}", status.message, status.steps);
        let done: usize = rig.devices.values().map(|tree| tree.lock().unwrap().sets).sum();
        assert_eq!(done, *sets, "{name}");
        assert!(status.steps.iter().all(|step| step.phase == StepPhase::Succeeded), "{name}: {:#?}", status.steps);
    }
}

#[tokio::test]
async fn each_sample_is_undone_after_a_refusal_or_an_answer_that_never_came() {
    for (name, sets) in SAMPLES.iter().filter(|(_, sets)| *sets > 0) {
        // In the for-each the last Set is that of the second device, which is another tree.
        let last = if *name == "sampling-change" { 1 } else { *sets };
        for fault in [Fault::Refuse(last), Fault::Silent(last), Fault::Half(last), Fault::Lie(last)] {
            let rig = rig(name).await;
            let before = rig.leaves();
            rig.fault(fault);
            let status = rig.run(false).await;
            assert_eq!(rig.leaves(), before, "{name}, {fault:?}: {}", status.message);
            let expected = [Phase::Failed, Phase::RolledBack];
            assert!(expected.contains(&status.phase), "{name}, {fault:?}: {:?} {}", status.phase, status.message);
        }
    }
}

#[tokio::test]
async fn each_sample_dry_shows_its_requests_and_sends_none() {
    for (name, sets) in SAMPLES {
        let rig = rig(name).await;
        let before = rig.leaves();
        let status = rig.run(true).await;
        assert_eq!(status.phase, Phase::Succeeded, "{name}: {}", status.message);
        assert_eq!(rig.leaves(), before, "{name}");
        assert!(rig.posts.lock().unwrap().is_empty(), "{name}");
        let shown = status.steps.iter().filter(|step| step.message.contains("\"gnmi\":\"Set\"")).count();
        assert_eq!(shown, *sets, "{name}: {:#?}", status.steps);
    }
}

#[tokio::test]
async fn a_drain_that_leaves_traffic_is_undone() {
    let rig = rig("interface-drain").await;
    let before = rig.leaves();
    *rig.number.lock().unwrap() = Some(5e9);
    let status = rig.run(false).await;
    assert_eq!((status.phase, rig.leaves()), (Phase::RolledBack, before), "{}", status.message);
    assert!(status.message.contains("counters-fall") && status.message.contains("5000000000"), "{}", status.message);
}

#[tokio::test]
async fn the_canary_keeps_the_other_devices_from_harm() {
    let rig = rig("sampling-change").await;
    *rig.number.lock().unwrap() = Some(1.0);
    let before = rig.leaves();
    let status = rig.run(false).await;
    assert_eq!((status.phase, rig.leaves()), (Phase::RolledBack, before), "{}", status.message);
    assert_eq!(rig.devices["r2"].lock().unwrap().sets, 0);
}

#[tokio::test]
async fn without_a_drift_nothing_is_sent() {
    let rig = rig("configuration-drift").await;
    assert_eq!(rig.run(false).await.phase, Phase::Succeeded);
    let status = rig.run(false).await;
    assert_eq!(status.steps[1].phase, StepPhase::Skipped, "{:#?}", status.steps);
    assert_eq!(rig.tree().sets, 1);
}

#[tokio::test]
async fn a_link_without_another_one_is_left_alone() {
    let rig = rig("isolate-flapping-link").await;
    *rig.number.lock().unwrap() = None;
    let status = rig.run(false).await;
    assert_eq!((status.phase, rig.tree().sets), (Phase::Failed, 0), "{}", status.message);
}
