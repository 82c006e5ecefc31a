//! NetBox's snapshot as an inventory.
//!
//! Devices and virtual machines are exporters by any of their addresses. A prefix is a network that is called by its
//! address, which is unique; its site is the site of its scope. Prefixes of every status count: what is only planned or
//! already deprecated may carry traffic all the same.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use helios_common::exporter::{Address, address_of};
use helios_common::names::{NameId, Names};
use helios_netbox::Snapshot;
use helios_netbox::model::{self, Assigned};

use super::External;
use super::status::Status;
use crate::inventory::{Device, Interface, Inventory, Network, Vrf};
use crate::lookup::Prefix;

/// A source from whoever keeps a snapshot up to date: `current` gives the one that is in use.
///
/// `address` is NetBox's, for people. How NetBox itself is doing is told by its own metrics; here it counts which
/// snapshots were taken up.
pub fn external(address: &str, mut current: impl FnMut() -> Option<Arc<Snapshot>> + Send + 'static) -> External {
    let status = Status::shared("netbox".to_owned(), address.to_owned());
    let (mut last, shown) = (None::<Arc<Snapshot>>, Arc::clone(&status));
    let news = move |names: &Names| {
        let snapshot = current()?;
        // Held, so that its address in memory is no other's.
        if last.replace(Arc::clone(&snapshot)).is_some_and(|last| Arc::ptr_eq(&last, &snapshot)) {
            return None;
        }
        let inventory = inventory(&snapshot, names);
        Status::took(&shown, inventory.len() as u64);
        Some(inventory)
    };
    External { status, news: Box::new(news) }
}

/// What the snapshot says, with its strings interned.
pub fn inventory(snapshot: &Snapshot, names: &Names) -> Inventory {
    let tables = &snapshot.tables;
    let mut devices: Vec<Device> = tables.devices.into_iter().map(|row| device(snapshot, row, names)).collect();
    devices.extend(virtual_machines(snapshot, names));
    let vrf =
        |row: &model::Vrf| Vrf { name: names.intern(snapshot.text(row.name)), rd: names.intern(snapshot.text(row.rd)) };
    Inventory {
        devices,
        networks: tables.prefixes.into_iter().filter_map(|row| network(snapshot, row, names)).collect(),
        vrfs: tables.vrfs.into_iter().map(vrf).collect(),
    }
}

fn device(snapshot: &Snapshot, row: &model::Device, names: &Names) -> Device {
    let name = |text| names.intern(snapshot.text(text));
    let primary = [row.primary_ip4, row.primary_ip6].iter().flatten().count();
    let addresses: Vec<Address> = snapshot.device_addresses(row).map(address_of).collect();
    let named = |row| interface(snapshot, row, names);
    let interfaces = match addresses.is_empty() {
        // Flows of its ports come from the member of its stack that has the address.
        true => snapshot.interfaces_of(row.id).map(named).collect(),
        false => snapshot.chassis_interfaces(row).map(named).collect(),
    };
    Device {
        name: name(row.name),
        site: names.intern(snapshot.site_name(row.site)),
        region: names.intern(snapshot.region_name(row.site)),
        role: name(row.role.name),
        tenant: name(row.tenant.name),
        addresses,
        primary,
        interfaces,
    }
}

fn interface(snapshot: &Snapshot, row: &model::Interface, names: &Names) -> Interface {
    let name = |text| names.intern(snapshot.text(text));
    Interface {
        index: row.index,
        name: name(row.name),
        description: name(row.description),
        speed: row.speed,
        role: name(row.role),
    }
}

/// Virtual routers and hosts with a probe. Their interfaces have no ifIndex and are found by name.
fn virtual_machines(snapshot: &Snapshot, names: &Names) -> Vec<Device> {
    let tables = &snapshot.tables;
    let mut interfaces: HashMap<u32, Vec<Interface>, foldhash::fast::RandomState> = HashMap::default();
    for row in &tables.vm_interfaces {
        let (name, description) = (snapshot.text(row.name), snapshot.text(row.description));
        let interface =
            Interface { name: names.intern(name), description: names.intern(description), ..Interface::default() };
        interfaces.entry(row.virtual_machine).or_default().push(interface);
    }
    let mut addresses: HashMap<u32, Vec<IpAddr>, foldhash::fast::RandomState> = HashMap::default();
    for row in tables.ip_addresses.into_iter().filter(|row| matches!(row.assigned, Assigned::VmInterface(_))) {
        if let Some(machine) = snapshot.virtual_machine_of(row) {
            addresses.entry(machine.id).or_default().push(row.address);
        }
    }
    let name = |text| names.intern(snapshot.text(text));
    let machine = |row: &model::VirtualMachine| {
        let primary: Vec<IpAddr> = [row.primary_ip4, row.primary_ip6].into_iter().flatten().collect();
        let others = addresses.remove(&row.id).unwrap_or_default();
        Device {
            name: name(row.name),
            site: names.intern(snapshot.site_name(row.site)),
            region: names.intern(snapshot.region_name(row.site)),
            role: name(row.role.name),
            tenant: name(row.tenant.name),
            primary: primary.len(),
            addresses: primary.into_iter().chain(others).map(address_of).collect(),
            interfaces: interfaces.remove(&row.id).unwrap_or_default(),
        }
    };
    tables.virtual_machines.into_iter().map(machine).collect()
}

fn network(snapshot: &Snapshot, row: &model::Prefix, names: &Names) -> Option<Network> {
    let name = |text| -> NameId { names.intern(snapshot.text(text)) };
    Some(Network {
        vrf: names.intern(snapshot.vrf_name(row.vrf)),
        site: names.intern(snapshot.site_name(snapshot.site_of(row.scope))),
        role: name(row.role.name),
        tenant: name(row.tenant.name),
        ..Network::new(Prefix::new(row.network, row.bits)?)
    })
}

#[cfg(test)]
mod tests {
    use helios_netbox::Builder;
    use helios_netbox::model::{Named, Scope};

    use super::*;

    #[test]
    fn only_another_snapshot_is_news() {
        let names = Names::new();
        let snapshots = [None, Some(Arc::new(Snapshot::default())), Some(Arc::new(Snapshot::default()))];
        let shown = Arc::new(std::sync::Mutex::new(None));
        let current = Arc::clone(&shown);
        let mut source = external("http://netbox", move || current.lock().unwrap().clone());
        let news = snapshots.map(|snapshot| {
            *shown.lock().unwrap() = snapshot;
            [(source.news)(&names).is_some(), (source.news)(&names).is_some()]
        });
        assert_eq!(news, [[false, false], [true, false], [true, false]]);
        assert_eq!(Status::stats(&source.status).loads, 2);
    }

    #[test]
    fn devices_interfaces_prefixes_and_vrfs_keep_what_flows_need() {
        let mut builder = Builder::default();
        let mut text = |string| builder.text(string);
        let (edge, fra, port, red) = (text("edge1"), text("fra"), text("xe-0/0/0"), text("red"));
        let (role, de) = (Named { name: text("Edge"), slug: text("edge") }, text("Germany"));
        builder.regions.push(model::Group { id: 3, name: de, ..model::Group::default() });
        builder.sites.push(model::Site { id: 2, name: fra, region: 3, ..model::Site::default() });
        let primary_ip4 = Some("192.0.2.1".parse().unwrap());
        builder.devices.push(model::Device {
            id: 1,
            name: edge,
            site: 2,
            role,
            primary_ip4,
            ..model::Device::default()
        });
        builder.interfaces.push(model::Interface {
            id: 5,
            device: 1,
            name: port,
            index: 7,
            speed: 10_000_000_000,
            ..model::Interface::default()
        });
        builder.vrfs.push(model::Vrf { id: 4, name: red, ..model::Vrf::default() });
        builder.prefixes.push(model::Prefix {
            id: 6,
            network: "10.1.0.0".parse().unwrap(),
            bits: 16,
            vrf: 4,
            scope: Scope::Site(2),
            status: Default::default(),
            role,
            tenant: Named::default(),
            description: Default::default(),
            tags: Default::default(),
        });
        let names = Names::new();
        let inventory = inventory(&builder.finish(Default::default()), &names);
        let view = names.read();
        let device = &inventory.devices[0];
        let texts = [device.name, device.site, device.region, device.role].map(|id| view.get(id));
        assert_eq!(texts, ["edge1", "fra", "Germany", "Edge"]);
        assert_eq!((device.addresses.len(), device.primary, device.interfaces[0].index), (1, 1, 7));
        let network = inventory.networks[0];
        assert_eq!(network.prefix.to_string(), "10.1.0.0/16");
        assert_eq!([network.vrf, network.site, network.role].map(|id| view.get(id)), ["red", "fra", "Edge"]);
    }
}
