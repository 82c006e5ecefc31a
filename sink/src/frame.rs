//! ClickHouse's compressed framing: what a body looks like that is sent with `decompress=1`.
//!
//! ```text
//! 16 octets  CityHash128 (version 1.0.2) of everything below, high half first
//!  1 octet   method: 0x82 LZ4, 0x02 none
//!  4 octets  length from the method on, little endian
//!  4 octets  length of the data once decompressed
//!  n octets  data
//! ```
//! Frames follow each other and have nothing to do with the format inside, so each may choose its method and a
//! stream can be cut anywhere. The `clickhouse` crate can compress, too, but does not give the bytes out: a block
//! has to be the same bytes on every retry, and on disk.
//!
//! Source: ClickHouse documentation, "Native format specification", frame format.

use std::time::Instant;

use lz4::block::{CompressionMode, compress_bound, compress_to_buffer};

use crate::config::Compression;

const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const CHECKSUM: usize = 16;
const HEADER: usize = 9;

/// ClickHouse's own `max_compress_block_size`: what its reader expects a frame to hold at most.
const FRAME_MAX: usize = 1 << 20;

/// Pieces shorter than this share a frame: a frame costs 25 octets and a call of the compressor.
const FRAME_MIN: usize = 48 << 10;

/// A frame that LZ4 does not make shorter by a sixteenth is sent as it is: it is cheaper to read.
const WORTH_SIXTEENTHS: usize = 15;

/// How far LZ4 skips ahead where it finds nothing: its own default, and what BENCHMARKS.md chose for `lz4_fast`.
const ACCELERATION: i32 = 1;
const FAST_ACCELERATION: i32 = 16;

/// Turns pieces of a stream into the bytes of a body. Keeps its memory over blocks.
#[derive(Debug)]
pub struct Framer {
    compression: Compression,
    acceleration: i32,
    /// Pieces that wait for a frame to be full.
    small: Vec<u8>,
    /// What the compressor writes to.
    scratch: Vec<u8>,
    raw_bytes: u64,
    compress_ns: u64,
}

impl Framer {
    pub(crate) fn new(compression: Compression) -> Self {
        let acceleration = if compression == Compression::Lz4Fast { FAST_ACCELERATION } else { ACCELERATION };
        Self { compression, acceleration, small: Vec::new(), scratch: Vec::new(), raw_bytes: 0, compress_ns: 0 }
    }

    /// Appends a piece of the stream to `out`, or keeps it for a frame of several.
    ///
    /// Columns are pieces of their own: frames cut at their ends compress better than frames across them.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.raw_bytes += piece.len() as u64;
        if self.compression == Compression::None {
            out.extend_from_slice(piece);
            return;
        }
        if piece.len() < FRAME_MIN {
            self.small.extend_from_slice(piece);
            if self.small.len() >= FRAME_MIN {
                self.flush(out);
            }
            return;
        }
        self.flush(out);
        self.frames(piece, out);
    }

    fn frames(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let begin = Instant::now();
        for part in piece.chunks(FRAME_MAX) {
            frame(part, self.acceleration, &mut self.scratch, out);
        }
        self.compress_ns += begin.elapsed().as_nanos() as u64;
    }

    /// Appends what was kept back: afterwards `out` holds everything written so far.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if self.small.is_empty() {
            return;
        }
        let mut small = std::mem::take(&mut self.small);
        self.frames(&small, out);
        small.clear();
        self.small = small;
    }

    /// Since the last call: octets written, before compression, and nanoseconds spent with compressing them.
    pub fn take_costs(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.raw_bytes), std::mem::take(&mut self.compress_ns))
    }
}

fn frame(data: &[u8], acceleration: i32, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let bound = compress_bound(data.len()).unwrap_or(0);
    if scratch.len() < bound {
        scratch.resize(bound, 0);
    }
    // Cannot fail: the output is as long as LZ4 needs in the worst case. If it did, the frame would go plain.
    let compressed = match compress_to_buffer(data, Some(CompressionMode::FAST(acceleration)), false, scratch) {
        Ok(length) if length * 16 < data.len() * WORTH_SIXTEENTHS => scratch.get(..length),
        _ => None,
    };
    let (method, body) = compressed.map_or((METHOD_NONE, data), |body| (METHOD_LZ4, body));
    let start = out.len();
    out.extend_from_slice(&[0; CHECKSUM]);
    out.push(method);
    out.extend_from_slice(&((HEADER + body.len()) as u32).to_le_bytes());
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
    if let Some((checksum, checked)) = out.get_mut(start..).and_then(|frame| frame.split_at_mut_checked(CHECKSUM)) {
        checksum.copy_from_slice(&cityhash_rs::cityhash_102_128(checked).rotate_right(64).to_le_bytes());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Reads a body of frames back.
    pub(crate) fn unframe(mut body: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        while !body.is_empty() {
            let (checksum, rest) = body.split_at(CHECKSUM);
            let length = u32::from_le_bytes(rest[1..5].try_into().unwrap()) as usize;
            let raw_length = u32::from_le_bytes(rest[5..9].try_into().unwrap()) as usize;
            let (checked, next) = rest.split_at(length);
            let expected = cityhash_rs::cityhash_102_128(checked).rotate_right(64).to_le_bytes();
            assert_eq!(checksum, expected);
            match checked[0] {
                METHOD_NONE => data.extend_from_slice(&checked[HEADER..]),
                METHOD_LZ4 => data.extend(lz4::block::decompress(&checked[HEADER..], Some(raw_length as i32)).unwrap()),
                other => panic!("method {other}"),
            }
            body = next;
        }
        data
    }

    /// Octets that LZ4 cannot shorten.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut octet = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(|_| octet()).collect()
    }

    fn methods(mut body: &[u8]) -> Vec<u8> {
        let mut methods = Vec::new();
        while !body.is_empty() {
            methods.push(body[CHECKSUM]);
            let length = u32::from_le_bytes(body[CHECKSUM + 1..CHECKSUM + 5].try_into().unwrap()) as usize;
            body = &body[CHECKSUM + length..];
        }
        methods
    }

    #[test]
    fn any_pieces_come_back_in_order() {
        let pieces = [vec![1; 10], noise(200_000), vec![0; 3 << 20], vec![2; FRAME_MIN - 1], vec![3; 5], Vec::new()];
        let mut framer = Framer::new(Compression::Lz4);
        let mut out = Vec::new();
        for piece in &pieces {
            framer.write(piece, &mut out);
        }
        framer.flush(&mut out);
        assert!(unframe(&out) == pieces.concat());
        assert_eq!(framer.take_costs().0, pieces.concat().len() as u64);
        assert_eq!(framer.take_costs(), (0, 0));
    }

    #[test]
    fn what_does_not_compress_goes_as_it_is() {
        let mut framer = Framer::new(Compression::Lz4);
        let mut out = Vec::new();
        framer.write(&noise(FRAME_MIN), &mut out);
        framer.write(&vec![7; FRAME_MIN], &mut out);
        assert_eq!(methods(&out), [METHOD_NONE, METHOD_LZ4]);
        assert!(out.len() < FRAME_MIN + FRAME_MIN / 16);
    }

    #[test]
    fn small_pieces_share_a_frame_and_large_ones_are_cut() {
        let mut framer = Framer::new(Compression::Lz4);
        let mut out = Vec::new();
        for _ in 0..1000 {
            framer.write(&[1, 2, 3], &mut out);
        }
        assert!(out.is_empty());
        framer.flush(&mut out);
        assert_eq!(methods(&out).len(), 1);
        out.clear();
        framer.write(&vec![0; FRAME_MAX * 2 + 1], &mut out);
        assert_eq!(methods(&out).len(), 3);
    }

    #[test]
    fn without_compression_there_are_no_frames() {
        let mut framer = Framer::new(Compression::None);
        let mut out = Vec::new();
        framer.write(b"abc", &mut out);
        framer.write(b"de", &mut out);
        framer.flush(&mut out);
        assert_eq!(out, b"abcde");
    }
}
