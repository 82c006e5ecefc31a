//! gNMI, the gRPC Network Management Interface: the messages, paths and values of version 0.10, a client, and the frame of
//! a server.
//!
//! Start at [`Client::connect`] to ask a device, at [`Service`] to be one. The messages are structs with prost's derives,
//! so that a build needs neither `protoc` nor a build script; the field numbers are those of gnmi.proto 0.10.0
//! (github.com/openconfig/gnmi, proto/gnmi/gnmi.proto). Of the extensions (gnmi_ext.proto) commit confirmed is known.
//!
//! Nothing here knows a device's models.

#![deny(missing_docs, unreachable_pub)]

pub mod message;
pub mod extensions;
mod path;
mod value;
mod client;
mod server;

pub use client::{Client, ConnectError, Target, Tls};
pub use message::{Path, PathElem, TypedValue};
pub use path::PathError;
pub use server::{Server, Service};
pub use value::ValueError;

/// The version of gNMI that the messages are of; a server says it in its capabilities.
pub const GNMI_VERSION: &str = "0.10.0";
