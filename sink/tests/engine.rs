//! The sink against the real ClickHouse engine (`make engine` installs it).

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking, as tests do.

mod engine {
    mod blocks;
    mod cluster;
    mod faults;
    mod ills;
    mod once;
    mod outage;
    mod retention;
    mod rollups;
    mod schema;
    pub mod support;
}
