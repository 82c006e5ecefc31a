//! `FlowBatch`: rows of flows as columns.
//!
//! A batch is written one message at a time and travels whole from stage to stage. Its columns may be shorter
//! than the batch: rows beyond a column's end hold its default. So a decoder pays only for the columns that a
//! template fills, and a column that nobody wrote is empty, costs nothing and is left out of the block.
//!
//! Writing goes by rows that are *open*: append values to columns, then [`FlowBatch::advance`] makes the rows
//! part of the batch. [`FlowBatch::mark`] and [`FlowBatch::truncate`] take a malformed message back.

use crate::columns::{Col, Column, ColumnData, Item, Value, each_column};
use crate::exporter::ExporterId;

/// Rows per batch. 4 to 8 k rows of the usual columns stay in a core's L2 cache, which made the decoders 1.3 to
/// 1.5 times as fast as batches of 64 k.
pub const BATCH_ROWS: usize = 8192;

/// Octets of lists (AS paths, communities, MPLS labels) for each row that a batch may have: 16 numbers. Rows of a BGP router
/// have about ten of them.
pub const LIST_OCTETS_PER_ROW: usize = 64;

/// Rows of flows, one vector a column.
#[derive(Debug, Clone)]
pub struct FlowBatch {
    rows: usize,
    columns: Vec<ColumnData>,
    runs: Vec<Run>,
}

/// Consecutive rows of one exporter: what is looked up per exporter is looked up once per run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The exporter of the rows.
    pub exporter: ExporterId,
    /// One past the last row of the run.
    pub end: u32,
}

/// The length of a batch at some moment, see [`FlowBatch::truncate`].
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    rows: usize,
    runs: usize,
}

/// A set of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColumnSet(u128);

impl ColumnSet {
    /// Adds a column.
    pub fn insert(&mut self, column: Column) {
        self.0 |= 1 << column.0;
    }

    /// Whether the column is in the set.
    pub fn contains(self, column: Column) -> bool {
        self.0 & (1 << column.0) != 0
    }

    /// The columns of either set.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all columns of the other set are in this one.
    pub fn is_superset(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The columns, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Column> {
        Column::all().filter(move |&column| self.contains(column))
    }
}

impl Default for FlowBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl FlowBatch {
    /// A batch without rows.
    pub fn new() -> Self {
        let columns = Column::all().map(|column| ColumnData::new(column.spec().kind)).collect();
        Self { rows: 0, columns, runs: Vec::new() }
    }

    /// How many rows the batch has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Octets that a row with a value in every column takes, lists without their values.
    pub fn row_octets() -> usize {
        Column::all().map(|column| column.spec().kind.octets()).sum()
    }

    /// Whether the batch has `rows` rows, or lists that take as much as [`LIST_OCTETS_PER_ROW`] allows for so many.
    ///
    /// A message of one row may bring a list of 64 KiB: rows alone would not bound the memory of a batch.
    pub fn is_full(&self, rows: usize) -> bool {
        self.rows >= rows || self.list_octets() >= rows * LIST_OCTETS_PER_ROW
    }

    /// Octets of the values of all lists.
    fn list_octets(&self) -> usize {
        self.columns.iter().map(ColumnData::list_octets).sum()
    }

    /// Whether the batch has no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The values of a column; shorter than [`rows`](Self::rows) where the rest is default.
    pub fn values<T: Value>(&self, col: Col<T>) -> &[T] {
        T::of(self.data(col.column()))
    }

    /// The value at `row`, the default beyond the column's end.
    pub fn get<T: Value>(&self, col: Col<T>, row: usize) -> T {
        self.values(col).get(row).copied().unwrap_or_default()
    }

    /// What was appended to a column in the open rows, without defaults behind it.
    pub fn open_values<T: Value>(&self, col: Col<T>) -> &[T] {
        self.values(col).get(self.rows..).unwrap_or(&[])
    }

    /// The list at `row`.
    pub fn list<T: Item>(&self, col: Col<T>, row: usize) -> &[T] {
        T::of(self.data(col.column())).get(row)
    }

    /// The values of a column; they may be fewer than the rows, and the rest is the default.
    pub fn data(&self, column: Column) -> &ColumnData {
        &self.columns[column.0 as usize]
    }

    /// The column with defaults up to the open rows: append the values of the open rows to it.
    #[inline]
    pub fn open<T: Value>(&mut self, col: Col<T>) -> &mut Vec<T> {
        let rows = self.rows;
        let values = T::of_mut(&mut self.columns[col.column().0 as usize]);
        if values.len() < rows {
            values.resize(rows, T::default());
        }
        values
    }

    /// The values of `n` open rows, defaults where nothing was appended yet.
    #[inline]
    pub fn open_slice<T: Value>(&mut self, col: Col<T>, n: usize) -> &mut [T] {
        let rows = self.rows;
        let values = T::of_mut(&mut self.columns[col.column().0 as usize]);
        if values.len() < rows + n {
            values.resize(rows + n, T::default());
        }
        &mut values[rows..rows + n]
    }

    /// The values of `n` open rows of two columns, as [`open_slice`](Self::open_slice) gives those of one.
    ///
    /// # Panics
    /// When both are the same column.
    pub fn open_slices<A: Value, B: Value>(&mut self, a: Col<A>, b: Col<B>, n: usize) -> (&mut [A], &mut [B]) {
        let rows = self.rows;
        let columns = [a.column(), b.column()].map(|column| usize::from(column.0));
        let [a, b] = self.columns.get_disjoint_mut(columns).expect("two columns of the table");
        let (a, b) = (A::of_mut(a), B::of_mut(b));
        if a.len() < rows + n {
            a.resize(rows + n, A::default());
        }
        if b.len() < rows + n {
            b.resize(rows + n, B::default());
        }
        (&mut a[rows..rows + n], &mut b[rows..rows + n])
    }

    /// Sets a column to `value` in `n` open rows, over whatever they held.
    #[inline]
    pub fn fill<T: Value>(&mut self, col: Col<T>, n: usize, value: T) {
        let rows = self.rows;
        let values = self.open(col);
        values.truncate(rows);
        values.resize(rows + n, value);
    }

    /// Sets the value of the first open row.
    pub fn set<T: Value>(&mut self, col: Col<T>, value: T) {
        let rows = self.rows;
        let values = self.open(col);
        match values.get_mut(rows) {
            Some(present) => *present = value,
            None => values.push(value),
        }
    }

    /// The list column with empty lists up to the open rows: push the lists of the open rows to it.
    pub fn open_list<T: Item>(&mut self, col: Col<T>) -> &mut ListOf<T> {
        let rows = self.rows;
        let lists = T::of_mut(&mut self.columns[col.column().0 as usize]);
        lists.pad(rows);
        lists
    }

    /// Makes `n` open rows part of the batch, as flows of `exporter`.
    pub fn advance(&mut self, n: usize, exporter: ExporterId) {
        if n == 0 {
            return;
        }
        self.rows += n;
        debug_assert!(
            self.columns.iter().all(|data| each_column!(data, values => values.len()) <= self.rows),
            "a column is longer than the batch"
        );
        let end = self.rows as u32;
        match self.runs.last_mut() {
            Some(run) if run.exporter == exporter => run.end = end,
            _ => self.runs.push(Run { exporter, end }),
        }
    }

    /// Runs of rows by exporter, in order; together they cover the batch.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Fills every column that holds anything up to the batch's length: the form in which stages pass batches on.
    pub fn seal(&mut self) {
        let rows = self.rows;
        for data in &mut self.columns {
            each_column!(data, values => if !values.is_empty() { Pad::pad(values, rows) });
        }
    }

    /// The columns that hold anything.
    pub fn present(&self) -> ColumnSet {
        let mut set = ColumnSet::default();
        for (column, data) in Column::all().zip(&self.columns) {
            if !each_column!(data, values => values.is_empty()) {
                set.insert(column);
            }
        }
        set
    }

    /// A place to which [`truncate`](Self::truncate) goes back.
    pub fn mark(&self) -> Mark {
        Mark { rows: self.rows, runs: self.runs.len() }
    }

    /// Takes back every row since `mark`, open ones included.
    pub fn truncate(&mut self, mark: Mark) {
        self.rows = mark.rows;
        for data in &mut self.columns {
            each_column!(data, values => values.truncate(mark.rows));
        }
        self.runs.truncate(mark.runs);
        if let Some(run) = self.runs.last_mut() {
            run.end = mark.rows as u32;
        }
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.truncate(Mark { rows: 0, runs: 0 });
    }
}

type ListOf<T> = crate::list::ListColumn<T>;

/// Extends a column with defaults.
trait Pad {
    fn pad(&mut self, rows: usize);
}

impl<T: Value> Pad for Vec<T> {
    fn pad(&mut self, rows: usize) {
        if self.len() < rows {
            self.resize(rows, T::default());
        }
    }
}

impl<T: Item> Pad for ListOf<T> {
    fn pad(&mut self, rows: usize) {
        ListOf::pad(self, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{AS_PATH, BYTES, MPLS_LABELS, PACKETS, SRC_AS};

    const A: ExporterId = ExporterId(1);
    const B: ExporterId = ExporterId(2);

    #[test]
    fn a_column_that_was_skipped_catches_up_with_defaults() {
        let mut batch = FlowBatch::new();
        batch.open(BYTES).extend([10, 20]);
        batch.advance(2, A);
        batch.open(BYTES).push(30);
        batch.open(PACKETS).push(3);
        batch.advance(1, A);
        assert_eq!(batch.values(PACKETS), [0, 0, 3]);
        assert_eq!((batch.get(SRC_AS, 2), batch.values(SRC_AS).len()), (0, 0));
        assert!(!batch.present().contains(SRC_AS.column()));
    }

    #[test]
    fn sealing_pads_what_is_present_and_nothing_else() {
        let mut batch = FlowBatch::new();
        batch.open(BYTES).push(1);
        batch.open_list(MPLS_LABELS).push([16, 17]);
        batch.advance(1, A);
        batch.advance(2, B);
        batch.seal();
        assert_eq!(batch.values(BYTES), [1, 0, 0]);
        assert_eq!((batch.list(MPLS_LABELS, 0), batch.list(MPLS_LABELS, 2)), (&[16, 17][..], &[][..]));
        assert!(batch.values(PACKETS).is_empty());
        assert_eq!(batch.runs(), [Run { exporter: A, end: 1 }, Run { exporter: B, end: 3 }]);
    }

    #[test]
    fn truncating_to_a_mark_takes_back_open_and_closed_rows() {
        let mut batch = FlowBatch::new();
        batch.fill(BYTES, 2, 7);
        batch.advance(2, A);
        let mark = batch.mark();
        batch.fill(BYTES, 3, 8);
        batch.advance(3, A);
        batch.fill(PACKETS, 1, 9);
        batch.truncate(mark);
        assert_eq!((batch.rows(), batch.values(BYTES), batch.values(PACKETS)), (2, &[7, 7][..], &[0, 0][..]));
        assert_eq!(batch.runs(), [Run { exporter: A, end: 2 }]);
    }

    #[test]
    fn set_and_fill_overwrite_open_rows() {
        let mut batch = FlowBatch::new();
        batch.set(BYTES, 1);
        batch.set(BYTES, 2);
        batch.open_slice(PACKETS, 1)[0] = 5;
        batch.fill(PACKETS, 1, 6);
        batch.advance(1, A);
        assert_eq!((batch.get(BYTES, 0), batch.get(PACKETS, 0)), (2, 6));
    }

    /// The longest list that a message may bring fills a batch, however few rows there are.
    #[test]
    fn long_lists_fill_a_batch_before_its_rows_do() {
        let mut batch = FlowBatch::new();
        let most = 100 * LIST_OCTETS_PER_ROW / size_of::<u32>();
        batch.open_list(AS_PATH).push(vec![1; most - 1]);
        batch.advance(1, ExporterId(0));
        assert!(!batch.is_full(100));
        batch.open_list(AS_PATH).push([1]);
        batch.advance(1, ExporterId(0));
        assert!(batch.is_full(100) && !batch.is_full(101));
        batch.clear();
        batch.fill(BYTES, 100, 1);
        batch.advance(100, ExporterId(0));
        assert!(batch.is_full(100) && !batch.is_full(101));
    }
}
