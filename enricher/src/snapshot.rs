//! What the enricher knows at one moment, immutable.
//!
//! The worker loads the snapshot once per batch, so all rows of a batch see the same databases. Whoever has newer
//! data builds a whole new snapshot on its own thread and swaps it in; the worker never waits for it.

use arc_swap::ArcSwap;

use crate::geoip::Geo;

/// Everything that rows are enriched from.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts the snapshots of this process, the first one is 0.
    pub generation: u64,
    /// `None` without databases.
    pub geo: Option<Geo>,
}

/// The current snapshot.
pub type Current = ArcSwap<Snapshot>;
