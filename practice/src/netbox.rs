//! NetBox's objects of the network, for testkit's server.

use std::net::{IpAddr, Ipv4Addr};

use helios_testkit::netbox::Objects;
use serde_json::{Value, json};

use crate::description::{Description, Device};

/// The tables that objects get their ids from: position + 1.
#[derive(Debug)]
pub(crate) struct Inventory {
    description: Description,
    regions: Vec<String>,
    tenants: Vec<String>,
    roles: Vec<String>,
    platforms: Vec<String>,
    manufacturers: Vec<String>,
    /// Device and interface.
    interfaces: Vec<(usize, usize)>,
    addresses: Vec<Address>,
    /// Networks behind interfaces, with the site.
    prefixes: Vec<(Ipv4Addr, String)>,
}

#[derive(Debug)]
struct Address {
    text: String,
    /// Position of the interface.
    interface: usize,
}

fn distinct<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut all: Vec<String> = texts.cloned().collect();
    all.sort();
    all.dedup();
    all
}

fn id(list: &[String], text: &str) -> usize {
    list.iter().position(|known| known == text).map_or(0, |at| at + 1)
}

fn slug(name: &str) -> String {
    name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

fn named(list: &[String], text: &str) -> Value {
    json!({"id": id(list, text), "name": text, "slug": slug(text)})
}

/// A device's own address with the length of its network.
fn primary(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 8 } else { 128 })
}

impl Inventory {
    pub(crate) fn new(description: Description) -> Self {
        let devices = &description.devices;
        let interfaces: Vec<(usize, usize)> = devices
            .iter()
            .enumerate()
            .flat_map(|(at, device)| (0..device.interfaces.len()).map(move |interface| (at, interface)))
            .collect();
        // The primary address of device N has the id N + 1, and is on its first interface.
        let first = |device: usize| interfaces.iter().position(|(at, _)| *at == device).unwrap_or(0);
        let mut addresses: Vec<Address> = devices
            .iter()
            .enumerate()
            .map(|(at, device)| Address { text: primary(device.address), interface: first(at) })
            .collect();
        for (at, (device, interface)) in interfaces.iter().enumerate() {
            let interface = &devices[*device].interfaces[*interface];
            if let Some(address) = interface.address {
                let length =
                    if interface.edge.as_ref().is_some_and(|edge| edge.asn == devices[*device].asn) { 24 } else { 31 };
                addresses.push(Address { text: format!("{address}/{length}"), interface: at });
            }
        }
        let edges = devices.iter().flat_map(|device| {
            let own = device.interfaces.iter().filter_map(|interface| interface.edge.as_ref());
            own.filter(|edge| edge.asn == device.asn).map(|edge| (edge.network, device.site.clone()))
        });
        Self {
            prefixes: edges.collect(),
            regions: distinct(description.sites.iter().map(|site| &site.region)),
            tenants: distinct(description.sites.iter().map(|site| &site.tenant)),
            roles: distinct(devices.iter().map(|device| &device.role)),
            platforms: distinct(devices.iter().map(|device| &device.platform)),
            manufacturers: distinct(devices.iter().map(|device| &device.manufacturer)),
            interfaces,
            addresses,
            description,
        }
    }

    fn site(&self, name: &str) -> Value {
        let at = self.description.sites.iter().position(|site| site.name == name).map_or(0, |at| at + 1);
        json!({"id": at, "name": name, "slug": slug(name)})
    }

    fn tenant_of(&self, site: &str) -> Value {
        let found = self.description.sites.iter().find(|known| known.name == site);
        found.map_or(Value::Null, |site| named(&self.tenants, &site.tenant))
    }

    fn device_type(&self, manufacturer: &str) -> Value {
        let at = id(&self.manufacturers, manufacturer);
        json!({"id": at, "model": format!("{manufacturer} router"), "slug": format!("{}-router", slug(manufacturer)),
               "manufacturer": named(&self.manufacturers, manufacturer)})
    }

    fn device(&self, at: usize, device: &Device) -> Value {
        let family = if device.address.is_ipv4() { 4 } else { 6 };
        let primary = json!({
            "id": at + 1, "address": primary(device.address), "family": {"value": family, "label": format!("IPv{family}")},
        });
        let of = |wanted: u8| if family == wanted { primary.clone() } else { Value::Null };
        json!({
            "name": device.name, "display": device.name, "status": {"value": "active", "label": "Active"},
            "site": self.site(&device.site), "role": named(&self.roles, &device.role),
            "platform": named(&self.platforms, &device.platform), "tenant": self.tenant_of(&device.site),
            "device_type": self.device_type(&device.manufacturer), "primary_ip": primary, "primary_ip4": of(4),
            "primary_ip6": of(6), "oob_ip": null, "virtual_chassis": null, "serial": format!("LAB{at:04}"),
            "description": "", "tags": [], "custom_fields": {"helios_monitor": true, "helios_collectors": null},
        })
    }

    fn interface(&self, (device, at): (usize, usize)) -> Value {
        let described = &self.description.devices[device];
        let interface = &described.interfaces[at];
        json!({
            "device": {"id": device + 1, "name": described.name}, "name": interface.name, "label": "",
            "speed": interface.speed_mbps * 1_000, "type": {"value": "10gbase-x-sfpp", "label": "SFP+"},
            "description": interface.description, "enabled": true, "lag": null, "vrf": null, "mgmt_only": false, "tags": [],
            "custom_fields": {"ifindex": at + 1},
        })
    }
}

impl Objects for Inventory {
    fn ids(&self, list: &str) -> Vec<u32> {
        let all = |n: usize| (1..=n as u32).collect();
        match list {
            "dcim/devices" => all(self.description.devices.len()),
            "dcim/interfaces" => all(self.interfaces.len()),
            "ipam/ip-addresses" => all(self.addresses.len()),
            "ipam/prefixes" => all(self.prefixes.len()),
            "dcim/sites" => all(self.description.sites.len()),
            "dcim/regions" => all(self.regions.len()),
            "tenancy/tenants" => all(self.tenants.len()),
            "dcim/device-roles" => all(self.roles.len()),
            "dcim/platforms" => all(self.platforms.len()),
            "dcim/manufacturers" | "dcim/device-types" => all(self.manufacturers.len()),
            "extras/custom-fields" => all(1),
            _ => Vec::new(),
        }
    }

    fn object(&self, list: &str, id: u32) -> Value {
        let at = id as usize - 1;
        let mut object = match list {
            "dcim/devices" => self.device(at, &self.description.devices[at]),
            "dcim/interfaces" => self.interface(self.interfaces[at]),
            "ipam/ip-addresses" => json!({
                "address": self.addresses[at].text, "vrf": null, "assigned_object_type": "dcim.interface",
                "assigned_object_id": self.addresses[at].interface + 1, "status": {"value": "active"}, "role": null,
                "tenant": null, "dns_name": "", "description": "",
            }),
            "ipam/prefixes" => {
                let (network, site) = &self.prefixes[at];
                let scope = self.site(site);
                json!({
                    "prefix": format!("{network}/24"), "vrf": null, "scope_type": "dcim.site", "scope_id": scope["id"],
                    "scope": scope, "status": {"value": "active"}, "tenant": self.tenant_of(site), "role": null,
                    "description": format!("Offices {site}"), "tags": [],
                })
            }
            "dcim/sites" => {
                let site = &self.description.sites[at];
                json!({"name": site.name, "slug": slug(&site.name), "region": named(&self.regions, &site.region), "asns": [],
                       "status": {"value": "active"}, "tenant": named(&self.tenants, &site.tenant)})
            }
            "dcim/regions" => json!({"name": self.regions[at], "slug": slug(&self.regions[at]), "parent": null}),
            "tenancy/tenants" => json!({"name": self.tenants[at], "slug": slug(&self.tenants[at]), "group": null}),
            "dcim/device-roles" => json!({"name": self.roles[at], "slug": slug(&self.roles[at])}),
            "dcim/platforms" => json!({"name": self.platforms[at], "slug": slug(&self.platforms[at])}),
            "dcim/manufacturers" => json!({"name": self.manufacturers[at], "slug": slug(&self.manufacturers[at])}),
            "dcim/device-types" => self.device_type(&self.manufacturers[at]),
            _ => json!({"name": "ifindex"}),
        };
        object["id"] = id.into();
        object
    }
}
