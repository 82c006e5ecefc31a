//! Interned strings: a column of names holds ids, never strings.
//!
//! Interning takes a lock and may allocate: it happens when a database is loaded, an exporter is first seen or
//! an options record names something, never per flow record. Ids stay valid as long as the process lives, so
//! batches, snapshots and blocks can pass them on without a reference count.
//!
//! Memory is bounded by [`MAX_NAMES`] and [`MAX_NAME_BYTES`]: an exporter that invents names gets the empty
//! name once its half of the table is full (see [`MAX_WIRE_NAMES`]), and the refusals are counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use hashbrown::HashMap;

/// Refers to a name; 0 is the empty name.
pub type NameId = u32;

/// The empty name: what a column holds where nothing is known.
pub const NO_NAME: NameId = 0;

/// Enough for every city, AS and network of the world's databases several times over.
const MAX_NAMES: usize = 4 << 20;

/// Of these, names that exporters may send: whoever sends ever new ones leaves the databases and inventories theirs.
/// 8,000 devices with 250 interfaces each, all of which are described in other words, have room.
pub const MAX_WIRE_NAMES: usize = MAX_NAMES / 2;

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
    /// Names that an exporter sent before anybody else had them.
    n_wire: usize,
    refused: AtomicU64,
}

impl Default for Table {
    fn default() -> Self {
        let empty: Arc<str> = Arc::from("");
        let ids = std::iter::once((Arc::clone(&empty), NO_NAME)).collect();
        Self { ids, names: vec![empty], n_wire: 0, refused: AtomicU64::new(0) }
    }
}

impl Names {
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of `name`, cut to [`MAX_NAME_BYTES`]; [`NO_NAME`] when the table is full.
    pub fn intern(&self, name: &str) -> NameId {
        self.id_of(cut(name), None)
    }

    /// The same for a name that an exporter sent; [`NO_NAME`] for a new one when there are `most` of such names.
    pub fn intern_wire(&self, name: &str, most: usize) -> NameId {
        self.id_of(cut(name), Some(most))
    }

    fn id_of(&self, name: &str, most_wire: Option<usize>) -> NameId {
        let table = self.read().0;
        if let Some(&id) = table.ids.get(name) {
            return id;
        }
        // Who floods the table makes nobody wait for it: a refusal takes no lock that keeps others out.
        if table.names.len() >= MAX_NAMES || most_wire.is_some_and(|most| table.n_wire >= most) {
            table.refused.fetch_add(1, Ordering::Relaxed);
            return NO_NAME;
        }
        drop(table);
        let mut table = self.table.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        table.add(name, most_wire.is_some())
    }

    /// A view for resolving many ids under one lock.
    pub fn read(&self) -> NamesView<'_> {
        NamesView(self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// How many distinct names are held, and how many were refused because the table was full.
    pub fn usage(&self) -> (usize, u64) {
        let view = self.read();
        (view.0.names.len(), view.0.refused.load(Ordering::Relaxed))
    }
}

impl Table {
    /// The id of a name, which is new unless another thread was faster.
    fn add(&mut self, name: &str, from_wire: bool) -> NameId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = self.names.len() as NameId;
        let shared: Arc<str> = Arc::from(name);
        self.names.push(Arc::clone(&shared));
        self.ids.insert(shared, id);
        self.n_wire += usize::from(from_wire);
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
        let ids = ["eth0", "eth1", "eth0", "eth2"].map(|name| names.intern_wire(name, 2));
        assert_eq!(ids, [1, 2, 1, NO_NAME]);
        assert_eq!(names.intern("Frankfurt"), 3);
        assert_eq!((names.intern_wire("Frankfurt", 2), names.intern_wire("eth1", 0)), (3, 2), "what is known is known");
        assert_eq!(names.usage(), (4, 1));
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let names = Names::new();
        let id = names.intern(&"é".repeat(200));
        assert_eq!(names.read().get(id), "é".repeat(127));
    }
}
