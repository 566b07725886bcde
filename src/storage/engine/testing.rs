//! The engine without a writer thread in front of it, for tests: this room's and the broker's.

use std::sync::Arc;

use super::super::disk::Disk;
use super::super::journal::Bounds;
use super::super::rows::{Layer, row_key};
use super::super::view::{Health, Only, Verdict, View};
use super::super::{Batch, OpenError, Rows, Table, Unsafe, trouble};
use super::{Engine, Sizes};

impl<D: Disk> Engine<D> {
    /// An engine without a writer thread in front of it.
    pub(crate) fn open(disk: D, sizes: Sizes) -> Result<Engine<D>, OpenError> {
        Engine::with(disk, sizes, Arc::new(View::new(Health::Well)))
    }
    /// Writes a batch, durably.
    ///
    /// # Errors
    /// When it is not safe. It is kept in RAM and written by a later [`Engine::mend`], unless that
    /// would be too much.
    pub(crate) fn apply(&mut self, batch: Batch) -> Result<(), Unsafe> {
        let verdict = self.view.judge(&batch, 0);
        let mut rows = Layer::default();
        rows.put_batch(batch, self.view.next_version());
        match verdict {
            Verdict::Accept => self.commit(&rows).map_err(|cause| trouble::as_unsafe(&cause)),
            Verdict::Hold(told) => {
                let _ = self.view.hold(rows, Only::Always);
                told
            }
            Verdict::Refuse(told) => Err(told),
        }
    }
    /// The value as last written.
    pub(crate) fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.view.read(&row_key(table, key), None)
    }
}

impl<D: Disk> Rows for Engine<D> {
    fn scan(&self, table: Table, each: &mut dyn FnMut(&[u8], &[u8])) {
        self.view.scan(table, Layer::default(), each);
    }
}

/// Sizes with which a test meets checkpoints, a full journal and the reserve within a few rows.
pub(crate) const SMALL: Sizes = Sizes {
    journal: Bounds { step_bytes: 1024, soft_bytes: 4096, hard_bytes: 6144 },
    fresh_bytes: 6000,
    reserve_bytes: 128 * 1024,
    rest_bytes: 512,
    slack_bytes: 0,
    hasty_bytes: u64::MAX,
    drained_bytes: 16 * 1024,
};
