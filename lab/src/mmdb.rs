//! Writes MaxMind DB files, so that tests, benches and the demo need no downloaded database.
//!
//! Source: MaxMind DB File Format Specification 2.0 (maxmind.github.io/MaxMind-DB). Integers have the types that
//! the caller gives them, since readers are strict about widths. IPv4 lies in `::/96` and is reachable through the
//! aliases that MaxMind's own files have. Networks may nest and come in any order; the longest one counts.
//!
//! It does not read or change existing files, and merges equal records only when the caller reuses a [`Record`].

mod data;
mod tree;

use std::io::Write;
use std::path::Path;
use std::{fs, io};

use data::Section;
pub use data::Value;
use helios_common::prefix::Prefix;
use tree::{Slot, Tree};

/// Stands between search tree and data section.
const SEPARATOR: [u8; 16] = [0; 16];
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// Build time of files that do not say otherwise: 2026-01-01 UTC. Equal input gives equal files.
const BUILD_EPOCH: u64 = 1_767_225_600;

/// A database that is being put together.
#[derive(Debug)]
pub struct Writer {
    database_type: String,
    build_epoch: u64,
    record_size: RecordSize,
    family: Family,
    data: Section,
    networks: Vec<(Prefix, Record)>,
}

/// Bits per pointer of the search tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordSize {
    /// Up to 2^24 nodes and octets of data.
    Bits24 = 24,
    /// Up to 2^28: what most databases have.
    Bits28 = 28,
    /// Up to 2^32.
    Bits32 = 32,
}

/// Which addresses the search tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 only: IPv6 networks are an error.
    V4 = 4,
    /// IPv6, with IPv4 in `::/96` and its aliases `::ffff:0:0/96`, `2002::/16` (6to4) and `2001::/32` (Teredo).
    V6 = 6,
}

/// Refers to a record of the [`Writer`] that gave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record(u32);

/// Why a database cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum WriteError {
    #[error("{networks} networks need larger pointers than {record_size} bits: choose a larger record size")]
    TooLarge { networks: usize, record_size: u16 },
    #[error("an IPv6 network cannot be written to an IPv4 database")]
    Ipv6Network,
}

impl Writer {
    /// An empty database of `database_type`, such as `GeoLite2-City`.
    pub fn new(database_type: &str) -> Self {
        Self {
            database_type: database_type.to_owned(),
            build_epoch: BUILD_EPOCH,
            record_size: RecordSize::Bits28,
            family: Family::V6,
            data: Section::default(),
            networks: Vec::new(),
        }
    }

    /// 28 bits if it is not called.
    pub fn record_size(mut self, record_size: RecordSize) -> Self {
        self.record_size = record_size;
        self
    }

    /// IPv6, which holds IPv4 as well, if it is not called.
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// Unix seconds at which the database says that it was built.
    pub fn build_epoch(mut self, build_epoch: u64) -> Self {
        self.build_epoch = build_epoch;
        self
    }

    /// Adds a record that any number of networks can have.
    pub fn record(&mut self, value: &Value) -> Record {
        Record(self.data.append(value))
    }

    /// Gives the record to a network; inside of it a longer prefix takes precedence, whatever the order.
    pub fn insert(&mut self, network: Prefix, record: Record) {
        self.networks.push((network, record));
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// Networks that the family or the record size has no room for.
    pub fn finish(mut self) -> Result<Vec<u8>, WriteError> {
        // Shorter networks first: a longer one then divides what it lies in and never the other way round.
        self.networks.sort_by_key(|(network, _)| network.bits());
        let mut tree = Tree::default();
        for (network, record) in &self.networks {
            let (path, bits) = self.family.path(*network)?;
            tree.insert(path, bits, Slot::Data(record.0));
        }
        if self.family == Family::V6 {
            tree.alias_ipv4();
        }
        let record_size = self.record_size as u16;
        let mut file =
            tree.encode(record_size).ok_or(WriteError::TooLarge { networks: self.networks.len(), record_size })?;
        let nodes = tree.len() as u32;
        file.extend(SEPARATOR);
        file.extend(self.data.into_bytes());
        file.extend(METADATA_MARKER);
        let metadata = metadata(&self.database_type, self.build_epoch, self.family as u16, record_size, nodes);
        file.extend(Section::single(&metadata));
        Ok(file)
    }

    /// Writes the file beside `path` and renames it, as geoipupdate does: no reader ever meets half a file.
    ///
    /// # Errors
    /// What [`finish`](Self::finish) finds, or the file system's error.
    pub fn write(self, path: &Path) -> io::Result<()> {
        let bytes = self.finish().map_err(io::Error::other)?;
        let unfinished = path.with_extension("mmdb.new");
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    }
}

impl Family {
    /// The way through the search tree: left-aligned bits and their number.
    fn path(self, network: Prefix) -> Result<(u128, u8), WriteError> {
        match (self, network.ipv4()) {
            (Self::V4, Some((start, bits))) => Ok((u128::from(start) << 96, bits)),
            (Self::V4, None) => Err(WriteError::Ipv6Network),
            (Self::V6, Some((start, bits))) => Ok((start.into(), 96 + bits)),
            (Self::V6, None) => Ok((network.start(), network.bits())),
        }
    }
}

fn metadata(database_type: &str, build_epoch: u64, ip_version: u16, record_size: u16, node_count: u32) -> Value {
    Value::map([
        ("binary_format_major_version", Value::U16(2)),
        ("binary_format_minor_version", Value::U16(0)),
        ("build_epoch", Value::U64(build_epoch)),
        ("database_type", Value::text(database_type)),
        ("description", Value::map([("en", Value::text("generated by helios"))])),
        ("ip_version", Value::U16(ip_version)),
        ("languages", Value::Array(vec![Value::text("en")])),
        ("node_count", Value::U32(node_count)),
        ("record_size", Value::U16(record_size)),
    ])
}

/// A record in the layout of GeoIP2 City and GeoLite2 City; without a city as in Country.
pub fn city_record(country: &str, city: Option<&str>) -> Value {
    let names = |name| Value::map([("names", Value::map([("en", Value::text(name))]))]);
    let country = ("country", Value::map([("iso_code", Value::text(country))]));
    match city {
        Some(city) => Value::map([("city", names(city)), country]),
        None => Value::map([country]),
    }
}

/// A record in the layout of GeoLite2 ASN.
pub fn asn_record(number: u32, organization: &str) -> Value {
    Value::map([
        ("autonomous_system_number", Value::U32(number)),
        ("autonomous_system_organization", Value::text(organization)),
    ])
}

#[cfg(test)]
mod tests;
