//! What the core asks of the loop. The bytes for a connection stand in the connection itself; this
//! only names who has some.

use crate::broker::crowd::Crowd;
use crate::broker::intake::{Reply, Ticket};
use crate::broker::message::Now;
use crate::broker::slots::Key;
use crate::bus::{Delivery, Refused};
use crate::storage::{Batch, Table, Window};

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

/// What performs effects: the loop, or a test in its place.
pub(crate) trait Hands {
    /// Writes that are committed together; the ticket is settled by that.
    fn store(&mut self, batch: Batch, window: Window, ticket: Option<Ticket>);
    /// What is for the gate, the links, the door, and who waits for an answer.
    fn hand_out(&mut self, fx: &mut Effects);
    /// These are about to be closed.
    fn closing(&mut self, _connections: &[Key]) {}
    /// Bytes go out to a connection.
    fn write(&mut self, key: Key, fx: &mut Effects);
    /// A connection ends.
    fn close(&mut self, key: Key, fx: &mut Effects);
}

/// A publish for the gate.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) ticket: Ticket,
    pub(crate) message: crate::bus::Message,
    pub(crate) client: std::sync::Arc<str>,
    pub(crate) from: std::sync::Arc<crate::broker::Principal>,
    pub(crate) response_allowed: bool,
    /// To be on disk together with the gate's record.
    pub(crate) beside: Batch,
}

/// A password to check.
#[derive(Debug)]
pub(crate) struct Verify {
    pub(crate) connection: Key,
    /// Where it comes from: failures are counted by that.
    pub(crate) source: Crowd,
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

    /// Performs them. What writing sets free makes new effects, until nothing is left to do at once.
    pub(crate) fn perform(mut self, hands: &mut impl Hands) {
        loop {
            for (writes, window) in self.stored() {
                if !writes.batch.writes.is_empty() {
                    hands.store(writes.batch, window, writes.ticket);
                }
            }
            hands.hand_out(&mut self);
            let (dirty, close) = (std::mem::take(&mut self.dirty), std::mem::take(&mut self.close));
            if dirty.is_empty() && close.is_empty() {
                return;
            }
            hands.closing(&close);
            for key in dirty {
                hands.write(key, &mut self);
            }
            for key in close {
                hands.close(key, &mut self);
            }
        }
    }

    /// What goes to storage, in this order: there a later write of a row replaces an earlier one, and
    /// rows are put with a promise or in the background, and removed with a promise or lazily.
    /// Retained messages alone are put by all three: see [`Effects::keep`].
    pub(crate) fn stored(&mut self) -> [(Writes, Window); 3] {
        let lazy = Writes { batch: std::mem::take(&mut self.lazy), ticket: None };
        [
            (std::mem::take(&mut self.background), Window::Background),
            (std::mem::take(&mut self.promise), Window::Promise),
            (lazy, Window::Lazy),
        ]
    }

    /// Writes what a topic holds now. What it held before, in the same turn, must not be stored after it.
    pub(crate) fn keep(&mut self, window: Window, topic: &str, row: Option<Vec<u8>>) {
        let later: &mut [&mut Batch] = match window {
            Window::Background => &mut [&mut self.promise.batch, &mut self.lazy],
            Window::Promise => &mut [&mut self.lazy],
            Window::Lazy => &mut [],
        };
        for batch in later {
            let same = |(table, key, _): &&mut (Table, Vec<u8>, Option<Vec<u8>>)| {
                *table == Table::Retained && key == topic.as_bytes()
            };
            batch.writes.iter_mut().filter(same).for_each(|(_, _, value)| value.clone_from(&row));
        }
        self.writes(window).writes.push((Table::Retained, topic.as_bytes().to_vec(), row));
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
