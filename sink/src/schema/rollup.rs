//! The views: how `flows` becomes `flows_1m`, `flows_1h`, `talkers_1m` and `talkers_1h`.
//!
//! Helios makes the rows by minute itself and sends them with the block of flows: see [`rollup`](crate::rollup). Views on
//! `flows_1m` and `talkers_1m` make the rows by hour of them, whoever made them.
//!
//! Blocks without rollups are those of an earlier version that still runs, blocks that a crash left unfinished, and rows
//! that somebody inserts by hand. For them `flows` has views that make the rows by minute. An insert that has its rollups
//! beside it says so in its [`LOG_COMMENT`], and these views then see no row: whatever is inserted counts once.
//!
//! A view sees one inserted block at a time and writes what its query makes of it; the target table adds up the
//! rows of different blocks when it merges them. Every figure is therefore a sum, and every question to a rollup
//! has to say `sum(bytes)` and `GROUP BY`.
//!
//! NAT and firewall event records without octets and packets are no traffic: they stay in `flows` and are left out
//! of every rollup, where each would cost a row and count as a flow.

use helios_common::columns::{COLUMNS, Column, ColumnKind, Labels, Rollup, Spec};

use super::{ColumnDef, Table, ddl};

/// The setting `log_comment` of an insert into `flows` whose rollups are inserted beside it. It is a setting that every
/// server has and nobody restricts, it can be seen in `system.query_log`, and views can ask for it.
pub const LOG_COMMENT: &str = "helios: rollups come with the block";

/// Talkers of one side that a block lists for a minute of an exporter at the most.
pub const TALKERS_PER_EXPORTER: u32 = 50;

/// Talkers that a view lists of a block, of all exporters and sides together.
const TALKERS_PER_BLOCK: u32 = 20_000;

/// What a row of `talkers_1m` and `talkers_1h` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The host that sent.
    Src = 1,
    /// The host that received.
    Dst = 2,
    /// Both.
    Pair = 3,
    /// Protocol and port.
    Service = 4,
    /// All traffic of the exporter, listed or not.
    Total = 5,
}

impl Side {
    /// Those of which the busiest are listed.
    pub const LISTED: [Self; 4] = [Self::Src, Self::Dst, Self::Pair, Self::Service];
}

const SIDES: Labels = &[(1, "src"), (2, "dst"), (3, "pair"), (4, "service"), (5, "total")];

/// The columns of `talkers_1m` and `talkers_1h` between time and sums.
pub const TALKER_KEYS: [(&str, ColumnKind); 6] = [
    ("exporter_name", ColumnKind::Name),
    ("side", ColumnKind::Enum(SIDES)),
    ("host", ColumnKind::Address),
    ("peer", ColumnKind::Address),
    ("proto", ColumnKind::U8),
    ("port", ColumnKind::U16),
];

fn talker_comment(key: &str) -> &'static str {
    match key {
        "exporter_name" => "Name of the exporter.",
        "side" => {
            "What the row is about: the host that sent (src) or received (dst), both (pair), a protocol and port (service), \
             or all traffic of the exporter (total), of which the rows of a side are the busiest part."
        }
        "host" => "Address of the host; of a pair, of the one that sent.",
        "peer" => "Of a pair, address of the one that received.",
        "proto" => "Of a service, IP protocol number.",
        _ => "Of a service, the lower one of both ports; 0 where the protocol has none.",
    }
}

/// The columns that `flows_1m` and `flows_1h` keep apart.
pub fn dimensions() -> impl Iterator<Item = Column> {
    (0..COLUMNS.len() as u8).map(Column).filter(|column| column.spec().rollup == Rollup::Dimension)
}

fn dimension_specs() -> impl Iterator<Item = &'static Spec> {
    dimensions().map(Column::spec)
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
    let keys: Vec<ColumnDef> = match table {
        Table::Talkers1m | Table::Talkers1h => {
            TALKER_KEYS.iter().map(|(name, kind)| plain(name, kind.clickhouse(), talker_comment(name))).collect()
        }
        _ => dimension_specs().map(|spec| plain(spec.name, spec.kind.clickhouse(), spec.doc)).collect(),
    };
    std::iter::once(time).chain(keys).collect()
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

/// The query of the view that feeds `table`, over several lines; `None` for those that helios alone feeds.
pub fn query(database: &str, table: Table) -> Option<String> {
    match table {
        Table::Flows | Table::Side(_) => None,
        Table::Flows1m => Some(per_minute(database)),
        Table::Flows1h => Some(per_hour(database, Table::Flows1m)),
        Table::Talkers1m => Some(talkers(database)),
        Table::Talkers1h => Some(per_hour(database, Table::Talkers1m)),
    }
}

/// Columns are qualified throughout: `received_at` alone would mean the truncated one.
fn per_minute(database: &str) -> String {
    let keys: Vec<_> = dimension_specs().map(|spec| format!("f.{0} AS {0}", spec.name)).collect();
    let groups: Vec<_> = dimension_specs().map(|spec| format!("f.{}", spec.name)).collect();
    format!(
        "SELECT toStartOfMinute(f.received_at) AS received_at,\n    {},\n    {},\n    count() AS flows\n\
         FROM {database}.flows AS f\nWHERE {}\nGROUP BY toStartOfMinute(f.received_at),\n    {}",
        keys.join(",\n    "),
        scaled_sums(),
        condition(),
        groups.join(", ")
    )
}

/// Reads the minutes, not the flows, and does not group them: a block has one or two minutes, so hardly two rows would
/// become one, and grouping by all keys costs more than all else. Merges add rows of one hour up, as they do anyway.
fn per_hour(database: &str, minutes: Table) -> String {
    let rest = keys(minutes).into_iter().skip(1).chain(figures());
    let select: Vec<_> = rest.map(|column| format!("f.{0} AS {0}", column.name)).collect();
    format!(
        "SELECT toStartOfHour(f.received_at) AS received_at,\n    {}\nFROM {database}.{} AS f",
        select.join(",\n    "),
        minutes.name()
    )
}

/// One view for all sides: a view made of `UNION ALL` was tried, and silently fed its first half only. Pairs and services
/// are left out: they would cost as much again, for blocks that are few.
///
/// The limits cost nothing and bound what a block adds. Totals come first, so that none is cut off.
fn talkers(database: &str) -> String {
    let sides = ddl::quoted(&ColumnKind::Enum(SIDES).clickhouse());
    format!(
        "SELECT toStartOfMinute(f.received_at) AS received_at,\n    f.exporter_name AS exporter_name,\n    \
         CAST(end.1, {sides}) AS side,\n    end.2 AS host,\n    toIPv6('::') AS peer,\n    toUInt8(0) AS proto,\n    \
         toUInt16(0) AS port,\n    {},\n    count() AS flows\n\
         FROM {database}.flows AS f\nARRAY JOIN [(1, f.src_addr), (2, f.dst_addr), (5, toIPv6('::'))] AS end\nWHERE {}\n\
         GROUP BY toStartOfMinute(f.received_at), f.exporter_name, end.1, end.2\n\
         ORDER BY end.1 = 5 DESC, bytes DESC\nLIMIT {TALKERS_PER_EXPORTER} BY received_at, exporter_name, side\n\
         LIMIT {TALKERS_PER_BLOCK}",
        scaled_sums(),
        condition()
    )
}

/// What a view on `flows` looks at: rows without rollups beside them, of traffic. An event has neither octets nor packets
/// and says itself that it is one.
fn condition() -> String {
    format!(
        "getSetting('log_comment') != {}\n    \
         AND NOT (f.bytes = 0 AND f.packets = 0 AND (f.nat_event != 0 OR f.firewall_event != 0))",
        ddl::quoted(LOG_COMMENT)
    )
}

/// Whether the query of a view on `flows` leaves out rows whose rollups are inserted beside them.
pub fn skips_rolled_up(query: &str) -> bool {
    query.contains(LOG_COMMENT)
}

/// A row that says nothing about sampling is one that was not sampled, never one that counts for nothing.
fn scaled_sums() -> String {
    let list: Vec<_> =
        sums().map(|spec| format!("sum(f.{0} * greatest(f.sampling_interval, 1)) AS {0}", spec.name)).collect();
    list.join(",\n    ")
}
