//! The wire laboratory: everything that makes, stores, sends and shows export packets, beside the pipeline.
//!
//! [`capture`] reads and writes capture files. [`simulate`] is a network of exporters, [`replay`] sends what a capture
//! holds; both send through [`send`]. [`decode`] shows what the collector's own decoder makes of datagrams. [`mmdb`]
//! writes the GeoIP databases of demonstrations, tests and benches.
//!
//! Nothing here runs in `helios run`.

#![deny(missing_docs, unreachable_pub)]

pub mod capture;
pub mod decode;
pub mod send;
pub mod replay;
pub mod simulate;
pub mod mmdb;
