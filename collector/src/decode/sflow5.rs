//! sFlow version 5: every message stands alone, a sample is a packet.
//!
//! ```text
//!  message                                          sample
//!   0  version = 5                                   0  format: 20 bits enterprise, 12 bits number
//!   4  agent address type: 0 none, 1 IPv4, 2 IPv6     4  length of what follows
//!   8  agent address: 0, 4 or 16 octets               8  flow sample, counter sample, ... then its records,
//!   +  sub-agent id                                      each with a format and a length of the same form
//!   +  sequence number
//!   +  uptime of the agent, ms
//!   +  number of samples
//! ```
//!
//! A flow sample becomes one row: `packets` is 1, `bytes` are the packet's octets from its IP header on, so that
//! they add up with those of NetFlow; `frame_length` is what the wire carried. The row stands for as many packets as
//! the sample's own rate says, whatever other samples say.
//!
//! A discarded packet (sample type 5) becomes a row as well. It is a notification and no sample of the traffic: its
//! interval is 1, its `forwarding_status` says "dropped" and why, and its octets, like those of dropped flows in
//! NetFlow, are traffic that came in and did not go out. It counts as one of the other samples, its frame not at all.
//!
//! Lengths are trusted in the order in which they nest. A sample that runs past its message is left out and counted, with
//! all samples behind it, since none of them can be found; those before it stay. A sample that contradicts itself inside
//! its own length is left out and counted; a record that is shorter than its structure is left out and counted, and its
//! sample stays.
//! Longer ones are fine: structures may be extended at their end. So are octets behind the last sample. A length need
//! not be a multiple of four: the zeros that XDR fills up with are stepped over, and agents that leave them out are
//! read as well.
//!
//! A counter sample becomes a row of `interface_counters`, see [`counters`]. It counts as no flow. Versions before 5 are
//! not sFlow 5 with other numbers and are not decoded.
//!
//! Sources: sFlow.org "sFlow Version 5" (July 2004), "sFlow Tunnel Structures" (November 2012), "sFlow Dropped
//! Packet Notification Structures" (October 2020).

use helios_common::exporter::{Address, ExporterId, NO_ADDRESS, mapped};
use helios_common::flow::FlowBatch;
use helios_common::side::InterfaceCounters;
use helios_common::time::UnixMs;

use super::DecodeError;
use super::by_hand::ByHand;
use super::cursor::Cursor;
use super::packet::Decapsulate;

mod sample;
mod interface;
mod records;
mod structures;
mod gateway;
mod rows;
mod counters;
mod meters;

pub use meters::{MAX_WORKER_SOURCES, Metered, Meters};
use rows::{Route, Row, Rows};
use sample::{PacketSample, Sample};

/// Samples that one message may hold. A message is made to fit a frame: 1500 octets are some ten samples, a jumbo
/// frame of 9000 octets is at most 225. This leaves room for 64 KiB of the shortest flow samples, 40 octets each.
pub const MAX_SAMPLES: u32 = 2048;

/// Octets of a sample's or record's format and length.
const TAG_OCTETS: usize = 8;

/// The header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The unspecified address if the agent does not know its own.
    pub agent: Address,
    /// Tells apart the parts of a device that number their messages independently.
    pub sub_agent: u32,
    /// Messages that the sub-agent sent.
    pub sequence: u32,
    /// Milliseconds since the agent booted.
    pub uptime_ms: u32,
    /// Samples that the message claims to hold, [`MAX_SAMPLES`] at the most.
    pub n_samples: u32,
}

impl Header {
    /// Reads the header; the cursor stands at the version.
    ///
    /// # Errors
    /// [`DecodeError::UnknownVersion`] for another version, [`DecodeError::UnknownAddressType`] for an agent address
    /// whose length therefore is not known, [`DecodeError::Truncated`] when the message ends before its samples,
    /// [`DecodeError::BadCount`] for more samples than octets left to hold them, [`DecodeError::TooMuchOutput`] for
    /// more than [`MAX_SAMPLES`].
    pub fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        const VERSION: u32 = 5;
        if cursor.u32()? != VERSION {
            return Err(DecodeError::UnknownVersion);
        }
        let agent = match address(cursor)? {
            Some(agent) => agent,
            None => return Err(DecodeError::UnknownAddressType),
        };
        let [sub_agent, sequence, uptime_ms, n_samples] = words(cursor)?;
        if n_samples as usize > cursor.remaining() / TAG_OCTETS {
            return Err(DecodeError::BadCount);
        }
        if n_samples > MAX_SAMPLES {
            return Err(DecodeError::TooMuchOutput);
        }
        Ok(Self { agent, sub_agent, sequence, uptime_ms, n_samples })
    }
}

/// What the rows of a message share besides its header.
#[derive(Debug, Clone, Copy)]
pub struct SampleContext<'a> {
    /// Arrival of the message, Unix milliseconds.
    pub received_at: UnixMs,
    /// The exporter's number in this process.
    pub exporter: ExporterId,
    /// The agent's address, or the sender's if the agent does not know its own.
    pub exporter_address: Address,
    /// Where the message came from, if that is not the exporter's address.
    pub socket_address: Option<Address>,
    /// Sampling intervals that the configuration sets for the exporter.
    pub by_hand: Option<&'a ByHand>,
    /// Tunnels whose inner packet fills the plain columns.
    pub decapsulate: Decapsulate,
}

/// What a message held. Samples are counted by their type, malformed ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleCounts {
    /// Samples of any type.
    pub samples: u32,
    /// Samples of format 1, `flow_sample`.
    pub flow_samples: u32,
    /// Samples of format 3, `flow_sample_expanded`.
    pub expanded_flow_samples: u32,
    /// Samples of format 2, `counters_sample`.
    pub counter_samples: u32,
    /// Samples of format 4, `counters_sample_expanded`.
    pub expanded_counter_samples: u32,
    /// Counter samples that became rows of `interface_counters`.
    pub counter_rows: u32,
    /// Counter samples that contradict themselves and became no row.
    pub malformed_counter_samples: u32,
    /// Counter records of a structure that is not read.
    pub unknown_counter_records: u32,
    /// Counter records that are shorter than their structure.
    pub malformed_counter_records: u32,
    /// Discarded packets, and samples of enterprises.
    pub other_samples: u32,
    /// Flow samples and discarded packets that contradict themselves and became no row.
    pub malformed_samples: u32,
    /// Samples that the header promised and that the message does not hold as a whole.
    pub samples_left_out: u32,
    /// Records that are shorter than their structure, in samples that became rows.
    pub malformed_records: u32,
    /// What the sample pools of the flow samples say.
    pub metered: Metered,
    /// Octets of the flow samples' frames on the wire.
    pub frame_bytes: u64,
    /// The same, each frame times its sampling interval.
    pub frame_bytes_scaled: u64,
    /// Rows of flows: one for each flow sample and each discarded packet that could be read.
    pub rows: u32,
}

/// Where the samples of a message go.
pub struct Output<'a> {
    /// Takes a row for each sampled or discarded packet.
    pub flows: &'a mut FlowBatch,
    /// Takes a row for each counter sample that tells anything.
    pub counters: &'a mut Vec<InterfaceCounters>,
    /// The sample pools of the agent's sources, from message to message.
    pub meters: &'a mut Meters,
    /// Whether the worker has room for further sources of samples.
    pub room: bool,
}

/// Appends a row for each sampled and each discarded packet, and one of another kind for each counter sample. The
/// cursor stands behind the header.
///
/// # Errors
/// [`DecodeError::Truncated`] when the first sample runs past the message, so that nothing could be read.
pub fn decode_samples(
    mut cursor: Cursor<'_>,
    header: &Header,
    context: &SampleContext<'_>,
    out: &mut Output<'_>,
) -> Result<SampleCounts, DecodeError> {
    let mut counts = SampleCounts::default();
    let mut rows = Rows::default();
    while counts.samples < header.n_samples {
        let (format, octets) = match next_sample(&mut cursor) {
            Ok(sample) => sample,
            Err(error) if counts.samples == 0 => return Err(error),
            Err(_) => {
                counts.samples_left_out = header.n_samples - counts.samples;
                break;
            }
        };
        counts.samples += 1;
        let kind = match counts.classify(format) {
            Sample::Packet(kind) => kind,
            Sample::Counters { expanded } => {
                counts.counter_sample(expanded, octets, header, context, out);
                continue;
            }
            Sample::Other => continue,
        };
        let mut row = Row::default();
        let mut route = Route::default();
        let Ok((meter, malformed_records)) = sample::read(kind, octets, context.decapsulate, &mut row, &mut route)
        else {
            counts.malformed_samples += 1;
            continue;
        };
        counts.rows += 1;
        counts.malformed_records += malformed_records;
        if kind != PacketSample::Discarded {
            out.meters.observe(&meter, out.room, &mut counts.metered);
            counts.add_frame(row.frame_octets(), row.sampling_interval);
        }
        rows.add(row, &route);
        if rows.is_full() {
            rows.write(header, context, out.flows);
        }
    }
    rows.write(header, context, out.flows);
    Ok(counts)
}

impl SampleCounts {
    /// Counts a sample by its type; returns how to read it.
    fn classify(&mut self, format: u32) -> Sample {
        let (counter, sample) = match format {
            1 => (&mut self.flow_samples, Sample::Packet(PacketSample::Flow)),
            2 => (&mut self.counter_samples, Sample::Counters { expanded: false }),
            3 => (&mut self.expanded_flow_samples, Sample::Packet(PacketSample::ExpandedFlow)),
            4 => (&mut self.expanded_counter_samples, Sample::Counters { expanded: true }),
            5 => (&mut self.other_samples, Sample::Packet(PacketSample::Discarded)),
            _ => (&mut self.other_samples, Sample::Other),
        };
        *counter += 1;
        sample
    }

    /// Reads a counter sample; one that tells nothing leaves no row.
    fn counter_sample(
        &mut self,
        expanded: bool,
        octets: &[u8],
        header: &Header,
        context: &SampleContext<'_>,
        out: &mut Output<'_>,
    ) {
        let mut row = InterfaceCounters {
            received_at: context.received_at,
            exporter_address: context.exporter_address,
            exporter_socket_address: context.socket_address.unwrap_or(NO_ADDRESS),
            sub_agent_id: header.sub_agent,
            uptime_ms: header.uptime_ms,
            ..InterfaceCounters::default()
        };
        let Ok(left_out) = counters::read(expanded, octets, &mut row) else {
            self.malformed_counter_samples += 1;
            return;
        };
        self.unknown_counter_records += left_out.unknown;
        self.malformed_counter_records += left_out.malformed;
        if row.structures != 0 {
            self.counter_rows += 1;
            out.counters.push(row);
        }
    }

    fn add_frame(&mut self, octets: u32, sampling_interval: u32) {
        self.frame_bytes += u64::from(octets);
        let scaled = u64::from(octets) * u64::from(sampling_interval);
        self.frame_bytes_scaled = self.frame_bytes_scaled.saturating_add(scaled);
    }
}

/// The format and the contents of the next sample.
#[inline]
fn next_sample<'a>(cursor: &mut Cursor<'a>) -> Result<(u32, &'a [u8]), DecodeError> {
    let [format, length] = words(cursor)?;
    Ok((format, tagged(cursor, length)?))
}

/// The `length` octets of a sample or record, with the padding behind them stepped over.
#[inline]
fn tagged<'a>(cursor: &mut Cursor<'a>, length: u32) -> Result<&'a [u8], DecodeError> {
    let octets = cursor.take(length as usize)?;
    if !length.is_multiple_of(4) {
        skip_padding(cursor, length);
    }
    Ok(octets)
}

/// Steps over the zeros that fill variable-length data up to whole words (RFC 4506 §4.10), which a length does not count.
///
/// Some agents do not pad. The tag behind tells: read from the wrong place, its format is 0 or its length is beyond the
/// message, because both begin with octets of zero.
#[inline(never)]
fn skip_padding(cursor: &mut Cursor<'_>, length: u32) {
    let (rest, padding) = (cursor.rest(), length.wrapping_neg() as usize % 4);
    let tag = |at: usize| {
        let mut behind = Cursor::new(rest.get(at..)?);
        let [format, length] = words(&mut behind).ok()?;
        (format != 0 && length as usize <= behind.remaining()).then_some(format)
    };
    let is_padded = rest.len() >= padding && rest.iter().take(padding).all(|&octet| octet == 0);
    let is_tag_at_once = match (tag(padding), tag(0)) {
        (Some(padded), Some(unpadded)) => unpadded < padded,
        (padded, unpadded) => padded.is_none() && unpadded.is_some(),
    };
    if is_padded && !is_tag_at_once {
        let _ = cursor.skip(padding);
    }
}

/// The next `N` unsigned integers.
#[inline]
fn words<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[u32; N], DecodeError> {
    let octets = cursor.take(N * 4)?;
    let (words, _) = octets.as_chunks();
    let mut out = [0; N];
    for (value, octets) in out.iter_mut().zip(words) {
        *value = u32::from_be_bytes(*octets);
    }
    Ok(out)
}

/// An address with its type in front, where zero of either family is none; `None` for a type that is not known, and whose length therefore is not.
fn address(cursor: &mut Cursor<'_>) -> Result<Option<Address>, DecodeError> {
    match cursor.u32()? {
        0 => Ok(Some(NO_ADDRESS)),
        1 => cursor.array().map(|v4| Some(if v4 == [0; 4] { NO_ADDRESS } else { mapped(v4) })),
        2 => cursor.array().map(Some),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
