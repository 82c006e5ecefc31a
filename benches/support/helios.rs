//! The decoder of Helios, driven as a receive worker drives it.

use std::sync::Arc;

use helios_collector::decode::{Decoder, DecoderConfig};
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
        let mut helios =
            Self { decoder: Decoder::new(DecoderConfig::default(), exporters, names), batch: FlowBatch::new() };
        for datagram in &traffic.announcements {
            helios.decode(&datagram.octets, &datagram.meta);
        }
        helios
    }

    /// Decodes all datagrams once into batches that are sealed and emptied when they are full.
    pub fn pass(&mut self, traffic: &mut Traffic) -> usize {
        let mut rows = 0;
        for datagram in &mut traffic.datagrams {
            datagram.advance();
            if self.batch.rows() >= BATCH_ROWS {
                self.batch.seal();
                self.batch.clear();
            }
            rows += self.decode(&datagram.octets, &datagram.meta);
        }
        rows
    }

    fn decode(&mut self, octets: &[u8], meta: &helios_collector::decode::DatagramMeta) -> usize {
        self.decoder.decode(octets, meta, &mut self.batch).expect("the traffic is well-formed").rows as usize
    }
}
