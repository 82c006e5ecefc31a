//! `helios check`: what a configuration would do, without doing it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use helios_advice::counted;
use helios_common::names::Names;
use helios_enricher::GeoipConfig;
use helios_enricher::geoip::reload::Files;
use helios_enricher::hits::Hits;
use helios_enricher::sources::files::File;
use helios_enricher::sources::{Remotes, Sources};
use helios_netbox::NetBox;
use helios_netbox::config::TOKEN_VARIABLE;
use helios_sink::{client, explain, migrate};
use nix::unistd::{AccessFlags, access};

use super::{ConfigArgs, ListenArgs};
use crate::config::Config;
use crate::pipeline::{names_of_netbox, netbox_file};
use helios_service::config::Configuration as _;
use helios_service::exit::{Exit, print};
use helios_service::progress::Progress;

mod report;

/// Validate a configuration and say what it would do
///
/// Reads file, environment and flags as `helios run` does, opens every file that they name, and prints what would run.
/// Each mistake is one line on standard error with its place, and the exit code is 78. Starts nothing and changes
/// nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios check --config helios.yaml
  helios check --config helios.yaml --connect       also ask ClickHouse whether it would take the flows
  helios check --explain 192.0.2.1 7                what is the interface called, and why?
  helios check --print > effective.yaml             every key with its effective value")]
pub struct Args {
    /// Print the effective configuration as YAML, with every key
    #[arg(long, conflicts_with = "connect")]
    print: bool,

    /// Connect to ClickHouse and NetBox as well: check that they answer, that the user can log in and the token is valid,
    /// that the tables are up to date, and that NetBox knows the configured filters and custom fields
    #[arg(long)]
    connect: bool,

    /// Print the names of an exporter (address or name) and its interface (ifIndex or name), and the source or rule of
    /// each
    #[arg(long, num_args = 1..=2, value_names = ["EXPORTER", "INTERFACE"], conflicts_with_all = ["print", "connect"])]
    explain: Vec<String>,

    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    listen: ListenArgs,
}

/// # Errors
/// 78 for a wrong configuration, 1 when `--connect` finds no ClickHouse, or a NetBox that cannot be read.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&args.listen)?;
    if let Some(exporter) = args.explain.first() {
        let page = explanation(&config, exporter, args.explain.get(1).map(String::as_str))?;
        return print(&page);
    }
    let databases = files(&config, SystemTime::now())?;
    let mut report = if args.print { config.redacted().to_yaml() } else { report::describe(&config, &databases) };
    if args.connect {
        report.push_str(&connect(&config)?);
        report.push_str(&connect_netbox(&config)?);
    }
    print(&report)
}

/// Asks the configured sources once. A source that does not answer is named on standard error.
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

/// How long an explanation waits for the next answer of NetBox if nothing is saved: reading a large NetBox takes minutes, and
/// an answer comes every few seconds.
const NETBOX_PATIENCE: Duration = Duration::from_secs(60);

/// NetBox as it was last saved; without a saved state it is read.
fn netbox(config: &Config) -> Result<Option<Arc<NetBox>>, Exit> {
    if config.netbox.url.is_none() {
        return Ok(None);
    }
    // The file belongs to the `helios run` beside it, which may have other settings: it is only read.
    let netbox = NetBox::visit(config.netbox.clone(), netbox_file(config).as_deref())
        .map_err(|error| Exit::run_time(format_args!("cannot start a thread: {error}")))?;
    wait_for_netbox(&netbox, NETBOX_PATIENCE, &mut io::stderr().lock());
    Ok(Some(Arc::new(netbox)))
}

/// Returns when there are names or a problem, or when NetBox has sent nothing for `patience`, and says what is missing
/// then.
fn wait_for_netbox(netbox: &NetBox, patience: Duration, out: &mut impl io::Write) {
    if netbox.current().is_some() {
        return;
    }
    let _ = writeln!(out, "helios: no names of NetBox are saved; reading NetBox: 1 to 2 s for each 1,000 interfaces");
    let (began, mut progress) = (Instant::now(), Progress::default());
    let (mut received, mut heard) = (0, began);
    while netbox.current().is_none() {
        let stats = netbox.stats();
        if stats.bytes > received {
            (received, heard) = (stats.bytes, Instant::now());
        }
        progress.show(|| {
            let seconds = began.elapsed().as_secs();
            format!("helios: {} requests to NetBox, {} kB read in {seconds} s", stats.requests, received / 1000)
        });
        if let Some(problem) = stats.problem {
            progress.finish();
            let _ = writeln!(out, "helios: without NetBox: {}", problem.message);
            return;
        }
        if heard.elapsed() >= patience {
            progress.finish();
            let _ = writeln!(
                out,
                "helios: without NetBox: it did not answer in time; `helios run` saves its names in collector.state_dir once it has read them"
            );
            return;
        }
        std::thread::sleep(Duration::from_millis(20)); // between two looks whether it has answered
    }
    progress.finish();
}

/// Asks ClickHouse for its version and what the schema lacks.
fn connect(config: &Config) -> Result<String, Exit> {
    let clickhouse = &config.clickhouse;
    let runtime = super::runtime()?;
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
            steps => format!(
                "the schema needs {}: `helios migrate --dry-run` shows them",
                counted(steps.len() as u64, "step")
            ),
        };
        Ok(format!("{:<16}version {version} answers; {schema}\n", "connection"))
    })
}

/// Asks NetBox for its version and for what the token and the configuration lack.
fn connect_netbox(config: &Config) -> Result<String, Exit> {
    let Some(url) = &config.netbox.url else { return Ok(String::new()) };
    let runtime = super::runtime()?;
    let found = runtime.block_on(helios_netbox::inspect(&config.netbox));
    let found = found.map_err(|error| Exit::run_time(format_args!("NetBox at {url}: {error}")))?;
    if !found.refused.is_empty() {
        let lacks = found.refused.join(", ");
        return Err(Exit::run_time(format_args!("NetBox at {url}: the token lacks {lacks}: grant it (action view)")));
    }
    Ok(found.lines().iter().map(|line| format!("{:<16}{line}\n", "netbox")).collect())
}

/// Opens every file that the configuration names, and describes the databases among them.
fn files(config: &Config, now: SystemTime) -> Result<Vec<String>, Exit> {
    let geoip = &config.enricher.geoip;
    // Each database by itself, so that two broken ones are two lines.
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
    mistakes.extend(helios_collector::tcp::check_certificates(&config.collector.tcp.tls).err().map(|e| e.to_string()));
    mistakes.extend(unreadable(config));
    mistakes.extend(unusable(config));
    // Reads the password and the certificates; the first request makes the connection.
    if let Err(error) = client::connect(&config.clickhouse) {
        mistakes.push(error.to_string());
    }
    if mistakes.is_empty() { Ok(found) } else { Err(Exit::configuration(mistakes)) }
}

/// Files with tokens and certificate authorities that cannot be read: `helios run` would start without the names of these
/// servers.
fn unreadable(config: &Config) -> Vec<String> {
    let (netbox, prometheus) = (&config.netbox, &config.enricher.interfaces.prometheus);
    let mut files = Vec::new();
    let mut add = |section: &str, token: &Option<PathBuf>, authorities: &Option<PathBuf>| {
        for (key, path) in [("token_file", token), ("ca_file", authorities)] {
            files.extend(path.clone().map(|path| (format!("{section}.{key}"), path)));
        }
    };
    if netbox.url.is_some() {
        add("netbox", &netbox.token_file, &netbox.ca_file);
    }
    if prometheus.url.is_some() {
        add("enricher.interfaces.prometheus", &prometheus.token_file, &prometheus.ca_file);
    }
    for (n, list) in config.enricher.networks.http.iter().enumerate() {
        add(&format!("enricher.networks.http[{n}]"), &list.token_file, &list.ca_file);
    }
    let error = |(key, path): (String, PathBuf)| {
        let error = fs::File::open(&path).err()?;
        Some(format!("{key}: cannot read {}: {error}; check the path and its permissions", path.display()))
    };
    files.into_iter().filter_map(error).collect()
}

/// What else `helios run` would refuse or ignore: directories that cannot be written, a NetBox without a token.
fn unusable(config: &Config) -> Vec<String> {
    let spool = config.sink().spool;
    let directories = [
        ("collector.state_dir", config.collector.state_dir.as_deref()),
        ("clickhouse.spool.directory", spool.active().map(PathBuf::as_path)),
    ];
    let mut found: Vec<String> = Vec::new();
    for (key, directory) in directories {
        // The spool is often below the state directory: one line is enough.
        if let Some(problem) = directory.filter(|_| found.is_empty()).and_then(unwritable) {
            found.push(format!("{key}: {problem}"));
        }
    }
    let netbox = &config.netbox;
    if netbox.url.is_some()
        && netbox.token_file.is_none()
        && std::env::var_os(TOKEN_VARIABLE).is_none_or(|token| token.is_empty())
    {
        found.push(format!("netbox.url: NetBox needs a token: set netbox.token_file or the variable {TOKEN_VARIABLE}"));
    }
    found
}

/// Why this user cannot create files in a directory, or in the first one above it that exists. Creates nothing.
fn unwritable(directory: &Path) -> Option<String> {
    let present = directory.ancestors().find(|path| path.symlink_metadata().is_ok() || path.as_os_str().is_empty())?;
    let present = if present.as_os_str().is_empty() { Path::new(".") } else { present };
    if !present.is_dir() {
        return Some(format!("{} is no directory", present.display()));
    }
    let error = access(present, AccessFlags::W_OK | AccessFlags::X_OK).err()?;
    Some(format!("this user cannot create files in {}: {}", present.display(), error.desc()))
}

#[cfg(test)]
mod tests {
    use helios_netbox::NetBoxConfig;
    use helios_testkit::netbox::{Fault, Server, TOKEN, World};

    use super::*;

    /// What the user reads while `check --explain` waits for this server for `patience`.
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
        assert!(!read && text.contains("did not answer in time") && text.contains("collector.state_dir"), "{text}");
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        let refusing = Server::start(World { authorization: "Token of somebody else".into(), ..World::default() });
        let (read, text) = said(&refusing, hour);
        assert!(!read && text.contains("netbox.token_file"), "{text}");
    }
}
