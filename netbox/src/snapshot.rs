//! What NetBox said at one moment: tables sorted by id, their strings in one pool, and who owns what.
//!
//! A snapshot never changes. Readers hold it by `Arc` and see interfaces, addresses and devices that belong together.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::declare::ObjectKind;
use crate::kinds::each_kind;
use crate::model::{
    AddressRef, Assigned, CustomFields, Device, Ids, Interface, IpAddress, Scope, Span, Tag, VirtualChassis,
    VirtualMachine,
};
use crate::table::Table;
use crate::text::{Text, Texts};

macro_rules! tables {
    ($($table:ident: $row:ident,)*) => {
        /// The tables, as fetched: one for each kind, empty where the reader does not need the kind.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        #[expect(missing_docs, reason = "each row type has its documentation")]
        pub struct Tables {
            $(pub $table: Table<crate::model::$row>,)*
        }

        impl Tables {
            /// Rows by kind: as metrics name the kind.
            pub fn sizes(&self) -> Vec<(&'static str, usize)> {
                vec![$((<crate::model::$row as ObjectKind>::NAME, self.$table.len()),)*]
            }
        }
    };
}

each_kind!(tables);

/// Lists that rows refer to by [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lists {
    pub custom_fields: Vec<(Text, Text)>,
    pub ids: Vec<u32>,
}

/// Where a snapshot comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// NetBox's version as it reports it, `4.2.3`; empty if it did not.
    pub version: String,
    /// When the refresh that made it began, Unix milliseconds by this machine's clock.
    pub taken_at_ms: u64,
    /// The same by NetBox's clock and a little earlier, as NetBox writes it: what is changed after it is not in here.
    pub since: String,
    /// The same of the last refresh that read everything, which is the one that finds what was deleted.
    pub full_at_ms: u64,
}

/// What NetBox said at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The rows, a table for each kind of objects.
    pub tables: Tables,
    /// The NetBox that it was read from, and when.
    pub origin: Origin,
    pub(crate) texts: Texts,
    pub(crate) lists: Lists,
    /// Positions in the table of interfaces, by device.
    pub(crate) by_device: Index,
    /// Positions in the table of devices, by virtual chassis.
    pub(crate) by_chassis: Index,
    /// Positions in the table of addresses, by the device of the interface that they are assigned to.
    pub(crate) addresses_by_device: Index,
}

impl Snapshot {
    /// The string of a handle.
    pub fn text(&self, text: Text) -> &str {
        self.texts.get(text)
    }

    /// All strings, by [`Text::index`].
    pub fn strings(&self) -> &Texts {
        &self.texts
    }

    /// Custom fields that have a value: name and value as text; a choice is its value, lists are joined by commas.
    pub fn custom_fields(&self, fields: CustomFields) -> impl Iterator<Item = (&str, &str)> {
        part(&self.lists.custom_fields, fields.0).iter().map(|(name, value)| (self.text(*name), self.text(*value)))
    }

    /// The value of one custom field.
    pub fn custom_field(&self, fields: CustomFields, name: &str) -> Option<&str> {
        self.custom_fields(fields).find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// A list of ids.
    pub fn ids(&self, ids: Ids) -> &[u32] {
        part(&self.lists.ids, ids.0)
    }

    /// The tags of a device or virtual machine; one that the table lacks is left out.
    pub fn tags(&self, ids: Ids) -> impl Iterator<Item = &Tag> {
        self.ids(ids).iter().filter_map(|id| self.tables.tags.get(*id))
    }

    /// The address of an address object: as its own table says, and where that lacks it (a filter, a permission, a reader
    /// that does not need the table) as the device showed it when it was read.
    pub fn address(&self, address: AddressRef) -> Option<IpAddr> {
        self.tables.ip_addresses.get(address.id).map(|row| row.address.ip).or(address.shown)
    }

    /// What a device is called. One without a name is called as NetBox's pages call it: by virtual chassis and position,
    /// `core:2`, or by type and asset tag or id, `Juniper MX480 (17)`. Empty if the tables lack all of this.
    pub fn device_name(&self, device: &Device) -> Cow<'_, str> {
        if !device.name.is_empty() {
            return Cow::Borrowed(self.text(device.name));
        }
        let tag = self.text(device.asset_tag);
        if let Some(chassis) = self.virtual_chassis(device) {
            let tag = if tag.is_empty() { String::new() } else { format!(" ({tag})") };
            return Cow::Owned(format!("{}:{}{tag}", self.text(chassis.name), device.vc_position));
        }
        let Some(kind) = self.tables.device_types.get(device.device_type) else { return Cow::Borrowed("") };
        let make = self.tables.manufacturers.get(kind.manufacturer);
        let make = make.map_or(String::new(), |make| format!("{} ", self.text(make.name)));
        let model = self.text(kind.model);
        let tag = if tag.is_empty() { device.id.to_string() } else { tag.to_owned() };
        Cow::Owned(format!("{make}{model} ({tag})"))
    }

    /// The virtual chassis that a device is a member of.
    pub fn virtual_chassis(&self, device: &Device) -> Option<&VirtualChassis> {
        self.tables.virtual_chassis.get(device.virtual_chassis)
    }

    /// The name of a role of devices and virtual machines; empty for 0.
    pub fn device_role_name(&self, role: u32) -> &str {
        self.tables.device_roles.get(role).map_or("", |role| self.text(role.name))
    }

    /// The name of a role of prefixes; empty for 0.
    pub fn prefix_role_name(&self, role: u32) -> &str {
        self.tables.prefix_roles.get(role).map_or("", |role| self.text(role.name))
    }

    /// The name of a tenant; empty for 0.
    pub fn tenant_name(&self, tenant: u32) -> &str {
        self.tables.tenants.get(tenant).map_or("", |tenant| self.text(tenant.name))
    }

    /// The interfaces of a device.
    pub fn interfaces_of(&self, device: u32) -> impl Iterator<Item = &Interface> {
        self.by_device.of(device).iter().filter_map(|&row| self.tables.interfaces.rows().get(row as usize))
    }

    /// The interfaces that a device speaks of: its own, then those of the other members of its virtual chassis. A stack
    /// is one device to the network, and NetBox has a device for each of its members.
    pub fn chassis_interfaces(&self, device: &Device) -> impl Iterator<Item = &Interface> {
        let members = self.by_chassis.of(device.virtual_chassis).iter();
        let members = members.filter_map(|&row| self.tables.devices.rows().get(row as usize));
        let id = device.id;
        let others = members.map(|member| member.id).filter(move |member| *member != id);
        self.interfaces_of(id).chain(others.flat_map(|member| self.interfaces_of(member)))
    }

    /// The addresses that are assigned to interfaces of a device.
    pub fn addresses_of(&self, device: u32) -> impl Iterator<Item = &IpAddress> {
        self.addresses_by_device.of(device).iter().filter_map(|&row| self.tables.ip_addresses.rows().get(row as usize))
    }

    /// The virtual machine whose interface has the address.
    pub fn virtual_machine_of(&self, address: &IpAddress) -> Option<&VirtualMachine> {
        let Assigned::VmInterface(interface) = address.assigned else { return None };
        self.tables.virtual_machines.get(self.tables.vm_interfaces.get(interface)?.virtual_machine)
    }

    /// The name of a site; empty for 0.
    pub fn site_name(&self, site: u32) -> &str {
        self.tables.sites.get(site).map_or("", |site| self.text(site.name))
    }

    /// The name of a site's region; empty if it has none.
    pub fn region_name(&self, site: u32) -> &str {
        let region = self.tables.sites.get(site).and_then(|site| self.tables.regions.get(site.region));
        region.map_or("", |region| self.text(region.name))
    }

    /// The site that a scope lies in; 0 if it is wider than a site.
    pub fn site_of(&self, scope: Scope) -> u32 {
        match scope {
            Scope::Site(site) => site,
            Scope::Location(location) => self.tables.locations.get(location).map_or(0, |location| location.site),
            Scope::Region(_) | Scope::SiteGroup(_) | Scope::Nothing => 0,
        }
    }

    /// The name of what a scope is, whatever its kind.
    pub fn scope_name(&self, scope: Scope) -> &str {
        let name = match scope {
            Scope::Nothing => None,
            Scope::Site(id) => self.tables.sites.get(id).map(|site| site.name),
            Scope::Region(id) => self.tables.regions.get(id).map(|region| region.name),
            Scope::SiteGroup(id) => self.tables.site_groups.get(id).map(|group| group.name),
            Scope::Location(id) => self.tables.locations.get(id).map(|location| location.name),
        };
        name.map_or("", |name| self.text(name))
    }

    /// The name of a VRF; empty for the global table.
    pub fn vrf_name(&self, vrf: u32) -> &str {
        self.tables.vrfs.get(vrf).map_or("", |vrf| self.text(vrf.name))
    }

    /// Rows of all kinds.
    pub fn len(&self) -> usize {
        self.tables.sizes().iter().map(|(_, size)| size).sum()
    }

    /// Whether there are no rows at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn part<T>(list: &[T], span: Span) -> &[T] {
    let start = span.start as usize;
    list.get(start..start.saturating_add(span.len as usize)).unwrap_or_default()
}

/// Rows of another table by their owner's id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Index {
    /// (owner, position), sorted.
    owners: Vec<u32>,
    rows: Vec<u32>,
}

impl Index {
    /// From pairs of owner and position in any order; owner 0 stands for no owner.
    pub(crate) fn new(pairs: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut pairs: Vec<(u32, u32)> = pairs.filter(|(owner, _)| *owner != 0).collect();
        pairs.sort_unstable();
        let (owners, rows) = pairs.into_iter().unzip();
        Self { owners, rows }
    }

    fn of(&self, owner: u32) -> &[u32] {
        let start = self.owners.partition_point(|&other| other < owner);
        let end = self.owners.partition_point(|&other| other <= owner);
        self.rows.get(start..end).unwrap_or_default()
    }
}
