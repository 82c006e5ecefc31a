//! Strings from the wire into interned names.

use helios_common::exporter::Address;
use helios_common::names::{MAX_NAME_BYTES, NO_NAME, NameId, Names};

/// Interns wire strings and remembers the last one: consecutive records mostly carry the same.
#[derive(Debug)]
pub struct Texts<'a> {
    names: &'a Names,
    memo: &'a mut Memo,
    /// The exporter, and the names from the wire, of all exporters, beyond which this one adds none.
    source: Address,
    max_names: usize,
}

/// The last string and its id, kept over messages.
#[derive(Debug, Default)]
pub struct Memo {
    octets: Vec<u8>,
    id: NameId,
}

impl<'a> Texts<'a> {
    pub fn new(names: &'a Names, memo: &'a mut Memo, source: Address, max_names: usize) -> Self {
        // One that there was no room for is asked for anew: other exporters may add what this one may not.
        if memo.id == NO_NAME {
            memo.octets.clear();
        }
        Self { names, memo, source, max_names }
    }

    /// The id of a UTF-8 string (RFC 7011 §6.1.6). Fields of fixed length are padded with NUL, behind which some devices
    /// leave what their buffer held before. Octets that are no UTF-8 are replaced, as far as they fit into a name.
    pub fn intern(&mut self, octets: &[u8]) -> NameId {
        let end = octets.iter().position(|&octet| octet == 0).unwrap_or(octets.len());
        let octets = octets.get(..end.min(MAX_NAME_BYTES)).unwrap_or(octets);
        if self.memo.octets != octets {
            let text = String::from_utf8_lossy(octets);
            self.memo.id = self.names.intern_wire(text.trim(), self.source, self.max_names);
            self.memo.octets.clear();
            self.memo.octets.extend_from_slice(octets);
        }
        self.memo.id
    }
}
