//! `helios targets` of a NetBox whose objects have the shapes that NetBox 4.6 gives them: nulls, choices, nested objects,
//! custom fields of other types, names in other scripts; and of a NetBox that is slow, refuses, or has lost everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use helios_testkit::kubernetes::Server as Kubernetes;
use helios_testkit::netbox::{Fault, Objects, Server, TOKEN, World};
use serde_json::{Value, json};

/// Objects by list; the id of each is its position + 1.
#[derive(Debug, Default, Clone)]
struct Shapes(BTreeMap<&'static str, Vec<Value>>);

impl Objects for Shapes {
    fn ids(&self, list: &str) -> Vec<u32> {
        (1..=self.0.get(list).map_or(0, Vec::len) as u32).collect()
    }

    fn object(&self, list: &str, id: u32) -> Value {
        let mut object = self.0[list][id as usize - 1].clone();
        object["id"] = id.into();
        object
    }
}

/// An object as NetBox embeds it in others.
fn brief(list: &str, id: u32, name: &str, slug: &str) -> Value {
    json!({"id": id, "url": format!("https://netbox.example/api/{list}/{id}/"), "display": name, "name": name, "slug": slug,
           "description": "", "_depth": 0})
}

fn address(id: u32, text: &str) -> Value {
    let family = if text.contains(':') { 6 } else { 4 };
    json!({"id": id, "url": format!("https://netbox.example/api/ipam/ip-addresses/{id}/"), "display": text,
           "family": {"value": family, "label": format!("IPv{family}")}, "address": text, "description": ""})
}

/// Device `n` as NetBox 4.6 writes one that has little: active, monitored, of a platform that nobody knows.
fn device(n: u32, name: &str) -> Value {
    let kind = json!({"id": 1, "url": "https://netbox.example/api/dcim/device-types/1/", "display": "7280R3",
        "manufacturer": brief("dcim/manufacturers", 1, "Arista", "arista"), "model": "7280R3", "slug": "7280r3", "description": ""});
    let primary = address(n, &format!("192.0.2.{n}/24"));
    json!({
        "url": format!("https://netbox.example/api/dcim/devices/{n}/"), "display_url": format!("https://netbox.example/dcim/devices/{n}/"),
        "display": name, "name": name, "device_type": kind, "role": brief("dcim/device-roles", 1, "Edge router", "edge-router"),
        "tenant": null, "platform": null, "serial": "", "asset_tag": null, "site": brief("dcim/sites", 1, "Zürich", "zuerich"),
        "location": null, "rack": null, "position": null, "face": null, "latitude": null, "longitude": null,
        "parent_device": null, "status": {"value": "active", "label": "Active"}, "airflow": null, "primary_ip": primary,
        "primary_ip4": primary, "primary_ip6": null, "oob_ip": null, "cluster": null, "virtual_chassis": null,
        "vc_position": null, "vc_priority": null, "description": "", "comments": "", "config_template": null,
        "local_context_data": null, "tags": [], "custom_fields": {"helios_monitor": true, "helios_collectors": null},
        "created": "2024-02-29T12:00:00.123456Z", "console_port_count": 0, "interface_count": 48,
    })
}

/// The device with some of its members replaced.
fn with(mut device: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        device[name] = value.clone();
    }
    device
}

fn eos() -> Value {
    brief("dcim/platforms", 1, "Arista EOS", "arista-eos")
}

/// A virtual machine as NetBox 4.6 writes one: its site is that of its cluster, or none.
fn machine(n: u32, name: &str) -> Value {
    json!({
        "url": format!("https://netbox.example/api/virtualization/virtual-machines/{n}/"), "display": name, "name": name,
        "status": {"value": "active", "label": "Active"}, "start_on_boot": {"value": "off", "label": "Off"}, "site": null,
        "cluster": {"id": 1, "url": "https://netbox.example/api/virtualization/clusters/1/", "display": "kvm", "name": "kvm", "description": ""},
        "device": null, "serial": "", "role": null, "tenant": brief("tenancy/tenants", 1, "Bäcker & Söhne", "baecker"),
        "platform": null, "primary_ip": address(90, "198.51.100.7/32"), "primary_ip4": address(90, "198.51.100.7/32"),
        "primary_ip6": null, "vcpus": 2.0, "memory": 4096, "disk": null, "description": "", "comments": "",
        "config_template": null, "local_context_data": null, "tags": [], "custom_fields": {"helios_monitor": true},
    })
}

fn shapes() -> Shapes {
    let named = |list, name, slug| vec![brief(list, 1, name, slug)];
    let region = json!({"name": "Alps", "slug": "alps", "parent": null, "display": "Alps"});
    let inner = json!({"name": "Limmat", "slug": "limmat", "parent": brief("dcim/regions", 1, "Alps", "alps"), "display": "Limmat"});
    let site = json!({"name": "Zürich", "slug": "zuerich", "status": {"value": "active", "label": "Active"}, "group": null, "tenant": null,
        "region": brief("dcim/regions", 2, "Limmat", "limmat"), "asns": [], "time_zone": null, "latitude": null});
    let chassis =
        |master: Value| json!({"name": "stack", "display": "stack", "master": master, "domain": "", "member_count": 2});
    let embedded = json!({"id": 1, "url": "https://netbox.example/api/dcim/virtual-chassis/1/", "display": "stack", "name": "stack",
        "master": {"id": 4, "name": "stack-1"}, "description": "", "member_count": 2});
    let mut devices = devices();
    for (device, position) in [(3, 1), (4, 2)] {
        devices[device] = with(devices[device].clone(), json!({"virtual_chassis": embedded, "vc_position": position}));
    }
    devices[4] = with(devices[4].clone(), json!({"primary_ip": null, "primary_ip4": null}));
    Shapes(BTreeMap::from([
        ("dcim/devices", devices),
        ("virtualization/virtual-machines", vec![machine(1, "vm-1")]),
        ("dcim/regions", vec![region, inner]),
        ("dcim/sites", vec![site]),
        ("dcim/platforms", named("dcim/platforms", "Arista EOS", "arista-eos")),
        ("dcim/device-roles", named("dcim/device-roles", "Edge router", "edge-router")),
        ("dcim/manufacturers", named("dcim/manufacturers", "Arista", "arista")),
        ("dcim/device-types", vec![device(1, "")["device_type"].clone()]),
        ("dcim/virtual-chassis", vec![chassis(json!({"id": 4, "name": "stack-1", "display": "stack-1"}))]),
        ("tenancy/tenants", named("tenancy/tenants", "Bäcker & Söhne", "baecker")),
        ("extras/tags", named("extras/tags", "Flow \"quoted\"", "flow")),
    ]))
}

/// Devices 1 to 18; what is special is in the name.
fn devices() -> Vec<Value> {
    let fields = |n, name: &str, fields: Value| with(device(n, name), json!({"custom_fields": fields}));
    let tag = json!([{"id": 1, "url": "x", "display_url": "x", "display": "Flow", "name": "Flow", "slug": "flow", "color": "9e9e9e"}]);
    let none = json!({"primary_ip": null, "primary_ip4": null, "oob_ip": address(60, "203.0.113.6/24")});
    let only6 = json!({"platform": eos(), "primary_ip4": null, "primary_ip6": address(61, "2001:db8::3/64"), "primary_ip": address(61, "2001:db8::3/64")});
    vec![
        with(device(1, "edge-1"), json!({"platform": eos(), "tags": tag, "oob_ip": address(62, "203.0.113.1/24")})),
        with(device(2, ""), json!({"name": null, "display": "7280R3 (2)"})),
        with(device(3, "ipv6-only"), only6),
        device(4, "stack-1"),
        device(5, "stack-2"),
        with(device(6, "oob-only"), none),
        with(device(7, "planned"), json!({"status": {"value": "planned", "label": "Planned"}})),
        fields(8, "null-field", json!({"helios_monitor": null})),
        fields(9, "no-field", json!({})),
        fields(10, "text-field", json!({"helios_monitor": "yes"})),
        fields(11, "multiselect", json!({"helios_monitor": true, "helios_collectors": ["snmp", "probes"]})),
        fields(
            12,
            "choice",
            json!({"helios_monitor": true, "helios_collectors": {"value": "probes", "label": "Probes"}}),
        ),
        fields(13, "unknown-word", json!({"helios_monitor": true, "helios_collectors": "netconf"})),
        device(14, "Zürich Kern 1"),
        device(15, "東京"),
        device(16, &"very-long-".repeat(6)),
        device(17, "EDGE_1"),
        with(
            device(18, "in-a-cluster"),
            json!({"cluster": {"id": 1, "url": "x", "display": "kvm", "name": "kvm", "description": ""}}),
        ),
    ]
}

/// `helios targets` with nothing but the variables that the reference has, and these arguments.
fn run(netbox: &Server, token: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
    command.env_clear().env("NETBOX_API_URL", netbox.url()).env("NETBOX_API_TOKEN", token);
    command.envs(variables.iter().copied()).arg("targets").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn netbox(objects: Shapes) -> Server {
    Server::start(World { version: "4.6.8", objects: Some(Arc::new(objects)), ..World::default() })
}

/// The entries of a list of `file_sd`, by the label `device`.
fn groups(out: &Path, file: &str) -> BTreeMap<String, Value> {
    let list: Value = serde_json::from_slice(&fs::read(out.join(file)).unwrap()).unwrap();
    let device = |group: &Value| group["labels"]["device"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(|group| (device(group), group.clone())).collect()
}

#[test]
fn every_shape_of_a_device_is_a_target_or_left_out_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let output = run(&netbox(shapes()), TOKEN, &["--out", out.to_str().unwrap()], &[]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for line in [
        "left out, no primary address: oob-only (NetBox device 6)",
        "left out, its status is planned: planned (NetBox device 7)",
        "left out, not monitored: its custom field helios_monitor is not true: no-field (NetBox device 9), null-field (NetBox device 8), text-field (NetBox device 10)",
        "left out, \"netconf\" in its custom field helios_collectors is none of gnmi, snmp and probes: unknown-word (NetBox device 13)",
        "left out, its name has no letter from a to z and no digit, so it is no DNS name: 東京 (NetBox device 15)",
        "left out, its name becomes edge-1, which edge-1 (NetBox device 1) has: rename one of them: EDGE_1 (NetBox device 17)",
        "left out, member of a virtual chassis whose target is stack-1: stack-2 (NetBox device 5)",
        "10 devices added, 0 changed, 0 gone, 0 unchanged, 9 left out",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let icmp = groups(&out, "icmp.json");
    let long = "very-long-".repeat(6);
    let expected = [
        "Arista 7280R3 (2)",
        "Zürich Kern 1",
        "choice",
        "edge-1",
        "in-a-cluster",
        "ipv6-only",
        "multiselect",
        "stack-1",
        &long,
        "vm-1",
    ];
    assert_eq!(icmp.keys().collect::<Vec<_>>(), expected.map(|name| name.to_owned()).iter().collect::<Vec<_>>());
    assert_eq!(icmp["ipv6-only"]["targets"][0], "2001:db8::3");
    assert_eq!(icmp["ipv6-only"]["labels"]["__param_module"], "icmp6");
    let labels = &icmp["Zürich Kern 1"]["labels"];
    assert_eq!((&labels["site"], &labels["region"], labels.get("tenant")), (&json!("Zürich"), &json!("Limmat"), None));
    assert_eq!(icmp["vm-1"]["labels"]["tenant"], "Bäcker & Söhne");
    let snmp = groups(&out, "snmp.json");
    assert!(snmp.contains_key("multiselect") && snmp.contains_key("vm-1") && !snmp.contains_key("choice"));
    assert_eq!(snmp["Arista 7280R3 (2)"]["targets"][0], "192.0.2.2");
    let gnmic = fs::read_to_string(out.join("gnmic.yaml")).unwrap();
    let names: Vec<&str> = gnmic.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    assert_eq!(names, ["\"edge-1\"", "\"ipv6-only\""], "{gnmic}");
    assert!(gnmic.contains(r#""address":"[2001:db8::3]:6030""#) && gnmic.contains(r#""address":"192.0.2.1:6030""#));
}

#[test]
fn three_variables_alone_publish_config_maps() {
    let (netbox, kubernetes) = (netbox(shapes()), Kubernetes::start("collection"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let text = json!({
        "current-context": "here", "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": kubernetes.url()}}], "users": [{"name": "me", "user": {"token": "t"}}],
    });
    fs::write(&file, text.to_string()).unwrap();
    // KUBECONFIG stands for the service account that a pod has.
    let variables = [("TARGET_NAMESPACE", "collection"), ("KUBECONFIG", file.to_str().unwrap())];
    let output = run(&netbox, TOKEN, &[], &variables);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("wrote helios-targets-gnmic-0, "), "{}", said(&output));
    let cluster = kubernetes.cluster();
    let gnmic =
        &cluster.config_maps[&("collection".to_owned(), "helios-targets-gnmic-0".to_owned())].data["gnmic.yaml"];
    assert!(gnmic.contains("\"edge-1\": {"), "{gnmic}");
}

/// Publishes what NetBox has, lets `trouble` happen, and runs again: the outcome, and whether the files are as before.
fn after(trouble: impl FnOnce(&Server), token: &str, arguments: &[&str]) -> (Output, bool) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let netbox = netbox(shapes());
    let place = ["--out", out.to_str().unwrap()];
    assert!(run(&netbox, TOKEN, &place, &[]).status.success());
    let read = || ["gnmic.yaml", "snmp.json", "icmp.json"].map(|file| fs::read(out.join(file)).unwrap());
    let before = read();
    trouble(&netbox);
    let output = run(&netbox, token, &[&place, arguments].concat(), &[]);
    (output, read() == before)
}

#[test]
fn a_netbox_that_refuses_the_token_changes_nothing_and_says_what_to_do() {
    let (output, unchanged) = after(|_| (), "nbt_expired.token", &[]);
    let text = said(&output);
    assert!(output.status.code() == Some(1) && unchanged, "{text}");
    assert!(text.contains("the targets are unchanged") && text.contains("token"), "{text}");
}

#[test]
fn a_netbox_that_is_slow_changes_nothing_and_says_so() {
    let stall = |netbox: &Server| netbox.world().faults = vec![Fault::Stall; 40];
    let (output, unchanged) = after(stall, TOKEN, &["--set", "netbox.timeout_ms=200"]);
    let text = said(&output);
    assert!(output.status.code() == Some(1) && unchanged, "{text}");
    assert!(text.contains("the targets are unchanged") && text.contains("200ms"), "{text}");
}

#[test]
fn a_netbox_that_answers_with_errors_changes_nothing() {
    for fault in [Fault::Status(500), Fault::Status(502), Fault::Garbage, Fault::Cut] {
        let (output, unchanged) = after(|netbox| netbox.world().faults = vec![fault; 40], TOKEN, &[]);
        let text = said(&output);
        assert!(output.status.code() == Some(1) && unchanged, "{fault:?}: {text}");
        assert!(text.contains("the targets are unchanged"), "{fault:?}: {text}");
    }
}

/// The world with other devices.
fn devices_become(netbox: &Server, change: impl FnOnce(&mut Vec<Value>)) {
    let mut shapes = shapes();
    change(shapes.0.get_mut("dcim/devices").unwrap());
    shapes.0.remove("virtualization/virtual-machines");
    netbox.world().objects = Some(Arc::new(shapes));
}

#[test]
fn a_netbox_that_lost_its_custom_field_is_refused_with_both_numbers() {
    let lose = |netbox: &Server| {
        devices_become(netbox, |devices| devices.iter_mut().for_each(|device| device["custom_fields"] = json!({})));
    };
    let (output, unchanged) = after(lose, TOKEN, &[]);
    let text = said(&output);
    assert!(output.status.code() == Some(1) && unchanged, "{text}");
    assert!(text.contains("the targets of icmp would go from 10 to 0"), "{text}");
    assert!(text.contains("no device in NetBox has `true` in the custom field helios_monitor"), "{text}");
    let (output, unchanged) = after(lose, TOKEN, &["--allow-loss"]);
    assert!(output.status.success() && !unchanged, "{}", said(&output));
}

#[test]
fn a_netbox_that_shrank_is_refused_with_both_numbers() {
    let shrink = |netbox: &Server| devices_become(netbox, |devices| devices.truncate(3));
    let (output, unchanged) = after(shrink, TOKEN, &[]);
    let text = said(&output);
    assert!(output.status.code() == Some(1) && unchanged, "{text}");
    assert!(
        text.contains("the targets of icmp would go from 10 to 3") && text.contains("targets.max_loss (0.5)"),
        "{text}"
    );
    assert!(text.contains("- stack-1: ") && text.contains("neither NetBox nor the static targets have it"), "{text}");
}
