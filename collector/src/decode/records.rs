//! The records of a data set, addressed by row and field.
//!
//! Records of fixed length are strides over the set. Records with variable-length fields (RFC 7011 §7) are
//! located once, row by row, into a table of positions; the plans then run over them column by column as well.
//!
//! An iterator knows how many fields it has: columns reserve once per set and are then written without a check.

use std::slice::ChunksExact;

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
        super::cursor::unsigned(self.octets(row, field))
    }
}

/// One field of every record, in the order of the records.
pub trait Fields {
    /// The width if it is the same in all records.
    fn width(&self) -> Option<usize>;

    fn octets(&self) -> impl Iterator<Item = &[u8]>;

    /// Fields that are `N` octets wide in all records; has no meaning for others.
    fn arrays<const N: usize>(&self) -> impl Iterator<Item = [u8; N]>;
}

/// Where a field of fixed length lies in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub offset: u16,
    pub width: u16,
}

/// Records of one length, back to back.
#[derive(Debug, Clone)]
pub(super) struct FixedRecords<'a> {
    records: ChunksExact<'a, u8>,
    places: &'a [Place],
}

impl<'a> FixedRecords<'a> {
    /// `places` are the fields of a record of `stride` octets; what is left behind the last record is padding.
    pub(super) fn new(data: &'a [u8], stride: usize, places: &'a [Place]) -> Self {
        Self { records: data.chunks_exact(stride.max(1)), places }
    }

    pub(super) fn record(&self, row: usize) -> &'a [u8] {
        self.records.clone().nth(row).unwrap_or(&[])
    }
}

impl<'a> Records for FixedRecords<'a> {
    type Fields<'b>
        = FixedFields<'a>
    where
        Self: 'b;

    fn len(&self) -> usize {
        self.records.len()
    }

    #[inline]
    fn field(&self, field: usize) -> FixedFields<'a> {
        let place = self.places.get(field).copied().unwrap_or(Place { offset: 0, width: 0 });
        FixedFields { records: self.records.clone(), offset: place.offset as usize, width: place.width as usize }
    }

    fn octets(&self, row: usize, field: usize) -> &[u8] {
        let Some(place) = self.places.get(field) else { return &[] };
        let start = place.offset as usize;
        self.record(row).get(start..start + place.width as usize).unwrap_or(&[])
    }
}

/// A field of [`FixedRecords`].
#[derive(Debug, Clone)]
pub(super) struct FixedFields<'a> {
    records: ChunksExact<'a, u8>,
    offset: usize,
    width: usize,
}

impl Fields for FixedFields<'_> {
    #[inline]
    fn width(&self) -> Option<usize> {
        Some(self.width)
    }

    fn octets(&self) -> impl Iterator<Item = &[u8]> {
        let Self { offset, width, .. } = *self;
        self.records.clone().map(move |record| record.get(offset..offset + width).unwrap_or(&[]))
    }

    #[inline]
    fn arrays<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        let offset = self.offset;
        self.records
            .clone()
            .map(move |record| record.get(offset..).and_then(|octets| octets.first_chunk()).copied().unwrap_or([0; N]))
    }
}

/// Where the fields of a set's records lie; kept and reused from set to set.
///
/// A field of variable length splits a record: what lies behind it begins elsewhere in every record. Fields between
/// two splits are at the same distance from the split in all of them, so a record needs a position per split, not per
/// field, and fields of fixed length stay as cheap as they are in [`FixedRecords`].
#[derive(Debug, Default)]
pub(super) struct Positions {
    fields: Vec<Position>,
    /// Octets of fixed length in front of each field of variable length, then those behind the last one.
    fixed_octets: Vec<u16>,
    /// Per record: where it begins, then where each field of variable length begins and ends.
    splits: Vec<u32>,
}

/// Steps over `before` octets of fixed length and the field of variable length behind them; tells `split` where that
/// begins and ends.
#[inline]
fn variable(cursor: &mut Cursor<'_>, before: u16, mut split: impl FnMut(&Cursor<'_>)) -> Result<(), DecodeError> {
    cursor.skip(usize::from(before))?;
    let length = match cursor.u8()? {
        255 => usize::from(cursor.u16()?),
        short => usize::from(short),
    };
    split(cursor);
    cursor.skip(length)?;
    split(cursor);
    Ok(())
}

/// Where a field lies, by the splits of its record.
#[derive(Debug, Clone, Copy)]
enum Position {
    /// `place` counts from this split on.
    Fixed { split: usize, place: Place },
    /// From this split to the next one.
    Variable { split: usize },
}

impl Positions {
    /// Walks the records of a set whose template has variable-length fields.
    ///
    /// Ends at the first record that does not fit: octets fewer than the shortest record are padding, more than
    /// that is an error. The records in front of it are located all the same.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when a field's length runs past the set.
    pub(super) fn locate(&mut self, data: &[u8], fields: &[Field], min_record: usize) -> Result<(), DecodeError> {
        self.place(fields);
        self.splits.clear();
        let (last, before) = self.fixed_octets.split_last().unwrap_or((&0, &[]));
        let mut cursor = Cursor::new(data);
        let position = |cursor: &Cursor<'_>| (data.len() - cursor.remaining()) as u32;
        while cursor.remaining() >= min_record.max(1) {
            let whole = self.splits.len();
            self.splits.push(position(&cursor));
            let mut located = Ok(());
            for octets in before {
                located = variable(&mut cursor, *octets, |cursor| self.splits.push(position(cursor)));
                if located.is_err() {
                    break;
                }
            }
            if let Err(error) = located.and_then(|()| cursor.skip(usize::from(*last))) {
                self.splits.truncate(whole);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Lays the fields of a template out between the splits.
    fn place(&mut self, fields: &[Field]) {
        self.fields.clear();
        self.fixed_octets.clear();
        let mut offset = 0;
        for field in fields {
            let split = 2 * self.fixed_octets.len();
            if field.length == VARIABLE_LENGTH {
                self.fields.push(Position::Variable { split: split + 1 });
                self.fixed_octets.push(offset);
                offset = 0;
            } else {
                self.fields.push(Position::Fixed { split, place: Place { offset, width: field.length } });
                offset = offset.saturating_add(field.length);
            }
        }
        self.fixed_octets.push(offset);
    }

    /// Splits of a record.
    fn n_splits(&self) -> usize {
        (2 * self.fixed_octets.len()).saturating_sub(1).max(1)
    }

    /// Keeps the records for which `keep` says so.
    pub(super) fn copy_rows(&mut self, from: &LocatedRecords<'_>, keep: impl Fn(usize) -> bool) {
        self.fields.clone_from(&from.positions.fields);
        self.fixed_octets.clone_from(&from.positions.fixed_octets);
        self.splits.clear();
        let records = from.positions.splits.chunks_exact(self.n_splits());
        for (_, splits) in records.enumerate().filter(|(row, _)| keep(*row)) {
            self.splits.extend_from_slice(splits);
        }
    }
}

/// Records with variable-length fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocatedRecords<'a> {
    pub data: &'a [u8],
    pub positions: &'a Positions,
}

impl<'a> LocatedRecords<'a> {
    fn splits(&self) -> ChunksExact<'a, u32> {
        self.positions.splits.chunks_exact(self.positions.n_splits())
    }
}

impl<'a> Records for LocatedRecords<'a> {
    type Fields<'b>
        = LocatedFields<'a>
    where
        Self: 'b;

    fn len(&self) -> usize {
        self.splits().len()
    }

    fn field(&self, field: usize) -> LocatedFields<'a> {
        let nowhere = Position::Fixed { split: 0, place: Place { offset: 0, width: 0 } };
        let position = self.positions.fields.get(field).copied().unwrap_or(nowhere);
        LocatedFields { data: self.data, splits: self.splits(), position }
    }

    fn octets(&self, row: usize, field: usize) -> &[u8] {
        let fields = self.field(field);
        fields.splits.clone().nth(row).map_or(&[], |splits| fields.octets_of(splits))
    }
}

/// A field of [`LocatedRecords`].
#[derive(Debug, Clone)]
pub(super) struct LocatedFields<'a> {
    data: &'a [u8],
    splits: ChunksExact<'a, u32>,
    position: Position,
}

impl<'a> LocatedFields<'a> {
    fn octets_of(&self, splits: &[u32]) -> &'a [u8] {
        let at = |split: usize| splits.get(split).map_or(0, |&start| start as usize);
        let (start, end) = match self.position {
            Position::Fixed { split, place } => {
                let start = at(split) + usize::from(place.offset);
                (start, start + usize::from(place.width))
            }
            Position::Variable { split } => (at(split), at(split + 1)),
        };
        self.data.get(start..end).unwrap_or(&[])
    }
}

impl Fields for LocatedFields<'_> {
    fn width(&self) -> Option<usize> {
        match self.position {
            Position::Fixed { place, .. } => Some(usize::from(place.width)),
            Position::Variable { .. } => None,
        }
    }

    fn octets(&self) -> impl Iterator<Item = &[u8]> {
        self.splits.clone().map(|splits| self.octets_of(splits))
    }

    fn arrays<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        let (split, offset) = match self.position {
            Position::Fixed { split, place } => (split, usize::from(place.offset)),
            Position::Variable { split } => (split, 0),
        };
        let data = self.data;
        self.splits.clone().map(move |splits| {
            let start = splits.get(split).map_or(0, |&start| start as usize) + offset;
            data.get(start..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
        })
    }
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
