//! Interfaces from the series of snmp_exporter: an instant query to Prometheus, Thanos or what speaks like them.
//!
//! Its module `if_mib` puts `ifIndex`, `ifName`, `ifAlias` and `ifDescr` as labels on every series; without these
//! look-ups `ifName` and `ifAlias` are series of their own with the text in a label. Both come out of one query, and the
//! value of `ifHighSpeed` (Mbit/s) or `ifSpeed` (bit/s) is the speed.
//! Source: <https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>, RFC 2863.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use helios_common::exporter::address_of;
use helios_common::names::{NO_NAME, Names};
use serde::Deserialize;

use crate::inventory::{Device, Interface, Inventory};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    error: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    result: Vec<Series<'a>>,
}

#[derive(Deserialize)]
struct Series<'a> {
    #[serde(borrow)]
    metric: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// Time and value, the latter as text.
    value: (f64, String),
}

/// The address of an instant query.
pub fn query_url(server: &str, query: &str) -> String {
    let mut url = format!("{}/api/v1/query?query=", server.trim_end_matches('/'));
    for octet in query.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(octet)),
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

/// The interfaces in an answer, by exporter.
///
/// # Errors
/// What is wrong with the answer.
pub fn interfaces(text: &str, instance_label: &str, names: &Names) -> Result<Inventory, String> {
    let answer: Answer<'_> = serde_json::from_str(text).map_err(|error| format!("it is not Prometheus': {error}"))?;
    let Some(data) = answer.data.filter(|_| answer.status == "success") else {
        return Err(format!("Prometheus says: {}", answer.error));
    };
    let mut devices: BTreeMap<String, BTreeMap<u32, Interface>> = BTreeMap::new();
    for Series { metric, value } in &data.result {
        let label = |name: &str| metric.get(name).map(|value| value.as_ref()).filter(|value| !value.is_empty());
        let index = label("ifIndex").and_then(|index| index.parse::<u32>().ok()).filter(|&index| index != 0);
        let (Some(instance), Some(index)) = (label(instance_label), index) else { continue };
        let interface = devices.entry(instance.to_owned()).or_default().entry(index).or_default();
        interface.index = index;
        for (field, text) in [
            (&mut interface.name, label("ifName").or_else(|| label("ifDescr"))),
            (&mut interface.description, label("ifAlias")),
        ] {
            if let Some(text) = text.filter(|_| *field == NO_NAME) {
                *field = names.intern(text);
            }
        }
        let factor = match label("__name__") {
            Some("ifHighSpeed") => 1e6,
            Some("ifSpeed") => 1.0,
            _ => continue,
        };
        // 4294967295 is how ifSpeed says that the speed does not fit.
        let speed = value.1.parse::<f64>().ok().filter(|speed| *speed > 0.0 && *speed < 4_294_967_295.0);
        interface.speed = interface.speed.max(speed.map_or(0, |speed| (speed * factor) as u64));
    }
    let devices = devices.into_iter().map(|(instance, interfaces)| device(&instance, interfaces, names));
    Ok(Inventory { devices: devices.collect(), ..Inventory::default() })
}

/// An instance is an address, with or without a port, or the name of the device.
fn device(instance: &str, interfaces: BTreeMap<u32, Interface>, names: &Names) -> Device {
    let bare = instance.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse::<IpAddr>().ok().or_else(|| instance.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    let host = instance.rsplit_once(':').map_or(instance, |(host, _)| host);
    let interfaces = interfaces.into_values().collect();
    match ip {
        Some(ip) => Device { addresses: vec![address_of(ip)], primary: 1, interfaces, ..Device::default() },
        None => Device { name: names.intern(host), interfaces, ..Device::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"__name__":"ifHighSpeed","instance":"192.0.2.1:161","ifIndex":"7","ifName":"Gi0/1","ifAlias":"to \"B\""},"value":[1,"1000"]},
        {"metric":{"__name__":"ifName","instance":"edge2","ifIndex":"3","ifName":"xe-0/0/0"},"value":[1,"1"]},
        {"metric":{"__name__":"ifAlias","instance":"edge2","ifIndex":"3","ifAlias":"uplink"},"value":[1,"1"]},
        {"metric":{"__name__":"ifHighSpeed","instance":"[2001:db8::1]:161","ifIndex":"9"},"value":[1,"100000"]},
        {"metric":{"__name__":"ifHighSpeed","instance":"192.0.2.1:161","ifIndex":"none"},"value":[1,"1"]}]}}"#;

    #[test]
    fn series_of_both_forms_become_interfaces() {
        let names = Names::new();
        let inventory = interfaces(ANSWER, "instance", &names).unwrap();
        let view = names.read();
        let found: Vec<_> = inventory
            .devices
            .iter()
            .map(|device| {
                let interface = device.interfaces[0];
                let texts = (view.get(device.name), view.get(interface.name), view.get(interface.description));
                (device.addresses.len(), texts, interface.index, interface.speed)
            })
            .collect();
        assert_eq!(
            found,
            [
                (1, ("", "Gi0/1", "to \"B\""), 7, 1_000_000_000),
                (1, ("", "", ""), 9, 100_000_000_000),
                (0, ("edge2", "xe-0/0/0", "uplink"), 3, 0),
            ]
        );
    }

    #[test]
    fn what_is_no_answer_is_said_to_be_none() {
        let error = |text| interfaces(text, "instance", &Names::new()).unwrap_err();
        assert!(error("<html>").starts_with("it is not Prometheus'"));
        assert_eq!(error(r#"{"status":"error","error":"query timed out"}"#), "Prometheus says: query timed out");
    }

    #[test]
    fn a_query_is_escaped() {
        assert_eq!(
            query_url("http://p:9090/", "{__name__=~\"a|b\"}"),
            "http://p:9090/api/v1/query?query=%7B__name__%3D~%22a%7Cb%22%7D"
        );
    }
}
