//! Counters since the begin of a flow: `octetTotalCount` and its kin, which RFC 7011 calls totals.
//!
//! A flow that is exported several times tells the same octets again with each record. Their sum would be more than
//! passed, so each record becomes what was added since the one before it of the same flow. A flow of one record, and the
//! first record of any, stays as it is.
//!
//! A flow is what has the same key: the fields of addresses, ports and the like, and its start if the template has one. A
//! total below the one before is of a late record where the start says that the flow is the same, and of a new flow where
//! nothing does. One of four octets may also have begun anew at zero, which takes 34 s at 1 Gbit/s: that is so if it is ahead
//! by less than half of its range then, and the flow's other counter did not fall.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashMap;
use helios_common::columns::{BYTES, Col, Column, PACKETS};
use helios_common::exporter::Address;
use helios_common::flow::FlowBatch;
use helios_common::ie::{Ie, REVERSE_PEN};

use crate::decode::records::Records;
use crate::decode::template::Field;

/// Flows of one worker that are remembered at the most, in two tables of half as many: 13 MiB, which the budget of decoding
/// state is charged. When the younger one is full, the older one is forgotten, and when the budget has no room for a larger
/// table as well. A flow whose records are farther apart than that counts anew.
pub(crate) const MAX_WORKER_TOTALS: usize = 1 << 18;

/// Flows that a session over TCP remembers, however many sessions there are.
pub(crate) const MIN_SESSION_TOTALS: usize = 64;

/// `octetTotalCount`, `postOctetTotalCount`, `layer2OctetTotalCount`; `packetTotalCount`, `postPacketTotalCount`.
const BYTE_TOTALS: [u16; 3] = [85, 171, 353];
const PACKET_TOTALS: [u16; 2] = [86, 172];

/// Elements by which a flow begins: beside them, its key does not come again for another flow.
const STARTS: [u16; 6] = [22, 148, 150, 152, 154, 156];

/// Elements that stay the same for as long as a flow lasts: protocol, type of service, ports, addresses, the interface
/// of entry, flow label, MAC addresses, VLANs, direction, ICMP, VRF, what NAT makes of addresses and ports, overlay.
#[rustfmt::skip]
const KEYS: [u16; 41] = [
    4, 5, 7, 8, 10, 11, 12, 27, 28, 31, 32, 44, 45, 56, 57, 58, 61, 80, 81, 139, 169, 170, 176, 177, 178, 179, 180, 181, 182,
    183, 195, 225, 226, 227, 228, 234, 239, 243, 281, 282, 351,
];

/// The elements that fill the columns of volume of a template.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chosen {
    bytes: bool,
    packets: bool,
    reverse: bool,
}

impl Chosen {
    /// Takes note of an element that fills a column.
    pub(super) fn note(&mut self, element: Ie, column: Column) {
        let is_total = |totals: &[u16]| [0, REVERSE_PEN].contains(&element.pen) && totals.contains(&element.id);
        if column == BYTES.column() {
            self.bytes = is_total(&BYTE_TOTALS);
            self.reverse |= element.pen == REVERSE_PEN;
        } else if column == PACKETS.column() {
            self.packets = is_total(&PACKET_TOTALS);
            self.reverse |= element.pen == REVERSE_PEN;
        }
    }

    /// How the totals of a template are told apart; `None` if it has none, or no key.
    pub(super) fn compile(self, fields: &[Field]) -> Option<Totals> {
        let places = |ids: &[u16]| -> Vec<usize> {
            let is_one = |field: &Field| field.ie.pen == 0 && field.length > 0 && ids.contains(&field.ie.id);
            fields.iter().enumerate().filter(|(_, field)| is_one(field)).map(|(at, _)| at).collect()
        };
        let wraps = |ids: &[u16]| {
            let is_one = |field: &Field| [0, REVERSE_PEN].contains(&field.ie.pen) && ids.contains(&field.ie.id);
            fields.iter().any(|field| is_one(field) && field.length == 4)
        };
        let (starts, mut key) = (places(&STARTS), places(&KEYS));
        let falls = if starts.is_empty() {
            Falls::NewFlow
        } else {
            Falls::Late { bytes_wrap: wraps(&BYTE_TOTALS), packets_wrap: wraps(&PACKET_TOTALS) }
        };
        key.extend(starts);
        let Self { bytes, packets, reverse } = self;
        ((bytes || packets) && !key.is_empty()).then_some(Totals { bytes, packets, reverse, falls, key })
    }
}

/// The totals of a template.
#[derive(Debug, Clone)]
pub struct Totals {
    bytes: bool,
    packets: bool,
    /// Of the other direction than the fields of the key say.
    reverse: bool,
    falls: Falls,
    /// Fields that tell flows apart.
    key: Vec<usize>,
}

/// What a total means that is below the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Falls {
    /// Nothing says that the flow is the same.
    NewFlow,
    /// The flow is the same: the record is late, or a counter of four octets has begun anew at zero.
    Late { bytes_wrap: bool, packets_wrap: bool },
}

/// Whose flows they are.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    pub exporter: Address,
    pub domain: u32,
    pub template: u16,
}

/// The totals of flows as they were told last.
#[derive(Debug)]
pub struct FlowTotals {
    young: Table,
    old: Table,
    hasher: foldhash::quality::RandomState,
    /// Flows of each table.
    max: usize,
    /// Octets that tables may still grow by.
    pub room: usize,
}

/// Flows that a table has room for when it is first used.
const SMALLEST: usize = 3;

/// What a table for so many flows takes: it is never more than seven eighths full, and its slots are a power of two.
fn octets_of(flows: usize) -> usize {
    if flows == 0 { 0 } else { (flows * 8).div_ceil(7).next_power_of_two() * (size_of::<(u64, Counted)>() + 1) + 64 }
}

type Table = HashMap<u64, Counted, foldhash::fast::RandomState>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    bytes: u64,
    packets: u64,
}

impl Counted {
    /// What came since `before`; `None` if a total is below the one before.
    fn since(self, before: Self, falls: Falls) -> Option<Self> {
        let counted = (self.bytes.checked_sub(before.bytes), self.packets.checked_sub(before.packets));
        let (bytes, packets) = match (counted, falls) {
            ((Some(bytes), Some(packets)), _) => (bytes, packets),
            ((None, Some(packets)), Falls::Late { bytes_wrap: true, .. }) => {
                (over_the_wrap(before.bytes, self.bytes)?, packets)
            }
            ((Some(bytes), None), Falls::Late { packets_wrap: true, .. }) => {
                (bytes, over_the_wrap(before.packets, self.packets)?)
            }
            _ => return None,
        };
        Some(Self { bytes, packets })
    }
}

/// How far a counter of four octets is ahead that has begun anew at zero; `None` if it rather is behind.
fn over_the_wrap(before: u64, now: u64) -> Option<u64> {
    const RANGE: u64 = 1 << 32;
    let ahead = (now + RANGE).checked_sub(before)?;
    (ahead < RANGE / 2).then_some(ahead)
}

impl FlowTotals {
    pub fn new(max_flows: usize) -> Self {
        let hasher = foldhash::quality::RandomState::default();
        Self { young: Table::default(), old: Table::default(), hasher, max: (max_flows / 2).max(1), room: usize::MAX }
    }

    /// What was added to a flow since it was told last. Tables grow to their size and are then used again and again.
    fn added(&mut self, key: u64, now: Counted, falls: Falls) -> Counted {
        let young = self.young.get(&key).copied();
        let before = young.or_else(|| self.old.remove(&key));
        let (told, added) = match before {
            None => (now, now),
            Some(before) => match (now.since(before, falls), falls) {
                (Some(added), _) => (now, added),
                (None, Falls::Late { .. }) => (before, Counted::default()),
                (None, Falls::NewFlow) => (now, now),
            },
        };
        if young.is_none() && (self.young.len() >= self.max || !self.may_grow()) {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            if !self.may_grow() {
                // Not even the smaller of both tables: the flow's next record counts as its first.
                return added;
            }
        }
        self.young.insert(key, told);
        added
    }

    /// Whether there is room for a further flow in the younger table. A table that is full takes one twice its size, and both
    /// are there while flows are moved.
    fn may_grow(&mut self) -> bool {
        if self.young.len() < self.young.capacity() {
            return true;
        }
        let grown = octets_of((self.young.capacity() * 2).max(SMALLEST));
        let room = self.room.checked_sub(grown);
        self.room = room.unwrap_or(self.room);
        room.is_some()
    }

    /// Octets on the heap. A table's capacity would not tell them: it leaves out the slots of removed flows.
    pub fn heap_octets(&self) -> usize {
        self.young.allocation_size() + self.old.allocation_size()
    }
}

impl Totals {
    /// Octets on the heap.
    pub fn heap_octets(&self) -> usize {
        self.key.capacity() * size_of::<usize>()
    }

    /// Turns the totals in the open rows that `records` become into what was added.
    pub fn difference<R: Records>(&self, records: &R, scope: Scope, known: &mut FlowTotals, out: &mut FlowBatch) {
        let n = records.len();
        for row in 0..n {
            let at = out.rows() + row;
            let told = |counts: bool, col: Col<u64>, out: &FlowBatch| if counts { out.get(col, at) } else { 0 };
            let now = Counted { bytes: told(self.bytes, BYTES, out), packets: told(self.packets, PACKETS, out) };
            let key = self.key_of(records, row, scope, &known.hasher);
            let added = known.added(key, now, self.falls);
            for (counts, col, value) in [(self.bytes, BYTES, added.bytes), (self.packets, PACKETS, added.packets)] {
                if let (true, Some(place)) = (counts, out.open_slice(col, n).get_mut(row)) {
                    *place = value;
                }
            }
        }
    }

    fn key_of<R: Records>(
        &self,
        records: &R,
        row: usize,
        scope: Scope,
        hasher: &foldhash::quality::RandomState,
    ) -> u64 {
        let mut hash = hasher.build_hasher();
        hash.write(&scope.exporter);
        hash.write_u32(scope.domain);
        hash.write_u16(scope.template);
        hash.write_u8(u8::from(self.reverse));
        for &field in &self.key {
            let octets = records.octets(row, field);
            hash.write_u8(octets.len() as u8);
            hash.write(octets);
        }
        hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::ie::iana;

    /// A flow with a start, and counters of eight octets.
    const LATE: Falls = Falls::Late { bytes_wrap: false, packets_wrap: false };

    fn counted(bytes: u64) -> Counted {
        Counted { bytes, packets: bytes / 100 }
    }

    #[test]
    fn a_flow_that_comes_again_tells_what_was_added() {
        let mut known = FlowTotals::new(8);
        let added: Vec<u64> = [1000, 1500, 1500, 4000].map(|bytes| known.added(1, counted(bytes), LATE).bytes).into();
        assert_eq!(added, [1000, 500, 0, 2500], "the last total was 4000");
        assert_eq!(known.added(2, counted(700), LATE).bytes, 700, "another flow");
    }

    #[test]
    fn a_total_that_falls_is_late_or_of_a_new_flow() {
        let mut known = FlowTotals::new(8);
        let told = [1000, 3000, 2000, 4000];
        assert_eq!(told.map(|bytes| known.added(1, counted(bytes), LATE).bytes), [1000, 2000, 0, 1000]);
        assert_eq!(told.map(|bytes| known.added(2, counted(bytes), Falls::NewFlow).bytes), [1000, 2000, 2000, 2000]);
    }

    /// RFC 7011 §6.2: four octets instead of eight hold a total of up to 4 GiB.
    #[test]
    fn a_total_of_four_octets_begins_anew_at_zero_within_its_flow() {
        const WRAPS: Falls = Falls::Late { bytes_wrap: true, packets_wrap: true };
        const TOP: u64 = 1 << 32;
        let told = |bytes: u64, packets: u64| Counted { bytes: bytes % TOP, packets: packets % TOP };
        let mut known = FlowTotals::new(8);
        let records = [(TOP - 2000, 10), (TOP + 500, 12), (TOP + 1500, 13), (2 * TOP + 7, 20)];
        let added = records.map(|(bytes, packets)| known.added(1, told(bytes, packets), WRAPS));
        assert_eq!(added.map(|added| added.bytes), [TOP - 2000, 2500, 1000, 0], "a whole range later nothing tells");
        let packets = [(1000, TOP - 1), (2000, TOP + 1)];
        let added = packets.map(|(bytes, packets)| known.added(2, told(bytes, packets), WRAPS));
        assert_eq!((added[1].bytes, added[1].packets), (1000, 2));
        // Both are below: the record is late, wherever the counters stand.
        let late = [(TOP - 2000, 10), (500, 9), (TOP - 1000, 11)];
        let added = late.map(|(bytes, packets)| known.added(3, told(bytes, packets), WRAPS));
        assert_eq!(added.map(|added| added.bytes), [TOP - 2000, 0, 1000]);
        // Eight octets do not wrap.
        let fallen = [(TOP - 2000, 10), (500, 12)];
        let added = fallen.map(|(bytes, packets)| known.added(4, told(bytes, packets), LATE));
        assert_eq!(added.map(|added| added.bytes), [TOP - 2000, 0]);
    }

    #[test]
    fn flows_are_bounded_and_the_busy_ones_stay() {
        let mut known = FlowTotals::new(200);
        for key in 0..10_000 {
            assert_eq!(known.added(key, counted(100), LATE), counted(100));
            assert_eq!(known.added(u64::MAX, counted(key * 100), LATE).bytes, if key == 0 { 0 } else { 100 });
            assert!(known.young.len() + known.old.len() <= 200);
        }
    }

    #[test]
    fn without_room_the_tables_do_not_grow_and_what_is_known_stays_known() {
        let mut known = FlowTotals::new(1 << 18);
        known.room = octets_of(1000);
        for key in 0..100_000 {
            known.added(key, counted(100), LATE);
            assert!(known.heap_octets() <= 2 * octets_of(1000), "{} at {key}", known.heap_octets());
        }
        assert_eq!(known.added(99_999, counted(300), LATE).bytes, 200, "the latest flows are remembered");
        let mut none = FlowTotals { room: 0, ..FlowTotals::new(1 << 18) };
        assert_eq!([100, 300].map(|bytes| none.added(1, counted(bytes), LATE).bytes), [100, 300]);
        assert_eq!(none.heap_octets(), 0);
    }

    #[test]
    fn every_pair_of_total_and_delta_is_known() {
        let field = |id| Field { ie: iana(id), length: 4 };
        for (id, column, is_total) in [
            (1, BYTES, false),
            (85, BYTES, true),
            (23, BYTES, false),
            (171, BYTES, true),
            (352, BYTES, false),
            (353, BYTES, true),
            (231, BYTES, false),
            (2, PACKETS, false),
            (86, PACKETS, true),
            (24, PACKETS, false),
            (172, PACKETS, true),
            (298, PACKETS, false),
        ] {
            let mut chosen = Chosen::default();
            chosen.note(iana(id), column.column());
            assert_eq!(chosen.compile(&[field(8), field(id)]).is_some(), is_total, "{id}");
        }
    }
}
