//! What ClickHouse answers to a question about traffic: for `helios query`, once, and `helios top`, every few seconds.
//!
//! The question chooses its table ([`helios_query::Question`]); [`ask`] sends its statements, [`render`] makes text of the
//! answer.

use std::time::Duration;

use clickhouse::Client;
use helios_common::clock::unix_secs;
use helios_query::{Choice, Question, Retention, Table};
use helios_sink::{SinkConfig, client};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::explain;

pub mod render;

/// An answer; all figures are estimates, scaled by the sampling intervals of the flows.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The table that answered.
    pub table: &'static Table,
    /// Why the answer is not of the whole time, where it is not.
    pub warning: Option<String>,
    /// The time that was summed, in Unix seconds; `None` when there was nothing to sum.
    pub time: Option<(u64, u64)>,
    /// Whether the table has the busiest keys alone: their figures are lower bounds, the total is exact.
    pub is_of_busiest: bool,
    /// Of all keys, those that are not listed included.
    pub total: Figures,
    /// How many keys there are.
    pub keys: u64,
    pub rows: Vec<Row>,
}

/// One key and its traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Value and label of each part of the key.
    pub key: Vec<(String, String)>,
    pub figures: Figures,
    /// The measure in equal parts of the time, oldest first; empty unless it was asked for.
    pub course: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    pub bytes: u64,
    pub packets: u64,
    pub flows: u64,
}

impl Figures {
    /// What is left of these after `listed`.
    fn without(self, listed: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(listed.bytes),
            packets: self.packets.saturating_sub(listed.packets),
            flows: self.flows.saturating_sub(listed.flows),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            packets: self.packets.saturating_add(other.packets),
            flows: self.flows.saturating_add(other.flows),
        }
    }
}

impl Answer {
    /// The keys that are not listed, together, and how many are known of; `None` when all are listed. A table of the busiest
    /// knows the traffic of others, and not how many they are.
    pub fn other(&self) -> Option<(u64, Figures)> {
        let listed = self.rows.iter().fold(Figures::default(), |sum, row| sum.plus(row.figures));
        let keys = self.keys.saturating_sub(self.rows.len() as u64);
        let rest = self.total.without(listed);
        let has_more = self.is_of_busiest && rest != Figures::default();
        (keys > 0 || has_more).then_some((keys, rest))
    }

    /// Length of the time that was summed, in seconds, at least one.
    pub fn seconds(&self) -> u64 {
        self.time.map_or(1, |(since, until)| until.saturating_sub(since)).max(1)
    }
}

/// A row of the answer to [`Question::sums`]. Numbers of 64 bits come as text: JSON's are not exact beyond 2^53.
#[derive(Debug, Deserialize)]
struct SumsRow {
    key: Vec<(String, String)>,
    bytes: String,
    packets: String,
    flows: String,
    total_bytes: String,
    total_packets: String,
    total_flows: String,
    keys: u64,
    since: u64,
    until: u64,
}

/// A row of the answer to [`Question::course`].
#[derive(Debug, Deserialize)]
struct CourseRow {
    key: Vec<String>,
    at: usize,
    value: String,
}

/// Asks ClickHouse. `points` above 0 asks for the course of the listed keys as well, in that many parts at the most;
/// `table` overrules the choice. The connection is made anew, so that a rotated password and a moved server are taken up.
///
/// # Errors
/// A line that says what to do when ClickHouse does not answer or refuses.
pub async fn ask(
    config: &SinkConfig,
    question: &Question,
    table: Option<&'static Table>,
    points: usize,
) -> Result<Answer, String> {
    let client = client::connect(config).map_err(|error| error.to_string())?;
    let choice = match table {
        Some(table) => Choice { table, warning: None },
        None => choose(&client, config, question).await,
    };
    let sums: Vec<SumsRow> = rows(&client, config, &question.sums(&config.database, choice.table)).await?;
    let mut answer = answer(choice, sums)?;
    answer.is_of_busiest = question.is_of_busiest(answer.table);
    if points > 0 && !answer.rows.is_empty() {
        let points = question.points(answer.table, points);
        let course = question.course(&config.database, answer.table, points);
        let course: Vec<CourseRow> = rows(&client, config, &course).await?;
        add_course(&mut answer, course, points)?;
    }
    Ok(answer)
}

async fn rows<T: DeserializeOwned>(client: &Client, config: &SinkConfig, sql: &str) -> Result<Vec<T>, String> {
    let failed = |error| explain::question(config, &error);
    let bytes = client.query(sql).fetch_bytes("JSONEachRow").map_err(failed)?.collect().await.map_err(failed)?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read = |line| {
        serde_json::from_slice(line)
            .map_err(|error| format!("ClickHouse at {} answered what was not asked for: {error}", config.url))
    };
    lines.map(read).collect()
}

fn answer(choice: Choice, rows: Vec<SumsRow>) -> Result<Answer, String> {
    let first = rows.first();
    let time = first.map(|row| (row.since, row.until));
    let keys = first.map_or(0, |row| row.keys);
    let total = match first {
        Some(row) => figures(&row.total_bytes, &row.total_packets, &row.total_flows)?,
        None => Figures::default(),
    };
    let row = |row: SumsRow| {
        let figures = figures(&row.bytes, &row.packets, &row.flows)?;
        Ok(Row { key: row.key, figures, course: Vec::new() })
    };
    let rows = rows.into_iter().map(row).collect::<Result<_, String>>()?;
    Ok(Answer { table: choice.table, warning: choice.warning, time, is_of_busiest: false, total, keys, rows })
}

fn add_course(answer: &mut Answer, course: Vec<CourseRow>, points: usize) -> Result<(), String> {
    for row in &mut answer.rows {
        row.course = vec![0; points];
    }
    for CourseRow { key, at, value } in course {
        let same = |row: &&mut Row| row.key.iter().map(|(value, _)| value).eq(key.iter());
        let Some(row) = answer.rows.iter_mut().find(same) else { continue };
        if let Some(point) = row.course.get_mut(at) {
            *point = number(&value)?;
        }
    }
    Ok(())
}

fn figures(bytes: &str, packets: &str, flows: &str) -> Result<Figures, String> {
    Ok(Figures { bytes: number(bytes)?, packets: number(packets)?, flows: number(flows)? })
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("ClickHouse answered {text} where a number belongs"))
}

/// Begins of the tables by hour, in Unix seconds; 0 for one without rows.
#[derive(Debug, Deserialize)]
struct Begins {
    hours: u64,
    summaries: u64,
}

/// The table that answers. The summaries are younger than the other tables where an earlier version made these.
async fn choose(client: &Client, config: &SinkConfig, question: &Question) -> Choice {
    let (now, mut reach) = (unix_secs(), retention(config));
    let choice = question.choose(now, &reach);
    if choice.table.name != SUMMARIES {
        return choice;
    }
    let begin = |table| format!("toUnixTimestamp((SELECT min(received_at) FROM {}.{table}))", config.database);
    let begins = format!("SELECT {} AS hours, {} AS summaries", begin("flows_1h"), begin(SUMMARIES));
    // Without an answer the other tables are asked, and tell what is wrong.
    let begins: Option<Begins> = rows(client, config, &begins).await.ok().and_then(|rows| rows.into_iter().next());
    let age = begins.and_then(|begins| age_of_summaries(&begins, now));
    reach.0.extend(age.map(|age| (SUMMARIES, age)));
    question.choose(now, &reach)
}

const SUMMARIES: &str = "summary_1h";

/// How far the summaries reach back, where that is less far than `flows_1h` does; an hour makes no difference.
fn age_of_summaries(begins: &Begins, now: u64) -> Option<Duration> {
    let reaches_as_far = begins.summaries > 0 && begins.summaries <= begins.hours + 3600;
    let age = if begins.summaries == 0 { 0 } else { now.saturating_sub(begins.summaries) };
    (!reaches_as_far).then(|| Duration::from_secs(age))
}

fn retention(config: &SinkConfig) -> Retention {
    let days = &config.retention_days;
    let tables = [
        ("flows", days.flows),
        ("flows_1m", days.flows_1m),
        ("flows_1h", days.flows_1h),
        (SUMMARIES, days.summary_1h),
        ("talkers_1m", days.talkers_1m),
        ("talkers_1h", days.talkers_1h),
    ];
    let limited = tables.into_iter().filter(|(_, days)| *days > 0);
    Retention(limited.map(|(table, days)| (table, Duration::from_secs(u64::from(days) * 86_400))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(key: &str, bytes: u64, total: u64) -> SumsRow {
        SumsRow {
            key: vec![(key.to_owned(), String::new())],
            bytes: bytes.to_string(),
            packets: "1".to_owned(),
            flows: "1".to_owned(),
            total_bytes: total.to_string(),
            total_packets: "5".to_owned(),
            total_flows: "7".to_owned(),
            keys: 4,
            since: 60,
            until: 120,
        }
    }

    fn table() -> &'static Table {
        Table::by_name("flows").unwrap()
    }

    #[test]
    fn what_is_not_listed_is_the_rest_of_the_total() {
        let choice = Choice { table: table(), warning: None };
        let answer = answer(choice, vec![sums("a", 1 << 60, (1 << 60) + 10), sums("b", 3, 0)]).unwrap();
        assert_eq!(answer.other(), Some((2, Figures { bytes: 7, packets: 3, flows: 5 })));
        assert_eq!(answer.seconds(), 60);
    }

    #[test]
    fn young_summaries_reach_as_far_as_their_rows() {
        let age = |hours, summaries| age_of_summaries(&Begins { hours, summaries }, 100_000);
        assert_eq!([age(7_200, 7_200), age(7_200, 10_800), age(10_800, 7_200)], [None; 3]);
        assert_eq!(age(7_200, 14_400), Some(Duration::from_secs(85_600)));
        assert_eq!([age(7_200, 0), age(0, 0)], [Some(Duration::ZERO); 2]);
    }

    #[test]
    fn a_course_goes_to_its_key() {
        let choice = Choice { table: table(), warning: None };
        let mut answer = answer(choice, vec![sums("a", 10, 13), sums("b", 3, 0)]).unwrap();
        let point = |key: &str, at, value: &str| CourseRow { key: vec![key.to_owned()], at, value: value.to_owned() };
        add_course(&mut answer, vec![point("b", 1, "3"), point("a", 0, "10"), point("gone", 0, "1")], 2).unwrap();
        assert_eq!((answer.rows[0].course.clone(), answer.rows[1].course.clone()), (vec![10, 0], vec![0, 3]));
    }
}
