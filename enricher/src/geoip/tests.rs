//! One table from one file or two.

use std::path::Path;

use helios_common::exporter::address_of;
use helios_common::names::Names;

use super::database::{self, Layer};
use super::*;
use crate::addresses::Addresses;
use helios_lab::mmdb::{Value, Writer, asn_record, city_record};

const BOTH: Wanted = Wanted { place: true, asn: true };
const PLACE: Wanted = Wanted { place: true, asn: false };
const ASN: Wanted = Wanted { place: false, asn: true };

fn layer(names: &Names, role: Role, wanted: Wanted, networks: &[(&str, Value)]) -> Layer {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.mmdb");
    write(&path, networks);
    database::read(role, &path, wanted, names).unwrap().0
}

fn write(path: &Path, networks: &[(&str, Value)]) {
    let mut writer = Writer::new("Test");
    for (network, value) in networks {
        let record = writer.record(value);
        writer.insert(network.parse().unwrap(), record);
    }
    writer.write(path).unwrap();
}

fn place(geo: &Addresses, names: &Names, ip: &str) -> String {
    let place = geo.place_of(address_of(ip.parse().unwrap()));
    let view = names.read();
    format!("{} {} {} {}", view.get(place.country), view.get(place.city), place.asn, view.get(place.as_name))
}

fn cities() -> Vec<(&'static str, Value)> {
    vec![
        ("192.0.2.0/24", city_record("DE", Some("Berlin"))),
        ("192.0.2.64/26", city_record("FR", Some("Paris"))),
        ("2001:db8::/32", city_record("SE", None)),
    ]
}

fn systems() -> Vec<(&'static str, Value)> {
    vec![
        ("192.0.0.0/16", asn_record(64_500, "Sixteen")),
        ("192.0.2.96/27", asn_record(64_501, "Twenty-seven")),
        ("2001:db8:8000::/33", asn_record(64_502, "Thirty-three")),
        // Providers leave the name out of some records; it is that of the number all the same.
        ("198.51.100.0/24", Value::map([("autonomous_system_number", Value::U32(64_501))])),
    ]
}

#[test]
fn two_files_are_one_table_cut_at_the_borders_of_both() {
    let names = Names::new();
    let city = layer(&names, Role::City, PLACE, &cities());
    let asn = layer(&names, Role::Asn, ASN, &systems());
    let geo = Addresses::of_geo(Some(city), Some(asn)).unwrap();
    let at = |ip| place(&geo, &names, ip);
    assert_eq!(at("192.0.1.1"), "  64500 Sixteen");
    assert_eq!(at("192.0.2.1"), "DE Berlin 64500 Sixteen");
    assert_eq!(at("192.0.2.70"), "FR Paris 64500 Sixteen");
    assert_eq!(at("192.0.2.100"), "FR Paris 64501 Twenty-seven");
    assert_eq!(at("198.51.100.1"), "  64501 Twenty-seven");
    assert_eq!(at("2001:db8::1"), "SE  0 ");
    assert_eq!(at("2001:db8:ffff::1"), "SE  64502 Thirty-three");
    assert_eq!(at("203.0.113.1"), "  0 ");
    let knows = geo.knows();
    assert!(knows.country && knows.city && knows.asn);
}

#[test]
fn one_file_serves_for_all_that_it_has() {
    let names = Names::new();
    let bundle = Value::map([
        ("country", Value::text("CH")),
        ("asn", Value::text("AS3303")),
        ("as_name", Value::text("Swisscom")),
    ]);
    for role in [Role::City, Role::Asn] {
        let only = layer(&names, role, BOTH, &[("192.0.2.0/24", bundle.clone())]);
        let geo = match role {
            Role::City => Addresses::of_geo(Some(only), None),
            Role::Asn => Addresses::of_geo(None, Some(only)),
        };
        let geo = geo.unwrap();
        assert_eq!(place(&geo, &names, "192.0.2.9"), "CH  3303 Swisscom");
        let knows = geo.knows();
        assert_eq!((knows.country, knows.city, knows.asn), (true, false, true));
    }
    assert!(Addresses::of_geo(None, None).is_none());
}

#[test]
fn an_as_has_one_name_wherever_its_number_comes_from() {
    let names = Names::new();
    let networks = [
        ("192.0.2.0/25", asn_record(64_500, "First")),
        ("192.0.2.128/25", asn_record(64_500, "Second")),
        ("198.51.100.0/24", asn_record(4_200_000_000, "Private")),
    ];
    let geo = Addresses::of_geo(None, Some(layer(&names, Role::Asn, ASN, &networks))).unwrap();
    let name = |asn| names.read().get(geo.as_name(asn)).to_owned();
    assert_eq!([name(64_500), name(4_200_000_000), name(64_501), name(0)], ["First", "Private", "", ""]);
    assert_eq!(place(&geo, &names, "192.0.2.200"), "  64500 First");
}

#[test]
fn a_part_of_the_table_is_what_its_file_said() {
    let names = Names::new();
    let city = layer(&names, Role::City, PLACE, &cities());
    let asn = layer(&names, Role::Asn, ASN, &systems());
    let geo = Addresses::of_geo(Some(city), Some(asn)).unwrap();
    let newer = layer(&names, Role::Asn, ASN, &[("192.0.2.0/25", asn_record(64_999, "Newer"))]);
    let geo = Addresses::of_geo(Some(geo.layer(PLACE)), Some(newer)).unwrap();
    let at = |ip| place(&geo, &names, ip);
    assert_eq!(at("192.0.2.1"), "DE Berlin 64999 Newer");
    assert_eq!(at("192.0.2.100"), "FR Paris 64999 Newer");
    assert_eq!(at("192.0.2.200"), "DE Berlin 0 ");
    assert_eq!(at("2001:db8:ffff::1"), "SE  0 ");

    let other_cities = layer(&names, Role::City, PLACE, &[("192.0.2.64/26", city_record("NO", None))]);
    let geo = Addresses::of_geo(Some(other_cities), Some(geo.layer(ASN))).unwrap();
    assert_eq!(place(&geo, &names, "192.0.2.100"), "NO  64999 Newer");
    assert_eq!(place(&geo, &names, "192.0.2.1"), "  64999 Newer");
}
