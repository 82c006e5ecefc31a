//! NetFlow v7 (Catalyst 5000): v5's record with flags and the address of the router whose shortcut was taken.
//!
//! Source: Cisco, "NetFlow Services Solutions Guide", table "Version 7 Header / Flow Record Format".

use super::{Put, counted, put_head};

pub use super::netflow5::Record as CommonRecord;

/// Records that devices put into one datagram at most.
pub const MAX_RECORDS: usize = 27;

/// Octets of a record.
pub const RECORD_OCTETS: usize = 52;

const VERSION: u16 = 7;

/// The header of a datagram, but for version and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Milliseconds since the device booted.
    pub sys_uptime_ms: u32,
    /// `unix_secs`: when the message leaves, Unix seconds.
    pub export_secs: u32,
    /// Nanoseconds of the export time beyond its seconds.
    pub export_nanos: u32,
    /// Flows sent before this datagram.
    pub sequence: u32,
}

/// A flow record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// The fields that v5 has as well.
    pub common: CommonRecord,
    /// `flags` beside the TCP flags, octet 36: which fields are invalid.
    pub flags: u8,
    /// `flags` at the record's end, octets 46 and 47: which fields are invalid.
    pub more_flags: u16,
    /// The router that the Catalyst switched the flow past.
    pub router: [u8; 4],
}

impl Header {
    /// Appends the header of a message of `count` records.
    pub fn write(&self, count: u16, out: &mut Vec<u8>) {
        put_head(VERSION, count, [self.sys_uptime_ms, self.export_secs, self.export_nanos], out);
        out.put_u32(self.sequence);
        out.put_u32(0);
    }
}

impl Record {
    /// Appends the record's [`RECORD_OCTETS`] octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.common.write_up_to_tcp_flags(self.flags, out);
        out.put_u16(self.more_flags);
        out.put(&self.router);
    }
}

/// Appends a message.
///
/// # Panics
/// When there are more than 65,535 records.
pub fn message<'a>(header: &Header, records: impl IntoIterator<Item = &'a Record>, out: &mut Vec<u8>) {
    counted(|out| header.write(0, out), records, Record::write, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_parser::{NetflowPacket, NetflowParser};

    const RECORD: Record = Record {
        common: CommonRecord {
            src_addr: [10, 0, 0, 1],
            dst_addr: [192, 0, 2, 2],
            next_hop: [10, 0, 0, 254],
            in_if_index: 3,
            out_if_index: 4,
            packets: 5,
            octets: 600,
            first_ms: 1_000,
            last_ms: 2_000,
            src_port: 51_000,
            dst_port: 53,
            tcp_flags: 0,
            proto: 17,
            tos: 0,
            src_as: 1,
            dst_as: 2,
            src_mask: 24,
            dst_mask: 8,
        },
        flags: 0x20,
        more_flags: 0x0102,
        router: [10, 9, 8, 7],
    };

    #[test]
    fn a_record_ends_with_the_router() {
        let mut out = Vec::new();
        message(&Header::default(), [&RECORD], &mut out);
        assert_eq!(out.len(), 24 + RECORD_OCTETS);
        assert_eq!(out[..4], [0, 7, 0, 1]);
        assert_eq!(out[24 + 36..24 + 38], [0x20, 0], "flags, tcp_flags");
        assert_eq!(out[24 + 46..], [1, 2, 10, 9, 8, 7], "flags, router_sc");
    }

    #[test]
    fn an_independent_decoder_reads_the_same_values() {
        let mut out = Vec::new();
        message(&Header { sequence: 5, ..Header::default() }, &[RECORD; 2], &mut out);
        let parsed = NetflowParser::default().parse_bytes(&out);
        let [NetflowPacket::V7(packet)] = &parsed.packets[..] else { panic!("not one v7 packet: {parsed:?}") };
        assert_eq!((packet.header.flow_sequence, packet.flowsets.len()), (5, 2));
        let record = &packet.flowsets[1];
        assert_eq!((record.src_addr.octets(), record.dst_port), ([10, 0, 0, 1], 53));
        assert_eq!((record.d_pkts, record.d_octets, record.protocol_number), (5, 600, 17));
        assert_eq!(record.router_src.octets(), RECORD.router);
    }
}
