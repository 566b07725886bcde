//! What the store says on the bus.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::service::Stamp;

/// What the store has done since the daemon started, on `metric/storage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Bytes handed to the kernel for all files of the store: what the flash has to bear, before its
    /// own amplification.
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
    /// When this was said.
    #[serde(flatten)]
    pub stamp: Stamp,
}
