//! `helios check`: what a configuration would do, without doing it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use helios_common::columns::{Column, Spec};
use helios_common::names::Names;
use helios_enricher::GeoipConfig;
use helios_enricher::geoip::reload::Files;
use helios_enricher::hits::Hits;
use helios_enricher::sources::files::File;
use helios_enricher::sources::{Remotes, Sources};
use helios_netbox::NetBox;
use helios_sink::{client, migrate};

use super::{ConfigArgs, ListenArgs};
use crate::config::{Config, UserColumn};
use crate::exit::Exit;
use crate::explain;
use crate::pipeline::{names_of_netbox, netbox_file};

/// Validate a configuration and say what it would do
///
/// Reads file, environment and flags as `helios run` does, opens the databases that are configured, and prints what
/// would run. Every mistake is one line on standard error, with its place; the exit code is 78 then. Nothing is
/// started and nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios check --config helios.yaml
  helios check --config helios.yaml --connect       also ask ClickHouse whether it would take the flows
  helios check --explain 192.0.2.1 7                which name has the interface, and why?
  helios check --print > effective.yaml             every key with its effective value")]
pub struct Args {
    /// Print the effective configuration as YAML, every key
    #[arg(long, conflicts_with = "connect")]
    print: bool,

    /// Connect to ClickHouse: can it be reached, is the user let in, is the schema in place?
    #[arg(long)]
    connect: bool,

    /// Say what an exporter (address or name) and its interface (ifIndex or name) are called, and by which source or rule
    #[arg(long, num_args = 1..=2, value_names = ["EXPORTER", "INTERFACE"], conflicts_with_all = ["print", "connect"])]
    explain: Vec<String>,

    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    listen: ListenArgs,
}

/// # Errors
/// 78 for a wrong configuration, 1 when `--connect` finds no ClickHouse.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&args.listen)?;
    if let Some(exporter) = args.explain.first() {
        let page = explanation(&config, exporter, args.explain.get(1).map(String::as_str))?;
        return io::stdout().lock().write_all(page.as_bytes()).map_err(|error| Exit::output(&error));
    }
    let databases = files(&config, SystemTime::now())?;
    let mut report = if args.print { config.to_yaml() } else { describe(&config, &databases) };
    if args.connect {
        report.push_str(&connect(&config)?);
    }
    io::stdout().lock().write_all(report.as_bytes()).map_err(|error| Exit::output(&error))
}

/// Asks the configured sources once. One that does not answer is said to be missing, on standard error.
fn explanation(config: &Config, exporter: &str, interface: Option<&str>) -> Result<String, Exit> {
    let names = Arc::new(Names::new());
    let netbox = netbox(config)?;
    let external = netbox.iter().map(|netbox| names_of_netbox(config, netbox)).collect();
    let sources = Sources::open(&config.enricher, external, Remotes::AskOnce, &names);
    let (sources, _) = sources.map_err(|error| Exit::configuration([error]))?;
    for source in sources.monitor().stats(&Hits::default()) {
        if let Some(refusal) = source.refusal {
            let _ = writeln!(io::stderr().lock(), "helios: without {}: {refusal}", source.source);
        }
    }
    Ok(helios_enricher::explain::explain(&sources, &names, exporter, interface))
}

/// How long an explanation waits for a NetBox of which nothing is saved: a large one takes minutes, a person does not.
const NETBOX_PATIENCE: Duration = Duration::from_secs(60);

/// NetBox as it was last saved; without a saved state it is read, for a minute at most.
fn netbox(config: &Config) -> Result<Option<Arc<NetBox>>, Exit> {
    if config.netbox.url.is_none() {
        return Ok(None);
    }
    let netbox = NetBox::start(config.netbox.clone(), netbox_file(config))
        .map_err(|error| Exit::run_time(format_args!("cannot start a thread: {error}")))?;
    wait_for_netbox(&netbox, NETBOX_PATIENCE, &mut io::stderr().lock());
    Ok(Some(Arc::new(netbox)))
}

/// Returns when there are names, a problem or no patience left, and says what is missing then.
fn wait_for_netbox(netbox: &NetBox, patience: Duration, out: &mut impl io::Write) {
    if netbox.current().is_some() {
        return;
    }
    let seconds = patience.as_secs_f32();
    let _ = writeln!(out, "helios: no names of NetBox are saved, reading it for up to {seconds} s");
    let deadline = Instant::now() + patience;
    while netbox.current().is_none() {
        if let Some(problem) = netbox.stats().problem {
            let _ = writeln!(out, "helios: without NetBox: {}", problem.message);
            return;
        }
        if Instant::now() >= deadline {
            let _ = writeln!(
                out,
                "helios: without NetBox: it was not read in time; `helios run` saves it in collector.state_dir, ask again then"
            );
            return;
        }
        std::thread::sleep(Duration::from_millis(20)); // between two looks whether it has answered
    }
}

/// Asks ClickHouse for its version and what the schema lacks.
fn connect(config: &Config) -> Result<String, Exit> {
    let clickhouse = &config.clickhouse;
    let runtime = explain::runtime().map_err(|error| Exit::run_time(format_args!("cannot start: {error}")))?;
    runtime.block_on(async {
        let client = client::connect(clickhouse).map_err(|error| Exit::configuration([error]))?;
        let failed = |error| Exit::run_time(explain::question(clickhouse, &error));
        let query = client.query("SELECT version()");
        let version = query.fetch_bytes("TabSeparated").map_err(failed)?.collect().await.map_err(failed)?;
        let version = String::from_utf8_lossy(&version).trim().to_owned();
        let plan = migrate::plan(&client, clickhouse).await;
        let plan = plan.map_err(|error| Exit::run_time(explain::migration(clickhouse, &error)))?;
        let schema = match plan.as_slice() {
            [] => "the schema is up to date".to_owned(),
            steps => format!("the schema needs {} steps: `helios migrate --dry-run` shows them", steps.len()),
        };
        Ok(format!("{:<16}version {version} answers; {schema}\n", "connection"))
    })
}

fn describe(config: &Config, databases: &[String]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut line = |name: &str, what: String| {
        let _ = writeln!(out, "{name:<16}{what}");
    };
    let collector = &config.collector;
    let listen: Vec<String> = collector.listen.iter().map(|address| format!("udp {address}")).collect();
    line("listen", listen.join(", "));
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
    line("clickhouse", format!("{}, database {}, user {}", clickhouse.url, clickhouse.database, clickhouse.user));
    line("password", password(clickhouse.password_file.as_deref(), std::env::var_os("CLICKHOUSE_PASSWORD").is_some()));
    line("tables", retention(config));
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
    lines.extend(servers.map(|source| format!("networks from {} every {} s", source.url, source.refresh_secs)));
    lines.extend(config.netbox.url.iter().map(|url| format!("NetBox at {url}")));
    let prometheus = &enricher.interfaces.prometheus;
    lines.extend(prometheus.url.iter().map(|url| format!("interfaces from {url} every {} s", prometheus.refresh_secs)));
    lines.extend(enricher.inventory.files.iter().map(file("devices")));
    let (exporters, interfaces) = (enricher.rules.exporters.len(), enricher.rules.interfaces.len());
    if exporters + interfaces > 0 {
        lines.push(format!("{exporters} rules for exporters, {interfaces} for interfaces"));
    }
    lines
}

fn spool(config: &Config) -> String {
    let spool = config.sink().spool;
    match spool.active() {
        Some(path) => {
            format!("{} in {}; {} stay free there", bytes(spool.max_bytes), path.display(), bytes(spool.min_free_bytes))
        }
        None => "none: a crash loses what is in memory (collector.state_dir, clickhouse.spool)".to_owned(),
    }
}

fn retention(config: &Config) -> String {
    let days = &config.clickhouse.retention_days;
    let table = |(name, days): (&str, u32)| match days {
        0 => format!("{name} for ever"),
        1 => format!("{name} 1 day"),
        days => format!("{name} {days} days"),
    };
    let tables = [
        ("flows", days.flows),
        ("flows_1m", days.flows_1m),
        ("flows_1h", days.flows_1h),
        ("talkers_1h", days.talkers_1h),
    ];
    tables.map(table).join(", ")
}

/// The columns that are added, as `name type = enterprise/element`.
fn columns(config: &Config) -> String {
    let column = |(column, user): (Column, &UserColumn)| {
        let Spec { name, kind, .. } = column.spec();
        format!("{name} {} = {}/{}", kind.clickhouse(), user.pen, user.id)
    };
    format!("flows and {}", Column::extra().zip(&config.columns).map(column).collect::<Vec<_>>().join(", "))
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
            format!("{asked_text}; without CAP_NET_ADMIN the kernel grants {} (net.core.rmem_max)", bytes(limit as u64))
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

/// Opens every file that the configuration names, and describes the databases among them.
fn files(config: &Config, now: SystemTime) -> Result<Vec<String>, Exit> {
    let geoip = &config.enricher.geoip;
    // Each by itself, so that two broken ones are two lines.
    let only = |city, asn| GeoipConfig { city, asn };
    let each =
        [geoip.city.clone().map(|path| only(Some(path), None)), geoip.asn.clone().map(|path| only(None, Some(path)))];
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    for config in each.into_iter().flatten() {
        match Files::open(&config, &Arc::new(Names::new())) {
            Ok((files, _)) => found.extend(files.statuses().iter().map(|status| {
                let status = status.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                let built = UNIX_EPOCH + Duration::from_secs(status.info.build_epoch);
                let days = now.duration_since(built).map_or(0, |age| age.as_secs() / 86_400);
                format!("{} ({}, {days} days old)", status.path.display(), status.info.database_type)
            })),
            Err(error) => mistakes.push(error.to_string()),
        }
    }
    let lists = &config.enricher;
    let networks = lists.networks.files.iter().map(|path| File::networks(path, &Names::new()));
    let devices = lists.inventory.files.iter().map(|path| File::devices(path, &Names::new()));
    mistakes.extend(networks.chain(devices).filter_map(|file| Some(file.err()?.to_string())));
    // Reads the password and the certificates, and connects to nobody yet.
    if let Err(error) = client::connect(&config.clickhouse) {
        mistakes.push(error.to_string());
    }
    if mistakes.is_empty() { Ok(found) } else { Err(Exit::configuration(mistakes)) }
}

#[cfg(test)]
mod tests {
    use helios_netbox::NetBoxConfig;
    use helios_testkit::netbox::{Fault, Server, TOKEN, World};

    use super::*;

    /// What is said to a person who waits for this server for as long.
    fn said(server: &Server, patience: Duration) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let token_file = Some(folder.path().join("token"));
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        let config = NetBoxConfig { url: Some(server.url()), token_file, ..NetBoxConfig::default() };
        let (netbox, mut out) = (NetBox::start(config, None).unwrap(), Vec::new());
        wait_for_netbox(&netbox, patience, &mut out);
        (netbox.current().is_some(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_explanation_waits_for_netbox_but_not_for_ever() {
        let hour = Duration::from_secs(3600);
        let (read, text) = said(&Server::start(World::default()), hour);
        assert!(read && !text.contains("without NetBox"), "{text}");
        // It is asked with netbox.timeout_ms at its default of a minute, and never says a word.
        let silent = Server::start(World { faults: vec![Fault::Stall; 9], ..World::default() });
        let began = Instant::now();
        let (read, text) = said(&silent, Duration::from_millis(100));
        assert!(!read && text.contains("not read in time") && text.contains("collector.state_dir"), "{text}");
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        let refusing = Server::start(World { authorization: "Token of somebody else".into(), ..World::default() });
        let (read, text) = said(&refusing, hour);
        assert!(!read && text.contains("netbox.token_file"), "{text}");
    }

    #[test]
    fn sizes_are_shown_as_they_are_set() {
        for (octets, text) in [(100, "100 bytes"), (4 << 10, "4 KiB"), (240 << 20, "240 MiB"), (1 << 30, "1 GiB")] {
            assert_eq!(bytes(octets), text);
        }
    }

    #[test]
    fn a_buffer_that_the_kernel_will_not_grant_is_said_to_be_one() {
        assert_eq!(receive_buffer(32 << 20, Some(64 << 20)), "32 MiB per socket");
        let capped = receive_buffer(32 << 20, Some(4 << 20));
        assert_eq!(capped, "32 MiB per socket; without CAP_NET_ADMIN the kernel grants 4 MiB (net.core.rmem_max)");
    }
}
