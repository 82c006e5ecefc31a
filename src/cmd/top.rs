//! `helios top`: live top talkers.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use helios_query::answer::Answer;
use helios_query::render::{self, Figure};
use helios_query::{Filter, Key as By, Measure, Question, Range};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval};

use super::{ConfigArgs, ListenArgs};
use crate::answer;
use crate::config::Config;
use crate::top::terminal::{Key, Screen, keys};
use helios_service::arguments::duration;
use helios_service::exit::{Exit, print};

/// Show the top talkers, live
///
/// Queries ClickHouse every few seconds and shows bits, packets and flows per second: averages over the window,
/// multiplied by the sampling intervals. Space or Tab changes the key, q quits. With --once, or without a terminal, it
/// prints one table. `helios query` is for longer times and shows their course.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios top                                     source and destination addresses of the last minute
  helios top --by dst_as --window 10m
  helios top --by port --filter 'src in 10.0.0.0/8'
  helios top --by interface --limit 50 --once")]
pub struct Args {
    /// What traffic is summed by: src, dst, pair, port, as, country, exporter, interface, or columns (docs/columns.md)
    #[arg(long, value_name = "KEY,...", default_value = "pair")]
    by: String,

    /// Which flows count, such as `src in 10.0.0.0/8 and dport 443` (docs/query.md)
    #[arg(long, short, value_name = "FILTER", default_value = "", hide_default_value = true)]
    filter: String,

    /// Length of the window, such as 90s, 10m, 2h; a number alone is seconds
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    window: Duration,

    /// Time between two queries
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    interval: Duration,

    /// Number of lines [default: as many as fit on the terminal]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: Option<u64>,

    /// Print one table and end
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Lines of a table that is not on a screen.
const LINES: usize = 20;

/// Lines of the screen that are not talkers: title, empty line, header.
const FRAME_LINES: usize = 3;

/// What is asked for, read after the configuration, whose columns it may name.
#[derive(Debug)]
struct Asked {
    by: Vec<By>,
    filter: Filter,
    window: Duration,
}

impl Asked {
    fn read(args: &Args) -> Result<Self, Exit> {
        let (by, filter) = (super::query::keys(&args.by)?, super::query::filter(&args.filter)?);
        Ok(Self { by, filter, window: args.window })
    }

    /// The question by the keys that are shown now.
    fn question(&self, top: usize) -> Question {
        let (by, filter, range) = (self.by.clone(), self.filter.clone(), Range::Last(self.window));
        Question { by, filter, range, measure: Measure::Bytes, top }
    }
}

/// # Errors
/// 64 for unknown keys or a wrong filter, 78 for a wrong configuration, 1 when ClickHouse does not answer.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&ListenArgs::default())?;
    let asked = Asked::read(args)?;
    let runtime = super::runtime()?;
    if args.once || !io::stdout().is_terminal() {
        return runtime.block_on(once(args, &asked, &config));
    }
    runtime.block_on(live(args, asked, &config))
}

async fn once(args: &Args, asked: &Asked, config: &Config) -> Result<(), Exit> {
    let question = asked.question(args.limit.map_or(LINES, |limit| limit as usize));
    let answer = answer::ask(&config.clickhouse, &question, None, 0).await.map_err(Exit::run_time)?;
    let mut text = render::table(&question.by, &answer, Figure::Rates).join("\n");
    text.push('\n');
    if answer.rows.is_empty() {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr().lock(), "helios: {}", nothing(asked));
    }
    print(&text)
}

async fn live(args: &Args, mut asked: Asked, config: &Config) -> Result<(), Exit> {
    let failed = |error: io::Error| Exit::run_time(format_args!("cannot use the terminal: {error}"));
    // Signals first: once the screen is taken over, nothing may end the process without restoring the terminal.
    let mut input = Input::open().map_err(failed)?;
    let screen = Screen::open(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())).map_err(failed)?;
    let mut ticks = interval(args.interval.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asking = || Err(format!("asking ClickHouse at {}", config.clickhouse.url));
    let mut shown = asking();
    loop {
        let limit = args
            .limit
            .map_or(usize::MAX, |limit| limit as usize)
            .min(screen.height().saturating_sub(FRAME_LINES))
            .max(1);
        let question = asked.question(limit);
        screen.draw(&frame(&asked, &shown), FRAME_LINES - 1).map_err(failed)?;
        let answer = async {
            ticks.tick().await;
            answer::ask(&config.clickhouse, &question, None, 0).await
        };
        // A key press drops the answer that is still awaited.
        tokio::select! {
            answer = answer => shown = answer,
            key = input.next() => match key {
                Key::Quit => return Ok(()),
                Key::Redraw => {}
                Key::Next => {
                    asked.by = next(&asked.by);
                    shown = asking();
                    ticks.reset_immediately();
                }
            }
        }
    }
}

/// The keys that Space goes through. From any other key, Space leads to the first of these.
const ROUND: &[&str] = &["src", "dst", "pair", "port", "src_as", "dst_as", "country", "exporter", "interface"];

fn next(by: &[By]) -> Vec<By> {
    let round: Vec<Vec<By>> = ROUND.iter().filter_map(|name| By::parse_list(name).ok()).collect();
    let at = round.iter().position(|keys| keys == by).map_or(0, |at| at + 1);
    round.get(at).or(round.first()).cloned().unwrap_or_else(|| by.to_vec())
}

/// What the user and the system ask for.
struct Input {
    keys: UnboundedReceiver<Key>,
    terminate: Signal,
    hangup: Signal,
}

impl Input {
    fn open() -> io::Result<Self> {
        let (terminate, hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        Ok(Self { keys: keys(), terminate, hangup })
    }

    async fn next(&mut self) -> Key {
        tokio::select! {
            key = self.keys.recv() => key.unwrap_or(Key::Quit),
            _ = self.terminate.recv() => Key::Quit,
            _ = self.hangup.recv() => Key::Quit,
        }
    }
}

fn frame(asked: &Asked, shown: &Result<Answer, String>) -> Vec<String> {
    let bits = shown.as_ref().map_or(0.0, |answer| answer.total.bytes as f64 * 8.0 / answer.seconds() as f64);
    let names: Vec<&str> = asked.by.iter().map(|key| key.name()).collect();
    let title = format!(
        "helios top  by {}  last {} s  {}bit/s in all  (space: next key, q: quit)",
        names.join(", "),
        asked.window.as_secs(),
        with_space(&render::scaled(bits)),
    );
    let mut lines = vec![title, String::new()];
    match shown {
        Ok(answer) if answer.rows.is_empty() => lines.push(nothing(asked)),
        Ok(answer) => lines.extend(render::table(&asked.by, answer, Figure::Rates)),
        Err(error) => lines.push(error.clone()),
    }
    lines
}

/// What an empty table means: by itself it would not say whether anything is wrong.
fn nothing(asked: &Asked) -> String {
    let which = if asked.filter.is_any() { "" } else { " that match the filter" };
    format!(
        "no flows{which} arrived in the last {} s: raise --window, or look at /api/v1/exporters of `helios run` for who sends",
        asked.window.as_secs()
    )
}

/// A space behind a number without a prefix: `12 ` and `1.2 M` are both followed by the unit.
fn with_space(number: &str) -> String {
    if number.ends_with(|c: char| c.is_ascii_digit()) { format!("{number} ") } else { number.to_owned() }
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

    fn asked(arguments: &[&str]) -> Asked {
        Asked::read(&Cli::parse_from([&["top"], arguments].concat()).args).unwrap()
    }

    #[test]
    fn a_frame_shows_the_error_instead_of_the_table() {
        let asked = asked(&["--by", "src"]);
        let lines = frame(&asked, &Err("ClickHouse is away".to_owned()));
        assert_eq!(lines[0], "helios top  by src_addr  last 60 s  0 bit/s in all  (space: next key, q: quit)");
        assert_eq!(lines[2], "ClickHouse is away");
        let table = helios_query::Table::by_name("flows").unwrap();
        let total = helios_query::answer::Figures::default();
        let empty = Answer { table, warning: None, time: None, is_of_busiest: false, total, keys: 0, rows: Vec::new() };
        let lines = frame(&asked, &Ok(empty));
        assert!(lines.len() == 3 && lines[2].starts_with("no flows arrived in the last 60 s: "), "{lines:?}");
    }

    #[test]
    fn going_round_comes_back() {
        let keys = |text| By::parse_list(text).unwrap();
        let mut by = keys("src");
        for _ in ROUND {
            by = next(&by);
        }
        assert_eq!(by, keys("src"));
        // Keys of the user's own are not in the round.
        assert_eq!(next(&keys("dst_tenant")), keys("src"));
    }

    #[test]
    fn a_port_is_the_services_and_a_window_without_unit_is_seconds() {
        let asked = asked(&["--by", "port", "--window", "5", "--filter", "tcp"]);
        let names: Vec<_> = asked.by.iter().map(|key| key.name()).collect();
        assert_eq!((names, asked.window.as_secs()), (vec!["proto", "service_port"], 5));
    }
}
