//! Rows in RAM. Pure: no clock, no file.
//!
//! A row may be in several layers at once (waiting for a commit, in the journal, refused by a full
//! disk); each write has a version, and the highest is what counts.

use std::collections::{BTreeMap, btree_map};

use super::{Batch, Table};

/// What a row costs in RAM besides its key and value: node, vectors, waiter.
const ROW_OVERHEAD_BYTES: usize = 100;

/// The key of a row in the one tree: the table's number, then the key.
pub(super) fn row_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + key.len());
    row.push(table as u8);
    row.extend_from_slice(key);
    row
}

/// One write of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) version: u64,
    /// `None` removes.
    pub(super) value: Option<Vec<u8>>,
    /// Whether the tree may have a row of this key: if not, a removal leaves nothing to be done there.
    pub(super) in_tree: bool,
}

/// Rows by [`row_key`], the newest version of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layer {
    rows: BTreeMap<Vec<u8>, Row>,
    bytes: usize,
}

impl Layer {
    /// Takes a row in, unless a newer one is there.
    pub(super) fn put(&mut self, key: Vec<u8>, row: Row) {
        let more = cost(&key, row.value.as_deref());
        match self.rows.entry(key) {
            btree_map::Entry::Occupied(mut entry) => {
                if entry.get().version > row.version {
                    return;
                }
                let less = cost(entry.key(), entry.get().value.as_deref());
                self.bytes = self.bytes + more - less;
                entry.insert(row);
            }
            btree_map::Entry::Vacant(entry) => {
                self.bytes += more;
                entry.insert(row);
            }
        }
    }
    /// Takes a batch in, as of this version.
    pub(super) fn put_batch(&mut self, batch: Batch, version: u64) {
        for (table, key, value) in batch.writes {
            self.put(row_key(table, &key), Row { version, value, in_tree: true });
        }
    }
    pub(super) fn remove(&mut self, key: &[u8]) {
        if let Some((key, row)) = self.rows.remove_entry(key) {
            self.bytes -= cost(&key, row.value.as_deref());
        }
    }
    /// Takes out every row that `others` has as new or newer.
    pub(super) fn remove_settled(&mut self, others: &Layer) {
        for (key, other) in &others.rows {
            if self.rows.get(key).is_some_and(|row| row.version <= other.version) {
                self.remove(key);
            }
        }
    }
    /// From now on, the tree may have any of these rows.
    pub(super) fn doubt(&mut self) {
        self.rows.values_mut().for_each(|row| row.in_tree = true);
    }
    pub(super) fn get(&self, key: &[u8]) -> Option<&Row> {
        self.rows.get(key)
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Row)> {
        self.rows.iter().map(|(key, row)| (key.as_slice(), row))
    }
    /// A copy of the rows of one table.
    pub(super) fn table(&self, table: Table) -> Layer {
        let number = table as u8;
        let mut rows = Layer::default();
        for (key, row) in self.rows.range(vec![number]..vec![number + 1]) {
            rows.put(key.clone(), row.clone());
        }
        rows
    }
    /// Takes in every row of another layer that is newer than the one here.
    pub(super) fn absorb(&mut self, other: Layer) {
        for (key, row) in other.rows {
            self.put(key, row);
        }
    }
    pub(super) fn into_rows(self) -> btree_map::IntoIter<Vec<u8>, Row> {
        self.rows.into_iter()
    }
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// What the rows cost in RAM, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a batch adds at most.
pub(super) fn batch_cost(batch: &Batch) -> usize {
    batch.writes.iter().map(|(_, key, value)| 1 + cost(key, value.as_deref())).sum()
}

fn cost(key: &[u8], value: Option<&[u8]>) -> usize {
    ROW_OVERHEAD_BYTES + key.len() + value.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(key: &str, value: &str) -> Batch {
        Batch::default().put(Table::Meta, key, value)
    }

    #[test]
    fn the_same_key_in_two_tables_is_two_rows() {
        let mut layer = Layer::default();
        layer.put_batch(batch("k", "a").put(Table::Config, "k", "b"), 1);
        assert_eq!(layer.iter().count(), 2);
        assert_eq!(layer.table(Table::Config).iter().count(), 1);
    }

    #[test]
    fn the_newest_version_of_a_row_stays_in_whatever_order_they_come() {
        let mut layer = Layer::default();
        layer.put_batch(batch("k", "new"), 2);
        layer.put_batch(batch("k", "old"), 1);
        layer.put_batch(batch("other", "old"), 1);
        layer.put_batch(batch("other", "new"), 2);
        assert!(layer.iter().all(|(_, row)| row.value.as_deref() == Some(b"new")));
    }

    #[test]
    fn what_another_layer_has_as_new_or_newer_is_settled() {
        let (mut held, mut safe) = (Layer::default(), Layer::default());
        held.put_batch(batch("old", "1").put(Table::Meta, "same", "1"), 1);
        held.put_batch(batch("new", "2"), 3);
        let rows = batch("old", "2").put(Table::Meta, "same", "1").put(Table::Meta, "new", "1");
        safe.put_batch(rows, 1);
        held.remove_settled(&safe);
        assert_eq!(held.iter().map(|(key, _)| key).collect::<Vec<_>>(), [b"\0new"]);
    }

    #[test]
    fn the_cost_of_the_rows_is_known() {
        let mut layer = Layer::default();
        for version in 0..3 {
            layer.put_batch(Batch::default().put(Table::Meta, "k", vec![0; 1000]), version);
        }
        assert_eq!(layer.bytes(), ROW_OVERHEAD_BYTES + 2 + 1000);
        layer.put_batch(Batch::default().delete(Table::Meta, "k"), 3);
        assert_eq!(layer.bytes(), ROW_OVERHEAD_BYTES + 2);
        layer.remove(b"\0k");
        assert_eq!(layer.bytes(), 0);
    }
}
