//! Creates and upgrades the schema.
//!
//! What is there is compared with what this version wants, and the statements that make the difference are the plan.
//! Every statement can be repeated: a plan that was interrupted, or that two processes carry out at once, ends in the
//! same schema. `schema_migrations` says which version made the schema last; a schema of a newer version is left alone.

use clickhouse::Client;
use clickhouse::error::Error;
use helios_common::columns::{Column, Spec};

use crate::config::SinkConfig;
use crate::schema::{MIGRATIONS_TABLE, Table, ddl, rollup};

/// The version of the schema that this program makes. It grows with every change that an older program would not
/// understand; a column more is none.
pub const SCHEMA_VERSION: u32 = 1;

/// A statement of the plan, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub purpose: String,
    pub sql: String,
}

/// The schema cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(
        "the schema in database `{database}` is version {found}, newer than the {SCHEMA_VERSION} of this helios: \
         run the newer helios, or name another database with clickhouse.database"
    )]
    Newer { database: String, found: u32 },
    #[error(
        "the schema is not complete ({missing} is still to be done): run `helios migrate`, or set clickhouse.migrate"
    )]
    Missing { missing: String },
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
            Self::Newer { .. } | Self::Missing { .. } | Self::Type { .. } => None,
            Self::Step { source, .. } | Self::Look(source) => Some(source),
        }
    }
}

/// What is there.
#[derive(Debug, Default)]
struct Found {
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
    let found = Found::look(client, &config.database).await?;
    if found.version > SCHEMA_VERSION {
        return Err(MigrateError::Newer { database: config.database.clone(), found: found.version });
    }
    check_types(&found)?;
    Ok(steps(&found, config))
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
        client
            .query(&escaped(&step.sql))
            .execute()
            .await
            .map_err(|source| MigrateError::Step { purpose: step.purpose.clone(), source })?;
    }
    Ok(plan)
}

/// Whether the schema is there, for who leaves making it to others.
///
/// # Errors
/// [`MigrateError`] when it is missing, newer, or cannot be looked at.
pub async fn check(client: &Client, config: &SinkConfig) -> Result<(), MigrateError> {
    match plan(client, config).await?.iter().find(|step| step.purpose.starts_with("create")) {
        None => Ok(()),
        Some(missing) => Err(MigrateError::Missing { missing: missing.purpose.clone() }),
    }
}

/// The client takes `?` for a placeholder.
fn escaped(sql: &str) -> String {
    sql.replace('?', "??")
}

impl Found {
    async fn look(client: &Client, database: &str) -> Result<Self, Error> {
        let name = ddl::quoted(database);
        let databases = rows(client, &format!("SELECT name FROM system.databases WHERE name = {name}")).await?;
        if databases.is_empty() {
            return Ok(Self::default());
        }
        let tables = format!("SELECT name, create_table_query FROM system.tables WHERE database = {name}");
        let columns = format!("SELECT table, name, type FROM system.columns WHERE database = {name}");
        let mut found = Self { database: true, ..Self::default() };
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

/// The rows of a query, as text.
async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, Error> {
    let bytes = client.query(&escaped(sql)).fetch_bytes("TabSeparated")?.collect().await?;
    let unescape = |field: &str| field.replace("\\n", "\n").replace("\\'", "'").replace("\\\\", "\\");
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(|line| line.split('\t').map(unescape).collect()).collect())
}

fn steps(found: &Found, config: &SinkConfig) -> Vec<Step> {
    let database = &config.database;
    let mut steps = Vec::new();
    let mut add = |purpose: String, sql: String| steps.push(Step { purpose, sql });
    if !found.database {
        add(format!("create database {database}"), ddl::create_database(database));
    }
    if found.table(MIGRATIONS_TABLE).is_none() {
        add(format!("create table {MIGRATIONS_TABLE}"), ddl::create_migrations_table(database));
    }
    for table in Table::ALL {
        match found.table(table.name()) {
            None => {
                let days = config.retention_days.days(table);
                add(format!("create table {}", table.name()), ddl::create_table(database, table, days));
            }
            Some(create) => alter_table(found, config, table, create, &mut add),
        }
    }
    for table in Table::ALL {
        view(found, database, table, &mut add);
    }
    record(found, database, &mut add);
    steps
}

/// Columns that are missing, labels that an enum lacks, and a retention that changed.
fn alter_table(found: &Found, config: &SinkConfig, table: Table, create: &str, add: &mut impl FnMut(String, String)) {
    let name = table.name();
    let qualified = format!("{}.{name}", config.database);
    let columns = ddl::columns(table);
    let mut before: Option<&str> = None;
    for column in &columns {
        match found.column_type(name, column.name) {
            None => {
                let place =
                    before.map_or_else(|| "FIRST".to_owned(), |before| format!("AFTER {}", ddl::identifier(before)));
                let definition = ddl::column_definition(column);
                // A dimension that is not part of the sorting key would be merged away.
                let key = match table {
                    Table::Flows | Table::Side(_) => String::new(),
                    _ => sorting_key(found, table, column.name),
                };
                add(
                    format!("add column {name}.{}", column.name),
                    format!("ALTER TABLE {qualified} ADD COLUMN IF NOT EXISTS {definition} {place}{key}"),
                );
            }
            Some(existing) if existing.starts_with("Enum8") && existing != column.clickhouse => add(
                format!("widen column {name}.{}", column.name),
                format!("ALTER TABLE {qualified} MODIFY COLUMN {} {}", column.name, column.clickhouse),
            ),
            Some(_) => {}
        }
        before = Some(column.name);
    }
    let wanted = config.retention_days.days(table);
    if retention(create) != wanted {
        let change = match ddl::ttl(wanted) {
            Some(ttl) => format!("MODIFY TTL {ttl}"),
            None => "REMOVE TTL".to_owned(),
        };
        add(format!("keep {name} for {}", period(wanted)), format!("ALTER TABLE {qualified} {change}"));
    }
}

/// The change of a rollup's sorting key for a new dimension, which can only become its last.
fn sorting_key(found: &Found, table: Table, new: &str) -> String {
    let wanted = ddl::sorting_key(table);
    if !wanted.contains(&new) {
        return String::new();
    }
    let known = wanted.iter().copied().filter(|key| found.column_type(table.name(), key).is_some());
    let keys: Vec<&str> = known.chain([new]).collect();
    format!(", MODIFY ORDER BY ({})", keys.join(", "))
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

/// A view that is missing is created; one with another query takes the new one without a gap.
fn view(found: &Found, database: &str, table: Table, add: &mut impl FnMut(String, String)) {
    let (Some(view), Some(create), Some(query)) =
        (table.view(), ddl::create_view(database, table), rollup::query(database, table))
    else {
        return;
    };
    if found.table(view).is_none() {
        add(format!("create view {view}"), create);
    } else if found.checksum(view).is_some_and(|recorded| recorded != checksum(&query)) {
        add(format!("change view {view}"), format!("ALTER TABLE {database}.{view} MODIFY QUERY\n{query}"));
    }
}

/// Notes down the version, and which query each view has.
fn record(found: &Found, database: &str, add: &mut impl FnMut(String, String)) {
    let queries = Table::ALL.into_iter().filter_map(|table| Some((table.view()?, rollup::query(database, table)?)));
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

    /// A database as the plan for an empty server leaves it.
    fn complete(config: &SinkConfig) -> Found {
        let mut found = Found { database: true, version: SCHEMA_VERSION, ..Found::default() };
        for table in Table::ALL {
            let days = config.retention_days.days(table);
            found.tables.push((table.name().into(), ddl::create_table(&config.database, table, days)));
            for column in ddl::columns(table) {
                found.columns.push((table.name().into(), column.name.into(), column.clickhouse));
            }
            if let (Some(view), Some(query)) = (table.view(), rollup::query(&config.database, table)) {
                found.tables.push((view.into(), String::new()));
                found.recorded.push((view.into(), checksum(&query)));
            }
        }
        found.tables.push((MIGRATIONS_TABLE.into(), String::new()));
        found.recorded.push(("schema".into(), 0));
        found
    }

    fn purposes(found: &Found, config: &SinkConfig) -> Vec<String> {
        steps(found, config).into_iter().map(|step| step.purpose).collect()
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
        assert_eq!(purposes.last().unwrap(), "record schema version 1");
    }

    #[test]
    fn a_missing_column_is_added_in_its_place() {
        let config = SinkConfig::default();
        let mut found = complete(&config);
        found.columns.retain(|(table, column, _)| (table.as_str(), column.as_str()) != ("flows", "ttl"));
        let steps = steps(&found, &config);
        assert_eq!(steps.len(), 1);
        assert!(
            steps[0].sql.starts_with("ALTER TABLE helios.flows ADD COLUMN IF NOT EXISTS ttl UInt8"),
            "{}",
            steps[0].sql
        );
        assert!(steps[0].sql.ends_with("AFTER tos"), "{}", steps[0].sql);
    }

    #[test]
    fn a_changed_retention_changes_the_table() {
        let mut config = SinkConfig::default();
        let found = complete(&config);
        config.retention_days.flows = 3;
        config.retention_days.flows_1h = 0;
        assert_eq!(purposes(&found, &config), ["keep flows for 3 days", "keep flows_1h for ever"]);
        assert!(steps(&found, &config)[1].sql.ends_with("REMOVE TTL"));
    }

    #[test]
    fn a_changed_view_is_changed_in_place_and_recorded() {
        let config = SinkConfig::default();
        let mut found = complete(&config);
        found.recorded[0].1 ^= 1;
        assert_eq!(purposes(&found, &config), ["change view flows_1m_mv", "record schema version 1"]);
    }
}
