//! The order of the sources of interfaces in the rows: the exporter's options data, NetBox, Prometheus, files of devices.

use std::net::UdpSocket;
use std::sync::Arc;

use helios_collector::encode::{field, ipfix};
use helios_testkit::Engine;
use helios_testkit::netbox::lifelike::{Address, Device, Interface, Network, On, Site};
use helios_testkit::netbox::{self, TOKEN, World};
use helios_testkit::prometheus::{Series, Server, Store};

use crate::running::{Helios, wait_for};

/// What the file of devices says of the exporter at 127.0.0.2: of ports 1 to 4 and 6.
const DEVICES: &str = "devices:
- name: pe1
  addresses: [127.0.0.2]
  interfaces:
  - {index: 1, name: file1, description: of the file, speed: 100M}
  - {index: 2, name: file2, description: of the file, speed: 100M}
  - {index: 3, name: file3, description: of the file, speed: 100M, role: access}
  - {index: 4, name: file4, description: of the file, speed: 100M, role: access}
";

/// NetBox knows ports 1 and 2 by their ifIndex, and another one by its name only.
fn network() -> Network {
    let mut network = Network::default();
    network.sites.insert(1, Site { name: "Zürich".into(), region: None, asns: Vec::new() });
    let device = Device {
        name: Some("pe1".into()),
        site: 1,
        role: "Edge",
        tenant: None,
        primary4: Some(1),
        primary6: None,
        master: None,
    };
    network.devices.insert(1, device);
    for (id, name, ifindex) in [(1, "netbox1", Some(1)), (2, "netbox2", Some(2)), (3, "TenGigE0/0/0/5", None)] {
        let description = "of NetBox".to_owned();
        let (name, kind) = (name.to_owned(), "10gbase-x-sfpp");
        let port = Interface { device: 1, name, description, kind, lag: None, vrf: None, ifindex };
        network.interfaces.insert(id, port);
    }
    let address = Address { address: "127.0.0.2".parse().unwrap(), bits: 32, vrf: None, on: On::Interface(1) };
    network.addresses.insert(1, address);
    network
}

/// Ports 1 to 3 and 5, as snmp_exporter has them with and without its look-ups: by address with all in one series, by
/// the name of the device with a series for each text.
fn series(alias_of_3: &str) -> Vec<Series> {
    let by_address = |index: &str, name: &str, alias: &str| {
        let labels = [("instance", "127.0.0.2:161"), ("ifIndex", index), ("ifName", name), ("ifAlias", alias)];
        Series::new("ifHighSpeed", &labels, "1000")
    };
    let by_name = |metric: &str, label: (&str, &str), value: &str| {
        Series::new(metric, &[("instance", "pe1"), ("ifIndex", "3"), label], value)
    };
    vec![
        by_address("1", "snmp1", "of SNMP"),
        by_address("2", "snmp2", "of SNMP"),
        by_name("ifHighSpeed", ("job", "snmp"), "1000"),
        by_name("ifName", ("ifName", "snmp3"), "1"),
        by_name("ifAlias", ("ifAlias", alias_of_3), "1"),
        by_address("5", "te0/0/0/5", ""),
        // Not asked for.
        Series::new("ifHCInOctets", &[("instance", "127.0.0.2:161"), ("ifIndex", "6"), ("ifName", "wrong")], "1"),
    ]
}

/// Options data of port 1, and a flow in by each of six ports.
fn message() -> Vec<u8> {
    let mut octets = Vec::new();
    let mut message = ipfix::Message::begin(&ipfix::Header::default(), &mut octets);
    message.options_template(257, 1, &[field(10, 4), field(82, 8), field(83, 16)]);
    message.template(256, &[field(8, 4), field(12, 4), field(10, 4), field(2, 8), field(1, 8)]);
    message.data(257, |out| {
        out.extend(1_u32.to_be_bytes());
        out.extend(b"own1\0\0\0\0");
        out.extend(b"of the exporter\0");
    });
    message.data(256, |out| {
        for port in 1_u32..=6 {
            out.extend([10, 1, 2, 3, 10, 1, 2, 4]);
            out.extend(port.to_be_bytes());
            out.extend([1_u64, 100].map(u64::to_be_bytes).concat());
        }
    });
    octets
}

fn send(helios: &Helios, rows: f64) {
    UdpSocket::bind("127.0.0.2:0").unwrap().send_to(&message(), helios.flows).unwrap();
    wait_for("the rows to be stored", || (helios.metric("helios_pipeline_rows_stored_total")? == rows).then_some(()));
}

/// Waits until a source has failed, or been taken up, more often than `before`.
fn wait_for_source(helios: &Helios, metric: &str, before: f64) {
    wait_for(metric, || (helios.metric(metric)? > before).then_some(()));
}

#[test]
fn names_come_from_the_first_source_that_knows_the_interface() {
    let engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let netbox = netbox::Server::start(World { network: Some(Arc::new(network())), ..World::default() });
    let store = Store { series: series("of SNMP"), token: Some("secret".into()), ill: false };
    let prometheus = Server::start(store);
    for (name, text) in [("netbox-token", TOKEN), ("prometheus-token", "secret\n"), ("devices.yaml", DEVICES)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let helios = Helios::ready(
        &engine.url(),
        &[
            &format!("netbox.url={}", netbox.url()),
            &format!("netbox.token_file={}", path("netbox-token")),
            &format!("enricher.interfaces.prometheus.url={}/", prometheus.url()),
            &format!("enricher.interfaces.prometheus.token_file={}", path("prometheus-token")),
            "enricher.interfaces.prometheus.refresh_interval_ms=1000",
            &format!("enricher.inventory.files={}", path("devices.yaml")),
            "enricher.reload_interval_ms=20",
        ],
    );
    // Eight are those of the device together: six ports of the sources, one of which has a second form without number.
    wait_for("NetBox and Prometheus", || {
        let entries = |source: &str| {
            let (_, page) = helios.get("/metrics")?;
            let start = format!("helios_enricher_source_entries{{source=\"{source}");
            page.lines().find_map(|line| line.strip_prefix(&start)?.rsplit(' ').next()?.parse::<f64>().ok())
        };
        (entries("netbox")? > 0.0 && entries("prometheus")? > 0.0).then_some(())
    });
    wait_for("both in one snapshot", || (helios.metric("helios_enricher_interfaces")? == 5.0).then_some(()));
    send(&helios, 6.0);
    let query = "SELECT in_if_index, in_if_name, in_if_description, in_if_speed, in_if_role FROM helios.flows
         WHERE exporter_name = 'pe1' ORDER BY in_if_index, received_at";
    let expected = "1\town1\tof the exporter\t10000000000\t\n\
                    2\tnetbox2\tof NetBox\t10000000000\t\n\
                    3\tsnmp3\tof SNMP\t1000000000\taccess\n\
                    4\tfile4\tof the file\t100000000\taccess\n\
                    5\tTenGigE0/0/0/5\tof NetBox\t10000000000\t\n\
                    6\t\t\t0\t\n";
    assert_eq!(engine.query(query), expected);

    // Of the six flows; all sources together know five of the ports, and nobody the addresses.
    let (_, page) = helios.get("/metrics").unwrap();
    for (source, asked, hits, misses) in [
        ("options_data\"", "interface", 1, 5),
        ("netbox\"", "exporter", 6, 0),
        ("netbox\"", "interface", 3, 3),
        ("netbox\"", "address", 0, 12),
        ("prometheus:", "interface", 4, 2),
        ("inventory:", "exporter", 6, 0),
        ("inventory:", "interface", 4, 2),
    ] {
        let is_of = |line: &&str, result: &str| {
            line.starts_with(&format!("helios_enricher_source_lookups_total{{source=\"{source}"))
                && line.contains(&format!("lookup=\"{asked}\",result=\"{result}\""))
        };
        let count = |result: &str| page.lines().find(|line| is_of(line, result)).unwrap().rsplit(' ').next().unwrap();
        assert_eq!((count("hit"), count("miss")), (&*hits.to_string(), &*misses.to_string()), "{source} {asked}");
    }

    // A server that is away, or says something else, leaves what it said until it says something usable.
    let failures = "helios_enricher_source_failures_total";
    let before = helios.metric(failures).unwrap();
    prometheus.store().ill = true;
    wait_for_source(&helios, failures, before);
    send(&helios, 12.0);
    let of_3 = "SELECT in_if_description FROM helios.flows WHERE in_if_index = 3 ORDER BY received_at DESC LIMIT 1";
    assert_eq!(engine.query(of_3).trim(), "of SNMP");
    let generation = helios.metric("helios_enricher_generation").unwrap();
    *prometheus.store() = Store { series: series("moved"), token: Some("secret".into()), ill: false };
    wait_for_source(&helios, "helios_enricher_generation", generation);
    send(&helios, 18.0);
    assert_eq!(engine.query(of_3).trim(), "moved");
    assert_eq!(helios.metric("helios_pipeline_rows_imbalance"), Some(0.0));
}
