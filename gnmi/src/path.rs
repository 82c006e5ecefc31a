//! The text form of paths: `/interfaces/interface[name=Ethernet1]/config/enabled`.
//!
//! Source: "gNMI path strings" of openconfig/reference (rpc/gnmi/gnmi-path-strings.md). An octet that has a meaning where
//! it stands is written with a `\` before it: `/`, `[` and `\` in the name of an element, `=` and `\` in the name of a key,
//! `]` and `\` in a key's value. A `/` in a key's value stands for itself, so `[name=Ethernet1/1]` needs no escape. A path
//! may begin with its origin and a colon: `openconfig:/interfaces`.

use std::fmt;
use std::iter::Peekable;
use std::str::{Chars, FromStr};

use crate::message::{Path, PathElem};

/// Elements of a path: no model is near as deep, and a text of slashes is no path.
const ELEMENTS_MAX: usize = 128;

/// A text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Two slashes follow each other, or nothing stands before a `[`.
    #[error("an element of the path has no name: write `/` once between two names")]
    NoName,
    /// `[` without `=` or `]`.
    #[error("the keys of `{0}` do not end: write [key=value]")]
    OpenKey(String),
    /// `[=value]`.
    #[error("a key of `{0}` has no name: write [key=value]")]
    NoKeyName(String),
    /// `[a=1][a=2]`.
    #[error("`{element}` has the key `{key}` twice")]
    KeyTwice {
        /// The element's name.
        element: String,
        /// The key's name.
        key: String,
    },
    /// Something stands between `]` and the next `[` or `/`.
    #[error("after the keys of `{0}` stands something that is neither `[` nor `/`")]
    AfterKeys(String),
    /// The last octet is a `\`.
    #[error("the path ends with a `\\`, which has to stand before another character")]
    OpenEscape,
    /// More than [`ELEMENTS_MAX`] elements.
    #[error("the path has more than {ELEMENTS_MAX} elements")]
    TooLong,
}

impl Path {
    /// The path of `elem` without origin and target.
    pub fn of(elem: impl IntoIterator<Item = PathElem>) -> Self {
        Self { elem: elem.into_iter().collect(), ..Self::default() }
    }

    /// `self` with `rest` below it. Origin and target are those of `self`, or of `rest` where `self` has none.
    #[must_use]
    pub fn join(&self, rest: &Self) -> Self {
        let first = |a: &String, b: &String| if a.is_empty() { b.clone() } else { a.clone() };
        Self {
            element: Vec::new(),
            origin: first(&self.origin, &rest.origin),
            elem: self.elem.iter().chain(&rest.elem).cloned().collect(),
            target: first(&self.target, &rest.target),
        }
    }

    /// Whether `self` is `prefix` or lies below it. Key values are compared as they are: a wildcard is no other value.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.elem.starts_with(&prefix.elem)
    }

    /// Whether the path names more than one place: `*` as a name or a key's value, or `...`.
    pub fn has_wildcard(&self) -> bool {
        self.elem.iter().any(|elem| matches!(elem.name.as_str(), "*" | "...") || elem.key.values().any(|v| v == "*"))
    }
}

impl PathElem {
    /// An element without keys.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The same with one key more.
    #[must_use]
    pub fn with_key(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.key.insert(name.into(), value.into());
        self
    }
}

impl fmt::Display for Path {
    /// Keys come in the order of their names, so that equal paths have equal texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.is_empty() {
            write!(f, "{}:", self.origin)?;
        }
        if self.elem.is_empty() {
            return f.write_str("/");
        }
        self.elem.iter().try_for_each(|elem| write!(f, "/{elem}"))
    }
}

impl fmt::Display for PathElem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, &self.name, &['/', '[', '\\'])?;
        for (name, value) in &self.key {
            f.write_str("[")?;
            escape(f, name, &['=', ']', '\\'])?;
            f.write_str("=")?;
            escape(f, value, &[']', '\\'])?;
            f.write_str("]")?;
        }
        Ok(())
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str, special: &[char]) -> fmt::Result {
    for c in text.chars() {
        if special.contains(&c) {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    Ok(())
}

impl FromStr for Path {
    type Err = PathError;

    /// The slash at the start may be missing, one at the end is skipped; `/` and the empty text are the root.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let (origin, text) = split_origin(text);
        let mut path = Self { origin: origin.to_owned(), ..Self::default() };
        let mut chars = text.strip_prefix('/').unwrap_or(text).chars().peekable();
        while chars.peek().is_some() {
            if path.elem.len() == ELEMENTS_MAX {
                return Err(PathError::TooLong);
            }
            path.elem.push(element(&mut chars)?);
        }
        Ok(path)
    }
}

/// An origin is a name before the first `:/`. A colon within an element is the prefix of a module.
fn split_origin(text: &str) -> (&str, &str) {
    match text.split_once(":/") {
        Some((origin, _)) if !origin.is_empty() && !origin.contains(['/', '[', ']', '\\', '=']) => {
            (origin, &text[origin.len() + 1..])
        }
        _ => ("", text),
    }
}

/// Reads one element and the slash behind it.
fn element(chars: &mut Peekable<Chars<'_>>) -> Result<PathElem, PathError> {
    let (name, mut end) = until(chars, &['/', '['])?;
    if name.is_empty() {
        return Err(PathError::NoName);
    }
    let mut elem = PathElem::named(name);
    while end == Some('[') {
        let (key, equals) = until(chars, &['=', ']'])?;
        if equals != Some('=') {
            return Err(PathError::OpenKey(elem.name));
        }
        if key.is_empty() {
            return Err(PathError::NoKeyName(elem.name));
        }
        let (value, bracket) = until(chars, &[']'])?;
        if bracket.is_none() {
            return Err(PathError::OpenKey(elem.name));
        }
        if elem.key.contains_key(&key) {
            return Err(PathError::KeyTwice { element: elem.name, key });
        }
        elem.key.insert(key, value);
        end = chars.next();
        if !matches!(end, None | Some('/' | '[')) {
            return Err(PathError::AfterKeys(elem.name));
        }
    }
    Ok(elem)
}

/// The text before the first of `ends` that no `\` stands before, and which of them it was; `None` at the text's end.
fn until(chars: &mut Peekable<Chars<'_>>, ends: &[char]) -> Result<(String, Option<char>), PathError> {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().ok_or(PathError::OpenEscape)?),
            c if ends.contains(&c) => return Ok((text, Some(c))),
            c => text.push(c),
        }
    }
    Ok((text, None))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Path {
        text.parse().unwrap()
    }

    #[test]
    fn elements_and_keys_are_read() {
        let path = parse("/interfaces/interface[name=Ethernet1/1]/subinterfaces/subinterface[index=0]/config/enabled");
        assert_eq!(path.elem[1], PathElem::named("interface").with_key("name", "Ethernet1/1"));
        assert_eq!(path.elem.len(), 6);
    }

    // The examples of gnmi-path-strings.md.
    #[test]
    fn the_examples_of_the_conventions_are_read() {
        assert_eq!(parse("/a/e[key=k1]/c").elem[1].key["key"], "k1");
        assert_eq!(parse("/a/e[k=\\]]/c").elem[1].key["k"], "]");
        assert_eq!(parse("/a/e[k=x\\\\y]/c").elem[1].key["k"], "x\\y");
        assert_eq!(parse("/a/e[a=1][b=2]").elem[1], PathElem::named("e").with_key("a", "1").with_key("b", "2"));
        assert_eq!(parse("/"), Path::default());
        assert_eq!(parse("openconfig:/a").origin, "openconfig");
        assert_eq!(parse("/oc-if:interfaces/x").elem[0].name, "oc-if:interfaces");
    }

    #[test]
    fn a_malformed_path_is_refused_with_its_element() {
        let error = |text: &str| text.parse::<Path>().unwrap_err();
        assert_eq!(error("/a//b"), PathError::NoName);
        assert_eq!(error("/a[x=1"), PathError::OpenKey("a".into()));
        assert_eq!(error("/a[x]"), PathError::OpenKey("a".into()));
        assert_eq!(error("/a[=1]"), PathError::NoKeyName("a".into()));
        assert_eq!(error("/a[x=1]b"), PathError::AfterKeys("a".into()));
        assert_eq!(error("/a[x=1][x=2]"), PathError::KeyTwice { element: "a".into(), key: "x".into() });
        assert_eq!(error("/a\\"), PathError::OpenEscape);
        assert_eq!(error(&"/a".repeat(129)), PathError::TooLong);
    }

    #[test]
    fn a_wildcard_is_found_wherever_it_stands() {
        assert!(parse("/a/*/b").has_wildcard());
        assert!(parse("/a[k=*]").has_wildcard());
        assert!(parse("/a/...").has_wildcard());
        assert!(!parse("/a[k=x*]").has_wildcard());
    }

    fn any_path() -> impl Strategy<Value = Path> {
        let text = "[a-z:.\\]\\[/=\\\\ \\{\"é\n]{1,8}";
        let elem = (text, prop::collection::btree_map(text, "[a-z\\]\\[/=\\\\ \\{\"é\n]{0,8}", 0..3))
            .prop_map(|(name, key)| PathElem { name, key });
        prop::collection::vec(elem, 0..5).prop_map(Path::of)
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(path in any_path()) {
            prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
        }

        #[test]
        fn no_text_panics_and_what_is_read_prints_to_itself(text in "[a/\\[\\]=\\\\:.*]{0,24}") {
            if let Ok(path) = text.parse::<Path>() {
                prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
            }
        }
    }
}
