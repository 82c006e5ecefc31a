//! Files of every kind against the plain reader, and files that are none.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use helios_common::exporter::{Address, address_of, ip_of};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::addresses::Addresses;
use crate::lookup::PrefixTable;
use helios_lab::mmdb::{Family, RecordSize, Writer, asn_record, city_record};

const ALL: Wanted = Wanted { place: true, asn: true };

fn parse_bytes(role: Role, bytes: &[u8]) -> Result<(Layer, Info), GeoipError> {
    parse(role, Path::new("test.mmdb"), bytes, ALL, &Names::new())
}

/// A table from address to the position of the record's text in `texts`, by way of the walk under test.
fn table<'a>(reader: &'a Reader<&'a [u8]>, text: impl Fn(&Found<'a>) -> String) -> (PrefixTable, Vec<String>) {
    let mut texts = vec![String::new()];
    let networks = networks(reader, |found| {
        texts.push(text(found));
        Ok(texts.len() as u32 - 1)
    });
    let entries = networks.unwrap().expect("the tree is one").entries;
    let (v4, v6) = (Runs::flatten(entries.v4), Runs::flatten(entries.v6));
    (PrefixTable::from_runs(&v4, &v6).with_carried_ipv4(), texts)
}

#[test]
fn the_file_tells_about_itself() {
    let mut writer = Writer::new("GeoLite2-City").build_epoch(1_800_000_000);
    let (berlin, sweden) = (writer.record(&city_record("DE", Some("Berlin"))), writer.record(&city_record("SE", None)));
    writer.insert("192.0.2.0/24".parse().unwrap(), berlin);
    writer.insert("198.51.100.0/24".parse().unwrap(), sweden);
    writer.insert("2001:db8::/32".parse().unwrap(), sweden);
    let file = writer.finish().unwrap();
    let (layer, info) = parse_bytes(Role::City, &file).unwrap();
    let expected = Info {
        database_type: "GeoLite2-City".into(),
        build_epoch: 1_800_000_000,
        networks: 3,
        records: 2,
        file_bytes: file.len() as u64,
    };
    assert_eq!((info, layer.places.len()), (expected, 3));
}

#[test]
fn a_network_around_the_ipv4_subtree_holds_ipv4_addresses() {
    let mut writer = Writer::new("Test");
    let (wide, other) = (writer.record(&city_record("DE", None)), writer.record(&city_record("SE", None)));
    writer.insert("::/3".parse().unwrap(), wide);
    writer.insert("2001:db8::/32".parse().unwrap(), wide);
    writer.insert("2001:db9::/32".parse().unwrap(), other);
    let file = writer.finish().unwrap();
    let reader = Reader::from_source(file.as_slice()).unwrap();
    let (table, texts) = table(&reader, |found| found.decode::<Value<'_>>().map(|value| format!("{value:?}")).unwrap());
    let text = |ip: &str| texts[table.get(address_of(ip.parse().unwrap())) as usize].as_str();
    assert!(text("192.0.2.1").contains("DE") && text("::1").contains("DE"));
    // The reader by itself takes this one for an alias of IPv4, since it has the record that lies at `::/96`.
    assert!(text("2001:db8::1").contains("DE"));
    assert!(text("2001:db9::1").contains("SE"));
    assert_eq!(text("4001::1"), "");
}

#[test]
fn a_file_with_other_contents_is_refused_by_type() {
    let mut writer = Writer::new("GeoLite2-ASN");
    let record = writer.record(&asn_record(64_500, "Example"));
    writer.insert("192.0.2.0/24".parse().unwrap(), record);
    let file = writer.finish().unwrap();
    assert!(parse_bytes(Role::Asn, &file).is_ok());
    assert_eq!(
        parse_bytes(Role::City, &file).unwrap_err().to_string(),
        "enricher.geoip.city (GEOIP_CITY_DB): no record of test.mmdb has a country or city; \
         it is of type \"GeoLite2-ASN\", another one is needed"
    );
}

#[test]
fn a_missing_file_is_named_with_the_way_out() {
    let error = read(Role::Asn, Path::new("/nonexistent/asn.mmdb"), ALL, &Names::new()).unwrap_err().to_string();
    assert_eq!(
        error,
        "enricher.geoip.asn (GEOIP_ASN_DB): cannot read /nonexistent/asn.mmdb: \
         No such file or directory (os error 2); correct the path, or leave it out to run without"
    );
}

/// A small City file; where the search tree begins and how long it is are the format's (24 bits: 6 octets a node).
fn city_file() -> Vec<u8> {
    let mut writer = Writer::new("GeoLite2-City").record_size(RecordSize::Bits24);
    for n in 0..20_u8 {
        let record = writer.record(&city_record("DE", Some(&format!("City {n}"))));
        writer.insert(Prefix::new([192, n, 2, 0].into(), 24).unwrap(), record);
    }
    writer.finish().unwrap()
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let file = city_file();
    for len in 0..file.len() - 1 {
        // What is left out at the very end can be of the metadata that is not needed.
        if let Ok((_, info)) = parse_bytes(Role::City, &file[..len]) {
            panic!("{len} of {} octets passed for {info:?}", file.len());
        }
    }
}

#[test]
fn a_tree_that_leads_back_into_itself_is_refused() {
    let mut writer = Writer::new("Test").record_size(RecordSize::Bits24).family(Family::V4);
    let record = writer.record(&city_record("DE", None));
    writer.insert("192.0.2.0/24".parse().unwrap(), record);
    let mut file = writer.finish().unwrap();
    // Each of the first 20 nodes leads to the next one on both sides: a million leaves behind 24 nodes.
    for node in 0..20_u8 {
        file[usize::from(node) * 6..][..6].copy_from_slice(&[0, 0, node + 1, 0, 0, node + 1]);
    }
    assert!(matches!(parse_bytes(Role::City, &file), Err(GeoipError::NoTree { .. })));
    // The root leads to itself.
    file[..6].fill(0);
    assert!(matches!(parse_bytes(Role::City, &file), Err(GeoipError::Broken { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_damaged_file_is_read_or_refused(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut file = city_file();
        for (index, octet) in damage {
            let at = index.index(file.len());
            file[at] = octet;
        }
        if let Ok((layer, info)) = parse_bytes(Role::City, &file) {
            prop_assert!(info.networks > 0 && layer.places.len() > 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_table_answers_as_the_reader_does(
        v4 in prop::collection::vec((prop::array::uniform4(prop::sample::select(vec![0_u8, 9, 200])), 0_u8..=32), 1..20),
        v6 in prop::collection::vec((prop::array::uniform16(prop::sample::select(vec![0x20_u8, 0x55])), 16_u8..=128), 0..20),
        size in prop::sample::select(vec![RecordSize::Bits24, RecordSize::Bits28, RecordSize::Bits32]),
    ) {
        let v4 = v4.into_iter().map(|(octets, bits)| Prefix::new(octets.into(), bits).unwrap());
        let v6 = v6.into_iter().map(|(octets, bits)| Prefix::new(octets.into(), bits).unwrap());
        let networks: Vec<_> = v4.chain(v6).collect();
        let mut writer = Writer::new("Test").record_size(size);
        for (n, &network) in networks.iter().enumerate() {
            let record = writer.record(&asn_record(n as u32 + 1, "name"));
            writer.insert(network, record);
        }
        let file = writer.finish().unwrap();
        let (layer, _) = parse_bytes(Role::Asn, &file).unwrap();
        let geo = Addresses::of_geo(None, Some(layer)).unwrap();
        let reader = Reader::from_source(file.as_slice()).unwrap();
        for key in networks.iter().flat_map(|network| [network.start(), network.last(), network.last() ^ 1]) {
            let address: Address = key.to_be_bytes();
            let found = reader.lookup(ip_of(address)).unwrap().decode::<Value<'_>>().unwrap();
            let expected = found.map_or(Place::default(), |record| record.place(ALL, &Names::new()));
            prop_assert_eq!(geo.place_of(address).asn, expected.asn, "{}", ip_of(address));
        }
    }
}

/// Where the captures of other projects are, if they are.
fn captures() -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/captures"));
    let path = std::env::var_os("HELIOS_CAPTURES").map_or_else(beside, PathBuf::from);
    path.join("mmdb").is_dir().then_some(path)
}

/// The expected look-ups: by database name, each with `ip`, `found` and what is known.
fn expected(captures: &Path) -> BTreeMap<String, Vec<Json>> {
    let text = fs::read_to_string(captures.join("expected.json")).unwrap();
    let mut json: Json = serde_json::from_str(&text).unwrap();
    serde_json::from_value(json["mmdb"]["lookups"].take()).unwrap()
}

/// The country, city, AS number and AS name that a geo database gives an address.
fn answer(geo: &Addresses, names: &Names, ip: &str) -> [String; 4] {
    let place = geo.place_of(address_of(ip.parse().unwrap()));
    let view = names.read();
    let asn = if place.asn == 0 { String::new() } else { place.asn.to_string() };
    [view.get(place.country).into(), view.get(place.city).into(), asn, view.get(place.as_name).into()]
}

#[test]
fn published_geo_databases_answer_as_expected() {
    let Some(captures) = captures() else { return eprintln!("0 published look-ups ran: there are no captures") };
    let mut ran = 0;
    for (name, lookups) in expected(&captures).iter().filter(|(name, _)| name.starts_with("Geo")) {
        let role = if name.contains("ASN") { Role::Asn } else { Role::City };
        let path = captures.join(format!("mmdb/test-data/{name}.mmdb"));
        let names = Names::new();
        let (layer, _) = read(role, &path, ALL, &names).unwrap();
        let geo = Addresses::of_geo(Some(layer), None).unwrap();
        for lookup in lookups {
            let field = |key: &str| match &lookup[key] {
                Json::String(text) => text.clone(),
                Json::Number(number) => number.to_string(),
                _ => String::new(),
            };
            let ip = lookup["ip"].as_str().unwrap();
            let [country, city, asn, as_name] = answer(&geo, &names, ip);
            assert_eq!([&country, &city, &asn], [&field("country"), &field("city"), &field("asn")], "{name} {ip}");
            // The name belongs to the number: a record without one has that of the number's other records.
            if lookup["as_org"].is_string() {
                assert_eq!(as_name, field("as_org"), "{name} {ip}");
            }
            ran += 1;
        }
    }
    eprintln!("{ran} published look-ups ran");
    assert!(ran >= 42);
}

#[test]
fn published_trees_answer_as_expected() {
    let Some(captures) = captures() else { return eprintln!("0 published look-ups ran: there are no captures") };
    let mut ran = 0;
    for (name, lookups) in expected(&captures).iter().filter(|(name, _)| name.starts_with("MaxMind-DB-test")) {
        let bytes = fs::read(captures.join(format!("mmdb/test-data/{name}.mmdb"))).unwrap();
        let reader = Reader::from_source(bytes.as_slice()).unwrap();
        let (table, texts) = table(&reader, |found| {
            let record: BTreeMap<String, String> = found.decode().unwrap().unwrap();
            record["ip"].clone()
        });
        for lookup in lookups {
            let ip = lookup["ip"].as_str().unwrap();
            // `::1.1.1.1` is an IPv6 address here. The form is long deprecated (RFC 4291 §2.5.5.1), and `::` is what
            // an address column holds that has no address.
            if ip == "::1.1.1.1" {
                continue;
            }
            let text = &texts[table.get(address_of(ip.parse().unwrap())) as usize];
            assert_eq!(text, lookup["value"].as_str().unwrap_or(""), "{name} {ip}");
            ran += 1;
        }
    }
    eprintln!("{ran} published look-ups ran");
    assert!(ran >= 16);
}

#[test]
fn published_broken_databases_are_refused() {
    let Some(captures) = captures() else { return eprintln!("0 broken databases ran: there are no captures") };
    let mut files = vec![captures.join("mmdb/test-data/MaxMind-DB-test-broken-pointers-24.mmdb")];
    for folder in fs::read_dir(captures.join("mmdb/bad-data")).unwrap().map(|entry| entry.unwrap().path()) {
        if folder.is_dir() {
            files.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    for path in &files {
        let error = read(Role::City, path, ALL, &Names::new()).expect_err("a broken file passed").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
    eprintln!("{} broken databases ran", files.len());
    assert!(files.len() >= 4);
}

/// Of the published sources of a database: its networks with the country, city and AS number that they give.
fn source_networks(captures: &Path, name: &str) -> Vec<(Prefix, [String; 3])> {
    let text = fs::read_to_string(captures.join(format!("mmdb/source-data/{name}.json"))).unwrap();
    let entries: Vec<BTreeMap<String, Json>> = serde_json::from_str(&text).unwrap();
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let known = |record: &Json| {
        let fields = ["/country/iso_code", "/city/names/en", "/autonomous_system_number"];
        fields.map(|path| record.pointer(path).map_or_else(String::new, text))
    };
    let networks = entries.iter().flatten().map(|(network, record)| (network.parse().unwrap(), known(record)));
    networks.collect()
}

#[test]
fn published_databases_answer_at_both_ends_of_every_network_of_their_sources() {
    let Some(captures) = captures() else { return eprintln!("0 published look-ups ran: there are no captures") };
    let mut ran = 0;
    for (name, role) in [("GeoLite2-City-Test", Role::City), ("GeoLite2-ASN-Test", Role::Asn)] {
        let names = Names::new();
        let (layer, _) = read(role, &captures.join(format!("mmdb/test-data/{name}.mmdb")), ALL, &names).unwrap();
        let geo = Addresses::of_geo(Some(layer), None).unwrap();
        let networks = source_networks(&captures, name);
        for (network, _) in &networks {
            for address in [network.start(), network.last()].map(u128::to_be_bytes) {
                let holding = networks.iter().filter(|(network, _)| network.holds(address));
                let (longest, expected) = holding.max_by_key(|(network, _)| network.bits()).unwrap();
                let ip = helios_common::exporter::ip_of(address).to_string();
                let [country, city, asn, _] = answer(&geo, &names, &ip);
                assert_eq!([country, city, asn], *expected, "{name}: {ip} by {longest}");
                ran += 1;
            }
        }
    }
    eprintln!("{ran} published look-ups ran");
    assert!(ran >= 1900);
}

#[test]
fn published_files_of_other_kinds_are_read_or_refused_by_name() {
    let Some(captures) = captures() else { return eprintln!("0 published files ran: there are no captures") };
    let mut ran = 0;
    for path in fs::read_dir(captures.join("mmdb/test-data")).unwrap().map(|entry| entry.unwrap().path()) {
        for role in [Role::City, Role::Asn] {
            match read(role, &path, ALL, &Names::new()) {
                Ok((_, info)) => assert!(info.networks > 0, "{}", path.display()),
                Err(error) => assert!(error.to_string().contains(&path.display().to_string()), "{error}"),
            }
            ran += 1;
        }
    }
    eprintln!("{ran} readings of published files ran");
    assert!(ran >= 16);
}
