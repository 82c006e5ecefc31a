//! One field's value as JSON.

use std::time::Duration;

use netflow_parser::variable_versions::field_value::DurationValue;
use netflow_parser::{DataNumber, FieldValue};
use serde::Serialize;
use serde_json::{Map, Value, json};

use helios_common::time::Utc;

/// From the NTP epoch (1900) to the Unix epoch (RFC 5905 §6).
const NTP_TO_UNIX: Duration = Duration::from_secs(2_208_988_800);

/// The crate has one type for moments and for durations. No flow lasts a year, no collector runs in 1970.
const YEAR: Duration = Duration::from_secs(31_536_000);

/// Numbers as numbers, addresses, MACs and moments as text, octets that have no other form in hexadecimal digits.
pub(super) fn value(field: &FieldValue) -> Value {
    match field {
        FieldValue::ApplicationId(id) => {
            // RFC 6759 §4.1: classification engine and selector.
            let selector = id.selector_id.as_ref().map_or(Value::Null, number);
            format!("{}:{}", id.classification_engine_id, text(&selector)).into()
        }
        FieldValue::String(string) => string.value.as_str().into(),
        FieldValue::DataNumber(value) => number(value),
        FieldValue::Float64(value) => json!(value),
        FieldValue::Duration(value) => moment(value),
        FieldValue::Ip4Addr(address) => address.to_string().into(),
        FieldValue::Ip6Addr(address) => address.to_string().into(),
        FieldValue::Vec(octets) => hex(octets).into(),
        FieldValue::ProtocolType(value) => u8::from(*value).into(),
        FieldValue::ForwardingStatus(value) => u8::from(*value).into(),
        FieldValue::FragmentFlags(value) => u8::from(*value).into(),
        FieldValue::TcpControlBits(value, _) => u16::from(*value).into(),
        FieldValue::IsMulticast(value) => u8::from(*value).into(),
        FieldValue::MplsLabelExp(value) => u8::from(*value).into(),
        FieldValue::FlowEndReason(value) => u8::from(*value).into(),
        FieldValue::NatEvent(value) => u8::from(*value).into(),
        FieldValue::FirewallEvent(value) => u8::from(*value).into(),
        FieldValue::MplsTopLabelType(value) => u8::from(*value).into(),
        FieldValue::NatOriginatingAddressRealm(value) => u8::from(*value).into(),
        // MAC addresses and sets of named bits, as the crate shows them.
        other => shown(other),
    }
}

fn number(value: &DataNumber) -> Value {
    match value {
        DataNumber::U128(number) => number.to_string().into(),
        DataNumber::I128(number) => number.to_string().into(),
        DataNumber::Vec(octets) => hex(octets).into(),
        other => shown(other),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn moment(value: &DurationValue) -> Value {
    let since = value.as_duration();
    let unix = match value {
        DurationValue::MicrosNtp { .. } | DurationValue::NanosNtp { .. } => since.saturating_sub(NTP_TO_UNIX),
        _ if since < YEAR => return json!(since.as_secs_f64()),
        _ => since,
    };
    Utc(i64::try_from(unix.as_millis()).unwrap_or(i64::MAX)).to_string().into()
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A structure of the crates as JSON, without the names of its enum variants: `{"DataNumber":{"U32":5}}` is 5.
pub(super) fn shown<T: Serialize>(value: &T) -> Value {
    unwrapped(serde_json::to_value(value).unwrap_or(Value::Null))
}

fn unwrapped(value: Value) -> Value {
    match value {
        Value::Object(mut map) => {
            let variant = map.len() == 1 && map.keys().all(|key| key.starts_with(|c: char| c.is_ascii_uppercase()));
            match map.values_mut().next() {
                Some(only) if variant => unwrapped(only.take()),
                _ => Value::Object(map.into_iter().map(entry).collect()),
            }
        }
        Value::Array(values) => Value::Array(values.into_iter().map(unwrapped).collect()),
        other => other,
    }
}

/// Keys under which the crates keep octets.
const OCTETS: [&str; 4] = ["header", "data", "s_gid", "d_gid"];

fn entry((key, value): (String, Value)) -> (String, Value) {
    let octets = match &value {
        Value::Array(items) if OCTETS.contains(&key.as_str()) => items
            .iter()
            .map(|item| item.as_u64().and_then(|octet| u8::try_from(octet).ok()))
            .collect::<Option<Vec<u8>>>(),
        _ => None,
    };
    let value = octets.map_or_else(|| unwrapped(value), |octets| hex(&octets).into());
    (key, value)
}

/// Elements of the type boolean.
const BOOLEANS: [&str; 2] = ["dataRecordsReliability", "hashDigestOutput"];

/// RFC 7011 §6.1.5: 1 is true, 2 is false, nothing else is a boolean.
fn boolean(value: Value) -> Value {
    match value.as_u64() {
        Some(1) => true.into(),
        Some(2) => false.into(),
        _ => value,
    }
}

/// Fields by name, in the order of the record; an element that is there several times has its values in a list.
pub(super) fn fields(record: impl Iterator<Item = (String, Value)>) -> Value {
    let mut all: Map<String, Value> = Map::new();
    let mut repeated = Vec::new();
    for (name, value) in record {
        let value = if BOOLEANS.contains(&name.as_str()) { boolean(value) } else { value };
        match all.get_mut(&name) {
            Some(Value::Array(values)) if repeated.contains(&name) => values.push(value),
            Some(first) => {
                *first = json!([first.take(), value]);
                repeated.push(name);
            }
            None => {
                all.insert(name, value);
            }
        }
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_durations_are_told_apart() {
        let duration = |value| moment(&value);
        assert_eq!(duration(DurationValue::Millis { value: 1500, width: 4 }), json!(1.5));
        let at = "2023-11-14T22:13:20.500Z";
        assert_eq!(duration(DurationValue::Millis { value: 1_700_000_000_500, width: 8 }), json!(at));
        let ntp =
            DurationValue::MicrosNtp { seconds: 1_700_000_000_u32.wrapping_add(2_208_988_800), fraction: 1 << 31 };
        assert_eq!(duration(ntp), json!(at));
    }

    #[test]
    fn an_element_that_comes_twice_keeps_both_values_and_the_order() {
        let octets = FieldValue::Vec(vec![1, 2]);
        let number = FieldValue::DataNumber(DataNumber::U24(7));
        let record = [("b", &octets), ("a", &octets), ("b", &number), ("b", &octets)];
        let shown = fields(record.into_iter().map(|(name, value)| (name.to_owned(), super::value(value))));
        assert_eq!(shown.to_string(), r#"{"b":["0102",7,"0102"],"a":"0102"}"#);
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_text() {
        assert_eq!(value(&FieldValue::DataNumber(DataNumber::U128(1 << 64))), json!("18446744073709551616"));
    }
}
