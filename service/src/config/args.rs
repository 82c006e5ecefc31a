//! The flags of every subcommand that has a configuration.

use std::path::PathBuf;

use super::Sources;

/// Flags of every subcommand that has a configuration.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct SourceArgs {
    /// Configuration file [default: none, all keys have their defaults]
    ///
    /// docs/configuration.md describes every key. Variables named HELIOS_SECTION__KEY take precedence over the file,
    /// flags over variables.
    #[arg(short, long, value_name = "FILE", env = "HELIOS_CONFIG", global = true)]
    config: Option<PathBuf>,

    /// Sets one key, for example --set clickhouse.retention_days.flows=14
    #[arg(long, value_name = "SECTION.KEY=VALUE", global = true)]
    set: Vec<String>,
}

impl SourceArgs {
    /// File, environment of the process and flags; `flags` are those with a name of their own: flag, path of the key,
    /// value.
    pub fn sources(&self, flags: Vec<(&'static str, &'static str, String)>) -> Sources {
        Sources {
            file: self.config.clone().filter(|file| !file.as_os_str().is_empty()),
            // Keys and values are text: a variable that is not UTF-8 belongs to another program.
            variables: std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            assignments: self.set.clone(),
            flags,
        }
    }
}
