//! What a long sending shows while it runs.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a line changes in a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_secs(1);

/// How often a line is added to anything else.
const FILE_INTERVAL: Duration = Duration::from_secs(5);

/// A line on standard error: rewritten in a terminal, added now and then elsewhere.
#[derive(Debug)]
pub(super) struct Progress {
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
    /// Shows the line that `line` makes, if it is time.
    pub(super) fn show(&mut self, line: impl FnOnce() -> String) {
        let interval = if self.terminal { TERMINAL_INTERVAL } else { FILE_INTERVAL };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        self.dirty = self.terminal;
        // To the start of the line and clear it: the new line may be shorter. A line that cannot be written is
        // not needed.
        let _ = match self.terminal {
            true => write!(io::stderr(), "\r\x1b[K{}", line()),
            false => writeln!(io::stderr(), "{}", line()),
        };
    }

    /// Leaves the terminal as other output expects it.
    pub(super) fn finish(&mut self) {
        if std::mem::take(&mut self.dirty) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
