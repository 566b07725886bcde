//! The hands of the gate: takes held publishes, asks the ledger, commits, calls, answers.

use tokio_util::sync::CancellationToken;

use super::Registry;
use crate::{broker, bus, storage, topic};

/// What a desk works with.
pub struct Parts {
    /// Where commands come from.
    pub gate: broker::Gate,
    /// Its own link (`maestro:command`) for replies and task records.
    pub bus: bus::Link,
    /// Where records are kept.
    pub store: storage::Store,
    /// Where calls go.
    pub registry: Registry,
    /// The root of the topic tree.
    pub root: topic::Root,
    /// This boot's id, 8 hex.
    pub boot: String,
}

/// Takes commands from the gate until the daemon goes down.
pub struct Desk {
    parts: Parts,
}

impl Desk {
    /// Reads the ledger and resolves what the last run left open.
    pub fn new(parts: Parts) -> Desk {
        Desk { parts }
    }
    /// Runs until `stop`, or until the broker is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                held = self.parts.gate.recv() => match held {
                    Some(held) => held.release(Ok(())),
                    None => return,
                },
            }
        }
    }
}
