use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::resource::Parameter;

fn parameters() -> Parameters {
    let declared = ["device", "interface"].map(|name| Parameter { name: name.to_owned(), ..Parameter::default() });
    let given = BTreeMap::from([("device".to_owned(), json!("r1")), ("interface".to_owned(), json!("Ethernet1/1"))]);
    Parameters::check(&declared, &given).unwrap()
}

fn read(kind: &str, config: Value) -> Result<Action, String> {
    Action::read(kind, &config, &parameters())
}

#[test]
fn the_step_of_the_reference_is_one_update() {
    let path = "/interfaces/interface[name={{.interface}}]/config/enabled";
    let Action::Set(set) = read("gnmi-set", json!({"path": path, "value": "false"})).unwrap() else { unreachable!() };
    assert_eq!((set.device.as_str(), set.verify), ("r1", true));
    let message = set.message();
    assert_eq!(message.update[0].path.as_ref().unwrap().elem[1].key["name"], "Ethernet1/1");
    assert_eq!(message.update[0].val.as_ref().unwrap().to_json().unwrap(), json!(false));
}

#[test]
fn a_set_changes_named_places_that_do_not_overlap() {
    for (config, why) in [
        (json!({}), "1 to 64 paths"),
        (json!({"path": "/a"}), "together"),
        (json!({"path": "/", "value": 1}), "root"),
        (json!({"path": "/a[k=*]/b", "value": 1}), "wildcard"),
        (json!({"delete": ["/a"], "update": [{"path": "/a/b", "value": 1}]}), "overlap"),
        (json!({"path": "/a", "value": 1, "valeu": 2}), "valeu"),
        (json!({"path": "/a", "value": 1, "device": "r1; rm"}), "name"),
    ] {
        let error = read("gnmi-set", config.clone()).unwrap_err();
        assert!(error.contains(why), "{config}: {error}");
    }
}

#[test]
fn a_check_has_one_expectation_and_no_unknown_field() {
    let path = "/a/b";
    assert!(read("gnmi-assert", json!({"path": path, "equals": "UP", "within": "30s", "for": "5s"})).is_ok());
    assert!(read("gnmi-assert", json!({"path": path, "expect": "value == 'UP'"})).is_ok());
    assert!(read("gnmi-assert", json!({"path": path})).unwrap_err().contains("either"));
    assert!(read("gnmi-assert", json!({"path": path, "equals": 1, "expect": "true"})).unwrap_err().contains("either"));
    assert!(read("gnmi-assert", json!({"path": path, "equals": 1, "whithin": "1s"})).unwrap_err().contains("whithin"));
    assert!(read("gnmi-assert", json!({"path": path, "equals": 1, "interval": "0s"})).unwrap_err().contains("1s"));
    let wait = read(
        "wait-for",
        json!({"type": "prometheus-query", "within": "5m", "config": {"query": "up", "expect": "value == 1"}}),
    );
    assert_eq!(wait.unwrap().patience(), Duration::from_secs(300));
    assert!(read("wait-for", json!({"type": "notify", "within": "5m", "config": {}})).is_err());
}

#[test]
fn parameters_reach_clickhouse_as_its_own() {
    let Action::ClickHouse { query, parameters, .. } = read(
        "clickhouse-query",
        json!({"query": "SELECT sum(bytes) FROM flows_1m WHERE x = {interface:String}", "expect": "value == 0"}),
    )
    .unwrap() else {
        unreachable!()
    };
    assert!(query.ends_with("{interface:String}"));
    assert!(parameters.contains(&("interface".to_owned(), "Ethernet1/1".to_owned())));
    assert!(
        read("clickhouse-query", json!({"query": "SELECT '{{.interface}}'", "expect": "true"}))
            .unwrap_err()
            .contains("{name:String}")
    );
}

#[test]
fn secrets_are_not_shown() {
    let action = read(
        "gnmi-set",
        json!({"update": [
            {"path": "/system/aaa/user[username=x]/config/password", "value": "hunter2"},
            {"path": "/system/snmp", "value": {"community": "hunter2", "enabled": true}},
        ]}),
    );
    let text = action.unwrap().request().to_string();
    assert!(!text.contains("hunter2") && text.contains("***") && text.contains("\"enabled\":true"), "{text}");
}

#[test]
fn what_is_not_there_is_named() {
    assert!(read("gnmi-sett", json!({})).unwrap_err().contains("gnmi-assert"));
    assert!(read("notify", json!({"channel": "../x", "text": ""})).is_err());
    assert!(read("http-request", json!({"url": "https://h/", "method": "TRACE"})).is_err());
}

#[test]
fn a_script_gets_parameters_by_its_environment_alone() {
    let config = json!({"image": "i:1", "command": ["run", "--all"], "env": {"INTERFACE": "{{.interface}}"}});
    let Action::Script(script) = read("script", config).unwrap() else { unreachable!() };
    assert_eq!(script.env, [("INTERFACE".to_owned(), "Ethernet1/1".to_owned())]);
    for (config, why) in [
        (json!({"image": "i:1", "command": ["{{.interface}}"]}), "no templates"),
        (json!({"image": "{{.interface}}", "command": ["run"]}), "no templates"),
        (json!({"image": "i:1", "command": []}), "needs a `command`"),
        (json!({"image": "i:1", "command": ["run"], "env": {"A=B": "x"}}), "no name of an environment variable"),
    ] {
        let wrong = read("script", config).unwrap_err();
        assert!(wrong.contains(why), "{wrong}");
    }
}
