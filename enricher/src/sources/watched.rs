//! A file that may be replaced while Helios runs.
//!
//! Files are found changed by what `stat` says of them, looked at every few seconds: that works for a file renamed into
//! place (geoipupdate), one written over, a symbolic link that is switched (Kubernetes volumes) and network file
//! systems alike. A changed file is to be read when two looks in a row found it the same, so that one that is still
//! being written is left alone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What tells versions of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Changes with the owner and the mode as well: a file that could not be read is tried again.
    changed: (i64, i64),
}

impl Version {
    /// # Errors
    /// The system's, when it cannot say.
    pub fn of(path: &Path) -> io::Result<Self> {
        let stat = fs::metadata(path)?;
        Ok(Self {
            device: stat.dev(),
            inode: stat.ino(),
            bytes: stat.size(),
            modified: (stat.mtime(), stat.mtime_nsec()),
            changed: (stat.ctime(), stat.ctime_nsec()),
        })
    }
}

/// A file and which of its versions is in use.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    /// The version in use.
    loaded: Version,
    /// A version that cannot be used and is not tried again.
    refused: Option<Version>,
    /// A new version, seen once.
    settling: Option<Version>,
}

/// What a look at a file found.
#[derive(Debug)]
pub enum Look {
    /// The version in use.
    Same,
    /// A version that is refused, or one that has not settled.
    Wait,
    /// A new version to read.
    New(Version),
    /// It cannot be read; the version in use stays.
    Gone(io::Error),
}

impl Watched {
    /// `loaded` is what [`Version::of`] said before the file was read.
    pub fn new(path: PathBuf, loaded: Version) -> Self {
        Self { path, loaded, refused: None, settling: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn look(&mut self) -> Look {
        let version = match Version::of(&self.path) {
            Ok(version) => version,
            Err(error) => return Look::Gone(error),
        };
        if version == self.loaded {
            self.settling = None;
            return Look::Same;
        }
        if self.refused == Some(version) || self.settling.replace(version) != Some(version) {
            return Look::Wait;
        }
        self.settling = None;
        Look::New(version)
    }

    /// The version is in use from now on.
    pub fn took(&mut self, version: Version) {
        self.loaded = version;
    }

    /// The version, or a file that is gone, is not tried again until it changes.
    pub fn refuse(&mut self, version: Option<Version>) {
        self.refused = version;
        self.settling = None;
    }
}
