//! Flows of every device as IPFIX, from the device's own address: what its counters counted, to the octet.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use helios_collector::encode::ipfix::{HEADER_OCTETS, Header, Message};
use helios_collector::encode::{Field, Put, field};

use crate::description::Edge;
use crate::network::{Ms, Network, State};
use crate::tree::intent;

/// The active time-out of the exporters.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Flows that a device makes of one demand and interval.
const FLOWS: u64 = 4;

/// The host of every network that half of the octets of each demand go to: its number.
const SERVER: u64 = 8;

/// Templates go with every so many-th export.
const REFRESH: u64 = 3;

const TEMPLATE: u16 = 256;

/// No datagram is cut on its way.
const PAYLOAD_MAX: usize = 1_400;

#[rustfmt::skip]
const FIELDS: [Field; 19] = [
    field(1, 8), field(2, 8), field(152, 8), field(153, 8),             // octets, packets, start, end
    field(8, 4), field(12, 4), field(7, 2), field(11, 2), field(4, 1),  // addresses, ports, protocol
    field(5, 1), field(6, 2), field(10, 4), field(14, 4),               // ToS, TCP flags, interfaces
    field(16, 4), field(17, 4), field(9, 1), field(13, 1), field(15, 4), // systems, prefix lengths, next hop
    field(34, 4),                                                       // sampling interval
];

const RECORD_OCTETS: usize = 74;

/// Service port and protocol, and the share of octets in 16ths.
const SERVICES: [(u16, u8); 8] = [(443, 6), (443, 17), (80, 6), (22, 6), (53, 17), (445, 6), (5_201, 6), (25, 6)];

/// A flow as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flow {
    octets: u64,
    packets: u64,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    ports: (u16, u16),
    proto: u8,
    interfaces: (u32, u32),
    systems: (u32, u32),
    /// One packet of so many was seen.
    sampling: u32,
}

/// The exporters of all devices.
#[derive(Debug)]
pub(crate) struct Exporters {
    collector: SocketAddr,
    sockets: Vec<UdpSocket>,
    sequence: Vec<u32>,
    exports: u64,
    last: Ms,
}

impl Exporters {
    /// A socket for each device.
    ///
    /// # Errors
    /// When an address cannot be sent from.
    pub(crate) fn new(network: &Network, collector: SocketAddr) -> std::io::Result<Self> {
        let state = network.lock();
        let sockets = state.description.devices.iter().map(|device| UdpSocket::bind((device.address, 0)));
        let sockets: Vec<UdpSocket> = sockets.collect::<Result<_, _>>()?;
        Ok(Self { collector, sequence: vec![0; sockets.len()], sockets, exports: 0, last: state.now })
    }

    /// Sends what every device saw since the last call. A device that is silent or unreachable loses it, as a device does
    /// whose datagrams nobody gets. One without traffic sends its templates, as a real exporter does: it is not silent.
    pub(crate) fn export(&mut self, network: &Network) {
        let (flows, now) = {
            let mut state = network.lock();
            let taken: Vec<Option<Vec<Flow>>> =
                (0..state.devices.len()).map(|device| take(&mut state, device)).collect();
            (taken, state.now)
        };
        let templates = self.exports.is_multiple_of(REFRESH);
        for (device, flows) in flows.into_iter().enumerate() {
            match flows {
                Some(flows) if templates || !flows.is_empty() => self.send(device, &flows, now, templates),
                _ => {}
            }
        }
        self.exports += 1;
        self.last = now;
    }

    fn send(&mut self, device: usize, flows: &[Flow], now: Ms, templates: bool) {
        let most = (PAYLOAD_MAX - HEADER_OCTETS - 4 * FIELDS.len() - 12) / RECORD_OCTETS;
        let none = flows.is_empty().then_some(flows);
        for (at, flows) in flows.chunks(most).chain(none).enumerate() {
            let header =
                Header { export_secs: (now / 1_000) as u32, sequence: self.sequence[device], observation_domain_id: 1 };
            let mut datagram = Vec::with_capacity(PAYLOAD_MAX);
            let mut message = Message::begin(&header, &mut datagram);
            if templates && at == 0 {
                message.templates(&[(TEMPLATE, &FIELDS)]);
            }
            if !flows.is_empty() {
                message.data(TEMPLATE, |out| flows.iter().for_each(|flow| flow.write(self.last, now, out)));
            }
            self.sequence[device] = self.sequence[device].wrapping_add(flows.len() as u32);
            // Nobody may listen yet: flows are lost then, as those of a real exporter.
            let _ = self.sockets[device].send_to(&datagram, self.collector);
        }
    }
}

impl Flow {
    fn write(&self, start: Ms, end: Ms, out: &mut Vec<u8>) {
        for number in [self.octets, self.packets, start as u64, end as u64] {
            out.put_u64(number);
        }
        out.put(&self.src.octets());
        out.put(&self.dst.octets());
        out.put_u16(self.ports.0);
        out.put_u16(self.ports.1);
        out.put_u8(self.proto);
        out.put_u8(0);
        out.put_u16(if self.proto == 6 { 0x18 } else { 0 });
        for number in [self.interfaces.0, self.interfaces.1, self.systems.0, self.systems.1] {
            out.put_u32(number);
        }
        out.put_u8(24);
        out.put_u8(24);
        out.put_u32(0);
        out.put_u32(self.sampling);
    }
}

/// Takes the flows of a device; none are left, also where the device sends nothing at all, which is `None`.
fn take(state: &mut State, device: usize) -> Option<Vec<Flow>> {
    let mut seen: Vec<_> = std::mem::take(&mut state.devices[device].flows).into_iter().collect();
    if state.faults.silent.contains(&device) || state.faults.unreachable.contains(&device) {
        return None;
    }
    seen.sort_unstable_by_key(|(key, _)| (key.demand, key.input, key.output));
    let config = &state.devices[device].config;
    let rate = intent::sampling_rate(config);
    let ports = &state.description.devices[device].interfaces;
    let sampled: Vec<bool> = ports.iter().map(|interface| intent::is_sampled(config, &interface.name)).collect();
    let mut flows = Vec::new();
    for (key, (octets, packets)) in seen {
        let Some((from, to)) = edges(state, key.demand).filter(|_| sampled[key.input]) else { continue };
        // Interface 0 is none: the packets were discarded (RFC 5102 §5.2.11).
        let interfaces = (key.input as u32 + 1, key.output.map_or(0, |output| output as u32 + 1));
        let discarded = key.output.is_none();
        let fits = |number: u64| state.is_discarded(to_host(&to, seed(key.demand, state.now), number)) == discarded;
        let mut numbers: Vec<u64> = (0..FLOWS).filter(|number| fits(*number)).collect();
        if numbers.is_empty() {
            // The hosts have changed since these octets were counted.
            numbers.extend(0..FLOWS);
        }
        let seed = seed(key.demand, state.now);
        flows.extend(split(octets, packets, (&from, &to), interfaces, seed, &numbers));
    }
    if rate > 1 {
        flows.iter_mut().for_each(|flow| flow.sample(rate));
        flows.retain(|flow| flow.packets > 0);
    }
    Some(flows)
}

/// Between which networks a demand is.
fn edges(state: &State, demand: usize) -> Option<(Edge, Edge)> {
    let demand = state.demand(demand)?;
    let edge = |(device, at): (usize, usize)| state.description.devices[device].interfaces[at].edge.clone();
    edge(demand.from).zip(edge(demand.to))
}

/// Hosts, ports and protocols of a demand change every minute.
fn seed(demand: usize, now: Ms) -> u64 {
    demand as u64 * 31 + (now / 60_000) as u64
}

/// How many of a demand's octets are for hosts whose routes discard.
pub(crate) fn discarded(state: &State, demand: usize, octets: u64) -> u64 {
    if !state.discards_anything() {
        return 0;
    }
    let Some((_, to)) = edges(state, demand) else { return 0 };
    let seed = seed(demand, state.now);
    let mut left = octets;
    let mut sum = 0;
    for number in 0..FLOWS {
        let share = share(left, number + 1 == FLOWS);
        left -= share;
        sum += if state.is_discarded(to_host(&to, seed, number)) { share } else { 0 };
    }
    sum
}

/// Half of what is left each time, and all of it at last.
fn share(left: u64, last: bool) -> u64 {
    if last { left } else { left.div_ceil(2) }
}

fn host(edge: &Edge, number: u64) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(edge.network) + 2 + (number % 250) as u32)
}

fn mixed(seed: u64, number: u64) -> u64 {
    (seed * FLOWS + number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

/// To which host a flow goes: the first one, which has half of the octets, always to the network's server.
fn to_host(edge: &Edge, seed: u64, number: u64) -> Ipv4Addr {
    if number == 0 { host(edge, SERVER) } else { host(edge, mixed(seed, number) >> 11) }
}

impl Flow {
    /// What is left of the flow where one packet of `rate` is seen.
    fn sample(&mut self, rate: u64) {
        self.octets /= rate;
        self.packets /= rate;
        self.sampling = u32::try_from(rate).unwrap_or(u32::MAX);
    }
}

/// Some flows between hosts of two networks, whose octets and packets are these in all. `numbers` says which of a demand's flows
/// they are.
fn split(
    octets: u64,
    packets: u64,
    (from, to): (&Edge, &Edge),
    interfaces: (u32, u32),
    seed: u64,
    numbers: &[u64],
) -> Vec<Flow> {
    let mut flows = Vec::new();
    let (mut octets_left, mut packets_left) = (octets, packets);
    for (at, number) in numbers.iter().enumerate() {
        let last = at + 1 == numbers.len();
        let (octets, packets) = (share(octets_left, last), share(packets_left, last));
        (octets_left, packets_left) = (octets_left - octets, packets_left - packets);
        if octets == 0 || packets == 0 {
            // An octet without a packet is none of a flow: it stays with the next one.
            (octets_left, packets_left) = (octets_left + octets, packets_left + packets);
            continue;
        }
        let mixed = mixed(seed, *number);
        let (port, proto) = SERVICES[(mixed % SERVICES.len() as u64) as usize];
        let client = 32_768 + (mixed >> 8) as u16 % 28_000;
        flows.push(Flow {
            octets,
            packets,
            src: host(from, mixed >> 3),
            dst: to_host(to, seed, *number),
            ports: if mixed & 0x4000 == 0 { (port, client) } else { (client, port) },
            proto,
            interfaces,
            systems: (from.asn, to.asn),
            sampling: 1,
        });
    }
    if let Some(first) = flows.first_mut() {
        first.octets += octets_left;
        first.packets += packets_left;
    }
    flows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::Description;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_split_is_what_was_counted(octets in 1_u64..1 << 40, seed in 0_u64..1 << 32) {
            let edge = |last| Edge { network: [10, 0, last, 0].into(), asn: 65_001 };
            let packets = octets.div_ceil(800);
            let flows = split(octets, packets, (&edge(1), &edge(2)), (1, 2), seed, &[0, 1, 2, 3]);
            let sums = flows.iter().fold((0, 0), |sums, flow| (sums.0 + flow.octets, sums.1 + flow.packets));
            prop_assert_eq!(sums, (octets, packets));
        }
    }

    #[test]
    fn a_device_without_traffic_sends_templates_and_a_silent_one_sends_nothing() {
        let network = Network::new(Description::generated(4, 20), 1_700_000_000_000);
        let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
        collector.set_nonblocking(true).unwrap();
        let mut exporters = Exporters::new(&network, collector.local_addr().unwrap()).unwrap();
        network.lock().faults.silent.insert(1);
        let mut sent_by = |network: &Network| {
            exporters.export(network);
            let mut buffer = [0; PAYLOAD_MAX];
            let mut senders = Vec::new();
            while let Ok((_, from)) = collector.recv_from(&mut buffer) {
                senders.push(from.ip());
            }
            senders
        };
        let address = |device: usize| network.lock().description.devices[device].address;
        assert_eq!(sent_by(&network), [0, 2, 3].map(address), "one datagram each, without a flow");
        assert!(sent_by(&network).is_empty(), "templates come with every third export");
        network.tick(1_700_000_010_000);
        let senders = sent_by(&network);
        assert!(senders.contains(&address(0)) && !senders.contains(&address(1)), "{senders:?}");
    }

    #[test]
    fn a_record_has_the_octets_that_the_template_says() {
        let octets: usize = FIELDS.iter().map(|field| usize::from(field.length)).sum();
        let edge = Edge { network: [10, 0, 1, 0].into(), asn: 1 };
        let mut out = Vec::new();
        split(800, 1, (&edge, &edge), (1, 2), 0, &[0])[0].write(0, 1, &mut out);
        assert_eq!((octets, out.len()), (RECORD_OCTETS, RECORD_OCTETS));
    }
}
