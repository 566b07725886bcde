//! What waited for the disk, or for the gate, goes on; or it is taken back.
//!
//! A publish that is not safe was not taken: its packet identifier is free again, who has not got it yet
//! will not, and its topic holds what it held (`keep`). MQTT 5 says so; in 3.1.1, which has no refusal,
//! the connection is closed, and so it is where MQTT 5 has none either (PUBCOMP). Filters go back to what
//! they were. What nobody else would try again is (`again`).

use std::collections::HashMap;

use super::connection::Undo;
use super::publish::{contract_code, reason_of};
use super::{Core, Effects, Waiter};
use crate::broker::intake::Ticket;
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;
use crate::broker::wire::{Reason, Version};
use crate::bus::Refused;
use crate::storage::{Table, Unsafe};

/// Why something did not become safe.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) code: String,
    pub(super) text: String,
}

impl Core {
    /// The storage writer committed a turn's writes, or could not.
    pub(super) fn stored(&mut self, ticket: Ticket, result: &Result<(), Unsafe>, fx: &mut Effects) {
        let result = result.clone().map_err(|trouble| Failure {
            reason: reason_of(trouble.code),
            code: trouble.code.to_string(),
            text: trouble.message,
        });
        self.settle(ticket, &result, fx);
    }

    pub(super) fn settle(
        &mut self,
        ticket: Ticket,
        result: &Result<(), Failure>,
        fx: &mut Effects,
    ) {
        self.settle_kept(ticket, result.is_ok(), fx);
        let mut waiters = self.waiting.remove(&ticket).unwrap_or_default();
        let safe = result.is_ok();
        waiters.sort_by_key(|one| match one {
            // What a member gives back is taken back with the group's; what is safe is so before a
            // member gets it.
            Waiter::Session(_) => 1,
            Waiter::Group(_) => {
                if safe {
                    0
                } else {
                    2
                }
            }
            // What is taken back must be out of the queues before a SUBACK opens the way for it.
            Waiter::Connection(_) | Waiter::Ending(_) | Waiter::Link(_) => 3,
        });
        for waiter in waiters {
            match waiter {
                Waiter::Link(reply) => {
                    let result = result.clone().map_err(|failure| Refused {
                        code: contract_code(&failure.code),
                        message: failure.text,
                    });
                    fx.answers.push((reply, result));
                }
                Waiter::Session(key) => self.settle_session(key, ticket, result.is_ok(), fx),
                Waiter::Group(key) => self.settle_group(key, ticket, result.is_ok(), fx),
                Waiter::Ending(client) => self.settle_ending(&client, ticket),
                Waiter::Connection(key) => self.settle_connection(key, ticket, result, fx),
            }
        }
    }

    /// A session waits for a ticket.
    pub(super) fn session_waits(&mut self, key: Key, ticket: Ticket) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.waits_for != Some(ticket) {
            session.waits_for = Some(ticket);
            self.waiting.entry(ticket).or_default().push(Waiter::Session(key));
        }
    }

    /// A connection has an acknowledgement that waits for a ticket.
    pub(super) fn connection_waits(&mut self, key: Key, ticket: Ticket) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        // One publisher's burst is one waiter.
        if connection.waits_for != Some(ticket) {
            connection.waits_for = Some(ticket);
            self.waiting.entry(ticket).or_default().push(Waiter::Connection(key));
        }
    }

    /// Whoever waits for one ticket waits for another now.
    pub(super) fn wait_on(&mut self, from: Ticket, to: Ticket) {
        let waiters = self.waiting.remove(&from).unwrap_or_default();
        for waiter in &waiters {
            match *waiter {
                Waiter::Connection(key) => {
                    if let Some(connection) = self.connections.get_mut(key) {
                        connection.wait_on(from, to);
                    }
                }
                Waiter::Session(key) => {
                    if let Some(session) = self.sessions.get_mut(key) {
                        session.received.wait_on(from, to);
                    }
                }
                Waiter::Group(_) | Waiter::Ending(_) | Waiter::Link(_) => {}
            }
        }
        self.waiting.entry(to).or_default().extend(waiters);
    }

    /// The disk knows that a session ended, or knows nothing any more.
    fn settle_ending(&mut self, client: &str, ticket: Ticket) {
        if self.endings.get(client) == Some(&ticket) {
            self.endings.remove(client);
        }
        if self.endings.is_empty() && self.endings.capacity() > 64 {
            self.endings = HashMap::new(); // a crowd's memory is given back
        }
    }

    fn settle_session(&mut self, key: Key, ticket: Ticket, safe: bool, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let row = session.durable_row();
        let (taken_back, unsafe_yet) = session.settle(ticket, safe);
        let refused = session.received.settle(ticket, safe);
        self.forget_rows(row, taken_back.iter().map(|waiting| waiting.seq), fx);
        self.try_again(key, unsafe_yet, fx);
        self.settle_piece(key, ticket, safe, fx);
        for packet_id in refused {
            if let Some(row) = row {
                let key = super::rows::received_key(row, packet_id);
                fx.promise.batch.writes.push((Table::Received, key, None));
            }
        }
        self.pump(key, fx);
    }

    fn settle_connection(
        &mut self,
        key: Key,
        ticket: Ticket,
        result: &Result<(), Failure>,
        fx: &mut Effects,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let held = connection.holding();
        if let Err(failure) = result {
            let lost = connection.fail(ticket, failure.reason, &failure.text);
            let silent =
                connection.version == Version::V311 && failure.code.starts_with("storage.");
            let session = self.open_session(key);
            if let Some(session) = session {
                self.undo(session, lost.undo, fx);
                for group in lost.groups {
                    self.continue_group(group, fx);
                }
            }
            // §3 Errors: not safe is not acknowledged, and closed. A refused command is acknowledged,
            // dropped and told.
            if lost.unspeakable || silent && lost.any {
                return self.cut(key, fx);
            }
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.settle(ticket);
        let released = held && !connection.holding();
        super::touch(connection, key, fx);
        if released && let Some(session) = self.open_session(key) {
            self.pump(session, fx);
        }
    }

    /// Filters that are not safe go back to what they were, the last change first.
    fn undo(&mut self, key: Key, changes: Vec<Undo>, fx: &mut Effects) {
        if changes.is_empty() {
            return;
        }
        for change in changes.into_iter().rev() {
            match change.before {
                None => drop(self.drop_filter(key, &change.filter, fx)),
                Some(options) => {
                    let Some(session) = self.sessions.get_mut(key) else { return };
                    session.filters.insert(&change.filter, options);
                    self.replays.change(key, &change.filter, Some(options));
                    let subscriber = Subscriber { session: key, options };
                    self.place_filter(&change.filter, subscriber, fx);
                    if let Some(group) = change.group {
                        self.continue_group(group.1, fx);
                    }
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(key) {
            // What was retained and has no row waited for its SUBACK.
            session.queue.retract(|waiting| waiting.seq == 0);
        }
        self.store_session(key, fx);
    }
}
