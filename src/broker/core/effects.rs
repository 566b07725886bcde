//! What the core asks of the loop. The bytes for a connection stand in the connection itself; this
//! only names who has some.

use crate::broker::intake::{Reply, Ticket};
use crate::broker::message::Now;
use crate::broker::slots::Key;
use crate::bus::{Delivery, Refused};
use crate::storage::{Batch, Window};

/// Gathered in a turn, performed at its end.
#[derive(Debug)]
pub(crate) struct Effects {
    /// The moment the turn decides at.
    pub(crate) now: Now,
    /// Connections with bytes to write; each once.
    pub(crate) dirty: Vec<Key>,
    /// Connections to close when their bytes are out.
    pub(crate) close: Vec<Key>,
    /// Those of them that were told why: they are not closed in the middle of what they write.
    pub(crate) told: Vec<Key>,
    /// Messages for the links of this process: session, message.
    pub(crate) deliver: Vec<(Key, Delivery)>,
    /// Publishes for the gate.
    pub(crate) hold: Vec<Hold>,
    /// Passwords to check.
    pub(crate) verify: Vec<Verify>,
    /// Answers to the links' operations.
    pub(crate) answers: Vec<(Reply, Result<(), Refused>)>,
    /// Writes of this turn by window; the tickets of the first two wait for them.
    pub(crate) promise: Writes,
    /// The daemon's own classes.
    pub(crate) background: Writes,
    /// Nobody waits for these.
    pub(crate) lazy: Batch,
}

/// Writes that are committed together, and who waits for that.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    pub(crate) batch: Batch,
    pub(crate) ticket: Option<Ticket>,
}

/// A publish for the gate.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) ticket: Ticket,
    pub(crate) message: crate::bus::Message,
    pub(crate) client: std::sync::Arc<str>,
    pub(crate) from: std::sync::Arc<crate::broker::Principal>,
    pub(crate) response_allowed: bool,
}

/// A password to check.
#[derive(Debug)]
pub(crate) struct Verify {
    pub(crate) connection: Key,
    /// Where it comes from: failures are counted by that.
    pub(crate) source: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Vec<u8>,
}

impl Effects {
    /// Nothing yet, at this moment.
    pub(crate) fn at(now: Now) -> Effects {
        Effects {
            now,
            dirty: Vec::new(),
            close: Vec::new(),
            told: Vec::new(),
            deliver: Vec::new(),
            hold: Vec::new(),
            verify: Vec::new(),
            answers: Vec::new(),
            promise: Writes::default(),
            background: Writes::default(),
            lazy: Batch::default(),
        }
    }

    /// The writes of a window.
    pub(crate) fn writes(&mut self, window: Window) -> &mut Batch {
        match window {
            Window::Promise => &mut self.promise.batch,
            Window::Background => &mut self.background.batch,
            Window::Lazy => &mut self.lazy,
        }
    }
}
