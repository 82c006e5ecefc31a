use super::*;
use crate::device::{Chassis, Named};
use proptest::prelude::*;

fn device(id: u32, name: &str) -> Device {
    Device {
        name: name.to_owned(),
        status: "active".to_owned(),
        monitored: true,
        address: format!("192.0.2.{id}").parse().ok(),
        ..Device::new(Source::Device(id))
    }
}

fn plan(devices: Vec<Device>) -> Plan {
    Plan::new(devices, &TargetsConfig::default())
}

/// Labels of the targets, and why each other device is none.
fn outcome(plan: &Plan) -> (Vec<&str>, Vec<(&str, String)>) {
    let left_out = plan.left_out.iter().map(|out| (out.device.as_str(), out.reason.to_string()));
    (plan.targets.values().map(|target| target.labels.device.as_str()).collect(), left_out.collect())
}

#[test]
fn every_device_that_is_left_out_has_its_reason() {
    let mut config = TargetsConfig::default();
    config.profiles[5].r#match.roles = vec!["router".into()];
    let router = |id, name: &str| Device { role: Named::plain("Router"), ..device(id, name) };
    let devices = vec![
        router(1, "edge-1"),
        Device { monitored: false, ..router(2, "lab-1") },
        Device { status: "planned".into(), ..router(3, "edge-3") },
        Device { address: None, ..router(4, "edge-4") },
        device(5, "printer"),
        Device { collectors: "netconf".into(), ..router(6, "edge-6") },
        Device { collectors: "gnmi".into(), ..router(7, "edge-7") },
        router(8, "東京"),
        router(9, "EDGE_1"),
        Device { address: router(1, "").address, ..router(10, "edge-10") },
    ];
    let plan = Plan::new(devices, &config);
    let expected = [
        ("EDGE_1", "its name becomes edge-1, which edge-1 (NetBox device 1) has: rename one of them"),
        ("edge-10", "its address 192.0.2.1 is that of edge-1"),
        ("edge-3", "its status is planned"),
        ("edge-4", "no primary address"),
        ("edge-6", "\"netconf\" in its custom field helios_collectors is none of gnmi, snmp and probes"),
        ("edge-7", "its custom field helios_collectors wants gnmi, and no profile that matches it has gnmi"),
        ("lab-1", "not monitored: its custom field helios_monitor is not true"),
        ("printer", "no profile in targets.profiles matches it, or the first that does asks for nothing"),
        ("東京", "its name has no letter from a to z and no digit, so it is no DNS name"),
    ];
    let expected: Vec<(&str, String)> = expected.map(|(device, reason)| (device, reason.to_owned())).to_vec();
    assert_eq!(outcome(&plan), (vec!["edge-1"], expected));
}

#[test]
fn a_device_without_a_name_is_called_by_its_address_as_its_flows_are() {
    let plan = plan(vec![device(7, "")]);
    let target = &plan.targets["192-0-2-7"];
    assert_eq!(target.labels.device, "192.0.2.7");
}

#[test]
fn of_two_profiles_that_match_the_first_is_named() {
    let mut config = TargetsConfig::default();
    config.profiles[1].r#match.platforms = vec!["*".into()];
    let eos =
        Device { platform: Named { name: "Nokia SR Linux".into(), slug: "srlinux".into() }, ..device(1, "leaf-1") };
    let plan = Plan::new(vec![eos, device(2, "edge-2")], &config);
    assert_eq!(plan.targets["leaf-1"].profiles, ["srlinux"]);
    assert_eq!(plan.targets["edge-2"].profiles, ["eos"]);
}

#[test]
fn a_device_with_ipv6_only_is_a_target() {
    let address = "2001:db8::1".parse().ok();
    let plan = plan(vec![Device { address, ..device(1, "edge-1") }]);
    assert_eq!(Some(plan.targets["edge-1"].address), address);
}

#[test]
fn a_virtual_chassis_is_one_target_and_the_master_if_it_is_known() {
    let member = |id, master, name: &str| Device { chassis: Some(Chassis { id: 9, master }), ..device(id, name) };
    let devices = vec![member(1, false, "sw-1"), member(2, true, "sw-2"), member(3, false, "sw-3"), device(4, "sw-4")];
    let members = |plan: &Plan| {
        let (targets, left_out) = outcome(plan);
        (
            targets.join(","),
            left_out.iter().map(|(device, reason)| format!("{device}: {reason}")).collect::<Vec<_>>().join("; "),
        )
    };
    let (targets, left_out) = members(&plan(devices.clone()));
    assert_eq!(targets, "sw-2,sw-4");
    assert_eq!(
        left_out,
        "sw-1: member of a virtual chassis whose target is sw-2; sw-3: member of a virtual chassis whose target is sw-2"
    );
    let without_master = devices.into_iter().map(|device| Device {
        chassis: device.chassis.map(|chassis| Chassis { master: false, ..chassis }),
        address: device.address.filter(|_| device.name != "sw-1"),
        ..device
    });
    assert_eq!(members(&plan(without_master.collect())).0, "sw-2,sw-4", "the first member with an address");
}

#[test]
fn a_virtual_machine_and_a_static_target_are_targets_and_the_static_one_goes_first() {
    let static_one = Device { source: Source::Static(0), ..device(9, "edge-1") };
    let machine = Device { source: Source::VirtualMachine(1), ..device(8, "vm-1") };
    let plan = plan(vec![device(1, "edge-1"), machine, static_one]);
    assert_eq!(plan.targets["edge-1"].source, Source::Static(0));
    assert_eq!(plan.targets["vm-1"].source, Source::VirtualMachine(1));
    assert_eq!(
        plan.left_out[0].reason,
        Reason::NameTaken { name: "edge-1".into(), by: "edge-1 (static target 1)".into() }
    );
}

fn any_device() -> impl Strategy<Value = Device> {
    let name = prop_oneof!["edge-[0-9]", "[a-zA-Z_.é]{0,50}", any::<String>()];
    let chassis = proptest::option::of((1_u32..4, any::<bool>()));
    let collectors =
        prop_oneof![Just(String::new()), Just("snmp".to_owned()), Just("gnmi,snmp".to_owned()), any::<String>()];
    let platform = prop_oneof![Just("eos"), Just("srlinux"), Just("ios")];
    (0_u32..60, name, any::<bool>(), proptest::option::of(0_u8..40), chassis, collectors, platform).prop_map(
        |(id, name, monitored, address, chassis, collectors, platform)| Device {
            name,
            monitored,
            address: address.map(|last| format!("192.0.2.{last}").parse().unwrap()),
            chassis: chassis.map(|(id, master)| Chassis { id, master }),
            collectors,
            platform: Named::plain(platform),
            status: "active".to_owned(),
            ..Device::new(Source::Device(id))
        },
    )
}

proptest! {
    /// Nothing disappears in silence, whatever comes in; names and addresses are unique; no chassis is asked twice.
    #[test]
    fn every_device_is_a_target_or_left_out(devices in proptest::collection::vec(any_device(), 0..60)) {
        let plan = plan(devices.clone());
        prop_assert_eq!(plan.targets.len() + plan.left_out.len(), devices.len());
        let addresses: std::collections::HashSet<IpAddr> = plan.targets.values().map(|target| target.address).collect();
        prop_assert_eq!(addresses.len(), plan.targets.len());
        for (name, target) in &plan.targets {
            prop_assert_eq!(&dns_label(&target.labels.device), name);
            let subscriptions = target.gnmi.iter().flat_map(|gnmi| &gnmi.subscriptions);
            let interfaces = subscriptions.filter(|name| name.ends_with("interfaces")).count();
            let walks = target.snmp.iter().flat_map(|snmp| &snmp.modules).filter(|name| *name == "if_mib").count();
            prop_assert!(interfaces + walks <= 1, "interfaces are counted once");
        }
    }

    /// The order in which NetBox tells of devices changes nothing.
    #[test]
    fn the_order_of_devices_does_not_matter(devices in proptest::collection::vec(any_device(), 0..30)) {
        let mut devices = devices;
        for (at, device) in devices.iter_mut().enumerate() {
            device.source = Source::Device(at as u32);
        }
        let forward = plan(devices.clone());
        devices.reverse();
        prop_assert_eq!(forward, plan(devices));
    }
}
