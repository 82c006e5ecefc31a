//! Names into flows, beside plain `maxminddb` look-ups of the same addresses.
//!
//! Figures are CPU time of one thread per flow, both ends of it; criterion tells them one by one, the ratios come after it
//! from rounds of their own ([`support::cpu`] says why) and are the last lines: `name: value x`.
//!
//! A row of Helios includes filling the batch with its addresses and writing eight to twenty columns, which the peer does
//! not; the cases `lookup` are look-ups alone, as the peer's are. Before anything is measured, what both say of every
//! address is compared.
//!
//! `cargo bench --bench enrich -- all` measures a part; the ratios are left out then.

mod support {
    pub mod cpu;
    pub mod enrichment;
}

use support::cpu::{Case, Ratio, measure};
use support::enrichment::{Flows, Helios, Lookup, Mix, Peer, Spread, World};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ratios to print: name, the slow case, the fast one.
const RATIOS: [Ratio; 11] = [
    ("enrich_lookup_ipv4_zipf_vs_maxminddb", "ipv4_zipf/maxminddb", "ipv4_zipf/lookup"),
    ("enrich_lookup_mixed_zipf_vs_maxminddb", "mixed_zipf/maxminddb", "mixed_zipf/lookup"),
    ("enrich_lookup_ipv4_uniform_vs_maxminddb", "ipv4_uniform/maxminddb", "ipv4_uniform/lookup"),
    ("enrich_geoip_ipv4_zipf_vs_maxminddb", "ipv4_zipf/maxminddb", "ipv4_zipf/geoip"),
    ("enrich_geoip_mixed_zipf_vs_maxminddb", "mixed_zipf/maxminddb", "mixed_zipf/geoip"),
    ("enrich_geoip_ipv6_zipf_vs_maxminddb", "ipv6_zipf/maxminddb", "ipv6_zipf/geoip"),
    ("enrich_geoip_ipv4_uniform_vs_maxminddb", "ipv4_uniform/maxminddb", "ipv4_uniform/geoip"),
    ("enrich_geoip_mixed_uniform_vs_maxminddb", "mixed_uniform/maxminddb", "mixed_uniform/geoip"),
    ("enrich_all_ipv4_zipf_vs_maxminddb", "ipv4_zipf/maxminddb", "ipv4_zipf/all"),
    ("enrich_all_mixed_zipf_vs_maxminddb", "mixed_zipf/maxminddb", "mixed_zipf/all"),
    ("enrich_all_cost_of_geoip_ipv4_zipf", "ipv4_zipf/all", "ipv4_zipf/geoip"),
];

/// What flows: names of the cases with GeoIP only, with all sources, of look-ups alone, and of the peer.
const TRAFFICS: [([&str; 4], Mix, Spread); 5] = [
    (["ipv4_zipf/geoip", "ipv4_zipf/all", "ipv4_zipf/lookup", "ipv4_zipf/maxminddb"], Mix::Ipv4, Spread::Zipf),
    (
        ["mixed_zipf/geoip", "mixed_zipf/all", "mixed_zipf/lookup", "mixed_zipf/maxminddb"],
        Mix::OneInFiveIpv6,
        Spread::Zipf,
    ),
    (["ipv6_zipf/geoip", "ipv6_zipf/all", "ipv6_zipf/lookup", "ipv6_zipf/maxminddb"], Mix::Ipv6, Spread::Zipf),
    (
        ["ipv4_uniform/geoip", "ipv4_uniform/all", "ipv4_uniform/lookup", "ipv4_uniform/maxminddb"],
        Mix::Ipv4,
        Spread::Uniform,
    ),
    (
        ["mixed_uniform/geoip", "mixed_uniform/all", "mixed_uniform/lookup", "mixed_uniform/maxminddb"],
        Mix::OneInFiveIpv6,
        Spread::Uniform,
    ),
];

fn main() {
    helios_service::huge_pages::disable();
    let world = World::new();
    let flows = TRAFFICS.map(|(_, mix, spread)| Flows::new(&world, mix, spread));
    for flows in &flows {
        support::enrichment::assert_same_answers(&world, flows);
    }
    let mut cases = Vec::new();
    for (([geoip, all, lookup, peer], _, _), flows) in TRAFFICS.iter().zip(&flows) {
        let (mut with_geoip, mut with_all) = (Helios::new(&world.geoip), Helios::new(&world.all));
        let mut tables = Lookup::new(&world.all);
        let plain = Peer::new(&world);
        cases.push(Case { name: geoip, pass: Box::new(move || with_geoip.pass(flows)) });
        cases.push(Case { name: all, pass: Box::new(move || with_all.pass(flows)) });
        cases.push(Case { name: lookup, pass: Box::new(move || tables.pass(flows)) });
        cases.push(Case { name: peer, pass: Box::new(move || plain.pass(flows)) });
    }
    if let Some(rounds) = measure("enrich_", &mut cases) {
        rounds
            .print_figures("flow")
            .and_then(|()| rounds.print_ratios(&RATIOS))
            .expect("standard output takes the report");
    }
}
