//! Metrics: each declared once, by the component that counts it.
//!
//! A component lists its metrics with [`metrics!`]: name, type, labels, help, and how the value is read from what the
//! component counted. The list is both what a scrape writes ([`Scrape::write`]) and what docs/metrics.md is made of.
//! Counters that many events add to, in several places, are declared by [`tally!`]: the struct, its sums and its metrics follow.
//! Counters without such rows are a struct of [`counters!`], which has their sums and differences. Labels come from closed sets,
//! which [`label_set!`] declares. A component counts in plain integers of its own: a process
//! that is not scraped pays nothing for its metrics.
//!
//! The text form is written here, in 100 lines, because components hand out figures that they have already, and a registry
//! of live counters would hold them twice.

#![deny(missing_docs, unreachable_pub)]

mod labels;
mod table;
mod tally;
mod text;

pub use labels::counted;
pub use table::{Entry, Metric, MetricKind, Table};
pub use text::{Buckets, Number, Samples, Scrape};
