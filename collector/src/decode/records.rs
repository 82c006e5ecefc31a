//! The records of a data set, addressed by row and field.
//!
//! Records of fixed length are strides over the set. Records with variable-length fields (RFC 7011 §7) are
//! located once, row by row, into a table of positions; the plans then run over them column by column as well.

use super::DecodeError;
use super::cursor::Cursor;
use super::template::{Field, VARIABLE_LENGTH};

/// Records that a plan can run over.
pub trait Records {
    type Fields<'a>: Fields
    where
        Self: 'a;

    fn len(&self) -> usize;

    /// The same field of every record.
    fn field(&self, field: usize) -> Self::Fields<'_>;

    /// One field of one record.
    fn octets(&self, row: usize, field: usize) -> &[u8];

    /// A field as a big-endian integer.
    fn unsigned(&self, row: usize, field: usize) -> u64 {
        super::plan::unsigned(self.octets(row, field))
    }
}

/// One field of every record, in the order of the records.
pub trait Fields {
    /// The width if it is the same in all records.
    fn width(&self) -> Option<usize>;

    fn octets(&self) -> impl Iterator<Item = &[u8]>;

    /// The fields as arrays; a field of another length is cut, or padded with zeros at its end.
    fn arrays<const N: usize>(&self) -> impl Iterator<Item = [u8; N]>;
}

/// Where a field of fixed length lies in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub offset: u16,
    pub width: u16,
}

/// Records of one length, back to back.
#[derive(Debug, Clone, Copy)]
pub struct FixedRecords<'a> {
    data: &'a [u8],
    stride: usize,
    places: &'a [Place],
}

impl<'a> FixedRecords<'a> {
    /// `places` are the fields of a record of `stride` octets; what is left behind the last record is padding.
    pub fn new(data: &'a [u8], stride: usize, places: &'a [Place]) -> Self {
        let whole = data.len() - data.len() % stride.max(1);
        Self { data: data.get(..whole).unwrap_or(data), stride: stride.max(1), places }
    }

    pub fn record(&self, row: usize) -> &'a [u8] {
        self.data.get(row * self.stride..(row + 1) * self.stride).unwrap_or(&[])
    }
}

impl<'a> Records for FixedRecords<'a> {
    type Fields<'b>
        = FixedFields<'a>
    where
        Self: 'b;

    fn len(&self) -> usize {
        self.data.len() / self.stride
    }

    fn field(&self, field: usize) -> FixedFields<'a> {
        let place = self.places.get(field).copied().unwrap_or(Place { offset: 0, width: 0 });
        FixedFields { data: self.data, stride: self.stride, offset: place.offset as usize, width: place.width as usize }
    }

    fn octets(&self, row: usize, field: usize) -> &[u8] {
        let Some(place) = self.places.get(field) else { return &[] };
        let start = row * self.stride + place.offset as usize;
        self.data.get(start..start + place.width as usize).unwrap_or(&[])
    }
}

/// A field of [`FixedRecords`].
#[derive(Debug, Clone, Copy)]
pub struct FixedFields<'a> {
    data: &'a [u8],
    stride: usize,
    offset: usize,
    width: usize,
}

impl Fields for FixedFields<'_> {
    fn width(&self) -> Option<usize> {
        Some(self.width)
    }

    fn octets(&self) -> impl Iterator<Item = &[u8]> {
        let Self { offset, width, .. } = *self;
        self.data.chunks_exact(self.stride).map(move |record| record.get(offset..offset + width).unwrap_or(&[]))
    }

    fn arrays<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        let Self { offset, width, .. } = *self;
        self.data.chunks_exact(self.stride).map(move |record| {
            let octets = record.get(offset..offset + width).unwrap_or(&[]);
            octets.first_chunk().copied().unwrap_or_else(|| padded(octets))
        })
    }
}

/// Positions of all fields of all records of a set; kept and reused from set to set.
#[derive(Debug, Default)]
pub struct Positions {
    spans: Vec<(u32, u32)>,
    fields: usize,
}

impl Positions {
    /// Walks the records of a set whose template has variable-length fields.
    ///
    /// Ends at the first record that does not fit: octets fewer than the shortest record are padding, more than
    /// that is an error.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when a field's length runs past the set.
    pub fn locate(&mut self, data: &[u8], fields: &[Field], min_record: usize) -> Result<(), DecodeError> {
        self.spans.clear();
        self.fields = fields.len();
        let mut cursor = Cursor::new(data);
        while cursor.remaining() >= min_record.max(1) {
            for field in fields {
                let length = if field.length == VARIABLE_LENGTH {
                    match cursor.u8()? {
                        255 => usize::from(cursor.u16()?),
                        short => usize::from(short),
                    }
                } else {
                    usize::from(field.length)
                };
                let start = data.len() - cursor.remaining();
                cursor.skip(length)?;
                self.spans.push((start as u32, (start + length) as u32));
            }
        }
        Ok(())
    }

    /// Keeps the records for which `keep` says so.
    pub fn copy_rows(&mut self, from: &LocatedRecords<'_>, keep: impl Fn(usize) -> bool) {
        self.spans.clear();
        self.fields = from.positions.fields;
        for row in (0..from.len()).filter(|&row| keep(row)) {
            let start = row * self.fields;
            self.spans.extend_from_slice(from.positions.spans.get(start..start + self.fields).unwrap_or(&[]));
        }
    }
}

/// Records with variable-length fields.
#[derive(Debug, Clone, Copy)]
pub struct LocatedRecords<'a> {
    pub data: &'a [u8],
    pub positions: &'a Positions,
}

impl<'a> Records for LocatedRecords<'a> {
    type Fields<'b>
        = LocatedFields<'a>
    where
        Self: 'b;

    fn len(&self) -> usize {
        self.positions.spans.len() / self.positions.fields.max(1)
    }

    fn field(&self, field: usize) -> LocatedFields<'a> {
        LocatedFields { records: *self, field }
    }

    fn octets(&self, row: usize, field: usize) -> &[u8] {
        let span = self.positions.spans.get(row * self.positions.fields + field);
        span.and_then(|&(start, end)| self.data.get(start as usize..end as usize)).unwrap_or(&[])
    }
}

/// A field of [`LocatedRecords`].
#[derive(Debug, Clone, Copy)]
pub struct LocatedFields<'a> {
    records: LocatedRecords<'a>,
    field: usize,
}

impl Fields for LocatedFields<'_> {
    fn width(&self) -> Option<usize> {
        None
    }

    fn octets(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.records.len()).map(|row| self.records.octets(row, self.field))
    }

    fn arrays<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        self.octets().map(|octets| octets.first_chunk().copied().unwrap_or_else(|| padded(octets)))
    }
}

fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(octets) {
        *to = *from;
    }
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::ie::iana;

    const FIELDS: [Field; 2] = [Field { ie: iana(96), length: VARIABLE_LENGTH }, Field { ie: iana(4), length: 1 }];

    #[test]
    fn short_long_and_empty_variable_lengths_are_located() {
        let mut data = vec![2, b'a', b'b', 6]; // "ab", proto 6
        data.extend([0, 17]); // the empty string, proto 17
        data.extend([255, 1, 0]); // 256 octets in the long form
        data.extend([b'x'; 256]);
        data.push(1);
        data.push(0); // one octet of padding
        let mut positions = Positions::default();
        positions.locate(&data, &FIELDS, 2).unwrap();
        let records = LocatedRecords { data: &data, positions: &positions };
        assert_eq!(records.len(), 3);
        assert_eq!((records.octets(0, 0), records.unsigned(0, 1)), (&b"ab"[..], 6));
        assert_eq!((records.octets(1, 0), records.unsigned(1, 1)), (&b""[..], 17));
        assert_eq!((records.octets(2, 0).len(), records.unsigned(2, 1)), (256, 1));
    }

    #[test]
    fn a_length_past_the_set_is_an_error() {
        let mut positions = Positions::default();
        assert_eq!(positions.locate(&[9, b'a', 6], &FIELDS, 2), Err(DecodeError::Truncated));
    }

    #[test]
    fn octets_behind_the_last_whole_record_are_padding() {
        let places = [Place { offset: 0, width: 2 }, Place { offset: 2, width: 1 }];
        let records = FixedRecords::new(&[0, 1, 6, 0, 2, 17, 0, 0], 3, &places);
        assert_eq!(records.len(), 2);
        let ports: Vec<[u8; 2]> = records.field(0).arrays().collect();
        assert_eq!(ports, [[0, 1], [0, 2]]);
        assert_eq!(records.unsigned(1, 1), 17);
    }
}
