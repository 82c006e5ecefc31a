//! No allocation per record: 10,000 warmed messages of every version decode without one.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking, as tests do.
use std::sync::Arc;

use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig};
use helios_collector::encode::packet::{self, Ipv4, Layer};
use helios_collector::encode::sflow5::records::{SampledHeader, header_protocol};
use helios_collector::encode::{Put, VARIABLE_LENGTH, field, ipfix, netflow5, netflow7, netflow9, sflow5};
use helios_common::exporter::Exporters;
use helios_common::flow::{BATCH_ROWS, FlowBatch};
use helios_common::names::Names;
use helios_testkit::alloc::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MESSAGES: usize = 10_000;

/// Decodes `first` once and `message` until batches have been filled, then counts over 10,000 more.
fn allocations(first: &[u8], message: &[u8]) -> u64 {
    let names = Arc::new(Names::new());
    let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
    let mut decoder = Decoder::new(DecoderConfig::default(), exporters, names);
    let meta = DatagramMeta { source: "192.0.2.1:2055".parse().unwrap(), received_at: 1_700_000_000_000 };
    let mut batch = FlowBatch::new();
    let mut decode = |octets: &[u8]| {
        if batch.rows() >= BATCH_ROWS {
            batch.seal();
            batch.clear();
        }
        decoder.decode(octets, &meta, &mut batch).unwrap().rows as usize
    };
    decode(first);
    let mut rows = 0;
    while rows < 3 * BATCH_ROWS {
        rows += decode(message);
    }
    let before = alloc::allocations();
    for _ in 0..MESSAGES {
        decode(message);
    }
    alloc::allocations() - before
}

#[test]
fn netflow5_decodes_without_an_allocation() {
    let mut message = Vec::new();
    netflow5::message(&netflow5::Header::default(), &[netflow5::Record::default(); 30], &mut message);
    assert_eq!(allocations(&message, &message), 0);
}

#[test]
fn netflow7_decodes_without_an_allocation() {
    let mut message = Vec::new();
    netflow7::message(&netflow7::Header::default(), &[netflow7::Record::default(); 27], &mut message);
    assert_eq!(allocations(&message, &message), 0);
}

#[test]
fn netflow9_decodes_without_an_allocation_also_refreshes_and_samplers() {
    let fields = [field(8, 4), field(12, 4), field(48, 1), field(1, 4), field(2, 4), field(22, 4), field(70, 3)];
    let octets: u16 = fields.iter().map(|field| field.length).sum();
    let mut message = Vec::new();
    let mut writer = netflow9::Message::begin(&netflow9::Header::default(), &mut message);
    writer.template(256, &fields);
    writer.options_template(257, &[(netflow9::Scope::System, 4)], &[field(48, 1), field(50, 4)]);
    writer.data(257, 1, |out| out.put(&[0, 0, 0, 0, 1, 0, 0, 0, 100]));
    writer.data(256, 20, |out| out.put(&vec![1; usize::from(octets) * 20]));
    assert_eq!(allocations(&message, &message), 0);
}

#[test]
fn ipfix_decodes_without_an_allocation_also_variable_lengths_and_biflows() {
    let fields = [field(8, 4), field(96, VARIABLE_LENGTH), field(231, 4), field(232, 4)];
    let mut first = Vec::new();
    ipfix::Message::begin(&ipfix::Header::default(), &mut first).template(256, &fields);
    let mut message = Vec::new();
    ipfix::Message::begin(&ipfix::Header::default(), &mut message).data(256, |out| {
        for name in ["ssh", "dns", ""] {
            out.put(&[10, 0, 0, 1]);
            out.put_variable(name.as_bytes());
            out.put(&[0, 0, 0, 1, 0, 0, 0, 2]);
        }
    });
    assert_eq!(allocations(&first, &message), 0);
}

#[test]
fn sflow5_decodes_without_an_allocation() {
    let mut frame = Vec::new();
    let ip = Ipv4 { src: [10, 0, 0, 1], dst: [10, 0, 0, 2], ttl: 64, ..Ipv4::default() };
    let layers = [
        Layer::Ethernet { dst: [2; 6], src: [4; 6] },
        Layer::Vlan { tpid: packet::TPID_8021Q, tci: 100 },
        Layer::Ipv4(ip),
        Layer::Tcp { src_port: 1234, dst_port: 443, flags: 0x10 },
    ];
    packet::write(&layers, &mut frame);
    let header = sflow5::Header { agent: "192.0.2.1".parse().unwrap(), sub_agent_id: 0, sequence: 1, uptime_ms: 1 };
    let sample = sflow5::FlowSample {
        sequence: 1,
        source: sflow5::Source { class: 0, index: 1 },
        sampling_rate: 1000,
        sample_pool: 1000,
        drops: 0,
        input: sflow5::Interface::Index(1),
        output: sflow5::Interface::Index(2),
    };
    let sampled =
        SampledHeader { protocol: header_protocol::ETHERNET, frame_length: 1518, stripped: 4, header: &frame };
    let mut message = Vec::new();
    let mut writer = sflow5::Message::begin(&header, &mut message);
    for _ in 0..7 {
        writer.flow_sample(&sample, |records| records.sampled_header(&sampled));
    }
    assert_eq!(allocations(&message, &message), 0);
}
