//! Batches to the bytes of a block: Arrow, compression, and the way between threads.
//!
//! The flows are those of `helios simulate`, decoded and enriched as `helios run` does it, so that lengths after
//! compression are of a network's mix and not of noise. Figures are CPU time of one thread, ratios the last lines.

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use helios::capture::Capture;
use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig};
use helios_common::exporter::Exporters;
use helios_common::flow::{BATCH_ROWS, FlowBatch};
use helios_common::ledger::Ledger;
use helios_common::names::Names;
use helios_common::queue::{Received, bounded_queue};
use helios_enricher::{Enricher, EnricherConfig, Surroundings};
use helios_sink::block::{Assembler, BlockLimits};
use helios_sink::config::{Compression, SinkConfig};

#[path = "support/cpu.rs"]
mod cpu;

use cpu::{Case, CpuTime, Rounds};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Three blocks' worth of chunks.
const FLOWS: usize = 200_000;

const METHODS: [(&str, Compression); 3] =
    [("block/none", Compression::None), ("block/lz4", Compression::Lz4), ("block/lz4_fast", Compression::Lz4Fast)];

const RATIOS: [(&str, &str, &str); 2] = [
    ("block_lz4_cost_of_lz4_fast", "block/lz4", "block/lz4_fast"),
    ("block_lz4_cost_of_none", "block/lz4", "block/none"),
];

/// Decoded and enriched batches.
struct Flows {
    names: Arc<Names>,
    batches: Vec<FlowBatch>,
}

impl Flows {
    fn simulated() -> Self {
        let folder = tempfile::tempdir().expect("a folder for a capture");
        let capture = folder.path().join("flows.pcap");
        helios(&[
            "simulate",
            "--count",
            &FLOWS.to_string(),
            "--exporters",
            "100",
            "--write",
            &capture.to_string_lossy(),
        ]);
        helios(&["simulate", "--write-geoip", &folder.path().to_string_lossy()]);
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        let decoded = decoded(&capture, &exporters, &names);
        let batches = enriched(decoded, folder.path(), &exporters, &names);
        Self { names, batches }
    }

    fn rows(&self) -> usize {
        self.batches.iter().map(FlowBatch::rows).sum()
    }

    fn assembler(&self, compression: Compression) -> Assembler {
        let defaults = SinkConfig::default();
        let limits = BlockLimits { rows: defaults.block_rows, octets: defaults.block_bytes, compression };
        Assembler::new(defaults.database, limits, Arc::clone(&self.names))
    }
}

fn helios(arguments: &[&str]) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_helios")).args(arguments).output();
    assert!(output.expect("helios runs").status.success(), "helios {arguments:?} failed");
}

fn decoded(capture: &Path, exporters: &Arc<Exporters>, names: &Arc<Names>) -> Vec<FlowBatch> {
    let mut decoder = Decoder::new(DecoderConfig::default(), Arc::clone(exporters), Arc::clone(names));
    let (mut batches, mut batch) = (Vec::new(), FlowBatch::new());
    for datagram in Capture::open(capture).expect("the capture was written") {
        let datagram = datagram.expect("the capture is whole");
        let received_at = (datagram.timestamp_ns / 1_000_000) as i64;
        let meta = DatagramMeta { source: datagram.source, received_at };
        decoder.decode(&datagram.payload, &meta, &mut batch).expect("the traffic is well-formed");
        if batch.rows() >= BATCH_ROWS {
            batch.seal();
            batches.push(std::mem::take(&mut batch));
        }
    }
    batches
}

fn enriched(batches: Vec<FlowBatch>, geoip: &Path, exporters: &Arc<Exporters>, names: &Arc<Names>) -> Vec<FlowBatch> {
    let mut config = EnricherConfig::default();
    config.geoip.city = Some(geoip.join("city.mmdb"));
    config.geoip.asn = Some(geoip.join("asn.mmdb"));
    let (input, from_collector) = bounded_queue(batches.len());
    let (to_sink, output) = bounded_queue(batches.len());
    let ledger = Arc::new(Ledger::new());
    let enricher = Enricher::start(
        &config,
        Surroundings {
            input: from_collector,
            output: to_sink,
            ledger,
            names: Arc::clone(names),
            exporters: Arc::clone(exporters),
            external: Vec::new(),
        },
    )
    .expect("the databases were written");
    for batch in batches {
        assert!(input.send(batch).is_ok(), "the queue has room for all");
    }
    drop(input);
    enricher.join();
    let mut enriched = Vec::new();
    while let Received::Batch(batch) = output.receive(Duration::ZERO) {
        enriched.push(batch);
    }
    enriched
}

/// One pass: all batches into blocks. Closed blocks are let go at once, as if ClickHouse had taken them.
fn assemble(flows: &Flows, assembler: &RefCell<Assembler>) -> usize {
    let assembler = &mut *assembler.borrow_mut();
    for batch in &flows.batches {
        assembler.append(batch, |block, _| drop(block)).expect("columns follow the table");
    }
    flows.rows()
}

/// One pass: every batch through a queue and back.
fn hand_over(flows: &mut Vec<FlowBatch>) -> usize {
    let (sender, receiver) = bounded_queue(1);
    let mut rows = 0;
    for batch in flows {
        rows += batch.rows();
        assert!(sender.send(std::mem::take(batch)).is_ok(), "the queue is empty");
        match receiver.receive(Duration::ZERO) {
            Received::Batch(received) => *batch = received,
            Received::Quiet | Received::Closed => unreachable!("a batch was sent"),
        }
    }
    rows
}

fn main() {
    let flows = Flows::simulated();
    let assemblers: Vec<_> = METHODS.iter().map(|(_, method)| RefCell::new(flows.assembler(*method))).collect();
    let mut cases: Vec<Case<'_>> = Vec::new();
    for ((name, _), assembler) in METHODS.iter().zip(&assemblers) {
        let flows = &flows;
        cases.push(Case { name, pass: Box::new(move || assemble(flows, assembler)) });
    }
    let mut travelling = flows.batches.clone();
    cases.push(Case { name: "queue/hand_over", pass: Box::new(move || hand_over(&mut travelling)) });
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for case in &mut cases {
        let (group, name) = case.name.split_once('/').unwrap_or((case.name, "helios"));
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements((case.pass)() as u64));
        group.bench_function(name, |bencher| bencher.iter(&mut case.pass));
        group.finish();
    }
    criterion.final_summary();
    if std::env::args().skip(1).all(|argument| argument == "--bench") && std::env::args().len() > 1 {
        let rounds = Rounds::run(&mut cases);
        drop(cases);
        report(&rounds, &assemblers).expect("standard output takes the report");
    }
}

fn report(rounds: &Rounds, assemblers: &[RefCell<Assembler>]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{:<24}{:>12}{:>12}{:>16}", "CPU time per row", "median ns", "best ns", "rows/s/core")?;
    for (name, median, best) in rounds.figures() {
        writeln!(out, "{name:<24}{median:>12.1}{best:>12.1}{:>14.1} M", 1e3 / median)?;
    }
    writeln!(out)?;
    for ((name, _), assembler) in METHODS.iter().zip(assemblers) {
        let costs = assembler.borrow().costs;
        writeln!(out, "{name:<24}{:>8.1} octets/row", costs.octets_written as f64 / costs.rows.max(1) as f64)?;
    }
    writeln!(out)?;
    for (name, slow, fast) in RATIOS {
        writeln!(out, "{name}: {:.2} x", rounds.ratio(slow, fast))?;
    }
    Ok(())
}
