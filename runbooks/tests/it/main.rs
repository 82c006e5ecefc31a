//! Runbooks against devices that speak gNMI over TLS on loopback.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking, as tests do.

mod device;
mod rig;
mod samples;
mod faults;
