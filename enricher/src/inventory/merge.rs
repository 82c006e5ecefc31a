//! Several inventories become one.
//!
//! Devices of two sources are the same when they have the same name or share an address, interfaces of a device when they
//! have the same ifIndex or the same name. Of an address that two devices claim the first claim counts.

use hashbrown::{HashMap, HashSet};
use helios_common::exporter::Address;
use helios_common::names::{NO_NAME, NameId, Names, NamesView};

use super::{Device, Interface, Inventory, Network, Vrf, canonical};
use crate::hits::SourceSet;

/// Which source a value is from: its position in the list that was merged; [`NO_SOURCE`] for an empty value.
pub type SourceId = u8;

/// Stands with a value that no source knows.
pub const NO_SOURCE: SourceId = u8::MAX;

/// A value and where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The default (0, [`NO_NAME`]) if no source knows it.
    pub value: T,
    /// [`NO_SOURCE`] beside the default.
    pub source: SourceId,
}

impl<T: Default> Default for Sourced<T> {
    fn default() -> Self {
        Self { value: T::default(), source: NO_SOURCE }
    }
}

impl<T: Copy + Default + PartialEq> Sourced<T> {
    /// Takes the value unless there is one already.
    fn fill(&mut self, value: T, source: SourceId) {
        if self.value == T::default() && value != T::default() {
            *self = Self { value, source };
        }
    }
}

/// A device as all sources together know it.
#[derive(Debug, Clone, Default)]
pub struct MergedDevice {
    /// [`NO_NAME`] if only its addresses are known.
    pub name: Sourced<NameId>,
    /// The first source that knows a value decides, here and below.
    pub site: Sourced<NameId>,
    /// Region that holds the site.
    pub region: Sourced<NameId>,
    /// Role of the device.
    pub role: Sourced<NameId>,
    /// Tenant that the device belongs to.
    pub tenant: Sourced<NameId>,
    /// Addresses that are the device's after all claims, each with the source of its claim.
    pub addresses: Vec<(Address, SourceId)>,
    /// By the order in which sources name them.
    pub interfaces: Vec<MergedInterface>,
    /// All that know it, also those whose every value another one goes before.
    pub sources: SourceSet,
}

/// An interface as all sources together know it.
#[derive(Debug, Clone, Copy, Default)]
pub struct MergedInterface {
    /// ifIndex (RFC 2863); 0 if no source knows it.
    pub index: Sourced<u32>,
    /// ifName, or what the source calls the interface.
    pub name: Sourced<NameId>,
    /// The operator's text (ifAlias).
    pub description: Sourced<NameId>,
    /// Bits per second; 0 if no source knows it.
    pub speed: Sourced<u64>,
    /// Role of the interface.
    pub role: Sourced<NameId>,
    /// Of the name; 0 if it has none.
    pub canonical: u64,
    /// All that know it.
    pub sources: SourceSet,
}

/// All sources together.
#[derive(Debug, Default)]
pub struct Merged {
    /// In the order in which sources first name them.
    pub devices: Vec<MergedDevice>,
    /// Position in `devices` of the device that exports from the address.
    pub by_address: HashMap<Address, u32, foldhash::fast::RandomState>,
    by_name: HashMap<NameId, u32, foldhash::fast::RandomState>,
    /// Names of several devices: `by_name` has the first.
    shared_names: HashSet<NameId, foldhash::fast::RandomState>,
    /// Of all sources, those of the first source last: of equal prefixes the last one counts.
    pub networks: Vec<Network>,
    /// Of all sources; a VRF that several sources name is here several times.
    pub vrfs: Vec<Vrf>,
    /// Names of autonomous systems; of several for one number the first one counts.
    pub as_names: Vec<(u32, NameId)>,
    /// Addresses that a device claims and another one has.
    pub contested_addresses: u64,
}

impl Merged {
    /// Lays the inventories over each other, the first one counts most.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a Inventory>, names: &Names) -> Self {
        let (mut merged, view) = (Self::default(), names.read());
        let sources: Vec<_> = sources.into_iter().take(usize::from(NO_SOURCE)).collect();
        for (id, inventory) in sources.iter().enumerate() {
            merged.source(inventory, id as SourceId, &view);
        }
        // Of two equal prefixes the later one counts when tables are built, here the earlier source does.
        for (id, inventory) in sources.iter().enumerate().rev() {
            let sources = SourceSet::of(id as SourceId);
            merged.networks.extend(inventory.networks.iter().map(|network| Network { sources, ..*network }));
        }
        for inventory in &sources {
            merged.vrfs.extend(&inventory.vrfs);
            merged.as_names.extend(&inventory.as_names);
        }
        merged
    }

    fn source(&mut self, inventory: &Inventory, source: SourceId, view: &NamesView<'_>) {
        // Devices of one source are different ones, whatever their names: found is only what was there before.
        let found: Vec<Option<u32>> = inventory.devices.iter().map(|device| self.find(device)).collect();
        let mut indices = Vec::with_capacity(found.len());
        for (device, found) in inventory.devices.iter().zip(found) {
            indices.push(self.device(device, found, source, view));
        }
        // All devices claim their primary addresses before any of them claims others.
        for round in 0..3 {
            for (&index, device) in indices.iter().zip(&inventory.devices) {
                if let Some(addresses) = device.by_claim().get(round) {
                    self.claim(index, addresses, source);
                }
            }
        }
    }

    fn device(&mut self, device: &Device, found: Option<u32>, source: SourceId, view: &NamesView<'_>) -> u32 {
        let index = found.unwrap_or_else(|| {
            self.devices.push(MergedDevice::default());
            self.devices.len() as u32 - 1
        });
        let Some(merged) = self.devices.get_mut(index as usize) else { return index };
        merged.sources = merged.sources.with(SourceSet::of(source));
        merged.name.fill(device.name, source);
        merged.site.fill(device.site, source);
        merged.region.fill(device.region, source);
        merged.role.fill(device.role, source);
        merged.tenant.fill(device.tenant, source);
        merged.interfaces(&device.interfaces, source, view);
        if merged.name.value != NO_NAME {
            let name = merged.name.value;
            if *self.by_name.entry(name).or_insert(index) != index {
                self.shared_names.insert(name);
            }
        }
        index
    }

    fn claim(&mut self, index: u32, addresses: &[Address], source: SourceId) {
        let Some(device) = self.devices.get_mut(index as usize) else { return };
        for &address in addresses {
            match *self.by_address.entry(address).or_insert(index) {
                owner if owner != index => self.contested_addresses += 1,
                _ if device.addresses.iter().any(|(known, _)| *known == address) => {}
                _ => device.addresses.push((address, source)),
            }
        }
    }

    /// The device of an earlier source that this one is: the one with its name, and with an address of it too where
    /// several have that name; or, if one of the two has no name, the one with its address.
    fn find(&self, device: &Device) -> Option<u32> {
        let holders = || device.addresses.iter().filter_map(|address| self.by_address.get(address).copied());
        let name_of = |index: &u32| self.devices.get(*index as usize).map_or(NO_NAME, |known| known.name.value);
        if device.name == NO_NAME {
            return holders().next();
        }
        let named = match self.shared_names.contains(&device.name) {
            true => holders().find(|index| name_of(index) == device.name),
            false => self.by_name.get(&device.name).copied(),
        };
        // Two devices with names of their own stay two, also when they claim the same address.
        named.or_else(|| holders().find(|index| name_of(index) == NO_NAME))
    }

    /// The device that exports from `address`.
    pub fn at(&self, address: Address) -> Option<&MergedDevice> {
        self.devices.get(*self.by_address.get(&address)? as usize)
    }

    pub(crate) fn named(&self, name: NameId) -> Option<&MergedDevice> {
        self.devices.get(*self.by_name.get(&name)? as usize)
    }
}

impl MergedDevice {
    fn interfaces(&mut self, added: &[Interface], source: SourceId, view: &NamesView<'_>) {
        // Found by what was there before: interfaces of one source are different ones.
        let before = self.interfaces.len();
        let mut by_index = HashMap::<u32, usize, foldhash::fast::RandomState>::default();
        let mut by_name = HashMap::<NameId, usize, foldhash::fast::RandomState>::default();
        let mut by_canonical = HashMap::<u64, Option<usize>, foldhash::fast::RandomState>::default();
        for (at, known) in self.interfaces.iter().enumerate() {
            by_index.entry(known.index.value).or_insert(at);
            by_name.entry(known.name.value).or_insert(at);
            by_canonical.entry(known.canonical).and_modify(|two| *two = None).or_insert(Some(at));
        }
        for interface in added {
            let canonical = canonical(view.get(interface.name)).unwrap_or(0);
            let found = (before > 0).then(|| {
                let index = (interface.index != 0).then(|| by_index.get(&interface.index)).flatten();
                let name = || (interface.name != NO_NAME).then(|| by_name.get(&interface.name)).flatten();
                let short =
                    || (canonical != 0).then(|| by_canonical.get(&canonical)).flatten().and_then(Option::as_ref);
                index.or_else(name).or_else(short).copied()
            });
            let at = found.flatten().unwrap_or_else(|| {
                self.interfaces.push(MergedInterface::default());
                self.interfaces.len() - 1
            });
            if let Some(merged) = self.interfaces.get_mut(at) {
                merged.fill(interface, canonical, source);
            }
        }
    }
}

impl MergedInterface {
    fn fill(&mut self, interface: &Interface, canonical: u64, source: SourceId) {
        if self.name.value == NO_NAME {
            self.canonical = canonical;
        }
        self.sources = self.sources.with(SourceSet::of(source));
        self.index.fill(interface.index, source);
        self.name.fill(interface.name, source);
        self.description.fill(interface.description, source);
        self.speed.fill(interface.speed, source);
        self.role.fill(interface.role, source);
    }
}

#[cfg(test)]
mod tests;
