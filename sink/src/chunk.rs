//! Chunks: the columns of up to 64 k rows, on their way from batches to one Arrow record batch.
//!
//! Batches are appended column by column; a full chunk is written as messages from the memory in which it was gathered.
//! Names become keys of a dictionary that has only the names of this chunk: which key a name has is looked up in a dense
//! table by the name's id, so that no string is hashed or compared per row.

use std::sync::Arc;

use arrow_buffer::{ArrowNativeType, ToByteSlice};
use arrow_schema::Schema;
use helios_common::columns::{Column, ColumnData, ColumnKind};
use helios_common::flow::{ColumnSet, FlowBatch};
use helios_common::list::ListColumn;
use helios_common::names::{NameId, Names};

use crate::schema::arrow;
use crate::stream::{Body, Messages};

/// Rows of a chunk. Dictionary keys are 16 bits wide; smaller chunks cost ClickHouse 1.2 to 1.6 times as much to read.
pub const CHUNK_ROWS: usize = 65_536;

/// The columns of one record batch.
#[derive(Debug)]
pub struct Chunk {
    schema: Arc<Schema>,
    columns: Vec<Column>,
    /// One for each of `columns`.
    values: Vec<Values>,
    rows: usize,
    messages: Messages,
}

/// The values of one column, as Arrow lays them out.
#[derive(Debug)]
pub(crate) enum Values {
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
pub(crate) struct Lists<T> {
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
pub(crate) struct NameKeys {
    keys: Vec<u16>,
    /// The name of each key.
    names: Vec<NameId>,
    /// By name id: in which chunk the name was last met, and its key there.
    known: Vec<(u32, u16)>,
    /// Counts chunks, so that `known` need not be cleared.
    chunk: u32,
    /// The names as Arrow lays out strings: where each ends, from 0, and the octets of all.
    offsets: Vec<i32>,
    text: Vec<u8>,
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
    pub(crate) fn extend(&mut self, mut names: &[NameId]) {
        self.keys.reserve(names.len());
        while let Some(&name) = names.first() {
            let (same, rest) = names.split_at(equal_at_front(names));
            let key = self.key(name);
            self.keys.extend(same.iter().map(|_| key));
            names = rest;
        }
    }

    /// Lays out the strings of the dictionary.
    fn spell(&mut self, names: &Names) {
        self.offsets.clear();
        self.text.clear();
        self.offsets.push(0);
        let names = names.read();
        for &id in &self.names {
            self.text.extend_from_slice(names.get(id).as_bytes());
            self.offsets.push(self.text.len() as i32);
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

/// How many names at the front are the same, which may be all of them: compared sixteen at a time.
fn equal_at_front(names: &[NameId]) -> usize {
    const WIDTH: usize = 16;
    let [first, second, ..] = *names else { return names.len() };
    if first != second {
        return 1;
    }
    let (groups, _) = names.as_chunks::<WIDTH>();
    let differs = |group: &[NameId; WIDTH]| group.iter().fold(0, |bits, name| bits | (name ^ first)) != 0;
    let equal = groups.iter().position(differs).unwrap_or(groups.len()) * WIDTH;
    equal + names[equal..].iter().position(|&name| name != first).unwrap_or(names.len() - equal)
}

impl Chunk {
    /// An empty chunk for blocks that carry `columns`.
    pub fn new(columns: ColumnSet) -> Self {
        Self {
            schema: Arc::new(arrow::schema(columns)),
            columns: columns.iter().collect(),
            values: columns.iter().map(|column| Values::new(column.spec().kind)).collect(),
            rows: 0,
            messages: Messages::default(),
        }
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that still fit.
    pub fn room(&self) -> usize {
        CHUNK_ROWS - self.rows
    }

    /// Appends rows `from..to` of a sealed batch. Columns that the chunk has and the batch has not are defaults.
    pub fn append(&mut self, batch: &FlowBatch, from: usize, to: usize) {
        let rows = self.rows + (to - from);
        for (column, values) in self.columns.iter().zip(&mut self.values) {
            values.append(batch.data(*column), from, to);
            values.pad(rows);
        }
        self.rows = rows;
    }

    /// Octets that the rows take without compression, about.
    pub fn octets(&self) -> usize {
        self.values.iter().map(Values::octets).sum()
    }

    /// Writes the rows as messages of an ArrowStream, a column at a time, and empties the chunk, keeping its memory.
    pub fn flush(&mut self, names: &Names, write: &mut dyn FnMut(&[u8])) {
        write_rows(&mut self.values, self.rows, names, &mut self.messages, write);
        self.rows = 0;
    }
}

/// Writes `rows` of columns as the messages of a record batch, its dictionaries first, and empties the columns, keeping
/// their memory.
pub(crate) fn write_rows(
    columns: &mut [Values],
    rows: usize,
    names: &Names,
    messages: &mut Messages,
    write: &mut dyn FnMut(&[u8]),
) {
    let mut dictionaries = 0;
    for values in columns.iter_mut() {
        let Values::Names(column) = values else { continue };
        column.spell(names);
        let mut body = Body::default();
        body.array(column.names.len());
        body.buffer(column.offsets.to_byte_slice());
        body.buffer(&column.text);
        // The schema numbers its dictionaries in the order of the columns.
        messages.dictionary(dictionaries, column.names.len(), &body, write);
        dictionaries += 1;
    }
    let mut body = Body::default();
    for values in columns.iter() {
        values.lay_out(rows, &mut body);
    }
    messages.record_batch(rows, &body, write);
    columns.iter_mut().for_each(Values::clear);
}

impl Values {
    pub(crate) fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::U8 | ColumnKind::Enum(_) => Self::U8(Vec::new()),
            ColumnKind::U16 => Self::U16(Vec::new()),
            ColumnKind::U32 => Self::U32(Vec::new()),
            ColumnKind::U64 | ColumnKind::Mac => Self::U64(Vec::new()),
            ColumnKind::Time => Self::Time(Vec::new()),
            ColumnKind::Address => Self::Wide(Vec::new()),
            ColumnKind::Name => Self::Names(NameKeys { chunk: 1, ..NameKeys::default() }),
            ColumnKind::U32List => Self::U32List(Lists::default()),
            ColumnKind::U128List => Self::WideList(Lists::default()),
        }
    }

    /// Appends the rows `from..to`, as far as the batch's column reaches.
    pub(crate) fn append(&mut self, data: &ColumnData, from: usize, to: usize) {
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

    /// Adds the column's array to a message.
    fn lay_out<'a>(&'a self, rows: usize, body: &mut Body<'a>) {
        body.array(rows);
        match self {
            Self::U8(values) => body.buffer(values),
            Self::U16(values) => body.buffer(values.to_byte_slice()),
            Self::U32(values) => body.buffer(values.to_byte_slice()),
            Self::U64(values) => body.buffer(values.to_byte_slice()),
            Self::Time(values) => body.buffer(values.to_byte_slice()),
            Self::Wide(values) => body.buffer(values),
            Self::Names(column) => body.buffer(column.keys.to_byte_slice()),
            Self::U32List(lists) => lists.lay_out(1, body),
            Self::WideList(lists) => lists.lay_out(arrow::WIDE as usize, body),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::U8(values) | Self::Wide(values) => values.clear(),
            Self::U16(values) => values.clear(),
            Self::U32(values) => values.clear(),
            Self::U64(values) => values.clear(),
            Self::Time(values) => values.clear(),
            Self::Names(column) => column.clear(),
            Self::U32List(lists) => lists.clear(),
            Self::WideList(lists) => lists.clear(),
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

    /// `width` are the values that make an item.
    fn lay_out<'a>(&'a self, width: usize, body: &mut Body<'a>) {
        body.buffer(self.offsets.to_byte_slice());
        body.array(self.items.len() / width);
        body.buffer(self.items.to_byte_slice());
    }

    fn clear(&mut self) {
        self.offsets.truncate(1);
        self.items.clear();
    }
}

/// The part of a column that rows `from..to` have; what is missing is default.
fn part<T>(values: &[T], from: usize, to: usize) -> &[T] {
    values.get(from..to.min(values.len())).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{UInt16Type, UInt32Type, UInt64Type};
    use arrow_array::{Array, RecordBatch};
    use arrow_ipc::reader::StreamReader;
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

    /// The chunk as Arrow's own reader reads it back.
    fn flushed(chunk: &mut Chunk, names: &Names) -> RecordBatch {
        let mut stream = stream::schema(chunk.schema()).unwrap();
        chunk.flush(names, &mut |octets| stream.extend_from_slice(octets));
        StreamReader::try_new(&stream[..], None).unwrap().next().unwrap().unwrap()
    }

    #[test]
    fn columns_that_a_batch_lacks_are_defaults() {
        let names = Names::new();
        let mut chunk = Chunk::new(columns());
        chunk.append(&batch(7, names.intern("CH")), 0, 2);
        chunk.append(&FlowBatch::new(), 0, 0);
        let batch = flushed(&mut chunk, &names);
        assert_eq!(batch["bytes"].as_primitive::<UInt64Type>().values(), &[7, 7]);
        assert_eq!(batch["src_addr"].as_fixed_size_binary().value(1), [0; 16]);
        let labels = batch["mpls_labels"].as_list::<i32>();
        assert_eq!(labels.value(0).as_primitive::<UInt32Type>().values(), &[16, 17]);
        assert_eq!(labels.value(1).len(), 0);
        let communities = batch["large_communities"].as_list::<i32>();
        assert_eq!(communities.value(0).as_fixed_size_binary().value(0), [1; 16]);
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
            let batch = flushed(&mut chunk, &names);
            let column = batch["src_country"].as_dictionary::<UInt16Type>();
            let known: Vec<_> = column.values().as_string::<i32>().iter().flatten().collect();
            let expected: &[&str] = if countries[0] == ch { &["CH", "DE"] } else { &["DE"] };
            assert_eq!(known, expected);
        }
    }

    #[test]
    fn every_row_of_a_column_keeps_its_name_whatever_the_runs() {
        let names = Names::new();
        let ids: Vec<_> = ["a", "b", "c"].iter().map(|name| names.intern(name)).collect();
        // Runs around the width of a comparison, and single rows.
        let runs = [1, 2, 15, 16, 17, 31, 32, 33, 1, 1, 1, 64, 3];
        let rows: Vec<NameId> = runs.iter().enumerate().flat_map(|(n, run)| vec![ids[n % 3]; *run]).collect();
        let mut keys = NameKeys { chunk: 1, ..NameKeys::default() };
        for part in rows.chunks(50) {
            keys.extend(part);
        }
        let read: Vec<NameId> = keys.keys.iter().map(|&key| keys.names[usize::from(key)]).collect();
        assert_eq!(read, rows);
        assert_eq!(keys.names.len(), 3, "each name has one key");
    }

    #[test]
    fn memory_stays() {
        let names = Names::new();
        let mut chunk = Chunk::new(columns());
        chunk.append(&batch(1, 0), 0, 2);
        chunk.flush(&names, &mut |_| ());
        let kept = chunk.values.iter().all(|values| match values {
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
        assert_eq!(flushed(&mut chunk, &names)["bytes"].as_primitive::<UInt64Type>().values(), &[4, 5, 6]);
    }
}
