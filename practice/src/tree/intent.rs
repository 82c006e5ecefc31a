//! What the configuration asks of the forwarding: metrics and overload of IS-IS, routes that discard, sampling.

use helios_common::prefix::Prefix;
use serde_json::{Value, json};

use super::entries;
use crate::description;

/// IS-IS' metric of an interface where none is configured (ISO 10589).
pub(crate) const METRIC: u32 = 10;

/// The largest metric of 24 bits (RFC 5305 §3.7): 16777215 takes the link out of the computation of paths, so it is not one.
pub(crate) const METRIC_MAX: u64 = 16_777_214;

/// IS-IS of a device at its start: every link to another device, with the usual metric.
pub(crate) fn isis(device: &description::Device) -> Value {
    let interfaces = device.interfaces.iter().filter(|interface| interface.edge.is_none()).map(|interface| {
        json!({
            "interface-id": interface.name,
            "config": {"interface-id": interface.name, "enabled": true},
            "levels": {"level": [{"level-number": 2, "config": {"level-number": 2, "enabled": true}, "afi-safi": {"af": [{
                "afi-name": "IPV4", "safi-name": "UNICAST",
                "config": {"afi-name": "IPV4", "safi-name": "UNICAST", "metric": METRIC},
            }]}}]},
        })
    });
    json!({
        "identifier": "ISIS", "name": "isis", "config": {"identifier": "ISIS", "name": "isis"},
        "isis": {
            "global": {"lsp-bit": {"overload-bit": {"config": {"set-bit": false}}}},
            "interfaces": {"interface": interfaces.collect::<Vec<_>>()},
        },
    })
}

/// Static routes of a device at its start: the protocol is there, and has none.
pub(crate) fn routes() -> Value {
    json!({
        "identifier": "STATIC", "name": "static", "config": {"identifier": "STATIC", "name": "static"},
        "static-routes": {"static": []},
    })
}

/// Sampling of a device at its start: of every packet, on every interface.
pub(crate) fn sampling(device: &description::Device) -> Value {
    let interface = |interface: &description::Interface| json!({"name": interface.name, "config": {"name": interface.name, "enabled": true}});
    let interfaces: Vec<Value> = device.interfaces.iter().map(interface).collect();
    json!({"sflow": {"config": {"enabled": true, "ingress-sampling-rate": 1}, "interfaces": {"interface": interfaces}}})
}

fn protocol<'a>(config: &'a Value, identifier: &str) -> Option<&'a Value> {
    let instance = entries(&config["network-instances"]["network-instance"], "name", "default")?;
    entries(&instance["protocols"]["protocol"], "identifier", identifier)
}

/// The metric of an interface.
pub(crate) fn metric(config: &Value, interface: &str) -> u32 {
    let metric = || {
        let isis = &protocol(config, "ISIS")?["isis"];
        let level = &entries(&isis["interfaces"]["interface"], "interface-id", interface)?["levels"]["level"][0];
        u32::try_from(level["afi-safi"]["af"][0]["config"]["metric"].as_u64()?).ok()
    };
    metric().unwrap_or(METRIC)
}

/// Whether the device asks to be left out of paths that only pass it (RFC 3787 §4).
pub(crate) fn overloaded(config: &Value) -> bool {
    let bit =
        protocol(config, "ISIS").map(|isis| &isis["isis"]["global"]["lsp-bit"]["overload-bit"]["config"]["set-bit"]);
    bit.and_then(Value::as_bool).unwrap_or(false)
}

/// The prefixes of static routes whose next hop is DROP.
pub(crate) fn discards(config: &Value) -> Vec<Prefix> {
    let routes = protocol(config, "STATIC").and_then(|protocol| protocol["static-routes"]["static"].as_array());
    let drops = |route: &&Value| {
        let hops = route["next-hops"]["next-hop"].as_array();
        hops.is_some_and(|hops| hops.iter().any(|hop| hop["config"]["next-hop"] == "DROP"))
    };
    let prefix = |route: &Value| route["prefix"].as_str()?.parse().ok();
    routes.into_iter().flatten().filter(drops).filter_map(prefix).collect()
}

/// One packet of how many is seen.
pub(crate) fn sampling_rate(config: &Value) -> u64 {
    config["sampling"]["sflow"]["config"]["ingress-sampling-rate"].as_u64().unwrap_or(1).max(1)
}

/// Whether flows of an interface are exported.
pub(crate) fn is_sampled(config: &Value, interface: &str) -> bool {
    let entry = entries(&config["sampling"]["sflow"]["interfaces"]["interface"], "name", interface);
    entry.and_then(|entry| entry["config"]["enabled"].as_bool()).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use helios_common::exporter::mapped;

    use super::*;

    #[test]
    fn a_prefix_contains_its_addresses_alone() {
        let holds = |prefix: Prefix, address: [u8; 4]| prefix.holds(mapped(address));
        let prefix: Prefix = "198.51.100.8/29".parse().unwrap();
        assert!(holds(prefix, [198, 51, 100, 15]) && !holds(prefix, [198, 51, 100, 16]));
        assert!(holds("0.0.0.0/0".parse().unwrap(), [1, 2, 3, 4]));
        let one: Prefix = "198.51.100.8/32".parse().unwrap();
        assert!(holds(one, [198, 51, 100, 8]) && !holds(one, [198, 51, 100, 9]));
        assert!("198.51.100.8/33".parse::<Prefix>().is_err() && "x/8".parse::<Prefix>().is_err());
    }
}
