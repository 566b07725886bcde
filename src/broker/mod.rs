//! MQTT 3.1.1 and 5.0.

pub mod acl;
pub mod config;
pub mod identity;
mod principal;
pub mod users;
pub mod wire;

pub use principal::{Bridged, Principal};

use std::sync::Arc;

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
}

impl Held {
    /// Ends the wait: `Ok` acknowledges and fans out to whoever watches `cmd/#`; an error refuses
    /// (MQTT 5: a reason code by its dotted code, with the message as reason string).
    pub fn release(self, verdict: Result<(), contract::Error>) {
        let _ = verdict;
    }
}

/// Where held publishes come out; there is one gate.
pub struct Gate {
    held: tokio::sync::mpsc::Receiver<Held>,
}

impl Gate {
    /// The next held publish, in order of arrival; `None` when the broker is gone.
    pub async fn recv(&mut self) -> Option<Held> {
        self.held.recv().await
    }
}

/// The running broker, for those in the same process.
#[derive(Clone)]
pub struct Handle {}

impl Handle {
    /// A link with a principal of the daemon (`maestro:<name>`, admin).
    pub fn attach(&self, name: &str) -> bus::Link {
        let _ = name;
        unimplemented!("broker")
    }
    /// A link for a bridge: everything it publishes is judged by this principal's role.
    pub fn attach_as(&self, principal: Principal) -> bus::Link {
        let _ = principal;
        unimplemented!("broker")
    }
}
