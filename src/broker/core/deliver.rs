//! What goes out: each matching session gets it now, later, or not at all. Acknowledgements by clients.

use std::sync::Arc;

use super::connection::{Answer, Owed};
use super::{Core, Effects, touch};
use crate::broker::flight::Acknowledged;
use crate::broker::group::Origin;
use crate::broker::message::{Incoming, Message, Now};
use crate::broker::notice::Drop;
use crate::broker::queue::{Identifiers, Waiting};
use crate::broker::session::{Peer, Session};
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;
use crate::broker::wire::{Ack, Properties, PropertyBuffer, Publish, Reason, Version};
use crate::bus::{Delivery, Qos};
use crate::storage::{Table, Window};

/// One session's share of a publish: what its subscriptions say together.
#[derive(Debug)]
struct Share {
    session: Key,
    qos: Qos,
    retain: bool,
    identifiers: Identifiers,
}

impl Core {
    /// To every session with a matching subscription; true when one of them keeps it on disk.
    pub(super) fn fan_out(
        &mut self,
        incoming: &Incoming<'_>,
        publisher: Option<Key>,
        window: Window,
        fx: &mut Effects,
    ) -> bool {
        let mut matched = std::mem::take(&mut self.matched);
        matched.clear();
        self.tree.matching(incoming.topic, &mut matched);
        self.spent += 5 * (matched.plain.len() + matched.groups.len());
        if matched.plain.len() > 1 {
            matched.plain.sort_by_key(|found| found.session);
        }
        let mut durable = false;
        for group in matched.plain.chunk_by(|one, other| one.session == other.session) {
            let Some(share) = share(group, incoming, publisher) else { continue };
            if self.may_read(share.session, incoming) {
                durable |= self.deliver(incoming, share, window, fx);
            }
        }
        for &group in &matched.groups {
            durable |= self.share_out(group, incoming, window, fx);
        }
        self.matched = matched;
        self.encoded.forget();
        durable
    }

    /// A member of a shared subscription gets something with QoS 0.
    pub(super) fn deliver_to_member(
        &mut self,
        member: Subscriber,
        incoming: &Incoming<'_>,
        fx: &mut Effects,
    ) {
        let share = Share {
            session: member.session,
            qos: Qos::AtMostOnce,
            retain: member.options.retain_as_published && incoming.retain,
            identifiers: identifiers(&[member]),
        };
        self.deliver(incoming, share, Window::Lazy, fx);
    }

    /// Whether a session may have this.
    pub(super) fn may_read(&self, session: Key, incoming: &Incoming<'_>) -> bool {
        self.sessions.get(session).is_some_and(|session| {
            let audience = incoming.audience.map(|audience| &**audience);
            self.setting.acl.may_read(&session.principal, incoming.topic, audience)
        })
    }

    /// To one session: sent, queued or dropped; true when it waits on disk.
    fn deliver(
        &mut self,
        incoming: &Incoming<'_>,
        share: Share,
        window: Window,
        fx: &mut Effects,
    ) -> bool {
        let key = share.session;
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if share.qos == Qos::AtMostOnce {
            match session.peer {
                Peer::Wire(_) if incoming.will && session.durable => {
                    self.hold_back(incoming, share, fx);
                }
                Peer::Wire(connection) => self.send_at_most_once(connection, incoming, share, fx),
                Peer::Link => self.hand_over(incoming, &share, fx),
                Peer::Away => {}
            }
            return false;
        }
        let mut waiting = Waiting::new(incoming.shared().clone(), share.qos, 0);
        (waiting.retain, waiting.identifiers) = (share.retain, share.identifiers);
        waiting.promised = incoming.noted && share.qos == Qos::ExactlyOnce;
        waiting.held = incoming.will || waiting.promised;
        self.enqueue(key, waiting, window, fx)
    }

    /// Puts a message with an acknowledgement behind the others; true when it is on its way to disk.
    pub(super) fn enqueue(
        &mut self,
        key: Key,
        mut waiting: Waiting,
        window: Window,
        fx: &mut Effects,
    ) -> bool {
        let row = self.sessions.get(key).and_then(Session::durable_row);
        let promised = (row.is_some() || waiting.promised) && window == Window::Promise;
        // Of a will nobody is told: it goes out without its commit when that fails, with QoS 2 when the
        // disk takes it (see `again`).
        waiting.promised = promised && (waiting.promised || !waiting.held);
        let ticket = promised.then(|| self.promise(fx));
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if let Some(ticket) = ticket {
            session.promise(ticket);
        }
        waiting.seq = session.take_seq();
        if let Some(row) = row {
            let message = self.encoded.of(&waiting.message, fx.now);
            let bytes = super::rows::queue_row(message, &waiting);
            let row_key = super::rows::queue_key(row, waiting.seq);
            fx.writes(window).writes.push((Table::Queue, row_key, Some(bytes)));
        }
        let full = session.queue.full(waiting.message.weight());
        let expired = if full.is_some() { session.queue.expired(fx.now) } else { Vec::new() };
        let dropped = session.queue.push(waiting);
        if let Some(ticket) = ticket {
            self.session_waits(key, ticket);
        }
        self.discard(key, expired, Drop::Expired, fx);
        self.discard(key, dropped, full.unwrap_or(Drop::QueueFull), fx);
        self.pump(key, fx);
        row.is_some()
    }

    /// QoS 0 to a connection: encoded straight from where it lies. A connection that is behind loses it.
    fn send_at_most_once(
        &mut self,
        key: Key,
        incoming: &Incoming<'_>,
        share: Share,
        fx: &mut Effects,
    ) {
        let room = self.room();
        let Some(connection) = self.connections.get_mut(key) else { return };
        let waits = |session: &Session| session.queue.has_at_most_once();
        if connection.holding() || self.sessions.get(share.session).is_some_and(waits) {
            return self.queue_kept(&incoming.shared().clone(), share, fx);
        }
        if connection.out.len() > room.unread {
            return self.note_drops(share.session, Drop::Slow, 1, fx);
        }
        let expiry_s = incoming.expiry_s(fx.now);
        let plain = expiry_s.is_none() && share.identifiers.is_empty();
        let properties = if connection.version == Version::V311 {
            Properties::NONE
        } else if plain {
            Properties::trusted(incoming.properties)
        } else {
            complete(&mut self.properties, incoming.properties, expiry_s, &share.identifiers)
        };
        let publish = Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: share.retain,
            topic: incoming.topic,
            packet_id: None,
            properties,
            payload: incoming.payload,
        };
        connection.publish(&publish);
        self.counters.delivered += 1;
        touch(connection, key, fx);
    }

    /// QoS 0 to a link: bounded by its window, like everything else it gets.
    fn hand_over(&mut self, incoming: &Incoming<'_>, share: &Share, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(share.session) else { return };
        let seq = session.take_seq();
        let mut waiting = Waiting::new(incoming.shared().clone(), Qos::AtMostOnce, seq);
        if !session.may_fly(&waiting, usize::MAX) {
            return self.note_drops(share.session, Drop::Slow, 1, fx);
        }
        waiting.retain = share.retain;
        fx.deliver.push((share.session, delivery(&waiting, fx.now)));
        session.flight.publish(waiting);
        self.counters.delivered += 1;
    }

    /// Sends what waits, as far as the window and the connection allow: its own, then of the shared
    /// subscriptions it is a member of.
    pub(super) fn pump(&mut self, key: Key, fx: &mut Effects) {
        self.pump_own(key, fx);
        let mut place = 0;
        while let Some(&group) = self.sessions.get(key).and_then(|open| open.groups.get(place)) {
            self.pump_group(group, fx);
            place += 1;
        }
    }

    pub(super) fn pump_own(&mut self, key: Key, fx: &mut Effects) {
        let (mut expired, mut too_large, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let room = self.room();
            let Some(session) = self.sessions.get_mut(key) else { break };
            // First of all: what expired must not open the way for what comes after it.
            if let Some(gone) = session.queue.pop_expired(fx.now) {
                expired.push(gone);
                continue;
            }
            if session.gap.is_some() || expired.iter().any(|gone| session.leaves_gap(gone)) {
                break;
            }
            let Some(first) = session.queue.first() else { break };
            // Judged again: it may have waited for a client that has another role now.
            let message = &first.message;
            let audience = message.audience.as_deref();
            if session.peer != Peer::Away
                && !self.setting.acl.may_read(&session.principal, &message.topic, audience)
            {
                hidden.extend(session.queue.pop());
                continue;
            }
            let open = match first.qos {
                Qos::AtMostOnce if session.peer != Peer::Link => session.is_safe(first),
                Qos::AtMostOnce | Qos::AtLeastOnce | Qos::ExactlyOnce => {
                    session.may_fly(first, room.in_flight)
                }
            };
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
                    too_large
                        .extend(send_waiting(session, connection, properties, waiting, fx.now));
                    touch(connection, connection_key, fx);
                }
            }
            self.counters.delivered += 1;
        }
        self.replays.wake(key);
        for (gone, why) in
            [(expired, Drop::Expired), (too_large, Drop::TooLarge), (hidden, Drop::NotReadable)]
        {
            if !gone.is_empty() {
                self.discard(key, gone, why, fx);
            }
        }
    }

    /// Messages that a session does not get.
    pub(super) fn discard(&mut self, key: Key, gone: Vec<Waiting>, why: Drop, fx: &mut Effects) {
        let told = gone.iter().filter(|waiting| !self.is_of_drops(&waiting.message)).count();
        self.counters.dropped(why, gone.len() - told);
        self.note_drops(key, why, told, fx);
        if why == Drop::Expired {
            self.close_gap(key, &gone, fx);
        }
        for waiting in gone {
            self.forget(key, waiting.seq, waiting.origin.as_deref(), fx);
        }
    }

    /// What expired and might come back after a kill is gone from the disk before anything follows it.
    fn close_gap(&mut self, key: Key, gone: &[Waiting], fx: &mut Effects) {
        let Some(session) = self.sessions.get(key) else { return };
        let Some(row) = session.durable_row() else { return };
        let left = gone.iter().filter(|waiting| session.leaves_gap(waiting));
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

    /// The row of a message that is done with goes, wherever it is.
    fn forget(&mut self, key: Key, seq: u64, origin: Option<&Origin>, fx: &mut Effects) {
        match origin.filter(|origin| !origin.moved) {
            Some(origin) => self.forget_of_group(origin, Window::Lazy, fx),
            None => {
                let row = self.sessions.get(key).and_then(Session::durable_row);
                self.forget_rows(row, std::iter::once(seq), fx);
            }
        }
    }

    /// Rows of messages that are done with.
    pub(super) fn forget_rows(
        &mut self,
        row: Option<u64>,
        numbers: impl Iterator<Item = u64>,
        fx: &mut Effects,
    ) {
        let Some(row) = row else { return };
        for seq in numbers.filter(|&seq| seq > 0) {
            fx.lazy.writes.push((Table::Queue, super::rows::queue_key(row, seq), None));
        }
    }

    /// PUBACK from a client.
    pub(super) fn puback(&mut self, key: Key, ack: &Ack<'_>, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Acknowledged::Done(seq, sent) =
            session.flight.complete(ack.packet_id, Qos::AtLeastOnce)
        {
            self.done(key, seq, sent, fx);
        }
    }

    /// PUBCOMP from a client.
    pub(super) fn pubcomp(&mut self, key: Key, ack: &Ack<'_>, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Acknowledged::Done(seq, sent) =
            session.flight.complete(ack.packet_id, Qos::ExactlyOnce)
        {
            self.done(key, seq, sent, fx);
        }
    }

    /// PUBREC from a client: answered with PUBREL, for a durable session when that step is on disk.
    pub(super) fn pubrec(&mut self, key: Key, ack: &Ack<'_>, fx: &mut Effects) {
        let Some(session_key) = self.open_session(key) else { return };
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let (reason, ticket) = match session.flight.receipt(ack.packet_id, ack.reason.is_error()) {
            Acknowledged::Done(seq, sent) => return self.done(session_key, seq, sent, fx),
            Acknowledged::Released(seq, sent) => {
                let origin = sent.and_then(|sent| sent.origin).filter(|origin| !origin.moved);
                if let Some(origin) = origin {
                    self.forget_of_group(&origin, Window::Promise, fx);
                }
                (Reason::Success, self.store_released(session_key, seq, fx))
            }
            Acknowledged::Unknown => (Reason::PacketIdentifierNotFound, None),
        };
        let owed = Owed::success(Answer::PubRel(ack.packet_id), ticket);
        self.owe(key, Owed { reason, ..owed }, fx);
    }

    /// A message is done with.
    pub(super) fn done(&mut self, key: Key, seq: u64, sent: Option<Waiting>, fx: &mut Effects) {
        let origin = sent.as_ref().and_then(|sent| sent.origin.as_deref());
        self.forget(key, seq, origin, fx);
        self.pump(key, fx);
    }

    /// Retained messages for a new subscription, through the queue so that none is lost. Held, they go
    /// out when they are on disk, and are taken back when they cannot be.
    pub(super) fn deliver_kept(
        &mut self,
        subscriber: Subscriber,
        kept: &[Arc<Message>],
        held: bool,
        fx: &mut Effects,
    ) {
        for message in kept {
            let incoming = Incoming::of(message, true);
            let share = Share {
                session: subscriber.session,
                qos: message.qos.min(subscriber.options.qos),
                retain: true,
                identifiers: identifiers(&[subscriber]),
            };
            if !self.may_read(share.session, &incoming) {
                continue;
            }
            if share.qos == Qos::AtMostOnce {
                self.queue_kept(message, share, fx);
                continue;
            }
            let mut waiting = Waiting::new(message.clone(), share.qos, 0);
            (waiting.retain, waiting.identifiers) = (true, share.identifiers);
            (waiting.held, waiting.promised) = (held, held);
            self.enqueue(share.session, waiting, Window::Promise, fx);
        }
        self.encoded.forget();
    }
}

impl Core {
    /// A retained message with QoS 0 waits like the others when its client is slow.
    fn queue_kept(&mut self, message: &Arc<Message>, share: Share, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(share.session) else { return };
        let seq = if session.peer == Peer::Link { session.take_seq() } else { 0 };
        let mut waiting = Waiting::new(message.clone(), share.qos, seq);
        (waiting.retain, waiting.identifiers) = (share.retain, share.identifiers);
        let full = session.queue.full(waiting.message.weight());
        let dropped = session.queue.push(waiting);
        self.discard(share.session, dropped, full.unwrap_or(Drop::QueueFull), fx);
        self.pump(share.session, fx);
    }
}

impl Core {
    /// A will with QoS 0 waits for its commit like the others.
    fn hold_back(&mut self, incoming: &Incoming<'_>, share: Share, fx: &mut Effects) {
        let ticket = self.promise(fx);
        let Some(session) = self.sessions.get_mut(share.session) else { return };
        session.promise(ticket);
        let mut waiting = Waiting::new(incoming.shared().clone(), share.qos, session.take_seq());
        (waiting.retain, waiting.identifiers) = (share.retain, share.identifiers);
        waiting.held = true;
        let full = session.queue.full(waiting.message.weight());
        let dropped = session.queue.push(waiting);
        self.session_waits(share.session, ticket);
        self.discard(share.session, dropped, full.unwrap_or(Drop::QueueFull), fx);
    }
}

/// What the subscriptions of one session say together about one message: the highest quality, every
/// identifier (§3.3.4). `None` when all of them are against it.
fn share(group: &[Subscriber], incoming: &Incoming<'_>, publisher: Option<Key>) -> Option<Share> {
    let session = group.first()?.session;
    let mut wanted =
        group.iter().filter(|one| !(one.options.no_local && publisher == Some(session)));
    let first = wanted.next()?;
    let (mut qos, mut as_published) = (first.options.qos, first.options.retain_as_published);
    for one in wanted {
        qos = qos.max(one.options.qos);
        as_published |= one.options.retain_as_published;
    }
    Some(Share {
        session,
        qos: qos.min(incoming.qos),
        retain: as_published && incoming.retain,
        identifiers: identifiers(group),
    })
}

fn identifiers(group: &[Subscriber]) -> Identifiers {
    group.iter().map(|one| one.options.identifier).filter(|&identifier| identifier > 0).collect()
}

/// Sends one message that waited; gives it back when the client cannot take one so large.
fn send_waiting(
    session: &mut Session,
    connection: &mut super::connection::Connection,
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

/// The properties of a delivery: those of the message, the time it has left, the subscriptions it met.
fn complete<'b>(
    buffer: &'b mut PropertyBuffer,
    forwarded: &[u8],
    expiry_s: Option<u32>,
    identifiers: &[u32],
) -> Properties<'b> {
    buffer.clear().append(forwarded);
    if let Some(expiry_s) = expiry_s {
        buffer.message_expiry_interval(expiry_s);
    }
    for &identifier in identifiers {
        buffer.subscription_identifier(identifier);
    }
    buffer.as_properties()
}

/// A message as a link gets it.
fn delivery(waiting: &Waiting, now: Now) -> Delivery {
    let mut message = super::publish::bus_message(&waiting.message, waiting.retain, now);
    message.qos = waiting.qos;
    Delivery { message, token: waiting.seq, from: waiting.message.from.clone() }
}
