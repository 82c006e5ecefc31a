//! Datagrams to columns, beside the crates that one would use otherwise; and a UDP socket to columns.
//!
//! Figures are CPU time of one thread. criterion tells them one by one with their spread, and compares with the last
//! run or a saved baseline. The ratios come after it, from rounds of their own ([`support::cpu`] says why), and are
//! the last lines: `name: value x`.
//!
//! Before anything is measured, the peers' columns are compared with those of Helios: they do the same work.
//!
//! `cargo bench --bench decode -- ipfix` measures a part; the ratios are left out then.

use std::cell::RefCell;

use helios_common::columns::Column;
use helios_common::flow::FlowBatch;

mod support;

use support::cpu::{Case, Ratio, measure};
use support::helios::Helios;
use support::netflow_peer::NetflowPeer;
use support::sflow_peer::SflowPeer;
use support::socket::Socket;
use support::traffic::{self, Traffic};

/// As the binary has it; it is also what makes the peers, which allocate per record, fastest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many exporters as the largest network that Helios is made for.
const MANY_EXPORTERS: usize = 8000;

/// Ratios to print: name, the slow case, the fast one.
const RATIOS: [Ratio; 11] = [
    ("decode_v5_vs_netflow_parser_parse", "v5/netflow_parser", "v5/helios"),
    ("decode_v5_vs_netflow_parser_columns", "v5/netflow_parser_columns", "v5/helios"),
    ("decode_v9_vs_netflow_parser_parse", "v9/netflow_parser", "v9/helios"),
    ("decode_v9_vs_netflow_parser_columns", "v9/netflow_parser_columns", "v9/helios"),
    ("decode_ipfix_vs_netflow_parser_parse", "ipfix/netflow_parser", "ipfix/helios"),
    ("decode_ipfix_vs_netflow_parser_columns", "ipfix/netflow_parser_columns", "ipfix/helios"),
    ("decode_sflow_vs_flowparser_parse", "sflow/flowparser", "sflow/helios"),
    ("decode_sflow_vs_flowparser_etherparse_columns", "sflow/flowparser_etherparse_columns", "sflow/helios"),
    ("decode_8000_exporters_cost_of_one", "exporters/8000", "exporters/1"),
    ("socket_cost_of_decode", "socket/datagrams", "ipfix/helios"),
    ("decode_variable_length_cost_of_fixed", "worst/variable_length", "ipfix/helios"),
];

/// Every case. Cases of one traffic share it: they run by turns.
fn cases<'a>(all: &'a Traffics) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    let mut case = |name, pass: Box<dyn FnMut() -> usize + 'a>| cases.push(Case { name, pass });
    case("v5/helios", helios(&all.v5));
    case("v5/netflow_parser", netflow_parse(&all.v5));
    case("v5/netflow_parser_columns", netflow_columns(&all.v5));
    case("v9/helios", helios(&all.v9));
    case("v9/netflow_parser", netflow_parse(&all.v9));
    case("v9/netflow_parser_columns", netflow_columns(&all.v9));
    case("ipfix/helios", helios(&all.ipfix));
    case("ipfix/netflow_parser", netflow_parse(&all.ipfix));
    case("ipfix/netflow_parser_columns", netflow_columns(&all.ipfix));
    case("ipfix/helios_18_records", helios(&all.ipfix_frame));
    case("sflow/helios", helios(&all.sflow));
    case("sflow/flowparser", {
        let mut peer = SflowPeer::default();
        Box::new(move || peer.parse(&mut all.sflow.borrow_mut()))
    });
    case("sflow/flowparser_etherparse_columns", {
        let mut peer = SflowPeer::default();
        Box::new(move || peer.columns(&mut all.sflow.borrow_mut()))
    });
    case("socket/datagrams", socket(false));
    case("socket/gro", socket(true));
    case("exporters/1", helios(&all.one_exporter));
    case("exporters/8000", helios(&all.many_exporters));
    case("worst/variable_length", helios(&all.variable_length));
    case("worst/both_families", helios(&all.both_families));
    case("worst/samplers", helios(&all.samplers));
    case("worst/biflows", helios(&all.biflows));
    cases
}

struct Traffics {
    v5: RefCell<Traffic>,
    v9: RefCell<Traffic>,
    ipfix: RefCell<Traffic>,
    ipfix_frame: RefCell<Traffic>,
    sflow: RefCell<Traffic>,
    one_exporter: RefCell<Traffic>,
    many_exporters: RefCell<Traffic>,
    variable_length: RefCell<Traffic>,
    both_families: RefCell<Traffic>,
    samplers: RefCell<Traffic>,
    biflows: RefCell<Traffic>,
}

impl Traffics {
    fn new() -> Self {
        Self {
            v5: RefCell::new(traffic::v5()),
            v9: RefCell::new(traffic::v9()),
            ipfix: RefCell::new(traffic::ipfix(traffic::RECORDS)),
            ipfix_frame: RefCell::new(traffic::ipfix(traffic::RECORDS_PER_FRAME)),
            sflow: RefCell::new(traffic::sflow()),
            one_exporter: RefCell::new(traffic::from_exporters(MANY_EXPORTERS, false)),
            many_exporters: RefCell::new(traffic::from_exporters(MANY_EXPORTERS, true)),
            variable_length: RefCell::new(traffic::variable_length()),
            both_families: RefCell::new(traffic::both_families()),
            samplers: RefCell::new(traffic::samplers()),
            biflows: RefCell::new(traffic::biflows()),
        }
    }
}

fn helios(traffic: &RefCell<Traffic>) -> Box<dyn FnMut() -> usize + '_> {
    let mut helios = Helios::new(&traffic.borrow());
    Box::new(move || helios.pass(&mut traffic.borrow_mut()))
}

/// Receiving as well, from one exporter.
fn socket(gro: bool) -> Box<dyn FnMut() -> usize> {
    let mut socket = Socket::new(traffic::from_exporters(traffic::DATAGRAMS, false), gro);
    Box::new(move || socket.pass())
}

fn netflow_parse(traffic: &RefCell<Traffic>) -> Box<dyn FnMut() -> usize + '_> {
    let mut peer = NetflowPeer::new(&traffic.borrow());
    Box::new(move || peer.parse(&mut traffic.borrow_mut()))
}

fn netflow_columns(traffic: &RefCell<Traffic>) -> Box<dyn FnMut() -> usize + '_> {
    let mut peer = NetflowPeer::new(&traffic.borrow());
    Box::new(move || peer.columns(&mut traffic.borrow_mut()))
}

/// One pass of Helios and of its peer over the same traffic gives the same columns.
fn peers_do_the_same_work(all: &Traffics) {
    for traffic in [&all.v5, &all.v9, &all.ipfix] {
        let traffic = &mut *traffic.borrow_mut();
        let mut helios = Helios::new(traffic);
        let mut peer = NetflowPeer::new(traffic);
        assert_eq!(helios.pass(traffic), peer.columns(traffic));
        assert_same_columns(&mut helios.batch, &mut peer.batch);
    }
    let traffic = &mut *all.sflow.borrow_mut();
    let mut helios = Helios::new(traffic);
    let mut peer = SflowPeer::default();
    assert_eq!(helios.pass(traffic), peer.columns(traffic));
    assert_same_columns(&mut helios.batch, &mut peer.batch);
}

fn assert_same_columns(helios: &mut FlowBatch, peer: &mut FlowBatch) {
    helios.seal();
    peer.seal();
    for column in Column::all() {
        assert!(helios.data(column) == peer.data(column), "{} differs", column.spec().name);
    }
}

fn main() {
    helios_service::huge_pages::disable();
    let all = Traffics::new();
    peers_do_the_same_work(&all);
    let mut cases = cases(&all);
    if let Some(rounds) = measure("decode_", &mut cases) {
        rounds
            .print_figures("flow")
            .and_then(|()| rounds.print_ratios(&RATIOS))
            .expect("standard output takes the report");
    }
}
