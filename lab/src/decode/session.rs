//! One run of the collector's decoder over the datagrams of a capture.

use std::io;
use std::sync::Arc;

use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig};
use helios_common::exporter::Exporters;
use helios_common::flow::FlowBatch;
use helios_common::names::Names;

use super::output::Rows;
use super::summary::Summary;
use crate::capture::Datagram;

/// Decodes datagram by datagram, with the state per exporter that `helios run` has.
///
/// The time of arrival is the capture's. One decoder sees all exporters, as one worker would.
pub struct Session {
    decoder: Decoder,
    names: Arc<Names>,
    batch: FlowBatch,
    summary: Summary,
}

impl Session {
    /// Knows no exporters and no templates yet.
    pub fn new(config: DecoderConfig) -> Self {
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        let decoder = Decoder::new(config, exporters, Arc::clone(&names));
        Self { decoder, names, batch: FlowBatch::new(), summary: Summary::default() }
    }

    /// Decodes a datagram, counts what became of it and gives its rows to `rows`.
    ///
    /// # Errors
    /// When the rows cannot be written. A malformed datagram is a counted outcome.
    pub fn feed(&mut self, datagram: &Datagram, rows: Option<&mut dyn Rows>) -> io::Result<()> {
        self.batch.clear();
        let received_at = i64::try_from(datagram.timestamp_ns / 1_000_000).unwrap_or(i64::MAX);
        let meta = DatagramMeta { source: datagram.source, received_at };
        let decoded = match self.decoder.decode(&datagram.payload, &meta, &mut self.batch) {
            Ok(decoded) => decoded,
            Err(discarded) => {
                self.summary.discarded(&discarded);
                return Ok(());
            }
        };
        self.summary.decoded(&decoded, &self.batch);
        let Some(rows) = rows else { return Ok(()) };
        let names = self.names.read();
        let held_from = self.batch.rows().saturating_sub(decoded.held_rows as usize);
        for row in 0..self.batch.rows() {
            rows.row(&self.batch, &names, row, row >= held_from)?;
        }
        Ok(())
    }

    /// What was decoded so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}
