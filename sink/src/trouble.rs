//! Trouble with ClickHouse that is not over.
//!
//! An error stands until the same thing works again: a page that shows an error of yesterday beside "ready" sends people
//! after what has passed. What was tried decides what has to work: an insert into the same table, the schema, a limit of
//! table sizes. A server that could not be reached, or could store nothing, is well again with any insert that it takes.

use std::collections::HashMap;

use helios_common::time::UnixMs;

use crate::backlog::Lane;
use crate::error::Class;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    Insert(Lane),
    Schema,
    /// Keeping tables within `clickhouse.max_table_bytes`.
    TableSizes,
}

/// An error that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The first error since all was well.
    pub since: UnixMs,
    /// The latest one, and when it came.
    pub at: UnixMs,
    /// Text of the latest error, with its causes.
    pub error: String,
}

/// A period of trouble that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub lasted_ms: i64,
    pub failures: u64,
    /// The log has an error of it.
    pub logged: bool,
}

/// All errors that stand, by server and by what was tried.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    open: HashMap<(String, Task), Open>,
    since: UnixMs,
    failures: u64,
    logged: bool,
}

#[derive(Debug)]
struct Open {
    class: Class,
    at: UnixMs,
    error: String,
}

impl Troubles {
    /// Notes a failed attempt.
    pub(crate) fn failed(&mut self, url: &str, task: Task, class: Class, error: &str, now: UnixMs) {
        if self.open.is_empty() {
            (self.since, self.failures, self.logged) = (now, 0, false);
        }
        self.failures += 1;
        self.open.insert((url.to_owned(), task), Open { class, at: now, error: error.to_owned() });
    }

    /// Notes that the log has an error of this period.
    pub(crate) fn logged(&mut self) {
        self.logged = true;
    }

    /// Notes that something worked. Tells how the trouble was if none stands any more.
    pub(crate) fn worked(&mut self, url: &str, task: Task, now: UnixMs) -> Option<Ended> {
        if self.open.is_empty() {
            return None;
        }
        let inserted = matches!(task, Task::Insert(_));
        self.open.retain(|(server, tried), open| {
            let of_server = matches!(open.class, Class::Transient | Class::Replica);
            let is_over = *tried == task || (inserted && matches!(tried, Task::Insert(_)) && of_server);
            server != url || !is_over
        });
        self.end(now)
    }

    /// Notes that the schema is in place, whichever server was asked for it.
    pub(crate) fn schema_in_place(&mut self, now: UnixMs) -> Option<Ended> {
        let stood = !self.open.is_empty();
        self.open.retain(|(_, tried), _| *tried != Task::Schema);
        if stood { self.end(now) } else { None }
    }

    fn end(&self, now: UnixMs) -> Option<Ended> {
        let over = self.open.is_empty();
        over.then_some(Ended { lasted_ms: now - self.since, failures: self.failures, logged: self.logged })
    }

    /// The error that came last of those that stand.
    pub(crate) fn latest(&self) -> Option<Trouble> {
        let latest = self.open.values().max_by_key(|open| open.at)?;
        Some(Trouble { since: self.since, at: latest.at, error: latest.error.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Table;
    use helios_common::side::SideTable;

    const FLOWS: Task = Task::Insert(Lane { table: Table::Flows, shard: 0 });
    const COUNTERS: Task = Task::Insert(Lane { table: Table::Side(SideTable::InterfaceCounters), shard: 0 });

    fn error(troubles: &Troubles) -> Option<String> {
        troubles.latest().map(|trouble| trouble.error)
    }

    #[test]
    fn an_outage_stands_from_its_first_error_until_the_server_takes_a_block() {
        let mut troubles = Troubles::default();
        assert_eq!((troubles.worked("a", FLOWS, 5), troubles.latest()), (None, None));
        troubles.failed("a", FLOWS, Class::Transient, "refused", 10);
        troubles.failed("a", COUNTERS, Class::Transient, "refused again", 20);
        troubles.logged();
        assert_eq!(troubles.latest(), Some(Trouble { since: 10, at: 20, error: "refused again".into() }));
        // Another server that works says nothing of this one.
        assert_eq!(troubles.worked("b", FLOWS, 30), None);
        let ended = troubles.worked("a", FLOWS, 70).expect("both are over");
        assert_eq!(ended, Ended { lasted_ms: 60, failures: 2, logged: true });
        assert_eq!(troubles.latest(), None);
        // The next one begins anew.
        troubles.failed("a", FLOWS, Class::Transient, "refused", 100);
        assert_eq!(troubles.worked("a", FLOWS, 101), Some(Ended { lasted_ms: 1, failures: 1, logged: false }));
    }

    #[test]
    fn what_is_wrong_with_one_table_stands_while_others_are_stored() {
        let mut troubles = Troubles::default();
        troubles.failed("a", COUNTERS, Class::Configuration, "unknown table", 10);
        troubles.failed("a", FLOWS, Class::Transient, "refused", 20);
        assert_eq!(troubles.worked("a", FLOWS, 30), None);
        assert_eq!(error(&troubles).as_deref(), Some("unknown table"));
        assert!(troubles.worked("a", COUNTERS, 40).is_some());
    }

    #[test]
    fn trouble_with_the_schema_is_over_when_it_is_in_place_anywhere() {
        let mut troubles = Troubles::default();
        troubles.failed("a", Task::Schema, Class::Transient, "refused", 10);
        troubles.failed("b", Task::TableSizes, Class::Transient, "slow", 20);
        assert_eq!((troubles.worked("a", FLOWS, 25), troubles.schema_in_place(30)), (None, None));
        assert_eq!(error(&troubles).as_deref(), Some("slow"));
        assert_eq!(troubles.worked("b", Task::TableSizes, 40).map(|ended| ended.lasted_ms), Some(30));
    }
}
