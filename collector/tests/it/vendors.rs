//! What devices send that the RFCs do not tell, or tell otherwise: one test per habit, named after it.
//!
//! The messages are written here in the form in which the devices send them; docs/decoding.md tells what becomes of it.

use helios_collector::decode::{Decapsulate, DecodeError};
use helios_collector::encode::{Field, Put, VARIABLE_LENGTH, enterprise_field, field};
use helios_common::columns::{
    APPLICATION, BYTES, DST_ADDR, DST_PORT, ETHER_TYPE, FIREWALL_EVENT, FLOW_END, FLOW_START, FORWARDING_STATUS,
    IN_IF_INDEX, INGRESS_VRF_ID, NAT_EVENT, OUTER_DST_ADDR, OUTER_SRC_ADDR, PACKETS, POST_NAT_SRC_ADDR, PROTO,
    SAMPLING_INTERVAL, SRC_ADDR, SRC_MAC, SRC_PORT, TOS, TTL, TUNNEL_ID, TUNNEL_TYPE,
};
use helios_common::exporter::mapped;

use crate::bench::{Bench, NOW, ipfix, ipfix_in, netflow9};

const GRE: u8 = 1;
const IPIP: u8 = 2;
const VXLAN: u8 = 3;
const GENEVE: u8 = 4;
const NVGRE: u8 = 6;
const OTHER: u8 = 7;

fn v6(last: u8) -> [u8; 16] {
    let mut address = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    address[15] = last;
    address
}

/// IOS XR with SRv6: ports, protocol and addresses of the outer header, then the same of the inner one.
const SRV6_IPV4: [Field; 10] = [
    field(1, 4),
    field(27, 16),
    field(28, 16),
    field(7, 2),
    field(11, 2),
    field(4, 1),
    field(8, 4),
    field(12, 4),
    field(7, 2),
    field(4, 1),
];

fn srv6_record(inner: [u8; 4]) -> Vec<u8> {
    let mut record = Vec::new();
    record.put_u32(1000);
    record.put(&v6(1));
    record.put(&v6(2));
    record.put(&[0, 0, 0, 0, 4]); // ports 0, IPv4 inside
    record.put(&inner);
    record.put(&inner);
    record.put(&[0x04, 0x57, 17]); // port 1111, UDP
    record
}

#[test]
fn ios_xr_srv6_records_show_the_inner_packet_and_the_outer_addresses() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(340, &SRV6_IPV4);
        m.data(340, |out| out.put(&srv6_record([10, 0, 0, 1])));
    }));
    let out = &bench.out;
    assert_eq!((out.get(SRC_ADDR, 0), out.get(SRC_PORT, 0), out.get(PROTO, 0)), (mapped([10, 0, 0, 1]), 1111, 17));
    assert_eq!((out.get(OUTER_SRC_ADDR, 0), out.get(OUTER_DST_ADDR, 0)), (v6(1), v6(2)));
    assert_eq!((out.get(TUNNEL_TYPE, 0), out.get(ETHER_TYPE, 0), out.get(BYTES, 0)), (IPIP, 0x0800, 1000));
}

#[test]
fn ios_xr_srv6_records_of_ipv6_in_ipv6_keep_their_headers_apart() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(
            341,
            &[27, 28, 27, 28].map(|id| field(id, 16)).into_iter().chain([field(4, 1); 2]).collect::<Vec<_>>(),
        );
        m.data(341, |out| {
            (1..=4).for_each(|last| out.put(&v6(last)));
            out.put(&[41, 6]);
        });
    }));
    let out = &bench.out;
    assert_eq!((out.get(OUTER_SRC_ADDR, 0), out.get(OUTER_DST_ADDR, 0)), (v6(1), v6(2)));
    assert_eq!((out.get(SRC_ADDR, 0), out.get(DST_ADDR, 0), out.get(PROTO, 0)), (v6(3), v6(4), 6));
}

#[test]
fn a_record_with_an_empty_inner_header_is_its_outer_one() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(340, &SRV6_IPV4);
        m.data(340, |out| out.put(&srv6_record([0; 4])));
    }));
    let out = &bench.out;
    assert_eq!((out.get(SRC_ADDR, 0), out.get(DST_ADDR, 0), out.get(PROTO, 0)), (v6(1), v6(2), 4));
    assert_eq!((out.get(OUTER_SRC_ADDR, 0), out.get(TUNNEL_TYPE, 0)), ([0; 16], 0));
}

#[test]
fn without_decapsulation_the_first_header_of_two_stands() {
    let mut bench = Bench::with(|config| config.decapsulate = Decapsulate::NONE);
    bench.decode(&ipfix(|m| {
        m.template(340, &SRV6_IPV4);
        m.data(340, |out| out.put(&srv6_record([10, 0, 0, 1])));
    }));
    assert_eq!((bench.out.get(SRC_PORT, 0), bench.out.get(PROTO, 0)), (0, 4));
}

#[test]
fn huawei_records_tell_the_boot_time_themselves() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(22, 4), field(21, 4), field(160, 8)]);
        m.data(256, |out| {
            out.put_u32(40_000);
            out.put_u32(60_000);
            out.put_u64(NOW as u64 - 100_000);
            out.put(&[0; 16]); // a record without a boot time has no times
        });
    }));
    assert_eq!(bench.out.values(FLOW_START), [NOW - 60_000, NOW]);
    assert_eq!(bench.out.values(FLOW_END), [NOW - 40_000, NOW]);
}

#[test]
fn huawei_uptimes_wrap_beside_a_boot_time_of_49_days_ago() {
    let mut bench = Bench::new();
    let boot = NOW - (1_i64 << 32) - 5_000; // the uptime wrapped 5 s ago
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(22, 4), field(21, 4), field(160, 8)]);
        m.data(256, |out| {
            out.put_u32(u32::MAX - 999);
            out.put_u32(4_000);
            out.put_u64(boot as u64);
        });
    }));
    assert_eq!((bench.out.get(FLOW_START, 0), bench.out.get(FLOW_END, 0)), (NOW - 6_000, NOW - 1_000));
}

#[test]
fn huaweis_octets_under_the_number_of_a_responders_are_no_way_back() {
    let rows = |template: &[Field], record: &[u8]| {
        let mut bench = Bench::new();
        bench.decode(&netflow9(0, |m| {
            m.template(1315, template);
            m.data(1315, 1, |out| out.put(record));
        }));
        bench.out.values(BYTES).to_vec()
    };
    assert_eq!(rows(&[field(8, 4), field(1, 2), field(232, 2)], &[10, 0, 0, 1, 0, 200, 0, 7]), [200]);
    // Beside an initiator's they are a responder's.
    assert_eq!(rows(&[field(8, 4), field(231, 2), field(232, 2)], &[10, 0, 0, 1, 0, 200, 0, 7]), [200, 7]);
    assert_eq!(rows(&[field(298, 2), field(1, 2), field(232, 2)], &[0, 3, 0, 200, 0, 7]), [200, 7]);
}

#[test]
fn a_boot_time_that_is_none_is_not_believed() {
    // Zero, as of a device that does not know the time; one that no subtraction survives.
    for boot in [0, 1 << 63, u64::MAX] {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.options_template(300, 1, &[field(144, 4), field(160, 8)]);
            m.data(300, |out| {
                out.put_u32(0);
                out.put_u64(boot);
            });
            m.template(256, &[field(22, 4), field(1, 4)]);
            m.data(256, |out| out.put(&[0, 0, 0x9c, 0x40, 0, 0, 0, 9]));
        }));
        assert_eq!((bench.out.get(FLOW_START, 0), bench.out.get(BYTES, 0)), (NOW, 9), "boot time {boot:#x}");
    }
}

#[test]
fn a_line_card_without_a_boot_time_started_with_the_device() {
    let mut bench = Bench::new();
    bench.decode(&ipfix_in(0, |m| {
        m.options_template(300, 1, &[field(144, 4), field(160, 8)]);
        m.data(300, |out| {
            out.put_u32(0);
            out.put_u64(NOW as u64 - 100_000);
        });
    }));
    bench.decode(&ipfix_in(5, |m| {
        m.template(256, &[field(22, 4)]);
        m.data(256, |out| out.put_u32(40_000));
    }));
    assert_eq!(bench.out.get(FLOW_START, 0), NOW - 60_000);
}

#[test]
fn a_text_of_fixed_length_ends_at_its_first_nul() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(257, &[field(8, 4), field(96, 12)]);
        m.data(257, 1, |out| out.put(b"\x0a\0\0\x01ssh\0old-name")); // what the buffer held before
    }));
    assert_eq!(bench.names_of(bench.out.values(APPLICATION)), ["ssh"]);
}

#[test]
fn vmware_records_of_vxlan_show_the_packet_of_the_tenant() {
    let tenant = |id, length| enterprise_field(6876, id, length);
    let template = [
        field(8, 4),
        field(12, 4),
        field(4, 1),
        field(7, 2),
        field(11, 2),
        field(351, 8),
        tenant(880, 1),
        tenant(881, 4),
        tenant(882, 4),
        tenant(886, 2),
        tenant(887, 2),
        field(1, 4),
    ];
    let message = ipfix(|m| {
        m.template(267, &template);
        m.data(267, |out| {
            // UDP between two hypervisors, VNI 5001; in it TCP from 10.0.0.1:40000 to 10.0.0.2:443.
            out.put(&[192, 0, 2, 1, 192, 0, 2, 2, 17, 0xc3, 0x50, 0x12, 0xb5]);
            out.put(&[1, 0, 0, 0, 0, 0, 0x13, 0x89]);
            out.put(&[6, 10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0x01, 0xbb]);
            out.put_u32(1500);
            // The same hypervisors without a tunnel.
            out.put(&[192, 0, 2, 1, 192, 0, 2, 2, 6, 0xc3, 0x51, 0x00, 0x16]);
            out.put(&[0; 8 + 13]);
            out.put_u32(60);
        });
    });
    let mut bench = Bench::new();
    bench.decode(&message);
    let out = &bench.out;
    assert_eq!(out.values(SRC_ADDR), [mapped([10, 0, 0, 1]), mapped([192, 0, 2, 1])]);
    assert_eq!((out.values(DST_PORT), out.values(PROTO)), (&[443, 22][..], &[6, 6][..]));
    assert_eq!(out.values(OUTER_DST_ADDR), [mapped([192, 0, 2, 2]), [0; 16]]);
    assert_eq!((out.values(TUNNEL_TYPE), out.values(TUNNEL_ID)), (&[VXLAN, 0][..], &[5001, 0][..]));
    assert_eq!(out.values(BYTES), [1500, 60]);

    let mut bench = Bench::with(|config| config.decapsulate = Decapsulate::NONE);
    bench.decode(&message);
    let out = &bench.out;
    assert_eq!((out.get(SRC_ADDR, 0), out.get(DST_PORT, 0)), (mapped([192, 0, 2, 1]), 4789));
    assert_eq!((out.get(TUNNEL_TYPE, 0), out.get(TUNNEL_ID, 0), out.get(OUTER_DST_ADDR, 0)), (VXLAN, 5001, [0; 16]));
}

#[test]
fn open_vswitch_tells_the_tunnel_beside_the_packet() {
    let tunnel = |id, length| enterprise_field(6876, id, length);
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(8, 4), tunnel(893, 4), tunnel(894, 4), tunnel(891, 1), tunnel(892, 3)]);
        m.data(256, |out| {
            for (kind, key) in [(1, 77), (2, 78), (3, 79), (7, 80), (0, 0)] {
                out.put(&[10, 0, 0, 1, 192, 0, 2, 1, 192, 0, 2, 2, kind, 0, 0, key]);
            }
        });
    }));
    let out = &bench.out;
    assert_eq!(out.values(TUNNEL_TYPE), [VXLAN, GRE, OTHER, GENEVE, 0]);
    assert_eq!(out.values(TUNNEL_ID), [77, 78, 79, 80, 0]);
    assert_eq!((out.get(OUTER_SRC_ADDR, 0), out.get(SRC_ADDR, 0)), (mapped([192, 0, 2, 1]), mapped([10, 0, 0, 1])));
}

#[test]
fn a_segment_of_layer_2_is_a_vni_or_a_vsid() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(8, 4), field(351, 8)]);
        m.data(256, 3, |out| {
            out.put(&[10, 0, 0, 1, 1, 0, 0, 0, 0, 0xff, 0xff, 0xfe]);
            out.put(&[10, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 9]);
            out.put(&[10, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
        });
    }));
    assert_eq!(bench.out.values(TUNNEL_TYPE), [VXLAN, NVGRE, 0]);
    assert_eq!(bench.out.values(TUNNEL_ID), [0xff_fffe, 9, 0]);
}

#[test]
fn a_code_point_is_the_upper_part_of_the_octet() {
    // Flexible NetFlow's "match ipv4 dscp" and "match ipv4 precedence" in place of the type of service.
    for (id, value) in [(5, 0xb8), (195, 46), (196, 5)] {
        let mut bench = Bench::new();
        bench.decode(&netflow9(0, |m| {
            m.template(256, &[field(8, 4), field(id, 1)]);
            m.data(256, 1, |out| out.put(&[10, 0, 0, 1, value]));
        }));
        assert_eq!(bench.out.get(TOS, 0), if id == 196 { 0xa0 } else { 0xb8 }, "element {id}");
    }
}

#[test]
fn nprobe_names_applications_in_elements_of_its_own() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(257, &[field(8, 4), field(57590, 2), field(57591, 16)]);
        m.data(257, 1, |out| {
            out.put(&[10, 0, 0, 1, 0, 91]);
            out.put_text("TLS.Google", 16);
        });
    }));
    bench.decode(&ipfix(|m| {
        m.template(257, &[field(8, 4), enterprise_field(35632, 119, VARIABLE_LENGTH)]);
        m.data(257, |out| {
            out.put(&[10, 0, 0, 1]);
            out.put_variable(b"DNS");
        });
    }));
    assert_eq!(bench.names_of(bench.out.values(APPLICATION)), ["TLS.Google", "DNS"]);
}

#[test]
fn a_vpn_of_viptela_is_a_vrf() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(257, &[enterprise_field(41916, 4321, 4), field(8, 4)]);
        m.data(257, |out| out.put(&[0, 0, 0, 100, 10, 0, 0, 1]));
    }));
    assert_eq!(bench.out.get(INGRESS_VRF_ID, 0), 100);
}

#[test]
fn pan_os_application_names_come_in_a_field_of_version_9_above_32767() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(257, &[field(8, 4), field(346, 4), field(56701, 32), field(56702, 64), field(233, 1)]);
        m.data(257, 1, |out| {
            out.put(&[10, 0, 0, 1]);
            out.put_u32(25461);
            out.put_text("ssl", 32);
            out.put_text("user", 64);
            out.put_u8(1);
        });
    }));
    assert_eq!(bench.names_of(bench.out.values(APPLICATION)), ["ssl"]);
    assert_eq!(bench.out.get(FIREWALL_EVENT, 0), 1);
}

#[test]
fn vmware_exports_the_largest_ttl_only() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(266, &[field(8, 4), field(53, 1), enterprise_field(6876, 888, 2), field(210, 1)]);
        m.data(266, |out| out.put(&[10, 0, 0, 1, 128, 0, 1, 0]));
    }));
    assert_eq!(bench.out.get(TTL, 0), 128);
}

#[test]
fn juniper_exception_codes_are_drops() {
    let property = |length| enterprise_field(2636, 137, length);
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(384, &[property(4), property(2), field(10, 4)]);
        m.data(384, |out| {
            out.put(&[0x04, 0, 0, 0, 0x08, 0xc3, 0, 0, 2, 0xe1]); // kind 2, exception 195
            out.put(&[0x04, 0, 0, 0, 0x08, 0x00, 0, 0, 2, 0xe1]); // kind 2, no exception
            out.put(&[0x04, 0, 0, 0, 0x14, 0xc3, 0, 0, 2, 0xe1]); // another kind
        });
    }));
    assert_eq!(bench.out.values(FORWARDING_STATUS), [128, 0, 0]);
    assert_eq!(bench.out.values(IN_IF_INDEX), [737; 3]);
}

#[test]
fn variable_lengths_are_understood_in_version_9_too() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(96, VARIABLE_LENGTH), field(1, 4)]);
        m.data(256, 2, |out| {
            for (name, octets) in [("youtube", 1), ("", 2)] {
                out.put_variable(name.as_bytes());
                out.put_u32(octets);
            }
        });
    }));
    assert_eq!((decoded.rows, bench.out.values(BYTES)), (2, &[1, 2][..]));
}

#[test]
fn the_upper_bit_of_a_version_9_field_is_no_enterprise_bit() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        // Cisco ASA: 33000 (ACL ids, 12 octets), 40001 to 40005 before IANA had numbers for them.
        m.template(263, &[field(33000, 12), field(8, 4), field(40001, 4), field(40005, 1), field(33002, 2)]);
        m.data(263, 1, |out| {
            out.put(&[0; 12]);
            out.put(&[10, 0, 0, 1, 192, 0, 2, 1, 2, 7, 0xe9]);
        });
    }));
    let out = &bench.out;
    assert_eq!((out.get(POST_NAT_SRC_ADDR, 0), out.get(FIREWALL_EVENT, 0)), (mapped([192, 0, 2, 1]), 2));
}

#[test]
fn fields_of_no_length_are_stepped_over() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(8, 4), field(4, 0), field(12, 4), field(1, 0), field(2, 4)]);
        m.data(256, 2, |out| out.put(&[10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 7, 10, 0, 0, 3, 10, 0, 0, 4, 0, 0, 0, 8]));
    }));
    assert_eq!(bench.out.values(PACKETS), [7, 8]);
    assert_eq!(bench.out.get(DST_ADDR, 1), mapped([10, 0, 0, 4]));
}

#[test]
fn an_options_template_without_a_scope_still_holds_options() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&netflow9(0, |m| {
        m.options_template(257, &[], &[field(48, 1), field(50, 4)]);
        m.data(257, 1, |out| out.put(&[3, 0, 0, 0, 100]));
        m.template(256, &[field(8, 4), field(48, 1)]);
        m.data(256, 1, |out| out.put(&[10, 0, 0, 1, 3]));
    }));
    assert_eq!((decoded.options_templates, decoded.options_records, decoded.rows), (1, 1, 1));
    assert_eq!(bench.out.get(SAMPLING_INTERVAL, 0), 100);
}

#[test]
fn an_ipfix_options_template_with_a_scope_count_of_zero_still_holds_options() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.options_template(257, 0, &[field(302, 4), field(305, 4), field(306, 4)]);
        m.data(257, |out| [1, 1, 999].into_iter().for_each(|value| out.put_u32(value)));
    }));
    assert_eq!((decoded.options_records, decoded.rows), (1, 0));
}

#[test]
fn the_count_of_a_version_9_header_is_not_believed() {
    let message = netflow9(0, |m| {
        m.template(256, &[field(8, 4), field(1, 4)]);
        m.data(256, 2, |out| out.put(&[10, 0, 0, 1, 0, 0, 0, 9, 10, 0, 0, 2, 0, 0, 0, 8]));
    });
    for count in [0_u16, 1, 2, 3, 17, u16::MAX] {
        let mut bench = Bench::new();
        let mut message = message.clone();
        message[2..4].copy_from_slice(&count.to_be_bytes());
        assert_eq!(bench.decode(&message).rows, 2, "count {count}");
    }
}

#[test]
fn sets_without_records_and_templates_in_any_set_are_read() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&netflow9(0, |m| {
        m.data(300, 0, |_| ()); // a FlowSet that is only a header
        m.templates(&[(256, &[field(8, 4)]), (257, &[field(12, 4)]), (258, &[])]);
        m.data(256, 0, |_| ());
        m.data(257, 1, |out| out.put(&[10, 0, 0, 1]));
    }));
    assert_eq!((decoded.templates, decoded.rows), (3, 1));
}

#[test]
fn octets_behind_the_last_set_of_a_message_are_ignored() {
    let mut bench = Bench::new();
    let mut message = ipfix(|m| {
        m.template(256, &[field(8, 4)]);
        m.data(256, |out| out.put(&[10, 0, 0, 1]));
    });
    message.extend([0xde, 0xad, 0xbe, 0xef, 0, 1, 2]); // behind the length of the header
    assert_eq!(bench.decode(&message).rows, 1);
    for padding in 1..4 {
        let mut message = netflow9(0, |m| m.template(256, &[field(8, 4)]));
        message.extend(vec![0; padding]);
        assert_eq!(bench.decode(&message).templates, 1);
    }
}

#[test]
fn a_set_of_length_zero_amid_a_message_ends_it_and_does_not_loop() {
    let mut message = netflow9(0, |m| m.template(256, &[field(8, 4)]));
    message.extend([1, 0, 0, 0, 10, 0, 0, 1]);
    let decoded = Bench::new().decode(&message);
    assert_eq!((decoded.templates, decoded.rows, decoded.sets_left_out), (1, 0, 1));
    let alone = netflow9(0, |_| ()).into_iter().chain([1, 0, 0, 0, 10, 0, 0, 1]).collect::<Vec<_>>();
    assert_eq!(Bench::new().try_decode(&alone).unwrap_err().error, DecodeError::BadLength);
}

#[test]
fn nat_events_of_routers_are_rows_without_counters() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(8, 4), field(225, 4), field(230, 1), field(323, 8), field(4, 1)]);
        m.data(256, 1, |out| {
            out.put(&[10, 0, 0, 1, 203, 0, 113, 1, 4]);
            out.put_u64(NOW as u64 - 5);
            out.put_u8(17);
        });
    }));
    let out = &bench.out;
    assert_eq!((out.get(NAT_EVENT, 0), out.get(BYTES, 0), out.get(PACKETS, 0)), (4, 0, 0));
    assert_eq!((out.get(POST_NAT_SRC_ADDR, 0), out.get(FLOW_START, 0)), (mapped([203, 0, 113, 1]), NOW - 5));
}

#[test]
fn yaf_reverse_elements_keep_the_ports_of_their_direction() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(
            256,
            &[field(8, 4), field(12, 4), field(7, 2), field(11, 2), field(85, 8), enterprise_field(29305, 85, 8)],
        );
        m.data(256, |out| {
            out.put(&[10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0, 53]);
            out.put_u64(70);
            out.put_u64(300);
        });
    }));
    let out = &bench.out;
    assert_eq!((out.values(BYTES), out.values(DST_PORT)), (&[70, 300][..], &[53, 40_000][..]));
}

#[test]
fn mac_addresses_come_under_every_number_that_devices_use() {
    for id in [56, 81] {
        let mut bench = Bench::new();
        bench.decode(&netflow9(0, |m| {
            m.template(256, &[field(8, 4), field(id, 6)]);
            m.data(256, 1, |out| out.put(&[10, 0, 0, 1, 0, 0x1b, 0x21, 0xbc, 0x24, 0xdd]));
        }));
        assert_eq!(bench.out.get(SRC_MAC, 0), 0x001b_21bc_24dd, "element {id}");
    }
}
