//! `helios migrate`: create and upgrade the schema.

use std::time::Instant;

use helios_sink::migrate::{self, Step};
use helios_sink::{client, explain};

use super::{ConfigArgs, ListenArgs};
use helios_service::exit::{Exit, print};

/// Create or upgrade the tables in ClickHouse
///
/// Compares the tables with what this version needs, and adds what is missing: tables, views, columns, changed
/// retention. Rows stay. `helios run` does the same at its start unless clickhouse.migrate is off. Both leave tables of
/// a newer version alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios migrate --dry-run                                  print the statements, change nothing
  helios migrate --clickhouse-url http://clickhouse:8123
  helios migrate --set clickhouse.retention_days.flows=14   keep flows for two weeks")]
pub struct Args {
    /// Print the statements that would run, and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// # Errors
/// 78 for a wrong configuration, 1 when ClickHouse cannot be reached or refuses a step.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&ListenArgs::default())?.clickhouse;
    let runtime = super::runtime()?;
    runtime.block_on(async {
        let client = client::connect(&config).map_err(|error| Exit::configuration([error]))?;
        let failed = |error| Exit::run_time(explain::migration(&config, &error));
        if args.dry_run {
            return show(&migrate::plan(&client, &config).await.map_err(failed)?);
        }
        let mut steps = Steps::default();
        let plan = migrate::apply(&client, &config, |step| steps.begin(step)).await.map_err(failed)?;
        steps.end();
        match plan.is_empty() {
            true => print(&format!("the schema in database {} is up to date\n", config.database)),
            false => steps.written,
        }
    })
}

fn show(plan: &[Step]) -> Result<(), Exit> {
    if plan.is_empty() {
        return print("-- the schema is up to date\n");
    }
    plan.iter().try_for_each(|step| print(&format!("-- {}\n{};\n\n", step.purpose, step.sql)))
}

/// Prints a step when the next one begins, with the time it took.
struct Steps {
    current: Option<(String, Instant)>,
    written: Result<(), Exit>,
}

impl Default for Steps {
    fn default() -> Self {
        Self { current: None, written: Ok(()) }
    }
}

impl Steps {
    fn begin(&mut self, step: &Step) {
        self.end();
        self.current = Some((step.purpose.clone(), Instant::now()));
    }

    fn end(&mut self) {
        let Some((purpose, since)) = self.current.take() else { return };
        let result = print(&format!("{purpose} ({:.2} s)\n", since.elapsed().as_secs_f64()));
        // A closed pipe must not stop a migration halfway; the first error is told at the end.
        if self.written.is_ok() {
            self.written = result;
        }
    }
}
