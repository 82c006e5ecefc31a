//! How a source of the inventory is doing, shared with whoever shows it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use tracing::{info, warn};

use crate::stats::SourceStats;

/// One writer, the source; metrics and the API read it.
pub type SharedStatus = Arc<Mutex<SourceStatus>>;

/// The state of a source, without its look-ups, which [`Hits`](crate::hits::Hits) counts.
#[derive(Debug, Clone)]
pub struct SourceStatus(SourceStats);

impl SourceStatus {
    pub(crate) fn shared(source: String, location: String) -> SharedStatus {
        Arc::new(Mutex::new(Self(SourceStats {
            source,
            location,
            entries: 0,
            loaded_at: None,
            loads: 0,
            failures: 0,
            refusal: None,
            lookups: Vec::new(),
            database: None,
        })))
    }

    /// A version with this many entries is in use from now on.
    pub fn took(status: &Mutex<Self>, entries: u64) {
        let Self(stats) = &mut *lock(status);
        stats.entries = entries;
        stats.loaded_at = Some(SystemTime::now());
        stats.loads += 1;
        if stats.loads == 1 || stats.refusal.take().is_some() {
            info!(source = stats.source, location = stats.location, entries, "source loaded");
        }
    }

    /// The server confirmed the version in use.
    pub fn confirmed(status: &Mutex<Self>) {
        let entries = lock(status).0.entries;
        Self::took(status, entries);
    }

    /// A version is refused or there is no answer: counted, and logged when it is for another reason than before.
    pub fn failed(status: &Mutex<Self>, error: &str) {
        let Self(stats) = &mut *lock(status);
        stats.failures += 1;
        if stats.refusal.as_deref() == Some(error) {
            return;
        }
        let kept = if stats.loads > 0 { "what it said before stays in use" } else { "flows go without it" };
        warn!(source = stats.source, location = stats.location, error, "source not loaded, {kept}");
        stats.refusal = Some(error.to_owned());
    }

    /// The file is again what is in use.
    pub fn same(status: &Mutex<Self>) {
        lock(status).0.refusal = None;
    }

    pub(crate) fn stats(status: &Mutex<Self>) -> SourceStats {
        lock(status).0.clone()
    }
}

fn lock(status: &Mutex<SourceStatus>) -> MutexGuard<'_, SourceStatus> {
    status.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
