//! What became of a command, as it stands on `task/<id>` and in every reply.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract;
use crate::service::Stamp;

/// Where a command is in its life.
///
/// ```text
///   received -> rejected                          nothing was recorded, nothing was done
///            -> accepted -> running -> succeeded | failed | rolled_back | cancelled
///                       |           -> timed_out | interrupted
///                       -> expired
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Refused before anything was done; `error` says why.
    Rejected,
    /// Recorded; the subsystem has not spoken yet.
    Accepted,
    /// Under way.
    Running,
    /// Done; `result` is the answer.
    Succeeded,
    /// Not done; `error` says why.
    Failed,
    /// Did not end in its time; what it began may still happen.
    TimedOut,
    /// Called off.
    Cancelled,
    /// Its `expires` had passed before it began.
    Expired,
    /// The daemon, its subsystem or the box went down before it ended.
    Interrupted,
    /// Done, found bad, and undone.
    RolledBack,
}

impl TaskState {
    /// Whether nothing comes after it.
    pub fn is_end(self) -> bool {
        !matches!(self, TaskState::Accepted | TaskState::Running)
    }
}

/// The record of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Where it is.
    pub state: TaskState,
    /// The answer of one that succeeded, as the verb's result type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<contract::Error>,
    /// `<subsystem>/<verb>`.
    pub command: String,
    /// The principal that asked.
    pub from: String,
    /// What is being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How far it is, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_pct: Option<u8>,
    /// This is the stored outcome of an earlier command with the same id; it was not done again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// It was only asked what would be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// When it came, RFC 3339.
    pub received: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// The command's id: the caller's, or an assigned ULID.
    pub id: String,
    /// When this was said.
    #[serde(flatten)]
    pub stamp: Stamp,
}
