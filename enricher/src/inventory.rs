//! What is known of the network: devices with their interfaces, networks, VRFs, wherever that is written down.
//!
//! Every source (NetBox, a file, a web server, Prometheus) is read into an [`Inventory`] of its own, with strings
//! interned at once. [`merge`] lays them over each other, field by field: the source that comes first counts, later
//! ones fill what it leaves empty. The result remembers which source each value came from, for
//! `helios check --explain`.

pub mod merge;

use helios_common::exporter::Address;
use helios_common::names::{NO_NAME, NameId};

use crate::hits::SourceSet;
use helios_common::prefix::Prefix;

/// What one source says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Earlier ones take precedence where two claim an address.
    pub devices: Vec<Device>,
    /// In any order, of all routing tables.
    pub networks: Vec<Network>,
    /// VRFs that the source names, also those without networks.
    pub vrfs: Vec<Vrf>,
    /// Names of autonomous systems, by their numbers.
    pub as_names: Vec<(u32, NameId)>,
}

impl Inventory {
    /// Entries of all kinds, interfaces included: the size that metrics show.
    pub fn len(&self) -> usize {
        let interfaces: usize = self.devices.iter().map(|device| device.interfaces.len()).sum();
        self.devices.len() + interfaces + self.networks.len() + self.vrfs.len() + self.as_names.len()
    }

    /// Whether the source says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A device that may export flows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// [`NO_NAME`] from a source that knows addresses only: such an entry adds to the device with the address.
    pub name: NameId,
    /// Site of the device; [`NO_NAME`] if the source does not know it, as in the three below.
    pub site: NameId,
    /// Region that holds the site.
    pub region: NameId,
    /// Role of the device, such as `edge`.
    pub role: NameId,
    /// Tenant that the device belongs to.
    pub tenant: NameId,
    /// Addresses that the device may export from: primary ones first, then those of its interfaces, those of a VRF last.
    pub addresses: Vec<Address>,
    /// How many of them are primary: those go before interface addresses of other devices.
    pub primary: usize,
    /// How many of them are of a VRF: global ones of other devices go before, since VRFs use the same space again.
    pub in_vrf: usize,
    /// In any order.
    pub interfaces: Vec<Interface>,
}

impl Device {
    /// Primary addresses, other global ones, and those of a VRF: the order in which addresses are claimed.
    pub fn by_claim(&self) -> [&[Address]; 3] {
        let (primary, others) = self.addresses.split_at(self.primary.min(self.addresses.len()));
        let (global, in_vrf) = others.split_at(others.len().saturating_sub(self.in_vrf));
        [primary, global, in_vrf]
    }
}

/// An interface of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interface {
    /// ifIndex (RFC 2863); 0 where the source does not know it.
    pub index: u32,
    /// ifName, or what the source calls the interface.
    pub name: NameId,
    /// The operator's text (ifAlias).
    pub description: NameId,
    /// Bits per second; 0 where the source does not know it.
    pub speed: u64,
    /// Role of the interface; [`NO_NAME`] if the source does not know it.
    pub role: NameId,
}

/// A network with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// IPv4 or IPv6, host bits zero.
    pub prefix: Prefix,
    /// Name of the VRF; [`NO_NAME`] for the global table.
    pub vrf: NameId,
    /// Column `src_network` or `dst_network`. [`NO_NAME`] here and below: the source does not know it.
    pub name: NameId,
    /// Site that uses the network.
    pub site: NameId,
    /// Role of the network, such as `servers`.
    pub role: NameId,
    /// Tenant that the network belongs to.
    pub tenant: NameId,
    /// ISO 3166-1 alpha-2.
    pub country: NameId,
    /// AS number of the network's addresses; 0 if the source does not know it.
    pub asn: u32,
    /// The sources that know it. Merging the inventories fills this in.
    pub sources: SourceSet,
}

impl Network {
    /// A network of which nothing is known but that it exists.
    pub fn new(prefix: Prefix) -> Self {
        Self {
            prefix,
            vrf: NO_NAME,
            name: NO_NAME,
            site: NO_NAME,
            role: NO_NAME,
            tenant: NO_NAME,
            country: NO_NAME,
            asn: 0,
            sources: SourceSet::default(),
        }
    }
}

impl Network {
    /// Takes over what this network leaves empty.
    pub fn fill(&mut self, other: &Self) {
        self.sources = self.sources.with(other.sources);
        let fields = [
            (&mut self.name, other.name),
            (&mut self.site, other.site),
            (&mut self.role, other.role),
            (&mut self.tenant, other.tenant),
            (&mut self.country, other.country),
            (&mut self.asn, other.asn),
        ];
        for (mine, theirs) in fields {
            if *mine == 0 {
                *mine = theirs;
            }
        }
    }
}

/// A routing table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vrf {
    /// What [`Network::vrf`] refers to.
    pub name: NameId,
    /// Route distinguisher as text; exporters may call the VRF by it.
    pub rd: NameId,
}

/// The form in which names of interfaces are compared when they are not equal: `GigabitEthernet0/1`, `Gi0/1` and
/// `gi0/1` are the same port. Two letters and everything from the first digit on are what vendors' short forms keep.
///
/// `None` for a name without a number, which no short form can be told from.
pub fn canonical(name: &str) -> Option<u64> {
    let digit = name.find(|c: char| c.is_ascii_digit())?;
    let (kind, number) = name.split_at_checked(digit)?;
    let letters = kind.bytes().filter(u8::is_ascii_alphabetic).take(2).map(|letter| letter.to_ascii_lowercase());
    let octets = letters.chain(std::iter::once(b' ')).chain(number.bytes());
    // FNV-1a, 64 bits: names are compared within one device only.
    Some(octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_names_of_a_port_are_the_same() {
        let same = [
            ("GigabitEthernet0/0/1", "Gi0/0/1"),
            ("TenGigE0/0/0/1", "te0/0/0/1"),
            ("Ethernet1/1", "Eth1/1"),
            ("Loopback0", "lo0"),
            ("xe-0/0/0.100", "XE-0/0/0.100"),
        ];
        for (long, short) in same {
            assert_eq!(canonical(long), canonical(short), "{long} and {short}");
        }
        assert_ne!(canonical("GigabitEthernet0/1"), canonical("TenGigabitEthernet0/1"));
        assert_ne!(canonical("Gi0/1"), canonical("Gi0/10"));
        assert_eq!(canonical("mgmt"), None);
    }
}
