//! What a worker has met: exporters, interfaces and VRFs resolved once each and found again by number.
//!
//! A row's interface is looked up by what the row has of it: exporter, ifIndex, and the name and description that the
//! exporter itself gave it. Consecutive rows repeat themselves, so a small direct-mapped cache answers most of them
//! before the map is asked. A new snapshot empties everything; an exporter that invents indices fills no memory, since
//! interfaces of which nothing is known share one record per exporter.

use hashbrown::HashMap;
use helios_common::exporter::{ExporterId, Exporters};
use helios_common::names::NameId;

use crate::directory::{Directory, Exporter, Interface};
use crate::hits::Uses;

/// Interfaces and VRFs remembered; beyond that the memo begins anew. Twice the largest network that Helios is made for.
const ENTRIES_MAX: usize = 1 << 20;

/// Slots of the direct-mapped cache: 96 KiB, which stay in the second-level cache.
const RECENT: usize = 1 << 12;

/// What a row says of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct InterfaceKey {
    /// The id that [`Exporters`](helios_common::exporter::Exporters) gave.
    pub exporter: u32,
    /// ifIndex; 0 if the row has none.
    pub index: u32,
    /// From options data or the flow itself; 0 if the exporter does not send it.
    pub name: NameId,
    /// From options data or the flow itself; 0 if the exporter does not send it.
    pub description: NameId,
}

impl InterfaceKey {
    fn slot(self) -> usize {
        let low = u64::from(self.index) << 32 | u64::from(self.exporter);
        let high = u64::from(self.description) << 32 | u64::from(self.name);
        let mixed = (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 52) as usize % RECENT
    }
}

/// Everything a worker has met under one snapshot.
#[derive(Debug)]
pub struct Memo {
    generation: u64,
    /// Of the exporters' ids.
    epoch: u64,
    exporters: Vec<Option<(Exporter, NameId)>>,
    records: Vec<Interface>,
    /// Of each record, who knows of it: see [`Directory::interface`].
    tags: Vec<u16>,
    /// All records, or'ed: a column that no record has anything for need not be looked at.
    any: Interface,
    interfaces: HashMap<InterfaceKey, u32, foldhash::fast::RandomState>,
    /// Record ids are stored plus 1: an empty slot is no answer.
    recent: Box<[(InterfaceKey, u32)]>,
    vrfs: HashMap<(u32, u32, NameId), u16, foldhash::fast::RandomState>,
    /// Room for the record ids of a batch's rows.
    pub ids: Vec<u32>,
    /// What was met since it was last counted.
    pub uses: Uses,
}

impl Default for Memo {
    fn default() -> Self {
        Self {
            generation: 0,
            epoch: 0,
            exporters: Vec::new(),
            records: vec![Interface::default()],
            tags: vec![0],
            any: Interface::default(),
            interfaces: HashMap::default(),
            recent: vec![(InterfaceKey::default(), 0); RECENT].into_boxed_slice(),
            vrfs: HashMap::default(),
            ids: Vec::new(),
            uses: Uses::default(),
        }
    }
}

impl Memo {
    /// Forgets what another snapshot said or an exporter's id meant before, and everything once there is too much of
    /// it.
    pub fn prepare(&mut self, generation: u64, epoch: u64) {
        let full = self.interfaces.len().max(self.vrfs.len()) > ENTRIES_MAX;
        if (self.generation, self.epoch) == (generation, epoch) && !full {
            return;
        }
        (self.generation, self.epoch) = (generation, epoch);
        self.exporters.clear();
        self.records.truncate(1);
        self.tags.truncate(1);
        self.any = Interface::default();
        self.interfaces.clear();
        self.recent.fill((InterfaceKey::default(), 0));
        self.vrfs.clear();
    }

    /// The exporter and its address as text.
    pub fn exporter(&mut self, id: ExporterId, exporters: &Exporters, directory: &Directory) -> (Exporter, NameId) {
        let index = id.0 as usize;
        if let Some(Some(known)) = self.exporters.get(index) {
            return *known;
        }
        let Some(entry) = exporters.get(id) else { return <(Exporter, NameId)>::default() };
        let resolved = (directory.exporter(&entry), entry.address_name);
        if self.exporters.len() <= index {
            self.exporters.resize(index + 1, None);
        }
        if let Some(slot) = self.exporters.get_mut(index) {
            *slot = Some(resolved);
        }
        resolved
    }

    /// The id of an interface's record; 0 if nothing is known of it.
    #[inline(always)]
    pub fn interface(&mut self, key: InterfaceKey, exporter: &Exporter, directory: &Directory) -> u32 {
        let slot = key.slot();
        match self.recent.get(slot) {
            Some((recent, id)) if *recent == key && *id != 0 => id - 1,
            _ => self.interface_of(key, slot, exporter, directory),
        }
    }

    #[cold]
    fn interface_of(&mut self, key: InterfaceKey, slot: usize, exporter: &Exporter, directory: &Directory) -> u32 {
        let id = match self.interfaces.get(&key) {
            Some(&known) => known,
            None => match directory.interface(exporter, key.index, key.name, key.description) {
                Some((interface, sources)) => {
                    let id = self.add(interface, sources);
                    self.interfaces.insert(key, id);
                    id
                }
                None => self.unnamed(key.exporter, exporter, directory),
            },
        };
        if let Some(slot) = self.recent.get_mut(slot) {
            *slot = (key, id + 1);
        }
        id
    }

    /// The record of all interfaces of an exporter of which nothing but the index is known.
    fn unnamed(&mut self, exporter_id: u32, exporter: &Exporter, directory: &Directory) -> u32 {
        let key = InterfaceKey { exporter: exporter_id, ..InterfaceKey::default() };
        if let Some(&known) = self.interfaces.get(&key) {
            return known;
        }
        let id = self.add(directory.unnamed_interface(exporter), 0);
        self.interfaces.insert(key, id);
        id
    }

    fn add(&mut self, interface: Interface, sources: u16) -> u32 {
        if interface == Interface::default() && sources == 0 {
            return 0;
        }
        self.any.add(&interface);
        self.records.push(interface);
        self.tags.push(sources);
        self.records.len() as u32 - 1
    }

    /// The records by id, for the passes that write columns.
    pub fn records(&self) -> &[Interface] {
        &self.records
    }

    /// Counts the sources of the records with these ids. Returns how many of the ids are not 0.
    pub fn count(&mut self, ids: &[u32]) -> u64 {
        let mut known = 0;
        for &id in ids {
            known += u64::from(id != 0);
            self.uses.interface(self.tags.get(id as usize).copied().unwrap_or(0));
        }
        known
    }

    /// What any record has a value of is not 0 in here.
    pub fn any(&self) -> Interface {
        self.any
    }

    /// Distinct interfaces that are remembered.
    pub fn n_interfaces(&self) -> usize {
        self.interfaces.len()
    }

    /// The routing table of a flow, see [`Directory::vrf`].
    pub fn vrf(
        &mut self,
        id: ExporterId,
        vrf_id: u32,
        vrf_name: NameId,
        exporters: &Exporters,
        directory: &Directory,
    ) -> u16 {
        if let Some(&known) = self.vrfs.get(&(id.0, vrf_id, vrf_name)) {
            return known;
        }
        let (exporter, address_name) = self.exporter(id, exporters, directory);
        let vrf = directory.vrf(&exporter, address_name, vrf_id, vrf_name);
        self.vrfs.insert((id.0, vrf_id, vrf_name), vrf);
        vrf
    }
}
