//! sFlow v5: a header and samples of records, all in XDR (big-endian, padded to 4 octets).
//!
//! Source: sflow.org, "sFlow Version 5" (July 2004), §5.3 datagram and sample formats; the structures' names are
//! those of the specification. [`records`] holds what is inside samples.

use std::net::IpAddr;

use super::{Put, patch_u32};

pub mod records;

pub use records::Records;

const VERSION: u32 = 5;
const ADDRESS_IPV4: u32 = 1;
const ADDRESS_IPV6: u32 = 2;

/// Format of `flow_sample`, of enterprise 0.
pub const FLOW_SAMPLE: u32 = 1;
/// Format of `counters_sample`.
pub const COUNTER_SAMPLE: u32 = 2;
/// Format of `flow_sample_expanded`.
pub const EXPANDED_FLOW_SAMPLE: u32 = 3;
/// Format of `counters_sample_expanded`.
pub const EXPANDED_COUNTER_SAMPLE: u32 = 4;

/// The compact forms hold two values in 32 bits: a class in the upper 8 or a format in the upper 2 bits.
const SOURCE_INDEX_BITS: u32 = 24;
const INTERFACE_VALUE_BITS: u32 = 30;

/// The datagram's header (`sample_datagram_v5`), but for the number of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `agent_address`: names the device, whatever address the datagram is sent from.
    pub agent: IpAddr,
    /// `sub_agent_id`: tells apart the parts of a device that number their datagrams independently.
    pub sub_agent_id: u32,
    /// Datagrams sent by this sub-agent, this one included.
    pub sequence: u32,
    /// Milliseconds since the device booted.
    pub uptime_ms: u32,
}

/// What took a sample (`sflow_data_source`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// 0 ifIndex, 1 smonVlanDataSource, 2 entPhysicalEntry.
    pub class: u32,
    /// Index within the class; below 2^24 in the compact form.
    pub index: u32,
}

/// Where a packet came in or went out (`interface`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// An ifIndex (format 0); 0 is unknown.
    Index(u32),
    /// Dropped, for this reason (format 1).
    Discarded(u32),
    /// Sent out of so many interfaces (format 2); 0 is an unknown number.
    Multiple(u32),
}

impl Interface {
    /// To or from the device itself.
    pub const INTERNAL: Self = Self::Index(0x3fff_ffff);

    const fn format_and_value(self) -> (u32, u32) {
        match self {
            Self::Index(index) => (0, index),
            Self::Discarded(reason) => (1, reason),
            Self::Multiple(n) => (2, n),
        }
    }
}

/// A flow sample (`flow_sample`, `flow_sample_expanded`), but for its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowSample {
    /// `sequence_number`: flow samples of this source, this one included.
    pub sequence: u32,
    /// `source_id`: what took the sample.
    pub source: Source,
    /// N of 1-in-N packets.
    pub sampling_rate: u32,
    /// Packets that could have been sampled so far.
    pub sample_pool: u32,
    /// `drops`: samples that the agent took and had to drop so far.
    pub drops: u32,
    /// `input`: where the packet came in.
    pub input: Interface,
    /// `output`: where the packet went out.
    pub output: Interface,
}

/// A counter sample (`counters_sample`, `counters_sample_expanded`), but for its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterSample {
    /// `sequence_number`: counter samples of this source, this one included.
    pub sequence: u32,
    /// `source_id`: what the counters are of.
    pub source: Source,
}

/// A datagram that is being written: every call appends a sample and leaves the datagram complete.
#[derive(Debug)]
pub struct Message<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    n_samples_at: usize,
    n_samples: usize,
}

impl<'a> Message<'a> {
    /// Appends the header.
    pub fn begin(header: &Header, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.put_u32(VERSION);
        put_address(header.agent, out);
        out.put_u32(header.sub_agent_id);
        out.put_u32(header.sequence);
        out.put_u32(header.uptime_ms);
        let n_samples_at = out.len();
        out.put_u32(0);
        Self { out, start, n_samples_at, n_samples: 0 }
    }

    /// Octets of the message so far.
    pub fn octets(&self) -> usize {
        self.out.len() - self.start
    }

    /// A flow sample in the compact form: ifIndex below 2^24 as source, below 2^30 as input and output.
    pub fn flow_sample(&mut self, sample: &FlowSample, records: impl FnOnce(&mut Records<'_>)) {
        self.sample(FLOW_SAMPLE, |out| {
            out.put_u32(sample.sequence);
            put_source(sample.source, out);
            put_rates(sample, out);
            for interface in [sample.input, sample.output] {
                let (format, value) = interface.format_and_value();
                out.put_u32(format << INTERFACE_VALUE_BITS | value);
            }
            Records::write(out, records);
        });
    }

    /// A flow sample in the expanded form, for any ifIndex.
    pub fn expanded_flow_sample(&mut self, sample: &FlowSample, records: impl FnOnce(&mut Records<'_>)) {
        self.sample(EXPANDED_FLOW_SAMPLE, |out| {
            out.put_u32(sample.sequence);
            put_expanded_source(sample.source, out);
            put_rates(sample, out);
            for interface in [sample.input, sample.output] {
                let (format, value) = interface.format_and_value();
                out.put_u32(format);
                out.put_u32(value);
            }
            Records::write(out, records);
        });
    }

    /// A counter sample in the compact form.
    pub fn counter_sample(&mut self, sample: &CounterSample, records: impl FnOnce(&mut Records<'_>)) {
        self.sample(COUNTER_SAMPLE, |out| {
            out.put_u32(sample.sequence);
            put_source(sample.source, out);
            Records::write(out, records);
        });
    }

    /// A counter sample in the expanded form.
    pub fn expanded_counter_sample(&mut self, sample: &CounterSample, records: impl FnOnce(&mut Records<'_>)) {
        self.sample(EXPANDED_COUNTER_SAMPLE, |out| {
            out.put_u32(sample.sequence);
            put_expanded_source(sample.source, out);
            Records::write(out, records);
        });
    }

    /// A sample of any format: enterprise in the upper 20 bits, format in the lower 12.
    pub fn sample(&mut self, format: u32, content: impl FnOnce(&mut Vec<u8>)) {
        structure(self.out, format, content);
        self.n_samples += 1;
        patch_u32(self.out, self.n_samples_at, self.n_samples);
    }
}

/// A structure with its format and length before it: samples and records alike.
fn structure(out: &mut Vec<u8>, format: u32, content: impl FnOnce(&mut Vec<u8>)) {
    out.put_u32(format);
    out.put_u32(0);
    let start = out.len();
    content(out);
    let length = out.len() - start;
    patch_u32(out, start - 4, length);
}

fn put_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            out.put_u32(ADDRESS_IPV4);
            out.put(&v4.octets());
        }
        IpAddr::V6(v6) => {
            out.put_u32(ADDRESS_IPV6);
            out.put(&v6.octets());
        }
    }
}

fn put_source(source: Source, out: &mut Vec<u8>) {
    out.put_u32(source.class << SOURCE_INDEX_BITS | source.index);
}

fn put_expanded_source(source: Source, out: &mut Vec<u8>) {
    out.put_u32(source.class);
    out.put_u32(source.index);
}

fn put_rates(sample: &FlowSample, out: &mut Vec<u8>) {
    out.put_u32(sample.sampling_rate);
    out.put_u32(sample.sample_pool);
    out.put_u32(sample.drops);
}

#[cfg(test)]
mod tests;
