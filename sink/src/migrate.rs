//! Creates and upgrades the schema.
//!
//! What is there is compared with what this version wants, and the statements that make the difference are the plan.
//! Every statement can be repeated: a plan that was interrupted, or that two processes carry out at once, ends in the
//! same schema. `schema_migrations` says which version made the schema last; a schema of a newer version is left alone.
//!
//! In a cluster every statement is ON CLUSTER. What replicas have is then looked at on all that answer, and something
//! is there only if it is on each of them: a replica or shard that joins later gets what it lacks. One that is away
//! does not hold up the others; ClickHouse makes up for it from its queue in Keeper.

use clickhouse::Client;
use clickhouse::error::Error;
use helios_common::clock::unix_secs;
use helios_common::columns::{Column, Spec};

use crate::client;
use crate::config::SinkConfig;
use crate::schema::ddl::Target;
use crate::schema::{MIGRATIONS_TABLE, Table, ddl, rollup};

/// The version of the schema that this program makes. It grows with every change that an older program would not
/// understand; a column more is none.
///
/// 1: views on `flows` make all rollups. 2: helios makes those by minute, and the views leave out blocks that bring theirs;
/// a helios of version 1 would put views in their place that count these blocks again.
pub const SCHEMA_VERSION: u32 = 2;

/// Seconds that replicas of a cluster have for a statement before it goes on without them.
const DDL_TIMEOUT_SECS: &str = "60";

/// A statement of the plan, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does, such as `create table flows`.
    pub purpose: String,
    /// One statement, without a semicolon.
    pub sql: String,
}

/// The schema cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum MigrateError {
    #[error(
        "the schema in database `{database}` is version {found}, newer than the {SCHEMA_VERSION} of this helios: \
         run the newer helios, or name another database with clickhouse.database"
    )]
    Newer { database: String, found: u32 },
    #[error("the schema is not complete: run `helios migrate`, or set clickhouse.migrate. Still to be done: {missing}")]
    Missing {
        missing: String,
        /// The database is, and so is everything.
        database: bool,
    },
    #[error(
        "the server acknowledged every statement and the schema is not complete ({missing} is still to be done): is \
         clickhouse.url the address of a ClickHouse, and of one that stores what it is sent?"
    )]
    Unchanged { missing: String },
    #[error(
        "column {column} of table `flows` is {found} and the configuration wants {wanted}: change its type there, give \
         the column another name, or convert it yourself (ALTER TABLE ... MODIFY COLUMN)"
    )]
    Type { column: &'static str, found: String, wanted: String },
    #[error("{purpose}: {source}")]
    Step { purpose: String, source: Error },
    #[error("cannot look at the schema: {0}")]
    Look(#[from] Error),
}

impl MigrateError {
    /// The client's error behind it.
    pub fn client_error(&self) -> Option<&Error> {
        match self {
            Self::Newer { .. } | Self::Missing { .. } | Self::Unchanged { .. } | Self::Type { .. } => None,
            Self::Step { source, .. } | Self::Look(source) => Some(source),
        }
    }
}

/// What is there.
#[derive(Debug, Default)]
struct Found {
    /// When it was looked at, in Unix seconds.
    at: u64,
    database: bool,
    /// Name and `CREATE` statement of each table and view.
    tables: Vec<(String, String)>,
    /// Table, column and type.
    columns: Vec<(String, String, String)>,
    version: u32,
    /// Name and checksum of what was recorded last.
    recorded: Vec<(String, u64)>,
}

/// The statements that bring the schema up to date; none if it is.
///
/// # Errors
/// [`MigrateError`] when the schema is newer, or cannot be looked at.
pub async fn plan(client: &Client, config: &SinkConfig) -> Result<Vec<Step>, MigrateError> {
    let found = Found::look(client, &config.storage_database(), config).await?;
    let global = match config.cluster.name {
        Some(_) => Some(Found::look(client, &config.database, config).await?),
        None => None,
    };
    if found.version > SCHEMA_VERSION {
        return Err(MigrateError::Newer { database: config.database.clone(), found: found.version });
    }
    check_types(&found)?;
    Ok(steps(&found, global.as_ref(), config))
}

/// The whole plan for servers without a schema. It needs no server.
pub fn plan_from_scratch(config: &SinkConfig) -> Vec<Step> {
    let nothing = Found::default();
    steps(&nothing, Some(&nothing), config)
}

/// Columns that the configuration added once keep their type: to convert what they hold may lose it.
fn check_types(found: &Found) -> Result<(), MigrateError> {
    for Spec { name, kind, .. } in Column::extra().map(Column::spec) {
        let wanted = kind.clickhouse();
        if let Some(found) = found.column_type(Table::Flows.name(), name).filter(|found| *found != wanted) {
            return Err(MigrateError::Type { column: name, found: found.to_owned(), wanted });
        }
    }
    Ok(())
}

/// Carries the plan out and returns it; `progress` hears of every step before it runs.
///
/// # Errors
/// [`MigrateError`] with the step that failed; those before it stay.
pub async fn apply(
    client: &Client,
    config: &SinkConfig,
    mut progress: impl FnMut(&Step),
) -> Result<Vec<Step>, MigrateError> {
    let plan = plan(client, config).await?;
    for step in &plan {
        progress(step);
        let mut query = client.query(&escaped(&step.sql));
        if config.cluster.name.is_some() {
            // A replica that is away gets the statement when it comes back, and is not waited for until then.
            query = query
                .with_setting("distributed_ddl_output_mode", "null_status_on_timeout")
                .with_setting("distributed_ddl_task_timeout", DDL_TIMEOUT_SECS);
        }
        let done = client::answer(query.execute()).await;
        done.map_err(|source| MigrateError::Step { purpose: step.purpose.clone(), source })?;
    }
    // Only ClickHouse's tables say that a statement was carried out. In a cluster a replica may still be at it.
    if !plan.is_empty() && config.cluster.name.is_none() {
        match check(client, config).await {
            Err(MigrateError::Missing { missing, .. }) => return Err(MigrateError::Unchanged { missing }),
            other => other?,
        }
    }
    Ok(plan)
}

/// Whether tables, columns, labels and views are all there, for who leaves making them to others. Retention is not looked
/// at, and of the views' queries only whether they leave out blocks that bring their rollups: blocks are stored
/// whatever else they say, and another version may have changed them.
///
/// # Errors
/// [`MigrateError`] when something is missing, the schema is newer, or it cannot be looked at.
pub async fn check(client: &Client, config: &SinkConfig) -> Result<(), MigrateError> {
    let plan = plan(client, config).await?;
    let database = plan.iter().any(|step| step.purpose.starts_with("create database"));
    match missing(&plan) {
        None => Ok(()),
        Some(missing) => Err(MigrateError::Missing { missing, database }),
    }
}

/// What inserts need of a plan, in words; `None` if that is nothing.
fn missing(plan: &[Step]) -> Option<String> {
    const SHOWN: usize = 5;
    let needed = |step: &&Step| ["create", "add", "widen", "replace"].iter().any(|verb| step.purpose.starts_with(verb));
    let needed: Vec<&str> = plan.iter().filter(needed).map(|step| step.purpose.as_str()).collect();
    let more = needed.len().saturating_sub(SHOWN);
    let shown = needed.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match (needed.len(), more) {
        (0, _) => None,
        (_, 0) => Some(shown),
        (_, more) => Some(format!("{shown} and {more} more")),
    }
}

/// The client takes `?` for a placeholder.
fn escaped(sql: &str) -> String {
    sql.replace('?', "??")
}

impl Found {
    async fn look(client: &Client, database: &str, config: &SinkConfig) -> Result<Self, Error> {
        let [databases, tables, columns] = questions(database, config.cluster.name.as_deref());
        if rows(client, &databases).await?.is_empty() {
            return Ok(Self::default());
        }
        let mut found = Self { at: unix_secs(), database: true, ..Self::default() };
        for row in rows(client, &tables).await? {
            if let Ok([name, create]) = <[String; 2]>::try_from(row) {
                found.tables.push((name, create));
            }
        }
        for row in rows(client, &columns).await? {
            if let Ok([table, name, ty]) = <[String; 3]>::try_from(row) {
                found.columns.push((table, name, ty));
            }
        }
        if found.table(MIGRATIONS_TABLE).is_some() {
            let sql = format!(
                "SELECT name, argMax(checksum, applied_at), max(version) FROM {database}.{MIGRATIONS_TABLE} GROUP BY name"
            );
            for row in rows(client, &sql).await? {
                let [name, checksum, version] = &row[..] else { continue };
                found.recorded.push((name.clone(), checksum.parse().unwrap_or(0)));
                found.version = found.version.max(version.parse().unwrap_or(0));
            }
        }
        Ok(found)
    }

    fn table(&self, name: &str) -> Option<&str> {
        self.tables.iter().find(|(table, _)| table == name).map(|(_, create)| create.as_str())
    }

    fn column_type(&self, table: &str, column: &str) -> Option<&str> {
        let found = self.columns.iter().find(|(of, name, _)| of == table && name == column);
        found.map(|(_, _, ty)| ty.as_str())
    }

    fn checksum(&self, name: &str) -> Option<u64> {
        self.recorded.iter().find(|(recorded, _)| recorded == name).map(|(_, checksum)| *checksum)
    }
}

/// What databases, tables and columns there are: on the server that is asked, or on every server of a cluster that
/// answers. Of a statement that differs between servers, any will do: the next look finds what is left.
fn questions(database: &str, cluster: Option<&str>) -> [String; 3] {
    let name = ddl::quoted(database);
    let everywhere = |what: &str, of: &str, keys: &str, condition: &str| match cluster {
        None => format!("SELECT {what} FROM system.{of} WHERE {condition} = {name}"),
        Some(cluster) => {
            let all = |table: &str| format!("clusterAllReplicas({}, system.{table})", ddl::quoted(cluster));
            format!(
                "SELECT {what} FROM {} WHERE {condition} = {name} GROUP BY {keys} \
                 HAVING count() >= (SELECT count() FROM {}) SETTINGS skip_unavailable_shards = 1",
                all(of),
                all("one")
            )
        }
    };
    let create = if cluster.is_some() { "any(create_table_query)" } else { "create_table_query" };
    [
        everywhere("name", "databases", "name", "name"),
        everywhere(&format!("name, {create}"), "tables", "name", "database"),
        everywhere("table, name, type", "columns", "table, name, type", "database"),
    ]
}

/// The rows of a query, as text.
pub(crate) async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, Error> {
    let mut answer = client.query(&escaped(sql)).fetch_bytes("TabSeparated")?;
    let bytes = client::answer(answer.collect()).await?;
    let unescape = |field: &str| field.replace("\\n", "\n").replace("\\'", "'").replace("\\\\", "\\");
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(|line| line.split('\t').map(unescape).collect()).collect())
}

fn steps(found: &Found, global: Option<&Found>, config: &SinkConfig) -> Vec<Step> {
    let storage = config.storage_database();
    let cluster = config.cluster.name.as_deref();
    let target = Target { database: &storage, cluster };
    let mut steps = Vec::new();
    let mut add = |purpose: String, sql: String| steps.push(Step { purpose, sql });
    if !found.database {
        add(format!("create database {storage}"), ddl::create_database(target));
    }
    if found.table(MIGRATIONS_TABLE).is_none() {
        add(format!("create table {MIGRATIONS_TABLE}"), ddl::create_migrations_table(target));
    }
    for table in Table::ALL {
        match found.table(table.name()) {
            None => {
                let days = config.retention_days.days(table);
                add(format!("create table {}", table.name()), ddl::create_table(target, table, days));
            }
            Some(create) => alter_table(found, config, target, table, create, &mut add),
        }
    }
    for table in Table::ALL {
        view(found, target, table, &mut add);
    }
    if let (Some(global), Some(cluster)) = (global, cluster) {
        distributed(global, Target { database: &config.database, ..target }, cluster, &storage, &mut add);
    }
    record(found, &storage, &mut add);
    steps
}

/// The tables that everybody reads from in a cluster.
fn distributed(found: &Found, target: Target<'_>, cluster: &str, storage: &str, add: &mut impl FnMut(String, String)) {
    if !found.database {
        add(format!("create database {}", target.database), ddl::create_database(target));
    }
    for table in Table::ALL {
        let name = table.name();
        if found.table(name).is_some() {
            alter_columns(found, target, table, |_| String::new(), add);
        } else {
            let sql = ddl::create_distributed(target, cluster, storage, name);
            add(format!("create table {}.{name}", target.database), sql);
        }
    }
}

/// Columns that are missing, labels that an enum lacks, and a retention that changed.
fn alter_table(
    found: &Found,
    config: &SinkConfig,
    target: Target<'_>,
    table: Table,
    create: &str,
    add: &mut impl FnMut(String, String),
) {
    // A dimension that is not part of the sorting key would be merged away.
    let mut keys = sorting_key(create);
    let key = |column: &'static str| match table {
        Table::Flows | Table::Side(_) => String::new(),
        _ if !ddl::sorting_key(table).contains(&column) => String::new(),
        _ => {
            keys.push(column);
            format!(", MODIFY ORDER BY ({})", keys.join(", "))
        }
    };
    alter_columns(found, target, table, key, add);
    let wanted = config.retention_days.days(table);
    if retention(create) != wanted {
        let change = match ddl::ttl(wanted) {
            Some(ttl) => format!("MODIFY TTL {ttl}"),
            None => "REMOVE TTL".to_owned(),
        };
        let alter = alter(target, table.name());
        add(format!("keep {} for {}", table.name(), period(wanted)), format!("{alter} {change}"));
    }
}

/// Columns and labels; `key` is what a new column changes of the sorting key.
fn alter_columns(
    found: &Found,
    target: Target<'_>,
    table: Table,
    mut key: impl FnMut(&'static str) -> String,
    add: &mut impl FnMut(String, String),
) {
    let (name, alter) = (table.name(), alter(target, table.name()));
    let columns = ddl::columns(table);
    let mut before: Option<&str> = None;
    for column in &columns {
        match found.column_type(name, column.name) {
            None => {
                let place =
                    before.map_or_else(|| "FIRST".to_owned(), |before| format!("AFTER {}", ddl::identifier(before)));
                let definition = ddl::column_definition(column);
                add(
                    format!("add column {name}.{}", column.name),
                    format!("{alter} ADD COLUMN IF NOT EXISTS {definition} {place}{}", key(column.name)),
                );
            }
            Some(existing) if existing.starts_with("Enum8") && existing != column.clickhouse => add(
                format!("widen column {name}.{}", column.name),
                format!("{alter} MODIFY COLUMN {} {}", column.name, column.clickhouse),
            ),
            Some(_) => {}
        }
        before = Some(column.name);
    }
}

fn alter(target: Target<'_>, table: &str) -> String {
    format!("ALTER TABLE {}.{table}{}", target.database, target.on_cluster())
}

/// The sorting key in a table's `CREATE` statement. A table keeps the key that it was made with: only columns that are
/// added with the same statement can be appended.
fn sorting_key(create: &str) -> Vec<&str> {
    let Some((_, rest)) = create.split_once("ORDER BY (") else { return Vec::new() };
    let (mut keys, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, character) in rest.char_indices() {
        match character {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ',' if depth > 0 => {}
            ',' | ')' => {
                keys.extend(rest.get(begin..at).map(str::trim));
                begin = at + 1;
                if character == ')' {
                    break;
                }
            }
            _ => {}
        }
    }
    keys
}

fn period(days: u32) -> String {
    match days {
        0 => "ever".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// The days in a table's `CREATE` statement; 0 if it keeps its rows for ever.
fn retention(create: &str) -> u32 {
    let days = create.split_once("TTL ").and_then(|(_, ttl)| ttl.split_once("toIntervalDay("));
    days.and_then(|(_, rest)| rest.split(')').next()).and_then(|days| days.parse().ok()).unwrap_or(0)
}

/// The query that the view of `table` shall have. That of the summaries keeps the begin that it has. The first one begins with
/// the hour after the next, where there were rollups before it: whatever the clocks of other collectors say, all of that hour is
/// to come. One that was there before, and is missing now or on a replica that joined, takes all rows.
fn query(found: &Found, database: &str, table: Table) -> Option<String> {
    let begin = match (table, table.view().and_then(|view| found.table(view))) {
        (Table::Summary1h, Some(known)) => rollup::summary_begin(known),
        (Table::Summary1h, None) if table.view().and_then(|view| found.checksum(view)).is_none() => {
            found.table(Table::Flows1m.name()).map(|_| (found.at / HOUR + 2) * HOUR)
        }
        _ => None,
    };
    rollup::query(database, table, begin)
}

const HOUR: u64 = 3600;

/// A view that is missing is created; one with another query takes the new one without a gap.
fn view(found: &Found, target: Target<'_>, table: Table, add: &mut impl FnMut(String, String)) {
    let (Some(view), Some(query)) = (table.view(), query(found, target.database, table)) else { return };
    let Some(known) = found.table(view) else {
        add(format!("create view {view}"), ddl::create_view(target, view, table, &query));
        return;
    };
    let replace = || ddl::replace_view(target, view, table, &query);
    if rollup::skips_rolled_up(&query) && !rollup::skips_rolled_up(known) {
        add(format!("replace view {view}, which would count rows twice"), replace());
    } else if found.checksum(view) != Some(checksum(&query)) {
        add(format!("change view {view}"), replace());
    }
}

/// Notes down the version, and which query each view has.
fn record(found: &Found, database: &str, add: &mut impl FnMut(String, String)) {
    let queries = Table::ALL.into_iter().filter_map(|table| Some((table.view()?, query(found, database, table)?)));
    let entries = queries.map(|(view, query)| (view, checksum(&query))).chain([("schema", 0)]);
    let new: Vec<String> = entries
        .filter(|(name, sum)| found.checksum(name) != Some(*sum) || found.version < SCHEMA_VERSION)
        .map(|(name, sum)| format!("({SCHEMA_VERSION}, {}, now64(3), {sum})", ddl::quoted(name)))
        .collect();
    if !new.is_empty() {
        add(
            format!("record schema version {SCHEMA_VERSION}"),
            format!(
                "INSERT INTO {database}.{MIGRATIONS_TABLE} (version, name, applied_at, checksum) VALUES {}",
                new.join(", ")
            ),
        );
    }
}

/// FNV-1a: tells one query from another, which is all that is asked of it.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, octet| (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterConfig;

    /// A database as the plan for an empty server leaves it.
    fn complete(config: &SinkConfig) -> Found {
        let mut found = Found { database: true, version: SCHEMA_VERSION, ..Found::default() };
        let storage = config.storage_database();
        let target = Target { database: &storage, cluster: config.cluster.name.as_deref() };
        for table in Table::ALL {
            let days = config.retention_days.days(table);
            found.tables.push((table.name().into(), ddl::create_table(target, table, days)));
            for column in ddl::columns(table) {
                found.columns.push((table.name().into(), column.name.into(), column.clickhouse));
            }
            if let (Some(view), Some(query)) = (table.view(), rollup::query(&storage, table, None)) {
                found.tables.push((view.into(), ddl::create_view(target, view, table, &query)));
                found.recorded.push((view.into(), checksum(&query)));
            }
        }
        found.tables.push((MIGRATIONS_TABLE.into(), String::new()));
        found.recorded.push(("schema".into(), 0));
        found
    }

    fn purposes(found: &Found, config: &SinkConfig) -> Vec<String> {
        steps(found, None, config).into_iter().map(|step| step.purpose).collect()
    }

    #[test]
    fn a_complete_schema_needs_nothing() {
        let config = SinkConfig::default();
        assert_eq!(purposes(&complete(&config), &config), [""; 0]);
    }

    #[test]
    fn an_empty_server_gets_tables_before_views() {
        let purposes = purposes(&Found::default(), &SinkConfig::default());
        assert_eq!(purposes.first().map(String::as_str), Some("create database helios"));
        let at = |wanted: &str| purposes.iter().position(|purpose| purpose == wanted).unwrap();
        assert!(at("create table flows_1h") < at("create view flows_1m_mv"));
        assert_eq!(purposes.last().unwrap(), "record schema version 2");
    }

    #[test]
    fn a_missing_column_is_added_in_its_place() {
        let config = SinkConfig::default();
        let mut found = complete(&config);
        found.columns.retain(|(table, column, _)| (table.as_str(), column.as_str()) != ("flows", "ttl"));
        let steps = steps(&found, None, &config);
        assert_eq!(steps.len(), 1);
        assert!(
            steps[0].sql.starts_with("ALTER TABLE helios.flows ADD COLUMN IF NOT EXISTS ttl UInt8"),
            "{}",
            steps[0].sql
        );
        assert!(steps[0].sql.ends_with("AFTER tos"), "{}", steps[0].sql);
    }

    #[test]
    fn new_dimensions_are_appended_to_the_key_that_a_table_has() {
        let config = SinkConfig::default();
        let mut found = complete(&config);
        let create = "CREATE TABLE helios.flows_1m (`received_at` DateTime) ENGINE = AggregatingMergeTree \
                      PARTITION BY toDate(received_at) ORDER BY (toStartOfHour(received_at), exporter_name, f(a, b)) \
                      TTL toDateTime(received_at) + toIntervalDay(30) SETTINGS index_granularity = 8192";
        found.tables.iter_mut().filter(|(table, _)| table == "flows_1m").for_each(|(_, sql)| *sql = create.into());
        found
            .columns
            .retain(|(table, column, _)| table != "flows_1m" || !["src_site", "dst_site"].contains(&column.as_str()));
        let keys: Vec<_> = steps(&found, None, &config)
            .into_iter()
            .filter_map(|step| step.sql.split_once("MODIFY ORDER BY ").map(|(_, key)| key.to_owned()))
            .collect();
        assert_eq!(
            keys,
            [
                "(toStartOfHour(received_at), exporter_name, f(a, b), src_site)",
                "(toStartOfHour(received_at), exporter_name, f(a, b), src_site, dst_site)"
            ]
        );
    }

    #[test]
    fn a_changed_retention_changes_the_table() {
        let mut config = SinkConfig::default();
        let found = complete(&config);
        config.retention_days.flows = 3;
        config.retention_days.flows_1h = 0;
        assert_eq!(purposes(&found, &config), ["keep flows for 3 days", "keep flows_1h for ever"]);
        assert!(steps(&found, None, &config)[1].sql.ends_with("REMOVE TTL"));
    }

    #[test]
    fn a_changed_view_is_changed_in_place_and_recorded() {
        let config = SinkConfig::default();
        let mut found = complete(&config);
        found.recorded[0].1 ^= 1;
        assert_eq!(purposes(&found, &config), ["change view flows_1m_mv", "record schema version 2"]);
    }

    #[test]
    fn the_summaries_of_an_older_schema_begin_with_the_hour_after_the_next() {
        let config = SinkConfig::default();
        let mut found = complete(&config);
        found.at = 10 * HOUR + 1;
        found.tables.retain(|(table, _)| table != "summary_1h_mv");
        found.recorded.retain(|(view, _)| view != "summary_1h_mv");
        let view = |found: &Found| {
            let steps = steps(found, None, &config);
            steps.into_iter().find(|step| step.purpose == "create view summary_1h_mv").map(|step| step.sql)
        };
        let sql = view(&found).unwrap();
        assert_eq!(rollup::summary_begin(&sql), Some(12 * HOUR));
        // It is known by what it says, however late somebody looks.
        found.tables.push(("summary_1h_mv".into(), sql));
        found.at = 20 * HOUR;
        let query = rollup::query("helios", Table::Summary1h, Some(12 * HOUR)).unwrap();
        found.recorded.push(("summary_1h_mv".into(), checksum(&query)));
        assert_eq!(purposes(&found, &config), [""; 0]);
        let begin = |sql: Option<String>| sql.map(|sql| rollup::summary_begin(&sql));
        assert_eq!(begin(view(&Found::default())), Some(None), "a new schema has no rows that its summaries lack");
    }

    fn clustered() -> SinkConfig {
        let cluster = ClusterConfig { name: Some("main".into()), shards: Vec::new() };
        SinkConfig { cluster, ..SinkConfig::default() }
    }

    #[test]
    fn a_cluster_gets_replicated_tables_with_views_and_distributed_tables_to_read_from() {
        let config = clustered();
        let steps = steps(&Found::default(), Some(&Found::default()), &config);
        let sql = |purpose: &str| {
            let step = steps.iter().find(|step| step.purpose == purpose);
            step.map(|step| step.sql.as_str()).unwrap_or_else(|| unreachable!("{purpose}: {steps:?}"))
        };
        assert_eq!(sql("create database helios_local"), "CREATE DATABASE IF NOT EXISTS helios_local ON CLUSTER 'main'");
        let flows = sql("create table flows");
        for part in [
            "CREATE TABLE IF NOT EXISTS helios_local.flows ON CLUSTER 'main' (",
            "ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/helios_local/flows', '{replica}')\n",
            "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800",
        ] {
            assert!(flows.contains(part), "{part}: {flows}");
        }
        assert!(!flows.contains("non_replicated"), "{flows}");
        assert!(sql("create table flows_1m").contains("ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/"));
        assert!(sql("create view flows_1m_mv").starts_with(
            "CREATE MATERIALIZED VIEW IF NOT EXISTS helios_local.flows_1m_mv ON CLUSTER 'main'\nTO helios_local.flows_1m\nAS SELECT"
        ));
        assert_eq!(
            sql("create table helios.flows"),
            "CREATE TABLE IF NOT EXISTS helios.flows ON CLUSTER 'main'\nAS helios_local.flows\n\
             ENGINE = Distributed('main', 'helios_local', 'flows')"
        );
        assert!(sql("create table schema_migrations").contains(
            "ReplicatedMergeTree('/clickhouse/tables/all/helios_local/schema_migrations', '{shard}-{replica}')"
        ));
        assert!(sql("record schema version 2").starts_with("INSERT INTO helios_local.schema_migrations "));
    }

    #[test]
    fn a_column_is_added_to_the_replicas_and_to_what_reads_them() {
        let config = clustered();
        let mut found = complete(&config);
        found.columns.retain(|(table, column, _)| (table.as_str(), column.as_str()) != ("flows", "ttl"));
        let steps = steps(&found, Some(&found), &config);
        let begins: Vec<_> = steps.iter().filter_map(|step| step.sql.split(" ADD ").next()).collect();
        assert_eq!(
            begins,
            ["ALTER TABLE helios_local.flows ON CLUSTER 'main'", "ALTER TABLE helios.flows ON CLUSTER 'main'"]
        );
    }

    #[test]
    fn what_inserts_need_is_named_and_nothing_else() {
        let config = SinkConfig::default();
        let mut found = complete(&config);
        assert_eq!(missing(&steps(&found, None, &config)), None);
        found.tables.retain(|(name, _)| name != "flows_1h_mv");
        found.columns.retain(|(table, column, _)| (table.as_str(), column.as_str()) != ("flows", "ttl"));
        for (_, column, kind) in &mut found.columns {
            if column == "tunnel_type" {
                *kind = "Enum8('none' = 0)".into();
            }
        }
        let named = missing(&steps(&found, None, &config)).unwrap();
        for step in ["add column flows.ttl", "widen column flows.tunnel_type", "create view flows_1h_mv"] {
            assert!(named.contains(step), "{step}: {named}");
        }
        let all = missing(&steps(&Found::default(), None, &config)).unwrap();
        assert!(all.starts_with("create database helios, ") && all.ends_with(" more"), "{all}");
    }

    #[test]
    fn in_a_cluster_something_is_there_if_every_replica_has_it() {
        let [_, tables, _] = questions("helios_local", Some("main"));
        assert_eq!(
            tables,
            "SELECT name, any(create_table_query) FROM clusterAllReplicas('main', system.tables) \
             WHERE database = 'helios_local' GROUP BY name \
             HAVING count() >= (SELECT count() FROM clusterAllReplicas('main', system.one)) \
             SETTINGS skip_unavailable_shards = 1"
        );
        let [_, tables, _] = questions("helios", None);
        assert_eq!(tables, "SELECT name, create_table_query FROM system.tables WHERE database = 'helios'");
    }
}
