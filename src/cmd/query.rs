//! `helios query`: the keys with the most traffic in a time, asked of ClickHouse once.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use clap::ValueEnum;
use helios_advice::counted;
use helios_common::clock::unix_secs;
use helios_query::answer::Answer;
use helios_query::render::{self, Figure};
use helios_query::{Filter, Holds, Key, Measure, Question, Range, Table};
use helios_service::arguments::duration;
use helios_service::exit::{Exit, print};

use super::{ConfigArgs, ListenArgs};
use crate::answer;

/// Sum traffic by any columns, from the coarsest table that can answer
///
/// Figures are estimates, scaled by the sampling intervals of the flows. The begin of the time is rounded down and its end up to
/// the hours or minutes of the table that answers. The last line names this table and the time that was summed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Filters are made of fields, values, and, or, not and parentheses (docs/query.md):
  src in 10.0.0.0/8 and dport 443 and not proto udp
  exporter fra-* and (src as 64500 or dst as 64500)
  in if xe-0/0/0 and bytes > 1M and flags S and not flags A

Examples:
  helios query --by src_as,dst_as --last 24h --top 20
  helios query --by src --filter 'dst net 192.0.2.0/24 and dport 443' --last 2h
  helios query --by port --last 7d --format csv
  helios query --by exporter,in_if_name --from '2026-11-27 22:00' --to '2026-11-28 02:00' --order packets")]
pub struct Args {
    /// What traffic is summed by: columns (docs/columns.md), or src, dst, pair, port, as, country, exporter, interface
    #[arg(long, value_name = "KEY,...", default_value = "pair")]
    by: String,

    /// Which flows count, such as `src in 10.0.0.0/8 and dport 443`
    #[arg(long, short, value_name = "FILTER", default_value = "", hide_default_value = true)]
    filter: String,

    /// How far back to look, such as 15m, 24h, 30d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration, conflicts_with = "from")]
    last: Duration,

    /// Begin of the time in UTC: `2026-11-27`, `2026-11-27 22:00`, or RFC 3339 with another offset
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<u64>,

    /// End of the time, not included [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "from")]
    to: Option<u64>,

    /// Largest number of rows
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    top: u64,

    /// Sum that orders the rows
    #[arg(long, value_enum, default_value_t = Order::Bytes)]
    order: Order,

    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Ask this table instead of the coarsest that can answer: summary_1h, flows_1h, flows_1m, talkers_1h, talkers_1m or flows
    #[arg(long, value_name = "NAME", value_parser = table)]
    table: Option<&'static Table>,

    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    Bytes,
    Packets,
    Flows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns, with the course of every row as a sparkline
    Table,
    /// With a header line, exact figures
    Csv,
    /// One object with rows, total and what is not listed
    Json,
}

/// Points of a sparkline: as many as fit beside keys and figures on 120 columns.
const POINTS: usize = 24;

/// # Errors
/// 64 for a question that the chosen table cannot answer, 78 for a wrong configuration, 1 when ClickHouse does not answer.
pub fn run(args: &Args) -> Result<(), Exit> {
    let config = args.config.load(&ListenArgs::default())?;
    let question = question(args)?;
    let runtime = super::runtime()?;
    let points = if args.format == Format::Csv { 0 } else { POINTS };
    let answer = answer::ask(&config.clickhouse, &question, args.table, points);
    let answer = runtime.block_on(answer).map_err(Exit::run_time)?;
    let text = match args.format {
        Format::Table => with_line_breaks(&render::table(&question.by, &answer, Figure::Sums)),
        Format::Csv => render::csv(&question.by, &answer),
        Format::Json => format!("{:#}\n", render::json(&question.by, &answer)),
    };
    print(&text)?;
    for note in notes(&question, &answer) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr().lock(), "helios: {note}");
    }
    Ok(())
}

fn question(args: &Args) -> Result<Question, Exit> {
    let range = match args.from {
        None => Range::Last(args.last),
        Some(from) => match args.to {
            Some(to) if to <= from => return Err(Exit::usage("--to must be later than --from")),
            // Without an end the table is chosen by the time until now; ClickHouse ends the sums at its own now.
            to => Range::Between { from, to: to.unwrap_or_else(|| unix_secs().max(from)) },
        },
    };
    let question = Question {
        by: keys(&args.by)?,
        filter: filter(&args.filter)?,
        range,
        measure: match args.order {
            Order::Bytes => Measure::Bytes,
            Order::Packets => Measure::Packets,
            Order::Flows => Measure::Flows,
        },
        top: args.top as usize,
    };
    if let Some(table) = args.table
        && let Some(column) = question.lacks(table)
    {
        let why = match table.holds {
            Holds::Busiest => {
                "answers --by src, dst, pair or port, with exporter beside it, and filters of exporters".to_owned()
            }
            _ => format!("has no column {}", column.spec().name),
        };
        return Err(Exit::usage(format_args!("{} {why}: leave --table out, or ask flows", table.name)));
    }
    Ok(question)
}

fn notes(question: &Question, answer: &Answer) -> Vec<String> {
    let mut notes: Vec<String> = answer.warning.clone().into_iter().collect();
    match answer.time {
        Some((since, until)) => {
            let (since, until) = (utc(since), utc(until));
            notes.push(format!("from {}, {since} to {until}, {}", answer.table.name, counted(answer.keys, "key")));
            if answer.is_of_busiest {
                let (of, exact) = match answer.table.holds {
                    Holds::Summaries => ("the busiest pairs of AS", "flows_1h has every one"),
                    _ => ("the busiest of every exporter", "flows has every key, for as long as flows are kept"),
                };
                let lists = format!("lists {of}: their figures are lower bounds, the total is exact");
                notes.push(format!("{} {lists}; --table {exact}", answer.table.name));
            }
        }
        None => {
            let which = if question.filter.is_any() { "" } else { " that the filter takes" };
            notes.push(format!("{} has no flows of that time{which}", answer.table.name));
        }
    }
    notes
}

fn utc(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.map_or_else(|| seconds.to_string(), |moment| moment.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn with_line_breaks(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// Keys and filters are read after the configuration, whose columns they may name.
pub(super) fn keys(text: &str) -> Result<Vec<Key>, Exit> {
    Key::parse_list(text).map_err(|error| Exit::usage(format_args!("--by: {error}")))
}

pub(super) fn filter(text: &str) -> Result<Filter, Exit> {
    Filter::parse(text).map_err(|error| Exit::usage(format_args!("--filter: {}", error.pointing_into(text))))
}

fn table(text: &str) -> Result<&'static Table, String> {
    let names = || helios_query::TABLES.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
    Table::by_name(text).ok_or_else(|| format!("must be one of {}", names()))
}

/// Unix seconds of a moment as people write it.
fn moment(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let utc = |moment: NaiveDateTime| moment.and_utc().timestamp();
    let seconds = DateTime::parse_from_rfc3339(text).map(|moment| moment.timestamp()).ok();
    let seconds = seconds.or_else(|| {
        let formats = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
        formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()).map(utc)
    });
    let seconds = seconds.or_else(|| text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(utc));
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).ok_or_else(|| {
        "expected a time in UTC such as 2026-11-27, '2026-11-27 22:00' or 2026-11-27T22:00:00+01:00".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use helios_query::Retention;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn without_an_end_the_table_is_chosen_by_the_time_until_now() {
        let now = unix_secs();
        let table = |seconds_ago: u64| {
            let from = utc(now - seconds_ago);
            let args = Cli::parse_from(["query", "--by", "src_as", "--from", &from]).args;
            question(&args).unwrap().choose(now, &Retention::default()).table.name
        };
        assert_eq!([table(60), table(3_600), table(86_400)], ["flows", "flows_1m", "summary_1h"]);
    }

    #[test]
    fn moments_are_utc_unless_they_say_otherwise() {
        for (text, seconds) in [
            ("1970-01-02", 86_400),
            ("1970-01-01 01:00", 3_600),
            ("1970-01-01T00:00:07", 7),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1970-01-01T00:00:01Z", 1),
        ] {
            assert_eq!(moment(text), Ok(seconds), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "2026-11-27 25:00", "1969-12-31"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
