//! The objects in the API of one version of NetBox, in the shape of its OpenAPI description: references are nested objects
//! in their brief form, choices have value and label, lists of what is blank are empty.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::netbox::is_at_least;

use super::{Address, Device, Interface, Machine, MachineInterface, Network, On, Prefix, Scope, Site, Table};

impl Network {
    /// The ids of a list of the API, `dcim/devices`; nothing of one that this network has none of.
    pub fn ids(&self, list: &str) -> Vec<u32> {
        fn keys<T>(table: &Table<T>) -> Vec<u32> {
            table.keys().copied().collect()
        }
        match list {
            "dcim/regions" => keys(&self.regions),
            "dcim/sites" => keys(&self.sites),
            "dcim/locations" => keys(&self.locations),
            "tenancy/tenants" => keys(&self.tenants),
            "ipam/vrfs" => keys(&self.vrfs),
            "ipam/asns" => keys(&self.asns),
            "dcim/devices" => keys(&self.devices),
            "dcim/interfaces" => keys(&self.interfaces),
            "virtualization/virtual-machines" => keys(&self.machines),
            "virtualization/interfaces" => keys(&self.machine_interfaces),
            "ipam/ip-addresses" => keys(&self.addresses),
            "ipam/prefixes" => keys(&self.prefixes),
            "dcim/racks" => keys(&self.racks),
            "dcim/device-roles" => keys(&self.roles("dcim/device-roles")),
            "ipam/roles" => keys(&self.roles("ipam/roles")),
            "dcim/manufacturers" | "dcim/device-types" | "virtualization/clusters" => vec![1],
            "dcim/virtual-chassis" => {
                let mut masters: Vec<u32> = self.devices.values().filter_map(|device| device.master).collect();
                masters.sort_unstable();
                masters.dedup();
                masters
            }
            _ => Vec::new(),
        }
    }

    /// The object of an id that [`ids`](Self::ids) has; of its fields only those that are asked for, if any are.
    pub fn object(&self, list: &str, id: u32, version: &str, fields: Option<&str>) -> String {
        let mut object = match list {
            "dcim/regions" => json!({
                "name": self.regions[&id].name, "slug": slug("region", id), "description": "",
                "parent": self.regions[&id].parent.map(|parent| self.region(parent)),
            }),
            "dcim/sites" => self.site_in_full(&self.sites[&id], id),
            "dcim/locations" => json!({
                "name": self.locations[&id].name, "slug": slug("location", id), "parent": null,
                "site": self.site(self.locations[&id].site), "status": choice("active"),
            }),
            "tenancy/tenants" => json!({"name": self.tenants[&id].name, "slug": slug("tenant", id), "group": null}),
            "ipam/vrfs" => json!({
                "name": self.vrfs[&id].name, "rd": self.vrfs[&id].rd, "tenant": null, "description": "",
                "enforce_unique": true,
            }),
            "ipam/asns" => json!({
                "asn": self.asns[&id], "rir": {"id": 1, "name": "RIPE", "slug": "ripe"}, "tenant": null,
                "description": as_description(self.asns[&id]),
            }),
            "dcim/racks" => json!({"name": slug("rack", id), "site": self.site(self.racks[&id]), "location": null}),
            "dcim/device-roles" => self.role("dcim/device-roles", id),
            "ipam/roles" => self.role("ipam/roles", id),
            "dcim/manufacturers" => self.manufacturer(),
            "dcim/device-types" => self.device_type(),
            "virtualization/clusters" => {
                let site = self.cluster_site.map(|site| self.site(site));
                json!({"name": "lab", "scope_type": site.as_ref().map(|_| "dcim.site"), "scope_id": self.cluster_site, "site": site})
            }
            "dcim/virtual-chassis" => json!({
                "name": self.stack_name(id), "master": {"id": id, "name": self.devices.get(&id).map(|device| &device.name)},
            }),
            "dcim/devices" => self.device_object(&self.devices[&id], id, version),
            "dcim/interfaces" => self.interface_object(&self.interfaces[&id]),
            "virtualization/virtual-machines" => self.machine_object(&self.machines[&id]),
            "virtualization/interfaces" => self.machine_interface_object(&self.machine_interfaces[&id]),
            "ipam/ip-addresses" => self.address_object(&self.addresses[&id]),
            _ => self.prefix_object(&self.prefixes[&id], version),
        };
        object["id"] = id.into();
        object["url"] = format!("http://proxied.invalid/api/{list}/{id}/").into();
        if let (Some(fields), Value::Object(object)) = (fields, &mut object) {
            object.retain(|field, _| fields.split(',').any(|asked| asked == field));
        }
        object.to_string()
    }

    fn site_in_full(&self, site: &Site, id: u32) -> Value {
        let asns = site.asns.iter().map(|asn| json!({"id": asn, "asn": self.asns[asn], "display": "AS"}));
        json!({
            "name": site.name, "slug": slug("site", id), "status": choice("active"), "group": null, "tenant": null,
            "region": site.region.map(|region| self.region(region)), "facility": "", "asns": asns.collect::<Vec<_>>(),
            "tags": [], "custom_fields": {},
        })
    }

    fn device_object(&self, device: &Device, id: u32, version: &str) -> Value {
        let role = self.role("dcim/device-roles", self.role_id("dcim/device-roles", device.role));
        let chassis = |master: u32| {
            let name = self.stack_name(master);
            json!({"id": master, "name": name, "master": {"id": master, "name": name}, "member_count": 2})
        };
        let mut object = json!({
            "name": device.name, "display": device.name.as_deref().unwrap_or("MX480"), "status": choice("active"),
            "site": self.site(device.site), "role": role, "tenant": device.tenant.map(|tenant| self.tenant(tenant)),
            "platform": null, "serial": format!("S{id}"), "description": "", "oob_ip": null,
            "device_type": self.device_type(), "asset_tag": null, "vc_position": self.position(id),
            "primary_ip": device.primary6.or(device.primary4).map(|address| self.address(address)),
            "primary_ip4": device.primary4.map(|address| self.address(address)),
            "primary_ip6": device.primary6.map(|address| self.address(address)),
            "virtual_chassis": device.master.map(chassis), "tags": [], "custom_fields": {"snmp": null},
        });
        if version.starts_with('3') {
            object["device_role"] = object["role"].clone();
        }
        object
    }

    fn interface_object(&self, interface: &Interface) -> Value {
        let device = &self.devices[&interface.device];
        json!({
            "device": {"id": interface.device, "name": device.name, "display": device.name},
            "name": interface.name, "label": "", "description": interface.description, "enabled": true,
            "type": choice(interface.kind), "speed": null, "mgmt_only": false, "tags": [],
            "lag": interface.lag.map(|lag| json!({"id": lag, "name": self.interfaces[&lag].name})),
            "vrf": interface.vrf.map(|vrf| self.vrf(vrf)),
            "custom_fields": {"ifindex": interface.ifindex, "role": null},
        })
    }

    fn machine_object(&self, machine: &Machine) -> Value {
        json!({
            "name": machine.name, "status": choice("active"), "site": machine.site.map(|site| self.site(site)),
            "cluster": {"id": 1, "name": "lab"}, "role": null, "tenant": null, "platform": null, "description": "",
            "primary_ip4": machine.primary4.map(|address| self.address(address)), "primary_ip6": null,
            "tags": [], "custom_fields": {},
        })
    }

    fn machine_interface_object(&self, interface: &MachineInterface) -> Value {
        json!({
            "virtual_machine": {"id": interface.machine, "name": self.machines[&interface.machine].name},
            "name": interface.name, "description": "", "vrf": null, "enabled": true,
        })
    }

    fn address_object(&self, address: &Address) -> Value {
        let (kind, object) = match address.on {
            On::Interface(id) => (json!("dcim.interface"), json!(id)),
            On::MachineInterface(id) => (json!("virtualization.vminterface"), json!(id)),
            On::Nothing => (Value::Null, Value::Null),
        };
        json!({
            "family": family(address.address), "address": format!("{}/{}", address.address, address.bits),
            "vrf": address.vrf.map(|vrf| self.vrf(vrf)), "assigned_object_type": kind, "assigned_object_id": object,
            "status": choice("active"), "role": null, "tenant": null, "dns_name": "", "description": "",
        })
    }

    fn prefix_object(&self, prefix: &Prefix, version: &str) -> Value {
        let mut object = json!({
            "family": family(prefix.network), "prefix": format!("{}/{}", prefix.network, prefix.bits),
            "vrf": prefix.vrf.map(|vrf| self.vrf(vrf)), "status": choice("active"), "description": "", "tags": [],
            "tenant": prefix.tenant.map(|tenant| self.tenant(tenant)),
            "role": prefix.role.map(|role| self.role("ipam/roles", self.role_id("ipam/roles", role))),
        });
        if has_scopes(version) {
            let (kind, id) = match prefix.scope {
                Scope::Site(id) => (json!("dcim.site"), json!(id)),
                Scope::Location(id) => (json!("dcim.location"), json!(id)),
                Scope::Region(id) => (json!("dcim.region"), json!(id)),
                Scope::Nothing => (Value::Null, Value::Null),
            };
            object["scope_type"] = kind;
            object["scope_id"] = id;
        } else {
            object["site"] = match prefix.scope {
                Scope::Site(id) => self.site(id),
                _ => Value::Null,
            };
        }
        object
    }

    fn role(&self, list: &'static str, id: u32) -> Value {
        let name = self.roles(list).remove(&id);
        json!({"id": id, "name": name, "slug": slug("role", id), "description": ""})
    }

    fn manufacturer(&self) -> Value {
        json!({"id": 1, "name": self.named("dcim/manufacturers", 1, "Juniper"), "slug": "juniper"})
    }

    fn device_type(&self) -> Value {
        json!({"id": 1, "model": self.named("dcim/device-types", 1, "MX480"), "slug": "mx480", "manufacturer": self.manufacturer()})
    }

    fn region(&self, id: u32) -> Value {
        json!({"id": id, "name": self.regions[&id].name, "slug": slug("region", id)})
    }

    fn site(&self, id: u32) -> Value {
        json!({"id": id, "name": self.sites[&id].name, "slug": slug("site", id)})
    }

    fn tenant(&self, id: u32) -> Value {
        json!({"id": id, "name": self.tenants[&id].name, "slug": slug("tenant", id)})
    }

    fn vrf(&self, id: u32) -> Value {
        json!({"id": id, "name": self.vrfs[&id].name, "rd": self.vrfs[&id].rd})
    }

    fn address(&self, id: u32) -> Value {
        let Address { address, bits, .. } = self.addresses[&id];
        json!({"id": id, "family": family(address), "address": format!("{address}/{bits}")})
    }
}

/// Whether prefixes have a scope (4.2 and later) and not a site.
pub(in crate::netbox) fn has_scopes(version: &str) -> bool {
    is_at_least(version, 4, 2)
}

fn choice(value: &str) -> Value {
    json!({"value": value, "label": value.to_uppercase()})
}

fn family(address: IpAddr) -> Value {
    let value = if address.is_ipv4() { 4 } else { 6 };
    json!({"value": value, "label": format!("IPv{value}")})
}

/// What is written for the name of an autonomous system; every third has none.
pub fn as_description(asn: u32) -> String {
    if asn.is_multiple_of(3) { String::new() } else { format!("Carrier {asn}") }
}

fn slug(kind: &str, id: u32) -> String {
    format!("{kind}-{id}")
}
