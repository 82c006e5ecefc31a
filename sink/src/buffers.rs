//! Memory of pieces that comes back when the block that they were part of is stored.
//!
//! A piece is megabytes, and memory of that size comes fresh from the kernel, which clears every page of it: a quarter
//! of what the block thread spent. Pieces of a running pipeline are all about as long, so that the memory of those
//! that ClickHouse has taken fits the next ones.

use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;

/// Memory that is kept for pieces to come; more is given back to the system. Two blocks of 1 M rows, compressed.
const KEPT_OCTETS: usize = 128 << 20;

/// A pool of buffers. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Free>>);

#[derive(Debug, Default)]
struct Free {
    buffers: Vec<Vec<u8>>,
    octets: usize,
    /// What a new buffer is made with: growing by doubling would copy it a dozen times.
    room: usize,
}

/// A piece on its way. The pool may be gone before it.
struct Lent {
    buffer: Vec<u8>,
    pool: Weak<Mutex<Free>>,
}

impl Pool {
    /// An empty buffer: one that was used before, or a new one with the room that the last piece took.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut free = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(buffer) = free.buffers.pop() else { return Vec::with_capacity(free.room) };
        free.octets -= buffer.capacity();
        buffer
    }

    /// The buffer's octets as they are sent. Its memory comes back when the last reference to them is gone.
    ///
    /// A buffer that is mostly empty is copied, so that what waits for ClickHouse holds no more memory than it counts.
    pub(crate) fn freeze(&self, buffer: Vec<u8>) -> Bytes {
        if buffer.len() < buffer.capacity() / 2 {
            let piece = Bytes::copy_from_slice(&buffer);
            give_back(&self.0, buffer);
            return piece;
        }
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).room = buffer.len() + buffer.len() / 16;
        Bytes::from_owner(Lent { buffer, pool: Arc::downgrade(&self.0) })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            give_back(&pool, std::mem::take(&mut self.buffer));
        }
    }
}

fn give_back(pool: &Mutex<Free>, mut buffer: Vec<u8>) {
    let mut free = pool.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if buffer.capacity() > 0 && free.octets + buffer.capacity() <= KEPT_OCTETS {
        buffer.clear();
        free.octets += buffer.capacity();
        free.buffers.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &Pool, octets: usize) -> Vec<u8> {
        let mut buffer = pool.take();
        buffer.resize(octets, 1);
        buffer
    }

    fn kept(pool: &Pool) -> usize {
        pool.0.lock().unwrap().octets
    }

    #[test]
    fn memory_comes_back_with_the_last_reference() {
        let pool = Pool::default();
        let piece = pool.freeze(filled(&pool, 1 << 20));
        let again = piece.clone();
        drop(piece);
        assert!(kept(&pool) == 0 && again.len() == 1 << 20, "the piece is still referred to");
        drop(again);
        assert!(kept(&pool) >= 1 << 20);
        assert!(pool.take().capacity() >= 1 << 20);
        assert_eq!(kept(&pool), 0);
    }

    #[test]
    fn a_short_piece_does_not_hold_a_long_buffer() {
        let pool = Pool::default();
        drop(pool.freeze(filled(&pool, 1 << 20)));
        let mut buffer = pool.take();
        buffer.extend_from_slice(b"the end");
        let piece = pool.freeze(buffer);
        assert_eq!(&piece[..], b"the end");
        assert!(kept(&pool) >= 1 << 20, "the buffer is free at once");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let pool = Pool::default();
        let pieces: Vec<_> = (0..5).map(|_| pool.freeze(vec![1; KEPT_OCTETS / 4])).collect();
        drop(pieces);
        assert_eq!(kept(&pool), KEPT_OCTETS);
    }
}
