//! What serde finds wrong in the tree, in words for the author of the configuration.

use std::fmt::{self, Display};

use serde::de::{Expected, Unexpected};

use super::mistake::{Mistake, path_text};
use super::tree::{Node, Origin, Step};

/// What serde found wrong, with the way to the node collected while the error travels up.
#[derive(Debug)]
pub(crate) struct Error {
    cause: Cause,
    /// Innermost step first.
    path: Vec<Step>,
    place: Option<Box<Place>>,
}

#[derive(Debug)]
struct Place {
    origin: Origin,
    found: String,
}

/// What is wrong, with what would be right.
#[derive(Debug)]
pub(crate) enum Cause {
    /// serde knows no field of this name.
    UnknownKey { key: String, known: &'static [&'static str] },
    /// serde knows no variant of this name.
    UnknownChoice { known: &'static [&'static str] },
    /// The value has another shape.
    Type { expected: String },
    /// A key without a default is not there.
    Missing { key: &'static str },
    /// A type's own words, such as "invalid IP address syntax".
    Other(String),
}

impl Error {
    /// An error that has no place yet.
    pub(crate) fn new(cause: Cause) -> Self {
        Self { cause, path: Vec::new(), place: None }
    }

    /// The way from the root to the node that is wrong.
    pub(crate) fn path(&self) -> Vec<Step> {
        self.path.iter().rev().cloned().collect()
    }

    /// The key that is missing, if that is what is wrong.
    pub(crate) fn missing_key(&self) -> Option<Step> {
        match self.cause {
            Cause::Missing { key } => Some(Step::Key(key.to_owned())),
            _ => None,
        }
    }

    /// Notes the innermost node that the error passes.
    pub(crate) fn at(mut self, node: &Node) -> Self {
        self.place.get_or_insert_with(|| Box::new(Place { origin: node.origin.clone(), found: node.describe() }));
        self
    }

    /// Notes the step from the node that the error reaches now to the one it came from.
    pub(crate) fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// The line for the user. `root` is the origin of the whole tree, `known_paths` are all keys that exist.
    pub(crate) fn into_mistake(self, path: &[Step], root: &Origin, known_paths: &[String]) -> Mistake {
        let text = path_text(path);
        let (origin, found) = match self.place {
            Some(place) => (place.origin, place.found),
            None => (root.clone(), "this".to_owned()),
        };
        let what = match self.cause {
            Cause::UnknownKey { key, known } => unknown_key(&text, &key, known, known_paths),
            Cause::UnknownChoice { known } => format!("{text}: expected {}, found {found}", alternatives(known)),
            Cause::Type { expected } if text.is_empty() => format!("expected {}, found {found}", plain(&expected)),
            Cause::Type { expected } => format!("{text}: expected {}, found {found}", plain(&expected)),
            Cause::Missing { key } => format!("{text}: the key {key} is missing"),
            Cause::Other(words) => format!("{text}: {}, found {found}", advice(&words)),
        };
        Mistake { origin, what }
    }
}

/// `a, b or c`.
fn alternatives(known: &[&str]) -> String {
    match known {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => known.concat(),
    }
}

fn unknown_key(path: &str, key: &str, known: &[&str], known_paths: &[String]) -> String {
    let section = path.strip_suffix(key).unwrap_or("");
    let near =
        helios_advice::nearest(key, known.iter().copied()).map(|sibling| format!("{section}{sibling}")).or_else(|| {
            // The right key in the wrong section.
            // The key of a section is meant more often than that of a section within it.
            let same = known_paths.iter().filter(|known| known.rsplit('.').next() == Some(key));
            same.min_by_key(|known| known.matches('.').count()).cloned()
        });
    match near {
        Some(near) => format!("unknown key {path}; did you mean {near}?"),
        None => format!("unknown key {path}; known here: {}", known.join(", ")),
    }
}

/// What a type says of itself when it cannot be read, as what should stand there.
fn advice(words: &str) -> &str {
    match words {
        "invalid socket address syntax" => "expected an address and a port, such as 0.0.0.0:2055 or [::]:2055",
        "invalid IP address syntax" => "expected an address, such as 192.0.2.1 or 2001:db8::1",
        other => other,
    }
}

/// Rust's names of types in words of the configuration.
fn plain(expected: &str) -> String {
    let range = |max: u64| format!("a whole number from 0 to {max}");
    match expected {
        "u8" => range(u8::MAX.into()),
        "u16" => range(u16::MAX.into()),
        "u32" => range(u32::MAX.into()),
        "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text".to_owned(),
        "path string" => "a path".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a section".to_owned(),
        other if other.starts_with("struct ") => "a section".to_owned(),
        other => match other.strip_prefix("a nonzero ") {
            Some(integer) => plain(integer).replace("from 0", "from 1").replace("not negative", "not zero"),
            None => other.to_owned(),
        },
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.cause)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: Display>(words: T) -> Self {
        Self::new(Cause::Other(words.to_string()))
    }

    fn invalid_type(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Cause::Type { expected: expected.to_string() })
    }

    fn invalid_value(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Cause::Type { expected: expected.to_string() })
    }

    fn unknown_variant(_choice: &str, known: &'static [&'static str]) -> Self {
        Self::new(Cause::UnknownChoice { known })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(Cause::UnknownKey { key: key.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Cause::Missing { key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_put_into_words() {
        assert_eq!(plain("u16"), "a whole number from 0 to 65535");
        assert_eq!(plain("a nonzero u8"), "a whole number from 1 to 255");
        assert_eq!(plain("a nonzero usize"), "a whole number, not zero");
        assert_eq!(plain("struct CollectorConfig"), "a section");
        assert_eq!(plain("a version"), "a version");
    }

    #[test]
    fn alternatives_are_a_list_with_one_or() {
        assert_eq!([&["a"][..], &["a", "b"], &["a", "b", "c"]].map(alternatives), ["a", "a or b", "a, b or c"]);
    }
}
