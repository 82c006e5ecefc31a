//! What ClickHouse answers to a [`Question`](crate::Question), read from the lines of its format JSONEachRow.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::question::Question;
use crate::table::{Choice, Table};

/// An answer. Bytes and packets are estimates, scaled by the sampling intervals of the flows.
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
    /// The listed keys, those with most traffic first.
    pub rows: Vec<Row>,
}

/// One key and its traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Value and label of each part of the key.
    pub key: Vec<(String, String)>,
    /// The sums of this key.
    pub figures: Figures,
    /// The measure in equal parts of the time, oldest first; empty unless it was asked for.
    pub course: Vec<u64>,
}

/// The sums of a key, or of all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Octets, scaled by the sampling interval.
    pub bytes: u64,
    /// Packets, scaled by the sampling interval.
    pub packets: u64,
    /// Flow records, not scaled.
    pub flows: u64,
}

/// An answer that does not have the form of [`Question::sums`](crate::Question::sums) or
/// [`Question::course`](crate::Question::course).
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// A line has other fields.
    #[error(transparent)]
    Line(#[from] serde_json::Error),
    /// A field has another text where a number of 64 bits belongs.
    #[error("found {0} where a number belongs")]
    Number(String),
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
    /// Reads the answer to [`Question::sums`] of `question`. `sums` is in the format JSONEachRow; `choice` is the table that
    /// was asked.
    ///
    /// # Errors
    /// [`AnswerError`] for lines of another form.
    pub fn read(question: &Question, choice: Choice, sums: &[u8]) -> Result<Self, AnswerError> {
        let is_of_busiest = question.is_of_busiest(choice.table);
        Ok(Self { is_of_busiest, ..Self::of(choice, lines(sums)?)? })
    }

    /// Adds the answer to [`Question::course`](crate::Question::course) over `points` parts of the time, in the format
    /// JSONEachRow. Each row of this answer has a course of `points` values then.
    ///
    /// # Errors
    /// [`AnswerError`] for lines of another form.
    pub fn read_course(&mut self, course: &[u8], points: usize) -> Result<(), AnswerError> {
        self.add_course(lines(course)?, points)
    }

    fn of(choice: Choice, rows: Vec<SumsRow>) -> Result<Self, AnswerError> {
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
        let rows = rows.into_iter().map(row).collect::<Result<_, AnswerError>>()?;
        Ok(Self { table: choice.table, warning: choice.warning, time, is_of_busiest: false, total, keys, rows })
    }

    fn add_course(&mut self, course: Vec<CourseRow>, points: usize) -> Result<(), AnswerError> {
        for row in &mut self.rows {
            row.course = vec![0; points];
        }
        for CourseRow { key, at, value } in course {
            let same = |row: &&mut Row| row.key.iter().map(|(value, _)| value).eq(key.iter());
            let Some(row) = self.rows.iter_mut().find(same) else { continue };
            if let Some(point) = row.course.get_mut(at) {
                *point = number(&value)?;
            }
        }
        Ok(())
    }

    /// The number of keys that are not listed, and their sums; `None` when all are listed. A table of the busiest has the
    /// sums of the other keys and not their number, which is 0 then.
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

/// A row of the answer to [`Question::sums`](crate::Question::sums). Numbers of 64 bits come as text: JSON's are not exact beyond 2^53.
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

/// A row of the answer to [`Question::course`](crate::Question::course).
#[derive(Debug, Deserialize)]
struct CourseRow {
    key: Vec<String>,
    at: usize,
    value: String,
}

fn lines<T: DeserializeOwned>(answer: &[u8]) -> Result<Vec<T>, AnswerError> {
    let lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(serde_json::from_slice).collect::<Result<_, _>>()?)
}

fn figures(bytes: &str, packets: &str, flows: &str) -> Result<Figures, AnswerError> {
    Ok(Figures { bytes: number(bytes)?, packets: number(packets)?, flows: number(flows)? })
}

fn number(text: &str) -> Result<u64, AnswerError> {
    text.parse().map_err(|_| AnswerError::Number(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::filter::Filter;
    use crate::key::Key;
    use crate::question::{Measure, Range};

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
        let answer = Answer::of(choice, vec![sums("a", 1 << 60, (1 << 60) + 10), sums("b", 3, 0)]).unwrap();
        assert_eq!(answer.other(), Some((2, Figures { bytes: 7, packets: 3, flows: 5 })));
        assert_eq!(answer.seconds(), 60);
    }

    #[test]
    fn lines_are_read_and_those_of_another_form_are_refused() {
        let line = r#"{"key":[["64512","Example"]],"bytes":"18446744073709551615","packets":"2","flows":"1",
            "total_bytes":"18446744073709551615","total_packets":"2","total_flows":"1","keys":1,"since":60,"until":120}"#;
        let line = line.replace('\n', " ") + "\n";
        let choice = || Choice { table: table(), warning: None };
        let question = Question {
            by: Key::parse_list("src_as").unwrap(),
            filter: Filter::parse("any").unwrap(),
            range: Range::Last(Duration::from_secs(60)),
            measure: Measure::Bytes,
            top: 10,
        };
        let read = |text: &[u8]| Answer::read(&question, choice(), text);
        let answer = read(line.as_bytes()).unwrap();
        assert_eq!((answer.rows[0].figures.bytes, answer.rows[0].key[0].1.as_str()), (u64::MAX, "Example"));
        assert_eq!(read(b"").unwrap().rows, []);
        let refused = read(line.replace("\"2\"", "\"two\"").as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), "found two where a number belongs");
        assert!(matches!(read(b"[]"), Err(AnswerError::Line(_))));
    }

    #[test]
    fn a_course_goes_to_its_key() {
        let choice = Choice { table: table(), warning: None };
        let mut answer = Answer::of(choice, vec![sums("a", 10, 13), sums("b", 3, 0)]).unwrap();
        let point = |key: &str, at, value: &str| CourseRow { key: vec![key.to_owned()], at, value: value.to_owned() };
        answer.add_course(vec![point("b", 1, "3"), point("a", 0, "10"), point("gone", 0, "1")], 2).unwrap();
        assert_eq!((answer.rows[0].course.clone(), answer.rows[1].course.clone()), (vec![10, 0], vec![0, 3]));
    }
}
