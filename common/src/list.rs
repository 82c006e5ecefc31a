//! A column of lists: offsets and values, as Arrow and ClickHouse lay them out.

/// Rows of variable-length lists. Row `i` is `values[ends[i-1]..ends[i]]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListColumn<T> {
    ends: Vec<u32>,
    values: Vec<T>,
}

impl<T: Copy> ListColumn<T> {
    /// Rows, each of which has a list.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The list at `row`; empty beyond the last one.
    pub fn get(&self, row: usize) -> &[T] {
        let Some(&end) = self.ends.get(row) else { return &[] };
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.values.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// Appends the list of a row.
    pub fn push(&mut self, list: impl IntoIterator<Item = T>) {
        self.values.extend(list);
        self.ends.push(self.values.len() as u32);
    }

    /// Appends empty lists until there are `rows`; a column that is longer stays as it is.
    pub fn pad(&mut self, rows: usize) {
        if self.ends.len() < rows {
            self.ends.resize(rows, self.values.len() as u32);
        }
    }

    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.values.truncate(self.ends.last().copied().unwrap_or(0) as usize);
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Appends `other` behind the rows that are here.
    pub fn append(&mut self, other: &Self) {
        let base = self.values.len() as u32;
        self.values.extend_from_slice(&other.values);
        self.ends.extend(other.ends.iter().map(|end| base + end));
    }

    /// Ends of the rows in `values`, one per row.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The values of all rows, one after the other.
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_lists_over_pad_truncate_and_append() {
        let mut lists = ListColumn::default();
        lists.push([1, 2]);
        lists.pad(3);
        lists.push([9]);
        assert_eq!((lists.get(0), lists.get(1), lists.get(3)), (&[1, 2][..], &[][..], &[9][..]));

        let mut whole = ListColumn::default();
        whole.push([7]);
        whole.append(&lists);
        assert_eq!((whole.len(), whole.get(1), whole.get(4)), (5, &[1, 2][..], &[9][..]));

        whole.truncate(2);
        assert_eq!((whole.len(), whole.values()), (2, &[7, 1, 2][..]));
        assert_eq!(whole.get(4), &[] as &[i32]);
    }
}
