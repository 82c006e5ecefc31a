//! Strings of a snapshot, each kept once: rows hold four octets instead of a `String` of 24 and an allocation.
//!
//! 400,000 interfaces have a few hundred thousand different strings, most of them short. They lie one behind the other in
//! a single buffer, so that a snapshot is a handful of allocations whatever its size.

use std::hash::BuildHasher;

use hashbrown::HashTable;

/// Refers to a string of one snapshot. Means nothing in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(pub(crate) u32);

impl Text {
    /// The empty string: what NetBox leaves blank or null.
    pub const EMPTY: Self = Self(0);

    /// Whether it is the empty string.
    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    /// Position in [`Texts::iter`]: for tables that translate each string once.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The strings of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    pub(crate) buffer: String,
    /// Where each string ends; it begins where the one before ends.
    pub(crate) ends: Vec<u32>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { buffer: String::new(), ends: vec![0] }
    }
}

impl Texts {
    /// The string; empty for a handle of another snapshot that is out of range here.
    pub fn get(&self, text: Text) -> &str {
        let start = text.index().checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(text.index()).copied().unwrap_or(start);
        self.buffer.get(start as usize..end as usize).unwrap_or_default()
    }

    /// All strings, in the order of their [`Text::index`]; the first is the empty one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(Text(index as u32)))
    }

    /// How many different strings there are, the empty one included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Always `false`: the empty string is always there.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Octets of all strings together.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// A pool that still grows: finds a string that it has already.
#[derive(Debug, Default)]
pub struct Interner {
    texts: Texts,
    index: HashTable<Text>,
    hasher: foldhash::quality::RandomState,
}

impl Interner {
    /// Goes on where a snapshot's strings end; handles into them stay valid.
    pub fn resume(texts: Texts) -> Self {
        let mut interner = Self { texts, ..Self::default() };
        let Self { texts, index, hasher } = &mut interner;
        index.reserve(texts.len(), |_| 0);
        for number in 1..texts.len() as u32 {
            let hash = |text: &Text| hasher.hash_one(texts.get(*text));
            index.insert_unique(hash(&Text(number)), Text(number), hash);
        }
        interner
    }

    /// The handle of `string`, which is added unless it is there. A pool of 4 GiB takes no more: further strings are empty.
    pub fn intern(&mut self, string: &str) -> Text {
        if string.is_empty() {
            return Text::EMPTY;
        }
        let Self { texts, index, hasher } = self;
        let hash = hasher.hash_one(string);
        if let Some(text) = index.find(hash, |text| texts.get(*text) == string) {
            return *text;
        }
        let Ok(end) = u32::try_from(texts.buffer.len() + string.len()) else { return Text::EMPTY };
        let text = Text(texts.ends.len() as u32);
        texts.buffer.push_str(string);
        texts.ends.push(end);
        index.insert_unique(hash, text, |text| hasher.hash_one(texts.get(*text)));
        text
    }

    /// The string of a handle.
    pub fn get(&self, text: Text) -> &str {
        self.texts.get(text)
    }

    /// The pool without what is only needed to add strings to it.
    pub fn finish(mut self) -> Texts {
        self.texts.buffer.shrink_to_fit();
        self.texts.ends.shrink_to_fit();
        self.texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_kept_once_and_found_again_after_resuming() {
        let mut interner = Interner::default();
        let (name, site, again) = (interner.intern("edge-1"), interner.intern("Zürich"), interner.intern("edge-1"));
        assert_eq!(name, again);
        let mut interner = Interner::resume(interner.finish());
        assert_eq!((interner.intern("Zürich"), interner.intern("")), (site, Text::EMPTY));
        let new = interner.intern("new");
        let texts = interner.finish();
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["", "edge-1", "Zürich", "new"]);
        assert_eq!((texts.get(name), texts.get(new), texts.get(Text(99))), ("edge-1", "new", ""));
    }
}
