//! The statements that create tables and views.
//!
//! Every statement is idempotent (`IF NOT EXISTS`) and names its database, because the connection cannot use one
//! that does not exist yet. The layout follows measurements with the engine on 10 M flows: see docs/clickhouse.md.

use std::borrow::Cow;

use helios_common::columns::{Column, Spec};
use helios_common::side::{SideColumn, SideTable};

use super::rollup;
use super::{ColumnDef, MIGRATIONS_TABLE, Table};

/// Inserts that a table remembers by their deduplication token.
///
/// A retry comes after `retry_max_ms` at the latest, but other inserts go on meanwhile: at ten collectors with one
/// insert a second each, this is the last quarter of an hour. A token is some ten octets of log and of memory.
const DEDUPLICATION_WINDOW: u32 = 10_000;

/// How long a replicated table remembers them: a week, which is longer than a spool should take to empty.
const DEDUPLICATION_WINDOW_SECS: u32 = 604_800;

/// Where statements make tables: a database, of one server or of all in a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Letters, digits and underscores; not quoted in statements.
    pub database: &'a str,
    /// Name of the cluster for `ON CLUSTER` and replicated engines; `None` for a single server.
    pub cluster: Option<&'a str>,
}

impl Target<'_> {
    /// ` ON CLUSTER 'name'`, behind the name of what is made or changed.
    pub fn on_cluster(self) -> String {
        self.cluster.map_or(String::new(), |cluster| format!(" ON CLUSTER {}", quoted(cluster)))
    }

    /// The engine of a table. The path in Keeper names what the replicas share, so it must be the same when a replica
    /// is added later: hence no UUID in it. The servers' macros fill in the rest.
    fn engine(self, name: &str, engine: &str) -> String {
        match self.cluster {
            None => engine.to_owned(),
            Some(_) => {
                format!("Replicated{engine}('/clickhouse/tables/{{shard}}/{}/{name}', '{{replica}}')", self.database)
            }
        }
    }
}

pub(crate) fn create_database(target: Target<'_>) -> String {
    format!("CREATE DATABASE IF NOT EXISTS {}{}", target.database, target.on_cluster())
}

/// The columns of a table, in order.
pub fn columns(table: Table) -> Vec<ColumnDef> {
    match table {
        Table::Flows => Column::all().map(|column| flow_column(column.spec())).collect(),
        Table::Side(side) => side.columns().iter().map(side_column).collect(),
        _ => rollup::keys(table).into_iter().chain(rollup::marks(table)).chain(rollup::figures()).collect(),
    }
}

fn flow_column(spec: &'static Spec) -> ColumnDef {
    // Blocks leave out a column that holds nothing: a flow that says nothing about sampling counts once.
    let default = (spec.name == "sampling_interval").then_some("1");
    ColumnDef { name: spec.name, clickhouse: spec.kind.clickhouse(), codec: spec.codec, default, comment: spec.doc }
}

fn side_column(column: &'static SideColumn) -> ColumnDef {
    ColumnDef {
        name: column.name,
        clickhouse: column.kind.clickhouse(),
        codec: column.codec,
        default: None,
        comment: column.doc,
    }
}

/// One column as `CREATE TABLE` and `ADD COLUMN` want it.
pub fn column_definition(column: &ColumnDef) -> String {
    let mut sql = format!("{} {}", identifier(column.name), column.clickhouse);
    if let Some(default) = column.default {
        sql += &format!(" DEFAULT {default}");
    }
    if !column.comment.is_empty() {
        sql += &format!(" COMMENT {}", quoted(column.comment));
    }
    if let Some(codec) = column.codec {
        sql += &format!(" CODEC({codec})");
    }
    sql
}

/// The name of a column. One that a configuration has chosen may be a word of SQL.
pub fn identifier(name: &str) -> Cow<'_, str> {
    match Column::extra().any(|column| column.spec().name == name) {
        true => Cow::Owned(format!("`{name}`")),
        false => Cow::Borrowed(name),
    }
}

/// A string literal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

pub(crate) fn create_table(target: Target<'_>, table: Table, days: u32) -> String {
    let lines: Vec<String> = columns(table).iter().map(column_definition).collect();
    // What a view feeds is added up when parts are merged, what helios feeds stays as it is.
    let engine = if table.view().is_some() { "AggregatingMergeTree" } else { "MergeTree" };
    let ttl = ttl(days).map_or(String::new(), |ttl| format!("TTL {ttl}\n"));
    let primary = match table {
        Table::Flows1m | Table::Talkers1m => format!("PRIMARY KEY ({})\n", MINUTES_INDEX.join(", ")),
        _ => String::new(),
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{}{} (\n    {}\n)\nENGINE = {}\nPARTITION BY {}\n{primary}ORDER BY ({})\n{ttl}SETTINGS {}",
        target.database,
        table.name(),
        target.on_cluster(),
        lines.join(",\n    "),
        target.engine(table.name(), engine),
        partition(table),
        sorting_key(table).join(", "),
        settings(target),
    )
}

/// Whole partitions expire, so a partition is a fraction of what the table keeps by default.
fn partition(table: Table) -> &'static str {
    match table {
        Table::Flows | Table::Flows1m | Table::Talkers1m | Table::Side(SideTable::InterfaceCounters) => {
            "toDate(received_at)"
        }
        Table::Flows1h | Table::Summary1h | Table::Talkers1h | Table::Side(SideTable::Exporters) => {
            "toMonday(received_at)"
        }
    }
}

/// The sorting key decides how well the table compresses and which questions read little of it.
///
/// `flows` by exporter, five minutes and AS pair: 36 octets a row against 47 by time alone, at the same insert
/// cost, and the granules of a host lie together because its AS does. Side tables by who and then when: one interface's or
/// exporter's figures lie together, in the order in which differences are taken.
///
/// Rollups by hour first, since every question to them has a time range and most are about all exporters, then by exporter,
/// in those by minute as well: one exporter's interfaces over six hours read 0.1 of 2.9 M rows, and all of them if the
/// minute came first. A quarter of an hour of all exporters then reads the rows of its hour, four times as many.
///
/// Summaries by what they sum first: a question reads the rows of its side alone.
///
/// There are no skip indexes: a bloom filter on both addresses (0.01) costs 0.9 octets a row and, of 1223 granules,
/// leaves 1021 to read for a busy host and 49 for one with three flows.
pub fn sorting_key(table: Table) -> Vec<&'static str> {
    match table {
        Table::Flows => vec!["exporter_name", "toStartOfFiveMinutes(received_at)", "src_as", "dst_as"],
        Table::Side(SideTable::InterfaceCounters) => {
            vec!["exporter_address", "source_type", "source_index", "received_at"]
        }
        Table::Side(SideTable::Exporters) => vec!["exporter_address", "received_at"],
        Table::Flows1h | Table::Summary1h | Table::Talkers1h => {
            rollup::keys(table).iter().map(|column| column.name).collect()
        }
        Table::Flows1m | Table::Talkers1m => {
            let rest =
                rollup::keys(table).into_iter().map(|column| column.name).filter(|name| *name != "exporter_name");
            MINUTES_INDEX.into_iter().chain(rest).collect()
        }
    }
}

/// The begin of the sorting key of rollups by minute, and all of it that is indexed: were `received_at` in the index as
/// well, ClickHouse would use that, behind the exporter, and not the hour.
const MINUTES_INDEX: [&str; 2] = ["toStartOfHour(received_at)", "exporter_name"];

/// The expression of a TTL; `None` keeps rows for ever.
pub fn ttl(days: u32) -> Option<String> {
    (days > 0).then(|| format!("toDateTime(received_at) + toIntervalDay({days})"))
}

fn settings(target: Target<'_>) -> String {
    let window = match target.cluster {
        None => format!("non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"),
        Some(_) => format!(
            "replicated_deduplication_window = {DEDUPLICATION_WINDOW}, \
             replicated_deduplication_window_seconds = {DEDUPLICATION_WINDOW_SECS}"
        ),
    };
    [
        // A part goes when all its rows have expired: nothing is ever rewritten to forget a row.
        "ttl_only_drop_parts = 1".to_owned(),
        // A changed TTL recomputes each part's expiry and leaves its data alone.
        "materialize_ttl_recalculate_only = 1".to_owned(),
        "default_compression_codec = 'ZSTD(1)'".to_owned(),
        window,
    ]
    .join(", ")
}

/// What all shards' tables of that name hold, to read from. It has no sharding key: rows go to the shards' own tables.
pub fn create_distributed(target: Target<'_>, cluster: &str, local: &str, name: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{name}{}\nAS {local}.{name}\nENGINE = Distributed({}, {}, {})",
        target.database,
        target.on_cluster(),
        quoted(cluster),
        quoted(local),
        quoted(name)
    )
}

/// The view that feeds `table`. It is fed by and feeds the tables of its own server: what a replica gets by replication
/// has been through another one's view.
pub fn create_view(target: Target<'_>, view: &str, table: Table, query: &str) -> String {
    view_statement("CREATE MATERIALIZED VIEW IF NOT EXISTS", target, view, table, query)
}

/// Another query in the place of the view's.
///
/// `ALTER TABLE ... MODIFY QUERY` would do the same, but the view then forgets the tokens that it has seen, and a block that is
/// sent again counts twice in the rollup. A view that is replaced knows them, and no row gets lost meanwhile.
pub fn replace_view(target: Target<'_>, view: &str, table: Table, query: &str) -> String {
    view_statement("CREATE OR REPLACE MATERIALIZED VIEW", target, view, table, query)
}

fn view_statement(verb: &str, target: Target<'_>, view: &str, table: Table, query: &str) -> String {
    let (database, on_cluster) = (target.database, target.on_cluster());
    format!("{verb} {database}.{view}{on_cluster}\nTO {database}.{}\nAS {query}", table.name())
}

/// Of a cluster, all servers are replicas of the one table: what one process has noted, all know.
pub fn create_migrations_table(target: Target<'_>) -> String {
    let engine = match target.cluster {
        None => "MergeTree".to_owned(),
        Some(_) => format!(
            "ReplicatedMergeTree('/clickhouse/tables/all/{}/{MIGRATIONS_TABLE}', '{{shard}}-{{replica}}')",
            target.database
        ),
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{MIGRATIONS_TABLE}{} (\n    version UInt32,\n    name String,\n    \
         applied_at DateTime64(3),\n    checksum UInt64\n)\nENGINE = {engine}\nORDER BY (version, applied_at)",
        target.database,
        target.on_cluster()
    )
}

/// The INSERT statement of a block for `table` that carries these columns.
///
/// The columns are named because ClickHouse drops a column of the stream that it does not know without a word.
pub fn insert_statement(database: &str, table: Table, columns: impl Iterator<Item = &'static str>) -> String {
    let columns: Vec<_> = columns.map(identifier).collect();
    format!("INSERT INTO {database}.{} ({}) FORMAT ArrowStream", table.name(), columns.join(", "))
}
