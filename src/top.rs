//! `helios top`: who moves the most right now, asked of ClickHouse every few seconds.
//!
//! [`query`] makes the statement, [`render`] lines of text from its answer, [`terminal`] keeps them on the screen.
//! One statement a refresh; figures are estimates, scaled by the sampling interval of each flow.

pub mod query;
pub mod render;
pub mod terminal;

pub use query::{By, Question, Talker};
