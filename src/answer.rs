//! Asks ClickHouse questions about traffic: for `helios query`, once, and `helios top`, every few seconds.
//!
//! [`helios_query`] has the language: the question chooses its table and writes the statements, the answer is read and
//! shown. This is where it meets the connection of [`helios_sink`].

use std::time::Duration;

use clickhouse::Client;
use helios_common::clock::unix_secs;
use helios_query::answer::{Answer, AnswerError};
use helios_query::{Choice, Question, Retention, Table};
use helios_sink::{SinkConfig, client, explain};
use serde::Deserialize;

/// Asks ClickHouse. With `points` above 0, it asks for the course of the listed keys as well, in at most so many parts.
/// `table` overrules the choice. Every call connects anew: a rotated password and a moved server take effect.
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
    let other_form = |error: AnswerError| {
        format!("ClickHouse at {} answered in another form than that of the question: {error}", config.url)
    };
    let sums = lines(&client, config, &question.sums(&config.database, choice.table)).await?;
    let mut answer = Answer::read(question, choice, &sums).map_err(other_form)?;
    if points > 0 && !answer.rows.is_empty() {
        let points = question.points(answer.table, points);
        let course = question.course(&config.database, answer.table, points);
        let course = lines(&client, config, &course).await?;
        answer.read_course(&course, points).map_err(other_form)?;
    }
    Ok(answer)
}

async fn lines(client: &Client, config: &SinkConfig, sql: &str) -> Result<Vec<u8>, String> {
    let failed = |error| explain::question(config, &error);
    let bytes = client.query(sql).fetch_bytes("JSONEachRow").map_err(failed)?.collect().await.map_err(failed)?;
    Ok(bytes.to_vec())
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
    let begins = lines(client, config, &begins).await.ok();
    let begins: Option<Begins> = begins.and_then(|line| serde_json::from_slice(&line).ok());
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

    #[test]
    fn young_summaries_reach_as_far_as_their_rows() {
        let age = |hours, summaries| age_of_summaries(&Begins { hours, summaries }, 100_000);
        assert_eq!([age(7_200, 7_200), age(7_200, 10_800), age(10_800, 7_200)], [None; 3]);
        assert_eq!(age(7_200, 14_400), Some(Duration::from_secs(85_600)));
        assert_eq!([age(7_200, 0), age(0, 0)], [Some(Duration::ZERO); 2]);
    }
}
