//! What the collectors read: a plan as text, and the text read back.
//!
//! Every document has one line for each entry, sorted, so that two of them can be compared line by line:
//! - `gnmic.yaml`: gnmic's file loader, a map from a target's name to its options. Each value is JSON, which is YAML too:
//!   whatever a name in NetBox looks like, it is a quoted string.
//! - `snmp.json`, `icmp.json`, `tcp.json`: Prometheus' `file_sd`, a list with one group for each target.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::plan::Plan;

mod entries;

helios_metrics::label_set! {
    /// A collector's list of targets; the labels are parts of the names of files and ConfigMaps.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum ListKind {
        Gnmic = "gnmic",
        Snmp = "snmp",
        Icmp = "icmp",
        Tcp = "tcp",
    }
}

impl ListKind {
    /// The ending of its files.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Gnmic => "yaml",
            Self::Snmp | Self::Icmp | Self::Tcp => "json",
        }
    }

    /// The file's name.
    pub fn file_name(self) -> String {
        format!("{}.{}", self.name(), self.extension())
    }
}

/// The entries of one kind: JSON by a key that stays the same while a device changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document(BTreeMap<String, Value>);

/// A text that Helios did not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ParseError {
    /// Counts from 1.
    pub line: usize,
    /// What is not as Helios writes it.
    pub problem: String,
}

const GNMIC_HEAD: &str = "# Written by `helios targets`. Changes are overwritten.\n";

impl Document {
    /// Adds an entry; a later one replaces an earlier one with the same key.
    fn insert(&mut self, kind: ListKind, key: Option<&str>, value: Value) -> Result<(), String> {
        let device = entries::device(kind, &value).ok_or("the entry has no label `device`")?;
        let key = match (kind, key) {
            (ListKind::Gnmic, Some(name)) => name.to_owned(),
            // A device has one target, and of TCP one for each port.
            _ => match entries::label(&value, "port") {
                Some(port) => format!("{device} {port:>5}"),
                None => device.to_owned(),
            },
        };
        self.0.insert(key, value);
        Ok(())
    }

    /// Key and value, in the order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The entry with this key, which [`entries`](Self::entries) gives.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Number of targets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no target.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the entries of another part.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The entries for whose key `keep` says so.
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(key, _)| keep(key)).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// The text that the collector reads.
    pub fn render(&self, kind: ListKind) -> String {
        let mut text = String::new();
        match kind {
            ListKind::Gnmic => {
                text.push_str(GNMIC_HEAD);
                if self.is_empty() {
                    text.push_str("{}\n");
                }
                for (name, value) in &self.0 {
                    // Writing to a String cannot fail.
                    let _ = writeln!(text, "{name:?}: {}", yaml_line(value));
                }
            }
            ListKind::Snmp | ListKind::Icmp | ListKind::Tcp => {
                text.push('[');
                for (at, value) in self.0.values().enumerate() {
                    let _ = write!(text, "{}\n{value}", if at == 0 { "" } else { "," });
                }
                text.push_str("\n]\n");
            }
        }
        text
    }

    /// Octets that an entry takes in the text.
    pub fn rendered_len(key: &str, value: &Value) -> usize {
        // Quotes, colon, space or comma, line break; what YAML escapes is at most six octets for two.
        key.len() + 8 + yaml_line(value).len()
    }

    /// Reads a text back.
    ///
    /// # Errors
    /// When Helios did not write it.
    pub fn parse(kind: ListKind, text: &str) -> Result<Self, ParseError> {
        let mut document = Self::default();
        for (at, line) in text.lines().enumerate() {
            let entry = match kind {
                ListKind::Gnmic => gnmic_line(line),
                ListKind::Snmp | ListKind::Icmp | ListKind::Tcp => file_sd_line(line),
            };
            let inserted = match entry {
                Ok(Some((key, value))) => document.insert(kind, key.as_deref(), value),
                Ok(None) => Ok(()),
                Err(problem) => Err(problem),
            };
            inserted.map_err(|problem| ParseError { line: at + 1, problem })?;
        }
        Ok(document)
    }
}

type Line = Result<Option<(Option<String>, Value)>, String>;

fn gnmic_line(line: &str) -> Line {
    if line.starts_with('#') || line.is_empty() || line == "{}" {
        return Ok(None);
    }
    let (name, value) = line.split_once(": ").ok_or("no line of `name: {...}`")?;
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).ok_or("the name is not in quotes")?;
    let value = serde_json::from_str(value).map_err(|error| error.to_string())?;
    Ok(Some((Some(name.to_owned()), value)))
}

fn file_sd_line(line: &str) -> Line {
    match line {
        "[" | "]" | "[]" | "" => Ok(None),
        line => {
            let value = line.strip_suffix(',').unwrap_or(line);
            let value = serde_json::from_str(value).map_err(|error| error.to_string())?;
            Ok(Some((None, value)))
        }
    }
}

/// JSON that every reader of YAML takes: characters that YAML forbids or reads as a line break are escaped (YAML 1.1 §5.1,
/// §5.4). gnmic expands `$VARIABLE` in addresses and credentials only, never in event tags, so `$` in a name is harmless.
fn yaml_line(value: &Value) -> String {
    let json = value.to_string();
    let special = |char: char| {
        matches!(char, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    if !json.contains(special) {
        return json;
    }
    let mut line = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        match special(char) {
            true => {
                let _ = write!(line, "\\u{:04x}", u32::from(char));
            }
            false => line.push(char),
        }
    }
    line
}

/// A document for each kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Documents(BTreeMap<ListKind, Document>);

impl Documents {
    /// What the collectors are to read by the plan.
    pub fn of(plan: &Plan) -> Self {
        let mut documents = Self::default();
        for target in plan.targets.values() {
            for (kind, value) in entries::entries(target) {
                let inserted = documents.get_mut(kind).insert(kind, Some(&target.name), value);
                debug_assert_eq!(inserted, Ok(()), "every entry of a plan has the label `device`");
            }
        }
        documents
    }

    pub(crate) fn get(&self, kind: ListKind) -> Option<&Document> {
        self.0.get(&kind)
    }

    pub(crate) fn get_mut(&mut self, kind: ListKind) -> &mut Document {
        self.0.entry(kind).or_default()
    }

    /// Entries of a kind.
    pub fn len(&self, kind: ListKind) -> usize {
        self.get(kind).map_or(0, Document::len)
    }

    /// The text of a kind.
    pub fn render(&self, kind: ListKind) -> String {
        self.get(kind).cloned().unwrap_or_default().render(kind)
    }

    /// All entries: kind, label `device`, key, value.
    pub fn entries(&self) -> impl Iterator<Item = (ListKind, &str, &str, &Value)> {
        self.0.iter().flat_map(|(kind, document)| {
            document
                .entries()
                .map(|(key, value)| (*kind, entries::device(*kind, value).unwrap_or_default(), key, value))
        })
    }
}

#[cfg(test)]
mod tests;
