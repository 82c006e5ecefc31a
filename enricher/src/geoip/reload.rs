//! Takes replaced database files up while rows flow.
//!
//! [`crate::sources::watched`] finds them changed. A file that cannot be used is refused: counted, logged once, and the
//! table goes on with what the old one said.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use helios_common::names::Names;
use tracing::{info, warn};

use super::database::{self, Info, Layer};
use super::layout::Wanted;
use super::{GeoipError, Role};
use crate::addresses::Addresses;
use crate::config::GeoipConfig;
use crate::sources::watched::{Look, Version, Watched};

/// The configured files.
#[derive(Debug)]
pub struct Files {
    city: Option<File>,
    asn: Option<File>,
    names: Arc<Names>,
}

/// The state of one file, shared with whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// Which key of the configuration names the file.
    pub role: Role,
    /// As configured.
    pub path: PathBuf,
    /// Of the version that is in use.
    pub info: Info,
    /// When it was taken up.
    pub loaded_at: SystemTime,
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
    watched: Watched,
    status: Arc<Mutex<DatabaseStatus>>,
}

impl Files {
    /// Loads the configured files; without any there is no table.
    ///
    /// # Errors
    /// A configured file that cannot be used.
    pub fn open(config: &GeoipConfig, names: &Arc<Names>) -> Result<(Self, Option<Layer>), GeoipError> {
        let both = config.city.is_some() && config.asn.is_some();
        let open = |role, path: &Option<PathBuf>, wanted| {
            let opened = path.as_deref().map(|path| File::open(role, path, wanted, names)).transpose()?;
            Ok::<_, GeoipError>(opened.map_or((None, None), |(file, layer)| (Some(file), Some(layer))))
        };
        let (city, city_layer) = open(Role::City, &config.city, Wanted { place: true, asn: !both })?;
        let (asn, asn_layer) = open(Role::Asn, &config.asn, Wanted { place: !both, asn: true })?;
        Ok((Self { city, asn, names: Arc::clone(names) }, Layer::merge(city_layer, asn_layer)))
    }

    /// Looks at the files; the next layer if one of them has a new version.
    ///
    /// The part of the other file is taken from `current`, so that one file can be taken up while the other one is
    /// missing or refused.
    pub fn poll(&mut self, current: &Addresses) -> Option<Layer> {
        let names = &self.names;
        let city = self.city.as_mut().and_then(|file| file.poll(names));
        let asn = self.asn.as_mut().and_then(|file| file.poll(names));
        if city.is_none() && asn.is_none() {
            return None;
        }
        let kept = |file: &Option<File>| file.as_ref().map(|file| current.layer(file.wanted));
        Layer::merge(city.or_else(|| kept(&self.city)), asn.or_else(|| kept(&self.asn)))
    }

    /// The state of the files, as it changes.
    pub fn statuses(&self) -> Vec<Arc<Mutex<DatabaseStatus>>> {
        self.city.iter().chain(&self.asn).map(|file| Arc::clone(&file.status)).collect()
    }
}

impl File {
    fn open(role: Role, path: &Path, wanted: Wanted, names: &Names) -> Result<(Self, Layer), GeoipError> {
        // The version goes before the contents: if it changes in between, the next look finds that.
        let loaded = Version::of(path).map_err(|error| GeoipError::Unreadable { role, path: path.into(), error })?;
        let (layer, info) = database::read(role, path, wanted, names)?;
        log_loaded(path, &info);
        let loaded_at = SystemTime::now();
        let status = DatabaseStatus { role, path: path.into(), info, loaded_at, loads: 1, failures: 0, refusal: None };
        let watched = Watched::new(path.into(), loaded);
        Ok((Self { wanted, watched, status: Arc::new(Mutex::new(status)) }, layer))
    }

    /// The contents of a new version that has settled and can be used.
    fn poll(&mut self, names: &Names) -> Option<Layer> {
        let (role, path) = (lock(&self.status).role, self.watched.path().to_owned());
        let version = match self.watched.look() {
            Look::New(version) => version,
            Look::Wait => return None,
            Look::Same => {
                lock(&self.status).refusal = None;
                return None;
            }
            Look::Gone(error) => {
                self.refuse(None, &GeoipError::Unreadable { role, path, error });
                return None;
            }
        };
        match database::read(role, &path, self.wanted, names) {
            Ok((layer, info)) => {
                log_loaded(&path, &info);
                self.watched.took(version);
                let mut status = lock(&self.status);
                status.info = info;
                status.loaded_at = SystemTime::now();
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
        self.watched.refuse(version);
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

fn lock(status: &Mutex<DatabaseStatus>) -> MutexGuard<'_, DatabaseStatus> {
    status.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests;
