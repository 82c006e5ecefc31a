//! Datagrams to decode: many exporters by turns, templates as routers send them, and the worst that there are.
//!
//! Everything is the same from run to run. Sequence numbers go on from pass to pass, so that loss tracking sees the
//! orderly stream that it mostly sees.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use helios_collector::decode::DatagramMeta;
use helios_collector::encode::packet::{self, Ipv4, Ipv6, Layer};
use helios_collector::encode::sflow5::records::{SampledHeader, header_protocol};
use helios_collector::encode::{Field, Put, VARIABLE_LENGTH, field, ipfix, netflow5, netflow9, sflow5};

/// 2026-01-01, the time of all messages.
const EXPORT_SECS: u32 = 1_767_225_600;

/// How long the exporters have been up.
const UPTIME_MS: u32 = 864_000_000;

/// Where the sequence number stands in v5, v9 and IPFIX messages, and in sFlow ones with an IPv4 agent.
const SEQUENCE_V5: usize = 16;
const SEQUENCE_V9: usize = 12;
const SEQUENCE_IPFIX: usize = 8;
const SEQUENCE_SFLOW: usize = 16;

const TEMPLATE: u16 = 256;
const OPTIONS: u16 = 257;

/// Exporters that send by turns, and datagrams that differ.
const EXPORTERS: usize = 64;
pub const DATAGRAMS: usize = 256;

/// Records of a v9 or IPFIX datagram. 28 of [`FIELDS`] make a datagram of 2.1 KiB, 18 fit an Ethernet frame.
pub const RECORDS: usize = 28;
pub const RECORDS_PER_FRAME: usize = 18;

/// A sampled packet's octets, the default of most agents, and as many samples as fit an Ethernet frame.
const HEADER_OCTETS: usize = 128;
const SAMPLES: usize = 7;

/// What a router's IPv4 template holds: 22 fields, 75 octets.
#[rustfmt::skip]
const FIELDS: [Field; 22] = [
    field(8, 4), field(12, 4), field(7, 2), field(11, 2), field(4, 1), field(5, 1), field(6, 1), field(1, 8),
    field(2, 8), field(152, 8), field(153, 8), field(10, 4), field(14, 4), field(16, 4), field(17, 4), field(9, 1),
    field(13, 1), field(15, 4), field(61, 1), field(136, 1), field(58, 2), field(59, 2),
];

/// Where [`FIELDS`] holds the times; v9 has them as sysUptime, in 4 octets (elements 22 and 21).
const TIMES: std::ops::Range<usize> = 9..11;

pub struct Datagram {
    pub octets: Vec<u8>,
    pub meta: DatagramMeta,
    sequence_at: usize,
    /// By how much the sequence number grows from pass to pass.
    step: u32,
}

impl Datagram {
    /// Turns the datagram into the one that the exporter sends in the next pass.
    pub fn advance(&mut self) {
        if let Some(sequence) = self.octets.get_mut(self.sequence_at..).and_then(<[u8]>::first_chunk_mut) {
            *sequence = u32::from_be_bytes(*sequence).wrapping_add(self.step).to_be_bytes();
        }
    }
}

pub struct Traffic {
    /// Templates and options: sent once, before the datagrams.
    pub announcements: Vec<Datagram>,
    pub datagrams: Vec<Datagram>,
}

/// NetFlow v5, 30 records a datagram.
pub fn v5() -> Traffic {
    let mut random = Random(5);
    let datagrams = datagrams(SEQUENCE_V5, netflow5::MAX_RECORDS as u32, |turn, out| {
        let header = netflow5::Header {
            sys_uptime_ms: UPTIME_MS,
            export_secs: EXPORT_SECS,
            sequence: turn * netflow5::MAX_RECORDS as u32,
            ..netflow5::Header::default()
        };
        let records: Vec<_> = (0..netflow5::MAX_RECORDS).map(|_| Flow::new(&mut random).v5()).collect();
        netflow5::message(&header, &records, out);
    });
    Traffic { announcements: Vec::new(), datagrams }
}

/// NetFlow v9 with [`FIELDS`].
pub fn v9() -> Traffic {
    let mut fields = FIELDS;
    fields[TIMES].copy_from_slice(&[field(22, 4), field(21, 4)]);
    v9_of(&fields, &[], RECORDS, |flow, out| flow.put(false, out))
}

/// IPFIX with [`FIELDS`].
pub fn ipfix(n_records: usize) -> Traffic {
    ipfix_of(&FIELDS, n_records, |flow, out| flow.put(true, out))
}

/// The datagrams of [`ipfix`], all from one exporter or each from another one.
///
/// The octets are the same in both, so what differs in cost is the state of the exporters.
pub fn from_exporters(n: usize, many: bool) -> Traffic {
    let (announcement, mut datagrams) = {
        let Traffic { mut announcements, datagrams } = ipfix(RECORDS);
        (announcements.swap_remove(0).octets, datagrams)
    };
    let octets: Vec<_> = datagrams.drain(..).map(|datagram| datagram.octets).collect();
    let exporters = if many { n } else { 1 };
    let message = |at: usize| Datagram {
        octets: octets[at % octets.len()].clone(),
        meta: meta(at % exporters),
        sequence_at: SEQUENCE_IPFIX,
        step: RECORDS as u32 * (n / exporters) as u32,
    };
    let announce = |at| Datagram { octets: announcement.clone(), meta: meta(at), sequence_at: SEQUENCE_IPFIX, step: 0 };
    let mut traffic =
        Traffic { announcements: (0..exporters).map(announce).collect(), datagrams: (0..n).map(message).collect() };
    for (at, datagram) in traffic.datagrams.iter_mut().enumerate() {
        let sequence = (at / exporters * RECORDS) as u32;
        datagram.octets[SEQUENCE_IPFIX..][..4].copy_from_slice(&sequence.to_be_bytes());
    }
    traffic
}

/// IPFIX with an application name of variable length: every record has to be located by itself.
pub fn variable_length() -> Traffic {
    const NAMES: [&str; 5] = ["https", "dns", "quic", "ssh", "bittorrent-networking"];
    let mut fields = FIELDS.to_vec();
    fields.insert(5, field(96, VARIABLE_LENGTH));
    let mut random = Random(96);
    ipfix_of(&fields, RECORDS, move |flow, out| {
        let mut record = Vec::new();
        flow.put(true, &mut record);
        // Behind addresses, ports and protocol; the octets after it start where they would have without it.
        let (front, back) = record.split_at(13);
        out.put(front);
        out.put_variable(NAMES[random.below(10).min(4) as usize].as_bytes());
        out.put(back);
    })
}

/// NetFlow v9 records with the addresses of both families, one of them zero, as Cisco's flexible records have them.
pub fn both_families() -> Traffic {
    let mut fields = FIELDS.to_vec();
    fields[TIMES].copy_from_slice(&[field(22, 4), field(21, 4)]);
    fields.extend([field(27, 16), field(28, 16), field(62, 16), field(29, 1), field(30, 1)]);
    v9_of(&fields, &[], RECORDS, |flow, out| {
        if flow.id % 4 > 0 {
            flow.put(false, out);
            out.put(&[0; 50]);
            return;
        }
        let v4 = Flow { src: [0; 4], dst: [0; 4], next_hop: [0; 4], masks: [0; 2], ..*flow };
        v4.put(false, out);
        for address in [flow.src, flow.dst, flow.next_hop] {
            out.put(&v6(address));
        }
        out.put(&[48, 32]);
    })
}

/// NetFlow v9 whose records name one of four samplers, with intervals per sampler and per interface announced.
pub fn samplers() -> Traffic {
    let mut fields = FIELDS.to_vec();
    fields[TIMES].copy_from_slice(&[field(22, 4), field(21, 4)]);
    fields.push(field(48, 1));
    let mut options = Vec::new();
    let mut message = netflow9::Message::begin(&netflow9::Header::default(), &mut options);
    message.options_template(OPTIONS, &[(netflow9::Scope::System, 4)], &[field(48, 1), field(50, 4)]);
    message.data(OPTIONS, 4, |out| {
        for sampler in 0..4 {
            out.put_u32(0);
            out.put_u8(sampler);
            out.put_u32(1000 << sampler);
        }
    });
    message.options_template(OPTIONS + 1, &[(netflow9::Scope::Interface, 4)], &[field(34, 4)]);
    message.data(OPTIONS + 1, 32, |out| {
        for interface in 0..32 {
            out.put_u32(interface);
            out.put_u32(512);
        }
    });
    v9_of(&fields, &options, RECORDS, |flow, out| {
        flow.put(false, out);
        out.put_u8((flow.id % 4) as u8);
    })
}

/// IPFIX biflows (RFC 5103 by Cisco's initiator and responder counters): nearly every record becomes two rows.
pub fn biflows() -> Traffic {
    let mut fields = FIELDS.to_vec();
    fields.extend([field(231, 8), field(232, 8), field(298, 8), field(299, 8)]);
    ipfix_of(&fields, RECORDS, |flow, out| {
        flow.put(true, out);
        for counter in [flow.octets, flow.octets / 3, flow.packets, flow.packets / 3] {
            out.put_u64(counter);
        }
    })
}

/// sFlow samples of Ethernet frames, 128 octets each: tagged and not, both families, TCP and UDP.
pub fn sflow() -> Traffic {
    let mut random = Random(15);
    let mut frame = Vec::new();
    let mut sequence = 0;
    let datagrams = datagrams(SEQUENCE_SFLOW, 1, |turn, out| {
        let agent = IpAddr::V4(Ipv4Addr::from(exporter(sequence % EXPORTERS)));
        sequence += 1;
        let header = sflow5::Header { agent, sub_agent_id: 0, sequence: turn, uptime_ms: UPTIME_MS };
        let mut message = sflow5::Message::begin(&header, out);
        for _ in 0..SAMPLES {
            let flow = Flow::new(&mut random);
            flow.frame(&mut frame);
            let sample = sflow5::FlowSample {
                sequence: turn,
                source: sflow5::Source { class: 0, index: flow.in_if },
                sampling_rate: 2048,
                sample_pool: turn * 2048,
                drops: 0,
                input: sflow5::Interface::Index(flow.in_if),
                output: sflow5::Interface::Index(flow.out_if),
            };
            let sampled = SampledHeader {
                protocol: header_protocol::ETHERNET,
                frame_length: 1518,
                stripped: 4,
                header: &frame[..HEADER_OCTETS],
            };
            message.flow_sample(&sample, |records| records.sampled_header(&sampled));
        }
    });
    Traffic { announcements: Vec::new(), datagrams }
}

fn v9_of(fields: &[Field], options: &[u8], n_records: usize, mut put: impl FnMut(&Flow, &mut Vec<u8>)) -> Traffic {
    let mut random = Random(9);
    let header = |sequence| netflow9::Header {
        sys_uptime_ms: UPTIME_MS,
        export_secs: EXPORT_SECS,
        sequence,
        ..netflow9::Header::default()
    };
    let mut announcements = announcements(|out| netflow9::Message::begin(&header(0), out).template(TEMPLATE, fields));
    if !options.is_empty() {
        announcements.extend(self::announcements(|out| out.put(options)));
    }
    let datagrams = datagrams(SEQUENCE_V9, 1, |turn, out| {
        netflow9::Message::begin(&header(turn), out).data(TEMPLATE, n_records, |out| {
            (0..n_records).for_each(|_| put(&Flow::new(&mut random), out));
        });
    });
    Traffic { announcements, datagrams }
}

fn ipfix_of(fields: &[Field], n_records: usize, mut put: impl FnMut(&Flow, &mut Vec<u8>)) -> Traffic {
    let mut random = Random(10);
    let header = |sequence| ipfix::Header { export_secs: EXPORT_SECS, sequence, observation_domain_id: 0 };
    let announcements = announcements(|out| ipfix::Message::begin(&header(0), out).template(TEMPLATE, fields));
    let datagrams = datagrams(SEQUENCE_IPFIX, n_records as u32, |turn, out| {
        ipfix::Message::begin(&header(turn * n_records as u32), out).data(TEMPLATE, |out| {
            (0..n_records).for_each(|_| put(&Flow::new(&mut random), out));
        });
    });
    Traffic { announcements, datagrams }
}

/// One announcement from every exporter.
fn announcements(write: impl Fn(&mut Vec<u8>)) -> Vec<Datagram> {
    let announce = |at| {
        let mut octets = Vec::new();
        write(&mut octets);
        Datagram { octets, meta: meta(at), sequence_at: 0, step: 0 }
    };
    (0..EXPORTERS).map(announce).collect()
}

/// Datagrams from the exporters by turns; `write` is told the turn. A datagram takes `units` of the sequence.
fn datagrams(sequence_at: usize, units: u32, mut write: impl FnMut(u32, &mut Vec<u8>)) -> Vec<Datagram> {
    let step = units * (DATAGRAMS / EXPORTERS) as u32;
    let datagram = |at: usize| {
        let mut octets = Vec::new();
        write((at / EXPORTERS) as u32, &mut octets);
        Datagram { octets, meta: meta(at % EXPORTERS), sequence_at, step }
    };
    (0..DATAGRAMS).map(datagram).collect()
}

fn exporter(at: usize) -> [u8; 4] {
    let [.., high, low] = (at + 1).to_be_bytes();
    [10, 200, high, low]
}

fn meta(at: usize) -> DatagramMeta {
    DatagramMeta { source: SocketAddr::from((exporter(at), 50_000)), received_at: i64::from(EXPORT_SECS) * 1000 + 250 }
}

fn v6([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0x20, 0x01, 0x0d, 0xb8, a, b, 0, 0, 0, 0, 0, 0, 0, 0, c, d]
}

/// One flow: 85 % TCP, 13 % UDP, 2 % ICMP, as networks carry it.
#[derive(Clone, Copy)]
struct Flow {
    id: u64,
    src: [u8; 4],
    dst: [u8; 4],
    next_hop: [u8; 4],
    ports: [u16; 2],
    proto: u8,
    tcp_flags: u8,
    octets: u64,
    packets: u64,
    /// Before the export.
    start_ms: u32,
    end_ms: u32,
    in_if: u32,
    out_if: u32,
    asns: [u32; 2],
    masks: [u8; 2],
}

impl Flow {
    fn new(random: &mut Random) -> Self {
        let proto = match random.below(100) {
            0..85 => 6,
            85..98 => 17,
            _ => 1,
        };
        let packets = 1 + random.below(200);
        let end_ms = random.below(15_000) as u32;
        let [.., a, b] = random.below(1 << 16).to_be_bytes();
        Self {
            id: random.next(),
            src: [10, 1, a, b],
            dst: (random.next() as u32 | 0x4000_0000).to_be_bytes(),
            next_hop: [10, 255, 0, 1 + random.below(4) as u8],
            ports: if proto == 1 { [0, 0x0800] } else { [1024 + random.below(60_000) as u16, 443] },
            proto,
            tcp_flags: if proto == 6 { 0x1b } else { 0 },
            octets: packets * (64 + random.below(1400)),
            packets,
            start_ms: end_ms + random.below(60_000) as u32,
            end_ms,
            in_if: 1 + random.below(32) as u32,
            out_if: 1 + random.below(32) as u32,
            asns: [64_500, 1000 + random.below(60_000) as u32],
            masks: [24, 16 + random.below(9) as u8],
        }
    }

    /// The octets of a record of [`FIELDS`]; the times as milliseconds or as sysUptime.
    fn put(&self, milliseconds: bool, out: &mut Vec<u8>) {
        out.put(&self.src);
        out.put(&self.dst);
        self.ports.iter().for_each(|&port| out.put_u16(port));
        out.put(&[self.proto, 0, self.tcp_flags]);
        out.put_u64(self.octets);
        out.put_u64(self.packets);
        for before in [self.start_ms, self.end_ms] {
            if milliseconds {
                out.put_u64(u64::from(EXPORT_SECS) * 1000 - u64::from(before));
            } else {
                out.put_u32(UPTIME_MS - before);
            }
        }
        out.put_u32(self.in_if);
        out.put_u32(self.out_if);
        self.asns.iter().for_each(|&asn| out.put_u32(asn));
        out.put(&self.masks);
        out.put(&self.next_hop);
        out.put(&[(self.id & 1) as u8, 1 + (self.id % 3) as u8]);
        out.put_u16(100);
        out.put_u16(200);
    }

    fn v5(&self) -> netflow5::Record {
        netflow5::Record {
            src_addr: self.src,
            dst_addr: self.dst,
            next_hop: self.next_hop,
            in_if_index: self.in_if as u16,
            out_if_index: self.out_if as u16,
            packets: self.packets as u32,
            octets: self.octets as u32,
            first_ms: UPTIME_MS - self.start_ms,
            last_ms: UPTIME_MS - self.end_ms,
            src_port: self.ports[0],
            dst_port: self.ports[1],
            tcp_flags: self.tcp_flags,
            proto: self.proto,
            tos: 0,
            src_as: self.asns[0] as u16,
            dst_as: self.asns[1] as u16,
            src_mask: self.masks[0],
            dst_mask: self.masks[1],
        }
    }

    /// A frame of the flow: a quarter is IPv6, half is tagged.
    fn frame(&self, out: &mut Vec<u8>) {
        let ethernet = Layer::Ethernet { dst: [2, 0, 0, 0, 0, 1], src: [2, 0, 0, 0, 0, 2] };
        let tag = Layer::Vlan { tpid: packet::TPID_8021Q, tci: 100 };
        let ip = if self.id.is_multiple_of(4) {
            Layer::Ipv6(Ipv6 { src: v6(self.src), dst: v6(self.dst), hop_limit: 60, ..Ipv6::default() })
        } else {
            Layer::Ipv4(Ipv4 { src: self.src, dst: self.dst, ttl: 60, ..Ipv4::default() })
        };
        let [src_port, dst_port] = self.ports;
        let transport = match self.proto {
            6 => Layer::Tcp { src_port, dst_port, flags: u16::from(self.tcp_flags) },
            _ => Layer::Udp { src_port, dst_port },
        };
        let payload = Layer::Payload(&[0; 1400]);
        out.clear();
        if self.id % 8 < 4 {
            packet::write(&[ethernet, tag, ip, transport, payload], out);
        } else {
            packet::write(&[ethernet, ip, transport, payload], out);
        }
    }
}

/// The same numbers from run to run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
