//! The integration tests, in one binary: a module a scenario.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail by panicking, as tests do.

mod expect;
mod running;
mod load;
mod sections;
mod ranges;

mod tidy;
mod circles;
mod docs;
mod commands;
mod config;
mod cli;
mod decode;
mod metrics;
mod operation;
mod status_page;
mod relay;
mod end_to_end;
mod replay;
mod enrichment;
mod netbox;
mod netbox_names;
mod interfaces;
mod addresses;
mod reload;
mod hangup;
mod spool;
mod disk;
mod descriptors;
mod takeover;
mod retention;
mod rights;
mod ills;
mod side_tables;
mod remembers;
mod user_columns;
mod query;
mod targets;
mod targets_netbox;
mod real_exporters;
