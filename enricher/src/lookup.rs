//! Flattened prefix tables: the record id of the longest prefix that holds an address.
//!
//! Longest match is decided once, when a table is built: nested prefixes become disjoint runs ([`runs`]), the runs
//! become a table ([`table`]) in which an address finds its id with one load, or with one more per octet where
//! prefixes end deeper than 24 bits. A reload builds a new table; nothing is ever changed in place.
//!
//! IPv4 and IPv6 have a table each. An IPv4 address is looked up in its own table whether it came as `a.b.c.d` or
//! mapped as `::ffff:a.b.c.d`, which is how every column holds it; `::/0` holds IPv6 addresses only.

pub mod runs;
pub mod table;

use helios_common::exporter::Address;
use helios_common::prefix::Prefix;

use runs::{Entry, Runs};
use table::Table;

/// Addresses per pass. Their ids and the table lines that they touch stay in the first-level cache for the passes
/// that gather columns by them.
pub const CHUNK: usize = 1024;

/// From address to record id. Id 0 means that no prefix holds the address.
#[derive(Debug, Clone)]
pub struct PrefixTable {
    v4: Table,
    v6: Table,
    carried: bool,
}

impl PrefixTable {
    /// Builds the table of prefixes in any order. Of two equal prefixes the later one counts.
    ///
    /// Ids are below [`table::MAX_ID`].
    pub fn from_prefixes(prefixes: impl IntoIterator<Item = (Prefix, u32)>) -> Self {
        let mut entries = Entries::default();
        for (prefix, id) in prefixes {
            entries.push(prefix, id);
        }
        Self::from_runs(&Runs::flatten(entries.v4), &Runs::flatten(entries.v6))
    }

    pub(crate) fn from_runs(v4: &Runs<u32>, v6: &Runs<u128>) -> Self {
        Self { v4: Table::from_runs(v4), v6: Table::from_runs(v6), carried: false }
    }

    /// Looks 6to4 addresses (`2002:a.b.c.d::/48`, RFC 3056 §2) up by the IPv4 address that they carry.
    ///
    /// For what is true of a host wherever its traffic runs, such as the place of its IPv4 address. Teredo is not
    /// taken apart: the address at its front is the server's, not the host's.
    pub fn with_carried_ipv4(mut self) -> Self {
        self.carried = true;
        self
    }

    /// Writes the id of each address; `ids` is as long as `addresses`.
    ///
    /// Two passes per [`CHUNK`]: the first loads of all addresses are under way together before the few that go
    /// deeper depend on theirs. A single pass took 1.1 to 1.2 times as long on IPv4 addresses. A list of the rows that go
    /// deeper, written without a branch and taken level by level, took 1.1 times as long where networks nest: the place
    /// in the list follows from what every load before it brought.
    pub fn lookup(&self, addresses: &[Address], ids: &mut [u32]) {
        debug_assert_eq!(addresses.len(), ids.len());
        for (addresses, ids) in addresses.chunks(CHUNK).zip(ids.chunks_mut(CHUNK)) {
            for (address, id) in addresses.iter().zip(ids.iter_mut()) {
                let (table, key) = self.place(address);
                *id = table.first(key);
            }
            for (address, id) in addresses.iter().zip(ids.iter_mut()) {
                if table::is_node(*id) {
                    let (table, key) = self.place(address);
                    *id = table.deeper(*id, key);
                }
            }
        }
    }

    /// The id of one address.
    pub fn get(&self, address: Address) -> u32 {
        let (table, key) = self.place(&address);
        table.get(key)
    }

    /// The table that an address belongs to, and its key there: the bits that count first.
    #[inline(always)]
    fn place(&self, address: &Address) -> (&Table, u128) {
        let key = u128::from_be_bytes(*address);
        if key >> 32 == 0xffff {
            (&self.v4, key << 96)
        } else if self.carried && key >> 112 == 0x2002 {
            (&self.v4, key << 16)
        } else {
            (&self.v6, key)
        }
    }

    /// The runs that the table was built from: the way back, for building the next table from a part of this one.
    pub fn runs(&self) -> (Runs<u32>, Runs<u128>) {
        (self.v4.runs(), self.v6.runs())
    }

    /// Memory that the table occupies, in bytes.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}

/// Prefixes by family, in any order.
#[derive(Debug, Default)]
pub struct Entries {
    /// IPv4 prefixes.
    pub v4: Vec<Entry<u32>>,
    /// IPv6 prefixes.
    pub v6: Vec<Entry<u128>>,
}

impl Entries {
    pub(crate) fn push(&mut self, prefix: Prefix, value: u32) {
        match prefix.ipv4() {
            Some((start, bits)) => self.v4.push(Entry { start, bits, value }),
            None => self.v6.push(Entry { start: prefix.start(), bits: prefix.bits(), value }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::exporter::{NO_ADDRESS, address_of};
    use proptest::prelude::*;

    fn table(prefixes: &[(&str, u32)]) -> PrefixTable {
        PrefixTable::from_prefixes(prefixes.iter().map(|&(prefix, id)| (prefix.parse().unwrap(), id)))
    }

    fn id(table: &PrefixTable, address: &str) -> u32 {
        table.get(address_of(address.parse().unwrap()))
    }

    #[test]
    fn the_longest_prefix_counts_whatever_the_order() {
        let table = table(&[("10.1.2.128/25", 3), ("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.2.129/32", 4)]);
        let ids = ["10.9.9.9", "10.1.9.9", "10.1.2.130", "10.1.2.129", "10.1.2.127", "11.0.0.0"].map(|a| id(&table, a));
        assert_eq!(ids, [1, 2, 3, 4, 2, 0]);
    }

    #[test]
    fn of_two_equal_prefixes_the_later_one_counts() {
        assert_eq!(id(&table(&[("10.0.0.0/8", 1), ("10.0.0.0/8", 2)]), "10.0.0.1"), 2);
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let table = table(&[("192.0.2.0/24", 7), ("::ffff:198.51.100.0/120", 8), ("::/0", 9)]);
        assert_eq!(id(&table, "::ffff:192.0.2.1"), 7);
        assert_eq!(id(&table, "198.51.100.1"), 8);
        assert_eq!(id(&table, "203.0.113.1"), 0, "the IPv6 default route does not hold IPv4 addresses");
        assert_eq!(table.get(NO_ADDRESS), 9);
    }

    #[test]
    fn only_a_table_that_asks_for_it_looks_into_6to4_addresses() {
        let plain = table(&[("192.0.2.0/24", 7), ("2002::/16", 1)]);
        assert_eq!(id(&plain, "2002:c000:0201::1"), 1);
        let carried = plain.with_carried_ipv4();
        assert_eq!(id(&carried, "2002:c000:0201:ffff::1"), 7);
        assert_eq!(id(&carried, "2002:c000:0301::1"), 0);
    }

    #[test]
    fn a_small_table_occupies_little_memory() {
        let table = table(&[("192.0.2.0/24", 1), ("192.0.2.9/32", 2), ("2001:db8::/32", 3), ("2001:db8:1::/48", 4)]);
        assert!(table.bytes() < 100 << 10, "{} bytes", table.bytes());
    }

    /// Prefixes that crowd into few octets, so that they nest, touch and repeat.
    fn prefixes() -> impl Strategy<Value = Vec<(Prefix, u32)>> {
        let octet = || prop::sample::select(vec![0_u8, 1, 2, 127, 128, 255]);
        let v4 = (prop::array::uniform4(octet()), 0_u8..=32)
            .prop_map(|(octets, bits)| Prefix::new(octets.into(), bits).unwrap());
        let v6 = (prop::array::uniform16(octet()), 0_u8..=128)
            .prop_map(|(octets, bits)| Prefix::new(octets.into(), bits).unwrap());
        prop::collection::vec((prop_oneof![v4, v6], 0_u32..50), 0..40)
    }

    /// Where longest match can go wrong: the ends of every prefix and their neighbours.
    fn edges(prefixes: &[(Prefix, u32)]) -> Vec<Address> {
        let mut keys = vec![0, u128::MAX, 0xffff_0000_0000, 0xffff_ffff_ffff];
        for (prefix, _) in prefixes {
            let (first, last) = (prefix.start(), prefix.last());
            keys.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1), first + (last - first) / 2]);
        }
        keys.into_iter().map(u128::to_be_bytes).collect()
    }

    /// The definition: of all prefixes of its family that hold the address the longest, the later of two equal.
    fn longest_match(prefixes: &[(Prefix, u32)], address: Address) -> u32 {
        let holding = prefixes.iter().filter(|(prefix, _)| prefix.holds(address));
        holding.max_by_key(|(prefix, _)| prefix.bits()).map_or(0, |&(_, id)| id)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_table_agrees_with_a_plain_longest_match(prefixes in prefixes()) {
            let table = PrefixTable::from_prefixes(prefixes.iter().copied());
            let addresses = edges(&prefixes);
            let mut ids = vec![u32::MAX; addresses.len()];
            table.lookup(&addresses, &mut ids);
            for (&address, &id) in addresses.iter().zip(&ids) {
                prop_assert_eq!(id, longest_match(&prefixes, address), "{:?}", address);
                prop_assert_eq!(id, table.get(address));
            }
        }
    }

    proptest! {
        // Reading a table back walks all of its root.
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn a_table_gives_its_runs_back(prefixes in prefixes()) {
            let mut entries = Entries::default();
            prefixes.iter().for_each(|&(prefix, id)| entries.push(prefix, id));
            let (v4, v6) = (Runs::flatten(entries.v4), Runs::flatten(entries.v6));
            prop_assert_eq!(PrefixTable::from_runs(&v4, &v6).runs(), (v4, v6));
        }
    }
}
