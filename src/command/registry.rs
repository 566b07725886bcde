//! Where each subsystem takes its calls. The supervisor replaces an entry with each rebuild.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{self, OwnedPermit, error::TrySendError};

use super::Call;

/// Calls that may wait at one subsystem; more are refused with `command.busy`.
const WAITING: usize = 16;

/// Subsystem name -> where its calls go. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<HashMap<&'static str, mpsc::Sender<Call>>>>);

/// Whether a subsystem can take one more call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A place is kept for it.
    Kept,
    /// Too many wait already.
    Full,
    /// Nobody takes calls there.
    Down,
}

impl Registry {
    /// A new inlet for `subsystem`, in place of the one before; goes into its `Scope`.
    pub fn attach(&self, subsystem: &'static str) -> mpsc::Receiver<Call> {
        let (tx, rx) = mpsc::channel(WAITING);
        self.inlets().insert(subsystem, tx);
        rx
    }
    /// Keeps a place for one call, so that none is recorded that cannot be handed over.
    pub(super) fn keep_place(&self, subsystem: &str) -> Result<OwnedPermit<Call>, Room> {
        let inlet = self.inlets().get(subsystem).cloned().ok_or(Room::Down)?;
        inlet.try_reserve_owned().map_err(|refused| match refused {
            TrySendError::Full(_) => Room::Full,
            TrySendError::Closed(_) => Room::Down,
        })
    }
    fn inlets(&self) -> MutexGuard<'_, HashMap<&'static str, mpsc::Sender<Call>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
