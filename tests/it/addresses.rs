//! What rows say of their addresses: ranges that mean the same everywhere, and which source's AS number counts.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;

use helios_collector::encode::netflow5::{self, Record};
use helios_collector::encode::{field, ipfix};
use helios_lab::mmdb::{Writer, asn_record};
use helios_testkit::Engine;
use helios_testkit::web::Server;

use crate::running::{Helios, wait_for};

fn wait_for_stored(helios: &Helios, rows: usize) {
    wait_for("the rows to be stored", || {
        (helios.metric("helios_pipeline_rows_stored_total")? == rows as f64).then_some(())
    });
}

/// Addresses and what they are called; two of them are of a network of one's own.
const RANGES: &[(&str, &str)] = &[
    ("10.1.2.3", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("172.32.0.0", ""),
    ("192.168.0.1", "private"),
    ("10.9.0.1", "office"),
    ("100.64.0.1", "cgnat"),
    ("100.127.255.255", "cgnat"),
    ("100.128.0.0", ""),
    ("169.254.1.1", "link-local"),
    ("192.0.2.1", "documentation"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.255", "documentation"),
    ("198.18.0.1", "benchmarking"),
    ("224.0.0.5", "multicast"),
    ("239.255.255.250", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("127.0.0.1", "loopback"),
    ("8.8.8.8", ""),
    ("fd00::1", "private"),
    ("fe80::1", "link-local"),
    ("ff02::1", "multicast"),
    ("2001:db8::1", "documentation"),
    ("3fff:fff::1", "documentation"),
    ("2001:db8:9::1", "office"),
    ("::1", "loopback"),
    ("64:ff9b::808:808", "nat64"),
    ("2600::1", ""),
];

/// A flow to each of the addresses, whose number in the list is its source port.
fn to_all_ranges() -> Vec<u8> {
    let mut octets = Vec::new();
    let mut message = ipfix::Message::begin(&ipfix::Header::default(), &mut octets);
    message.template(256, &[field(12, 4), field(7, 2), field(1, 8)]);
    message.template(257, &[field(28, 16), field(7, 2), field(1, 8)]);
    for id in [256, 257] {
        message.data(id, |out| {
            for (number, (address, _)) in RANGES.iter().enumerate() {
                match (id, address.parse().unwrap()) {
                    (256, IpAddr::V4(address)) => out.extend(address.octets()),
                    (257, IpAddr::V6(address)) => out.extend(address.octets()),
                    _ => continue,
                }
                out.extend((number as u16).to_be_bytes());
                out.extend(100_u64.to_be_bytes());
            }
        });
    }
    octets
}

#[test]
fn ranges_that_mean_the_same_everywhere_are_named_unless_a_network_is_more_specific() {
    let engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let networks = folder.path().join("networks.csv");
    std::fs::write(&networks, "network,name\n10.9.0.0/16,office\n2001:db8:9::/48,office\n").unwrap();
    let helios = Helios::ready(&engine.url(), &[&format!("enricher.networks.files={}", networks.display())]);
    UdpSocket::bind("127.0.0.2:0").unwrap().send_to(&to_all_ranges(), helios.flows).unwrap();
    wait_for_stored(&helios, RANGES.len());
    let rows = engine.query("SELECT src_port, dst_network FROM helios.flows ORDER BY src_port");
    let found: Vec<_> = rows.lines().map(|line| line.split_once('\t').unwrap()).collect();
    assert_eq!(found.len(), RANGES.len());
    for ((number, found), (address, expected)) in found.into_iter().zip(RANGES) {
        assert_eq!(found, *expected, "{address}, row {number}");
    }
}

#[test]
fn a_list_on_a_web_server_is_taken_up_when_it_changes_and_stays_when_it_is_none() {
    let engine = Engine::start();
    let server = Server::start("- {network: 10.1.0.0/16, name: one, tenant: acme}\n");
    let list =
        format!("enricher.networks.http=[{{url: '{}', refresh_interval_ms: 1000}}]", server.url("lists/networks.yaml"));
    let helios = Helios::ready(&engine.url(), &[&list, "enricher.reload_interval_ms=20"]);
    let send = |rows: usize, name: &str| {
        UdpSocket::bind("127.0.0.2:0").unwrap().send_to(&to_all_ranges(), helios.flows).unwrap();
        wait_for_stored(&helios, rows * RANGES.len());
        let last =
            "SELECT dst_network, dst_tenant FROM helios.flows WHERE src_port = 0 ORDER BY received_at DESC LIMIT 1";
        assert_eq!(engine.query(last).trim_end(), format!("{name}\tacme"));
    };
    let newer = |metric: &str, before: f64| {
        wait_for(metric, || (helios.metric(metric)? > before).then_some(()));
    };
    newer("helios_enricher_generation", 0.0);
    send(1, "one");
    let generation = helios.metric("helios_enricher_generation").unwrap();
    server.answer(200, "- {network: 10.1.0.0/16, name: two, tenant: acme}\n");
    newer("helios_enricher_generation", generation);
    send(2, "two");
    let failures = helios.metric("helios_enricher_source_failures_total").unwrap();
    server.answer(200, "<html>down for maintenance</html>");
    newer("helios_enricher_source_failures_total", failures);
    send(3, "two");
}

/// AS 64496 for all of 8.0.0.0/8 by GeoIP; a network of one's own has 64500 for 8.8.0.0/16.
fn write_sources(folder: &Path) -> [String; 2] {
    let mut geoip = Writer::new("GeoLite2-ASN");
    let record = geoip.record(&asn_record(64_496, "By GeoIP"));
    geoip.insert("8.0.0.0/8".parse().unwrap(), record);
    let paths = ["asn.mmdb", "networks.csv"].map(|name| folder.join(name));
    geoip.write(&paths[0]).unwrap();
    std::fs::write(&paths[1], "network,name,asn\n8.8.0.0/16,ours,64500\n").unwrap();
    paths.map(|path| path.display().to_string())
}

/// The AS numbers of five flows: from 8.8.8.8 without a number, with 3356 and with the private 64512, and from 8.1.1.1,
/// which GeoIP alone knows, and 9.9.9.9, which nobody does, with 64512.
const ORDERS: &[(&str, [u32; 5])] = &[
    ("[flow, networks, geoip]", [64_500, 3356, 64_512, 64_512, 64_512]),
    ("[flow-except-private, networks, geoip]", [64_500, 3356, 64_500, 64_496, 64_512]),
    ("[networks, flow, geoip]", [64_500, 64_500, 64_500, 64_512, 64_512]),
    ("[geoip, flow]", [64_496, 64_496, 64_496, 64_496, 64_512]),
    ("[flow, geoip, networks]", [64_496, 3356, 64_512, 64_512, 64_512]),
    ("[geoip]", [64_496, 64_496, 64_496, 64_496, 64_512]),
];

#[test]
fn the_as_number_is_of_the_first_source_in_the_configured_order() {
    let engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let [geoip, networks] = write_sources(folder.path());
    let flows = [([8, 8, 8, 8], 0), ([8, 8, 8, 8], 3356), ([8, 8, 8, 8], 64_512), ([8, 1, 1, 1], 64_512)];
    let flows = flows.into_iter().chain([([9, 9, 9, 9], 64_512)]);
    let records: Vec<Record> = (0..)
        .zip(flows)
        .map(|(number, (src_addr, src_as))| Record {
            src_addr,
            src_as,
            src_port: number,
            octets: 1,
            ..Record::default()
        })
        .collect();
    for (number, (order, expected)) in (2_u8..).zip(ORDERS) {
        let settings = [
            format!("enricher.geoip.asn={geoip}"),
            format!("enricher.networks.files={networks}"),
            format!("enricher.as_order={order}"),
        ];
        let helios = Helios::ready(&engine.url(), &settings.each_ref().map(String::as_str));
        let mut message = Vec::new();
        netflow5::message(&netflow5::Header::default(), &records, &mut message);
        UdpSocket::bind((Ipv4Addr::new(127, 0, 0, number), 0)).unwrap().send_to(&message, helios.flows).unwrap();
        wait_for_stored(&helios, records.len());
        let rows = engine.query(&format!(
            "SELECT src_as, src_as_name FROM helios.flows WHERE exporter_name = '127.0.0.{number}' ORDER BY src_port"
        ));
        let found: Vec<(u32, &str)> = rows
            .lines()
            .map(|line| line.split_once('\t').map(|(asn, name)| (asn.parse().unwrap(), name)).unwrap())
            .collect();
        let expected = expected.map(|asn| (asn, if asn == 64_496 { "By GeoIP" } else { "" }));
        assert_eq!(found, expected, "{order}");
    }
}
