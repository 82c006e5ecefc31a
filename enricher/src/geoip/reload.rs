//! Takes replaced database files up while rows flow.
//!
//! Files are found changed by what `stat` says of them, looked at every few seconds: that works for a file renamed
//! into place (geoipupdate), one written over, a symbolic link that is switched (Kubernetes volumes) and network
//! file systems alike, and a database changes a few times a week. A changed file is read when two looks in a row
//! found it the same, so that one that is still being written is left alone.
//!
//! A file that cannot be used is refused: counted, logged once, and the table goes on with what the old one said.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

use helios_common::names::Names;
use tracing::{info, warn};

use super::database::{self, Info, Layer};
use super::layout::Wanted;
use super::{Geo, GeoipError, Role};
use crate::config::GeoipConfig;

/// The configured files.
#[derive(Debug)]
pub struct Files {
    city: Option<File>,
    asn: Option<File>,
    names: Arc<Names>,
}

/// The state of one file, shared with whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub role: Role,
    pub path: PathBuf,
    /// Of the version that is in use.
    pub info: Info,
    /// How often a version was taken up, the first one included.
    pub loads: u64,
    /// How often a version was refused.
    pub failures: u64,
    /// Why the file as it is now is not in use.
    pub refusal: Option<String>,
}

#[derive(Debug)]
struct File {
    wanted: Wanted,
    /// The version in use.
    loaded: Version,
    /// A version that cannot be used and is not tried again.
    refused: Option<Version>,
    /// A new version, seen once.
    settling: Option<Version>,
    status: Arc<Mutex<Status>>,
}

/// What tells versions of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Changes with the owner and the mode as well: a file that could not be read is tried again.
    changed: (i64, i64),
}

impl Version {
    fn of(path: &Path) -> io::Result<Self> {
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

impl Files {
    /// Loads the configured files; without any there is no table.
    ///
    /// # Errors
    /// A configured file that cannot be used.
    pub fn open(config: &GeoipConfig, names: &Arc<Names>) -> Result<(Self, Option<Geo>), GeoipError> {
        let both = config.city.is_some() && config.asn.is_some();
        let open = |role, path: &Option<PathBuf>, wanted| {
            let opened = path.as_deref().map(|path| File::open(role, path, wanted, names)).transpose()?;
            Ok::<_, GeoipError>(opened.map_or((None, None), |(file, layer)| (Some(file), Some(layer))))
        };
        let (city, city_layer) = open(Role::City, &config.city, Wanted { place: true, asn: !both })?;
        let (asn, asn_layer) = open(Role::Asn, &config.asn, Wanted { place: !both, asn: true })?;
        Ok((Self { city, asn, names: Arc::clone(names) }, Geo::merge(city_layer, asn_layer)))
    }

    /// Looks at the files; the next table if one of them has a new version.
    ///
    /// The part of the other file is taken from `current`, so that one file can be taken up while the other one is
    /// missing or refused.
    pub fn poll(&mut self, current: &Geo) -> Option<Geo> {
        let names = &self.names;
        let city = self.city.as_mut().and_then(|file| file.poll(names));
        let asn = self.asn.as_mut().and_then(|file| file.poll(names));
        if city.is_none() && asn.is_none() {
            return None;
        }
        let kept = |file: &Option<File>| file.as_ref().map(|file| current.layer(file.wanted));
        Geo::merge(city.or_else(|| kept(&self.city)), asn.or_else(|| kept(&self.asn)))
    }

    /// The state of the files, as it changes.
    pub fn statuses(&self) -> Vec<Arc<Mutex<Status>>> {
        self.city.iter().chain(&self.asn).map(|file| Arc::clone(&file.status)).collect()
    }
}

impl File {
    fn open(role: Role, path: &Path, wanted: Wanted, names: &Names) -> Result<(Self, Layer), GeoipError> {
        // The version goes before the contents: if it changes in between, the next look finds that.
        let loaded = Version::of(path).map_err(|error| GeoipError::Unreadable { role, path: path.into(), error })?;
        let (layer, info) = database::read(role, path, wanted, names)?;
        log_loaded(path, &info);
        let status = Status { role, path: path.into(), info, loads: 1, failures: 0, refusal: None };
        let status = Arc::new(Mutex::new(status));
        Ok((Self { wanted, loaded, refused: None, settling: None, status }, layer))
    }

    /// The contents of a new version that has settled and can be used.
    fn poll(&mut self, names: &Names) -> Option<Layer> {
        let (role, path) = {
            let status = lock(&self.status);
            (status.role, status.path.clone())
        };
        let version = match Version::of(&path) {
            Ok(version) => version,
            Err(error) => {
                self.refuse(None, &GeoipError::Unreadable { role, path, error });
                return None;
            }
        };
        if version == self.loaded {
            lock(&self.status).refusal = None;
            self.settling = None;
            return None;
        }
        if self.refused == Some(version) || self.settling.replace(version) != Some(version) {
            return None;
        }
        self.settling = None;
        match database::read(role, &path, self.wanted, names) {
            Ok((layer, info)) => {
                log_loaded(&path, &info);
                self.loaded = version;
                let mut status = lock(&self.status);
                status.info = info;
                status.loads += 1;
                status.refusal = None;
                Some(layer)
            }
            Err(error) => {
                self.refuse(Some(version), &error);
                None
            }
        }
    }

    /// Counts and logs a refusal, a file that stays away only once.
    fn refuse(&mut self, version: Option<Version>, error: &GeoipError) {
        self.refused = version;
        self.settling = None;
        let text = error.to_string();
        let mut status = lock(&self.status);
        if version.is_none() && status.refusal.as_ref() == Some(&text) {
            return;
        }
        warn!(path = %status.path.display(), error = %text, "geoip database refused, the old one stays in use");
        status.failures += 1;
        status.refusal = Some(text);
    }
}

fn log_loaded(path: &Path, info: &Info) {
    let Info { database_type, build_epoch, networks, records, .. } = info;
    info!(path = %path.display(), database_type, build_epoch, networks, records, "geoip database loaded");
}

fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The thread `geoip-reload`.
#[derive(Debug)]
pub struct Watcher {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watcher {
    /// Calls `look` every `interval` until it is stopped.
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(interval: Duration, look: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let thread =
            thread::Builder::new().name("geoip-reload".into()).spawn(move || watch(interval, &stopped, look))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread; a file that is just being read is read to its end.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            warn!("the thread geoip-reload had died; databases were no longer reloaded");
        }
    }
}

fn watch(interval: Duration, stopped: &Receiver<()>, mut look: impl FnMut()) {
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        look();
    }
}

#[cfg(test)]
mod tests;
