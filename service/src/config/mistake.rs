//! One mistake in the configuration, as one line that says where it is and what to do.

use std::fmt;

use super::tree::{Origin, Step};

/// One mistake, shown as `ORIGIN: WHAT`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// Where to correct it.
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.what)
    }
}

/// `collector.listen[1]`.
pub(crate) fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// Similarity below which a suggestion would only puzzle: one slip in three letters passes, an unrelated word does not.
const ALIKE: f64 = 0.6;

/// The candidate that looks most like `word`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_an_unrelated_word_none() {
        let known = ["listen", "workers", "receive_buffer_bytes"];
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("receive_buffer", known), Some("receive_buffer_bytes"));
        assert_eq!(nearest("kafka_brokers", known), None);
    }

    #[test]
    fn paths_read_as_they_are_written() {
        let path = [Step::Key("a".into()), Step::Key("b".into()), Step::Index(2), Step::Key("c".into())];
        assert_eq!(path_text(&path), "a.b[2].c");
    }
}
