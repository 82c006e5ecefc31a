//! What the section `clickhouse` means, for `helios check`.

use std::path::Path;

use helios_advice::bytes;
use helios_web::address::place;

use crate::config::{ClusterConfig, PASSWORD_VARIABLE, SinkConfig};
use crate::schema::Table;
use crate::spool::SpoolConfig;

impl SinkConfig {
    /// What `helios run` would do, a line for each thing: its name and the rest of the line. Looks at the free space of the
    /// spool's disk and asks no server.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let mut lines =
            vec![("clickhouse", format!("{}, database {}, user {}", place(&self.url), self.database, self.user))];
        if self.cluster != ClusterConfig::default() {
            lines.push(("cluster", cluster(&self.cluster)));
        }
        let variable = std::env::var_os(PASSWORD_VARIABLE).is_some();
        lines.push(("password", password(self.password_file.as_deref(), variable)));
        lines.push(("tables", self.retention()));
        if self.max_table_bytes.is_set() {
            lines.push(("limits", self.limits()));
        }
        let schema = match self.migrate {
            true => "created and upgraded at start",
            false => "left alone; rows wait until `helios migrate` has run",
        };
        lines.push(("schema", schema.to_owned()));
        let (rows, size, ms) = (self.block_rows, bytes(self.block_bytes), self.flush_interval_ms);
        lines.push(("blocks", format!("closed by {rows} rows, {size} or {ms} ms; {} connections", self.connections)));
        let backlog = bytes(self.max_backlog_bytes);
        lines.push(("backlog", format!("{backlog} in memory while ClickHouse is away")));
        lines.push(("spool", spool(&self.spool)));
        lines
    }

    fn retention(&self) -> String {
        let days = |table: Table| match self.retention_days.days(table) {
            0 => format!("{} for ever", table.name()),
            1 => format!("{} 1 day", table.name()),
            days => format!("{} {days} days", table.name()),
        };
        Table::ALL.map(days).join(", ")
    }

    fn limits(&self) -> String {
        let limit = |table: Table| Some(format!("{} {}", table.name(), bytes(self.max_table_bytes.bytes(table)?)));
        let limits: Vec<String> = Table::ALL.into_iter().filter_map(limit).collect();
        format!("{}; the oldest partitions go when a table takes more", limits.join(", "))
    }
}

fn spool(spool: &SpoolConfig) -> String {
    match spool.active() {
        Some(path) => {
            let limits = format!(
                "{} in {}; {} stay free there",
                bytes(spool.max_bytes),
                path.display(),
                bytes(spool.min_free_bytes)
            );
            limits + &shortage(free_bytes(path), spool)
        }
        None => "none: a crash loses what is in memory (collector.state_dir, clickhouse.spool)".to_owned(),
    }
}

/// What the file system of a path has free; of one that is not made yet, that of the folder above it.
fn free_bytes(path: &Path) -> Option<u64> {
    let found = path.ancestors().find_map(|path| nix::sys::statvfs::statvfs(path).ok())?;
    Some(found.blocks_available() * found.fragment_size())
}

/// What stands in the way of the limits now.
fn shortage(free: Option<u64>, spool: &SpoolConfig) -> String {
    let Some(free) = free else { return String::new() };
    match free.checked_sub(spool.min_free_bytes) {
        None | Some(0) => format!(
            ". NOTHING IS SPOOLED NOW: only {} are free. Free some, or lower clickhouse.spool.min_free_bytes",
            bytes(free)
        ),
        Some(usable) if usable < spool.max_bytes => format!(". Only {} of that are free now", bytes(usable)),
        Some(_) => String::new(),
    }
}

fn cluster(config: &ClusterConfig) -> String {
    let tables = match &config.name {
        Some(name) => format!("{name}: replicated tables with Distributed ones to read from"),
        None => "without a name: plain tables on every shard".to_owned(),
    };
    let shards: Vec<String> = config.shards.iter().map(|replicas| replicas.join(" or ")).collect();
    match shards.as_slice() {
        [] => format!("{tables}; shards as system.clusters has them"),
        shards => format!("{tables}; shards {}", shards.join(", ")),
    }
}

fn password(file: Option<&Path>, variable: bool) -> String {
    match (file, variable) {
        (Some(file), _) => format!("from {}", file.display()),
        (None, true) => "from the variable CLICKHOUSE_PASSWORD".to_owned(),
        (None, false) => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_that_the_disk_has_no_room_for_is_said_to_be_none() {
        let spool = SpoolConfig { max_bytes: 16 << 30, min_free_bytes: 1 << 30, ..SpoolConfig::default() };
        assert_eq!(shortage(Some(20 << 30), &spool), "");
        assert_eq!(shortage(Some(3 << 30), &spool), ". Only 2 GiB of that are free now");
        assert!(shortage(Some(1 << 30), &spool).contains("NOTHING IS SPOOLED NOW: only 1 GiB are free"));
        assert!(free_bytes(Path::new("/not/made/yet")).is_some());
    }
}
