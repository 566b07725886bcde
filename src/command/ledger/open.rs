//! A command under way, and how it ends.

use serde_json::Value;

use super::effect::{Asker, Effect};
use crate::command::message::{Task, TaskState};
use crate::command::record::Record;
use crate::contract::Error;
use crate::service::Stamp;

/// A command under way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) record: Record,
    /// Class change or danger: in storage.
    pub(super) recorded: bool,
    pub(super) dry_run: bool,
    /// The record is on disk (or there is none to be).
    pub(super) accepted: bool,
    pub(super) step: Option<(String, Option<u8>)>,
    pub(super) deadline_ms: i64,
    pub(super) timeout_ms: i64,
    pub(super) askers: Vec<(Asker, Again)>,
}

/// Whether an asker sent the command first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    First,
    Duplicate,
}

impl Open {
    pub(super) fn task(&self) -> Task {
        let mut task = self.record.task(Stamp::default());
        task.dry_run = self.dry_run;
        if let Some((step, progress_pct)) = &self.step {
            task.step = Some(step.clone());
            task.progress_pct = *progress_pct;
        }
        task
    }
    pub(super) fn replies(&self) -> Vec<Effect> {
        let reply = |(asker, again): &(Asker, Again)| {
            let mut task = self.task();
            task.duplicate = *again == Again::Duplicate;
            Effect::Reply { asker: asker.clone(), task }
        };
        self.askers.iter().map(reply).collect()
    }
}

/// How a command ends.
pub(super) struct End {
    pub(super) state: TaskState,
    pub(super) result: Option<Value>,
    pub(super) error: Option<Error>,
}

impl End {
    pub(super) fn succeeded(result: Value) -> End {
        let result = Some(result).filter(|result| !result.is_null());
        End { state: TaskState::Succeeded, result, error: None }
    }
    pub(super) fn interrupted(message: &str) -> End {
        let error = Some(Error::new("command.interrupted", message));
        End { state: TaskState::Interrupted, result: None, error }
    }
}
