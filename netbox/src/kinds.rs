//! The kinds of objects that are read: their addresses and fields in NetBox's API, and how each becomes a row.
//!
//! What NetBox adds to an object is ignored, what it leaves out is empty: only the id has to be there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::builder::Builder;
use crate::config::NetBoxConfig;
use crate::model::{self, Assigned, Named, Scope, Span};
use crate::value::{Cidr, Number, Reference, Str};
use crate::version::Version;

/// A kind of objects.
pub trait Kind: DeserializeOwned + Send + 'static {
    /// As in [`Tables::sizes`](crate::snapshot::Tables::sizes).
    const NAME: &'static str;
    /// Below `/api/`.
    const PATH: &'static str;
    /// What is asked for where NetBox lets choose; `site` of prefixes is in [`fields`](Self::fields).
    const FIELDS: &'static str;

    /// The fields that this version has.
    fn fields(_version: Version) -> &'static str {
        Self::FIELDS
    }

    /// The configured filter.
    fn filter(_config: &NetBoxConfig) -> &str {
        ""
    }

    /// NetBox's number for it.
    fn id(&self) -> u32;

    /// Adds the object to the snapshot.
    fn load(self, builder: &mut Builder, config: &NetBoxConfig);

    /// Forgets what there is of this kind.
    fn clear(builder: &mut Builder);
}

fn named(builder: &mut Builder, reference: &Reference) -> Named {
    Named { name: builder.text(&reference.name), slug: builder.text(&reference.slug) }
}

fn slugs(builder: &mut Builder, tags: &Option<Vec<Reference>>) -> Span {
    builder.text_list(tags.iter().flatten().map(|tag| if tag.slug.is_empty() { &tag.name } else { &tag.slug }))
}

type Fields = Option<BTreeMap<String, Str>>;

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.as_ref().and_then(|fields| fields.get(name)).map_or("", |value| &value.0)
}

#[derive(Debug, Deserialize)]
pub struct Device {
    id: u32,
    #[serde(default)]
    name: Str,
    #[serde(default)]
    status: Str,
    #[serde(default)]
    site: Reference,
    #[serde(default)]
    role: Reference,
    /// The role before 3.6.
    #[serde(default)]
    device_role: Reference,
    #[serde(default)]
    tenant: Reference,
    #[serde(default)]
    platform: Reference,
    #[serde(default)]
    device_type: Reference,
    #[serde(default)]
    serial: Str,
    #[serde(default)]
    description: Str,
    #[serde(default)]
    primary_ip4: Cidr,
    #[serde(default)]
    primary_ip6: Cidr,
    #[serde(default)]
    oob_ip: Cidr,
    #[serde(default)]
    virtual_chassis: Reference,
    tags: Option<Vec<Reference>>,
    custom_fields: Fields,
}

impl Kind for Device {
    const NAME: &'static str = "devices";
    const PATH: &'static str = "dcim/devices";
    const FIELDS: &'static str = "id,name,status,site,role,tenant,platform,device_type,serial,description,primary_ip4,primary_ip6,oob_ip,virtual_chassis,tags,custom_fields";

    fn filter(config: &NetBoxConfig) -> &str {
        &config.filters.devices
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn load(self, builder: &mut Builder, _config: &NetBoxConfig) {
        let role = if self.role.id == 0 { &self.device_role } else { &self.role };
        let manufacturer = self.device_type.manufacturer.as_deref().cloned().unwrap_or_default();
        let row = model::Device {
            id: self.id,
            name: builder.text(&self.name.0),
            status: builder.text(&self.status.0),
            site: self.site.id,
            role: named(builder, role),
            tenant: named(builder, &self.tenant),
            platform: named(builder, &self.platform),
            manufacturer: named(builder, &manufacturer),
            device_type: named(builder, &self.device_type),
            serial: builder.text(&self.serial.0),
            description: builder.text(&self.description.0),
            primary_ip4: self.primary_ip4.address(),
            primary_ip6: self.primary_ip6.address(),
            oob_ip: self.oob_ip.address(),
            chassis: self.virtual_chassis.id,
            tags: slugs(builder, &self.tags),
            custom_fields: builder.field_list(self.custom_fields.unwrap_or_default()),
        };
        builder.devices.push(row);
    }

    fn clear(builder: &mut Builder) {
        builder.devices.clear();
    }
}

#[derive(Debug, Deserialize)]
pub struct Interface {
    id: u32,
    #[serde(default)]
    device: Reference,
    #[serde(default)]
    name: Str,
    #[serde(default)]
    label: Str,
    #[serde(default)]
    description: Str,
    #[serde(default, rename = "type")]
    kind: Str,
    /// Kilobits per second.
    #[serde(default)]
    speed: Number,
    #[serde(default)]
    lag: Reference,
    #[serde(default)]
    vrf: Reference,
    enabled: Option<bool>,
    mgmt_only: Option<bool>,
    tags: Option<Vec<Reference>>,
    custom_fields: Fields,
}

impl Kind for Interface {
    const NAME: &'static str = "interfaces";
    const PATH: &'static str = "dcim/interfaces";
    const FIELDS: &'static str =
        "id,device,name,label,type,enabled,lag,speed,mgmt_only,description,vrf,tags,custom_fields";

    fn filter(config: &NetBoxConfig) -> &str {
        &config.filters.interfaces
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn load(self, builder: &mut Builder, config: &NetBoxConfig) {
        let speed = match self.speed.0 {
            0 => speed_of(&self.kind.0),
            kilobits => kilobits.saturating_mul(1000),
        };
        let row = model::Interface {
            id: self.id,
            device: self.device.id,
            name: builder.text(&self.name.0),
            label: builder.text(&self.label.0),
            description: builder.text(&self.description.0),
            kind: builder.text(&self.kind.0),
            speed,
            index: field(&self.custom_fields, &config.ifindex_field).parse().unwrap_or(0),
            role: builder.text(field(&self.custom_fields, &config.role_field)),
            lag: self.lag.id,
            vrf: self.vrf.id,
            enabled: self.enabled.unwrap_or(true),
            mgmt_only: self.mgmt_only.unwrap_or(false),
            tags: slugs(builder, &self.tags),
        };
        builder.interfaces.push(row);
    }

    fn clear(builder: &mut Builder) {
        builder.interfaces.clear();
    }
}

/// Bits per second by the type of an interface: `10gbase-x-sfpp`, `2.5gbase-t`, `100base-tx`. 0 where it says nothing.
fn speed_of(kind: &str) -> u64 {
    let Some((speed, _)) = kind.split_once("base-") else { return 0 };
    let (number, megabits) = match speed.strip_suffix('g') {
        Some(number) => (number, 1000.0),
        None => (speed, 1.0),
    };
    number.parse::<f64>().map_or(0, |number| (number * megabits) as u64 * 1_000_000)
}

#[derive(Debug, Deserialize)]
pub struct VirtualMachine {
    id: u32,
    #[serde(default)]
    name: Str,
    #[serde(default)]
    status: Str,
    #[serde(default)]
    site: Reference,
    #[serde(default)]
    cluster: Reference,
    #[serde(default)]
    role: Reference,
    #[serde(default)]
    tenant: Reference,
    #[serde(default)]
    platform: Reference,
    #[serde(default)]
    description: Str,
    #[serde(default)]
    primary_ip4: Cidr,
    #[serde(default)]
    primary_ip6: Cidr,
    tags: Option<Vec<Reference>>,
    custom_fields: Fields,
}

impl Kind for VirtualMachine {
    const NAME: &'static str = "virtual-machines";
    const PATH: &'static str = "virtualization/virtual-machines";
    const FIELDS: &'static str =
        "id,name,status,site,cluster,role,tenant,platform,description,primary_ip4,primary_ip6,tags,custom_fields";

    fn filter(config: &NetBoxConfig) -> &str {
        &config.filters.virtual_machines
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn load(self, builder: &mut Builder, _config: &NetBoxConfig) {
        let row = model::VirtualMachine {
            id: self.id,
            name: builder.text(&self.name.0),
            status: builder.text(&self.status.0),
            site: self.site.id,
            cluster: builder.text(&self.cluster.name),
            role: named(builder, &self.role),
            tenant: named(builder, &self.tenant),
            platform: named(builder, &self.platform),
            description: builder.text(&self.description.0),
            primary_ip4: self.primary_ip4.address(),
            primary_ip6: self.primary_ip6.address(),
            tags: slugs(builder, &self.tags),
            custom_fields: builder.field_list(self.custom_fields.unwrap_or_default()),
        };
        builder.virtual_machines.push(row);
    }

    fn clear(builder: &mut Builder) {
        builder.virtual_machines.clear();
    }
}

#[derive(Debug, Deserialize)]
pub struct IpAddress {
    id: u32,
    #[serde(default)]
    address: Cidr,
    #[serde(default)]
    vrf: Reference,
    #[serde(default)]
    assigned_object_type: Str,
    #[serde(default)]
    assigned_object_id: Number,
    #[serde(default)]
    status: Str,
    #[serde(default)]
    role: Str,
    #[serde(default)]
    tenant: Reference,
    #[serde(default)]
    dns_name: Str,
    #[serde(default)]
    description: Str,
}

impl Kind for IpAddress {
    const NAME: &'static str = "ip-addresses";
    const PATH: &'static str = "ipam/ip-addresses";
    const FIELDS: &'static str =
        "id,address,vrf,assigned_object_type,assigned_object_id,status,role,tenant,dns_name,description";

    fn filter(config: &NetBoxConfig) -> &str {
        &config.filters.ip_addresses
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn load(self, builder: &mut Builder, _config: &NetBoxConfig) {
        let Some((address, bits)) = self.address.0 else { return };
        let object = u32::try_from(self.assigned_object_id.0).unwrap_or(0);
        let row = model::IpAddress {
            id: self.id,
            address,
            bits,
            vrf: self.vrf.id,
            assigned: match &*self.assigned_object_type.0 {
                "" => Assigned::Nothing,
                "dcim.interface" => Assigned::Interface(object),
                "virtualization.vminterface" => Assigned::VmInterface(object),
                _ => Assigned::Other,
            },
            status: builder.text(&self.status.0),
            role: builder.text(&self.role.0),
            tenant: named(builder, &self.tenant),
            dns_name: builder.text(&self.dns_name.0),
            description: builder.text(&self.description.0),
        };
        builder.ip_addresses.push(row);
    }

    fn clear(builder: &mut Builder) {
        builder.ip_addresses.clear();
    }
}

#[derive(Debug, Deserialize)]
pub struct Prefix {
    id: u32,
    #[serde(default)]
    prefix: Cidr,
    #[serde(default)]
    vrf: Reference,
    #[serde(default)]
    scope_type: Str,
    #[serde(default)]
    scope_id: Number,
    /// Before 4.2.
    #[serde(default)]
    site: Reference,
    #[serde(default)]
    status: Str,
    #[serde(default)]
    role: Reference,
    #[serde(default)]
    tenant: Reference,
    #[serde(default)]
    description: Str,
    tags: Option<Vec<Reference>>,
}

impl Prefix {
    fn scope(&self) -> Scope {
        let id = u32::try_from(self.scope_id.0).unwrap_or(0);
        match &*self.scope_type.0 {
            "dcim.site" => Scope::Site(id),
            "dcim.region" => Scope::Region(id),
            "dcim.sitegroup" => Scope::SiteGroup(id),
            "dcim.location" => Scope::Location(id),
            _ if self.site.id != 0 => Scope::Site(self.site.id),
            _ => Scope::Nothing,
        }
    }
}

impl Kind for Prefix {
    const NAME: &'static str = "prefixes";
    const PATH: &'static str = "ipam/prefixes";
    const FIELDS: &'static str = "id,prefix,vrf,scope_type,scope_id,status,role,tenant,description,tags";

    fn fields(version: Version) -> &'static str {
        if version >= Version::SCOPES { Self::FIELDS } else { "id,prefix,vrf,site,status,role,tenant,description,tags" }
    }

    fn filter(config: &NetBoxConfig) -> &str {
        &config.filters.prefixes
    }

    fn id(&self) -> u32 {
        self.id
    }

    fn load(self, builder: &mut Builder, _config: &NetBoxConfig) {
        let Some((network, bits)) = self.prefix.0 else { return };
        let row = model::Prefix {
            id: self.id,
            network,
            bits,
            vrf: self.vrf.id,
            scope: self.scope(),
            status: builder.text(&self.status.0),
            role: named(builder, &self.role),
            tenant: named(builder, &self.tenant),
            description: builder.text(&self.description.0),
            tags: slugs(builder, &self.tags),
        };
        builder.prefixes.push(row);
    }

    fn clear(builder: &mut Builder) {
        builder.prefixes.clear();
    }
}

/// Kinds of which all fields are plain: each is listed as field, type on the wire and how it becomes the row's.
macro_rules! plain {
    ($kind:ident, $row:ident, $vector:ident, $name:literal, $path:literal, $fields:literal;
     $($field:ident: $type:ty = |$builder:ident, $value:ident| $make:expr;)*) => {
        #[derive(Debug, Deserialize)]
        pub struct $kind {
            id: u32,
            $(#[serde(default)]
            $field: $type,)*
        }

        impl Kind for $kind {
            const NAME: &'static str = $name;
            const PATH: &'static str = $path;
            const FIELDS: &'static str = $fields;

            fn id(&self) -> u32 {
                self.id
            }

            fn load(self, builder: &mut Builder, _config: &NetBoxConfig) {
                let row = model::$row {
                    id: self.id,
                    $($field: {
                        let ($builder, $value) = (&mut *builder, self.$field);
                        $make
                    },)*
                };
                builder.$vector.push(row);
            }

            fn clear(builder: &mut Builder) {
                builder.$vector.clear();
            }
        }
    };
}

plain! { VmInterface, VmInterface, vm_interfaces, "vm-interfaces", "virtualization/interfaces",
    "id,virtual_machine,name,description,vrf,enabled";
    virtual_machine: Reference = |_builder, value| value.id;
    name: Str = |builder, value| builder.text(&value.0);
    description: Str = |builder, value| builder.text(&value.0);
    vrf: Reference = |_builder, value| value.id;
    enabled: Option<bool> = |_builder, value| value.unwrap_or(true);
}

plain! { Vrf, Vrf, vrfs, "vrfs", "ipam/vrfs", "id,name,rd,tenant,description";
    name: Str = |builder, value| builder.text(&value.0);
    rd: Str = |builder, value| builder.text(&value.0);
    tenant: Reference = |builder, value| named(builder, &value);
    description: Str = |builder, value| builder.text(&value.0);
}

plain! { Asn, Asn, asns, "asns", "ipam/asns", "id,asn,rir,tenant,description";
    asn: Number = |_builder, value| u32::try_from(value.0).unwrap_or(0);
    rir: Reference = |builder, value| named(builder, &value);
    tenant: Reference = |builder, value| named(builder, &value);
    description: Str = |builder, value| builder.text(&value.0);
}

plain! { Site, Site, sites, "sites", "dcim/sites", "id,name,slug,status,region,group,tenant,facility,asns,tags";
    name: Str = |builder, value| builder.text(&value.0);
    slug: Str = |builder, value| builder.text(&value.0);
    status: Str = |builder, value| builder.text(&value.0);
    region: Reference = |_builder, value| value.id;
    group: Reference = |_builder, value| value.id;
    tenant: Reference = |builder, value| named(builder, &value);
    facility: Str = |builder, value| builder.text(&value.0);
    asns: Option<Vec<Reference>> = |builder, value| builder.number_list(value.iter().flatten().map(|asn| asn.asn));
    tags: Option<Vec<Reference>> = |builder, value| slugs(builder, &value);
}

plain! { Region, Group, regions, "regions", "dcim/regions", "id,name,slug,parent";
    name: Str = |builder, value| builder.text(&value.0);
    slug: Str = |builder, value| builder.text(&value.0);
    parent: Reference = |_builder, value| value.id;
}

plain! { SiteGroup, Group, site_groups, "site-groups", "dcim/site-groups", "id,name,slug,parent";
    name: Str = |builder, value| builder.text(&value.0);
    slug: Str = |builder, value| builder.text(&value.0);
    parent: Reference = |_builder, value| value.id;
}

plain! { Location, Location, locations, "locations", "dcim/locations", "id,name,slug,site";
    name: Str = |builder, value| builder.text(&value.0);
    slug: Str = |builder, value| builder.text(&value.0);
    site: Reference = |_builder, value| value.id;
}

plain! { Tenant, Tenant, tenants, "tenants", "tenancy/tenants", "id,name,slug,group";
    name: Str = |builder, value| builder.text(&value.0);
    slug: Str = |builder, value| builder.text(&value.0);
    group: Reference = |builder, value| named(builder, &value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Origin, Snapshot};

    fn load<K: Kind>(json: &str) -> Snapshot {
        let mut builder = Builder::default();
        serde_json::from_str::<K>(json).unwrap().load(&mut builder, &NetBoxConfig::default());
        builder.finish(Origin::default())
    }

    #[test]
    fn only_the_id_has_to_be_there_and_nulls_are_empty() {
        let snapshot = load::<Device>(r#"{"id": 4, "name": null, "role": null, "tags": null, "primary_ip4": null}"#);
        assert_eq!(snapshot.tables.devices.rows(), [model::Device { id: 4, ..model::Device::default() }]);
        assert!(serde_json::from_str::<Device>(r#"{"name": "x"}"#).is_err());
    }

    #[test]
    fn a_device_of_3_7_has_its_role_by_either_name() {
        let json = r#"{"id": 1, "device_role": {"id": 2, "name": "Edge", "slug": "edge"}, "status": {"value": "active"},
            "device_type": {"id": 1, "model": "MX480", "slug": "mx480", "manufacturer": {"id": 1, "name": "Juniper"}},
            "tags": [{"id": 1, "name": "Flow", "slug": "flow"}], "custom_fields": {"a": null, "b": 5}}"#;
        let snapshot = load::<Device>(json);
        let device = snapshot.tables.devices.rows()[0];
        assert_eq!((snapshot.text(device.role.slug), snapshot.text(device.status)), ("edge", "active"));
        assert_eq!(
            (snapshot.text(device.device_type.name), snapshot.text(device.manufacturer.name)),
            ("MX480", "Juniper")
        );
        assert_eq!(snapshot.texts(device.tags).collect::<Vec<_>>(), ["flow"]);
        assert_eq!(snapshot.fields(device.custom_fields).collect::<Vec<_>>(), [("b", "5")]);
    }

    #[test]
    fn speed_is_in_bits_and_falls_back_on_the_type() {
        let speed = |json: &str| load::<Interface>(json).tables.interfaces.rows()[0].speed;
        assert_eq!(speed(r#"{"id": 1, "speed": 1000000, "type": {"value": "10gbase-t"}}"#), 1_000_000_000);
        for (kind, expected) in [
            ("10gbase-x-sfpp", 10_000_000_000),
            ("2.5gbase-t", 2_500_000_000),
            ("100base-tx", 100_000_000),
            ("lag", 0),
            ("virtual", 0),
        ] {
            assert_eq!(speed(&format!(r#"{{"id": 1, "speed": null, "type": "{kind}"}}"#)), expected, "{kind}");
        }
    }

    #[test]
    fn index_and_role_come_from_the_configured_custom_fields() {
        let snapshot =
            load::<Interface>(r#"{"id": 1, "custom_fields": {"ifindex": 501, "role": ["transit", "ddos"]}}"#);
        let interface = snapshot.tables.interfaces.rows()[0];
        assert_eq!((interface.index, snapshot.text(interface.role)), (501, "transit,ddos"));
    }

    #[test]
    fn a_prefix_belongs_to_its_scope_or_before_4_2_to_its_site() {
        let scope = |json: &str| load::<Prefix>(json).tables.prefixes.rows()[0].scope;
        let prefix = r#""id": 1, "prefix": "10.0.0.0/8""#;
        assert_eq!(scope(&format!(r#"{{{prefix}, "scope_type": "dcim.region", "scope_id": 3}}"#)), Scope::Region(3));
        assert_eq!(scope(&format!(r#"{{{prefix}, "site": {{"id": 9, "name": "x"}}}}"#)), Scope::Site(9));
        assert_eq!(scope(&format!("{{{prefix}, \"scope_type\": null, \"scope_id\": null}}")), Scope::Nothing);
    }
}
