//! `helios spool`: what is in the spool, and what to do with blocks that ClickHouse refused.

use std::path::PathBuf;

use clap::Subcommand;
use helios_advice::counted;
use helios_sink::spool::inspect::{self, BlockState, InspectError, Listed};
use helios_sink::spool::report;

use super::{ConfigArgs, ListenArgs};
use helios_service::exit::{Exit, print};

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
        Action::List => report::table(&listed),
        Action::Show { name } => report::page(inspect::find(&listed, name, &root).map_err(Exit::run_time)?),
        Action::Retry(chosen) => {
            let blocks = chosen.of(&listed, &root, |status| status == BlockState::Refused)?;
            // All or none: after a mistake in the list of names, nothing is done.
            blocks.iter().try_for_each(|block| block.retriable()).map_err(Exit::run_time)?;
            blocks.iter().try_for_each(|block| block.retry(&root)).map_err(Exit::run_time)?;
            done("to be sent again by helios run", &blocks)
        }
        Action::Drop(chosen) => {
            let blocks =
                chosen.of(&listed, &root, |status| matches!(status, BlockState::Refused | BlockState::Damaged))?;
            blocks.iter().try_for_each(|block| block.drop_it()).map_err(Exit::run_time)?;
            done("dropped", &blocks)
        }
    };
    print(&text)
}

impl Chosen {
    fn of<'a>(
        &self,
        listed: &'a [Listed],
        root: &std::path::Path,
        all: impl Fn(BlockState) -> bool,
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
