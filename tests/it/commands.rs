//! docs/commands.md follows from the help texts.

use std::process::Command;

use crate::expect::expect;

const PAGE: &str = "docs/commands.md";

const HEAD: &str = "# Commands\n\n\
    What `--help` prints, written by tests/it/commands.rs. Flags of the configuration (`--config`, `--set`, `--clickhouse-url`,\n\
    `--listen`) mean the same everywhere; [configuration](configuration.md) has every key.\n\n\
    | exit code | meaning |\n|---|---|\n\
    | 0 | done; `helios run`: stopped by a signal, and every row was stored or is in the spool |\n\
    | 1 | a failure at run time |\n| 64 | wrong arguments |\n| 78 | wrong configuration |\n";

/// The long help of a command, as it is printed into a pipe.
fn help(command: &[&str]) -> String {
    // Without the environment: help texts print the values of variables.
    let output = Command::new(env!("CARGO_BIN_EXE_helios")).args(command).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "helios {} --help", command.join(" "));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The names below `Commands:`, without clap's own `help`.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Continued lines are indented further than the names.
    let names = listed.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn describe(page: &mut String, command: &[&str]) {
    let text = help(command);
    if !command.is_empty() {
        let level = "#".repeat(1 + command.len());
        page.push_str(&format!("\n{level} helios {}\n\n```text\n{}\n```\n", command.join(" "), text.trim_end()));
    }
    for name in subcommands(&text) {
        describe(page, &[command, &[name.as_str()]].concat());
    }
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    let mut page = HEAD.to_owned();
    describe(&mut page, &[]);
    let commands = page.matches("\n## helios ").count();
    assert!(commands >= 9, "only {commands} commands were found");
    expect(PAGE, &page);
}
