//! The network in motion: interfaces, links, sessions and traffic, second by second.
//!
//! Traffic is a set of demands, each from the network behind one interface to that behind another. A demand takes the
//! shortest path over links that are up; what it carries is added to the counters of every interface on its way and to the
//! flows of every device, so gNMI, SNMP and flows tell of the same octets. A link is up when both ends are, and carries
//! traffic when its session of BGP is established as well.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use helios_common::exporter::mapped;
use helios_common::prefix::Prefix;
use serde_json::Value;
use tokio::sync::watch;

use crate::description::Description;
use crate::fault::Faults;
use crate::flows;
use crate::gnmi::commit::Pending;
use crate::routing::{self, Hop};
use crate::tree;
use crate::tree::intent;

/// Octets of a packet on average.
const PACKET_OCTETS: u64 = 800;

/// Share of packets that arrive damaged where the fault `errors` is on: 1 in so many.
const ERRORS_ONE_IN: u64 = 25;

/// From the moment that a session's link is up until the session is established.
const SESSION_SETUP_MS: i64 = 4_000;

/// Half a period of the fault `bgp-flap`.
const FLAP_MS: i64 = 20_000;

/// Unix time in ms.
pub(crate) type Ms = i64;

/// Everything that has a state.
#[derive(Debug)]
pub(crate) struct State {
    pub description: Description,
    pub devices: Vec<Device>,
    pub faults: Faults,
    pub now: Ms,
    demands: Vec<Demand>,
    /// Metrics of what was up when the paths were found, 0 for what was not.
    topology: Vec<u32>,
    /// Devices that let traffic of others through.
    passes: Vec<bool>,
    /// Routes that discard, of all devices: the one that has such a route announces it to the others.
    discards: Vec<Prefix>,
}

#[derive(Debug)]
pub(crate) struct Device {
    /// What a gNMI client may change, without `state`.
    pub config: Value,
    /// The change that is taken back unless it is confirmed.
    pub commit: Option<Pending>,
    pub boot: Ms,
    pub interfaces: Vec<Interface>,
    pub sessions: Vec<Session>,
    /// Octets and packets since flows were last taken.
    pub flows: HashMap<FlowKey, (u64, u64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Interface {
    /// Device and interface at the other end.
    pub far: Option<(usize, usize)>,
    pub up: bool,
    pub last_change: Ms,
    pub counters: Counters,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub in_octets: u64,
    pub in_packets: u64,
    pub in_errors: u64,
    pub out_octets: u64,
    pub out_packets: u64,
}

/// A session of BGP over an interface.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub interface: usize,
    pub peer: String,
    pub peer_as: u32,
    /// Device and session at the other end; `None` for a neighbor outside.
    pub far: Option<(usize, usize)>,
    pub state: SessionState,
    pub since: Ms,
    pub transitions: u64,
    pub prefixes: u64,
}

/// As bgpPeerState (RFC 4273).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionState {
    Idle = 1,
    Active = 3,
    Established = 6,
}

impl SessionState {
    pub(crate) const fn openconfig(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Active => "ACTIVE",
            Self::Established => "ESTABLISHED",
        }
    }
}

/// A demand on its way through a device; the interfaces are positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    pub demand: usize,
    pub input: usize,
    /// `None` for what the device discards.
    pub output: Option<usize>,
}

/// Traffic from one edge interface to another.
#[derive(Debug)]
pub(crate) struct Demand {
    pub from: (usize, usize),
    pub to: (usize, usize),
    octets_per_s: f64,
    path: Vec<Hop>,
}

impl Demand {
    /// Octets per second: a slow wave with a faster one on it, and no two demands alike.
    fn rate(&self, number: usize, now: Ms) -> f64 {
        let wave = |period_s: f64, shift: f64| (now as f64 / 1000.0 / period_s * std::f64::consts::TAU + shift).sin();
        let shift = number as f64 * 0.7;
        self.octets_per_s * (1.0 + 0.3 * wave(900.0, shift) + 0.1 * wave(97.0, 3.0 * shift))
    }
}

/// The state, shared by all servers, and its version: it grows with every second and every change.
#[derive(Debug)]
pub(crate) struct Network {
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

impl Network {
    pub(crate) fn new(description: Description, now: Ms) -> Self {
        Self { state: Mutex::new(State::new(description, now)), version: watch::Sender::new(0) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Lets time pass.
    pub(crate) fn tick(&self, now: Ms) {
        self.lock().advance(now);
        self.version.send_modify(|version| *version += 1);
    }

    /// Changes something that links depend on; its effect is there when this returns.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = {
            let mut state = self.lock();
            let result = change(&mut state);
            state.settle();
            result
        };
        self.version.send_modify(|version| *version += 1);
        result
    }
}

impl State {
    pub(crate) fn new(description: Description, now: Ms) -> Self {
        let position: BTreeMap<&str, usize> =
            description.devices.iter().enumerate().map(|(at, device)| (device.name.as_str(), at)).collect();
        let mut devices: Vec<Device> = description
            .devices
            .iter()
            .enumerate()
            .map(|(at, device)| Device {
                config: Value::Null,
                commit: None,
                // Days apart, so that uptimes differ.
                boot: now - (at as Ms % 40 + 1) * 86_400_000,
                interfaces: vec![
                    Interface { far: None, up: true, last_change: now, counters: Counters::default() };
                    device.interfaces.len()
                ],
                sessions: Vec::new(),
                flows: HashMap::new(),
            })
            .collect();
        let end = |end: &crate::description::End| {
            let device = position[end.device.as_str()];
            let interfaces = &description.devices[device].interfaces;
            (device, interfaces.iter().position(|interface| interface.name == end.interface).unwrap_or(0))
        };
        for link in &description.links {
            let (a, b) = (end(&link.a), end(&link.b));
            devices[a.0].interfaces[a.1].far = Some(b);
            devices[b.0].interfaces[b.1].far = Some(a);
            let (at_a, at_b) = (devices[a.0].sessions.len(), devices[b.0].sessions.len());
            for (here, there, far) in [(a, b, at_b), (b, a, at_a)] {
                let peer = &description.devices[there.0];
                if let Some(address) = peer.interfaces[there.1].address {
                    let session = Session::new(here.1, address.to_string(), peer.asn, Some((there.0, far)), now);
                    devices[here.0].sessions.push(session);
                }
            }
        }
        for (at, device) in description.devices.iter().enumerate() {
            for (number, interface) in device.interfaces.iter().enumerate() {
                if let (Some(edge), Some(address)) = (&interface.edge, interface.address)
                    && edge.asn != device.asn
                {
                    let peer = std::net::Ipv4Addr::from(u32::from(address) + 1).to_string();
                    devices[at]
                        .sessions
                        .push(Session { prefixes: 950_000, ..Session::new(number, peer, edge.asn, None, now) });
                }
            }
        }
        for (at, device) in devices.iter_mut().enumerate() {
            device.config = tree::first_config(&description.devices[at], &device.sessions);
        }
        let demands = demands(&description);
        let faults = Faults::default();
        let (topology, passes, discards) = (Vec::new(), Vec::new(), Vec::new());
        let mut state = Self { description, devices, faults, now, demands, topology, passes, discards };
        state.settle();
        state
    }

    pub(crate) fn device(&self, name: &str) -> Option<usize> {
        self.description.devices.iter().position(|device| device.name == name)
    }

    pub(crate) fn interface(&self, device: usize, name: &str) -> Option<usize> {
        self.description.devices.get(device)?.interfaces.iter().position(|interface| interface.name == name)
    }

    pub(crate) fn demand(&self, number: usize) -> Option<&Demand> {
        self.demands.get(number)
    }

    pub(crate) fn is_enabled(&self, device: usize, interface: usize) -> bool {
        tree::interface_enabled(
            &self.devices[device].config,
            &self.description.devices[device].interfaces[interface].name,
        )
    }

    /// Sets what follows from configuration and faults: interfaces, sessions, paths.
    pub(crate) fn settle(&mut self) {
        let up: Vec<Vec<bool>> = (0..self.devices.len())
            .map(|device| (0..self.devices[device].interfaces.len()).map(|at| self.is_up(device, at)).collect())
            .collect();
        for (device, up) in self.devices.iter_mut().zip(&up) {
            for (interface, up) in device.interfaces.iter_mut().zip(up) {
                if interface.up != *up {
                    (interface.up, interface.last_change) = (*up, self.now);
                }
            }
        }
        let sessions: Vec<Vec<SessionState>> = (0..self.devices.len())
            .map(|device| (0..self.devices[device].sessions.len()).map(|at| self.session(device, at)).collect())
            .collect();
        for (device, states) in self.devices.iter_mut().zip(sessions) {
            for (session, state) in device.sessions.iter_mut().zip(states) {
                if session.state != state {
                    session.transitions += u64::from(state == SessionState::Established);
                    (session.state, session.since) = (state, self.now);
                }
            }
        }
        self.discards = self.devices.iter().flat_map(|device| intent::discards(&device.config)).collect();
        let passes: Vec<bool> = self.devices.iter().map(|device| !intent::overloaded(&device.config)).collect();
        let topology: Vec<u32> = (0..self.devices.len())
            .flat_map(|device| (0..self.devices[device].interfaces.len()).map(move |at| (device, at)))
            .map(|(device, at)| if self.forwards(device, at) { self.metric(device, at) } else { 0 })
            .collect();
        if topology != self.topology || passes != self.passes {
            (self.topology, self.passes) = (topology, passes);
            self.route();
        }
    }

    fn metric(&self, device: usize, interface: usize) -> u32 {
        intent::metric(&self.devices[device].config, &self.description.devices[device].interfaces[interface].name)
    }

    /// Whether any route discards.
    pub(crate) fn discards_anything(&self) -> bool {
        !self.discards.is_empty()
    }

    /// Whether a route discards what is for this address.
    pub(crate) fn is_discarded(&self, address: Ipv4Addr) -> bool {
        self.discards.iter().any(|prefix| prefix.holds(mapped(address.octets())))
    }

    fn is_up(&self, device: usize, interface: usize) -> bool {
        let alone =
            |device: usize, at: usize| self.is_enabled(device, at) && !self.faults.link_down.contains(&(device, at));
        alone(device, interface)
            && self.devices[device].interfaces[interface].far.is_none_or(|(far, at)| alone(far, at))
    }

    /// Whether both ends want the session, and their link carries it.
    fn wants(&self, device: usize, session: usize) -> bool {
        let here = |device: usize, at: usize| {
            let session = &self.devices[device].sessions[at];
            let flapping = self.faults.bgp_flap.contains(&device) && (self.now / FLAP_MS) % 2 == 0;
            !flapping
                && self.devices[device].interfaces[session.interface].up
                && tree::neighbor_enabled(&self.devices[device].config, &session.peer)
        };
        here(device, session) && self.devices[device].sessions[session].far.is_none_or(|(far, at)| here(far, at))
    }

    fn session(&self, device: usize, at: usize) -> SessionState {
        let session = &self.devices[device].sessions[at];
        match (self.wants(device, at), session.state) {
            (true, SessionState::Established) => SessionState::Established,
            (true, SessionState::Active) if self.now - session.since >= SESSION_SETUP_MS => SessionState::Established,
            (true, _) => SessionState::Active,
            (false, _) if tree::neighbor_enabled(&self.devices[device].config, &session.peer) => SessionState::Active,
            (false, _) => SessionState::Idle,
        }
    }

    /// Whether traffic may take an interface.
    fn forwards(&self, device: usize, interface: usize) -> bool {
        let device = &self.devices[device];
        let established = |session: &Session| session.state == SessionState::Established;
        device.interfaces[interface].up
            && device.sessions.iter().filter(|session| session.interface == interface).all(established)
    }

    fn route(&mut self) {
        let neighbors: Vec<Vec<Hop>> = (0..self.devices.len())
            .map(|device| {
                let interfaces = self.devices[device].interfaces.iter().enumerate();
                let links = interfaces.filter_map(|(at, interface)| Some((at, interface.far?)));
                let usable = links.filter(|(at, far)| self.forwards(device, *at) && self.forwards(far.0, far.1));
                usable
                    .map(|(output, (next, input))| Hop { output, next, input, cost: self.metric(device, output) })
                    .collect()
            })
            .collect();
        let usable: Vec<bool> = self
            .demands
            .iter()
            .map(|demand| self.forwards(demand.from.0, demand.from.1) && self.forwards(demand.to.0, demand.to.1))
            .collect();
        let mut trees: HashMap<usize, Vec<Option<(usize, Hop)>>> = HashMap::new();
        for (demand, usable) in self.demands.iter_mut().zip(usable) {
            let from =
                trees.entry(demand.from.0).or_insert_with(|| routing::tree(&neighbors, demand.from.0, &self.passes));
            let path = routing::path(from, demand.from.0, demand.to.0).filter(|_| usable);
            // A demand without a way carries nothing: an edge without far end says so by its empty path.
            demand.path = path.unwrap_or_default();
        }
    }

    /// Lets time pass: at most so much at once that no curve is missed.
    pub(crate) fn advance(&mut self, now: Ms) {
        let elapsed = (now - self.now).max(0);
        self.now = now;
        for device in &mut self.devices {
            if let Some(before) = device.commit.as_mut().and_then(|commit| commit.expired(now)) {
                (device.config, device.commit) = (before, None);
            }
        }
        self.settle();
        for number in 0..self.demands.len() {
            let octets = self.demands[number].rate(number, now) * elapsed as f64 / 1000.0;
            self.carry(number, octets as u64);
        }
    }

    /// Adds octets of a demand to all that see them.
    fn carry(&mut self, number: usize, octets: u64) {
        let demand = &self.demands[number];
        if demand.path.is_empty() {
            return;
        }
        let (path, to) = (demand.path.clone(), demand.to);
        let (mut device, mut input) = demand.from;
        let dropped = flows::discarded(self, number, octets);
        self.discard((device, input), number, dropped);
        let octets = octets - dropped;
        if octets == 0 {
            return;
        }
        let (mut octets, mut packets) = (octets, octets.div_ceil(PACKET_OCTETS));
        for hop in path.iter().map(Some).chain([None]) {
            let output = hop.map_or(to.1, |hop| hop.output);
            let entry = &mut self.devices[device].interfaces[input].counters;
            if self.faults.errors.contains(&(device, input)) {
                // Damaged packets are counted as such, and neither as octets nor in a flow.
                entry.in_errors += packets / ERRORS_ONE_IN;
                octets -= octets / ERRORS_ONE_IN;
                packets -= packets / ERRORS_ONE_IN;
            }
            entry.in_octets += octets;
            entry.in_packets += packets;
            let exit = &mut self.devices[device].interfaces[output].counters;
            exit.out_octets += octets;
            exit.out_packets += packets;
            let key = FlowKey { demand: number, input, output: Some(output) };
            let flow = self.devices[device].flows.entry(key).or_default();
            (flow.0, flow.1) = (flow.0 + octets, flow.1 + packets);
            if let Some(hop) = hop {
                (device, input) = (hop.next, hop.input);
            }
        }
    }
}

impl State {
    /// Octets that a device takes in and forwards nowhere.
    fn discard(&mut self, (device, input): (usize, usize), demand: usize, octets: u64) {
        if octets == 0 {
            return;
        }
        let packets = octets.div_ceil(PACKET_OCTETS);
        let entry = &mut self.devices[device].interfaces[input].counters;
        (entry.in_octets, entry.in_packets) = (entry.in_octets + octets, entry.in_packets + packets);
        let flow = self.devices[device].flows.entry(FlowKey { demand, input, output: None }).or_default();
        (flow.0, flow.1) = (flow.0 + octets, flow.1 + packets);
    }
}

impl Session {
    fn new(interface: usize, peer: String, peer_as: u32, far: Option<(usize, usize)>, now: Ms) -> Self {
        let state = SessionState::Established;
        Self { interface, peer, peer_as, far, state, since: now, transitions: 1, prefixes: 120 }
    }

    /// Prefixes that the neighbor has sent, which go with the session.
    pub(crate) fn prefixes_now(&self) -> u64 {
        if self.state == SessionState::Established { self.prefixes } else { 0 }
    }
}

/// Every office talks with the transit of its site, or of the nearest one that has some, and with the next offices, both ways.
fn demands(description: &Description) -> Vec<Demand> {
    let mut offices = Vec::new();
    let mut transits = Vec::new();
    for (at, device) in description.devices.iter().enumerate() {
        for (number, interface) in device.interfaces.iter().enumerate() {
            match &interface.edge {
                Some(edge) if edge.asn == device.asn => offices.push((at, number)),
                Some(_) => transits.push((at, number)),
                None => {}
            }
        }
    }
    let mut demands = Vec::new();
    let mut both = |a: (usize, usize), b: (usize, usize), to: f64, back: f64| {
        demands.push(Demand { from: a, to: b, octets_per_s: to, path: Vec::new() });
        demands.push(Demand { from: b, to: a, octets_per_s: back, path: Vec::new() });
    };
    for (number, office) in offices.iter().enumerate() {
        let volume = 1e6 * (1 + number % 5) as f64;
        let site = |end: &(usize, usize)| &description.devices[end.0].site;
        let near = transits.iter().find(|transit| site(transit) == site(office)).or(transits.first());
        if let Some(transit) = near {
            both(*transit, *office, 6.0 * volume, volume);
        }
        for step in [1, 2] {
            let other = offices[(number + step) % offices.len()];
            if other != *office {
                both(*office, other, volume / step as f64, volume / 2.0);
            }
        }
    }
    demands
}

#[cfg(test)]
mod tests;
