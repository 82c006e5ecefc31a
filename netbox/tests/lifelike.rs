//! Networks as people keep them, read whole and followed while they change: the snapshot is what the network is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use helios_netbox::model::{Assigned, Scope};
use helios_netbox::{NetBox, NetBoxConfig, Snapshot};
use helios_testkit::netbox::lifelike::{self, Network, On, Random};
use helios_testkit::netbox::{Server, TOKEN, World};
use proptest::prelude::*;

/// What differs between the two, in words; nothing if they are the same.
fn differences(network: &Network, snapshot: &Snapshot, version: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut same = |what: String, expected: String, read: Option<String>| {
        if read.as_ref() != Some(&expected) {
            found.push(format!("{what}: expected {expected}, read {read:?}"));
        }
    };
    let tables = &snapshot.tables;
    let sizes = [
        (network.devices.len(), tables.devices.len()),
        (network.interfaces.len(), tables.interfaces.len()),
        (network.addresses.len(), tables.ip_addresses.len()),
        (network.prefixes.len(), tables.prefixes.len()),
        (network.machines.len(), tables.virtual_machines.len()),
        (network.machine_interfaces.len(), tables.vm_interfaces.len()),
        (network.vrfs.len(), tables.vrfs.len()),
        (network.asns.len(), tables.asns.len()),
        (network.sites.len(), tables.sites.len()),
        (network.locations.len(), tables.locations.len()),
        (network.regions.len(), tables.regions.len()),
        (network.tenants.len(), tables.tenants.len()),
    ];
    for (at, (expected, read)) in sizes.into_iter().enumerate() {
        same(format!("size of table {at}"), expected.to_string(), Some(read.to_string()));
    }
    for (&id, device) in &network.devices {
        let address = |address: Option<u32>| address.map(|address| network.addresses[&address].address);
        let tenant = device.tenant.map_or("", |tenant| &network.tenants[&tenant].name);
        let expected = (
            device.name.as_deref().unwrap_or(""),
            &*network.sites[&device.site].name,
            device.role,
            tenant,
            [address(device.primary4), address(device.primary6)],
            device.master.unwrap_or(0),
        );
        let read = tables.devices.get(id).map(|row| {
            let text = |text| snapshot.text(text);
            let primary = [row.primary_ip4, row.primary_ip6];
            let read = (text(row.name), snapshot.site_name(row.site), text(row.role.name), text(row.tenant.name));
            format!("{:?}", (read.0, read.1, read.2, read.3, primary, row.chassis))
        });
        same(format!("device {id}"), format!("{expected:?}"), read);
    }
    for (&id, port) in &network.interfaces {
        let speed = [("1000base-t", 1_u64), ("10gbase-x-sfpp", 10), ("100gbase-x-qsfp28", 100)];
        let speed =
            speed.iter().find(|(kind, _)| *kind == port.kind).map_or(0, |(_, gigabits)| gigabits * 1_000_000_000);
        let [lag, vrf, index] = [port.lag, port.vrf, port.ifindex].map(|number| number.unwrap_or(0));
        let expected = (port.device, &*port.name, &*port.description, speed, lag, vrf, index);
        let read = tables.interfaces.get(id).map(|row| {
            let (name, description) = (snapshot.text(row.name), snapshot.text(row.description));
            format!("{:?}", (row.device, name, description, row.speed, row.lag, row.vrf, row.index))
        });
        same(format!("interface {id}"), format!("{expected:?}"), read);
    }
    for (&id, address) in &network.addresses {
        let on = match address.on {
            On::Interface(id) => Assigned::Interface(id),
            On::MachineInterface(id) => Assigned::VmInterface(id),
            On::Nothing => Assigned::Nothing,
        };
        let expected = (address.address, address.bits, address.vrf.unwrap_or(0), on);
        let read = tables.ip_addresses.get(id);
        let read = read.map(|row| format!("{:?}", (row.address, row.bits, row.vrf, row.assigned)));
        same(format!("address {id}"), format!("{expected:?}"), read);
    }
    for (&id, prefix) in &network.prefixes {
        let vrf = prefix.vrf.map_or("", |vrf| &*network.vrfs[&vrf].name);
        let site = network.site_of(prefix, version).map_or("", |site| &*site.name);
        let expected = (prefix.network, prefix.bits, vrf, site, prefix.role.unwrap_or(""));
        let read = tables.prefixes.get(id).map(|row| {
            let site = snapshot.site_name(snapshot.site_of(row.scope));
            let role = snapshot.text(row.role.name);
            format!("{:?}", (row.network, row.bits, snapshot.vrf_name(row.vrf), site, role))
        });
        same(format!("prefix {id}"), format!("{expected:?}"), read);
        let region = tables.prefixes.get(id).is_some_and(|row| matches!(row.scope, Scope::Region(_)));
        let scoped =
            !version.starts_with("3.") && version != "4.1.11" && matches!(prefix.scope, lifelike::Scope::Region(_));
        same(format!("region of prefix {id}"), scoped.to_string(), Some(region.to_string()));
    }
    for (&id, site) in &network.sites {
        let region = site.region.map_or("", |region| &*network.regions[&region].name);
        let asns: Vec<u32> = site.asns.iter().map(|asn| network.asns[asn]).collect();
        let read = tables.sites.get(id);
        let read = read.map(|row| format!("{:?}", (snapshot.region_name(id), snapshot.numbers(row.asns))));
        same(format!("site {id}"), format!("{:?}", (region, asns)), read);
    }
    found
}

/// Renames, rewires, deletes and adds, as NetBox does it: what is changed carries the time, what is deleted is gone with
/// what is part of it.
fn change(network: &mut Network, random: &mut Random) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let devices: Vec<u32> = network.devices.keys().copied().collect();
    let id = random.pick(&devices);
    match random.below(4) {
        0 => {
            network.devices.entry(id).and_modify(|device| device.name = Some(format!("renamed-{now}-{id}")));
            network.changed.insert(("dcim/devices", id), now);
        }
        1 => {
            let ports: Vec<u32> = network.interfaces.keys().copied().collect();
            let port = random.pick(&ports);
            network.interfaces.entry(port).and_modify(|port| port.ifindex = Some(random.below(1 << 20)));
            network.changed.insert(("dcim/interfaces", port), now);
        }
        2 if devices.len() > 1 && network.devices[&id].master.is_none() => delete(network, id),
        _ => {
            let prefixes: Vec<u32> = network.prefixes.keys().copied().collect();
            let last = prefixes.last().copied().unwrap_or(0);
            let mut prefix = network.prefixes[&random.pick(&prefixes)].clone();
            prefix.vrf = None;
            network.prefixes.insert(last + 1, prefix);
            network.changed.insert(("ipam/prefixes", last + 1), now);
        }
    }
}

fn delete(network: &mut Network, device: u32) {
    network.devices.remove(&device);
    let gone: BTreeMap<u32, lifelike::Interface> = network
        .interfaces
        .iter()
        .filter(|(_, port)| port.device == device)
        .map(|(id, port)| (*id, port.clone()))
        .collect();
    network.interfaces.retain(|id, _| !gone.contains_key(id));
    network.addresses.retain(|_, address| !matches!(address.on, On::Interface(port) if gone.contains_key(&port)));
}

/// Waits until the snapshot is what the network is, and says what it lacks where that does not come.
fn wait_for(netbox: &NetBox, server: &Server, version: &str) -> Result<(), TestCaseError> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let network = server.world().network.clone().unwrap_or_default();
        let found = match netbox.current() {
            Some(snapshot) => differences(&network, &snapshot, version),
            None => vec![format!("nothing was read: {:?}", netbox.stats().problem)],
        };
        if found.is_empty() {
            return Ok(());
        }
        prop_assert!(Instant::now() < deadline, "{version}: {:#?}", &found[..found.len().min(5)]);
        std::thread::sleep(Duration::from_millis(5)); // between two looks at the condition
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_snapshot_is_the_network_and_stays_it(
        seed in any::<u64>(),
        devices in 1_u32..60,
        page_size in 1_usize..50,
        version in prop::sample::select(vec!["3.7.8", "4.1.11", "4.2.3", "4.7.3"]),
        changes in prop::collection::vec(1_usize..8, 0..4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let network = Some(Arc::new(Network::generate(seed, devices)));
        let server = Server::start(World { version, network, ..World::default() });
        let token_file = directory.path().join("token");
        std::fs::write(&token_file, TOKEN).unwrap();
        let config = NetBoxConfig {
            url: Some(server.url()),
            token_file: Some(token_file),
            page_size: page_size as _,
            refresh_interval_ms: 100,
            // Devices go one by one here, of few.
            max_shrink: 1.0,
            ..NetBoxConfig::default()
        };
        let netbox = NetBox::start(config, None).unwrap();
        wait_for(&netbox, &server, version)?;
        let mut random = Random(seed);
        for count in changes {
            {
                let mut world = server.world();
                let network = Arc::make_mut(world.network.as_mut().unwrap());
                (0..count).for_each(|_| change(network, &mut random));
            }
            netbox.hint();
            wait_for(&netbox, &server, version)?;
        }
        prop_assert_eq!(netbox.stats().problem, None);
    }
}
