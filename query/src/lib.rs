//! The filter language, and questions to the tables of Helios.
//!
//! `src in 10.0.0.0/8 and dport 443 and not proto udp` is one language with two executions: over rows in memory
//! (`helios decode --filter`, [`Filter::matches`]) and in ClickHouse (`helios top`, `helios query`, [`Filter::sql`]).
//! Both follow from the same syntax tree, so a filter means the same everywhere.
//!
//! Start at [`Filter::parse`], then [`Question`]: it chooses the coarsest table that can answer and writes the statement.
//! An [`answer::Answer`] is read from the lines that ClickHouse sends; [`render`] makes a table, CSV or JSON of it.
//! This crate does no I/O: it turns text into predicates and statements, and answers into text.

#![deny(missing_docs, unreachable_pub)]

mod lexer;
mod vocabulary;
mod value;
mod parser;
mod filter;
mod row;
mod sql;
mod key;
mod table;
mod busiest;
mod question;
pub mod answer;
pub mod render;
pub mod protocols;

pub use filter::{Filter, FilterError};
pub use key::{Key, KeyError};
pub use question::{Measure, Question, Range};
pub use table::{Choice, Holds, Retention, TABLES, Table};
