//! Statements for clusters, as far as an engine without Keeper can tell: it parses every one of them.

use helios_sink::config::ClusterConfig;
use helios_sink::migrate;

use super::support::Stand;

#[test]
fn every_statement_of_a_cluster_is_one_that_clickhouse_can_parse() {
    let mut stand = Stand::empty();
    stand.config.cluster = ClusterConfig { name: Some("main".into()), shards: Vec::new() };
    let steps = migrate::plan_from_scratch(&stand.config);
    assert!(steps.len() > 15, "{steps:?}");
    for step in steps.iter().filter(|step| !step.sql.starts_with("INSERT")) {
        let tree = stand.query(&format!("EXPLAIN AST {}", step.sql));
        assert!(tree.starts_with("Create"), "{}: {tree}", step.purpose);
        assert!(step.sql.contains(" ON CLUSTER 'main'"), "{}", step.sql);
    }
}
