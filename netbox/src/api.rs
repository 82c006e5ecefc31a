//! What `/api/v1` shows of NetBox. Keys are a promise to scripts: added, never renamed within `v1`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::source::Stats;

/// The state of NetBox's snapshot.
#[derive(Debug, Serialize)]
pub struct NetBoxState {
    rows: BTreeMap<&'static str, usize>,
    /// Since NetBox last confirmed the snapshot; `null` if there is none.
    age_seconds: Option<f64>,
    refreshes: u64,
    failures: BTreeMap<&'static str, u64>,
    /// Why the snapshot is not fresh, and what to do.
    problem: Option<String>,
}

impl From<&Stats> for NetBoxState {
    fn from(stats: &Stats) -> Self {
        Self {
            rows: stats.rows.iter().copied().collect(),
            age_seconds: stats.age_ms.map(|ms| ms as f64 / 1000.0),
            refreshes: stats.refreshes,
            failures: stats.failures.iter().copied().filter(|(_, count)| *count > 0).collect(),
            problem: stats.problem.as_ref().map(|problem| problem.message.clone()),
        }
    }
}
