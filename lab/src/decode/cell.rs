//! One value of one row, as people and scripts read it.

use std::fmt::{self, Write};
use std::net::IpAddr;

use helios_common::columns::{Column, ColumnData, ColumnKind};
use helios_common::exporter::{Address, NO_ADDRESS, ip_of};
use helios_common::flow::FlowBatch;
use helios_common::names::NamesView;
use helios_common::time::UnixMs;

use helios_common::time::Utc;

/// A value with the meaning of its column.
#[derive(Debug, PartialEq)]
pub enum Cell<'a> {
    /// Also a value of an enumeration that has no label.
    Number(u64),
    /// Unix milliseconds; 0 is no time.
    Time(UnixMs),
    /// `None` for the unspecified address, the default.
    Address(Option<IpAddr>),
    /// The lower 48 bits are the address; 0 is none.
    Mac(u64),
    /// Label of an enumeration.
    Label(&'static str),
    /// Empty where the row has no name.
    Name(&'a str),
    /// In the order of the message, such as the ASes of a path.
    Numbers(&'a [u32]),
    /// 128-bit numbers, least significant octet first.
    Octets16(&'a [[u8; 16]]),
}

impl<'a> Cell<'a> {
    /// The value of `column` at `row`, the column's default where the batch holds none.
    pub fn of(batch: &'a FlowBatch, names: &'a NamesView<'_>, column: Column, row: usize) -> Self {
        let kind = column.spec().kind;
        match batch.data(column) {
            ColumnData::U8(values) => small(kind, at(values, row)),
            ColumnData::U16(values) => Self::Number(at(values, row).into()),
            ColumnData::U32(values) => match kind {
                ColumnKind::Name => Self::Name(names.get(at(values, row))),
                _ => Self::Number(at(values, row).into()),
            },
            ColumnData::U64(values) => match kind {
                ColumnKind::Mac => Self::Mac(at(values, row)),
                _ => Self::Number(at(values, row)),
            },
            ColumnData::I64(values) => Self::Time(at(values, row)),
            ColumnData::Octets16(values) => {
                let address: Address = at(values, row);
                Self::Address((address != NO_ADDRESS).then(|| ip_of(address)))
            }
            ColumnData::U32List(lists) => Self::Numbers(lists.get(row)),
            ColumnData::U128List(lists) => Self::Octets16(lists.get(row)),
        }
    }

    /// Whether there is nothing to show. A zero is something: the exporter said so.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Number(_) | Self::Label(_) => false,
            Self::Time(ms) => *ms == 0,
            Self::Address(address) => address.is_none(),
            Self::Mac(mac) => *mac == 0,
            Self::Name(name) => name.is_empty(),
            Self::Numbers(list) => list.is_empty(),
            Self::Octets16(list) => list.is_empty(),
        }
    }

    /// Appends the value as JSON.
    ///
    /// 128-bit numbers are strings, as in ClickHouse's own JSON: no reader's number type holds them.
    pub fn write_json(&self, out: &mut String) -> fmt::Result {
        match self {
            Self::Number(number) => write!(out, "{number}"),
            Self::Name(name) => write_json_text(name, out),
            Self::Numbers(list) => write_list(list, out, |number, out| write!(out, "{number}")),
            Self::Octets16(list) => {
                write_list(list, out, |octets, out| write!(out, "\"{}\"", u128::from_le_bytes(*octets)))
            }
            // None of the others has a character that JSON would escape.
            Self::Time(_) | Self::Address(_) | Self::Mac(_) | Self::Label(_) => write!(out, "\"{self}\""),
        }
    }
}

/// A string in JSON's quotes.
pub(super) fn write_json_text(text: &str, out: &mut String) -> fmt::Result {
    escape_controls(&serde_json::to_string(text).map_err(|_| fmt::Error)?, out)
}

/// JSON with its control characters escaped. serde_json escapes those below U+0020; terminals also obey those from U+007F
/// to U+009F.
pub(super) fn escape_controls(json: &str, out: &mut String) -> fmt::Result {
    for c in json.chars() {
        if c.is_control() { write!(out, "\\u{:04x}", u32::from(c))? } else { out.push(c) }
    }
    Ok(())
}

fn write_list<T>(list: &[T], out: &mut String, item: impl Fn(&T, &mut String) -> fmt::Result) -> fmt::Result {
    out.push('[');
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item(value, out)?;
    }
    out.push(']');
    Ok(())
}

fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}

fn small<'a>(kind: ColumnKind, value: u8) -> Cell<'a> {
    match kind {
        ColumnKind::Enum(labels) => match labels.iter().find(|(number, _)| *number == value) {
            Some((_, label)) => Cell::Label(label),
            None => Cell::Number(value.into()),
        },
        _ => Cell::Number(value.into()),
    }
}

/// The form of CSV and tables: lists separated by spaces.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Time(ms) => Utc(*ms).fmt(f),
            Self::Address(Some(address)) => write!(f, "{address}"),
            Self::Address(None) => f.write_str("::"),
            Self::Mac(mac) => {
                let [_, _, a, b, c, d, e, g] = mac.to_be_bytes();
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            Self::Label(label) => f.write_str(label),
            Self::Name(name) => f.write_str(name),
            Self::Numbers(list) => spaced(list.iter(), f),
            Self::Octets16(list) => spaced(list.iter().map(|octets| u128::from_le_bytes(*octets)), f),
        }
    }
}

fn spaced<T: fmt::Display>(items: impl Iterator<Item = T>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_str(" ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::columns::{
        APPLICATION, EXPORT_PROTOCOL, LARGE_COMMUNITIES, MPLS_LABELS, RECEIVED_AT, SRC_ADDR, SRC_MAC, SRC_PORT,
    };
    use helios_common::exporter::{ExporterId, mapped};
    use helios_common::names::Names;

    fn json(batch: &FlowBatch, names: &Names, column: Column) -> (String, String, bool) {
        let view = names.read();
        let cell = Cell::of(batch, &view, column, 0);
        let mut out = String::new();
        cell.write_json(&mut out).unwrap();
        (out, cell.to_string(), cell.is_empty())
    }

    #[test]
    fn every_kind_has_its_text() {
        let names = Names::new();
        let mut batch = FlowBatch::new();
        batch.set(RECEIVED_AT, 951_827_696_789);
        batch.set(SRC_ADDR, mapped([192, 0, 2, 1]));
        batch.set(SRC_MAC, 0x0012_3456_789a);
        batch.set(SRC_PORT, 443);
        batch.set(EXPORT_PROTOCOL, 9);
        batch.set(APPLICATION, names.intern("a \"b\""));
        batch.open_list(MPLS_LABELS).push([16, 17]);
        batch.open_list(LARGE_COMMUNITIES).push([(1_u128 << 64).to_le_bytes()]);
        batch.advance(1, ExporterId(0));
        for (column, as_json, as_text) in [
            (RECEIVED_AT.column(), "\"2000-02-29T12:34:56.789Z\"", "2000-02-29T12:34:56.789Z"),
            (SRC_ADDR.column(), "\"192.0.2.1\"", "192.0.2.1"),
            (SRC_MAC.column(), "\"00:12:34:56:78:9a\"", "00:12:34:56:78:9a"),
            (SRC_PORT.column(), "443", "443"),
            (EXPORT_PROTOCOL.column(), "\"netflow9\"", "netflow9"),
            (APPLICATION.column(), "\"a \\\"b\\\"\"", "a \"b\""),
            (MPLS_LABELS.column(), "[16,17]", "16 17"),
            (LARGE_COMMUNITIES.column(), "[\"18446744073709551616\"]", "18446744073709551616"),
        ] {
            assert_eq!(json(&batch, &names, column), (as_json.into(), as_text.into(), false));
        }
    }

    #[test]
    fn what_nobody_wrote_is_empty_except_numbers() {
        let (names, batch) = (Names::new(), FlowBatch::new());
        assert_eq!(json(&batch, &names, SRC_ADDR.column()), ("\"::\"".into(), "::".into(), true));
        assert_eq!(json(&batch, &names, MPLS_LABELS.column()), ("[]".into(), String::new(), true));
        assert_eq!(json(&batch, &names, SRC_PORT.column()), ("0".into(), "0".into(), false));
    }

    #[test]
    fn control_characters_of_names_are_escaped() {
        let mut out = String::new();
        write_json_text("a\u{9b}31m\u{7f}\u{1b}[0m\n", &mut out).unwrap();
        assert_eq!(out, r#""a\u009b31m\u007f\u001b[0m\n""#);
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), "a\u{9b}31m\u{7f}\u{1b}[0m\n");
    }
}
