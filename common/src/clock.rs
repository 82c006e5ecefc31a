//! The wall clock: the one place where it is read.
//!
//! The decoder never asks: its callers pass the time of arrival, read once per receive call.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::time::UnixMs;

/// The time since 1970-01-01 UTC; zero on a host whose clock stands before it.
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since 1970-01-01 UTC.
pub fn unix_ms() -> UnixMs {
    since_epoch().as_millis() as UnixMs
}

/// Seconds since 1970-01-01 UTC.
pub fn unix_secs() -> u64 {
    since_epoch().as_secs()
}
