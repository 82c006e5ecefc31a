//! How a subcommand ends: its exit code and the lines that the user reads.
//!
//! 0 all went well, 1 a failure at run time, 64 wrong usage, 78 wrong configuration (64 and 78 are EX_USAGE and
//! EX_CONFIG of BSD's sysexits.h: a supervisor starts the process again after 1, and not after 64 and 78, which need an edit).
//! Every line says what happened and what to do; there is no backtrace and no Debug output.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

const RUN_TIME: u8 = 1;
const USAGE: u8 = 64;
const CONFIGURATION: u8 = 78;

/// Why a subcommand ended early.
#[derive(Debug, PartialEq, Eq)]
pub struct Exit {
    code: u8,
    lines: Vec<String>,
}

impl Exit {
    /// Something failed that is neither the command line's nor the configuration's fault.
    pub fn run_time(line: impl Display) -> Self {
        Self { code: RUN_TIME, lines: vec![line.to_string()] }
    }

    /// The command line asks for something that makes no sense.
    pub fn usage(line: impl Display) -> Self {
        Self { code: USAGE, lines: vec![line.to_string()] }
    }

    /// The configuration is wrong: one line per mistake.
    pub fn configuration<L: Display>(lines: impl IntoIterator<Item = L>) -> Self {
        Self { code: CONFIGURATION, lines: lines.into_iter().map(|line| line.to_string()).collect() }
    }

    /// Writing a subcommand's output failed.
    ///
    /// A reader that has seen enough (`helios decode FILE | head`) is no failure.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { code: 0, lines: Vec::new() },
            _ => Self::run_time(format_args!("cannot write the output: {error}")),
        }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The lines that the user reads.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Writes the lines to standard error, each behind the program's name, and turns into the exit code.
    pub fn report(self, program: &str) -> ExitCode {
        let mut stderr = io::stderr().lock();
        for line in &self.lines {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(stderr, "{program}: {line}");
        }
        ExitCode::from(self.code)
    }
}

/// Writes a subcommand's answer to standard output.
///
/// # Errors
/// [`Exit::output`].
pub fn print(text: &str) -> Result<(), Exit> {
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::output(&error))
}

/// Run-time errors by default: the chain of causes in one line.
impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Self {
        Self::run_time(format_args!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(Exit::output(&io::ErrorKind::BrokenPipe.into()).code(), 0);
        assert_eq!(Exit::output(&io::ErrorKind::StorageFull.into()).code(), 1);
    }

    #[test]
    fn a_chain_of_causes_is_one_line() {
        let error = Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)).context("cannot read x.pcap").unwrap_err();
        assert_eq!(Exit::from(error).lines(), ["cannot read x.pcap: entity not found"]);
    }
}
