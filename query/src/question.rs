//! A question: who had most of the traffic in a time. It becomes two statements, the sums and their course.

use std::time::Duration;

use helios_common::columns::{Column, EXPORTER_NAME};
use helios_common::summary::{IN_EVERY_SUMMARY, Summary};

use crate::busiest::Side;
use crate::filter::Filter;
use crate::key::Key;
use crate::sql::qualified;
use crate::table::{Choice, Holds, Retention, Table, choose};

/// The time that a question is about, by the clock of ClickHouse's server or in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Up to now.
    Last(Duration),
    /// From one moment to another, in Unix seconds.
    Between {
        /// The first second that is in it.
        from: u64,
        /// The first second behind it.
        to: u64,
    },
}

impl Range {
    fn length(self) -> Duration {
        match self {
            Self::Last(length) => length,
            Self::Between { from, to } => Duration::from_secs(to.saturating_sub(from)),
        }
    }

    /// How long ago the range begins at `now`, in Unix seconds.
    fn age(self, now: u64) -> Duration {
        match self {
            Self::Last(length) => length,
            Self::Between { from, .. } => Duration::from_secs(now.saturating_sub(from)),
        }
    }
}

/// By what the busiest are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Octets, scaled by the sampling interval.
    Bytes,
    /// Packets, scaled by the sampling interval.
    Packets,
    /// Flow records, not scaled.
    Flows,
}

impl Measure {
    /// The column of the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Flows => "flows",
        }
    }
}

/// A question for the largest sums of traffic within a range of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The parts of the key to sum by.
    pub by: Vec<Key>,
    /// The flows that count.
    pub filter: Filter,
    /// The time that counts.
    pub range: Range,
    /// The sum that orders the answer.
    pub measure: Measure,
    /// Rows of the answer at the most.
    pub top: usize,
}

/// Rows of a table whose column `side` says what they are about.
struct Part {
    label: &'static str,
    /// The side that has all traffic, where this one has its busiest part.
    whole: Option<&'static str>,
}

/// NAT and firewall events without octets and packets are no traffic. The rollups are made without them, so a question
/// to the flows leaves them out as well: the same figures, whichever table answers.
const TRAFFIC: &str = "NOT (f.bytes = 0 AND f.packets = 0 AND (f.nat_event != 0 OR f.firewall_event != 0))";

impl Question {
    /// The first column that the question needs and `table` does not have; `None` if the table can answer.
    pub fn lacks(&self, table: &Table) -> Option<Column> {
        if self.part(table).is_some() {
            return None;
        }
        if table.holds == Holds::Summaries {
            return self.lacks_of_summaries();
        }
        let mut columns = self.columns().into_iter();
        // Exporters alone are what the exact sums are for.
        let busiest_of_nothing = (table.holds == Holds::Busiest).then(|| EXPORTER_NAME.column());
        columns.find(|column| !table.has(*column)).or(busiest_of_nothing)
    }

    /// The table that answers. `now` is in Unix seconds; it decides what a table still holds.
    pub fn choose(&self, now: u64, retention: &Retention) -> Choice {
        choose(|table| self.lacks(table).is_none(), self.range.length(), self.range.age(now), retention)
    }

    /// What the rows are about that answer, in a table of the busiest.
    fn side(&self, table: &Table) -> Option<Side> {
        if table.holds == Holds::Busiest { Side::of(&self.by, &self.filter) } else { None }
    }

    /// The columns of keys and filter.
    fn columns(&self) -> Vec<Column> {
        self.by.iter().flat_map(|key| key.columns()).chain(self.filter.columns().iter()).collect()
    }

    /// The summary that answers. Of a part of the traffic the rest is known for a filter that every summary understands.
    fn summary(&self) -> Option<Summary> {
        let summary = Summary::of(self.columns())?;
        let filtered = self.filter.columns().iter().all(|column| IN_EVERY_SUMMARY.contains(&column));
        (summary.is_whole() || filtered).then_some(summary)
    }

    /// The first column that has no summary together with those before it, or by which a part of the traffic cannot be filtered.
    fn lacks_of_summaries(&self) -> Option<Column> {
        let columns = self.columns();
        let lacking = (1..=columns.len()).find(|&n| Summary::of(columns[..n].iter().copied()).is_none());
        let of_filter = || self.filter.columns().iter().find(|column| !IN_EVERY_SUMMARY.contains(column));
        lacking.map(|n| columns[n - 1]).or_else(of_filter)
    }

    /// The rows that answer, in a table whose rows are about several things.
    fn part(&self, table: &Table) -> Option<Part> {
        match table.holds {
            Holds::Records | Holds::Sums => None,
            Holds::Busiest => self.side(table).map(|side| Part { label: side.label(), whole: Some("total") }),
            Holds::Summaries => self.summary().map(|summary| Part {
                label: summary.label(),
                whole: (!summary.is_whole()).then_some(Summary::Interface.label()),
            }),
        }
    }

    /// Whether the rows of `table` that answer are the busiest part of the traffic, of which the rest is known as a sum alone.
    pub fn is_of_busiest(&self, table: &Table) -> bool {
        self.part(table).is_some_and(|part| part.whole.is_some())
    }

    /// The statement for the sums. Each row of the answer has
    /// - `key` Array(Tuple(String, String)): value and label of each part of the key,
    /// - `bytes`, `packets`, `flows`: UInt64 as text, scaled by the sampling intervals,
    /// - `total_bytes`, `total_packets`, `total_flows`: of all keys, those beyond `top` included; `keys`: how many there are,
    /// - `since`, `until`: Unix seconds, rounded to the buckets of the table: the time that was summed.
    pub fn sums(&self, database: &str, table: &Table) -> String {
        let keys: Vec<String> = self.by.iter().map(|key| self.key_with_label(*key, table)).collect();
        let whole = self.part(table).and_then(|part| part.whole);
        let total = |(at, name): (usize, &str)| {
            let listed = format!("sum(sums.{name}) OVER ()");
            // Rows of before an upgrade have no totals.
            let all = if whole.is_some() { format!("greatest(whole.{at}, {listed})") } else { listed };
            format!("toString({all}) AS total_{name}")
        };
        format!(
            "WITH {time}{whole}\nSELECT key, toString(sums.bytes) AS bytes, toString(sums.packets) AS packets, \
             toString(sums.flows) AS flows, {totals}, count() OVER () AS keys, \
             toUnixTimestamp(since_time) AS since, toUnixTimestamp(until_time) AS until\nFROM (\n\
             SELECT [{keys}] AS key, {figures}\n{from}\nGROUP BY {groups}\n) AS sums\n\
             ORDER BY sums.{measure} DESC, key\nLIMIT {top}",
            time = self.time(table),
            whole = whole.map_or(String::new(), |side| self.whole(database, table, side)),
            totals = [(1, "bytes"), (2, "packets"), (3, "flows")].map(total).join(", "),
            keys = keys.join(", "),
            figures = figures(table),
            from = self.from(database, table),
            groups = self.groups(table),
            measure = self.measure.name(),
            top = self.top,
        )
    }

    /// The statement for the course of the busiest keys over `points` parts of the time. Each row of the answer has `key`
    /// Array(String), `at` from 0 to `points` - 1, and `value` UInt64 as text, of [`Question::measure`].
    pub fn course(&self, database: &str, table: &Table, points: usize) -> String {
        let values: Vec<String> = self.by.iter().map(|key| format!("toString({})", self.key(*key, table))).collect();
        let sum = figure(self.measure.name(), table);
        let (from, groups, points) = (self.from(database, table), self.groups(table), points.max(1));
        format!(
            "WITH {time}\nSELECT [{values}] AS key, \
             least(intDiv((toUnixTimestamp(f.received_at) - toUnixTimestamp(since_time)) * {points}, \
             greatest(dateDiff('second', since_time, until_time), 1)), {last}) AS at, toString({sum}) AS value\n{from}\n\
             AND ({groups}) IN (SELECT {groups} {from} GROUP BY {groups} ORDER BY {sum} DESC, [{values}] LIMIT {top})\n\
             GROUP BY {groups}, at",
            time = self.time(table),
            values = values.join(", "),
            last = points - 1,
            top = self.top,
        )
    }

    /// Parts of the time that can be told apart in `table`, `most` at the most.
    pub fn points(&self, table: &Table, most: usize) -> usize {
        let bucket = table.bucket.as_secs().max(1);
        usize::try_from(self.range.length().as_secs() / bucket).unwrap_or(most).clamp(1, most.max(1))
    }

    /// Begin and end, rounded outwards to the table's buckets; no end is later than now, so that rates are right.
    fn time(&self, table: &Table) -> String {
        let bucket = table.bucket.as_secs().max(1);
        match self.range {
            Range::Last(length) => format!(
                "now() AS until_time, toDateTime(intDiv(toUnixTimestamp(now() - toIntervalSecond({})), {bucket}) * {bucket}) \
                 AS since_time",
                length.as_secs().max(1)
            ),
            Range::Between { from, to } => format!(
                "toDateTime({}) AS since_time, least(toDateTime({}), now()) AS until_time",
                from / bucket * bucket,
                to.div_ceil(bucket) * bucket
            ),
        }
    }

    fn from(&self, database: &str, table: &Table) -> String {
        let mut conditions = vec!["f.received_at >= since_time AND f.received_at < until_time".to_owned()];
        if table.is_raw() {
            conditions.push(TRAFFIC.to_owned());
        }
        if let Some(part) = self.part(table) {
            conditions.insert(0, format!("f.side = '{}'", part.label));
        }
        if !self.filter.is_any() {
            conditions.push(self.filter.sql("f"));
        }
        format!("FROM {database}.{} AS f\nWHERE {}", table.name, conditions.join("\nAND "))
    }

    /// The sums over all traffic, also of what a table of the busiest does not list.
    fn whole(&self, database: &str, table: &Table, side: &str) -> String {
        let filter = if self.filter.is_any() { String::new() } else { format!(" AND {}", self.filter.sql("f")) };
        format!(
            ", (SELECT (sum(f.bytes), sum(f.packets), sum(f.flows)) FROM {database}.{} AS f \
             WHERE f.side = '{side}' AND f.received_at >= since_time AND f.received_at < until_time{filter}) AS whole",
            table.name
        )
    }

    /// The value of a key in SQL.
    fn key(&self, key: Key, table: &Table) -> String {
        self.side(table).map_or_else(|| key.sql("f"), |side| format!("f.{}", side.column_of(key)))
    }

    fn groups(&self, table: &Table) -> String {
        self.by.iter().map(|key| self.key(*key, table)).collect::<Vec<_>>().join(", ")
    }

    /// Value and label as text; a rollup has no labels.
    fn key_with_label(&self, key: Key, table: &Table) -> String {
        let label = key.label().filter(|column| table.has(*column));
        let label = label.map_or("''".to_owned(), |column| format!("toString(any({}))", qualified("f", column)));
        format!("(toString({}), {label})", self.key(key, table))
    }
}

fn figures(table: &Table) -> String {
    ["bytes", "packets", "flows"].map(|name| format!("{} AS {name}", figure(name, table))).join(", ")
}

/// A sum as an estimate: rollups hold estimates, flows what was reported.
fn figure(name: &str, table: &Table) -> String {
    match (name, table.is_raw()) {
        ("flows", true) => "count()".to_owned(),
        (name, true) => format!("sum(f.{name} * greatest(f.sampling_interval, 1))"),
        (name, false) => format!("sum(f.{name})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(by: &str, filter: &str, range: Range) -> Question {
        let (by, filter) = (Key::parse_list(by).unwrap(), Filter::parse(filter).unwrap());
        Question { by, filter, range, measure: Measure::Bytes, top: 10 }
    }

    fn table(name: &str) -> &'static Table {
        Table::by_name(name).unwrap()
    }

    #[test]
    fn a_filter_decides_with_the_keys_which_table_answers() {
        let day = Range::Last(Duration::from_secs(86_400));
        let chosen = |by, filter| question(by, filter, day).choose(0, &Retention::default()).table.name;
        assert_eq!(chosen("src_as", ""), "summary_1h");
        assert_eq!(chosen("src_as,dst_as", "direction ingress"), "summary_1h");
        assert_eq!(chosen("src_country,proto", "proto tcp"), "summary_1h");
        assert_eq!(chosen("exporter,in_if_name", "exporter fra-*"), "summary_1h");
        // Columns of two summaries; a part of the traffic whose rest is not known.
        assert_eq!(chosen("src_as,proto", ""), "flows_1h");
        assert_eq!(chosen("src_as", "src as 64500"), "flows_1h");
        assert_eq!(chosen("src_as", "proto tcp and dst country DE"), "flows_1h");
        assert_eq!(chosen("src_as", "dport 443"), "flows");
        assert_eq!(chosen("src_as", "bytes > 1M"), "flows");
        assert_eq!(chosen("dport", ""), "flows");
        assert_eq!(chosen("port", ""), "talkers_1h");
        assert_eq!(chosen("src,exporter", "exporter fra-*"), "talkers_1h");
        assert_eq!(chosen("exporter", ""), "summary_1h");
    }

    #[test]
    fn flows_are_scaled_and_rollups_are_not() {
        let question = question("src_as", "", Range::Last(Duration::from_secs(86_400)));
        let raw = question.sums("helios", table("flows"));
        assert!(raw.contains("sum(f.bytes * greatest(f.sampling_interval, 1)) AS bytes"), "{raw}");
        assert!(raw.contains("toString(any(f.src_as_name))") && raw.contains("count() AS flows"), "{raw}");
        let hour = question.sums("helios", table("flows_1h"));
        assert!(hour.contains("sum(f.bytes) AS bytes") && hour.contains("sum(f.flows) AS flows"), "{hour}");
        assert!(!hour.contains("src_as_name") && !hour.contains("nat_event"), "{hour}");
    }

    #[test]
    fn the_busiest_are_a_part_of_the_exporters_totals() {
        let question = question("pair", "exporter a", Range::Last(Duration::from_secs(86_400)));
        let sql = question.sums("helios", table("talkers_1h"));
        assert!(sql.contains("[(toString(f.host), ''), (toString(f.peer), '')] AS key"), "{sql}");
        assert!(sql.contains("f.exporter_name = 'a'"), "{sql}");
        assert!(
            sql.contains("f.side = 'total'") && sql.contains("greatest(whole.1, sum(sums.bytes) OVER ())"),
            "{sql}"
        );
    }

    #[test]
    fn a_summary_is_all_traffic_or_a_part_of_it() {
        let day = Range::Last(Duration::from_secs(86_400));
        let summary = table("summary_1h");
        let sites = question("site_pair", "proto udp", day);
        let sql = sites.sums("helios", summary);
        assert!(sql.contains("WHERE f.side = 'place'\nAND f.received_at >= since_time"), "{sql}");
        assert!(!sql.contains("AS whole") && !sites.is_of_busiest(summary), "{sql}");
        let pairs = question("as_pair", "direction egress", day);
        let sql = pairs.sums("helios", summary);
        assert!(
            sql.contains("WHERE f.side = 'as'") && sql.contains("greatest(whole.1, sum(sums.bytes) OVER ())"),
            "{sql}"
        );
        assert!(
            sql.contains("f.side = 'interface' AND") && sql.contains("f.flow_direction = 'egress') AS whole"),
            "{sql}"
        );
        assert!(pairs.is_of_busiest(summary));
        let lacks = |by, filter| question(by, filter, day).lacks(summary).map(|column| column.spec().name);
        assert_eq!(lacks("as_pair,proto", ""), Some("proto"));
        assert_eq!(lacks("as", "dst as 64500"), Some("dst_as"));
        assert_eq!(lacks("src", ""), Some("src_addr"));
        assert_eq!(lacks("as", "in_if_boundary external"), None);
    }

    #[test]
    fn ends_are_rounded_outwards_to_buckets() {
        let question = question("src", "", Range::Between { from: 3_700, to: 7_300 });
        let sql = question.sums("helios", table("flows_1h"));
        assert!(sql.contains("toDateTime(3600) AS since_time, least(toDateTime(10800), now())"), "{sql}");
        let sql = question.sums("helios", table("flows"));
        assert!(sql.contains("toDateTime(3700) AS since_time, least(toDateTime(7300), now())"), "{sql}");
    }

    #[test]
    fn a_course_has_no_more_points_than_buckets() {
        let question = question("src_as", "", Range::Last(Duration::from_secs(6 * 3600)));
        assert_eq!(question.points(table("flows_1h"), 24), 6);
        assert_eq!(question.points(table("flows_1m"), 24), 24);
        assert_eq!(question.points(table("flows"), 24), 24);
    }
}
