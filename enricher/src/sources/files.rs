//! Lists of networks and devices in files, taken up again when they change.

use std::io;
use std::path::{Path, PathBuf};

use helios_common::names::Names;

use super::status::{SharedStatus, SourceStatus};
use super::text;
use super::watched::{Look, Version, Watched};
use crate::config::NetworkFormat;
use crate::inventory::Inventory;

/// What is in the file.
#[derive(Debug, Clone, Copy)]
enum Contents {
    Networks,
    Devices,
}

impl Contents {
    const fn key(self) -> &'static str {
        match self {
            Self::Networks => "enricher.networks.files",
            Self::Devices => "enricher.inventory.files",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Networks => "networks",
            Self::Devices => "inventory",
        }
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum FileError {
    #[error("{key}: cannot read {}: {error}; correct the path, or leave it out", path.display())]
    Unreadable { key: &'static str, path: PathBuf, error: io::Error },
    #[error("{key}: {}: {problem}", path.display())]
    Contents { key: &'static str, path: PathBuf, problem: String },
}

/// A file in use.
#[derive(Debug)]
pub struct File {
    contents: Contents,
    watched: Watched,
    status: SharedStatus,
}

impl File {
    /// # Errors
    /// A file that cannot be used.
    pub fn networks(path: &Path, names: &Names) -> Result<(Self, Inventory), FileError> {
        Self::open(Contents::Networks, path, names)
    }

    /// # Errors
    /// A file that cannot be used.
    pub fn devices(path: &Path, names: &Names) -> Result<(Self, Inventory), FileError> {
        Self::open(Contents::Devices, path, names)
    }

    fn open(contents: Contents, path: &Path, names: &Names) -> Result<(Self, Inventory), FileError> {
        let unreadable = |error| FileError::Unreadable { key: contents.key(), path: path.into(), error };
        // The version goes before the contents: if it changes in between, the next look finds that.
        let version = Version::of(path).map_err(unreadable)?;
        let inventory = read(contents, path, names)?;
        let location = path.display().to_string();
        let status = SourceStatus::shared(format!("{}:{location}", contents.label()), location);
        SourceStatus::took(&status, inventory.len() as u64);
        Ok((Self { contents, watched: Watched::new(path.into(), version), status }, inventory))
    }

    pub(crate) fn status(&self) -> &SharedStatus {
        &self.status
    }

    /// The contents of a new version that has settled and can be used.
    pub fn news(&mut self, names: &Names) -> Option<Inventory> {
        let version = match self.watched.look() {
            Look::New(version) => version,
            Look::Wait => return None,
            Look::Same => {
                SourceStatus::same(&self.status);
                return None;
            }
            Look::Gone(error) => {
                self.gone(error);
                return None;
            }
        };
        match read(self.contents, self.watched.path(), names) {
            Ok(inventory) => {
                self.watched.took(version);
                SourceStatus::took(&self.status, inventory.len() as u64);
                Some(inventory)
            }
            Err(error) => {
                self.watched.refuse(Some(version));
                SourceStatus::failed(&self.status, &error.to_string());
                None
            }
        }
    }

    /// Counted once for as long as it stays away.
    fn gone(&mut self, error: io::Error) {
        self.watched.refuse(None);
        let path = self.watched.path().to_owned();
        let text = FileError::Unreadable { key: self.contents.key(), path, error }.to_string();
        if SourceStatus::stats(&self.status).refusal.as_ref() != Some(&text) {
            SourceStatus::failed(&self.status, &text);
        }
    }
}

fn read(contents: Contents, path: &Path, names: &Names) -> Result<Inventory, FileError> {
    let key = contents.key();
    let text =
        std::fs::read_to_string(path).map_err(|error| FileError::Unreadable { key, path: path.into(), error })?;
    let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let inventory = match contents {
        Contents::Networks if is_csv => text::networks(NetworkFormat::Csv, &text, names),
        Contents::Networks => text::networks(NetworkFormat::Yaml, &text, names),
        Contents::Devices => text::devices(&text, names),
    };
    inventory.map_err(|problem| FileError::Contents { key, path: path.into(), problem })
}
