//! Networks as people keep them in NetBox, all the way into the enricher's tables: what a row would get is what a plain
//! search through the network finds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_common::exporter::{Entry, address_of, ip_of};
use helios_common::names::{NO_NAME, Names};
use helios_common::prefix::Prefix;
use helios_enricher::config::EnricherConfig;
use helios_enricher::snapshot::Snapshot;
use helios_enricher::sources::netbox::external;
use helios_enricher::sources::{Remotes, Sources};
use helios_netbox::{NetBox, NetBoxConfig};
use helios_testkit::netbox::lifelike::{self, Network, On, Random};
use helios_testkit::netbox::{Server, TOKEN, World};
use proptest::prelude::*;

/// Reads the network through the API.
fn read(network: &Arc<Network>) -> NetBox {
    let folder = tempfile::tempdir().unwrap_or_else(|error| unreachable!("no temporary folder: {error}"));
    let token_file = folder.path().join("token");
    assert!(std::fs::write(&token_file, TOKEN).is_ok());
    let server = Server::start(World { network: Some(Arc::clone(network)), ..World::default() });
    let config = NetBoxConfig { url: Some(server.url()), token_file: Some(token_file), ..NetBoxConfig::default() };
    let netbox = NetBox::start(config, None).expect("a thread");
    let deadline = Instant::now() + Duration::from_secs(120);
    while netbox.current().is_none() {
        assert!(Instant::now() < deadline, "{:?}", netbox.stats());
        std::thread::sleep(Duration::from_millis(5)); // between two looks whether it was read
    }
    netbox
}

/// Who has an address: a device by its id. Primary addresses go before those of interfaces, global ones before those of a
/// VRF, lower ids before higher ones.
fn owners(network: &Network) -> HashMap<IpAddr, u32> {
    let mut owners = HashMap::new();
    for (&id, device) in &network.devices {
        for address in [device.primary4, device.primary6].into_iter().flatten() {
            owners.entry(network.addresses[&address].address).or_insert(id);
        }
    }
    for (in_vrf, &id) in [false, true].into_iter().flat_map(|in_vrf| network.devices.keys().map(move |id| (in_vrf, id)))
    {
        for address in network.addresses.values().filter(|address| address.vrf.is_some() == in_vrf) {
            let on_device = matches!(address.on, On::Interface(port) if network.interfaces[&port].device == id);
            if on_device {
                owners.entry(address.address).or_insert(id);
            }
        }
    }
    owners
}

/// The ports of a device and, behind them, those of the other members of its stack.
fn ports(network: &Network, device: u32) -> Vec<&lifelike::Interface> {
    let own = network.interfaces.values().filter(|port| port.device == device);
    let master = network.devices[&device].master;
    let members =
        network.devices.iter().filter(|(id, other)| **id != device && master.is_some() && other.master == master);
    let others = members.flat_map(|(&id, _)| network.interfaces.values().filter(move |port| port.device == id));
    own.chain(others).collect()
}

fn check_exporters(network: &Network, snapshot: &Snapshot, names: &Names) {
    let text = |id| names.read().get(id).to_owned();
    for (address, id) in owners(network) {
        let device = &network.devices[&id];
        let (address, address_name) = (address_of(address), names.intern(&address.to_string()));
        let exporter = snapshot.directory.exporter(&Entry { address, socket: address, address_name });
        assert!(exporter.known.is_some(), "{}", ip_of(address));
        if let Some(name) = &device.name {
            assert_eq!((&text(exporter.name), &text(exporter.site)), (name, &network.sites[&device.site].name));
        }
        let ports = ports(network, id);
        for index in ports.iter().filter_map(|port| port.ifindex) {
            let expected = ports.iter().find(|port| port.ifindex == Some(index)).map(|port| port.name.clone());
            let found = snapshot.directory.interface(&exporter, index, NO_NAME, NO_NAME);
            assert_eq!(
                found.map(|(port, _)| text(port.name)),
                expected.filter(|_| index != 0),
                "{index} of device {id}"
            );
        }
        for port in ports.iter().filter(|port| port.ifindex.is_none()) {
            // An exporter that gives a number of its own and the name.
            let found = snapshot.directory.interface(&exporter, 4711, names.intern(&port.name), NO_NAME);
            let same = ports.iter().find(|other| other.ifindex.is_none() && other.name == port.name);
            let expected = same.map(|port| port.description.clone());
            assert_eq!(found.map(|(port, _)| text(port.description)), expected, "{} of device {id}", port.name);
        }
    }
}

/// The longest prefix of a table that holds the address, by a look at every one.
fn longest(network: &Network, vrf: Option<u32>, address: IpAddr) -> Option<&lifelike::Prefix> {
    let holds = |prefix: &&lifelike::Prefix| {
        let holding = Prefix::new(prefix.network, prefix.bits).is_some_and(|held| held.holds(address_of(address)));
        holding && prefix.vrf == vrf
    };
    network.prefixes.values().filter(holds).max_by_key(|prefix| prefix.bits)
}

fn check_addresses(network: &Network, snapshot: &Snapshot, names: &Names, random: &mut Random) {
    let text = |id| names.read().get(id).to_owned();
    let edges =
        network.prefixes.values().filter_map(|prefix| Prefix::new(prefix.network, prefix.bits)).flat_map(|prefix| {
            let inside = prefix.start() + (prefix.last() - prefix.start()) / 3;
            [prefix.start(), prefix.last(), prefix.start().wrapping_sub(1), prefix.last().wrapping_add(1), inside]
        });
    let inside = (0..200).map(|_| address_of(IpAddr::from([10, random.below(8) as u8, random.below(256) as u8, 1])));
    let addresses: Vec<_> = edges.map(u128::to_be_bytes).chain(inside).collect();
    for &asn in network.asns.values() {
        assert_eq!(text(snapshot.addresses.as_name(asn)), lifelike::as_description(asn), "AS {asn}");
    }
    let tables = [None].into_iter().chain(network.vrfs.keys().copied().map(Some));
    for vrf in tables {
        let vrf_name = vrf.map_or(NO_NAME, |vrf| names.intern(&network.vrfs[&vrf].name));
        let number = snapshot.directory.vrf(&Default::default(), NO_NAME, 0, vrf_name);
        for &address in &addresses {
            let ip = ip_of(address);
            let private = matches!(ip, IpAddr::V4(ip) if ip.is_private());
            let global = || longest(network, None, ip).filter(|_| vrf.is_none() || !private);
            let expected = longest(network, vrf, ip).or_else(global);
            let record = snapshot.addresses.record_of(number, address);
            let site = expected.and_then(|prefix| network.site_of(prefix, "4.2.3")).map_or("", |site| &*site.name);
            let role = expected.and_then(|prefix| prefix.role).unwrap_or("");
            let tenant = expected.and_then(|prefix| prefix.tenant).map_or("", |tenant| &*network.tenants[&tenant].name);
            let found = [record.site, record.role, record.tenant].map(text);
            assert_eq!(found, [site, role, tenant], "{ip} in {vrf:?}");
            if let Some(prefix) = expected.filter(|prefix| prefix.bits > 32) {
                assert_eq!(text(record.network), format!("{}/{}", prefix.network, prefix.bits), "{ip} in {vrf:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_row_gets_what_a_search_through_the_network_finds(seed in any::<u64>(), devices in 1_u32..80) {
        let network = Arc::new(Network::generate(seed, devices));
        let (netbox, names) = (read(&network), Arc::new(Names::new()));
        let source = external("netbox", move || netbox.current());
        let opened = Sources::open(&EnricherConfig::default(), vec![source], Remotes::AskOnce, &names);
        let (_, snapshot) = opened.expect("no file is configured");
        check_exporters(&network, &snapshot, &names);
        check_addresses(&network, &snapshot, &names, &mut Random(seed));
    }
}
