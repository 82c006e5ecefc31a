//! Target generator: what is known of devices becomes the targets of gnmic, snmp_exporter and blackbox_exporter.
//!
//! Start at [`plan`]: devices and profiles in, a plan out that names every target and every device that is left out, with
//! its reason. [`document`] turns a plan into the text that the collectors read and back, [`parts`] splits a text for
//! ConfigMaps, [`difference`] compares what is published with what is planned, and [`guard`] refuses a plan that lost too
//! much. All of these are pure. [`netbox`] and [`statics`] make devices, [`files`] reads and writes a directory, [`kubernetes`]
//! ConfigMaps.

#![deny(missing_docs, unreachable_pub)]

pub mod config;
pub mod device;
pub mod netbox;
pub mod statics;
mod name;
mod profile;
pub mod plan;
pub mod document;
pub mod parts;
pub mod difference;
pub mod guard;
pub mod files;
pub mod kubernetes;

pub use config::TargetsConfig;
pub use device::Device;
pub use document::{Document, Documents, ListKind};
pub use plan::Plan;
