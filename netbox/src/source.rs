//! NetBox as a source: a thread keeps the snapshot fresh, and readers take the latest one.
//!
//! If NetBox fails, the last good snapshot stays in use. The log says once what to do, and again when the reason changes. After
//! a start, the saved snapshot is used until NetBox answers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use helios_common::clock::unix_ms;
use helios_web::Backoff;
use tokio::sync::{Notify, watch};

use crate::client::Counters;
use crate::config::{NetBoxConfig, Purpose};
use crate::error::{NetBoxError, Reason};
use crate::refresh::{Refreshed, Refresher};
use crate::saved;
use crate::snapshot::Snapshot;

/// Before a failed refresh is repeated; the pauses grow up to the configured interval.
const RETRY_INITIAL: Duration = Duration::from_secs(5);

/// How long a refresh waits after a webhook: NetBox sends one for each part of a device that was changed.
const HINT_DELAY: Duration = Duration::from_millis(500);

/// NetBox, kept fresh in the background. Ends its thread when it is dropped.
#[derive(Debug)]
pub struct NetBox {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    current: ArcSwapOption<Snapshot>,
    generation: watch::Sender<u64>,
    hint: Notify,
    /// Whether the next refresh is to be a full one whatever the time.
    full: AtomicBool,
    stop: Notify,
    counters: Arc<Counters>,
    refreshes: AtomicU64,
    failures: [AtomicU64; Reason::ALL.len()],
    /// When NetBox last confirmed the snapshot, Unix milliseconds; 0 for never.
    fresh_at_ms: AtomicU64,
    duration_ms: AtomicU64,
    problem: Mutex<Option<Problem>>,
}

/// Why the snapshot is not fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The name of a [`Reason`].
    pub reason: &'static str,
    /// What happened and what to do.
    pub message: String,
    /// Tells it apart from the problem before: a new one is logged.
    cause: String,
}

/// What metrics and status pages show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Rises with every snapshot that is put in use.
    pub generation: u64,
    /// Rows by kind; empty without a snapshot.
    pub rows: Vec<(&'static str, usize)>,
    /// Milliseconds since NetBox last confirmed what is in use; `None` if it never did and nothing was saved.
    pub age_ms: Option<u64>,
    /// Milliseconds that the last successful refresh took.
    pub duration_ms: u64,
    /// Successful refreshes.
    pub refreshes: u64,
    /// Failed refreshes by reason.
    pub failures: Vec<(&'static str, u64)>,
    /// Requests that were sent, retries included.
    pub requests: u64,
    /// Requests that were sent again after a failure that may pass.
    pub retries: u64,
    /// Bytes of the answers' bodies.
    pub bytes: u64,
    /// Why the last refresh failed; `None` after one that succeeded.
    pub problem: Option<Problem>,
}

impl NetBox {
    /// Loads the saved snapshot, if `saved` names a file that has one, and starts to refresh it.
    ///
    /// What is wrong with certificates, token or address is a failed refresh, not an error here: it may be put right
    /// while helios runs.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(config: NetBoxConfig, saved: Option<PathBuf>) -> io::Result<Self> {
        Self::start_with(config, saved.as_deref(), saved.clone())
    }

    /// As [`start`](Self::start), but the file is only read: it belongs to another process.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn visit(config: NetBoxConfig, saved: Option<&Path>) -> io::Result<Self> {
        Self::start_with(config, saved, None)
    }

    fn start_with(config: NetBoxConfig, load: Option<&Path>, save: Option<PathBuf>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            current: ArcSwapOption::empty(),
            generation: watch::Sender::new(0),
            hint: Notify::new(),
            full: AtomicBool::new(false),
            stop: Notify::new(),
            counters: Arc::default(),
            refreshes: AtomicU64::new(0),
            failures: Default::default(),
            fresh_at_ms: AtomicU64::new(0),
            duration_ms: AtomicU64::new(0),
            problem: Mutex::new(None),
        });
        if let Some(path) = load {
            shared.recall(path, &config.fingerprint());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("netbox".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = shared.stop.notified() => {}
                        () = shared.keep_fresh(config, save.as_deref()) => {}
                    }
                });
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The snapshot in use; `None` until NetBox answered for the first time.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.shared.current.load_full()
    }

    /// A number that rises with every new snapshot, for readers that poll.
    pub fn generation(&self) -> u64 {
        *self.shared.generation.borrow()
    }

    /// The same number, for readers that wait for the next snapshot.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// Makes the next refresh due now, after a webhook of NetBox.
    pub fn hint(&self) {
        self.shared.hint.notify_one();
    }

    /// Makes the next refresh due now and a full one: it finds changes that do not change an object's time.
    pub fn hint_full(&self) {
        self.shared.full.store(true, Ordering::Relaxed);
        self.hint();
    }

    /// Counters and state, for metrics and status pages.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let fresh_at = read(&shared.fresh_at_ms);
        Stats {
            generation: self.generation(),
            rows: shared.current.load().as_ref().map(|snapshot| snapshot.tables.sizes()).unwrap_or_default(),
            age_ms: (fresh_at > 0).then(|| unix_ms().cast_unsigned().saturating_sub(fresh_at)),
            duration_ms: read(&shared.duration_ms),
            refreshes: read(&shared.refreshes),
            failures: Reason::ALL.map(Reason::name).into_iter().zip(shared.failures.iter().map(read)).collect(),
            requests: read(&shared.counters.requests),
            retries: read(&shared.counters.retries),
            bytes: read(&shared.counters.bytes),
            problem: shared.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for NetBox {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn recall(&self, path: &Path, fingerprint: &str) {
        match saved::load(path, fingerprint) {
            Ok(Some(snapshot)) => {
                tracing::info!(rows = snapshot.len(), path = %path.display(), "names of NetBox loaded as last saved");
                self.fresh_at_ms.store(snapshot.origin.taken_at_ms, Ordering::Relaxed);
                self.publish(Arc::new(snapshot));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(
                path = %path.display(), %error,
                "the saved snapshot of NetBox is not used; flows have no names from NetBox until it answers"
            ),
        }
    }

    fn publish(&self, snapshot: Arc<Snapshot>) {
        self.current.store(Some(snapshot));
        self.generation.send_modify(|generation| *generation += 1);
    }

    async fn keep_fresh(&self, config: NetBoxConfig, path: Option<&Path>) {
        let (interval, full_interval) = (config.refresh_interval(), config.full_refresh_interval());
        let fingerprint = config.fingerprint();
        let mut refresher = Refresher::new(config, Purpose::Flows, Arc::clone(&self.counters));
        let mut backoff = Backoff::new(RETRY_INITIAL.min(interval), interval);
        loop {
            let previous = self.current.load_full();
            let began = unix_ms().cast_unsigned();
            let full_at = previous.as_ref().map_or(0, |snapshot| snapshot.origin.full_at_ms);
            let asked = self.full.swap(false, Ordering::Relaxed);
            let full = asked || u128::from(began.saturating_sub(full_at)) >= full_interval.as_millis();
            let (result, told) = self.watched(refresher.refresh(previous.as_deref(), full)).await;
            let wait = match result {
                Ok(Refreshed { snapshot, problem }) => {
                    self.refreshed(began, snapshot, path, &fingerprint);
                    match problem {
                        None => self.well(began),
                        Some(problem) => self.failed(&problem),
                    }
                    backoff.reset();
                    interval
                }
                Err(error) => {
                    self.full.fetch_or(asked, Ordering::Relaxed);
                    if !(told && error.reason() == Reason::Timeout) {
                        self.failed(&error);
                    }
                    backoff.pause()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.hint.notified() => tokio::time::sleep(HINT_DELAY.min(interval)).await,
            }
        }
    }

    /// Waits for a refresh and reports its first time-out at once: NetBox is asked again several times before a refresh fails.
    /// Returns whether there was a time-out.
    async fn watched(
        &self,
        refresh: impl Future<Output = Result<Refreshed, NetBoxError>>,
    ) -> (Result<Refreshed, NetBoxError>, bool) {
        let mut refresh = std::pin::pin!(refresh);
        let mut slow = self.counters.slow.subscribe();
        slow.mark_unchanged();
        tokio::select! {
            result = &mut refresh => return (result, false),
            Ok(()) = slow.changed() => {}
        }
        let noticed = slow.borrow().clone();
        if let Some((path, after)) = noticed {
            self.failed(&NetBoxError::TimedOut { path, after });
        }
        (refresh.await, true)
    }

    /// NetBox confirmed everything.
    fn well(&self, began: u64) {
        self.fresh_at_ms.store(began, Ordering::Relaxed);
        if self.problem.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("NetBox answers again");
        }
    }

    fn refreshed(&self, began: u64, snapshot: Option<Snapshot>, path: Option<&Path>, fingerprint: &str) {
        self.duration_ms.store(unix_ms().cast_unsigned().saturating_sub(began), Ordering::Relaxed);
        self.refreshes.fetch_add(1, Ordering::Relaxed);
        let Some(snapshot) = snapshot else { return };
        let snapshot = Arc::new(snapshot);
        let first = self.current.load().is_none();
        self.publish(Arc::clone(&snapshot));
        if first {
            let (version, rows) = (&snapshot.origin.version, snapshot.len());
            tracing::info!(version, rows, devices = snapshot.tables.devices.len(), "NetBox read");
        }
        if let Some(path) = path
            && let Err(error) = saved::save(path, fingerprint, &snapshot)
        {
            tracing::warn!(
                path = %path.display(), %error,
                "the snapshot of NetBox cannot be saved; after a restart names are missing until NetBox answers"
            );
        }
    }

    fn failed(&self, error: &NetBoxError) {
        let problem = Problem { reason: error.reason().name(), message: error.to_string(), cause: error.cause() };
        self.failures[error.reason().place()].fetch_add(1, Ordering::Relaxed);
        let mut last = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|last| last.cause != problem.cause) {
            let kept = if self.current.load().is_some() { "names as last read stay in use" } else { "no names yet" };
            tracing::warn!(reason = problem.reason, %error, kept, "NetBox cannot be read");
        }
        *last = Some(problem);
    }
}
