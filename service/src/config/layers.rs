//! Environment and flags, laid over the file's tree.
//!
//! Rising precedence: file, variables that other programs share ([`Configuration::VARIABLES`]), `HELIOS_SECTION__KEY`, `--set`, flags
//! with a name of their own. Later values replace earlier ones key by key; a list is replaced as a whole.

use super::Configuration;
use super::mistake::Mistake;
use super::tree::{Node, Origin};

/// Prefix of the generic variables.
const PREFIX: &str = "HELIOS_";

/// Between section and key. A variable without it belongs to another program: Kubernetes puts `HELIOS_PORT`,
/// `HELIOS_SERVICE_HOST` and the like into every pod beside a service named "helios".
const SEPARATOR: &str = "__";

/// Lays the variables over the tree. An empty variable is one that is not set.
pub(crate) fn environment<C: Configuration>(tree: &mut Node, variables: impl IntoIterator<Item = (String, String)>) {
    let mut variables: Vec<(String, String)> = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    // The environment has no order of its own; mistakes are to come in the same order every time.
    variables.sort_unstable();
    for (name, path) in C::VARIABLES {
        if let Some((_, value)) = variables.iter().find(|(variable, _)| variable == name) {
            set(tree, path, value, &Origin::Variable((*name).to_owned()));
        }
    }
    for (name, value) in &variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path = rest.replace(SEPARATOR, ".").to_ascii_lowercase();
        if !path.contains('.') && !C::SECTIONLESS.contains(&path.as_str()) {
            continue;
        }
        set(tree, &path, value, &Origin::Variable(name.clone()));
    }
}

/// Variables that mean a key and have one underscore where two belong. Without an error, their author would search for long.
/// `known` are the paths of all keys.
pub(crate) fn slips<'a>(variables: impl IntoIterator<Item = &'a str>, known: &[String]) -> Vec<Mistake> {
    let meant = |variable: &str| {
        let rest = variable.strip_prefix(PREFIX).filter(|rest| !rest.contains(SEPARATOR))?;
        known.iter().filter(|path| path.contains('.')).find(|path| path.to_ascii_uppercase().replace('.', "_") == rest)
    };
    let mut slips: Vec<Mistake> = variables
        .into_iter()
        .filter_map(|variable| {
            let right = meant(variable)?.to_ascii_uppercase().replace('.', SEPARATOR);
            let what = format!("two underscores separate section and key: {PREFIX}{right}");
            Some(Mistake { origin: Origin::Variable(variable.to_owned()), what })
        })
        .collect();
    slips.sort_by_key(|slip| slip.origin.to_string());
    slips
}

/// Lays one `--set section.key=value` over the tree.
///
/// # Errors
/// A mistake if the text has another form.
pub(crate) fn assignment<C: Configuration>(tree: &mut Node, text: &str) -> Result<(), Mistake> {
    let flag = |text: &str| Origin::Flag(format!("--set {text}"));
    match text.split_once('=') {
        Some((path, value)) if is_path::<C>(path) => {
            // The value stays out of the origin: it may be long, and errors show it anyway.
            set(tree, path, value, &flag(path));
            Ok(())
        }
        _ => Err(Mistake { origin: flag(text), what: "expected section.key=value".to_owned() }),
    }
}

fn is_path<C: Configuration>(text: &str) -> bool {
    C::SECTIONLESS.contains(&text) || text.contains('.') && text.split('.').all(|key| !key.is_empty())
}

/// Lays the value of a flag with a name of its own over the tree.
pub(crate) fn flag(tree: &mut Node, name: &str, path: &str, value: &str) {
    set(tree, path, value, &Origin::Flag(name.to_owned()));
}

fn set(tree: &mut Node, path: &str, value: &str, origin: &Origin) {
    let path: Vec<&str> = path.split('.').collect();
    tree.set(&path, value, origin);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Problem;
    use crate::config::tree::Value;
    use serde::{Deserialize, Serialize};

    /// A configuration of which only the variables matter here.
    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Nothing;

    impl Configuration for Nothing {
        const VARIABLES: &'static [(&'static str, &'static str)] = &[("CLICKHOUSE_URL", "clickhouse.url")];
        const SECTIONLESS: &'static [&'static str] = &["columns"];

        fn problems(&self) -> Vec<Problem> {
            Vec::new()
        }
    }

    fn shown(tree: &Node, path: &[&str]) -> Option<(String, String)> {
        let node = tree.get(path)?;
        match &node.value {
            Value::Scalar { text, .. } => Some((text.clone(), node.origin.to_string())),
            _ => None,
        }
    }

    fn empty() -> Node {
        Node::empty(Origin::Flag(String::new()))
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_generic_variable_wins_over_a_named_one() {
        let mut tree = empty();
        environment::<Nothing>(
            &mut tree,
            variables(&[("CLICKHOUSE_URL", "http://a:8123"), ("HELIOS_CLICKHOUSE__URL", "http://b:8123")]),
        );
        let expected = ("http://b:8123".to_owned(), "HELIOS_CLICKHOUSE__URL".to_owned());
        assert_eq!(shown(&tree, &["clickhouse", "url"]), Some(expected));
    }

    #[test]
    fn what_kubernetes_adds_for_a_service_named_helios_is_no_configuration() {
        let mut tree = empty();
        environment::<Nothing>(
            &mut tree,
            variables(&[
                ("HELIOS_PORT", "tcp://10.0.0.1:2055"),
                ("HELIOS_SERVICE_HOST", "10.0.0.1"),
                ("HELIOS_PORT_2055_UDP_ADDR", "10.0.0.1"),
                ("HELIOS_CONFIG", "/etc/helios.yaml"),
                ("HELIOS_LOG__LEVEL", ""),
            ]),
        );
        assert_eq!(tree, empty());
    }

    #[test]
    fn one_underscore_where_two_belong_is_pointed_out() {
        let known = ["collector.listen".to_owned(), "clickhouse.retention_days.flows".to_owned()];
        let found = slips(["HELIOS_PORT", "HELIOS_COLLECTOR_LISTEN", "HELIOS_COLLECTOR__LISTEN", "PATH"], &known);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = "HELIOS_COLLECTOR_LISTEN: two underscores separate section and key: HELIOS_COLLECTOR__LISTEN";
        assert_eq!(found, [expected]);
        assert_eq!(slips(["HELIOS_CLICKHOUSE_RETENTION_DAYS_FLOWS"], &known).len(), 1);
    }

    #[test]
    fn an_assignment_names_itself_without_its_value() {
        let mut tree = empty();
        assignment::<Nothing>(&mut tree, "collector.listen=a=b").unwrap();
        let expected = ("a=b".to_owned(), "--set collector.listen".to_owned());
        assert_eq!(shown(&tree, &["collector", "listen"]), Some(expected));
        for wrong in ["listen=1", "collector.listen", ".x=1", ""] {
            assert!(assignment::<Nothing>(&mut tree, wrong).is_err(), "{wrong}");
        }
    }
}
