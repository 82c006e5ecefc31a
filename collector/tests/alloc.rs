//! No allocation per record: 10,000 warmed messages of every version decode without one. And what decoders keep is
//! bounded: the allocator says how much it is.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking, as tests do.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use helios_collector::decode::budget::{Budget, DEFAULT_MAX_OCTETS};
use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig, Transport};
use helios_collector::encode::packet::{self, Ipv4, Layer};
use helios_collector::encode::sflow5::records::{SampledHeader, header_protocol};
use helios_collector::encode::{Put, VARIABLE_LENGTH, field, ipfix, netflow1, netflow5, netflow7, netflow9, sflow5};
use helios_common::columns::{AS_PATH, COMMUNITIES, Column, ColumnKind, LARGE_COMMUNITIES, MPLS_LABELS, Value};
use helios_common::exporter::{ExporterId, Exporters, mapped};
use helios_common::flow::{BATCH_ROWS, FlowBatch, LIST_OCTETS_PER_ROW};
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
fn netflow1_decodes_without_an_allocation() {
    let mut message = Vec::new();
    netflow1::message(&netflow1::Header::default(), &[netflow5::Record::default(); 24], &mut message);
    assert_eq!(allocations(&message, &message), 0);
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

const NOW: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// A decoder with a budget, and what it keeps on the heap.
struct Kept {
    decoder: Decoder,
    out: FlowBatch,
    budget: Arc<Budget>,
    before: i64,
}

impl Kept {
    fn new(max_octets: usize) -> Self {
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        Self::with(max_octets, DecoderConfig::default(), exporters, names)
    }

    fn with(max_octets: usize, config: DecoderConfig, exporters: Arc<Exporters>, names: Arc<Names>) -> Self {
        let mut decoder = Decoder::new(config, exporters, names);
        let budget = Arc::new(Budget::new(max_octets));
        decoder.charge_to(Arc::clone(&budget));
        let mut kept = Self { decoder, out: FlowBatch::new(), budget, before: 0 };
        // What is there once whoever sends: scratch space that grows with the longest message.
        kept.send(0, NOW, &templates(0, 10, 1000));
        kept.before = alloc::live_octets() - kept.decoder.state_octets() as i64;
        kept
    }

    /// Sends a message from one of many addresses.
    fn send(&mut self, exporter: u32, at: i64, message: &[u8]) {
        let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + exporter)), 4000);
        let _ = self.decoder.decode(message, &DatagramMeta { source, received_at: at }, &mut self.out);
        self.out.clear();
    }

    fn heap_octets(&self) -> i64 {
        alloc::live_octets() - self.before
    }

    /// The heap has no more than the decoder says, what it says is within its budget, and not far more than it has.
    fn check(&self, what: &str) {
        let (heap, said) = (self.heap_octets(), self.decoder.state_octets() as i64);
        assert!(heap <= said, "{what}: {heap} octets on the heap, {said} accounted for");
        assert!(said <= 6 * heap, "{what}: {heap} octets on the heap, {said} accounted for");
        assert_eq!(self.budget.used() as i64, said, "{what}");
        let message = 8 << 20;
        assert!(said <= self.budget.max() as i64 + message, "{what}: {said} octets of {}", self.budget.max());
    }
}

fn message(domain: u32, write: impl FnOnce(&mut ipfix::Message<'_>)) -> Vec<u8> {
    let mut octets = Vec::new();
    let header = ipfix::Header { export_secs: 1_700_000_000, sequence: 0, observation_domain_id: domain };
    write(&mut ipfix::Message::begin(&header, &mut octets));
    octets
}

/// Definitions that no other template of the tests has, `n` of them.
fn templates(from: u32, n: u32, n_fields: u16) -> Vec<u8> {
    message(0, |m| {
        for number in from..from + n {
            let own = [field(1 + (number % 300) as u16, 1 + (number / 300 % 60_000) as u16)];
            let fields: Vec<_> = own.into_iter().chain((1..n_fields).map(|at| field(1 + at % 400, 2))).collect();
            m.template(256 + (number % 1024) as u16, &fields);
        }
    })
}

#[test]
fn templates_of_1000_fields_of_30_spoofed_sources_stay_within_the_budget() {
    let mut kept = Kept::new(128 << 20);
    for source in 1..=30 {
        for part in 0..64 {
            kept.send(source, NOW, &templates(source * 1024 + part * 16, 16, 1000));
        }
    }
    kept.check("30 sources with 1,024 templates of 1,000 fields");
    let of_one = kept.decoder.exporters().map(|exporter| exporter.templates).max().unwrap();
    assert!((100..1024).contains(&of_one), "{of_one} templates of one source");
    // A device that is established goes on: an eighth is kept for it.
    kept.decoder.expire(NOW + 1);
    let honest = templates(1 << 20, 4, 30);
    kept.send(1, NOW + HOUR_MS / 4, &honest);
    kept.check("an established device with new templates");
}

#[test]
fn what_is_kept_of_each_kind_is_no_more_than_is_accounted_for() {
    let mut kept = Kept::new(1 << 30);
    for source in 0..2000 {
        kept.send(source, NOW, &message(0, |_| ()));
    }
    kept.check("2,000 exporters");
    let mut kept = Kept::new(1 << 30);
    for domain in 0..250 {
        (0..20).for_each(|source| kept.send(source, NOW, &message(domain, |_| ())));
    }
    kept.check("20 exporters with 250 domains");
    let mut kept = Kept::new(1 << 30);
    let samplers = [field(48, 2), field(50, 4)];
    for source in 0..200 {
        kept.send(
            source,
            NOW,
            &message(0, |m| {
                m.options_template(257, 1, &samplers);
                m.data(257, |out| {
                    (0..700_u16).for_each(|id| {
                        out.put_u16(id);
                        out.put_u32(1000);
                    })
                });
            }),
        );
    }
    kept.check("200 exporters with 700 samplers");
    let mut kept = Kept::new(1 << 30);
    for source in 0..200 {
        for _ in 0..100 {
            kept.send(source, NOW, &message(0, |m| m.data(999, |out| out.put(&[0; 500]))));
        }
    }
    kept.check("200 exporters with 50 KB that wait for a template");
}

/// Entries come and go in waves, of which a few stay: what removed ones leave behind is given back or is accounted for.
#[test]
fn what_comes_and_goes_leaves_no_more_than_is_accounted_for() {
    const N: u32 = 2000;
    let names = Arc::new(Names::new());
    let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
    // The registry of exporters is bounded by itself, and is of the whole process.
    for source in 0..N {
        exporters.intern(mapped((0x0a00_0000 + source).to_be_bytes()));
    }
    let mut kept = Kept::with(1 << 30, DecoderConfig::default(), exporters, names);
    for wave in 0..4 {
        for source in 0..N {
            kept.send(source, NOW + wave * HOUR_MS, &templates(source % 100, 1, 3));
        }
        kept.check("a wave of exporters");
        (0..20).for_each(|source| kept.send(source, NOW + (wave + 1) * HOUR_MS - 1, &templates(source, 1, 3)));
        kept.decoder.expire(NOW + (wave + 1) * HOUR_MS);
        assert_eq!(kept.decoder.exporters().count(), 20);
        kept.check("20 exporters are left of 2,000");
    }
    // Sets that wait for templates, and expire.
    let mut kept = Kept::new(1 << 30);
    for wave in 0..4 {
        let at = NOW + wave * HOUR_MS;
        for source in 0..100 {
            (0..300).for_each(|_| kept.send(source, at, &message(0, |m| m.data(999, |_| ()))));
            kept.send(source, at + HOUR_MS / 2, &message(0, |m| m.data(999, |_| ())));
        }
        kept.check("held sets of no record");
        kept.decoder.expire(at + HOUR_MS / 2 + 1);
        kept.check("one held set is left of 301");
    }
}

/// Over TCP templates are withdrawn (RFC 7011 §8.1).
#[test]
fn withdrawn_templates_leave_no_more_than_is_accounted_for() {
    let names = Arc::new(Names::new());
    let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
    let config = DecoderConfig { transport: Transport::Tcp, ..DecoderConfig::default() };
    let mut kept = Kept::with(1 << 30, config, exporters, names);
    for wave in 0..4 {
        (0..50).for_each(|part| kept.send(1, NOW, &templates(wave * 1000 + part * 20, 20, 30)));
        kept.check("1,000 templates");
        let withdrawn = message(0, |m| (0..1024).filter(|id| id % 50 > 0).for_each(|id| m.template(256 + id, &[])));
        kept.send(1, NOW, &withdrawn);
        kept.check("a few templates are left");
    }
}

/// The tables of totals grow to their full size, or as far as the budget has room.
#[test]
fn totals_of_flows_are_charged_and_stay_within_the_budget() {
    let flows = |part: u32| {
        message(0, |m| {
            m.data(256, |out| {
                for flow in part * 1000..(part + 1) * 1000 {
                    out.put_u32(flow);
                    out.put_u64(100);
                }
            });
        })
    };
    for (max_octets, least) in [(1 << 30, 6 << 20), (20 << 20, 1 << 20)] {
        let mut kept = Kept::new(max_octets);
        kept.send(1, NOW, &message(0, |m| m.template(256, &[field(8, 4), field(85, 8)])));
        // The batch grows with the first rows; it is no state.
        kept.send(1, NOW, &flows(0));
        kept.before = alloc::live_octets() - kept.decoder.state_octets() as i64;
        let before = kept.budget.used();
        (1..400).for_each(|part| kept.send(1, NOW, &flows(part)));
        kept.check("400,000 flows with totals");
        // Flows whose totals are told again move from the older table to the younger one.
        (200..400).for_each(|part| kept.send(1, NOW, &flows(part)));
        kept.check("400,000 flows, the half of them twice");
        let taken = kept.budget.used() - before;
        assert!((least..14 << 20).contains(&taken), "{taken} octets of totals in a budget of {max_octets}");
    }
}

#[test]
fn a_full_budget_refuses_what_is_new_and_keeps_what_is_there() {
    let mut kept = Kept::new(16 << 20);
    let first = message(0, |m| m.template(256, &[field(1, 4)]));
    kept.send(1, NOW, &first);
    for source in 2..20_000 {
        kept.send(source, NOW, &first);
    }
    kept.check("20,000 senders of a template");
    let exporters = kept.decoder.exporters().count();
    assert!((1000..19_000).contains(&exporters), "{exporters} exporters");
    let data = message(0, |m| m.data(256, |out| out.put(&[0, 0, 0, 9])));
    let meta = DatagramMeta { source: "10.0.0.1:4000".parse().unwrap(), received_at: NOW };
    assert_eq!(kept.decoder.decode(&data, &meta, &mut kept.out).unwrap().rows, 1);
    // All of them fall silent: the budget is free again.
    kept.decoder.expire(NOW + 2 * HOUR_MS);
    assert_eq!((kept.decoder.state_octets(), kept.budget.used()), (0, 0));
}

/// What [`DEFAULT_MAX_OCTETS`](helios_collector::decode::budget::DEFAULT_MAX_OCTETS) is made for: a hundredth of 8,000
/// devices with 4 observation domains, 20 templates and 500 interfaces each.
#[test]
fn the_largest_network_takes_a_quarter_of_the_budget_or_less_than_half_if_nobody_shares_a_definition() {
    const DEVICES: u32 = 80;
    for (own_definitions, least, most) in [(false, 15, 30), (true, 30, 50)] {
        let mut kept = Kept::new(DEFAULT_MAX_OCTETS);
        for device in 1..=DEVICES {
            for domain in 0..4 {
                let from = if own_definitions { device * 20 } else { 0 } + domain * 5;
                let mut definitions = templates(from, 5, 20);
                definitions[12..16].copy_from_slice(&domain.to_be_bytes());
                kept.send(device, NOW, &definitions);
            }
            let interfaces = message(0, |m| {
                m.options_template(2000, 1, &[field(10, 4), field(82, 8)]);
                m.data(2000, |out| {
                    for index in 1..=500 {
                        out.put_u32(index);
                        out.put_u64(u64::from(device * 500 + index));
                    }
                });
            });
            kept.send(device, NOW, &interfaces);
        }
        let percent = kept.decoder.state_octets() * 8000 / DEVICES as usize * 100 / DEFAULT_MAX_OCTETS;
        assert!((least..=most).contains(&percent), "{percent} % of the budget");
    }
}

/// docs/configuration.md (`collector.batch_rows`) has 1.2 KiB for each row, growing vectors included.
#[test]
fn a_batch_of_rows_that_fill_every_column_takes_what_the_configuration_reference_says() {
    fn put<T: Value>(column: Column, out: &mut FlowBatch) {
        out.open(column.typed::<T>().unwrap()).push(T::default());
    }
    let mut out = FlowBatch::new();
    let before = alloc::live_octets();
    // One row more than a power of two: vectors have just doubled.
    let rows = BATCH_ROWS + 1;
    for _ in 0..rows {
        for column in Column::all() {
            match column.spec().kind {
                ColumnKind::U8 | ColumnKind::Enum(_) => put::<u8>(column, &mut out),
                ColumnKind::U16 => put::<u16>(column, &mut out),
                ColumnKind::U32 | ColumnKind::Name => put::<u32>(column, &mut out),
                ColumnKind::U64 | ColumnKind::Mac => put::<u64>(column, &mut out),
                ColumnKind::Time => put::<i64>(column, &mut out),
                ColumnKind::Address => put::<[u8; 16]>(column, &mut out),
                ColumnKind::U32List | ColumnKind::U128List => {}
            }
        }
        out.open_list(MPLS_LABELS).push([0; LIST_OCTETS_PER_ROW / 4]);
        [AS_PATH, COMMUNITIES].into_iter().for_each(|lists| out.open_list(lists).push([]));
        out.open_list(LARGE_COMMUNITIES).push([]);
        out.advance(1, ExporterId(0));
    }
    let taken = alloc::live_octets() - before;
    let stated = 2 * rows * (FlowBatch::row_octets() + LIST_OCTETS_PER_ROW);
    assert!((rows as i64 * 500..=stated as i64).contains(&taken), "{taken} octets of {rows} rows, {stated} stated");
    assert!(stated <= rows * 1200, "docs/configuration.md says 1.2 KiB, it is {}", stated / rows);
}
