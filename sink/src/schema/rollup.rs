//! The views: how `flows` becomes `flows_1m`, `flows_1h` and `talkers_1h`.
//!
//! A view sees one inserted block at a time and writes what its query makes of it; the target table adds up the
//! rows of different blocks when it merges them. Every figure is therefore a sum, and every question to a rollup
//! has to say `sum(bytes)` and `GROUP BY`.
//!
//! NAT and firewall event records without octets and packets are no traffic: they stay in `flows` and are left out
//! of every rollup, where each would cost a row and count as a flow.

use helios_common::columns::{COLUMNS, Kind, Rollup, Spec};

use super::{ColumnDef, Table, ddl};

/// Hosts per exporter and direction that a block may add to `talkers_1h`.
pub const TALKERS_PER_EXPORTER: u32 = 50;

/// Hosts that a block may add to `talkers_1h`, of all exporters and both directions together.
pub const TALKERS_PER_BLOCK: u32 = 20_000;

const SIDES: &str = "Enum8('src' = 1, 'dst' = 2)";

/// The columns that `flows_1m` and `flows_1h` keep apart.
pub fn dimensions() -> impl Iterator<Item = &'static Spec> {
    COLUMNS.iter().filter(|spec| spec.rollup == Rollup::Dimension)
}

/// The columns that every rollup sums, times `sampling_interval`.
pub fn sums() -> impl Iterator<Item = &'static Spec> {
    COLUMNS.iter().filter(|spec| spec.rollup == Rollup::Sum)
}

/// The columns of a rollup before its sums: what a row stands for.
pub(super) fn keys(table: Table) -> Vec<ColumnDef> {
    let time = ColumnDef {
        name: "received_at",
        clickhouse: "DateTime".into(),
        codec: Some("DoubleDelta, ZSTD(1)"),
        default: None,
        comment: "Begin of the minute or hour.",
    };
    let dimension = |spec: &Spec| plain(spec.name, spec.kind.clickhouse(), spec.doc);
    let exporter = || dimensions().filter(|spec| spec.name == "exporter_name").map(dimension);
    match table {
        Table::Talkers1h => std::iter::once(time)
            .chain(exporter())
            .chain([
                plain("side", SIDES.into(), "Whether the host sent or received the traffic."),
                plain("host", Kind::Address.clickhouse(), "Address of the host."),
            ])
            .collect(),
        _ => std::iter::once(time).chain(dimensions().map(dimension)).collect(),
    }
}

/// The sums of a rollup.
pub(super) fn figures() -> Vec<ColumnDef> {
    let sum = |name, comment| plain(name, "SimpleAggregateFunction(sum, UInt64)".into(), comment);
    sums()
        .map(|spec| sum(spec.name, "Estimate: what was reported, times sampling_interval."))
        .chain([sum("flows", "Flow records.")])
        .collect()
}

fn plain(name: &'static str, clickhouse: String, comment: &'static str) -> ColumnDef {
    ColumnDef { name, clickhouse, codec: None, default: None, comment }
}

/// The query of the view that feeds `table`, over several lines; `None` for those that helios feeds.
pub fn query(database: &str, table: Table) -> Option<String> {
    match table {
        Table::Flows | Table::Side(_) => None,
        Table::Flows1m => Some(per_minute(database)),
        Table::Flows1h => Some(per_hour(database)),
        Table::Talkers1h => Some(talkers(database)),
    }
}

/// Columns are qualified throughout: `received_at` alone would mean the truncated one.
fn per_minute(database: &str) -> String {
    let keys = dimension_list();
    let figures = scaled_sums();
    format!(
        "SELECT toStartOfMinute(f.received_at) AS received_at,\n    {keys},\n    {figures},\n    count() AS flows\n\
         FROM {database}.flows AS f\nWHERE {TRAFFIC}\nGROUP BY toStartOfMinute(f.received_at),\n    {}",
        group_list()
    )
}

/// Reads the minutes, not the flows: both views cost an insert 1.47 times what it costs alone, against 1.74 times if
/// this one read the flows, too.
fn per_hour(database: &str) -> String {
    let sums: Vec<_> = sums().map(|spec| format!("sum(f.{0}) AS {0}", spec.name)).collect();
    format!(
        "SELECT toStartOfHour(f.received_at) AS received_at,\n    {},\n    {},\n    sum(f.flows) AS flows\n\
         FROM {database}.flows_1m AS f\nGROUP BY toStartOfHour(f.received_at),\n    {}",
        dimension_list(),
        sums.join(",\n    "),
        group_list()
    )
}

/// One view for both directions: a view made of `UNION ALL` was tried, and silently fed its first half only. Two
/// views cost the same (0.8 to 1.2 core-seconds per 1 M rows) and are two things to keep in step.
///
/// The limits cost nothing and bound what a block adds. Per block they are an approximation: a host that is never
/// among the busiest of its exporter in any block is not listed, and the sums of listed hosts are lower bounds.
fn talkers(database: &str) -> String {
    let (figures, sides) = (scaled_sums(), ddl::quoted(SIDES));
    format!(
        "SELECT toStartOfHour(f.received_at) AS received_at,\n    f.exporter_name AS exporter_name,\n    \
         CAST(end.1, {sides}) AS side,\n    end.2 AS host,\n    {figures},\n    count() AS flows\n\
         FROM {database}.flows AS f\nARRAY JOIN [(1, f.src_addr), (2, f.dst_addr)] AS end\nWHERE {TRAFFIC}\n\
         GROUP BY toStartOfHour(f.received_at), f.exporter_name, end.1, end.2\n\
         ORDER BY bytes DESC\nLIMIT {TALKERS_PER_EXPORTER} BY received_at, exporter_name, side\nLIMIT {TALKERS_PER_BLOCK}"
    )
}

/// What is left out has neither octets nor packets and says itself that it is an event.
const TRAFFIC: &str = "NOT (f.bytes = 0 AND f.packets = 0 AND (f.nat_event != 0 OR f.firewall_event != 0))";

fn dimension_list() -> String {
    let list: Vec<_> = dimensions().map(|spec| format!("f.{0} AS {0}", spec.name)).collect();
    list.join(",\n    ")
}

fn group_list() -> String {
    let list: Vec<_> = dimensions().map(|spec| format!("f.{}", spec.name)).collect();
    list.join(", ")
}

/// A row that says nothing about sampling is one that was not sampled, never one that counts for nothing.
fn scaled_sums() -> String {
    let list: Vec<_> =
        sums().map(|spec| format!("sum(f.{0} * greatest(f.sampling_interval, 1)) AS {0}", spec.name)).collect();
    list.join(",\n    ")
}
