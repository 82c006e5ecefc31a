//! An answer as lines of text: the same lines for `--once`, for a pipe and for the live screen.

use helios_common::exporter::ip_of;

use super::query::{By, Talker};

/// Lines of a table; the first is the header.
pub fn table(by: By, talkers: &[Talker]) -> Vec<String> {
    let mut rows = vec![header(by)];
    rows.extend(talkers.iter().map(|talker| row(by, talker)));
    let widths = widths(&rows);
    rows.iter().map(|row| line(row, &widths, by.parts().len())).collect()
}

fn header(by: By) -> Vec<String> {
    let keys = by.parts().into_iter().map(|part| part.title);
    keys.chain(["BIT/S", "PACKET/S", "FLOW/S", "SHARE"]).map(str::to_owned).collect()
}

fn row(by: By, talker: &Talker) -> Vec<String> {
    let parts = by.parts();
    let keys = parts.iter().zip(&talker.key).map(|(part, (value, label))| printable(&key(part.column, value, label)));
    let mut cells: Vec<String> = keys.collect();
    let share = if talker.total_bits > 0.0 { 100.0 * talker.bits / talker.total_bits } else { 0.0 };
    cells.extend([scaled(talker.bits), scaled(talker.packets), scaled(talker.flows), format!("{share:.1} %")]);
    cells
}

/// A key's value as people know it.
fn key(column: &str, value: &str, label: &str) -> String {
    match column {
        "src_addr" | "dst_addr" => address(value),
        "proto" => protocol(value),
        "src_as" | "dst_as" if value == "0" => "unknown".to_owned(),
        "src_as" | "dst_as" if label.is_empty() => format!("AS{value}"),
        "src_as" | "dst_as" => format!("AS{value} {label}"),
        "in_if_index" | "out_if_index" if !label.is_empty() => label.to_owned(),
        _ if value.is_empty() => "unknown".to_owned(),
        _ => value.to_owned(),
    }
}

/// Names come from devices: what would steer the terminal is not passed on to it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// ClickHouse shows every address as IPv6.
fn address(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |ip: std::net::Ipv6Addr| ip_of(ip.octets()).to_string())
}

/// Names of the protocols that networks carry (IANA "Protocol Numbers"); the number for others.
fn protocol(number: &str) -> String {
    let name = match number {
        "1" => "icmp",
        "2" => "igmp",
        "4" => "ipip",
        "6" => "tcp",
        "17" => "udp",
        "41" => "ipv6",
        "47" => "gre",
        "50" => "esp",
        "51" => "ah",
        "58" => "icmp6",
        "88" => "eigrp",
        "89" => "ospf",
        "103" => "pim",
        "112" => "vrrp",
        "132" => "sctp",
        other => other,
    };
    name.to_owned()
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

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
    }
    widths
}

/// Keys to the left, figures to the right of their column.
fn line(row: &[String], widths: &[usize], keys: usize) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        if at > 0 {
            line.push_str("  ");
        }
        line.push_str(&if at < keys { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talker(key: &[(&str, &str)], bits: f64) -> Talker {
        let key = key.iter().map(|&(value, label)| (value.to_owned(), label.to_owned())).collect();
        Talker { key, bits, packets: bits / 8000.0, flows: 0.5, total_bits: 4e6 }
    }

    #[test]
    fn columns_are_aligned_and_mapped_addresses_are_dotted() {
        let talkers = [
            talker(&[("::ffff:192.0.2.1", ""), ("2001:db8::1", "")], 3e6),
            talker(&[("::ffff:192.0.2.200", ""), ("::ffff:10.0.0.1", "")], 1e6),
        ];
        assert_eq!(
            table(By::Pair, &talkers),
            [
                "SOURCE       DESTINATION   BIT/S  PACKET/S  FLOW/S   SHARE",
                "192.0.2.1    2001:db8::1  3.00 M       375    0.50  75.0 %",
                "192.0.2.200  10.0.0.1     1.00 M       125    0.50  25.0 %",
            ]
        );
    }

    #[test]
    fn keys_are_shown_as_people_know_them() {
        for (column, value, label, shown) in [
            ("proto", "6", "", "tcp"),
            ("proto", "253", "", "253"),
            ("src_as", "64512", "Example", "AS64512 Example"),
            ("dst_as", "64512", "", "AS64512"),
            ("dst_as", "0", "", "unknown"),
            ("in_if_index", "7", "xe-0/0/0", "xe-0/0/0"),
            ("in_if_index", "7", "", "7"),
            ("src_country", "", "", "unknown"),
        ] {
            assert_eq!(key(column, value, label), shown);
        }
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let talkers = [talker(&[("192.0.2.1", ""), ("7", "eth0\x1b[2J\n")], 1e6)];
        let lines = table(By::InInterface, &talkers);
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
}
