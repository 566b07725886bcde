//! What the writer and everybody else have in common: the rows that wait, and the open database.
//!
//! The one lock is held for moments only, never during a commit.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::backend::Traffic;
use super::disk::{Disk, Fault};
use super::pending::{Pending, Rows, Told, batch_cost, row_key};
use super::{Batch, Counters, Status, Table, Unsafe, Window, trouble};
use crate::contract;

/// What may wait in RAM; more is refused. Enough for any burst the broker's own limits let through.
const PENDING_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// What waits is committed before its window ends once it is this much.
pub(super) const EARLY_BYTES: usize = 1024 * 1024;
/// A read whose database is being re-opened tries again, this often and this long.
const READ_TRIES: usize = 3;
const READ_PATIENCE: Duration = Duration::from_millis(200);

/// When a write must be on disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// At the end of its window, at the latest.
    At(Window),
    /// As soon as the writer can.
    Now,
}

/// What a write counts as.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mode {
    /// Safe when committed.
    OnDisk,
    /// Safe at once, as far as RAM is: there never was a disk that takes it.
    InRam,
    /// Not safe; kept in RAM until the disk takes it.
    InTrouble(contract::Error),
    /// Refused: the daemon is going down.
    Closed,
}

/// Everything behind the lock.
pub(super) struct State {
    pub(super) mode: Mode,
    pub(super) pending: Pending,
    /// What the running commit writes; still older than `pending`, still newer than `disk`.
    pub(super) committing: Option<Arc<Rows>>,
    pub(super) disk: Option<Arc<Disk>>,
    /// redb is closed and opens again: reads wait, because what is on disk cannot be seen.
    pub(super) reopening: bool,
    /// The nearest window asked for that the writer has not seen yet.
    pub(super) asked: Option<Window>,
    /// The nearest window that the writer has seen.
    pub(super) known: Option<Window>,
    pub(super) flush: bool,
    pub(super) closing: bool,
    /// A read met a corrupt page.
    pub(super) stumbled: Option<String>,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the writer.
    pub(super) wake: Condvar,
    /// Wakes readers after a re-open.
    pub(super) reopened: Condvar,
    pub(super) traffic: Arc<Traffic>,
    pub(super) commits: AtomicU64,
    pub(super) status: watch::Sender<Status>,
    bounded: bool,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared {
            state: Mutex::new(State {
                mode: Mode::OnDisk,
                pending: Pending::default(),
                committing: None,
                disk: None,
                reopening: false,
                asked: None,
                known: None,
                flush: false,
                closing: false,
                stumbled: None,
            }),
            wake: Condvar::new(),
            reopened: Condvar::new(),
            traffic: Arc::default(),
            commits: AtomicU64::new(0),
            status: watch::Sender::new(Status::default()),
            bounded: true,
        }
    }
}

impl Shared {
    pub(super) fn in_memory() -> Shared {
        let shared = Shared { bounded: false, ..Shared::default() };
        shared.state().mode = Mode::InRam;
        shared
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            written_bytes: self.traffic.bytes.load(Relaxed),
            commits: self.commits.load(Relaxed),
            syncs: self.traffic.syncs.load(Relaxed),
            pending_bytes: self.state().pending.bytes() as u64,
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
        let mut state = self.state();
        let cause = match &state.mode {
            Mode::Closed => return Some((told, Err(trouble::closed()))),
            Mode::InTrouble(cause) => Some(cause.clone()),
            Mode::OnDisk | Mode::InRam => None,
        };
        let grows = batch.writes.iter().any(|(_, _, value)| value.is_some());
        if self.bounded && grows && state.pending.bytes() + batch_cost(&batch) > PENDING_LIMIT_BYTES
        {
            return Some((told, Err(trouble::behind(cause.as_ref()))));
        }
        match state.mode {
            Mode::OnDisk => {
                state.pending.add(batch, told);
                if state.ask(due) {
                    self.wake.notify_one();
                }
                None
            }
            Mode::InRam | Mode::InTrouble(_) | Mode::Closed => {
                state.pending.add_rows(batch);
                Some((told, cause.map_or(Ok(()), |cause| Err(trouble::as_unsafe(&cause)))))
            }
        }
    }

    pub(super) fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let row = row_key(table, key);
        for _ in 0..READ_TRIES {
            let state = self.settled();
            if let Some(value) = state.uncommitted(&row) {
                return value.clone();
            }
            let disk = state.disk.clone()?;
            drop(state);
            match disk.read(&row) {
                Ok(value) => return value,
                Err(Fault::Io(_)) => self.wait_for_another(disk),
                Err(Fault::Corrupt(what)) => {
                    self.stumbled(what);
                    return None;
                }
            }
        }
        None
    }

    pub(super) fn scan(&self, table: Table, each: &mut dyn FnMut(&[u8], &[u8])) {
        let number = table as u8;
        let mut newer = Rows::new();
        let state = self.settled();
        for rows in [state.committing.as_deref(), Some(state.pending.rows())].into_iter().flatten()
        {
            let range = rows.range(vec![number]..vec![number + 1]);
            newer.extend(range.map(|(key, value)| (key.clone(), value.clone())));
        }
        let disk = state.disk.clone();
        drop(state);
        let mut newer = newer.into_iter().peekable();
        let mut merge = |key: &[u8], value: &[u8]| {
            while let Some((newer_key, newer_value)) = newer.next_if(|(k, _)| k.as_slice() < key) {
                if let Some(value) = newer_value {
                    each(&newer_key[1..], &value);
                }
            }
            match newer.next_if(|(k, _)| k.as_slice() == key) {
                Some((_, Some(newer_value))) => each(&key[1..], &newer_value),
                Some((_, None)) => {}
                None => each(&key[1..], value),
            }
        };
        if let Some(disk) = disk
            && let Err(fault) = disk.scan(table, &mut merge)
        {
            self.stumbled(fault.to_string());
        }
        for (key, value) in newer {
            if let Some(value) = value {
                each(&key[1..], &value);
            }
        }
    }

    /// The state, when no re-open is under way.
    fn settled(&self) -> MutexGuard<'_, State> {
        let state = self.state();
        self.reopened
            .wait_while(state, |state| state.reopening)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// redb fails every call after the first that failed: the writer is about to open it anew.
    fn wait_for_another(&self, disk: Arc<Disk>) {
        let failed = Arc::as_ptr(&disk);
        drop(disk); // the writer waits for the last reader before it closes
        let same =
            |state: &mut State| state.disk.as_ref().is_some_and(|d| Arc::as_ptr(d) == failed);
        let _ = self.reopened.wait_timeout_while(self.state(), READ_PATIENCE, same);
    }

    /// A read met a corrupt page; the writer leaves the note for the next start.
    fn stumbled(&self, what: String) {
        self.state().stumbled = Some(what);
        self.wake.notify_one();
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

    /// The value of a row that is not on disk yet; `Some(None)`: removed.
    fn uncommitted(&self, row: &[u8]) -> Option<&Option<Vec<u8>>> {
        let committing = || self.committing.as_ref().and_then(|rows| rows.get(row));
        self.pending.rows().get(row).or_else(committing)
    }
}
