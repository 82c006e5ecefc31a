//! `helios replay`: a capture's datagrams to a collector.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use helios_lab::capture::Capture;
use helios_lab::replay::{Settings, Speed, run as run_replay};
use helios_service::arguments::{address, duration, number};
use helios_service::exit::{Exit, print};
use helios_service::progress::Progress;
use helios_service::signals::stop_flag;

/// Send the datagrams of a capture to a collector
///
/// Sends all UDP datagrams of a pcap or pcapng file at their captured pace. Each source of the capture gets its own
/// socket, so that a collector keeps their templates apart; with --keep-sources and a loopback target, each also gets
/// its own loopback address. Datagrams are sent unchanged: their times and sequence numbers are old.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios replay capture.pcap                               to 127.0.0.1:2055, as captured
  helios replay capture.pcap --speed 10x --keep-sources
  helios replay capture.pcap --rate 5k --loop 100          5,000 datagrams/s, a hundred times
  helios replay capture.pcap --max --target [::1]:2055
  helios replay capture.pcap --tcp --target 127.0.0.1:4739     IPFIX to a collector.tcp.listen
  gunzip -c capture.pcap.gz | helios replay - --port 2055")]
pub struct Args {
    /// Capture file, `-` for standard input
    capture: PathBuf,

    /// Address of the collector
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2055", value_parser = address)]
    target: SocketAddr,

    /// Datagrams per second, such as 500, 5k or 1M
    #[arg(long, value_name = "DATAGRAMS", value_parser = number, conflicts_with_all = ["speed", "max"])]
    rate: Option<f64>,

    /// Speed relative to the capture, such as 10x or 0.5x
    #[arg(long, value_name = "FACTOR", value_parser = factor, default_value = "1x", conflicts_with = "max")]
    speed: f64,

    /// As fast as possible
    #[arg(long)]
    max: bool,

    /// Longest pause between two datagrams; longer pauses of the capture are shortened to it
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    max_gap: Duration,

    /// Number of times that the capture is sent
    #[arg(long = "loop", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,

    /// Send from one loopback address for each captured address (loopback IPv4 targets only)
    ///
    /// Captured loopback addresses stay. Others become 127.128.0.1, 127.128.0.2 and so on, in order of appearance.
    #[arg(long)]
    keep_sources: bool,

    /// Send over TCP, one connection for each source; messages other than IPFIX are left out
    #[arg(long)]
    tcp: bool,

    /// Send only datagrams whose destination port in the capture is this one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

/// # Errors
/// 64 for flags that contradict each other, 1 when the capture cannot be read or nothing could be sent.
pub fn run(args: Args) -> Result<(), Exit> {
    let settings = args.settings()?;
    let stop = stop_flag().map_err(|error| Exit::run_time(format_args!("cannot listen to signals: {error}")))?;
    let mut progress = Progress::default();
    let result = run_replay(
        &settings,
        || Capture::open(&args.capture),
        &stop,
        |report| {
            progress.show(|| report.line());
        },
    );
    progress.finish();
    let report = result.map_err(Exit::run_time)?;
    let mut stderr = io::stderr().lock();
    for note in report.notes(&settings) {
        // A closed standard error is no failure: the work is done.
        let _ = writeln!(stderr, "helios: {note}");
    }
    print(&(report.line() + "\n"))?;
    match (report.datagrams, report.refused + report.failed) {
        (0, 1..) => Err(Exit::run_time(format_args!("nothing was sent to {}", settings.target))),
        (0, 0) => Err(Exit::run_time(format_args!("{}: no UDP datagram to send", args.capture.display()))),
        _ => Ok(()),
    }
}

impl Args {
    fn settings(&self) -> Result<Settings, Exit> {
        if self.keep_sources && !(self.target.is_ipv4() && self.target.ip().is_loopback()) {
            let target = self.target;
            return Err(Exit::usage(format_args!(
                "--keep-sources needs an IPv4 loopback --target such as 127.0.0.1:2055, found {target}"
            )));
        }
        if self.times > 1 && self.capture == Path::new("-") {
            return Err(Exit::usage("--loop needs a file: standard input can be read only once"));
        }
        let speed = match self.rate {
            Some(rate) => Speed::DatagramsPerSec(rate),
            None if self.max => Speed::Max,
            None => Speed::Captured(self.speed),
        };
        let Self { target, max_gap, times, keep_sources, port, tcp, .. } = *self;
        Ok(Settings { target, speed, max_gap, times, keep_sources, port, tcp })
    }
}

/// A positive factor, with or without an x behind it.
fn factor(text: &str) -> Result<f64, String> {
    let factor = text.strip_suffix('x').unwrap_or(text).parse::<f64>().ok();
    let factor = factor.filter(|factor| (1e-6..=1e6).contains(factor));
    factor.ok_or_else(|| "expected a factor such as 10x or 0.5x".to_owned())
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

    fn settings(line: &str) -> Result<Settings, Exit> {
        Cli::parse_from(std::iter::once("replay").chain(line.split_whitespace())).args.settings()
    }

    #[test]
    fn the_captured_pace_is_the_default() {
        assert_eq!(settings("x.pcap").unwrap().speed, Speed::Captured(1.0));
        assert_eq!(settings("x.pcap --speed 2.5x").unwrap().speed, Speed::Captured(2.5));
        assert_eq!(settings("x.pcap --rate 5k").unwrap().speed, Speed::DatagramsPerSec(5_000.0));
        assert_eq!(settings("x.pcap --max --loop 3").unwrap().speed, Speed::Max);
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_reason() {
        let refused = |line| settings(line).unwrap_err();
        assert!(refused("x.pcap --keep-sources --target [::1]:2055").lines()[0].contains("IPv4 loopback"));
        assert!(refused("x.pcap --keep-sources --target 192.0.2.1:2055").lines()[0].contains("192.0.2.1"));
        assert_eq!(refused("- --loop 2").code(), 64);
    }

    #[test]
    fn a_factor_is_positive() {
        assert!(factor("0x").is_err() && factor("-1x").is_err() && factor("x").is_err());
    }
}
