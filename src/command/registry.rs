//! Where each subsystem takes its calls. The supervisor replaces an entry with each rebuild.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::Call;

/// Calls that may wait at one subsystem; more are refused with `command.busy`.
const WAITING: usize = 16;

/// Subsystem name -> where its calls go. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<HashMap<&'static str, mpsc::Sender<Call>>>>);

impl Registry {
    /// A new inlet for `subsystem`, in place of the one before; goes into its `Scope`.
    pub fn attach(&self, subsystem: &'static str) -> mpsc::Receiver<Call> {
        let (tx, rx) = mpsc::channel(WAITING);
        self.entries().insert(subsystem, tx);
        rx
    }
    #[expect(dead_code, reason = "skeleton")]
    pub(super) fn inlet(&self, subsystem: &str) -> Option<mpsc::Sender<Call>> {
        self.entries().get(subsystem).cloned()
    }
    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, mpsc::Sender<Call>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
