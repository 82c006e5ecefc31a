//! Flow batches in, rows in ClickHouse out.
//!
//! Start at [`Sink`]: what runs, and what it tells of itself. On the way of a row: [`chunk`] gathers columns for Arrow,
//! [`block`] makes inserts of chunks, [`frame`] compresses, [`backlog`] is where closed blocks wait, [`client`] sends
//! them, [`cluster`] knows where to, [`error`] what went wrong, and [`trouble`] which errors stand; [`explain`] says what to do about one. Rows that are no flows
//! become blocks in [`side`], and [`ledgers`] knows whose accounts a block's rows are in. [`schema`] derives the tables from the column table,
//! [`migrate`] makes them, [`retention`] keeps them small.

#![deny(missing_docs, unreachable_pub)]

pub mod config;
pub mod schema;
pub mod chunk;
pub mod rollup;
mod stream;
pub mod frame;
mod buffers;
pub mod block;
pub mod side;
pub mod ledgers;
pub mod spool;
pub mod backlog;
pub mod client;
pub mod error;
pub mod explain;
pub mod cluster;
pub mod migrate;
pub mod retention;
mod trouble;
mod insert;
mod sink;
pub mod metrics;
pub mod api;
mod describe;

pub use config::SinkConfig;
pub use sink::{Drained, Sink, SinkError, SinkStats};
pub use trouble::Trouble;
