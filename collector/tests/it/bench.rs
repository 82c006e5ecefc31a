//! A decoder with a batch, and messages for it: what the tests of decoding share.

use std::net::SocketAddr;
use std::sync::Arc;

use helios_collector::decode::{DatagramMeta, Decoded, Decoder, DecoderConfig, Discarded};
use helios_collector::encode::{ipfix, netflow9};
use helios_common::exporter::Exporters;
use helios_common::flow::FlowBatch;
use helios_common::names::Names;

pub const NOW: i64 = 1_700_000_000_000;
pub const NOW_SECS: u32 = 1_700_000_000;

/// A decoder and what it decoded.
pub struct Bench {
    pub decoder: Decoder,
    pub names: Arc<Names>,
    pub out: FlowBatch,
    pub source: SocketAddr,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// With another configuration than the default.
    pub fn with(configure: impl FnOnce(&mut DecoderConfig)) -> Self {
        let mut config = DecoderConfig::default();
        configure(&mut config);
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        let decoder = Decoder::new(config, exporters, Arc::clone(&names));
        Self { decoder, names, out: FlowBatch::new(), source: "192.0.2.1:4000".parse().unwrap() }
    }

    pub fn try_decode(&mut self, datagram: &[u8]) -> Result<Decoded, Discarded> {
        let meta = DatagramMeta { source: self.source, received_at: NOW };
        let result = self.decoder.decode(datagram, &meta, &mut self.out);
        self.out.seal();
        result
    }

    pub fn decode(&mut self, datagram: &[u8]) -> Decoded {
        self.try_decode(datagram).unwrap()
    }

    pub fn names_of(&self, ids: &[u32]) -> Vec<String> {
        ids.iter().map(|&id| self.names.read().get(id).to_owned()).collect()
    }
}

pub fn ipfix_in(domain: u32, write: impl FnOnce(&mut ipfix::Message<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let header = ipfix::Header { export_secs: NOW_SECS, sequence: 0, observation_domain_id: domain };
    write(&mut ipfix::Message::begin(&header, &mut out));
    out
}

pub fn ipfix(write: impl FnOnce(&mut ipfix::Message<'_>)) -> Vec<u8> {
    ipfix_in(0, write)
}

pub fn netflow9(uptime_ms: u32, write: impl FnOnce(&mut netflow9::Message<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let header = netflow9::Header { sys_uptime_ms: uptime_ms, export_secs: NOW_SECS, sequence: 0, source_id: 7 };
    write(&mut netflow9::Message::begin(&header, &mut out));
    out
}
