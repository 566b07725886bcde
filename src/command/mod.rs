//! The gate every command passes, and the ledger of what became of it.
//!
//! ```text
//!   publish to cmd/<subsystem>/<verb>
//!        | broker: role and class allow it; PUBACK held back
//!        v
//!      Gate -> request (payload -> arguments) -> ledger (seen before? expired? room?)
//!        |        refused: reply, PUBACK with the reason
//!        v
//!      storage: the record, committed (change, danger)
//!        |
//!        +--> PUBACK --> Call -> the subsystem -> Answer -> record -> reply, task/<id>
//! ```

mod answer;
mod desk;
mod history;
mod ledger;
pub mod message;
mod record;
mod registry;
mod request;
#[cfg(test)]
mod testing;
mod ulid;

use serde_json::{Map, Value};

pub use answer::{Answer, Outcome};
pub use desk::{Desk, Parts};
pub use registry::Registry;
use registry::Room;
pub(crate) use ulid::ulid;

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
    /// Do it only to this revision of what it changes.
    pub if_rev: Option<u64>,
    /// Where the answer goes. Dropping it unanswered ends the command as `interrupted`.
    pub answer: Answer,
}

impl Call {
    /// The arguments as the verb's own type.
    ///
    /// # Errors
    /// `command.malformed` naming the field; give it to [`Answer::fail`].
    pub fn arguments<T: serde::de::DeserializeOwned>(&self) -> Result<T, crate::contract::Error> {
        crate::contract::arguments(&self.args)
    }
}
