//! Interned strings: a column of names holds ids, never strings.
//!
//! Interning takes a lock and may allocate: it happens when a database is loaded, an exporter is first seen or
//! an options record names something, never per flow record. Ids stay valid as long as the process lives, so
//! batches, snapshots and blocks can pass them on without a reference count.
//!
//! Memory is bounded by [`MAX_NAMES`] and [`MAX_NAME_BYTES`]. What exporters send has a quota ([`MAX_WIRE_NAMES`]) of which
//! each may use a part ([`MAX_SOURCE_NAMES`]), the addresses that they send from have another one
//! ([`MAX_EXPORTER_NAMES`]), and databases and inventories have the rest: a source that invents names takes no room from
//! the others. A name for which there is no room is empty; refusals and names that were cut are counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use hashbrown::HashMap;

use crate::exporter::Address;

/// Refers to a name; 0 is the empty name.
pub type NameId = u32;

/// The empty name: what a column holds where nothing is known.
pub const NO_NAME: NameId = 0;

/// Names of all sources together. Databases and inventories have 2 Mi of them at least: enough for every city, AS and network
/// of the world's databases several times over.
const MAX_NAMES: usize = (4 << 20) + MAX_EXPORTER_NAMES;

/// Names that exporters may send in options data and in text columns. 8,000 devices with 250 interfaces each, all of which are
/// described in other words, have room.
pub const MAX_WIRE_NAMES: usize = 2 << 20;

/// Names that one exporter may add to those, however long it is known: a chassis with 10,000 interfaces and subscribers on
/// each has room, and it takes sixteen exporters that invent names to leave none for the others.
pub const MAX_SOURCE_NAMES: usize = MAX_WIRE_NAMES / 16;

/// Addresses that exporters send from, which are their names where nobody knows a better one: eight times the exporters that
/// a process keeps, so that addresses which change over the years have room as well.
pub const MAX_EXPORTER_NAMES: usize = 8 << 16;

/// Longest name kept; the rest is cut at a character boundary. IPFIX strings can be 64 KiB long.
pub const MAX_NAME_BYTES: usize = 255;

/// The process-wide table of names, shared by reference.
#[derive(Debug, Default)]
pub struct Names {
    table: RwLock<Table>,
}

#[derive(Debug)]
struct Table {
    ids: HashMap<Arc<str>, NameId, foldhash::quality::RandomState>,
    names: Vec<Arc<str>>,
    /// How many names each quota holds: names that an exporter sent before anybody else had them, and addresses.
    used: [usize; 2],
    /// How many of the names each exporter added. Each of them added one: there are no more than such names.
    by_source: HashMap<Address, u32, foldhash::quality::RandomState>,
    refused: AtomicU64,
    cut: AtomicU64,
}

/// Who a name is from, if its number is limited.
#[derive(Debug, Clone, Copy)]
enum Quota {
    /// An exporter, which adds none when exporters have sent so many.
    Wire { source: Address, most: usize },
    /// An exporter is called by its address.
    Exporters,
}

impl Quota {
    /// The position in [`Table::used`].
    const fn place(self) -> usize {
        match self {
            Self::Wire { .. } => 0,
            Self::Exporters => 1,
        }
    }
}

impl Default for Table {
    fn default() -> Self {
        let empty: Arc<str> = Arc::from("");
        let ids = std::iter::once((Arc::clone(&empty), NO_NAME)).collect();
        Self {
            ids,
            names: vec![empty],
            used: [0; 2],
            by_source: HashMap::default(),
            refused: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        }
    }
}

impl Names {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of `name`, cut to [`MAX_NAME_BYTES`]; [`NO_NAME`] when the table is full.
    pub fn intern(&self, name: &str) -> NameId {
        self.id_of(name, None)
    }

    /// The same for a name that the exporter at `source` sent; [`NO_NAME`] for a new one when there are `most` of such
    /// names, or [`MAX_SOURCE_NAMES`] of this exporter.
    pub fn intern_wire(&self, name: &str, source: Address, most: usize) -> NameId {
        self.id_of(name, Some(Quota::Wire { source, most }))
    }

    /// The same for the address of an exporter; [`NO_NAME`] for a new one when there are [`MAX_EXPORTER_NAMES`] of them.
    pub fn intern_exporter(&self, address: &str) -> NameId {
        self.id_of(address, Some(Quota::Exporters))
    }

    fn id_of(&self, name: &str, quota: Option<Quota>) -> NameId {
        let kept = cut(name);
        let table = self.read().0;
        if kept.len() < name.len() {
            table.cut.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(&id) = table.ids.get(kept) {
            return id;
        }
        // A refusal takes only the lock for readers: nobody waits for a source that floods the table.
        if table.names.len() >= MAX_NAMES || quota.is_some_and(|quota| !table.has_room(quota)) {
            table.refused.fetch_add(1, Ordering::Relaxed);
            return NO_NAME;
        }
        drop(table);
        let mut table = self.table.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        table.add(kept, quota)
    }

    /// A view for resolving many ids under one lock.
    pub fn read(&self) -> NamesView<'_> {
        NamesView(self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// How often a name was longer than [`MAX_NAME_BYTES`] and was cut.
    pub fn cut(&self) -> u64 {
        self.read().0.cut.load(Ordering::Relaxed)
    }

    /// How many names the exporter at `source` has sent that nobody else had before.
    pub fn of_source(&self, source: Address) -> u32 {
        self.read().0.by_source.get(&source).copied().unwrap_or(0)
    }

    /// How many distinct names are held, and how many were refused because there was no room for them.
    pub fn usage(&self) -> (usize, u64) {
        let view = self.read();
        (view.0.names.len(), view.0.refused.load(Ordering::Relaxed))
    }
}

impl Table {
    fn has_room(&self, quota: Quota) -> bool {
        let used = self.used.get(quota.place()).copied().unwrap_or(usize::MAX);
        match quota {
            Quota::Exporters => used < MAX_EXPORTER_NAMES,
            Quota::Wire { source, most } => {
                used < most && self.by_source.get(&source).is_none_or(|&names| (names as usize) < MAX_SOURCE_NAMES)
            }
        }
    }

    /// The id of a name, which is new unless another thread was faster.
    fn add(&mut self, name: &str, quota: Option<Quota>) -> NameId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = self.names.len() as NameId;
        let shared: Arc<str> = Arc::from(name);
        self.names.push(Arc::clone(&shared));
        self.ids.insert(shared, id);
        if let Some(used) = quota.and_then(|quota| self.used.get_mut(quota.place())) {
            *used += 1;
        }
        if let Some(Quota::Wire { source, .. }) = quota {
            *self.by_source.entry(source).or_default() += 1;
        }
        id
    }
}

/// A consistent view of [`Names`].
pub struct NamesView<'a>(RwLockReadGuard<'a, Table>);

impl NamesView<'_> {
    /// The name behind `id`; empty for an id that was never given out.
    pub fn get(&self, id: NameId) -> &str {
        self.0.names.get(id as usize).map_or("", |name| name)
    }
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Address = [1; 16];

    #[test]
    fn the_same_name_has_one_id() {
        let names = Names::new();
        let first = names.intern("Frankfurt");
        assert_eq!(names.intern("Frankfurt"), first);
        assert_ne!(names.intern("Zurich"), first);
        assert_eq!(names.read().get(first), "Frankfurt");
        assert_eq!(names.intern(""), NO_NAME);
    }

    #[test]
    fn names_from_the_wire_leave_room_for_others() {
        let names = Names::new();
        let ids = ["eth0", "eth1", "eth0", "eth2"].map(|name| names.intern_wire(name, ROUTER, 2));
        assert_eq!(ids, [1, 2, 1, NO_NAME]);
        assert_eq!(names.intern("Frankfurt"), 3);
        assert_eq!(
            (names.intern_wire("Frankfurt", ROUTER, 2), names.intern_wire("eth1", ROUTER, 0)),
            (3, 2),
            "what is known is known"
        );
        assert_eq!(names.usage(), (4, 1));
    }

    #[test]
    fn an_exporter_has_a_name_whatever_others_send() {
        let names = Names::new();
        assert_eq!(["eth0", "eth1"].map(|name| names.intern_wire(name, ROUTER, 1)), [1, NO_NAME]);
        assert_eq!([names.intern_exporter("192.0.2.1"), names.intern_exporter("192.0.2.2")], [2, 3]);
    }

    #[test]
    fn one_exporter_adds_a_part_of_the_names_and_leaves_the_rest_to_others() {
        let names = Names::new();
        let invent = |source, n: usize| {
            (0..n).filter(|n| names.intern_wire(&format!("{source:?} {n}"), source, MAX_WIRE_NAMES) != NO_NAME).count()
        };
        assert_eq!(invent(ROUTER, MAX_SOURCE_NAMES + 100), MAX_SOURCE_NAMES);
        assert_eq!(names.usage().1, 100, "the rest is refused");
        assert_eq!(invent([2; 16], 1000), 1000);
        assert_eq!((names.of_source(ROUTER) as usize, names.of_source([2; 16])), (MAX_SOURCE_NAMES, 1000));
        assert_ne!(
            names.intern_wire(&format!("{:?} 0", [2; 16]), ROUTER, MAX_WIRE_NAMES),
            NO_NAME,
            "one that is known"
        );
    }

    #[test]
    fn a_long_name_is_cut_at_a_character_and_counted() {
        let names = Names::new();
        let id = names.intern(&"é".repeat(200));
        assert_eq!(names.read().get(id), "é".repeat(127));
        assert_eq!((names.intern("short"), names.cut()), (id + 1, 1));
    }
}
