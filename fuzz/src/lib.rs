//! What the fuzz targets share: a decoder, what has to hold after every datagram, and flows to encode.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig, Protocol};
use helios_common::exporter::Exporters;
use helios_common::flow::FlowBatch;
use helios_common::names::Names;

pub use helios_collector::encode::flows;

/// Rows of one message without those of held sets: the decoder's named limit.
const MAX_ROWS: usize = 8192;

/// A decoder with what it decoded.
pub struct Bench {
    decoder: Decoder,
    pub out: FlowBatch,
    received_at: i64,
}

impl Default for Bench {
    fn default() -> Self {
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        let decoder = Decoder::new(DecoderConfig::default(), exporters, names);
        Self { decoder, out: FlowBatch::new(), received_at: flows::EXPORT_MS }
    }
}

impl Bench {
    /// Decodes a datagram of the exporter with this last octet of address.
    ///
    /// # Panics
    /// When rows and counts do not agree, a discarded message left rows, or a message made more than it may.
    pub fn decode(&mut self, exporter: u8, octets: &[u8]) {
        let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, exporter)), 2055);
        self.received_at += 1_000;
        let before = self.out.rows();
        let result = self.decoder.decode(octets, &DatagramMeta { source, received_at: self.received_at }, &mut self.out);
        self.out.seal();
        let rows = self.out.rows() - before;
        match result {
            Ok(decoded) => {
                assert_eq!(rows, decoded.rows as usize);
                assert!(decoded.held_rows <= decoded.rows);
                assert!((decoded.rows - decoded.held_rows) as usize <= MAX_ROWS);
            }
            Err(_) => assert_eq!(rows, 0),
        }
    }

    pub fn expire(&mut self) {
        self.decoder.expire(self.received_at);
    }
}

/// Decodes octets as a message of `protocol`, twice: the second time with what the first one taught.
pub fn message(protocol: Protocol, octets: &[u8]) {
    let mut octets = octets.to_vec();
    let head: &[u8] = match protocol {
        Protocol::Netflow1 => &[0, 1],
        Protocol::Netflow5 => &[0, 5],
        Protocol::Netflow7 => &[0, 7],
        Protocol::Netflow9 => &[0, 9],
        Protocol::Ipfix => &[0, 10],
        Protocol::Sflow5 => &[0, 0, 0, 5],
    };
    octets.splice(..head.len().min(octets.len()), head.iter().copied());
    if protocol == Protocol::Ipfix && octets.len() >= 16 {
        // The length is right, or nothing behind the header would be seen.
        let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
        octets.splice(2..4, length.to_be_bytes());
    }
    let mut bench = Bench::default();
    bench.decode(1, &octets);
    bench.decode(1, &octets);
}
