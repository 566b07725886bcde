//! Every table in one list, one writer, group commit.
//!
//! ```text
//!   broker, ledger, ... -- write(Batch, Window) --> pending (by table and key: a later write of the
//!                                                   same key replaces the earlier one)
//!                                                      | the nearest window ends
//!                                                      v
//!                                                   one redb commit --> every waiter is told
//! ```

use std::time::Duration;

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

/// Why a write is not on disk. The store goes on from RAM; see `status/storage`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Unsafe {
    /// `storage.full`, `storage.read_only`, `storage.failed`.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

/// A handle on the store. Cheap to clone; reads never block the writer.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// The value as last written, committed or not.
    pub fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let _ = (table, key);
        None
    }
    /// Every row as last written, in key order.
    pub fn scan(&self, table: Table, each: &mut dyn FnMut(&[u8], &[u8])) {
        let _ = (table, each);
    }
    /// Writes; `told` runs on the writer's thread after the commit (or its failure) and must not wait.
    pub fn write(
        &self,
        batch: Batch,
        window: Window,
        told: impl FnOnce(Result<(), Unsafe>) + Send + 'static,
    ) {
        let _ = (batch, window);
        told(Ok(()));
    }
    /// Writes, and waits until it is on disk.
    ///
    /// # Errors
    /// When the disk did not take it.
    pub async fn commit(&self, batch: Batch, window: Window) -> Result<(), Unsafe> {
        let (tx, rx) = tokio::sync::oneshot::channel();
        self.write(batch, window, move |result| drop(tx.send(result)));
        rx.await.unwrap_or(Ok(()))
    }
}
