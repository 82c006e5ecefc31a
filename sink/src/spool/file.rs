//! The file of one block.
//!
//! ```text
//! file    8 octets  "HELIOSB2": the format and its version
//!         records
//! record  1 octet   kind: 1 head, 2 piece, 3 end, 4 rollup
//!         4 octets  length of the payload, little endian as every number here
//!         4 octets  CRC-32 (IEEE) of kind, length and payload
//!         payload
//! head    table, compression, token, statement: each 4 octets length and UTF-8 text
//! piece   4 octets rows that the piece makes whole, 4 octets number of arrivals,
//!         per arrival 8 octets Unix ms and 4 octets rows, then a part of the insert's body
//! rollup  8 octets rows, table and statement as in the head, the body: what the block's rows add up to
//! end     8 octets rows, 8 octets octets of the body, 4 octets number of pieces
//! ```
//! One head, pieces, rollups, one end: a file without its end is a block that was being filled when its process died, and
//! [`Contents::close_as_it_stands`] makes a valid, shorter block of it. Whatever is behind the last whole record is a
//! torn tail. Rollups without an end behind them may lack some, and are left out: ClickHouse then makes them of the block.
//! Format 1 had no rollups, and is read as well. A file names all that an insert needs: it can be sent by any helios.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytes::Bytes;
use helios_common::time::UnixMs;
use nix::errno::Errno;

use crate::block::{Block, compressed};
use crate::config::Compression;
use crate::rollup::Rollup;
use crate::schema::Table;

pub(crate) const MAGIC: [u8; 8] = *b"HELIOSB2";
/// The format without rollups.
const MAGIC_1: [u8; 8] = *b"HELIOSB1";
/// What every version's files begin with; the version follows.
const FAMILY: &[u8] = b"HELIOSB";
const RECORD: usize = 9;
const END_PAYLOAD: usize = 20;
const HEAD: u8 = 1;
const PIECE: u8 = 2;
const END: u8 = 3;
const ROLLUP: u8 = 4;

/// What ends an ArrowStream: a continuation mark and no message.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A file is not what it should be.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum FileError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Damaged(&'static str),
    /// Its format, table or compression is one that this version does not know.
    #[error("it is of a newer helios")]
    Newer,
}

impl FileError {
    /// Whether the octets may well be there and only this attempt did not get at them: descriptors or memory ran out, a
    /// permission is missing, a network file system does not answer, or a newer version has to read them. A block must not
    /// be given up for that.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Damaged(_) => false,
            Self::Newer => true,
            Self::Io(error) => !matches!(
                error.raw_os_error().map(Errno::from_raw),
                None | Some(Errno::ENOENT | Errno::EIO | Errno::EISDIR | Errno::EBADMSG | Errno::EUCLEAN)
            ),
        }
    }
}

/// What an insert is, apart from its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Where the rows go.
    pub table: Table,
    /// How the body is compressed.
    pub compression: Compression,
    /// `insert_deduplication_token` of the insert.
    pub token: String,
    /// `INSERT INTO ... FORMAT ArrowStream`, with the columns.
    pub statement: String,
}

/// A file's last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// Of the body, without those of the rollups.
    pub rows: u64,
    /// Of the body.
    pub octets: u64,
    /// Records of the body.
    pub pieces: u32,
}

fn record(kind: u8, payload: &[&[u8]]) -> Vec<u8> {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    let mut record = Vec::with_capacity(RECORD + length);
    record.push(kind);
    record.extend((length as u32).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record);
    payload.iter().for_each(|part| crc.update(part));
    record.extend(crc.finalize().to_le_bytes());
    payload.iter().for_each(|part| record.extend_from_slice(part));
    record
}

impl Head {
    /// The begin of a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        let compression = compression_name(self.compression);
        for text in [self.table.name(), compression, &self.token, &self.statement] {
            payload.extend((text.len() as u32).to_le_bytes());
            payload.extend(text.as_bytes());
        }
        [&MAGIC[..], &record(HEAD, &[&payload])].concat()
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        let mut text = || take_text(&mut rest);
        let (name, compression, token, statement) = (text()?, text()?, text()?, text()?);
        Some(Self {
            table: table(name)?,
            compression: [Compression::Lz4, Compression::Lz4Fast, Compression::None]
                .into_iter()
                .find(|known| compression_name(*known) == compression)?,
            token: token.to_owned(),
            statement: statement.to_owned(),
        })
    }
}

const fn compression_name(compression: Compression) -> &'static str {
    match compression {
        Compression::Lz4 => "lz4",
        Compression::Lz4Fast => "lz4_fast",
        Compression::None => "none",
    }
}

/// A piece of the body and the rows that came with it.
pub fn encode_piece(rows: u32, arrivals: &[(UnixMs, u32)], body: &[u8]) -> Vec<u8> {
    let mut lead = Vec::with_capacity(8 + arrivals.len() * 12);
    lead.extend(rows.to_le_bytes());
    lead.extend((arrivals.len() as u32).to_le_bytes());
    for (at, rows) in arrivals {
        lead.extend(at.to_le_bytes());
        lead.extend(rows.to_le_bytes());
    }
    record(PIECE, &[&lead, body])
}

/// What the block adds to a rollup table.
pub fn encode_rollup(rollup: &Rollup) -> Vec<u8> {
    let mut lead = rollup.rows.to_le_bytes().to_vec();
    for text in [rollup.table.name(), &rollup.statement] {
        lead.extend((text.len() as u32).to_le_bytes());
        lead.extend(text.as_bytes());
    }
    record(ROLLUP, &[&lead, &rollup.body])
}

/// Takes a text off the begin of a payload.
fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

fn table(name: &str) -> Option<Table> {
    Table::ALL.into_iter().find(|known| known.name() == name)
}

/// The records of a file of a format that this version reads.
fn records(data: &[u8]) -> Option<&[u8]> {
    data.strip_prefix(&MAGIC[..]).or_else(|| data.strip_prefix(&MAGIC_1[..]))
}

impl End {
    pub(crate) fn encode(&self) -> Vec<u8> {
        record(END, &[&self.rows.to_le_bytes(), &self.octets.to_le_bytes(), &self.pieces.to_le_bytes()])
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let payload: &[u8; END_PAYLOAD] = payload.try_into().ok()?;
        let (rows, rest) = payload.split_first_chunk::<8>()?;
        let (octets, pieces) = rest.split_first_chunk::<8>()?;
        Some(Self {
            rows: u64::from_le_bytes(*rows),
            octets: u64::from_le_bytes(*octets),
            pieces: u32::from_le_bytes(pieces.try_into().ok()?),
        })
    }
}

/// What is behind the last whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tail {
    /// The file ends with a whole record.
    Nothing,
    /// A record that was not written to its end: its process died.
    Torn,
    /// Octets that are no record, though there are enough of them.
    Damaged,
}

/// The whole records of a file.
#[derive(Debug)]
pub struct Contents {
    /// From the first record.
    pub head: Head,
    /// The body in the order in which it is sent.
    pub pieces: Vec<Bytes>,
    /// Arrival of the first row of every batch of flows, and how many rows it had.
    pub arrivals: Vec<(UnixMs, u32)>,
    /// Of a closed file.
    pub rollups: Vec<Rollup>,
    /// What the pieces add up to.
    pub sum: End,
    /// Whether the file has an end, which agrees with its pieces.
    pub closed: bool,
    /// What no record covers.
    pub tail: Tail,
    /// Octets of the file up to the end of its last whole record.
    pub whole: u64,
}

impl Contents {
    /// Reads a file as far as its records are whole.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be read, or does not even have a head.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let data = Bytes::from(std::fs::read(path)?);
        let Some(records) = records(&data) else { return Err(FileError::Damaged("no block file")) };
        let Some((HEAD, payload)) = whole_record(records) else {
            return Err(FileError::Damaged("its head is damaged"));
        };
        let Some(head) = Head::decode(payload) else {
            return Err(FileError::Damaged("its head names something that this version does not know"));
        };
        let whole = (MAGIC.len() + RECORD + payload.len()) as u64;
        let mut contents = Self {
            head,
            pieces: Vec::new(),
            arrivals: Vec::new(),
            rollups: Vec::new(),
            sum: End::default(),
            closed: false,
            tail: Tail::Nothing,
            whole,
        };
        let mut end_of_pieces = whole;
        while let Some(rest) = data.get(contents.whole as usize..).filter(|rest| !rest.is_empty()) {
            let taken = match whole_record(rest) {
                Some((PIECE, payload)) if !contents.closed && contents.rollups.is_empty() => {
                    contents.take_piece(&data, payload).then_some(payload)
                }
                Some((ROLLUP, payload)) if !contents.closed => contents.take_rollup(&data, payload).then_some(payload),
                Some((END, payload)) if !contents.closed && End::decode(payload) == Some(contents.sum) => {
                    contents.closed = true;
                    Some(payload)
                }
                _ => None,
            };
            let Some(payload) = taken else {
                contents.tail = if is_cut(rest) { Tail::Torn } else { Tail::Damaged };
                break;
            };
            contents.whole += (RECORD + payload.len()) as u64;
            if contents.rollups.is_empty() {
                end_of_pieces = contents.whole;
            }
        }
        if !contents.closed && !contents.rollups.is_empty() {
            contents.rollups.clear();
            contents.whole = end_of_pieces;
            contents.tail = contents.tail.max(Tail::Torn);
        }
        Ok(contents)
    }

    fn take_piece(&mut self, data: &Bytes, payload: &[u8]) -> bool {
        let Some((rows, rest)) = payload.split_first_chunk::<4>() else { return false };
        let Some((count, rest)) = rest.split_first_chunk::<4>() else { return false };
        let count = u32::from_le_bytes(*count) as usize;
        let Some((arrivals, body)) = count.checked_mul(12).and_then(|octets| rest.split_at_checked(octets)) else {
            return false;
        };
        let arrivals = arrivals.as_chunks::<12>().0.iter().map(|&[a, b, c, d, e, f, g, h, i, j, k, l]| {
            (UnixMs::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]))
        });
        self.arrivals.extend(arrivals);
        self.sum.rows += u64::from(u32::from_le_bytes(*rows));
        self.sum.octets += body.len() as u64;
        self.sum.pieces += 1;
        self.pieces.push(data.slice_ref(body));
        true
    }

    fn take_rollup(&mut self, data: &Bytes, payload: &[u8]) -> bool {
        let Some((rows, mut rest)) = payload.split_first_chunk::<8>() else { return false };
        let (Some(name), Some(statement)) = (take_text(&mut rest), take_text(&mut rest)) else { return false };
        let Some(table) = table(name) else { return false };
        let (statement, rows) = (statement.into(), u64::from_le_bytes(*rows));
        self.rollups.push(Rollup { table, statement, rows, body: data.slice_ref(rest) });
        true
    }

    /// Ends a file that has no end: cuts the torn tail and appends what makes the stream whole. Done again after a
    /// crash on the way, it comes to the same bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn close_as_it_stands(&mut self, path: &Path) -> io::Result<()> {
        let body = compressed(END_OF_STREAM.to_vec(), self.head.compression);
        // A process that died between the stream's own end and the end of the file has written it already.
        let ended = self.pieces.last() == Some(&body);
        let mut tail = Vec::new();
        if !ended {
            tail.extend(encode_piece(0, &[], &body));
            self.sum.octets += body.len() as u64;
            self.sum.pieces += 1;
            self.pieces.push(body);
        }
        tail.extend(self.sum.encode());
        let mut file = File::options().write(true).open(path)?;
        file.set_len(self.whole)?;
        file.seek(SeekFrom::Start(self.whole))?;
        file.write_all(&tail)?;
        file.sync_data()?;
        self.whole += tail.len() as u64;
        self.closed = true;
        Ok(())
    }

    /// The block that the file holds.
    pub fn into_block(self) -> Block {
        Block {
            table: self.head.table,
            statement: self.head.statement.into(),
            token: self.head.token,
            rows: self.sum.rows,
            octets: self.sum.octets + self.rollups.iter().map(|rollup| rollup.body.len() as u64).sum::<u64>(),
            pieces: self.pieces,
            rollups: self.rollups,
            compression: self.head.compression,
            arrivals: self.arrivals,
            kept: None,
        }
    }
}

/// Head of a file and the head's record.
fn head(data: &[u8]) -> Result<(Head, &[u8]), FileError> {
    let Some(records) = records(data) else {
        let version = data.strip_prefix(FAMILY).and_then(|rest| rest.first());
        return Err(match version {
            Some(b'3'..=b'9' | b'A'..=b'Z') => FileError::Newer,
            _ => FileError::Damaged("no block file"),
        });
    };
    let Some((HEAD, payload)) = whole_record(records) else { return Err(FileError::Damaged("its head is damaged")) };
    // The record's checksum is right, so its words are what somebody wrote.
    Ok((Head::decode(payload).ok_or(FileError::Newer)?, payload))
}

/// The kind and payload of the record at the begin, if it is whole.
fn whole_record(data: &[u8]) -> Option<(u8, &[u8])> {
    let (lead, rest) = data.split_first_chunk::<RECORD>()?;
    let &[kind, a, b, c, d, e, f, g, h] = lead;
    let payload = rest.get(..u32::from_le_bytes([a, b, c, d]) as usize)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind, a, b, c, d]);
    crc.update(payload);
    (crc.finalize() == u32::from_le_bytes([e, f, g, h])).then_some((kind, payload))
}

/// Whether the record at the begin is longer than what is there.
fn is_cut(data: &[u8]) -> bool {
    let Some((&[_, a, b, c, d, ..], rest)) = data.split_first_chunk::<RECORD>() else { return true };
    rest.len() < u32::from_le_bytes([a, b, c, d]) as usize
}

/// Table and end of a closed file, without reading its data.
///
/// # Errors
/// [`FileError`] when head or end are not there.
pub fn outline(path: &Path) -> Result<(Head, End), FileError> {
    const HEAD_MAX: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let mut begin = Vec::new();
    (&mut file).take(HEAD_MAX).read_to_end(&mut begin)?;
    let (head, _) = head(&begin)?;
    let size = file.metadata()?.len();
    let at = size.checked_sub((RECORD + END_PAYLOAD) as u64).ok_or(FileError::Damaged("it is cut"))?;
    file.seek(SeekFrom::Start(at))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let end = whole_record(&tail).filter(|(kind, _)| *kind == END).and_then(|(_, payload)| End::decode(payload));
    Ok((head, end.ok_or(FileError::Damaged("it is cut or its end is damaged"))?))
}
