//! NetBox, the source of truth for a network: its devices, interfaces, addresses and prefixes as a snapshot in memory.
//!
//! Start at [`snapshot`]: what a reader gets, immutable and shared by `Arc`. Its rows are in [`model`], their strings in one pool
//! ([`text`]); [`builder`] is the only way to make one.
//!
//! The crate knows nothing of flows: it is a reader's business what a device's name is good for.

pub mod snapshot;
pub mod model;
pub mod table;
pub mod text;
pub mod builder;

pub use builder::Builder;
pub use snapshot::Snapshot;
