//! What other collectors are known to get wrong: one test per mistake, in the order of how much it costs.
//!
//! Each comment tells the mistake. The tests of the parts (netflow.rs, vendors.rs, those in the modules) go into detail;
//! here each is shown once from the datagram to the row.

use std::net::IpAddr;

use helios_collector::decode::{DecodeError, LossCounts, Protocol};
use helios_collector::encode::netflow9::Scope;
use helios_collector::encode::packet::{self, Ipv4, Ipv6, Layer};
use helios_collector::encode::sflow5::records::{SampledHeader, header_protocol};
use helios_collector::encode::{Put, VARIABLE_LENGTH, enterprise_field, field, netflow5, sflow5};
use helios_common::columns::{
    BYTES, DST_AS, DST_PORT, EXPORTER_ADDRESS, FIREWALL_EVENT, FLOW_DIRECTION, FLOW_END, FLOW_START, FRAGMENT_OFFSET,
    FRAME_LENGTH, ICMP_CODE, ICMP_TYPE, IN_IF_INDEX, INNER_VLAN, MPLS_LABELS, OBSERVATION_DOMAIN_ID, OUT_IF_INDEX,
    OUTER_SRC_ADDR, PACKETS, PROTO, RECEIVED_AT, SAMPLING_INTERVAL, SAMPLING_SOURCE, SRC_ADDR, SRC_AS, SRC_PORT,
    SRC_VLAN, TUNNEL_ID,
};
use helios_common::exporter::mapped;

use crate::bench::{Bench, NOW, NOW_SECS, ipfix, ipfix_in, netflow9};

const HEADER_SAYS: u8 = 5;

// 1. Templates kept under the socket's port, or without the observation domain, or apart from options templates.

#[test]
fn line_cards_on_several_ports_share_the_templates_of_their_domain() {
    let mut bench = Bench::new();
    bench.decode(&ipfix_in(7, |m| m.template(256, &[field(1, 4)])));
    bench.source.set_port(61_853);
    assert_eq!(bench.decode(&ipfix_in(7, |m| m.data(256, |out| out.put_u32(5)))).rows, 1);
    assert_eq!(bench.decode(&ipfix_in(8, |m| m.data(256, |out| out.put_u32(5)))).rows, 0, "of another domain");
}

#[test]
fn an_id_that_becomes_an_options_template_yields_no_flows_any_more_and_back() {
    let mut bench = Bench::new();
    let data = ipfix(|m| m.data(256, |out| [0, 64].into_iter().for_each(|value| out.put_u32(value))));
    bench.decode(&ipfix(|m| m.template(256, &[field(1, 4), field(2, 4)])));
    assert_eq!(bench.decode(&data).rows, 1);
    bench.decode(&ipfix(|m| m.options_template(256, 1, &[field(149, 4), field(34, 4)])));
    assert_eq!((bench.decode(&data).rows, bench.decode(&data).options_records), (0, 1));
    // A device that restarted gives the same id another meaning.
    bench.decode(&ipfix(|m| m.template(256, &[field(2, 4), field(1, 4)])));
    bench.decode(&data);
    assert_eq!((bench.out.values(BYTES), bench.out.values(PACKETS)), (&[0, 64][..], &[64, 0][..]));
}

// 2. A set without template costs the whole datagram, and nobody counts it.

#[test]
fn one_unknown_set_amid_others_costs_nothing_but_its_delay() {
    let mut bench = Bench::new();
    let early = bench.decode(&ipfix(|m| {
        m.template(256, &[field(1, 4)]);
        m.data(256, |out| out.put_u32(1));
        m.data(300, |out| out.put_u32(2));
        m.data(256, |out| out.put_u32(3));
    }));
    assert_eq!((early.rows, early.sets_without_template), (2, 1));
    let late = bench.decode(&ipfix(|m| m.template(300, &[field(1, 4)])));
    assert_eq!((late.held_rows, late.held_records), (1, 1));
    assert_eq!(bench.out.values(BYTES), [1, 3, 2]);
    let held = bench.decoder.exporters().next().unwrap().held_sets;
    assert_eq!((held.held, held.decoded, held.expired, held.evicted), (1, 1, 0, 0));
}

// 3. Sampling: the mode read as part of the interval, ratios truncated, one rate for all samplers, flows dropped.

#[test]
fn the_mode_of_version_5_is_not_part_of_its_interval() {
    for mode in 0..4 {
        let mut bench = Bench::new();
        let mut message = Vec::new();
        let header = netflow5::Header { sampling: mode << 14 | 1000, ..netflow5::Header::default() };
        netflow5::message(&header, &[netflow5::Record::default()], &mut message);
        bench.decode(&message);
        let row = (bench.out.get(SAMPLING_INTERVAL, 0), bench.out.get(SAMPLING_SOURCE, 0));
        assert_eq!(row, (1000, HEADER_SAYS), "mode {mode}");
    }
}

#[test]
fn interval_and_space_are_a_ratio_and_so_are_size_and_population() {
    for (elements, values, expected) in
        [([305, 306], [1, 99], 100), ([305, 306], [2, 3], 3), ([309, 310], [3, 1000], 333), ([309, 310], [2, 5], 3)]
    {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.options_template(257, 1, &[field(302, 4), field(elements[0], 4), field(elements[1], 4)]);
            m.data(257, |out| [9, values[0], values[1]].into_iter().for_each(|value| out.put_u32(value)));
            m.template(256, &[field(1, 4), field(302, 4)]);
            m.data(256, |out| [100, 9].into_iter().for_each(|value| out.put_u32(value)));
        }));
        assert_eq!(bench.out.get(SAMPLING_INTERVAL, 0), expected, "{elements:?} {values:?}");
    }
}

#[test]
fn sampler_0_that_no_table_lists_is_the_only_one_there_is() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.options_template(257, &[(Scope::System, 4)], &[field(48, 1), field(50, 4)]);
        m.data(257, 1, |out| out.put(&[0, 0, 0, 0, 3, 0, 0, 0x10, 0]));
        m.template(256, &[field(1, 4), field(48, 1)]);
        m.data(256, 1, |out| out.put(&[0, 0, 0, 9, 0]));
    }));
    assert_eq!(bench.out.get(SAMPLING_INTERVAL, 0), 4096);
}

#[test]
fn no_flow_is_dropped_for_want_of_an_interval_and_zero_is_none() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(1, 4), field(34, 4)]);
        m.data(256, |out| [700, 0].into_iter().for_each(|value| out.put_u32(value)));
    }));
    let row = (bench.out.get(BYTES, 0), bench.out.get(SAMPLING_INTERVAL, 0), bench.out.get(SAMPLING_SOURCE, 0));
    assert_eq!(row, (700, 1, 0));
}

// 4. Time: milliseconds added to seconds, NTP fractions taken for integers, clocks believed.

#[test]
fn every_clock_that_a_record_may_have_tells_the_same_moment() {
    let moment = NOW - 2_500;
    let ntp = ((moment / 1000 + 2_208_988_800) as u64) << 32 | 1 << 31; // half a second as a fraction of 2^32
    for (start, value, width) in [
        (152, moment as u64, 8),
        (154, ntp, 8),
        (156, ntp, 8),
        (158, 2_500_000, 4),
        (323, moment as u64, 8),
        (325, ntp, 8),
    ] {
        let mut bench = Bench::new();
        bench.decode(&ipfix(|m| {
            m.template(256, &[field(start, width)]);
            m.data(256, |out| out.put(&value.to_be_bytes()[8 - usize::from(width)..]));
        }));
        assert_eq!(bench.out.get(FLOW_START, 0), moment, "element {start}");
    }
}

#[test]
fn a_wrong_clock_changes_neither_the_arrival_nor_the_table() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(152, 8), field(153, 8)]);
        m.data(256, |out| [u64::MAX, 1 << 60].into_iter().for_each(|value| out.put_u64(value)));
    }));
    let row = (bench.out.get(RECEIVED_AT, 0), bench.out.get(FLOW_START, 0), bench.out.get(FLOW_END, 0));
    assert_eq!(row, (NOW, NOW, NOW));
}

// 5. Two directions in one record: one of them lost, or both added up; events taken for flows of no octets.

#[test]
fn initiator_and_responder_are_two_rows_and_their_sum_is_the_records() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(8, 4), field(12, 4), field(231, 4), field(232, 4), field(298, 4), field(299, 4)]);
        m.data(256, 2, |out| {
            out.put(&[10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2]);
            out.put(&[10, 0, 0, 3, 10, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]);
        });
    }));
    assert_eq!((bench.out.values(BYTES), bench.out.values(PACKETS)), (&[5, 8, 6][..], &[1, 3, 2][..]));
}

#[test]
fn a_firewalls_create_and_deny_events_are_rows_that_say_so() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(8, 4), field(233, 1), field(33002, 2)]);
        m.data(256, 2, |out| out.put(&[10, 0, 0, 1, 1, 0, 0, 10, 0, 0, 2, 3, 3, 0xe9]));
    }));
    assert_eq!(bench.out.values(FIREWALL_EVENT), [1, 3]);
    assert_eq!((bench.out.get(BYTES, 0), bench.out.get(PACKETS, 1)), (0, 0));
}

// 6. Lengths: fixed widths expected, padding read as a record, a template without octets looped over.

#[test]
fn a_template_of_variable_fields_alone_ends_with_its_set() {
    let mut bench = Bench::new();
    let decoded = bench.decode(&ipfix(|m| {
        m.template(256, &[field(96, VARIABLE_LENGTH), field(236, VARIABLE_LENGTH)]);
        m.data(256, |out| {
            out.put_variable(b"ssh");
            out.put_variable(b"");
            out.put_variable(&[b'x'; 300]);
            out.put_variable(b"blue");
            out.put_u8(0); // padding, shorter than the shortest record
        });
    }));
    assert_eq!(decoded.rows, 2);
}

#[test]
fn a_template_without_octets_is_no_memory_bomb_in_either_version() {
    for fields in [&[][..], &[field(8, 0)][..], &[field(210, 0), enterprise_field(9, 1, 0)][..]] {
        let mut bench = Bench::new();
        let decoded = bench.decode(&ipfix(|m| {
            m.template(256, fields);
            m.data(256, |out| out.put(&[0; 60_000]));
        }));
        assert_eq!((decoded.rows, decoded.sets_without_template), (0, 1));
        assert_eq!(bench.decoder.exporters().next().unwrap().templates, 0);
    }
}

#[test]
fn records_of_one_octet_are_refused_by_the_thousand() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| m.template(256, &[field(4, 1)])));
    let bomb = netflow9(0, |m| (0..7).for_each(|_| m.data(256, 8_000, |out| out.put(&[17; 8_000]))));
    assert_eq!(bench.try_decode(&bomb).unwrap_err().error, DecodeError::TooMuchOutput);
}

// 7. sFlow: formats in the ifIndex, frame length for layer 3, counter samples for flows, the socket for the agent.

fn sample(input: sflow5::Interface, output: sflow5::Interface) -> sflow5::FlowSample {
    sflow5::FlowSample {
        sequence: 1,
        source: sflow5::Source { class: 0, index: 3 },
        sampling_rate: 512,
        sample_pool: 512,
        drops: 0,
        input,
        output,
    }
}

fn sflow(write: impl FnOnce(&mut sflow5::Message<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let agent = IpAddr::from([198, 51, 100, 7]);
    let header = sflow5::Header { agent, sub_agent_id: 4, sequence: 1, uptime_ms: 1 };
    write(&mut sflow5::Message::begin(&header, &mut out));
    out
}

/// One sample of the packet that `layers` describe, of which `taken` octets were sampled.
fn sampled(layers: &[Layer<'_>], taken: usize) -> Bench {
    let mut frame = Vec::new();
    packet::write(layers, &mut frame);
    // The frame check sequence is on the wire but not in the sample.
    let frame_length = frame.len() as u32 + 4;
    frame.truncate(taken);
    let header = SampledHeader { protocol: header_protocol::ETHERNET, frame_length, stripped: 4, header: &frame };
    let mut bench = Bench::new();
    let interface = sflow5::Interface::Index(1);
    bench.decode(&sflow(|m| m.flow_sample(&sample(interface, interface), |records| records.sampled_header(&header))));
    bench
}

const ETHERNET: Layer<'_> = Layer::Ethernet { dst: [2; 6], src: [4; 6] };
const UDP: Layer<'_> = Layer::Udp { src_port: 1111, dst_port: 2222 };
const IPV4: Ipv4<'_> =
    Ipv4 { src: [10, 0, 0, 1], dst: [10, 0, 0, 2], tos: 0, ttl: 64, id: 7, fragment: 0, options: &[] };

#[test]
fn the_format_of_an_sflow_interface_is_not_part_of_its_index() {
    use sflow5::Interface::{Discarded, Index, Multiple};
    let mut bench = Bench::new();
    bench.decode(&sflow(|m| {
        for output in [Index(9), Discarded(2), Multiple(5), sflow5::Interface::INTERNAL] {
            m.flow_sample(&sample(Index(8), output), |_| ());
            m.expanded_flow_sample(&sample(Index(8), output), |_| ());
        }
        m.counter_sample(&sflow5::CounterSample { sequence: 1, source: sflow5::Source { class: 0, index: 3 } }, |_| ());
    }));
    assert_eq!(bench.out.values(OUT_IF_INDEX), [9, 9, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.out.values(IN_IF_INDEX), [8; 8]);
}

#[test]
fn the_agent_is_the_exporter_and_its_octets_are_those_of_layer_3() {
    let bench = sampled(&[ETHERNET, Layer::Ipv4(IPV4), UDP, Layer::Payload(&[0; 100])], 128);
    let out = &bench.out;
    assert_eq!((out.get(EXPORTER_ADDRESS, 0), out.get(OBSERVATION_DOMAIN_ID, 0)), (mapped([198, 51, 100, 7]), 4));
    assert_eq!((out.get(BYTES, 0), out.get(FRAME_LENGTH, 0)), (20 + 8 + 100, 14 + 20 + 8 + 100 + 4));
    assert_eq!((out.get(PACKETS, 0), out.get(SAMPLING_INTERVAL, 0)), (1, 512));
}

#[test]
fn an_agent_that_calls_itself_0_0_0_0_is_known_by_its_socket() {
    let mut bench = Bench::new();
    let mut message =
        sflow(|m| m.flow_sample(&sample(sflow5::Interface::Index(1), sflow5::Interface::Index(2)), |_| ()));
    message[8..12].fill(0);
    bench.decode(&message);
    assert_eq!(bench.out.get(EXPORTER_ADDRESS, 0), mapped([192, 0, 2, 1]));
}

// 8. Sampled headers: tags with their priority bits, options and extensions taken for ports, what was cut thrown away.

#[test]
fn both_tags_of_either_kind_are_kept_without_their_priority() {
    let outer = Layer::Vlan { tpid: packet::TPID_8021AD, tci: 0xe000 | 100 };
    let inner = Layer::Vlan { tpid: packet::TPID_8021Q, tci: 0xf000 | 200 };
    let bench = sampled(&[ETHERNET, outer, inner, Layer::Ipv4(IPV4), UDP], 128);
    let row = (bench.out.get(SRC_VLAN, 0), bench.out.get(INNER_VLAN, 0), bench.out.get(DST_PORT, 0));
    assert_eq!(row, (100, 200, 2222));
}

#[test]
fn ports_are_behind_the_options_and_not_in_later_fragments() {
    let options = Ipv4 { options: &[1; 8], ..IPV4 };
    assert_eq!(sampled(&[ETHERNET, Layer::Ipv4(options), UDP], 128).out.get(SRC_PORT, 0), 1111);
    let later = Ipv4 { fragment: 185, ..IPV4 };
    let octets = [0x04, 0x57, 0x08, 0xae, 0, 0, 0, 0];
    let bench = sampled(&[ETHERNET, Layer::Ipv4(later), Layer::Fragment { protocol: 17, octets: &octets }], 128);
    let row = (bench.out.get(PROTO, 0), bench.out.get(SRC_PORT, 0), bench.out.get(FRAGMENT_OFFSET, 0));
    assert_eq!(row, (17, 0, 185));
}

#[test]
fn labels_and_tunnels_are_kept_with_what_they_carry() {
    let labels = [Layer::Mpls { label: 300_012, ttl: 1 }, Layer::Mpls { label: 17, ttl: 1 }];
    let bench = sampled(&[&[ETHERNET][..], &labels, &[Layer::Ipv4(IPV4), UDP]].concat(), 128);
    assert_eq!((bench.out.list(MPLS_LABELS, 0), bench.out.get(DST_PORT, 0)), (&[300_012, 17][..], 2222));
    let outer = Ipv4 { src: [192, 0, 2, 9], ..IPV4 };
    let vxlan = [Layer::Udp { src_port: 50_000, dst_port: 4789 }, Layer::Vxlan { vni: 5001 }];
    let inner = [ETHERNET, Layer::Ipv6(Ipv6 { src: [7; 16], hop_limit: 3, ..Ipv6::default() }), UDP];
    let bench = sampled(&[&[ETHERNET, Layer::Ipv4(outer)][..], &vxlan, &inner].concat(), 256);
    let out = &bench.out;
    assert_eq!((out.get(SRC_ADDR, 0), out.get(OUTER_SRC_ADDR, 0)), ([7; 16], mapped([192, 0, 2, 9])));
    assert_eq!((out.get(TUNNEL_ID, 0), out.get(DST_PORT, 0)), (5001, 2222));
}

#[test]
fn a_header_cut_at_any_octet_is_a_row_with_what_was_there() {
    let layers = [ETHERNET, Layer::Vlan { tpid: packet::TPID_8021Q, tci: 9 }, Layer::Ipv4(IPV4), UDP];
    for taken in 0..46 {
        let bench = sampled(&layers, taken);
        assert_eq!((bench.out.rows(), bench.out.get(FRAME_LENGTH, 0)), (1, 50), "{taken} octets");
        if taken >= 38 {
            assert_eq!(bench.out.get(SRC_ADDR, 0), mapped([10, 0, 0, 1]), "{taken} octets");
        }
    }
}

// 9. Sequence numbers counted in the wrong unit, late messages and restarts taken for loss.

#[test]
fn each_protocol_numbers_in_its_own_unit() {
    let mut bench = Bench::new();
    let record = [netflow5::Record::default(); 3];
    for sequence in [100, 103, 109] {
        let mut message = Vec::new();
        netflow5::message(&netflow5::Header { sequence, ..netflow5::Header::default() }, &record, &mut message);
        bench.decode(&message);
    }
    let at = |sequence: u32, mut message: Vec<u8>, offset: usize| {
        message[offset..offset + 4].copy_from_slice(&sequence.to_be_bytes());
        message
    };
    let two = |m: &mut helios_collector::encode::ipfix::Message<'_>| {
        m.template(256, &[field(1, 4)]);
        m.data(256, |out| [1, 2].into_iter().for_each(|octets| out.put_u32(octets)));
    };
    for sequence in [50, 52, 57, 59] {
        bench.decode(&at(sequence, ipfix(two), 8));
    }
    for sequence in [7, 8, 10, 9, 10] {
        bench.decode(&at(sequence, netflow9(0, |m| m.template(256, &[field(1, 4)])), 12));
    }
    let counts = bench.decoder.exporters().next().unwrap();
    let loss = |protocol: Protocol| counts.loss[protocol.place()];
    assert_eq!(loss(Protocol::Netflow5), LossCounts { lost: 3, ..LossCounts::default() }, "flows");
    assert_eq!(loss(Protocol::Ipfix), LossCounts { lost: 3, ..LossCounts::default() }, "data records");
    let v9 = LossCounts { lost: 0, reordered: 1, duplicates: 1, restarts: 0 };
    assert_eq!(loss(Protocol::Netflow9), v9, "messages, of which one was late and one came twice");
}

// 10. One packet exported on its way in and on its way out, without a way to tell.

#[test]
fn ingress_and_egress_exports_of_a_packet_can_be_told_apart() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(1, 4), field(61, 1)]);
        m.data(256, |out| out.put(&[0, 0, 0, 9, 0, 0, 0, 0, 9, 1]));
        m.template(257, &[field(1, 4)]);
        m.data(257, |out| out.put_u32(9));
    }));
    assert_eq!(bench.out.values(FLOW_DIRECTION), [1, 2, 0]);
}

// And further: numbers of four octets in two, the other family's zero address, ICMP in the port.

#[test]
fn interfaces_and_systems_of_four_octets_are_whole() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(10, 4), field(14, 2), field(16, 4), field(17, 2)]);
        m.data(256, 1, |out| out.put(&[0x20, 0, 0, 1, 0xff, 0xff, 0xfb, 0xf0, 0, 1, 0x5b, 0xa0]));
    }));
    let out = &bench.out;
    assert_eq!((out.get(IN_IF_INDEX, 0), out.get(OUT_IF_INDEX, 0)), (0x2000_0001, 0xffff));
    assert_eq!((out.get(SRC_AS, 0), out.get(DST_AS, 0)), (4_226_809_857, 23_456));
}

#[test]
fn the_address_0_0_0_0_is_one_where_there_is_no_other_family() {
    let mut bench = Bench::new();
    bench.decode(&ipfix(|m| {
        m.template(256, &[field(8, 4), field(12, 4)]);
        m.data(256, |out| out.put(&[0, 0, 0, 0, 255, 255, 255, 255])); // a DHCP client
        m.template(257, &[field(8, 4), field(27, 16)]);
        m.data(257, |out| out.put(&[0; 20]));
    }));
    assert_eq!(bench.out.values(SRC_ADDR), [mapped([0; 4]), [0; 16]]);
}

#[test]
fn icmp_in_the_destination_port_is_type_and_code_of_either_family() {
    let mut bench = Bench::new();
    bench.decode(&netflow9(0, |m| {
        m.template(256, &[field(4, 1), field(11, 2)]);
        m.data(256, 3, |out| out.put(&[1, 3, 13, 58, 128, 0, 6, 3, 13]));
    }));
    assert_eq!((bench.out.values(ICMP_TYPE), bench.out.values(ICMP_CODE)), (&[3, 128, 0][..], &[13, 0, 0][..]));
}

#[test]
fn an_export_time_from_before_the_epoch_of_a_device_does_not_hide_its_flows() {
    let mut bench = Bench::new();
    let mut message = netflow9(5_000, |m| {
        m.template(256, &[field(1, 4), field(22, 4), field(21, 4)]);
        m.data(256, 1, |out| [77, 1_000, 4_000].into_iter().for_each(|value| out.put_u32(value)));
    });
    assert_eq!(message[8..12], NOW_SECS.to_be_bytes());
    message[8..12].fill(0); // a clock that was never set
    bench.decode(&message);
    let row = (bench.out.get(BYTES, 0), bench.out.get(FLOW_START, 0), bench.out.get(FLOW_END, 0));
    assert_eq!(row, (77, NOW, NOW), "a time before 1970 is none");
}
