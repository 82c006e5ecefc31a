//! The binary's parts: the only place where collector, enricher and sink meet.
//!
//! Start at [`cmd`] for what a subcommand does, at [`pipeline`] for how `helios run` joins the stages. The library
//! target exists for the integration tests and benches; it promises no stable interface.

#![deny(unreachable_pub)]

pub mod cmd;
pub mod config;
pub mod pipeline;
pub mod admin;
pub mod metrics;
pub mod top;
pub mod answer;
