//! `helios run`: the pipeline until a signal ends it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::{ConfigArgs, ListenArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::pipeline::{Drained, Pipeline, Snapshot, StartError};
use crate::{admin, log, state};

/// Receive flows, enrich them and store them in ClickHouse
///
/// Takes NetFlow v5, v7, v9, IPFIX and sFlow v5 on every listening address, creates the tables if they are missing,
/// and runs until SIGTERM or Ctrl-C: then it stops receiving, stores what is under way and ends. A second signal, a
/// second or more after the first, ends it at once. Receiving does not wait for ClickHouse: while that is away, rows wait
/// in memory up to clickhouse.max_backlog_bytes, and in the spool (clickhouse.spool) if there is one.
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

    /// Replace the helios that runs with the same directories: receive beside it until it is stopped
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
    let result = operate(&config, args.takeover, &runtime);
    // Connections that still wait for an answer are not waited for.
    runtime.shutdown_background();
    result
}

fn operate(config: &Config, takeover: bool, runtime: &Runtime) -> Result<(), Exit> {
    let _locks = state::lock(config, takeover).map_err(Exit::run_time)?;
    // Before anything runs: a signal during the start must not kill what the start has begun.
    let mut signals = runtime.block_on(async { Signals::install() })?;
    let admin = match config.admin.listen {
        Some(address) => Some(runtime.block_on(admin::bind(address)).map_err(Exit::run_time)?),
        None => None,
    };
    let pipeline = Pipeline::start(config, runtime.handle()).map_err(start_failure)?;
    let serving = admin.as_ref().and_then(|listener| listener.local_addr().ok());
    announce(config, &pipeline.view().snapshot(), serving);
    if let Some(listener) = admin {
        runtime.spawn(serve(listener, config, &pipeline));
    }
    runtime.block_on(async {
        info!(signal = signals.next().await, "stopping: no more flows are received");
        let timeout = config.pipeline.shutdown_timeout();
        tokio::select! {
            drained = pipeline.drain(timeout) => stopped(drained),
            signal = second_signal() => Err(Exit::run_time(format_args!(
                "ended at once by a second {}; what is not in the spool yet is lost", signal?
            ))),
        }
    })
}

fn serve(listener: TcpListener, config: &Config, pipeline: &Pipeline) -> impl Future<Output = ()> + use<> {
    admin::serve(listener, pipeline.view(), config.admin.max_exporters)
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

/// The one line that says how this process runs.
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
        "{lost} rows could not be stored before the deadline (pipeline.shutdown_timeout_ms) and are lost"
    )))
}

/// Signals that come within this time of the first one ask for the same stop: `timeout` signals its child and then the
/// whole process group, and a terminal's Ctrl-C may reach a program both ways.
const ONE_STOP: Duration = Duration::from_secs(1);

/// Waits for a signal of somebody who does not want to wait for the stop any longer.
async fn second_signal() -> Result<&'static str, Exit> {
    tokio::time::sleep(ONE_STOP).await;
    // Only what comes from now on: the streams of before still hold what came meanwhile.
    Ok(Signals::install()?.next().await)
}

/// What asks the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> Result<Self, Exit> {
        let listen = |kind| signal(kind).map_err(|error| Exit::run_time(format_args!("cannot take signals: {error}")));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
