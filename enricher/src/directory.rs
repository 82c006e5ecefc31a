//! Exporters, their interfaces and their VRFs, as a snapshot holds them: found by address, classified, immutable.
//!
//! Everything that the inventory knows is classified when a snapshot is built. What only an exporter itself has named,
//! in options data, is classified when a worker meets it first, see [`crate::memo`].

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use helios_common::exporter::{Address, Entry};
use helios_common::names::{NO_NAME, NameId, Names};

use crate::config::VrfMapping;
use crate::hits::{OWN, SourceSet, SourceSets};
use crate::inventory::canonical;
use crate::inventory::merge::{Merged, MergedDevice, MergedInterface};
use crate::rules::{InterfaceClass, Rules};

/// The columns of an exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exporter {
    /// Column `exporter_name`: the address as text if no inventory knows the exporter.
    pub name: NameId,
    /// Column `exporter_site`, from a rule or the inventory.
    pub site: NameId,
    /// Column `exporter_region`, from a rule or the inventory.
    pub region: NameId,
    /// Column `exporter_role`, from a rule or the inventory.
    pub role: NameId,
    /// Column `exporter_tenant`, from a rule or the inventory.
    pub tenant: NameId,
    /// Column `exporter_group`, which only rules set.
    pub group: NameId,
    /// Position in the directory; `None` if the inventory does not know it.
    pub known: Option<u32>,
    /// The number of the set of sources that know it.
    pub sources: u16,
}

/// The columns of an interface. The default is that nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interface {
    /// Bits per second; 0 if not known.
    pub speed: u64,
    /// ifName, from the exporter itself or the inventory.
    pub name: NameId,
    /// ifAlias, from the exporter itself or the inventory.
    pub description: NameId,
    /// From a rule or the inventory.
    pub role: NameId,
    /// Only rules set it.
    pub provider: NameId,
    /// Only rules set it.
    pub connectivity: NameId,
    /// [`Boundary::value`](crate::config::rules::Boundary::value), which only rules set; 0 if not known.
    pub boundary: u8,
}

impl Interface {
    /// Sets every bit that the other one has.
    pub fn add(&mut self, other: &Self) {
        self.speed |= other.speed;
        self.name |= other.name;
        self.description |= other.description;
        self.role |= other.role;
        self.provider |= other.provider;
        self.connectivity |= other.connectivity;
        self.boundary |= other.boundary;
    }

    /// What rules say goes before the role of the inventory.
    fn classified(mut self, class: &InterfaceClass) -> Self {
        if class.role.rule.is_some() {
            self.role = class.role.value;
        }
        self.provider = class.provider.value;
        self.connectivity = class.connectivity.value;
        self.boundary = class.boundary.value;
        self
    }
}

/// An interface of the inventory.
#[derive(Debug, Clone, Copy)]
struct Known {
    index: u32,
    canonical: u64,
    interface: Interface,
    sources: u16,
}

/// A VRF number that the configuration gives a name.
#[derive(Debug)]
struct Mapped {
    /// Name or address of the exporter, or any.
    exporter: Option<NameId>,
    id: u32,
    vrf: u16,
}

/// What a snapshot knows of exporters.
#[derive(Debug)]
pub struct Directory {
    names: Arc<Names>,
    rules: Arc<Rules>,
    exporters: Vec<(Exporter, Range<u32>)>,
    by_address: HashMap<Address, u32, foldhash::fast::RandomState>,
    /// Grouped by exporter, in a group by ifIndex.
    interfaces: Vec<Known>,
    /// By name and by route distinguisher.
    vrfs: HashMap<NameId, u16, foldhash::fast::RandomState>,
    mapped_vrfs: Vec<Mapped>,
    sets: SourceSets,
}

impl Directory {
    /// Classifies what the inventory knows.
    pub fn new(
        merged: &Merged,
        vrfs: HashMap<NameId, u16, foldhash::fast::RandomState>,
        mappings: &[VrfMapping],
        rules: Arc<Rules>,
        names: Arc<Names>,
    ) -> Self {
        let mapped = |mapping: &VrfMapping| {
            let vrf = vrfs.get(&names.intern(&mapping.vrf)).copied()?;
            Some(Mapped { exporter: mapping.exporter.as_deref().map(|name| names.intern(name)), id: mapping.id, vrf })
        };
        let mapped_vrfs = mappings.iter().filter_map(mapped).collect();
        let mut directory = Self {
            names,
            rules,
            exporters: Vec::with_capacity(merged.devices.len()),
            by_address: merged.by_address.clone(),
            interfaces: Vec::new(),
            vrfs,
            mapped_vrfs,
            sets: SourceSets::default(),
        };
        for device in &merged.devices {
            directory.add(device);
        }
        directory
    }

    fn add(&mut self, device: &MergedDevice) {
        let position = self.exporters.len() as u32;
        let mut exporter = Exporter {
            name: device.name.value,
            site: device.site.value,
            region: device.region.value,
            role: device.role.value,
            tenant: device.tenant.value,
            group: NO_NAME,
            known: Some(position),
            sources: self.sets.number(device.sources),
        };
        if exporter.name == NO_NAME {
            // A source that knows addresses only, such as Prometheus: the first one is the name.
            let address = device.addresses.first();
            exporter.name = address.map_or(NO_NAME, |(address, _)| {
                self.names.intern(&helios_common::exporter::ip_of(*address).to_string())
            });
        }
        let exporter = self.classified(exporter);
        let name = self.text(exporter.name);
        let first = self.interfaces.len();
        for interface in &device.interfaces {
            let known = self.known(&name, interface);
            self.interfaces.push(known);
        }
        if let Some(added) = self.interfaces.get_mut(first..) {
            added.sort_by_key(|known| known.index);
        }
        self.exporters.push((exporter, first as u32..self.interfaces.len() as u32));
    }

    fn known(&mut self, exporter: &str, merged: &MergedInterface) -> Known {
        let interface = Interface {
            name: merged.name.value,
            description: merged.description.value,
            speed: merged.speed.value,
            role: merged.role.value,
            ..Interface::default()
        };
        let interface = self.class_of(exporter, interface);
        let sources = self.sets.number(merged.sources);
        Known { index: merged.index.value, canonical: merged.canonical, interface, sources }
    }

    fn text(&self, name: NameId) -> String {
        self.names.read().get(name).to_owned()
    }

    fn classified(&self, mut exporter: Exporter) -> Exporter {
        let class = self.rules.exporter(&self.text(exporter.name), &self.names);
        let fields = [
            (&mut exporter.group, class.group),
            (&mut exporter.site, class.site),
            (&mut exporter.region, class.region),
            (&mut exporter.role, class.role),
            (&mut exporter.tenant, class.tenant),
        ];
        for (field, set) in fields {
            if set.rule.is_some() {
                *field = set.value;
            }
        }
        exporter
    }

    fn class_of(&self, exporter: &str, interface: Interface) -> Interface {
        if !self.rules.has_interface_rules() {
            return interface;
        }
        // Rules intern what they set: the names must not be read meanwhile.
        let (name, description) = (self.text(interface.name), self.text(interface.description));
        interface.classified(&self.rules.interface(exporter, &name, &description, &self.names))
    }

    /// The position of the device that exports from this address.
    pub fn position(&self, address: Address) -> Option<u32> {
        self.by_address.get(&address).copied()
    }

    /// The exporter behind an entry of the process's table: by the address it is known by, which is the agent's for
    /// sFlow, then by the address of its socket. An exporter that no inventory knows has its address as name.
    pub fn exporter(&self, entry: &Entry) -> Exporter {
        let position = self.position(entry.address).or_else(|| self.position(entry.socket));
        match position.and_then(|position| self.exporters.get(position as usize)) {
            Some((exporter, _)) => *exporter,
            None => self.classified(Exporter { name: entry.address_name, ..Exporter::default() }),
        }
    }

    /// An interface of an exporter. `name` and `description` are what the exporter itself says, if it does; the name
    /// also finds the interface where the inventory has no ifIndex.
    ///
    /// `None` if neither the exporter nor a source knows the index. The second value is the number of the set of sources
    /// that know the interface, with [`OWN`] if the exporter is one of them.
    pub fn interface(
        &self,
        exporter: &Exporter,
        index: u32,
        name: NameId,
        description: NameId,
    ) -> Option<(Interface, u16)> {
        let found = self.find(exporter, index, name);
        let sources = found.map_or(0, |found| found.sources) | if name | description == NO_NAME { 0 } else { OWN };
        let known = found.map(|found| found.interface);
        if known.is_none() && name == NO_NAME && description == NO_NAME {
            return None;
        }
        let own = |said: NameId, known: NameId| if said == NO_NAME { known } else { said };
        let Interface { name: known_name, description: known_description, .. } = known.unwrap_or_default();
        let mut interface = known.unwrap_or_default();
        interface.name = own(name, known_name);
        interface.description = own(description, known_description);
        if known.is_some() && (interface.name, interface.description) == (known_name, known_description) {
            return Some((interface, sources));
        }
        Some((self.class_of(&self.text(exporter.name), interface), sources))
    }

    /// What rules say of the interfaces of an exporter of which nothing but the index is known.
    pub fn unnamed_interface(&self, exporter: &Exporter) -> Interface {
        self.class_of(&self.text(exporter.name), Interface::default())
    }

    fn find(&self, exporter: &Exporter, index: u32, name: NameId) -> Option<&Known> {
        let (_, range) = self.exporters.get(exporter.known? as usize)?;
        let interfaces = self.interfaces.get(range.start as usize..range.end as usize)?;
        let start = interfaces.partition_point(|known| known.index < index);
        if let Some(known) = interfaces.get(start).filter(|known| index != 0 && known.index == index) {
            return Some(known);
        }
        if name == NO_NAME {
            return None;
        }
        // An interface with another index is another one, whatever its name.
        let nameable = || interfaces.iter().take_while(|known| known.index == 0);
        if let Some(known) = nameable().find(|known| known.interface.name == name) {
            return Some(known);
        }
        let short = canonical(self.names.read().get(name))?;
        let mut fitting = nameable().filter(|known| known.canonical == short);
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// The routing table of a flow: 0 is the global one.
    ///
    /// A number that the configuration maps goes first, then the name that came with the flow, as the name of a VRF or
    /// its route distinguisher.
    pub fn vrf(&self, exporter: &Exporter, address_name: NameId, id: u32, name: NameId) -> u16 {
        let is_exporter = |mapped: &&Mapped| {
            mapped.id == id && mapped.exporter.is_some_and(|name| name == exporter.name || name == address_name)
        };
        let any = || self.mapped_vrfs.iter().find(|mapped| mapped.id == id && mapped.exporter.is_none());
        let mapped = (id != 0).then(|| self.mapped_vrfs.iter().find(is_exporter).or_else(any)).flatten();
        let named = || (name != NO_NAME).then(|| self.vrfs.get(&name).copied()).flatten();
        mapped.map(|mapped| mapped.vrf).or_else(named).unwrap_or(0)
    }

    /// Whether there is any table but the global one.
    pub fn has_vrfs(&self) -> bool {
        !self.vrfs.is_empty()
    }

    /// Devices in the directory.
    pub fn len(&self) -> usize {
        self.exporters.len()
    }

    /// Whether no source knows a device.
    pub fn is_empty(&self) -> bool {
        self.exporters.is_empty()
    }

    /// Whether anything can be said of an interface whose exporter says nothing of it.
    pub fn knows_interfaces(&self) -> bool {
        !self.interfaces.is_empty() || self.rules.has_interface_rules()
    }

    /// The sets of sources that exporters and interfaces are known from, by their numbers.
    pub fn sets(&self) -> &[SourceSet] {
        self.sets.list()
    }

    /// Interfaces of all devices in the directory.
    pub fn n_interfaces(&self) -> usize {
        self.interfaces.len()
    }
}
