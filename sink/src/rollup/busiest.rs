//! The busiest hosts, pairs of hosts and services of every exporter, and what every exporter had in all.
//!
//! A network has more hosts than anybody wants to keep for months. So each side has a table of fixed size, small enough
//! to stay in a core's cache. Sample and hold (Estan and Varghese) decides who may come in: while a table is half empty every row
//! may bring its host, later a row with a probability that grows with its octets, so that most rows of unknown hosts cost a look
//! at eight octets. In a full set of eight, a newcomer displaces the least of the eight once it has worn that one down, as in the
//! algorithm of Misra and Gries: whoever has much of a set's traffic is in it at the end. What is counted for a host is exact
//! from the moment on at which it came in, so that sums are lower bounds; the exact total of the exporter is a row as well, and
//! says how much is missing.
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

/// Sets of a table, and entries of a set, one octet of a word each: 8,192 entries of 32 octets, beside which the tables of the
/// other sides and the rows themselves have room in the second cache. The words of all sides fit into the first.
const SETS: usize = 1024;
const WAYS: usize = 8;

/// Entries of a table from which on rows of unknown talkers are sampled.
const ROOMY: usize = SETS * WAYS / 2;

/// A row is sampled for sure that has this share of the block's octets so far, and others in proportion. With twice the room of a
/// table, what is listed differs from that without sampling by less than a hundredth of the octets.
const SAMPLED: f32 = 1.0 / (2 * SETS * WAYS) as f32;

/// Rows that are looked at together: what is read of them stays in a core's first cache.
const AT_ONCE: usize = 256;

/// A side lists at most this share of a block's rows, all exporters together, and one exporter this share of its own...
const ROWS_PER_LISTED: u64 = 16;

/// ...but a block of few rows may list so many.
const LISTED_AT_LEAST: u64 = 200;

/// IP protocols with ports.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

/// What a row is about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Talker {
    pub host: Address,
    pub peer: Address,
    /// Number of the exporter's minute: see [`Busiest::totals`].
    pub total: u32,
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
    /// Octets of the block so far.
    octets: u64,
    /// State of the generator that samples (Marsaglia's xorshift).
    random: u64,
    /// Memory for the rows that are looked at together.
    rows: Rows,
    found: Vec<u8>,
    /// Memory for choosing: number of the total, entry.
    order: Vec<(u32, u32)>,
}

/// What counts of rows, column by column.
#[derive(Debug, Default)]
struct Rows {
    /// Of each side in the order of [`Side::LISTED`].
    hashes: [Vec<u64>; Side::LISTED.len()],
    /// Places in the batch.
    places: Vec<u32>,
    totals: Vec<u32>,
    protos: Vec<u8>,
    ports: Vec<u16>,
    sums: Vec<Sums>,
    /// Whether a talker that is not known may come in.
    sampled: Vec<bool>,
}

impl Rows {
    fn clear(&mut self) {
        self.hashes.iter_mut().for_each(Vec::clear);
        self.places.clear();
        self.totals.clear();
        self.protos.clear();
        self.ports.clear();
        self.sums.clear();
        self.sampled.clear();
    }

    /// What a row is about on a side of [`Side::LISTED`].
    fn talker(&self, side: Side, row: usize, (sources, targets): (&[Address], &[Address])) -> Talker {
        let (place, total) = (self.places[row] as usize, self.totals[row]);
        let (src, dst) = (at(sources, place), at(targets, place));
        match side {
            Side::Src => Talker { host: src, total, ..Talker::default() },
            Side::Dst => Talker { host: dst, total, ..Talker::default() },
            Side::Pair => Talker { host: src, peer: dst, total },
            Side::Service | Side::Total => Talker::service(total, self.protos[row], self.ports[row]),
        }
    }
}

/// One side. An entry is its talker's by a hash of 64 bits, whose numbers nobody knows: that two talkers of a block share one is
/// as rare as one block in 10^9.
#[derive(Debug)]
struct Table {
    /// Of every set, an octet of each entry's hash; 0 is free.
    tags: Vec<u64>,
    entries: Vec<Entry>,
    /// Octets that others have brought in vain against each entry.
    worn: Vec<f32>,
    talkers: Vec<Talker>,
    /// Entries that are not free.
    used: Vec<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
struct Entry {
    hash: u64,
    sums: Sums,
}

impl Busiest {
    pub(crate) fn new() -> Self {
        Self {
            totals: Vec::new(),
            places: vec![0; 64],
            tables: std::array::from_fn(|_| Table::new()),
            numbers: Numbers::new(),
            octets: 0,
            random: numbers::<1>()[0],
            rows: Rows::default(),
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
        let (from, to) = (rows.start, rows.end);
        let ends = (part(batch.values(SRC_ADDR), from, to), part(batch.values(DST_ADDR), from, to));
        self.read(batch, first, rows, measures);
        self.hash(ends);
        let Self { tables, rows, found, .. } = self;
        for ((side, table), hashes) in Side::LISTED.into_iter().zip(tables).zip(&rows.hashes) {
            // No look waits for another one or depends on a branch, so that memory is asked for many of them at a time.
            found.clear();
            found.extend(hashes.iter().map(|&hash| table.look(hash)));
            let roomy = table.used.len() < ROOMY;
            for (row, (&hash, &way)) in hashes.iter().zip(found.iter()).enumerate() {
                if table.add(hash, rows.sums[row], way) {
                    continue;
                }
                if roomy || rows.sampled[row] {
                    table.come(hash, rows.talker(side, row, ends), rows.sums[row]);
                }
            }
        }
    }

    /// Reads what counts of the rows into `self.rows`, and adds it to the totals.
    fn read(&mut self, batch: &FlowBatch, first: usize, rows: Range<usize>, measures: &Measures) {
        let (from, to) = (rows.start, rows.end);
        let exporters = part(batch.values(EXPORTER_NAME), from, to);
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
            let sampled = self.sample(sums.bytes);
            let proto = at(protos, row);
            let rows = &mut self.rows;
            rows.places.push(row as u32);
            rows.totals.push(total);
            rows.protos.push(proto);
            rows.ports.push(service_port(proto, at(ports.0, row), at(ports.1, row)));
            rows.sums.push(sums);
            rows.sampled.push(sampled);
        }
    }

    /// Whether a row of so many octets may bring a talker that is not known.
    #[inline]
    fn sample(&mut self, octets: u64) -> bool {
        self.octets = self.octets.saturating_add(octets);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        // From 0 on and less than 1, in as many steps as a float tells apart.
        let chance = (self.random >> 40) as f32 / (1_u32 << 24) as f32;
        octets as f32 >= self.octets as f32 * SAMPLED * chance
    }

    /// Hashes what the rows that were read are about.
    fn hash(&mut self, (sources, targets): (&[Address], &[Address])) {
        let Self { rows: Rows { hashes, places, totals, protos, ports, .. }, numbers, .. } = self;
        let [src, dst, pair, service] = hashes;
        for (((&place, &total), &proto), &port) in places.iter().zip(&*totals).zip(&*protos).zip(&*ports) {
            let (source, target) = (at(sources, place as usize), at(targets, place as usize));
            let of_row = numbers.of(&source, &target, total, proto, port);
            src.push(of_row[0]);
            dst.push(of_row[1]);
            pair.push(of_row[2]);
            service.push(of_row[3]);
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
                    let entry = entry as usize;
                    row(total, side, &table.talkers[entry], table.entries[entry].sums);
                }
            }
            table.clear();
        }
        self.totals.clear();
        self.places.fill(0);
        self.octets = 0;
    }
}

impl Table {
    fn new() -> Self {
        Self {
            tags: vec![0; SETS],
            entries: vec![Entry::default(); SETS * WAYS],
            worn: vec![0.0; SETS * WAYS],
            talkers: vec![Talker::default(); SETS * WAYS],
            used: Vec::new(),
        }
    }

    /// The first way of a talker's set that has its tag, [`WAYS`] if there is none.
    #[inline]
    fn look(&self, hash: u64) -> u8 {
        let found = zeros(self.tags[set(hash)] ^ tag(hash).wrapping_mul(ONES));
        (found.trailing_zeros() / u8::BITS) as u8
    }

    /// The entry of a talker.
    fn seek(&self, hash: u64) -> Option<usize> {
        let at = set(hash);
        let mut found = zeros(self.tags[at] ^ tag(hash).wrapping_mul(ONES));
        while found != 0 {
            let entry = at * WAYS + (found.trailing_zeros() / u8::BITS) as usize;
            if self.entries[entry].hash == hash {
                return Some(entry);
            }
            found &= found - 1;
        }
        None
    }

    /// Adds a row of a talker, if it is there. `way` is what [`Table::look`] found a short time ago: others may have displaced it
    /// since then.
    #[inline]
    fn add(&mut self, hash: u64, sums: Sums, way: u8) -> bool {
        if usize::from(way) == WAYS {
            return false;
        }
        let mut entry = set(hash) * WAYS + usize::from(way);
        if self.entries[entry].hash != hash {
            let Some(found) = self.seek(hash) else { return false };
            entry = found;
        }
        self.entries[entry].sums.merge(sums);
        true
    }

    /// Adds a row of a talker that was not there a short time ago, and lets it in if that is worth it.
    #[inline(never)]
    fn come(&mut self, hash: u64, talker: Talker, sums: Sums) {
        if let Some(entry) = self.seek(hash) {
            self.entries[entry].sums.merge(sums);
            return;
        }
        let at = set(hash);
        let free = zeros(self.tags[at]);
        let way = match free {
            0 => {
                let (way, worth) = self.least(at);
                if worth > sums.bytes as f32 {
                    self.worn[at * WAYS + way] += sums.bytes as f32;
                    return;
                }
                way
            }
            free => {
                let way = (free.trailing_zeros() / u8::BITS) as usize;
                self.used.push((at * WAYS + way) as u32);
                way
            }
        };
        let shift = u8::BITS * way as u32;
        self.tags[at] = self.tags[at] & !(0xff << shift) | tag(hash) << shift;
        let entry = at * WAYS + way;
        self.worn[entry] = 0.0;
        self.talkers[entry] = talker;
        self.entries[entry] = Entry { hash, sums };
    }

    /// The way of a full set that is worth least, and what it is worth: octets that others have to bring until it has to go.
    fn least(&self, set: usize) -> (usize, f32) {
        let entries = set * WAYS..(set + 1) * WAYS;
        let worth = self.entries[entries.clone()].iter().zip(&self.worn[entries]);
        let worth = worth.map(|(entry, worn)| entry.sums.bytes as f32 - worn).enumerate();
        worth.reduce(|least, other| if other.1 < least.1 { other } else { least }).unwrap_or_default()
    }

    /// The entries that are used, by number of their total, of which there are so many.
    fn by_total(&self, totals: usize, order: &mut Vec<(u32, u32)>) {
        let mut ends = vec![0_usize; totals + 1];
        let of = |entry: &u32| self.talkers[*entry as usize].total;
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
        self.used.drain(..).for_each(|entry| self.tags[entry as usize / WAYS] = 0);
    }
}

/// The number of the set that a talker is in.
#[inline]
fn set(hash: u64) -> usize {
    hash as usize % SETS
}

/// What a set keeps of a hash. Zero would be free.
#[inline]
fn tag(hash: u64) -> u64 {
    (hash >> 56).max(1)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The highest bit of every octet that is zero; above the first of them, of others as well.
#[inline]
fn zeros(octets: u64) -> u64 {
    octets.wrapping_sub(ONES) & !octets & HIGH_BITS
}

/// Random numbers by which talkers are hashed.
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
        // Small numbers are spread over all bits: of some factors the product would not have them in the number of the set.
        let total = (u64::from(total) + 1).wrapping_mul(SPREAD);
        let service = total ^ (u64::from(proto) << 16 | u64::from(port));
        [
            mixed(src ^ total, number),
            mixed(dst ^ total, number),
            mixed(src ^ number ^ total, dst.rotate_left(32) ^ peer),
            mixed(service, number),
        ]
    }
}

/// An odd number without a pattern: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of a product in one.
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
