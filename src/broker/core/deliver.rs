//! What goes out: each matching session gets it now, later, or not at all. Acknowledgements by clients.

use std::sync::Arc;

use super::{Core, Effects, touch};
use crate::broker::message::{Incoming, Message, Now};
use crate::broker::notice::Drop;
use crate::broker::queue::{Identifiers, Waiting};
use crate::broker::session::{Peer, Session};
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;
use crate::broker::wire::{Properties, PropertyBuffer, Publish, Version};
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

/// What becomes of a message with QoS 0 whose commit failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfRefused {
    /// It goes out without: nobody will be told of it another time.
    SentAnyway,
    /// Its piece is made again.
    TakenBack,
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
                    self.hold_back(incoming, share, IfRefused::SentAnyway, fx);
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
            let own = |session: &Session| message.client.as_ref() == Some(&session.client);
            let own = self.sessions.get(subscriber.session).is_some_and(own);
            if own && subscriber.options.no_local || !self.may_read(share.session, &incoming) {
                continue;
            }
            if share.qos == Qos::AtMostOnce {
                match held {
                    true => self.hold_back(&incoming, share, IfRefused::TakenBack, fx),
                    false => self.queue_kept(message, share, fx),
                }
                continue;
            }
            let mut waiting = Waiting::new(message.clone(), share.qos, 0);
            (waiting.retain, waiting.identifiers) = (true, share.identifiers);
            (waiting.held, waiting.promised) = (held, held);
            self.enqueue(share.session, waiting, Window::Promise, fx);
        }
        self.encoded.forget();
    }

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

    /// What has QoS 0 waits for a commit like the others: a will, a piece of what is retained.
    fn hold_back(
        &mut self,
        incoming: &Incoming<'_>,
        share: Share,
        if_refused: IfRefused,
        fx: &mut Effects,
    ) {
        let ticket = self.promise(fx);
        let Some(session) = self.sessions.get_mut(share.session) else { return };
        session.promise(ticket);
        let mut waiting = Waiting::new(incoming.shared().clone(), share.qos, session.take_seq());
        (waiting.retain, waiting.identifiers) = (share.retain, share.identifiers);
        (waiting.held, waiting.promised) = (true, if_refused == IfRefused::TakenBack);
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
    let wants = |one: &&Subscriber| !(one.options.no_local && publisher == Some(session));
    let mut wanted = group.iter().filter(wants);
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
        identifiers: identifiers(group.iter().filter(wants)),
    })
}

fn identifiers<'s>(group: impl IntoIterator<Item = &'s Subscriber>) -> Identifiers {
    let numbers = group.into_iter().map(|one| one.options.identifier);
    numbers.filter(|&identifier| identifier > 0).collect()
}

/// The properties of a delivery: those of the message, the time it has left, the subscriptions it met.
pub(super) fn complete<'b>(
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
pub(super) fn delivery(waiting: &Waiting, now: Now) -> Delivery {
    let mut message = super::publish::bus_message(&waiting.message, waiting.retain, now);
    message.qos = waiting.qos;
    Delivery { message, token: waiting.seq, from: waiting.message.from.clone() }
}
