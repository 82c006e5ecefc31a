//! What the sources of names cost in memory, against what docs/configuration.md says beside their keys. The networks are
//! worse than those that people have: no two neighbours are alike, and no two texts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Helpers of tests fail by panicking, as tests do.
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use helios_common::names::Names;
use helios_common::prefix::Prefix;
use helios_enricher::config::EnricherConfig;
use helios_enricher::sources::netbox::external;
use helios_enricher::sources::{External, Remotes, Sources};
use helios_lab::mmdb::{Family, RecordSize, Writer, city_record};
use helios_netbox::{NetBox, NetBoxConfig, Snapshot};
use helios_testkit::alloc::{self, Counting};
use helios_testkit::netbox::lifelike::{Network, Random};
use helios_testkit::netbox::{Server, TOKEN, World};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Octets on the heap at the most while the sources are read, names included.
fn peak(config: &EnricherConfig, external: Vec<External>) -> i64 {
    let names = Arc::new(Names::new());
    let before = alloc::live_octets();
    alloc::reset_peak();
    let opened = Sources::open(config, external, Remotes::AskOnce, &names).unwrap();
    let peak = alloc::peak_octets() - before;
    assert!(alloc::live_octets() > before, "nothing was read");
    drop(opened);
    peak
}

fn file(folder: &Path, name: &str, text: &str) -> Vec<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    vec![path]
}

/// Networks of two records in turns, which no table can join, and of a record each.
#[test]
fn geoip_databases_take_what_the_configuration_reference_says() {
    const NETWORKS: u32 = 20_000;
    let v4 = |number: u32, bits: u32| (IpAddr::from(Ipv4Addr::from_bits(number << (32 - bits))), bits as u8);
    let v6 = |number: u128, bits: u32| {
        let address = Ipv6Addr::from_bits(0x2a00 << 112 | number << (128 - bits));
        (IpAddr::from(address), bits as u8)
    };
    let (folder, random) = (tempfile::tempdir().unwrap(), std::cell::RefCell::new(Random(7)));
    let drawn = || random.borrow_mut().draw();
    type Networks<'a> = &'a dyn Fn(u32) -> (IpAddr, u8);
    // The factor is of the size of the file.
    let cases: [(&str, Networks<'_>, bool, i64); 6] = [
        ("neighbours of 24 bits", &|number| v4(number + (1 << 20), 24), false, 30),
        ("neighbours of 24 bits with a city each", &|number| v4(number + (1 << 20), 24), true, 30),
        ("hosts anywhere", &|_| v4(drawn() as u32, 32), false, 100),
        ("neighbours of 48 bits", &|number| v6(number.into(), 48), false, 30),
        ("networks of 48 bits anywhere", &|_| v6((drawn() as u32).into(), 48), false, 30),
        ("IPv6 hosts anywhere", &|_| v6(drawn().into(), 128), false, 30),
    ];
    for (what, network, own, factor) in cases {
        let mut writer = Writer::new("GeoLite2-City").family(Family::V6).record_size(RecordSize::Bits24);
        let two = [0, 1].map(|number| writer.record(&city_record("DE", Some(&format!("City {number}")))));
        for number in 0..NETWORKS {
            let (address, bits) = network(number);
            let record = match own {
                true => writer.record(&city_record("DE", Some(&format!("City {number}")))),
                false => two[number as usize % 2],
            };
            writer.insert(Prefix::new(address, bits).unwrap(), record);
        }
        let path = folder.path().join("city.mmdb");
        writer.write(&path).unwrap();
        let octets = std::fs::metadata(&path).unwrap().len() as i64;
        let mut config = EnricherConfig::default();
        config.geoip.city = Some(path);
        let peak = peak(&config, Vec::new());
        assert!(peak <= factor * octets, "{what}: {peak} octets of a file of {octets}");
    }
}

#[test]
fn lists_take_what_the_configuration_reference_says() {
    const NETWORKS: i64 = 40_000;
    let (folder, mut random) = (tempfile::tempdir().unwrap(), Random(7));
    for (of_ipv6, name) in [(false, ""), (true, ""), (true, &*"x".repeat(200))] {
        let mut text = "network,name,site\n".to_owned();
        let mut names = 0;
        for number in 0..NETWORKS {
            let address = u128::from(random.draw()) << 64 | u128::from(random.draw());
            let (address, bits) = match of_ipv6 {
                true => (IpAddr::from(Ipv6Addr::from_bits(address)), 128),
                false => (IpAddr::from(Ipv4Addr::from_bits(address as u32)), 32),
            };
            let own = format!("n{number}{name},s{number}{name}");
            names += own.len() as i64;
            writeln!(text, "{address}/{bits},{own}").unwrap();
        }
        let mut config = EnricherConfig::default();
        config.networks.files = file(folder.path(), "networks.csv", &text);
        let peak = peak(&config, Vec::new());
        assert!(peak <= NETWORKS * 4096 + 10 * names, "{} octets of each network", peak / NETWORKS);
    }
    for description in [0, 200] {
        let (mut text, mut names, mut entries) = ("devices:\n".to_owned(), 0, 0);
        for device in 0..500_u32 {
            writeln!(text, "  - name: d{device}\n    addresses: [{}]\n    interfaces:", Ipv4Addr::from_bits(device))
                .unwrap();
            for index in 1..=50 {
                let (name, about) =
                    (format!("if{device}-{index}"), format!("{device} {index} {}", "x".repeat(description)));
                names += (name.len() + about.len()) as i64;
                writeln!(text, "      - {{index: {index}, name: {name}, description: \"{about}\"}}").unwrap();
            }
            entries += 51;
        }
        let mut config = EnricherConfig::default();
        config.inventory.files = file(folder.path(), "devices.yaml", &text);
        let peak = peak(&config, Vec::new());
        assert!(peak <= entries * 1024 + 3 * names, "{} octets of each device and interface", peak / entries);
    }
}

/// The snapshot that the client keeps, and what the enricher makes of it.
#[test]
fn netbox_takes_what_the_configuration_reference_says() {
    let mut network = Network::generate(7, 200);
    let mut texts = 0;
    for (id, port) in &mut network.interfaces {
        // As long as NetBox allows.
        port.description = format!("{id} {}", "x".repeat(190));
        texts += (port.description.len() + port.name.len()) as i64;
    }
    let network = Arc::new(network);
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, TOKEN).unwrap();
    let server = Server::start(World { network: Some(Arc::clone(&network)), ..World::default() });
    let config = NetBoxConfig { url: Some(server.url()), token_file: Some(token_file), ..NetBoxConfig::default() };
    let netbox = NetBox::start(config, None).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while netbox.current().is_none() {
        assert!(Instant::now() < deadline, "{:?}", netbox.stats());
        std::thread::sleep(Duration::from_millis(5)); // between two looks whether it was read
    }
    let objects = [
        network.devices.len(),
        network.interfaces.len(),
        network.addresses.len(),
        network.prefixes.len(),
        network.machines.len(),
        network.machine_interfaces.len(),
    ];
    let objects = objects.into_iter().sum::<usize>() as i64;
    let snapshot = netbox.current().unwrap();
    let read = Arc::clone(&snapshot);
    let enricher = peak(&EnricherConfig::default(), vec![external("netbox", move || Some(Arc::clone(&read)))]);
    // A copy has what the snapshot itself takes.
    let before = alloc::live_octets();
    let copy = Snapshot::clone(&snapshot);
    let kept = alloc::live_octets() - before;
    drop(copy);
    let stated = objects * 2048 + 3 * texts;
    assert!(enricher + kept <= stated, "{enricher} and {kept} octets of {objects} objects, {stated} stated");
}
