//! What the writer and everybody else have in common: the rows that wait for their commit.
//!
//! The one lock is held for moments only, never during a commit.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::pending::{Pending, Told};
use super::place::Traffic;
use super::rows::{Layer, Row, row_key};
use super::view::{Health, Only, Verdict, View};
use super::{Batch, Counters, Status, Table, Unsafe, Window, trouble};

/// What waits is committed before its window ends once it is this much.
pub(super) const EARLY_BYTES: usize = 512 * 1024;

/// When a write must be on disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// At the end of its window, at the latest.
    At(Window),
    /// As soon as the writer can.
    Now,
}

/// Everything behind the lock.
#[derive(Default)]
pub(super) struct State {
    pub(super) pending: Pending,
    /// What the running commit writes; still older than `pending`, still newer than the engine's.
    pub(super) committing: Option<Arc<Layer>>,
    /// The nearest window asked for that the writer has not seen yet.
    pub(super) asked: Option<Window>,
    /// The nearest window that the writer has seen.
    pub(super) known: Option<Window>,
    pub(super) flush: bool,
    /// The daemon is going down: the writer is to end.
    pub(super) closing: bool,
    /// The writer has ended: every write is refused.
    pub(super) closed: bool,
    /// A write was held back: it is worth a look whether the disk is well again.
    pub(super) nudged: bool,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the writer.
    pub(super) wake: Condvar,
    pub(super) view: Arc<View>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) status: watch::Sender<Status>,
}

impl Shared {
    pub(super) fn over(view: View) -> Shared {
        Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            view: Arc::new(view),
            traffic: Arc::default(),
            status: watch::Sender::new(Status::default()),
        }
    }
    pub(super) fn on_disk() -> Shared {
        Shared::over(View::new(Health::Well))
    }
    pub(super) fn in_memory() -> Shared {
        Shared::over(View::in_memory())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counters(&self) -> Counters {
        let tally = &self.view.tally;
        Counters {
            written_bytes: self.traffic.bytes.load(Relaxed),
            journal_bytes: tally.journal_bytes.load(Relaxed),
            commits: tally.commits.load(Relaxed),
            checkpoints: tally.checkpoints.load(Relaxed),
            syncs: self.traffic.syncs.load(Relaxed),
            pending_bytes: (self.state().pending.bytes() + self.view.held_bytes()) as u64,
        }
    }

    pub(super) fn close(&self) {
        self.state().closing = true;
        self.wake.notify_one();
    }

    pub(super) fn write(&self, batch: Batch, due: Due, told: Told) {
        if let Some((told, verdict)) = self.take_in(batch, due, told) {
            told(verdict);
        }
    }

    /// Takes the write in; gives `told` back when the verdict is known already.
    fn take_in(&self, batch: Batch, due: Due, told: Told) -> Option<(Told, Result<(), Unsafe>)> {
        let waiting_bytes = self.state().pending.bytes();
        let verdict = self.view.judge(&batch, waiting_bytes);
        let mut state = self.state();
        if state.closed {
            return Some((told, Err(trouble::closed())));
        }
        let mut rows = Layer::default();
        rows.put_batch(batch, self.view.next_version());
        let (accepted, verdict) = match verdict {
            Verdict::Accept => (Some(rows), Ok(())),
            Verdict::Hold(verdict) => (self.view.hold(rows, Only::InTrouble), verdict),
            Verdict::Refuse(verdict) => (None, Err(verdict)),
        };
        if let Some(rows) = accepted {
            state.pending.add(rows, told);
            if state.ask(due) {
                self.wake.notify_one();
            }
            return None;
        }
        if verdict.is_err() && !std::mem::replace(&mut state.nudged, true) {
            self.wake.notify_one();
        }
        Some((told, verdict))
    }

    pub(super) fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let key = row_key(table, key);
        let newer = self.state().uncommitted(&key).cloned();
        let value = self.view.read(&key, newer.as_ref());
        self.tell_stumble();
        value
    }

    pub(super) fn scan(&self, table: Table, each: &mut dyn FnMut(&[u8], &[u8])) {
        let state = self.state();
        let mut newer = state.pending.rows().table(table);
        if let Some(rows) = &state.committing {
            newer.absorb(rows.table(table));
        }
        drop(state);
        self.view.scan(table, newer, each);
        self.tell_stumble();
    }

    /// A read met what was not written: the writer is to look.
    fn tell_stumble(&self) {
        if self.view.has_stumbled() {
            self.wake.notify_one();
        }
    }
}

impl State {
    /// Notes the wish; whether the writer must wake up for it.
    fn ask(&mut self, due: Due) -> bool {
        match due {
            Due::Now => !std::mem::replace(&mut self.flush, true),
            Due::At(window) => {
                let nearest = [self.asked, self.known].into_iter().flatten().min();
                let nearer = nearest.is_none_or(|nearest| window < nearest);
                if nearer {
                    self.asked = Some(window);
                }
                nearer || self.pending.bytes() > EARLY_BYTES
            }
        }
    }

    /// The row, if it waits for a commit or is in one.
    fn uncommitted(&self, row: &[u8]) -> Option<&Row> {
        let committing = || self.committing.as_ref().and_then(|rows| rows.get(row));
        self.pending.rows().get(row).or_else(committing)
    }
}
