//! Batches to the bytes of a block: Arrow, compression, and the way between threads.
//!
//! The flows are those of `helios simulate`, decoded and enriched as `helios run` does it, so that lengths after
//! compression are of a network's mix and not of noise. Figures are CPU time of one thread, ratios the last lines.

use std::cell::RefCell;
use std::io::Write;
use std::time::Duration;

use helios_common::flow::FlowBatch;
use helios_common::queue::{Received, bounded_queue};
use helios_enricher::memo::Memo;
use helios_sink::block::Assembler;
use helios_sink::config::Compression;

mod support {
    pub mod cpu;
    pub mod simulated;
}

use support::cpu::{Case, Ratio, Rounds, measure};
use support::simulated::Simulated;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const METHODS: [(&str, Compression); 3] =
    [("block/none", Compression::None), ("block/lz4", Compression::Lz4), ("block/lz4_fast", Compression::Lz4Fast)];

const RATIOS: [Ratio; 2] = [
    ("block_lz4_cost_of_lz4_fast", "block/lz4", "block/lz4_fast"),
    ("block_lz4_cost_of_none", "block/lz4", "block/none"),
];

/// What the enricher hands on.
fn batches(traffic: &Simulated) -> Vec<FlowBatch> {
    let (mut decoder, mut memo, mut batches) = (traffic.decoder(), Memo::default(), Vec::new());
    traffic.decode(&mut decoder, &mut FlowBatch::new(), |batch| {
        traffic.enrich(batch, &mut memo);
        batches.push(std::mem::take(batch));
    });
    batches
}

/// One pass: all batches into blocks. Closed blocks are let go at once, as if ClickHouse had taken them.
fn assemble(batches: &[FlowBatch], assembler: &RefCell<Assembler>) -> usize {
    let assembler = &mut *assembler.borrow_mut();
    for batch in batches {
        assembler.append(batch, |block, _| drop(block)).expect("columns follow the table");
    }
    batches.iter().map(FlowBatch::rows).sum()
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
    helios_service::huge_pages::disable();
    let traffic = Simulated::new();
    let batches = batches(&traffic);
    let assemblers: Vec<_> = METHODS.iter().map(|(_, method)| RefCell::new(traffic.assembler(*method))).collect();
    let mut cases: Vec<Case<'_>> = Vec::new();
    for ((name, _), assembler) in METHODS.iter().zip(&assemblers) {
        let batches = &batches;
        cases.push(Case { name, pass: Box::new(move || assemble(batches, assembler)) });
    }
    let mut travelling = batches.clone();
    cases.push(Case { name: "queue/hand_over", pass: Box::new(move || hand_over(&mut travelling)) });
    if let Some(rounds) = measure("", &mut cases) {
        drop(cases);
        report(&rounds, &assemblers).expect("standard output takes the report");
    }
}

fn report(rounds: &Rounds, assemblers: &[RefCell<Assembler>]) -> std::io::Result<()> {
    rounds.print_figures("row")?;
    let mut out = std::io::stdout().lock();
    for ((name, _), assembler) in METHODS.iter().zip(assemblers) {
        let costs = assembler.borrow().costs;
        writeln!(out, "{name:<40}{:>12.1} octets/row", costs.octets_written as f64 / costs.rows.max(1) as f64)?;
    }
    writeln!(out)?;
    rounds.print_ratios(&RATIOS)
}
