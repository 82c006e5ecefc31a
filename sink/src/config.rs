//! What can be configured about storing flows: the section `clickhouse` of helios' configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use helios_advice::outside;
use helios_common::side::SideTable;
use serde::{Deserialize, Serialize};

pub use crate::cluster::config::ClusterConfig;
pub use crate::retention::config::Budget;
use crate::schema::Table;
use crate::spool::SpoolConfig;

/// Where the password is read from if `password_file` is not set.
pub const PASSWORD_VARIABLE: &str = "CLICKHOUSE_PASSWORD";

/// A block of more rows would be cut in two by ClickHouse (`max_insert_block_size`, default of 26.x), and only an
/// insert that stays one block is aggregated and deduplicated as one.
pub const BLOCK_ROWS_MAX: u64 = 1_048_449;

/// Where rows are stored, how they are sent, and how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkConfig {
    /// URL of ClickHouse's HTTP interface, `http://host:8123` or `https://host:8443`.
    pub url: String,

    #[expect(missing_docs, reason = "the reference of the configuration prints the text of the struct")]
    pub cluster: ClusterConfig,

    /// Database of all tables: letters, digits and underscores. Helios creates it if it is missing.
    pub database: String,

    /// User to log in as. It needs SELECT and INSERT on the database, and CREATE and ALTER unless `migrate` is off;
    /// docs/operating.md has the statements.
    pub user: String,

    /// File with the password of the user; a trailing line break is ignored. Helios reads it again after a failure: a
    /// rotated password needs no restart. Without this file, Helios uses the variable CLICKHOUSE_PASSWORD, and without
    /// both no password.
    pub password_file: Option<PathBuf>,

    /// PEM file with certificate authorities to trust for `https`, in addition to those of the operating system.
    pub ca_file: Option<PathBuf>,

    /// Create and upgrade the tables and apply `retention_days` at the start, before the first row is sent. If off, run
    /// `helios migrate`; rows wait until the tables are up to date.
    pub migrate: bool,

    /// Days that each table keeps its rows; 0: for ever. A change applies to the existing tables.
    pub retention_days: Retention,

    #[expect(missing_docs, reason = "the reference of the configuration prints the text of the struct")]
    pub max_table_bytes: Budget,

    /// Inserts at the same time, one per connection. While all connections are busy, the open block grows instead of
    /// closing by age: a slow ClickHouse gets fewer and larger blocks.
    pub connections: usize,

    /// Compression of blocks on the wire, in memory and in the spool. `lz4-fast` takes half the CPU of `lz4` and a
    /// sixth more bytes. `none` is for a ClickHouse on the same host or behind 10 Gbit/s and more.
    pub compression: Compression,

    /// Rows after which a block is closed. A row in blocks of 1,000,000 rows costs ClickHouse about half as much as in
    /// blocks of 100,000, merges included. ClickHouse takes 1048449 rows as one block at most.
    pub block_rows: u64,

    /// Bytes, before compression, after which a block is closed. Worst case of the open block: this, one batch, and the
    /// rollups of its rows.
    pub block_bytes: u64,

    /// Milliseconds after which an open block is sent, however few rows it has. A longer interval means fewer parts for
    /// ClickHouse to merge, and rows that appear later.
    pub flush_interval_ms: u64,

    /// Compressed bytes of closed blocks in memory while ClickHouse does not take them. When they are more, the oldest
    /// block stays in the spool only; without a spool, Helios drops it and counts its rows. Worst case: this, and one block
    /// for each connection.
    pub max_backlog_bytes: u64,

    /// Blocks on disk.
    pub spool: SpoolConfig,

    /// Milliseconds after which an attempt to connect fails.
    pub connect_timeout_ms: u64,

    /// Milliseconds that ClickHouse may take to store a block, materialized views included. Then Helios sends the block
    /// again with the same deduplication token. For a server that is always slower, Helios doubles the time up to four
    /// times.
    pub insert_timeout_ms: u64,

    /// Milliseconds before the first retry. The time doubles with every further one, plus or minus a random quarter.
    pub retry_initial_ms: u64,

    /// Longest time between two retries, in milliseconds; also the time after an error that an operator has to fix,
    /// such as a wrong password.
    pub retry_max_ms: u64,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".into(),
            cluster: ClusterConfig::default(),
            database: "helios".into(),
            user: "default".into(),
            password_file: None,
            ca_file: None,
            migrate: true,
            retention_days: Retention::default(),
            max_table_bytes: Budget::default(),
            connections: 2,
            compression: Compression::Lz4,
            block_rows: 1_000_000,
            block_bytes: 240 << 20,
            flush_interval_ms: 1_000,
            max_backlog_bytes: 512 << 20,
            spool: SpoolConfig::default(),
            connect_timeout_ms: 5_000,
            insert_timeout_ms: 60_000,
            retry_initial_ms: 200,
            retry_max_ms: 15_000,
        }
    }
}

/// Days per table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Every flow as received.
    pub flows: u32,
    /// Traffic by minute.
    pub flows_1m: u32,
    /// Traffic by hour.
    pub flows_1h: u32,
    /// Traffic of the whole network by hour, of a few columns together.
    pub summary_1h: u32,
    /// The busiest hosts and services of every exporter by minute.
    pub talkers_1m: u32,
    /// The busiest hosts and services of every exporter by hour.
    pub talkers_1h: u32,
    /// Counter samples of sFlow agents, by interface.
    pub interface_counters: u32,
    /// What each exporter sent and lost, by minute.
    pub exporters: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            flows: 7,
            flows_1m: 30,
            flows_1h: 90,
            summary_1h: 90,
            talkers_1m: 30,
            talkers_1h: 90,
            interface_counters: 30,
            exporters: 90,
        }
    }
}

impl Retention {
    /// Days that a table keeps its rows; 0 for ever.
    pub fn days(&self, table: Table) -> u32 {
        match table {
            Table::Flows => self.flows,
            Table::Flows1m => self.flows_1m,
            Table::Flows1h => self.flows_1h,
            Table::Summary1h => self.summary_1h,
            Table::Talkers1m => self.talkers_1m,
            Table::Talkers1h => self.talkers_1h,
            Table::Side(SideTable::InterfaceCounters) => self.interface_counters,
            Table::Side(SideTable::Exporters) => self.exporters,
        }
    }
}

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// ClickHouse's frames with LZ4.
    #[default]
    Lz4,
    /// LZ4 that gives up earlier on what does not compress.
    Lz4Fast,
    /// No frames: the body is ArrowStream as it is.
    None,
}

/// A value that makes no sense, and what would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, below the section.
    pub key: &'static str,
    /// What is wrong and what would work, as the end of a sentence.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// The longest retention that ClickHouse can express with a 32-bit DateTime (until 2106).
const RETENTION_DAYS_MAX: u32 = 20_000;

impl SinkConfig {
    /// Checks every value by itself and against the others.
    ///
    /// # Errors
    /// Every mistake, in the order of the keys.
    pub fn validate(&self) -> Result<(), Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        let mut found = |key: &'static str, problem: Option<String>| {
            mistakes.extend(problem.map(|problem| ConfigError { key, problem }));
        };
        found("url", check_url(&self.url).err());
        found("user", helios_web::address::check_header(&self.user).err().map(str::to_owned));
        for (key, problem) in self.cluster.mistakes(check_url) {
            found(key, Some(problem));
        }
        let database =
            || format!("must be letters, digits and underscores, with a letter first, found `{}`", self.database);
        found("database", (!is_identifier(&self.database)).then(database));
        let user = || "must not be empty; the default user of ClickHouse is `default`".to_owned();
        found("user", self.user.is_empty().then(user));
        let retention = [
            ("retention_days.flows", self.retention_days.flows),
            ("retention_days.flows_1m", self.retention_days.flows_1m),
            ("retention_days.flows_1h", self.retention_days.flows_1h),
            ("retention_days.summary_1h", self.retention_days.summary_1h),
            ("retention_days.talkers_1m", self.retention_days.talkers_1m),
            ("retention_days.talkers_1h", self.retention_days.talkers_1h),
            ("retention_days.interface_counters", self.retention_days.interface_counters),
            ("retention_days.exporters", self.retention_days.exporters),
        ];
        for (key, days) in retention {
            found(key, outside(days, 0, RETENTION_DAYS_MAX));
        }
        for (key, problem) in self.max_table_bytes.mistakes() {
            found(key, Some(problem));
        }
        found("connections", outside(self.connections, 1, 64));
        found("block_rows", outside(self.block_rows, 1, BLOCK_ROWS_MAX));
        found("block_bytes", outside(self.block_bytes, 1 << 20, 256 << 20));
        found("flush_interval_ms", outside(self.flush_interval_ms, 10, 600_000));
        // Less would not hold the blocks that are being sent.
        found("max_backlog_bytes", outside(self.max_backlog_bytes, 16 << 20, 1 << 40));
        found("connect_timeout_ms", outside(self.connect_timeout_ms, 1, 600_000));
        found("insert_timeout_ms", outside(self.insert_timeout_ms, 1, 3_600_000));
        found("retry_initial_ms", outside(self.retry_initial_ms, 1, 60_000));
        let retry = outside(self.retry_max_ms, self.retry_initial_ms, 3_600_000);
        found("retry_max_ms", retry.map(|problem| format!("{problem}; the lower end is retry_initial_ms")));
        for (key, problem) in self.spool.mistakes() {
            found(key, Some(problem));
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// The database whose tables hold rows: in a cluster, that of the servers' own tables behind the Distributed ones.
    pub fn storage_database(&self) -> String {
        match self.cluster.name {
            Some(_) => format!("{}_local", self.database),
            None => self.database.clone(),
        }
    }

    pub(crate) fn flush_interval(&self) -> Duration {
        Duration::from_millis(self.flush_interval_ms)
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn insert_timeout(&self) -> Duration {
        Duration::from_millis(self.insert_timeout_ms)
    }

    pub(crate) fn retry_initial(&self) -> Duration {
        Duration::from_millis(self.retry_initial_ms)
    }

    pub(crate) fn retry_max(&self) -> Duration {
        Duration::from_millis(self.retry_max_ms)
    }
}

/// Database names go into statements as they are, so nothing else is let through.
fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn check_url(url: &str) -> Result<(), String> {
    let parsed = helios_web::address::check(url)?;
    let authority = parsed.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("must not contain user and password: set `user` and `password_file`".into());
    }
    if parsed.query().is_some() {
        return Err("must not contain settings: remove everything from the question mark on".into());
    }
    if matches!(parsed.port_u16(), Some(9000 | 9440)) {
        return Err("ports 9000 and 9440 are for ClickHouse's native protocol: use the HTTP port, 8123 or 8443".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(change: impl FnOnce(&mut SinkConfig)) -> Vec<&'static str> {
        let mut config = SinkConfig::default();
        change(&mut config);
        config.validate().err().unwrap_or_default().iter().map(|mistake| mistake.key).collect()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(SinkConfig::default().validate(), Ok(()));
    }

    #[test]
    fn every_mistake_is_named_not_only_the_first() {
        let found = mistakes(|config| {
            config.database = "flows; drop".into();
            config.block_rows = BLOCK_ROWS_MAX + 1;
            config.retention_days.flows_1m = 30_000;
        });
        assert_eq!(found, ["database", "retention_days.flows_1m", "block_rows"]);
        assert_eq!(mistakes(|config| config.block_rows = BLOCK_ROWS_MAX), [""; 0]);
    }

    #[test]
    fn an_address_that_cannot_work_is_told_apart_from_one_that_may() {
        for bad in
            ["127.0.0.1:8123", "ftp://db", "http://u:p@db:8123", "http://db:9000", "http://db:8123/?a=1", "http://"]
        {
            assert_eq!(mistakes(|config| config.url = bad.into()), ["url"], "{bad}");
        }
        for good in ["http://db:8123", "https://db.example.net:8443", "http://[::1]:8123/clickhouse"] {
            assert_eq!(mistakes(|config| config.url = good.into()), [""; 0], "{good}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_and_missing_ones_take_their_default() {
        let config: SinkConfig =
            serde_json::from_str(r#"{"retention_days": {"flows": 3}, "compression": "none"}"#).unwrap();
        assert_eq!((config.retention_days.flows, config.retention_days.flows_1m), (3, 30));
        assert_eq!(config.compression, Compression::None);
        assert!(serde_json::from_str::<SinkConfig>(r#"{"retention": 3}"#).is_err());
    }

    #[test]
    fn a_cluster_has_a_name_and_shards_have_replicas() {
        let shards = |name: Option<&str>, shards: &[&[&str]]| {
            let shards = shards.iter().map(|urls| urls.iter().map(|url| (*url).to_owned()).collect()).collect();
            mistakes(|config| config.cluster = ClusterConfig { name: name.map(Into::into), shards })
        };
        assert_eq!(shards(Some("c"), &[&["http://a:8123", "http://b:8123"], &["http://c:8123"]]), [""; 0]);
        assert_eq!(shards(Some("c"), &[]), [""; 0]);
        assert_eq!(shards(None, &[&["http://a:8123"], &["http://b:8123"]]), [""; 0]);
        assert_eq!(
            shards(Some("c'"), &[&["http://a:9000"], &[]]),
            ["cluster.name", "cluster.shards", "cluster.shards"]
        );
    }
}
