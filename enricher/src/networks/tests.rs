//! The flattened tables against a plain longest match over the same networks.

use helios_common::exporter::{Address, address_of};
use helios_common::names::Names;
use proptest::prelude::*;

use super::*;
use crate::addresses::{Addresses, AsOrder, GeoipSources};
use crate::config::{AsSource, GeoipConfig};

const VRFS: [&str; 3] = ["", "red", "blue"];

/// Networks that crowd into few octets, so that they nest, touch and repeat, in three routing tables.
fn networks() -> impl Strategy<Value = Vec<(Prefix, usize, u32)>> {
    let octet = || prop::sample::select(vec![0_u8, 8, 10, 127, 128, 192, 255]);
    let v4 = (prop::array::uniform4(octet()), 0_u8..=32).prop_map(|(o, bits)| Prefix::new(o.into(), bits).unwrap());
    let v6 = (prop::array::uniform16(prop::sample::select(vec![0_u8, 0x20, 0xfc])), 0_u8..=128)
        .prop_map(|(o, bits)| Prefix::new(o.into(), bits).unwrap());
    prop::collection::vec((prop_oneof![v4, v6], 0..VRFS.len(), 1_u32..1000), 0..40)
}

/// The definition. `vrf` is the position in [`VRFS`].
fn plain(networks: &[Network], vrf: usize, address: Address, names: &Names) -> (NameId, NameId) {
    let id = names.intern(VRFS[vrf]);
    let mut all: Vec<Network> = WELL_KNOWN
        .iter()
        .filter(|(_, name)| vrf == 0 || PER_VRF.contains(name))
        .filter(|(prefix, _)| {
            let prefix: Prefix = prefix.parse().unwrap();
            !networks.iter().any(|network| network.vrf == id && network.prefix == prefix)
        })
        .map(|(prefix, name)| Network { name: names.intern(name), vrf: id, ..Network::new(prefix.parse().unwrap()) })
        .collect();
    all.extend(networks);
    let holding = all.iter().filter(|network| network.vrf == id && network.prefix.holds(address));
    let Some(longest) = holding.clone().map(|network| network.prefix.bits()).max() else {
        return if vrf == 0 { (NO_NAME, NO_NAME) } else { plain(networks, 0, address, names) };
    };
    let mut result = Network::new(Prefix::ALL_IPV6);
    for network in holding.rev().filter(|network| network.prefix.bits() == longest) {
        result.fill(network);
        result.prefix = network.prefix;
    }
    let name = if result.name == NO_NAME { names.intern(&result.prefix.to_string()) } else { result.name };
    (name, result.site)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tables_agree_with_a_plain_longest_match_in_every_vrf(networks in networks()) {
        let names = Names::new();
        let network = |(prefix, vrf, site): (Prefix, usize, u32)| {
            Network { vrf: names.intern(VRFS[vrf]), site, ..Network::new(prefix) }
        };
        let networks: Vec<_> = networks.into_iter().map(network).collect();
        let vrfs = [1, 2].map(|vrf| Vrf { name: names.intern(VRFS[vrf]), rd: NO_NAME });
        let tables = NetworkTables::new(&networks, &vrfs, &names);
        let geoip = GeoipSources::new(&GeoipConfig::default());
        let addresses = Addresses::new(None, &tables, &[], AsOrder::new(&[AsSource::Flow, AsSource::Networks]), geoip);
        let mut keys = vec![0, u128::MAX, 0xffff_0000_0000, 0xffff_ffff_ffff];
        for network in &networks {
            let (first, last) = (network.prefix.start(), network.prefix.last());
            keys.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1)]);
        }
        for key in keys {
            let address = key.to_be_bytes();
            // Looked up by the IPv4 address that they carry, which is the database's business.
            if key >> 112 == 0x2002 {
                continue;
            }
            for (vrf, name) in VRFS.iter().enumerate() {
                let number = if vrf == 0 { 0 } else { tables.vrf(names.intern(name)).unwrap() };
                let record = addresses.record_of(number, address);
                prop_assert_eq!((record.network, record.site), plain(&networks, vrf, address, &names), "{:x} in {}", key, name);
            }
        }
    }
}

#[test]
fn a_vrf_is_known_by_its_route_distinguisher_too() {
    let names = Names::new();
    let vrf = Vrf { name: names.intern("red"), rd: names.intern("65000:1") };
    let tables = NetworkTables::new(&[], &[vrf], &names);
    assert_eq!((tables.vrf(vrf.name), tables.vrf(vrf.rd), tables.vrfs.len()), (Some(1), Some(1), 1));
}

#[test]
fn every_well_known_range_is_a_prefix_and_has_its_name() {
    let names = Names::new();
    let tables = NetworkTables::new(&[], &[], &names);
    let addresses = Addresses::new(None, &tables, &[], AsOrder::new(&[]), GeoipSources::new(&GeoipConfig::default()));
    for (ip, expected) in [
        ("10.1.2.3", "private"),
        ("100.64.1.1", "cgnat"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("203.0.113.9", "documentation"),
        ("fd00::1", "private"),
        ("8.8.8.8", ""),
        ("2606:4700::1", ""),
    ] {
        let record = addresses.record_of(0, address_of(ip.parse().unwrap()));
        assert_eq!(names.read().get(record.network), expected, "{ip}");
    }
}
