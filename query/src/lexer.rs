//! Text to tokens, each with its place.

use std::ops::Range;

use crate::filter::FilterError;

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub what: What,
    /// Octets of the text that it stands at.
    pub at: Range<usize>,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// Letters, digits and whatever else addresses and names of interfaces are made of.
    Word(String),
    /// A word in quotes: never a keyword, and it holds spaces.
    Quoted(String),
    /// `(` or `[`
    Open,
    /// `)` or `]`
    Close,
    Comma,
    Compare(Compare),
    Not,
    And,
    Or,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

/// Characters that end a word.
const PUNCTUATION: &str = "()[],=!<>&|\"'";

/// # Errors
/// A quote without its end, or a character that no token starts with.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let start = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (what, length) = match first {
            '"' | '\'' => {
                quoted(rest, first).ok_or_else(|| FilterError::new(start..text.len(), "this quote has no end"))?
            }
            _ => match symbol(rest) {
                Some(found) => found,
                None => word(rest, start)?,
            },
        };
        tokens.push(Token { what, at: start..start + length });
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// Symbols of two characters come first: `<=` is not `<` and `=`.
const SYMBOLS: &[(&str, What)] = &[
    ("==", What::Compare(Compare::Equal)),
    ("!=", What::Compare(Compare::NotEqual)),
    ("<>", What::Compare(Compare::NotEqual)),
    ("<=", What::Compare(Compare::LessOrEqual)),
    (">=", What::Compare(Compare::GreaterOrEqual)),
    ("&&", What::And),
    ("||", What::Or),
    ("=", What::Compare(Compare::Equal)),
    ("<", What::Compare(Compare::Less)),
    (">", What::Compare(Compare::Greater)),
    ("!", What::Not),
    ("&", What::And),
    ("|", What::Or),
    ("(", What::Open),
    ("[", What::Open),
    (")", What::Close),
    ("]", What::Close),
    (",", What::Comma),
];

fn symbol(rest: &str) -> Option<(What, usize)> {
    SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol)).map(|(symbol, what)| (what.clone(), symbol.len()))
}

fn quoted(rest: &str, quote: char) -> Option<(What, usize)> {
    let inner = rest.get(1..)?;
    let end = inner.find(quote)?;
    Some((What::Quoted(inner.get(..end)?.to_owned()), end + 2))
}

/// Keywords are recognised here, so that the parser sees no spelling.
fn word(rest: &str, start: usize) -> Result<(What, usize), FilterError> {
    let length = rest.find(|c: char| c.is_whitespace() || PUNCTUATION.contains(c)).unwrap_or(rest.len());
    let text = rest.get(..length).unwrap_or_default();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(FilterError::new(start..start + length.max(1), "this character has no meaning in a filter"));
    }
    let what = match text.to_ascii_lowercase().as_str() {
        "and" => What::And,
        "or" => What::Or,
        "not" => What::Not,
        "eq" | "is" => What::Compare(Compare::Equal),
        "ne" => What::Compare(Compare::NotEqual),
        "lt" => What::Compare(Compare::Less),
        "le" => What::Compare(Compare::LessOrEqual),
        "gt" => What::Compare(Compare::Greater),
        "ge" => What::Compare(Compare::GreaterOrEqual),
        _ => What::Word(text.to_owned()),
    };
    Ok((what, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(text: &str) -> Vec<What> {
        tokens(text).unwrap().into_iter().map(|token| token.what).collect()
    }

    #[test]
    fn words_hold_what_addresses_and_interfaces_are_made_of() {
        for word in ["10.0.0.0/8", "2001:db8::1", "xe-0/0/0.100", "TenGigE0/0/0/1", "64512-65534", "fra-*", "AS64500"] {
            assert_eq!(whats(word), [What::Word(word.to_owned())]);
        }
    }

    #[test]
    fn symbols_need_no_spaces() {
        let word = |text: &str| What::Word(text.to_owned());
        let compare = What::Compare(Compare::GreaterOrEqual);
        assert_eq!(whats("!(bytes>=10)"), [What::Not, What::Open, word("bytes"), compare, word("10"), What::Close]);
        assert_eq!(whats("a&&b||c"), [word("a"), What::And, word("b"), What::Or, word("c")]);
    }

    #[test]
    fn quotes_hold_spaces_and_keywords() {
        assert_eq!(whats("'a b' \"and\""), [What::Quoted("a b".into()), What::Quoted("and".into())]);
        assert_eq!(tokens("site 'fra").unwrap_err().at(), 5..9);
    }
}
