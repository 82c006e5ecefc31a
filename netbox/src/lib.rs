//! NetBox, the source of truth for a network: its devices, interfaces, addresses and prefixes as a snapshot in memory.
//!
//! Start at [`source`]: a thread that keeps a [`snapshot`] fresh and puts the next one in its place. The snapshot is
//! immutable and shared by `Arc`; its rows are in [`model`], their strings in one pool ([`text`]), and [`builder`] is the
//! only way to make one. `refresh` says what is read when, `pages` how a list is read, `client` how one answer is requested,
//! `kinds` declares the kinds of objects, one entry each, and `value` how their fields look in any version of NetBox from
//! 3.7 on; `saved` keeps the last snapshot.
//!
//! The crate writes nothing to NetBox and knows nothing of flows: its users decide what a device's name is for.

#![deny(missing_docs, unreachable_pub)]

pub mod config;
pub mod source;
mod inspect;
mod refresh;
mod tasks;
mod pages;
mod client;
mod error;
mod declare;
mod kinds;
mod value;
mod version;
mod moment;
pub mod snapshot;
pub mod model;
pub mod table;
pub mod text;
pub mod builder;
mod saved;
mod codec;
pub mod metrics;
pub mod api;

pub use builder::Builder;
pub use config::{Filters, NetBoxConfig, Purpose};
pub use error::{NetBoxError, Reason};
pub use inspect::{Inspection, inspect};
pub use refresh::read_once;
pub use snapshot::Snapshot;
pub use source::{NetBox, Stats};
