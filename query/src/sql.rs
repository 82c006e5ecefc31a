//! A filter as an expression of ClickHouse.

use std::fmt::Write as _;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use helios_common::columns::{Column, ColumnKind};
use helios_common::exporter::Address;

use crate::filter::{Expression, Filter, Pattern, Test, Wanted};
use crate::vocabulary::Operand;

impl Filter {
    /// The filter as a boolean expression over the table that the statement calls `table`, in parentheses where it needs
    /// them. Values are quoted: nothing that a user writes becomes syntax.
    pub fn sql(&self, table: &str) -> String {
        self.root.sql(table)
    }
}

impl Expression {
    fn sql(&self, table: &str) -> String {
        match self {
            Self::Any => "1".to_owned(),
            Self::All(parts) => joined(parts, " AND ", table),
            Self::AnyOf(parts) => joined(parts, " OR ", table),
            Self::Not(part) => format!("NOT ({})", part.sql(table)),
            Self::Test(test) => test.sql(table),
        }
    }
}

fn joined(parts: &[Expression], operator: &str, table: &str) -> String {
    let parts: Vec<String> = parts.iter().map(|part| part.sql(table)).collect();
    format!("({})", parts.join(operator))
}

impl Test {
    fn sql(&self, table: &str) -> String {
        let operand = self.operand.sql(table);
        match &self.wanted {
            Wanted::Numbers(ranges) => match self.labels() {
                Some(labels) => numbers(&operand, ranges, |value| label(labels, value)),
                None => numbers(&operand, ranges, |value| value.to_string()),
            },
            Wanted::Bits(bits) => format!("bitAnd({operand}, {bits}) = {bits}"),
            Wanted::Addresses(wanted) => ranges(&operand, wanted, |address| address_literal(*address)),
            Wanted::Names(patterns) => names(&operand, patterns),
            Wanted::Holds(values) => {
                // A literal beyond 64 bits would be a floating-point number.
                let literal = |value: &u128| match u64::try_from(*value) {
                    Ok(value) => value.to_string(),
                    Err(_) => format!("toUInt128('{value}')"),
                };
                let values: Vec<String> = values.iter().map(literal).collect();
                format!("hasAny({operand}, [{}])", values.join(", "))
            }
        }
    }

    fn labels(&self) -> Option<&'static [(u8, &'static str)]> {
        match self.operand {
            Operand::Column(column) => match column.spec().kind {
                ColumnKind::Enum(labels) => Some(labels),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Operand {
    /// The value in SQL; the computed ones say what [`Operand`] says.
    fn sql(self, table: &str) -> String {
        let duration = format!("greatest(dateDiff('millisecond', {table}.flow_start, {table}.flow_end), 0)");
        let per_second = |amount: String| format!("if({duration} = 0, 0, intDiv({amount} * 1000, {duration}))");
        match self {
            Self::Column(column) => format!("{table}.{}", column.spec().name),
            Self::BitsPerSecond => per_second(format!("{table}.bytes * 8")),
            Self::PacketsPerSecond => per_second(format!("{table}.packets")),
            Self::BytesPerPacket => format!("if({table}.packets = 0, 0, intDiv({table}.bytes, {table}.packets))"),
            Self::Duration => duration,
        }
    }
}

/// Single values in one list, ranges as comparisons.
fn numbers(operand: &str, wanted: &[RangeInclusive<u64>], literal: impl Fn(u64) -> String) -> String {
    let (single, rest): (Vec<_>, Vec<_>) = wanted.iter().partition(|range| range.start() == range.end());
    let mut parts: Vec<String> = rest.iter().map(|range| between(operand, range, &literal)).collect();
    let single: Vec<String> = single.iter().map(|range| literal(*range.start())).collect();
    match single.as_slice() {
        [] => {}
        [one] => parts.insert(0, format!("{operand} = {one}")),
        many => parts.insert(0, format!("{operand} IN ({})", many.join(", "))),
    }
    either(parts)
}

fn between(operand: &str, range: &RangeInclusive<u64>, literal: &impl Fn(u64) -> String) -> String {
    match (*range.start(), *range.end()) {
        (first, last) if first > last => "0".to_owned(),
        (0, last) => format!("{operand} <= {}", literal(last)),
        (first, u64::MAX) => format!("{operand} >= {}", literal(first)),
        (first, last) => format!("{operand} BETWEEN {} AND {}", literal(first), literal(last)),
    }
}

fn ranges<T: PartialEq>(operand: &str, wanted: &[RangeInclusive<T>], literal: impl Fn(&T) -> String) -> String {
    let part = |range: &RangeInclusive<T>| match range.start() == range.end() {
        true => format!("{operand} = {}", literal(range.start())),
        false => format!("{operand} BETWEEN {} AND {}", literal(range.start()), literal(range.end())),
    };
    either(wanted.iter().map(part).collect())
}

/// Comparisons of an address go by its octets, so a prefix is a range that the sorting key can use.
fn address_literal(address: Address) -> String {
    format!("toIPv6('{}')", Ipv6Addr::from(address))
}

fn names(operand: &str, patterns: &[Pattern]) -> String {
    let (exact, wild): (Vec<_>, Vec<_>) = patterns.iter().partition(|pattern| pattern.is_exact());
    let mut parts: Vec<String> = wild.iter().map(|pattern| format!("{operand} LIKE {}", like(&pattern.0))).collect();
    let exact: Vec<String> = exact.iter().map(|pattern| quoted(&pattern.0)).collect();
    match exact.as_slice() {
        [] => {}
        [one] => parts.insert(0, format!("{operand} = {one}")),
        many => parts.insert(0, format!("{operand} IN ({})", many.join(", "))),
    }
    either(parts)
}

fn either(mut parts: Vec<String>) -> String {
    if parts.len() == 1 { parts.remove(0) } else { format!("({})", parts.join(" OR ")) }
}

fn label(labels: &[(u8, &str)], value: u64) -> String {
    let found = labels.iter().find(|(number, _)| u64::from(*number) == value);
    quoted(found.map_or("", |(_, label)| label))
}

/// A string literal of ClickHouse.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => {
                literal.push('\\');
                literal.push(c);
            }
            c if c.is_ascii_control() => {
                // Writing to a String cannot fail.
                let _ = write!(literal, "\\x{:02x}", u32::from(c));
            }
            c => literal.push(c),
        }
    }
    literal.push('\'');
    literal
}

/// A pattern of `LIKE`: `*` is `%`, and the characters that `LIKE` knows stand for themselves.
fn like(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '*' => text.push('%'),
            '%' | '_' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            c => text.push(c),
        }
    }
    quoted(&text)
}

/// The name of a column, qualified: a name alone may mean an alias of the statement.
pub(crate) fn qualified(table: &str, column: Column) -> String {
    format!("{table}.{}", column.spec().name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_becomes_an_expression() {
        for (text, sql) in [
            ("any", "1"),
            ("dport 443", "f.dst_port = 443"),
            ("port 443", "(f.src_port = 443 OR f.dst_port = 443)"),
            ("not proto udp", "NOT (f.proto = 17)"),
            ("dport in (80, 443, 1024-2000)", "(f.dst_port IN (80, 443) OR f.dst_port BETWEEN 1024 AND 2000)"),
            ("bytes > 1k", "f.bytes >= 1001"),
            ("packets <= 3", "f.packets <= 3"),
            ("packets < 0", "0"),
            ("src 192.0.2.1", "f.src_addr = toIPv6('::ffff:192.0.2.1')"),
            ("src 10.0.0.0/8", "f.src_addr BETWEEN toIPv6('::ffff:10.0.0.0') AND toIPv6('::ffff:10.255.255.255')"),
            ("exporter in (a, 'b c')", "f.exporter_name IN ('a', 'b c')"),
            ("exporter fra-*_1", "f.exporter_name LIKE 'fra-%\\\\_1'"),
            ("site \"o'hare\\\"", "(f.src_site = 'o\\'hare\\\\' OR f.dst_site = 'o\\'hare\\\\')"),
            ("direction egress", "f.flow_direction = 'egress'"),
            ("flags SA", "bitAnd(f.tcp_flags, 18) = 18"),
            ("not flags SA", "(NOT (bitAnd(f.tcp_flags, 2) = 2) AND NOT (bitAnd(f.tcp_flags, 16) = 16))"),
            ("flags 18", "f.tcp_flags = 18"),
            ("as_path 64500", "hasAny(f.as_path, [64500])"),
            ("src country de", "f.src_country = 'DE'"),
            ("tcp and (dport 80 or dport 443)", "(f.proto = 6 AND (f.dst_port = 80 OR f.dst_port = 443))"),
        ] {
            assert_eq!(Filter::parse(text).unwrap().sql("f"), sql, "{text}");
        }
    }

    #[test]
    fn nothing_of_a_value_becomes_syntax() {
        assert_eq!(quoted("a'b\\c\n"), "'a\\'b\\\\c\\x0a'");
        let filter = Filter::parse("exporter \"x') OR (1=1\"").unwrap();
        assert_eq!(filter.sql("f"), "f.exporter_name = 'x\\') OR (1=1'");
    }
}
