//! The end of connections and of sessions: DISCONNECT, takeover, silence, wills, expiry.

use std::sync::Arc;
use std::time::Duration;

use super::connection::State;
use super::rows::{queue_key, received_key};
use super::{Core, Effects, Timer, Waiter};
use crate::broker::acl;
use crate::broker::message::{Incoming, Message};
use crate::broker::session::{Peer, Will};
use crate::broker::slots::Key;
use crate::broker::wire::{Disconnect, Reason};
use crate::storage::{Table, Window};

impl Core {
    /// The socket is gone, or about to be: the loop says so, whoever wanted it.
    pub(crate) fn closed(&mut self, key: Key, fx: &mut Effects) {
        self.cut(key, fx);
        let Some(connection) = self.connections.remove(key) else { return };
        self.counters.traffic += connection.traffic;
        if connection.surplus.is_some() {
            self.surplus -= 1;
            return;
        }
        self.vacate(connection.origin.crowd());
    }

    /// DISCONNECT from the client (§3.14): without a will, unless it asks for it.
    pub(super) fn disconnected(&mut self, key: Key, disconnect: &Disconnect<'_>, fx: &mut Effects) {
        let longest = self.setting.limits.session_expiry_s;
        if let Some(session) = self.open_session(key)
            && let Some(session) = self.sessions.get_mut(session)
        {
            if let Some(expiry_s) = disconnect.properties.session_expiry_interval() {
                if session.expiry_s == 0 && expiry_s > 0 {
                    let text = "a session that ends with its connection cannot be prolonged";
                    return self.end(key, Reason::ProtocolError, text, fx); // §3.14.2.2.2
                }
                session.expiry_s = expiry_s.min(longest);
            }
            if disconnect.reason == Reason::Success {
                session.will = None;
            }
        }
        self.cut(key, fx);
    }

    /// Takes the connection off its session; its bytes still go out, nothing more comes in.
    pub(super) fn cut(&mut self, key: Key, fx: &mut Effects) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let state = std::mem::replace(&mut connection.state, State::Closing);
        connection.owed.clear();
        if matches!(state, State::Closing) {
            return;
        }
        fx.close.push(key);
        if matches!(state, State::Open(_)) {
            self.sys.left();
        }
        if let State::Open(session) = state
            && self.sessions.get(session).is_some_and(|open| open.peer == Peer::Wire(key))
        {
            self.lost(session, fx);
        }
    }

    /// A session lost its peer: it waits, or ends; its will waits, or fires (§3.1.2.5).
    pub(super) fn lost(&mut self, key: Key, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.peer = Peer::Away;
        session.left_ms = fx.now.wall_ms();
        self.land(key, fx);
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.expiry_s == 0 {
            return self.finish(key, fx);
        }
        let patience = session.will.as_ref().map(|will| will.delay_s.min(session.expiry_s));
        if session.expiry_s < u32::MAX {
            session.ends_at = Some(fx.now.at + Duration::from_secs(session.expiry_s.into()));
        }
        session.will_at = patience.map(|delay_s| fx.now.at + Duration::from_secs(delay_s.into()));
        let (client, will_at, ends_at) = (session.client.clone(), session.will_at, session.ends_at);
        for at in will_at.into_iter().chain(ends_at) {
            self.due_at(at, Timer::Session(key));
        }
        self.store_session(key, fx);
        self.session_due(key, fx); // a will without delay fires at once
        self.tell_presence(&client, None, fx);
    }

    /// Whether a will or the end of a session is due.
    pub(super) fn session_due(&mut self, key: Key, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.peer != Peer::Away {
            return;
        }
        if session.will_at.is_some_and(|at| at <= fx.now.at) {
            session.will_at = None;
            if let Some(will) = session.will.take() {
                self.fire(key, &will, fx);
                self.store_session(key, fx);
            }
        }
        let over = |at: Option<std::time::Instant>| at.is_some_and(|at| at <= fx.now.at);
        if self.sessions.get(key).is_some_and(|session| over(session.ends_at)) {
            self.sys.expired += 1;
            self.finish(key, fx);
        }
    }

    /// Publishes a will, if its author still may. It is on disk together with the news that it is
    /// published, wherever it goes to disk.
    fn fire(&mut self, key: Key, will: &Will, fx: &mut Effects) {
        let Some(session) = self.sessions.get(key) else { return };
        let mut message = will.message.clone();
        if let Some(expiry_s) = will.expiry_s {
            let expires = Some(fx.now.at + Duration::from_secs(expiry_s.into()));
            message = Arc::new(Message { expires, ..(*message).clone() });
        }
        let (topic, payload) = (&message.topic, &message.payload);
        let publish = acl::Publish { topic, retain: will.retain, payload };
        let mut allowed = self.setting.acl.may_will(&session.principal, &publish);
        if will.retain && allowed.is_ok() {
            allowed = self.may_keep(topic, payload, message.weight());
        }
        if let Err(denied) = allowed {
            let Some(session) = self.sessions.get(key) else { return };
            let (client, principal) = (session.client.clone(), session.principal.clone());
            return self.tell_denied((&client, &principal), topic, &denied, fx);
        }
        let incoming = Incoming { will: true, ..Incoming::of(&message, will.retain) };
        if will.retain {
            self.keep(&incoming, Window::Promise, fx);
        }
        self.fan_out(&incoming, Some(key), Window::Promise, fx);
    }

    /// A session ends for good: will, filters, queue, rows.
    pub(super) fn finish(&mut self, key: Key, fx: &mut Effects) {
        if let Some(will) = self.sessions.get_mut(key).and_then(|session| session.will.take()) {
            self.fire(key, &will, fx);
        }
        self.drops_due(key, fx);
        let Some(session) = self.sessions.remove(key) else { return };
        self.clients.remove(&session.client);
        self.replays.forget(key);
        self.spent += 50 + 5 * session.queue.len() + 10 * session.filters.len();
        for waiting in session.queue.iter() {
            // Sent with QoS 2, never to be given to another (MQTT-4.8.2-5).
            if let Some(origin) = waiting.origin.as_deref().filter(|origin| !origin.moved) {
                self.forget_of_group(origin, Window::Promise, fx);
            }
        }
        for (filter, _) in session.filters.iter() {
            self.displace_filter(filter, key, fx);
        }
        self.tell_presence(&session.client, None, fx);
        let Some(row) = session.row else { return };
        let ticket = self.promise(fx);
        self.endings.insert(session.client.clone(), ticket);
        self.waiting.entry(ticket).or_default().push(Waiter::Ending(session.client.clone()));
        let writes = &mut fx.promise.batch.writes;
        writes.push((Table::Session, session.client.as_bytes().to_vec(), None));
        if session.durable {
            let queued = session.numbers().map(|seq| (Table::Queue, queue_key(row, seq), None));
            writes.extend(queued);
            let received = session.received.iter();
            writes.extend(received.map(|id| (Table::Received, received_key(row, id), None)));
        }
    }

    /// Another connection uses the same client id (MQTT-3.1.4-3).
    pub(super) fn take_over(&mut self, key: Key, clean_start: bool, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if clean_start {
            session.expiry_s = 0; // MQTT-3.1.4-4: the old session is discarded
        }
        match session.peer {
            Peer::Wire(old) => {
                // paho overlooks a reason without a Reason String
                let text = "another connection came with this client identifier";
                self.end(old, Reason::SessionTakenOver, text, fx);
            }
            Peer::Away if clean_start => self.finish(key, fx),
            Peer::Away | Peer::Link => {}
        }
    }

    /// An operator ends a client's connection; false when it is not connected.
    pub(crate) fn expel(&mut self, client: &str, fx: &mut Effects) -> bool {
        let session = self.clients.get(client).and_then(|&key| self.sessions.get(key));
        match session.map(|session| session.peer) {
            Some(Peer::Wire(connection)) => {
                self.end(connection, Reason::AdministrativeAction, "by an operator", fx);
                true
            }
            Some(Peer::Away | Peer::Link) | None => false,
        }
    }

    /// The session of an open connection.
    pub(super) fn open_session(&self, key: Key) -> Option<Key> {
        match self.connections.get(key)?.state {
            State::Open(session) => Some(session),
            State::Greeting | State::Verifying(_) | State::Closing => None,
        }
    }

    /// The daemon goes down: every client is told. Its will is owed (§3.1.2.5: a server that shuts down
    /// may defer wills to its next start, and only a DISCONNECT by the client itself takes one back): it
    /// stays on disk and fires at the next start, unless its client comes back within its delay.
    pub(super) fn stop(&mut self, fx: &mut Effects) {
        let open: Vec<Key> = self.connections.iter().map(|(key, _)| key).collect();
        for key in open {
            if let Some(session_key) = self.open_session(key)
                && let Some(session) = self.sessions.get_mut(session_key)
            {
                session.peer = Peer::Away;
                session.left_ms = fx.now.wall_ms();
                self.store_session(session_key, fx);
            }
            self.end(key, Reason::ServerShuttingDown, "the daemon is stopping", fx);
        }
        for (_, waiters) in self.waiting.drain() {
            for waiter in waiters {
                if let Waiter::Link(reply) = waiter {
                    let message = "the broker stops".to_string();
                    let refused = crate::bus::Refused { code: "broker.gone", message };
                    fx.answers.push((reply, Err(refused)));
                }
            }
        }
    }
}
