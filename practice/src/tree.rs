//! A device's data as OpenConfig has it: JSON, whose lists are arrays of entries that hold their keys.
//!
//! The configuration is kept as a tree that clients change; the operational state is computed when it is asked for, and
//! laid over the configuration's copy in `state`.

use helios_gnmi::{Path, PathElem};
use serde_json::{Map, Value, json};

use crate::description;
use crate::network::{Session, State};

pub(crate) mod edit;
pub(crate) mod intent;
pub(crate) mod native;

/// Octets of the memory that every device has.
const MEMORY: u64 = 8 << 30;

/// The configuration that a device starts with.
pub(crate) fn first_config(device: &description::Device, sessions: &[Session]) -> Value {
    let interfaces = device.interfaces.iter().map(|interface| {
        json!({
            "name": interface.name,
            "config": {
                "name": interface.name, "type": "iana-if-type:ethernetCsmacd", "enabled": true, "mtu": 9214,
                "description": interface.description,
            },
            "ethernet": {"config": {}},
        })
    });
    let neighbors = sessions.iter().map(|session| {
        json!({
            "neighbor-address": session.peer,
            "config": {"neighbor-address": session.peer, "peer-as": session.peer_as, "enabled": true},
            "afi-safis": {"afi-safi": [{"afi-safi-name": "IPV4_UNICAST", "config": {"afi-safi-name": "IPV4_UNICAST", "enabled": true}}]},
        })
    });
    json!({
        "interfaces": {"interface": interfaces.collect::<Vec<_>>()},
        "network-instances": {"network-instance": [{
            "name": "default",
            "config": {"name": "default", "type": "DEFAULT_INSTANCE"},
            "protocols": {"protocol": [{
                "identifier": "BGP", "name": "bgp", "config": {"identifier": "BGP", "name": "bgp"},
                "bgp": {
                    "global": {"config": {"as": device.asn, "router-id": device.router_id().to_string()}},
                    "neighbors": {"neighbor": neighbors.collect::<Vec<_>>()},
                },
            }, intent::isis(device), intent::routes()]},
        }]},
        "sampling": intent::sampling(device),
        "system": {"config": {"hostname": device.name}},
        "lldp": {"config": {"enabled": true}},
    })
}

fn entries<'a>(list: &'a Value, key: &str, value: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|entry| entry[key] == value)
}

/// Whether an interface is switched on; what is not said is yes, as the model has it.
pub(crate) fn interface_enabled(config: &Value, name: &str) -> bool {
    let entry = entries(&config["interfaces"]["interface"], "name", name);
    entry.and_then(|entry| entry["config"]["enabled"].as_bool()).unwrap_or(true)
}

/// Whether a neighbor is configured and switched on.
pub(crate) fn neighbor_enabled(config: &Value, peer: &str) -> bool {
    let bgp = entries(&config["network-instances"]["network-instance"], "name", "default").and_then(|instance| {
        instance["protocols"]["protocol"].as_array()?.iter().find(|protocol| protocol["identifier"] == "BGP")
    });
    let neighbor = bgp.and_then(|bgp| entries(&bgp["bgp"]["neighbors"]["neighbor"], "neighbor-address", peer));
    neighbor.is_some_and(|neighbor| neighbor["config"]["enabled"].as_bool().unwrap_or(true))
}

/// Percent of the processor.
pub(crate) fn cpu_percent(state: &State, device: usize) -> u64 {
    match state.faults.cpu.contains(&device) {
        true => 97,
        // Never quite the same: 15 to 29 per cent.
        false => 15 + (state.now / 30_000 + 7 * device as i64).rem_euclid(15) as u64,
    }
}

/// Octets of memory in use.
pub(crate) fn memory_used(device: usize) -> (u64, u64) {
    (MEMORY / 100 * (30 + device as u64 % 20), MEMORY)
}

/// Degrees Celsius, in tenths.
pub(crate) fn temperature_tenths(state: &State, device: usize) -> u64 {
    380 + 2 * cpu_percent(state, device)
}

/// Everything that a device tells.
pub(crate) fn whole(state: &State, device: usize) -> Value {
    let mut tree = state.devices[device].config.clone();
    reflect(&mut tree);
    merge(&mut tree, &operational(state, device));
    if state.description.devices[device].platform == native::PLATFORM {
        merge(&mut tree, &native::operational(state, device));
    }
    tree
}

/// Every `config` gets its copy in `state` (OpenConfig's style guide: applied configuration).
fn reflect(node: &mut Value) {
    match node {
        Value::Object(members) => {
            members.values_mut().for_each(reflect);
            if let Some(config) = members.get("config").cloned() {
                members.insert("state".to_owned(), config);
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(reflect),
        _ => {}
    }
}

/// Lays `over` on `base`: entries of lists with the same keys become one.
pub(crate) fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (name, value) in over {
                match base.get_mut(name) {
                    Some(there) => merge(there, value),
                    None => drop(base.insert(name.clone(), value.clone())),
                }
            }
        }
        (Value::Array(base), Value::Array(over)) if over.iter().any(Value::is_object) => {
            for entry in over {
                let keys = keys_of(entry);
                match base.iter_mut().find(|there| keys_of(there) == keys) {
                    Some(there) => merge(there, entry),
                    None => base.push(entry.clone()),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// The names of leaves that are keys, in the lists that this device has.
const KEYS: [&str; 15] = [
    "identifier",
    "name",
    "index",
    "neighbor-address",
    "peer-address",
    "afi-safi-name",
    "slot",
    "id",
    "address",
    "prefix",
    "sequence-id",
    "interface-id",
    "level-number",
    "afi-name",
    "safi-name",
];

/// The keys of a list's entry: its scalars of these names.
pub(crate) fn keys_of(entry: &Value) -> Vec<(String, String)> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    KEYS.iter().filter_map(|key| Some(((*key).to_owned(), scalar(entry.get(*key)?)?))).collect()
}

/// A moment as OpenConfig has it: nanoseconds since 1970.
fn nanoseconds(ms: i64) -> u64 {
    ms.max(0) as u64 * 1_000_000
}

fn operational(state: &State, device: usize) -> Value {
    let (described, running) = (&state.description.devices[device], &state.devices[device]);
    let interfaces = described.interfaces.iter().zip(&running.interfaces).enumerate().map(|(at, (interface, now))| {
        let counters = &now.counters;
        let status = |up: bool| if up { "UP" } else { "DOWN" };
        json!({
            "name": interface.name,
            "state": {
                "ifindex": at + 1,
                "admin-status": status(state.is_enabled(device, at)),
                "oper-status": status(now.up),
                "last-change": nanoseconds(now.last_change),
                "counters": {
                    "in-octets": counters.in_octets, "in-pkts": counters.in_packets,
                    "in-unicast-pkts": counters.in_packets, "in-multicast-pkts": 0, "in-broadcast-pkts": 0,
                    "in-errors": counters.in_errors, "in-discards": 0, "in-fcs-errors": counters.in_errors,
                    "out-octets": counters.out_octets, "out-pkts": counters.out_packets,
                    "out-unicast-pkts": counters.out_packets, "out-multicast-pkts": 0, "out-broadcast-pkts": 0,
                    "out-errors": 0, "out-discards": 0,
                },
            },
            "ethernet": {"state": {"port-speed": format!("SPEED_{}GB", (interface.speed_mbps / 1000).max(1))}},
        })
    });
    let neighbors = running.sessions.iter().map(|session| {
        let prefixes = session.prefixes_now();
        json!({
            "neighbor-address": session.peer,
            "state": {
                "session-state": session.state.openconfig(),
                "established-transitions": session.transitions,
                "last-established": nanoseconds(session.since),
            },
            "afi-safis": {"afi-safi": [{
                "afi-safi-name": "IPV4_UNICAST",
                "state": {"prefixes": {"received": prefixes, "installed": prefixes, "sent": 40}},
            }]},
        })
    });
    let lldp = described.interfaces.iter().zip(&running.interfaces).filter_map(|(interface, now)| {
        let (far, at) = now.far.filter(|_| now.up)?;
        let peer = &state.description.devices[far];
        let port = &peer.interfaces[at].name;
        Some(json!({
            "name": interface.name,
            "neighbors": {"neighbor": [{"id": format!("{} {port}", peer.name), "state": {
                "system-name": peer.name, "port-id": port, "port-id-type": "INTERFACE_NAME", "chassis-id": peer.address.to_string(),
            }}]},
        }))
    });
    let cpu = cpu_percent(state, device);
    let (used, physical) = memory_used(device);
    let celsius = temperature_tenths(state, device) as f64 / 10.0;
    json!({
        "interfaces": {"interface": interfaces.collect::<Vec<_>>()},
        "network-instances": {"network-instance": [{"name": "default", "protocols": {"protocol": [{
            "identifier": "BGP", "name": "bgp", "bgp": {"neighbors": {"neighbor": neighbors.filter(|entry| {
                // A neighbor that was deleted has no state.
                is_configured(&running.config, entry["neighbor-address"].as_str().unwrap_or_default())
            }).collect::<Vec<_>>()}},
        }]}}]},
        "system": {
            "state": {"boot-time": nanoseconds(running.boot), "current-datetime": state.now.to_string()},
            "cpus": {"cpu": [{"index": "ALL", "state": {"index": "ALL", "total": {"instant": cpu, "avg": cpu, "min": 3, "max": 100}}}]},
            "memory": {"state": {"physical": physical, "used": used, "free": physical - used, "reserved": 0}},
        },
        "components": {"component": [
            {"name": "Chassis", "state": {"name": "Chassis", "oper-status": "ACTIVE", "description": described.platform}},
            {"name": "CPU0", "state": {"name": "CPU0", "oper-status": "ACTIVE", "temperature": {"instant": celsius}},
             "cpu": {"utilization": {"state": {"instant": cpu}}}},
        ]},
        "lldp": {"interfaces": {"interface": lldp.collect::<Vec<_>>()}},
    })
}

fn is_configured(config: &Value, peer: &str) -> bool {
    let text = format!(
        "/network-instances/network-instance[name=default]/protocols/protocol[identifier=BGP][name=bgp]/bgp/neighbors/neighbor[neighbor-address={peer}]"
    );
    text.parse::<Path>().is_ok_and(|path| !find(config, &path.elem).is_empty())
}

/// The name of an element without its module.
pub(crate) fn bare(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, name)| name)
}

/// What a path leads to: every match with the path to it, `*`, `...` and missing keys resolved.
pub(crate) fn find<'a>(tree: &'a Value, path: &[PathElem]) -> Vec<(Vec<PathElem>, &'a Value)> {
    let mut found = Vec::new();
    walk(tree, path, &mut Vec::new(), &mut found);
    found
}

fn walk<'a>(node: &'a Value, path: &[PathElem], at: &mut Vec<PathElem>, found: &mut Vec<(Vec<PathElem>, &'a Value)>) {
    let Some((first, rest)) = path.split_first() else {
        found.push((at.clone(), node));
        return;
    };
    let Value::Object(members) = node else { return };
    let name = bare(&first.name);
    if name == "..." {
        walk(node, rest, at, found);
        for (name, member) in members {
            step(name, member, &PathElem::named(name.clone()), path, at, found);
        }
        return;
    }
    for (member, value) in members.iter().filter(|(member, _)| name == "*" || *member == name) {
        step(member, value, first, rest, at, found);
    }
}

/// Goes on below one member: into every entry of a list that has the keys.
fn step<'a>(
    name: &str,
    value: &'a Value,
    elem: &PathElem,
    rest: &[PathElem],
    at: &mut Vec<PathElem>,
    found: &mut Vec<(Vec<PathElem>, &'a Value)>,
) {
    let Value::Array(list) = value else {
        if elem.key.is_empty() {
            at.push(PathElem::named(name));
            walk(value, rest, at, found);
            at.pop();
        }
        return;
    };
    for entry in list {
        let keys = keys_of(entry);
        let fits = elem.key.iter().all(|(key, wanted)| {
            wanted == "*" || keys.iter().any(|(name, value)| name == bare(key) && bare(value) == bare(wanted))
        });
        if fits && entry.is_object() {
            at.push(keys.into_iter().fold(PathElem::named(name), |elem, (key, value)| elem.with_key(key, value)));
            walk(entry, rest, at, found);
            at.pop();
        }
    }
}

/// The leaves below a node, each with its path. A list of scalars is one leaf.
pub(crate) fn leaves<'a>(node: &'a Value, at: &mut Vec<PathElem>, out: &mut Vec<(Vec<PathElem>, &'a Value)>) {
    let Value::Object(members) = node else {
        out.push((at.clone(), node));
        return;
    };
    for (name, value) in members {
        match value {
            Value::Array(list) if list.iter().any(Value::is_object) => {
                for entry in list {
                    let keys = keys_of(entry).into_iter();
                    at.push(keys.fold(PathElem::named(name.clone()), |elem, (key, value)| elem.with_key(key, value)));
                    leaves(entry, at, out);
                    at.pop();
                }
            }
            _ => {
                at.push(PathElem::named(name.clone()));
                leaves(value, at, out);
                at.pop();
            }
        }
    }
}

/// JSON as RFC 7951 writes it: numbers of 64 bits are strings.
pub(crate) fn ietf(value: &Value, name: &str, parent: &str) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(member, value): (&String, &Value)| (member.clone(), ietf(value, member, name));
            Value::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.iter().map(|entry| ietf(entry, name, parent)).collect()),
        Value::Number(number) if is_64_bit(name, parent) => Value::String(number.to_string()),
        other => other.clone(),
    }
}

fn is_64_bit(name: &str, parent: &str) -> bool {
    let memory = ["physical", "used", "free", "reserved"];
    parent == "counters"
        || parent == "statistics"
        || (["state", "memory"].contains(&parent) && memory.contains(&name))
        || ["boot-time", "last-change", "established-transitions", "last-established"].contains(&name)
}

#[cfg(test)]
mod tests;
