//! What the enricher knows at one moment, immutable.
//!
//! The worker loads the snapshot once per batch, so all rows of a batch see the same state of every source. A source
//! with newer data builds a whole new snapshot on its own thread and swaps it in; the worker never waits for it.

use arc_swap::ArcSwap;

use crate::addresses::Addresses;
use crate::directory::Directory;

/// Everything that rows are enriched from.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the snapshots of this process, the first one is 0.
    pub generation: u64,
    /// GeoIP and networks.
    pub addresses: Addresses,
    /// Exporters, their interfaces, and the numbers of VRFs.
    pub directory: Directory,
}

/// The current snapshot.
pub type Current = ArcSwap<Snapshot>;
