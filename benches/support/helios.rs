//! The decoder of Helios, driven as a receive worker drives it.

use std::sync::Arc;

use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig};
use helios_common::exporter::Exporters;
use helios_common::flow::{BATCH_ROWS, FlowBatch};
use helios_common::names::Names;

use super::traffic::Traffic;

pub struct Helios {
    decoder: Decoder,
    pub batch: FlowBatch,
}

impl Helios {
    /// A decoder that has seen the templates and options of `traffic`.
    pub fn new(traffic: &Traffic) -> Self {
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        Self::with(Decoder::new(DecoderConfig::default(), exporters, names), traffic)
    }

    /// The same with a decoder that has its own names.
    pub fn with(decoder: Decoder, traffic: &Traffic) -> Self {
        let mut helios = Self { decoder, batch: FlowBatch::new() };
        for datagram in &traffic.announcements {
            helios.take(&datagram.octets, &datagram.meta, FlowBatch::seal);
        }
        helios
    }

    /// Decodes all datagrams once into batches that are sealed and emptied when they are full.
    pub fn pass(&mut self, traffic: &mut Traffic) -> usize {
        self.pass_to(traffic, FlowBatch::seal)
    }

    /// Decodes all datagrams once; `full` gets each batch that is.
    pub fn pass_to(&mut self, traffic: &mut Traffic, mut full: impl FnMut(&mut FlowBatch)) -> usize {
        let mut rows = 0;
        for datagram in &mut traffic.datagrams {
            datagram.advance();
            rows += self.take(&datagram.octets, &datagram.meta, &mut full);
        }
        rows
    }

    /// Decodes one datagram into the open batch; `full` gets that first if it is.
    pub fn take(&mut self, octets: &[u8], meta: &DatagramMeta, full: impl FnOnce(&mut FlowBatch)) -> usize {
        if self.batch.rows() >= BATCH_ROWS {
            full(&mut self.batch);
            self.batch.clear();
        }
        self.decoder.decode(octets, meta, &mut self.batch).expect("the traffic is well-formed").rows as usize
    }
}
