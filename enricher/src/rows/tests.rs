//! The columns of a batch, against what the databases say about each row.

use std::sync::Arc;

use helios_common::columns::{BYTES, Column};
use helios_common::exporter::{NO_ADDRESS, address_of};
use helios_common::names::Names;

use super::*;
use crate::config::GeoipConfig;
use crate::geoip::reload::Files;
use crate::mmdb_writer::{Writer, asn_record, city_record};

fn address(ip: &str) -> Address {
    address_of(ip.parse().unwrap())
}

struct Fixture {
    names: Arc<Names>,
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
        let config =
            GeoipConfig { city: city.then_some(city_path), asn: asn.then_some(asn_path), ..GeoipConfig::default() };
        let names = Arc::new(Names::new());
        let (_, geo) = Files::open(&config, &names).unwrap();
        Self { names, snapshot: Snapshot { generation: 0, geo } }
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
    let tally = enrich(&mut batch, &fixture.snapshot);
    assert_eq!(fixture.source(&batch, 0), row("DE", "Berlin", 64_500, "Own"));
    assert_eq!(fixture.source(&batch, 1), row("FR", "", 0, ""));
    assert_eq!(fixture.source(&batch, 2), row("SE", "", 0, ""));
    assert_eq!(fixture.source(&batch, 3), row("", "", 0, ""));
    assert_eq!(fixture.source(&batch, 4), row("", "", 64_501, "Other"));
    assert_eq!(tally, Tally { addresses: 5, city_hits: 3, asn_hits: 2 });
}

#[test]
fn the_flows_own_as_stays_and_is_named() {
    let fixture = Fixture::new(true, true);
    let mut batch = batch(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "10.0.0.1"], &[64_501, 0, 65_000, 64_500]);
    enrich(&mut batch, &fixture.snapshot);
    assert_eq!(batch.values(SRC_AS), [64_501, 64_500, 65_000, 64_500]);
    let names: Vec<_> = (0..4).map(|row| fixture.source(&batch, row).3).collect();
    assert_eq!(names, ["Other", "Own", "", "Own"]);
}

#[test]
fn columns_without_a_value_stay_absent() {
    let fixture = Fixture::new(true, true);
    let mut nowhere = batch(&["10.0.0.1", "10.0.0.2"], &[]);
    enrich(&mut nowhere, &fixture.snapshot);
    assert_eq!(columns(&nowhere), ["bytes", "src_addr"]);
    let mut no_city = batch(&["198.51.100.1"], &[]);
    enrich(&mut no_city, &fixture.snapshot);
    assert_eq!(columns(&no_city), ["bytes", "src_addr", "src_country"]);
}

#[test]
fn a_source_that_is_not_configured_writes_nothing() {
    let mut only_city = batch(&["192.0.2.1"], &[]);
    enrich(&mut only_city, &Fixture::new(true, false).snapshot);
    assert_eq!(columns(&only_city), ["bytes", "src_addr", "src_country", "src_city"]);
    let mut only_asn = batch(&["192.0.2.1"], &[]);
    enrich(&mut only_asn, &Fixture::new(false, true).snapshot);
    assert_eq!(columns(&only_asn), ["bytes", "src_addr", "src_as", "src_as_name"]);
    let mut neither = batch(&["192.0.2.1"], &[7]);
    assert_eq!(enrich(&mut neither, &Fixture::new(false, false).snapshot), Tally::default());
    assert_eq!((columns(&neither), neither.values(SRC_AS)), (vec!["bytes", "src_addr", "src_as"], &[7][..]));
}

#[test]
fn rows_beyond_a_columns_end_have_no_address() {
    let fixture = Fixture::new(true, true);
    // The rows without an address are in the second chunk, whose places in the ids the first one has used.
    let mut batch = batch(&["192.0.2.1"; CHUNK], &[]);
    batch.advance(2, ExporterId(0));
    let tally = enrich(&mut batch, &fixture.snapshot);
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
    enrich(&mut batch, &fixture.snapshot);
    let (de, fr) = (fixture.names.intern("DE"), fixture.names.intern("FR"));
    for row in 0..rows {
        assert_eq!(batch.get(SRC_COUNTRY, row), [de, fr, 0][row % 3], "row {row}");
        assert_eq!(batch.get(DST_COUNTRY, row), [de, fr, 0][(row + 1) % 3], "row {row}");
        assert_eq!(batch.get(DST_AS, row), [64_500, 0, 0][(row + 1) % 3], "row {row}");
    }
}

#[test]
fn exporters_are_named_by_their_addresses() {
    let names = Arc::new(Names::new());
    let exporters = Exporters::new(Arc::clone(&names));
    let (one, two) = (exporters.intern(address("10.0.0.1")), exporters.intern(address("2001:db8::2")));
    let mut batch = FlowBatch::new();
    for (rows, exporter) in [(2, one), (1, two), (1, one), (1, ExporterId(77))] {
        batch.fill(BYTES, rows, 1);
        batch.advance(rows, exporter);
    }
    let mut exporter_names = ExporterNames::default();
    exporter_names.write(&mut batch, &exporters);
    let view = names.read();
    let written: Vec<_> = batch.values(EXPORTER_NAME).iter().map(|&name| view.get(name)).collect();
    assert_eq!(written, ["10.0.0.1", "10.0.0.1", "2001:db8::2", "10.0.0.1", ""]);
}
