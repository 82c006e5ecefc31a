//! Which of several sources counts.

use helios_common::exporter::address_of;

use super::*;

fn address(last: u8) -> Address {
    address_of([192, 0, 2, last].into())
}

struct Stand(Names);

impl Stand {
    fn device(&self, name: &str, site: &str, addresses: &[u8], interfaces: Vec<Interface>) -> Inventory {
        let device = Device {
            name: self.0.intern(name),
            site: self.0.intern(site),
            addresses: addresses.iter().copied().map(address).collect(),
            primary: addresses.len(),
            interfaces,
            ..Device::default()
        };
        Inventory { devices: vec![device], ..Inventory::default() }
    }

    fn interface(&self, index: u32, name: &str, description: &str, speed: u64) -> Interface {
        Interface { index, name: self.0.intern(name), description: self.0.intern(description), speed, role: NO_NAME }
    }
}

#[test]
fn the_first_source_counts_and_later_ones_fill_what_it_leaves_empty() {
    let stand = Stand(Names::new());
    let first = stand.device("edge1", "", &[1], vec![]);
    let second = stand.device("edge1", "fra", &[2], vec![]);
    let merged = Merged::new([&first, &second], &stand.0);
    assert_eq!(merged.devices.len(), 1);
    let device = merged.at(address(2)).unwrap();
    assert_eq!((device.name.source, device.site.source), (0, 1));
    assert_eq!(stand.0.read().get(device.site.value), "fra");
    assert_eq!(device.role.source, NO_SOURCE);
}

#[test]
fn a_source_without_names_adds_to_the_device_with_the_address() {
    let stand = Stand(Names::new());
    let inventory = stand.device("edge1", "fra", &[1], vec![stand.interface(0, "GigabitEthernet0/1", "uplink", 0)]);
    let snmp = stand.device("", "", &[1], vec![stand.interface(7, "Gi0/1", "ignored", 1000)]);
    let merged = Merged::new([&inventory, &snmp], &stand.0);
    let device = merged.at(address(1)).unwrap();
    assert_eq!((merged.devices.len(), device.interfaces.len()), (1, 1));
    let interface = device.interfaces[0];
    assert_eq!((interface.index.value, interface.index.source), (7, 1));
    assert_eq!((interface.speed.value, interface.description.source), (1000, 0));
}

#[test]
fn an_address_is_claimed_by_whom_it_is_primary_then_globally_then_in_a_vrf() {
    let stand = Stand(Names::new());
    let mut inventory = Inventory::default();
    for (name, primary, in_vrf) in [("in a VRF", 0, 2), ("global", 0, 0), ("primary", 1, 1)] {
        let device = stand.device(name, "", &[1, 2], vec![]).devices.remove(0);
        inventory.devices.push(Device { primary, in_vrf, ..device });
    }
    let merged = Merged::new([&inventory], &stand.0);
    let owner = |last| stand.0.read().get(merged.at(address(last)).unwrap().name.value).to_owned();
    assert_eq!((owner(1), owner(2)), ("primary".to_owned(), "global".to_owned()));
    assert_eq!(merged.contested_addresses, 4);
}

#[test]
fn two_named_devices_stay_two_and_the_first_claim_of_an_address_counts() {
    let stand = Stand(Names::new());
    let (a, b) = (stand.device("a", "", &[1], vec![]), stand.device("b", "", &[1, 2], vec![]));
    let merged = Merged::new([&a, &b], &stand.0);
    assert_eq!((merged.devices.len(), merged.contested_addresses), (2, 1));
    assert_eq!(stand.0.read().get(merged.at(address(1)).unwrap().name.value), "a");
    assert_eq!(stand.0.read().get(merged.at(address(2)).unwrap().name.value), "b");
}

#[test]
fn a_short_name_that_fits_two_interfaces_joins_neither() {
    let stand = Stand(Names::new());
    let known = vec![stand.interface(0, "Ethernet1", "", 0), stand.interface(0, "EtherTrunk1", "", 0)];
    let first = stand.device("a", "", &[1], known);
    let second = stand.device("a", "", &[1], vec![stand.interface(5, "et1", "", 0)]);
    let merged = Merged::new([&first, &second], &stand.0);
    assert_eq!(merged.devices[0].interfaces.len(), 3);
}

#[test]
fn devices_of_one_source_are_different_ones_and_primary_addresses_go_first() {
    let names = Names::new();
    let device = |site: &str, addresses: Vec<Address>, primary| Device {
        name: names.intern("edge"),
        site: names.intern(site),
        addresses,
        primary,
        ..Device::default()
    };
    let devices = vec![device("a", vec![address(1), address(2)], 1), device("b", vec![address(2)], 1)];
    let merged = Merged::new([&Inventory { devices, ..Inventory::default() }], &names);
    assert_eq!((merged.devices.len(), merged.contested_addresses), (2, 1));
    assert_eq!(names.read().get(merged.at(address(2)).unwrap().site.value), "b");
}

#[test]
fn of_devices_with_one_name_the_one_with_the_address_is_meant_and_without_it_none() {
    let stand = Stand(Names::new());
    let mut inventory = stand.device("edge", "a", &[1], vec![]);
    inventory.devices.extend(stand.device("edge", "b", &[2], vec![]).devices);
    let known = stand.device("edge", "", &[2], vec![stand.interface(7, "xe-0/0/7", "", 0)]);
    let unknown = stand.device("edge", "c", &[3], vec![]);
    let merged = Merged::new([&inventory, &known, &unknown], &stand.0);
    let site = |last| stand.0.read().get(merged.at(address(last)).unwrap().site.value).to_owned();
    assert_eq!([site(1), site(2), site(3)], ["a", "b", "c"]);
    assert_eq!(merged.devices.iter().map(|device| device.interfaces.len()).collect::<Vec<_>>(), [0, 1, 0]);
}
