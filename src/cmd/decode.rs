//! `helios decode`: a capture to rows, a summary or raw fields.

use std::cell::Cell;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use helios_collector::config::TunnelPortsConfig;
use helios_collector::decode::{Decapsulate, DecoderConfig};
use helios_common::columns::Column;
use helios_common::flow::FlowBatch;
use helios_common::names::NamesView;
use helios_query::Filter;

use crate::config::Config;
use helios_advice::counted;
use helios_lab::capture::{Capture, Live};
use helios_lab::decode::run::{self, RunError};
use helios_lab::decode::{Csv, JsonLines, Rows, Table};
use helios_service::config::Sources;
use helios_service::exit::Exit;
use helios_service::signals;

/// Decode a capture to JSON lines, CSV or a table
///
/// Reads the UDP datagrams of a pcap or pcapng file, the messages of an IPFIX file (RFC 5655), or either from standard
/// input as they come (Ctrl-C ends it). Prints the rows that `helios run` would store: the columns of the table `flows`
/// by name (docs/columns.md), addresses and MACs as text, times in RFC 3339 (UTC), enumerations as labels. A JSON row
/// has the columns that its message filled; "held": true marks rows that waited for their template. Malformed datagrams
/// are counted on standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios decode capture.pcap | jq -c '[.src_addr, .dst_addr, .bytes]'
  helios decode --filter 'dport 443 and src in 10.0.0.0/8' capture.pcap
  helios decode --summary capture.pcap                        counters by protocol
  helios decode --format table --columns src_addr,dst_addr,bytes capture.pcap
  helios decode --config helios.yaml --columns src_addr,queue_id capture.pcap
  helios decode --decapsulate all --tunnel-ports vxlan=8473 capture.pcap
  helios decode --raw capture.pcap | jq .fields               fields without a column, too
  tcpdump -i eth0 -U -w - udp port 2055 | helios decode -     live")]
pub struct Args {
    /// Capture file, `-` for standard input
    file: PathBuf,

    /// Configuration file with additional `columns` and `collector.tunnel_ports`; the rest of it is not used
    #[arg(short, long, value_name = "FILE", conflicts_with = "raw")]
    config: Option<PathBuf>,

    /// Print one JSON object of counters by protocol instead of rows
    #[arg(long, conflicts_with_all = ["raw", "format", "columns"])]
    summary: bool,

    /// Print every field of every record by its IANA name
    ///
    /// Shows templates, options data and fields without a column as well. Another decoder than that of `helios run`
    /// reads the capture: a second opinion.
    #[arg(long, conflicts_with_all = ["format", "columns", "decapsulate"])]
    raw: bool,

    /// Print the rows that this filter takes, such as `src in 10.0.0.0/8 and dport 443` (docs/query.md)
    #[arg(long, short, value_name = "FILTER", conflicts_with_all = ["raw", "summary"])]
    filter: Option<String>,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,

    /// Print these columns only, also where they have their default
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    columns: Vec<String>,

    /// Tunnels to decapsulate: all, none, or some of gre, ipip, vxlan, geneve, erspan, gtp, mpls
    ///
    /// The inner packet fills the plain columns then. `helios run` decapsulates all of them by default; here the
    /// default is none, as in other decoders.
    #[arg(long, value_name = "TUNNEL,...", value_delimiter = ',', default_value = "none")]
    decapsulate: Vec<String>,

    /// Further UDP ports of tunnels: vxlan, vxlan_gpe, geneve, gtp or mpls, and the port
    #[arg(long, value_name = "KIND=PORT,...", value_delimiter = ',', conflicts_with = "raw")]
    tunnel_ports: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One object a line
    Json,
    /// Aligned columns
    Table,
    /// With a header line
    Csv,
}

/// # Errors
/// 64 for an unknown column or tunnel, 78 for a wrong configuration, 1 when the capture cannot be read or the output not be written.
pub fn run(args: &Args) -> Result<(), Exit> {
    let mut ports = TunnelPortsConfig::default();
    if let Some(file) = &args.config {
        let sources = Sources { file: Some(file.clone()), ..Sources::default() };
        let config = sources.load::<Config>().map_err(Exit::configuration)?;
        config.install_columns();
        ports = config.collector.tunnel_ports;
    }
    for port in &args.tunnel_ports {
        add_port(&mut ports, port)?;
    }
    let decapsulate = ports.applied_to(tunnels(&args.decapsulate)?);
    let decapsulate = decapsulate.map_err(|error| Exit::usage(format_args!("--tunnel-ports: {}", error.problem)))?;
    let decoder = DecoderConfig { decapsulate, ..DecoderConfig::default() };
    let columns = columns(&args.columns)?;
    let capture = Capture::open(&args.file).map_err(Exit::run_time)?;
    let stop = signals::stop_flag().map_err(Exit::run_time)?;
    let mut live = Live::start(capture, stop).map_err(Exit::run_time)?;
    let out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let notes = if args.raw {
        run::raw(&mut live, out)
    } else if args.summary {
        run::summary(&mut live, decoder, out)
    } else {
        let (taken, left) = (Cell::new(0), Cell::new(0));
        let notes = run::rows(&mut live, decoder, writer(args, columns, out, &taken, &left)?);
        let none = (taken.get() == 0 && left.get() > 0).then(|| none_taken(left.get()));
        notes.map(|notes| notes.into_iter().chain(none).collect())
    };
    let mut notes = notes.map_err(|error| match error {
        RunError::Capture(error) => Exit::run_time(error),
        RunError::Output(error) => Exit::output(&error),
    })?;
    let counts = live.counts();
    notes.splice(0..0, counts.notes());
    if live.is_stopped() {
        let (packets, datagrams) = (counted(counts.packets, "packet"), counted(counts.datagrams, "datagram"));
        notes.push(format!("stopped after {packets} with {datagrams}"));
    }
    let mut stderr = io::stderr().lock();
    for note in notes {
        // A closed standard error is no failure: the work is done.
        let _ = writeln!(stderr, "helios: {note}");
    }
    Ok(())
}

/// Nothing printed by itself would leave open whether the capture or the filter is the cause.
fn none_taken(left: u64) -> String {
    format!(
        "--filter takes none of {}; a capture has addresses and numbers, and no names from inventories",
        counted(left, "flow")
    )
}

fn writer<'a>(
    args: &Args,
    columns: Option<Vec<Column>>,
    out: impl Write + 'a,
    taken: &'a Cell<u64>,
    left: &'a Cell<u64>,
) -> Result<Box<dyn Rows + 'a>, Exit> {
    let rows: Box<dyn Rows + 'a> = match args.format {
        Format::Json => Box::new(JsonLines::new(out, columns)),
        Format::Table => Box::new(Table::new(out, columns)),
        Format::Csv => Box::new(Csv::new(out, columns).map_err(|error| Exit::output(&error))?),
    };
    Ok(match &args.filter {
        Some(filter) => Box::new(Filtered { filter: super::query::filter(filter)?, rows, taken, left }),
        None => rows,
    })
}

/// Passes on the rows that a filter takes.
struct Filtered<'a> {
    filter: Filter,
    rows: Box<dyn Rows + 'a>,
    /// How many it took.
    taken: &'a Cell<u64>,
    /// How many it did not take.
    left: &'a Cell<u64>,
}

impl Rows for Filtered<'_> {
    fn row(&mut self, batch: &FlowBatch, names: &NamesView<'_>, row: usize, held: bool) -> io::Result<()> {
        if !self.filter.matches(batch, names, row) {
            self.left.set(self.left.get() + 1);
            return Ok(());
        }
        self.taken.set(self.taken.get() + 1);
        self.rows.row(batch, names, row, held)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.rows.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.rows.finish()
    }
}

fn columns(names: &[String]) -> Result<Option<Vec<Column>>, Exit> {
    let find = |name: &String| {
        Column::by_name(name).ok_or_else(|| {
            let near = helios_advice::nearest(name, Column::all().map(|column| column.spec().name));
            let hint = near.map_or("docs/columns.md lists all".to_owned(), |near| format!("did you mean {near}?"));
            Exit::usage(format_args!("--columns: there is no column {name}; {hint}"))
        })
    };
    let columns: Vec<Column> = names.iter().map(find).collect::<Result<_, _>>()?;
    Ok((!columns.is_empty()).then_some(columns))
}

fn add_port(ports: &mut TunnelPortsConfig, text: &str) -> Result<(), Exit> {
    let wrong = || {
        Exit::usage(format_args!(
            "--tunnel-ports: expected one of vxlan, vxlan_gpe, geneve, gtp, mpls and a port, such as vxlan=8473, found {text}"
        ))
    };
    let (kind, port) = text.split_once('=').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|&port| port > 0).ok_or_else(wrong)?;
    ports.of_kind(kind).ok_or_else(wrong)?.push(port);
    Ok(())
}

fn tunnels(names: &[String]) -> Result<Decapsulate, Exit> {
    names.iter().try_fold(Decapsulate::NONE, |all, name| match name.as_str() {
        "none" => Ok(all),
        "all" => Ok(Decapsulate::ALL),
        name => Decapsulate::by_name(name).map(|one| all | one).ok_or_else(|| {
            let names = Decapsulate::NAMES.map(|(name, _)| name).join(", ");
            Exit::usage(format_args!("--decapsulate: must be one of all, none, {names}, found {name}"))
        }),
    })
}
