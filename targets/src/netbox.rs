//! Devices and virtual machines of a NetBox snapshot that was read for [`helios_netbox::Purpose::Targets`].

use helios_netbox::Snapshot;
use helios_netbox::model;

use crate::config::{COLLECTORS_FIELD, MAINTENANCE_FIELD, MONITOR_FIELD, TargetsConfig};
use crate::device::{Chassis, Device, Named, Source};

/// What NetBox says of its devices and, if they are wanted, virtual machines.
pub fn devices(snapshot: &Snapshot, config: &TargetsConfig) -> Vec<Device> {
    let devices = snapshot.tables.devices.into_iter().map(|row| device(snapshot, row));
    let machines = snapshot.tables.virtual_machines.into_iter().filter(|_| config.virtual_machines);
    devices.chain(machines.map(|row| machine(snapshot, row))).collect()
}

fn device(snapshot: &Snapshot, row: &model::Device) -> Device {
    let tables = &snapshot.tables;
    let kind = tables.device_types.get(row.device_type);
    let make = kind.and_then(|kind| tables.manufacturers.get(kind.manufacturer));
    let field = |name| snapshot.custom_field(row.custom_fields, name);
    Device {
        name: snapshot.device_name(row).trim().to_owned(),
        status: snapshot.text(row.status).to_owned(),
        monitored: is_true(field(MONITOR_FIELD)),
        maintenance: is_true(field(MAINTENANCE_FIELD)),
        collectors: field(COLLECTORS_FIELD).unwrap_or_default().to_owned(),
        address: snapshot.address(row.primary_ip4).or_else(|| snapshot.address(row.primary_ip6)),
        role: role(snapshot, row.role),
        platform: platform(snapshot, row.platform),
        manufacturer: make.map_or_else(Named::default, |make| named(snapshot, make.name, make.slug)),
        tenant: tenant(snapshot, row.tenant),
        tags: tags(snapshot, row.tags),
        chassis: snapshot
            .virtual_chassis(row)
            .map(|chassis| Chassis { id: chassis.id, master: chassis.master == row.id }),
        ..place(snapshot, row.site, Device::new(Source::Device(row.id)))
    }
}

fn machine(snapshot: &Snapshot, row: &model::VirtualMachine) -> Device {
    let field = |name| snapshot.custom_field(row.custom_fields, name);
    Device {
        name: snapshot.text(row.name).trim().to_owned(),
        status: snapshot.text(row.status).to_owned(),
        monitored: is_true(field(MONITOR_FIELD)),
        maintenance: is_true(field(MAINTENANCE_FIELD)),
        collectors: field(COLLECTORS_FIELD).unwrap_or_default().to_owned(),
        address: snapshot.address(row.primary_ip4).or_else(|| snapshot.address(row.primary_ip6)),
        role: role(snapshot, row.role),
        platform: platform(snapshot, row.platform),
        tenant: tenant(snapshot, row.tenant),
        tags: tags(snapshot, row.tags),
        ..place(snapshot, row.site, Device::new(Source::VirtualMachine(row.id)))
    }
}

/// A boolean custom field; one of another type may say it as text.
fn is_true(field: Option<&str>) -> bool {
    field.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn place(snapshot: &Snapshot, site: u32, device: Device) -> Device {
    let row = snapshot.tables.sites.get(site);
    let named = row.map_or_else(Named::default, |row| named(snapshot, row.name, row.slug));
    Device { site: named, region: snapshot.region_name(site).to_owned(), ..device }
}

fn tenant(snapshot: &Snapshot, id: u32) -> Named {
    snapshot.tables.tenants.get(id).map_or_else(Named::default, |tenant| named(snapshot, tenant.name, tenant.slug))
}

fn tags(snapshot: &Snapshot, ids: model::Ids) -> Vec<Named> {
    snapshot.tags(ids).map(|tag| named(snapshot, tag.name, tag.slug)).collect()
}

fn role(snapshot: &Snapshot, id: u32) -> Named {
    snapshot.tables.device_roles.get(id).map_or_else(Named::default, |role| named(snapshot, role.name, role.slug))
}

fn platform(snapshot: &Snapshot, id: u32) -> Named {
    let platform = snapshot.tables.platforms.get(id);
    platform.map_or_else(Named::default, |platform| named(snapshot, platform.name, platform.slug))
}

fn named(snapshot: &Snapshot, name: model::Text, slug: model::Text) -> Named {
    Named { name: snapshot.text(name).to_owned(), slug: snapshot.text(slug).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_netbox::builder::Builder;
    use helios_netbox::model::AddressRef;
    use helios_netbox::snapshot::Origin;

    #[test]
    fn a_device_and_a_virtual_machine_come_with_the_names_that_flows_have() {
        let mut builder = Builder::default();
        let mut text = |text: &str| builder.text(text);
        let (name, status, eos) = (text(" edge-1 "), text("active"), text("eos"));
        let (zurich, alps, core) = (text("Zurich"), text("Alps"), text("core"));
        let (zrh, tag) = (text("zrh"), text("Core network"));
        let custom_fields = builder.custom_fields([
            ("helios_monitor", "true"),
            ("helios_maintenance", "true"),
            ("helios_collectors", "snmp"),
        ]);
        let tags = builder.ids([5]);
        let address = "2001:db8::1".parse().unwrap();
        let rows = &mut builder.rows;
        rows.sites.push(model::Site { id: 3, name: zurich, region: 2, slug: zrh });
        rows.regions.push(model::Region { id: 2, name: alps, ..model::Region::default() });
        rows.platforms.push(model::Platform { id: 4, name: eos, slug: eos });
        rows.tags.push(model::Tag { id: 5, name: tag, slug: core });
        rows.manufacturers.push(model::Manufacturer { id: 1, name: core, slug: core });
        rows.device_types.push(model::DeviceType { id: 6, manufacturer: 1, model: eos, slug: eos });
        rows.virtual_chassis.push(model::VirtualChassis { id: 9, name: core, master: 7 });
        rows.devices.push(model::Device {
            id: 7,
            name,
            status,
            site: 3,
            device_type: 6,
            platform: 4,
            primary_ip6: AddressRef::shown(1, address),
            virtual_chassis: 9,
            tags,
            custom_fields,
            ..model::Device::default()
        });
        let machine = model::VirtualMachine { id: 8, name, status, site: 3, ..model::VirtualMachine::default() };
        rows.virtual_machines.push(machine);
        let snapshot = builder.finish(Origin::default());
        let mut config = TargetsConfig::default();
        let found = devices(&snapshot, &config);
        let Device { source, name, monitored, collectors, address: primary, site, region, chassis, tags, .. } =
            &found[0];
        assert_eq!((*source, &**name, *monitored, &**collectors), (Source::Device(7), "edge-1", true, "snmp"));
        assert_eq!((*primary, &*site.name, &**region), (Some(address), "Zurich", "Alps"));
        assert_eq!(&*site.slug, "zrh");
        assert_eq!(*chassis, Some(Chassis { id: 9, master: true }));
        assert_eq!(*tags, [Named { name: "Core network".to_owned(), slug: "core".to_owned() }]);
        assert_eq!((found[0].maintenance, found[1].maintenance), (true, false));
        assert_eq!((&*found[0].platform.slug, &*found[0].manufacturer.name), ("eos", "core"));
        assert_eq!((found[1].source, found[1].monitored, found.len()), (Source::VirtualMachine(8), false, 2));
        config.virtual_machines = false;
        assert_eq!(devices(&snapshot, &config).len(), 1);
    }
}
