//! Exporters: devices that send flow messages, interned to small ids.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, RwLock};

use hashbrown::HashMap;

use crate::names::{NameId, Names};

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

/// Exporters beyond this many share one id and lose their own name, not their flows.
///
/// A spoofing sender could otherwise grow every table that is indexed by exporter. 64 k is eight times the
/// largest network that Helios is made for.
pub const MAX_EXPORTERS: usize = 1 << 16;

/// All exporters seen by this process. A lock is taken when a worker meets an exporter for the first time.
#[derive(Debug)]
pub struct Exporters {
    names: Arc<Names>,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    ids: HashMap<Address, ExporterId, foldhash::quality::RandomState>,
    entries: Vec<Entry>,
}

/// What is known of an exporter without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub address: Address,
    /// Where its first datagram came from: for an sFlow agent, which names itself, another address at times.
    pub socket: Address,
    /// The address as text: the name of an exporter that no inventory knows.
    pub address_name: NameId,
}

impl Exporters {
    pub fn new(names: Arc<Names>) -> Self {
        Self { names, table: RwLock::default() }
    }

    /// The id of the exporter at `address`, given out at its first sight.
    ///
    /// When [`MAX_EXPORTERS`] are known, every further one gets the id of the last.
    pub fn intern(&self, address: Address) -> ExporterId {
        self.intern_behind(address, address)
    }

    /// As [`intern`](Self::intern), for an exporter whose datagrams come from the address `socket`.
    pub fn intern_behind(&self, address: Address, socket: Address) -> ExporterId {
        if let Some(&id) = self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner()).ids.get(&address) {
            return id;
        }
        let mut table = self.table.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(&id) = table.ids.get(&address) {
            return id;
        }
        if table.entries.len() >= MAX_EXPORTERS {
            return ExporterId(MAX_EXPORTERS as u32 - 1);
        }
        let id = ExporterId(table.entries.len() as u32);
        let address_name = self.names.intern(&ip_of(address).to_string());
        table.entries.push(Entry { address, socket, address_name });
        table.ids.insert(address, id);
        id
    }

    pub fn get(&self, id: ExporterId) -> Option<Entry> {
        self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner()).entries.get(id.0 as usize).copied()
    }

    /// The entry of an exporter that was seen.
    pub fn at(&self, address: Address) -> Option<Entry> {
        let table = self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        table.entries.get(table.ids.get(&address)?.0 as usize).copied()
    }

    pub fn len(&self) -> usize {
        self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner()).entries.len()
    }

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

    #[test]
    fn exporters_beyond_the_limit_share_the_last_id() {
        let exporters = Exporters::new(Arc::new(Names::new()));
        for n in 0..MAX_EXPORTERS as u128 + 10 {
            exporters.intern(n.to_be_bytes());
        }
        assert_eq!(exporters.len(), MAX_EXPORTERS);
        assert_eq!(exporters.intern([0xfe; 16]), ExporterId(MAX_EXPORTERS as u32 - 1));
    }
}
