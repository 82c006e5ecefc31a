//! Keys that have another name now.
//!
//! A configuration of the release before still works: its values go to the new keys, in their unit, and a note for each says
//! what to write instead. A file that has both names is told that the old one is unknown, as any other key.

use super::mistake::Mistake;
use super::tree::{Node, Value, parse_flow};

/// A key that had another name in the release before.
#[derive(Debug, Clone, Copy)]
pub struct Renamed {
    /// Path of the old key; `[]` behind a list stands for each of its entries: `enricher.networks.http[].timeout_secs`.
    pub old: &'static str,
    /// The last part of the new path. The parts before it stay.
    pub new: &'static str,
    /// A value of the old key times this is one of the new key: 1,000 where seconds became milliseconds.
    pub factor: u64,
}

/// Moves the values of old keys to the new ones; returns a note for each.
pub(crate) fn apply(tree: &mut Node, renamed: &[Renamed]) -> Vec<Mistake> {
    let mut notes = Vec::new();
    for key in renamed {
        let path: Vec<&str> = key.old.split('.').collect();
        rename(tree, &path, key, &mut notes);
    }
    notes
}

fn rename(node: &mut Node, path: &[&str], key: &Renamed, notes: &mut Vec<Mistake>) {
    let (Some((&part, rest)), Value::Section(entries)) = (path.split_first(), &mut node.value) else { return };
    if rest.is_empty() {
        let is_there = |name: &str| entries.iter().any(|entry| entry.key == name);
        if is_there(part) && !is_there(key.new) {
            let old = entries.iter_mut().filter(|entry| entry.key == part);
            old.for_each(|entry| {
                entry.key = key.new.to_owned();
                let value = multiply(&mut entry.node, key.factor);
                notes.push(Mistake { origin: entry.key_origin.clone(), what: note(key, value) });
            });
        }
        return;
    }
    let name = part.trim_end_matches("[]");
    for entry in entries.iter_mut().filter(|entry| entry.key == name) {
        // A variable or a flag spells a list as text.
        if let (Value::Scalar { text, quoted: false }, true) = (&entry.node.value, part.ends_with("[]"))
            && let Some(list) = parse_flow(text, &entry.node.origin)
        {
            entry.node = list;
        }
        match (&mut entry.node.value, part.ends_with("[]")) {
            (Value::List(items), true) => items.iter_mut().for_each(|item| rename(item, rest, key, notes)),
            (_, false) => rename(&mut entry.node, rest, key, notes),
            _ => {}
        }
    }
}

/// Returns the new value. Text that is no number stays: the type of the new key says what is wrong with it.
fn multiply(node: &mut Node, factor: u64) -> Option<u64> {
    let Value::Scalar { text, quoted: false } = &mut node.value else { return None };
    let value = text.trim().parse::<u64>().ok()?.checked_mul(factor)?;
    *text = value.to_string();
    Some(value)
}

fn note(Renamed { old, new, .. }: &Renamed, value: Option<u64>) -> String {
    let place = old.rsplit_once('.').map_or(String::new(), |(place, _)| format!("{place}."));
    let write = value.map_or(String::new(), |value| format!(": write {new}: {value}"));
    format!("{old} is now {place}{new}{write}; the next release refuses the old name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    const RENAMED: &[Renamed] = &[
        Renamed { old: "a.wait_secs", new: "wait_ms", factor: 1000 },
        Renamed { old: "a.lists[].every_s", new: "every_ms", factor: 1000 },
    ];

    fn parse(text: &str) -> Node {
        Node::parse(text, &Arc::from(Path::new("h.yaml"))).unwrap()
    }

    fn applied(text: &str) -> (Node, Vec<String>) {
        let mut tree = parse(text);
        let notes = apply(&mut tree, RENAMED);
        (tree, notes.iter().map(ToString::to_string).collect())
    }

    fn text_at(node: &Node, path: &[&str]) -> String {
        match &node.get(path).unwrap().value {
            Value::Scalar { text, .. } => text.clone(),
            other => panic!("{path:?} is {other:?}"),
        }
    }

    #[test]
    fn a_value_moves_to_the_new_key_in_its_unit_and_a_note_says_so() {
        let (tree, notes) = applied("a:\n  wait_secs: 30\n  lists:\n  - {url: x, every_s: 2}\n  - {url: y}\n");
        assert_eq!(text_at(&tree, &["a", "wait_ms"]), "30000");
        let Value::List(items) = &tree.get(&["a", "lists"]).unwrap().value else { panic!("a.lists is no list") };
        assert_eq!(text_at(&items[0], &["every_ms"]), "2000");
        assert_eq!(
            notes,
            [
                "h.yaml:2:3: a.wait_secs is now a.wait_ms: write wait_ms: 30000; the next release refuses the old name",
                "h.yaml:4:14: a.lists[].every_s is now a.lists[].every_ms: write every_ms: 2000; the next release refuses the \
                 old name",
            ]
        );
    }

    #[test]
    fn both_names_at_once_and_what_is_no_number_are_left_to_be_reported() {
        let (tree, notes) = applied("a: {wait_secs: 30, wait_ms: 5}\n");
        assert_eq!((text_at(&tree, &["a", "wait_secs"]), notes.len()), ("30".to_owned(), 0));
        assert_eq!(text_at(&applied("a: {wait_secs: soon}\n").0, &["a", "wait_ms"]), "soon");
        assert_eq!(applied("a: 5\n").1, [""; 0]);
    }
}
