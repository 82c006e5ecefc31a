//! `helios simulate`: synthetic exporters of every protocol, at a rate.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use helios_collector::decode::Protocol;

use helios_lab::simulate::run::{FILE_FLOWS_PER_SEC, Load, Output, run as run_simulation, wall_clock};
use helios_lab::simulate::summary::Summary;
use helios_lab::simulate::{Addresses, Settings, Simulation, Sources, geoip};
use helios_service::arguments::{address, count, duration, number};
use helios_service::exit::{Exit, print};
use helios_service::progress::Progress;
use helios_service::signals::stop_flag;

/// Time of a run without a limit.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// A rate that any collector takes.
const DEFAULT_FLOWS_PER_SEC: f64 = 1_000.0;

/// Exporters are numbered in 16 bits of a loopback prefix and of agent addresses.
const MAX_EXPORTERS: u32 = 65_000;

/// Send flows of synthetic exporters to a collector
///
/// The exporters take turns with NetFlow v5, v7, v9, IPFIX and sFlow v5, and with v1 if --protocol names it. Each has its own
/// boot time, sampling interval and sequence numbers. It announces templates, samplers and interfaces at its start and every 20 s or 1,000
/// datagrams, and reports a realistic mix of flows. The same seed makes the same flows.
///
/// With a loopback target, each exporter has its own source address (--sources). With any other target, all exporters
/// send from the address of this host and differ in port, observation domain, engine id and sFlow agent address.
///
/// The table at the end has what was sent, by protocol, and the sums that a collector must reach. Datagrams that the
/// kernel refused are counted below it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios simulate --rate 5k --duration 1m                       five protocols, ten exporters
  helios simulate --max --protocol ipfix --count 10M            as fast as one core can
  helios simulate --exporters 2000 --rate 50k --target [::1]:2055
  helios simulate --exporters 2000 --templates 20 --rate 50k    as many templates as a large network has
  helios simulate --tcp --target 127.0.0.1:4739                 IPFIX to a collector.tcp.listen
  helios simulate --count 10k --write flows.pcap                into a capture file instead
  helios simulate --count 1M --summary-json sent.json           to compare with what was stored")]
pub struct Args {
    /// Address of the collector
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2055", value_parser = address)]
    target: SocketAddr,

    /// Number of exporters, at least one for each protocol
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_EXPORTERS)))]
    exporters: u32,

    /// Protocols of the exporters, in turn
    #[arg(
        long,
        value_enum,
        value_name = "NAME,...",
        value_delimiter = ',',
        ignore_case = true,
        default_value = "v5,v7,v9,ipfix,sflow"
    )]
    protocol: Vec<Speaks>,

    /// Templates that each NetFlow v9 and IPFIX exporter announces; it uses four of them
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=1000))]
    templates: u16,

    /// Send IPFIX over TCP, one connection for each exporter
    #[arg(long, conflicts_with_all = ["protocol", "write", "no_gso"])]
    tcp: bool,

    /// Flows per second of all exporters together, such as 500, 10k or 1.5M [default: 1k]
    #[arg(long, value_name = "FLOWS", value_parser = number, conflicts_with = "max")]
    rate: Option<f64>,

    /// As fast as possible
    #[arg(long)]
    max: bool,

    /// Stop after this many flows, such as 500, 10k or 1M
    #[arg(long, value_name = "FLOWS", value_parser = count)]
    count: Option<u64>,

    /// Stop after this time, such as 500ms, 10s, 5m, 1h [default: 10s if there is no --count]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,

    /// Seed of the random exporters and flows
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Source addresses of the exporters [default for loopback targets: 127.1.0.0/16]
    #[arg(long, value_name = "PREFIX")]
    sources: Option<Sources>,

    /// Write the datagrams to a pcap file instead of sending them; its timestamps follow --rate (10k if none is given)
    #[arg(long, value_name = "FILE", conflicts_with = "max")]
    write: Option<PathBuf>,

    /// Write the figures of each exporter to a JSON file; `-`: to standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    summary_json: Option<PathBuf>,

    /// Only write GeoIP databases of the simulated addresses (city.mmdb, asn.mmdb) to this folder
    #[arg(long, value_name = "FOLDER")]
    write_geoip: Option<PathBuf>,

    /// Send each datagram with its own system call, as separate devices do
    ///
    /// Otherwise datagrams of one exporter leave together (UDP_SEGMENT), which costs much less CPU, also for a receiver
    /// with UDP_GRO. On loopback, tcpdump then captures several datagrams as one: give this flag for a capture.
    #[arg(long)]
    no_gso: bool,
}

/// Protocols by their short names; those of the column `export_protocol` are understood as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Speaks {
    #[value(alias = "netflow1")]
    V1,
    #[value(alias = "netflow5")]
    V5,
    #[value(alias = "netflow7")]
    V7,
    #[value(alias = "netflow9")]
    V9,
    Ipfix,
    #[value(alias = "sflow5")]
    Sflow,
}

impl From<Speaks> for Protocol {
    fn from(speaks: Speaks) -> Self {
        match speaks {
            Speaks::V1 => Self::Netflow1,
            Speaks::V5 => Self::Netflow5,
            Speaks::V7 => Self::Netflow7,
            Speaks::V9 => Self::Netflow9,
            Speaks::Ipfix => Self::Ipfix,
            Speaks::Sflow => Self::Sflow5,
        }
    }
}

/// # Errors
/// 64 for flags that contradict each other, 1 when nothing could be sent or written.
pub fn run(args: Args) -> Result<(), Exit> {
    if let Some(folder) = &args.write_geoip {
        let paths = geoip::write(folder)
            .map_err(|error| Exit::run_time(format_args!("cannot write databases to {}: {error}", folder.display())))?;
        let paths: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
        return print(&paths);
    }
    let settings = args.settings()?;
    let load = args.load();
    let stop = stop_flag().map_err(|error| Exit::run_time(format_args!("cannot listen to signals: {error}")))?;
    let start = wall_clock();
    let mut simulation = Simulation::new(&settings, start);
    let mut output = args.output(&simulation)?;
    let mut progress = Progress::default();
    let result = run_simulation(&mut simulation, &load, &mut output, start, &stop, |state| {
        progress.show(|| state.to_string());
    });
    progress.finish();
    let written = result.and_then(|summary| output.finish().map(|()| summary));
    let summary = written.map_err(|error| args.write_error(&error))?;
    args.report(&summary)?;
    args.verdict(&summary, &load)
}

impl Args {
    fn settings(&self) -> Result<Settings, Exit> {
        let spoken = if self.tcp { &[Speaks::Ipfix][..] } else { &self.protocol };
        let mut protocols: Vec<Protocol> = spoken.iter().map(|&speaks| speaks.into()).collect();
        let mut seen = Vec::new();
        protocols.retain(|protocol| {
            !seen.contains(protocol) && {
                seen.push(*protocol);
                true
            }
        });
        if (self.exporters as usize) < protocols.len() {
            let (exporters, protocols) = (self.exporters, protocols.len());
            return Err(Exit::usage(format_args!(
                "{exporters} exporters cannot speak {protocols} protocols: give --exporters {protocols} or fewer protocols with --protocol"
            )));
        }
        let addresses = self.addresses()?;
        if let Addresses::Distinct(sources) = addresses
            && self.exporters > sources.capacity()
        {
            return Err(Exit::usage(format_args!(
                "--sources {sources} has addresses for {} exporters: give a shorter prefix or fewer --exporters",
                sources.capacity()
            )));
        }
        Ok(Settings { exporters: self.exporters, protocols, seed: self.seed, addresses, templates: self.templates })
    }

    fn addresses(&self) -> Result<Addresses, Exit> {
        let v4 = self.target.is_ipv4();
        match self.sources {
            _ if self.write.is_some() && !v4 => {
                Err(Exit::usage("--write needs an IPv4 --target: exporters in a file have IPv4 addresses"))
            }
            Some(_) if !v4 => Err(Exit::usage("--sources are IPv4 addresses and need an IPv4 --target")),
            Some(sources) => Ok(Addresses::Distinct(sources)),
            None if self.write.is_some() || v4 && self.target.ip().is_loopback() => {
                Ok(Addresses::Distinct(Sources::LOOPBACK))
            }
            None => Ok(Addresses::Shared),
        }
    }

    fn load(&self) -> Load {
        let default = match (self.max, &self.write) {
            (true, _) => None,
            (false, Some(_)) => Some(FILE_FLOWS_PER_SEC),
            (false, None) => Some(DEFAULT_FLOWS_PER_SEC),
        };
        let duration = self.duration.or(if self.count.is_none() { Some(DEFAULT_DURATION) } else { None });
        Load { flows_per_sec: self.rate.or(default), flows: self.count, duration }
    }

    fn output(&self, simulation: &Simulation) -> Result<Output, Exit> {
        match &self.write {
            Some(path) => Output::file(path, self.target).map_err(|error| self.write_error(&error)),
            None => Output::network(simulation, self.target, self.tcp, !self.no_gso).map_err(Exit::run_time),
        }
    }

    fn write_error(&self, error: &io::Error) -> Exit {
        let name = self.write.as_deref().unwrap_or(Path::new("the network")).display();
        Exit::run_time(format_args!("cannot write {name}: {error}"))
    }

    fn report(&self, summary: &Summary) -> Result<(), Exit> {
        let table = summary.table() + "\n";
        let Some(path) = &self.summary_json else { return print(&table) };
        let json = serde_json::to_string_pretty(summary)
            .map_err(|error| Exit::run_time(format_args!("cannot write the summary: {error}")))?;
        if path == Path::new("-") {
            return print(&(json + "\n"));
        }
        std::fs::write(path, json + "\n")
            .map_err(|error| Exit::run_time(format_args!("cannot write {}: {error}", path.display())))?;
        print(&table)
    }

    /// Writes the result to standard error; an error if nothing was sent.
    fn verdict(&self, summary: &Summary, load: &Load) -> Result<(), Exit> {
        let Summary { total, not_sent, .. } = summary;
        if total.sent.datagrams == 0 && not_sent.datagrams > 0 {
            let reasons = not_sent.reasons();
            return Err(Exit::run_time(format_args!("nothing was sent to {}: {reasons}", self.target)));
        }
        let target = self.write.as_deref().map_or(self.target.to_string(), |path| path.display().to_string());
        let mut stderr = io::stderr().lock();
        // A closed standard error is no failure: the work is done.
        let _ = writeln!(stderr, "{}", summary.line(&target));
        if let Some(missing) = load.shortfall(summary).filter(|_| self.write.is_none()) {
            let _ =
                writeln!(stderr, "helios: {missing:.0} flows are missing from --rate: this machine is too slow for it");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Cli::parse_from(std::iter::once("simulate").chain(line.split_whitespace())).args
    }

    #[test]
    fn a_run_always_has_an_end() {
        let load = |line| args(line).load();
        let ten_secs = Some(Duration::from_secs(10));
        assert_eq!(load(""), Load { flows_per_sec: Some(1_000.0), flows: None, duration: ten_secs });
        assert_eq!(load("--max"), Load { flows_per_sec: None, flows: None, duration: ten_secs });
        let counted = Load { flows_per_sec: Some(50_000.0), flows: Some(1_500_000), duration: None };
        assert_eq!(load("--rate 50k --count 1.5M"), counted);
        assert_eq!(load("--write x.pcap").flows_per_sec, Some(10_000.0));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_do() {
        let refused = |line| args(line).settings().unwrap_err();
        let few = refused("--exporters 3");
        assert_eq!(few.code(), 64);
        assert!(few.lines()[0].contains("give --exporters 5 or fewer protocols"), "{few:?}");
        assert!(refused("--sources 127.1.1.0/29").lines()[0].contains("for 6 exporters"));
        assert!(refused("--sources 127.1.0.0/16 --target [::1]:2055").lines()[0].contains("IPv4"));
        assert!(refused("--write x.pcap --target [::1]:2055").lines()[0].contains("IPv4"));
    }

    #[test]
    fn exporters_have_addresses_of_their_own_where_that_is_possible() {
        let addresses = |line| args(line).settings().unwrap().addresses;
        assert_eq!(addresses(""), Addresses::Distinct(Sources::LOOPBACK));
        assert_eq!(addresses("--target [::1]:2055"), Addresses::Shared);
        assert_eq!(addresses("--target 192.0.2.1:2055"), Addresses::Shared);
        assert_eq!(addresses("--target 192.0.2.1:2055 --write x.pcap"), Addresses::Distinct(Sources::LOOPBACK));
    }

    #[test]
    fn over_tcp_all_speak_ipfix() {
        assert_eq!(args("--tcp --exporters 1").settings().unwrap().protocols, [Protocol::Ipfix]);
        let contradicting = Cli::try_parse_from(["simulate", "--tcp", "--protocol", "v9"]);
        assert_eq!(contradicting.unwrap_err().kind(), clap::error::ErrorKind::ArgumentConflict);
    }

    #[test]
    fn a_protocol_named_twice_counts_once() {
        let protocols = args("--protocol v9,v9,ipfix --exporters 2").settings().unwrap().protocols;
        assert_eq!(protocols, [Protocol::Netflow9, Protocol::Ipfix]);
        assert_eq!(
            args("--protocol NetFlow9,sFlow").settings().unwrap().protocols,
            [Protocol::Netflow9, Protocol::Sflow5]
        );
    }
}
