//! UDP in, flow batches out.
//!
//! Start at [`decode::Decoder`]: one datagram in, rows of a [`helios_common::flow::FlowBatch`] out, no I/O.
//! [`udp`] owns the sockets; `worker` is the loop that joins both on a thread of its own. [`tcp`] does the same for
//! IPFIX over TCP and TLS, with a decoder for each connection. [`relay`]
//! passes datagrams on to other collectors. [`Collector`] starts them all.

#![deny(missing_docs, unreachable_pub)]

pub mod config;
pub mod decode;
pub mod state;
pub mod udp;
pub mod tcp;
pub mod proxy;
pub mod relay;
pub mod checksum;
mod output;
mod log_limit;
mod descriptors;
mod roster;
mod counts;
mod worker;
mod collector;
#[cfg(feature = "encode")]
pub mod encode;
pub mod metrics;
pub mod api;
mod describe;

pub use collector::{Collector, CollectorError, CollectorStats};
pub use config::CollectorConfig;
pub use counts::{Counts, SocketReport};
pub use roster::ExporterList;
