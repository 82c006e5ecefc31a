//! The making of a snapshot: rows come in any order, strings are pooled as they come.

use crate::kinds::each_kind;
use crate::model::{Assigned, CustomFields, Ids, Span};
use crate::snapshot::{Index, Lists, Origin, Snapshot, Tables};
use crate::table::{Row, Table};
use crate::text::{Interner, Text, Texts};

macro_rules! rows {
    ($($table:ident: $row:ident,)*) => {
        /// Rows by kind, in any order.
        #[derive(Debug, Default)]
        #[expect(missing_docs, reason = "a vector for each table, which has the documentation")]
        pub struct Rows {
            $(pub $table: Vec<crate::model::$row>,)*
        }

        impl Rows {
            fn of(tables: &Tables) -> Self {
                Self { $($table: tables.$table.rows().to_vec(),)* }
            }

            fn into_tables(self) -> Tables {
                Tables { $($table: Table::new(self.$table),)* }
            }
        }
    };
}

each_kind!(rows);

/// A snapshot in the making. Push rows into the vectors, their strings by [`text`](Self::text); a later row replaces an
/// earlier one with the same id.
#[derive(Debug, Default)]
pub struct Builder {
    /// The rows so far.
    pub rows: Rows,
    pub(crate) texts: Interner,
    pub(crate) lists: Lists,
}

impl Builder {
    /// Goes on from a snapshot: what is pushed replaces or adds to its rows.
    pub fn resume(snapshot: &Snapshot) -> Self {
        let rows = Rows::of(&snapshot.tables);
        Self { rows, ..Self::with_strings(snapshot.texts.clone(), snapshot.lists.clone()) }
    }

    /// Goes on from strings and lists alone.
    pub(crate) fn with_strings(texts: Texts, lists: Lists) -> Self {
        Self { texts: Interner::resume(texts), lists, ..Self::default() }
    }

    /// Pools a string.
    pub fn text(&mut self, string: &str) -> Text {
        self.texts.intern(string)
    }

    /// Keeps custom fields; those without a value are left out.
    pub fn custom_fields<K: AsRef<str>, V: AsRef<str>>(
        &mut self,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> CustomFields {
        let start = self.lists.custom_fields.len();
        for (name, value) in fields {
            if !value.as_ref().is_empty() {
                let field = (self.texts.intern(name.as_ref()), self.texts.intern(value.as_ref()));
                self.lists.custom_fields.push(field);
            }
        }
        CustomFields(span(start, self.lists.custom_fields.len()))
    }

    /// Keeps a list of ids.
    pub fn ids(&mut self, ids: impl IntoIterator<Item = u32>) -> Ids {
        let start = self.lists.ids.len();
        self.lists.ids.extend(ids);
        Ids(span(start, self.lists.ids.len()))
    }

    /// Sorts the tables and finds out who owns what.
    pub fn finish(self, origin: Origin) -> Snapshot {
        let tables = self.rows.into_tables();
        let by_device = Index::new(positions(&tables.interfaces, |interface| interface.device));
        let addresses_by_device = Index::new(positions(&tables.ip_addresses, |address| match address.assigned {
            Assigned::Interface(id) => tables.interfaces.get(id).map_or(0, |interface| interface.device),
            _ => 0,
        }));
        let by_chassis = Index::new(positions(&tables.devices, |device| device.virtual_chassis));
        let mut lists = self.lists;
        lists.custom_fields.shrink_to_fit();
        lists.ids.shrink_to_fit();
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
    use crate::model::{AddressRef, Cidr, Device, Interface, IpAddress, Location, Region, Scope, Site};
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn sample() -> Snapshot {
        let mut builder = Builder::default();
        let (name, zurich, alps) = (builder.text("edge-1"), builder.text("Zurich"), builder.text("Alps"));
        let tags = builder.ids([3, 5]);
        let custom_fields = builder.custom_fields([("snmp", "v3"), ("note", "")]);
        let (primary_ip4, oob_ip) = (AddressRef::shown(1, ip("192.0.2.1")), AddressRef::shown(2, ip("192.0.2.2")));
        let rows = &mut builder.rows;
        rows.devices.push(Device {
            id: 7,
            name,
            site: 3,
            primary_ip4,
            oob_ip,
            tags,
            custom_fields,
            ..Device::default()
        });
        rows.sites.push(Site { id: 3, name: zurich, region: 2, ..Site::default() });
        rows.regions.push(Region { id: 2, name: alps, parent: 0 });
        rows.locations.push(Location { id: 5, site: 3, ..Location::default() });
        for (id, index) in [(12, 2), (11, 1)] {
            rows.interfaces.push(Interface { id, device: 7, index, ..Interface::default() });
        }
        let address = Cidr { ip: ip("192.0.2.9"), bits: 31 };
        rows.ip_addresses.push(IpAddress { id: 1, address, vrf: 0, assigned: Assigned::Interface(12) });
        builder.finish(Origin::default())
    }

    #[test]
    fn a_device_leads_to_its_interfaces_addresses_site_and_region() {
        let snapshot = sample();
        let device = snapshot.tables.devices.get(7).unwrap();
        assert_eq!(snapshot.interfaces_of(7).map(|interface| interface.index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(snapshot.addresses_of(7).map(|row| row.address.ip).collect::<Vec<_>>(), [ip("192.0.2.9")]);
        assert_eq!((snapshot.site_name(device.site), snapshot.region_name(device.site)), ("Zurich", "Alps"));
        assert_eq!(snapshot.ids(device.tags), [3, 5]);
        assert_eq!(snapshot.custom_fields(device.custom_fields).collect::<Vec<_>>(), [("snmp", "v3")]);
        assert_eq!((snapshot.interfaces_of(0).count(), snapshot.interfaces_of(8).count()), (0, 0));
    }

    #[test]
    fn an_address_is_what_its_table_says_and_what_was_shown_only_where_that_lacks_it() {
        let snapshot = sample();
        let device = snapshot.tables.devices.get(7).unwrap();
        let addresses = [device.primary_ip4, device.oob_ip, device.primary_ip6].map(|of| snapshot.address(of));
        assert_eq!(addresses, [Some(ip("192.0.2.9")), Some(ip("192.0.2.2")), None]);
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
        builder.rows.devices.push(device);
        let new = builder.finish(Origin::default());
        assert_eq!(new.text(new.tables.devices.get(7).unwrap().name), "edge-1b");
        assert_eq!((new.tables.devices.len(), new.site_name(3), new.len()), (1, "Zurich", old.len()));
        assert_eq!(Builder::resume(&old).finish(Origin::default()), old);
    }
}
