//! Every table in one list, one writer, group commit.
//!
//! ```text
//!   broker, ledger, ... -- write(Batch, Window) --> pending (by table and key: a later write of the
//!                                                   same key replaces the earlier one)
//!                                                      | the nearest window ends
//!                                                      v
//!                                        one frame in the journal --> every waiter is told
//!                                                      | about each MiB, or after a long rest
//!                                                      v
//!                                        one redb commit of what is left of it
//! ```
//!
//! Reads see what is written at once, committed or not, and never wait for a sync. Trouble never ends
//! the daemon (`status/storage` says it):
//!
//! | found | then |
//! |---|---|
//! | a corrupt file | set aside as `maestro.redb.corrupt-<n>` or `maestro.journal.corrupt-<n>`; on with what can be read |
//! | a directory that cannot be written, or is full, at the start | RAM; writes count as done; tried again |
//! | a full disk later | what grows is told [`Unsafe`], stays in RAM, is tried again until it is on disk; what shrinks goes on |
//! | a disk that fails | as a full one, for everything |
//! | another process on the files | [`OpenError::InUse`] |
//!
//! The files: `maestro.redb` and `maestro.journal` are the store, only together; `maestro.reserve` is
//! room to be given back when the disk is full.

mod aside;
mod backend;
mod checksum;
mod disk;
mod engine;
#[cfg(test)]
pub(crate) mod faulty;
mod frame;
mod journal;
pub mod message;
mod pending;
mod place;
mod reserve;
mod rows;
mod shared;
mod tree;
mod trouble;
mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::contract;
use shared::Shared;
use writer::Writer;

#[cfg(test)]
#[expect(unused_imports, reason = "for the tests of other rooms")]
pub(crate) use {
    engine::{Engine, Sizes, testing::SMALL},
    view::Health,
};

/// Every table there is. The discriminant is on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Facts about the box: random gateway id, last boot id.
    Meta = 0,
    /// Retained messages: topic -> message.
    Retained = 1,
    /// Persistent sessions: client id -> session with its subscriptions.
    Session = 2,
    /// Queued messages of persistent sessions.
    Queue = 3,
    /// The command ledger: sequence -> record.
    Ledger = 4,
    /// The last configuration that loaded: its name -> its bytes.
    Config = 5,
    /// QoS 2 packet identifiers that persistent sessions have received and not yet released.
    Received = 6,
    /// Queued messages of shared subscriptions: share filter, number -> message.
    Group = 7,
}

/// How long a write may wait for company before it is committed. In order: the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// `storage.full`, `storage.read_only`, `storage.busy`, `storage.failed`.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

/// How the store is, for `status/storage`; told only when it changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Why it works only in part (`storage.full`, `storage.read_only`, `storage.corrupt`, ..);
    /// `None`: everything works.
    pub trouble: Option<contract::Error>,
}

/// What the store has done since the daemon started, for `metric/storage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes handed to the kernel for all files of the store.
    pub written_bytes: u64,
    /// Of these, bytes of commits in the journal.
    pub journal_bytes: u64,
    /// Group commits.
    pub commits: u64,
    /// Commits that took everything from the journal into the database.
    pub checkpoints: u64,
    /// Calls of fdatasync.
    pub syncs: u64,
    /// Bytes that wait in RAM for their commit.
    pub pending_bytes: u64,
}

/// Rows that can be read in order: a [`Store`], or in tests the engine behind it.
pub trait Rows {
    /// Every row of a table as last written, in key order.
    fn scan(&self, table: Table, each: &mut dyn FnMut(&[u8], &[u8]));
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

/// A handle on the store. Cheap to clone; reads never wait for the writer. When the last handle is
/// dropped, the store is shut down.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    owner: Arc<Owner>,
}

/// Ends the writer with the last handle.
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens (or makes) the store in the state directory and starts the writer.
    ///
    /// A corrupt file is set aside, a directory that cannot be written leaves the store in RAM: both
    /// are told by [`Store::status`]. A panic of the writer ends the process.
    ///
    /// # Errors
    /// When another process holds the file.
    pub fn open(directory: &Path) -> Result<Store, OpenError> {
        let shared = Arc::new(Shared::on_disk());
        let writer = Writer::open(shared.clone(), directory)?;
        let thread = std::thread::Builder::new()
            .name("storage".to_owned())
            .stack_size(512 * 1024) // redb's recursion is the depth of its tree
            .spawn(move || writer.run_or_abort())
            .map_err(OpenError::Thread)?;
        Ok(Store::new(shared, Some(thread)))
    }
    /// A store without a file, for tests: every write is told at once.
    pub fn in_memory() -> Store {
        Store::new(Arc::new(Shared::in_memory()), None)
    }
    fn new(shared: Arc<Shared>, thread: Option<JoinHandle<()>>) -> Store {
        let owner = Owner { shared: shared.clone(), thread: Mutex::new(thread) };
        Store { shared, owner: Arc::new(owner) }
    }
    /// How the store is, now and when it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }
    /// What the store has done so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }
    /// Commits what is pending, closes the file and ends the writer; blocks until done. For the
    /// end of the daemon: later writes are refused.
    pub fn shutdown(&self) {
        self.owner.shutdown();
    }
    /// Commits everything pending now, whatever its window.
    ///
    /// # Errors
    /// When the disk did not take it.
    pub async fn flush(&self) -> Result<(), Unsafe> {
        let (tx, rx) = oneshot::channel();
        let told = Box::new(move |result| drop(tx.send(result)));
        self.shared.write(Batch::default(), shared::Due::Now, told);
        rx.await.unwrap_or_else(|_| Err(trouble::closed()))
    }
    /// The value as last written, committed or not.
    pub fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.read(table, key)
    }
    /// Every row as last written, in key order.
    pub fn scan(&self, table: Table, each: &mut dyn FnMut(&[u8], &[u8])) {
        self.shared.scan(table, each);
    }
    /// Writes. `told` runs after the commit (or its failure) on the writer's thread, or at once on
    /// this one while the disk is in trouble; it must not wait.
    pub fn write(
        &self,
        batch: Batch,
        window: Window,
        told: impl FnOnce(Result<(), Unsafe>) + Send + 'static,
    ) {
        self.shared.write(batch, shared::Due::At(window), Box::new(told));
    }
    /// Writes, and waits until it is on disk.
    ///
    /// # Errors
    /// When the disk did not take it.
    pub async fn commit(&self, batch: Batch, window: Window) -> Result<(), Unsafe> {
        let (tx, rx) = oneshot::channel();
        self.write(batch, window, move |result| drop(tx.send(result)));
        rx.await.unwrap_or_else(|_| Err(trouble::closed()))
    }
}

impl Rows for Store {
    fn scan(&self, table: Table, each: &mut dyn FnMut(&[u8], &[u8])) {
        Store::scan(self, table, each);
    }
}

impl Owner {
    fn shutdown(&self) {
        self.shared.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join(); // a panic of the writer has ended the process before
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shutdown();
    }
}
