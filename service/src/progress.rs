//! What a command that runs for long shows while it runs.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is rewritten in a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_secs(1);

/// How often a line is added where standard error is a file or a pipe.
const FILE_INTERVAL: Duration = Duration::from_secs(5);

/// A line on standard error: in a terminal it is rewritten every second, elsewhere a line is added every 5 seconds.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    shown: Instant,
    dirty: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { terminal: io::stderr().is_terminal(), shown: Instant::now(), dirty: false }
    }
}

impl Progress {
    /// Shows the line that `line` makes, if the interval has passed since the last one.
    pub fn show(&mut self, line: impl FnOnce() -> String) {
        let interval = if self.terminal { TERMINAL_INTERVAL } else { FILE_INTERVAL };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        self.dirty = self.terminal;
        // To the start of the line and clear it: the new line may be shorter. A closed standard error is no failure.
        let _ = match self.terminal {
            true => write!(io::stderr(), "\r\x1b[K{}", line()),
            false => writeln!(io::stderr(), "{}", line()),
        };
    }

    /// Clears the line in a terminal, so that other output can follow.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.dirty) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
