//! What waits for the next commit. Pure: no clock, no file.
//!
//! A later write of a key replaces an earlier one, and a value that is removed again before its
//! commit never reaches the disk. Whoever wrote it is told all the same.

use std::time::Instant;

use super::rows::Layer;
use super::{Unsafe, Window};

/// What is told the outcome of a write.
pub(super) type Told = Box<dyn FnOnce(Result<(), Unsafe>) + Send>;

/// Writes that wait for their commit.
#[derive(Default)]
pub(super) struct Pending {
    rows: Layer,
    waiters: Vec<Told>,
}

impl Pending {
    /// Takes a batch's rows in.
    pub(super) fn add(&mut self, rows: Layer, told: Told) {
        self.rows.absorb(rows);
        self.waiters.push(told);
    }
    /// Takes everything out, for one commit.
    pub(super) fn take(&mut self) -> (Layer, Vec<Told>) {
        (std::mem::take(&mut self.rows), std::mem::take(&mut self.waiters))
    }
    pub(super) fn rows(&self) -> &Layer {
        &self.rows
    }
    /// What the rows cost in RAM, about.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes()
    }
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
    use crate::storage::{Batch, Table};
    use std::time::Duration;

    #[test]
    fn a_later_write_of_a_key_replaces_the_earlier_and_both_writers_are_told() {
        let mut pending = Pending::default();
        for (version, value) in [(1, "old"), (2, "new")] {
            let mut rows = Layer::default();
            rows.put_batch(Batch::default().put(Table::Meta, "k", value), version);
            pending.add(rows, Box::new(|_| ()));
        }
        let (rows, waiters) = pending.take();
        let values: Vec<_> = rows.iter().map(|(_, row)| row.value.as_deref()).collect();
        assert_eq!(values, [Some(b"new".as_slice())]);
        assert_eq!(waiters.len(), 2);
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
