//! One family's table: 24 bits at once, then an octet at a time.
//!
//! A 24-bit block has a slot (DIR-24-8: Gupta, Lin, McKeown, "Routing lookups in hardware at memory access speeds",
//! INFOCOM 1998), which is the id of the whole block or a node that divides it by the next octet. Two things are
//! different from the plain form:
//! - Slots are kept in pages of 12 bits behind a directory that stays in the first-level cache, and pages of one
//!   value are shared. A small table takes kilobytes and IPv6, which lives in a few of its /12s, can use the same
//!   form. A flat root of 64 MiB was 10 to 25 % faster, but occupies all of it under an allocator that does not give
//!   untouched memory a second time, as when a database is reloaded.
//! - A node keeps one slot per stretch of equal octets and finds it by counting bits. 256 ids per node would take
//!   640 MB for a city database that divides 640 thousand /24s; this takes 50 MB.

use hashbrown::HashMap;

use super::runs::{Key, Run, Runs};

/// Ids are below this: the top bit marks a node.
pub const MAX_ID: u32 = 1 << 31;

/// Bits that the directory resolves, and bits that a page resolves behind them.
const PAGE_BITS: u32 = 12;
const FIRST_BITS: u32 = 2 * PAGE_BITS;
const PAGE: usize = 1 << PAGE_BITS;

/// Whether a slot is a node and the look-up goes on with [`Table::deeper`].
#[inline(always)]
pub const fn is_node(slot: u32) -> bool {
    slot >= MAX_ID
}

/// From key to id. Keys are left-aligned in 128 bits, whatever the family.
#[derive(Debug, Clone)]
pub struct Table {
    /// The page of each 12-bit block.
    directory: Box<[u16; PAGE]>,
    pages: Vec<[u32; PAGE]>,
    nodes: Vec<Node>,
    /// The slots of all nodes, one after the other.
    slots: Vec<u32>,
}

/// A block divided by an octet.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// A bit for every octet at which another slot begins; the first bit is always set.
    begins: [u64; 4],
    /// Where the node's slots are.
    base: u32,
    /// How many bits are set in the words before each one.
    before: [u8; 4],
}

impl Node {
    #[inline(always)]
    fn index(&self, octet: u8) -> usize {
        let word = usize::from(octet >> 6);
        let up_to_octet = self.begins[word] & (u64::MAX >> (63 - (octet & 63)));
        // The bit of octet 0 counts for every octet, so the rank is at least 1.
        self.base as usize + usize::from(self.before[word]) + up_to_octet.count_ones() as usize - 1
    }

    fn octets(&self) -> impl Iterator<Item = u8> {
        (0..=255_u8).filter(|octet| self.begins[usize::from(octet >> 6)] >> (octet & 63) & 1 == 1)
    }
}

impl Table {
    pub(crate) fn from_runs<K: Key>(runs: &Runs<K>) -> Self {
        let directory = Box::new([0; PAGE]);
        let divided = runs.as_slice().chunk_by(|a, b| page_of(a) == page_of(b)).count();
        let mut table = Self { directory, pages: Vec::with_capacity(divided), nodes: Vec::new(), slots: Vec::new() };
        let mut uniform = HashMap::new();
        for blocks in Pieces::new(runs.as_slice(), 0, K::BITS - PAGE_BITS, PAGE) {
            let page = match blocks.runs {
                [whole] => *uniform.entry(whole.value).or_insert_with(|| table.add_page([whole.value; PAGE])),
                _ => {
                    let page = table.page(&blocks);
                    table.add_page(page)
                }
            };
            table.directory[blocks.first..blocks.end].fill(page);
        }
        table
    }

    fn add_page(&mut self, page: [u32; PAGE]) -> u16 {
        self.pages.push(page);
        (self.pages.len() - 1) as u16
    }

    /// The slots of one 12-bit block.
    fn page<K: Key>(&mut self, block: &Piece<'_, K>) -> [u32; PAGE] {
        let (mut page, shift) = ([0; PAGE], K::BITS - FIRST_BITS);
        for blocks in Pieces::new(block.runs, block.start, shift, PAGE) {
            page[blocks.first..blocks.end].fill(self.slot(&blocks, shift));
        }
        page
    }

    /// The slot of blocks that lie `shift` bits above the end of the key.
    fn slot<K: Key>(&mut self, piece: &Piece<'_, K>, shift: u32) -> u32 {
        if let [whole] = piece.runs {
            debug_assert!(whole.value < MAX_ID);
            return whole.value;
        }
        let (mut node, mut slots) = (Node::default(), Vec::new());
        let shift = shift - 8;
        for part in Pieces::new(piece.runs, piece.start, shift, 256) {
            node.begins[part.first >> 6] |= 1 << (part.first & 63);
            slots.push(self.slot(&part, shift));
        }
        for word in 1..4 {
            node.before[word] = node.before[word - 1] + node.begins[word - 1].count_ones() as u8;
        }
        node.base = self.slots.len() as u32;
        self.slots.append(&mut slots);
        self.nodes.push(node);
        MAX_ID | (self.nodes.len() as u32 - 1)
    }

    /// The slot of the key's first 24 bits.
    #[inline(always)]
    pub fn first(&self, key: u128) -> u32 {
        let page = self.directory[(key >> (128 - PAGE_BITS)) as usize];
        let slot = (key >> (128 - FIRST_BITS)) as usize % PAGE;
        self.pages.get(usize::from(page)).map_or(0, |page| page[slot])
    }

    /// The id behind a node that [`first`](Self::first) found for the same key.
    #[inline(always)]
    pub fn deeper(&self, mut slot: u32, key: u128) -> u32 {
        let mut rest = key << FIRST_BITS;
        while is_node(slot) {
            let Some(node) = self.nodes.get((slot & !MAX_ID) as usize) else { return 0 };
            slot = self.slots.get(node.index((rest >> 120) as u8)).copied().unwrap_or(0);
            rest <<= 8;
        }
        slot
    }

    #[inline(always)]
    pub(crate) fn get(&self, key: u128) -> u32 {
        self.deeper(self.first(key), key)
    }

    /// The runs that the table was built from.
    pub fn runs<K: Key>(&self) -> Runs<K> {
        let (mut runs, shift) = (Runs::default(), K::BITS - FIRST_BITS);
        let mut previous = 0;
        let pages = self.directory.iter().filter_map(|&page| self.pages.get(usize::from(page)));
        for (block, &slot) in pages.flatten().enumerate() {
            // A node is never equal to its neighbour, an id often is.
            if slot != previous {
                self.walk(slot, (block as u128) << shift, shift, &mut runs);
                previous = slot;
            }
        }
        runs
    }

    fn walk<K: Key>(&self, slot: u32, start: u128, shift: u32, runs: &mut Runs<K>) {
        if !is_node(slot) {
            runs.begin(K::low(start), slot);
            return;
        }
        let Some(node) = self.nodes.get((slot & !MAX_ID) as usize) else { return };
        for octet in node.octets() {
            let slot = self.slots.get(node.index(octet)).copied().unwrap_or(0);
            self.walk(slot, start | u128::from(octet) << (shift - 8), shift - 8, runs);
        }
    }

    /// Memory that the table occupies, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.directory.as_ref())
            + size_of_val(self.pages.as_slice())
            + size_of_val(self.nodes.as_slice())
            + size_of_val(self.slots.as_slice())
    }
}

fn page_of<K: Key>(run: &Run<K>) -> u128 {
    run.start.into() >> (K::BITS - PAGE_BITS)
}

/// Consecutive blocks of one size: one run covers them all, or they are a single block that several runs divide.
struct Piece<'a, K> {
    first: usize,
    end: usize,
    /// First address of the first block.
    start: u128,
    runs: &'a [Run<K>],
}

/// Cuts the blocks of `1 << shift` addresses from `start` on into pieces. The first of `runs` holds `start`.
struct Pieces<'a, K> {
    runs: &'a [Run<K>],
    start: u128,
    shift: u32,
    block: usize,
    blocks: usize,
}

impl<'a, K: Key> Pieces<'a, K> {
    fn new(runs: &'a [Run<K>], start: u128, shift: u32, blocks: usize) -> Self {
        Self { runs, start, shift, block: 0, blocks }
    }

    fn block_of(&self, run: &Run<K>) -> usize {
        ((run.start.into() - self.start) >> self.shift) as usize
    }

    fn start_of(&self, block: usize) -> u128 {
        self.start + ((block as u128) << self.shift)
    }
}

impl<'a, K: Key> Iterator for Pieces<'a, K> {
    type Item = Piece<'a, K>;

    fn next(&mut self) -> Option<Piece<'a, K>> {
        if self.block == self.blocks {
            return None;
        }
        let first = self.block;
        let next_run = self.runs.get(1).map_or(self.blocks, |run| self.block_of(run));
        // Up to the block in which the next run begins there is one run; that block itself has as many as begin in it.
        let (end, runs) = if next_run > first {
            (next_run, 1)
        } else {
            let within = self.runs.iter().skip(1).take_while(|run| self.block_of(run) == first).count();
            (first + 1, 1 + within)
        };
        let piece = Piece { first, end, start: self.start_of(first), runs: self.runs.get(..runs)? };
        let begins_there = |run: &Run<K>| end < self.blocks && run.start.into() == self.start_of(end);
        let done = if self.runs.get(runs).is_some_and(begins_there) { runs } else { runs - 1 };
        self.runs = self.runs.get(done..)?;
        self.block = end;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::runs::Entry;

    #[test]
    fn blocks_are_divided_only_where_runs_begin_inside_of_them() {
        let runs = Runs::flatten(vec![
            Entry { start: 0x0000_0000_u32, bits: 23, value: 1 },
            Entry { start: 0x0000_0240, bits: 26, value: 2 },
        ]);
        let pieces: Vec<_> =
            Pieces::new(runs.as_slice(), 0, 8, 4).map(|piece| (piece.first..piece.end, piece.runs.len())).collect();
        assert_eq!(pieces, [(0..2, 1), (2..3, 3), (3..4, 1)]);
    }

    #[test]
    fn a_node_keeps_a_slot_per_stretch_of_octets() {
        let runs = Runs::flatten(vec![
            Entry { start: 0x0a00_0000_u32, bits: 8, value: 1 },
            Entry { start: 0x0a00_0080, bits: 25, value: 2 },
            Entry { start: 0x0a00_00ff, bits: 32, value: 3 },
        ]);
        let table = Table::from_runs(&runs);
        assert_eq!((table.nodes.len(), table.slots.len()), (1, 3));
        let id = |key: u32| table.get(u128::from(key) << 96);
        assert_eq!([0x0a00_007f, 0x0a00_0080, 0x0a00_00fe, 0x0a00_00ff, 0x0a00_0100].map(id), [1, 2, 2, 3, 1]);
    }

    #[test]
    fn the_last_key_of_the_space_is_found() {
        let table = Table::from_runs(&Runs::flatten(vec![Entry { start: u128::MAX, bits: 128, value: 5 }]));
        assert_eq!((table.get(u128::MAX), table.get(u128::MAX - 1)), (5, 0));
    }
}
