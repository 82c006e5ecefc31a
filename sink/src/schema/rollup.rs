//! The views: how `flows` becomes `flows_1m`, `flows_1h`, `summary_1h`, `talkers_1m` and `talkers_1h`.
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

use helios_common::columns::{COLUMNS, Column, ColumnKind, EXPORTER_NAME, Labels, PROTO, Rollup, Spec};
use helios_common::summary::{IN_EVERY_SUMMARY, Summary};

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

/// The column of `flows_1m` that says whether the row's pair of AS is listed in `summary_1h`.
pub const AS_LISTED: &str = "as_listed";

const SUMMARIES: Labels = &[(1, "interface"), (2, "place"), (3, "as")];

const SUMMARY_COMMENT: &str = "What the row sums up: exporter and interfaces (interface), countries, sites, tenants and protocol (place), each of \
     all traffic; the busiest pairs of AS (as), a part of it. Columns of the others are empty.";

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
    let side =
        (table == Table::Summary1h).then(|| plain("side", ColumnKind::Enum(SUMMARIES).clickhouse(), SUMMARY_COMMENT));
    side.into_iter().chain([time]).chain(keys).collect()
}

/// Columns of a rollup that are neither keys nor sums.
pub(super) fn marks(table: Table) -> Vec<ColumnDef> {
    let listed = "Whether summary_1h lists the pair of AS: it is among those that had the most in the last hours.";
    let marks =
        (table == Table::Flows1m).then(|| plain(AS_LISTED, "SimpleAggregateFunction(max, UInt8)".into(), listed));
    marks.into_iter().collect()
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

/// The query of the view that feeds `table`, over several lines; `None` for those that helios alone feeds. The summaries take
/// rows from `begin` on, in Unix seconds: see [`summary_begin`].
pub fn query(database: &str, table: Table, begin: Option<u64>) -> Option<String> {
    match table {
        Table::Flows | Table::Side(_) => None,
        Table::Flows1m => Some(per_minute(database)),
        Table::Flows1h => Some(per_hour(database, Table::Flows1m)),
        Table::Summary1h => Some(summaries(database, begin)),
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

/// One view for all summaries: each costs ClickHouse as much as its rows, and reading `flows_1m` once is cheaper than three times.
///
/// Pairs of AS that are not listed count as one, which is left out. `grouping` is 1 for the columns of the set that a row is of.
fn summaries(database: &str, begin: Option<u64>) -> String {
    let names = |columns: &[Column]| columns.iter().map(|column| column.spec().name).collect::<Vec<_>>();
    let all: Vec<_> = dimension_specs().map(|spec| spec.name).collect();
    let of_pairs = names(Summary::As.columns());
    let read: Vec<_> = all
        .iter()
        .map(|name| match of_pairs.contains(name) {
            true => format!("if(f.{AS_LISTED} = 1, f.{name}, 0) AS {name}"),
            false => format!("f.{name} AS {name}"),
        })
        .collect();
    let figures: Vec<_> = figures().iter().map(|column| format!("f.{0} AS {0}", column.name)).collect();
    let sums: Vec<_> = self::figures().iter().map(|column| format!("sum({0}) AS {0}", column.name)).collect();
    let sets = Summary::ALL.map(|summary| {
        let listed = (!summary.is_whole()).then_some(AS_LISTED);
        let columns = names(summary.columns()).into_iter().chain(names(&IN_EVERY_SUMMARY)).chain(listed);
        format!("(hour, {})", columns.collect::<Vec<_>>().join(", "))
    });
    let since = begin.map_or(String::new(), |begin| format!("\n    WHERE {SUMMARY_BEGIN}{begin})"));
    format!(
        "SELECT hour AS received_at,\n    \
         multiIf(grouping({}) = 1, 'interface', grouping({}) = 1, 'place', 'as') AS side,\n    {},\n    {}\n\
         FROM (\n    SELECT toStartOfHour(f.received_at) AS hour,\n    toUInt8(f.{AS_LISTED}) AS {AS_LISTED},\n    {},\n    {}\n    \
         FROM {database}.flows_1m AS f{since}\n)\n\
         GROUP BY GROUPING SETS (\n    {}\n)\nHAVING side != 'as' OR {AS_LISTED} = 1\n\
         SETTINGS force_grouping_standard_compatibility = 0",
        EXPORTER_NAME.column().spec().name,
        PROTO.column().spec().name,
        all.join(", "),
        sums.join(", "),
        read.join(",\n    "),
        figures.join(",\n    "),
        sets.join(",\n    "),
    )
}

/// What stands before the number in the condition of [`summary_begin`].
const SUMMARY_BEGIN: &str = "f.received_at >= toDateTime(";

/// From when on the view of the summaries takes rows, by its `CREATE` statement. Where `flows_1m` had rows before there were
/// summaries, these begin with a whole hour, so that none of their hours has a part of the traffic; older hours are in `flows_1h`.
pub fn summary_begin(create: &str) -> Option<u64> {
    let (_, rest) = create.split_once(SUMMARY_BEGIN)?;
    rest.split(')').next()?.parse().ok()
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
