//! The tables: which there are, and what follows from the column table for each of them.
//!
//! | table | holds | fed by |
//! |---|---|---|
//! | `flows` | every flow record as received | helios |
//! | `flows_1m` | traffic per minute and [`Rollup::Dimension`] | helios, and a view on `flows` for blocks without rollups |
//! | `flows_1h` | the same per hour | a view on `flows_1m` |
//! | `summary_1h` | the same for a few columns together, over all others | a view on `flows_1m` |
//! | `talkers_1m` | the busiest hosts and services of every exporter per minute | as `flows_1m` |
//! | `talkers_1h` | the same per hour | a view on `talkers_1m` |
//! | `interface_counters` | sFlow counter samples | helios |
//! | `exporters` | what every exporter sent and lost, per minute | helios |
//! | `schema_migrations` | which version the schema has | `migrate` |
//!
//! [`ddl`] writes the statements that create them, [`rollup`] the queries of the views, [`arrow`] the schema in
//! which blocks travel, [`markdown`] the page for people. Changing existing tables is `migrate`'s part.
//!
//! [`Rollup::Dimension`]: helios_common::columns::Rollup::Dimension

use helios_common::side::SideTable;

pub mod arrow;
pub mod ddl;
pub mod markdown;
pub mod rollup;

/// The table that says which version the schema has.
pub const MIGRATIONS_TABLE: &str = "schema_migrations";

helios_metrics::label_set! {
    /// A table of data.
    #[derive(Hash)]
    pub enum Table {
        /// Every flow as received.
        Flows = "flows",
        /// Traffic by minute.
        Flows1m = "flows_1m",
        /// Traffic by hour.
        Flows1h = "flows_1h",
        /// Traffic of the whole network by hour, of a few columns together.
        Summary1h = "summary_1h",
        /// The busiest hosts and services of every exporter by minute.
        Talkers1m = "talkers_1m",
        /// The busiest hosts and services of every exporter by hour.
        Talkers1h = "talkers_1h",
        ..Side of SideTable
    }
}

impl Table {
    /// The materialized view that feeds the table; helios alone feeds those without.
    pub const fn view(self) -> Option<&'static str> {
        match self {
            Self::Flows | Self::Side(_) => None,
            Self::Flows1m => Some("flows_1m_mv"),
            Self::Flows1h => Some("flows_1h_mv"),
            Self::Summary1h => Some("summary_1h_mv"),
            Self::Talkers1m => Some("talkers_1m_mv"),
            Self::Talkers1h => Some("talkers_1h_mv"),
        }
    }
}

/// A column of a table in ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    /// As in ClickHouse, not quoted.
    pub name: &'static str,
    /// ClickHouse's type, such as `LowCardinality(String)`.
    pub clickhouse: String,
    /// What is between the parentheses of `CODEC(...)`; `None` for ClickHouse's default.
    pub codec: Option<&'static str>,
    /// An expression where ClickHouse's own default (zero, empty) is not right.
    pub default: Option<&'static str>,
    /// What the column holds, in words; empty for no comment.
    pub comment: &'static str,
}
