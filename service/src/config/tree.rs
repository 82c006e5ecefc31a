//! The configuration before it has types: a tree of nodes that know where they were written.
//!
//! The file's nodes come from serde-saphyr with line and column; variables and flags are laid over them with
//! [`Node::set`]. Because every node remembers its origin, a mistake names the line, the variable or the flag that
//! has to be changed, wherever the value came from. Scalars stay text until a type asks for them: `user: 0123` is
//! the text "0123" for a string and a number for a number.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::mistake::Mistake;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A place in a file; line and column count from 1, and line 0 is the file as a whole.
    File { file: Arc<Path>, line: u64, column: u64 },
    /// An environment variable, by its name.
    Variable(String),
    /// A flag, as it is written on the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: 0, .. } => write!(f, "{}", file.display()),
            Self::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One step from a node to a node in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an item of a list, counted from 0.
    Index(usize),
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The value.
    pub(crate) value: Value,
    /// Where it was written.
    pub(crate) origin: Origin,
}

/// A value without a type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// Text as it was written; `quoted` text is never a number, a truth value or nothing.
    Scalar { text: String, quoted: bool },
    /// A list.
    List(Vec<Node>),
    /// Keys and their values, in the order of the file.
    Section(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key was written.
    pub(crate) key_origin: Origin,
    /// Its value.
    pub(crate) node: Node,
}

impl Node {
    /// A tree without keys.
    pub(crate) fn empty(origin: Origin) -> Self {
        Self { value: Value::Section(Vec::new()), origin }
    }

    /// Reads a YAML document.
    ///
    /// # Errors
    /// One mistake with its place where the text is no YAML.
    pub(crate) fn parse(text: &str, file: &Arc<Path>) -> Result<Self, Mistake> {
        let place = Place { text, file };
        // A document of nothing but comments is a configuration without a key.
        let document: Option<Spanned<Written>> = read(text).map_err(|error| place.mistake(error))?;
        Ok(match document {
            Some(written) if !matches!(written.value, Written::Null) => place.node(written),
            _ => Self::empty(place.origin(&Location::UNKNOWN)),
        })
    }

    /// Lays `text` over whatever stands at `path`; sections on the way are made.
    ///
    /// A section that the file spells as something else stays as it is: that mistake is the one to report.
    pub(crate) fn set(&mut self, path: &[&str], text: &str, origin: &Origin) {
        let Some((&key, rest)) = path.split_first() else {
            self.value = Value::Scalar { text: text.to_owned(), quoted: false };
            self.origin = origin.clone();
            return;
        };
        if matches!(self.value, Value::Null) {
            self.value = Value::Section(Vec::new());
        }
        let Value::Section(entries) = &mut self.value else { return };
        let entry = match entries.iter().position(|entry| entry.key == key) {
            Some(at) => entries.get_mut(at),
            None => {
                let node = Self { value: Value::Null, origin: origin.clone() };
                entries.push(Entry { key: key.to_owned(), key_origin: origin.clone(), node });
                entries.last_mut()
            }
        };
        if let Some(entry) = entry {
            entry.node.set(rest, text, origin);
        }
    }

    /// Takes out the node at `path` and says whether it was there; the root cannot be taken out.
    pub(crate) fn remove(&mut self, path: &[Step]) -> bool {
        match (path, &mut self.value) {
            ([Step::Key(key)], Value::Section(entries)) => {
                let before = entries.len();
                entries.retain(|entry| entry.key != *key);
                entries.len() < before
            }
            ([Step::Index(index)], Value::List(nodes)) if *index < nodes.len() => {
                nodes.remove(*index);
                true
            }
            ([Step::Key(key), rest @ ..], Value::Section(entries)) => {
                entries.iter_mut().find(|entry| entry.key == *key).is_some_and(|entry| entry.node.remove(rest))
            }
            ([Step::Index(index), rest @ ..], Value::List(nodes)) => {
                nodes.get_mut(*index).is_some_and(|node| node.remove(rest))
            }
            _ => false,
        }
    }

    /// The node at a path of keys.
    pub(crate) fn get(&self, path: &[&str]) -> Option<&Self> {
        let Some((&key, rest)) = path.split_first() else { return Some(self) };
        let Value::Section(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key)?.node.get(rest)
    }

    /// Where the value at `path`, such as `columns[2].name`, was written; `None` for a key that nobody set.
    ///
    /// For a key that is missing in an item of a list, it is the place of the item. All items of a list in a variable or flag
    /// have the place of the list.
    pub(crate) fn origin_of(&self, path: &str) -> Option<Origin> {
        let (mut node, mut in_list) = (self, false);
        for part in path.split('.') {
            let (key, indices) = part.split_once('[').map_or((part, ""), |(key, indices)| (key, indices));
            node = match node.get(&[key]) {
                Some(found) => found,
                None => return in_list.then(|| node.origin.clone()),
            };
            for index in indices.split('[').filter_map(|index| index.trim_end_matches(']').parse::<usize>().ok()) {
                in_list = true;
                let Value::List(nodes) = &node.value else { return Some(node.origin.clone()) };
                let Some(found) = nodes.get(index) else { return Some(node.origin.clone()) };
                node = found;
            }
        }
        Some(node.origin.clone())
    }

    /// Makes `origin` the origin of every node of the tree.
    fn spread(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.value {
            Value::Null | Value::Scalar { .. } => {}
            Value::List(nodes) => nodes.iter_mut().for_each(|node| node.spread(origin)),
            Value::Section(entries) => entries.iter_mut().for_each(|entry| {
                entry.key_origin = origin.clone();
                entry.node.spread(origin);
            }),
        }
    }

    /// What an error calls this value.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("{:?}", shown(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Section(_) => "a section".to_owned(),
        }
    }
}

/// Text of a configuration in a message. An address may hold a password, wherever it stands: of one, only the scheme is shown.
pub(crate) fn shown(text: &str) -> String {
    text.split_once("://").map_or_else(|| text.to_owned(), |(scheme, _)| format!("{scheme}://***"))
}

/// Reads a list or section in YAML's flow form out of a variable or flag; `None` if it is something else.
pub(crate) fn parse_flow(text: &str, origin: &Origin) -> Option<Node> {
    let written: Spanned<Written> = read(text).ok()?;
    let mut node = Place { text, file: &Arc::from(Path::new("")) }.node(written);
    node.spread(origin);
    matches!(node.value, Value::List(_) | Value::Section(_)).then_some(node)
}

/// Reads YAML. Comments are passed over without being kept: the example of the configuration has hundreds of lines of them
/// in a row, and the parser keeps 96 at most.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { emit_comments: false })
}

/// A document being read.
struct Place<'a> {
    text: &'a str,
    file: &'a Arc<Path>,
}

impl Place<'_> {
    fn origin(&self, location: &Location) -> Origin {
        Origin::File { file: Arc::clone(self.file), line: location.line(), column: location.column() }
    }

    fn mistake(&self, error: serde_saphyr::Error) -> Mistake {
        let location = error.location().unwrap_or(Location::UNKNOWN);
        let what = error.without_snippet().to_string();
        // The place is said once, in the form that editors can jump to.
        let what = what.split(" at line ").next().unwrap_or(&what).to_owned();
        // serde-saphyr suggests one of its own options here, which is no help to the writer of the file.
        let what = match what.split_once(", set DuplicateKeyPolicy") {
            Some((duplicate, _)) => duplicate.replace("duplicate mapping key: ", "this key is here twice: "),
            None => format!("not valid YAML: {what}"),
        };
        Mistake { origin: self.origin(&location), what }
    }

    fn node(&self, written: Spanned<Written>) -> Node {
        let origin = self.origin(&written.referenced);
        let value = match written.value {
            Written::Null => Value::Null,
            Written::Text(text) => Value::Scalar { text, quoted: true },
            Written::Inferred(shown) => {
                let text = self.source(&written.defined).map_or(shown, str::to_owned);
                Value::Scalar { text, quoted: false }
            }
            Written::List(nodes) => Value::List(nodes.into_iter().map(|node| self.node(node)).collect()),
            Written::Section(entries) => Value::Section(entries.into_iter().map(|entry| self.entry(entry)).collect()),
        };
        Node { value, origin }
    }

    fn entry(&self, (key, node): (Spanned<String>, Spanned<Written>)) -> Entry {
        Entry { key_origin: self.origin(&key.referenced), key: key.value, node: self.node(node) }
    }

    /// The text of a plain scalar as it stands in the file.
    fn source(&self, location: &Location) -> Option<&str> {
        let span = location.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let length = usize::try_from(span.byte_len()?).ok()?;
        self.text.get(start..start.checked_add(length)?)
    }
}

/// What serde-saphyr makes of a value before it has a type.
enum Written {
    Null,
    /// A string by its quotes or because it looks like nothing else.
    Text(String),
    /// A number or truth value; its text is read back from the file, this is how it would be shown otherwise.
    Inferred(String),
    List(Vec<Spanned<Written>>),
    Section(Vec<(Spanned<String>, Spanned<Written>)>),
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::Null)
    }

    fn visit_none<E>(self) -> Result<Written, E> {
        Ok(Written::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Written, E> {
        Ok(Written::Inferred(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Written, E> {
        Ok(Written::Inferred(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Written, E> {
        Ok(Written::Inferred(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Written, E> {
        Ok(Written::Inferred(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Written, E> {
        Ok(Written::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Written, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element()? {
            nodes.push(node);
        }
        Ok(Written::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Written, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Written::Section(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Node, Mistake> {
        Node::parse(text, &Arc::from(Path::new("h.yaml")))
    }

    fn scalar(node: &Node, path: &[&str]) -> (String, bool, String) {
        let node = node.get(path).unwrap();
        match &node.value {
            Value::Scalar { text, quoted } => (text.clone(), *quoted, node.origin.to_string()),
            other => panic!("{path:?} is {other:?}"),
        }
    }

    #[test]
    fn scalars_keep_their_text_and_place() {
        let node = parse("a:\n  zip: 0123\n  s: '5'\n  copy: &x 1e3\n  again: *x\n").unwrap();
        assert_eq!(scalar(&node, &["a", "zip"]), ("0123".into(), false, "h.yaml:2:8".into()));
        assert_eq!(scalar(&node, &["a", "s"]), ("5".into(), true, "h.yaml:3:6".into()));
        assert_eq!(scalar(&node, &["a", "again"]), ("1e3".into(), false, "h.yaml:5:10".into()));
    }

    #[test]
    fn a_document_of_comments_is_an_empty_configuration() {
        for text in ["", "# nothing yet\n", "---\n", "~\n"] {
            assert_eq!(parse(text).unwrap().value, Value::Section(Vec::new()), "{text:?}");
        }
    }

    #[test]
    fn broken_yaml_is_one_line_with_its_place() {
        let mistake = parse("a:\n\tb: 1\n").unwrap_err().to_string();
        assert!(mistake.starts_with("h.yaml:2:2: not valid YAML: tabs"), "{mistake}");
        assert_eq!(parse("a: 1\na: 2\n").unwrap_err().to_string(), "h.yaml:2:1: this key is here twice: a");
    }

    #[test]
    fn overlays_make_sections_and_replace_values() {
        let mut node = parse("a: {b: 1}\nn:\n").unwrap();
        let flag = Origin::Flag("--set".into());
        node.set(&["a", "b"], "2", &flag);
        node.set(&["n", "x"], "3", &flag);
        node.set(&["c", "d"], "4", &flag);
        for (path, text) in [(["a", "b"], "2"), (["n", "x"], "3"), (["c", "d"], "4")] {
            assert_eq!(scalar(&node, &path), (text.into(), false, "--set".into()));
        }
    }

    #[test]
    fn a_section_written_as_a_value_is_left_to_be_reported() {
        let mut node = parse("a: 5\n").unwrap();
        node.set(&["a", "b"], "2", &Origin::Variable("V".into()));
        assert_eq!(scalar(&node, &["a"]).0, "5");
    }

    #[test]
    fn removing_takes_out_keys_and_list_items() {
        let mut node = parse("a: [x, y]\nb: 1\n").unwrap();
        assert!(node.remove(&[Step::Key("a".into()), Step::Index(0)]));
        assert!(node.remove(&[Step::Key("b".into())]));
        assert!(!node.remove(&[Step::Key("b".into())]));
        assert!(!node.remove(&[]));
        let Value::List(items) = &node.get(&["a"]).unwrap().value else { panic!("a is no list") };
        assert_eq!(items.len(), 1);
    }
}
