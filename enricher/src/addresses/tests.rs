//! Which source counts where several know something.

use helios_common::exporter::address_of;
use helios_common::names::Names;

use super::*;
use crate::lookup::runs::Entry;
use helios_common::prefix::Prefix;

const FLOW: u32 = 3320;
const GEOIP: u32 = 15_169;
const NETWORK: u32 = 64_999;

/// Tables of one network in one country, with an AS of its own.
fn tables(order: &[AsSource], names: &Names) -> (Addresses, u32) {
    let place = Place {
        country: names.intern("US"),
        city: names.intern("Boston"),
        asn: GEOIP,
        as_name: names.intern("Google"),
    };
    let v4 = Runs::flatten(vec![Entry { start: 0x0800_0000_u32, bits: 8, value: 1 }]);
    let layer = Layer { v4, v6: Runs::default(), places: vec![Place::default(), place] };
    let prefix: Prefix = "8.8.8.0/24".parse().unwrap();
    let network = Network { asn: NETWORK, country: names.intern("DE"), ..Network::new(prefix) };
    let networks = NetworkTables::new(&[network], &[], names);
    let geoip = GeoipSources::new(&GeoipConfig::default());
    let own_names = [(NETWORK, "Own network"), (FLOW, "Transit"), (FLOW, "Second name")];
    let own_names = own_names.map(|(asn, name)| (asn, names.intern(name)));
    let addresses = Addresses::new(Some(layer), &networks, &own_names, AsOrder::new(order), geoip);
    let mut ids = [0];
    addresses.lookup(&[address_of([8, 8, 8, 8].into())], &mut ids);
    (addresses, ids[0])
}

#[test]
fn the_first_source_in_the_order_that_has_a_number_counts() {
    use AsSource::{Flow, FlowExceptPrivate, Geoip, Networks};
    let names = Names::new();
    for (order, own, expected) in [
        (&[Flow, Networks, Geoip][..], FLOW, FLOW),
        (&[Flow, Networks, Geoip], 0, NETWORK),
        (&[Flow, Geoip, Networks], 0, GEOIP),
        (&[Geoip, Flow, Networks], FLOW, GEOIP),
        (&[Networks, Geoip], FLOW, NETWORK),
        (&[FlowExceptPrivate, Geoip], 65_001, GEOIP),
        (&[FlowExceptPrivate, Geoip], FLOW, FLOW),
        (&[FlowExceptPrivate], 65_001, 65_001),
        (&[], FLOW, FLOW),
    ] {
        let (addresses, id) = tables(order, &names);
        assert_eq!(addresses.asn(id, own), expected, "{order:?} with {own} in the flow");
    }
}

#[test]
fn the_networks_country_goes_before_and_takes_the_city_of_another_one_away() {
    let names = Names::new();
    let (addresses, _) = tables(&[AsSource::Flow], &names);
    let at = |ip: [u8; 4]| {
        let record = addresses.record_of(0, address_of(ip.into()));
        (names.read().get(record.country).to_owned(), names.read().get(record.city).to_owned())
    };
    assert_eq!(at([8, 8, 8, 8]), ("DE".into(), String::new()));
    assert_eq!(at([8, 8, 9, 8]), ("US".into(), "Boston".into()));
}

#[test]
fn what_geoip_alone_said_can_be_taken_back_out() {
    let names = Names::new();
    let (addresses, _) = tables(&[AsSource::Flow], &names);
    let layer = addresses.layer(Wanted { place: true, asn: true });
    let again = Addresses::of_geo(Some(layer), None).unwrap();
    let record = again.record_of(0, address_of([8, 8, 8, 8].into()));
    assert_eq!((names.read().get(record.country), record.asn), ("US", GEOIP));
}

#[test]
fn an_as_is_called_as_the_networks_own_sources_say_and_else_as_geoip_does() {
    let names = Names::new();
    let (addresses, id) = tables(&[AsSource::Networks, AsSource::Flow, AsSource::Geoip], &names);
    let name = |asn| names.read().get(addresses.as_name(asn)).to_owned();
    assert_eq!([name(NETWORK), name(FLOW), name(GEOIP), name(7)], ["Own network", "Transit", "Google", ""]);
    assert!(addresses.knows().asn && addresses.asn(id, 0) == NETWORK);
}
