//! What the types of the sections cannot say: the sections' own checks, each complaint at the place of its key.

use std::fmt::Display;

use super::mistake::Mistake;
use super::tree::{Node, Origin, Value};
use super::{Config, LogConfig, columns};

/// Every value that cannot work.
pub fn sections(config: &Config, tree: &Node) -> Vec<Mistake> {
    let at = |path: &str, what: &dyn Display| mistake(tree, path, what);
    let mut found = Vec::new();
    if let Err(error) = config.collector.validate() {
        found.push(at(&format!("collector.{}", error.key), &error.problem));
    }
    if let Err(error) = config.enricher.validate() {
        found.push(at(&format!("enricher.{}", error.key), &error.problem));
    }
    for error in config.netbox.validate().err().into_iter().flatten() {
        found.push(at(&format!("netbox.{}", error.key), &error.problem));
    }
    for error in config.clickhouse.validate().err().into_iter().flatten() {
        found.push(at(&format!("clickhouse.{}", error.key), &error.problem));
    }
    for (at, error) in columns::check(&config.columns) {
        found.push(item(tree, "columns", at, &error));
    }
    found.extend(binary(config).map(|(path, what)| at(path, &what)));
    found.extend(log(&config.log).map(|what| at("log.level", &what)));
    found
}

/// The ranges of the binary's own sections.
fn binary(config: &Config) -> impl Iterator<Item = (&'static str, String)> {
    let range = |path, value: u64, low: u64, high: u64| {
        (!(low..=high).contains(&value)).then(|| (path, format!("{value} is outside of {low} to {high}")))
    };
    [
        range("pipeline.queue_batches", config.pipeline.queue_batches as u64, 2, 4096),
        range("pipeline.shutdown_timeout_ms", config.pipeline.shutdown_timeout_ms, 100, 3_600_000),
        range("admin.max_exporters", config.admin.max_exporters as u64, 0, 100_000),
    ]
    .into_iter()
    .flatten()
}

fn log(config: &LogConfig) -> Option<String> {
    tracing_subscriber::EnvFilter::try_new(&config.level).err()?;
    let level = &config.level;
    Some(format!("{level:?} is no log level; use error, warn, info, debug, trace, or as in info,helios_sink=debug"))
}

/// A mistake at the place of a key, or at the key's default where nobody set it.
fn mistake(tree: &Node, path: &str, what: &dyn Display) -> Mistake {
    let keys: Vec<&str> = path.split('.').collect();
    let origin = tree.get(&keys).map_or_else(|| Origin::Flag("default".to_owned()), |node| node.origin.clone());
    Mistake { origin, what: format!("{path}: {what}") }
}

/// A mistake at the place of an item of a list; at the list's own where a variable spells it as text.
fn item(tree: &Node, path: &str, at: usize, what: &dyn Display) -> Mistake {
    let list = tree.get(&[path]);
    let item = list.and_then(|list| match &list.value {
        Value::List(items) => items.get(at),
        _ => None,
    });
    let origin = item.or(list).map_or_else(|| Origin::Flag("default".to_owned()), |node| node.origin.clone());
    Mistake { origin, what: format!("{path}[{at}]: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn a_value_out_of_range_is_reported_at_its_line() {
        let text = "collector:\n  workers: 0\npipeline:\n  shutdown_timeout_ms: 1\nlog: {level: 'a=b=c'}\n";
        let tree = Node::parse(text, &Arc::from(Path::new("h.yaml"))).unwrap();
        let config = crate::config::de::read(tree.clone(), &[]).unwrap();
        let found: Vec<String> = sections(&config, &tree).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "h.yaml:2:12: collector.workers: 0 is outside of 1 to 256");
        assert_eq!(found[1], "h.yaml:4:24: pipeline.shutdown_timeout_ms: 1 is outside of 100 to 3600000");
        assert!(found[2].starts_with("h.yaml:5:14: log.level: \"a=b=c\" is no log level"), "{}", found[2]);
    }
}
