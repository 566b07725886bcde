//! What waits for the next commit. Pure: no clock, no file.
//!
//! Rows are kept by key, so a later write of a key replaces an earlier one, and a value that is
//! removed again before its commit never reaches the disk. Whoever wrote it is told all the same.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Batch, Table, Unsafe, Window};

/// What is told the outcome of a write.
pub(super) type Told = Box<dyn FnOnce(Result<(), Unsafe>) + Send>;

/// Rows by [`row_key`]; `None` removes.
pub(super) type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What a row costs in RAM besides its key and value: node, vectors, waiter.
const ROW_OVERHEAD_BYTES: usize = 100;

/// The key of a row in the one tree: the table's number, then the key.
pub(super) fn row_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + key.len());
    row.push(table as u8);
    row.extend_from_slice(key);
    row
}

/// Writes that wait for their commit.
#[derive(Default)]
pub(super) struct Pending {
    rows: Rows,
    waiters: Vec<Told>,
    bytes: usize,
}

impl Pending {
    /// Takes a batch in.
    pub(super) fn add(&mut self, batch: Batch, told: Told) {
        self.add_rows(batch);
        self.waiters.push(told);
    }
    /// Takes a batch in whose writer has been told already.
    pub(super) fn add_rows(&mut self, batch: Batch) {
        for (table, key, value) in batch.writes {
            let key = row_key(table, &key);
            self.bytes += cost(&key, value.as_ref());
            let key_bytes = key.len();
            if let Some(earlier) = self.rows.insert(key, value) {
                self.bytes -= ROW_OVERHEAD_BYTES + key_bytes + earlier.map_or(0, |v| v.len());
            }
        }
    }
    /// Puts back rows whose commit failed; what was written since is newer and stays.
    pub(super) fn put_back(&mut self, rows: Rows) {
        for (key, value) in rows {
            if !self.rows.contains_key(&key) {
                self.bytes += cost(&key, value.as_ref());
                self.rows.insert(key, value);
            }
        }
    }
    /// Takes everything out, for one commit.
    pub(super) fn take(&mut self) -> (Rows, Vec<Told>) {
        self.bytes = 0;
        (std::mem::take(&mut self.rows), std::mem::take(&mut self.waiters))
    }
    /// Takes out whoever waits, and leaves the rows.
    pub(super) fn take_waiters(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.waiters)
    }
    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }
    /// What the rows cost in RAM, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a batch adds at most.
pub(super) fn batch_cost(batch: &Batch) -> usize {
    batch.writes.iter().map(|(_, key, value)| 1 + cost(key, value.as_ref())).sum()
}

fn cost(key: &[u8], value: Option<&Vec<u8>>) -> usize {
    ROW_OVERHEAD_BYTES + key.len() + value.map_or(0, Vec::len)
}

/// When the next commit is due: at the nearest end of a window.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Schedule {
    due: Option<Instant>,
}

impl Schedule {
    /// A write of this window came in, or had come in when the writer looked.
    pub(super) fn ask(&mut self, now: Instant, window: Window) {
        let end = now + window.longest();
        self.due = Some(self.due.map_or(end, |due| due.min(end)));
    }
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
    pub(super) fn clear(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;
    use std::time::Duration;

    #[test]
    fn a_later_write_of_a_key_replaces_the_earlier_and_both_writers_are_told() {
        let mut pending = Pending::default();
        pending.add(Batch::default().put(Table::Meta, "k", "old"), Box::new(|_| ()));
        pending.add(Batch::default().put(Table::Meta, "k", "new"), Box::new(|_| ()));
        let (rows, waiters) = pending.take();
        assert_eq!(rows, Rows::from([(b"\0k".to_vec(), Some(b"new".to_vec()))]));
        assert_eq!(waiters.len(), 2);
    }

    #[test]
    fn the_same_key_in_two_tables_is_two_rows() {
        let mut pending = Pending::default();
        let batch = Batch::default().put(Table::Meta, "k", "a").put(Table::Config, "k", "b");
        pending.add_rows(batch);
        assert_eq!(pending.rows().len(), 2);
    }

    #[test]
    fn what_was_written_since_a_failed_commit_outlives_what_is_put_back() {
        let mut pending = Pending::default();
        pending.add_rows(Batch::default().put(Table::Meta, "a", "1").put(Table::Meta, "b", "1"));
        let (rows, _) = pending.take();
        pending.add_rows(Batch::default().delete(Table::Meta, "a"));
        pending.put_back(rows);
        assert_eq!(pending.rows()[&row_key(Table::Meta, b"a")], None);
        assert_eq!(pending.rows()[&row_key(Table::Meta, b"b")], Some(b"1".to_vec()));
    }

    #[test]
    fn the_cost_of_what_waits_is_known_and_nothing_when_taken() {
        let mut pending = Pending::default();
        for _ in 0..3 {
            pending.add_rows(Batch::default().put(Table::Meta, "k", vec![0; 1000]));
        }
        assert_eq!(pending.bytes(), ROW_OVERHEAD_BYTES + 2 + 1000);
        pending.add_rows(Batch::default().delete(Table::Meta, "k"));
        assert_eq!(pending.bytes(), ROW_OVERHEAD_BYTES + 2);
        pending.take();
        assert_eq!(pending.bytes(), 0);
    }

    #[test]
    fn the_nearest_window_decides_when_everything_is_committed() {
        let mut schedule = Schedule::default();
        schedule.ask(at(0), Window::Background);
        assert_eq!(schedule.due(), Some(at(30)));
        schedule.ask(at(10), Window::Lazy);
        assert_eq!(schedule.due(), Some(at(15)));
        schedule.ask(at(11), Window::Promise);
        assert_eq!(schedule.due(), Some(at(11) + Duration::from_millis(5)));
        schedule.ask(at(12), Window::Background);
        assert_eq!(schedule.due(), Some(at(11) + Duration::from_millis(5)));
    }
}
