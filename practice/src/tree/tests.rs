use super::*;
use crate::description::Description;

fn path(text: &str) -> Vec<PathElem> {
    text.parse::<Path>().unwrap().elem
}

fn device() -> Value {
    let mut state = State::new(Description::generated(4, 20), 1_700_000_000_000);
    state.advance(1_700_000_060_000);
    whole(&state, 0)
}

fn one<'a>(tree: &'a Value, text: &str) -> &'a Value {
    let found = find(tree, &path(text));
    assert_eq!(found.len(), 1, "{text}");
    found[0].1
}

#[test]
fn state_holds_the_configuration_and_what_is_measured() {
    let tree = device();
    let interface = one(&tree, "/interfaces/interface[name=Ethernet1]/state");
    assert_eq!(
        (&interface["enabled"], &interface["oper-status"], &interface["ifindex"]),
        (&json!(true), &json!("UP"), &json!(1))
    );
    let counted = find(&tree, &path("/interfaces/interface/state/counters/in-octets"));
    assert!(counted.iter().any(|(_, octets)| octets.as_u64().unwrap() > 0));
    assert_eq!(one(&tree, "/interfaces/interface[name=Ethernet1]/config").get("oper-status"), None);
    let sessions = find(
        &tree,
        &path(
            "/network-instances/network-instance[name=default]/protocols/protocol/bgp/neighbors/neighbor[neighbor-address=*]/state/session-state",
        ),
    );
    assert!(sessions.len() > 2 && sessions.iter().all(|(_, state)| *state == "ESTABLISHED"));
    assert_eq!(one(&tree, "/openconfig-system:system/state/hostname"), "zrh-core-1");
    assert_eq!(find(&tree, &path("/lldp/interfaces/interface/neighbors/neighbor/state/system-name")).len(), 3);
    assert!(find(&tree, &path("/interfaces/interface[name=Ethernet99]")).is_empty());
    assert!(find(&tree, &path("/.../in-octets")).len() > 2);
}

#[test]
fn leaves_carry_their_keys() {
    let tree = device();
    let mut out = Vec::new();
    let found = find(&tree, &path("/interfaces/interface/state/oper-status"));
    for (mut at, node) in found {
        leaves(node, &mut at, &mut out);
    }
    assert_eq!(Path::of(out[0].0.clone()).to_string(), "/interfaces/interface[name=Ethernet1]/state/oper-status");
    let protocol = find(&tree, &path("/network-instances/network-instance/protocols/protocol/bgp/global/config/as"));
    let text = Path::of(protocol[0].0.clone()).to_string();
    assert_eq!(
        text,
        "/network-instances/network-instance[name=default]/protocols/protocol[identifier=BGP][name=bgp]/bgp/global/config/as"
    );
}

/// RFC 7951 §6.1.
#[test]
fn numbers_of_64_bits_are_strings() {
    let value = json!({"counters": {"in-octets": 5}, "ifindex": 3, "last-change": 7});
    assert_eq!(
        ietf(&value, "state", "interface"),
        json!({"counters": {"in-octets": "5"}, "ifindex": 3, "last-change": "7"})
    );
    assert_eq!(ietf(&json!(9), "in-octets", "counters"), json!("9"));
}

#[test]
fn changes_are_made_and_refused_as_the_model_says() {
    let description = Description::generated(4, 20);
    let mut config = first_config(&description.devices[0], &[]);
    let set = |config: &mut Value, text: &str, value: Value| edit::update(config, &path(text), &value);
    set(&mut config, "/interfaces/interface[name=Ethernet1]/config", json!({"openconfig-interfaces:enabled": false}))
        .unwrap();
    assert!(!interface_enabled(&config, "Ethernet1") && interface_enabled(&config, "Ethernet2"));
    assert_eq!(one(&config, "/interfaces/interface[name=Ethernet1]/config/mtu"), 9_214, "an update leaves the rest");
    edit::replace(&mut config, &path("/interfaces/interface[name=Ethernet1]/config"), &json!({"name": "Ethernet1"}))
        .unwrap();
    assert!(interface_enabled(&config, "Ethernet1"), "a replace does not");
    edit::delete(&mut config, &path("/interfaces/interface[name=*]/config/description")).unwrap();
    assert!(find(&config, &path("/interfaces/interface/config/description")).is_empty());
    set(&mut config, "/system/ntp/servers/server[address=192.0.2.1]/config/iburst", json!(true)).unwrap();
    assert_eq!(one(&config, "/system/ntp/servers/server[address=192.0.2.1]/config/address"), "192.0.2.1");
    for (text, value, why) in [
        ("/interfaces/interface[name=Ethernet1]/state/enabled", json!(true), "read only"),
        ("/vlans/vlan[vlan-id=1]/config/name", json!("x"), "no such model"),
        ("/interfaces/interface[name=*]/config/enabled", json!(true), "wildcard"),
        ("/system/config/hostname/x", json!("x"), "below a leaf"),
        ("/interfaces/interface[name=Ethernet1]/config", json!(true), "another shape"),
    ] {
        let error = set(&mut config, text, value).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    set(&mut config, "/interfaces/interface[name=Ethernet1]/config/enabled", json!("yes")).unwrap();
    assert!(
        edit::validate(&config, &["Ethernet1", "Ethernet2", "Ethernet3", "Ethernet4"])
            .unwrap_err()
            .to_string()
            .contains("true or false")
    );
    set(&mut config, "/interfaces/interface[name=Ethernet1]/config/enabled", json!(true)).unwrap();
    set(&mut config, "/interfaces/interface[name=Ethernet99]/config/mtu", json!(1500)).unwrap();
    assert!(
        edit::validate(&config, &["Ethernet1", "Ethernet2", "Ethernet3", "Ethernet4"])
            .unwrap_err()
            .to_string()
            .contains("no such port")
    );
}
