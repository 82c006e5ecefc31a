//! What `helios check` prints: a line for each thing that `helios run` would do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use helios_collector::config::{RelayConfig, RelaySource};
use helios_collector::relay::may_keep_source;
use helios_common::columns::Column;
use helios_sink::config::ClusterConfig;
use helios_sink::schema::Table;
use helios_sink::spool::SpoolConfig;
use helios_web::address::place;

use super::super::counted;
use crate::config::{Config, UserColumn};

/// The report; `databases` are the GeoIP databases as they were found.
pub(super) fn describe(config: &Config, databases: &[String]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut line = |name: &str, what: String| {
        let _ = writeln!(out, "{name:<16}{what}");
    };
    let collector = &config.collector;
    line("listen", listen(config));
    line("allow", allowed(&collector.allow));
    for relay in &collector.relay {
        line("relay", relayed(relay));
    }
    line("workers", format!("{}, exporters spread over them by source address", collector.workers));
    line("receive buffer", receive_buffer(collector.receive_buffer_bytes, rmem_max()));
    let kept = |path: &Path| format!("templates, sampling tables and names are kept in {}", path.display());
    line(
        "state",
        collector.state_dir.as_deref().map_or("nothing survives a restart (collector.state_dir)".into(), kept),
    );
    for database in databases {
        line("geoip", database.clone());
    }
    if databases.is_empty() {
        line("geoip", "none: countries, cities and AS names stay empty (enricher.geoip)".into());
    }
    for source in names_of(config) {
        line("names", source);
    }
    let clickhouse = &config.clickhouse;
    line(
        "clickhouse",
        format!("{}, database {}, user {}", place(&clickhouse.url), clickhouse.database, clickhouse.user),
    );
    if clickhouse.cluster != ClusterConfig::default() {
        line("cluster", cluster(&clickhouse.cluster));
    }
    line("password", password(clickhouse.password_file.as_deref(), std::env::var_os("CLICKHOUSE_PASSWORD").is_some()));
    line("tables", retention(config));
    if clickhouse.max_table_bytes.is_set() {
        line("limits", limits(config));
    }
    if !config.columns.is_empty() {
        line("columns", columns(config));
    }
    line(
        "schema",
        match clickhouse.migrate {
            true => "created and upgraded at start".into(),
            false => "left alone; rows wait until `helios migrate` has run".into(),
        },
    );
    line(
        "blocks",
        format!(
            "closed by {} rows, {} or {} ms; {} connections",
            clickhouse.block_rows,
            bytes(clickhouse.block_bytes),
            clickhouse.flush_interval_ms,
            clickhouse.connections
        ),
    );
    line("backlog", format!("{} in memory while ClickHouse is away", bytes(clickhouse.max_backlog_bytes)));
    line("spool", spool(config));
    line("admin", config.admin.listen.map_or("off".into(), |address| format!("http://{address}/")));
    line("stop", format!("within {} ms", config.pipeline.shutdown_timeout_ms));
    out
}

/// Sources of names beside GeoIP, a line each.
fn names_of(config: &Config) -> Vec<String> {
    let enricher = &config.enricher;
    let file = |what: &'static str| move |path: &PathBuf| format!("{what} from {}", path.display());
    let mut lines: Vec<String> = enricher.networks.files.iter().map(file("networks")).collect();
    let servers = enricher.networks.http.iter();
    lines
        .extend(servers.map(|source| {
            format!("networks from {} every {} s", place(&source.url), secs(source.refresh_interval_ms))
        }));
    lines.extend(config.netbox.url.iter().map(|url| format!("NetBox at {}", place(url))));
    let prometheus = &enricher.interfaces.prometheus;
    lines.extend(
        prometheus
            .url
            .iter()
            .map(|url| format!("interfaces from {} every {} s", place(url), secs(prometheus.refresh_interval_ms))),
    );
    lines.extend(enricher.inventory.files.iter().map(file("devices")));
    let (exporters, interfaces) = (enricher.rules.exporters.len(), enricher.rules.interfaces.len());
    if exporters + interfaces > 0 {
        let (exporters, interfaces) = (counted(exporters as u64, "rule"), counted(interfaces as u64, "rule"));
        lines.push(format!("{exporters} for exporters, {interfaces} for interfaces"));
    }
    lines
}

fn spool(config: &Config) -> String {
    let spool = config.sink().spool;
    match spool.active() {
        Some(path) => {
            let limits = format!(
                "{} in {}; {} stay free there",
                bytes(spool.max_bytes),
                path.display(),
                bytes(spool.min_free_bytes)
            );
            limits + &shortage(free_bytes(path), &spool)
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

fn listen(config: &Config) -> String {
    let collector = &config.collector;
    let tcp = if collector.tcp.tls.certificate.is_some() { "tls" } else { "tcp" };
    let udp = collector.listen.iter().map(|address| format!("udp {address}"));
    udp.chain(collector.tcp.listen.iter().map(|address| format!("{tcp} {address}"))).collect::<Vec<_>>().join(", ")
}

fn allowed(prefixes: &[String]) -> String {
    match prefixes {
        [] => "every sender is accepted (collector.allow)".to_owned(),
        [one] => format!("exporters in {one}; datagrams of others are discarded"),
        [first, .., last] => {
            format!("exporters in {} prefixes ({first} to {last}); datagrams of others are discarded", prefixes.len())
        }
    }
}

fn relayed(relay: &RelayConfig) -> String {
    let to = relay.to;
    match relay.source {
        RelaySource::Helios => {
            format!("every datagram also to {to}, from an address of this host: it takes all exporters for one")
        }
        RelaySource::Exporter => {
            let kept = format!("every datagram also to {to} with the exporters' addresses, which takes CAP_NET_RAW");
            match may_keep_source(to) {
                Ok(()) => kept,
                Err(error) => format!("{kept}: THIS PROCESS HAS IT NOT ({error})"),
            }
        }
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

fn retention(config: &Config) -> String {
    let days = |table: Table| match config.clickhouse.retention_days.days(table) {
        0 => format!("{} for ever", table.name()),
        1 => format!("{} 1 day", table.name()),
        days => format!("{} {days} days", table.name()),
    };
    Table::ALL.map(days).join(", ")
}

fn limits(config: &Config) -> String {
    let limit =
        |table: Table| Some(format!("{} {}", table.name(), bytes(config.clickhouse.max_table_bytes.bytes(table)?)));
    let limits: Vec<String> = Table::ALL.into_iter().filter_map(limit).collect();
    format!("{}; the oldest partitions go when a table takes more", limits.join(", "))
}

/// The columns that are added or filled, as `name type = enterprise/element`.
fn columns(config: &Config) -> String {
    let column = |user: &UserColumn| {
        let kind = Column::by_name(&user.name).map_or_else(String::new, |column| column.spec().kind.clickhouse());
        let verb = if user.fill { "filled by" } else { "=" };
        format!("{} {kind} {verb} {}/{}", user.name, user.pen, user.id)
    };
    format!("flows and {}", config.columns.iter().map(column).collect::<Vec<_>>().join(", "))
}

fn password(file: Option<&Path>, variable: bool) -> String {
    match (file, variable) {
        (Some(file), _) => format!("from {}", file.display()),
        (None, true) => "from the variable CLICKHOUSE_PASSWORD".to_owned(),
        (None, false) => "none".to_owned(),
    }
}

/// The kernel's limit for receive buffers without CAP_NET_ADMIN.
fn rmem_max() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?.trim().parse().ok()
}

fn receive_buffer(asked: usize, limit: Option<usize>) -> String {
    let asked_text = format!("{} per socket", bytes(asked as u64));
    match limit {
        Some(limit) if limit < asked => {
            format!(
                "{asked_text}; the kernel grants {} unless Helios has CAP_NET_ADMIN: `sysctl -w net.core.rmem_max={asked}`",
                bytes(limit as u64)
            )
        }
        _ => asked_text,
    }
}

/// Binary prefixes, as the keys are usually set.
fn bytes(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 && b.is_multiple_of(1 << 30) => format!("{} GiB", b >> 30),
        b if b >= 1 << 20 => format!("{} MiB", b >> 20),
        b if b >= 1 << 10 => format!("{} KiB", b >> 10),
        b => format!("{b} bytes"),
    }
}

/// Milliseconds in seconds.
fn secs(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_they_are_set() {
        for (octets, text) in [(100, "100 bytes"), (4 << 10, "4 KiB"), (240 << 20, "240 MiB"), (1 << 30, "1 GiB")] {
            assert_eq!(bytes(octets), text);
        }
    }

    #[test]
    fn a_spool_that_the_disk_has_no_room_for_is_said_to_be_none() {
        let spool = SpoolConfig { max_bytes: 16 << 30, min_free_bytes: 1 << 30, ..SpoolConfig::default() };
        assert_eq!(shortage(Some(20 << 30), &spool), "");
        assert_eq!(shortage(Some(3 << 30), &spool), ". Only 2 GiB of that are free now");
        assert!(shortage(Some(1 << 30), &spool).contains("NOTHING IS SPOOLED NOW: only 1 GiB are free"));
        assert!(free_bytes(Path::new("/not/made/yet")).is_some());
    }

    #[test]
    fn a_buffer_that_the_kernel_will_not_grant_is_said_to_be_one() {
        assert_eq!(receive_buffer(32 << 20, Some(64 << 20)), "32 MiB per socket");
        let capped = receive_buffer(32 << 20, Some(4 << 20));
        assert_eq!(
            capped,
            "32 MiB per socket; the kernel grants 4 MiB unless Helios has CAP_NET_ADMIN: `sysctl -w net.core.rmem_max=33554432`"
        );
    }
}
