//! The datagrams of `helios simulate`, with all that they meet on their way to a block.

use std::path::Path;
use std::sync::Arc;

use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig};
use helios_common::exporter::Exporters;
use helios_common::flow::{BATCH_ROWS, FlowBatch};
use helios_common::names::Names;
use helios_enricher::EnricherConfig;
use helios_enricher::memo::Memo;
use helios_enricher::rows;
use helios_enricher::snapshot::Snapshot;
use helios_enricher::sources::{Remotes, Sources};
use helios_lab::capture::Capture;
use helios_sink::block::{Assembler, BlockLimits};
use helios_sink::config::{Compression, SinkConfig};

/// Three blocks' worth of chunks.
const FLOWS: usize = 200_000;

/// Five protocols, a hundred exporters, a network's mix of flows: lengths after compression are not those of noise.
pub struct Simulated {
    pub names: Arc<Names>,
    exporters: Arc<Exporters>,
    snapshot: Snapshot,
    pub datagrams: Vec<(Vec<u8>, DatagramMeta)>,
}

impl Simulated {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for a capture");
        let capture = folder.path().join("flows.pcap");
        let flows = FLOWS.to_string();
        helios(&["simulate", "--count", &flows, "--exporters", "100", "--write", &capture.to_string_lossy()]);
        helios(&["simulate", "--write-geoip", &folder.path().to_string_lossy()]);
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        let mut config = EnricherConfig::default();
        config.geoip.city = Some(folder.path().join("city.mmdb"));
        config.geoip.asn = Some(folder.path().join("asn.mmdb"));
        let (_, snapshot) =
            Sources::open(&config, Vec::new(), Remotes::AskOnce, &names).expect("the databases were just written");
        Self { datagrams: datagrams(&capture), names, exporters, snapshot }
    }

    pub fn decoder(&self) -> Decoder {
        Decoder::new(DecoderConfig::default(), Arc::clone(&self.exporters), Arc::clone(&self.names))
    }

    pub fn assembler(&self, compression: Compression) -> Assembler {
        let defaults = SinkConfig::default();
        let limits = BlockLimits { rows: defaults.block_rows, octets: defaults.block_bytes, compression };
        Assembler::new(defaults.database, limits, Arc::clone(&self.names))
    }

    /// Decodes every datagram once; `full` gets each batch that is, and leaves it empty. Returns the rows.
    pub fn decode(&self, decoder: &mut Decoder, batch: &mut FlowBatch, mut full: impl FnMut(&mut FlowBatch)) -> usize {
        let mut rows = 0;
        for (octets, meta) in &self.datagrams {
            rows += decoder.decode(octets, meta, batch).expect("the traffic is well-formed").rows as usize;
            if batch.rows() >= BATCH_ROWS {
                full(batch);
            }
        }
        rows
    }

    /// A full batch is sealed by the collector when it hands it on, and by the enricher again.
    pub fn enrich(&self, batch: &mut FlowBatch, memo: &mut Memo) {
        batch.seal();
        rows::enrich(batch, &self.snapshot, &self.exporters, memo);
        batch.seal();
    }
}

fn helios(arguments: &[&str]) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_helios")).args(arguments).output();
    assert!(output.expect("helios runs").status.success(), "helios {arguments:?} failed");
}

fn datagrams(capture: &Path) -> Vec<(Vec<u8>, DatagramMeta)> {
    let capture = Capture::open(capture).expect("the capture was written");
    let datagram = |datagram: helios_lab::capture::Datagram| {
        let received_at = (datagram.timestamp_ns / 1_000_000) as i64;
        (datagram.payload, DatagramMeta { source: datagram.source, received_at })
    };
    capture.map(|next| datagram(next.expect("the capture is whole"))).collect()
}
