//! Which table answers a question: the coarsest that has what is asked, is fine enough for the range and reaches back.

use std::time::Duration;

use helios_common::columns::{Column, Rollup};

/// A table of flows or of their sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table {
    /// Its name in ClickHouse.
    pub name: &'static str,
    /// Length of the time that a row stands for; zero for the flows themselves.
    pub bucket: Duration,
    /// What its rows are.
    pub holds: Holds,
}

/// What the rows of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Flow records, with every column.
    Records,
    /// Exact sums by the columns that [`Rollup::Dimension`] marks.
    Sums,
    /// Sums by a few of these columns together: see [`Summary`](helios_common::summary::Summary).
    Summaries,
    /// The busiest hosts, pairs of hosts and services of every exporter, and its total: what is listed is a lower bound.
    Busiest,
}

/// From coarse to fine.
pub const TABLES: &[Table] = &[
    Table { name: "summary_1h", bucket: Duration::from_secs(3600), holds: Holds::Summaries },
    Table { name: "flows_1h", bucket: Duration::from_secs(3600), holds: Holds::Sums },
    Table { name: "talkers_1h", bucket: Duration::from_secs(3600), holds: Holds::Busiest },
    Table { name: "flows_1m", bucket: Duration::from_secs(60), holds: Holds::Sums },
    Table { name: "talkers_1m", bucket: Duration::from_secs(60), holds: Holds::Busiest },
    Table { name: "flows", bucket: Duration::ZERO, holds: Holds::Records },
];

/// Buckets that a range needs at the least: its ends are rounded to buckets, by less than a fifteenth each then.
const MIN_BUCKETS: u32 = 15;

impl Table {
    /// The table of this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// Whether a row is a flow record, with every column and with figures as the exporter reported them.
    pub fn is_raw(&self) -> bool {
        self.holds == Holds::Records
    }

    /// Whether a question can tell values of the column apart by the column's own name.
    pub fn has(&self, column: Column) -> bool {
        match self.holds {
            Holds::Records => true,
            Holds::Sums | Holds::Summaries => column.spec().rollup == Rollup::Dimension,
            Holds::Busiest => column.spec().name == "exporter_name",
        }
    }

    fn is_fine_enough(&self, length: Duration) -> bool {
        self.bucket * MIN_BUCKETS <= length
    }
}

/// How far back the tables have rows. A table that is not listed has them without limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention(pub Vec<(&'static str, Duration)>);

impl Retention {
    fn of(&self, table: &Table) -> Duration {
        self.0.iter().find(|(name, _)| *name == table.name).map_or(Duration::MAX, |(_, reach)| *reach)
    }
}

/// The table that answers, and what the user has to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The table to ask.
    pub table: &'static Table,
    /// Why the answer is not of the whole range, where it is not.
    pub warning: Option<String>,
}

/// The coarsest of the tables that are `able` to answer that has [`MIN_BUCKETS`] within `length` and still holds rows of
/// `age`; where none reaches back so far, the one that reaches furthest, with a warning.
pub(crate) fn choose(able: impl Fn(&Table) -> bool, length: Duration, age: Duration, retention: &Retention) -> Choice {
    let able: Vec<&'static Table> = TABLES.iter().filter(|table| able(table)).collect();
    let reaches = |table: &&&'static Table| retention.of(table) >= age;
    let fine = able.iter().filter(|table| table.is_fine_enough(length));
    let best = fine.clone().find(reaches).or_else(|| able.iter().find(reaches));
    if let Some(table) = best {
        return Choice { table, warning: None };
    }
    let furthest = able.iter().max_by_key(|table| retention.of(table));
    let Some(&table) = furthest else { return Choice { table: &TABLES[TABLES.len() - 1], warning: None } };
    let days = retention.of(table).as_secs() / 86_400;
    let warning = format!("{} keeps {days} days: the answer has no older flows", table.name);
    Choice { table, warning: Some(warning) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::columns::{SRC_ADDR, SRC_AS};

    const HOUR: u64 = 3600;

    fn choice(column: Column, hours: u64, days_ago: u64) -> Choice {
        let days = |table, days: u64| (table, Duration::from_secs(days * 24 * HOUR));
        let by_hour = [days("flows_1h", 90), days("summary_1h", 90)];
        let retention = Retention([days("flows", 7), days("flows_1m", 30)].into_iter().chain(by_hour).collect());
        let age = Duration::from_secs(days_ago * 24 * HOUR + hours * HOUR);
        choose(|table| table.has(column), Duration::from_secs(hours * HOUR), age, &retention)
    }

    #[test]
    fn the_coarsest_table_that_is_fine_enough_answers() {
        let table = |hours| choice(SRC_AS.column(), hours, 0).table.name;
        assert_eq!([table(24), table(15), table(14), table(1)], ["summary_1h", "summary_1h", "flows_1m", "flows_1m"]);
        let minutes = |minutes: u64| {
            let length = Duration::from_secs(60 * minutes);
            choose(|table| table.has(SRC_AS.column()), length, length, &Retention::default()).table.name
        };
        assert_eq!([minutes(15), minutes(14)], ["flows_1m", "flows"]);
    }

    #[test]
    fn only_flows_has_every_column() {
        let flows = Table::by_name("flows").unwrap();
        assert_eq!(choice(SRC_ADDR.column(), 24, 0), Choice { table: flows, warning: None });
    }

    #[test]
    fn a_table_that_has_forgotten_gives_way_to_one_that_has_not() {
        // An hour of two weeks ago: flows are gone, minutes are there. Of two months ago: hours only.
        assert_eq!(choice(SRC_AS.column(), 1, 14).table.name, "flows_1m");
        assert_eq!(choice(SRC_AS.column(), 1, 60), Choice { table: &TABLES[0], warning: None });
    }

    #[test]
    fn what_no_table_holds_any_more_is_said() {
        let choice = choice(SRC_ADDR.column(), 24 * 30, 0);
        assert_eq!(choice.table.name, "flows");
        assert_eq!(choice.warning.unwrap(), "flows keeps 7 days: the answer has no older flows");
    }
}
