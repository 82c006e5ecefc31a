//! `helios retention`: drop what is beyond the tables' bytes.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use helios_sink::cluster::Cluster;
use helios_sink::retention::{self, Excess, Usage};

use super::{ConfigArgs, ListenArgs};
use crate::explain;
use helios_service::exit::Exit;

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
    let runtime = explain::runtime().map_err(|error| Exit::run_time(format_args!("cannot start: {error}")))?;
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
            describe(&mut text, &server.url, &usage, &drops, args.dry_run);
        }
        Ok::<_, Exit>(text)
    })?;
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::output(&error))
}

/// A line for each table with a limit, for each partition that goes, and for each limit that cannot be kept.
fn describe(out: &mut String, url: &str, usage: &[Usage], drops: &[Excess], dry_run: bool) {
    let verb = if dry_run { "would drop" } else { "dropped" };
    // Writing to a String cannot fail, here and below.
    for &Usage { table, bytes, budget, partitions } in usage {
        let name = table.name();
        if partitions == 0 {
            let _ = writeln!(out, "{url}: {name} is empty, or not there (clickhouse.database, `helios migrate`)");
            continue;
        }
        let _ = writeln!(
            out,
            "{url}: {name} takes {bytes} of {budget} bytes, in {partitions} partition{}",
            if partitions == 1 { "" } else { "s" }
        );
        let mut left = bytes;
        for drop in drops.iter().filter(|drop| drop.table == table) {
            left = left.saturating_sub(drop.bytes);
            let _ = writeln!(out, "  {verb} {}: {} rows, {} bytes", drop.partition, drop.rows, drop.bytes);
        }
        if left > budget {
            let _ = writeln!(
                out,
                "  {left} bytes are left, which is more than the limit: the newest partition always stays"
            );
        } else if left == bytes {
            let _ = writeln!(out, "  within its limit");
        }
    }
}

#[cfg(test)]
mod tests {
    use helios_sink::schema::Table;

    use super::*;

    #[test]
    fn what_each_table_takes_what_goes_and_which_limit_cannot_be_kept() {
        let usage = |table, bytes, partitions| Usage { table, bytes, budget: 100, partitions };
        let drop = |partition: &str, bytes| Excess {
            table: Table::Flows,
            partition: partition.into(),
            rows: 7,
            bytes,
            sql: String::new(),
        };
        let usage = [usage(Table::Flows, 250, 3), usage(Table::Flows1m, 80, 1), usage(Table::Flows1h, 0, 0)];
        let mut out = String::new();
        describe(&mut out, "http://a", &usage, &[drop("2026-11-20", 60), drop("2026-11-21", 50)], true);
        let expected = "http://a: flows takes 250 of 100 bytes, in 3 partitions
  would drop 2026-11-20: 7 rows, 60 bytes
  would drop 2026-11-21: 7 rows, 50 bytes
  140 bytes are left, which is more than the limit: the newest partition always stays
http://a: flows_1m takes 80 of 100 bytes, in 1 partition
  within its limit
http://a: flows_1h is empty, or not there (clickhouse.database, `helios migrate`)
";
        assert_eq!(out, expected);
    }
}
