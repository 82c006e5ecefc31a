//! Values as NetBox's versions write them: a choice is `"active"` or `{"value": "active", "label": "Active"}`, a reference is
//! null, an id or a nested object, a blank is `""` or null. Every one of these is read here, once.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::declare::{Field, Load};
use crate::model::{AddressRef, Cidr, Ids};
use crate::text::Text;

/// Any value as text: null is empty, a choice its value, an object its name, a list its elements joined by commas.
#[derive(Debug, Clone, PartialEq, Eq, Default, PartialOrd, Ord)]
pub(crate) struct Str(pub String);

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Str {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrVisitor)
    }
}

struct StrVisitor;

/// What stands for an object, the best first.
const NAMES: [&str; 6] = ["value", "name", "model", "address", "label", "display"];

impl<'de> Visitor<'de> for StrVisitor {
    type Value = Str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Str, E> {
        Ok(Str(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Str, E> {
        Ok(Str(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Str, E> {
        Ok(Str(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Str, E> {
        Ok(Str(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Str, E> {
        Ok(Str(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Str, E> {
        Ok(Str(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Str, E> {
        Ok(Str::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Str, A::Error> {
        let mut best = (NAMES.len(), Str::default());
        while let Some(Str(key)) = map.next_key()? {
            let Some(rank) = NAMES.iter().position(|name| *name == key).filter(|rank| *rank < best.0) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            // A device without a name still has what NetBox displays for it.
            let text: Str = map.next_value()?;
            if !text.0.is_empty() {
                best = (rank, text);
            }
        }
        Ok(best.1)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Str, A::Error> {
        let mut elements: Vec<String> = Vec::new();
        while let Some(Str(element)) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Str(elements.join(",")))
    }
}

/// A number; null and what is none are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Number(pub u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Text of any value first: custom fields may hold a number as text.
        let Str(text) = Str::deserialize(deserializer)?;
        Ok(Self(text.parse().unwrap_or(0)))
    }
}

/// The id of another object: of itself, or in the object that NetBox embeds; 0 for null. Also a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Id(pub u32);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, an id or an object with an id")
    }

    fn visit_unit<E>(self) -> Result<Id, E> {
        Ok(Id::default())
    }

    fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<Id, E> {
        u32::try_from(id).map(Id).map_err(|_| E::custom("an id beyond 32 bits"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Id, A::Error> {
        let mut id = Id::default();
        while let Some(Str(key)) = map.next_key()? {
            match &*key {
                "id" => id = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(id)
    }
}

impl Field for u32 {
    type Wire = Id;

    fn load(wire: Id, _load: &mut Load<'_>) -> Option<Self> {
        Some(wire.0)
    }
}

impl Field for Text {
    type Wire = Str;

    fn load(wire: Str, load: &mut Load<'_>) -> Option<Self> {
        Some(load.builder.text(&wire.0))
    }
}

impl Field for Ids {
    type Wire = Option<Vec<Id>>;

    fn load(wire: Option<Vec<Id>>, load: &mut Load<'_>) -> Option<Self> {
        Some(load.builder.ids(wire.into_iter().flatten().map(|id| id.0)))
    }
}

/// An address object that is embedded, or its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EmbeddedAddress {
    id: u32,
    address: Address,
}

impl Field for AddressRef {
    type Wire = Option<EmbeddedAddress>;

    fn load(wire: Option<EmbeddedAddress>, _load: &mut Load<'_>) -> Option<Self> {
        let EmbeddedAddress { id, address } = wire.unwrap_or_default();
        Some(Self { id, shown: address.0.map(|address| address.ip) })
    }
}

impl Field for Cidr {
    type Wire = Address;

    fn load(wire: Address, _load: &mut Load<'_>) -> Option<Self> {
        wire.0
    }
}

/// An address or network with its length: `192.0.2.1/24`, or an object that holds one; nothing if it is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Address(pub Option<Cidr>);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Str(text) = Str::deserialize(deserializer)?;
        Ok(Self(parse_cidr(&text)))
    }
}

fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let ip: IpAddr = address.parse().ok()?;
    let all = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(all), |bits| bits.parse().ok().filter(|bits| *bits <= all))?;
    Some(Cidr { ip, bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        serde_json::from_str::<Str>(json).unwrap().0
    }

    #[test]
    fn every_way_to_write_a_choice_or_a_custom_field_is_text() {
        for (json, expected) in [
            (r#""active""#, "active"),
            (r#"{"value": "active", "label": "Active"}"#, "active"),
            (r#"{"label": "IPv4", "value": 4}"#, "4"),
            (r#"{"id": 1, "display": "Zurich (ZRH)", "name": "Zurich", "nested": {"name": "x"}}"#, "Zurich"),
            (r#"{"id": 1, "display": "MX480 (7)", "name": null}"#, "MX480 (7)"),
            ("null", ""),
            ("true", "true"),
            ("-3", "-3"),
            ("1.5", "1.5"),
            (r#"["a", {"name": "b"}, 3]"#, "a,b,3"),
        ] {
            assert_eq!(text(json), expected, "{json}");
        }
    }

    #[test]
    fn a_reference_is_null_an_id_or_an_object() {
        let read = |json: &str| serde_json::from_str::<Id>(json).map(|id| id.0);
        let kind = r#"{"url": "x", "manufacturer": {"id": 1, "name": "J"}, "id": 3, "model": "MX"}"#;
        assert_eq!([read("null"), read("7"), read(kind), read("{}")].map(Result::unwrap), [0, 7, 3, 0]);
        assert!(read("\"x\"").is_err() && read("4294967296").is_err());
    }

    #[test]
    fn an_address_keeps_its_host_bits_and_what_is_none_is_nothing() {
        let read =
            |json: &str| serde_json::from_str::<Address>(json).unwrap().0.map(|address| (address.ip, address.bits));
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(read(r#""192.0.2.7/24""#), Some((ip("192.0.2.7"), 24)));
        assert_eq!(read(r#"{"id": 1, "address": "2001:db8::1/64"}"#), Some((ip("2001:db8::1"), 64)));
        assert_eq!(read(r#""192.0.2.7""#), Some((ip("192.0.2.7"), 32)));
        for nothing in ["null", r#""192.0.2.7/33""#, r#""x/8""#, r#""::1/129""#] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
