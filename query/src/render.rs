//! An [`Answer`] as text: a table for people, CSV and JSON for programs.

use std::fmt::Write as _;

use helios_common::columns::ColumnKind;
use helios_common::exporter::ip_of;
use helios_common::text::{printable, quote};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Figures, Row};
use crate::key::Key;
use crate::protocols;

/// How the figures of a table are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Bits, packets and flows per second, averaged over the time.
    Rates,
    /// Bytes, packets and flows, and the average rate in bit/s.
    Sums,
}

/// Heights of a sparkline.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Lines of a table; the first is the header. A last line has what is not listed.
pub fn table(by: &[Key], answer: &Answer, figure: Figure) -> Vec<String> {
    let course = answer.rows.iter().any(|row| !row.course.is_empty());
    let mut rows = vec![header(by, figure, course)];
    rows.extend(answer.rows.iter().map(|row| {
        let mut cells = key_cells(by, row);
        cells.extend(figure_cells(row.figures, answer, figure));
        if course {
            cells.push(sparkline(&row.course));
        }
        cells
    }));
    if let Some((keys, figures)) = answer.other() {
        let mut cells = vec![if answer.is_of_busiest { "other".to_owned() } else { format!("{keys} other") }];
        cells.resize(by.len(), String::new());
        cells.extend(figure_cells(figures, answer, figure));
        rows.push(cells);
    }
    let widths = widths(&rows);
    let course_at = if course { widths.len() - 1 } else { widths.len() };
    rows.iter().map(|row| line(row, &widths, by.len(), course_at)).collect()
}

fn header(by: &[Key], figure: Figure, course: bool) -> Vec<String> {
    let figures: &[&str] = match figure {
        Figure::Rates => &["BIT/S", "PACKET/S", "FLOW/S", "SHARE"],
        Figure::Sums => &["BYTES", "PACKETS", "FLOWS", "BIT/S", "SHARE"],
    };
    let keys = by.iter().map(|key| title(*key));
    keys.chain(figures.iter().map(|title| (*title).to_owned())).chain(course.then(|| "COURSE".to_owned())).collect()
}

/// The heading of a key.
fn title(key: Key) -> String {
    let name = match key.name() {
        "src_addr" => "SOURCE",
        "dst_addr" => "DESTINATION",
        "src_as" => "SOURCE AS",
        "dst_as" => "DESTINATION AS",
        "proto" => "PROTOCOL",
        "service_port" => "PORT",
        "exporter_name" => "EXPORTER",
        "in_if_name" => "IN",
        "out_if_name" => "OUT",
        other => return other.replace('_', " ").to_uppercase(),
    };
    name.to_owned()
}

fn key_cells(by: &[Key], row: &Row) -> Vec<String> {
    by.iter().zip(&row.key).map(|(key, (value, label))| printable(&shown(*key, value, label))).collect()
}

fn figure_cells(figures: Figures, answer: &Answer, figure: Figure) -> Vec<String> {
    let seconds = answer.seconds() as f64;
    let bits = figures.bytes as f64 * 8.0 / seconds;
    let share = match answer.total.bytes {
        0 => 0.0,
        total => 100.0 * figures.bytes as f64 / total as f64,
    };
    let share = format!("{share:.1} %");
    match figure {
        Figure::Rates => {
            vec![scaled(bits), scaled(figures.packets as f64 / seconds), scaled(figures.flows as f64 / seconds), share]
        }
        Figure::Sums => {
            vec![counted(figures.bytes), counted(figures.packets), counted(figures.flows), scaled(bits), share]
        }
    }
}

/// A key's value as people know it.
fn shown(key: Key, value: &str, label: &str) -> String {
    match key.name() {
        "proto" => protocol(value),
        "src_as" | "dst_as" if value == "0" => "unknown".to_owned(),
        "src_as" | "dst_as" if label.is_empty() => format!("AS{value}"),
        "src_as" | "dst_as" => format!("AS{value} {label}"),
        "in_if_index" | "out_if_index" if !label.is_empty() => label.to_owned(),
        _ if value.is_empty() || is_mac(key) && value == "0" => "unknown".to_owned(),
        _ => written(key, value),
    }
}

/// A value as people write it. ClickHouse has MAC addresses as numbers and shows every IP address as IPv6; all else stays as
/// it is.
fn written(key: Key, value: &str) -> String {
    if is_mac(key)
        && let Ok(mac) = value.parse::<u64>()
    {
        let [_, _, octets @ ..] = mac.to_be_bytes();
        return octets.map(|octet| format!("{octet:02x}")).join(":");
    }
    value.parse().map_or_else(|_| value.to_owned(), |ip: std::net::Ipv6Addr| ip_of(ip.octets()).to_string())
}

fn is_mac(key: Key) -> bool {
    matches!(key, Key::Column(column) if column.spec().kind == ColumnKind::Mac)
}

fn protocol(number: &str) -> String {
    number.parse().ok().and_then(protocols::name).unwrap_or(number).to_owned()
}

/// Three significant digits and a decimal prefix: rates are decimal, 1 kbit/s is 1000 bit/s.
pub fn scaled(value: f64) -> String {
    const PREFIXES: [&str; 6] = ["", " k", " M", " G", " T", " P"];
    let mut value = value.max(0.0);
    let mut prefix = 0;
    while value >= 999.5 && prefix + 1 < PREFIXES.len() {
        value /= 1000.0;
        prefix += 1;
    }
    let digits = match value {
        v if v >= 99.95 || v == 0.0 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}{}", PREFIXES[prefix])
}

/// A count: exact below a thousand.
fn counted(value: u64) -> String {
    if value < 1000 { value.to_string() } else { scaled(value as f64) }
}

/// One character a point, as high as its share of the highest one; a point without traffic is a space.
pub fn sparkline(course: &[u64]) -> String {
    let highest = course.iter().copied().max().unwrap_or(0);
    let bar = |value: u64| match value {
        0 => ' ',
        // The highest value is the last bar, not one beyond it.
        value => {
            let at = (u128::from(value) * BARS.len() as u128).div_ceil(u128::from(highest)) - 1;
            BARS.get(at as usize).copied().unwrap_or(' ')
        }
    };
    course.iter().map(|value| bar(*value)).collect()
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    widths
}

/// Keys and the course to the left of their column, figures to the right.
fn line(row: &[String], widths: &[usize], keys: usize, course_at: usize) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        if at > 0 {
            line.push_str("  ");
        }
        let left = at < keys || at >= course_at;
        line.push_str(&if left { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
    }
    line.trim_end().to_owned()
}

/// Comma-separated values (RFC 4180) with a header: values as they are stored, exact figures, no rest.
pub fn csv(by: &[Key], answer: &Answer) -> String {
    let names = by.iter().map(|key| key.name());
    let mut text = names.chain(["bytes", "packets", "flows"]).collect::<Vec<_>>().join(",");
    text.push_str("\r\n");
    for row in &answer.rows {
        for (key, (value, _)) in by.iter().zip(&row.key) {
            quote(&printable(&written(*key, value)), &mut text);
            text.push(',');
        }
        let Figures { bytes, packets, flows } = row.figures;
        // Writing to a String cannot fail.
        let _ = write!(text, "{bytes},{packets},{flows}\r\n");
    }
    text
}

/// One object: the table, the time in Unix seconds, the rows, what is not listed, and the total.
pub fn json(by: &[Key], answer: &Answer) -> Value {
    let rows = answer.rows.iter().map(|row| {
        let mut object = Map::new();
        for (key, (value, label)) in by.iter().zip(&row.key) {
            let number = value.parse::<u64>().ok().filter(|_| is_number(*key));
            object.insert(key.name().to_owned(), number.map_or_else(|| Value::from(written(*key, value)), Value::from));
            if let Some(name) = key.label().filter(|_| !label.is_empty()) {
                object.insert(name.spec().name.to_owned(), Value::from(label.as_str()));
            }
        }
        insert(&mut object, row.figures);
        if !row.course.is_empty() {
            object.insert("course".to_owned(), Value::from(row.course.clone()));
        }
        Value::Object(object)
    });
    let mut total = Map::new();
    insert(&mut total, answer.total);
    total.insert("keys".to_owned(), Value::from(answer.keys));
    let other = answer.other().map(|(keys, figures)| {
        let mut object = Map::new();
        insert(&mut object, figures);
        object.insert("keys".to_owned(), Value::from(keys));
        object
    });
    json!({
        "table": answer.table.name,
        "warning": answer.warning,
        "from": answer.time.map(|(since, _)| since),
        "to": answer.time.map(|(_, until)| until),
        "rows": rows.collect::<Vec<_>>(),
        "other": other,
        "total": total,
    })
}

fn insert(object: &mut Map<String, Value>, figures: Figures) {
    let Figures { bytes, packets, flows } = figures;
    for (name, value) in [("bytes", bytes), ("packets", packets), ("flows", flows)] {
        object.insert(name.to_owned(), Value::from(value));
    }
}

fn is_number(key: Key) -> bool {
    match key {
        Key::ServicePort => true,
        Key::Column(column) => {
            matches!(column.spec().kind, ColumnKind::U8 | ColumnKind::U16 | ColumnKind::U32 | ColumnKind::U64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    fn row(key: &[(&str, &str)], bytes: u64) -> Row {
        let key = key.iter().map(|&(value, label)| (value.to_owned(), label.to_owned())).collect();
        Row { key, figures: Figures { bytes, packets: bytes / 1000, flows: 5 }, course: Vec::new() }
    }

    /// Ten seconds with 5,000,000 octets in all.
    fn answer(rows: Vec<Row>, keys: u64) -> Answer {
        let total = Figures { bytes: 5_000_000, packets: 5_000, flows: 20 };
        let table = Table::by_name("flows").unwrap();
        Answer { table, warning: None, time: Some((100, 110)), is_of_busiest: false, total, keys, rows }
    }

    fn keys(by: &str) -> Vec<Key> {
        Key::parse_list(by).unwrap()
    }

    #[test]
    fn the_busiest_are_a_part_of_an_unknown_number() {
        let answer = answer(vec![row(&[("::ffff:192.0.2.1", "")], 3_000_000)], 1);
        let busiest = Answer { is_of_busiest: true, ..answer };
        let lines = table(&keys("src"), &busiest, Figure::Rates);
        assert!(lines.last().unwrap().starts_with("other"), "{lines:?}");
        assert_eq!(busiest.other().unwrap().1.bytes, 2_000_000);
    }

    #[test]
    fn columns_are_aligned_and_mapped_addresses_are_dotted() {
        let rows = vec![
            row(&[("::ffff:192.0.2.1", ""), ("2001:db8::1", "")], 3_750_000),
            row(&[("::ffff:192.0.2.200", ""), ("::ffff:10.0.0.1", "")], 1_000_000),
        ];
        assert_eq!(
            table(&keys("pair"), &answer(rows.clone(), 2), Figure::Rates),
            [
                "SOURCE       DESTINATION   BIT/S  PACKET/S  FLOW/S   SHARE",
                "192.0.2.1    2001:db8::1  3.00 M       375    0.50  75.0 %",
                "192.0.2.200  10.0.0.1      800 k       100    0.50  20.0 %",
            ]
        );
        assert_eq!(
            table(&keys("pair"), &answer(rows, 12), Figure::Sums).last().unwrap(),
            "10 other                   250 k      250     10   200 k   5.0 %"
        );
    }

    #[test]
    fn keys_are_shown_as_people_know_them() {
        for (by, value, label, text) in [
            ("proto", "6", "", "tcp"),
            ("proto", "253", "", "253"),
            ("src_as", "64512", "Example", "AS64512 Example"),
            ("dst_as", "64512", "", "AS64512"),
            ("dst_as", "0", "", "unknown"),
            ("in_if_index", "7", "xe-0/0/0", "xe-0/0/0"),
            ("in_if_index", "7", "", "7"),
            ("src_country", "", "", "unknown"),
            ("src_mac", "78187493530", "", "00:12:34:56:78:9a"),
            ("dst_mac", "0", "", "unknown"),
        ] {
            assert_eq!(shown(keys(by)[0], value, label), text);
        }
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let rows = vec![row(&[("edge", ""), ("eth0\x1b[2J\n", "")], 1)];
        let lines = table(&keys("interface"), &answer(rows, 1), Figure::Rates);
        assert!(lines[1].contains("eth0\u{fffd}[2J\u{fffd}"), "{lines:?}");
    }

    #[test]
    fn figures_have_three_digits_and_never_a_thousand() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.50"),
            (9.999, "10.0"),
            (99.96, "100"),
            (999.4, "999"),
            (999.6, "1.00 k"),
            (1_234_567.0, "1.23 M"),
            (5e18, "5000 P"),
        ] {
            assert_eq!(scaled(value), text);
        }
    }

    #[test]
    fn a_sparkline_is_as_high_as_its_highest_point() {
        assert_eq!(sparkline(&[0, 1, 4, 8]), " ▁▄█");
        assert_eq!(sparkline(&[0, 0]), "  ");
        assert_eq!(sparkline(&[u64::MAX, 1]), "█▁");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn programs_get_exact_figures() {
        let rows = vec![row(&[("64512", "Ex,\"ample"), ("DE", "")], 1_234_567)];
        let (by, answer) = (keys("src_as,dst_country"), answer(rows, 3));
        assert_eq!(csv(&by, &answer), "src_as,dst_country,bytes,packets,flows\r\n64512,DE,1234567,1234,5\r\n");
        let value = json(&by, &answer);
        assert_eq!(value["rows"][0]["src_as"], 64_512);
        assert_eq!(value["rows"][0]["src_as_name"], "Ex,\"ample");
        assert_eq!((&value["other"]["keys"], &value["other"]["bytes"]), (&Value::from(2), &Value::from(3_765_433)));
        assert_eq!((&value["table"], &value["from"], &value["to"]), (&Value::from("flows"), &100.into(), &110.into()));
    }

    #[test]
    fn programs_get_addresses_as_people_write_them() {
        let rows = vec![row(&[("::ffff:192.0.2.1", ""), ("78187493530", "")], 1_000)];
        let (by, answer) = (keys("src,src_mac"), answer(rows, 1));
        assert!(csv(&by, &answer).ends_with("\r\n192.0.2.1,00:12:34:56:78:9a,1000,1,5\r\n"));
        let value = json(&by, &answer);
        let mac = Value::from("00:12:34:56:78:9a");
        assert_eq!((&value["rows"][0]["src_addr"], &value["rows"][0]["src_mac"]), (&Value::from("192.0.2.1"), &mac));
    }
}
