//! The gate: publishes to `cmd/#` wait here until the ledger has decided.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::intake::{Intake, Op, Ticket};
use super::principal::Principal;
use crate::storage::Batch;
use crate::{bus, contract};

/// A publish to `cmd/#` that the broker holds back, already allowed by role and class, until the gate
/// has decided. The PUBACK waits for [`Held::release`].
#[derive(Debug)]
pub struct Held {
    /// What was published.
    pub message: bus::Message,
    /// The client that published it.
    pub client: Arc<str>,
    /// Who that is.
    pub from: Arc<Principal>,
    /// The response topic is one the publisher may publish to itself, not below `cmd/` or `desired/`.
    /// When false it must not be used.
    pub response_allowed: bool,
    /// Rows of the broker that are to be on disk together with the record, if there is one: that its
    /// packet identifier was received. A kill between the two would let the command run twice.
    pub beside: Batch,
    /// The way back.
    pub(super) back: Back,
}

/// Releases a held publish once, one way or the other.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) intake: Option<Arc<Intake>>,
    pub(super) ticket: Ticket,
}

impl Held {
    /// Ends the wait: `Ok` acknowledges and fans out to whoever watches `cmd/#`; an error refuses
    /// (MQTT 5: a reason code by its dotted code, with the message as reason string).
    pub fn release(mut self, verdict: Result<(), contract::Error>) {
        self.back.give(verdict);
    }
}

impl Back {
    fn give(&mut self, verdict: Result<(), contract::Error>) {
        if let Some(intake) = self.intake.take() {
            intake.push(Op::Released { ticket: self.ticket, verdict });
        }
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        let message = "the command was not looked at; try again";
        self.give(Err(contract::Error::new("command.unavailable", message).retryable()));
    }
}

/// Where held publishes come out; there is one gate.
#[derive(Debug)]
pub struct Gate {
    pub(super) held: mpsc::UnboundedReceiver<Held>,
}

impl Gate {
    /// The next held publish, in order of arrival; `None` when the broker is gone.
    pub async fn recv(&mut self) -> Option<Held> {
        self.held.recv().await
    }
}
