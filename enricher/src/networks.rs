//! Networks by routing table, flattened: which network holds an address in which VRF.
//!
//! Longest match counts within a VRF. Where several sources have the same prefix their values are laid over each other,
//! the earlier source first. An address that no network of its VRF holds belongs to the global table, unless it is of
//! private space, which means something else in every VRF.

use hashbrown::HashMap;
use helios_common::names::{NO_NAME, NameId, Names};

use crate::inventory::{Network, Vrf};
use crate::lookup::Entries;
use crate::lookup::runs::Runs;
use helios_common::prefix::Prefix;

/// Ranges that mean the same everywhere, by the IANA special-purpose registries (RFC 6890) and RFC 5771, RFC 4291.
const WELL_KNOWN: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this-network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "cgnat"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.2.0/24", "documentation"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("255.255.255.255/32", "broadcast"),
    ("::1/128", "loopback"),
    ("64:ff9b::/96", "nat64"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

/// Those of them that every VRF has for itself (RFC 1918, RFC 6598, RFC 4193, RFC 3927, RFC 4291 §2.5.6).
const PER_VRF: &[&str] = &["private", "cgnat", "link-local"];

/// Networks of one routing table; values are positions in [`NetworkTables::networks`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flat {
    /// 0 where no network holds an IPv4 address.
    pub v4: Runs<u32>,
    /// 0 where no network holds an IPv6 address.
    pub v6: Runs<u128>,
}

/// All routing tables.
#[derive(Debug)]
pub struct NetworkTables {
    /// The first one stands for no network.
    pub networks: Vec<Network>,
    /// The table of networks without a VRF, with the well-known ranges underneath.
    pub global: Flat,
    /// Tables of the VRFs, by the numbers that [`vrf`](Self::vrf) gives.
    pub vrfs: Vec<Flat>,
    numbers: HashMap<NameId, u16, foldhash::fast::RandomState>,
}

impl NetworkTables {
    /// Flattens networks; of the same prefix in the same VRF the later one counts more. VRFs are known by their name and
    /// by their route distinguisher.
    pub fn new(networks: &[Network], vrfs: &[Vrf], names: &Names) -> Self {
        let mut tables = Self {
            networks: vec![Network::new(Prefix::ALL_IPV6)],
            global: Flat::default(),
            vrfs: Vec::new(),
            numbers: HashMap::default(),
        };
        let mut by_vrf: Vec<Prefixes> = vec![Prefixes::default()];
        for vrf in vrfs {
            let number = tables.number(vrf.name, &mut by_vrf);
            if vrf.rd != NO_NAME {
                tables.numbers.entry(vrf.rd).or_insert(number);
            }
        }
        for network in networks.iter().rev() {
            let number = tables.number(network.vrf, &mut by_vrf);
            if let Some(prefixes) = by_vrf.get_mut(usize::from(number)) {
                tables.add(prefixes, network, names);
            }
        }
        for (number, prefixes) in by_vrf.iter_mut().enumerate() {
            let ranges = WELL_KNOWN.iter().filter(|(_, name)| number == 0 || PER_VRF.contains(name));
            for (prefix, name) in ranges {
                let prefix = prefix.parse().expect("the table of ranges holds prefixes");
                tables.add(prefixes, &Network { name: names.intern(name), ..Network::new(prefix) }, names);
            }
        }
        let mut flat = by_vrf.into_iter().map(flatten);
        tables.global = flat.next().unwrap_or_default();
        tables.vrfs = flat.collect();
        tables
    }

    /// The number of a VRF that may be new; 0 is the global table.
    fn number(&mut self, name: NameId, by_vrf: &mut Vec<Prefixes>) -> u16 {
        if name == NO_NAME {
            return 0;
        }
        let next = by_vrf.len().min(usize::from(u16::MAX)) as u16;
        let number = *self.numbers.entry(name).or_insert(next);
        if usize::from(number) == by_vrf.len() {
            by_vrf.push(Prefixes::default());
        }
        number
    }

    fn add(&mut self, prefixes: &mut Prefixes, network: &Network, names: &Names) {
        let id = *prefixes.entry(network.prefix).or_insert(self.networks.len() as u32);
        match self.networks.get_mut(id as usize) {
            Some(known) => known.fill(network),
            None => {
                let name = match network.name {
                    NO_NAME => names.intern(&network.prefix.to_string()),
                    name => name,
                };
                self.networks.push(Network { name, ..*network });
            }
        }
    }

    /// The number of the VRF with this name or route distinguisher: its position in `vrfs`, plus 1.
    pub fn vrf(&self, name: NameId) -> Option<u16> {
        self.numbers.get(&name).copied()
    }

    /// The numbers of all VRFs, for whoever keeps them longer than the tables.
    pub fn into_numbers(self) -> HashMap<NameId, u16, foldhash::fast::RandomState> {
        self.numbers
    }
}

type Prefixes = HashMap<Prefix, u32, foldhash::fast::RandomState>;

fn flatten(prefixes: Prefixes) -> Flat {
    let mut entries = Entries::default();
    for (prefix, id) in prefixes {
        entries.push(prefix, id);
    }
    Flat { v4: Runs::flatten(entries.v4), v6: Runs::flatten(entries.v6) }
}

#[cfg(test)]
mod tests;
