//! Exporters of NetFlow v1, v5 and v7: fixed records, nothing to announce.

use std::net::IpAddr;
use std::sync::Arc;

use helios_collector::encode::{netflow1, netflow5, netflow7};

use super::conversation::Conversation;
use super::exporter::{Datagrams, Device, Visit, portions};
use super::internet::Family;
use super::random::Random;
use super::records::{Draw, Layout, RecordPool, Volume};

/// Where a record has what changes from flow to flow: at the same places in all three versions.
const LAYOUT: Layout = Layout { packets: 16, octets: 20, start: 24, end: 28, src_port: 32, dst_port: 34 };

/// What stands in the 16 bits of AS numbers for those beyond (RFC 6793 §4.2.2).
const AS_TRANS: u16 = 23_456;

/// Sampling mode 2, random, in the upper two bits of the header's field.
const RANDOM_SAMPLING: u16 = 2 << 14;

/// The router whose shortcuts the Catalyst took.
const ROUTER: [u8; 4] = [10, 255, 0, 1];

pub(super) fn pool_v1(random: &mut Random) -> RecordPool {
    RecordPool::new(Family::V4, LAYOUT, random, |conversation, out| netflow1::write(&record(conversation), out))
}

pub(super) fn pool_v5(random: &mut Random) -> RecordPool {
    RecordPool::new(Family::V4, LAYOUT, random, |conversation, out| record(conversation).write(out))
}

pub(super) fn pool_v7(random: &mut Random) -> RecordPool {
    RecordPool::new(Family::V4, LAYOUT, random, |conversation, out| {
        netflow7::Record { common: record(conversation), flags: 0, more_flags: 0, router: ROUTER }.write(out);
    })
}

/// A device that speaks v1, v5 or v7.
#[derive(Debug)]
pub(super) struct Exporting {
    version: Version,
    pool: Arc<RecordPool>,
    window: usize,
    flows_sent: u32,
}

#[derive(Debug, Clone, Copy)]
enum Version {
    V1,
    V5,
    V7,
}

impl Exporting {
    pub(super) fn v1(pool: Arc<RecordPool>, random: &mut Random) -> Self {
        Self { version: Version::V1, pool, window: RecordPool::window(random), flows_sent: 0 }
    }

    pub(super) fn v5(pool: Arc<RecordPool>, random: &mut Random) -> Self {
        Self { version: Version::V5, pool, window: RecordPool::window(random), flows_sent: 0 }
    }

    pub(super) fn v7(pool: Arc<RecordPool>, random: &mut Random) -> Self {
        Self { version: Version::V7, pool, window: RecordPool::window(random), flows_sent: 0 }
    }

    fn datagram(&self, n: usize, visit: &mut Visit<'_>, out: &mut Vec<u8>) -> Volume {
        let (sys_uptime_ms, sequence) = (visit.uptime_ms(), self.flows_sent);
        let (export_secs, export_nanos) = (visit.now.secs(), visit.now.nanos());
        match self.version {
            Version::V1 => netflow1::Header { sys_uptime_ms, export_secs, export_nanos }.write(n as u16, out),
            Version::V5 => {
                let interval = visit.identity.sampling_interval as u16;
                let [.., engine_type, engine_id] = visit.identity.domain.to_be_bytes();
                let sampling = if interval > 1 { RANDOM_SAMPLING | interval } else { 0 };
                netflow5::Header {
                    sys_uptime_ms,
                    export_secs,
                    export_nanos,
                    sequence,
                    engine_type,
                    engine_id,
                    sampling,
                }
                .write(n as u16, out);
            }
            Version::V7 => {
                netflow7::Header { sys_uptime_ms, export_secs, export_nanos, sequence }.write(n as u16, out);
            }
        }
        let now = visit.unwrapped_uptime_ms();
        let mut draw = Draw { sizes: visit.sizes, random: visit.random, window: self.window, now };
        self.pool.write::<4>(n, &mut draw, out)
    }
}

impl Device for Exporting {
    fn announce(&mut self, _: &mut Visit<'_>, _: &mut Datagrams) {}

    fn flows(&mut self, n: usize, visit: &mut Visit<'_>, out: &mut Datagrams) {
        let most = match self.version {
            Version::V1 => netflow1::MAX_RECORDS,
            Version::V5 => netflow5::MAX_RECORDS,
            Version::V7 => netflow7::MAX_RECORDS,
        };
        for records in portions(n, most) {
            out.flows(|octets| self.datagram(records, visit, octets));
            self.flows_sent = self.flows_sent.wrapping_add(records as u32);
        }
    }
}

fn record(conversation: &Conversation) -> netflow5::Record {
    let Conversation { src, dst, .. } = conversation;
    netflow5::Record {
        src_addr: v4(src.address),
        dst_addr: v4(dst.address),
        next_hop: v4(conversation.next_hop),
        in_if_index: conversation.in_if_index as u16,
        out_if_index: conversation.out_if_index as u16,
        src_port: conversation.src_port,
        // Devices put ICMP's type and code here, for want of another place.
        dst_port: conversation.dst_port | u16::from(conversation.icmp_type) << 8,
        tcp_flags: conversation.tcp_flags,
        proto: conversation.proto,
        tos: conversation.tos,
        src_as: u16::try_from(src.asn).unwrap_or(AS_TRANS),
        dst_as: u16::try_from(dst.asn).unwrap_or(AS_TRANS),
        src_mask: src.mask,
        dst_mask: dst.mask,
        ..netflow5::Record::default()
    }
}

fn v4(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(_) => [0; 4],
    }
}
