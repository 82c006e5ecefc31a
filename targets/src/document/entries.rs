//! A target as an entry of each collector's document.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::ListKind;
use crate::config::{Encoding, GnmiConfig, GnmiTlsMode, SnmpConfig};
use crate::plan::Target;

/// The port that snmp_exporter asks by itself.
const SNMP_PORT: u16 = 161;

/// The entries of a target.
pub(super) fn entries(target: &Target) -> impl Iterator<Item = (ListKind, Value)> {
    let gnmi = target.gnmi.iter().map(|gnmi| (ListKind::Gnmic, gnmic(target, gnmi)));
    let snmp = target.snmp.iter().map(|config| (ListKind::Snmp, snmp(target, config)));
    let icmp = target.icmp.then(|| {
        let module = if target.address.is_ipv4() { "icmp4" } else { "icmp6" };
        let labels: Vec<_> = [("__param_module", module)].into_iter().chain(maintenance(target)).collect();
        (ListKind::Icmp, group(target, &target.address.to_string(), &labels))
    });
    let tcp = target.tcp.iter().map(|port| {
        let address = SocketAddr::new(target.address, *port).to_string();
        let port = port.to_string();
        let labels: Vec<_> =
            [("__param_module", "tcp"), ("port", &*port)].into_iter().chain(maintenance(target)).collect();
        (ListKind::Tcp, group(target, &address, &labels))
    });
    gnmi.chain(snmp).chain(icmp).chain(tcp)
}

/// The label by which the alert DeviceInMaintenance knows the device. Probes alone have it: a label that comes and goes on
/// counters would interrupt their rates.
fn maintenance(target: &Target) -> Option<(&'static str, &'static str)> {
    target.maintenance.then_some(("maintenance", "true"))
}

/// The label `device` of an entry.
pub(super) fn device(kind: ListKind, entry: &Value) -> Option<&str> {
    match kind {
        ListKind::Gnmic => entry.get("event-tags")?.get("device")?.as_str(),
        ListKind::Snmp | ListKind::Icmp | ListKind::Tcp => label(entry, "device"),
    }
}

/// A label of a group of `file_sd`.
pub(super) fn label<'a>(entry: &'a Value, name: &str) -> Option<&'a str> {
    entry.get("labels")?.get(name)?.as_str()
}

/// Options of a target as gnmic's file loader reads them.
fn gnmic(target: &Target, gnmi: &GnmiConfig) -> Value {
    let GnmiConfig { port, subscriptions, encoding, tls, username_variable, password_variable } = gnmi;
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| drop(entry.insert(key.to_owned(), value));
    put("address", json!(SocketAddr::new(target.address, *port).to_string()));
    put("subscriptions", json!(subscriptions));
    put("encoding", json!(encoding_name(*encoding)));
    match tls.mode {
        GnmiTlsMode::Verify => put("skip-verify", json!(false)),
        GnmiTlsMode::SkipVerify => put("skip-verify", json!(true)),
        GnmiTlsMode::Off => put("insecure", json!(true)),
    }
    let path = |path: &Path| json!(path.to_string_lossy());
    for (key, file) in [("tls-ca", &tls.ca_file), ("tls-cert", &tls.cert_file), ("tls-key", &tls.key_file)] {
        if let Some(file) = file {
            put(key, path(file));
        }
    }
    if let Some(name) = &tls.server_name {
        put("tls-server-name", json!(name));
    }
    for (key, variable) in [("username", username_variable), ("password", password_variable)] {
        if let Some(variable) = variable {
            put(key, json!(format!("${{{variable}}}")));
        }
    }
    let labels: Map<String, Value> =
        target.labels.pairs().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    put("event-tags", Value::Object(labels));
    Value::Object(entry)
}

const fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::JsonIetf => "json_ietf",
        Encoding::Json => "json",
        Encoding::Proto => "proto",
    }
}

fn snmp(target: &Target, config: &SnmpConfig) -> Value {
    let SnmpConfig { port, modules, auth } = config;
    let address = match (*port, target.address) {
        (SNMP_PORT, address) => address.to_string(),
        (port, address) => SocketAddr::new(address, port).to_string(),
    };
    group(target, &address, &[("__param_module", &modules.join(",")), ("__param_auth", auth)])
}

/// A group of `file_sd` with one target.
fn group(target: &Target, address: &str, labels: &[(&str, &str)]) -> Value {
    let entry = |(name, value): (&str, &str)| (name.to_owned(), json!(value));
    let labels: Map<String, Value> =
        labels.iter().copied().map(entry).chain(target.labels.pairs().map(entry)).collect();
    json!({"targets": [address], "labels": labels})
}
