//! Chunks: the columns of up to 64 k rows, on their way from batches to one Arrow record batch.
//!
//! Batches are appended column by column. Arrow then takes the vectors as they are, without a copy, and gives them
//! back for the next chunk. Names become keys of a dictionary that has only the names of this chunk: which key a
//! name has is looked up in a dense table by the name's id, so that no string is hashed or compared per row.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_buffer::{ArrowNativeType, Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, Schema};
use helios_common::columns::{Column, ColumnData, Kind};
use helios_common::flow::{ColumnSet, FlowBatch};
use helios_common::list::ListColumn;
use helios_common::names::{NameId, Names};

use crate::schema::arrow;

/// Rows of a chunk. Dictionary keys are 16 bits wide; smaller chunks cost ClickHouse 1.2 to 1.6 times as much to read.
pub const CHUNK_ROWS: usize = 65_536;

/// The columns of one record batch.
#[derive(Debug)]
pub struct Chunk {
    schema: Arc<Schema>,
    columns: Vec<(Column, Values)>,
    rows: usize,
}

/// The values of one column, in the form in which Arrow takes them.
#[derive(Debug)]
enum Values {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    Time(Vec<i64>),
    /// 16 octets a row.
    Wide(Vec<u8>),
    Names(NameKeys),
    U32List(Lists<u32>),
    /// 16 octets an item.
    WideList(Lists<u8>),
}

/// Offsets (one more than rows, from 0) and items of a list column.
#[derive(Debug)]
struct Lists<T> {
    offsets: Vec<i32>,
    items: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { offsets: vec![0], items: Vec::new() }
    }
}

/// Dictionary keys of the rows, and which names the keys stand for.
#[derive(Debug, Default)]
struct NameKeys {
    keys: Vec<u16>,
    /// The name of each key.
    names: Vec<NameId>,
    /// By name id: in which chunk the name was last met, and its key there.
    known: Vec<(u32, u16)>,
    /// Counts chunks, so that `known` need not be cleared.
    chunk: u32,
}

impl NameKeys {
    fn key(&mut self, name: NameId) -> u16 {
        let at = name as usize;
        if self.known.len() <= at {
            self.known.resize(at + 1, (0, 0));
        }
        let (chunk, key) = self.known[at];
        if chunk == self.chunk {
            return key;
        }
        let key = self.names.len() as u16;
        self.names.push(name);
        self.known[at] = (self.chunk, key);
        key
    }

    /// Appends rows: of equal names in a row, which is the rule, only the first is looked up.
    fn extend(&mut self, names: &[NameId]) {
        let mut last = None;
        self.keys.reserve(names.len());
        for &name in names {
            let key = match last {
                Some((same, key)) if same == name => key,
                _ => self.key(name),
            };
            last = Some((name, key));
            self.keys.push(key);
        }
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.names.clear();
        // Chunk 0 is what entries of `known` begin with. After 4 billion chunks all are forgotten.
        self.chunk = self.chunk.checked_add(1).unwrap_or_else(|| {
            self.known.clear();
            1
        });
    }
}

impl Chunk {
    /// An empty chunk for blocks that carry `columns`.
    pub fn new(columns: ColumnSet) -> Self {
        let values = columns.iter().map(|column| (column, Values::new(column.spec().kind))).collect();
        Self { schema: Arc::new(arrow::schema(columns)), columns: values, rows: 0 }
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that still fit.
    pub fn room(&self) -> usize {
        CHUNK_ROWS - self.rows
    }

    /// Appends rows `from..to` of a sealed batch. Columns that the chunk has and the batch has not are defaults.
    pub fn append(&mut self, batch: &FlowBatch, from: usize, to: usize) {
        let rows = self.rows + (to - from);
        for (column, values) in &mut self.columns {
            values.append(batch.data(*column), from, to);
            values.pad(rows);
        }
        self.rows = rows;
    }

    /// Octets that the rows take without compression, about.
    pub fn octets(&self) -> usize {
        self.columns.iter().map(|(_, values)| values.octets()).sum()
    }

    /// Passes the rows as a record batch to `write` and empties the chunk, keeping its memory.
    ///
    /// # Errors
    /// What `write` says, or [`ArrowError`] if columns and schema do not fit together, which is a bug.
    pub fn flush(
        &mut self,
        names: &Names,
        write: impl FnOnce(&RecordBatch) -> Result<(), ArrowError>,
    ) -> Result<(), ArrowError> {
        let mut taken = Vec::with_capacity(self.columns.len());
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (_, values) in &mut self.columns {
            let (array, buffers) = values.take(names)?;
            arrays.push(array);
            taken.push(buffers);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)?;
        let result = write(&batch);
        drop(batch);
        for ((_, values), buffers) in self.columns.iter_mut().zip(taken) {
            values.give_back(buffers);
        }
        self.rows = 0;
        result
    }
}

/// References to the memory that Arrow holds while a record batch is written.
#[derive(Debug)]
struct Lent(Buffer, Option<Buffer>);

impl Values {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::U8 | Kind::Enum(_) => Self::U8(Vec::new()),
            Kind::U16 => Self::U16(Vec::new()),
            Kind::U32 => Self::U32(Vec::new()),
            Kind::U64 | Kind::Mac => Self::U64(Vec::new()),
            Kind::Time => Self::Time(Vec::new()),
            Kind::Address => Self::Wide(Vec::new()),
            Kind::Name => Self::Names(NameKeys { chunk: 1, ..NameKeys::default() }),
            Kind::U32List => Self::U32List(Lists::default()),
            Kind::U128List => Self::WideList(Lists::default()),
        }
    }

    /// Appends the rows `from..to`, as far as the batch's column reaches.
    fn append(&mut self, data: &ColumnData, from: usize, to: usize) {
        match (self, data) {
            (Self::U8(mine), ColumnData::U8(theirs)) => mine.extend_from_slice(part(theirs, from, to)),
            (Self::U16(mine), ColumnData::U16(theirs)) => mine.extend_from_slice(part(theirs, from, to)),
            (Self::U32(mine), ColumnData::U32(theirs)) => mine.extend_from_slice(part(theirs, from, to)),
            (Self::U64(mine), ColumnData::U64(theirs)) => mine.extend_from_slice(part(theirs, from, to)),
            (Self::Time(mine), ColumnData::I64(theirs)) => mine.extend_from_slice(part(theirs, from, to)),
            (Self::Wide(mine), ColumnData::Octets16(theirs)) => {
                mine.extend_from_slice(part(theirs, from, to).as_flattened());
            }
            (Self::Names(mine), ColumnData::U32(theirs)) => mine.extend(part(theirs, from, to)),
            (Self::U32List(mine), ColumnData::U32List(theirs)) => {
                mine.append(theirs, from, to, |items, list| items.extend_from_slice(list));
            }
            (Self::WideList(mine), ColumnData::U128List(theirs)) => {
                mine.append(theirs, from, to, |items, list| items.extend_from_slice(list.as_flattened()));
            }
            (mine, theirs) => unreachable!("a chunk column {mine:?} was given {theirs:?}: both follow one table"),
        }
    }

    /// Fills up to `rows` with defaults.
    fn pad(&mut self, rows: usize) {
        match self {
            Self::U8(values) => values.resize(rows, 0),
            Self::U16(values) => values.resize(rows, 0),
            Self::U32(values) => values.resize(rows, 0),
            Self::U64(values) => values.resize(rows, 0),
            Self::Time(values) => values.resize(rows, 0),
            Self::Wide(values) => values.resize(rows * arrow::WIDE as usize, 0),
            Self::Names(names) if names.keys.len() < rows => {
                let empty = names.key(helios_common::names::NO_NAME);
                names.keys.resize(rows, empty);
            }
            Self::Names(_) => {}
            Self::U32List(lists) => lists.pad(rows),
            Self::WideList(lists) => lists.pad(rows),
        }
    }

    fn octets(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len() * 2,
            Self::U32(values) => values.len() * 4,
            Self::U64(values) => values.len() * 8,
            Self::Time(values) => values.len() * 8,
            Self::Wide(values) => values.len(),
            Self::Names(names) => names.keys.len() * 2,
            Self::U32List(lists) => lists.offsets.len() * 4 + lists.items.len() * 4,
            Self::WideList(lists) => lists.offsets.len() * 4 + lists.items.len(),
        }
    }

    /// Lends the column's memory to an array.
    fn take(&mut self, names: &Names) -> Result<(ArrayRef, Lent), ArrowError> {
        Ok(match self {
            Self::U8(values) => primitive::<UInt8Type>(values),
            Self::U16(values) => primitive::<UInt16Type>(values),
            Self::U32(values) => primitive::<UInt32Type>(values),
            Self::U64(values) => primitive::<UInt64Type>(values),
            Self::Time(values) => primitive::<TimestampMillisecondType>(values),
            Self::Wide(values) => {
                let buffer = Buffer::from_vec(std::mem::take(values));
                let array = FixedSizeBinaryArray::try_new(arrow::WIDE, buffer.clone(), None)?;
                (Arc::new(array), Lent(buffer, None))
            }
            Self::Names(column) => {
                let (keys, lent) = scalar::<UInt16Type>(&mut column.keys);
                let names = names.read();
                let dictionary = StringArray::from_iter_values(column.names.iter().map(|&id| names.get(id)));
                (Arc::new(DictionaryArray::try_new(keys, Arc::new(dictionary))?), lent)
            }
            Self::U32List(lists) => {
                let (items, Lent(items_buffer, _)) = primitive::<UInt32Type>(&mut lists.items);
                lists.take(Kind::U32List, items, items_buffer)?
            }
            Self::WideList(lists) => {
                let buffer = Buffer::from_vec(std::mem::take(&mut lists.items));
                let items = FixedSizeBinaryArray::try_new(arrow::WIDE, buffer.clone(), None)?;
                lists.take(Kind::U128List, Arc::new(items), buffer)?
            }
        })
    }

    /// Takes the memory back, emptied.
    fn give_back(&mut self, Lent(buffer, second): Lent) {
        match self {
            Self::U8(values) => *values = emptied(buffer),
            Self::U16(values) => *values = emptied(buffer),
            Self::U32(values) => *values = emptied(buffer),
            Self::U64(values) => *values = emptied(buffer),
            Self::Time(values) => *values = emptied(buffer),
            Self::Wide(values) => *values = emptied(buffer),
            Self::Names(names) => {
                names.keys = emptied(buffer);
                names.clear();
            }
            Self::U32List(lists) => lists.give_back(buffer, second),
            Self::WideList(lists) => lists.give_back(buffer, second),
        }
    }
}

impl<T: ArrowNativeType> Lists<T> {
    fn append<I: Copy>(&mut self, lists: &ListColumn<I>, from: usize, to: usize, extend: impl Fn(&mut Vec<T>, &[I])) {
        let octets_per_item = size_of::<I>() / size_of::<T>();
        for row in from..to.min(lists.len()) {
            extend(&mut self.items, lists.get(row));
            self.offsets.push((self.items.len() / octets_per_item) as i32);
        }
    }

    fn pad(&mut self, rows: usize) {
        let end = self.offsets.last().copied().unwrap_or(0);
        self.offsets.resize(rows + 1, end);
    }

    fn take(&mut self, kind: Kind, items: ArrayRef, items_buffer: Buffer) -> Result<(ArrayRef, Lent), ArrowError> {
        let offsets = Buffer::from_vec(std::mem::take(&mut self.offsets));
        let array =
            ListArray::try_new(arrow::item(kind), OffsetBuffer::new(ScalarBuffer::from(offsets.clone())), items, None)?;
        Ok((Arc::new(array), Lent(offsets, Some(items_buffer))))
    }

    fn give_back(&mut self, offsets: Buffer, items: Option<Buffer>) {
        self.offsets = emptied(offsets);
        self.offsets.push(0);
        self.items = items.map(emptied).unwrap_or_default();
    }
}

/// The part of a column that rows `from..to` have; what is missing is default.
fn part<T>(values: &[T], from: usize, to: usize) -> &[T] {
    values.get(from..to.min(values.len())).unwrap_or(&[])
}

fn scalar<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>) -> (PrimitiveArray<T>, Lent) {
    let buffer = Buffer::from_vec(std::mem::take(values));
    (PrimitiveArray::new(ScalarBuffer::from(buffer.clone()), None), Lent(buffer, None))
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>) -> (ArrayRef, Lent) {
    let (array, lent) = scalar::<T>(values);
    (Arc::new(array), lent)
}

/// The vector that a buffer was made from, if nobody else holds it any more.
fn emptied<T: ArrowNativeType>(buffer: Buffer) -> Vec<T> {
    let mut values = buffer.into_vec().unwrap_or_default();
    values.clear();
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use helios_common::columns::{BYTES, LARGE_COMMUNITIES, MPLS_LABELS, SRC_ADDR, SRC_COUNTRY};
    use helios_common::exporter::ExporterId;

    fn columns() -> ColumnSet {
        let mut set = ColumnSet::default();
        for column in
            [BYTES.column(), SRC_ADDR.column(), MPLS_LABELS.column(), LARGE_COMMUNITIES.column(), SRC_COUNTRY.column()]
        {
            set.insert(column);
        }
        set
    }

    fn batch(bytes: u64, country: NameId) -> FlowBatch {
        let mut batch = FlowBatch::new();
        batch.fill(BYTES, 2, bytes);
        batch.fill(SRC_COUNTRY, 2, country);
        batch.open_list(MPLS_LABELS).push([16, 17]);
        batch.open_list(LARGE_COMMUNITIES).push([[1; 16]]);
        batch.advance(2, ExporterId(0));
        batch.seal();
        batch
    }

    #[test]
    fn columns_that_a_batch_lacks_are_defaults() {
        let names = Names::new();
        let mut chunk = Chunk::new(columns());
        chunk.append(&batch(7, names.intern("CH")), 0, 2);
        chunk.append(&FlowBatch::new(), 0, 0);
        chunk
            .flush(&names, |batch| {
                assert_eq!(batch["bytes"].as_primitive::<UInt64Type>().values(), &[7, 7]);
                assert_eq!(batch["src_addr"].as_fixed_size_binary().value(1), [0; 16]);
                let labels = batch["mpls_labels"].as_list::<i32>();
                assert_eq!(labels.value(0).as_primitive::<UInt32Type>().values(), &[16, 17]);
                assert_eq!(labels.value(1).len(), 0);
                assert_eq!(
                    batch["large_communities"].as_list::<i32>().value(0).as_fixed_size_binary().value(0),
                    [1; 16]
                );
                Ok(())
            })
            .unwrap();
        assert_eq!(chunk.rows(), 0);
    }

    #[test]
    fn a_dictionary_has_the_names_of_its_chunk_and_each_once() {
        let names = Names::new();
        let (ch, de) = (names.intern("CH"), names.intern("DE"));
        let mut chunk = Chunk::new(columns());
        for countries in [[ch, de, ch], [de, de, de]] {
            for country in countries {
                chunk.append(&batch(1, country), 0, 2);
            }
            chunk
                .flush(&names, |batch| {
                    let column = batch["src_country"].as_dictionary::<UInt16Type>();
                    let known: Vec<_> = column.values().as_string::<i32>().iter().flatten().collect();
                    let expected: &[&str] = if countries[0] == ch { &["CH", "DE"] } else { &["DE"] };
                    assert_eq!(known, expected);
                    Ok(())
                })
                .unwrap();
        }
    }

    #[test]
    fn memory_comes_back_from_arrow() {
        let names = Names::new();
        let mut chunk = Chunk::new(columns());
        chunk.append(&batch(1, 0), 0, 2);
        chunk.flush(&names, |_| Ok(())).unwrap();
        let kept = chunk.columns.iter().all(|(_, values)| match values {
            Values::U64(values) => values.capacity() > 0,
            Values::Wide(values) => values.capacity() > 0,
            Values::Names(names) => names.keys.capacity() > 0,
            Values::U32List(lists) => lists.items.capacity() > 0,
            Values::WideList(lists) => lists.items.capacity() > 0,
            _ => true,
        });
        assert!(kept);
    }

    #[test]
    fn part_of_a_batch_can_be_appended() {
        let names = Names::new();
        let mut batch = FlowBatch::new();
        batch.open(BYTES).extend(0..10);
        batch.advance(10, ExporterId(0));
        batch.seal();
        let mut chunk = Chunk::new(columns());
        chunk.append(&batch, 4, 7);
        chunk
            .flush(&names, |batch| {
                assert_eq!(batch["bytes"].as_primitive::<UInt64Type>().values(), &[4, 5, 6]);
                Ok(())
            })
            .unwrap();
    }
}
