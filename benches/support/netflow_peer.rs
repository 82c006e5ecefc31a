//! `netflow_parser`, used as well as its interface allows: parse, then fill the columns that Helios fills.
//!
//! A set's records are turned into columns field by field: one decision per field and set, not one per value. That
//! was faster than going record by record.

use std::net::Ipv4Addr;

use helios_collector::decode::DatagramMeta;
use helios_common::columns::*;
use helios_common::exporter::{ExporterId, address_of, mapped};
use helios_common::flow::{BATCH_ROWS, FlowBatch};
use helios_common::time::{UnixMs, UptimeClock};
use netflow_parser::static_versions::v5;
use netflow_parser::variable_versions::field_value::{DataNumber, DurationValue, FieldValue};
use netflow_parser::variable_versions::ipfix::lookup::{IANAIPFixField, IPFixField};
use netflow_parser::variable_versions::v9::lookup::V9Field;
use netflow_parser::variable_versions::{ipfix, v9};
use netflow_parser::{AutoScopedParser, NetflowPacket};

use super::traffic::Traffic;

const ICMP: u8 = 1;
const IPV4: u16 = 0x0800;

pub struct NetflowPeer {
    parser: AutoScopedParser,
    pub batch: FlowBatch,
}

impl NetflowPeer {
    /// A parser that has seen the templates of `traffic`.
    pub fn new(traffic: &Traffic) -> Self {
        let mut parser = AutoScopedParser::new();
        for datagram in &traffic.announcements {
            let _templates_have_no_rows = parser.parse_from_source(datagram.meta.source, &datagram.octets);
        }
        Self { parser, batch: FlowBatch::new() }
    }

    /// Parses all datagrams once.
    pub fn parse(&mut self, traffic: &mut Traffic) -> usize {
        let mut rows = 0;
        for datagram in &mut traffic.datagrams {
            datagram.advance();
            let parsed = self.parser.parse_from_source(datagram.meta.source, &datagram.octets);
            rows += std::hint::black_box(&parsed.packets).iter().map(records).sum::<usize>();
        }
        rows
    }

    /// Parses all datagrams once and fills columns with them.
    pub fn columns(&mut self, traffic: &mut Traffic) -> usize {
        let mut rows = 0;
        for datagram in &mut traffic.datagrams {
            datagram.advance();
            if self.batch.rows() >= BATCH_ROWS {
                self.batch.seal();
                self.batch.clear();
            }
            let parsed = self.parser.parse_from_source(datagram.meta.source, &datagram.octets);
            rows += parsed.packets.iter().map(|packet| fill(packet, &datagram.meta, &mut self.batch)).sum::<usize>();
        }
        rows
    }
}

fn records(packet: &NetflowPacket) -> usize {
    match packet {
        NetflowPacket::V5(packet) => packet.flowsets.len(),
        NetflowPacket::V9(packet) => packet.flowsets.iter().map(|set| v9_records(set).len()).sum(),
        NetflowPacket::IPFix(packet) => packet.flowsets.iter().map(|set| ipfix_records(set).len()).sum(),
        _ => 0,
    }
}

fn v9_records(set: &v9::FlowSet) -> &[v9::V9FlowRecord] {
    if let v9::FlowSetBody::Data(data) = &set.body { &data.fields } else { &[] }
}

fn ipfix_records(set: &ipfix::FlowSet) -> &[ipfix::IPFixFlowRecord] {
    if let ipfix::FlowSetBody::Data(data) = &set.body { &data.fields } else { &[] }
}

/// Appends the rows of a packet.
fn fill(packet: &NetflowPacket, meta: &DatagramMeta, out: &mut FlowBatch) -> usize {
    match packet {
        NetflowPacket::V5(packet) => {
            let Header5 { clock } = Header5::of(&packet.header);
            v5_columns(&packet.flowsets, clock, out);
            finish(packet.flowsets.len(), 5, meta, out)
        }
        NetflowPacket::V9(packet) => {
            let header = &packet.header;
            let clock = UptimeClock::new(i64::from(header.unix_secs) * 1000, header.sys_up_time);
            packet.flowsets.iter().map(v9_records).fold(0, |rows, records| {
                columns(records, Some(clock), out);
                rows + finish(records.len(), 9, meta, out)
            })
        }
        NetflowPacket::IPFix(packet) => packet.flowsets.iter().map(ipfix_records).fold(0, |rows, records| {
            columns(records, None, out);
            rows + finish(records.len(), 10, meta, out)
        }),
        _ => 0,
    }
}

struct Header5 {
    clock: UptimeClock,
}

impl Header5 {
    fn of(header: &v5::Header) -> Self {
        let export_ms = i64::from(header.unix_secs) * 1000 + i64::from(header.unix_nsecs / 1_000_000);
        Self { clock: UptimeClock::new(export_ms, header.sys_up_time) }
    }
}

fn v5_columns(records: &[v5::FlowSet], clock: UptimeClock, out: &mut FlowBatch) {
    let address = |v4: Ipv4Addr| mapped(v4.octets());
    out.open(SRC_ADDR).extend(records.iter().map(|record| address(record.src_addr)));
    out.open(DST_ADDR).extend(records.iter().map(|record| address(record.dst_addr)));
    out.open(NEXT_HOP).extend(records.iter().map(|record| address(record.next_hop)));
    out.open(IN_IF_INDEX).extend(records.iter().map(|record| u32::from(record.input)));
    out.open(OUT_IF_INDEX).extend(records.iter().map(|record| u32::from(record.output)));
    out.open(PACKETS).extend(records.iter().map(|record| u64::from(record.d_pkts)));
    out.open(BYTES).extend(records.iter().map(|record| u64::from(record.d_octets)));
    out.open(FLOW_START).extend(records.iter().map(|record| clock.unix_ms(record.first)));
    out.open(FLOW_END).extend(records.iter().map(|record| clock.unix_ms(record.last)));
    out.open(SRC_PORT).extend(records.iter().map(|record| record.src_port));
    out.open(DST_PORT).extend(records.iter().map(|record| record.dst_port));
    out.open(TCP_FLAGS).extend(records.iter().map(|record| u16::from(record.tcp_flags)));
    out.open(PROTO).extend(records.iter().map(|record| record.protocol_number));
    out.open(TOS).extend(records.iter().map(|record| record.tos));
    out.open(SRC_AS).extend(records.iter().map(|record| u32::from(record.src_as)));
    out.open(DST_AS).extend(records.iter().map(|record| u32::from(record.dst_as)));
    out.open(SRC_MASK).extend(records.iter().map(|record| record.src_mask));
    out.open(DST_MASK).extend(records.iter().map(|record| record.dst_mask));
}

/// Fills the columns of v9 or IPFIX records, which all have the same fields.
fn columns<F: Element>(records: &[Vec<(F, FieldValue)>], clock: Option<UptimeClock>, out: &mut FlowBatch) {
    let Some(first) = records.first() else { return };
    for (at, (field, _)) in first.iter().enumerate() {
        let values = records.iter().filter_map(|record| record.get(at)).map(|(_, value)| value);
        let numbers = values.clone().map(number);
        let uptimes = |ms| clock.map_or(0, |clock| clock.unix_ms(ms as u32));
        match field.element() {
            1 => out.open(BYTES).extend(numbers),
            2 => out.open(PACKETS).extend(numbers),
            4 => out.open(PROTO).extend(numbers.map(|n| n as u8)),
            5 => out.open(TOS).extend(numbers.map(|n| n as u8)),
            6 => out.open(TCP_FLAGS).extend(numbers.map(|n| n as u16)),
            7 => out.open(SRC_PORT).extend(numbers.map(|n| n as u16)),
            8 => out.open(SRC_ADDR).extend(values.map(address)),
            9 => out.open(SRC_MASK).extend(numbers.map(|n| n as u8)),
            10 => out.open(IN_IF_INDEX).extend(numbers.map(|n| n as u32)),
            11 => out.open(DST_PORT).extend(numbers.map(|n| n as u16)),
            12 => out.open(DST_ADDR).extend(values.map(address)),
            13 => out.open(DST_MASK).extend(numbers.map(|n| n as u8)),
            14 => out.open(OUT_IF_INDEX).extend(numbers.map(|n| n as u32)),
            15 => out.open(NEXT_HOP).extend(values.map(address)),
            16 => out.open(SRC_AS).extend(numbers.map(|n| n as u32)),
            17 => out.open(DST_AS).extend(numbers.map(|n| n as u32)),
            21 => out.open(FLOW_END).extend(numbers.map(uptimes)),
            22 => out.open(FLOW_START).extend(numbers.map(uptimes)),
            58 => out.open(SRC_VLAN).extend(numbers.map(|n| n as u16)),
            59 => out.open(DST_VLAN).extend(numbers.map(|n| n as u16)),
            61 => out.open(FLOW_DIRECTION).extend(numbers.map(|n| n as u8 + 1)),
            136 => out.open(FLOW_END_REASON).extend(numbers.map(|n| n as u8)),
            152 => out.open(FLOW_START).extend(numbers.map(|n| n as UnixMs)),
            153 => out.open(FLOW_END).extend(numbers.map(|n| n as UnixMs)),
            _ => {}
        }
    }
}

/// What rows have besides the fields of their records.
fn finish(n: usize, protocol: u8, meta: &DatagramMeta, out: &mut FlowBatch) -> usize {
    let rows = out.rows();
    out.fill(RECEIVED_AT, n, meta.received_at);
    out.fill(EXPORTER_ADDRESS, n, address_of(meta.source.ip()));
    out.fill(EXPORT_PROTOCOL, n, protocol);
    out.fill(SAMPLING_INTERVAL, n, 1);
    out.fill(SAMPLING_SOURCE, n, 0);
    out.fill(ETHER_TYPE, n, IPV4);
    for row in rows..rows + n {
        if out.get(PROTO, row) == ICMP {
            let port = out.get(DST_PORT, row);
            out.open_slice(ICMP_TYPE, n)[row - rows] = (port >> 8) as u8;
            out.open_slice(ICMP_CODE, n)[row - rows] = port as u8;
        }
    }
    out.advance(n, ExporterId(0));
    n
}

fn number(value: &FieldValue) -> u64 {
    match value {
        FieldValue::DataNumber(number) => match *number {
            DataNumber::U8(n) => n.into(),
            DataNumber::U16(n) => n.into(),
            DataNumber::U24(n) | DataNumber::U32(n) => n.into(),
            DataNumber::U64(n) => n,
            _ => 0,
        },
        FieldValue::ProtocolType(protocol) => u8::from(*protocol).into(),
        FieldValue::TcpControlBits(bits, _) => u16::from(*bits).into(),
        FieldValue::FlowEndReason(reason) => u8::from(*reason).into(),
        FieldValue::Duration(DurationValue::Millis { value, .. } | DurationValue::Seconds { value, .. }) => *value,
        _ => 0,
    }
}

fn address(value: &FieldValue) -> [u8; 16] {
    match value {
        FieldValue::Ip4Addr(v4) => mapped(v4.octets()),
        FieldValue::Ip6Addr(v6) => v6.octets(),
        _ => [0; 16],
    }
}

/// The number of a field in IANA's registry.
trait Element {
    fn element(&self) -> u16;
}

impl Element for V9Field {
    fn element(&self) -> u16 {
        u16::from(*self)
    }
}

impl Element for IPFixField {
    fn element(&self) -> u16 {
        match *self {
            Self::IANA(field) => iana(field),
            _ => 0,
        }
    }
}

fn iana(field: IANAIPFixField) -> u16 {
    use IANAIPFixField as F;
    match field {
        F::OctetDeltaCount => 1,
        F::PacketDeltaCount => 2,
        F::ProtocolIdentifier => 4,
        F::IpClassOfService => 5,
        F::TcpControlBits => 6,
        F::SourceTransportPort => 7,
        F::SourceIpv4address => 8,
        F::SourceIpv4prefixLength => 9,
        F::IngressInterface => 10,
        F::DestinationTransportPort => 11,
        F::DestinationIpv4address => 12,
        F::DestinationIpv4prefixLength => 13,
        F::EgressInterface => 14,
        F::IpNextHopIpv4address => 15,
        F::BgpSourceAsNumber => 16,
        F::BgpDestinationAsNumber => 17,
        F::VlanId => 58,
        F::PostVlanId => 59,
        F::FlowDirection => 61,
        F::FlowEndReason => 136,
        F::FlowStartMilliseconds => 152,
        F::FlowEndMilliseconds => 153,
        _ => 0,
    }
}
