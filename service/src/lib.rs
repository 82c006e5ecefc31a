//! The frame of every Helios process: what the flow pipeline and other services have in common.
//!
//! Start at [`config::Sources::load`] for how a configuration is read, at [`admin::serve`] for the pages that every
//! process has. Nothing here knows what a flow is.

#![deny(missing_docs, unreachable_pub)]

pub mod exit;
pub mod arguments;
pub mod progress;
pub mod config;
pub mod log;
pub mod signals;
pub mod admin;
pub mod process;
pub mod directory_lock;
pub mod huge_pages;
pub mod descriptors;
