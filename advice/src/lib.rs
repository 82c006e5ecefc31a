//! What a message says about a value that cannot work: the range that it must lie in, the name that was probably meant. And
//! how it says a number.
//!
//! Configurations, filters and flags say it in the same words, which docs/configuration.md and scripts rest on.

#![deny(missing_docs, unreachable_pub)]

use std::fmt::Display;

/// Says what is wrong with a value outside of `low..=high`: `must be from 1 to 256, found 0`. `None` for a value inside.
pub fn outside<T: PartialOrd + Display>(value: T, low: T, high: T) -> Option<String> {
    // A NaN is in no range.
    let inside = (&low..=&high).contains(&&value);
    (!inside).then(|| format!("must be from {low} to {high}, found {value}"))
}

/// Similarity below which a suggestion would only puzzle: one slip in three letters passes, an unrelated word does not.
const ALIKE: f64 = 0.6;

/// The candidate that looks most like `word`; `None` if none looks like it.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// A number with its noun: `1 row`, `2 rows`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Bytes with a binary prefix, as keys of the configuration are usually set: `240 MiB`.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 && b.is_multiple_of(1 << 30) => format!("{} GiB", b >> 30),
        b if b >= 1 << 20 => format!("{} MiB", b >> 20),
        b if b >= 1 << 10 => format!("{} KiB", b >> 10),
        b => format!("{b} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_belong_to_the_range() {
        assert_eq!([outside(1, 1, 256), outside(256, 1, 256)], [None, None]);
        assert_eq!(outside(10_000_000, 1, 1_048_449).unwrap(), "must be from 1 to 1048449, found 10000000");
        assert_eq!(outside(-0.5, 0.0, 1.0).unwrap(), "must be from 0 to 1, found -0.5");
        assert_eq!(outside(f64::NAN, 0.0, 1.0).unwrap(), "must be from 0 to 1, found NaN");
    }

    #[test]
    fn a_slip_finds_its_word_and_an_unrelated_word_none() {
        let known = ["listen", "workers", "receive_buffer_bytes"];
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("receive_buffer", known), Some("receive_buffer_bytes"));
        assert_eq!(nearest("kafka_brokers", known), None);
    }

    #[test]
    fn sizes_are_shown_as_they_are_set() {
        for (octets, text) in [(100, "100 bytes"), (4 << 10, "4 KiB"), (240 << 20, "240 MiB"), (1 << 30, "1 GiB")] {
            assert_eq!(bytes(octets), text);
        }
    }
}
