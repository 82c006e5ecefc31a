//! The making of a snapshot: rows come in any order, strings are pooled as they come.

use crate::model::{
    Asn, Assigned, Device, Group, Interface, IpAddress, Location, Prefix, Site, Span, Tenant, VirtualMachine,
    VmInterface, Vrf,
};
use crate::snapshot::{Index, Lists, Origin, Snapshot, Tables};
use crate::table::{Row, Table};
use crate::text::{Interner, Text, Texts};

/// A snapshot in the making. Push rows into the vectors, their strings by [`text`](Self::text); a later row replaces an
/// earlier one with the same id.
#[derive(Debug, Default)]
pub struct Builder {
    pub devices: Vec<Device>,
    pub interfaces: Vec<Interface>,
    pub virtual_machines: Vec<VirtualMachine>,
    pub vm_interfaces: Vec<VmInterface>,
    pub ip_addresses: Vec<IpAddress>,
    pub prefixes: Vec<Prefix>,
    pub vrfs: Vec<Vrf>,
    pub asns: Vec<Asn>,
    pub sites: Vec<Site>,
    pub regions: Vec<Group>,
    pub site_groups: Vec<Group>,
    pub locations: Vec<Location>,
    pub tenants: Vec<Tenant>,
    pub(crate) texts: Interner,
    pub(crate) lists: Lists,
}

impl Builder {
    /// Goes on from a snapshot: what is pushed replaces or adds to its rows.
    pub fn resume(snapshot: &Snapshot) -> Self {
        let tables = &snapshot.tables;
        Self {
            devices: tables.devices.rows().to_vec(),
            interfaces: tables.interfaces.rows().to_vec(),
            virtual_machines: tables.virtual_machines.rows().to_vec(),
            vm_interfaces: tables.vm_interfaces.rows().to_vec(),
            ip_addresses: tables.ip_addresses.rows().to_vec(),
            prefixes: tables.prefixes.rows().to_vec(),
            vrfs: tables.vrfs.rows().to_vec(),
            asns: tables.asns.rows().to_vec(),
            sites: tables.sites.rows().to_vec(),
            regions: tables.regions.rows().to_vec(),
            site_groups: tables.site_groups.rows().to_vec(),
            locations: tables.locations.rows().to_vec(),
            tenants: tables.tenants.rows().to_vec(),
            ..Self::with_strings(snapshot.texts.clone(), snapshot.lists.clone())
        }
    }

    /// Goes on from strings and lists alone.
    pub(crate) fn with_strings(texts: Texts, lists: Lists) -> Self {
        Self { texts: Interner::resume(texts), lists, ..Self::default() }
    }

    /// Pools a string.
    pub fn text(&mut self, string: &str) -> Text {
        self.texts.intern(string)
    }

    /// Pools a list of strings.
    pub fn text_list<S: AsRef<str>>(&mut self, strings: impl IntoIterator<Item = S>) -> Span {
        let start = self.lists.texts.len();
        for string in strings {
            let text = self.texts.intern(string.as_ref());
            self.lists.texts.push(text);
        }
        span(start, self.lists.texts.len())
    }

    /// Keeps custom fields; those without a value are left out.
    pub fn field_list<K: AsRef<str>, V: AsRef<str>>(&mut self, fields: impl IntoIterator<Item = (K, V)>) -> Span {
        let start = self.lists.fields.len();
        for (name, value) in fields {
            if !value.as_ref().is_empty() {
                let field = (self.texts.intern(name.as_ref()), self.texts.intern(value.as_ref()));
                self.lists.fields.push(field);
            }
        }
        span(start, self.lists.fields.len())
    }

    /// Keeps a list of numbers.
    pub fn number_list(&mut self, numbers: impl IntoIterator<Item = u32>) -> Span {
        let start = self.lists.numbers.len();
        self.lists.numbers.extend(numbers);
        span(start, self.lists.numbers.len())
    }

    /// Sorts the tables and finds out who owns what.
    pub fn finish(self, origin: Origin) -> Snapshot {
        let tables = Tables {
            devices: Table::new(self.devices),
            interfaces: Table::new(self.interfaces),
            virtual_machines: Table::new(self.virtual_machines),
            vm_interfaces: Table::new(self.vm_interfaces),
            ip_addresses: Table::new(self.ip_addresses),
            prefixes: Table::new(self.prefixes),
            vrfs: Table::new(self.vrfs),
            asns: Table::new(self.asns),
            sites: Table::new(self.sites),
            regions: Table::new(self.regions),
            site_groups: Table::new(self.site_groups),
            locations: Table::new(self.locations),
            tenants: Table::new(self.tenants),
        };
        let by_device = Index::new(positions(&tables.interfaces, |interface| interface.device));
        let addresses_by_device = Index::new(positions(&tables.ip_addresses, |address| match address.assigned {
            Assigned::Interface(id) => tables.interfaces.get(id).map_or(0, |interface| interface.device),
            _ => 0,
        }));
        let by_chassis = Index::new(positions(&tables.devices, |device| device.chassis));
        let mut lists = self.lists;
        lists.texts.shrink_to_fit();
        lists.fields.shrink_to_fit();
        lists.numbers.shrink_to_fit();
        Snapshot { origin, texts: self.texts.finish(), lists, by_device, by_chassis, addresses_by_device, tables }
    }
}

fn positions<T: Row>(table: &Table<T>, owner: impl Fn(&T) -> u32) -> impl Iterator<Item = (u32, u32)> {
    table.rows().iter().enumerate().map(move |(position, row)| (owner(row), position as u32))
}

fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, len: (end - start) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn sample() -> Snapshot {
        let mut builder = Builder::default();
        let (name, zurich, alps) = (builder.text("edge-1"), builder.text("Zurich"), builder.text("Alps"));
        let tags = builder.text_list(["flow", "core"]);
        let custom_fields = builder.field_list([("snmp", "v3"), ("note", "")]);
        let primary_ip4 = Some(ip("192.0.2.1"));
        builder.devices.push(Device { id: 7, name, site: 3, primary_ip4, tags, custom_fields, ..Device::default() });
        builder.sites.push(Site { id: 3, name: zurich, region: 2, ..Site::default() });
        builder.regions.push(Group { id: 2, name: alps, ..Group::default() });
        builder.locations.push(Location { id: 5, site: 3, ..Location::default() });
        for (id, index) in [(12, 2), (11, 1)] {
            builder.interfaces.push(Interface { id, device: 7, index, ..Interface::default() });
        }
        builder.ip_addresses.push(IpAddress {
            id: 1,
            address: ip("192.0.2.9"),
            bits: 31,
            vrf: 0,
            assigned: Assigned::Interface(12),
            status: Text::EMPTY,
            role: Text::EMPTY,
            tenant: Default::default(),
            dns_name: Text::EMPTY,
            description: Text::EMPTY,
        });
        builder.finish(Origin::default())
    }

    #[test]
    fn a_device_leads_to_its_interfaces_addresses_site_and_region() {
        let snapshot = sample();
        let device = snapshot.tables.devices.get(7).unwrap();
        assert_eq!(snapshot.interfaces_of(7).map(|interface| interface.index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(snapshot.addresses_of(7).map(|row| row.address).collect::<Vec<_>>(), [ip("192.0.2.9")]);
        assert_eq!((snapshot.site_name(device.site), snapshot.region_name(device.site)), ("Zurich", "Alps"));
        assert_eq!(snapshot.texts(device.tags).collect::<Vec<_>>(), ["flow", "core"]);
        assert_eq!(snapshot.fields(device.custom_fields).collect::<Vec<_>>(), [("snmp", "v3")]);
        assert_eq!((snapshot.interfaces_of(0).count(), snapshot.interfaces_of(8).count()), (0, 0));
    }

    #[test]
    fn a_scope_finds_its_site_where_it_lies_in_one() {
        let snapshot = sample();
        for (scope, site, name) in [
            (Scope::Site(3), 3, "Zurich"),
            (Scope::Location(5), 3, ""),
            (Scope::Region(2), 0, "Alps"),
            (Scope::Site(99), 99, ""),
            (Scope::Nothing, 0, ""),
        ] {
            assert_eq!((snapshot.site_of(scope), snapshot.scope_name(scope)), (site, name), "{scope:?}");
        }
    }

    #[test]
    fn going_on_from_a_snapshot_replaces_rows_by_id_and_keeps_handles() {
        let old = sample();
        let mut builder = Builder::resume(&old);
        let renamed = builder.text("edge-1b");
        let device = Device { name: renamed, ..*old.tables.devices.get(7).unwrap() };
        builder.devices.push(device);
        let new = builder.finish(Origin::default());
        assert_eq!(new.text(new.tables.devices.get(7).unwrap().name), "edge-1b");
        assert_eq!((new.tables.devices.len(), new.site_name(3), new.len()), (1, "Zurich", old.len()));
        assert_eq!(Builder::resume(&old).finish(Origin::default()), old);
    }
}
