//! Records whose counters or events need a reading: totals beside deltas, NAT events (RFC 8158), firewall events,
//! forwarding status (RFC 7270), frames of other links (RFC 7133).

use helios_collector::encode::{Field, Put, VARIABLE_LENGTH, field};
use helios_common::columns::{
    BYTES, DST_ADDR, DST_AS, DST_PEER_AS, ETHER_TYPE, FIREWALL_EVENT, FLOW_END, FLOW_START, FORWARDING_STATUS,
    NAT_EVENT, PACKETS, POST_NAT_SRC_ADDR, POST_NAT_SRC_PORT, PROTO, SRC_ADDR, SRC_AS, SRC_MAC,
};
use helios_common::exporter::mapped;

use crate::bench::{Bench, NOW, ipfix, netflow9};

/// Decodes one record of 4-octet fields.
fn counted(fields: &[(u16, u32)]) -> (u64, u64) {
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        let template: Vec<Field> = fields.iter().map(|&(id, _)| field(id, 4)).collect();
        m.template(256, &template);
        m.data(256, |out| fields.iter().for_each(|&(_, value)| out.put_u32(value)));
    }));
    assert_eq!(decoded.rows, 1, "{fields:?}");
    (bench.out.get(BYTES, 0), bench.out.get(PACKETS, 0))
}

/// What was seen on the way in goes before what was seen on the way out, deltas before totals, whatever their order.
#[test]
fn of_several_counters_the_delta_on_the_way_in_counts() {
    assert_eq!(counted(&[(23, 50), (24, 5)]), (50, 5), "postOctetDeltaCount, postPacketDeltaCount alone");
    assert_eq!(counted(&[(23, 50), (24, 5), (85, 900), (86, 90)]), (900, 90), "totals on the way in");
    assert_eq!(counted(&[(171, 70), (172, 7)]), (70, 7), "postOctetTotalCount, postPacketTotalCount alone");
    assert_eq!(counted(&[(171, 70), (172, 7), (23, 50), (24, 5)]), (50, 5));
    assert_eq!(counted(&[(85, 900), (86, 90), (23, 50), (24, 5), (1, 40), (2, 4)]), (40, 4));
    assert_eq!(counted(&[(85, 900), (2, 4)]), (900, 4), "each counter for itself");
}

/// Fields of Cisco's NSEL (ASA NetFlow implementation guide): one template for create, deny, teardown and update.
const NSEL: [Field; 8] =
    [field(8, 4), field(12, 4), field(4, 1), field(233, 1), field(152, 8), field(323, 8), field(231, 4), field(232, 4)];

const CREATED: u8 = 1;
const DELETED: u8 = 2;
const DENIED: u8 = 3;
const UPDATE: u8 = 5;

#[test]
fn a_firewalls_teardown_and_update_are_a_row_each_way_and_its_create_and_deny_one() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&netflow9(0, |m| {
        m.template(260, &NSEL);
        m.data(260, 4, |out| {
            for (event, initiator, responder) in
                [(CREATED, 0, 0), (UPDATE, 120, 3400), (DELETED, 200, 5600), (DENIED, 0, 0)]
            {
                out.put(&[10, 0, 0, 1, 192, 0, 2, 1, 6, event]);
                out.put_u64(NOW as u64 - 60_000);
                out.put_u64(NOW as u64 - 1000);
                out.put_u32(initiator);
                out.put_u32(responder);
            }
        });
    }));
    assert_eq!((decoded.data_records, decoded.rows), (4, 6));
    let out = &bench.out;
    assert_eq!(out.values(FIREWALL_EVENT), [CREATED, UPDATE, DELETED, DENIED, UPDATE, DELETED]);
    assert_eq!(out.values(BYTES), [0, 120, 200, 0, 3400, 5600]);
    assert_eq!(out.get(SRC_ADDR, 4), mapped([192, 0, 2, 1]), "the responder's octets are its own");
    assert_eq!(out.get(DST_ADDR, 4), mapped([10, 0, 0, 1]));
    assert_eq!(out.values(FLOW_START), [NOW - 60_000; 6]);
    assert_eq!(out.values(PROTO), [6; 6]);
}

/// RFC 8158, section 4.3: natEvent 16 and 17, with `portRangeStart` (361) to `portRangeNumPorts` (364).
#[test]
fn allocated_and_freed_blocks_of_ports_are_event_rows() {
    let mut bench = Bench::new();
    let fields = [323, 8, 225, 361, 362, 363, 364, 230].map(|id| {
        field(
            id,
            match id {
                323 => 8,
                8 | 225 => 4,
                230 => 1,
                _ => 2,
            },
        )
    });
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &fields);
        m.data(256, |out| {
            for event in [16, 17] {
                out.put_u64(NOW as u64 - 7);
                out.put(&[100, 64, 0, 1, 203, 0, 113, 1]);
                [1024, 1535, 1, 512].into_iter().for_each(|port| out.put_u16(port));
                out.put_u8(event);
            }
        });
    }));
    assert_eq!((decoded.data_records, decoded.rows), (2, 2));
    let out = &bench.out;
    assert_eq!(out.values(NAT_EVENT), [16, 17]);
    assert_eq!(out.values(SRC_ADDR), [mapped([100, 64, 0, 1]); 2]);
    assert_eq!(out.values(POST_NAT_SRC_ADDR), [mapped([203, 0, 113, 1]); 2]);
    assert_eq!((out.get(BYTES, 0), out.get(PACKETS, 0)), (0, 0));
    assert_eq!((out.get(FLOW_START, 0), out.get(FLOW_END, 0)), (NOW - 7, NOW - 7));
    assert!(out.values(POST_NAT_SRC_PORT).iter().all(|&port| port == 0), "a range is not a port");
}

/// RFC 8158, section 4.3: natEvent 6. Both families stand in one record, and neither takes the other's place.
#[test]
fn a_nat64_session_has_a_source_of_one_family_and_a_translated_one_of_the_other() {
    let source = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(27, 16), field(225, 4), field(7, 2), field(227, 2), field(4, 1), field(230, 1)]);
        m.data(256, |out| {
            out.put(&source);
            out.put(&[203, 0, 113, 1, 0x9c, 0x40, 4, 0, 17, 6]);
        });
    }));
    let out = &bench.out;
    assert_eq!((out.get(SRC_ADDR, 0), out.get(POST_NAT_SRC_ADDR, 0)), (source, mapped([203, 0, 113, 1])));
    assert_eq!((out.get(POST_NAT_SRC_PORT, 0), out.get(NAT_EVENT, 0), out.get(ETHER_TYPE, 0)), (1024, 6, 0x86dd));
}

/// IANA on `forwardingStatus`: "A structure is currently associated with the least-significant byte".
#[test]
fn the_forwarding_status_is_the_last_octet_of_one_or_four() {
    for (octets, status) in [
        (&[0x40][..], 0x40),
        (&[0x89], 0x89),
        (&[0, 0, 0, 0x40], 0x40),
        (&[0, 0, 0, 0x89], 0x89),
        (&[0, 0, 1, 0xc1], 0xc1), // octets above the lowest have no meaning yet
    ] {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.template(256, &[field(89, octets.len() as u16)]);
            m.data(256, |out| out.put(octets));
        }));
        assert_eq!(bench.out.values(FORWARDING_STATUS), [status], "{octets:02x?}");
    }
}

/// RFC 6793: a speaker of 2-octet numbers says AS_TRANS where it has no number; neighbours of 4 octets are whole.
#[test]
fn as_trans_is_kept_beside_systems_of_four_octets() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(16, 2), field(17, 4), field(128, 4)]);
        m.data(256, 1, |out| {
            out.put_u16(23_456);
            out.put_u32(4_200_000_001);
            out.put_u32(4_200_000_002);
        });
    }));
    let out = &bench.out;
    assert_eq!((out.get(SRC_AS, 0), out.get(DST_AS, 0)), (23_456, 4_200_000_001));
    assert_eq!(out.get(DST_PEER_AS, 0), 4_200_000_002);
}

/// RFC 7133: dataLinkFrameType 1 is Ethernet, 2 is IEEE 802.11, whose octets are not Ethernet's.
#[test]
fn a_frame_is_read_as_ethernet_only_if_it_is_one() {
    let ethernet = [[2; 6].as_slice(), &[4; 6], &[0x86, 0xdd]].concat();
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &[field(408, 2), field(315, VARIABLE_LENGTH)]);
        m.data(256, |out| {
            for frame_type in [1, 2, 0] {
                out.put_u16(frame_type);
                out.put_variable(&ethernet);
            }
        });
    }));
    assert_eq!(decoded.rows, 3);
    assert_eq!(bench.out.values(SRC_MAC), [0x0404_0404_0404, 0, 0x0404_0404_0404], "0 says nothing of the type");
    assert_eq!(bench.out.values(ETHER_TYPE), [0x86dd, 0, 0x86dd]);
}
