//! Splits a document into parts that each fit into a ConfigMap.
//!
//! An entry's part depends on its key and the number of parts alone, and when a part is added only the entries that move
//! into it move (jump consistent hash: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014).

use crate::document::{Document, ListKind};
use crate::name::stable_hash;

/// More parts than this are refused: with 768 KiB each they hold some 200,000 targets.
pub const PARTS_MAX: u32 = 256;

/// Bytes of a part: three quarters of what Kubernetes takes as a ConfigMap (1 MiB), so that a part grows before it is split.
pub const PART_BYTES: usize = 768 * 1024;

/// A single entry, or the number of parts, is beyond what can be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the targets of {kind} do not fit into {PARTS_MAX} parts of {limit} bytes: give each part more bytes")]
pub struct TooLarge {
    /// Label of the [`ListKind`].
    pub kind: &'static str,
    /// Bytes of a part.
    pub limit: usize,
}

/// The part of a key.
pub fn part_of(key: &str, parts: u32) -> u32 {
    let (mut hash, mut part, mut next) = (stable_hash(key), 0_i64, 0_i64);
    while next < i64::from(parts) {
        part = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((part + 1) as f64 * ((1_u64 << 31) as f64 / ((hash >> 33) + 1) as f64)) as i64;
    }
    part as u32
}

/// How many parts a document needs so that none has more than `limit` bytes. `at_least` is configured, `published` is how
/// many there are: that many stay until half of them would do, so that a device more or less moves no others.
///
/// # Errors
/// When no number of parts is enough.
pub fn count(
    kind: ListKind,
    document: &Document,
    limit: usize,
    at_least: u32,
    published: u32,
) -> Result<u32, TooLarge> {
    let sizes: Vec<(&str, usize)> =
        document.entries().map(|(key, value)| (key, Document::rendered_len(key, value))).collect();
    let total: usize = sizes.iter().map(|(_, size)| size).sum();
    let fits = |parts: u32| {
        // The head of a file and its brackets.
        let mut filled = vec![128_usize; parts as usize];
        for (key, size) in &sizes {
            filled[part_of(key, parts) as usize] += size;
        }
        filled.iter().all(|bytes| *bytes <= limit)
    };
    let low = at_least.max(u32::try_from(total / limit.max(1)).unwrap_or(u32::MAX)).max(1);
    let needed = (low..=PARTS_MAX).find(|parts| fits(*parts)).ok_or(TooLarge { kind: kind.name(), limit })?;
    let keeps =
        published > needed && published <= needed.saturating_mul(2) && published <= PARTS_MAX && fits(published);
    Ok(if keeps { published } else { needed })
}

/// The texts of the parts, the first one first.
pub fn split(kind: ListKind, document: &Document, parts: u32) -> Vec<String> {
    (0..parts).map(|part| document.filtered(|key| part_of(key, parts) == part).render(kind)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_part_more_moves_only_what_moves_into_it() {
        let keys: Vec<String> = (0..2000).map(|at| format!("edge-{at}")).collect();
        for parts in 1..20 {
            let moved = keys.iter().filter(|key| part_of(key, parts) != part_of(key, parts + 1));
            let moved: Vec<u32> = moved.map(|key| part_of(key, parts + 1)).collect();
            assert!(moved.iter().all(|part| *part == parts), "entries moved between old parts");
            let share = moved.len() as f64 / keys.len() as f64 * f64::from(parts + 1);
            assert!((0.7..1.3).contains(&share), "{parts}: {share}");
        }
    }

    /// Computed by another implementation, in Python. A change of these would move targets between the collectors of
    /// every installation.
    #[test]
    fn parts_stay_where_they_are_in_every_version() {
        let parts: Vec<u32> = ["edge-1", "edge-2", "core-1", "lab"].iter().map(|key| part_of(key, 8)).collect();
        assert_eq!(parts, [3, 3, 3, 5]);
    }

    proptest! {
        #[test]
        fn every_key_has_a_part(key in any::<String>(), parts in 1_u32..300) {
            prop_assert!(part_of(&key, parts) < parts);
        }
    }
}
