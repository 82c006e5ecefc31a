//! A filter: its syntax tree, and what is wrong with a text that is no filter.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use helios_common::columns::Column;
use helios_common::exporter::Address;
use helios_common::flow::ColumnSet;

use crate::vocabulary::Operand;

/// A predicate over flow records.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    pub(crate) root: Expression,
}

/// A node of the syntax tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// Every record.
    Any,
    All(Vec<Expression>),
    AnyOf(Vec<Expression>),
    Not(Box<Expression>),
    Test(Test),
}

/// One value of a record held against what was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    pub operand: Operand,
    pub wanted: Wanted,
}

/// What a value may be. Every comparison becomes one of these, so that SQL and memory have few cases to agree on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wanted {
    /// One of these ranges: numbers, MAC addresses, enumerations by their number.
    Numbers(Vec<RangeInclusive<u64>>),
    /// One of these ranges; IPv4 is mapped into IPv6.
    Addresses(Vec<RangeInclusive<Address>>),
    /// One of these names.
    Names(Vec<Pattern>),
    /// All of these bits.
    Bits(u64),
    /// A list that holds one of these values.
    Holds(Vec<u128>),
}

/// A name, or a name with `*` for any characters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern(pub String);

impl Pattern {
    pub(crate) fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `name` matches; the work is bounded by the product of both lengths.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let Some(last) = self.0.rsplit_once('*').map(|(_, last)| last) else { return rest.is_empty() };
        let between = self.0.matches('*').count() - 1;
        let mut rest = rest;
        for part in parts.take(between) {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

impl Filter {
    /// Reads a filter, such as `src in 10.0.0.0/8 and dport 443 and not proto udp`. An empty text takes every record.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in `text`.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        crate::parser::parse(text).map(|root| Self { root })
    }

    /// Whether the filter takes every record.
    pub fn is_any(&self) -> bool {
        self.root == Expression::Any
    }

    /// The columns that the filter reads.
    pub fn columns(&self) -> ColumnSet {
        let mut columns = ColumnSet::default();
        self.root.collect(&mut |column| columns.insert(column));
        columns
    }
}

impl Expression {
    fn collect(&self, insert: &mut impl FnMut(Column)) {
        match self {
            Self::Any => {}
            Self::All(parts) | Self::AnyOf(parts) => parts.iter().for_each(|part| part.collect(insert)),
            Self::Not(part) => part.collect(insert),
            Self::Test(test) => test.operand.columns().iter().for_each(|column| insert(*column)),
        }
    }
}

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FilterError {
    at: Range<usize>,
    message: String,
}

impl FilterError {
    pub(crate) fn new(at: Range<usize>, message: impl fmt::Display) -> Self {
        Self { at, message: message.to_string() }
    }

    /// The octets of the text that are wrong; empty at the end where something is missing.
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// The message, the text, and a mark below the place.
    pub fn pointing_into(&self, text: &str) -> String {
        // A filter is one line here; tabs and line breaks would move the mark.
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let width = |range: Range<usize>| text.get(range).map_or(0, |part| part.chars().count());
        let (before, marked) = (width(0..self.at.start), width(self.at.clone()).max(1));
        format!("{}\n  {line}\n  {}{}", self.message, " ".repeat(before), "^".repeat(marked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, matches) in [
            ("fra", "fra", true),
            ("fra", "fra1", false),
            ("fra-*", "fra-core1", true),
            ("fra-*", "xfra-core1", false),
            ("*", "", true),
            ("*core*", "fra-core1", true),
            ("*.example", "a.example", true),
            ("*.example", "a.example.net", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*a", "a", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Pattern(pattern.to_owned()).matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn an_error_points_at_its_place() {
        let text = "src 10.0.0.0/8 and dprt 443";
        let error = Filter::parse(text).unwrap_err();
        assert_eq!(
            error.pointing_into(text),
            "unknown field dprt; did you mean dport?\n  src 10.0.0.0/8 and dprt 443\n                     ^^^^"
        );
    }
}
