//! Where log lines go: standard error, as text for people or as JSON for machines.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::{LogConfig, LogFormat};
use crate::exit::Exit;

/// Installs the process's one subscriber.
///
/// # Errors
/// 78 when the level is none, which [`crate::config`] has checked, or 1 when there is a subscriber already.
pub fn install(config: &LogConfig) -> Result<(), Exit> {
    let filter =
        EnvFilter::try_new(&config.level).map_err(|error| Exit::configuration([format!("log.level: {error}")]))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_timer(SystemTime);
    match config.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        LogFormat::Text => builder.with_ansi(colored()).with_target(false).try_init(),
    }
    .map_err(|error| Exit::run_time(format_args!("cannot install the log: {error}")))
}

/// Colours are for terminals whose user did not object (no-color.org).
fn colored() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
