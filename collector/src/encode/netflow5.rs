//! NetFlow v5: a header of 24 octets and up to 30 records of 48.
//!
//! Source: Cisco, "NetFlow Services Solutions Guide", table "Version 5 Header / Flow Record Format".

use super::{Put, counted, put_head};

/// Records that devices put into one datagram at most: 1,464 octets fit an Ethernet frame.
pub const MAX_RECORDS: usize = 30;

/// Octets of a record.
pub const RECORD_OCTETS: usize = 48;

const VERSION: u16 = 5;

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
    /// `engine_type`: type of the switching engine.
    pub engine_type: u8,
    /// `engine_id`: slot of the switching engine. Each engine numbers its flows on its own.
    pub engine_id: u8,
    /// Two bits of mode (1 deterministic, 2 random), then the interval in 14 bits.
    pub sampling: u16,
}

/// A flow record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    /// `srcaddr`.
    pub src_addr: [u8; 4],
    /// `dstaddr`.
    pub dst_addr: [u8; 4],
    /// `nexthop`: address of the next router; 0.0.0.0 if there is none.
    pub next_hop: [u8; 4],
    /// `input`: ifIndex; 0 is unknown.
    pub in_if_index: u16,
    /// `output`: ifIndex; 0 is unknown.
    pub out_if_index: u16,
    /// `dPkts`: packets of the flow, as sampled.
    pub packets: u32,
    /// `dOctets`: octets of these packets from their IP headers on.
    pub octets: u32,
    /// `First`: sysUptime at the first packet, in milliseconds.
    pub first_ms: u32,
    /// `Last`: sysUptime at the last packet, in milliseconds.
    pub last_ms: u32,
    /// `srcport`: of TCP or UDP; 0 for protocols without ports.
    pub src_port: u16,
    /// `dstport`: of TCP or UDP; for ICMP, type * 256 + code.
    pub dst_port: u16,
    /// `tcp_flags`: the flags of all packets, combined with OR.
    pub tcp_flags: u8,
    /// `prot`: IANA protocol number.
    pub proto: u8,
    /// `tos`: type of service of the IP header.
    pub tos: u8,
    /// `src_as`: AS number of the origin or of the peer, as the device is configured; 0 is unknown.
    pub src_as: u16,
    /// `dst_as`: the same for the destination.
    pub dst_as: u16,
    /// `src_mask`: prefix length of the route to the source, in bits.
    pub src_mask: u8,
    /// `dst_mask`: prefix length of the route to the destination, in bits.
    pub dst_mask: u8,
}

impl Header {
    /// Appends the header of a message of `count` records.
    pub fn write(&self, count: u16, out: &mut Vec<u8>) {
        put_head(VERSION, count, [self.sys_uptime_ms, self.export_secs, self.export_nanos], out);
        out.put_u32(self.sequence);
        out.put_u8(self.engine_type);
        out.put_u8(self.engine_id);
        out.put_u16(self.sampling);
    }
}

impl Record {
    /// Appends the record's [`RECORD_OCTETS`] octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_up_to_tcp_flags(0, out);
        out.put_u16(0);
    }

    /// The first 46 octets, which v7 shares; `flags` is padding in v5.
    pub(super) fn write_up_to_tcp_flags(&self, flags: u8, out: &mut Vec<u8>) {
        self.write_up_to_ports(out);
        out.put_u8(flags);
        out.put_u8(self.tcp_flags);
        out.put_u8(self.proto);
        out.put_u8(self.tos);
        out.put_u16(self.src_as);
        out.put_u16(self.dst_as);
        out.put_u8(self.src_mask);
        out.put_u8(self.dst_mask);
    }

    /// The first 36 octets, which v1 shares.
    pub(super) fn write_up_to_ports(&self, out: &mut Vec<u8>) {
        out.put(&self.src_addr);
        out.put(&self.dst_addr);
        out.put(&self.next_hop);
        out.put_u16(self.in_if_index);
        out.put_u16(self.out_if_index);
        out.put_u32(self.packets);
        out.put_u32(self.octets);
        out.put_u32(self.first_ms);
        out.put_u32(self.last_ms);
        out.put_u16(self.src_port);
        out.put_u16(self.dst_port);
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
pub(super) use tests::RECORD;

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const RECORD: Record = Record {
        src_addr: [10, 0, 0, 1],
        dst_addr: [192, 0, 2, 2],
        next_hop: [10, 0, 0, 254],
        in_if_index: 1,
        out_if_index: 0x0102,
        packets: 5,
        octets: 0x0001_0000,
        first_ms: 1_000,
        last_ms: 2_000,
        src_port: 51_000,
        dst_port: 443,
        tcp_flags: 0x1b,
        proto: 6,
        tos: 0xb8,
        src_as: 64_500,
        dst_as: 15_169,
        src_mask: 24,
        dst_mask: 8,
    };

    #[test]
    fn octets_are_where_ciscos_tables_put_them() {
        let header = Header {
            sys_uptime_ms: 0x0102_0304,
            export_secs: 0x6553_f100,
            export_nanos: 7,
            sequence: 9,
            engine_type: 1,
            engine_id: 2,
            sampling: 1 << 14 | 1_000,
        };
        let mut out = Vec::new();
        message(&header, [&RECORD], &mut out);
        #[rustfmt::skip]
        let expected = [
            0, 5, 0, 1,                                     // version, count
            1, 2, 3, 4, 0x65, 0x53, 0xf1, 0, 0, 0, 0, 7,    // sysUptime, unix_secs, unix_nsecs
            0, 0, 0, 9, 1, 2, 0x43, 0xe8,                   // flow_sequence, engine type and id, sampling
            10, 0, 0, 1, 192, 0, 2, 2, 10, 0, 0, 254,       // srcaddr, dstaddr, nexthop
            0, 1, 1, 2, 0, 0, 0, 5, 0, 1, 0, 0,             // input, output, dPkts, dOctets
            0, 0, 3, 0xe8, 0, 0, 7, 0xd0,                   // First, Last
            0xc7, 0x38, 1, 0xbb, 0, 0x1b, 6, 0xb8,          // ports, pad1, tcp_flags, prot, tos
            0xfb, 0xf4, 0x3b, 0x41, 24, 8, 0, 0,            // src_as, dst_as, masks, pad2
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn an_independent_decoder_reads_the_same_values() {
        use netflow_parser::{NetflowPacket, NetflowParser};
        let mut out = Vec::new();
        let header = Header { sequence: 77, sampling: 2 << 14 | 100, ..Header::default() };
        message(&header, &[RECORD, Record { proto: 17, ..RECORD }], &mut out);
        let parsed = NetflowParser::default().parse_bytes(&out);
        let [NetflowPacket::V5(packet)] = &parsed.packets[..] else { panic!("not one v5 packet: {parsed:?}") };
        assert_eq!((packet.header.flow_sequence, packet.header.sampling_interval), (77, 2 << 14 | 100));
        let [first, second] = &packet.flowsets[..] else { panic!("not two records: {packet:?}") };
        assert_eq!((first.src_addr.octets(), first.dst_addr.octets()), (RECORD.src_addr, RECORD.dst_addr));
        assert_eq!((first.src_port, first.dst_port, first.tcp_flags, first.tos), (51_000, 443, 0x1b, 0xb8));
        assert_eq!((first.d_pkts, first.d_octets, first.first, first.last), (5, 65_536, 1_000, 2_000));
        assert_eq!((first.src_as, first.dst_as, first.src_mask, first.dst_mask), (64_500, 15_169, 24, 8));
        assert_eq!((first.input, first.output, first.next_hop.octets()), (1, 0x0102, [10, 0, 0, 254]));
        assert_eq!((first.protocol_number, second.protocol_number), (6, 17));
    }
}
