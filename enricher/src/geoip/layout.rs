//! The record layouts of the vendors: where a record has its country, city and autonomous system.
//!
//! MaxMind (GeoIP2 and GeoLite2 City, Country, Enterprise, ASN, ISP) and DB-IP nest: `country.iso_code`,
//! `city.names.en`, `autonomous_system_number`, in Enterprise below `traits`. IPinfo is flat: `country_code` or
//! `country`, `city`, `asn` as the text `AS15169`, `as_name` or in its ASN file `name`. Names are the English ones.
//!
//! Records are decoded generically and not into the structs of a layout: vendors differ in the widths of their
//! integers, which typed decoding refuses.

use std::fmt;

use helios_common::names::{NO_NAME, NameId, Names};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Place;

type Path = &'static [&'static str];

// The first path that a record has a value at counts.
const COUNTRY: &[Path] = &[&["country_code"], &["country", "iso_code"], &["country"]];
const CITY: &[Path] = &[&["city", "names", "en"], &["city"]];
const ASN: &[Path] = &[&["autonomous_system_number"], &["asn"], &["traits", "autonomous_system_number"]];
const AS_NAME: &[Path] = &[
    &["autonomous_system_organization"],
    &["as_name"],
    &["as_org"],
    &["traits", "autonomous_system_organization"],
    &["name"],
];

/// What to take from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Country and city.
    pub place: bool,
    /// AS number and name.
    pub asn: bool,
}

/// A record, as far as the paths lead into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'de> {
    /// UTF-8 string.
    Text(&'de str),
    /// Unsigned integer of any width.
    Number(u64),
    /// Entries whose keys a path goes by, in the order of the file.
    Map(Vec<(&'de str, Value<'de>)>),
    /// Whatever no path ends at.
    Other,
}

impl Value<'_> {
    /// What `wanted` asks for, as far as the record has it.
    pub fn place(&self, wanted: Wanted, names: &Names) -> Place {
        let mut place = Place::default();
        if wanted.place {
            place.country = self.text(COUNTRY, is_country_code).map_or(NO_NAME, |code| names.intern(code));
            place.city = self.name(CITY, names);
        }
        if wanted.asn {
            place.asn = self.find(ASN, Self::as_number).unwrap_or(0);
            place.as_name = if place.asn == 0 { NO_NAME } else { self.name(AS_NAME, names) };
        }
        place
    }

    fn name(&self, paths: &[Path], names: &Names) -> NameId {
        self.text(paths, |text| !text.is_empty()).map_or(NO_NAME, |text| names.intern(text))
    }

    fn text(&self, paths: &[Path], accept: impl Fn(&str) -> bool) -> Option<&str> {
        self.find(paths, |value| match value {
            Value::Text(text) => Some(text.trim()).filter(|text| accept(text)),
            _ => None,
        })
    }

    /// `15169`, `"15169"` or `"AS15169"`.
    fn as_number(&self) -> Option<u32> {
        match self {
            Value::Number(number) => u32::try_from(*number).ok(),
            Value::Text(text) => text.strip_prefix("AS").unwrap_or(text).parse().ok(),
            _ => None,
        }
    }

    fn find<'a, T>(&'a self, paths: &[Path], take: impl Fn(&'a Self) -> Option<T>) -> Option<T> {
        paths.iter().find_map(|path| take(path.iter().try_fold(self, |value, key| value.get(key))?))
    }

    fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Value::Map(entries) => entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// IPinfo has had both codes and full names under `country`.
fn is_country_code(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Whether a path goes by this key. Most of a city record, such as its names in eight languages, is skipped unread.
fn is_on_a_path(key: &str) -> bool {
    [COUNTRY, CITY, ASN, AS_NAME].into_iter().flatten().any(|path| path.contains(&key))
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a MaxMind DB record")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(u64::try_from(number).map_or(Value::Other, Value::Number))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Value<'de>, E> {
        Ok(u64::try_from(number).map_or(Value::Other, Value::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<&'de str>()? {
            if is_on_a_path(key) {
                entries.push((key, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_lab::mmdb::{self, Value as Written, asn_record, city_record};
    use maxminddb::Reader;

    const ALL: Wanted = Wanted { place: true, asn: true };

    /// What comes out of a record: country, city, AS number, AS name.
    fn place(record: &Written) -> (String, String, u32, String) {
        let mut writer = mmdb::Writer::new("Test");
        let record = writer.record(record);
        writer.insert("192.0.2.0/24".parse().unwrap(), record);
        let reader = Reader::from_source(writer.finish().unwrap()).unwrap();
        let names = Names::new();
        let found = reader.lookup("192.0.2.1".parse().unwrap()).unwrap();
        let place = found.decode::<Value<'_>>().unwrap().unwrap().place(ALL, &names);
        let view = names.read();
        let name = |id| view.get(id).to_owned();
        (name(place.country), name(place.city), place.asn, name(place.as_name))
    }

    fn expect(country: &str, city: &str, asn: u32, as_name: &str) -> (String, String, u32, String) {
        (country.into(), city.into(), asn, as_name.into())
    }

    fn text(text: &str) -> Written {
        Written::text(text)
    }

    #[test]
    fn maxmind_and_db_ip_nest() {
        assert_eq!(place(&city_record("DE", Some("Köln"))), expect("DE", "Köln", 0, ""));
        assert_eq!(place(&city_record("CH", None)), expect("CH", "", 0, ""));
        assert_eq!(place(&asn_record(3320, "Deutsche Telekom AG")), expect("", "", 3320, "Deutsche Telekom AG"));
    }

    #[test]
    fn enterprise_has_the_as_below_traits() {
        let record = Written::map([
            ("country", Written::map([("iso_code", text("SE")), ("geoname_id", Written::U32(2_661_886))])),
            ("location", Written::map([("latitude", Written::Double(58.4)), ("time_zone", text("Europe/Stockholm"))])),
            ("subdivisions", Written::Array(vec![Written::map([("iso_code", text("E"))])])),
            ("traits", asn_record(29_518, "Bredband2 AB")),
        ]);
        assert_eq!(place(&record), expect("SE", "", 29_518, "Bredband2 AB"));
    }

    #[test]
    fn ipinfo_is_flat_with_as_numbers_as_text() {
        let lite = Written::map([
            ("as_domain", text("google.com")),
            ("as_name", text("Google LLC")),
            ("asn", text("AS15169")),
            ("continent", text("North America")),
            ("country", text("United States")),
            ("country_code", text("US")),
        ]);
        assert_eq!(place(&lite), expect("US", "", 15_169, "Google LLC"));
        let location = Written::map([("city", text("Ghent")), ("country", text("BE")), ("lat", text("51.05"))]);
        assert_eq!(place(&location), expect("BE", "Ghent", 0, ""));
        let asn = Written::map([("asn", text("AS64500")), ("name", text("Example")), ("type", text("isp"))]);
        assert_eq!(place(&asn), expect("", "", 64_500, "Example"));
    }

    #[test]
    fn integers_of_any_width_are_as_numbers() {
        let widths = [
            Written::U16(64_500),
            Written::U32(64_500),
            Written::U64(64_500),
            Written::U128(64_500),
            Written::I32(64_500),
            text("64500"),
        ];
        for width in widths {
            let record = Written::map([("autonomous_system_number", width.clone())]);
            assert_eq!(place(&record).2, 64_500, "{width:?}");
        }
    }

    #[test]
    fn what_is_no_country_code_or_as_number_is_left_out() {
        let odd = Written::map([
            ("country", text("Belgium")),
            ("city", text("  ")),
            ("asn", Written::U64(1 << 32)),
            ("as_name", text("no number, no name")),
        ]);
        assert_eq!(place(&odd), expect("", "", 0, ""));
        for record in [text("192.0.2.0/24"), Written::Array(vec![]), Written::Bool(true), Written::Double(1.0)] {
            assert_eq!(place(&record), expect("", "", 0, ""));
        }
        for asn in [Written::I32(-1), Written::U128(u128::MAX), Written::Bytes(vec![1]), Written::Float(1.0)] {
            assert_eq!(place(&Written::map([("asn", asn)])), expect("", "", 0, ""));
        }
    }
}
