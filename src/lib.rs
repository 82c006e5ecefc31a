//! The binary's parts: the only place where collector, enricher and sink meet.
//!
//! Start at [`cmd`] for what a subcommand does, at [`pipeline`] for how `helios run` joins the stages. The library
//! target exists for the integration tests and benches; it promises no stable interface.

pub mod memory;
pub mod cmd;
pub mod exit;
pub mod config;
pub mod log;
pub mod state;
pub mod pipeline;
pub mod admin;
pub mod metrics;
pub mod capture;
pub mod decode;
pub mod send;
pub mod replay;
pub mod simulate;
pub mod top;
mod explain;
