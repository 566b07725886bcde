//! What the core decided is performed: one batch to storage, the gate, the links, the door, and bytes.
//!
//! ```text
//!   effects ──> storage, gate, links, passwords, answers        all of it
//!        ├────> write: one per connection, while WRITING lasts ──> the rest: unwritten, next turn
//!        └────> close: closing, in the rest of the turn
//! ```
//! What writing sets free makes new effects, until nothing is left to do at once.

use super::meter::{Meter, SHARE, WRITING};
use super::serve::COMES;
use super::{Turn, clock};
use crate::broker::core::{Effects, Hands};
use crate::broker::gate::{Back, Held};
use crate::broker::identity::Password;
use crate::broker::intake::{Op, Ticket};
use crate::broker::slots::Key;
use crate::broker::users;
use crate::storage::{Batch, Window};

impl Turn {
    /// Performs the effects of a part of the turn.
    pub(super) fn perform(&mut self, fx: Effects) {
        self.writing = Meter::new(clock(), WRITING);
        fx.perform(self);
    }

    /// What earlier turns have left to write, and those who are to be closed.
    pub(super) fn write_later(&mut self, fx: &mut Effects) {
        let meter = Meter::new(clock(), SHARE);
        for _ in 0..self.unwritten.len() {
            let Some(key) = self.unwritten.pop_front() else { break };
            self.write_now(key, fx);
            if meter.is_over(clock()) {
                break;
            }
        }
        let meter = Meter::new(clock(), SHARE);
        while let Some(key) = self.closing.pop_front() {
            self.close_now(key, fx);
            if meter.is_over(clock()) {
                break;
            }
        }
    }

    fn write_now(&mut self, key: Key, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let Some(out) = self.core.outbox(key) else { return };
        let waiting = out.len();
        match socket.write(out, &mut self.room) {
            // The heads of frames make it longer.
            Ok(()) => self.slack.moved(waiting.saturating_sub(out.len()), fx.now.at),
            Err(_) => return self.close_now(key, fx),
        }
        if !out.is_empty() && !socket.blocked {
            self.unwritten.push_back(key); // more than one write's worth
        }
        self.core.written(key, fx);
        // What came while a password was checked, or while we did not read, is looked at now.
        if let Some(socket) = self.sockets.get_mut(&key)
            && socket.has_partial()
            && !socket.later
            && !socket.interest.intersects(COMES)
            && self.core.reading(key)
        {
            socket.rest = true;
            self.line_up(key);
        }
        self.interest(key);
        self.close_if_over(key, fx);
    }

    pub(super) fn close_now(&mut self, key: Key, fx: &mut Effects) {
        if let Some(mut socket) = self.sockets.remove(&key) {
            if let Some(out) = self.core.outbox(key) {
                let _ = socket.write(out, &mut self.room); // its last words, if it takes them at once
            }
            let told = socket.told || fx.told.contains(&key);
            let stream = socket.close(&mut self.room);
            if let Some(stream) = stream.filter(|_| told) {
                let _ = self.epoll.delete(&stream);
                self.partings.keep(stream, fx.now.at);
            }
            self.core.closed(key, fx);
        }
    }
}

impl Hands for Turn {
    fn store(&mut self, batch: Batch, window: Window, ticket: Option<Ticket>) {
        let intake = self.intake.clone();
        self.store.write(batch, window, move |result| {
            if let Some(ticket) = ticket {
                intake.push(Op::Stored { ticket, result });
            }
        });
    }

    fn hand_out(&mut self, fx: &mut Effects) {
        for key in fx.told.drain(..) {
            if let Some(socket) = self.sockets.get_mut(&key) {
                socket.told = true;
            }
        }
        for hold in fx.hold.drain(..) {
            let back = Back { intake: Some(self.intake.clone()), ticket: hold.ticket };
            let _ = self.gate.send(Held {
                message: hold.message,
                client: hold.client,
                from: hold.from,
                response_allowed: hold.response_allowed,
                beside: hold.beside,
                back,
            }); // without a gate the held one is dropped, which refuses it
        }
        for (session, delivery) in fx.deliver.drain(..) {
            if let Some(owner) = self.owners.get(&session) {
                let _ = owner.send(delivery); // its owner is about to say that it is gone
            }
        }
        for verify in fx.verify.drain(..) {
            let attempt = users::Attempt {
                token: verify.connection.to_bits(),
                source: verify.source,
                name: verify.username,
                password: verify.password,
            };
            if self.door.ask(attempt).is_err() {
                let password = Password::TooMany;
                self.intake.push(Op::Verified { connection: verify.connection, password });
            }
        }
        for (reply, result) in fx.answers.drain(..) {
            let _ = reply.send(result); // whoever stopped waiting does not need it
        }
    }

    fn write(&mut self, key: Key, fx: &mut Effects) {
        match self.writing.is_over(clock()) {
            true => self.unwritten.push_back(key),
            false => self.write_now(key, fx),
        }
    }

    fn close(&mut self, key: Key, _fx: &mut Effects) {
        self.closing.push_back(key);
    }
}
