//! Flows that every version can carry, written in each of them, and what the rows of them have to be.
//!
//! Tests and fuzz targets hold the decoders against these rows.

use std::net::{IpAddr, Ipv4Addr};

use crate::decode::Protocol;
use crate::encode::sflow5::records::{ExtendedGateway, ExtendedRouter, PathSegment, SampledIpv4};
use crate::encode::{Field, Put, field, ipfix, netflow1, netflow5, netflow7, netflow9, sflow5};
use helios_common::columns::{
    BYTES, DST_ADDR, DST_AS, DST_MASK, DST_PORT, FLOW_END, FLOW_START, IN_IF_INDEX, NEXT_HOP, OUT_IF_INDEX, PACKETS,
    PROTO, SAMPLING_INTERVAL, SRC_ADDR, SRC_AS, SRC_MASK, SRC_PORT, TCP_FLAGS, TOS,
};
use helios_common::exporter::{Address, mapped};
use helios_common::flow::FlowBatch;

/// When the messages leave, in whole seconds because v9 has no more.
pub const EXPORT_MS: i64 = 1_700_000_000_000;
const EXPORT_SECS: u32 = 1_700_000_000;

/// Device uptime at export: 10 s behind the wrap of sysUptime, so that flows begin on either side of it.
const UPTIME_MS: u32 = 10_000;

/// The sampling interval that all messages announce; it fits into the 14 bits of v5.
pub const INTERVAL: u32 = 100;

/// A flow of IPv4 in the widths that v5 has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// sourceIPv4Address (IANA element 8).
    pub src: [u8; 4],
    /// destinationIPv4Address (element 12).
    pub dst: [u8; 4],
    /// ipNextHopIPv4Address (element 15); 0.0.0.0 if there is none.
    pub next_hop: [u8; 4],
    /// sourceTransportPort (element 7).
    pub src_port: u16,
    /// destinationTransportPort (element 11).
    pub dst_port: u16,
    /// protocolIdentifier (element 4).
    pub proto: u8,
    /// The lower octet of tcpControlBits (element 6).
    pub tcp_flags: u8,
    /// ipClassOfService (element 5).
    pub tos: u8,
    /// packetDeltaCount (element 2).
    pub packets: u32,
    /// octetDeltaCount (element 1).
    pub octets: u32,
    /// ingressInterface (element 10): an ifIndex, 0 is unknown.
    pub in_if_index: u16,
    /// egressInterface (element 14): an ifIndex, 0 is unknown.
    pub out_if_index: u16,
    /// bgpSourceAsNumber (element 16); 0 is unknown.
    pub src_as: u16,
    /// bgpDestinationAsNumber (element 17); 0 is unknown.
    pub dst_as: u16,
    /// sourceIPv4PrefixLength (element 9), in bits.
    pub src_mask: u8,
    /// destinationIPv4PrefixLength (element 13), in bits.
    pub dst_mask: u8,
    /// Milliseconds from the first packet to the export.
    pub began_ms_ago: u32,
    /// Milliseconds from the last packet to the export.
    pub ended_ms_ago: u32,
}

impl Flow {
    fn first_ms(&self) -> u32 {
        UPTIME_MS.wrapping_sub(self.began_ms_ago)
    }

    fn last_ms(&self) -> u32 {
        UPTIME_MS.wrapping_sub(self.ended_ms_ago)
    }

    fn netflow5(&self) -> netflow5::Record {
        netflow5::Record {
            src_addr: self.src,
            dst_addr: self.dst,
            next_hop: self.next_hop,
            in_if_index: self.in_if_index,
            out_if_index: self.out_if_index,
            packets: self.packets,
            octets: self.octets,
            first_ms: self.first_ms(),
            last_ms: self.last_ms(),
            src_port: self.src_port,
            dst_port: self.dst_port,
            tcp_flags: self.tcp_flags,
            proto: self.proto,
            tos: self.tos,
            src_as: self.src_as,
            dst_as: self.dst_as,
            src_mask: self.src_mask,
            dst_mask: self.dst_mask,
        }
    }
}

/// A row in the columns that flows have; `None` where the version has no such field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Source and destination.
    pub addresses: (Address, Address),
    /// Source and destination.
    pub ports: (u16, u16),
    /// IANA protocol number.
    pub proto: u8,
    /// The 12 bits of tcpControlBits (RFC 7125).
    pub tcp_flags: u16,
    /// DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
    /// As exported, not multiplied by the sampling interval.
    pub packets: u64,
    /// The column `bytes`: as exported, not multiplied by the sampling interval.
    pub octets: u64,
    /// ifIndex of the ingress and of the egress interface; 0 is unknown.
    pub interfaces: (u32, u32),
    /// All zeros if there is none.
    pub next_hop: Address,
    /// Source and destination AS number; 0 is unknown.
    pub systems: (u32, u32),
    /// Prefix lengths of source and destination, in bits of the address family.
    pub masks: (u8, u8),
    /// First and last packet, Unix milliseconds.
    pub times: Option<(i64, i64)>,
    /// N of 1-in-N packets.
    pub sampling_interval: Option<u32>,
}

/// All rows of a batch.
pub fn rows(batch: &FlowBatch) -> Vec<Row> {
    let row = |row| Row {
        addresses: (batch.get(SRC_ADDR, row), batch.get(DST_ADDR, row)),
        ports: (batch.get(SRC_PORT, row), batch.get(DST_PORT, row)),
        proto: batch.get(PROTO, row),
        tcp_flags: batch.get(TCP_FLAGS, row),
        tos: batch.get(TOS, row),
        packets: batch.get(PACKETS, row),
        octets: batch.get(BYTES, row),
        interfaces: (batch.get(IN_IF_INDEX, row), batch.get(OUT_IF_INDEX, row)),
        next_hop: batch.get(NEXT_HOP, row),
        systems: (batch.get(SRC_AS, row), batch.get(DST_AS, row)),
        masks: (batch.get(SRC_MASK, row), batch.get(DST_MASK, row)),
        times: Some((batch.get(FLOW_START, row), batch.get(FLOW_END, row))),
        sampling_interval: Some(batch.get(SAMPLING_INTERVAL, row)),
    };
    (0..batch.rows()).map(row).collect()
}

/// A next hop of zero is none.
fn next_hop(octets: [u8; 4]) -> Address {
    if octets == [0; 4] { [0; 16] } else { mapped(octets) }
}

impl Flow {
    /// The row that a message with this flow has to become.
    pub fn row(&self) -> Row {
        Row {
            addresses: (mapped(self.src), mapped(self.dst)),
            ports: (self.src_port, self.dst_port),
            proto: self.proto,
            tcp_flags: u16::from(self.tcp_flags),
            tos: self.tos,
            packets: u64::from(self.packets),
            octets: u64::from(self.octets),
            interfaces: (u32::from(self.in_if_index), u32::from(self.out_if_index)),
            next_hop: next_hop(self.next_hop),
            systems: (u32::from(self.src_as), u32::from(self.dst_as)),
            masks: (self.src_mask, self.dst_mask),
            times: Some((EXPORT_MS - i64::from(self.began_ms_ago), EXPORT_MS - i64::from(self.ended_ms_ago))),
            sampling_interval: Some(INTERVAL),
        }
    }
}

impl Row {
    /// Without what `protocol` cannot carry: v1 and v7 have no sampling interval, v1 has no systems and masks, an sFlow
    /// sample is one packet without times.
    pub fn as_carried_by(mut self, protocol: Protocol) -> Self {
        match protocol {
            Protocol::Netflow1 => (self.sampling_interval, self.systems, self.masks) = (None, (0, 0), (0, 0)),
            Protocol::Netflow7 => self.sampling_interval = None,
            Protocol::Sflow5 => (self.times, self.packets) = (None, 1),
            _ => {}
        }
        self
    }
}

/// The flows as one message of `protocol`, its template and sampling options included.
pub fn message(protocol: Protocol, flows: &[Flow]) -> Vec<u8> {
    let mut out = Vec::new();
    match protocol {
        Protocol::Netflow1 => {
            let records: Vec<_> = flows.iter().map(Flow::netflow5).collect();
            let header =
                netflow1::Header { sys_uptime_ms: UPTIME_MS, export_secs: EXPORT_SECS, ..netflow1::Header::default() };
            netflow1::message(&header, &records, &mut out);
        }
        Protocol::Netflow5 => {
            let records: Vec<_> = flows.iter().map(Flow::netflow5).collect();
            let header = netflow5::Header {
                sys_uptime_ms: UPTIME_MS,
                export_secs: EXPORT_SECS,
                sampling: 1 << 14 | INTERVAL as u16, // mode 1, deterministic
                ..netflow5::Header::default()
            };
            netflow5::message(&header, &records, &mut out);
        }
        Protocol::Netflow7 => {
            let record = |flow: &Flow| netflow7::Record { common: flow.netflow5(), ..netflow7::Record::default() };
            let records: Vec<_> = flows.iter().map(record).collect();
            let header =
                netflow7::Header { sys_uptime_ms: UPTIME_MS, export_secs: EXPORT_SECS, ..netflow7::Header::default() };
            netflow7::message(&header, &records, &mut out);
        }
        Protocol::Netflow9 => write_netflow9(flows, &mut out),
        Protocol::Ipfix => write_ipfix(flows, &mut out),
        Protocol::Sflow5 => write_sflow5(flows, &mut out),
    }
    out
}

/// The fields of both template-based versions, but for the two of time.
const FIELDS: [Field; 16] = [
    field(8, 4),
    field(12, 4),
    field(15, 4),
    field(7, 2),
    field(11, 2),
    field(4, 1),
    field(6, 1),
    field(5, 1),
    field(2, 4),
    field(1, 4),
    field(10, 2),
    field(14, 2),
    field(16, 2),
    field(17, 2),
    field(9, 1),
    field(13, 1),
];

fn write_fields(flow: &Flow, out: &mut Vec<u8>) {
    [flow.src, flow.dst, flow.next_hop].into_iter().for_each(|address| out.put(&address));
    out.put_u16(flow.src_port);
    out.put_u16(flow.dst_port);
    out.put(&[flow.proto, flow.tcp_flags, flow.tos]);
    out.put_u32(flow.packets);
    out.put_u32(flow.octets);
    for value in [flow.in_if_index, flow.out_if_index, flow.src_as, flow.dst_as] {
        out.put_u16(value);
    }
    out.put(&[flow.src_mask, flow.dst_mask]);
}

fn write_netflow9(flows: &[Flow], out: &mut Vec<u8>) {
    let header = netflow9::Header { sys_uptime_ms: UPTIME_MS, export_secs: EXPORT_SECS, ..netflow9::Header::default() };
    let mut message = netflow9::Message::begin(&header, out);
    message.options_template(257, &[(netflow9::Scope::System, 4)], &[field(34, 4)]);
    message.data(257, 1, |out| [0, INTERVAL].into_iter().for_each(|value| out.put_u32(value)));
    message.template(256, &[&FIELDS[..], &[field(22, 4), field(21, 4)]].concat());
    message.data(256, flows.len(), |out| {
        for flow in flows {
            write_fields(flow, out);
            out.put_u32(flow.first_ms());
            out.put_u32(flow.last_ms());
        }
    });
}

fn write_ipfix(flows: &[Flow], out: &mut Vec<u8>) {
    let header = ipfix::Header { export_secs: EXPORT_SECS, ..ipfix::Header::default() };
    let mut message = ipfix::Message::begin(&header, out);
    message.options_template(257, 1, &[field(149, 4), field(305, 4), field(306, 4)]);
    message.data(257, |out| [0, 1, INTERVAL - 1].into_iter().for_each(|value| out.put_u32(value)));
    message.template(256, &[&FIELDS[..], &[field(152, 8), field(153, 8)]].concat());
    message.data(256, |out| {
        for flow in flows {
            write_fields(flow, out);
            out.put_u64((EXPORT_MS - i64::from(flow.began_ms_ago)) as u64);
            out.put_u64((EXPORT_MS - i64::from(flow.ended_ms_ago)) as u64);
        }
    });
}

fn write_sflow5(flows: &[Flow], out: &mut Vec<u8>) {
    let agent = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let header = sflow5::Header { agent, sub_agent_id: 0, sequence: 1, uptime_ms: UPTIME_MS };
    let mut message = sflow5::Message::begin(&header, out);
    for flow in flows {
        let sample = sflow5::FlowSample {
            sequence: 1,
            source: sflow5::Source { class: 0, index: 0 },
            sampling_rate: INTERVAL,
            sample_pool: INTERVAL,
            drops: 0,
            input: sflow5::Interface::Index(u32::from(flow.in_if_index)),
            output: sflow5::Interface::Index(u32::from(flow.out_if_index)),
        };
        let path = [flow.dst_as].map(u32::from);
        let path = [PathSegment::Sequence(&path)];
        message.flow_sample(&sample, |records| {
            records.sampled_ipv4(&SampledIpv4 {
                length: flow.octets,
                protocol: u32::from(flow.proto),
                src: flow.src,
                dst: flow.dst,
                src_port: u32::from(flow.src_port),
                dst_port: u32::from(flow.dst_port),
                tcp_flags: u32::from(flow.tcp_flags),
                tos: u32::from(flow.tos),
            });
            records.extended_router(&ExtendedRouter {
                next_hop: IpAddr::from(flow.next_hop),
                src_mask: u32::from(flow.src_mask),
                dst_mask: u32::from(flow.dst_mask),
            });
            records.extended_gateway(&ExtendedGateway {
                next_hop: IpAddr::from(flow.next_hop),
                own_as: 0,
                src_as: u32::from(flow.src_as),
                src_peer_as: 0,
                dst_path: if flow.dst_as == 0 { &[] } else { &path },
                communities: &[],
                local_preference: 0,
            });
        });
    }
}
