//! A network as people keep it in NetBox, drawn from a seed: what is regular in an example is not in one that grew.
//!
//! Devices have no name, no primary address, or IPv6 only; ports are members of link aggregation groups; stacks are a
//! virtual chassis whose first member has the address of them all; VRFs use the same space twice, nested prefixes and
//! IPv6; prefixes belong to a site, a location, a region or to nothing; virtual machines have interfaces and addresses.
//!
//! The tables are the truth that a test compares with. How an object of them looks in the API of one version of NetBox
//! is in `json`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod json;

pub use json::as_description;
pub(super) use json::has_scopes;

/// Objects of one kind by their ids.
pub type Table<T> = BTreeMap<u32, T>;

/// Everything that there is, as an administrator would tell it.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "a table of each kind of NetBox's objects")]
pub struct Network {
    pub regions: Table<Region>,
    pub sites: Table<Site>,
    pub locations: Table<Location>,
    pub tenants: Table<Named>,
    pub vrfs: Table<Vrf>,
    pub asns: Table<u32>,
    pub devices: Table<Device>,
    pub interfaces: Table<Interface>,
    pub machines: Table<Machine>,
    pub machine_interfaces: Table<MachineInterface>,
    pub addresses: Table<Address>,
    pub prefixes: Table<Prefix>,
    /// Sites of racks.
    pub racks: Table<u32>,
    /// The site of the one cluster.
    pub cluster_site: Option<u32>,
    /// New names of objects that have theirs from elsewhere, by list and id: roles, types, manufacturers, stacks.
    pub renamed: BTreeMap<(&'static str, u32), String>,
    /// When an object was changed last, by list and id, in Unix seconds: all others are older than any filter.
    pub changed: BTreeMap<(&'static str, u32), u64>,
}

/// An object that has nothing but a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Named {
    pub name: String,
}

/// A region, which can be a part of another one.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Region {
    pub name: String,
    pub parent: Option<u32>,
}

/// A site and its autonomous systems.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Site {
    pub name: String,
    pub region: Option<u32>,
    pub asns: Vec<u32>,
}

/// A part of a site.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Location {
    pub name: String,
    pub site: u32,
}

/// A VRF with its route distinguisher.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Vrf {
    pub name: String,
    pub rd: Option<String>,
}

/// A device.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Device {
    pub name: Option<String>,
    pub site: u32,
    pub role: &'static str,
    pub tenant: Option<u32>,
    /// Ids of addresses.
    pub primary4: Option<u32>,
    pub primary6: Option<u32>,
    /// The first device of the stack that it is part of, itself included.
    pub master: Option<u32>,
}

/// A port of a device.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Interface {
    pub device: u32,
    pub name: String,
    pub description: String,
    pub kind: &'static str,
    /// The interface that it is a member of.
    pub lag: Option<u32>,
    pub vrf: Option<u32>,
    pub ifindex: Option<u32>,
}

/// A virtual machine.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Machine {
    pub name: String,
    pub site: Option<u32>,
    pub primary4: Option<u32>,
}

/// A port of a virtual machine.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct MachineInterface {
    pub machine: u32,
    pub name: String,
}

/// What an address is configured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub enum On {
    Interface(u32),
    MachineInterface(u32),
    Nothing,
}

/// An IP address and its prefix length in bits.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Address {
    pub address: IpAddr,
    pub bits: u8,
    pub vrf: Option<u32>,
    pub on: On,
}

/// What a prefix belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub enum Scope {
    Site(u32),
    Location(u32),
    Region(u32),
    Nothing,
}

/// A prefix with its length in bits.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields have the names of NetBox's own, without units")]
pub struct Prefix {
    pub network: IpAddr,
    pub bits: u8,
    pub vrf: Option<u32>,
    pub scope: Scope,
    pub role: Option<&'static str>,
    pub tenant: Option<u32>,
}

/// Random numbers that are the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u32) -> u32 {
        (self.draw() % u64::from(n)) as u32
    }

    /// Whether one chance in `n` came.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }
}

const CITIES: [&str; 8] = ["Zürich", "Genève", "Frankfurt", "Milano", "Łódź", "O'Fallon", "São Paulo", "北京"];
const ROLES: [&str; 4] = ["Edge", "Core", "Access", "Firewall"];
const PREFIX_ROLES: [&str; 3] = ["Clients", "Servers", "Transit \"A\""];

impl Network {
    /// A network of about so many devices. Ids have gaps, as those of a database that is in use.
    pub fn generate(seed: u64, devices: u32) -> Self {
        let mut random = Random(seed);
        let mut network = Self::default();
        network.places(&mut random);
        while (network.devices.len() as u32) < devices {
            match random.one_in(8) {
                true => network.stack(&mut random),
                false => drop(network.device(None, 1, &mut random)),
            }
        }
        (0..devices / 4 + 1).for_each(|_| network.machine(&mut random));
        (0..devices * 2 + 8).for_each(|_| network.prefix(&mut random));
        network
    }

    fn places(&mut self, random: &mut Random) {
        let europe = add(&mut self.regions, Region { name: "Europe".into(), parent: None }, random);
        let alps = add(&mut self.regions, Region { name: "Alps".into(), parent: Some(europe) }, random);
        for number in 0..3 {
            add(&mut self.tenants, Named { name: format!("Tenant {number}") }, random);
            add(&mut self.asns, 64_500 + number, random);
            let rd = (number > 0).then(|| format!("64500:{number}"));
            add(&mut self.vrfs, Vrf { name: format!("customer-{number}"), rd }, random);
        }
        for city in CITIES {
            let region = [None, Some(europe), Some(alps)][random.below(3) as usize];
            let asns = self.asns.keys().copied().filter(|_| random.one_in(3)).collect();
            let site = add(&mut self.sites, Site { name: city.into(), region, asns }, random);
            add(&mut self.locations, Location { name: format!("{city} hall 1"), site }, random);
        }
    }

    /// A device with its ports and addresses; `position` is its number in the stack, which is in the names of its ports.
    fn device(&mut self, master: Option<u32>, position: u32, random: &mut Random) -> u32 {
        let sites: Vec<u32> = self.sites.keys().copied().collect();
        let number = self.devices.len();
        let member = master.is_some();
        let name = (member || !random.one_in(12)).then(|| format!("sw{number}-{position}"));
        let tenant = random.one_in(2).then(|| key(&self.tenants, random));
        let (site, role) = (random.pick(&sites), random.pick(&ROLES));
        let device = Device { name, site, role, tenant, primary4: None, primary6: None, master: None };
        let id = add(&mut self.devices, device, random);
        let indexed = random.one_in(2);
        let lag = random.one_in(2).then(|| self.port(id, "ae0".into(), None, indexed.then_some(500), random));
        for port in 0..random.below(6) + 2 {
            let lag = lag.filter(|_| port < 2);
            let index = indexed.then_some(position * 1000 + port);
            let interface = self.port(id, format!("Ethernet{position}/0/{port}"), lag, index, random);
            // The members of a stack are reached by the address of the first one.
            if !member && port > 0 {
                self.address_of_port(id, interface, random);
            }
        }
        id
    }

    fn port(&mut self, device: u32, name: String, lag: Option<u32>, ifindex: Option<u32>, random: &mut Random) -> u32 {
        let kind = match &*name {
            "ae0" => "lag",
            _ => random.pick(&["1000base-t", "10gbase-x-sfpp", "virtual", "100gbase-x-qsfp28"]),
        };
        let description = ["", "Transit: Arelion \\ \"1\"", "to the roof", "Büro"][random.below(4) as usize].to_owned();
        let vrf = random.one_in(6).then(|| key(&self.vrfs, random));
        add(&mut self.interfaces, Interface { device, name, description, kind, lag, vrf, ifindex }, random)
    }

    /// An address of the port, which may be the primary one of the device. Those of a VRF are others' addresses, too.
    fn address_of_port(&mut self, device: u32, interface: u32, random: &mut Random) {
        let vrf = self.interfaces[&interface].vrf;
        let number = self.addresses.len() as u32;
        let low = if vrf.is_some() { number % 4 } else { number };
        let v6 = random.one_in(3);
        let (address, bits) = match v6 {
            true => (IpAddr::from(Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(low) << 16 | 1)), 64),
            false => (IpAddr::from(Ipv4Addr::from(0xc612_0000 | low << 2 | 1)), 30),
        };
        let id = add(&mut self.addresses, Address { address, bits, vrf, on: On::Interface(interface) }, random);
        let Some(device) = self.devices.get_mut(&device).filter(|_| vrf.is_none() && !random.one_in(4)) else { return };
        let primary = if v6 { &mut device.primary6 } else { &mut device.primary4 };
        primary.get_or_insert(id);
    }

    /// Two to four devices that are one.
    fn stack(&mut self, random: &mut Random) {
        let master = self.device(None, 1, random);
        let others: Vec<u32> =
            (2..4 + random.below(2)).map(|position| self.device(Some(master), position, random)).collect();
        for id in others.into_iter().chain([master]) {
            if let Some(device) = self.devices.get_mut(&id) {
                device.master = Some(master);
            }
        }
    }

    fn machine(&mut self, random: &mut Random) {
        let number = self.machines.len() as u32;
        let site = random.one_in(2).then(|| key(&self.sites, random));
        let machine = Machine { name: format!("vm{number}"), site, primary4: None };
        let machine = add(&mut self.machines, machine, random);
        for port in 0..2 {
            let interface = MachineInterface { machine, name: format!("eth{port}") };
            let interface = add(&mut self.machine_interfaces, interface, random);
            let address = Ipv4Addr::from(0xac10_0000 | number << 4 | port << 2 | 1).into();
            let address = Address { address, bits: 30, vrf: None, on: On::MachineInterface(interface) };
            let id = add(&mut self.addresses, address, random);
            if port == 0 && !random.one_in(3) {
                self.machines.entry(machine).and_modify(|machine| machine.primary4 = Some(id));
            }
        }
    }

    /// A network in space that all VRFs use, of any length, so that they nest and meet.
    fn prefix(&mut self, random: &mut Random) {
        let (network, bits) = match random.one_in(4) {
            true => {
                let bits = random.pick(&[32, 40, 48, 56, 64, 127]);
                let address = 0x2001_0db8 << 96 | u128::from(random.below(1 << 12)) << 60;
                (IpAddr::from(Ipv6Addr::from(address >> (128 - bits) << (128 - bits))), bits as u8)
            }
            false => {
                let bits = 8 + random.below(25);
                let address = 0x0a00_0000 | random.below(1 << 10) << 14 | random.below(4);
                (IpAddr::from(Ipv4Addr::from(address >> (32 - bits) << (32 - bits))), bits as u8)
            }
        };
        let vrf = random.one_in(2).then(|| key(&self.vrfs, random));
        // NetBox allows the same prefix twice in a VRF unless told otherwise; which of the two counts is nobody's to say.
        let same = |other: &Prefix| (other.network, other.bits, other.vrf) == (network, bits, vrf);
        if self.prefixes.values().any(same) {
            return;
        }
        let scope = match random.below(6) {
            0 => Scope::Nothing,
            1 => Scope::Region(key(&self.regions, random)),
            2 => Scope::Location(key(&self.locations, random)),
            _ => Scope::Site(key(&self.sites, random)),
        };
        let role = random.one_in(2).then(|| random.pick(&PREFIX_ROLES));
        let tenant = random.one_in(2).then(|| key(&self.tenants, random));
        add(&mut self.prefixes, Prefix { network, bits, vrf, scope, role, tenant }, random);
    }

    /// The names of the roles of devices or prefixes by their ids.
    pub fn roles(&self, list: &'static str) -> Table<String> {
        self.first_roles(list).into_iter().map(|(id, name)| (id, self.named(list, id, name))).collect()
    }

    /// The id of a role by the name that it had first.
    pub fn role_id(&self, list: &'static str, role: &str) -> u32 {
        self.first_roles(list).into_iter().find(|(_, name)| *name == role).map_or(0, |(id, _)| id)
    }

    /// The roles that a generated network draws from, whether they are in use or not, and those that a test invented.
    fn first_roles(&self, list: &str) -> Table<&'static str> {
        let (drawn, used): (&[&str], Vec<&'static str>) = match list {
            "dcim/device-roles" => (&ROLES, self.devices.values().map(|device| device.role).collect()),
            _ => (&PREFIX_ROLES, self.prefixes.values().filter_map(|prefix| prefix.role).collect()),
        };
        let invented: BTreeSet<&str> = used.into_iter().filter(|role| !drawn.contains(role)).collect();
        (1..).zip(drawn.iter().copied().chain(invented)).collect()
    }

    /// The present name of an object.
    fn named(&self, list: &'static str, id: u32, first: &str) -> String {
        self.renamed.get(&(list, id)).cloned().unwrap_or_else(|| first.to_owned())
    }

    /// The name of a stack by its first device.
    pub fn stack_name(&self, master: u32) -> String {
        let device = self.devices.get(&master).and_then(|device| device.name.clone());
        self.named("dcim/virtual-chassis", master, &device.unwrap_or_else(|| format!("stack-{master}")))
    }

    /// The number of a device in its stack.
    pub fn position(&self, device: u32) -> Option<usize> {
        let master = self.devices.get(&device)?.master?;
        let members = self.devices.iter().filter(|(_, other)| other.master == Some(master));
        members.map(|(id, _)| *id).position(|id| id == device).map(|position| position + 1)
    }

    /// The site that a prefix belongs to, if its scope is that narrow. Before 4.2 a prefix has a site or nothing.
    pub fn site_of(&self, prefix: &Prefix, version: &str) -> Option<&Site> {
        let site = match prefix.scope {
            Scope::Site(site) => site,
            Scope::Location(location) if has_scopes(version) => self.locations.get(&location)?.site,
            _ => return None,
        };
        self.sites.get(&site)
    }
}

/// Adds an object under an id that is a little above the last one's.
fn add<T>(table: &mut Table<T>, object: T, random: &mut Random) -> u32 {
    let last = table.keys().next_back().copied().unwrap_or(0);
    let id = last + 1 + if random.one_in(5) { random.below(40) } else { 0 };
    table.insert(id, object);
    id
}

fn key<T>(table: &Table<T>, random: &mut Random) -> u32 {
    let at = random.below(table.len() as u32) as usize;
    *table.keys().nth(at).expect("places come before what lies in them")
}
