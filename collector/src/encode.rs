//! The inverse of the decoders: values to octets, one module per wire version.
//!
//! `helios simulate`, the tests, the fuzz targets and the benches write their messages with it. Nothing here does
//! I/O, reads a clock or keeps state: sequence numbers, templates to announce and times are the caller's.
//!
//! Everything is appended to a `Vec<u8>` of the caller, which keeps its memory from message to message; nothing is
//! allocated per record. A message's counts and lengths are right after every call, so there is no call to finish
//! one. The writers write what they are told, also what no device would send: that is what tests need.
//!
//! [`packet`] builds the packets that sFlow samples and IPFIX frame sections carry.

pub mod ipfix;
pub mod netflow1;
pub mod netflow5;
pub mod netflow7;
pub mod netflow9;
pub mod packet;
mod set;
pub mod flows;
pub mod sflow5;

pub use crate::decode::template::{Field, VARIABLE_LENGTH};

use helios_common::ie::{Ie, iana};

/// Appends big-endian integers and octets: the counterpart of [`Cursor`](crate::decode::cursor::Cursor).
pub trait Put {
    /// Appends octets as they are.
    fn put(&mut self, octets: &[u8]);

    /// Appends one octet.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Appends 2 octets.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// Appends 4 octets.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Appends 8 octets.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    /// A value of a variable-length field (RFC 7011 §7): one octet of length below 255, three from there on.
    ///
    /// # Panics
    /// When `octets` is longer than the length can tell, 65,535.
    fn put_variable(&mut self, octets: &[u8]) {
        match u8::try_from(octets.len()) {
            Ok(length) if length < 255 => self.put_u8(length),
            _ => {
                self.put_u8(255);
                self.put_u16(u16::try_from(octets.len()).expect("a field is shorter than 64 KiB"));
            }
        }
        self.put(octets);
    }

    /// A value of a fixed-length string field: cut, or filled with zeros, to `length`.
    fn put_text(&mut self, text: &str, length: usize) {
        let taken = text.len().min(length);
        self.put(text.as_bytes().get(..taken).unwrap_or_default());
        for _ in taken..length {
            self.put_u8(0);
        }
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }
}

/// A field of IANA's registry, or of NetFlow v9.
pub const fn field(id: u16, length: u16) -> Field {
    Field { ie: iana(id), length }
}

/// A field of an enterprise's own (RFC 7011 §3.2).
pub const fn enterprise_field(pen: u32, id: u16, length: u16) -> Field {
    Field { ie: Ie { pen, id }, length }
}

/// The first 16 octets of a NetFlow v1, v5 or v7 message: version, count, sysUptime, seconds and nanoseconds of the export.
fn put_head(version: u16, count: u16, times: [u32; 3], out: &mut Vec<u8>) {
    out.put_u16(version);
    out.put_u16(count);
    times.into_iter().for_each(|time| out.put_u32(time));
}

/// Appends a NetFlow v1, v5 or v7 message: a header of no records, then the records, then their number in the header.
///
/// # Panics
/// When there are more than 65,535 records.
fn counted<T>(
    header: impl FnOnce(&mut Vec<u8>),
    records: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let count_at = out.len() + 2;
    header(out);
    let mut count = 0;
    for record in records {
        write(record, out);
        count += 1;
    }
    patch_u16(out, count_at, count);
}

/// Overwrites two octets that were written as a placeholder.
fn patch_u16(out: &mut [u8], at: usize, value: usize) {
    let value = u16::try_from(value).expect("a message is shorter than 64 KiB");
    out[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Overwrites four octets that were written as a placeholder.
fn patch_u32(out: &mut [u8], at: usize, value: usize) {
    let value = u32::try_from(value).expect("a message is shorter than 4 GiB");
    out[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_length_takes_one_octet_below_255_and_three_from_there() {
        let mut out = Vec::new();
        out.put_variable(b"");
        out.put_variable(&[7; 254]);
        assert_eq!((out[0], out[1], out.len()), (0, 254, 256));
        out.clear();
        out.put_variable(&[7; 255]);
        assert_eq!((&out[..3], out.len()), (&[255, 0, 255][..], 258));
    }

    #[test]
    fn text_is_cut_or_filled_to_its_field() {
        let mut out = Vec::new();
        out.put_text("Gi0/1", 8);
        out.put_text("GigabitEthernet0/1", 8);
        assert_eq!(out, b"Gi0/1\0\0\0GigabitE");
    }
}
