//! Where names come from, and how they become a [`Snapshot`].
//!
//! Every source is kept as it last was and knows when it has something new; then all of them are laid over each other
//! and a whole new snapshot is built, on the thread that looks after them. In rising order of what counts less: networks
//! from files, networks from web servers, NetBox, Prometheus, devices from files.
//!
//! A configured file that cannot be used is a mistake in the configuration when Helios starts, and refused later, when
//! what it said before is still good. A server that is away is neither: flows go without its names until it is back.

pub mod files;
pub mod http;
pub mod netbox;
pub mod prometheus;
pub mod status;
pub mod text;
pub mod watched;

use std::fmt;
use std::io;
use std::sync::Arc;

use helios_common::names::Names;

use crate::addresses::{Addresses, AsOrder, GeoipSources};
use crate::config::EnricherConfig;
use crate::directory::Directory;
use crate::geoip::database::Layer;
use crate::geoip::layout::Wanted;
use crate::geoip::reload::Files;
use crate::geoip::{GeoipError, Role};
use crate::hits::{Asked, GEOIP_ASN, GEOIP_CITY, Hits};
use crate::inventory::Inventory;
use crate::inventory::merge::Merged;
use crate::networks::NetworkTables;
use crate::rules::{RuleError, Rules};
use crate::snapshot::Snapshot;
use crate::stats::SourceStats;
use files::{File, FileError};
use http::{Poller, Remote};
use status::{SharedStatus, SourceStatus};

/// Why the sources cannot be used as they are configured.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the variants are named by what they are errors of")]
pub enum SourceError {
    #[error(transparent)]
    Geoip(#[from] GeoipError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("enricher.rules: {0}")]
    Rules(#[from] RuleError),
    #[error("cannot start a thread that asks web servers: {0}")]
    Thread(io::Error),
}

/// What a source says, if that is new since the last time.
pub type News = Box<dyn FnMut(&Names) -> Option<Inventory> + Send>;

/// A source that somebody else keeps up to date, such as NetBox.
pub struct External {
    /// How it is doing.
    pub status: SharedStatus,
    /// Called at intervals by the thread that builds snapshots; must not wait.
    pub news: News,
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("External").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Whether servers are asked again and again, or once and before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remotes {
    /// A thread for each server asks at its interval; the start does not wait for it.
    Poll,
    /// `open` asks each server and waits for its answer, up to the server's timeout.
    AskOnce,
}

/// What a list of networks can be asked for, one of devices, and Prometheus.
const NETWORKS: &[Asked] = &[Asked::Address];
const DEVICES: &[Asked] = &[Asked::Exporter, Asked::Interface];
const INTERFACES: &[Asked] = &[Asked::Interface];

#[derive(Debug)]
enum Origin {
    File(File),
    Server(Poller),
    External(External),
    /// Asked once.
    Still(SharedStatus),
}

#[derive(Debug)]
struct Part {
    origin: Origin,
    /// What it can be asked for.
    asked: &'static [Asked],
    inventory: Inventory,
}

impl Part {
    fn status(&self) -> &SharedStatus {
        match &self.origin {
            Origin::File(file) => file.status(),
            Origin::Server(poller) => &poller.status,
            Origin::External(external) => &external.status,
            Origin::Still(status) => status,
        }
    }

    fn news(&mut self, names: &Names) -> Option<Inventory> {
        match &mut self.origin {
            Origin::File(file) => file.news(names),
            Origin::Server(poller) => poller.news(),
            Origin::External(external) => (external.news)(names),
            Origin::Still(_) => None,
        }
    }
}

/// All configured sources.
#[derive(Debug)]
pub struct Sources {
    config: EnricherConfig,
    names: Arc<Names>,
    rules: Arc<Rules>,
    geoip: Files,
    parts: Vec<Part>,
}

impl Sources {
    /// Reads all files, takes what the external sources have, and builds the first snapshot.
    ///
    /// # Errors
    /// A configured file or rule that cannot be used.
    pub fn open(
        config: &EnricherConfig,
        external: Vec<External>,
        remotes: Remotes,
        names: &Arc<Names>,
    ) -> Result<(Self, Snapshot), SourceError> {
        let rules = Arc::new(Rules::compile(&config.rules)?);
        let (geoip, layer) = Files::open(&config.geoip, names)?;
        let mut parts = Vec::new();
        for path in &config.networks.files {
            parts.push(Part::file(File::networks(path, names)?, NETWORKS));
        }
        for source in &config.networks.http {
            parts.push(Part::server("networks", Remote::networks(source), NETWORKS, remotes, names)?);
        }
        for mut source in external {
            let inventory = (source.news)(names).unwrap_or_default();
            parts.push(Part { origin: Origin::External(source), asked: &Asked::ALL, inventory });
        }
        if let Some(remote) = Remote::prometheus(&config.interfaces.prometheus) {
            parts.push(Part::server("prometheus", remote, INTERFACES, remotes, names)?);
        }
        for path in &config.inventory.files {
            parts.push(Part::file(File::devices(path, names)?, DEVICES));
        }
        let sources = Self { config: config.clone(), names: Arc::clone(names), rules, geoip, parts };
        let snapshot = sources.build(layer, 0);
        Ok((sources, snapshot))
    }

    /// Looks for news; the next snapshot if any source has some.
    pub fn poll(&mut self, current: &Snapshot) -> Option<Snapshot> {
        let layer = self.geoip.poll(&current.addresses);
        let mut new = layer.is_some();
        for part in &mut self.parts {
            if let Some(inventory) = part.news(&self.names) {
                part.inventory = inventory;
                new = true;
            }
        }
        if !new {
            return None;
        }
        let kept = || {
            let configured = self.config.geoip.city.is_some() || self.config.geoip.asn.is_some();
            configured.then(|| current.addresses.layer(Wanted { place: true, asn: true }))
        };
        let layer = layer.or_else(kept);
        Some(self.build(layer, current.generation + 1))
    }

    fn build(&self, layer: Option<Layer>, generation: u64) -> Snapshot {
        let merged = self.merged();
        let networks = NetworkTables::new(&merged.networks, &merged.vrfs, &self.names);
        let order = AsOrder::new(&self.config.as_order);
        let addresses =
            Addresses::new(layer, &networks, &merged.as_names, order, GeoipSources::new(&self.config.geoip));
        let (rules, names) = (Arc::clone(&self.rules), Arc::clone(&self.names));
        let directory = Directory::new(&merged, networks.into_numbers(), &self.config.vrfs, rules, names);
        Snapshot { generation, addresses, directory }
    }

    /// All inventories, laid over each other.
    pub fn merged(&self) -> Merged {
        Merged::new(self.parts.iter().map(|part| &part.inventory), &self.names)
    }

    /// The names of the sources, by the numbers that [`merged`](Self::merged) uses.
    pub fn labels(&self) -> Vec<String> {
        self.parts.iter().map(|part| SourceStatus::stats(part.status()).source).collect()
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether anything can change while Helios runs.
    pub fn changeable(&self) -> bool {
        !self.geoip.statuses().is_empty() || !self.parts.is_empty()
    }

    /// For whoever shows how the sources are doing while they are in other hands.
    pub fn monitor(&self) -> Monitor {
        Monitor {
            geoip: self.geoip.statuses(),
            parts: self.parts.iter().map(|part| (Arc::clone(part.status()), part.asked)).collect(),
        }
    }
}

impl Part {
    fn file((file, inventory): (File, Inventory), asked: &'static [Asked]) -> Self {
        Self { origin: Origin::File(file), asked, inventory }
    }

    fn server(
        kind: &str,
        remote: Remote,
        asked: &'static [Asked],
        remotes: Remotes,
        names: &Arc<Names>,
    ) -> Result<Self, SourceError> {
        let location = remote.location();
        let status = SourceStatus::shared(format!("{kind}:{location}"), location);
        match remotes {
            Remotes::AskOnce => {
                let inventory = remote.ask(names, &status).unwrap_or_default();
                Ok(Self { origin: Origin::Still(status), asked, inventory })
            }
            Remotes::Poll => {
                let poller = Poller::start(remote, status, Arc::clone(names)).map_err(SourceError::Thread)?;
                Ok(Self { origin: Origin::Server(poller), asked, inventory: Inventory::default() })
            }
        }
    }
}

/// The state of all sources, as it changes.
#[derive(Debug)]
pub struct Monitor {
    geoip: Vec<Arc<std::sync::Mutex<crate::geoip::reload::DatabaseStatus>>>,
    parts: Vec<(SharedStatus, &'static [Asked])>,
}

impl Monitor {
    /// Every source, with the hits that it had.
    pub fn stats(&self, hits: &Hits) -> Vec<SourceStats> {
        let databases = self.geoip.iter().map(|status| {
            let status = status.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let id = if status.role == Role::City { GEOIP_CITY } else { GEOIP_ASN };
            SourceStats { lookups: vec![hits.of(id, Asked::Address)], ..SourceStats::from(&*status) }
        });
        let parts = (0..).zip(&self.parts).map(|(id, (status, asked))| {
            let lookups = asked.iter().map(|&asked| hits.of(id, asked)).collect();
            SourceStats { lookups, ..SourceStatus::stats(status) }
        });
        databases.chain(parts).collect()
    }
}

#[cfg(test)]
mod tests;
