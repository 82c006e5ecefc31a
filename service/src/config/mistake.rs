//! One mistake in the configuration, as one line that says where it is and what to do.

use std::fmt;

use super::tree::{Origin, Step, shown};

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
            Step::Key(key) if text.is_empty() => text.push_str(&shown(key)),
            Step::Key(key) => {
                text.push('.');
                text.push_str(&shown(key));
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_they_are_written() {
        let path = [Step::Key("a".into()), Step::Key("b".into()), Step::Index(2), Step::Key("c".into())];
        assert_eq!(path_text(&path), "a.b[2].c");
    }
}
