//! The gate every command passes, and the ledger of what became of it.

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::contract;

/// A command that passed the gate: recorded (change, danger), to be carried out and answered.
#[derive(Debug)]
pub struct Call {
    /// The command's id: the caller's, or a ULID.
    pub id: String,
    /// The verb, last level of the topic.
    pub verb: &'static str,
    /// The arguments without the reserved keys; a bare word already stands under its subject key.
    pub args: Map<String, Value>,
    /// Who asks.
    pub from: std::sync::Arc<crate::broker::Principal>,
    /// Do not do it, say what would be done.
    pub dry_run: bool,
    /// Where the answer goes. Dropping it unanswered ends the command as `interrupted`.
    pub answer: Answer,
}

/// The way back from a [`Call`].
#[derive(Debug)]
pub struct Answer {
    #[expect(dead_code, reason = "skeleton")]
    tx: oneshot::Sender<Outcome>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done; the result, a JSON object.
    Succeeded(Value),
    /// Not done.
    Failed(contract::Error),
}
