//! Traffic by minute and all dimensions of `flows_1m`: exact, a row for every combination that a block has.

use helios_common::columns::{Column, ColumnData, ColumnKind};
use helios_common::flow::FlowBatch;

use super::keyed::{folded, numbers, word};
use super::{MINUTE_MS, Measures, ROWS_AT_ONCE, Sums, part};
use crate::schema::rollup::dimensions;

/// The most words of 64 bits that a key has: two columns of numbers or names share one, and so do eight octets.
const WORDS: usize = 16;

/// Slots of an empty table, a power of two. It doubles when more than half of them are taken.
const SLOTS: usize = 1 << 12;

/// Bits of a slot that are of the hash; the others have room for all rows of a block.
const TAG: u64 = !0 << 32;

/// The groups of one block.
#[derive(Debug)]
pub(crate) struct Minutes {
    /// The dimensions' columns, and what the groups hold in them.
    pub keys: Vec<(Column, ColumnData)>,
    /// Begin of the groups' minutes, in Unix milliseconds.
    pub times: Vec<i64>,
    pub groups: Vec<Group>,
    /// Groups by hash, with open addressing: bits of the hash, and number + 1. As long as a power of two.
    slots: Vec<u64>,
    numbers: [u64; WORDS],
    scratch: Scratch,
}

/// A combination of dimensions, known by its hash, and its sums beside it: one look into memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    hash: [u64; 2],
    pub sums: Sums,
}

/// Memory for the rows that are looked at together.
#[derive(Debug, Default)]
struct Scratch {
    hashes: Vec<u128>,
    /// The group in the first slot that is looked at, and whether its key is the row's.
    met: Vec<(u32, bool)>,
    /// Narrow columns side by side.
    narrow: Vec<u64>,
    /// The first row of each new group.
    fresh: Vec<u32>,
}

impl Minutes {
    pub(crate) fn new() -> Self {
        let keys = dimensions().map(|column| (column, ColumnData::new(column.spec().kind))).collect();
        Self {
            keys,
            times: Vec::new(),
            groups: Vec::new(),
            slots: vec![0; SLOTS],
            numbers: numbers(),
            scratch: Scratch::default(),
        }
    }

    /// Groups so far.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Adds the rows `from..to`, at most [`ROWS_AT_ONCE`].
    pub(crate) fn add(&mut self, batch: &FlowBatch, from: usize, to: usize, measures: &Measures) {
        debug_assert!(to - from <= ROWS_AT_ONCE);
        self.hash(batch, from, to, measures);
        while self.slots.len() < 2 * (self.len() + to - from) {
            self.grow();
        }
        self.scratch.fresh.clear();
        self.meet();
        for row in 0..to - from {
            if measures.counts[row] {
                let group = self.group(row, measures);
                self.groups[group].sums.add(measures.bytes[row], measures.packets[row]);
            }
        }
        for (column, values) in &mut self.keys {
            gather(values, batch.data(*column), from, &self.scratch.fresh);
        }
    }

    /// The group of a row, a new one if there is none.
    #[inline]
    fn group(&mut self, row: usize, measures: &Measures) -> usize {
        let (group, is_same) = self.scratch.met[row];
        if is_same {
            return group as usize;
        }
        let hash = self.scratch.hashes[row];
        self.find(row, halves(hash), folded(hash), measures)
    }

    /// Looks at the first slot of every row, and at its group. No look waits for another one or depends on a branch, so
    /// that memory is asked for many of them at a time.
    fn meet(&mut self) {
        let Self { slots, groups, scratch: Scratch { hashes, met, .. }, .. } = self;
        met.clear();
        // An empty slot looks like the first group, whose key is compared like any other.
        met.extend(hashes.iter().map(|&hash| {
            let slot = slots[folded(hash) as usize & (slots.len() - 1)];
            (number(slot).unwrap_or(0) as u32, false)
        }));
        if groups.is_empty() {
            return;
        }
        for ((group, is_same), &hash) in met.iter_mut().zip(hashes.iter()) {
            let [low, high] = groups[*group as usize].hash;
            let [row_low, row_high] = halves(hash);
            *is_same = (low ^ row_low) | (high ^ row_high) == 0;
        }
    }

    fn find(&mut self, row: usize, hash: [u64; 2], folded: u64, measures: &Measures) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = folded as usize & mask;
        while let Some(group) = number(self.slots[at]) {
            if is_tagged(self.slots[at], folded) && self.groups[group].hash == hash {
                return group;
            }
            at = (at + 1) & mask;
        }
        let group = self.groups.len();
        self.slots[at] = slot(folded, group);
        self.groups.push(Group { hash, sums: Sums::default() });
        self.times.push(i64::from(measures.minutes[row]) * MINUTE_MS);
        self.scratch.fresh.push(row as u32);
        group
    }

    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(length, 0);
        for (group, Group { hash: [low, high], .. }) in self.groups.iter().enumerate() {
            let folded = folded(u128::from(*low) | u128::from(*high) << 64);
            let mut at = folded as usize & (length - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (length - 1);
            }
            self.slots[at] = slot(folded, group);
        }
    }

    /// Hashes the rows' keys, column by column.
    fn hash(&mut self, batch: &FlowBatch, from: usize, to: usize, measures: &Measures) {
        let Self { keys, numbers, scratch: Scratch { hashes, narrow, .. }, .. } = self;
        let (rows, mut numbers) = (to - from, numbers.iter());
        let mut number = || *numbers.next().expect("a key of the declared dimensions has fewer words");
        hashes.clear();
        hashes.resize(rows, 0);
        narrow.clear();
        narrow.extend(measures.minutes.iter().map(|&minute| u64::from(minute)));
        let (mut bits, mut wide) = (u32::BITS, None);
        for (column, _) in keys.iter() {
            let (octets, shorts) = match batch.data(*column) {
                ColumnData::U32(values) => {
                    let values = part(values, from, to);
                    match wide.take() {
                        None => wide = Some(values),
                        Some(other) => add_pairs(hashes, other, values, number()),
                    }
                    continue;
                }
                ColumnData::U8(values) => (part(values, from, to), &[][..]),
                ColumnData::U16(values) => (&[][..], part(values, from, to)),
                other => unreachable!("a dimension holds {other:?}: see `dimensions`"),
            };
            let width = if let ColumnKind::U16 = column.spec().kind { u16::BITS } else { u8::BITS };
            if bits + width > u64::BITS {
                add_words(hashes, narrow, number());
                narrow.clear();
                narrow.resize(rows, 0);
                bits = 0;
            }
            narrow.iter_mut().zip(octets).for_each(|(word, &value)| *word |= u64::from(value) << bits);
            narrow.iter_mut().zip(shorts).for_each(|(word, &value)| *word |= u64::from(value) << bits);
            bits += width;
        }
        add_words(hashes, narrow, number());
        if let Some(last) = wide {
            add_pairs(hashes, last, &[], number());
        }
    }

    /// Forgets all groups; keeps their memory, unless this block had far fewer of them than others before.
    pub(crate) fn clear(&mut self) {
        let (groups, wanted) = (self.len(), (self.len() * 4).next_power_of_two().max(SLOTS));
        self.slots.clear();
        self.slots.truncate(wanted);
        if self.slots.capacity() > 4 * wanted {
            self.slots.shrink_to(wanted);
        }
        self.slots.resize(wanted, 0);
        let most = 4 * groups.max(SLOTS);
        empty(&mut self.groups, most);
        empty(&mut self.times, most);
        for (_, values) in &mut self.keys {
            match values {
                ColumnData::U8(values) => empty(values, most),
                ColumnData::U16(values) => empty(values, most),
                ColumnData::U32(values) => empty(values, most),
                other => unreachable!("a dimension holds {other:?}: see `dimensions`"),
            }
        }
    }
}

fn halves(hash: u128) -> [u64; 2] {
    [hash as u64, (hash >> 64) as u64]
}

fn slot(folded: u64, group: usize) -> u64 {
    (folded & TAG) | (group as u64 + 1)
}

fn is_tagged(slot: u64, folded: u64) -> bool {
    (slot ^ folded) & TAG == 0
}

/// The group in a slot.
fn number(slot: u64) -> Option<usize> {
    (slot & !TAG).checked_sub(1).map(|group| group as usize)
}

fn empty<T>(values: &mut Vec<T>, most: usize) {
    values.clear();
    values.shrink_to(most);
}

/// Adds two columns to the rows' hashes. Either may lack, which is as if it were zero.
fn add_pairs(hashes: &mut [u128], a: &[u32], b: &[u32], number: u64) {
    let rows = hashes.iter_mut();
    match (a.is_empty(), b.is_empty()) {
        (true, true) => {}
        (false, true) => rows.zip(a).for_each(|(hash, &a)| add(hash, u64::from(a), number)),
        (true, false) => rows.zip(b).for_each(|(hash, &b)| add(hash, u64::from(b) << 32, number)),
        (false, false) => {
            for ((hash, &a), &b) in rows.zip(a).zip(b) {
                add(hash, u64::from(a) | u64::from(b) << 32, number);
            }
        }
    }
}

fn add_words(hashes: &mut [u128], words: &[u64], number: u64) {
    hashes.iter_mut().zip(words).for_each(|(hash, &word)| add(hash, word, number));
}

#[inline]
fn add(hash: &mut u128, value: u64, number: u64) {
    *hash = hash.wrapping_add(word(value, number));
}

/// Appends the values of some rows after `from`; a column that the batch lacks is zero.
fn gather(into: &mut ColumnData, of: &ColumnData, from: usize, rows: &[u32]) {
    match (into, of) {
        (ColumnData::U8(into), ColumnData::U8(of)) => gather_values(into, of, from, rows),
        (ColumnData::U16(into), ColumnData::U16(of)) => gather_values(into, of, from, rows),
        (ColumnData::U32(into), ColumnData::U32(of)) => gather_values(into, of, from, rows),
        (into, of) => unreachable!("{of:?} goes to {into:?}: see `dimensions`"),
    }
}

fn gather_values<T: Copy + Default>(into: &mut Vec<T>, of: &[T], from: usize, rows: &[u32]) {
    into.extend(rows.iter().map(|&row| of.get(from + row as usize).copied().unwrap_or_default()));
}
