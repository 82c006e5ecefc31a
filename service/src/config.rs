//! Reads a configuration: one YAML file, variables and flags over it, typed sections out.
//!
//! Start at [`Sources::load`]. A program says what its configuration is by implementing [`Configuration`] for a struct
//! of sections; [`tree`] remembers where each value was written, [`de`] reports every mistake with that place.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub mod args;
mod tree;
mod layers;
mod renamed;
mod de;
mod error;
mod mistake;
mod keys;

pub use keys::{differences, paths};
pub use mistake::Mistake;
pub use renamed::Renamed;
use tree::{Node, Origin};

/// The configuration of a program: a struct with a field per section.
pub trait Configuration: Default + Serialize + DeserializeOwned {
    /// Variables with fixed names, and the paths of the keys that they set.
    const VARIABLES: &'static [(&'static str, &'static str)];
    /// Keys that stand outside of any section.
    const SECTIONLESS: &'static [&'static str];
    /// Keys that had another name in the release before. Their values are taken for one release more.
    const RENAMED: &'static [Renamed] = &[];

    /// Checks what the types of the sections cannot say: every value that cannot work.
    fn problems(&self) -> Vec<Problem>;

    /// The effective configuration as YAML that can be used as a file. It holds no secrets: those have no key.
    fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("sections of scalars and lists are always YAML")
    }
}

/// A value that has the right type and cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key, for example `collector.workers` or `columns[2].name`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Problem {
    /// A problem with the value at this path.
    pub fn new(key: impl Into<String>, what: impl Display) -> Self {
        Self { key: key.into(), what: what.to_string() }
    }

    /// A number that is outside of its range, both ends included.
    pub fn range(key: &str, value: u64, low: u64, high: u64) -> Option<Self> {
        helios_advice::outside(value, low, high).map(|problem| Self::new(key, problem))
    }

    /// The problem at the place where the value was written.
    fn located(self, tree: &Node) -> Mistake {
        let origin = tree.origin_of(&self.key).unwrap_or_else(|| Origin::Flag("default".to_owned()));
        Mistake { origin, what: format!("{}: {}", self.key, self.what) }
    }
}

/// Where the configuration of one run comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Without a file the defaults are the base.
    pub file: Option<PathBuf>,
    /// Names and values of the environment.
    pub variables: Vec<(String, String)>,
    /// `section.key=value`, as `--set` has them.
    pub assignments: Vec<String>,
    /// Flags with a name of their own: flag, path of the key, value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Sources {
    /// Reads, checks and types the configuration.
    ///
    /// # Errors
    /// Every mistake found, each with the place to correct.
    pub fn load<C: Configuration>(&self) -> Result<C, Vec<Mistake>> {
        self.load_with_notes().map(|(config, _)| config)
    }

    /// As [`load`](Self::load), with a note for each key that has another name now.
    ///
    /// # Errors
    /// Every mistake found, each with the place to correct.
    pub fn load_with_notes<C: Configuration>(&self) -> Result<(C, Vec<Mistake>), Vec<Mistake>> {
        let mut tree = match &self.file {
            Some(file) => read_file(file).map_err(|mistake| vec![mistake])?,
            None => Node::empty(Origin::Flag("configuration".to_owned())),
        };
        layers::environment::<C>(&mut tree, self.variables.iter().cloned());
        let known = paths(&C::default());
        let mut mistakes = layers::slips(self.variables.iter().map(|(name, _)| name.as_str()), &known);
        let assigned = self.assignments.iter().filter_map(|text| layers::assignment::<C>(&mut tree, text).err());
        mistakes.extend(assigned);
        for (flag, path, value) in &self.flags {
            layers::flag(&mut tree, flag, path, value);
        }
        let notes = renamed::apply(&mut tree, C::RENAMED);
        let config = match de::read::<C>(tree.clone(), &known) {
            Ok(config) => config,
            Err(more) => {
                mistakes.extend(more);
                return Err(mistakes);
            }
        };
        mistakes.extend(config.problems().into_iter().map(|problem| problem.located(&tree)));
        if mistakes.is_empty() { Ok((config, notes)) } else { Err(mistakes) }
    }
}

fn read_file(file: &Path) -> Result<Node, Mistake> {
    let file: Arc<Path> = Arc::from(file);
    let text = std::fs::read_to_string(&file).map_err(|error| Mistake {
        origin: Origin::File { file: Arc::clone(&file), line: 0, column: 0 },
        what: match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file; name another with --config or HELIOS_CONFIG".into(),
            std::io::ErrorKind::InvalidData => "not valid YAML: the file is not UTF-8 text".into(),
            _ => format!("cannot be read: {error}"),
        },
    })?;
    Node::parse(&text, &file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_reported_where_its_value_was_written() {
        let text = "collector:\n  workers: 0\ncolumns:\n- {name: a}\n- {name: b}\n";
        let mut tree = Node::parse(text, &Arc::from(Path::new("h.yaml"))).unwrap();
        tree.set(&["lists"], "[{name: a}]", &Origin::Variable("HELIOS_LISTS".into()));
        for (key, place) in [
            ("collector.workers", "h.yaml:2:12"),
            ("columns[1].name", "h.yaml:5:10"),
            ("columns[1].id", "h.yaml:5:3"), // not written: the item is the place to add it
            ("columns[7]", "h.yaml:4:3"),
            ("lists[0].name", "HELIOS_LISTS"),
            ("collector.listen", "default"),
        ] {
            let mistake = Problem::new(key, "cannot work").located(&tree);
            assert_eq!(mistake.to_string(), format!("{place}: {key}: cannot work"));
        }
    }

    #[test]
    fn a_range_includes_both_ends() {
        assert_eq!((Problem::range("k", 1, 1, 3), Problem::range("k", 3, 1, 3)), (None, None));
        assert_eq!(Problem::range("k", 0, 1, 3).unwrap().what, "must be from 1 to 3, found 0");
    }
}
