//! The exporters that a decoder knows, and what it remembers of those that it has not seen yet.

use std::sync::Arc;

use hashbrown::HashMap;
use helios_common::exporter::{Address, Exporters, UNNAMED};
use helios_common::names::Names;
use helios_common::time::UnixMs;

use super::budget::is_sparse;
use super::by_hand::{ByHand, SamplingRule};
use super::exporter::{EXPORTER_OCTETS, EXPORTER_SLOT_OCTETS, Exporter};
use super::template::Compiler;
use super::{DecodeError, ExporterStats, SavedExporter, Transport};

/// An exporter that was silent for so long makes room for others.
pub(super) const EXPORTER_IDLE_MS: i64 = 60 * 60 * 1000;

/// Exporters that one decoder keeps state for. Flows of further ones are refused until others fall silent: state
/// that anybody can push out with spoofed addresses is no state.
pub const MAX_EXPORTERS: usize = 65_536;

/// The exporters of a decoder, and where new ones get their past from.
#[derive(Debug)]
pub(super) struct Known {
    pub registry: Arc<Exporters>,
    pub names: Arc<Names>,
    pub memory: Option<Arc<dyn Memory>>,
    /// Sampling intervals that the configuration sets by hand.
    pub sampling: Arc<[SamplingRule]>,
    pub exporters: HashMap<Address, Exporter, foldhash::quality::RandomState>,
    /// Octets that a new exporter may take.
    pub room: usize,
    /// What exporters brought that were restored since this was last taken.
    pub restored: Restored,
}

/// What restored exporters brought that all exporters of a decoder share the room for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Restored {
    pub templates: usize,
    pub entries: usize,
    pub domains: usize,
}

/// What was known of exporters before this process started.
pub trait Memory: std::fmt::Debug + Send + Sync {
    /// The saved state of an exporter, as it was saved last. It can be asked for again: an exporter that was forgotten and
    /// comes back goes on with it.
    fn recall(&self, address: Address) -> Option<SavedExporter>;
}

impl Known {
    /// Forgets exporters that were silent for `idle_ms`, and finds ids for those that there was none for. Returns what the
    /// forgotten ones had sent.
    pub(super) fn expire(&mut self, now: UnixMs, idle_ms: i64, transport: Transport) -> Vec<ExporterStats> {
        let mut forgotten = Vec::new();
        let Self { registry, exporters, .. } = self;
        exporters.retain(|&address, exporter| {
            let last_seen = exporter.stats.last_seen;
            let stays = now - last_seen < idle_ms;
            if !stays {
                registry.release(address, last_seen);
                forgotten.push(exporter.snapshot(transport));
            }
            stays
        });
        if is_sparse(exporters.allocation_size(), exporters.len(), EXPORTER_SLOT_OCTETS) {
            exporters.shrink_to_fit();
        }
        registry.recycle(now);
        for exporter in exporters.values_mut().filter(|exporter| exporter.id == UNNAMED) {
            exporter.id = registry.intern_behind(exporter.address, exporter.socket);
        }
        forgotten
    }

    /// The state of the exporter at `address`, made when it is first seen.
    pub(super) fn exporter(
        &mut self,
        address: Address,
        now: UnixMs,
        compiler: &mut Compiler,
    ) -> Result<&mut Exporter, DecodeError> {
        self.exporter_behind(address, address, now, compiler)
    }

    /// The same for one that names itself and sends from `socket`.
    pub(super) fn exporter_behind(
        &mut self,
        address: Address,
        socket: Address,
        now: UnixMs,
        compiler: &mut Compiler,
    ) -> Result<&mut Exporter, DecodeError> {
        let full = self.exporters.len() >= MAX_EXPORTERS || self.room < EXPORTER_OCTETS;
        if full && !self.exporters.contains_key(&address) {
            return Err(DecodeError::TooManyExporters);
        }
        let Self { registry, names, memory, sampling, exporters, restored, .. } = self;
        Ok(exporters.entry(address).or_insert_with(|| {
            let mut exporter = Exporter::new(registry.intern_behind(address, socket), address, socket, now);
            exporter.by_hand = ByHand::of(sampling, address);
            if let Some(saved) = memory.as_ref().and_then(|memory| memory.recall(address)) {
                saved.restore(&mut exporter, names, now, compiler);
                restored.templates += exporter.templates;
                restored.entries += exporter.tables.len();
                restored.domains += exporter.domains.len();
            }
            exporter
        }))
    }
}

impl Drop for Known {
    /// A session over TCP has a decoder of its own: with it, its exporter is forgotten.
    fn drop(&mut self) {
        for (&address, exporter) in &self.exporters {
            self.registry.release(address, exporter.stats.last_seen);
        }
    }
}
