//! NetFlow v1, v5 and v7: messages of one fixed record each.
//!
//! ```text
//!  v5 header, 24 octets                              v7 header, 24 octets
//!   0  version = 5         2  count                   0  version = 7         2  count
//!   4  sysUptime, ms       8  unix_secs               4  sysUptime, ms       8  unix_secs
//!  12  unix_nsecs         16  flow_sequence          12  unix_nsecs         16  flow_sequence
//!  20  engine_type  21  engine_id                    20  reserved
//!  22  sampling: 2 bits mode, 14 bits interval
//! ```
//!
//! The header of v1 ends behind unix_nsecs, after 16 octets: v1 has no sequence number, so its losses are not known.
//!
//! The records are described as templates of IANA elements and run through the same plans as those of v9.
//! Source: Cisco, "NetFlow Export Datagram Format" (v1, v5 and v7 tables).

use helios_common::ie::iana;

use super::DecodeError;
use super::cursor::Cursor;
use super::plan::Clock;
use super::template::{Compiled, Field};

/// Octets of the headers of v5 and v7.
pub const HEADER_OCTETS: usize = 24;

/// The mode in the upper two bits says deterministic or random; the interval is below.
const INTERVAL_MASK: u16 = 0x3fff;

const fn field(id: u16, length: u16) -> Field {
    Field { ie: iana(id), length }
}

/// An element without a meaning here: skipped by the plan.
const fn pad(length: u16) -> Field {
    field(210, length)
}

#[rustfmt::skip]
const V1_RECORD: [Field; 17] = [
    field(8, 4), field(12, 4), field(15, 4),            //  0 srcaddr     4 dstaddr      8 nexthop
    field(10, 2), field(14, 2),                         // 12 input      14 output
    field(2, 4), field(1, 4), field(22, 4), field(21, 4), // 16 dPkts    20 dOctets     24 first   28 last
    field(7, 2), field(11, 2), pad(2),                  // 32 srcport    34 dstport     36 pad1
    field(4, 1), field(5, 1), field(6, 1),              // 38 prot       39 tos         40 flags
    pad(3), pad(4),                                     // 41 tcp_retx_cnt, tcp_retx_secs, tcp_misseq_cnt   44 reserved
];

#[rustfmt::skip]
const V5_RECORD: [Field; 20] = [
    field(8, 4), field(12, 4), field(15, 4),            //  0 srcaddr     4 dstaddr      8 nexthop
    field(10, 2), field(14, 2),                         // 12 input      14 output
    field(2, 4), field(1, 4), field(22, 4), field(21, 4), // 16 dPkts    20 dOctets     24 first   28 last
    field(7, 2), field(11, 2),                          // 32 srcport    34 dstport
    pad(1), field(6, 1), field(4, 1), field(5, 1),      // 36 pad1       37 tcp_flags   38 prot    39 tos
    field(16, 2), field(17, 2),                         // 40 src_as     42 dst_as
    field(9, 1), field(13, 1), pad(2),                  // 44 src_mask   45 dst_mask    46 pad2
];

#[rustfmt::skip]
const V7_RECORD: [Field; 21] = [
    field(8, 4), field(12, 4), field(15, 4),            //  0 srcaddr     4 dstaddr      8 nexthop
    field(10, 2), field(14, 2),                         // 12 input      14 output
    field(2, 4), field(1, 4), field(22, 4), field(21, 4), // 16 dPkts    20 dOctets     24 first   28 last
    field(7, 2), field(11, 2),                          // 32 srcport    34 dstport
    pad(1), field(6, 1), field(4, 1), field(5, 1),      // 36 flags      37 tcp_flags   38 prot    39 tos
    field(16, 2), field(17, 2),                         // 40 src_as     42 dst_as
    field(9, 1), field(13, 1), pad(2), pad(4),          // 44 src_mask   45 dst_mask    46 flags   48 router_sc
];

/// The v1 record as a template.
pub fn v1_template() -> Compiled {
    Compiled::new(&V1_RECORD, 0).expect("the record has fields")
}

/// The v5 record as a template.
pub fn v5_template() -> Compiled {
    Compiled::new(&V5_RECORD, 0).expect("the record has fields")
}

/// The v7 record as a template.
pub fn v7_template() -> Compiled {
    Compiled::new(&V7_RECORD, 0).expect("the record has fields")
}

/// The header of a v1, v5 or v7 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `count`: records that the message claims to hold.
    pub count: u16,
    /// When the message left by the exporter's clock, Unix milliseconds (`unix_secs` and `unix_nsecs`).
    pub export_ms: i64,
    /// `sysUptime`: milliseconds since the device booted; wraps after 49.7 days.
    pub sys_uptime_ms: u32,
    /// Flows sent before this message; `None` for v1.
    pub flow_sequence: Option<u32>,
    /// Engine type and id of v5; 0 for the others.
    pub engine: u16,
    /// Interval of v5, `None` if the device does not sample.
    pub sampling_interval: Option<u32>,
}

impl Header {
    /// Reads the header of any of the versions; the cursor stands at the version.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] for fewer than 24 octets, or 16 of v1.
    pub fn parse(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let version = cursor.u16()?;
        let count = cursor.u16()?;
        let sys_uptime_ms = cursor.u32()?;
        let (secs, nsecs) = (cursor.u32()?, cursor.u32()?);
        let (flow_sequence, engine, sampling) = match version {
            1 => (None, 0, 0),
            _ => (Some(cursor.u32()?), cursor.u16()?, cursor.u16()?),
        };
        let interval = u32::from(sampling & INTERVAL_MASK);
        Ok(Self {
            count,
            export_ms: i64::from(secs) * 1000 + i64::from(nsecs / 1_000_000),
            sys_uptime_ms,
            flow_sequence,
            engine: if version == 5 { engine } else { 0 },
            sampling_interval: (version == 5 && interval > 0).then_some(interval),
        })
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::new(self.export_ms, Some(self.sys_uptime_ms))
    }

    /// The octets of the records that the header promises.
    ///
    /// # Errors
    /// [`DecodeError::BadCount`] when the message is shorter: a count that lies leaves no way to tell which
    /// octets are records. Octets behind the last record are padding.
    pub fn records<'a>(&self, cursor: &Cursor<'a>, record_octets: usize) -> Result<&'a [u8], DecodeError> {
        cursor.rest().get(..usize::from(self.count) * record_octets).ok_or(DecodeError::BadCount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_length_of_ciscos_tables() {
        assert_eq!(v1_template().record_octets, 48);
        assert_eq!(v5_template().record_octets, 48);
        assert_eq!(v7_template().record_octets, 52);
    }

    #[test]
    fn the_sampling_mode_is_not_part_of_the_interval() {
        let mut octets = [0; HEADER_OCTETS];
        octets[1] = 5;
        octets[22..].copy_from_slice(&[0x43, 0xe8]); // mode 1, interval 1000
        let header = Header::parse(&mut Cursor::new(&octets)).unwrap();
        assert_eq!(header.sampling_interval, Some(1000));
    }

    #[test]
    fn a_count_beyond_the_message_is_refused() {
        let mut octets = vec![0; HEADER_OCTETS + 48];
        octets[..4].copy_from_slice(&[0, 5, 0, 2]);
        let mut cursor = Cursor::new(&octets);
        let header = Header::parse(&mut cursor).unwrap();
        assert_eq!(header.records(&cursor, 48), Err(DecodeError::BadCount));
    }
}
