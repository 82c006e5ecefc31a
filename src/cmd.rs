//! The command line: subcommands, the flags that several share, and what `--help` says.

use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use clap::{Parser, Subcommand};
use helios_lab::counted;
use helios_service::config::args::SourceArgs;
use helios_service::exit::Exit;

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
mod progress;
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
    /// How to end when it did not do what it was asked to.
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

/// Reads the address of a collector: an IP address or a host name, and a port. Of a name with addresses of both families
/// the IPv4 address counts: loopback has many of these, and one of IPv6.
fn target(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let form = "expected an address and a port, such as 192.0.2.1:2055, [2001:db8::1]:2055 or localhost:2055";
    if !text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
        return Err(form.to_owned());
    }
    let found = text.to_socket_addrs().map_err(|error| format!("the name cannot be resolved: {error}"))?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| form.to_owned())
}

/// Reads a time such as `500ms`, `10s`, `5m`, `1h` or `7d`; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_secs = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => f64::NAN,
    };
    let secs = number.parse::<f64>().map_or(f64::NAN, |number| number * unit_secs);
    let duration = Duration::try_from_secs_f64(secs).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "expected a time such as 500ms, 10s, 5m, 1h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn times_have_units() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(
            (ms("500ms"), ms("1.5s"), ms("2m"), ms("1h"), ms("3"), ms("2d")),
            (Ok(500), Ok(1_500), Ok(120_000), Ok(3_600_000), Ok(3_000), Ok(172_800_000))
        );
        for wrong in ["", "0s", "-1s", "10w", "s", "1e300h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_is_an_address_or_a_name_with_a_port() {
        let shown = |text| target(text).map(|address| address.to_string());
        assert_eq!(shown("localhost:2055").as_deref(), Ok("127.0.0.1:2055"));
        assert_eq!(shown("[::1]:2055").as_deref(), Ok("[::1]:2055"));
        for wrong in ["localhost", "2055", ":2055", "127.0.0.1", "localhost:flows"] {
            assert!(target(wrong).unwrap_err().starts_with("expected an address and a port"), "{wrong}");
        }
    }

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
