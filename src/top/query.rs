//! What is asked of ClickHouse.

use std::time::Duration;

use clap::ValueEnum;
use helios_common::columns::{Column, Rollup};
use serde::Deserialize;

/// By what traffic is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Source address
    Src,
    /// Destination address
    Dst,
    /// Source and destination address
    Pair,
    /// IP protocol
    Proto,
    /// IP protocol and destination port
    Port,
    /// Source AS
    SrcAs,
    /// Destination AS
    #[value(alias = "as")]
    DstAs,
    /// Country of the source
    SrcCountry,
    /// Country of the destination
    #[value(alias = "country")]
    DstCountry,
    /// Exporter
    Exporter,
    /// Exporter and the interface that traffic came in by
    #[value(alias = "interface")]
    InInterface,
    /// Exporter and the interface that traffic went out by
    OutInterface,
}

/// How one part of a key is read and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub title: &'static str,
    /// Columns whose values tell keys apart.
    pub column: &'static str,
    /// A column of `flows` that says what the value stands for; it does not tell keys apart.
    pub label: Option<&'static str>,
}

fn part(title: &'static str, column: &'static str) -> Part {
    Part { title, column, label: None }
}

fn labelled(title: &'static str, column: &'static str, label: &'static str) -> Part {
    Part { title, column, label: Some(label) }
}

impl By {
    pub fn parts(self) -> Vec<Part> {
        let (src, dst) = (part("SOURCE", "src_addr"), part("DESTINATION", "dst_addr"));
        let exporter = part("EXPORTER", "exporter_name");
        match self {
            Self::Src => vec![src],
            Self::Dst => vec![dst],
            Self::Pair => vec![src, dst],
            Self::Proto => vec![part("PROTOCOL", "proto")],
            Self::Port => vec![part("PROTOCOL", "proto"), part("PORT", "dst_port")],
            Self::SrcAs => vec![labelled("SOURCE AS", "src_as", "src_as_name")],
            Self::DstAs => vec![labelled("DESTINATION AS", "dst_as", "dst_as_name")],
            Self::SrcCountry => vec![part("SOURCE COUNTRY", "src_country")],
            Self::DstCountry => vec![part("DESTINATION COUNTRY", "dst_country")],
            Self::Exporter => vec![exporter],
            Self::InInterface => vec![exporter, labelled("IN", "in_if_index", "in_if_name")],
            Self::OutInterface => vec![exporter, labelled("OUT", "out_if_index", "out_if_name")],
        }
    }

    /// The next one, for a key that goes round.
    pub fn next(self) -> Self {
        let all = Self::value_variants();
        let at = all.iter().position(|by| *by == self).unwrap_or(0);
        all.get(at + 1).copied().unwrap_or(Self::Src)
    }

    /// The name that the command line has for it.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Windows longer than this are read from the rollup by minute where it has the columns: raw flows of an hour are
/// millions of rows.
const RAW_WINDOW_MAX: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    pub by: By,
    pub window: Duration,
    pub limit: usize,
}

/// One line of the answer; rates are per second over the window.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Talker {
    /// Value and label of each part of the key.
    pub key: Vec<(String, String)>,
    pub bits: f64,
    pub packets: f64,
    pub flows: f64,
    /// Bits per second of everything, the keys below the limit included.
    pub total_bits: f64,
}

impl Question {
    /// The statement; it answers with objects of [`Talker`] in the format JSONEachRow.
    pub fn sql(&self, database: &str) -> String {
        let parts = self.by.parts();
        let rolled_up = self.window > RAW_WINDOW_MAX && parts.iter().all(|part| is_dimension(part.column));
        let (table, scale, flows) = match rolled_up {
            true => ("flows_1m", "", "sum(f.flows)"),
            false => ("flows", " * greatest(f.sampling_interval, 1)", "count()"),
        };
        let keys: Vec<String> = parts
            .iter()
            .map(|part| {
                let label = part.label.filter(|_| !rolled_up).map_or("''".into(), |label| format!("any(f.{label})"));
                format!("(toString(f.{}), {label})", part.column)
            })
            .collect();
        let groups: Vec<String> = parts.iter().map(|part| format!("f.{}", part.column)).collect();
        let seconds = self.window.as_secs().max(1);
        format!(
            "SELECT *, sum(bits) OVER () AS total_bits FROM (\n\
             SELECT [{keys}] AS key, sum(f.bytes{scale}) * 8 / {seconds} AS bits, \
             sum(f.packets{scale}) / {seconds} AS packets, {flows} / {seconds} AS flows\n\
             FROM {database}.{table} AS f\n\
             WHERE f.received_at >= now() - toIntervalSecond({seconds})\n\
             GROUP BY {groups}\n)\nORDER BY bits DESC, key\nLIMIT {limit}",
            keys = keys.join(", "),
            groups = groups.join(", "),
            limit = self.limit,
        )
    }
}

fn is_dimension(column: &str) -> bool {
    Column::by_name(column).is_some_and(|column| column.spec().rollup == Rollup::Dimension)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(by: By, seconds: u64) -> String {
        Question { by, window: Duration::from_secs(seconds), limit: 10 }.sql("helios")
    }

    #[test]
    fn every_column_of_every_key_exists() {
        for by in By::value_variants() {
            for part in by.parts() {
                assert!(Column::by_name(part.column).is_some(), "{}", part.column);
                assert!(part.label.is_none_or(|label| Column::by_name(label).is_some()), "{:?}", part.label);
            }
        }
    }

    #[test]
    fn raw_flows_are_scaled_by_their_sampling() {
        let sql = sql(By::Pair, 60);
        assert!(sql.contains("FROM helios.flows AS f"), "{sql}");
        assert!(sql.contains("sum(f.bytes * greatest(f.sampling_interval, 1)) * 8 / 60 AS bits"), "{sql}");
        assert!(sql.contains("GROUP BY f.src_addr, f.dst_addr"), "{sql}");
    }

    #[test]
    fn a_long_window_reads_the_rollup_if_it_has_the_column() {
        assert!(sql(By::Proto, 3600).contains("helios.flows_1m AS f"));
        assert!(sql(By::Proto, 3600).contains("sum(f.bytes) * 8"));
        assert!(sql(By::Src, 3600).contains("helios.flows AS f"));
        assert!(sql(By::Proto, 300).contains("helios.flows AS f"));
    }

    #[test]
    fn going_round_comes_back() {
        let mut by = By::Src;
        for _ in By::value_variants() {
            by = by.next();
        }
        assert_eq!(by, By::Src);
    }
}
