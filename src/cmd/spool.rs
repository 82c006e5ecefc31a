//! `helios spool`: what is in the spool, and what to do with blocks that ClickHouse refused.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Subcommand;
use helios_sink::spool::inspect::{self, InspectError, Listed, Status};

use super::{ConfigArgs, ListenArgs, counted};
use helios_common::time::Utc;
use helios_service::exit::Exit;

/// List the blocks in the spool, send refused blocks again or drop them
///
/// Works while Helios runs and while it is stopped. `helios run` sends waiting blocks by itself. Blocks that ClickHouse
/// refused are set aside with its message and need a decision: `retry` or `drop`. docs/durability.md explains the
/// states.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios spool list --directory /var/lib/helios/spool
  helios spool show 01763856000000-9f86d081884c7d65-00000042 --config /etc/helios/helios.yaml
  helios spool retry --all          when the reason is gone: a running helios sends them within a second
  helios spool drop NAME            their rows are lost, and counted as dropped{reason=\"operator\"}")]
pub struct Args {
    #[command(subcommand)]
    action: Action,

    /// Directory of the spool [default: clickhouse.spool.directory, or `spool` in collector.state_dir]
    #[arg(long, global = true, value_name = "PATH")]
    directory: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all blocks: state, table, rows, bytes, and why a block is set aside
    List,
    /// Show one block: statement, token, times of arrival, ClickHouse's message
    Show {
        /// Name from `list`, or the beginning of it
        name: String,
    },
    /// Send refused blocks again
    Retry(Chosen),
    /// Remove blocks, and lose their rows
    Drop(Chosen),
}

#[derive(Debug, clap::Args)]
struct Chosen {
    /// Names from `list`, or the beginnings of names
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All blocks that ClickHouse refused; for `drop`, damaged files as well
    #[arg(long)]
    all: bool,
}

/// # Errors
/// 78 without a directory, 1 for a block that is not there or not in the state for it.
pub fn run(args: &Args) -> Result<(), Exit> {
    let configured =
        || -> Result<Option<PathBuf>, Exit> { Ok(args.config.load(&ListenArgs::default())?.sink().spool.directory) };
    let root = match &args.directory {
        Some(directory) => Some(directory.clone()),
        None => configured()?,
    };
    let Some(root) = root else {
        return Err(Exit::configuration([
            "no spool is configured: name its directory with --directory, or set clickhouse.spool.directory",
        ]));
    };
    let listed = inspect::list(&root).map_err(Exit::run_time)?;
    let text = match &args.action {
        Action::List => table(&listed),
        Action::Show { name } => page(inspect::find(&listed, name, &root).map_err(Exit::run_time)?),
        Action::Retry(chosen) => {
            let blocks = chosen.of(&listed, &root, |status| status == Status::Refused)?;
            // All or none: a mistake in the list of names is to leave nothing half done.
            blocks.iter().try_for_each(|block| block.retriable()).map_err(Exit::run_time)?;
            blocks.iter().try_for_each(|block| block.retry(&root)).map_err(Exit::run_time)?;
            done("to be sent again by helios run", &blocks)
        }
        Action::Drop(chosen) => {
            let blocks = chosen.of(&listed, &root, |status| matches!(status, Status::Refused | Status::Damaged))?;
            blocks.iter().try_for_each(|block| block.drop_it()).map_err(Exit::run_time)?;
            done("dropped", &blocks)
        }
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::output(&error))
}

impl Chosen {
    fn of<'a>(
        &self,
        listed: &'a [Listed],
        root: &std::path::Path,
        all: impl Fn(Status) -> bool,
    ) -> Result<Vec<&'a Listed>, Exit> {
        if self.all {
            return Ok(listed.iter().filter(|block| all(block.status)).collect());
        }
        let found: Result<Vec<_>, InspectError> =
            self.names.iter().map(|name| inspect::find(listed, name, root)).collect();
        found.map_err(Exit::run_time)
    }
}

fn done(what: &str, blocks: &[&Listed]) -> String {
    let rows: u64 = blocks.iter().filter_map(|block| block.rows).sum();
    format!("{} with {} {what}\n", counted(blocks.len() as u64, "block"), counted(rows, "row"))
}

/// A line per block and one for all of them.
fn table(listed: &[Listed]) -> String {
    let mut out = format!(
        "{:<40} {:<24} {:<8} {:<18} {:>9} {:>12}  reason\n",
        "name", "begun", "state", "table", "rows", "bytes"
    );
    for block in listed {
        let table = block.head.as_ref().map_or("?", |head| head.table.name());
        let rows = block.rows.map_or("?".to_owned(), |rows| rows.to_string());
        let note = block.note.as_deref().and_then(|note| note.lines().next()).unwrap_or("");
        let note: String = note.chars().take(120).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{:<40} {:<24} {:<8} {table:<18} {rows:>9} {:>12}  {note}",
            block.name,
            begun(block),
            block.status.name(),
            block.octets
        );
    }
    let rows: u64 = listed.iter().filter_map(|block| block.rows).sum();
    let octets: u64 = listed.iter().map(|block| block.octets).sum();
    let _ = writeln!(
        out,
        "{}, {}, {}",
        counted(listed.len() as u64, "block"),
        counted(rows, "row"),
        counted(octets, "byte")
    );
    out
}

fn begun(block: &Listed) -> String {
    block.begun().map_or("?".to_owned(), |at| Utc(at).to_string())
}

fn page(block: &Listed) -> String {
    let mut out = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(out, "{name:<12}{what}");
    };
    line("name", block.name.to_string());
    line("begun", begun(block));
    line("state", block.status.name().to_owned());
    line("file", block.path.display().to_string());
    line("bytes", block.octets.to_string());
    if let Some(head) = &block.head {
        line("table", head.table.name().to_owned());
        line("rows", block.rows.unwrap_or(0).to_string());
        line("token", head.token.clone());
        line("statement", head.statement.clone());
    }
    if let Some((first, last)) = block.arrivals() {
        line("arrivals", format!("{} to {}", Utc(first), Utc(last)));
    }
    if let Some(note) = &block.note {
        line("reason", note.trim_end().to_owned());
    }
    out
}
