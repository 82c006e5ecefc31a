//! What can be configured about storing flows: the section `clickhouse` of helios' configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

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

/// Where rows are stored, how they get there, and how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkConfig {
    /// Address of ClickHouse's HTTP interface, `http://host:8123` or `https://host:8443`.
    pub url: String,

    pub cluster: ClusterConfig,

    /// Database of all tables: letters, digits and underscores. It is created if it is missing.
    pub database: String,

    /// User to log in as. It needs SELECT and INSERT on the database, and CREATE, ALTER and DROP unless `migrate` is off.
    pub user: String,

    /// File that holds the user's password; a trailing line break is ignored. It is read again after a failure, so
    /// a rotated secret needs no restart. Without it the environment variable CLICKHOUSE_PASSWORD counts, and no
    /// password is sent if that is not set either.
    pub password_file: Option<PathBuf>,

    /// PEM file of certificate authorities to trust for `https`, beside those of the operating system.
    pub ca_file: Option<PathBuf>,

    /// Create and upgrade the tables, and apply `retention_days`, before the first row is sent. When off, `helios
    /// migrate` has to have done it, and helios waits with its rows until then.
    pub migrate: bool,

    /// Days that each table keeps its rows; 0 keeps them for ever. A change is applied to the existing tables.
    pub retention_days: Retention,

    pub max_table_bytes: Budget,

    /// Concurrent inserts, one per connection. While all are busy the open block grows instead of
    /// closing by age, so a slow ClickHouse gets fewer, bigger blocks. Two keep it busy while the next block is sent.
    pub connections: usize,

    /// Compression of blocks on the wire and while they wait: `lz4`; `lz4_fast`, which takes half of its CPU and a sixth
    /// more bytes; or `none` for a ClickHouse on the same host or behind 10 Gbit/s and more.
    pub compression: Compression,

    /// Rows after which a block is closed. Blocks of 1 M rows cost ClickHouse about half of what blocks of 100 k cost,
    /// merges counted. At most 1048449, which is what ClickHouse takes as one block.
    pub block_rows: u64,

    /// Bytes, before compression, after which a block is closed.
    pub block_bytes: u64,

    /// Milliseconds after which an open block is sent however few rows it has. Bounds how old the newest row in
    /// ClickHouse is; every flush is a part that ClickHouse has to merge.
    pub flush_interval_ms: u64,

    /// Bytes of closed blocks, as compressed, that are kept in memory while ClickHouse does not take them. Beyond, the
    /// oldest block is in the spool only; without a spool it is dropped and counted.
    pub max_backlog_bytes: u64,

    /// Blocks on disk.
    pub spool: SpoolConfig,

    /// Milliseconds for the connection to be made.
    pub connect_timeout_ms: u64,

    /// Milliseconds for ClickHouse to take a block once it is sent, materialized views included; then it is sent
    /// again, with the same deduplication token. Doubled up to four times for a server that is always slower.
    pub insert_timeout_ms: u64,

    /// Milliseconds before the first retry; doubles with every further one, plus or minus a random quarter.
    pub retry_initial_ms: u64,

    /// Milliseconds between retries at most, and always after a mistake that only a person can fix, such as a wrong
    /// password.
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
    /// Every flow as it was received.
    pub flows: u32,
    /// Traffic by minute.
    pub flows_1m: u32,
    /// Traffic by hour.
    pub flows_1h: u32,
    /// The busiest hosts of every exporter by hour.
    pub talkers_1h: u32,
    /// Counter samples of sFlow agents, by interface.
    pub interface_counters: u32,
    /// What every exporter sent and lost, by minute.
    pub exporters: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { flows: 7, flows_1m: 30, flows_1h: 90, talkers_1h: 90, interface_counters: 30, exporters: 90 }
    }
}

impl Retention {
    /// Days that a table keeps its rows; 0 for ever.
    pub fn days(&self, table: Table) -> u32 {
        match table {
            Table::Flows => self.flows,
            Table::Flows1m => self.flows_1m,
            Table::Flows1h => self.flows_1h,
            Table::Talkers1h => self.talkers_1h,
            Table::Side(SideTable::InterfaceCounters) => self.interface_counters,
            Table::Side(SideTable::Exporters) => self.exporters,
        }
    }
}

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    #[default]
    Lz4,
    /// LZ4 that gives up earlier on what does not compress.
    Lz4Fast,
    None,
}

/// A value that makes no sense, and what would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, below the section.
    pub key: &'static str,
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
        let mut expect = |right: bool, key: &'static str, problem: &str| {
            if !right {
                mistakes.push(ConfigError { key, problem: problem.into() });
            }
        };
        if let Err(problem) = helios_web::address::check_header(&self.user) {
            expect(false, "user", problem);
        }
        if let Err(problem) = check_url(&self.url) {
            expect(false, "url", &problem);
        }
        for (key, problem) in self.cluster.mistakes(check_url) {
            expect(false, key, &problem);
        }
        expect(is_identifier(&self.database), "database", "use letters, digits and underscores, a letter first");
        expect(!self.user.is_empty(), "user", "must not be empty; ClickHouse's own default is `default`");
        let retention = [
            ("retention_days.flows", self.retention_days.flows),
            ("retention_days.flows_1m", self.retention_days.flows_1m),
            ("retention_days.flows_1h", self.retention_days.flows_1h),
            ("retention_days.talkers_1h", self.retention_days.talkers_1h),
            ("retention_days.interface_counters", self.retention_days.interface_counters),
            ("retention_days.exporters", self.retention_days.exporters),
        ];
        for (key, days) in retention {
            expect(days <= RETENTION_DAYS_MAX, key, "at most 20000 days; 0 keeps the rows for ever");
        }
        expect((1..=64).contains(&self.connections), "connections", "from 1 to 64");
        expect((1..=BLOCK_ROWS_MAX).contains(&self.block_rows), "block_rows", "from 1 to 1048449");
        expect(
            (1 << 20..=256 << 20).contains(&self.block_bytes),
            "block_bytes",
            "from 1048576 (1 MiB) to 268435456 (256 MiB)",
        );
        expect((10..=600_000).contains(&self.flush_interval_ms), "flush_interval_ms", "from 10 to 600000");
        expect(
            self.max_backlog_bytes >= 16 << 20,
            "max_backlog_bytes",
            "at least 16777216 (16 MiB): less would not hold the blocks that are being sent",
        );
        expect((1..=600_000).contains(&self.connect_timeout_ms), "connect_timeout_ms", "from 1 to 600000");
        expect((1..=3_600_000).contains(&self.insert_timeout_ms), "insert_timeout_ms", "from 1 to 3600000");
        expect((1..=60_000).contains(&self.retry_initial_ms), "retry_initial_ms", "from 1 to 60000");
        expect(
            (self.retry_initial_ms..=3_600_000).contains(&self.retry_max_ms),
            "retry_max_ms",
            "from retry_initial_ms to 3600000",
        );
        for (key, problem) in self.spool.mistakes() {
            expect(false, key, problem);
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
        return Err("user and password do not belong here: use `user` and `password_file`".into());
    }
    if parsed.query().is_some() {
        return Err("settings do not belong here: leave out everything from the question mark on".into());
    }
    if matches!(parsed.port_u16(), Some(9000 | 9440)) {
        return Err("port 9000 and 9440 speak ClickHouse's own protocol: use the HTTP port, 8123 or 8443".into());
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
