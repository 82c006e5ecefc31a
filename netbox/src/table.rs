//! Rows of one kind, sorted by NetBox's id: found by bisection, merged in one pass.

/// What has an id in NetBox.
pub trait Row {
    /// NetBox's primary key; unique within the kind, never 0.
    fn id(&self) -> u32;
}

/// Rows in rising order of their ids, each id once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table<T>(Vec<T>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Row> Table<T> {
    /// Takes rows in any order; of several with one id the last counts, as it is the newest.
    pub fn new(mut rows: Vec<T>) -> Self {
        // A stable sort keeps the order of arrival among equals; reversed, the newest is the one that stays.
        rows.reverse();
        rows.sort_by_key(Row::id);
        rows.dedup_by_key(|row| row.id());
        rows.shrink_to_fit();
        Self(rows)
    }

    /// The row with this id.
    pub fn get(&self, id: u32) -> Option<&T> {
        self.position(id).and_then(|position| self.0.get(position))
    }

    /// Where the row with this id lies in [`rows`](Self::rows).
    pub fn position(&self, id: u32) -> Option<usize> {
        self.0.binary_search_by_key(&id, Row::id).ok()
    }

    /// All rows, in rising order of their ids.
    pub fn rows(&self) -> &[T] {
        &self.0
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a, T> IntoIterator for &'a Table<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Row for (u32, char) {
        fn id(&self) -> u32 {
            self.0
        }
    }

    #[test]
    fn of_rows_with_one_id_the_last_counts() {
        let table = Table::new(vec![(7, 'a'), (2, 'b'), (7, 'c'), (9, 'd')]);
        assert_eq!(table.rows(), [(2, 'b'), (7, 'c'), (9, 'd')]);
        assert_eq!((table.get(7), table.get(8), table.position(9)), (Some(&(7, 'c')), None, Some(2)));
    }
}
