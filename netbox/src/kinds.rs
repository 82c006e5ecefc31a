//! The kinds of objects that are read, one entry each: their address in NetBox's API, the permission that they need, and
//! the fields that are kept. [`crate::declare`] says what an entry consists of and makes everything else of it.
//!
//! A value of type `u32` is the id of another object, or a number. Copies of other objects that NetBox embeds, their
//! names above all, are not kept: they change without a trace in the object that shows them.

use std::collections::BTreeMap;

use crate::builder::Builder;
use crate::config::NetBoxConfig;
use crate::declare::{Load, Spec, kinds};
use crate::model::{AddressRef, Assigned, Cidr, CustomFields, Ids, Scope};
use crate::text::Text;
use crate::value::{Id, Number, Str};

type Customs = Option<BTreeMap<String, Str>>;

kinds! {
    /// An interface of a device: `dcim/interfaces`.
    interfaces: Interface = "interfaces", "dcim/interfaces", "dcim.view_interface",
        Spec { required: true, filter: |config| config.filters.interfaces.clone(), follows: &["custom-fields"], ..Spec::FLOWS } => {
        fields {
            /// Id of its device.
            device: u32,
            /// As the device calls it, `xe-0/0/4`.
            name: Text,
            /// Free text.
            description: Text,
            /// Interface id of the link aggregation group that this one is a member of.
            lag: u32,
            /// Id of its VRF; 0 is the global table.
            vrf: u32,
        }
        from { r#type: Str, speed: Number, custom_fields: Customs, }
        make {
            /// Bits per second (NetBox has kbit/s); where it is blank what the type says, `10gbase-t`; 0 if neither does.
            speed: u64 = |object, _load| match object.speed.0 {
                0 => speed_of(&object.r#type.0),
                kilobits => kilobits.saturating_mul(1000),
            };
            /// ifIndex (RFC 2863) from the configured custom field; 0 if it is not there.
            index: u32 = |object, load| custom(&object.custom_fields, &load.config.ifindex_field).parse().unwrap_or(0);
            /// The configured custom field for the role; empty if it is not there.
            role: Text = |object, load| {
                let role = custom(&object.custom_fields, &load.config.role_field);
                load.builder.text(role)
            };
        }
    }

    /// An address: `ipam/ip-addresses`.
    ip_addresses: IpAddress = "ip-addresses", "ipam/ip-addresses", "ipam.view_ipaddress",
        Spec { filter: |config| config.filters.ip_addresses.clone(), ..Spec::FLOWS } => {
        fields {
            /// The address and the length of its network.
            address: Cidr,
            /// Id of its VRF; 0 is the global table.
            vrf: u32,
        }
        from { assigned_object_type: Str, assigned_object_id: Id, }
        make {
            /// The interface that has it.
            assigned: Assigned = |object, _load| match &*object.assigned_object_type.0 {
                "" => Assigned::Nothing,
                "dcim.interface" => Assigned::Interface(object.assigned_object_id.0),
                "virtualization.vminterface" => Assigned::VmInterface(object.assigned_object_id.0),
                _ => Assigned::Other,
            };
        }
    }

    /// A prefix: `ipam/prefixes`.
    prefixes: Prefix = "prefixes", "ipam/prefixes", "ipam.view_prefix",
        Spec { required: true, filter: |config| config.filters.prefixes.clone(), ..Spec::FLOWS } => {
        fields {
            /// The network.
            prefix: Cidr,
            /// Id of its VRF; 0 is the global table.
            vrf: u32,
            /// Id of a [`PrefixRole`].
            role: u32,
            /// Id of its tenant.
            tenant: u32,
        }
        // NetBox leaves out what its version does not have: `scope_...` before 4.2, `site` since.
        from { scope_type: Str, scope_id: Id, site: Id, }
        make {
            /// The place that it belongs to.
            scope: Scope = |object, _load| scope(&object.scope_type, object.scope_id, object.site);
        }
    }

    /// A device: `dcim/devices`.
    devices: Device = "devices", "dcim/devices", "dcim.view_device",
        Spec {
            required: true,
            filter: |config| config.filters.devices.clone(),
            follows: &["locations", "racks"],
            ..Spec::ALL
        } => {
        fields {
            /// Empty for a device without a name, which NetBox allows: [`Snapshot::device_name`](crate::Snapshot::device_name).
            name: Text,
            /// Unique where it is not empty.
            asset_tag: Text,
            /// Id of its site.
            site: u32,
            /// Id of a [`DeviceRole`].
            role: u32,
            /// Id of its tenant.
            tenant: u32,
            /// Id of its type.
            device_type: u32,
            /// The address that the device is reached by over IPv4.
            primary_ip4: AddressRef,
            /// The same over IPv6.
            primary_ip6: AddressRef,
            /// Out-of-band management address.
            oob_ip: AddressRef,
            /// Id of the virtual chassis that it is a member of.
            virtual_chassis: u32,
            /// Its number in the virtual chassis; 0 where it has none, which may be a number as well.
            vc_position: u32,
        }
        targets {
            /// `active`, `planned`, `offline`, ...
            status: Text,
            /// Id of its platform.
            platform: u32,
            /// Ids of its tags: [`Snapshot::tags`](crate::Snapshot::tags).
            tags: Ids,
            /// Those that `netbox.custom_fields` names and those that Helios itself has.
            custom_fields: CustomFields,
        }
    }

    /// A virtual machine: `virtualization/virtual-machines`.
    virtual_machines: VirtualMachine = "virtual-machines", "virtualization/virtual-machines", "virtualization.view_virtualmachine",
        Spec { filter: |config| config.filters.virtual_machines.clone(), follows: &["clusters"], ..Spec::ALL } => {
        fields {
            /// Its name.
            name: Text,
            /// Id of its site.
            site: u32,
            /// Id of a [`DeviceRole`].
            role: u32,
            /// Id of its tenant.
            tenant: u32,
            /// The address that it is reached by over IPv4.
            primary_ip4: AddressRef,
            /// The same over IPv6.
            primary_ip6: AddressRef,
        }
        targets {
            /// `active`, `planned`, `offline`, ...
            status: Text,
            /// Id of its platform.
            platform: u32,
            /// Ids of its tags.
            tags: Ids,
            /// Those that `netbox.custom_fields` names and those that Helios itself has.
            custom_fields: CustomFields,
        }
    }

    /// An interface of a virtual machine: `virtualization/interfaces`.
    vm_interfaces: VmInterface = "vm-interfaces", "virtualization/interfaces", "virtualization.view_vminterface", Spec::FLOWS => {
        fields {
            /// Id of its virtual machine.
            virtual_machine: u32,
            /// As the machine calls it, `eth0`.
            name: Text,
            /// Free text.
            description: Text,
        }
    }

    /// A routing table: `ipam/vrfs`. Without their names the prefixes of a VRF would pass for global ones.
    vrfs: Vrf = "vrfs", "ipam/vrfs", "ipam.view_vrf", Spec { required: true, ..Spec::FLOWS } => {
        fields {
            /// Its name, which several may share.
            name: Text,
            /// Route distinguisher, unique; empty if there is none.
            rd: Text,
        }
    }

    /// An autonomous system: `ipam/asns`.
    asns: Asn = "asns", "ipam/asns", "ipam.view_asn", Spec::FLOWS => {
        fields {
            /// Its number.
            asn: u32,
            /// Free text, which is its name.
            description: Text,
        }
    }

    /// A site: `dcim/sites`.
    sites: Site = "sites", "dcim/sites", "dcim.view_site", Spec { required: true, ..Spec::ALL } => {
        fields {
            /// Its name.
            name: Text,
            /// Id of its region.
            region: u32,
        }
        targets {
            /// Its name for machines.
            slug: Text,
        }
    }

    /// A region, a node of a tree: `dcim/regions`.
    regions: Region = "regions", "dcim/regions", "dcim.view_region", Spec::ALL => {
        fields {
            /// Its name.
            name: Text,
            /// Id of the region above; 0 at the top.
            parent: u32,
        }
    }

    /// A group of sites, a node of a tree: `dcim/site-groups`.
    site_groups: SiteGroup = "site-groups", "dcim/site-groups", "dcim.view_sitegroup", Spec::FLOWS => {
        fields {
            /// Its name.
            name: Text,
            /// Id of the group above; 0 at the top.
            parent: u32,
        }
    }

    /// A part of a site: `dcim/locations`. With it move the devices in it.
    locations: Location = "locations", "dcim/locations", "dcim.view_location", Spec { follows: &["locations"], ..Spec::FLOWS } => {
        fields {
            /// Its name.
            name: Text,
            /// Id of its site.
            site: u32,
        }
    }

    /// A rack: `dcim/racks`. With it move the devices in it.
    racks: Rack = "racks", "dcim/racks", "dcim.view_rack", Spec::FLOWS => {
        fields {
            /// Id of its site.
            site: u32,
            /// Id of its location.
            location: u32,
        }
    }

    /// A cluster of hosts: `virtualization/clusters`. With it move its virtual machines.
    clusters: Cluster = "clusters", "virtualization/clusters", "virtualization.view_cluster", Spec::FLOWS => {
        fields {
            /// Its name.
            name: Text,
        }
        from { scope_type: Str, scope_id: Id, site: Id, }
        make {
            /// The place that it belongs to.
            scope: Scope = |object, _load| scope(&object.scope_type, object.scope_id, object.site);
        }
    }

    /// A tenant: `tenancy/tenants`.
    tenants: Tenant = "tenants", "tenancy/tenants", "tenancy.view_tenant", Spec::ALL => {
        fields {
            /// Its name.
            name: Text,
        }
        targets {
            /// Its name for machines.
            slug: Text,
        }
    }

    /// A role of devices and virtual machines: `dcim/device-roles`.
    device_roles: DeviceRole = "device-roles", "dcim/device-roles", "dcim.view_devicerole", Spec::ALL => {
        fields {
            /// Its name.
            name: Text,
            /// Its name for machines.
            slug: Text,
        }
    }

    /// A role of prefixes: `ipam/roles`.
    prefix_roles: PrefixRole = "prefix-roles", "ipam/roles", "ipam.view_role", Spec::FLOWS => {
        fields {
            /// Its name.
            name: Text,
        }
    }

    /// An operating system: `dcim/platforms`.
    platforms: Platform = "platforms", "dcim/platforms", "dcim.view_platform", Spec::TARGETS => {
        fields {
            /// Its name.
            name: Text,
            /// Its name for machines.
            slug: Text,
        }
    }

    /// A make of hardware: `dcim/manufacturers`.
    manufacturers: Manufacturer = "manufacturers", "dcim/manufacturers", "dcim.view_manufacturer", Spec::ALL => {
        fields {
            /// Its name.
            name: Text,
            /// Its name for machines.
            slug: Text,
        }
    }

    /// A model of hardware: `dcim/device-types`.
    device_types: DeviceType = "device-types", "dcim/device-types", "dcim.view_devicetype", Spec::ALL => {
        fields {
            /// Id of its manufacturer.
            manufacturer: u32,
            /// The model's name.
            model: Text,
            /// Its name for machines.
            slug: Text,
        }
    }

    /// Devices that are one to the network: `dcim/virtual-chassis`.
    virtual_chassis: VirtualChassis = "virtual-chassis", "dcim/virtual-chassis", "dcim.view_virtualchassis", Spec::ALL => {
        fields {
            /// Its name.
            name: Text,
            /// Id of the device that manages the others; 0 if none does.
            master: u32,
        }
    }

    /// A tag: `extras/tags`.
    tags: Tag = "tags", "extras/tags", "extras.view_tag", Spec::TARGETS => {
        fields {
            /// Its name.
            name: Text,
            /// Its name for machines.
            slug: Text,
        }
    }

    /// A custom field of interfaces that is in use: `extras/custom-fields`. NetBox renames its values in bulk.
    custom_fields: CustomField = "custom-fields", "extras/custom-fields", "extras.view_customfield",
        Spec { filter: |config| format!("name={}&name={}", config.ifindex_field, config.role_field), ..Spec::FLOWS } => {
        fields {
            /// The name of its values in objects.
            name: Text,
        }
    }
}

impl Builder {
    /// Keeps custom fields that have a value.
    pub(crate) fn chosen(&mut self, fields: &Customs, config: &NetBoxConfig) -> CustomFields {
        let chosen = |name: &&String| config.keeps(name);
        let chosen = fields.iter().flatten().filter(|(name, _)| chosen(name));
        self.custom_fields(chosen.map(|(name, value)| (name.as_str(), value.0.as_str())))
    }
}

impl crate::declare::Field for CustomFields {
    type Wire = Customs;

    fn load(wire: Customs, load: &mut Load<'_>) -> Option<Self> {
        Some(load.builder.chosen(&wire, load.config))
    }
}

fn custom<'a>(fields: &'a Customs, name: &str) -> &'a str {
    fields.as_ref().and_then(|fields| fields.get(name)).map_or("", |value| &value.0)
}

/// By type and id since 4.2, a site before.
fn scope(kind: &Str, id: Id, site: Id) -> Scope {
    match &*kind.0 {
        "dcim.site" => Scope::Site(id.0),
        "dcim.region" => Scope::Region(id.0),
        "dcim.sitegroup" => Scope::SiteGroup(id.0),
        "dcim.location" => Scope::Location(id.0),
        _ if site.0 != 0 => Scope::Site(site.0),
        _ => Scope::Nothing,
    }
}

/// Bits per second by the type of an interface: `100base-tx`, `2.5gbase-t`, `1.6tbase-x-osfp1600`; 0 where it says nothing.
///
/// The number before `base` counts megabits, or gigabits or terabits where that letter follows it (IEEE 802.3).
fn speed_of(kind: &str) -> u64 {
    let Some((speed, _)) = kind.split_once("base-") else { return 0 };
    let number = speed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match speed.strip_prefix(number) {
        Some("") => 1e6,
        Some("g") => 1e9,
        Some("t") => 1e12,
        _ => return 0,
    };
    number.parse::<f64>().map_or(0, |number| (number * unit).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::ObjectKind;
    use crate::snapshot::{Origin, Snapshot};

    fn load<K: ObjectKind>(json: &str) -> Snapshot {
        let mut builder = Builder::default();
        let config = NetBoxConfig { custom_fields: vec!["b".into()], ..NetBoxConfig::default() };
        let mut load = Load { builder: &mut builder, config: &config };
        if let Some(row) = K::load(serde_json::from_str(json).unwrap(), &mut load) {
            K::rows(&mut builder.rows).push(row);
        }
        builder.finish(Origin::default())
    }

    #[test]
    fn only_the_id_has_to_be_there_and_nulls_are_empty() {
        let snapshot = load::<Device>(r#"{"id": 4, "name": null, "role": null, "tags": null, "primary_ip4": null}"#);
        assert_eq!(snapshot.tables.devices.rows(), [Device { id: 4, ..Device::default() }]);
        assert!(serde_json::from_str::<wire::Device>(r#"{"name": "x"}"#).is_err());
    }

    #[test]
    fn a_device_refers_by_id_and_keeps_the_custom_fields_that_are_chosen() {
        let json = r#"{"id": 1, "role": {"id": 2, "name": "Edge", "slug": "edge"}, "status": {"value": "active"},
            "device_type": {"id": 3, "model": "MX480", "slug": "mx480", "manufacturer": {"id": 1, "name": "Juniper"}},
            "primary_ip4": {"id": 9, "family": 4, "address": "192.0.2.1/24"},
            "tags": [{"id": 8, "name": "Flow", "slug": "flow"}],
            "custom_fields": {"a": null, "b": 5, "c": "x", "helios_monitor": true}}"#;
        let snapshot = load::<Device>(json);
        let device = snapshot.tables.devices.rows()[0];
        assert_eq!((device.role, device.device_type, snapshot.text(device.status)), (2, 3, "active"));
        assert_eq!(snapshot.ids(device.tags), [8]);
        assert_eq!(device.primary_ip4, AddressRef::shown(9, "192.0.2.1".parse().unwrap()));
        let kept: Vec<_> = snapshot.custom_fields(device.custom_fields).collect();
        assert_eq!(kept, [("b", "5"), ("helios_monitor", "true")]);
    }

    #[test]
    fn speed_is_in_bits_and_falls_back_on_the_type() {
        let speed = |json: &str| load::<Interface>(json).tables.interfaces.rows()[0].speed;
        assert_eq!(speed(r#"{"id": 1, "speed": 1000000, "type": {"value": "10gbase-t"}}"#), 1_000_000_000);
        for (kind, expected) in [
            ("10gbase-x-sfpp", 10_000_000_000),
            ("2.5gbase-t", 2_500_000_000),
            ("100base-tx", 100_000_000),
            ("800gbase-x-osfp", 800_000_000_000),
            ("1.6tbase-x-osfp1600", 1_600_000_000_000),
            ("3.2tbase-dr8", 3_200_000_000_000),
            ("lag", 0),
            ("virtual", 0),
            ("xbase-t", 0),
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
        assert!(load::<Prefix>(r#"{"id": 1, "prefix": "10.0.0.0/33"}"#).tables.prefixes.is_empty());
    }

    #[test]
    fn names_of_flows_cost_nothing_that_only_targets_need() {
        let of = Device::fields;
        use crate::config::Purpose::{Flows, Targets};
        assert!(!of(Flows).contains(&"custom_fields") && of(Targets).contains(&"custom_fields"));
        assert!(Interface::fields(Flows).contains(&"type") && Interface::SPEC.purposes == [Flows]);
    }
}
