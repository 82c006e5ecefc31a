//! `{{.name}}` in a step's configuration becomes the value of a parameter, and nothing but this value.
//!
//! A value never changes the structure of what it is put into:
//! - A path is parsed first; a template stands only in the value of a key. The value becomes the key's value as it is, and
//!   the path is never printed and parsed again on its way to the device.
//! - JSON is parsed first; a template stands only within strings. A string that is one template alone becomes a value of
//!   the parameter's type.
//! - A query of Prometheus has a template only within a quoted string, where the value is escaped, or unquoted for an
//!   integer. A regular expression has none: a value could widen it.
//! - An address has a template only in its path and query, where the value is percent-encoded.
//!
//! A value is put in once: `{{` in a value stays as it is.

use std::fmt::Write as _;

use helios_gnmi::Path;
use serde_json::Value;

use crate::parameter::{Parameters, text};

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Splits a text at its templates.
fn pieces(source: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find("{{") {
        let wrong =
            || "a template is written {{.name}}, with the name of a parameter; nothing else is expanded".to_owned();
        let end = rest[at..].find("}}").ok_or_else(wrong)? + at;
        let name = rest[at + 2..end].trim().strip_prefix('.').ok_or_else(wrong)?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(wrong());
        }
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        pieces.push(Piece::Name(name));
        rest = &rest[end + 2..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// Whether there is a template, or what looks like one.
pub fn is_template(source: &str) -> bool {
    source.contains("{{")
}

fn value<'a>(name: &str, parameters: &'a Parameters) -> Result<&'a Value, String> {
    parameters.get(name).ok_or_else(|| {
        format!("{{{{.{name}}}}} has no value: declare the parameter `{name}`, as required or with a default")
    })
}

/// Expands a text that is no language: a message, a name.
///
/// # Errors
/// A malformed template, or a parameter without a value.
pub fn plain(source: &str, parameters: &Parameters) -> Result<String, String> {
    let mut out = String::new();
    for piece in pieces(source)? {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Name(name) => out.push_str(&text(value(name, parameters)?)),
        }
    }
    Ok(out)
}

/// Parses a path and expands the values of its keys.
///
/// # Errors
/// No path, a template outside a key's value, or a value that can be no key: empty, a wildcard, or with control characters.
pub fn path(source: &str, parameters: &Parameters) -> Result<Path, String> {
    let mut path: Path = source.parse().map_err(|error| format!("`{source}` is no path: {error}"))?;
    let in_names = path.elem.iter().any(|elem| is_template(&elem.name) || elem.key.keys().any(|key| is_template(key)));
    if in_names || is_template(&path.origin) {
        return Err(format!("`{source}`: a template may only be the value of a key, as in [name={{{{.interface}}}}]"));
    }
    for elem in &mut path.elem {
        for (key, key_value) in &mut elem.key {
            if !is_template(key_value) {
                continue;
            }
            let expanded = plain(key_value, parameters)?;
            let refused = match expanded.as_str() {
                "" => Some("is empty"),
                "*" => Some("is the wildcard *, which names every entry of the list"),
                text if text.chars().any(char::is_control) => Some("has control characters"),
                _ => None,
            };
            if let Some(why) = refused {
                return Err(format!("the value for `{key}` of `{}` {why}", elem.name));
            }
            *key_value = expanded;
        }
    }
    Ok(path)
}

/// The value of a gnmi-set.
///
/// Text without a template that is `true`, `false`, `null`, a number, an object or an array in JSON is that value, all other
/// text is a string.
///
/// # Errors
/// A malformed template, a parameter without a value, or text that begins like an object and is none.
pub fn json(source: &Value, parameters: &Parameters) -> Result<Value, String> {
    let Value::String(source) = source else { return leaves(source, parameters) };
    if source.starts_with(['{', '[']) && !source.starts_with("{{") {
        let parsed: Value = serde_json::from_str(source).map_err(|error| {
            format!(
                "the value begins like JSON and is none ({error}); write templates within quotes: \"{{{{.name}}}}\""
            )
        })?;
        return leaves(&parsed, parameters);
    }
    if !is_template(source)
        && let Ok(scalar @ (Value::Bool(_) | Value::Number(_) | Value::Null)) = serde_json::from_str(source)
    {
        return Ok(scalar);
    }
    leaves(&Value::from(source.as_str()), parameters)
}

/// Expands the strings of parsed JSON.
///
/// # Errors
/// A malformed template, or a parameter without a value.
pub fn leaves(source: &Value, parameters: &Parameters) -> Result<Value, String> {
    Ok(match source {
        Value::String(source) => match pieces(source)?.as_slice() {
            [Piece::Name(name)] => value(name, parameters)?.clone(),
            _ => Value::from(plain(source, parameters)?),
        },
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| leaves(item, parameters)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            if let Some(key) = fields.keys().find(|key| is_template(key)) {
                return Err(format!("`{key}`: the name of a field cannot be a template"));
            }
            let field = |(key, value): (&String, &Value)| Ok((key.clone(), leaves(value, parameters)?));
            Value::Object(fields.iter().map(field).collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

/// A query of Prometheus.
///
/// # Errors
/// A template outside quotes whose value is no integer, one in a regular expression or between backticks.
pub fn promql(source: &str, parameters: &Parameters) -> Result<String, String> {
    let mut out = String::new();
    let mut quote = None;
    for piece in pieces(source)? {
        match piece {
            Piece::Text(text) => {
                out.push_str(text);
                quote = quote_after(&out);
            }
            Piece::Name(name) => match (quote, value(name, parameters)?) {
                (None, Value::Number(number)) => out.push_str(&number.to_string()),
                (Some(('"' | '\'', false)), value) => out.push_str(&quoted(&text(value))),
                (Some((_, true)), _) => {
                    return Err(format!(
                        "{{{{.{name}}}}} stands in a regular expression, which a value could widen: use ="
                    ));
                }
                _ => return Err(format!("{{{{.{name}}}}} has to stand in a quoted string of the query")),
            },
        }
    }
    Ok(out)
}

/// Which quote is open at the end of a query, and whether the string is a regular expression.
fn quote_after(query: &str) -> Option<(char, bool)> {
    let mut open: Option<(char, bool)> = None;
    let mut chars = query.char_indices();
    while let Some((at, c)) = chars.next() {
        match (open, c) {
            (None, '"' | '\'' | '`') => {
                let before = query[..at].trim_end();
                open = Some((c, before.ends_with("=~") || before.ends_with("!~")));
            }
            // A comment ends with its line; a quote in it is none.
            (None, '#') => _ = chars.by_ref().find(|(_, c)| *c == '\n'),
            (Some(('"' | '\'', _)), '\\') => _ = chars.next(),
            (Some((quote, _)), c) if c == quote => open = None,
            _ => {}
        }
    }
    open
}

/// Text within the quotes of a Prometheus string, which has Go's escapes.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' | '\'' => _ = write!(out, "\\x{:02x}", u32::from(c)),
            c if c.is_control() => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

/// An address of HTTP.
///
/// # Errors
/// A template in scheme, user, host or port.
pub fn address(source: &str, parameters: &Parameters) -> Result<String, String> {
    let after_scheme = source.find("://").map(|at| at + 3).ok_or("the address begins with http:// or https://")?;
    let host_end = source[after_scheme..].find(['/', '?', '#']).map_or(source.len(), |at| at + after_scheme);
    if is_template(&source[..host_end]) {
        return Err(
            "the address has a template before its path: host and port are the runbook's, not a parameter's".to_owned()
        );
    }
    let mut out = source[..host_end].to_owned();
    for piece in pieces(&source[host_end..])? {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Name(name) => {
                let text = text(value(name, parameters)?);
                if text == "." || text == ".." {
                    return Err(format!("{{{{.{name}}}}} is `{text}`, which is another path of the address"));
                }
                for octet in text.bytes() {
                    match octet {
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(octet.into()),
                        _ => _ = write!(out, "%{octet:02X}"),
                    }
                }
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
