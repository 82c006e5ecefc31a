//! What the types of the sections cannot say.

use std::fmt::Display;

use super::mistake::Mistake;
use super::print::is_secret;
use super::tree::{Entry, Node, Origin, Value};
use super::{Config, LogConfig};

/// Secrets come from the environment or from a file of their own: the configuration is in version control and a
/// flag is in every process list.
pub fn secrets(tree: &Node) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    visit(tree, "", &mut |path, entry| {
        let text = match &entry.node.value {
            Value::Scalar { text, .. } => text,
            _ => return,
        };
        if is_secret(&entry.key) && !text.is_empty() && !matches!(entry.node.origin, Origin::Variable(_)) {
            let variable = path.to_ascii_uppercase().replace('.', "__");
            mistakes.push(Mistake {
                origin: entry.node.origin.clone(),
                what: format!(
                    "{path} is a secret and must not stand here; put it into a file and name that with {path}_file, \
                     or set HELIOS_{variable}"
                ),
            });
        }
    });
    mistakes
}

fn visit(node: &Node, prefix: &str, see: &mut impl FnMut(&str, &Entry)) {
    let Value::Section(entries) = &node.value else { return };
    for entry in entries {
        let path = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        see(&path, entry);
        visit(&entry.node, &path, see);
    }
}

/// The sections' own checks, with the places of the keys they complain about.
pub fn sections(config: &Config, tree: &Node) -> Vec<Mistake> {
    let mut found = Vec::new();
    if let Err(error) = config.collector.validate() {
        found.push(mistake(tree, &format!("collector.{}", error.key), &error.problem));
    }
    found.extend(pipeline(config).map(|(path, what)| mistake(tree, path, what)));
    found.extend(log(&config.log).map(|what| mistake(tree, "log.level", what)));
    found
}

fn pipeline(config: &Config) -> impl Iterator<Item = (&'static str, String)> {
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
    let error = tracing_subscriber::EnvFilter::try_new(&config.level).err()?;
    Some(format!("{:?} is no log level: {error}; use error, warn, info, debug or trace", config.level))
}

/// A mistake at the place of a key, or at the key's default where nobody set it.
fn mistake(tree: &Node, path: &str, what: impl Display) -> Mistake {
    let keys: Vec<&str> = path.split('.').collect();
    let origin = tree.get(&keys).map_or_else(|| Origin::Flag("default".to_owned()), |node| node.origin.clone());
    Mistake { origin, what: format!("{path}: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    fn tree(text: &str) -> Node {
        Node::parse(text, &Arc::from(Path::new("h.yaml"))).unwrap()
    }

    #[test]
    fn a_secret_in_the_file_is_refused_and_its_value_not_shown() {
        let found = secrets(&tree("clickhouse:\n  password: hunter2\n"));
        assert_eq!(
            found[0].to_string(),
            "h.yaml:2:13: clickhouse.password is a secret and must not stand here; put it into a file and name that \
             with clickhouse.password_file, or set HELIOS_CLICKHOUSE__PASSWORD"
        );
    }

    #[test]
    fn a_secret_in_the_environment_is_where_it_belongs() {
        let mut tree = tree("clickhouse: {password_file: /run/secrets/clickhouse, password: ''}\n");
        assert_eq!(secrets(&tree), []);
        tree.set(&["clickhouse", "password"], "hunter2", &Origin::Variable("CLICKHOUSE_PASSWORD".into()));
        assert_eq!(secrets(&tree), []);
        tree.set(&["clickhouse", "password"], "hunter2", &Origin::Flag("--set clickhouse.password".into()));
        assert_eq!(secrets(&tree).len(), 1);
    }

    #[test]
    fn a_value_out_of_range_is_reported_at_its_line() {
        let text = "collector:\n  workers: 0\npipeline:\n  shutdown_timeout_ms: 1\nlog: {level: 'a=b=c'}\n";
        let tree = tree(text);
        let config = crate::config::de::read(tree.clone(), &[]).unwrap();
        let found: Vec<String> = sections(&config, &tree).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "h.yaml:2:12: collector.workers: 0 is outside of 1 to 256");
        assert_eq!(found[1], "h.yaml:4:24: pipeline.shutdown_timeout_ms: 1 is outside of 100 to 3600000");
        assert!(found[2].starts_with("h.yaml:5:14: log.level: \"a=b=c\" is no log level"), "{}", found[2]);
    }
}
