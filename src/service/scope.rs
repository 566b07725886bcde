//! All that a subsystem is given; nothing else reaches it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Stamper;
use crate::{bus, command, config, contract, storage, topic};

/// The world of one subsystem. Dropping it ends what the subsystem holds on the bus.
pub struct Scope {
    /// The subsystem's own session on the broker.
    pub bus: bus::Link,
    /// Commands for this subsystem, already recorded by the ledger. Each must be answered.
    pub commands: mpsc::Receiver<command::Call>,
    /// Storage; only this subsystem's tables are its business.
    pub store: storage::Store,
    /// The effective configuration.
    pub config: Arc<config::Config>,
    /// The root of the topic tree.
    pub root: topic::Root,
    /// Stamps every message the subsystem makes: `time`, `boot`, `seq` come last.
    pub stamper: Stamper,
    /// Where the subsystem says how it is; published on `status/<subsystem>`.
    pub health: Health,
    /// Cancelled when the daemon goes down.
    pub stop: CancellationToken,
}

/// Says how a subsystem is; the supervisor publishes it, and only changes.
#[derive(Clone)]
pub struct Health {
    pub(super) tx: mpsc::UnboundedSender<Said>,
    pub(super) name: &'static str,
}

/// Who said what.
pub(super) type Said = (&'static str, State);

/// `starting`, `failed` are the supervisor's to say; these a subsystem says itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// Everything works.
    Ok,
    /// Works in part.
    Degraded(contract::Error),
    /// Not meant to work here, and why (`needs privilege`, `not configured`).
    Off(contract::Error),
}

impl Health {
    /// Everything works.
    pub fn ok(&self) {
        self.say(State::Ok);
    }
    /// Works in part.
    pub fn degraded(&self, cause: contract::Error) {
        self.say(State::Degraded(cause));
    }
    /// Does not work here, by design.
    pub fn off(&self, cause: contract::Error) {
        self.say(State::Off(cause));
    }
    fn say(&self, state: State) {
        let _ = self.tx.send((self.name, state)); // the supervisor is gone only when the daemon is
    }
}
