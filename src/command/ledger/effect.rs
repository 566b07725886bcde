//! What the ledger is told, and what it asks the desk to do.

use std::sync::Arc;

use bytes::Bytes;

use crate::command::Room;
use crate::command::history::Number;
use crate::command::message::Task;
use crate::command::request::Request;
use crate::contract::Error;

/// The two clocks.
#[derive(Clone, Copy, Debug)]
pub(in crate::command) struct Now {
    /// Milliseconds of a clock that only goes forward.
    pub(in crate::command) ms: i64,
    /// Milliseconds since 1970; may jump.
    pub(in crate::command) calendar_ms: i64,
}

/// A command that arrived.
#[derive(Debug)]
pub(in crate::command) struct Incoming {
    pub(in crate::command) request: Request,
    pub(in crate::command) asker: Asker,
    /// Came over a bridge, where it may have waited.
    pub(in crate::command) over_bridge: bool,
    /// Client id and correlation data, for a command without an id.
    pub(in crate::command) correlation: Option<(Arc<str>, Bytes)>,
    /// The id if it has none.
    pub(in crate::command) fresh_id: String,
    /// Whether the subsystem can take it.
    pub(in crate::command) room: Room,
}

/// Who waits for an outcome.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::command) struct Asker {
    /// The desk's number of the publish.
    pub(in crate::command) held: u64,
    pub(in crate::command) principal: Arc<str>,
    /// MQTT 5 response topic and correlation data.
    pub(in crate::command) respond: Option<(String, Option<Bytes>)>,
}

/// What a commit was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum Purpose {
    Accept,
    EndsBoot,
    End,
}

/// What the desk is to do, in this order.
#[derive(Debug, PartialEq)]
pub(in crate::command) enum Effect {
    /// Write the row; say [`Ledger::committed`] when it is on disk.
    Commit { number: Number, row: Vec<u8>, purpose: Purpose },
    /// Acknowledge or refuse the publish.
    Release { held: u64, verdict: Result<(), Error> },
    /// Let go of the place kept at the subsystem for this publish.
    Vacate { held: u64 },
    /// Hand the command of this publish to the subsystem.
    Call { held: u64, number: Number, id: String },
    /// Publish the outcome to whoever asked.
    Reply { asker: Asker, task: Task },
    /// The same, from the stored record.
    Replay { asker: Asker, number: Number },
    /// Publish `task/<id>`, retained.
    Show { task: Task },
    /// Clear `task/<id>` of a stored record.
    Clear { number: Number },
    /// Clear it, and delete the record.
    Forget { number: Number },
    /// Tell the subsystem whether it may end the boot.
    MayEndBoot { number: Number, verdict: Result<(), Error> },
}
