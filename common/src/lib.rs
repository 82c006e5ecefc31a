//! The vocabulary of Helios: what a flow is, before anybody receives, enriches or stores one.
//!
//! Start at [`columns`]: the one table from which the batch, the template plans, the Arrow schema, the
//! ClickHouse tables and the documentation follow. [`flow::FlowBatch`] is how rows travel between the stages,
//! [`ledger::Ledger`] is how each of them is accounted for.
//!
//! This crate does no I/O, starts no thread and knows neither tokio nor Arrow.

#![deny(missing_docs, unreachable_pub)]

pub mod columns;
pub mod ie;
pub mod flow;
pub mod list;
pub mod time;
pub mod clock;
pub mod names;
pub mod text;
pub mod exporter;
pub mod prefix;
pub mod ledger;
pub mod channel;
pub mod queue;
pub mod side;
pub mod summary;
