//! Flow records, written once and sent many times with other values.
//!
//! A pool holds the records of some thousand conversations in wire form. A flow is one of them, copied into the
//! datagram, with the client's port, octets, packets and times drawn anew: about 20 ns instead of the 200 that
//! writing every field takes, so that a generator is not the limit of what it is to measure.

use super::conversation::{ClientPort, Conversation, Conversations, SizeClass, Sizes};
use super::internet::Family;
use super::random::{Random, scale};

/// Conversations of a pool; a power of two, so that random bits are an index.
const POOL_RECORDS: usize = 1 << 14;

/// Conversations that one exporter sees: other exporters see others, with some in common.
const WINDOW_RECORDS: usize = POOL_RECORDS / 2;

/// Ports that clients use: the ephemeral range of Linux, rounded to powers of two.
const FIRST_CLIENT_PORT: u16 = 32_768;
const CLIENT_PORT_BITS: u64 = 0x7fff;

/// Flows are exported within this time of their end, about 16 s.
const MAX_AGE_BITS: u64 = 0x3fff;

/// The longest flow before the active timeout cuts it.
const MAX_DURATION_MS: u64 = 60_000;

/// Where in a record stands what changes from flow to flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub octets: usize,
    pub packets: usize,
    pub start: usize,
    pub end: usize,
    pub src_port: usize,
    pub dst_port: usize,
}

/// What some flows add up to, as their exporter reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Volume {
    /// Rows that a collector makes of them.
    pub flows: u64,
    /// As reported: not multiplied by the sampling interval.
    pub bytes: u64,
    /// As reported: not multiplied by the sampling interval.
    pub packets: u64,
}

impl Volume {
    /// Adds what other flows add up to.
    pub fn add(&mut self, other: Self) {
        self.flows += other.flows;
        self.bytes += other.bytes;
        self.packets += other.packets;
    }
}

/// Records of one layout.
#[derive(Debug)]
pub(super) struct RecordPool {
    layout: Layout,
    stride: usize,
    octets: Vec<u8>,
    facts: Vec<RecordFacts>,
}

/// What of a record the drawing depends on.
#[derive(Debug, Clone, Copy)]
struct RecordFacts {
    /// Where the client's port stands, if there is one.
    client_port: Option<u16>,
    size_class: SizeClass,
}

/// What an exporter's flows depend on besides its pool.
#[derive(Debug)]
pub(super) struct Draw<'a> {
    pub sizes: &'a Sizes,
    pub random: &'a mut Random,
    /// First record of the exporter's window, anywhere in the pool.
    pub window: usize,
    /// The present in the unit and epoch of the record's times.
    pub now: u64,
}

impl RecordPool {
    /// Draws conversations and writes the record of each by `write`; all have to be of one length.
    pub(super) fn new(
        family: Family,
        layout: Layout,
        random: &mut Random,
        write: impl Fn(&Conversation, &mut Vec<u8>),
    ) -> Self {
        let conversations = Conversations::new(family);
        let mut octets = Vec::new();
        let mut facts = Vec::with_capacity(POOL_RECORDS);
        for _ in 0..POOL_RECORDS {
            let conversation = conversations.draw(random);
            write(&conversation, &mut octets);
            let client_port = match conversation.client_port {
                ClientPort::Source => Some(layout.src_port as u16),
                ClientPort::Destination => Some(layout.dst_port as u16),
                ClientPort::None => None,
            };
            facts.push(RecordFacts { client_port, size_class: conversation.size_class });
        }
        let stride = octets.len() / POOL_RECORDS;
        debug_assert_eq!(stride * POOL_RECORDS, octets.len(), "records of different lengths");
        Self { layout, stride, octets, facts }
    }

    /// Octets of a record.
    pub(super) fn record_octets(&self) -> usize {
        self.stride
    }

    /// Appends `n` flows. Counters and times are `W` octets wide, 4 or 8; wider values lose their upper octets, as
    /// a wrapping uptime does.
    pub(super) fn write<const W: usize>(&self, n: usize, draw: &mut Draw<'_>, out: &mut Vec<u8>) -> Volume {
        let mut volume = Volume { flows: n as u64, ..Volume::default() };
        for _ in 0..n {
            let bits = draw.random.next();
            let more = draw.random.next();
            let at = (draw.window + bits as usize % WINDOW_RECORDS) % POOL_RECORDS;
            let facts = self.facts[at];
            let start = out.len();
            out.extend_from_slice(&self.octets[at * self.stride..(at + 1) * self.stride]);
            let record = &mut out[start..];

            let size = draw.sizes.pick(facts.size_class, (bits >> 13) as usize);
            let packets = u64::from(size.packets);
            // The mean varies by flow, and not all packets are of one length.
            let octets = packets * u64::from(size.mean_octets + (more as u32 & 15))
                + u64::from(scale(more as u32, size.packets));
            let end = draw.now.wrapping_sub(bits >> 23 & MAX_AGE_BITS);
            let duration = ((packets - 1) * (more >> 32 & 0x7f)).min(MAX_DURATION_MS);
            put::<W>(record, self.layout.octets, octets);
            put::<W>(record, self.layout.packets, packets);
            put::<W>(record, self.layout.end, end);
            put::<W>(record, self.layout.start, end.wrapping_sub(duration));
            if let Some(port_at) = facts.client_port {
                let port = FIRST_CLIENT_PORT | (bits >> 37 & CLIENT_PORT_BITS) as u16;
                record[usize::from(port_at)..][..2].copy_from_slice(&port.to_be_bytes());
            }
            volume.bytes += octets;
            volume.packets += packets;
        }
        volume
    }

    /// A window for one more exporter.
    pub(super) fn window(random: &mut Random) -> usize {
        random.below(POOL_RECORDS as u32) as usize
    }
}

/// Overwrites `W` octets with the lower ones of `value`.
#[inline]
fn put<const W: usize>(record: &mut [u8], at: usize, value: u64) {
    record[at..at + W].copy_from_slice(&value.to_be_bytes()[8 - W..]);
}
