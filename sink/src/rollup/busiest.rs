//! The busiest hosts, pairs of hosts and services of every exporter, and what every exporter had in all.
//!
//! A network has more hosts than anybody wants to keep for months. So each side has a table of fixed size, small enough
//! to stay in a core's cache, in whose sets of eight a newcomer displaces the least of the eight once it has worn that
//! one down: as in the algorithm of Misra and Gries, whoever has much of a set's traffic is in it at the end.
//! What is counted for a host is exact from the moment on at which it came in, so that sums are lower bounds; the exact
//! total of the exporter is a row as well, and says how much is missing.
//!
//! Of what is in the tables at the end of a block, a number of the busiest goes to ClickHouse: see [`Busiest::finish`].

use std::cmp::Reverse;
use std::ops::Range;

use helios_common::columns::{DST_ADDR, DST_PORT, EXPORTER_NAME, PROTO, SRC_ADDR, SRC_PORT};
use helios_common::exporter::Address;
use helios_common::flow::FlowBatch;
use helios_common::names::{NO_NAME, NameId};

use super::keyed::numbers;
use super::{MINUTE_MS, Measures, Sums, part};
use crate::schema::rollup::{Side, TALKERS_PER_EXPORTER};

/// Sets of a table, and entries of a set: 8,192 entries of 64 octets, beside which the tables of the other sides and
/// the rows themselves have room in the second cache.
const SETS: usize = 1024;
const WAYS: usize = 8;

/// Rows that are looked at together: what is read of them stays in a core's first cache.
const AT_ONCE: usize = 256;

/// A side lists at most this share of a block's rows, all exporters together, and one exporter this share of its own...
const ROWS_PER_LISTED: u64 = 16;

/// ...but a block of few rows may list so many.
const LISTED_AT_LEAST: u64 = 200;

/// IP protocols with ports.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

/// What a row is about.
#[derive(Debug, Clone, Copy, Default, Eq)]
pub(crate) struct Talker {
    pub host: Address,
    pub peer: Address,
    /// Number of the exporter's minute: see [`Busiest::totals`].
    pub total: u32,
}

impl PartialEq for Talker {
    /// All words at once: nobody can predict a branch for each of them.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let differ = |a: Address, b: Address| u128::from_ne_bytes(a) ^ u128::from_ne_bytes(b);
        let total = u128::from(self.total ^ other.total);
        differ(self.host, other.host) | differ(self.peer, other.peer) | total == 0
    }
}

impl Talker {
    /// A service, in the room of an address.
    fn service(total: u32, proto: u8, port: u16) -> Self {
        let mut host = Address::default();
        [host[0], host[1], host[2]] = [proto, (port >> 8) as u8, port as u8];
        Self { host, total, ..Self::default() }
    }

    /// Protocol and port of a service.
    pub(crate) fn proto_and_port(&self) -> (u8, u16) {
        let [proto, high, low, ..] = self.host;
        (proto, u16::from(high) << 8 | u16::from(low))
    }
}

/// A minute of an exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Total {
    pub minute: u32,
    pub exporter: NameId,
    pub sums: Sums,
}

impl Total {
    /// The begin of the minute, in Unix milliseconds.
    pub(crate) fn time(&self) -> i64 {
        i64::from(self.minute) * MINUTE_MS
    }
}

/// What a block has of busy hosts.
#[derive(Debug)]
pub(crate) struct Busiest {
    pub totals: Vec<Total>,
    /// Totals by minute and exporter, with open addressing: number + 1. As long as a power of two.
    places: Vec<u32>,
    /// Of [`Side::LISTED`].
    tables: [Table; Side::LISTED.len()],
    numbers: Numbers,
    /// Memory for the rows that are looked at together.
    rows: Vec<Row>,
    found: Vec<u8>,
    /// Memory for choosing: number of the total, entry.
    order: Vec<(u32, u32)>,
}

/// What counts of a row.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// In the order of [`Side::LISTED`].
    hashes: [u64; Side::LISTED.len()],
    src: Address,
    dst: Address,
    total: u32,
    proto: u8,
    port: u16,
    sums: Sums,
}

impl Row {
    /// What the row is about on a side of [`Side::LISTED`].
    #[inline]
    fn talker(&self, side: Side) -> Talker {
        let Self { src, dst, total, proto, port, .. } = *self;
        match side {
            Side::Src => Talker { host: src, total, ..Talker::default() },
            Side::Dst => Talker { host: dst, total, ..Talker::default() },
            Side::Pair => Talker { host: src, peer: dst, total },
            Side::Service | Side::Total => Talker::service(total, proto, port),
        }
    }
}

/// One side.
#[derive(Debug)]
struct Table {
    sets: Vec<Set>,
    entries: Vec<Entry>,
    /// Entries that are not free.
    used: Vec<u32>,
}

/// What decides over the entries of a set, so that most rows of unknown talkers need not look at these.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Set {
    /// Of every entry some bits of its hash; 0 is free.
    tags: [u32; WAYS],
    /// Octets that others have to bring until the entry has to go, about; [`FREE`] where there is none.
    worth: [f32; WAYS],
}

/// Less than any entry is worth.
const FREE: f32 = -1.0;

impl Default for Set {
    fn default() -> Self {
        Self { tags: [0; WAYS], worth: [FREE; WAYS] }
    }
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Entry {
    talker: Talker,
    sums: Sums,
}

impl Busiest {
    pub(crate) fn new() -> Self {
        Self {
            totals: Vec::new(),
            places: vec![0; 64],
            tables: std::array::from_fn(|_| Table::new()),
            numbers: Numbers::new(),
            rows: Vec::new(),
            found: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Adds the rows `from..to`.
    pub(crate) fn add(&mut self, batch: &FlowBatch, from: usize, to: usize, measures: &Measures) {
        for begin in (from..to).step_by(AT_ONCE) {
            self.add_some(batch, from, begin..to.min(begin + AT_ONCE), measures);
        }
    }

    /// Adds `rows` of a batch; `measures` begin with the row `first`.
    fn add_some(&mut self, batch: &FlowBatch, first: usize, rows: Range<usize>, measures: &Measures) {
        self.read(batch, first, rows, measures);
        let Self { tables, rows, found, .. } = self;
        for (at, (side, table)) in Side::LISTED.into_iter().zip(tables).enumerate() {
            let talkers = || rows.iter().map(|row| (row.hashes[at], row.talker(side)));
            // No look waits for another one or depends on a branch, so that memory is asked for many of them at a time.
            found.clear();
            found.extend(talkers().map(|(hash, talker)| table.look(hash, &talker)));
            for ((row, (hash, talker)), &way) in rows.iter().zip(talkers()).zip(found.iter()) {
                table.add(hash, talker, row.sums, way);
            }
        }
    }

    /// Reads what counts of the rows into `self.rows`, and adds it to the totals.
    fn read(&mut self, batch: &FlowBatch, first: usize, rows: Range<usize>, measures: &Measures) {
        let (from, to) = (rows.start, rows.end);
        let exporters = part(batch.values(EXPORTER_NAME), from, to);
        let (sources, targets) = (part(batch.values(SRC_ADDR), from, to), part(batch.values(DST_ADDR), from, to));
        let protos = part(batch.values(PROTO), from, to);
        let ports = (part(batch.values(SRC_PORT), from, to), part(batch.values(DST_PORT), from, to));
        let mut known = (u32::MAX, NO_NAME, 0);
        self.rows.clear();
        for row in 0..to - from {
            let measured = from - first + row;
            if !measures.counts[measured] {
                continue;
            }
            let minute = measures.minutes[measured];
            let exporter = at(exporters, row);
            if (known.0, known.1) != (minute, exporter) {
                known = (minute, exporter, self.total(minute, exporter));
            }
            let total = known.2;
            let sums = Sums { bytes: measures.bytes[measured], packets: measures.packets[measured], flows: 1 };
            self.totals[total as usize].sums.add(sums.bytes, sums.packets);
            let (src, dst, proto) = (at(sources, row), at(targets, row), at(protos, row));
            let port = service_port(proto, at(ports.0, row), at(ports.1, row));
            let hashes = self.numbers.of(&src, &dst, total, proto, port);
            self.rows.push(Row { hashes, src, dst, total, proto, port, sums });
        }
    }

    /// The number of an exporter's minute.
    fn total(&mut self, minute: u32, exporter: NameId) -> u32 {
        if self.places.len() <= 2 * self.totals.len() {
            let length = 2 * self.places.len();
            self.places.clear();
            self.places.resize(length, 0);
            for number in 0..self.totals.len() {
                let Total { minute, exporter, .. } = self.totals[number];
                let place = self.place(minute, exporter);
                self.places[place] = number as u32 + 1;
            }
        }
        let place = self.place(minute, exporter);
        if self.places[place] == 0 {
            self.totals.push(Total { minute, exporter, sums: Sums::default() });
            self.places[place] = self.totals.len() as u32;
        }
        self.places[place] - 1
    }

    /// Where the number of an exporter's minute is, or would be.
    fn place(&self, minute: u32, exporter: NameId) -> usize {
        let mask = self.places.len() - 1;
        let mut at = mixed(u64::from(minute) << 32 | u64::from(exporter), self.numbers.total) as usize & mask;
        loop {
            let Some(number) = self.places[at].checked_sub(1) else { return at };
            let total = &self.totals[number as usize];
            if (total.minute, total.exporter) == (minute, exporter) {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    /// Hands every row out, by side and exporter, and begins anew. Of each side a minute of an exporter lists as many as a
    /// sixteenth of its flows, at most [`TALKERS_PER_EXPORTER`]: so an exporter's hosts are listed by how much it tells of
    /// them, and rows cost ClickHouse a fraction of what the flows do. Where a block has few rows or exporters, there is
    /// room for more.
    pub(crate) fn finish(&mut self, mut row: impl FnMut(&Total, Side, &Talker, Sums)) {
        for total in &self.totals {
            row(total, Side::Total, &Talker::default(), total.sums);
        }
        let flows: u64 = self.totals.iter().map(|total| total.sums.flows).sum();
        let room = (flows / ROWS_PER_LISTED).max(LISTED_AT_LEAST);
        let at_least = room / (self.totals.len() as u64).max(1);
        for (side, table) in Side::LISTED.into_iter().zip(&mut self.tables) {
            table.by_total(self.totals.len(), &mut self.order);
            for candidates in self.order.chunk_by_mut(|a, b| a.0 == b.0) {
                let total = &self.totals[candidates[0].0 as usize];
                let quota = (total.sums.flows / ROWS_PER_LISTED).max(at_least).min(u64::from(TALKERS_PER_EXPORTER));
                let quota = candidates.len().min(quota as usize);
                if (1..candidates.len()).contains(&quota) {
                    let busier = |(_, entry): &(u32, u32)| Reverse(table.entries[*entry as usize].sums.bytes);
                    candidates.select_nth_unstable_by_key(quota - 1, busier);
                }
                for &(_, entry) in &candidates[..quota] {
                    let Entry { talker, sums, .. } = &table.entries[entry as usize];
                    row(total, side, talker, *sums);
                }
            }
            table.clear();
        }
        self.totals.clear();
        self.places.fill(0);
    }
}

impl Table {
    fn new() -> Self {
        Self { sets: vec![Set::default(); SETS], entries: vec![Entry::default(); SETS * WAYS], used: Vec::new() }
    }

    /// The way of a talker in its set, [`WAYS`] if it is not there.
    #[inline]
    fn look(&self, hash: u64, talker: &Talker) -> u8 {
        let at = set(hash);
        let way = self.sets[at].way(tag(hash));
        // Some entry is compared in any case. A tag that two talkers share is as rare as one in 2^31.
        let entry = &self.entries[at * WAYS + way % WAYS];
        if way < WAYS && entry.talker == *talker { way as u8 } else { WAYS as u8 }
    }

    /// Adds a row of a talker that was in `way` of its set a short time ago, see [`Table::look`]: others may have
    /// displaced it, or it may have come in since then.
    #[inline]
    fn add(&mut self, hash: u64, talker: Talker, sums: Sums, mut way: u8) {
        let at = set(hash);
        if usize::from(way) == WAYS || self.entries[at * WAYS + usize::from(way)].talker != talker {
            way = self.look(hash, &talker);
        }
        let (set, way) = (&mut self.sets[at], usize::from(way));
        if way < WAYS {
            self.entries[at * WAYS + way].sums.merge(sums);
            set.worth[way] += sums.bytes as f32;
            return;
        }
        let (way, worth) = set.least();
        if worth > sums.bytes as f32 {
            set.worth[way] = worth - sums.bytes as f32;
            return;
        }
        if set.tags[way] == 0 {
            self.used.push((at * WAYS + way) as u32);
        }
        set.tags[way] = tag(hash);
        set.worth[way] = sums.bytes as f32;
        self.entries[at * WAYS + way] = Entry { talker, sums };
    }

    /// The entries that are used, by number of their total, of which there are so many.
    fn by_total(&self, totals: usize, order: &mut Vec<(u32, u32)>) {
        let mut ends = vec![0_usize; totals + 1];
        let of = |entry: &u32| self.entries[*entry as usize].talker.total;
        self.used.iter().for_each(|entry| ends[of(entry) as usize + 1] += 1);
        (0..totals).for_each(|total| ends[total + 1] += ends[total]);
        order.clear();
        order.resize(self.used.len(), (0, 0));
        for entry in &self.used {
            let end = &mut ends[of(entry) as usize];
            order[*end] = (of(entry), *entry);
            *end += 1;
        }
    }

    fn clear(&mut self) {
        self.used.drain(..).for_each(|entry| self.sets[entry as usize / WAYS] = Set::default());
    }
}

/// The number of the set that a talker is in.
fn set(hash: u64) -> usize {
    hash as usize % SETS
}

/// What a set keeps of a hash. Zero would be free.
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

impl Set {
    /// The first way with this tag, [`WAYS`] if there is none. All at once: which of them it is cannot be predicted.
    #[inline]
    fn way(&self, tag: u32) -> usize {
        let found =
            self.tags.iter().enumerate().fold(0_u32, |found, (way, known)| found | u32::from(*known == tag) << way);
        (found | 1 << WAYS).trailing_zeros() as usize
    }

    /// The entry that is worth least, and what it is worth.
    #[inline]
    fn least(&self) -> (usize, f32) {
        let lesser = |a: f32, b: f32| if a < b { a } else { b };
        let [a, b, c, d, e, f, g, h] = self.worth;
        let (a, b, c, d) = (lesser(a, e), lesser(b, f), lesser(c, g), lesser(d, h));
        let least = lesser(lesser(a, c), lesser(b, d));
        let found =
            self.worth.iter().enumerate().fold(0_u32, |found, (way, worth)| found | u32::from(*worth == least) << way);
        ((found | 1 << (WAYS - 1)).trailing_zeros() as usize, least)
    }
}

/// Random numbers by which talkers are hashed. Entries are compared with the whole talker, so that a hash has to spread
/// them and no more.
#[derive(Debug)]
struct Numbers {
    address: [u64; 2],
    peer: u64,
    total: u64,
}

impl Numbers {
    fn new() -> Self {
        let [high, low, peer, total] = numbers();
        Self { address: [high, low], peer, total }
    }

    /// Hashes of a row's talkers, in the order of [`Side::LISTED`].
    #[inline]
    fn of(&self, src: &Address, dst: &Address, total: u32, proto: u8, port: u16) -> [u64; Side::LISTED.len()] {
        let Self { address, peer, total: number } = *self;
        let (src, dst) = (of_address(src, address), of_address(dst, address));
        let total = u64::from(total) + 1;
        let service = total << 32 | u64::from(proto) << 16 | u64::from(port);
        [
            mixed(src ^ total, number),
            mixed(dst ^ total, number),
            mixed(src ^ number ^ total, dst.rotate_left(32) ^ peer),
            mixed(service, number),
        ]
    }
}

/// Both halves of a product in one: every bit of it depends on every bit of either factor.
#[inline]
fn mixed(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn of_address(address: &Address, [high, low]: [u64; 2]) -> u64 {
    let octets = u128::from_be_bytes(*address);
    mixed((octets >> 64) as u64 ^ high, octets as u64 ^ low)
}

/// The port that says what a flow is for: the lower one, since clients take theirs from the upper range.
fn service_port(proto: u8, a: u16, b: u16) -> u16 {
    match WITH_PORTS.contains(&proto) {
        true if a.min(b) > 0 => a.min(b),
        true => a.max(b),
        false => 0,
    }
}

#[inline]
fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}
