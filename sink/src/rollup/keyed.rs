//! Hashes of keys that exporters choose: none of them may be able to make keys that collide.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Random odd numbers, another set in every process.
///
/// A key of words `w` hashes to the sum of `w * k` in 128 bits. Two keys that differ in one word never have the same
/// sum, and any other two do with a probability below 2^-63 (multilinear hashing): nobody who does not know the numbers
/// can do better. A word of zero adds nothing, so that a column which a batch lacks need not be looked at.
pub(crate) fn numbers<const N: usize>() -> [u64; N] {
    std::array::from_fn(|_| RandomState::new().build_hasher().finish() | 1)
}

/// What a word of a key adds to its hash.
#[inline]
pub(crate) fn word(word: u64, number: u64) -> u128 {
    u128::from(word) * u128::from(number)
}

/// A hash in 64 bits, all of which depend on all words.
#[inline]
pub(crate) fn folded(hash: u128) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = u128::from(hash as u64 ^ (hash >> 64) as u64) * u128::from(MIX);
    mixed as u64 ^ (mixed >> 64) as u64
}
