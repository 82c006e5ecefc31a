//! `helios decode`: from datagrams to text, outside of the hot path.
//!
//! Start at [`session::Session`]: it feeds datagrams to the collector's own decoder and counts what became of them.
//! [`run`] does it for a whole capture. [`output`] writes rows as JSON lines, CSV or a table; [`raw`] shows every field of every record by generic
//! decoding, whether Helios has a column for it or not.

mod cell;
mod output;
mod summary;
mod session;
mod elements;
mod raw;
pub mod run;

pub use cell::Cell;
pub use output::{Csv, JsonLines, Rows, Table};
pub use raw::Raw;
pub use session::Session;
pub use summary::Summary;
