//! Exporters: devices that send flow messages, interned to small ids.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashMap;

use crate::names::{NameId, Names};
use crate::time::UnixMs;

/// An address as every column holds it: IPv6, IPv4 mapped (RFC 4291 §2.5.5.2).
pub type Address = [u8; 16];

/// The unspecified address `::`, the default of address columns.
pub const NO_ADDRESS: Address = [0; 16];

/// Maps an IPv4 address into the form of the columns.
pub const fn mapped(v4: [u8; 4]) -> Address {
    let [a, b, c, d] = v4;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// The column form of any address.
pub fn address_of(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address as people write it: mapped IPv4 in dotted form.
pub fn ip_of(address: Address) -> IpAddr {
    Ipv6Addr::from(address).to_canonical()
}

/// Refers to an exporter of this process; small and dense, so that tables can be indexed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ExporterId(pub u32);

/// Exporters beyond this many at a time lose their name, not their flows: they share the id [`UNNAMED`].
///
/// A spoofing sender could otherwise grow every table that is indexed by exporter. 64 k is eight times the
/// largest network that Helios is made for.
pub const MAX_EXPORTERS: usize = 1 << 16;

/// The id of exporters that there is no id for. Nothing is known under it: a wrong name would be worse than none.
pub const UNNAMED: ExporterId = ExporterId(MAX_EXPORTERS as u32);

/// An id that is not used any more goes to another exporter only after this time: rows with it may still be in the queues.
const REST_MS: UnixMs = 60_000;

/// All exporters seen by this process. A lock is taken when a worker meets an exporter for the first time.
///
/// Ids are counted references: every [`intern`](Self::intern) of a worker is matched by a [`release`](Self::release)
/// when it forgets the exporter, after which others can get the id. Who remembers things by id forgets them when
/// [`epoch`](Self::epoch) changes.
#[derive(Debug)]
pub struct Exporters {
    names: Arc<Names>,
    table: RwLock<Table>,
    epoch: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    ids: HashMap<Address, ExporterId, foldhash::quality::RandomState>,
    slots: Vec<Slot>,
    /// Ids that were released, in that order, with the time.
    resting: VecDeque<(ExporterId, UnixMs)>,
    free: Vec<ExporterId>,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    users: u32,
    /// When the last user went; what `resting` has to say of an id that was taken up again is outdated.
    released_at: Option<UnixMs>,
}

/// What is known of an exporter without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The address by which the exporter is known.
    pub address: Address,
    /// Where its first datagram came from: for an sFlow agent, which names itself, another address at times.
    pub socket: Address,
    /// The address as text: the name of an exporter that no inventory knows.
    pub address_name: NameId,
}

impl Exporters {
    /// A table without an exporter.
    pub fn new(names: Arc<Names>) -> Self {
        Self { names, table: RwLock::default(), epoch: AtomicU64::new(0) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The id of the exporter at `address`, given out at its first sight; [`UNNAMED`] while there is none left.
    pub fn intern(&self, address: Address) -> ExporterId {
        self.intern_behind(address, address)
    }

    /// As [`intern`](Self::intern), for an exporter whose datagrams come from the address `socket`.
    pub fn intern_behind(&self, address: Address, socket: Address) -> ExporterId {
        let mut table = self.write();
        if let Some(&id) = table.ids.get(&address) {
            if let Some(slot) = table.slots.get_mut(id.0 as usize) {
                slot.users += 1;
                slot.released_at = None;
            }
            return id;
        }
        let unused = ExporterId(table.slots.len() as u32);
        let Some(id) = table.free.pop().or_else(|| (unused < UNNAMED).then_some(unused)) else { return UNNAMED };
        let address_name = self.names.intern_exporter(&ip_of(address).to_string());
        let slot = Slot { entry: Entry { address, socket, address_name }, users: 1, released_at: None };
        match table.slots.get_mut(id.0 as usize) {
            Some(recycled) => *recycled = slot,
            None => table.slots.push(slot),
        }
        table.ids.insert(address, id);
        id
    }

    /// Takes back what one `intern` of this address gave, `at` being when the id was last used.
    pub fn release(&self, address: Address, at: UnixMs) {
        let mut table = self.write();
        // One that had no id has none to give back.
        let Some(&id) = table.ids.get(&address) else { return };
        let Some(slot) = table.slots.get_mut(id.0 as usize) else { return };
        slot.users = slot.users.saturating_sub(1);
        if slot.users == 0 {
            slot.released_at = Some(at);
            table.resting.push_back((id, at));
        }
    }

    /// Makes ids that have rested long enough available to other exporters. Called about once a minute.
    pub fn recycle(&self, now: UnixMs) {
        let mut table = self.write();
        let before = table.free.len();
        while let Some(&(id, at)) = table.resting.front().filter(|(_, at)| at + REST_MS <= now) {
            table.resting.pop_front();
            let slot = table.slots.get_mut(id.0 as usize).filter(|slot| slot.released_at == Some(at));
            if let Some(slot) = slot {
                slot.released_at = None;
                let address = slot.entry.address;
                table.ids.remove(&address);
                table.free.push(id);
            }
        }
        if table.free.len() > before {
            self.epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// Changes before an id gets another meaning.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The exporter of this id; `None` for an id that is not given out.
    pub fn get(&self, id: ExporterId) -> Option<Entry> {
        self.read().slots.get(id.0 as usize).map(|slot| slot.entry)
    }

    /// The entry of an exporter that was seen and not forgotten since.
    pub fn at(&self, address: Address) -> Option<Entry> {
        let table = self.read();
        table.slots.get(table.ids.get(&address)?.0 as usize).map(|slot| slot.entry)
    }

    /// How many ids were ever given out at the same time: all are less.
    pub fn len(&self) -> usize {
        self.read().slots.len()
    }

    /// Whether there is no exporter.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exporter_is_its_address_whatever_the_socket_family() {
        let names = Arc::new(Names::new());
        let exporters = Exporters::new(Arc::clone(&names));
        let v4 = exporters.intern(address_of("192.0.2.1".parse().unwrap()));
        let mapped_v6 = exporters.intern(address_of("::ffff:192.0.2.1".parse().unwrap()));
        assert_eq!(v4, mapped_v6);
        let entry = exporters.get(v4).unwrap();
        assert_eq!(names.read().get(entry.address_name), "192.0.2.1");
    }

    fn full() -> Exporters {
        let exporters = Exporters::new(Arc::new(Names::new()));
        for n in 0..MAX_EXPORTERS as u128 {
            exporters.intern(n.to_be_bytes());
        }
        exporters
    }

    const NEW: Address = [0xfe; 16];

    #[test]
    fn exporters_beyond_the_limit_have_flows_and_no_name() {
        let exporters = full();
        assert_eq!((exporters.intern(NEW), exporters.get(UNNAMED), exporters.at(NEW)), (UNNAMED, None, None));
        assert_eq!(exporters.len(), MAX_EXPORTERS);
        exporters.release(NEW, 0);
        exporters.recycle(10 * REST_MS);
        assert_eq!((exporters.intern(NEW), exporters.epoch()), (UNNAMED, 0), "it had nothing to give back");
    }

    #[test]
    fn the_id_of_a_forgotten_exporter_serves_another_after_a_rest() {
        let exporters = full();
        exporters.release(7_u128.to_be_bytes(), 1000);
        exporters.recycle(1000 + REST_MS - 1);
        assert_eq!((exporters.intern(NEW), exporters.epoch()), (UNNAMED, 0));
        exporters.recycle(1000 + REST_MS);
        assert_eq!((exporters.intern(NEW), exporters.epoch()), (ExporterId(7), 1));
        assert_eq!(exporters.get(ExporterId(7)).map(|entry| entry.address), Some(NEW));
        assert_eq!(exporters.at(7_u128.to_be_bytes()), None);
        assert_eq!(exporters.len(), MAX_EXPORTERS);
    }

    #[test]
    fn an_id_is_kept_while_anybody_uses_it_and_by_who_comes_back() {
        let exporters = full();
        let [shared, back] = [1_u128, 2].map(u128::to_be_bytes);
        exporters.intern(shared);
        exporters.release(shared, 0);
        exporters.release(back, 0);
        assert_eq!(exporters.intern(back), ExporterId(2));
        exporters.recycle(10 * REST_MS);
        assert_eq!((exporters.intern(NEW), exporters.epoch()), (UNNAMED, 0));
        exporters.release(shared, 10 * REST_MS);
        exporters.recycle(20 * REST_MS);
        assert_eq!(exporters.intern(NEW), ExporterId(1));
    }
}
