//! Tokens to a syntax tree, by recursive descent.
//!
//! ```text
//! filter     = [ or ]
//! or         = and { ("or" | "||") and }
//! and        = not { ("and" | "&&") not }
//! not        = [ "not" | "!" ] ( "(" or ")" | test )
//! test       = "any" | "ipv4" | "ipv6" | protocol | field [ comparison ] values
//! comparison = "=" | "!=" | "<" | "<=" | ">" | ">=" | [ "not" ] "in"
//! values     = value | ( "(" | "[" ) value { [ "," ] value } ( ")" | "]" )
//! ```

use std::ops::{Range, RangeInclusive};

use helios_common::columns::{ETHER_TYPE, PROTO};

use crate::filter::{Expression, FilterError, Test, Wanted};
use crate::lexer::{Compare, Token, What, tokens};
use crate::vocabulary::{self, Field, Operand};
use crate::{protocols, value};

/// Octets of a filter's text. A list of a thousand prefixes fits.
const MAX_OCTETS: usize = 64 << 10;

/// Parentheses and negations within each other: the parser, and all that walk the tree, call themselves.
const MAX_DEPTH: usize = 64;

/// EtherTypes of IPv4 and IPv6.
const FAMILIES: &[(&str, u64)] = &[("ipv4", 0x0800), ("inet", 0x0800), ("ipv6", 0x86dd), ("inet6", 0x86dd)];

/// # Errors
/// The first thing that is wrong, with its place.
pub(crate) fn parse(text: &str) -> Result<Expression, FilterError> {
    if text.len() > MAX_OCTETS {
        let message = format!("the filter has {} octets; the most is {MAX_OCTETS}", text.len());
        return Err(FilterError::new(0..text.len(), message));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), depth: 0 };
    if tokens.is_empty() {
        return Ok(Expression::Any);
    }
    let root = parser.or()?;
    match parser.peek() {
        None => Ok(root),
        Some(token) => Err(FilterError::new(token.at.clone(), "expected `and`, `or` or the end here")),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Octets of the text: the place of whatever is missing.
    end: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn next_is(&mut self, what: &What) -> bool {
        let is = self.peek().is_some_and(|token| token.what == *what);
        self.at += usize::from(is);
        is
    }

    /// Where the next token stands, or the end.
    fn place(&self) -> Range<usize> {
        self.peek().map_or(self.end..self.end, |token| token.at.clone())
    }

    fn or(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.and()?];
        while self.next_is(&What::Or) {
            parts.push(self.and()?);
        }
        Ok(one_or(parts, Expression::AnyOf))
    }

    fn and(&mut self) -> Result<Expression, FilterError> {
        let mut parts = vec![self.not()?];
        while self.next_is(&What::And) {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn not(&mut self) -> Result<Expression, FilterError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(FilterError::new(self.place(), format!("more than {MAX_DEPTH} parentheses within each other")));
        }
        let expression = if self.next_is(&What::Not) {
            negated(self.not()?)
        } else if self.next_is(&What::Open) {
            let inner = self.or()?;
            if !self.next_is(&What::Close) {
                return Err(FilterError::new(self.place(), "expected `)` here"));
            }
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn test(&mut self) -> Result<Expression, FilterError> {
        let place = self.place();
        let words = self.words();
        let Some(first) = words.first() else {
            return Err(FilterError::new(
                place,
                "expected a field here, such as src, dport, proto, exporter or a column",
            ));
        };
        let Some((field, length)) = vocabulary::field(&words) else { return self.bare(first, place) };
        self.at += length;
        let (compare, is_negated) = self.comparison()?;
        let (texts, places) = self.values()?;
        let whole = self.place();
        let (wanted, operands) = choose(&field, &texts, &places, whole)?;
        let wanted = compared(wanted, compare, place)?;
        let test = |operand: &Operand| Expression::Test(Test { operand: *operand, wanted: wanted.clone() });
        let either = one_or(operands.iter().map(test).collect(), Expression::AnyOf);
        let is_negated = is_negated ^ (compare == Compare::NotEqual);
        Ok(if is_negated { negated(either) } else { either })
    }

    /// The words from here on, in lower case: a field has two at the most.
    fn words(&self) -> Vec<String> {
        let ahead = self.tokens.get(self.at..).unwrap_or_default().iter().take(2);
        ahead
            .map_while(|token| match &token.what {
                What::Word(word) => Some(word.to_ascii_lowercase()),
                _ => None,
            })
            .collect()
    }

    /// A word that is a test by itself.
    fn bare(&mut self, word: &str, place: Range<usize>) -> Result<Expression, FilterError> {
        let number = |operand, value| {
            let wanted = Wanted::Numbers(vec![RangeInclusive::new(value, value)]);
            Expression::Test(Test { operand: Operand::Column(operand), wanted })
        };
        self.at += 1;
        if word == "any" {
            return Ok(Expression::Any);
        }
        if let Some((_, ether_type)) = FAMILIES.iter().find(|(family, _)| *family == word) {
            return Ok(number(ETHER_TYPE.column(), *ether_type));
        }
        if let Some(protocol) = protocols::number(word) {
            return Ok(number(PROTO.column(), protocol.into()));
        }
        Err(FilterError::new(place, unknown(word)))
    }

    fn comparison(&mut self) -> Result<(Compare, bool), FilterError> {
        let is_in = |token: Option<&Token>| {
            token.is_some_and(|token| matches!(&token.what, What::Word(word) if word.eq_ignore_ascii_case("in")))
        };
        if let Some(Token { what: What::Compare(compare), .. }) = self.peek() {
            self.at += 1;
            return Ok((*compare, false));
        }
        if self.next_is(&What::Not) {
            if !is_in(self.peek()) {
                return Err(FilterError::new(
                    self.place(),
                    "expected `in` here; to negate, write `not` before the field or !=",
                ));
            }
            self.at += 1;
            return Ok((Compare::In, true));
        }
        if is_in(self.peek()) {
            self.at += 1;
            return Ok((Compare::In, false));
        }
        Ok((Compare::Equal, false))
    }

    fn values(&mut self) -> Result<(Vec<&'a str>, Vec<Range<usize>>), FilterError> {
        let (mut texts, mut places) = (Vec::new(), Vec::new());
        let list = self.next_is(&What::Open);
        loop {
            let place = self.place();
            match self.peek().map(|token| &token.what) {
                Some(What::Word(text) | What::Quoted(text)) => {
                    texts.push(text.as_str());
                    places.push(place);
                    self.at += 1;
                }
                _ => return Err(FilterError::new(place, "expected a value here")),
            }
            if !list || self.next_is(&What::Close) {
                return Ok((texts, places));
            }
            self.next_is(&What::Comma);
        }
    }
}

/// Everything that `expression` does not take. `not flags AFR` means none of these flags, as for nfdump, and not that one of
/// them is missing.
fn negated(expression: Expression) -> Expression {
    let Expression::Test(Test { operand, wanted: Wanted::Bits(bits) }) = expression else {
        return Expression::Not(Box::new(expression));
    };
    let singles = (0..u64::BITS).map(|at| 1_u64 << at).filter(|bit| bits & bit != 0);
    let none = singles.map(|bit| {
        let test = Test { operand, wanted: Wanted::Bits(bit) };
        Expression::Not(Box::new(Expression::Test(test)))
    });
    one_or(none.collect(), Expression::All)
}

/// The first alternative of a field that can hold all of the values.
fn choose<'a>(
    field: &'a Field,
    texts: &[&str],
    places: &[Range<usize>],
    whole: Range<usize>,
) -> Result<(Wanted, &'a [Operand]), FilterError> {
    let mut failed = None;
    for operands in field {
        let Some(operand) = operands.first() else { continue };
        match value::read(*operand, texts) {
            Ok(wanted) => return Ok((wanted, operands)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let (at, message) = failed.unwrap_or((0, "nothing can be compared here".to_owned()));
    Err(FilterError::new(places.get(at).cloned().unwrap_or(whole), message))
}

/// Numbers can be ordered, everything else is equal or not.
fn compared(wanted: Wanted, compare: Compare, place: Range<usize>) -> Result<Wanted, FilterError> {
    if matches!(compare, Compare::Equal | Compare::NotEqual | Compare::In) {
        return Ok(wanted);
    }
    let single = match &wanted {
        Wanted::Numbers(ranges) => match ranges.as_slice() {
            [range] if range.start() == range.end() => Some(*range.start()),
            _ => None,
        },
        _ => None,
    };
    let Some(value) = single else {
        return Err(FilterError::new(place, "only a number can be compared with <, <=, > and >="));
    };
    // A range that nothing is in: `bytes < 0`.
    let nothing = RangeInclusive::new(1, 0);
    let range = match compare {
        Compare::Less => value.checked_sub(1).map_or(nothing, |last| 0..=last),
        Compare::LessOrEqual => 0..=value,
        Compare::Greater => value.checked_add(1).map_or(nothing, |first| first..=u64::MAX),
        _ => value..=u64::MAX,
    };
    Ok(Wanted::Numbers(vec![range]))
}

fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.len() {
        1 => parts.remove(0),
        _ => many(parts),
    }
}

fn unknown(word: &str) -> String {
    if let Some(noun) = vocabulary::noun_with(word) {
        return format!("{word} is a direction; write of what, such as `{word} {noun}`");
    }
    match helios_advice::nearest(word, vocabulary::words()) {
        Some(near) => format!("unknown field {word}; did you mean {near}?"),
        None => format!(
            "unknown field {word}; a field is src, dst, port, proto, as, exporter, in if, ... or a column of docs/columns.md"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (String, Range<usize>) {
        let error = parse(text).unwrap_err();
        (error.to_string(), error.at())
    }

    #[test]
    fn and_binds_closer_than_or() {
        let Expression::AnyOf(parts) = parse("tcp or udp and dport 53").unwrap() else { panic!("or is the root") };
        assert!(matches!(parts[0], Expression::Test(_)) && matches!(parts[1], Expression::All(_)));
        assert_eq!(parse("tcp or (udp and dport 53)"), parse("tcp or udp and dport 53"));
        assert_ne!(parse("(tcp or udp) and dport 53"), parse("tcp or udp and dport 53"));
    }

    #[test]
    fn spellings_of_one_filter_are_one_tree() {
        for (a, b) in [
            ("src in 10.0.0.0/8", "src net 10.0.0.0/8"),
            ("dport in (80, 443)", "dst port in [80 443]"),
            ("port != 443", "not port 443"),
            ("proto tcp", "tcp"),
            ("proto = 6", "TCP"),
            ("exporter not in (a b)", "not exporter in (a, b)"),
            ("bytes > 1k", "bytes >= 1001"),
            ("bytes gt 1000", "bytes > 1000"),
            ("!tcp && !udp", "not tcp and not udp"),
            ("", "any"),
        ] {
            assert_eq!(parse(a).unwrap(), parse(b).unwrap(), "{a} | {b}");
        }
    }

    #[test]
    fn the_type_of_a_value_chooses_the_column() {
        let column = |text: &str| match parse(text).unwrap() {
            Expression::Test(test) => test.operand.columns()[0].spec().name,
            other => panic!("{other:?}"),
        };
        assert_eq!(column("exporter 192.0.2.1"), "exporter_address");
        assert_eq!(column("exporter core1"), "exporter_name");
        assert_eq!(column("in if 7"), "in_if_index");
        assert_eq!(column("in if xe-0/0/0"), "in_if_name");
        assert_eq!(column("src as AS64500"), "src_as");
        assert_eq!(column("src as 'Example Org'"), "src_as_name");
    }

    #[test]
    fn mistakes_are_named_at_their_place() {
        for (text, message, at) in [
            ("dport", "expected a value here", 5..5),
            ("dport 443 443", "expected `and`, `or` or the end here", 10..13),
            ("(tcp", "expected `)` here", 4..4),
            ("tcp and", "expected a field here, such as src, dport, proto, exporter or a column", 7..7),
            ("dport 70000", "must be from 0 to 65535, found 70000", 6..11),
            ("dport in (80, http)", "http is no number; write 10, 10k, 1.5M or a range such as 1024-65535", 14..18),
            ("src > 10.0.0.1", "only a number can be compared with <, <=, > and >=", 0..3),
            ("direction up", "must be one of unknown, ingress, egress, found up", 10..12),
        ] {
            assert_eq!(error(text), (message.to_owned(), at), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n: usize| format!("{}tcp{}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(error(&nested(MAX_DEPTH)).0.starts_with("more than 64 parentheses"));
        assert!(parse(&"!".repeat(10_000)).is_err());
    }
}
