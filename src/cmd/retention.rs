//! `helios retention`: drop what is beyond the tables' bytes.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use helios_sink::cluster::Cluster;
use helios_sink::retention::{self, Excess};

use super::{ConfigArgs, ListenArgs};
use crate::exit::Exit;
use crate::explain;

/// Drop the oldest partitions of tables that take more disk than they may
///
/// clickhouse.max_table_bytes says how much each table may take on a server. `helios run` looks every five minutes and
/// does the same. The newest partition of a table always stays. In a cluster one replica of every shard is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios retention --dry-run --set clickhouse.max_table_bytes.flows=500000000000
  helios retention --config /etc/helios/helios.yaml")]
pub struct Args {
    /// Print the partitions that would be dropped, and drop none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// # Errors
/// 78 for a wrong configuration or one without a limit, 1 when ClickHouse cannot be reached or refuses.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&ListenArgs::default())?.clickhouse;
    if !config.max_table_bytes.is_set() {
        return Err(Exit::configuration(["no table has a limit: set clickhouse.max_table_bytes"]));
    }
    let runtime = explain::runtime().map_err(|error| Exit::run_time(format_args!("cannot start: {error}")))?;
    let text = runtime.block_on(async {
        let cluster = Cluster::discover(&config).await.map_err(Exit::run_time)?;
        let mut text = String::new();
        for server in cluster.one_of_each() {
            let client = server.client(&config).map_err(|error| Exit::configuration([error]))?;
            let drops = match args.dry_run {
                true => retention::plan(&client, &config).await,
                false => retention::apply(&client, &config).await,
            };
            let drops = drops.map_err(|error| Exit::run_time(explain::question(&config, &error)))?;
            describe(&mut text, &server.url, &drops, args.dry_run);
        }
        Ok::<_, Exit>(text)
    })?;
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::output(&error))
}

fn describe(out: &mut String, url: &str, drops: &[Excess], dry_run: bool) {
    let verb = if dry_run { "would drop" } else { "dropped" };
    for drop in drops {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{url}: {verb} {} {}: {} rows, {} bytes",
            drop.table.name(),
            drop.partition,
            drop.rows,
            drop.bytes
        );
    }
    if drops.is_empty() {
        let _ = writeln!(out, "{url}: every table is within its limit");
    }
}
