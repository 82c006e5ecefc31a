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
        let make = || {
            let name = |list, first: &str| network.renamed.get(&(list, 1)).cloned().unwrap_or_else(|| first.to_owned());
            format!("{} {} ({id})", name("dcim/manufacturers", "Juniper"), name("dcim/device-types", "MX480"))
        };
        let stack = |master| format!("{}:{}", network.stack_name(master), network.position(id).unwrap_or(0));
        let name = device.name.clone().unwrap_or_else(|| device.master.map_or_else(make, stack));
        same(
            format!("name of device {id}"),
            name,
            tables.devices.get(id).map(|row| snapshot.device_name(row).into_owned()),
        );
        let expected = (
            device.name.as_deref().unwrap_or(""),
            &*network.sites[&device.site].name,
            network.roles("dcim/device-roles")[&network.role_id("dcim/device-roles", device.role)].clone(),
            tenant,
            [address(device.primary4), address(device.primary6)],
            device.master.unwrap_or(0),
            network.position(id).unwrap_or(0),
        );
        let read = tables.devices.get(id).map(|row| {
            let text = |text| snapshot.text(text);
            let primary = [row.primary_ip4, row.primary_ip6].map(|address| snapshot.address(address));
            let (role, tenant) = (snapshot.device_role_name(row.role), snapshot.tenant_name(row.tenant));
            let (name, site) = (text(row.name), snapshot.site_name(row.site));
            format!("{:?}", (name, site, role, tenant, primary, row.virtual_chassis, row.vc_position))
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
        let read = read.map(|row| format!("{:?}", (row.address.ip, row.address.bits, row.vrf, row.assigned)));
        same(format!("address {id}"), format!("{expected:?}"), read);
    }
    for (&id, prefix) in &network.prefixes {
        let vrf = prefix.vrf.map_or("", |vrf| &*network.vrfs[&vrf].name);
        let site = network.site_of(prefix, version).map_or("", |site| &*site.name);
        let role = prefix.role.map_or(0, |role| network.role_id("ipam/roles", role));
        let role = network.roles("ipam/roles").remove(&role).unwrap_or_default();
        let expected = (prefix.network, prefix.bits, vrf, site, role);
        let read = tables.prefixes.get(id).map(|row| {
            let site = snapshot.site_name(snapshot.site_of(row.scope));
            let role = snapshot.prefix_role_name(row.role);
            format!("{:?}", (row.prefix.ip, row.prefix.bits, snapshot.vrf_name(row.vrf), site, role))
        });
        same(format!("prefix {id}"), format!("{expected:?}"), read);
        let region = tables.prefixes.get(id).is_some_and(|row| matches!(row.scope, Scope::Region(_)));
        let scoped =
            !version.starts_with("3.") && version != "4.1.11" && matches!(prefix.scope, lifelike::Scope::Region(_));
        same(format!("region of prefix {id}"), scoped.to_string(), Some(region.to_string()));
    }
    for (&id, site) in &network.sites {
        let region = site.region.map_or("", |region| &*network.regions[&region].name);
        let read = tables.sites.get(id).map(|_| snapshot.region_name(id).to_owned());
        same(format!("region of site {id}"), region.to_owned(), read);
    }
    for (&id, asn) in &network.asns {
        let read = tables.asns.get(id).map(|row| format!("{} {}", row.asn, snapshot.text(row.description)));
        same(format!("AS {id}"), format!("{asn} {}", lifelike::as_description(*asn)), read);
    }
    found
}

/// Renames, rewires, deletes and adds, as NetBox does it: what is changed carries the time, what is deleted is gone with
/// what is part of it.
fn change(network: &mut Network, random: &mut Random) {
    let now = now();
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

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A NetBox of one version with a network, and what reads it every 100 ms and in full only once.
fn follow(version: &'static str, network: Network) -> (Server, NetBox) {
    let directory = tempfile::tempdir().expect("a folder");
    let server = Server::start(World { version, network: Some(Arc::new(network)), ..World::default() });
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, TOKEN).expect("a token file");
    let config = NetBoxConfig {
        url: Some(server.url()),
        token_file: Some(token_file),
        refresh_interval_ms: 100,
        ..NetBoxConfig::default()
    };
    let netbox = NetBox::start(config, None).expect("a thread");
    wait_for(&netbox, &server, version).expect("the network");
    // The token is read again for every refresh.
    std::mem::forget(directory);
    (server, netbox)
}

/// Changes the network and marks as changed only what NetBox marks: `changed` objects.
fn then(
    (server, netbox): &(Server, NetBox),
    version: &str,
    changed: &[(&'static str, u32)],
    change: impl FnOnce(&mut Network),
) {
    {
        let mut world = server.world();
        let network = Arc::make_mut(world.network.as_mut().expect("a network"));
        change(network);
        network.changed.extend(changed.iter().map(|of| (*of, now())));
    }
    netbox.hint();
    wait_for(netbox, server, version).expect("the changed network");
}

const VERSIONS: [&str; 3] = ["3.7.8", "4.2.3", "4.7.3"];

#[test]
fn an_address_that_moves_on_to_another_device_is_followed_through_the_table_of_addresses() {
    for version in VERSIONS {
        let running = follow(version, Network::generate(3, 40));
        let network = running.0.world().network.clone().unwrap();
        let primaries: Vec<u32> = network.devices.values().filter_map(|device| device.primary4).collect();
        let (first, second) = (primaries[0], primaries[1]);
        let old = network.addresses[&first].address;
        let marked = [("ipam/ip-addresses", first), ("ipam/ip-addresses", second)];
        then(&running, version, &marked, |network| {
            network.addresses.entry(first).and_modify(|address| address.address = "198.51.100.1".parse().unwrap());
            network.addresses.entry(second).and_modify(|address| address.address = old);
        });
    }
}

#[test]
fn what_is_in_a_rack_a_location_or_a_cluster_moves_with_it() {
    for version in VERSIONS {
        let mut network = Network::generate(4, 40);
        let sites: Vec<u32> = network.sites.keys().copied().collect();
        network.racks.insert(7, sites[0]);
        let running = follow(version, network);
        then(&running, version, &[("dcim/racks", 7)], |network| {
            network.racks.insert(7, sites[1]);
            network.devices.values_mut().take(5).for_each(|device| device.site = sites[1]);
        });
        let location = *running.0.world().network.as_ref().unwrap().locations.keys().next().unwrap();
        then(&running, version, &[("dcim/locations", location)], |network| {
            network.locations.values_mut().for_each(|location| location.site = sites[2]);
            network.devices.values_mut().take(5).for_each(|device| device.site = sites[2]);
        });
        then(&running, version, &[("virtualization/clusters", 1)], |network| {
            network.cluster_site = Some(sites[3]);
            network.machines.values_mut().for_each(|machine| machine.site = Some(sites[3]));
        });
    }
}

#[test]
fn a_new_name_is_seen_where_the_object_is_shown() {
    for version in VERSIONS {
        let running = follow(version, Network::generate(5, 40));
        let network = running.0.world().network.clone().unwrap();
        let tenant = *network.tenants.keys().next().unwrap();
        then(&running, version, &[("tenancy/tenants", tenant)], |network| {
            network.tenants.entry(tenant).and_modify(|tenant| tenant.name = "Renamed".into());
        });
        let region = *network.regions.keys().next().unwrap();
        then(&running, version, &[("dcim/regions", region)], |network| {
            network.regions.entry(region).and_modify(|region| region.name = "Elsewhere".into());
        });
        let vrf = *network.vrfs.keys().next().unwrap();
        then(&running, version, &[("ipam/vrfs", vrf)], |network| {
            network.vrfs.entry(vrf).and_modify(|vrf| vrf.name = "another".into());
        });
        let stack = network.devices.values().find_map(|device| device.master).unwrap();
        for of in [
            ("dcim/device-roles", 1),
            ("ipam/roles", 1),
            ("dcim/manufacturers", 1),
            ("dcim/device-types", 1),
            ("dcim/virtual-chassis", stack),
        ] {
            then(&running, version, &[of], |network| drop(network.renamed.insert(of, format!("new {}", of.0))));
        }
    }
}

#[test]
fn a_mass_change_of_what_does_not_matter_is_not_read_for_ever() {
    let mut network = Network::generate(6, 200);
    let ports: Vec<u32> = network.interfaces.keys().copied().collect();
    // Within the time that changes are read again, whose end a test can wait for.
    network.changed.extend(ports.iter().map(|port| (("dcim/interfaces", *port), now() - 115)));
    let (_server, netbox) = follow("4.2.3", network);
    let deadline = Instant::now() + Duration::from_secs(120);
    let (mut before, mut cheapest) = (netbox.stats(), u64::MAX);
    // A refresh in which nothing was changed asks for one object of each kind.
    while cheapest > 20_000 {
        assert!(Instant::now() < deadline, "the cheapest refresh read {cheapest} bytes");
        std::thread::sleep(Duration::from_millis(5)); // between two looks at the counters
        let stats = netbox.stats();
        if stats.refreshes > before.refreshes {
            cheapest = cheapest.min((stats.bytes - before.bytes) / (stats.refreshes - before.refreshes));
            before = stats;
        }
    }
}
