//! Sources on web servers: lists of networks, and Prometheus.
//!
//! Each source has a thread of its own that asks at intervals: a server that hangs delays no other source. Its last valid
//! answer stays in use while the server is away or its answer is not valid. Helios counts each failure, and logs a cause once
//! until it changes.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use helios_common::names::Names;
use helios_web::secret::{self, SecretError};
use helios_web::tls::TlsError;
use helios_web::{Backoff, Client, Request, RequestError, Settings, Validators, address};

use super::status::{SharedStatus, SourceStatus};
use super::{prometheus, text};
use crate::config::{HttpSource, NetworkFormat, PrometheusConfig};
use crate::inventory::Inventory;

/// An answer that is larger is refused: 400,000 interfaces are a quarter of it.
const ANSWER_BYTES_MAX: usize = 512 << 20;

/// After a failure it is asked again sooner than the interval says: after this time at first,
const RETRY_INITIAL: Duration = Duration::from_secs(5);

/// and no later than after this.
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
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the server answers {status}: check its address{}", if *status == 401 || *status == 403 { " and token_file" } else { "" })]
    Status { status: u16 },
    #[error("no answer: {0}; is the address right, and the server up?")]
    Http(#[from] RequestError),
    #[error("no answer: {0}")]
    System(#[from] io::Error),
    #[error("the answer is not UTF-8 text")]
    NotText,
    #[error("the answer cannot be used: {0}")]
    Contents(String),
    #[error("the answer is empty; an empty list is taken for a mistake")]
    Empty,
}

impl Remote {
    pub(crate) fn networks(source: &HttpSource) -> Self {
        let path = source.url.split(['?', '#']).next().unwrap_or("");
        let by_name = if path.ends_with(".csv") { NetworkFormat::Csv } else { NetworkFormat::Yaml };
        Self {
            url: source.url.clone(),
            refresh: Duration::from_millis(source.refresh_interval_ms),
            timeout: Duration::from_millis(source.timeout_ms),
            token_file: source.token_file.clone(),
            ca_file: source.ca_file.clone(),
            contents: Contents::Networks(source.format.unwrap_or(by_name)),
        }
    }

    /// `None` without an address.
    pub fn prometheus(config: &PrometheusConfig) -> Option<Self> {
        Some(Self {
            url: prometheus::query_url(config.url.as_deref()?, &config.query),
            refresh: Duration::from_millis(config.refresh_interval_ms),
            timeout: Duration::from_millis(config.timeout_ms),
            token_file: config.token_file.clone(),
            ca_file: config.ca_file.clone(),
            contents: Contents::Interfaces { instance_label: config.instance_label.clone() },
        })
    }

    /// The address without what may be secret in it.
    pub fn location(&self) -> String {
        address::place(&self.url)
    }

    /// Asks once. The outcome goes into the status.
    pub fn ask(&self, names: &Names, status: &Mutex<SourceStatus>) -> Option<Inventory> {
        match self.ask_again(names, status, &mut Validators::default()) {
            Asked::News(inventory) => Some(inventory),
            Asked::Unchanged | Asked::Failed => None,
        }
    }

    /// Asks for what has changed since the answer that `validators` identify, and lets them identify the new one.
    fn ask_again(&self, names: &Names, status: &Mutex<SourceStatus>, validators: &mut Validators) -> Asked {
        let read = |(text, version): (String, Validators)| Ok((self.read(&text, names)?, version));
        match self.fetch(validators).and_then(|fetched| fetched.map(read).transpose()) {
            Ok(Some((inventory, version))) => {
                SourceStatus::took(status, inventory.len() as u64);
                *validators = version;
                Asked::News(inventory)
            }
            Ok(None) => {
                SourceStatus::confirmed(status);
                Asked::Unchanged
            }
            Err(error) => {
                SourceStatus::failed(status, &error.to_string());
                Asked::Failed
            }
        }
    }

    /// The text of the answer and what identifies it; `None` where it is the one that `validators` identify. Token and
    /// authorities are read anew.
    fn fetch(&self, validators: &Validators) -> Result<Option<(String, Validators)>, FetchError> {
        let settings = Settings {
            url: &self.url,
            ca_file: self.ca_file.as_deref(),
            pem: helios_web::tls::Pem::default(),
            timeout: self.timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let authorization = match &self.token_file {
            Some(path) => secret::authorization("Bearer", &secret::read("token_file", path)?)?,
            None => None,
        };
        let request =
            Request { url: &self.url, accept: "", authorization, validators: Some(validators), follow_redirects: true };
        let client = Client::new(&settings)?;
        let answer = helios_web::block_on(client.get(&request))??;
        if answer.is_unchanged() {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(FetchError::Status { status: answer.status.as_u16() });
        }
        let version = answer.validators();
        let text = String::from_utf8(answer.body).map_err(|_| FetchError::NotText)?;
        Ok(Some((text, version)))
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

/// What came of a request.
enum Asked {
    News(Inventory),
    /// The server says that it would answer the same again.
    Unchanged,
    Failed,
}

/// A source that is asked at intervals by a thread of its own.
#[derive(Debug)]
pub struct Poller {
    /// Each request updates it.
    pub status: SharedStatus,
    news: Arc<Mutex<Option<Inventory>>>,
    /// Dropping it ends the thread: at once while the thread waits, else when the answer comes. Nothing waits for that.
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
    status: &Mutex<SourceStatus>,
    names: &Names,
    news: &Mutex<Option<Inventory>>,
    stopped: &Receiver<()>,
) {
    let mut last = None;
    let mut validators = Validators::default();
    let mut backoff = Backoff::new(RETRY_INITIAL.min(remote.refresh), RETRY_MAX.min(remote.refresh));
    loop {
        let asked = remote.ask_again(names, status, &mut validators);
        let wait = match &asked {
            Asked::Failed => backoff.pause(),
            Asked::News(_) | Asked::Unchanged => {
                backoff.reset();
                remote.refresh
            }
        };
        // The same answer again is no reason to build the tables anew.
        if let Asked::News(inventory) = asked
            && last.as_ref() != Some(&inventory)
        {
            last = Some(inventory.clone());
            *news.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(inventory);
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
