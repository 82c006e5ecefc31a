//! Changes of the configuration: delete, replace, update (gNMI specification §3.4).

use helios_common::prefix::Prefix;
use helios_gnmi::PathElem;
use serde_json::{Map, Value};

use super::{KEYS, bare, find, intent, merge};

/// Models whose configuration the device takes.
const MODELS: [&str; 10] = [
    "interfaces",
    "network-instances",
    "system",
    "components",
    "lldp",
    "routing-policy",
    "acl",
    "qos",
    "sampling",
    "defined-sets",
];

/// A change that the device refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub String);

fn refuse<T>(text: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(text.into()))
}

/// The text of a path, for messages.
fn text(path: &[PathElem]) -> String {
    helios_gnmi::Path::of(path.iter().cloned()).to_string()
}

/// Whether a path may be changed at all.
fn check(path: &[PathElem]) -> Result<(), Refused> {
    let Some(first) = path.first() else { return refuse("the root cannot be changed: name a path") };
    if !MODELS.contains(&bare(&first.name)) {
        return refuse(format!("{}: the device has no such model", text(path)));
    }
    if path.iter().any(|elem| bare(&elem.name) == "state") {
        return refuse(format!("{}: `state` is read only", text(path)));
    }
    Ok(())
}

/// Removes what a path leads to; what is not there is removed already.
pub(crate) fn delete(tree: &mut Value, path: &[PathElem]) -> Result<(), Refused> {
    check(path)?;
    for (found, _) in find(&tree.clone(), path) {
        remove(tree, &found);
    }
    Ok(())
}

fn remove(node: &mut Value, path: &[PathElem]) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(member) = node.get_mut(&first.name) else { return };
    match (member, rest) {
        (Value::Array(list), []) => list.retain(|entry| !has_keys(entry, first)),
        (Value::Array(list), rest) => {
            if let Some(entry) = list.iter_mut().find(|entry| has_keys(entry, first)) {
                remove(entry, rest);
            }
        }
        (_, []) => {
            if let Value::Object(members) = node {
                members.shift_remove(&first.name);
            }
        }
        (member, rest) => remove(member, rest),
    }
}

fn has_keys(entry: &Value, elem: &PathElem) -> bool {
    let keys = super::keys_of(entry);
    elem.key.iter().all(|(key, wanted)| keys.iter().any(|(name, value)| name == bare(key) && value == wanted))
}

/// Puts a value in the place of all that is below the path.
pub(crate) fn replace(tree: &mut Value, path: &[PathElem], value: &Value) -> Result<(), Refused> {
    check(path)?;
    let place = place(tree, path)?;
    let keys = super::keys_of(place);
    let mut new = plain(value);
    if let (Value::Object(members), Some(last)) = (&mut new, path.last()) {
        // An entry of a list keeps its keys, whatever the value says.
        for (key, value) in keys.iter().filter(|(key, _)| last.key.keys().any(|known| bare(known) == key)) {
            members.insert(key.clone(), Value::String(value.clone()));
        }
    }
    *place = new;
    Ok(())
}

/// Lays a value over what is below the path.
pub(crate) fn update(tree: &mut Value, path: &[PathElem], value: &Value) -> Result<(), Refused> {
    check(path)?;
    let place = place(tree, path)?;
    let new = plain(value);
    if place.is_object() != new.is_object() && !place.is_null() {
        return refuse(format!("{}: the value has another shape than what is there", text(path)));
    }
    merge(place, &new);
    Ok(())
}

/// The node of a path, made where it is not there.
fn place<'a>(tree: &'a mut Value, path: &[PathElem]) -> Result<&'a mut Value, Refused> {
    let mut node = tree;
    for elem in path {
        let name = bare(&elem.name);
        if name == "*" || name == "..." || elem.key.values().any(|value| value == "*") {
            return refuse(format!("{}: a wildcard names no place", text(path)));
        }
        if node.is_null() {
            *node = Value::Object(Map::new());
        }
        let Value::Object(members) = node else {
            return refuse(format!("{}: nothing lies below a leaf", text(path)));
        };
        let member = members.entry(name.to_owned()).or_insert(Value::Null);
        node = if elem.key.is_empty() { member } else { entry(member, elem, path)? };
    }
    Ok(node)
}

/// The entry of a list with these keys, made where it is not there.
fn entry<'a>(list: &'a mut Value, elem: &PathElem, path: &[PathElem]) -> Result<&'a mut Value, Refused> {
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let Value::Array(list) = list else { return refuse(format!("{}: {} is no list", text(path), elem.name)) };
    let at = match list.iter().position(|entry| has_keys(entry, elem)) {
        Some(at) => at,
        None => {
            if let Some(key) = elem.key.keys().find(|key| !KEYS.contains(&bare(key))) {
                return refuse(format!("{}: {} has no key {key}", text(path), elem.name));
            }
            let keys: Map<String, Value> =
                elem.key.iter().map(|(key, value)| (bare(key).to_owned(), Value::String(value.clone()))).collect();
            let mut made = Value::Object(keys.clone());
            made["config"] = Value::Object(keys);
            list.push(made);
            list.len() - 1
        }
    };
    Ok(&mut list[at])
}

/// JSON without the modules' names before its members (RFC 7951 §4).
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| (bare(name).to_owned(), plain(value));
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// Checks a whole configuration: leaves have their types, and ports exist.
pub(crate) fn validate(tree: &Value, ports: &[&str]) -> Result<(), Refused> {
    for entry in tree["interfaces"]["interface"].as_array().into_iter().flatten() {
        let name = entry["name"].as_str().unwrap_or_default();
        if !ports.contains(&name) && !name.starts_with("Loopback") && !name.starts_with("Port-Channel") {
            return refuse(format!("/interfaces/interface[name={name}]: the device has no such port"));
        }
        leaf(entry, name, "enabled", Value::is_boolean, "true or false")?;
        leaf(entry, name, "description", Value::is_string, "a text")?;
        leaf(entry, name, "mtu", |mtu| mtu.as_u64().is_some_and(|mtu| (68..=9_216).contains(&mtu)), "68 to 9216")?;
    }
    let instances = tree["network-instances"]["network-instance"].as_array().into_iter().flatten();
    let protocols: Vec<&Value> =
        instances.flat_map(|instance| instance["protocols"]["protocol"].as_array().into_iter().flatten()).collect();
    for protocol in &protocols {
        validate_routing(protocol)?;
    }
    for neighbor in
        protocols.iter().flat_map(|protocol| protocol["bgp"]["neighbors"]["neighbor"].as_array().into_iter().flatten())
    {
        let name = neighbor["neighbor-address"].as_str().unwrap_or_default();
        if name.parse::<std::net::IpAddr>().is_err() {
            return refuse(format!("neighbor {name:?} is no address"));
        }
        leaf(neighbor, name, "enabled", Value::is_boolean, "true or false")?;
        leaf(
            neighbor,
            name,
            "peer-as",
            |asn| asn.as_u64().is_some_and(|asn| asn <= u64::from(u32::MAX)),
            "a number of 32 bits",
        )?;
    }
    let rate = &tree["sampling"]["sflow"];
    leaf(rate, "sflow", "ingress-sampling-rate", |rate| rate.as_u64().is_some_and(|rate| rate > 0), "1 or more")?;
    if let Some(hostname) = tree["system"]["config"].get("hostname")
        && !hostname.is_string()
    {
        return refuse("/system/config/hostname: expected a text");
    }
    Ok(())
}

/// IS-IS and static routes.
fn validate_routing(protocol: &Value) -> Result<(), Refused> {
    let isis = &protocol["isis"];
    let bit = &isis["global"]["lsp-bit"]["overload-bit"];
    leaf(bit, "overload-bit", "set-bit", Value::is_boolean, "true or false")?;
    for interface in isis["interfaces"]["interface"].as_array().into_iter().flatten() {
        let name = interface["interface-id"].as_str().unwrap_or_default();
        let levels = interface["levels"]["level"].as_array().into_iter().flatten();
        for family in levels.flat_map(|level| level["afi-safi"]["af"].as_array().into_iter().flatten()) {
            let fits =
                |metric: &Value| metric.as_u64().is_some_and(|metric| (1..=intent::METRIC_MAX).contains(&metric));
            leaf(family, name, "metric", fits, "1 to 16777214")?;
        }
    }
    for route in protocol["static-routes"]["static"].as_array().into_iter().flatten() {
        let prefix = route["prefix"].as_str().unwrap_or_default();
        if !prefix.contains(':') && prefix.parse::<Prefix>().is_err() {
            return refuse(format!("static route {prefix:?} is no prefix"));
        }
    }
    Ok(())
}

fn leaf(entry: &Value, name: &str, leaf: &str, fits: impl Fn(&Value) -> bool, expected: &str) -> Result<(), Refused> {
    match entry["config"].get(leaf) {
        Some(value) if !fits(value) => refuse(format!("{name}: config/{leaf} is {value}, expected {expected}")),
        _ => Ok(()),
    }
}
