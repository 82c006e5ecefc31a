//! From the tree to typed structs, with every mistake found and not only the first.
//!
//! serde stops at the first error. [`read`] therefore takes the node that was wrong out of the tree and reads
//! again until nothing is wrong any more: the mistakes are in file order, each with its origin and its path.

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor, value::StrDeserializer,
};
use serde::forward_to_deserialize_any;

use super::error::{Cause, Error};
use super::mistake::Mistake;
use super::tree::{Entry, Node, Origin, Step, Value, parse_flow};

/// Reads `T` out of the tree. `known` are the paths of all keys that exist, for suggestions across sections.
///
/// # Errors
/// Every mistake in the tree, in the order in which they stand there.
pub(crate) fn read<T: DeserializeOwned>(mut tree: Node, known: &[String]) -> Result<T, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut taken_out: Vec<Vec<Step>> = Vec::new();
    loop {
        let error = match T::deserialize(&tree) {
            Ok(value) if mistakes.is_empty() => return Ok(value),
            Ok(_) => return Err(mistakes),
            Err(error) => error,
        };
        let path = error.path();
        let written = as_written(&path, &taken_out);
        // A key that was taken out because it was wrong is not reported as missing, too.
        let consequence = error.missing_key().is_some_and(|key| taken_out.contains(&[&written[..], &[key]].concat()));
        if !consequence {
            mistakes.push(error.into_mistake(&written, &tree.origin, known));
        }
        // A list in a variable or flag is one text and has no nodes: the whole list is taken out.
        let removed =
            (1..=path.len()).rev().map(|steps| path.get(..steps).unwrap_or(&[])).find(|part| tree.remove(part));
        match removed {
            Some(part) => taken_out.push(written.get(..part.len()).unwrap_or_default().to_vec()),
            None => return Err(mistakes),
        }
    }
}

/// The path in the configuration as it was written: items of lists that were taken out before it count again.
fn as_written(path: &[Step], taken_out: &[Vec<Step>]) -> Vec<Step> {
    let mut written: Vec<Step> = Vec::with_capacity(path.len());
    for step in path {
        let Step::Index(index) = step else {
            written.push(step.clone());
            continue;
        };
        let of_list = |taken: &Vec<Step>| match taken.split_last() {
            Some((Step::Index(gone), list)) if list == written => Some(*gone),
            _ => None,
        };
        let mut gone: Vec<usize> = taken_out.iter().filter_map(of_list).collect();
        gone.sort_unstable();
        let index = gone.into_iter().fold(*index, |index, gone| if gone <= index { index + 1 } else { index });
        written.push(Step::Index(index));
    }
    written
}

/// A scalar's text if it is plain (not quoted), trimmed.
fn plain_text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, quoted: false } => Some(text.trim()),
        _ => None,
    }
}

/// Lists and sections in a variable or flag: YAML's flow form, or a list as `a,b`.
fn spelled_out(node: &Node) -> Option<Node> {
    if matches!(node.origin, Origin::File { .. }) {
        return None;
    }
    let text = plain_text(node)?;
    let flow = text.starts_with(['[', '{']).then(|| parse_flow(text, &node.origin)).flatten();
    flow.or_else(|| {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let scalar = |item: &str| Value::Scalar { text: item.to_owned(), quoted: false };
        let nodes = items.map(|item| Node { value: scalar(item), origin: node.origin.clone() }).collect();
        Some(Node { value: Value::List(nodes), origin: node.origin.clone() })
    })
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Scalar { text, quoted: true } => visitor.visit_str(text),
            Value::Scalar { text, quoted: false } => visit_plain(text.trim(), visitor),
            Value::List(nodes) => visitor.visit_seq(Items(nodes.iter().enumerate())),
            Value::Section(entries) => visitor.visit_map(Entries { rest: entries.iter(), current: None }),
        };
        result.map_err(|error| error.at(self))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            // A string is taken as it was written, even if it would pass for a number.
            Value::Scalar { text, .. } => visitor.visit_str(text).map_err(|error: Error| error.at(self)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (&self.value, plain_text(self)) {
            (Value::Null, _) | (_, Some("" | "null" | "~")) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match spelled_out(self) {
            Some(node) => (&node).deserialize_any(visitor),
            None if plain_text(self).is_some() => Err(Error::invalid_type(Unexpected::Other(""), &visitor).at(self)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (&self.value, spelled_out(self)) {
            // serde's structs would take a list as their fields in order.
            (Value::List(_), _) => Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            // An empty section is how a section is commented out line by line.
            (Value::Null, _) => visitor.visit_map(Entries { rest: [].iter(), current: None }),
            (_, Some(Node { value: Value::Section(entries), .. })) => {
                visitor.visit_map(Entries { rest: entries.iter(), current: None })
            }
            _ => self.deserialize_any(visitor),
        }
        .map_err(|error| error.at(self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, .. } => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Section(entries) if entries.len() == 1 => visitor.visit_enum(Choice(&entries[0])),
            _ => Err(Error::new(Cause::Type { expected: "a choice".to_owned() })),
        }
        .map_err(|error| error.at(self))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        ignored_any
    }
}

/// A plain scalar by YAML's core schema (YAML 1.2 §10.3.2).
fn visit_plain<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Error> {
    match text {
        "" | "~" | "null" => visitor.visit_unit(),
        "true" => visitor.visit_bool(true),
        "false" => visitor.visit_bool(false),
        _ => match (text.parse::<u64>(), text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _, _) => visitor.visit_u64(number),
            (_, Ok(number), _) => visitor.visit_i64(number),
            // "nan" and "infinity" parse as numbers in Rust, but are words in YAML.
            (_, _, Ok(number)) if text.contains(|c: char| c.is_ascii_digit()) => visitor.visit_f64(number),
            _ => visitor.visit_str(text),
        },
    }
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Node>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((index, node)) = self.0.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|error| error.at(node).within(Step::Index(index)))
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.rest.next();
        let Some(entry) = self.current else { return Ok(None) };
        let value = Value::Scalar { text: entry.key.clone(), quoted: false };
        let key = Node { value, origin: entry.key_origin.clone() };
        seed.deserialize(&key).map(Some).map_err(|error| error.at(&key).within(Step::Key(entry.key.clone())))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let entry = self.current.ok_or_else(|| Error::custom("a value was asked for before its key"))?;
        seed.deserialize(&entry.node).map_err(|error| error.at(&entry.node).within(Step::Key(entry.key.clone())))
    }
}

/// A choice that carries a value: `key: value` with the choice as the key.
struct Choice<'a>(&'a Entry);

impl<'de, 'a> EnumAccess<'de> for Choice<'a> {
    type Error = Error;
    type Variant = &'a Node;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, &'a Node), Error> {
        let name: StrDeserializer<'_, Error> = self.0.key.as_str().into_deserializer();
        Ok((seed.deserialize(name)?, &self.0.node))
    }
}

impl<'de> VariantAccess<'de> for &Node {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Err(Error::custom("this choice takes no value"))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::net::SocketAddr;
    use std::num::NonZeroU16;
    use std::path::Path;
    use std::sync::Arc;

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Root {
        collector: Collector,
        other: Other,
    }

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Collector {
        listen: Vec<SocketAddr>,
        workers: u16,
        gro: bool,
        batch_rows: Option<NonZeroU16>,
        sampling: Vec<Sampling>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sampling {
        exporter: String,
        interval: u32,
    }

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Other {
        format: Format,
        user: String,
    }

    #[derive(Debug, Deserialize, Default, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Format {
        #[default]
        Text,
        Json,
    }

    fn known() -> Vec<String> {
        ["collector.listen", "collector.workers", "other.format", "other.user"].map(str::to_owned).to_vec()
    }

    fn tree(text: &str) -> Node {
        Node::parse(text, &Arc::from(Path::new("h.yaml"))).unwrap()
    }

    fn mistakes(text: &str) -> Vec<String> {
        read::<Root>(tree(text), &known()).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_right_file_reads() {
        let text = "collector:\n  listen: ['[::]:2055', 127.0.0.1:9995]\n  batch_rows: ~\n  sampling:\n  - {exporter: 10.0.0.1, interval: 8}\nother: {user: 0123, format: json}\n";
        let root: Root = read(tree(text), &known()).unwrap();
        assert_eq!(root.collector.listen.len(), 2);
        assert_eq!(root.collector.sampling[0].interval, 8);
        assert_eq!((root.other.user.as_str(), root.other.format), ("0123", Format::Json));
    }

    #[test]
    fn an_empty_section_is_the_defaults() {
        assert_eq!(read::<Root>(tree("collector:\n"), &known()).unwrap(), Root::default());
    }

    #[test]
    fn every_mistake_is_found_in_one_go() {
        let found = mistakes(
            "collector:\n  lisen: [a]\n  workers: 70000\n  gro: yes\n  listen: [x, '[::]:1', y]\n  batch_rows: 0\nother: {format: xml}\n",
        );
        assert_eq!(
            found,
            [
                "h.yaml:2:3: unknown key collector.lisen; did you mean collector.listen?",
                "h.yaml:3:12: collector.workers: expected a whole number from 0 to 65535, found \"70000\"",
                "h.yaml:4:8: collector.gro: expected true or false, found \"yes\"",
                "h.yaml:5:12: collector.listen[0]: expected an address and a port, such as 0.0.0.0:2055 or [::]:2055, found \"x\"",
                "h.yaml:5:25: collector.listen[2]: expected an address and a port, such as 0.0.0.0:2055 or [::]:2055, found \"y\"",
                "h.yaml:6:15: collector.batch_rows: expected a whole number from 1 to 65535, found \"0\"",
                "h.yaml:7:17: other.format: expected text or json, found \"xml\"",
            ]
        );
    }

    #[test]
    fn wrong_shapes_are_named() {
        assert_eq!(mistakes("collector: 5\n"), ["h.yaml:1:12: collector: expected a section, found \"5\""]);
        assert_eq!(mistakes("- a\n"), ["h.yaml:1:1: expected a section, found a list"]);
        assert_eq!(
            mistakes("collector: {listen: '[::]:1'}\n"),
            ["h.yaml:1:21: collector.listen: expected a list, found \"[::]:1\""]
        );
        assert_eq!(
            mistakes("collector: {sampling: [{exporter: x}]}\n"),
            ["h.yaml:1:24: collector.sampling[0]: the key interval is missing"]
        );
        // An address that stands where none belongs may hold a password.
        assert_eq!(
            mistakes("collector: {listen: 'http://u:secret@h/', 'http://u:secret@h': 1}\n"),
            [
                "h.yaml:1:21: collector.listen: expected a list, found \"http://***\"",
                "h.yaml:1:43: unknown key collector.http://***; known here: listen, workers, gro, batch_rows, sampling"
            ]
        );
        assert_eq!(
            mistakes("collector: {workers: '4'}\n"),
            ["h.yaml:1:22: collector.workers: expected a whole number from 0 to 65535, found \"4\""]
        );
    }

    #[test]
    fn a_key_of_another_section_is_pointed_to() {
        assert_eq!(
            mistakes("other: {workers: 1}\n"),
            ["h.yaml:1:9: unknown key other.workers; did you mean collector.workers?"]
        );
        assert_eq!(mistakes("kafka: {}\n"), ["h.yaml:1:1: unknown key kafka; known here: collector, other"]);
    }

    #[test]
    fn a_variable_spells_lists_with_commas_or_as_yaml() {
        for text in ["[::]:2055,127.0.0.1:9995", "['[::]:2055', '127.0.0.1:9995']", "[::]:2055, 127.0.0.1:9995,"] {
            let mut tree = tree("");
            tree.set(&["collector", "listen"], text, &Origin::Variable("V".into()));
            let root: Root = read(tree, &known()).unwrap();
            assert_eq!(root.collector.listen.len(), 2, "{text}");
        }
    }

    #[test]
    fn a_mistake_in_a_variable_names_the_variable() {
        let mut tree = tree("");
        tree.set(&["collector", "workers"], "many", &Origin::Variable("HELIOS_COLLECTOR__WORKERS".into()));
        tree.set(&["collector", "listen"], "x,[::]:1,y", &Origin::Flag("--listen".into()));
        tree.set(&["other", "format"], "xml", &Origin::Flag("--set other.format".into()));
        let found: Vec<String> = read::<Root>(tree, &known()).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "HELIOS_COLLECTOR__WORKERS: collector.workers: expected a whole number from 0 to 65535, found \"many\"",
                "--listen: collector.listen[0]: expected an address and a port, such as 0.0.0.0:2055 or [::]:2055, found \"x\"",
                "--set other.format: other.format: expected text or json, found \"xml\"",
            ]
        );
    }
}
