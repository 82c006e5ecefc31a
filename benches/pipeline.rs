//! The whole way in one thread: datagrams, decoded, enriched, appended, encoded and compressed to a block's frozen bytes.
//!
//! The flows are those of `helios simulate`. Every stage is measured together with those before it, so that the caches are
//! as a pipeline leaves them; the socket and ClickHouse are not in it (`make bench SUITE=e2e` has them). Figures are CPU time
//! of one thread, ratios the last lines: `name: value x`.
//!
//! `cargo bench --bench pipeline -- lz4` measures a part; the ratios are left out then.

use std::cell::RefCell;

use helios_common::flow::FlowBatch;
use helios_enricher::memo::Memo;
use helios_sink::config::Compression;

mod support {
    pub mod cpu;
    #[allow(dead_code, reason = "the decoders' bench uses all of it")]
    pub mod helios;
    pub mod simulated;
    #[allow(dead_code, reason = "the decoders' bench uses all of it")]
    pub mod traffic;
}

use support::cpu::{Case, Ratio, measure};
use support::helios::Helios;
use support::simulated::Simulated;
use support::traffic::{self, Traffic};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many as the largest network that Helios is made for.
const MANY_EXPORTERS: usize = 8000;

const METHODS: [(&str, Compression); 3] = [
    ("pipeline/none", Compression::None),
    ("pipeline/lz4_fast", Compression::Lz4Fast),
    ("pipeline/lz4", Compression::Lz4),
];

/// Ratios to print: name, the slow case, the fast one.
const RATIOS: [Ratio; 5] = [
    ("pipeline_lz4_cost_of_decode", "pipeline/lz4", "pipeline/decode"),
    ("pipeline_lz4_cost_of_none", "pipeline/lz4", "pipeline/none"),
    ("pipeline_lz4_cost_of_lz4_fast", "pipeline/lz4", "pipeline/lz4_fast"),
    ("pipeline_none_cost_of_decode_and_enrich", "pipeline/none", "pipeline/decode_and_enrich"),
    ("pipeline_8000_exporters_cost_of_one", "pipeline/exporters_8000", "pipeline/exporters_1"),
];

fn cases<'a>(traffic: &'a Simulated, [one, many]: &'a [RefCell<Traffic>; 2]) -> Vec<Case<'a>> {
    let mut cases = vec![
        Case { name: "pipeline/decode", pass: decoded(traffic) },
        Case { name: "pipeline/decode_and_enrich", pass: enriched(traffic) },
    ];
    cases.extend(METHODS.iter().map(|&(name, method)| Case { name, pass: frozen(traffic, method) }));
    cases.push(Case { name: "pipeline/exporters_1", pass: from_exporters(traffic, one) });
    cases.push(Case { name: "pipeline/exporters_8000", pass: from_exporters(traffic, many) });
    cases
}

fn decoded(traffic: &Simulated) -> Box<dyn FnMut() -> usize + '_> {
    let (mut decoder, mut batch) = (traffic.decoder(), FlowBatch::new());
    Box::new(move || {
        traffic.decode(&mut decoder, &mut batch, |batch| {
            batch.seal();
            batch.clear();
        })
    })
}

fn enriched(traffic: &Simulated) -> Box<dyn FnMut() -> usize + '_> {
    let (mut decoder, mut batch, mut memo) = (traffic.decoder(), FlowBatch::new(), Memo::default());
    Box::new(move || {
        traffic.decode(&mut decoder, &mut batch, |batch| {
            traffic.enrich(batch, &mut memo);
            batch.clear();
        })
    })
}

/// Closed blocks are let go at once, as if ClickHouse had taken them.
fn frozen(traffic: &Simulated, method: Compression) -> Box<dyn FnMut() -> usize + '_> {
    let (mut decoder, mut batch, mut memo) = (traffic.decoder(), FlowBatch::new(), Memo::default());
    let mut assembler = traffic.assembler(method);
    Box::new(move || {
        traffic.decode(&mut decoder, &mut batch, |batch| {
            traffic.enrich(batch, &mut memo);
            assembler.append(batch, |block, _| drop(block)).expect("columns follow the table");
            batch.clear();
        })
    })
}

/// The same octets from one exporter or from many, to blocks compressed with LZ4.
fn from_exporters<'a>(simulated: &'a Simulated, traffic: &'a RefCell<Traffic>) -> Box<dyn FnMut() -> usize + 'a> {
    let (mut helios, mut memo) = (Helios::with(simulated.decoder(), &traffic.borrow()), Memo::default());
    let mut assembler = simulated.assembler(Compression::Lz4);
    Box::new(move || {
        helios.pass_to(&mut traffic.borrow_mut(), |batch| {
            simulated.enrich(batch, &mut memo);
            assembler.append(batch, |block, _| drop(block)).expect("columns follow the table");
        })
    })
}

fn main() {
    helios_service::huge_pages::disable();
    let traffic = Simulated::new();
    let exporters = [false, true].map(|many| RefCell::new(traffic::from_exporters(MANY_EXPORTERS, many)));
    let mut cases = cases(&traffic, &exporters);
    if let Some(rounds) = measure("", &mut cases) {
        rounds
            .print_figures("flow")
            .and_then(|()| rounds.print_ratios(&RATIOS))
            .expect("standard output takes the report");
    }
}
