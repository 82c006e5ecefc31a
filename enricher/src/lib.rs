//! The enricher: flow batches in, the same batches with names out.
//!
//! Start at [`worker`]: one thread takes a batch, writes the columns that the [`snapshot`] knows something about
//! ([`rows`]) and passes it on. A second thread ([`reload`]) looks after the [`sources`]: files, web servers, NetBox. Each
//! becomes an [`inventory`]; together with [`geoip`] they are flattened into [`addresses`] (address to record, by VRF)
//! and the [`directory`] (exporters and interfaces, classified by [`rules`]). [`lookup`] is the table underneath, in
//! which an address costs a load or two and no search; [`memo`] is what makes an interface cost no more.
//!
//! Missing data never drops or delays a row: without any source rows pass on with the address of their exporter as name.

#![deny(missing_docs, unreachable_pub)]

pub mod config;
pub mod worker;
pub mod snapshot;
pub mod rows;
pub mod memo;
pub mod addresses;
pub mod networks;
pub mod directory;
pub mod rules;
pub mod inventory;
pub mod sources;
pub mod reload;
pub mod geoip;
pub mod lookup;
pub mod stats;
pub mod metrics;
pub mod api;
mod describe;
pub mod identity;
pub mod hits;
pub mod explain;

pub use config::{EnricherConfig, GeoipConfig};
pub use stats::EnricherStats;
pub use worker::{Enricher, EnricherError, Surroundings};
