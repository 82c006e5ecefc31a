//! NetFlow v1: a header of 16 octets and up to 24 records of 48, without sequence numbers, AS numbers and masks.
//!
//! Source: Cisco, "NetFlow Services Solutions Guide", table "Version 1 Header / Flow Record Format", whose last
//! offset is wrong: softflowd writes, and nfdump and Wireshark read, records of 48 octets.

use super::netflow5::Record;
use super::{Put, counted, put_head};

/// Records that devices put into one datagram at most.
pub const MAX_RECORDS: usize = 24;

/// Octets of a record.
pub const RECORD_OCTETS: usize = 48;

const VERSION: u16 = 1;

/// The header of a datagram, but for version and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Milliseconds since the device booted.
    pub sys_uptime_ms: u32,
    /// `unix_secs`: when the message leaves, Unix seconds.
    pub export_secs: u32,
    /// Nanoseconds of the export time beyond its seconds.
    pub export_nanos: u32,
}

impl Header {
    /// Appends the header of a message of `count` records.
    pub fn write(&self, count: u16, out: &mut Vec<u8>) {
        put_head(VERSION, count, [self.sys_uptime_ms, self.export_secs, self.export_nanos], out);
    }
}

/// Appends the [`RECORD_OCTETS`] octets of a record; v1 has no place for AS numbers and masks.
pub fn write(record: &Record, out: &mut Vec<u8>) {
    record.write_up_to_ports(out);
    out.put_u16(0); // pad1
    out.put(&[record.proto, record.tos, record.tcp_flags]);
    out.put(&[0; 7]); // tcp_retx_cnt, tcp_retx_secs, tcp_misseq_cnt, reserved
}

/// Appends a message.
///
/// # Panics
/// When there are more than 65,535 records.
pub fn message<'a>(header: &Header, records: impl IntoIterator<Item = &'a Record>, out: &mut Vec<u8>) {
    counted(|out| header.write(0, out), records, write, out);
}

#[cfg(test)]
mod tests {
    use super::super::netflow5::RECORD;
    use super::*;

    #[test]
    fn octets_are_where_ciscos_tables_put_them() {
        let header = Header { sys_uptime_ms: 0x0102_0304, export_secs: 0x6553_f100, export_nanos: 7 };
        let mut out = Vec::new();
        message(&header, [&RECORD], &mut out);
        #[rustfmt::skip]
        let expected = [
            0, 1, 0, 1,                                     // version, count
            1, 2, 3, 4, 0x65, 0x53, 0xf1, 0, 0, 0, 0, 7,    // sysUptime, unix_secs, unix_nsecs
            10, 0, 0, 1, 192, 0, 2, 2, 10, 0, 0, 254,       // srcaddr, dstaddr, nexthop
            0, 1, 1, 2, 0, 0, 0, 5, 0, 1, 0, 0,             // input, output, dPkts, dOctets
            0, 0, 3, 0xe8, 0, 0, 7, 0xd0,                   // First, Last
            0xc7, 0x38, 1, 0xbb, 0, 0, 6, 0xb8, 0x1b,       // ports, pad1, prot, tos, flags
            0, 0, 0, 0, 0, 0, 0,                            // tcp_retx_cnt, tcp_retx_secs, tcp_misseq_cnt, reserved
        ];
        assert_eq!(out, expected);
    }
}
