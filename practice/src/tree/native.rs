//! SR Linux's native model: the part of it that collectors/gnmic asks for. A device of this platform has it beside OpenConfig,
//! and is configured through OpenConfig alone.

use helios_common::time::Utc;
use helios_gnmi::PathElem;
use serde_json::{Value, json};

use super::{bare, cpu_percent, is_configured, memory_used, neighbor_enabled, temperature_tenths};
use crate::network::{Ms, State};

/// The platform whose devices have this model.
pub(crate) const PLATFORM: &str = "srlinux";

/// The modules of the model: element, module that defines it.
const MODULES: [(&str, &str); 9] = [
    ("interface", "srl_nokia-interfaces"),
    ("network-instance", "srl_nokia-network-instance"),
    ("bgp", "srl_nokia-bgp"),
    ("platform", "srl_nokia-platform"),
    ("control", "srl_nokia-platform-control"),
    ("cpu", "srl_nokia-platform-cpu"),
    ("memory", "srl_nokia-platform-memory"),
    ("system", "srl_nokia-system"),
    ("information", "srl_nokia-system-info"),
];

/// Whether a path is of this model, and not of OpenConfig.
pub(crate) fn is_native(path: &[PathElem]) -> bool {
    let name = |at: usize| path.get(at).map_or("", |elem| bare(&elem.name));
    match name(0) {
        "interface" | "network-instance" | "platform" => true,
        "system" => name(1) == "information",
        _ => false,
    }
}

/// The path as SR Linux writes it: an element that another module defines than its parent carries the module's name.
pub(crate) fn with_modules(path: Vec<PathElem>) -> Vec<PathElem> {
    if !is_native(&path) {
        return path;
    }
    let named = |elem: PathElem| match MODULES.iter().find(|(name, _)| *name == elem.name) {
        Some((name, module)) => PathElem { name: format!("{module}:{name}"), key: elem.key },
        None => elem,
    };
    path.into_iter().map(named).collect()
}

/// What the device measures.
pub(crate) fn operational(state: &State, device: usize) -> Value {
    let cpu = cpu_percent(state, device);
    let (used, physical) = memory_used(device);
    json!({
        "interface": interfaces(state, device),
        "network-instance": [{"name": "default", "oper-state": "up", "protocols": {"bgp": {
            "autonomous-system": state.description.devices[device].asn, "neighbor": neighbors(state, device),
        }}}],
        "platform": {"control": [{
            "slot": "A", "oper-state": "up",
            "cpu": [{"index": "all", "total": {"instant": cpu, "average-1": cpu}}],
            "memory": {"physical": physical, "reserved": used, "free": physical - used, "utilization": (used * 100 + physical / 2) / physical},
            "temperature": {"instant": temperature_tenths(state, device) / 10, "alarm-status": false},
        }]},
        "system": {"information": {"last-booted": rfc3339(state.devices[device].boot), "location": state.description.devices[device].site}},
    })
}

fn interfaces(state: &State, device: usize) -> Vec<Value> {
    let (described, running) = (&state.description.devices[device], &state.devices[device]);
    let status = |up: bool, words: [&str; 2]| words[usize::from(!up)].to_owned();
    let interface = |at: usize| {
        let (interface, now) = (&described.interfaces[at], &running.interfaces[at]);
        let counters = &now.counters;
        json!({
            "name": interface.name, "ifindex": at + 1, "description": interface.description, "mtu": 9214,
            "admin-state": status(state.is_enabled(device, at), ["enable", "disable"]),
            "oper-state": status(now.up, ["up", "down"]),
            "last-change": rfc3339(now.last_change),
            "ethernet": {"port-speed": format!("{}G", (interface.speed_mbps / 1000).max(1))},
            "statistics": {
                "in-octets": counters.in_octets, "in-packets": counters.in_packets, "in-unicast-packets": counters.in_packets,
                "in-multicast-packets": 0, "in-broadcast-packets": 0, "in-error-packets": counters.in_errors,
                "in-discarded-packets": 0, "in-fcs-error-packets": counters.in_errors,
                "out-octets": counters.out_octets, "out-packets": counters.out_packets, "out-unicast-packets": counters.out_packets,
                "out-multicast-packets": 0, "out-broadcast-packets": 0, "out-error-packets": 0, "out-discarded-packets": 0,
            },
        })
    };
    (0..described.interfaces.len()).map(interface).collect()
}

fn neighbors(state: &State, device: usize) -> Vec<Value> {
    let running = &state.devices[device];
    let neighbor = |session: &crate::network::Session| {
        let word = session.state.openconfig().to_lowercase();
        let prefixes = session.prefixes_now();
        json!({
            "peer-address": session.peer, "peer-as": session.peer_as, "session-state": word,
            "admin-state": if neighbor_enabled(&running.config, &session.peer) { "enable" } else { "disable" },
            "established-transitions": session.transitions, "last-established": rfc3339(session.since),
            "afi-safi": [{"afi-safi-name": "srl_nokia-common:ipv4-unicast", "received-routes": prefixes, "active-routes": prefixes}],
        })
    };
    // A neighbor that was deleted has no state.
    running.sessions.iter().filter(|session| is_configured(&running.config, &session.peer)).map(neighbor).collect()
}

/// A moment as text (RFC 3339), which is how this model writes one.
fn rfc3339(ms: Ms) -> String {
    Utc(ms).to_string()
}
