//! The configuration: one YAML file, variables and flags over it, typed sections out.
//!
//! Start at [`Sources::load`]. The sections belong to the crates; this module adds those of the binary itself,
//! reads all of them with every mistake in its own line ([`de`]) and prints them back.
//! docs/configuration.md and helios.example.yaml are written by tests/it/docs.rs from the sections' own doc comments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helios_collector::CollectorConfig;
use helios_enricher::EnricherConfig;
use helios_netbox::NetBoxConfig;
use helios_sink::SinkConfig;
use serde::{Deserialize, Serialize};

mod tree;
mod layers;
mod de;
mod error;
mod mistake;
mod keys;
mod validate;
mod sections;
mod columns;

pub use columns::{ColumnType, UserColumn};
pub use keys::paths;
pub use layers::NAMED;
pub use mistake::{Mistake, nearest};
pub use sections::{AdminConfig, LogConfig, LogFormat, PipelineConfig};
use tree::{Node, Origin};

/// Everything that can be configured, a section a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub collector: CollectorConfig,
    pub enricher: EnricherConfig,
    pub netbox: NetBoxConfig,
    pub clickhouse: SinkConfig,
    pub pipeline: PipelineConfig,
    pub admin: AdminConfig,
    pub log: LogConfig,
    /// Columns that are added to `flows`, each with the information element that fills it.
    ///
    /// For example `columns: [{name: queue_id, pen: 9, id: 12235, type: uint16}, {name: user_name, id: 371, type: string}]`.
    ///
    /// Integers of the wire may have any length from 1 to 8 octets, whatever the type (reduced-size encoding, RFC 7011
    /// §6.2); a value that does not fit becomes the type's largest. An ip is 4 or 16 octets, anything else is none.
    /// A string ends at 255 octets. An element that fills another column as well goes to both; of one that a record
    /// has several times the first counts. At its next start, or with `helios migrate`, the table gets columns that it
    /// lacks; one that is no longer listed stays, and is empty from then on. Records of sFlow have no elements.
    pub columns: Vec<UserColumn>,
}

/// Where the configuration of one run comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Without a file the defaults are the base.
    pub file: Option<PathBuf>,
    pub variables: Vec<(String, String)>,
    /// `section.key=value`, as `--set` has them.
    pub assignments: Vec<String>,
    /// Flags with a name of their own: flag, path of the key, value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

impl Sources {
    /// Reads, checks and types the configuration.
    ///
    /// # Errors
    /// Every mistake found, each with the place to correct.
    pub fn load(&self) -> Result<Config, Vec<Mistake>> {
        let mut tree = match &self.file {
            Some(file) => read_file(file).map_err(|mistake| vec![mistake])?,
            None => Node::empty(Origin::Flag("configuration".to_owned())),
        };
        layers::environment(&mut tree, self.variables.iter().cloned());
        let known = keys::paths(&Config::default());
        let mut mistakes = layers::slips(self.variables.iter().map(|(name, _)| name.as_str()), &known);
        mistakes.extend(self.assignments.iter().filter_map(|text| layers::assignment(&mut tree, text).err()));
        for (flag, path, value) in &self.flags {
            layers::flag(&mut tree, flag, path, value);
        }
        let config = match de::read::<Config>(tree.clone(), &known) {
            Ok(config) => config,
            Err(more) => {
                mistakes.extend(more);
                return Err(mistakes);
            }
        };
        mistakes.extend(validate::sections(&config, &tree));
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }
}

impl Config {
    /// Makes the columns of this configuration part of the table, once and before the first use of it.
    ///
    /// # Panics
    /// On a second call, or after the first use.
    pub fn install_columns(&self) {
        columns::install(&self.columns);
    }

    /// The section `clickhouse`, with the spool's directory in the state directory where nobody chose another.
    pub fn sink(&self) -> SinkConfig {
        let mut sink = self.clickhouse.clone();
        let beside = || self.collector.state_dir.as_ref().map(|state| state.join("spool"));
        sink.spool.directory = sink.spool.directory.or_else(beside);
        sink
    }

    /// The effective configuration as YAML that can be used as a file. It holds no secrets: those have no key.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("sections of scalars and lists are always YAML")
    }
}

fn read_file(file: &Path) -> Result<Node, Mistake> {
    let file: Arc<Path> = Arc::from(file);
    let text = std::fs::read_to_string(&file).map_err(|error| Mistake {
        origin: Origin::File { file: Arc::clone(&file), line: 0, column: 0 },
        what: match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file; name another with --config or HELIOS_CONFIG".into(),
            std::io::ErrorKind::InvalidData => "not valid YAML: the file is not UTF-8 text".into(),
            _ => format!("cannot be read: {error}"),
        },
    })?;
    Node::parse(&text, &file)
}
