//! The command line: subcommands, the flags that several share, and what `--help` says.

use std::io::Write as _;

use clap::{Parser, Subcommand};
use helios_service::config::args::SourceArgs;
use helios_service::exit::Exit;
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;

pub mod run;
pub mod check;
pub mod migrate;
pub mod retention;
pub mod spool;
pub mod decode;
pub mod replay;
pub mod simulate;
pub mod top;
pub mod query;
pub mod targets;

/// Receives NetFlow, IPFIX and sFlow, adds names, and stores the flows in ClickHouse.
#[derive(Debug, Parser)]
#[command(
    name = "helios",
    version = env!("HELIOS_VERSION"),
    max_term_width = 110,
    after_help = "Examples:
  helios run --clickhouse-url http://clickhouse:8123   receive on UDP port 2055 and store
  helios check --config helios.yaml                    what would that configuration do?
  helios decode capture.pcap | jq .src_addr            look into a capture
  helios simulate --target 127.0.0.1:2055              be the exporters

Exit codes: 0 done, 1 failed at run time, 64 wrong usage, 78 wrong configuration."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Migrate(migrate::Args),
    Retention(retention::Args),
    Spool(spool::Args),
    Decode(decode::Args),
    Replay(replay::Args),
    Simulate(simulate::Args),
    Top(top::Args),
    Query(query::Args),
    Targets(targets::Args),
}

impl Cli {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// The exit code and the lines for the user if it failed.
    pub fn run(self) -> Result<(), Exit> {
        match self.command {
            Command::Run(args) => run::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Migrate(args) => migrate::run(&args),
            Command::Retention(args) => retention::run(&args),
            Command::Spool(args) => spool::run(&args),
            Command::Decode(args) => decode::run(&args),
            Command::Replay(args) => replay::run(args),
            Command::Simulate(args) => simulate::run(args),
            Command::Top(args) => top::run(&args),
            Command::Query(args) => query::run(&args),
            Command::Targets(args) => targets::run(&args),
        }
    }
}

/// Flags of every subcommand that has a configuration.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    #[command(flatten)]
    sources: SourceArgs,

    /// Address of ClickHouse's HTTP interface [key: clickhouse.url]
    #[arg(long, value_name = "URL", global = true)]
    clickhouse_url: Option<String>,
}

/// Flags of the subcommands that receive, or say how they would.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ListenArgs {
    /// UDP address to receive on; repeatable [key: collector.listen]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<String>,
}

impl ConfigArgs {
    /// Puts file, environment and flags together, and adds the columns that they define to the table: called once, as
    /// the first thing that a subcommand does.
    ///
    /// # Errors
    /// Exit code 78 with a line per mistake.
    pub fn load(&self, listen: &ListenArgs) -> Result<Config, Exit> {
        let config = self.read(listen)?;
        config.install_columns();
        Ok(config)
    }

    /// As [`load`](Self::load), without the columns: for a process that has them already.
    ///
    /// # Errors
    /// Exit code 78 with a line per mistake.
    pub fn read(&self, listen: &ListenArgs) -> Result<Config, Exit> {
        let mut flags = Vec::new();
        flags.extend(self.clickhouse_url.iter().map(|url| ("--clickhouse-url", "clickhouse.url", url.clone())));
        if !listen.listen.is_empty() {
            flags.push(("--listen", "collector.listen", listen.listen.join(",")));
        }
        let (config, notes) = self.sources.sources(flags).load_with_notes().map_err(Exit::configuration)?;
        for note in notes {
            // The configuration says how to log: this comes before the log. Without standard error nobody reads it.
            let _ = writeln!(std::io::stderr(), "helios: warning: {note}");
        }
        Ok(config)
    }
}

/// A runtime for a command that asks a server something and ends.
fn runtime() -> Result<Runtime, Exit> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Exit::run_time(format_args!("cannot start: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_says_what_it_does_and_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} does not say what it does");
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains(&format!("helios {name}")), "{name} has no example");
        }
    }
}
