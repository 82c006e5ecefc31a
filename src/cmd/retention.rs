//! `helios retention`: drop what is beyond the tables' bytes.

use helios_sink::cluster::Cluster;
use helios_sink::explain;
use helios_sink::retention::{self, report};

use super::{ConfigArgs, ListenArgs};
use helios_service::exit::{Exit, print};

/// Drop the oldest partitions of tables that are larger than clickhouse.max_table_bytes
///
/// clickhouse.max_table_bytes limits the disk space of each table on a server. `helios run` does the same every five
/// minutes. The newest partition of a table always stays. In a cluster, this asks one replica of every shard.
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
    let runtime = super::runtime()?;
    let text = runtime.block_on(async {
        let cluster = Cluster::discover(&config).await.map_err(Exit::run_time)?;
        let mut text = String::new();
        for server in cluster.one_of_each() {
            let client = server.client(&config).await.map_err(|error| Exit::configuration([error]))?;
            let failed = |error| Exit::run_time(explain::question(&config, &error));
            let usage = retention::usage(&client, &config).await.map_err(failed)?;
            let drops = match args.dry_run {
                true => retention::plan(&client, &config).await,
                false => retention::apply(&client, &config).await,
            };
            let drops = drops.map_err(failed)?;
            report::describe(&mut text, &server.url, &usage, &drops, args.dry_run);
        }
        Ok::<_, Exit>(text)
    })?;
    print(&text)
}
