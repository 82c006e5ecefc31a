//! Octets against the specification, and every structure against an independent decoder.

use flowparser_sflow::flow_records::FlowRecord;
use flowparser_sflow::{AddressType, CounterRecord, SflowParser, SflowSample};

use super::records::*;
use super::*;

const HEADER: Header =
    Header { agent: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), sub_agent_id: 3, sequence: 9, uptime_ms: 60_000 };
const SAMPLE: FlowSample = FlowSample {
    sequence: 1,
    source: Source { class: 0, index: 7 },
    sampling_rate: 1_000,
    sample_pool: 5_000,
    drops: 2,
    input: Interface::Index(7),
    output: Interface::Multiple(3),
};

fn parsed(out: &[u8]) -> flowparser_sflow::SflowDatagram {
    let result = SflowParser::default().parse_bytes(out);
    assert!(result.error.is_none(), "{result:?}");
    let [datagram] = &result.datagrams[..] else { panic!("not one datagram: {result:?}") };
    datagram.clone()
}

#[test]
fn octets_are_where_the_specification_puts_them() {
    let mut out = Vec::new();
    Message::begin(&HEADER, &mut out).flow_sample(&SAMPLE, |records| {
        records.sampled_header(&SampledHeader { protocol: 1, frame_length: 64, stripped: 4, header: &[0xaa; 3] });
    });
    #[rustfmt::skip]
    let expected = [
        0, 0, 0, 5, 0, 0, 0, 1, 10, 0, 0, 1,            // version, agent
        0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0xea, 0x60,       // sub-agent, sequence, uptime
        0, 0, 0, 1,                                     // one sample
        0, 0, 0, 1, 0, 0, 0, 60,                        // flow sample, length
        0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 3, 0xe8,          // sequence, source, rate
        0, 0, 0x13, 0x88, 0, 0, 0, 2,                   // pool, drops
        0, 0, 0, 7, 0x80, 0, 0, 3, 0, 0, 0, 1,          // input, output, one record
        0, 0, 0, 1, 0, 0, 0, 20,                        // sampled header, length
        0, 0, 0, 1, 0, 0, 0, 64, 0, 0, 0, 4, 0, 0, 0, 3, 0xaa, 0xaa, 0xaa, 0,
    ];
    assert_eq!(out, expected);
}

#[test]
fn an_independent_decoder_reads_every_flow_record() {
    let path = [PathSegment::Sequence(&[64_500, 15_169]), PathSegment::Set(&[1, 2, 3])];
    let mut out = Vec::new();
    let mut message = Message::begin(&HEADER, &mut out);
    message.flow_sample(&SAMPLE, |records| {
        records.sampled_ethernet(1_514, [1; 6], [2; 6], 0x0800);
        records.sampled_ipv4(&SampledIpv4 { length: 1_500, protocol: 6, src_port: 443, ..SampledIpv4::default() });
        records.sampled_ipv6(&SampledIpv6 { length: 1_480, dst_port: 53, priority: 0xb8, ..SampledIpv6::default() });
        records.extended_switch(&ExtendedSwitch { src_vlan: 100, dst_vlan: 200, ..ExtendedSwitch::default() });
        records.extended_router(&ExtendedRouter { next_hop: HEADER.agent, src_mask: 24, dst_mask: 8 });
        records.extended_gateway(&ExtendedGateway {
            next_hop: IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            own_as: 64_512,
            src_as: 64_513,
            src_peer_as: 64_514,
            dst_path: &path,
            communities: &[64_512 << 16 | 666],
            local_preference: 100,
        });
    });
    let datagram = parsed(&out);
    assert_eq!((datagram.agent_address, datagram.sequence_number), (AddressType::IPv4([10, 0, 0, 1].into()), 9));
    let [SflowSample::Flow(sample)] = &datagram.samples[..] else { panic!("{:?}", datagram.samples) };
    assert_eq!((sample.sampling_rate, sample.sample_pool, sample.drops), (1_000, 5_000, 2));
    assert_eq!((sample.source_id_index, sample.input, sample.output), (7, 7, 2 << 30 | 3));
    let [
        FlowRecord::SampledEthernet(ethernet),
        FlowRecord::SampledIpv4(v4),
        FlowRecord::SampledIpv6(v6),
        FlowRecord::ExtendedSwitch(switch),
        FlowRecord::ExtendedRouter(router),
        FlowRecord::ExtendedGateway(gateway),
    ] = &sample.records[..]
    else {
        panic!("{:?}", sample.records)
    };
    assert_eq!((ethernet.length, ethernet.eth_type), (1_514, 0x0800));
    assert_eq!((v4.length, v4.protocol, v4.src_port), (1_500, 6, 443));
    assert_eq!((v6.length, v6.dst_port, v6.priority), (1_480, 53, 0xb8));
    assert_eq!((switch.src_vlan, switch.dst_vlan), (100, 200));
    assert_eq!((router.src_mask_len, router.dst_mask_len), (24, 8));
    assert_eq!((gateway.as_number, gateway.src_as, gateway.src_peer_as), (64_512, 64_513, 64_514));
    assert_eq!(gateway.as_path_segments[0].values, [64_500, 15_169]);
    assert_eq!((gateway.as_path_segments[1].segment_type, gateway.communities.len()), (1, 1));
}

#[test]
fn expanded_samples_hold_what_the_compact_form_cannot() {
    let mut out = Vec::new();
    let mut message = Message::begin(&HEADER, &mut out);
    let wide = FlowSample {
        source: Source { class: 2, index: 0x0123_4567 },
        input: Interface::Index(u32::MAX),
        output: Interface::Discarded(262),
        ..SAMPLE
    };
    message.expanded_flow_sample(&wide, |_| {});
    message.sample(4300 << 12 | 1, |out| out.put_u32(0));
    assert_eq!(message.octets(), out.len());
    let datagram = parsed(&out);
    let [SflowSample::ExpandedFlow(sample), SflowSample::Unknown { enterprise: 4300, format: 1, .. }] =
        &datagram.samples[..]
    else {
        panic!("{:?}", datagram.samples)
    };
    assert_eq!((sample.source_id_type, sample.source_id_index), (2, 0x0123_4567));
    assert_eq!((sample.input_format, sample.input_value), (0, u32::MAX));
    assert_eq!((sample.output_format, sample.output_value), (1, 262));
}

#[test]
fn an_independent_decoder_reads_counters() {
    let counters = IfCounters {
        index: 7,
        if_type: 6,
        speed: 10_000_000_000,
        direction: 1,
        status: 3,
        inbound: Direction { octets: 1 << 40, unicast: 1, multicast: 2, broadcast: 3, discards: 4, errors: 5 },
        in_unknown_protocols: 6,
        outbound: Direction { octets: 7, unicast: 8, multicast: 9, broadcast: 10, discards: 11, errors: 12 },
        // A TruthValue: 2 is false.
        promiscuous_mode: 2,
    };
    let mut out = Vec::new();
    let mut message = Message::begin(&Header { agent: "2001:db8::1".parse().unwrap(), ..HEADER }, &mut out);
    let sample = CounterSample { sequence: 4, source: SAMPLE.source };
    message.counter_sample(&sample, |records| {
        records.if_counters(&counters);
        records.ethernet_counters(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    });
    message.expanded_counter_sample(&sample, |records| records.if_counters(&counters));
    let datagram = parsed(&out);
    let [SflowSample::Counter(compact), SflowSample::ExpandedCounter(expanded)] = &datagram.samples[..] else {
        panic!("{:?}", datagram.samples)
    };
    let [CounterRecord::GenericInterface(generic), CounterRecord::EthernetInterface(ethernet)] = &compact.records[..]
    else {
        panic!("{:?}", compact.records)
    };
    assert_eq!((generic.if_index, generic.if_speed, generic.if_status), (7, 10_000_000_000, 3));
    assert_eq!((generic.if_in_octets, generic.if_in_errors, generic.if_in_unknown_protos), (1 << 40, 5, 6));
    assert_eq!((generic.if_out_octets, generic.if_out_ucast_pkts, generic.if_out_errors), (7, 8, 12));
    assert_eq!((ethernet.dot3_stats_alignment_errors, ethernet.dot3_stats_symbol_errors), (1, 13));
    assert_eq!((expanded.sequence_number, expanded.records.len()), (4, 1));
}
