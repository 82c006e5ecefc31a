//! `helios top`: live top talkers.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use helios_sink::client;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval};

use super::{ConfigArgs, ListenArgs};
use crate::config::Config;
use crate::explain;
use crate::top::terminal::{Key, Screen, keys};
use crate::top::{By, Question, Talker, render};
use helios_service::exit::Exit;

/// Show who moves the most, live
///
/// Asks ClickHouse every few seconds and shows bits, packets and flows per second, averaged over the window and scaled
/// by the flows' sampling intervals. Space or Tab sums by the next key, q quits. With --once, or
/// where standard output is no terminal, it prints one table.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  helios top                                     source and destination addresses of the last minute
  helios top --by dst-as --window 10m
  helios top --by in-interface --limit 50 --once")]
pub struct Args {
    /// What traffic is summed by
    #[arg(long, value_enum, value_name = "KEY", default_value_t = By::Pair)]
    by: By,

    /// How far back to look, such as 90s, 10m, 2h
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = super::replay::duration)]
    window: Duration,

    /// How often to ask
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = super::replay::duration)]
    interval: Duration,

    /// Lines to show; on a terminal as many as fit
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

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

/// # Errors
/// 78 for a wrong configuration, 1 when ClickHouse does not answer.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&ListenArgs::default())?;
    let runtime = explain::runtime().map_err(|error| Exit::run_time(format_args!("cannot start: {error}")))?;
    if args.once || !io::stdout().is_terminal() {
        return runtime.block_on(once(args, &config));
    }
    runtime.block_on(live(args, &config))
}

async fn once(args: &Args, config: &Config) -> Result<(), Exit> {
    let question = Question { by: args.by, window: args.window, limit: args.limit.unwrap_or(LINES) };
    let talkers = ask(config, question).await.map_err(Exit::run_time)?;
    let mut text = render::table(args.by, &talkers).join("\n");
    text.push('\n');
    if talkers.is_empty() {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr().lock(), "helios: {}", nothing(question));
    }
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::output(&error))
}

async fn live(args: &Args, config: &Config) -> Result<(), Exit> {
    let failed = |error: io::Error| Exit::run_time(format_args!("cannot use the terminal: {error}"));
    // Signals first: from the moment the screen is ours, nothing may end the process without giving it back.
    let mut input = Input::open().map_err(failed)?;
    let screen = Screen::open(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())).map_err(failed)?;
    let mut ticks = interval(args.interval.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asking = || Err(format!("asking ClickHouse at {}", config.clickhouse.url));
    let (mut by, mut shown) = (args.by, asking());
    loop {
        let limit = args.limit.unwrap_or(usize::MAX).min(screen.height().saturating_sub(FRAME_LINES)).max(1);
        let question = Question { by, window: args.window, limit };
        screen.draw(&frame(question, &shown), FRAME_LINES - 1).map_err(failed)?;
        let answer = async {
            ticks.tick().await;
            ask(config, question).await
        };
        // A key gives up an answer that is still awaited.
        tokio::select! {
            answer = answer => shown = answer,
            key = input.next() => match key {
                Key::Quit => return Ok(()),
                Key::Redraw => {}
                Key::Next => {
                    by = by.next();
                    shown = asking();
                    ticks.reset_immediately();
                }
            }
        }
    }
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

fn frame(question: Question, shown: &Result<Vec<Talker>, String>) -> Vec<String> {
    let total = shown.as_ref().ok().and_then(|talkers| talkers.first()).map_or(0.0, |talker| talker.total_bits);
    let title = format!(
        "helios top  by {}  last {} s  {}bit/s in all  (space: next key, q: quit)",
        question.by.name(),
        question.window.as_secs(),
        with_space(&render::scaled(total)),
    );
    let mut lines = vec![title, String::new()];
    match shown {
        Ok(talkers) if talkers.is_empty() => lines.push(nothing(question)),
        Ok(talkers) => lines.extend(render::table(question.by, talkers)),
        Err(error) => lines.push(error.clone()),
    }
    lines
}

/// An empty table by itself would leave open whether anything is wrong.
fn nothing(question: Question) -> String {
    format!(
        "no flows arrived in the last {} s: widen --window, or see who sends at /api/v1/exporters of `helios run`",
        question.window.as_secs()
    )
}

/// `12 ` and `1.2 M`: a unit follows a number at a distance, a prefix at once.
fn with_space(number: &str) -> String {
    if number.ends_with(|c: char| c.is_ascii_digit()) { format!("{number} ") } else { number.to_owned() }
}

/// One statement, one answer; the connection is made anew, so that a rotated password and a moved server are taken up.
async fn ask(config: &Config, question: Question) -> Result<Vec<Talker>, String> {
    let clickhouse = &config.clickhouse;
    let client = client::connect(clickhouse).map_err(|error| error.to_string())?;
    let failed = |error| explain::question(clickhouse, &error);
    let query = client.query(&question.sql(&clickhouse.database));
    let bytes = query.fetch_bytes("JSONEachRow").map_err(failed)?.collect().await.map_err(failed)?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).map_err(|error| format!("an answer that is none of ours: {error}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_shows_the_error_instead_of_the_table() {
        let question = Question { by: By::Src, window: Duration::from_secs(60), limit: 5 };
        let lines = frame(question, &Err("ClickHouse is away".to_owned()));
        assert_eq!(lines[0], "helios top  by src  last 60 s  0 bit/s in all  (space: next key, q: quit)");
        assert_eq!(lines[2], "ClickHouse is away");
        let lines = frame(question, &Ok(Vec::new()));
        assert!(lines.len() == 3 && lines[2].starts_with("no flows arrived in the last 60 s: "), "{lines:?}");
    }
}
