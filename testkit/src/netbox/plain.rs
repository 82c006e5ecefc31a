//! A network whose every object can be computed from its id, so that a large one needs no memory.
//!
//! Devices `edge-1`, `edge-2`, ... of one site, each with interfaces, two addresses and a prefix of its own, and a virtual
//! machine and a VRF.

use super::World;
use super::lifelike::has_scopes;

/// The primary address of a device has its id and this.
const PRIMARY: u32 = 1_000_000;

/// The ids of a list of the API.
pub(super) fn ids(world: &World, list: &str) -> Vec<u32> {
    let each = world.interfaces_per_device;
    match list {
        "dcim/devices" => devices(world).collect(),
        "ipam/ip-addresses" => devices(world).chain(devices(world).map(|id| PRIMARY + id)).collect(),
        "dcim/interfaces" => devices(world).flat_map(|device| (device - 1) * each + 1..=device * each).collect(),
        "ipam/prefixes" => (1..=world.prefixes).collect(),
        "dcim/regions" => vec![1, 2],
        "dcim/sites"
        | "tenancy/tenants"
        | "ipam/vrfs"
        | "virtualization/virtual-machines"
        | "virtualization/clusters"
        | "dcim/device-roles"
        | "ipam/roles"
        | "dcim/manufacturers"
        | "dcim/device-types"
        | "dcim/platforms"
        | "extras/tags" => vec![1],
        "extras/custom-fields" => vec![1, 2],
        _ => Vec::new(),
    }
}

/// The object of an id that [`ids`] has.
pub(super) fn object(world: &World, list: &str, id: u32) -> String {
    match list {
        "dcim/devices" => device(world, id),
        "dcim/interfaces" => interface(world, id),
        "ipam/prefixes" => prefix(world, id),
        "ipam/ip-addresses" => ip_address(world, id),
        "dcim/sites" => r#"{"id": 1, "name": "Zurich", "slug": "zrh", "region": {"id": 2, "name": "Switzerland"},
            "asns": [{"id": 1, "asn": 64500}]}"#
            .into(),
        "dcim/regions" => {
            let (name, parent) = if id == 1 { ("Europe", "null") } else { ("Switzerland", r#"{"id": 1}"#) };
            format!(r#"{{"id": {id}, "name": "{name}", "slug": "region-{id}", "parent": {parent}}}"#)
        }
        "tenancy/tenants" => r#"{"id": 1, "name": "Acme", "slug": "acme", "group": null}"#.into(),
        "dcim/device-roles" => r#"{"id": 1, "name": "Edge", "slug": "edge"}"#.into(),
        "ipam/roles" => r#"{"id": 1, "name": "Clients", "slug": "clients"}"#.into(),
        "dcim/manufacturers" => r#"{"id": 1, "name": "Juniper", "slug": "juniper"}"#.into(),
        "dcim/device-types" => r#"{"id": 1, "model": "MX480", "slug": "mx480", "manufacturer": {"id": 1}}"#.into(),
        "dcim/platforms" => r#"{"id": 1, "name": "Junos", "slug": "junos"}"#.into(),
        "extras/tags" => r#"{"id": 1, "name": "Flow", "slug": "flow"}"#.into(),
        "virtualization/clusters" => r#"{"id": 1, "name": "lab", "scope_type": null, "scope_id": null}"#.into(),
        "extras/custom-fields" => {
            let name = if id == 1 { "ifindex" } else { "role" };
            format!(r#"{{"id": {id}, "name": "{name}"}}"#)
        }
        "ipam/vrfs" => r#"{"id": 1, "name": "red", "rd": "64500:1", "tenant": null, "description": ""}"#.into(),
        _ => r#"{"id": 1, "name": "probe-1", "status": {"value": "active"}, "site": {"id": 1, "name": "Zurich"},
            "cluster": {"id": 1, "name": "lab"}, "role": null, "tenant": null, "platform": null, "description": "",
            "primary_ip4": {"id": 1, "family": 4, "address": "192.0.2.9/32"}, "tags": [], "custom_fields": {}}"#
            .into(),
    }
}

fn devices(world: &World) -> impl Iterator<Item = u32> {
    (1..=world.devices).filter(|id| !world.deleted.contains(id))
}

fn address(id: u32) -> String {
    format!("10.{}.{}.1", id >> 8 & 255, id & 255)
}

fn device(world: &World, id: u32) -> String {
    let suffix = if world.renamed.contains(&id) { "-new" } else { "" };
    format!(
        r#"{{"id": {id}, "name": "edge-{id}{suffix}", "status": {{"value": "active", "label": "Active"}}, "site": {{"id": 1, "name": "Zurich"}},
        "role": {{"id": 1, "name": "Edge", "slug": "edge"}}, "platform": {{"id": 1, "name": "Junos", "slug": "junos"}}, "tenant": {{"id": 1, "name": "Acme", "slug": "acme"}}, "oob_ip": null,
        "device_type": {{"id": 1, "model": "MX480", "slug": "mx480", "manufacturer": {{"id": 1, "name": "Juniper", "slug": "juniper"}}}},
        "primary_ip4": {{"id": {}, "family": 4, "address": "{}/24"}}, "tags": [{{"id": 1, "name": "Flow", "slug": "flow"}}],
        "custom_fields": {{"snmp": "v3", "none": null, "helios_monitor": true}}, "a_later_field": {{"x": [1]}}}}"#,
        PRIMARY + id,
        address(id)
    )
}

/// Two addresses of the first interface of a device: the primary one and, for device `xyz`, `127.x.y.z`, which an exporter
/// in a test can send from.
fn ip_address(world: &World, id: u32) -> String {
    let device = if id > PRIMARY { id - PRIMARY } else { id };
    let interface = (device - 1) * world.interfaces_per_device + 1;
    let address = match id > PRIMARY {
        true => format!("{}/24", address(device)),
        false => format!("127.{}.{}.{}/8", id >> 16 & 255, id >> 8 & 255, id & 255),
    };
    format!(
        r#"{{"id": {id}, "address": "{address}", "vrf": null, "assigned_object_type": "dcim.interface",
        "assigned_object_id": {interface}, "status": {{"value": "active"}}, "role": null, "tenant": null,
        "dns_name": "", "description": ""}}"#
    )
}

fn interface(world: &World, id: u32) -> String {
    let (device, port) = ((id - 1) / world.interfaces_per_device + 1, (id - 1) % world.interfaces_per_device);
    format!(
        r#"{{"id": {id}, "device": {{"id": {device}, "name": "edge-{device}"}}, "name": "xe-0/0/{port}", "label": "", "speed": null,
        "type": {{"value": "10gbase-x-sfpp", "label": "SFP+"}}, "description": "to edge-{} port {port}", "enabled": true, "lag": null,
        "vrf": null, "mgmt_only": false, "tags": [], "custom_fields": {{"ifindex": {}, "role": "core"}}}}"#,
        device + 1,
        500 + port
    )
}

fn prefix(world: &World, id: u32) -> String {
    let place = if has_scopes(world.version) {
        r#""scope_type": "dcim.site", "scope_id": 1, "scope": {"id": 1, "name": "Zurich"}"#
    } else {
        r#""site": {"id": 1, "name": "Zurich"}"#
    };
    format!(
        r#"{{"id": {id}, "prefix": "{}.{}.{}.0/24", "vrf": null, {place}, "status": {{"value": "active"}}, "tenant": {{"id": 1, "name": "Acme"}},
        "role": {{"id": 1, "name": "Clients", "slug": "clients"}}, "description": "", "tags": []}}"#,
        10 + (id >> 16),
        id >> 8 & 255,
        id & 255
    )
}
