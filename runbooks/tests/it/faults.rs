//! The runbook of the reference, and devices that are gone when they are wanted.

use serde_json::{Value, json};

use helios_runbooks::document::{self, Document};
use helios_runbooks::resource::{Phase, RunbookSpec};

use crate::device::Fault;
use crate::rig::Rig;

/// As the project's description has it.
const REFERENCE: &str = include_str!("../data/reference.yaml");

const DEVICE: &str = "router1.dc1.example.com";
const ENABLED: &str = "/interfaces/interface[name=Ethernet1]/config/enabled";

async fn rig(wait: &str) -> Rig {
    let documents = document::read(&REFERENCE.replace("10s", wait)).unwrap();
    let [Document::Runbook(_, spec), Document::Execution(_, execution)] = documents.as_slice() else { unreachable!() };
    let values = Value::Object(execution.parameters.clone().into_iter().collect());
    Rig::new(spec.clone(), values, &[DEVICE], &[(ENABLED, json!(true))]).await
}

#[tokio::test]
async fn the_example_of_the_reference_bounces_the_interface() {
    let rig = rig("1s").await;
    let status = rig.run(false).await;
    assert_eq!(status.phase, Phase::Succeeded, "{}", status.message);
    let tree = rig.tree();
    assert_eq!((tree.sets, &tree.leaves[ENABLED]), (2, &json!(true)));
    drop(tree);
    assert_eq!(status.steps[0].before[0].json.as_deref(), Some("true"));
}

#[tokio::test]
async fn a_device_that_is_gone_at_the_rollback_is_loud() {
    let rig = rig("0s").await;
    rig.fault(Fault::Away(2));
    let status = rig.run(false).await;
    assert_eq!(status.phase, Phase::RollbackFailed, "{}", status.message);
    assert!(status.message.contains("ROLLBACK FAILED at step disable-interface"), "{}", status.message);
    assert_eq!(rig.tree().leaves[ENABLED], json!(false));
}

#[tokio::test]
async fn a_device_that_is_gone_from_the_start_is_not_touched() {
    let rig = rig("0s").await;
    rig.fault(Fault::Away(1));
    let status = rig.run(false).await;
    assert_eq!((status.phase, rig.tree().sets), (Phase::Failed, 0), "{}", status.message);
    assert!(
        status.message.contains("nothing was sent") && status.message.contains("nothing to undo"),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn names_with_every_octet_reach_the_device_as_they_are() {
    let name = "Eth]1/[x=y]\\ {{.device}} \"'";
    let path = helios_gnmi::Path::of([
        helios_gnmi::PathElem::named("interfaces"),
        helios_gnmi::PathElem::named("interface").with_key("name", name),
        helios_gnmi::PathElem::named("config"),
        helios_gnmi::PathElem::named("enabled"),
    ]);
    let mut rig = rig("0s").await;
    rig.values.insert("interface".to_owned(), json!(name));
    rig.tree().leaves.insert(path.to_string(), json!(true));
    let status = rig.run(false).await;
    assert_eq!(status.phase, Phase::Succeeded, "{}", status.message);
    let tree = rig.tree();
    assert_eq!((tree.sets, tree.leaves.len()), (2, 3));
}

#[tokio::test]
async fn a_password_in_an_answer_is_kept_nowhere() {
    let spec: RunbookSpec = serde_saphyr::from_str(
        "parameters: [{name: device, type: string}]\nsteps: [{name: read, type: gnmi-get, config: {path: /system/aaa}}]",
    )
    .unwrap();
    let leaves = [("/system/aaa/user[username=x]/config/password", json!("hunter2"))];
    let rig = Rig::new(spec, json!({"device": "r1"}), &["r1"], &leaves).await;
    let status = rig.run(false).await;
    assert_eq!(status.phase, Phase::Succeeded, "{}", status.message);
    let text = serde_json::to_string(&status).unwrap();
    assert!(!text.contains("hunter2") && text.contains("***"), "{text}");
}

#[tokio::test]
async fn a_device_with_the_wrong_address_in_the_list_is_not_touched() {
    let rig = rig("0s").await;
    rig.tree().leaves.insert("/system/state/hostname".to_owned(), json!("router2.dc1.example.com"));
    let status = rig.run(false).await;
    assert_eq!((status.phase, rig.tree().sets), (Phase::Failed, 0), "{}", status.message);
    assert!(status.message.contains("says that it is `router2.dc1.example.com`"), "{}", status.message);
    rig.tree().leaves.remove("/system/state/hostname");
    let status = rig.run(false).await;
    assert_eq!((status.phase, rig.tree().sets), (Phase::Failed, 0), "{}", status.message);
    assert!(status.message.contains("DEVICE_IDENTITY=certificate"), "{}", status.message);
}
