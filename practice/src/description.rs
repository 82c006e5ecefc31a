//! The one description of the network that everything else follows from: a YAML file, or one that is made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::tree::native;

/// Sites, devices and the links between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub sites: Vec<Site>,
    pub devices: Vec<Device>,
    pub links: Vec<Link>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Site {
    pub name: String,
    pub region: String,
    pub tenant: String,
}

/// A router or switch. It sends flows from its address, and answers gNMI and SNMP there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Device {
    pub name: String,
    pub site: String,
    pub role: String,
    pub platform: String,
    pub manufacturer: String,
    /// Of 127.0.0.0/8, or ::1. A device with ::1 sends flows to a collector with an IPv6 address only.
    pub address: IpAddr,
    pub asn: u32,
    pub interfaces: Vec<Interface>,
}

/// Position + 1 in the device's list is its ifIndex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interface {
    pub name: String,
    pub speed_mbps: u64,
    pub description: String,
    pub address: Option<Ipv4Addr>,
    /// Whose traffic begins and ends here; `None` for a link between two devices.
    #[serde(default)]
    pub edge: Option<Edge>,
}

impl Device {
    /// The id of BGP and OSPF, which is of 32 bits: the address, or for ::1 the autonomous system.
    pub(crate) fn router_id(&self) -> Ipv4Addr {
        match self.address {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => Ipv4Addr::from(self.asn),
        }
    }
}

/// What lies behind an interface that leads out of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edge {
    /// First address of a /24 that hosts are drawn from.
    pub network: Ipv4Addr,
    /// Autonomous system of the hosts; a session of BGP with it where it is not the device's own.
    pub asn: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub a: End,
    pub b: End,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub device: String,
    pub interface: String,
}

/// Names and regions of the sites of a network that is made.
const SITES: [(&str, &str, &str); 10] = [
    ("Zurich", "zrh", "Europe Central"),
    ("London", "lon", "Europe West"),
    ("Stockholm", "sto", "Europe North"),
    ("Madrid", "mad", "Europe West"),
    ("Vienna", "vie", "Europe Central"),
    ("Oslo", "osl", "Europe North"),
    ("Paris", "par", "Europe West"),
    ("Prague", "prg", "Europe Central"),
    ("Helsinki", "hel", "Europe North"),
    ("Milan", "mil", "Europe South"),
];

/// Networks behind transit interfaces (RFC 5737) and the systems that sell it (RFC 5398).
const TRANSITS: [(Ipv4Addr, u32); 2] =
    [(Ipv4Addr::new(198, 51, 100, 0), 64_496), (Ipv4Addr::new(203, 0, 113, 0), 64_497)];

/// Fewer make no network; more do not fit into the addresses that [`Description::generated`] gives.
pub(crate) const DEVICES: std::ops::RangeInclusive<usize> = 4..=2_000;

/// A description that describes no network.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Mistake(String);

impl Description {
    /// A network of so many devices: sites in a ring, each with two core routers, one or two edges with transit, and access
    /// switches. Every second access switch is of a platform that is asked by SNMP, the edges of every second site are of
    /// one that has a native model. `base` is the second octet of the first site's addresses.
    pub(crate) fn generated(devices: usize, base: u8) -> Self {
        let n_sites = (devices / 4).clamp(1, SITES.len());
        let mut made = Self { sites: Vec::new(), devices: Vec::new(), links: Vec::new() };
        for (at, (name, _, region)) in SITES.iter().enumerate().take(n_sites) {
            let tenant = if at % 3 == 2 { "Retail" } else { "Backbone" };
            made.sites.push(Site { name: (*name).into(), region: (*region).into(), tenant: tenant.into() });
            made.add_site(at, base, devices / n_sites + usize::from(at < devices % n_sites));
        }
        // A ring of two would be the same link twice.
        let n_links = if n_sites > 2 { n_sites } else { n_sites - 1 };
        for at in 0..n_links {
            for core in 1..=2 {
                let name = |at: usize| format!("{}-core-{core}", SITES[at % n_sites].1);
                made.connect(&name(at), &name(at + 1), 10_000);
            }
        }
        made
    }

    fn add_site(&mut self, at: usize, base: u8, n: usize) {
        let short = SITES[at].1;
        let n_edges = if n >= 8 { 2 } else { 1 };
        for number in 0..n {
            let (role, rank) = match number {
                0 | 1 => ("Core", number + 1),
                _ if number < 2 + n_edges => ("Edge", number - 1),
                _ => ("Access", number - 1 - n_edges),
            };
            let (platform, manufacturer) = match role {
                "Access" if rank % 2 == 1 => ("ios-xe", "Cisco"),
                "Edge" if at % 2 == 1 => (native::PLATFORM, "Nokia"),
                _ => ("eos", "Arista"),
            };
            let [.., high, low] = (number as u32 + 1).to_be_bytes();
            self.devices.push(Device {
                name: format!("{short}-{}-{rank}", role.to_lowercase()),
                site: SITES[at].0.into(),
                role: role.into(),
                platform: platform.into(),
                manufacturer: manufacturer.into(),
                address: Ipv4Addr::new(127, base.wrapping_add(at as u8), high, low).into(),
                asn: 65_001 + at as u32,
                interfaces: Vec::new(),
            });
        }
        self.connect(&format!("{short}-core-1"), &format!("{short}-core-2"), 10_000);
        for number in 2..n {
            let device = self.devices.len() - n + number;
            let (name, is_edge) = (self.devices[device].name.clone(), self.devices[device].role == "Edge");
            for core in 1..=2 {
                self.connect(&format!("{short}-core-{core}"), &name, if is_edge { 10_000 } else { 1_000 });
            }
            let edge = match is_edge {
                true => {
                    let (network, asn) = TRANSITS[(at + number) % TRANSITS.len()];
                    Edge { network, asn }
                }
                false => Edge { network: Ipv4Addr::new(10, 20 + at as u8, number as u8, 0), asn: 65_001 + at as u32 },
            };
            self.add_edge(device, edge, is_edge);
        }
    }

    fn add_edge(&mut self, device: usize, edge: Edge, is_transit: bool) {
        let [a, b, c, _] = edge.network.octets();
        let description =
            if is_transit { format!("Transit AS{}", edge.asn) } else { format!("Offices {}/24", edge.network) };
        let address =
            if is_transit { Ipv4Addr::new(192, 0, 2, 2 * (device % 120) as u8 + 1) } else { Ipv4Addr::new(a, b, c, 1) };
        self.add_interface(device, if is_transit { 10_000 } else { 1_000 }, description, Some(address), Some(edge));
    }

    fn add_interface(
        &mut self,
        device: usize,
        speed_mbps: u64,
        description: String,
        address: Option<Ipv4Addr>,
        edge: Option<Edge>,
    ) -> String {
        let device = &mut self.devices[device];
        let number = device.interfaces.len() + 1;
        let name = match device.platform.as_str() {
            "eos" => format!("Ethernet{number}"),
            native::PLATFORM => format!("ethernet-1/{number}"),
            _ => format!("GigabitEthernet1/0/{number}"),
        };
        device.interfaces.push(Interface { name: name.clone(), speed_mbps, description, address, edge });
        name
    }

    /// A link with the next two addresses of 10.255.0.0/16.
    fn connect(&mut self, a: &str, b: &str, speed_mbps: u64) {
        let [.., high, low] = (2 * self.links.len() as u32).to_be_bytes();
        let mut end = |of: &str, to: &str, last: u8| {
            let device = self.devices.iter().position(|device| device.name == of).expect("the device was made");
            let address = Some(Ipv4Addr::new(10, 255, high, low + last));
            End {
                device: of.into(),
                interface: self.add_interface(device, speed_mbps, format!("to {to}"), address, None),
            }
        };
        let link = Link { a: end(a, b, 0), b: end(b, a, 1) };
        self.links.push(link);
    }

    /// Reads a file.
    ///
    /// # Errors
    /// With the first mistake.
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let description: Self = serde_saphyr::from_str(text).map_err(|error| Mistake(error.to_string()))?;
        description.check()?;
        Ok(description)
    }

    /// The file's text.
    pub(crate) fn render(&self) -> String {
        serde_saphyr::to_string(self).expect("a description has no value that YAML lacks")
    }

    fn check(&self) -> Result<(), Mistake> {
        let fail = |text: String| Err(Mistake(text));
        let sites: BTreeSet<&str> = self.sites.iter().map(|site| site.name.as_str()).collect();
        let (mut names, mut addresses) = (BTreeMap::new(), BTreeSet::new());
        for device in &self.devices {
            if names.insert(device.name.as_str(), device).is_some() {
                return fail(format!("two devices are named {}", device.name));
            }
            if !device.address.is_loopback() || !addresses.insert(device.address) {
                return fail(format!(
                    "{}: address {} is neither of 127.0.0.0/8 nor ::1, or another device has it",
                    device.name, device.address
                ));
            }
            if !sites.contains(device.site.as_str()) {
                return fail(format!("{}: there is no site {}", device.name, device.site));
            }
        }
        let mut ends = BTreeSet::new();
        for end in self.links.iter().flat_map(|link| [&link.a, &link.b]) {
            let device = names.get(end.device.as_str());
            if !device.is_some_and(|device| device.interfaces.iter().any(|interface| interface.name == end.interface)) {
                return fail(format!("a link ends at {} {}, which does not exist", end.device, end.interface));
            }
            if !ends.insert(end) {
                return fail(format!("two links end at {} {}", end.device, end.interface));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_network_is_right_and_its_file_reads_back() {
        for devices in [4, 5, 12, 200, 2_000] {
            let made = Description::generated(devices, 20);
            assert_eq!(made.devices.len(), devices);
            assert_eq!(Description::parse(&made.render()).unwrap(), made);
        }
        let usual = Description::generated(12, 20);
        assert_eq!(usual.sites.len(), 3);
        let n_of = |platform: &str| usual.devices.iter().filter(|device| device.platform == platform).count();
        assert_eq!((n_of("ios-xe"), n_of("srlinux"), n_of("eos")), (3, 1, 8));
    }

    #[test]
    fn mistakes_are_named() {
        let mut made = Description::generated(4, 20);
        made.links[0].a.interface = "Ethernet99".into();
        assert!(
            Description::parse(&made.render()).unwrap_err().to_string().contains("Ethernet99, which does not exist")
        );
        made = Description::generated(4, 20);
        made.devices[1].address = made.devices[0].address;
        assert!(Description::parse(&made.render()).unwrap_err().to_string().contains("another device has it"));
    }
}
