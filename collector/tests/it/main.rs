//! The collector from outside: messages in, rows and counts out; a module per subject.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking, as tests do.

mod bench;
mod sflow_compare;

mod clock;
mod directions;
mod lists;
mod meaning;
mod netflow;
mod netflow_oracle;
mod packet_oracle;
mod peers;
mod properties;
mod rfc_figures;
mod sampling;
mod sflow;
mod sflow_captures;
mod sflow_oracle;
mod spoofed;
mod tcp;
mod proxy_protocol;
mod tolerance;
mod vendors;
