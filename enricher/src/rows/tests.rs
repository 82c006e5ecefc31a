//! The columns of a batch, against what the databases say about each row.

use std::sync::Arc;

use helios_common::columns::{
    BYTES, Column, DST_ADDR, DST_AS, DST_COUNTRY, IN_IF_BOUNDARY, IN_IF_DESCRIPTION, IN_IF_INDEX, IN_IF_NAME,
    IN_IF_PROVIDER, IN_IF_SPEED, INGRESS_VRF_ID, OUT_IF_INDEX, SRC_ADDR, SRC_AS, SRC_AS_NAME, SRC_CITY, SRC_COUNTRY,
    SRC_NETWORK, SRC_SITE, VRF_NAME,
};
use helios_common::exporter::{Address, ExporterId, NO_ADDRESS, address_of};
use helios_common::names::Names;

use super::*;
use crate::config::{EnricherConfig, GeoipConfig};
use crate::hits::{Asked, GEOIP_ASN, GEOIP_CITY, Hits, OPTIONS_DATA};
use crate::lookup::CHUNK;
use crate::sources::{Remotes, Sources};
use helios_lab::mmdb::{Writer, asn_record, city_record};

fn address(ip: &str) -> Address {
    address_of(ip.parse().unwrap())
}

struct Fixture {
    names: Arc<Names>,
    exporters: Exporters,
    snapshot: Snapshot,
}

impl Fixture {
    fn new(city: bool, asn: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (city_path, asn_path) = (directory.path().join("city.mmdb"), directory.path().join("asn.mmdb"));
        let mut writer = Writer::new("GeoLite2-City");
        for (network, country, city) in
            [("192.0.2.0/24", "DE", Some("Berlin")), ("198.51.100.0/24", "FR", None), ("2001:db8::/32", "SE", None)]
        {
            let record = writer.record(&city_record(country, city));
            writer.insert(network.parse().unwrap(), record);
        }
        writer.write(&city_path).unwrap();
        let mut writer = Writer::new("GeoLite2-ASN");
        for (network, number, name) in [("192.0.2.0/24", 64_500, "Own"), ("203.0.113.0/24", 64_501, "Other")] {
            let record = writer.record(&asn_record(number, name));
            writer.insert(network.parse().unwrap(), record);
        }
        writer.write(&asn_path).unwrap();
        let config = GeoipConfig { city: city.then_some(city_path), asn: asn.then_some(asn_path) };
        Self::of(&EnricherConfig { geoip: config, ..EnricherConfig::default() })
    }

    fn of(config: &EnricherConfig) -> Self {
        let names = Arc::new(Names::new());
        let (_, snapshot) = Sources::open(config, Vec::new(), Remotes::AskOnce, &names).unwrap();
        Self { exporters: Exporters::new(Arc::clone(&names)), names, snapshot }
    }

    fn enrich(&self, batch: &mut FlowBatch) -> Tally {
        enrich(batch, &self.snapshot, &self.exporters, &mut Memo::default())
    }

    fn name(&self, id: u32) -> String {
        self.names.read().get(id).to_owned()
    }

    /// Country, city, AS number and AS name of the source of a row.
    fn source(&self, batch: &FlowBatch, row: usize) -> (String, String, u32, String) {
        let view = self.names.read();
        let name = |col| view.get(batch.get(col, row)).to_owned();
        (name(SRC_COUNTRY), name(SRC_CITY), batch.get(SRC_AS, row), name(SRC_AS_NAME))
    }
}

fn row(country: &str, city: &str, asn: u32, as_name: &str) -> (String, String, u32, String) {
    (country.into(), city.into(), asn, as_name.into())
}

/// A batch with these sources, AS numbers where any are given.
fn batch(sources: &[&str], numbers: &[u32]) -> FlowBatch {
    let mut batch = FlowBatch::new();
    batch.open(SRC_ADDR).extend(sources.iter().map(|ip| address(ip)));
    batch.open(SRC_AS).extend(numbers);
    batch.fill(BYTES, sources.len(), 1);
    batch.advance(sources.len(), ExporterId(0));
    batch
}

fn columns(batch: &FlowBatch) -> Vec<&'static str> {
    batch.present().iter().map(|column: Column| column.spec().name).collect()
}

#[test]
fn rows_get_what_is_known_of_their_addresses() {
    let fixture = Fixture::new(true, true);
    let mut batch = batch(&["192.0.2.1", "198.51.100.1", "2001:db8::1", "10.0.0.1", "203.0.113.5"], &[]);
    let tally = fixture.enrich(&mut batch);
    assert_eq!(fixture.source(&batch, 0), row("DE", "Berlin", 64_500, "Own"));
    assert_eq!(fixture.source(&batch, 1), row("FR", "", 0, ""));
    assert_eq!(fixture.source(&batch, 2), row("SE", "", 0, ""));
    assert_eq!(fixture.source(&batch, 3), row("", "", 0, ""));
    assert_eq!(fixture.source(&batch, 4), row("", "", 64_501, "Other"));
    let expected = Tally { rows: 5, addresses: 5, place_hits: 3, as_hits: 2, network_hits: 5, ..Tally::default() };
    assert_eq!(tally, expected);
}

#[test]
fn the_flows_own_as_stays_and_is_named() {
    let fixture = Fixture::new(true, true);
    let mut batch = batch(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "10.0.0.1"], &[64_501, 0, 65_000, 64_500]);
    fixture.enrich(&mut batch);
    assert_eq!(batch.values(SRC_AS), [64_501, 64_500, 65_000, 64_500]);
    let names: Vec<_> = (0..4).map(|row| fixture.source(&batch, row).3).collect();
    assert_eq!(names, ["Other", "Own", "", "Own"]);
}

#[test]
fn columns_without_a_value_stay_absent() {
    let fixture = Fixture::new(true, true);
    let mut nowhere = batch(&["9.0.0.1", "9.0.0.2"], &[]);
    fixture.enrich(&mut nowhere);
    assert_eq!(columns(&nowhere), ["bytes", "src_addr"]);
    let mut no_city = batch(&["198.51.100.1"], &[]);
    fixture.enrich(&mut no_city);
    assert_eq!(columns(&no_city), ["bytes", "src_addr", "src_country", "src_network"]);
}

#[test]
fn a_source_that_is_not_configured_writes_nothing() {
    let mut only_city = batch(&["192.0.2.1"], &[]);
    Fixture::new(true, false).enrich(&mut only_city);
    assert_eq!(columns(&only_city), ["bytes", "src_addr", "src_country", "src_city", "src_network"]);
    let mut only_asn = batch(&["192.0.2.1"], &[]);
    Fixture::new(false, true).enrich(&mut only_asn);
    assert_eq!(columns(&only_asn), ["bytes", "src_addr", "src_as", "src_as_name", "src_network"]);
    let mut neither = batch(&["192.0.2.1"], &[7]);
    assert_eq!(Fixture::new(false, false).enrich(&mut neither).place_hits, 0);
    assert_eq!(columns(&neither), ["bytes", "src_addr", "src_as", "src_network"]);
    assert_eq!(neither.values(SRC_AS), [7]);
}

#[test]
fn rows_beyond_a_columns_end_have_no_address() {
    let fixture = Fixture::new(true, true);
    // The rows without an address are in the second chunk, whose places in the ids the first one has used.
    let mut batch = batch(&["192.0.2.1"; CHUNK], &[]);
    batch.advance(2, ExporterId(0));
    let tally = fixture.enrich(&mut batch);
    assert_eq!(fixture.source(&batch, CHUNK - 1), row("DE", "Berlin", 64_500, "Own"));
    assert_eq!(fixture.source(&batch, CHUNK), row("", "", 0, ""));
    assert_eq!(fixture.source(&batch, CHUNK + 1), row("", "", 0, ""));
    assert_eq!(tally.addresses, CHUNK as u64);
}

#[test]
fn every_row_of_many_chunks_is_written_on_both_sides() {
    let fixture = Fixture::new(true, true);
    let rows = 2 * CHUNK + 77;
    let known = [address("192.0.2.9"), address("198.51.100.9"), NO_ADDRESS];
    let mut batch = FlowBatch::new();
    batch.open(SRC_ADDR).extend((0..rows).map(|row| known[row % 3]));
    batch.open(DST_ADDR).extend((0..rows).map(|row| known[(row + 1) % 3]));
    batch.advance(rows, ExporterId(0));
    fixture.enrich(&mut batch);
    let (de, fr) = (fixture.names.intern("DE"), fixture.names.intern("FR"));
    for row in 0..rows {
        assert_eq!(batch.get(SRC_COUNTRY, row), [de, fr, 0][row % 3], "row {row}");
        assert_eq!(batch.get(DST_COUNTRY, row), [de, fr, 0][(row + 1) % 3], "row {row}");
        assert_eq!(batch.get(DST_AS, row), [64_500, 0, 0][(row + 1) % 3], "row {row}");
    }
}

#[test]
fn exporters_without_an_inventory_are_named_by_their_addresses() {
    let fixture = Fixture::of(&EnricherConfig::default());
    let exporters = &fixture.exporters;
    let (one, two) = (exporters.intern(address("10.0.0.1")), exporters.intern(address("2001:db8::2")));
    let mut batch = FlowBatch::new();
    for (rows, exporter) in [(2, one), (1, two), (1, one), (1, ExporterId(77))] {
        batch.fill(BYTES, rows, 1);
        batch.advance(rows, exporter);
    }
    fixture.enrich(&mut batch);
    batch.seal();
    let written: Vec<_> = batch.values(EXPORTER_NAME).iter().map(|&name| fixture.name(name)).collect();
    assert_eq!(written, ["10.0.0.1", "10.0.0.1", "2001:db8::2", "10.0.0.1", ""]);
}

/// A network of one device with two interfaces, a rule for them, and a VRF that has 10.0.0.0/8 for itself.
fn network() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let (devices, networks) = (directory.path().join("devices.yaml"), directory.path().join("networks.csv"));
    let yaml = "devices:
- {name: edge1, addresses: [192.0.2.1], site: fra, region: de, role: edge, tenant: acme, interfaces: [
   {index: 7, name: xe-0/0/0, description: 'transit: Arelion', speed: 10G}, {name: GigabitEthernet0/1, speed: 1G}]}
";
    std::fs::write(&devices, yaml).unwrap();
    let csv = "network,name,site,vrf,asn,country\n10.0.0.0/8,corp,hq,,,\n10.1.0.0/16,red-lan,red-site,red,,\n\
               8.8.8.0/24,dns,,,64999,DE\n203.0.113.0/24,customer,,red,,\n";
    std::fs::write(&networks, csv).unwrap();
    let json = serde_json::json!({
        "inventory": {"files": [devices]}, "networks": {"files": [networks]},
        "vrfs": [{"vrf": "red", "id": 12, "exporter": "edge1"}],
        "rules": {"interfaces": [{"match_description": "(?i)^transit: (\\w+)", "provider": "$1", "boundary": "external"}],
                  "exporters": [{"match_name": "^edge", "group": "edges"}]}
    });
    Fixture::of(&serde_json::from_value(json).unwrap())
}

#[test]
fn interfaces_are_known_by_index_by_the_exporters_name_for_them_and_not_at_all() {
    let fixture = network();
    let exporter = fixture.exporters.intern(address("192.0.2.1"));
    let mut batch = FlowBatch::new();
    batch.open(IN_IF_INDEX).extend([7, 9, 9, 0, 7]);
    batch.open(IN_IF_NAME).extend([0, fixture.names.intern("Gi0/1"), 0, 0, fixture.names.intern("own")]);
    batch.open(IN_IF_DESCRIPTION).extend([0, fixture.names.intern("Transit: Telia"), 0, 0, 0]);
    batch.fill(OUT_IF_INDEX, 5, 9);
    batch.advance(5, exporter);
    let tally = fixture.enrich(&mut batch);
    let row = |row| {
        let texts = [IN_IF_NAME, IN_IF_DESCRIPTION, IN_IF_PROVIDER].map(|col| fixture.name(batch.get(col, row)));
        (texts.join("|"), batch.get(IN_IF_SPEED, row), batch.get(IN_IF_BOUNDARY, row))
    };
    assert_eq!(row(0), ("xe-0/0/0|transit: Arelion|Arelion".into(), 10_000_000_000, 1));
    assert_eq!(row(1), ("Gi0/1|Transit: Telia|Telia".into(), 1_000_000_000, 1));
    assert_eq!(row(2), ("||".into(), 0, 0));
    assert_eq!(row(3), ("||".into(), 0, 0));
    assert_eq!(row(4), ("own|transit: Arelion|Arelion".into(), 10_000_000_000, 1));
    assert_eq!(batch.values(IN_IF_INDEX), [7, 9, 9, 0, 7], "the index is always kept");
    assert_eq!((tally.interfaces, tally.interface_hits, tally.exporter_hits), (10, 3, 5));
    assert_eq!(fixture.name(batch.get(EXPORTER_GROUP, 4)), "edges");
    assert_eq!(fixture.name(batch.get(EXPORTER_TENANT, 4)), "acme");
}

#[test]
fn an_agent_that_the_inventory_does_not_know_is_found_by_its_socket() {
    let fixture = network();
    let exporter = fixture.exporters.intern_behind(address("10.255.0.1"), address("192.0.2.1"));
    let mut batch = batch(&["9.9.9.9"], &[]);
    batch.clear();
    batch.fill(BYTES, 1, 1);
    batch.advance(1, exporter);
    fixture.enrich(&mut batch);
    assert_eq!(fixture.name(batch.get(EXPORTER_NAME, 0)), "edge1");
}

#[test]
fn an_address_belongs_to_the_networks_of_its_vrf() {
    let fixture = network();
    let edge = fixture.exporters.intern(address("192.0.2.1"));
    let other = fixture.exporters.intern(address("192.0.2.99"));
    let red = fixture.names.intern("red");
    let mut batch = FlowBatch::new();
    let rows = [
        ("10.1.2.3", 0, 0, edge, "corp hq"),
        ("10.1.2.3", 12, 0, edge, "red-lan red-site"),
        ("10.1.2.3", 99, red, edge, "red-lan red-site"),
        ("10.2.2.3", 12, 0, edge, "private "),
        ("8.8.8.8", 12, 0, edge, "dns "),
        ("203.0.113.1", 12, 0, edge, "customer "),
        ("203.0.113.1", 0, 0, edge, "documentation "),
        ("10.1.2.3", 12, 0, other, "corp hq"),
        ("224.0.0.5", 0, red, other, "multicast "),
    ];
    for (ip, id, name, exporter, _) in rows {
        batch.set(SRC_ADDR, address(ip));
        batch.set(INGRESS_VRF_ID, id);
        batch.set(VRF_NAME, name);
        batch.advance(1, exporter);
    }
    fixture.enrich(&mut batch);
    for (row, (ip, id, name, _, expected)) in rows.into_iter().enumerate() {
        let found = [SRC_NETWORK, SRC_SITE].map(|col| fixture.name(batch.get(col, row))).join(" ");
        assert_eq!(found, expected, "{ip} in {id} {name}");
    }
    assert_eq!((batch.get(SRC_AS, 4), fixture.name(batch.get(SRC_COUNTRY, 4))), (64_999, "DE".into()));
}

#[test]
fn an_exporter_that_invents_indices_fills_no_memory() {
    let fixture = network();
    let exporter = fixture.exporters.intern(address("192.0.2.99"));
    let mut memo = Memo::default();
    for n in 0..50 {
        let mut batch = FlowBatch::new();
        batch.open(IN_IF_INDEX).extend((0..1000).map(|i| 1 + n * 1000 + i));
        batch.advance(1000, exporter);
        enrich(&mut batch, &fixture.snapshot, &fixture.exporters, &mut memo);
    }
    assert_eq!((memo.records().len(), memo.n_interfaces()), (1, 1));
}

#[test]
fn hits_are_counted_by_the_source_that_knows() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("a.csv"), "network,name\n192.0.2.0/24,a\n10.1.0.0/16,a\n").unwrap();
    // The same network, whose name is a's already, and a more specific one.
    std::fs::write(path("b.csv"), "network,name,site\n192.0.2.0/24,b,s\n10.1.2.0/24,b,s\n").unwrap();
    let devices = "devices: [{name: edge1, addresses: [192.0.2.77], interfaces: [{index: 7, name: xe0}]}]";
    std::fs::write(path("devices.yaml"), devices).unwrap();
    let mut geoip = Writer::new("GeoLite2-City");
    let place = geoip.record(&city_record("DE", None));
    geoip.insert("192.0.2.0/25".parse().unwrap(), place);
    geoip.write(&path("city.mmdb")).unwrap();
    let config = serde_json::json!({
        "networks": {"files": [path("a.csv"), path("b.csv")]}, "inventory": {"files": [path("devices.yaml")]},
        "geoip": {"city": path("city.mmdb")}
    });
    let fixture = Fixture::of(&serde_json::from_value(config).unwrap());
    let exporter = fixture.exporters.intern(address("192.0.2.77"));
    let stranger = fixture.exporters.intern(address("192.0.2.78"));
    let mut batch = FlowBatch::new();
    let own = fixture.names.intern("own");
    for (source, index, name, exporter) in [
        ("192.0.2.1", 7, 0, exporter),
        ("192.0.2.200", 7, own, exporter),
        ("10.1.2.3", 8, own, exporter),
        ("10.1.9.9", 9, 0, exporter),
        ("10.2.0.1", 7, 0, stranger),
        ("8.8.8.8", 8, 0, stranger),
    ] {
        batch.open(SRC_ADDR).push(address(source));
        batch.open(IN_IF_INDEX).push(index);
        batch.open(IN_IF_NAME).push(name);
        batch.advance(1, exporter);
    }

    let (hits, mut memo) = (Hits::default(), Memo::default());
    for _ in 0..2 {
        let tally = enrich(&mut batch.clone(), &fixture.snapshot, &fixture.exporters, &mut memo);
        hits.ask(Asked::Exporter, tally.rows);
        hits.ask(Asked::Interface, tally.interfaces);
        hits.ask(Asked::Address, tally.addresses);
        hits.take(&mut memo.uses, &fixture.snapshot);
    }
    let of = |source, asked| {
        let known = hits.of(source, asked);
        (known.hits / 2, known.misses / 2)
    };
    let (a, b, file) = (0, 1, 2);
    assert_eq!(
        [a, b, GEOIP_CITY, GEOIP_ASN].map(|source| of(source, Asked::Address)),
        [(3, 3), (3, 3), (1, 5), (0, 6)]
    );
    assert_eq!((of(file, Asked::Exporter), of(a, Asked::Exporter)), ((4, 2), (0, 6)));
    assert_eq!((of(file, Asked::Interface), of(OPTIONS_DATA, Asked::Interface)), ((2, 4), (2, 4)));
}
