//! The enricher: flow batches in, the same batches with names out.
//!
//! Start at [`worker`]: one thread takes a batch, writes the columns that the [`snapshot`] knows something about
//! and passes it on. [`geoip`] turns MaxMind DB files into one table of places, [`lookup`] is the table: address
//! to record id, flattened when a database is loaded so that a row costs a load or two and no search.
//!
//! Missing data never drops or delays a row: without databases rows pass on with the name of their exporter.

pub mod config;
pub mod geoip;
pub mod lookup;
#[cfg(any(test, feature = "mmdb-writer"))]
pub mod mmdb_writer;
pub mod rows;
pub mod snapshot;
pub mod stats;
pub mod worker;

pub use config::{EnricherConfig, GeoipConfig};
pub use stats::EnricherStats;
pub use worker::{Enricher, EnricherError};
