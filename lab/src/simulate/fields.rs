//! Records of template protocols: values of conversations by information element, and both families' pools.

use std::net::IpAddr;

use helios_collector::encode::{Field, Put};

use super::conversation::Conversation;
use super::internet::{Family, Side};
use super::random::Random;
use super::records::{Layout, RecordPool};

/// Share of flows that are IPv6.
const IPV6_PER_CENT: u64 = 15;

/// The sampler that all flows refer to.
pub(super) const SAMPLER: u32 = 1;

/// Values of flowEndReason (RFC 5102): idle timeout, active timeout, end of flow.
const END_IDLE: u64 = 1;
const END_ACTIVE: u64 = 2;
const END_DETECTED: u64 = 3;
const TCP_FIN: u8 = 0x01;

/// Pools of IPv4 and IPv6 records, each with its template.
#[derive(Debug)]
pub(super) struct FamilyPools {
    pub v4: RecordPool,
    pub v6: RecordPool,
}

impl FamilyPools {
    pub(super) fn new(v4: &[Field], v6: &[Field], random: &mut Random) -> Self {
        let mut pool = |family, fields: &[Field]| {
            RecordPool::new(family, layout(fields), random, |conversation, out| record(fields, conversation, out))
        };
        Self { v4: pool(Family::V4, v4), v6: pool(Family::V6, v6) }
    }
}

/// Chooses the family of the next burst so that the share of IPv6 is kept.
#[derive(Debug, Default)]
pub(super) struct Shares {
    flows: u64,
    v6_flows: u64,
}

impl Shares {
    pub(super) fn next(&mut self, n: usize) -> Family {
        let n = n as u64;
        let behind = self.v6_flows * 100 < self.flows * IPV6_PER_CENT;
        self.flows += n;
        self.v6_flows += if behind { n } else { 0 };
        if behind { Family::V6 } else { Family::V4 }
    }
}

/// Where the changing fields stand in the record of a template that has them all.
fn layout(fields: &[Field]) -> Layout {
    let at = |ids: &[u16]| {
        let before = fields.iter().take_while(|field| !ids.contains(&field.ie.id));
        before.map(|field| usize::from(field.length)).sum()
    };
    Layout {
        octets: at(&[1]),
        packets: at(&[2]),
        start: at(&[22, 152]),
        end: at(&[21, 153]),
        src_port: at(&[7]),
        dst_port: at(&[11]),
    }
}

/// Appends a record of a conversation. Octets, packets and times are written when a flow is sent.
fn record(fields: &[Field], conversation: &Conversation, out: &mut Vec<u8>) {
    let Conversation { src, dst, .. } = conversation;
    for field in fields {
        let value = match field.ie.id {
            8 | 27 => {
                address(src.address, out);
                continue;
            }
            12 | 28 => {
                address(dst.address, out);
                continue;
            }
            15 | 62 => {
                address(conversation.next_hop, out);
                continue;
            }
            4 => conversation.proto.into(),
            5 => conversation.tos.into(),
            6 => conversation.tcp_flags.into(),
            7 => conversation.src_port.into(),
            9 | 29 => src.mask.into(),
            10 => conversation.in_if_index.into(),
            11 => conversation.dst_port.into(),
            13 | 30 => dst.mask.into(),
            14 => conversation.out_if_index.into(),
            16 => src.asn.into(),
            17 => dst.asn.into(),
            32 | 139 => u64::from(conversation.icmp_type) << 8,
            48 | 302 => SAMPLER.into(),
            58 => conversation.vlan.into(),
            // Ingress from the Internet, egress towards it.
            61 => u64::from(src.side != Side::Internet),
            89 => conversation.forwarding_status.into(),
            136 => end_reason(conversation),
            _ => 0,
        };
        let length = usize::from(field.length);
        out.put(value.to_be_bytes().get(8 - length..).unwrap_or_default());
    }
}

fn end_reason(conversation: &Conversation) -> u64 {
    match (conversation.tcp_flags & TCP_FIN != 0, conversation.vlan % 4) {
        (true, _) => END_DETECTED,
        (false, 0) => END_ACTIVE,
        (false, _) => END_IDLE,
    }
}

fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => out.put(&v4.octets()),
        IpAddr::V6(v6) => out.put(&v6.octets()),
    }
}
