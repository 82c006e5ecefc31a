//! Networks and devices as people write them: CSV and YAML.
//!
//! An entry that cannot be understood refuses the whole text, with its place: half a list of networks would name the
//! flows of the other half wrongly.

use std::fmt;
use std::net::IpAddr;

use helios_common::exporter::address_of;
use helios_common::names::Names;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::config::NetworkFormat;
use crate::inventory::{Device, Interface, Inventory, Network};
use helios_common::prefix::Prefix;

/// A list of networks, an entry a line.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkEntry {
    #[serde(alias = "prefix")]
    network: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    site: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    vrf: Option<String>,
    #[serde(default, alias = "as")]
    asn: AsNumber,
}

/// A file of devices.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceFile {
    devices: Vec<DeviceEntry>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceEntry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    site: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    #[serde(default)]
    interfaces: Vec<InterfaceEntry>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InterfaceEntry {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    speed: BitRate,
    #[serde(default)]
    role: String,
}

/// Reads a list of networks.
///
/// # Errors
/// What cannot be understood, and where.
pub fn networks(format: NetworkFormat, text: &str, names: &Names) -> Result<Inventory, String> {
    // An entry of CSV is found by its line, one of YAML by its number.
    let entries: Vec<(String, NetworkEntry)> = match format {
        NetworkFormat::Csv => csv_entries(text)?,
        NetworkFormat::Yaml if text.trim().is_empty() => Vec::new(),
        NetworkFormat::Yaml => {
            let entries: Vec<NetworkEntry> = serde_saphyr::from_str(text).map_err(|error| first_line(&error))?;
            entries.into_iter().enumerate().map(|(at, entry)| (format!("entry {}", at + 1), entry)).collect()
        }
    };
    let networks = entries.iter().map(|(place, entry)| {
        let prefix = prefix_of(entry.network.trim()).map_err(|problem| format!("{place}: {problem}"))?;
        let name = |text: &Option<String>| names.intern(text.as_deref().unwrap_or("").trim());
        Ok(Network {
            vrf: name(&entry.vrf),
            name: name(&entry.name),
            site: name(&entry.site),
            role: name(&entry.role),
            tenant: name(&entry.tenant),
            country: name(&entry.country),
            asn: entry.asn.0,
            ..Network::new(prefix)
        })
    });
    Ok(Inventory { networks: networks.collect::<Result<_, String>>()?, ..Inventory::default() })
}

fn csv_entries(text: &str) -> Result<Vec<(String, NetworkEntry)>, String> {
    // Spreadsheets put a byte order mark in front.
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| in_words(&error))?.clone();
    if !headers.iter().any(|name| name == "network" || name == "prefix") {
        return Err("the first line has to name the columns, `network` among them: network,name,site,role,tenant,asn,\
                    country,vrf"
            .to_owned());
    }
    let entry = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|error| in_words(&error))?;
        let place = format!("line {}", record.position().map_or(0, csv::Position::line));
        let entry = record.deserialize(Some(&headers)).map_err(|error| in_words(&error))?;
        Ok((place, entry))
    };
    reader.records().map(entry).collect()
}

/// What is wrong with a line of CSV, with the line and the column.
fn in_words(error: &csv::Error) -> String {
    let place = error.position().map_or_else(String::new, |position| format!("line {}: ", position.line()));
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => {
            let column = err.field().map_or_else(String::new, |field| format!("column {}: ", field + 1));
            format!("{place}{column}{}", err.kind())
        }
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{place}columns: {len}, in the first line: {expected_len}")
        }
        _ => format!("{place}{error}"),
    }
}

/// A network, or a single address.
fn prefix_of(text: &str) -> Result<Prefix, String> {
    let host = || {
        let ip: IpAddr = text.parse().ok()?;
        Prefix::new(ip, if ip.is_ipv4() { 32 } else { 128 })
    };
    text.parse().or_else(|error: helios_common::prefix::NotAPrefix| host().ok_or_else(|| error.to_string()))
}

/// Reads a file of devices.
///
/// # Errors
/// What cannot be understood, and where.
pub fn devices(text: &str, names: &Names) -> Result<Inventory, String> {
    let file: DeviceFile = serde_saphyr::from_str(text).map_err(|error| first_line(&error))?;
    let mut devices = Vec::with_capacity(file.devices.len());
    for (at, entry) in file.devices.iter().enumerate() {
        if entry.name.is_empty() && entry.addresses.is_empty() {
            return Err(format!("device {}: it has neither `name` nor `addresses`, no exporter can be it", at + 1));
        }
        let interface = |interface: &InterfaceEntry| Interface {
            index: interface.index,
            name: names.intern(&interface.name),
            description: names.intern(&interface.description),
            speed: interface.speed.0,
            role: names.intern(&interface.role),
        };
        devices.push(Device {
            name: names.intern(&entry.name),
            site: names.intern(&entry.site),
            region: names.intern(&entry.region),
            role: names.intern(&entry.role),
            tenant: names.intern(&entry.tenant),
            addresses: entry.addresses.iter().copied().map(address_of).collect(),
            primary: entry.addresses.len(),
            in_vrf: 0,
            interfaces: entry.interfaces.iter().map(interface).collect(),
        });
    }
    Ok(Inventory { devices, ..Inventory::default() })
}

fn first_line(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("not valid YAML").trim().to_owned()
}

/// An AS number, written `64500` or `AS64500`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct AsNumber(u32);

/// Bits per second, written out or as `10G`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct BitRate(u64);

impl<'de> Deserialize<'de> for AsNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| {
            let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
            digits.parse::<u32>().ok().map(u64::from)
        };
        let number =
            deserializer.deserialize_any(Number { expected: "an AS number such as 64500 or AS64500", parse })?;
        u32::try_from(number).map(Self).map_err(|_| D::Error::custom(format!("{number} is no AS number")))
    }
}

impl<'de> Deserialize<'de> for BitRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Number { expected: "bits per second such as 1000000000 or 10G", parse: bit_rate })
            .map(Self)
    }
}

fn bit_rate(text: &str) -> Option<u64> {
    let factor = match text.trim_end_matches("bit/s").trim_end().chars().last()? {
        'k' | 'K' => 1_000,
        'm' | 'M' => 1_000_000,
        'g' | 'G' => 1_000_000_000,
        't' | 'T' => 1_000_000_000_000,
        _ => 1,
    };
    let digits = text.trim_end_matches("bit/s").trim_end().trim_end_matches(|c: char| c.is_ascii_alphabetic());
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

/// A number, or a text that `parse` makes one of. Empty is 0.
struct Number<F> {
    expected: &'static str,
    parse: F,
}

impl<F: Fn(&str) -> Option<u64>> Visitor<'_> for Number<F> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_unit<E: Error>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_none<E: Error>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::custom(format!("{number} is not {}", self.expected)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        match text.trim() {
            "" => Ok(0),
            text => (self.parse)(text).ok_or_else(|| E::custom(format!("`{text}` is not {}", self.expected))),
        }
    }
}

#[cfg(test)]
mod tests;
