//! Sources on web servers: lists of networks, and Prometheus.
//!
//! Each has a thread of its own that asks at intervals, so that a server that hangs holds nobody up. What it said last
//! stays in use while it is away or answers nonsense; that is counted, and logged once until it changes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use helios_common::names::Names;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use super::status::{SharedStatus, Status};
use super::{prometheus, text};
use crate::config::{HttpSource, NetworkFormat, PrometheusConfig};
use crate::inventory::Inventory;

/// An answer that is larger is refused: 400,000 interfaces are a quarter of it.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

/// After a failure it is asked again sooner than the interval says.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What to ask, and how to read the answer.
#[derive(Debug, Clone)]
pub struct Remote {
    url: String,
    refresh: Duration,
    timeout: Duration,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    contents: Contents,
}

#[derive(Debug, Clone)]
enum Contents {
    Networks(NetworkFormat),
    Interfaces { instance_label: String },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("cannot read {}: {error}; correct the path", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate { path: PathBuf },
    #[error("the server answers {status}: check its address{}", if *status == 401 || *status == 403 { " and token_file" } else { "" })]
    Status { status: u16 },
    #[error("no answer: {0}; is the address right, and the server up?")]
    Http(Box<ureq::Error>),
    #[error("the answer cannot be used: {0}")]
    Contents(String),
    #[error("the answer is empty; an empty list is taken for a mistake")]
    Empty,
}

impl Remote {
    pub fn networks(source: &HttpSource) -> Self {
        let path = source.url.split(['?', '#']).next().unwrap_or("");
        let by_name = if path.ends_with(".csv") { NetworkFormat::Csv } else { NetworkFormat::Yaml };
        Self {
            url: source.url.clone(),
            refresh: Duration::from_secs(source.refresh_secs),
            timeout: Duration::from_secs(source.timeout_secs),
            token_file: source.token_file.clone(),
            ca_file: source.ca_file.clone(),
            contents: Contents::Networks(source.format.unwrap_or(by_name)),
        }
    }

    /// `None` without an address.
    pub fn prometheus(config: &PrometheusConfig) -> Option<Self> {
        Some(Self {
            url: prometheus::query_url(config.url.as_deref()?, &config.query),
            refresh: Duration::from_secs(config.refresh_secs),
            timeout: Duration::from_secs(config.timeout_secs),
            token_file: config.token_file.clone(),
            ca_file: config.ca_file.clone(),
            contents: Contents::Interfaces { instance_label: config.instance_label.clone() },
        })
    }

    /// The address without what may be secret in it.
    pub fn location(&self) -> String {
        let url = self.url.split(['?', '#']).next().unwrap_or("");
        let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{scheme}://{host}{path}")
    }

    /// Asks once. The outcome goes into the status.
    pub fn ask(&self, names: &Names, status: &Mutex<Status>) -> Option<Inventory> {
        match self.fetch().and_then(|text| self.read(&text, names)) {
            Ok(inventory) => {
                Status::took(status, inventory.len() as u64);
                Some(inventory)
            }
            Err(error) => {
                Status::failed(status, &error.to_string());
                None
            }
        }
    }

    fn fetch(&self) -> Result<String, FetchError> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &self.ca_file {
            tls = tls.root_certs(RootCerts::Specific(Arc::new(certificates(path)?)));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(self.timeout))
            .tls_config(tls.build())
            .user_agent(concat!("helios/", env!("CARGO_PKG_VERSION")));
        let mut request = ureq::Agent::new_with_config(config.build()).get(&self.url);
        if let Some(path) = &self.token_file {
            let token =
                std::fs::read_to_string(path).map_err(|error| FetchError::Unreadable { path: path.clone(), error })?;
            request = request.header("Authorization", format!("Bearer {}", token.trim()));
        }
        let mut answer = request.call().map_err(|error| match error {
            ureq::Error::StatusCode(status) => FetchError::Status { status },
            error => FetchError::Http(Box::new(error)),
        })?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        body.read_to_string().map_err(|error| FetchError::Http(Box::new(error)))
    }

    fn read(&self, text: &str, names: &Names) -> Result<Inventory, FetchError> {
        let inventory = match &self.contents {
            Contents::Networks(format) => text::networks(*format, text, names),
            Contents::Interfaces { instance_label } => prometheus::interfaces(text, instance_label, names),
        };
        let inventory = inventory.map_err(FetchError::Contents)?;
        if inventory.is_empty() { Err(FetchError::Empty) } else { Ok(inventory) }
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, FetchError> {
    let pem = std::fs::read(path).map_err(|error| FetchError::Unreadable { path: path.to_owned(), error })?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(FetchError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

/// A source that is asked at intervals by a thread of its own.
#[derive(Debug)]
pub struct Poller {
    pub status: SharedStatus,
    news: Arc<Mutex<Option<Inventory>>>,
    /// Dropped, it ends the thread: at once while it waits, else with the answer, which nobody waits for.
    _stop: Sender<()>,
}

impl Poller {
    /// Starts the thread `fetch-networks` or `fetch-if`.
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(remote: Remote, status: SharedStatus, names: Arc<Names>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let news = Arc::new(Mutex::new(None));
        let name = if matches!(remote.contents, Contents::Networks(_)) { "fetch-networks" } else { "fetch-if" };
        let poller = Self { status: Arc::clone(&status), news: Arc::clone(&news), _stop: stop };
        thread::Builder::new().name(name.into()).spawn(move || poll(&remote, &status, &names, &news, &stopped))?;
        Ok(poller)
    }

    /// What it said since the last time.
    pub fn news(&self) -> Option<Inventory> {
        self.news.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}

fn poll(
    remote: &Remote,
    status: &Mutex<Status>,
    names: &Names,
    news: &Mutex<Option<Inventory>>,
    stopped: &Receiver<()>,
) {
    let mut last = None;
    loop {
        let answer = remote.ask(names, status);
        let wait = if answer.is_some() { remote.refresh } else { remote.refresh.min(RETRY_MAX) };
        // The same answer again is no reason to build the tables anew.
        if answer.is_some() && answer != last {
            last.clone_from(&answer);
            *news.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = answer;
        }
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_source_is_tells_nothing_secret() {
        for (url, shown) in [
            ("http://prometheus:9090", "http://prometheus:9090/api/v1/query"),
            ("https://user:secret@thanos/path/", "https://thanos/path/api/v1/query"),
        ] {
            let config = PrometheusConfig { url: Some(url.to_owned()), ..PrometheusConfig::default() };
            assert_eq!(Remote::prometheus(&config).unwrap().location(), shown);
        }
    }
}
