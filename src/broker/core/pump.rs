//! What waits goes out, as far as the window and the connection allow; or is done with, because it
//! expired, is too large, or is not its reader's to read any more.

use super::connection::Connection;
use super::deliver::{complete, delivery};
use super::{Core, Effects, touch};
use crate::broker::message::Now;
use crate::broker::notice::Drop;
use crate::broker::queue::Waiting;
use crate::broker::session::{Peer, Session};
use crate::broker::slots::Key;
use crate::broker::wire::{PropertyBuffer, Publish};
use crate::bus::Qos;
use crate::storage::Table;

impl Core {
    /// Sends what waits, as far as the window and the connection allow: its own, then of the shared
    /// subscriptions it is a member of.
    pub(super) fn pump(&mut self, key: Key, fx: &mut Effects) {
        self.pump_own(key, fx);
        let mut place = 0;
        while let Some(&group) = self.sessions.get(key).and_then(|open| open.groups.get(place)) {
            let room = self.room();
            let takes = |one: &Session| super::share::has_room(one, &self.connections, room);
            if !self.sessions.get(key).is_some_and(takes) {
                return; // what its groups have waits for another member, or until it has room
            }
            self.pump_group(group, fx);
            place += 1;
        }
    }

    pub(super) fn pump_own(&mut self, key: Key, fx: &mut Effects) {
        let mut gone: Vec<(Waiting, Drop)> = Vec::new();
        let mut looked_at = 0;
        loop {
            let room = self.room();
            let Some(session) = self.sessions.get_mut(key) else { break };
            // First of all: what expired must not open the way for what comes after it.
            if let Some(expired) = session.queue.pop_expired(fx.now) {
                gone.push((expired, Drop::Expired));
                continue;
            }
            let new = &gone[std::mem::replace(&mut looked_at, gone.len())..];
            if session.gap.is_some() || new.iter().any(|(one, why)| session.leaves_gap(one, *why)) {
                break;
            }
            let Some(first) = session.queue.first() else { break };
            // Judged again: it may have waited for a client that has another role now.
            let message = &first.message;
            let audience = message.audience.as_deref();
            if session.peer != Peer::Away
                && !self.setting.acl.may_read(&session.principal, &message.topic, audience)
            {
                gone.extend(session.queue.pop().map(|hidden| (hidden, Drop::NotReadable)));
                continue;
            }
            let open = session.may_go(first, room.in_flight);
            match session.peer {
                Peer::Away => break,
                Peer::Link if !open => break,
                Peer::Link => {
                    let Some(waiting) = session.queue.pop() else { break };
                    fx.deliver.push((key, delivery(&waiting, fx.now)));
                    session.flight.publish(waiting);
                }
                Peer::Wire(connection_key) => {
                    let Some(connection) = self.connections.get_mut(connection_key) else { break };
                    let behind = connection.out.len() > room.unread;
                    if !open || behind || connection.holding() {
                        break;
                    }
                    let Some(waiting) = session.queue.pop() else { break };
                    // Too large for this client: done with (MQTT-3.1.2-25).
                    let properties = &mut self.properties;
                    let large = send_waiting(session, connection, properties, waiting, fx.now);
                    gone.extend(large.map(|large| (large, Drop::TooLarge)));
                    touch(connection, connection_key, fx);
                }
            }
            self.counters.delivered += 1;
        }
        self.replays.wake(key);
        for why in [Drop::Expired, Drop::TooLarge, Drop::NotReadable] {
            let of_it = gone.extract_if(.., |(_, of)| *of == why);
            let of_it: Vec<Waiting> = of_it.map(|(one, _)| one).collect();
            if !of_it.is_empty() {
                self.discard(key, of_it, why, fx);
            }
        }
    }

    /// Messages that a session does not get.
    pub(super) fn discard(&mut self, key: Key, gone: Vec<Waiting>, why: Drop, fx: &mut Effects) {
        let told = gone.iter().filter(|waiting| !self.is_of_drops(&waiting.message)).count();
        self.counters.dropped(why, gone.len() - told);
        self.note_drops(key, why, told, fx);
        self.close_gap(key, &gone, why, fx);
        for waiting in gone {
            self.forget(key, waiting.seq, waiting.origin.as_deref(), fx);
        }
    }

    /// What might come back after a kill is gone from the disk before anything follows it.
    fn close_gap(&mut self, key: Key, gone: &[Waiting], why: Drop, fx: &mut Effects) {
        let Some(session) = self.sessions.get(key) else { return };
        let Some(row) = session.durable_row() else { return };
        let left = gone.iter().filter(|waiting| session.leaves_gap(waiting, why));
        let rows =
            left.map(|waiting| (Table::Queue, super::rows::queue_key(row, waiting.seq), None));
        let before = fx.promise.batch.writes.len();
        fx.promise.batch.writes.extend(rows);
        if fx.promise.batch.writes.len() == before {
            return;
        }
        let ticket = self.promise(fx);
        if let Some(session) = self.sessions.get_mut(key) {
            session.gap = Some(ticket);
        }
        self.session_waits(key, ticket);
    }
}

/// Sends one message that waited; gives it back when the client cannot take one so large.
fn send_waiting(
    session: &mut Session,
    connection: &mut Connection,
    buffer: &mut PropertyBuffer,
    waiting: Waiting,
    now: Now,
) -> Option<Waiting> {
    let message = waiting.message.clone();
    let (qos, retain, dup, seq) = (waiting.qos, waiting.retain, waiting.dup, waiting.seq);
    let expiry_s = message.expiry_s(now);
    let properties = complete(buffer, &message.properties, expiry_s, &waiting.identifiers);
    let (packet_id, waiting) = match qos {
        Qos::AtMostOnce => (None, Some(waiting)),
        Qos::AtLeastOnce | Qos::ExactlyOnce => (Some(session.flight.publish(waiting)), None),
    };
    let publish = Publish {
        dup,
        qos,
        retain,
        topic: &message.topic,
        packet_id,
        properties,
        payload: &message.payload,
    };
    let before = connection.out.len();
    connection.publish(&publish);
    if connection.out.len() > before {
        return None;
    }
    waiting.or_else(|| session.flight.forget(seq))
}
