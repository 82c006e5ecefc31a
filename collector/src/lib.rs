//! UDP in, flow batches out.
//!
//! Start at [`decode::Decoder`]: one datagram in, rows of a [`helios_common::flow::FlowBatch`] out, no I/O.
//! [`udp`] owns the sockets and is the only I/O; [`worker`] is the loop that joins both on a thread of its own.

pub mod config;
pub mod decode;
pub mod state;
pub mod udp;
pub mod worker;
#[cfg(feature = "encode")]
pub mod encode;

pub use config::CollectorConfig;
pub use worker::{Collector, CollectorError, CollectorStats};
