//! Blocks: what one insert carries, and how batches become one.
//!
//! A block is a whole ArrowStream: schema, then a dictionary and record batch per chunk of 64 k rows, then the end
//! marker. Every chunk is encoded and compressed as soon as it is full, so that an open block holds its bytes and not
//! its rows. A closed block never changes: it is sent with the same bytes and the same token until it is stored.
//!
//! A block carries only columns that this process has ever seen hold anything, ClickHouse fills the others with their
//! defaults. A batch with a new column closes the block; the next one is that much wider.
//!
//! With a spool, every encoded chunk goes to the block's file at once: a crash costs the rows of the open chunk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_schema::ArrowError;
use bytes::Bytes;
use helios_common::columns::RECEIVED_AT;
use helios_common::flow::{ColumnSet, FlowBatch};
use helios_common::names::Names;
use helios_common::time::UnixMs;

use crate::buffers::Pool;
use crate::chunk::{CHUNK_ROWS, Chunk};
use crate::config::{BLOCK_ROWS_MAX, Compression};
use crate::frame::Framer;
use crate::rollup::{Rollup, Rollups};
use crate::schema::{Table, ddl};
use crate::spool::file::Head;
use crate::spool::{Kept, OpenFile, Spool};
use crate::stream;

/// A closed block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Where its rows go, and in whose accounts they are.
    pub table: Table,
    /// The statement that the bytes are the data of; it names the columns.
    pub statement: Arc<str>,
    /// What ClickHouse recognises a repeated insert by.
    pub token: String,
    /// Of `table`, without those of the rollups.
    pub rows: u64,
    /// The body, compressed as configured.
    pub pieces: Vec<Bytes>,
    /// What its rows add up to in the rollups: sent with it.
    pub rollups: Vec<Rollup>,
    /// Of the body and the rollups.
    pub octets: u64,
    /// How `pieces` and the rollups are compressed.
    pub compression: Compression,
    /// Arrival of the first row of every batch of flows, and how many rows it had: what latency is measured from.
    pub arrivals: Vec<(UnixMs, u32)>,
    /// Where the spool holds it, if it does.
    pub kept: Option<Kept>,
}

helios_metrics::label_set! {
    /// Why a block was closed.
    pub enum CloseReason {
        Rows = "rows",
        Octets = "bytes",
        Age = "age",
        /// A batch had a column that the block does not carry.
        Columns = "columns",
        Drain = "drain",
    }
}

/// When a block is full, and how it is written.
#[derive(Debug, Clone, Copy)]
pub struct BlockLimits {
    /// At most [`BLOCK_ROWS_MAX`](crate::config::BLOCK_ROWS_MAX).
    pub rows: u64,
    /// Before compression.
    pub octets: u64,
    /// Of the whole body.
    pub compression: Compression,
}

/// What encoding cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeCosts {
    /// Without those of rollups.
    pub rows: u64,
    /// Octets of ArrowStream before compression.
    pub octets_plain: u64,
    /// Octets as they are sent, after compression.
    pub octets_written: u64,
    /// Nanoseconds spent with writing ArrowStream, without compression.
    pub encode_ns: u64,
    /// Nanoseconds spent with compression.
    pub compress_ns: u64,
    /// Rows of rollups, and nanoseconds spent with making them.
    pub rollup_rows: u64,
    /// Nanoseconds, compression of the rollups included.
    pub rollup_ns: u64,
}

/// Makes blocks of batches.
pub struct Assembler {
    limits: BlockLimits,
    names: Arc<Names>,
    database: String,
    tokens: Tokens,
    columns: ColumnSet,
    open: Option<Open>,
    /// What the last block was made with.
    workspace: Option<Workspace>,
    output: Output,
    rollups: Rollups,
    spool: Option<Arc<Spool>>,
    chunk_rows: usize,
    /// Of all blocks so far.
    pub costs: EncodeCosts,
}

/// Rows, and arrivals of theirs.
#[derive(Debug, Clone, Copy, Default)]
struct Encoded {
    rows: u64,
    arrivals: usize,
}

/// A block that the disk did not take is tried again after so long.
const REFILE_INTERVAL: Duration = Duration::from_secs(1);

/// What a block is made with, and the next one of the same columns after it.
struct Workspace {
    columns: ColumnSet,
    chunk: Chunk,
    /// The beginning of the stream.
    schema: Vec<u8>,
}

/// Where encoded chunks become pieces.
struct Output {
    framer: Framer,
    pool: Pool,
}

/// The open block.
struct Open {
    workspace: Workspace,
    /// When the chunk got its first row.
    chunk_since: Instant,
    head: Head,
    /// What the spool has of the block; `None` without a spool, or when it cannot be written.
    file: Option<OpenFile>,
    /// When the spool was last tried.
    filed_at: Instant,
    /// Rows and arrivals that the spool has.
    filed: Encoded,
    /// Those that the pieces have.
    encoded: Encoded,
    pieces: Vec<Bytes>,
    rows: u64,
    octets_plain: u64,
    octets: u64,
    arrivals: Vec<(UnixMs, u32)>,
    since: Instant,
}

impl Assembler {
    /// Blocks go to the table `flows` of `database`.
    pub fn new(database: String, limits: BlockLimits, names: Arc<Names>) -> Self {
        let rollups = Rollups::new(&database);
        Self {
            limits,
            names,
            database,
            rollups,
            tokens: Tokens::new(),
            columns: ColumnSet::default(),
            open: None,
            spool: None,
            chunk_rows: CHUNK_ROWS,
            workspace: None,
            output: Output { framer: Framer::new(limits.compression), pool: Pool::default() },
            costs: EncodeCosts::default(),
        }
    }

    /// Writes every block to the spool while it is filled, in chunks of at most `chunk_rows`.
    pub fn with_spool(mut self, spool: Arc<Spool>, chunk_rows: usize) -> Self {
        self.chunk_rows = chunk_rows.clamp(1, CHUNK_ROWS);
        self.spool = Some(spool);
        self
    }

    /// Encodes the open chunk, and so writes it to the spool, if its first row has waited for `limit`.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn encode_older_than(&mut self, limit: Duration) -> Result<bool, ArrowError> {
        let is_due = self.unwritten_age().is_some_and(|age| age >= limit);
        if let Some(open) = self.open.as_mut().filter(|_| is_due) {
            open.encode(&self.names, &mut self.output, &mut self.costs);
        }
        Ok(is_due)
    }

    /// Writes the open block to the spool again, if the disk did not take it and has room now. Says whether it did.
    pub fn refile(&mut self) -> bool {
        let (Some(spool), Some(open)) = (&self.spool, &mut self.open) else { return false };
        if open.file.is_some() || open.pieces.is_empty() || open.filed_at.elapsed() < REFILE_INTERVAL {
            return false;
        }
        open.filed_at = Instant::now();
        open.refile(spool)
    }

    /// How long the first row has waited that is to be written to the spool and is not encoded yet.
    pub fn unwritten_age(&self) -> Option<Duration> {
        let open = self.open.as_ref().filter(|open| self.spool.is_some() && open.workspace.chunk.rows() > 0);
        open.map(|open| open.chunk_since.elapsed())
    }

    /// Rows of the open block that are not encoded yet; with a spool, that it does not have.
    pub fn unwritten_rows(&self) -> u64 {
        let unwritten = |open: &Open| match self.spool {
            Some(_) => open.rows - open.filed.rows,
            None => open.workspace.chunk.rows() as u64,
        };
        self.open.as_ref().map_or(0, unwritten)
    }

    /// Rows in the open block.
    pub fn rows(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.rows)
    }

    /// How long the open block has been open; `None` if there is none.
    pub fn age(&self) -> Option<Duration> {
        self.open.as_ref().map(|open| open.since.elapsed())
    }

    /// Appends a sealed batch; `closed` gets every block that it fills.
    ///
    /// # Errors
    /// [`ArrowError`] if columns and schema do not fit together, which is a bug.
    pub fn append(&mut self, batch: &FlowBatch, mut closed: impl FnMut(Block, CloseReason)) -> Result<(), ArrowError> {
        let present = batch.present();
        if !self.columns.is_superset(present) {
            self.columns = self.columns.union(present);
            if let Some(block) = self.close()? {
                closed(block, CloseReason::Columns);
            }
        }
        let mut from = 0;
        while from < batch.rows() {
            if self.open.is_none() {
                self.open = Some(self.begin()?);
            }
            let Some(open) = &mut self.open else { break };
            let room = (self.limits.rows.min(BLOCK_ROWS_MAX) - open.rows) as usize;
            let chunk_room = open.workspace.chunk.room().min(self.chunk_rows - open.workspace.chunk.rows());
            let to = batch.rows().min(from + room.min(chunk_room));
            if open.workspace.chunk.rows() == 0 {
                open.chunk_since = Instant::now();
            }
            open.workspace.chunk.append(batch, from, to);
            let begin = Instant::now();
            self.rollups.add(batch, from, to);
            self.costs.rollup_ns += begin.elapsed().as_nanos() as u64;
            open.rows += (to - from) as u64;
            open.arrivals.push((batch.get(RECEIVED_AT, from), (to - from) as u32));
            from = to;
            if open.workspace.chunk.rows() >= self.chunk_rows || open.workspace.chunk.room() == 0 {
                open.encode(&self.names, &mut self.output, &mut self.costs);
            }
            let reason = if open.rows >= self.limits.rows.min(BLOCK_ROWS_MAX) {
                CloseReason::Rows
            } else if open.octets_plain + open.workspace.chunk.octets() as u64 >= self.limits.octets {
                CloseReason::Octets
            } else {
                continue;
            };
            if let Some(block) = self.close()? {
                closed(block, reason);
            }
        }
        Ok(())
    }

    /// Closes the open block, if there is one.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn close(&mut self) -> Result<Option<Block>, ArrowError> {
        let Some(mut open) = self.open.take() else { return Ok(None) };
        if open.workspace.chunk.rows() > 0 {
            open.encode(&self.names, &mut self.output, &mut self.costs);
        }
        open.end(&mut self.output, &mut self.costs);
        let rollups = self.roll_up(open.workspace.columns)?;
        let octets = rollups.iter().map(|rollup| rollup.body.len() as u64).sum::<u64>() + open.octets;
        if let Some(file) = open.file.take() {
            open.file = rollups.iter().try_fold(file, OpenFile::append_rollup);
        }
        self.workspace = Some(open.workspace);
        Ok(Some(Block {
            table: open.head.table,
            statement: open.head.statement.into(),
            token: open.head.token,
            rows: open.rows,
            pieces: open.pieces,
            rollups,
            octets,
            compression: self.limits.compression,
            arrivals: open.arrivals,
            kept: open.file.and_then(OpenFile::close),
        }))
    }

    /// What the rows of the block that is being closed add up to.
    fn roll_up(&mut self, columns: ColumnSet) -> Result<Vec<Rollup>, ArrowError> {
        let begin = Instant::now();
        let output = &mut self.output;
        let rollups = self.rollups.finish(columns, &self.names, &mut |encode| output.write(encode).piece)?;
        self.costs.rollup_rows += rollups.iter().map(|rollup| rollup.rows).sum::<u64>();
        self.costs.rollup_ns += begin.elapsed().as_nanos() as u64;
        Ok(rollups)
    }

    fn begin(&mut self) -> Result<Open, ArrowError> {
        let workspace = match self.workspace.take() {
            Some(workspace) if workspace.columns == self.columns => workspace,
            _ => Workspace::new(self.columns)?,
        };
        let names = self.columns.iter().map(|column| column.spec().name);
        let statement = ddl::insert_statement(&self.database, Table::Flows, names);
        let compression = self.limits.compression;
        let head = Head { table: Table::Flows, compression, token: self.tokens.next(), statement };
        let file = self.spool.as_ref().and_then(|spool| spool.begin_if_room(&head));
        Ok(Open {
            workspace,
            chunk_since: Instant::now(),
            head,
            file,
            filed_at: Instant::now(),
            filed: Encoded::default(),
            encoded: Encoded::default(),
            pieces: Vec::new(),
            rows: 0,
            octets_plain: 0,
            octets: 0,
            arrivals: Vec::new(),
            since: Instant::now(),
        })
    }
}

impl Workspace {
    fn new(columns: ColumnSet) -> Result<Self, ArrowError> {
        let chunk = Chunk::new(columns);
        let schema = stream::schema(chunk.schema())?;
        Ok(Self { columns, chunk, schema })
    }
}

impl Open {
    /// Writes the chunk; the first one of a block has the schema before it.
    fn encode(&mut self, names: &Names, output: &mut Output, costs: &mut EncodeCosts) {
        let Workspace { chunk, schema, .. } = &mut self.workspace;
        let rows = chunk.rows();
        costs.rows += rows as u64;
        let schema = if self.pieces.is_empty() { schema.as_slice() } else { &[] };
        let written = output.write(|write| {
            write(schema);
            chunk.flush(names, write);
        });
        self.add(rows as u32, written, costs);
    }

    /// Ends the stream.
    fn end(&mut self, output: &mut Output, costs: &mut EncodeCosts) {
        let written = output.write(|write| write(&stream::END));
        self.add(0, written, costs);
    }

    /// Adds what was written of `rows` to the block.
    fn add(&mut self, rows: u32, written: Written, costs: &mut EncodeCosts) {
        let Written { piece, octets_plain, encode_ns, compress_ns } = written;
        self.octets_plain += octets_plain;
        self.octets += piece.len() as u64;
        costs.octets_plain += octets_plain;
        costs.octets_written += piece.len() as u64;
        costs.encode_ns += encode_ns;
        costs.compress_ns += compress_ns;
        self.encoded = Encoded { rows: self.encoded.rows + u64::from(rows), arrivals: self.arrivals.len() };
        if let Some(file) = self.file.take() {
            self.file = file.append(rows, &self.arrivals[self.filed.arrivals..], &piece);
            if self.file.is_some() {
                self.filed = self.encoded;
            }
        }
        self.pieces.push(piece);
    }

    /// Writes the pieces to a new file where the disk did not take the one before, and has room for all of them.
    fn refile(&mut self, spool: &Arc<Spool>) -> bool {
        if !spool.has_room(self.octets) {
            return false;
        }
        let Encoded { rows, arrivals } = self.encoded;
        self.file = spool.write_pieces(&self.head, &self.pieces, rows as u32, &self.arrivals[..arrivals]);
        if self.file.is_none() {
            return false;
        }
        spool.remove_stump(&self.head.token);
        self.filed = self.encoded;
        true
    }
}

/// A piece of a block as it is sent, and what it cost.
struct Written {
    piece: Bytes,
    octets_plain: u64,
    encode_ns: u64,
    compress_ns: u64,
}

impl Output {
    /// What `encode` writes, compressed as it comes: columns go from their own memory into the compressor.
    fn write(&mut self, encode: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Written {
        let begin = Instant::now();
        let mut buffer = self.pool.take();
        let framer = &mut self.framer;
        encode(&mut |octets| framer.write(octets, &mut buffer));
        framer.flush(&mut buffer);
        let spent = begin.elapsed().as_nanos() as u64;
        let (octets_plain, compress_ns) = framer.take_costs();
        let encode_ns = spent.saturating_sub(compress_ns);
        Written { piece: self.pool.freeze(buffer), octets_plain, encode_ns, compress_ns }
    }
}

/// A piece of a block as it is sent, for blocks that are too few to keep memory for.
pub(crate) fn compressed(plain: Vec<u8>, compression: Compression) -> Bytes {
    if compression == Compression::None {
        return Bytes::from(plain);
    }
    let mut output = Output { framer: Framer::new(compression), pool: Pool::default() };
    output.write(|write| write(&plain)).piece
}

/// Tokens that no other block has, of this process or another.
pub(crate) struct Tokens {
    process: u64,
    blocks: u64,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        // Keyed by the operating system's randomness; the clock and the process id are in it as well.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.write_u128(helios_common::clock::since_epoch().as_nanos());
        Self { process: hasher.finish(), blocks: 0 }
    }

    pub(crate) fn next(&mut self) -> String {
        self.blocks += 1;
        format!("helios-{:016x}-{}", self.process, self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_ipc::reader::StreamReader;
    use helios_common::columns::{BYTES, SRC_COUNTRY};
    use helios_common::exporter::ExporterId;

    fn assembler(rows: u64, octets: u64) -> Assembler {
        let limits = BlockLimits { rows, octets, compression: Compression::None };
        Assembler::new("helios".into(), limits, Arc::new(Names::new()))
    }

    fn batch(rows: usize) -> FlowBatch {
        let mut batch = FlowBatch::new();
        batch.fill(BYTES, rows, 7);
        batch.fill(RECEIVED_AT, rows, 1_700_000_000_000);
        batch.advance(rows, ExporterId(0));
        batch.seal();
        batch
    }

    fn rows_in(block: &Block) -> u64 {
        let stream: Vec<u8> = block.pieces.iter().flatten().copied().collect();
        StreamReader::try_new(&stream[..], None).unwrap().map(|batch| batch.unwrap().num_rows() as u64).sum()
    }

    fn columns_in(block: &Block) -> Vec<String> {
        let stream: Vec<u8> = block.pieces.iter().flatten().copied().collect();
        let reader = StreamReader::try_new(&stream[..], None).unwrap();
        reader.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    #[test]
    fn a_block_made_with_the_memory_of_another_has_only_its_own_rows() {
        let mut assembler = assembler(100, u64::MAX);
        let lengths = [250, 30, 70, 1];
        let mut blocks: Vec<Block> = Vec::new();
        for rows in lengths {
            blocks.extend(append(&mut assembler, &batch(rows)).into_iter().map(|(block, _)| block));
        }
        blocks.extend(assembler.close().unwrap());
        assert_eq!(blocks.iter().map(rows_in).collect::<Vec<_>>(), [100, 100, 100, 51]);
        assert!(blocks.iter().all(|block| block.rows == rows_in(block)));
    }

    fn append(assembler: &mut Assembler, batch: &FlowBatch) -> Vec<(Block, CloseReason)> {
        let mut closed = Vec::new();
        assembler.append(batch, |block, reason| closed.push((block, reason))).unwrap();
        closed
    }

    #[test]
    fn a_block_is_full_at_its_row_limit_also_in_the_middle_of_a_batch() {
        let mut assembler = assembler(150, u64::MAX);
        let closed = append(&mut assembler, &batch(400));
        assert_eq!(
            closed.iter().map(|(block, reason)| (block.rows, *reason)).collect::<Vec<_>>(),
            [(150, CloseReason::Rows); 2]
        );
        assert_eq!(closed.iter().map(|(block, _)| rows_in(block)).collect::<Vec<_>>(), [150, 150]);
        assert_eq!((assembler.rows(), rows_in(&assembler.close().unwrap().unwrap())), (100, 100));
        assert!(assembler.close().unwrap().is_none());
    }

    #[test]
    fn a_block_is_full_at_its_byte_limit() {
        let closed = append(&mut assembler(1_000_000, 100_000), &batch(20_000));
        assert_eq!(closed[0].1, CloseReason::Octets);
    }

    #[test]
    fn a_new_column_closes_the_block_and_widens_the_next() {
        let mut assembler = assembler(1_000_000, u64::MAX);
        assert!(append(&mut assembler, &batch(10)).is_empty());
        let mut wider = batch(10);
        wider.fill(SRC_COUNTRY, 10, 0);
        wider.advance(10, ExporterId(0));
        wider.seal();
        let closed = append(&mut assembler, &wider);
        assert_eq!((closed[0].0.rows, closed[0].1), (10, CloseReason::Columns));
        assert_eq!(&*closed[0].0.statement, "INSERT INTO helios.flows (received_at, bytes) FORMAT ArrowStream");
        assert!(append(&mut assembler, &batch(5)).is_empty(), "a narrower batch fits into a wider block");
        let last = assembler.close().unwrap().unwrap();
        assert_eq!((rows_in(&last), last.statement.contains("src_country")), (25, true));
        assert_eq!(columns_in(&last), ["received_at", "bytes", "src_country"]);
    }

    #[test]
    fn blocks_of_many_chunks_are_one_stream() {
        let mut assembler = assembler(1_000_000, u64::MAX);
        for _ in 0..20 {
            assert!(append(&mut assembler, &batch(8192)).is_empty());
        }
        let block = assembler.close().unwrap().unwrap();
        assert_eq!((block.rows, rows_in(&block)), (163_840, 163_840));
        assert_eq!(block.arrivals.iter().map(|(_, rows)| u64::from(*rows)).sum::<u64>(), 163_840);
    }

    #[test]
    fn no_two_blocks_have_the_same_token() {
        let mut assemblers = [assembler(10, u64::MAX), assembler(10, u64::MAX)];
        let mut tokens: Vec<String> = Vec::new();
        for assembler in &mut assemblers {
            tokens.extend(append(assembler, &batch(100)).into_iter().map(|(block, _)| block.token));
        }
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), 20);
    }
}
