//! NetBox's snapshot as an inventory.
//!
//! Devices and virtual machines are exporters by any of their addresses. A prefix is a network that is called by its
//! address, which is unique; its site is the site of its scope. Prefixes of every status count: what is only planned or
//! already deprecated may carry traffic all the same.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use helios_common::exporter::{Address, address_of};
use helios_common::names::{NO_NAME, NameId, Names};
use helios_netbox::Snapshot;
use helios_netbox::model::{self, Assigned};

use super::External;
use super::status::SourceStatus;
use crate::inventory::{Device, Interface, Inventory, Network, Vrf};
use helios_common::prefix::Prefix;

/// A source from whoever keeps a snapshot up to date: `current` gives the one that is in use.
///
/// `address` is NetBox's, for people. How NetBox itself is doing is told by its own metrics; here it counts which
/// snapshots were taken up.
pub fn external(address: &str, mut current: impl FnMut() -> Option<Arc<Snapshot>> + Send + 'static) -> External {
    let status = SourceStatus::shared("netbox".to_owned(), address.to_owned());
    let (mut last, shown) = (None::<Arc<Snapshot>>, Arc::clone(&status));
    let news = move |names: &Names| {
        let snapshot = current()?;
        // Held, so that its address in memory is no other's.
        if last.replace(Arc::clone(&snapshot)).is_some_and(|last| Arc::ptr_eq(&last, &snapshot)) {
            return None;
        }
        let inventory = inventory(&snapshot, names);
        SourceStatus::took(&shown, inventory.len() as u64);
        Some(inventory)
    };
    External { status, news: Box::new(news) }
}

/// What the snapshot says, with its strings interned.
pub fn inventory(snapshot: &Snapshot, names: &Names) -> Inventory {
    let tables = &snapshot.tables;
    let mut devices: Vec<Device> = tables.devices.into_iter().map(|row| device(snapshot, row, names)).collect();
    devices.extend(virtual_machines(snapshot, names));
    let vrfs = vrfs(snapshot, names);
    let network = |row| network(snapshot, &vrfs, row, names);
    Inventory {
        devices,
        networks: tables.prefixes.into_iter().filter_map(network).collect(),
        vrfs: tables.vrfs.into_iter().filter_map(|row| vrfs.get(&row.id)).copied().collect(),
        as_names: tables.asns.into_iter().filter_map(|row| as_name(snapshot, row, names)).collect(),
    }
}

/// The description is what NetBox has for a name; one without it is left to GeoIP.
fn as_name(snapshot: &Snapshot, row: &model::Asn, names: &Names) -> Option<(u32, NameId)> {
    let name = names.intern(snapshot.text(row.description));
    (name != NO_NAME).then_some((row.asn, name))
}

type Vrfs = HashMap<u32, Vrf, foldhash::fast::RandomState>;

/// VRFs by their ids. Several may have one name in NetBox: flows that bring the name mean the one with the lowest id; the
/// others are found by their route distinguishers, which are unique. One that has none cannot be told apart and is left out,
/// lest the networks of two customers become those of one.
fn vrfs(snapshot: &Snapshot, names: &Names) -> Vrfs {
    let mut taken = HashSet::<NameId, foldhash::fast::RandomState>::default();
    let vrf = |row: &model::Vrf| {
        let (name, rd) = (names.intern(snapshot.text(row.name)), names.intern(snapshot.text(row.rd)));
        let name = if taken.insert(name) { name } else { rd };
        (name != NO_NAME).then_some((row.id, Vrf { name, rd }))
    };
    snapshot.tables.vrfs.into_iter().filter_map(vrf).collect()
}

fn device(snapshot: &Snapshot, row: &model::Device, names: &Names) -> Device {
    let primary = [row.primary_ip4, row.primary_ip6].into_iter().filter_map(|address| snapshot.address(address));
    let assigned = snapshot.addresses_of(row.id).map(|assigned| (assigned.vrf, assigned.address.ip));
    let oob = snapshot.address(row.oob_ip).map(|address| (0, address));
    let Claims { addresses, primary, in_vrf } = claims(primary.collect(), oob.into_iter().chain(assigned));
    let named = |row| interface(snapshot, row, names);
    let interfaces = match addresses.is_empty() {
        // Flows of its ports come from the member of its stack that has the address.
        true => snapshot.interfaces_of(row.id).map(named).collect(),
        false => snapshot.chassis_interfaces(row).map(named).collect(),
    };
    Device {
        name: names.intern(&snapshot.device_name(row)),
        site: names.intern(snapshot.site_name(row.site)),
        region: names.intern(snapshot.region_name(row.site)),
        role: names.intern(snapshot.device_role_name(row.role)),
        tenant: names.intern(snapshot.tenant_name(row.tenant)),
        addresses,
        primary,
        in_vrf,
        interfaces,
    }
}

/// The addresses of a device as [`Device`] has them.
struct Claims {
    addresses: Vec<Address>,
    primary: usize,
    in_vrf: usize,
}

/// Of assigned addresses with their VRFs the global ones go first.
fn claims(primary: Vec<IpAddr>, assigned: impl Iterator<Item = (u32, IpAddr)>) -> Claims {
    let (global, others): (Vec<_>, Vec<_>) = assigned.partition(|(vrf, _)| *vrf == 0);
    let (n_primary, in_vrf) = (primary.len(), others.len());
    let assigned = global.into_iter().chain(others).map(|(_, address)| address);
    Claims { addresses: primary.into_iter().chain(assigned).map(address_of).collect(), primary: n_primary, in_vrf }
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
    let mut addresses: HashMap<u32, Vec<(u32, IpAddr)>, foldhash::fast::RandomState> = HashMap::default();
    for row in tables.ip_addresses.into_iter().filter(|row| matches!(row.assigned, Assigned::VmInterface(_))) {
        if let Some(machine) = snapshot.virtual_machine_of(row) {
            addresses.entry(machine.id).or_default().push((row.vrf, row.address.ip));
        }
    }
    let name = |text| names.intern(snapshot.text(text));
    let machine = |row: &model::VirtualMachine| {
        let primary = [row.primary_ip4, row.primary_ip6].into_iter().filter_map(|address| snapshot.address(address));
        let assigned = addresses.remove(&row.id).unwrap_or_default();
        let Claims { addresses, primary, in_vrf } = claims(primary.collect(), assigned.into_iter());
        Device {
            name: name(row.name),
            site: names.intern(snapshot.site_name(row.site)),
            region: names.intern(snapshot.region_name(row.site)),
            role: names.intern(snapshot.device_role_name(row.role)),
            tenant: names.intern(snapshot.tenant_name(row.tenant)),
            addresses,
            primary,
            in_vrf,
            interfaces: interfaces.remove(&row.id).unwrap_or_default(),
        }
    };
    tables.virtual_machines.into_iter().map(machine).collect()
}

/// `None` for a prefix of a VRF that the snapshot has not: the token may not view it, or it came while the prefixes were
/// read. In the global table the prefix would name addresses that are not its own.
fn network(snapshot: &Snapshot, vrfs: &Vrfs, row: &model::Prefix, names: &Names) -> Option<Network> {
    let vrf = if row.vrf == 0 { NO_NAME } else { vrfs.get(&row.vrf)?.name };
    Some(Network {
        vrf,
        site: names.intern(snapshot.site_name(snapshot.site_of(row.scope))),
        role: names.intern(snapshot.prefix_role_name(row.role)),
        tenant: names.intern(snapshot.tenant_name(row.tenant)),
        ..Network::new(Prefix::new(row.prefix.ip, row.prefix.bits)?)
    })
}

#[cfg(test)]
mod tests {
    use helios_netbox::Builder;
    use helios_netbox::model::{AddressRef, Scope, Text};

    use super::*;

    /// The inventory of prefixes, each in the VRF of an id.
    fn networks(mut builder: Builder, vrfs: [u32; 4], names: &Names) -> Inventory {
        for (id, vrf) in (1..).zip(vrfs) {
            let prefix = model::Cidr { ip: IpAddr::from([10, id as u8, 0, 0]), bits: 16 };
            builder.rows.prefixes.push(model::Prefix { id, prefix, vrf, ..model::Prefix::default() });
        }
        inventory(&builder.finish(Default::default()), names)
    }

    #[test]
    fn a_prefix_is_of_its_vrf_alone_also_where_two_have_one_name_and_one_is_unknown() {
        let (mut builder, names) = (Builder::default(), Names::new());
        let (name, first, second) = (builder.text("blue"), builder.text("64500:1"), builder.text("64500:2"));
        for (id, rd) in [(1, first), (2, second)] {
            builder.rows.vrfs.push(model::Vrf { id, name, rd });
        }
        let inventory = networks(builder, [0, 1, 2, 3], &names);
        let view = names.read();
        let found: Vec<_> =
            inventory.networks.iter().map(|network| (network.prefix.to_string(), view.get(network.vrf))).collect();
        let expected = [("10.1.0.0/16", ""), ("10.2.0.0/16", "blue"), ("10.3.0.0/16", "64500:2")];
        assert_eq!(found, expected.map(|(prefix, vrf)| (prefix.to_owned(), vrf)));
        let found: Vec<_> = inventory.vrfs.iter().map(|vrf| (view.get(vrf.name), view.get(vrf.rd))).collect();
        assert_eq!(found, [("blue", "64500:1"), ("64500:2", "64500:2")]);
    }

    #[test]
    fn of_vrfs_with_one_name_the_first_has_it_and_one_without_a_distinguisher_names_nothing() {
        let (mut builder, names) = (Builder::default(), Names::new());
        let (name, third) = (builder.text("blue"), builder.text("64500:3"));
        for (id, rd) in [(1, Text::EMPTY), (2, Text::EMPTY), (3, third)] {
            builder.rows.vrfs.push(model::Vrf { id, name, rd });
        }
        for (id, vrf) in (1..).zip([1, 2, 3]) {
            let prefix = model::Cidr { ip: IpAddr::from([10, 0, 0, 0]), bits: 8 };
            builder.rows.prefixes.push(model::Prefix { id, prefix, vrf, tenant: vrf, ..model::Prefix::default() });
            let name = builder.text(&format!("customer {vrf}"));
            builder.rows.tenants.push(model::Tenant { id: vrf, name, ..model::Tenant::default() });
        }
        let inventory = inventory(&builder.finish(Default::default()), &names);
        let view = names.read();
        let found: Vec<_> =
            inventory.networks.iter().map(|network| (view.get(network.vrf), view.get(network.tenant))).collect();
        assert_eq!(found, [("blue", "customer 1"), ("64500:3", "customer 3")]);
    }

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
        assert_eq!(SourceStatus::stats(&source.status).loads, 2);
    }

    #[test]
    fn devices_interfaces_prefixes_and_vrfs_keep_what_flows_need() {
        let mut builder = Builder::default();
        let mut text = |string| builder.text(string);
        let (edge, fra, port, red) = (text("edge1"), text("fra"), text("xe-0/0/0"), text("red"));
        let (edge_role, clients, de) = (text("Edge"), text("Clients"), text("Germany"));
        let rows = &mut builder.rows;
        rows.regions.push(model::Region { id: 3, name: de, parent: 0 });
        rows.sites.push(model::Site { id: 2, name: fra, region: 3, ..model::Site::default() });
        rows.device_roles.push(model::DeviceRole { id: 8, name: edge_role, ..model::DeviceRole::default() });
        rows.prefix_roles.push(model::PrefixRole { id: 8, name: clients });
        let primary_ip4 = AddressRef::shown(9, "192.0.2.1".parse().unwrap());
        let device = model::Device { id: 1, name: edge, site: 2, role: 8, primary_ip4, ..model::Device::default() };
        rows.devices.push(device);
        let speed = 10_000_000_000;
        let port = model::Interface { id: 5, device: 1, name: port, index: 7, speed, ..model::Interface::default() };
        rows.interfaces.push(port);
        rows.vrfs.push(model::Vrf { id: 4, name: red, ..model::Vrf::default() });
        let prefix = model::Cidr { ip: "10.1.0.0".parse().unwrap(), bits: 16 };
        rows.prefixes.push(model::Prefix { id: 6, prefix, vrf: 4, scope: Scope::Site(2), role: 8, tenant: 0 });
        let names = Names::new();
        let inventory = inventory(&builder.finish(Default::default()), &names);
        let view = names.read();
        let device = &inventory.devices[0];
        let texts = [device.name, device.site, device.region, device.role].map(|id| view.get(id));
        assert_eq!(texts, ["edge1", "fra", "Germany", "Edge"]);
        assert_eq!((device.addresses.len(), device.primary, device.interfaces[0].index), (1, 1, 7));
        let network = inventory.networks[0];
        assert_eq!(network.prefix.to_string(), "10.1.0.0/16");
        assert_eq!([network.vrf, network.site, network.role].map(|id| view.get(id)), ["red", "fra", "Clients"]);
    }
}
