//! Blocks of side tables, and the thread that makes them.
//!
//! Side rows are few: they are held as typed columns for some seconds and then encoded as one Arrow record batch. Closed,
//! a block is one like any other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow_buffer::Buffer;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use helios_common::side::queue::ReceivedRows;
use helios_common::side::{SideKind, SideReceiver, SideRow, SideRows, SideTable, Text, Value};

use crate::backlog::Backlog;
use crate::block::{Block, Tokens, compressed};
use crate::config::Compression;
use crate::ledgers::Ledgers;
use crate::schema::{Table, arrow, ddl};
use crate::spool::file::Head;
use crate::spool::{OpenFile, Spool};

/// Rows after which a block is closed: some 60 MB before compression. A flush interval of the largest networks brings a
/// quarter of them; only an outage fills a block.
const BLOCK_ROWS: usize = 250_000;

/// Every block is a part that ClickHouse has to merge, and side tables are read by the minute: they are flushed this
/// much less often than flows.
const FLUSH_INTERVALS: u32 = 5;

/// How long the thread waits at the least before it looks again at a block that cannot be closed yet, and how long while
/// there is no block.
const TICK: Duration = Duration::from_millis(50);
const IDLE_WAIT: Duration = Duration::from_secs(60);

/// Makes blocks of the rows of one side table.
///
/// A block is one ArrowStream, a piece for what came in a flush interval. With a spool a piece goes to the block's file
/// at once, as with flows: what is encoded survives a crash, however long the block stays open.
pub struct SideAssembler {
    table: SideTable,
    statement: Arc<str>,
    schema: Arc<Schema>,
    compression: Compression,
    tokens: Tokens,
    spool: Option<Arc<Spool>>,
    columns: Vec<Values>,
    /// Rows that are not encoded yet, and since when there are any.
    rows: usize,
    since: Option<Instant>,
    open: Option<Open>,
}

/// The open block, as far as it is encoded.
struct Open {
    stream: StreamWriter<Vec<u8>>,
    head: Head,
    /// What the spool has of it; `None` without a spool, or when it cannot be written.
    file: Option<OpenFile>,
    pieces: Vec<Bytes>,
    rows: u64,
}

impl SideAssembler {
    /// With a spool, blocks are written to it while they are filled.
    pub fn new(database: &str, table: SideTable, compression: Compression, spool: Option<Arc<Spool>>) -> Self {
        let columns = table.columns();
        let statement = ddl::insert_statement(database, Table::Side(table), columns.iter().map(|column| column.name));
        let fields = columns.iter().map(|column| Field::new(column.name, data_type(column.kind), false));
        Self {
            table,
            statement: statement.into(),
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            compression,
            tokens: Tokens::new(),
            spool,
            columns: columns.iter().map(|column| Values::new(column.kind)).collect(),
            rows: 0,
            since: None,
            open: None,
        }
    }

    /// Appends rows; a block that they fill is to be closed by the caller.
    pub fn append<R: SideRow>(&mut self, rows: &[R]) {
        debug_assert_eq!(R::TABLE, self.table);
        for row in rows {
            for (column, value) in self.columns.iter_mut().zip(row.values()) {
                column.push(value);
            }
        }
        self.rows += rows.len();
        if self.rows > 0 {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Rows of the open block.
    pub fn rows(&self) -> usize {
        self.rows + self.open.as_ref().map_or(0, |open| open.rows as usize)
    }

    /// How long the oldest row that is not encoded has waited; `None` if there is none.
    pub fn age(&self) -> Option<Duration> {
        self.since.map(|since| since.elapsed())
    }

    /// Whether something of the block is encoded already.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Encodes what has come, and so writes it to the spool.
    ///
    /// # Errors
    /// [`ArrowError`] if columns and schema do not fit together, which is a bug.
    pub fn encode(&mut self) -> Result<(), ArrowError> {
        if self.since.take().is_none() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let arrays: Result<Vec<ArrayRef>, ArrowError> = self.columns.iter_mut().map(|column| column.take()).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays?)?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        open.stream.write(&batch)?;
        open.add(rows as u32, self.compression);
        self.open = Some(open);
        Ok(())
    }

    fn begin(&mut self) -> Result<Open, ArrowError> {
        let (table, statement) = (Table::Side(self.table), self.statement.to_string());
        let head = Head { table, compression: self.compression, token: self.tokens.next(), statement };
        let file = self.spool.as_ref().and_then(|spool| spool.begin_if_room(&head));
        let stream = StreamWriter::try_new(Vec::new(), &self.schema)?;
        Ok(Open { stream, head, file, pieces: Vec::new(), rows: 0 })
    }

    /// Closes the open block, if it has rows.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn close(&mut self) -> Result<Option<Block>, ArrowError> {
        self.encode()?;
        let Some(mut open) = self.open.take() else { return Ok(None) };
        open.stream.finish()?;
        open.add(0, self.compression);
        Ok(Some(Block {
            table: open.head.table,
            statement: Arc::clone(&self.statement),
            token: open.head.token,
            rows: open.rows,
            octets: open.pieces.iter().map(|piece| piece.len() as u64).sum(),
            pieces: open.pieces,
            rollups: Vec::new(),
            compression: self.compression,
            arrivals: Vec::new(),
            kept: open.file.and_then(OpenFile::close),
        }))
    }
}

impl Open {
    /// Makes a piece of what the stream has written of `rows`.
    fn add(&mut self, rows: u32, compression: Compression) {
        let piece = compressed(std::mem::take(self.stream.get_mut()), compression);
        self.file = self.file.take().and_then(|file| file.append(rows, &[], &piece));
        self.pieces.push(piece);
        self.rows += u64::from(rows);
    }
}

/// The values of a column in the form that Arrow adopts.
enum Values {
    Enum(Vec<u8>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    Time(Vec<i64>),
    /// 16 octets a row.
    Address(Vec<u8>),
    Text(Vec<Text>),
}

impl Values {
    fn new(kind: SideKind) -> Self {
        match kind {
            SideKind::Enum(_) => Self::Enum(Vec::new()),
            SideKind::U32 => Self::U32(Vec::new()),
            SideKind::U64 => Self::U64(Vec::new()),
            SideKind::I64 => Self::I64(Vec::new()),
            SideKind::Time => Self::Time(Vec::new()),
            SideKind::Address => Self::Address(Vec::new()),
            SideKind::Text => Self::Text(Vec::new()),
        }
    }

    fn push(&mut self, value: Value) {
        match (self, value) {
            (Self::Enum(values), Value::Enum(value)) => values.push(value),
            (Self::U32(values), Value::U32(value)) => values.push(value),
            (Self::U64(values), Value::U64(value)) => values.push(value),
            (Self::I64(values), Value::I64(value)) => values.push(value),
            (Self::Time(values), Value::Time(value)) => values.push(value),
            (Self::Address(values), Value::Address(value)) => values.extend(value),
            (Self::Text(values), Value::Text(value)) => values.push(value),
            (_, value) => unreachable!("{value:?} in a column of another kind: one macro declares both"),
        }
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        use std::mem::take;
        Ok(match self {
            Self::Enum(values) => Arc::new(UInt8Array::from(take(values))),
            Self::U32(values) => Arc::new(UInt32Array::from(take(values))),
            Self::U64(values) => Arc::new(UInt64Array::from(take(values))),
            Self::I64(values) => Arc::new(Int64Array::from(take(values))),
            Self::Time(values) => Arc::new(TimestampMillisecondArray::from(take(values))),
            Self::Address(values) => {
                Arc::new(FixedSizeBinaryArray::try_new(arrow::WIDE, Buffer::from_vec(take(values)), None)?)
            }
            Self::Text(values) => Arc::new(StringArray::from_iter_values(take(values).iter().map(Text::to_text))),
        })
    }
}

fn data_type(kind: SideKind) -> DataType {
    match kind {
        SideKind::Enum(_) => DataType::UInt8,
        SideKind::U32 => DataType::UInt32,
        SideKind::U64 => DataType::UInt64,
        SideKind::I64 => DataType::Int64,
        SideKind::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
        SideKind::Address => DataType::FixedSizeBinary(arrow::WIDE),
        SideKind::Text => DataType::Utf8,
    }
}

/// What the thread `side-0` works with.
pub(crate) struct SideThread {
    pub input: SideReceiver,
    /// Indexed by [`SideTable`].
    pub assemblers: [SideAssembler; SideTable::ALL.len()],
    pub backlog: Arc<Backlog>,
    pub ledgers: Ledgers,
    pub flush_interval: Duration,
}

impl SideThread {
    pub(crate) fn run(mut self) {
        loop {
            match self.input.receive(self.wait()) {
                ReceivedRows::Rows(rows) => self.append(&rows),
                ReceivedRows::Quiet => {}
                ReceivedRows::Closed => break,
            }
            self.flush();
        }
        self.each(SideAssembler::close);
    }

    /// How long nothing falls due if no rows come.
    fn wait(&self) -> Duration {
        let left = |assembler: &SideAssembler| match assembler.is_open() {
            true => Some(TICK),
            false => assembler.age().map(|age| self.due().saturating_sub(age).max(TICK)),
        };
        self.assemblers.iter().filter_map(left).min().unwrap_or(IDLE_WAIT)
    }

    /// The age at which rows are flushed.
    fn due(&self) -> Duration {
        self.flush_interval * FLUSH_INTERVALS
    }

    /// Closes what is full or old enough, unless an earlier block of the table still waits: then the open one grows, so
    /// that an outage leaves few files and not one of every interval.
    fn flush(&mut self) {
        let due = self.due();
        let backlog = Arc::clone(&self.backlog);
        self.each(|assembler| {
            let is_old = assembler.age().is_some_and(|age| age >= due);
            if assembler.rows() >= BLOCK_ROWS {
                return assembler.close();
            }
            if !is_old && !assembler.is_open() {
                return Ok(None);
            }
            match backlog.is_busy(Table::Side(assembler.table), 1) {
                false => assembler.close(),
                true if is_old => assembler.encode().map(|()| None),
                true => Ok(None),
            }
        });
    }

    fn append(&mut self, rows: &SideRows) {
        let assembler = &mut self.assemblers[rows.table() as usize];
        match rows {
            SideRows::InterfaceCounters(rows) => assembler.append(rows),
            SideRows::Exporters(rows) => assembler.append(rows),
        }
    }

    fn each(&mut self, mut close: impl FnMut(&mut SideAssembler) -> Result<Option<Block>, ArrowError>) {
        for assembler in &mut self.assemblers {
            match close(assembler) {
                Ok(Some(block)) => {
                    self.ledgers.closed(&block);
                    self.backlog.push(block);
                }
                Ok(None) => {}
                // Columns and schema follow one declaration: this is a bug, and its rows stay in flight for all to see.
                Err(error) => tracing::error!(%error, "a block of a side table could not be closed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int64Type, UInt32Type};
    use arrow_ipc::reader::StreamReader;
    use helios_common::side::{ExporterMinute, InterfaceCounters};

    fn read_all(block: &Block) -> Vec<RecordBatch> {
        let stream = block.pieces.concat();
        StreamReader::try_new(&stream[..], None).unwrap().map(Result::unwrap).collect()
    }

    fn read(block: &Block) -> RecordBatch {
        read_all(block).swap_remove(0)
    }

    #[test]
    fn a_block_grows_piece_by_piece_and_is_one_stream() {
        let mut assembler = SideAssembler::new("t", SideTable::Exporters, Compression::None, None);
        for lost in 1..=3 {
            let row = ExporterMinute { lost, ..ExporterMinute::default() };
            assembler.append(&vec![row; lost as usize]);
            assembler.encode().unwrap();
            assert_eq!((assembler.age(), assembler.is_open()), (None, true));
        }
        assembler.append(&[ExporterMinute::default()]);
        assert_eq!(assembler.rows(), 7);
        let block = assembler.close().unwrap().unwrap();
        let rows: Vec<_> = read_all(&block).iter().map(RecordBatch::num_rows).collect();
        assert_eq!((block.rows, rows), (7, vec![1, 2, 3, 1]));
        assert_eq!((assembler.rows(), assembler.is_open()), (0, false));
        assembler.append(&[ExporterMinute::default()]);
        let next = assembler.close().unwrap().unwrap();
        assert_eq!((next.rows, read(&next).num_rows()), (1, 1), "the next block begins with a schema of its own");
        assert_ne!(next.token, block.token);
    }

    #[test]
    fn a_block_has_its_rows_typed_and_its_own_statement() {
        let mut assembler = SideAssembler::new("t", SideTable::InterfaceCounters, Compression::None, None);
        assert!(assembler.close().unwrap().is_none(), "no rows are no block");
        let name = Text::new(b"ge-0/0/1");
        let row = InterfaceCounters { if_index: 7, if_name: name, if_in_octets: 9, ..InterfaceCounters::default() };
        assembler.append(&[row, row]);
        let block = assembler.close().unwrap().unwrap();
        assert_eq!((block.rows, block.table), (2, Table::Side(SideTable::InterfaceCounters)));
        assert!(block.statement.starts_with("INSERT INTO t.interface_counters (received_at, "), "{}", block.statement);
        let batch = read(&block);
        assert_eq!(batch["if_index"].as_primitive::<UInt32Type>().values(), &[7, 7]);
        assert_eq!(batch["if_name"].as_string::<i32>().value(1), "ge-0/0/1");
        assert_eq!(batch["exporter_address"].as_fixed_size_binary().value(0), [0; 16]);
        assert_eq!((assembler.age(), assembler.close().unwrap().map(|block| block.rows)), (None, None));
    }

    #[test]
    fn differences_below_zero_stay_negative() {
        let mut assembler = SideAssembler::new("t", SideTable::Exporters, Compression::None, None);
        assembler.append(&[ExporterMinute { clock_skew_ms: -1500, ..ExporterMinute::default() }]);
        let batch = read(&assembler.close().unwrap().unwrap());
        assert_eq!(batch["clock_skew_ms"].as_primitive::<Int64Type>().values(), &[-1500]);
        assert_eq!(batch.num_columns(), SideTable::Exporters.columns().len());
        assert_eq!(batch["clock_skew_ms"].null_count(), 0);
    }
}
