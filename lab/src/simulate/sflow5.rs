//! Agents of sFlow v5: sampled headers with what switch, router and BGP know of them, and counters.
//!
//! Samples are written once and sent many times, as [`super::records`] does with flow records: new are sequence
//! numbers, pools, rates and the client's port (and with it the checksum). A datagram holds one sample of each of
//! [`SHAPES`], so that full datagrams are of one length and leave in one system call.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use helios_collector::encode::packet::{self, Ipv4, Ipv6, Layer, TPID_8021Q};
use helios_collector::encode::sflow5::records::*;
use helios_collector::encode::sflow5::{
    CounterSample, FLOW_SAMPLE, FlowSample, Header, Interface, Message, Records, Source,
};

use super::conversation::{ClientPort, Conversation, Conversations, INTERFACES, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP};
use super::exporter::{Datagrams, Device, Visit, portions, runs};
use super::internet::{Family, Side};
use super::random::Random;
use super::records::Volume;

/// Samples of each shape to draw from; a power of two, so that random bits are an index.
const SAMPLES_PER_SHAPE: usize = 1 << 10;

/// Octets of a packet that agents sample unless told otherwise.
const SAMPLED_OCTETS: usize = 128;

/// The frame check sequence: on the wire, counted in the frame's length, not sampled.
const FCS_OCTETS: usize = 4;

/// IP length of small packets: above what would be padded to Ethernet's minimum.
const SMALL_PACKET_OCTETS: usize = 52;
/// IP lengths of the others: at least what fills the sampled header.
const MIN_LARGE_PACKET_OCTETS: u32 = 128;
const MAX_PACKET_OCTETS: u32 = 1_500;

/// Two counter records of 116 and 60 octets with their sample.
const COUNTER_SAMPLES_PER_DATAGRAM: u32 = 6;

/// Packets that pass between two samples are the sampling rate; octets that counters rise by, per sample.
const OCTETS_PER_PACKET: u64 = 800;
const INTERFACE_SPEED: u64 = 10_000_000_000;
const ETHERNET_CSMACD: u32 = 6;
const FULL_DUPLEX: u32 = 1;
const UP_AND_UP: u32 = 3;

/// TruthValue of RFC 2579: false.
const NOT_PROMISCUOUS: u32 = 2;

const OWN_AS: u32 = 64_512;
const PEER_AS: u32 = 64_513;

/// What a sample looks like, which decides its length.
#[derive(Debug, Clone, Copy)]
struct Shape {
    family: Family,
    small: bool,
    tagged: bool,
    gateway: bool,
}

const SMALL: Shape = Shape { family: Family::V4, small: true, tagged: false, gateway: false };
const LARGE: Shape = Shape { small: false, ..SMALL };

/// One in six is IPv6 and half are small: about what links see.
const SHAPES: [Shape; 6] = [
    Shape { gateway: true, ..LARGE },
    SMALL,
    Shape { tagged: true, ..LARGE },
    SMALL,
    Shape { family: Family::V6, ..LARGE },
    SMALL,
];

/// Offsets in a flow sample.
mod at {
    pub(super) const SEQUENCE: usize = 0;
    pub(super) const RATE: usize = 8;
    pub(super) const POOL: usize = 12;
    /// Behind the sample's fields and the fields of the sampled header, the first record.
    pub(super) const FRAME: usize = 32 + 8 + 16;
}

/// Samples to draw from, by shape.
#[derive(Debug)]
pub(super) struct SamplePool {
    shapes: [Samples; SHAPES.len()],
}

/// Samples of one shape.
#[derive(Debug, Default)]
struct Samples {
    octets: Vec<u8>,
    stride: usize,
    facts: Vec<SampleFacts>,
}

/// What of a sample its sending depends on.
#[derive(Debug, Clone, Copy)]
struct SampleFacts {
    packet_octets: u16,
    in_if_index: u32,
    /// Where the client's port and the checksum over it stand, if there is a port.
    port: Option<(u16, u16)>,
}

impl SamplePool {
    pub(super) fn new(random: &mut Random) -> Self {
        let v4 = Conversations::new(Family::V4);
        let v6 = Conversations::new(Family::V6);
        let shapes = SHAPES.map(|shape| {
            let conversations = if shape.family == Family::V4 { &v4 } else { &v6 };
            let mut samples = Samples::default();
            while samples.facts.len() < SAMPLES_PER_SHAPE {
                let conversation = conversations.draw(random);
                // The length of a gateway record depends on the path, and there is one to the Internet only.
                if !shape.gateway || conversation.dst.side == Side::Internet {
                    samples.add(shape, &conversation, random);
                }
            }
            samples.stride = samples.octets.len() / SAMPLES_PER_SHAPE;
            debug_assert_eq!(samples.stride * SAMPLES_PER_SHAPE, samples.octets.len(), "samples of different lengths");
            samples
        });
        Self { shapes }
    }
}

impl Samples {
    fn add(&mut self, shape: Shape, conversation: &Conversation, random: &mut Random) {
        let packet_octets = match shape.small {
            true => SMALL_PACKET_OCTETS,
            // Most packets that are not small are full.
            false if random.chance(0.6) => MAX_PACKET_OCTETS as usize,
            false => (MIN_LARGE_PACKET_OCTETS + random.below(MAX_PACKET_OCTETS - MIN_LARGE_PACKET_OCTETS)) as usize,
        };
        let (frame, transport) = frame(shape, conversation, packet_octets);
        let sample = FlowSample {
            sequence: 0,
            source: Source { class: 0, index: conversation.in_if_index },
            sampling_rate: 0,
            sample_pool: 0,
            drops: 0,
            input: Interface::Index(conversation.in_if_index),
            output: match conversation.out_if_index {
                0 => Interface::Discarded(256),
                index => Interface::Index(index),
            },
        };
        // A sample's content begins behind its format and length, in a message with nothing else.
        let agent = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut octets = Vec::new();
        let mut message = Message::begin(&Header { agent, sub_agent_id: 0, sequence: 0, uptime_ms: 0 }, &mut octets);
        let start = message.octets() + 8;
        message.flow_sample(&sample, |records| write_records(records, shape, conversation, &frame));
        self.octets.extend_from_slice(octets.get(start..).unwrap_or_default());
        let port = client_port(conversation, transport);
        self.facts.push(SampleFacts {
            packet_octets: packet_octets as u16,
            in_if_index: conversation.in_if_index,
            port,
        });
    }
}

/// The frame of a packet, and where its transport header begins.
fn frame(shape: Shape, conversation: &Conversation, packet_octets: usize) -> (Vec<u8>, usize) {
    const ZEROS: [u8; MAX_PACKET_OCTETS as usize] = [0; MAX_PACKET_OCTETS as usize];
    let mac = |last: u32| [2, 0, 0x5e, 0, 0, last as u8];
    let ethernet = Layer::Ethernet { dst: mac(conversation.out_if_index), src: mac(128 + conversation.in_if_index) };
    let (ip, ip_octets) = ip_layer(conversation);
    let (transport, transport_octets) = transport_layer(conversation);
    let payload = Layer::Payload(ZEROS.get(..packet_octets - ip_octets - transport_octets).unwrap_or_default());
    let vlan = Layer::Vlan { tpid: TPID_8021Q, tci: conversation.vlan };
    let mut frame = Vec::with_capacity(packet_octets + 18);
    match shape.tagged {
        true => packet::write(&[ethernet, vlan, ip, transport, payload], &mut frame),
        false => packet::write(&[ethernet, ip, transport, payload], &mut frame),
    }
    let transport_at = frame.len() - packet_octets + ip_octets;
    (frame, transport_at)
}

fn ip_layer(conversation: &Conversation) -> (Layer<'static>, usize) {
    let Conversation { src, dst, tos, .. } = conversation;
    match (src.address, dst.address) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4 { src: src.octets(), dst: dst.octets(), tos: *tos, ttl: 60, ..Ipv4::default() };
            (Layer::Ipv4(header), 20)
        }
        (src, dst) => {
            let octets = |address| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            let (src, dst) = (octets(src), octets(dst));
            (Layer::Ipv6(Ipv6 { src, dst, traffic_class: *tos, flow_label: 0, hop_limit: 60 }), 40)
        }
    }
}

fn transport_layer(conversation: &Conversation) -> (Layer<'static>, usize) {
    let Conversation { src_port, dst_port, icmp_type, tcp_flags, .. } = *conversation;
    match conversation.proto {
        PROTO_TCP => (Layer::Tcp { src_port, dst_port, flags: u16::from(tcp_flags) }, 20),
        PROTO_ICMP => (Layer::Icmp { icmp_type, code: 0 }, 8),
        PROTO_ICMPV6 => (Layer::Icmpv6 { icmp_type, code: 0 }, 8),
        _ => (Layer::Udp { src_port, dst_port }, 8),
    }
}

/// Where in a sample the client's port and the transport checksum stand.
fn client_port(conversation: &Conversation, transport: usize) -> Option<(u16, u16)> {
    let port = match conversation.client_port {
        ClientPort::Source => 0,
        ClientPort::Destination => 2,
        ClientPort::None => return None,
    };
    let checksum = if conversation.proto == PROTO_TCP { 16 } else { 6 };
    let header = at::FRAME + transport;
    Some(((header + port) as u16, (header + checksum) as u16))
}

fn write_records(records: &mut Records<'_>, shape: Shape, conversation: &Conversation, frame: &[u8]) {
    records.sampled_header(&SampledHeader {
        protocol: header_protocol::ETHERNET,
        frame_length: (frame.len() + FCS_OCTETS) as u32,
        stripped: FCS_OCTETS as u32,
        header: frame.get(..SAMPLED_OCTETS).unwrap_or(frame),
    });
    let vlan = u32::from(conversation.vlan);
    records.extended_switch(&ExtendedSwitch { src_vlan: vlan, dst_vlan: vlan, ..ExtendedSwitch::default() });
    let Conversation { src, dst, next_hop, .. } = *conversation;
    records.extended_router(&ExtendedRouter { next_hop, src_mask: src.mask.into(), dst_mask: dst.mask.into() });
    if shape.gateway {
        records.extended_gateway(&ExtendedGateway {
            next_hop,
            own_as: OWN_AS,
            src_as: src.asn,
            src_peer_as: if src.side == Side::Internet { PEER_AS } else { 0 },
            dst_path: &[PathSegment::Sequence(&[PEER_AS, dst.asn])],
            communities: &[OWN_AS << 16 | 100, OWN_AS << 16 | dst.asn & 0xffff],
            local_preference: 100,
        });
    }
}

/// Per data source: flow samples and packets that passed.
#[derive(Debug, Clone, Copy, Default)]
struct Port {
    samples: u32,
    pool: u32,
    counter_samples: u32,
    octets: u64,
}

/// A device that speaks sFlow.
#[derive(Debug)]
pub(super) struct Exporting {
    pool: Arc<SamplePool>,
    datagrams_sent: u32,
    /// By ifIndex.
    ports: [Port; INTERFACES as usize + 1],
}

impl Exporting {
    pub(super) fn new(pool: Arc<SamplePool>) -> Self {
        Self { pool, datagrams_sent: 0, ports: Default::default() }
    }

    /// The header of the next datagram: sequences count from 1.
    fn header(&mut self, visit: &Visit<'_>) -> Header {
        self.datagrams_sent = self.datagrams_sent.wrapping_add(1);
        let (agent, sub_agent_id) = (visit.identity.agent, visit.identity.domain);
        Header { agent, sub_agent_id, sequence: self.datagrams_sent, uptime_ms: visit.uptime_ms() }
    }

    /// Appends one sample of a shape and returns the octets of its IP packet.
    fn sample(&mut self, shape: usize, visit: &mut Visit<'_>, message: &mut Message<'_>) -> u64 {
        let samples = &self.pool.shapes[shape];
        let bits = visit.random.next();
        let drawn = bits as usize % SAMPLES_PER_SHAPE;
        let facts = samples.facts[drawn];
        let rate = visit.identity.sampling_interval;
        let port = &mut self.ports[facts.in_if_index as usize];
        port.samples = port.samples.wrapping_add(1);
        port.pool = port.pool.wrapping_add(rate);
        port.octets += u64::from(rate) * OCTETS_PER_PACKET;
        message.sample(FLOW_SAMPLE, |out| {
            let start = out.len();
            out.extend_from_slice(&samples.octets[drawn * samples.stride..(drawn + 1) * samples.stride]);
            let sample = &mut out[start..];
            put(sample, at::SEQUENCE, port.samples.to_be_bytes());
            put(sample, at::RATE, rate.to_be_bytes());
            put(sample, at::POOL, port.pool.to_be_bytes());
            if let Some((port_at, checksum_at)) = facts.port {
                let client_port = 0x8000 | (bits >> 32) as u16;
                put(sample, usize::from(port_at), client_port.to_be_bytes());
                adjust_checksum(sample, usize::from(checksum_at), client_port);
            }
        });
        u64::from(facts.packet_octets)
    }
}

impl Device for Exporting {
    fn announce(&mut self, visit: &mut Visit<'_>, out: &mut Datagrams) {
        for indexes in runs(INTERFACES, COUNTER_SAMPLES_PER_DATAGRAM) {
            let header = self.header(visit);
            out.announcement(|octets| {
                let mut message = Message::begin(&header, octets);
                for index in indexes {
                    let port = &mut self.ports[index as usize];
                    port.counter_samples = port.counter_samples.wrapping_add(1);
                    let source = Source { class: 0, index };
                    message.counter_sample(&CounterSample { sequence: port.counter_samples, source }, |records| {
                        records.if_counters(&if_counters(index, port));
                        records.ethernet_counters(&[0; 13]);
                    });
                }
            });
        }
    }

    fn flows(&mut self, n: usize, visit: &mut Visit<'_>, out: &mut Datagrams) {
        for samples in portions(n, SHAPES.len()) {
            let header = self.header(visit);
            out.flows(|octets| {
                let mut message = Message::begin(&header, octets);
                let bytes = (0..samples).map(|shape| self.sample(shape, visit, &mut message)).sum();
                Volume { flows: samples as u64, bytes, packets: samples as u64 }
            });
        }
    }
}

fn if_counters(index: u32, port: &Port) -> IfCounters {
    let inbound = Direction {
        octets: port.octets,
        unicast: (port.octets / OCTETS_PER_PACKET) as u32,
        multicast: port.samples / 100,
        broadcast: port.samples / 200,
        ..Direction::default()
    };
    IfCounters {
        index,
        if_type: ETHERNET_CSMACD,
        speed: INTERFACE_SPEED,
        direction: FULL_DUPLEX,
        status: UP_AND_UP,
        inbound,
        outbound: inbound,
        promiscuous_mode: NOT_PROMISCUOUS,
        ..IfCounters::default()
    }
}

#[inline]
fn put<const N: usize>(sample: &mut [u8], at: usize, octets: [u8; N]) {
    sample[at..at + N].copy_from_slice(&octets);
}

/// Adds `value`, which stood as zero when the checksum was made, to a checksum (RFC 1624).
#[inline]
fn adjust_checksum(sample: &mut [u8], at: usize, value: u16) {
    let old = u16::from_be_bytes([sample[at], sample[at + 1]]);
    let sum = u32::from(!old) + u32::from(value);
    let folded = (sum & 0xffff) + (sum >> 16);
    // All ones in UDP: a checksum of zero would say that there is none. TCP takes either form of zero.
    let new = match !(folded as u16) {
        0 => 0xffff,
        new => new,
    };
    put(sample, at, new.to_be_bytes());
}
