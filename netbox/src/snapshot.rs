//! What NetBox said at one moment: tables sorted by id, their strings in one pool, and who owns what.
//!
//! A snapshot never changes. Readers hold it by `Arc` and see interfaces, addresses and devices that belong together.

use crate::model::{
    Asn, Assigned, Device, Group, Interface, IpAddress, Location, Prefix, Scope, Site, Span, Tenant, VirtualMachine,
    VmInterface, Vrf,
};
use crate::table::Table;
use crate::text::{Text, Texts};

/// The tables, as fetched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    pub devices: Table<Device>,
    pub interfaces: Table<Interface>,
    pub virtual_machines: Table<VirtualMachine>,
    pub vm_interfaces: Table<VmInterface>,
    pub ip_addresses: Table<IpAddress>,
    pub prefixes: Table<Prefix>,
    pub vrfs: Table<Vrf>,
    pub asns: Table<Asn>,
    pub sites: Table<Site>,
    pub regions: Table<Group>,
    pub site_groups: Table<Group>,
    pub locations: Table<Location>,
    pub tenants: Table<Tenant>,
}

/// Lists that rows refer to by [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lists {
    pub texts: Vec<Text>,
    pub fields: Vec<(Text, Text)>,
    pub numbers: Vec<u32>,
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
    pub tables: Tables,
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

    /// A list of strings, such as the slugs of tags.
    pub fn texts(&self, span: Span) -> impl Iterator<Item = &str> {
        part(&self.lists.texts, span).iter().map(|text| self.text(*text))
    }

    /// Custom fields that have a value: name and value as text; a choice is its value, lists are joined by commas.
    pub fn fields(&self, span: Span) -> impl Iterator<Item = (&str, &str)> {
        part(&self.lists.fields, span).iter().map(|(name, value)| (self.text(*name), self.text(*value)))
    }

    /// The value of one custom field.
    pub fn field(&self, span: Span, name: &str) -> Option<&str> {
        self.fields(span).find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// A list of numbers.
    pub fn numbers(&self, span: Span) -> &[u32] {
        part(&self.lists.numbers, span)
    }

    /// The interfaces of a device.
    pub fn interfaces_of(&self, device: u32) -> impl Iterator<Item = &Interface> {
        self.by_device.of(device).iter().filter_map(|&row| self.tables.interfaces.rows().get(row as usize))
    }

    /// The interfaces that a device speaks of: its own, then those of the other members of its virtual chassis. A stack
    /// is one device to the network, and NetBox has a device for each of its members.
    pub fn chassis_interfaces(&self, device: &Device) -> impl Iterator<Item = &Interface> {
        let members = self.by_chassis.of(device.chassis).iter();
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

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Tables {
    /// Rows by kind, named as NetBox's address of the kind ends.
    pub fn sizes(&self) -> [(&'static str, usize); 13] {
        [
            ("devices", self.devices.len()),
            ("interfaces", self.interfaces.len()),
            ("virtual-machines", self.virtual_machines.len()),
            ("vm-interfaces", self.vm_interfaces.len()),
            ("ip-addresses", self.ip_addresses.len()),
            ("prefixes", self.prefixes.len()),
            ("vrfs", self.vrfs.len()),
            ("asns", self.asns.len()),
            ("sites", self.sites.len()),
            ("regions", self.regions.len()),
            ("site-groups", self.site_groups.len()),
            ("locations", self.locations.len()),
            ("tenants", self.tenants.len()),
        ]
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
    /// From pairs of owner and position in any order; owner 0 is nobody.
    pub fn new(pairs: impl Iterator<Item = (u32, u32)>) -> Self {
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
