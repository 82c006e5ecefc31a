//! The sink against the real ClickHouse engine (`make engine` installs it).

mod engine {
    mod blocks;
    mod schema;
    pub mod support;
}
