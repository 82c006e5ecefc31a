//! What is written is what the `maxminddb` crate reads.

use std::collections::BTreeMap;
use std::net::IpAddr;

use maxminddb::{Reader, geoip2};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const SIZES: [RecordSize; 3] = [RecordSize::Bits24, RecordSize::Bits28, RecordSize::Bits32];

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn number(reader: &Reader<Vec<u8>>, ip: &str) -> Option<u32> {
    let found = reader.lookup(ip.parse::<IpAddr>().unwrap()).unwrap();
    found.decode::<geoip2::Asn<'_>>().unwrap().and_then(|asn| asn.autonomous_system_number)
}

#[test]
fn every_record_size_reads_back_and_verifies() {
    for size in SIZES {
        let mut writer = Writer::new("GeoLite2-ASN").record_size(size).build_epoch(1_800_000_000);
        let wide = writer.record(&asn_record(64_500, "Wide"));
        let narrow = writer.record(&asn_record(4_200_000_000, "Narrow"));
        writer.insert(prefix("192.0.2.128/25"), narrow);
        writer.insert(prefix("192.0.0.0/16"), wide);
        writer.insert(prefix("2001:db8::/32"), wide);
        let reader = Reader::from_source(writer.finish().unwrap()).unwrap();
        reader.verify().unwrap();
        assert_eq!((reader.metadata().record_size, reader.metadata().build_epoch), (size as u16, 1_800_000_000));
        let ips = ["192.0.2.127", "192.0.2.128", "::ffff:192.0.2.200", "2002:c000:0280::1", "2001:db8::1"];
        let numbers = ips.map(|ip| number(&reader, ip));
        assert_eq!(
            numbers,
            [Some(64_500), Some(4_200_000_000), Some(4_200_000_000), Some(4_200_000_000), Some(64_500)]
        );
        assert_eq!(number(&reader, "192.1.0.0"), None);
    }
}

#[test]
fn an_ipv4_database_takes_no_ipv6_networks() {
    let mut writer = Writer::new("Test").family(Family::V4);
    let record = writer.record(&asn_record(1, "One"));
    writer.insert(prefix("0.0.0.0/0"), record);
    let reader = Reader::from_source(writer.finish().unwrap()).unwrap();
    reader.verify().unwrap();
    assert_eq!((reader.metadata().ip_version, number(&reader, "203.0.113.9")), (4, Some(1)));

    let mut writer = Writer::new("Test").family(Family::V4);
    writer.insert(prefix("2001:db8::/32"), record);
    assert_eq!(writer.finish(), Err(WriteError::Ipv6Network));
}

#[test]
fn pointers_that_do_not_fit_are_refused() {
    let mut writer = Writer::new("Test").record_size(RecordSize::Bits24);
    let filler = Value::Array((0..10_000).map(|n| Value::Bytes(vec![n as u8; 2000])).collect());
    writer.record(&filler);
    let behind = writer.record(&asn_record(1, "One"));
    writer.insert(prefix("192.0.2.0/24"), behind);
    assert_eq!(writer.finish(), Err(WriteError::TooLarge { networks: 1, record_size: 24 }));
}

#[test]
fn every_type_keeps_its_value_and_repeated_texts_are_pointers() {
    #[derive(Deserialize, Debug, PartialEq)]
    struct All {
        text: String,
        flag: bool,
        small: u16,
        medium: u32,
        large: u64,
        huge: u128,
        signed: i32,
        single: f32,
        double: f64,
        list: Vec<String>,
        map: BTreeMap<String, String>,
    }
    let repeated = "a text that is written once".to_owned();
    let value = Value::map([
        ("text", Value::text(&repeated)),
        ("flag", Value::Bool(true)),
        ("small", Value::U16(u16::MAX)),
        ("medium", Value::U32(u32::MAX)),
        ("large", Value::U64(u64::MAX)),
        ("huge", Value::U128(u128::MAX)),
        ("signed", Value::I32(-7)),
        ("single", Value::Float(1.5)),
        ("double", Value::Double(-2.25)),
        ("list", Value::Array(vec![Value::text(&repeated), Value::text(&repeated)])),
        ("map", Value::map([("key", Value::text(&repeated))])),
    ]);
    let mut writer = Writer::new("Test");
    let record = writer.record(&value);
    writer.insert(prefix("::/0"), record);
    let file = writer.finish().unwrap();
    assert_eq!(file.windows(repeated.len()).filter(|window| *window == repeated.as_bytes()).count(), 1);
    let reader = Reader::from_source(file).unwrap();
    reader.verify().unwrap();
    let all: All = reader.lookup("2001:db8::1".parse().unwrap()).unwrap().decode().unwrap().unwrap();
    let expected = All {
        text: repeated.clone(),
        flag: true,
        small: u16::MAX,
        medium: u32::MAX,
        large: u64::MAX,
        huge: u128::MAX,
        signed: -7,
        single: 1.5,
        double: -2.25,
        list: vec![repeated.clone(), repeated.clone()],
        map: BTreeMap::from([("key".to_owned(), repeated)]),
    };
    assert_eq!(all, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nested_networks_in_any_order_answer_with_the_longest(
        networks in prop::collection::vec((prop::array::uniform2(0_u8..4), 0_u8..=32), 1..30),
        size in prop::sample::select(SIZES.to_vec()),
    ) {
        let mut writer = Writer::new("Test").record_size(size);
        let networks: Vec<_> =
            networks.iter().map(|&([a, b], bits)| Prefix::new([a, b, a, b].into(), bits).unwrap()).collect();
        for (n, &network) in networks.iter().enumerate() {
            let record = writer.record(&asn_record(n as u32 + 1, "name"));
            writer.insert(network, record);
        }
        let reader = Reader::from_source(writer.finish().unwrap()).unwrap();
        prop_assert!(reader.verify().is_ok());
        for address in networks.iter().flat_map(|network| [network.start() as u32, network.last() as u32]) {
            let mapped = helios_common::exporter::mapped(address.to_be_bytes());
            let holding = networks.iter().enumerate().filter(|(_, network)| network.holds(mapped));
            let longest = holding.max_by_key(|(_, network)| network.bits()).map(|(n, _)| n as u32 + 1);
            prop_assert_eq!(number(&reader, &IpAddr::from(address.to_be_bytes()).to_string()), longest);
        }
    }
}
