//! `helios run`: the pipeline until a signal ends it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use helios_advice::counted;
use helios_service::admin as service_admin;
use helios_service::config::differences;
use helios_service::directory_lock::{self, Directory, Locks};
use helios_service::exit::Exit;
use helios_service::log;
use helios_service::signals::{self, Signals};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tracing::{error, info, warn};

use super::{ConfigArgs, ListenArgs};
use crate::admin;
use crate::config::Config;
use crate::pipeline::{Drained, Pipeline, Snapshot, StartError};

/// Receive flows, enrich them and store them in ClickHouse
///
/// Receives NetFlow v1, v5, v7, v9, IPFIX and sFlow v5 on every listening address, creates missing tables, and runs until
/// SIGTERM or Ctrl-C. Then it stops receiving, stores the rows under way and ends. A second signal, one second or more
/// after the first, ends it at once. Receiving never waits for ClickHouse: while ClickHouse is away, rows wait in
/// memory up to clickhouse.max_backlog_bytes, and in the spool (clickhouse.spool) if there is one.
///
/// SIGHUP reads the configuration again: log.level changes at once, and the log names the keys that take effect at the
/// next start. NetBox is read in full.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios run                                          receive on UDP port 2055, ClickHouse on this host
  helios run --config /etc/helios/helios.yaml
  helios run --listen 0.0.0.0:9995 --clickhouse-url http://clickhouse:8123
  GEOIP_CITY_DB=city.mmdb helios run                  with countries and cities
  helios run --set collector.state_dir=/var/lib/helios --takeover    replace the running one without a gap")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    listen: ListenArgs,

    /// Replace the process that uses the same directories: receive beside it until it stops
    #[arg(long)]
    takeover: bool,
}

/// Threads of tokio. They serve ClickHouse connections and the admin port; flows are not their work.
const ASYNC_THREADS: usize = 2;

/// # Errors
/// 78 for a wrong configuration, 1 for a stage that does not start and for a stop that lost rows.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&args.listen)?;
    log::install(&config.log)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(ASYNC_THREADS)
        .thread_name("async")
        .enable_all()
        .build()
        .map_err(|error| Exit::run_time(format_args!("cannot start threads: {error}")))?;
    let result = operate(args, &config, &runtime);
    // Requests under way are cut off here.
    runtime.shutdown_background();
    result
}

fn operate(args: &Args, config: &Config, runtime: &Runtime) -> Result<(), Exit> {
    helios_service::descriptors::raise();
    let _locks = lock(config, args.takeover)?;
    // Before anything runs: a signal during the start must not kill what the start has begun.
    let mut signals = runtime.block_on(async { Signals::install() }).map_err(no_signals)?;
    let mut hangups = runtime.block_on(async { signals::hangups() }).map_err(no_signals)?;
    let admin = match config.admin.listen {
        Some(address) => Some(runtime.block_on(service_admin::bind(address)).map_err(Exit::run_time)?),
        None => None,
    };
    let pipeline = Pipeline::start(config, runtime.handle()).map_err(start_failure)?;
    let serving = admin.as_ref().and_then(|listener| listener.local_addr().ok());
    announce(config, &pipeline.view().snapshot(), serving);
    if let Some(listener) = admin {
        runtime.spawn(serve(listener, &pipeline));
    }
    runtime.block_on(async {
        let signal = loop {
            tokio::select! {
                signal = signals.next() => break signal,
                Some(()) = hangups.recv() => {
                    reload(args, config);
                    pipeline.view().hint_netbox(true);
                }
            }
        };
        info!(signal, "stopping: no more flows are received");
        let timeout = config.pipeline.shutdown_timeout();
        tokio::select! {
            drained = pipeline.drain(timeout) => stopped(drained),
            signal = signals::second() => Err(Exit::run_time(format_args!(
                "ended at once by a second {}; rows that are not in the spool are lost",
                signal.map_err(no_signals)?
            ))),
        }
    })
}

/// Reads the configuration again. The level of the log changes at once; the log names the keys that need a restart.
fn reload(args: &Args, running: &Config) {
    let config = match args.config.read(&args.listen) {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in mistakes.lines() {
                error!("{mistake}");
            }
            return error!("the configuration is wrong: helios keeps the one that it has");
        }
    };
    if let Err(problem) = log::set_level(&config.log) {
        error!("{problem}");
    }
    let mut waiting = differences(running, &config);
    waiting.retain(|key| key != "log.level");
    match waiting.is_empty() {
        true => info!(log_level = config.log.level, "configuration read again"),
        false => warn!(keys = waiting.join(", "), "configuration read again; these keys take effect at the next start"),
    }
}

fn no_signals(error: io::Error) -> Exit {
    Exit::run_time(format_args!("cannot take signals: {error}"))
}

/// Locks the directories that hold state: two processes must not write the same files.
fn lock(config: &Config, takeover: bool) -> Result<Locks, Exit> {
    let spool = config.sink().spool;
    let state = config.collector.state_dir.as_deref();
    let directories =
        [(state, "collector.state_dir"), (spool.active().map(PathBuf::as_path), "clickhouse.spool.directory")];
    let directories = directories.into_iter().filter_map(|(path, key)| Some(Directory { path: path?, key }));
    directory_lock::lock(&directories.collect::<Vec<_>>(), takeover).map_err(Exit::run_time)
}

fn serve(listener: TcpListener, pipeline: &Pipeline) -> impl Future<Output = ()> + use<> {
    admin::serve(listener, pipeline.view())
}

fn start_failure(error: StartError) -> Exit {
    match &error {
        StartError::Collector(
            helios_collector::CollectorError::Config(_)
            | helios_collector::CollectorError::Tcp(helios_collector::tcp::ServerError::Tls(_)),
        )
        | StartError::Enricher(helios_enricher::EnricherError::Source(_)) => Exit::configuration([error]),
        _ => Exit::run_time(error),
    }
}

/// Logs the one line that says how this process runs.
fn announce(config: &Config, snapshot: &Snapshot, admin: Option<SocketAddr>) {
    let sockets = &snapshot.collector.sockets;
    let listen: Vec<String> =
        sockets.iter().filter(|socket| socket.worker == 0).map(|socket| socket.local.to_string()).collect();
    let granted = sockets.iter().map(|socket| socket.buffer_granted).min().unwrap_or(0);
    let databases: Vec<String> = snapshot
        .enricher
        .sources
        .iter()
        .filter_map(|source| {
            let database = source.database.as_ref()?;
            Some(format!("{} {} ({})", source.source, source.location, database.database_type))
        })
        .collect();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = listen.join(", "),
        tcp = tcp_text(config),
        workers = config.collector.workers,
        receive_buffer_bytes = granted,
        receive_buffer_asked_bytes = config.collector.receive_buffer_bytes,
        clickhouse = config.clickhouse.url,
        database = config.clickhouse.database,
        spool = config
            .sink()
            .spool
            .active()
            .map_or("none, blocks wait in memory only".to_owned(), |path| path.display().to_string()),
        geoip = if databases.is_empty() { "none".to_owned() } else { databases.join(", ") },
        admin = admin.map_or("off".to_owned(), |address| format!("http://{address}/")),
        "helios is receiving"
    );
    if config.collector.state_dir.is_none() {
        warn!("templates and sampling tables do not survive a restart: set collector.state_dir");
    }
}

fn tcp_text(config: &Config) -> String {
    let tcp = &config.collector.tcp;
    let addresses: Vec<String> = tcp.listen.iter().map(ToString::to_string).collect();
    match (addresses.is_empty(), tcp.tls.certificate.is_some()) {
        (true, _) => "off".to_owned(),
        (_, true) => format!("{} (TLS)", addresses.join(", ")),
        (_, false) => addresses.join(", "),
    }
}

fn stopped(drained: Drained) -> Result<(), Exit> {
    let Drained { decoded, stored, dropped, kept, lost } = drained;
    info!(decoded, stored, dropped, kept_in_spool = kept, lost, "stopped");
    if lost == 0 {
        return Ok(());
    }
    Err(Exit::run_time(format_args!(
        "{} could not be stored before the deadline (pipeline.shutdown_timeout_ms): lost",
        counted(lost, "row")
    )))
}
