//! Where log lines go: standard error, as text for people or as JSON for machines.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::reload::{self, Handle};

use crate::config::Problem;
use crate::exit::Exit;

/// The log, on standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Least severe level that is written: error, warn, info, debug or trace; or levels per module as in RUST_LOG, such
    /// as `info,helios_sink=debug`.
    pub level: String,
    /// `text` for people, in colour on a terminal unless NO_COLOR is set; `json`: one object per line.
    pub format: LogFormat,
}

/// The form of the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; coloured on a terminal unless NO_COLOR is set.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl LogConfig {
    /// What is wrong with the section `log`.
    pub fn problem(&self) -> Option<Problem> {
        filter(&self.level).err()?;
        let what = format!(
            "{:?} is not a log level; use error, warn, info, debug or trace, or levels per module such as info,helios_sink=debug",
            self.level
        );
        Some(Problem::new("log.level", what))
    }
}

/// Reads a level, or levels per module.
///
/// # Errors
/// What is not understood. That includes a word alone that is no level: tracing takes it for a module and writes nothing
/// else, so that a slip such as `verbos` would end the log.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let word_alone = level.split(',').map(str::trim).find(|part| {
        part.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_') && part.parse::<LevelFilter>().is_err()
    });
    match word_alone {
        Some(word) => Err(format!("`{word}` is no level")),
        None => EnvFilter::try_new(level).map_err(|error| error.to_string()),
    }
}

/// Installs the process's one subscriber.
///
/// # Errors
/// 78 when the level cannot be parsed, which [`LogConfig::problem`] reports earlier, or 1 when there is a subscriber already.
pub fn install(config: &LogConfig) -> Result<(), Exit> {
    let filter = filter(&config.level).map_err(|error| Exit::configuration([format!("log.level: {error}")]))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_timer(SystemTime);
    match config.format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
            let builder = builder.with_filter_reloading();
            let level = builder.reload_handle();
            builder.try_init().map(|()| keep(level))
        }
        LogFormat::Text => {
            let builder = builder.with_ansi(colored()).with_target(false).with_filter_reloading();
            let level = builder.reload_handle();
            builder.try_init().map(|()| keep(level))
        }
    }
    .map_err(|error| Exit::run_time(format_args!("cannot install the log: {error}")))
}

/// Changes the level of the process's subscriber, whichever format it has.
type SetLevel = dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync;

static SET_LEVEL: OnceLock<Box<SetLevel>> = OnceLock::new();

fn keep<S: 'static>(level: Handle<EnvFilter, S>) {
    // There is one subscriber, so this is the first and only call.
    let _ = SET_LEVEL.set(Box::new(move |filter| level.reload(filter)));
}

/// Makes `log.level` of this configuration the level of the running process.
///
/// # Errors
/// When the level is none, or nothing has been installed.
pub fn set_level(config: &LogConfig) -> Result<(), String> {
    let filter = filter(&config.level).map_err(|error| format!("log.level: {error}"))?;
    let set = SET_LEVEL.get().ok_or("no log is installed")?;
    set(filter).map_err(|error| format!("log.level cannot be changed: {error}"))
}

/// Colours are for terminals whose user did not object (no-color.org).
fn colored() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_level_is_no_module() {
        for right in ["info", "WARN", "off", "info,helios_sink=debug", "helios_sink=debug"] {
            assert!(filter(right).is_ok(), "{right}");
        }
        for wrong in ["verbos", "info,verbos", "helios_sink", "helios_sink=verbos", "a=b=c"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
