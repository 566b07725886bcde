//! PUBLISH from a client (§3.3): judged, held for the gate, kept, fanned out, acknowledged.

use std::cell::OnceCell;
use std::num::NonZeroU16;
use std::sync::Arc;

use super::connection::{Answer, Owed};
use super::share::has_room;
use super::{Core, Effects};
use crate::broker::acl::{self, Denied};
use crate::broker::intake::Ticket;
use crate::broker::limits::Limit;
use crate::broker::message::{self, Incoming, Message, Now};
use crate::broker::notice::Drop;
use crate::broker::principal::Principal;
use crate::broker::queue::{Policy, Queue};
use crate::broker::received::Known;
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;
use crate::broker::wire::{Properties, PropertyBuffer, Publish, Reason, Version};
use crate::bus::{self, Qos};
use crate::contract;
use crate::storage::Window;

/// What becomes of a publish that was taken.
pub(super) enum Taken {
    /// It is safe already.
    Safe,
    /// It is safe when this ticket is settled.
    When(Ticket),
    /// The gate has it, and settles this ticket.
    Held(Ticket),
}

impl Taken {
    /// What its acknowledgement waits for.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match *self {
            Taken::Safe => None,
            Taken::When(ticket) | Taken::Held(ticket) => Some(ticket),
        }
    }
}

/// Who publishes, and the packet identifier of a QoS 2 message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publisher {
    pub(super) session: Key,
    pub(super) receipt: Option<NonZeroU16>,
}

impl Core {
    /// A client publishes.
    pub(super) fn publish_in(&mut self, key: Key, publish: &Publish<'_>, fx: &mut Effects) {
        let (Some(session_key), Some(connection)) =
            (self.open_session(key), self.connections.get_mut(key))
        else {
            return;
        };
        connection.traffic.publish_came(publish.payload.len());
        let (max, alias) = (self.setting.limits.topic_alias, publish.properties.topic_alias());
        let mut aliases = std::mem::take(&mut connection.aliases_in);
        match aliases.topic(publish.topic, alias, max) {
            Ok(topic) => self.published(key, session_key, &Publish { topic, ..*publish }, fx),
            Err(misused) => {
                self.counters.limits.count(Limit::TopicAlias);
                self.end(key, misused.reason, misused.text, fx);
            }
        }
        if let Some(connection) = self.connections.get_mut(key) {
            connection.aliases_in = aliases;
        }
    }

    /// A publish whose topic is known.
    fn published(&mut self, key: Key, session_key: Key, publish: &Publish<'_>, fx: &mut Effects) {
        let Some(session) = self.sessions.get(session_key) else { return };
        let twice = publish.packet_id.filter(|_| publish.qos == Qos::ExactlyOnce);
        // What comes again was taken before (§4.3.3), safe or not yet.
        match twice.map_or(Known::New, |packet_id| session.received.known(packet_id)) {
            Known::New => {}
            Known::Safe => return self.acknowledge(key, publish, Ok(None), fx),
            Known::When(ticket) => return self.acknowledge(key, publish, Ok(Some(ticket)), fx),
        }
        if publish.qos > Qos::AtMostOnce && self.too_many_unfinished(key) {
            let text = "more than the receive maximum are unacknowledged (MQTT-3.3.4-9)";
            self.counters.limits.count(Limit::InFlight);
            return self.end(key, Reason::ReceiveMaximumExceeded, text, fx);
        }
        let Some(session) = self.sessions.get(session_key) else { return };
        let (from, client) = (session.principal.clone(), session.client.clone());
        let (name, noted) =
            (session.name.clone(), twice.is_some() && session.durable_row().is_some());
        self.counters.published += 1;
        let mut forward = PropertyBuffer::new();
        if !publish.properties.is_empty() {
            forward.forward(publish.properties);
        }
        let incoming = Incoming {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: forward.as_properties().raw(),
            expires: message::expires(&publish.properties, fx.now),
            from: &name,
            client: publish.retain.then_some(&client),
            audience: None,
            will: false,
            noted,
            shared: OnceCell::new(),
        };
        let publisher = Publisher { session: session_key, receipt: twice };
        let result = self.take(&incoming, (&client, &from), Some(publisher), fx);
        if let Err(denied) = &result {
            self.tell_denied((&client, &from), publish.topic, denied, fx);
        }
        let result = result.map(|taken| match twice {
            Some(packet_id) => self.receive(session_key, packet_id, &taken, fx),
            None => taken.ticket(),
        });
        self.acknowledge(key, publish, result, fx);
    }

    /// Notes a QoS 2 packet identifier as taken. Of a durable session it is on disk together with the
    /// message, or after the gate has decided.
    fn receive(
        &mut self,
        session: Key,
        packet_id: NonZeroU16,
        taken: &Taken,
        fx: &mut Effects,
    ) -> Option<Ticket> {
        let ticket = match taken {
            Taken::Held(ticket) => Some(*ticket),
            Taken::Safe | Taken::When(_) => {
                self.store_received(session, packet_id, fx).or(taken.ticket())
            }
        };
        if let Some(ticket) = ticket {
            self.session_waits(session, ticket);
        }
        self.sessions.get_mut(session)?.received.take(packet_id, ticket);
        ticket
    }

    /// Counts one more publish with an acknowledgement; true when an MQTT 5 client has sent more of
    /// them than it was told it may (§4.9). In 3.1.1 the loop reads no more meanwhile.
    fn too_many_unfinished(&mut self, key: Key) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        connection.unfinished = connection.unfinished.saturating_add(1);
        connection.version == Version::V5
            && connection.unfinished > self.setting.limits.receive_maximum
    }

    /// Judges a publish and lets it in.
    pub(super) fn take(
        &mut self,
        incoming: &Incoming<'_>,
        (client, from): (&Arc<str>, &Arc<Principal>),
        publisher: Option<Publisher>,
        fx: &mut Effects,
    ) -> Result<Taken, Denied> {
        let publish = acl::Publish {
            topic: incoming.topic,
            retain: incoming.retain,
            payload: incoming.payload,
        };
        self.setting.acl.may_publish(from, &publish)?;
        // What the daemon says of itself is bounded by itself; no hoard of others keeps it out.
        if incoming.retain && !from.is_daemon() {
            self.may_keep(incoming.topic, incoming.payload, incoming.shared().weight())?;
        }
        if self.is_command(incoming.topic) {
            return self.hold(incoming, (client, from), publisher, fx);
        }
        if !from.is_daemon() {
            self.may_fan_out(incoming)?;
            if self.setting.limits.queue.policy == Policy::Refuse {
                self.may_queue(incoming)?;
            }
        }
        Ok(match self.publish(incoming, publisher.map(|publisher| publisher.session), fx) {
            Some(ticket) => Taken::When(ticket),
            None => Taken::Safe,
        })
    }

    /// Whether all lasting sessions that it must go to may have it together: each has a row of its own on
    /// disk, and more than may wait for all would have to give way at once.
    fn may_fan_out(&mut self, incoming: &Incoming<'_>) -> Result<(), Denied> {
        let most = self.setting.limits.queued_total;
        if incoming.qos == Qos::AtMostOnce
            || incoming.payload.len().saturating_mul(self.sessions.len()) <= most
        {
            return Ok(());
        }
        let mut matched = std::mem::take(&mut self.matched);
        matched.clear();
        self.tree.matching(incoming.topic, &mut matched);
        let lasting = |one: &&Subscriber| {
            let session = self.sessions.get(one.session);
            one.options.qos > Qos::AtMostOnce && session.is_some_and(|one| one.durable)
        };
        let rows = matched.plain.iter().filter(lasting).count() + matched.groups.len();
        self.matched = matched;
        if incoming.payload.len().saturating_mul(rows) <= most {
            return Ok(());
        }
        self.counters.limits.count(Limit::QueuedTotal);
        let message = format!(
            "for {rows} lasting sessions together it is more than broker.limits.max_queued_total_size"
        );
        Err(Denied { code: "broker.queue_full", message })
    }

    /// Whether every queue that it must go to has room, before it goes anywhere.
    fn may_queue(&mut self, incoming: &Incoming<'_>) -> Result<(), Denied> {
        if incoming.qos == Qos::AtMostOnce {
            return Ok(());
        }
        let mut matched = std::mem::take(&mut self.matched);
        matched.clear();
        self.tree.matching(incoming.topic, &mut matched);
        let weight = incoming.shared().weight();
        let of_session = |one: &Subscriber| {
            let session = self.sessions.get(one.session)?;
            let asks = one.options.qos > Qos::AtMostOnce && self.may_read(one.session, incoming);
            let goes = || self.takes_more(one);
            self.no_room(&session.queue, weight, goes).filter(|_| asks)
        };
        let of_group = |&group: &Key| {
            let group = self.groups.get(group)?;
            let asks = group.qos(incoming.qos) > Qos::AtMostOnce;
            let goes = || group.members.iter().any(|one| self.takes_more(one));
            self.no_room(&group.queue, weight, goes).filter(|_| asks)
        };
        let full = matched.plain.iter().find_map(of_session);
        let full = full.or_else(|| matched.groups.iter().find_map(of_group));
        self.matched = matched;
        let Some(full) = full else { return Ok(()) };
        self.counters.limits.count(full);
        let key = full.key();
        let message = format!(
            "a queue it must go to is full (broker.limits.{key}), \
             and broker.limits.queue_policy is refuse"
        );
        Err(Denied { code: "broker.queue_full", message })
    }

    /// What keeps one more message of this weight out of a queue. What goes out at once needs no room
    /// in the total.
    fn no_room(&self, queue: &Queue, weight: usize, goes: impl Fn() -> bool) -> Option<Limit> {
        match queue.full(weight) {
            Some(Drop::QueueFull) => Some(Limit::Queued),
            Some(_) => Some(Limit::QueuedSize),
            None if self.queued.bytes() + weight <= self.setting.limits.queued_total => None,
            None => (!queue.is_empty() || !goes()).then_some(Limit::QueuedTotal),
        }
    }

    /// Whether a subscriber takes one more message at once.
    fn takes_more(&self, one: &Subscriber) -> bool {
        let session = self.sessions.get(one.session);
        session.is_some_and(|session| has_room(session, &self.connections, self.room()))
    }

    /// Notes the acknowledgement of a publish in its place.
    fn acknowledge(
        &mut self,
        key: Key,
        publish: &Publish<'_>,
        result: Result<Option<Ticket>, Denied>,
        fx: &mut Effects,
    ) {
        let Some(packet_id) = publish.packet_id else { return };
        let answer = match publish.qos {
            Qos::ExactlyOnce => Answer::PubRec(packet_id),
            Qos::AtLeastOnce | Qos::AtMostOnce => Answer::PubAck(packet_id),
        };
        let owed = match result {
            Ok(ticket) => Owed::success(answer, ticket),
            Err(denied) => {
                let reason = reason_of(denied.code);
                Owed { answer, ticket: None, reason, text: denied.message }
            }
        };
        self.owe(key, owed, fx);
    }

    /// Keeps and fans out. The ticket says when it is safe; `None` is now.
    pub(super) fn publish(
        &mut self,
        incoming: &Incoming<'_>,
        publisher: Option<Key>,
        fx: &mut Effects,
    ) -> Option<Ticket> {
        let window = match incoming.qos {
            Qos::ExactlyOnce => Window::Promise, // a durable session gets it only after the commit
            Qos::AtMostOnce | Qos::AtLeastOnce => self.window(publisher),
        };
        let mut waits = false;
        if incoming.retain {
            let kept = if incoming.qos == Qos::AtMostOnce { Window::Lazy } else { window };
            waits |= self.keep(incoming, kept, fx);
        }
        waits |= self.fan_out(incoming, publisher, window, fx);
        if !waits || incoming.qos == Qos::AtMostOnce {
            return None;
        }
        Some(match window {
            Window::Promise => self.promise(fx),
            Window::Background | Window::Lazy => {
                let next = &mut self.next_ticket;
                *fx.background.ticket.get_or_insert_with(|| {
                    *next += 1;
                    *next - 1
                })
            }
        })
    }

    /// The daemon's own words may wait longer for a commit than a client's.
    fn window(&self, publisher: Option<Key>) -> Window {
        let internal = publisher
            .and_then(|key| self.sessions.get(key))
            .is_none_or(|session| session.principal.is_daemon());
        if internal { Window::Background } else { Window::Promise }
    }
}

/// The MQTT 5 reason for a code of the contract.
pub(super) fn reason_of(code: &str) -> Reason {
    match contract::error(code).map(|error| error.puback) {
        Some(0x87) => Reason::NotAuthorized,
        Some(0x97) => Reason::QuotaExceeded,
        Some(0x99) => Reason::PayloadFormatInvalid,
        Some(_) | None => Reason::ImplementationSpecificError,
    }
}

/// The static spelling of a code.
pub(super) fn contract_code(code: &str) -> &'static str {
    contract::error(code).map_or("broker.refused", |error| error.code)
}

/// A message as the links know it.
pub(super) fn bus_message(message: &Message, retain: bool, now: Now) -> bus::Message {
    let properties = Properties::trusted(&message.properties);
    let text = |text: Option<&str>| text.map(str::to_string);
    bus::Message {
        topic: message.topic.to_string(),
        payload: message.payload.clone(),
        qos: message.qos,
        retain,
        response_topic: text(properties.response_topic()),
        correlation_data: properties.correlation_data().map(bytes::Bytes::copy_from_slice),
        content_type: text(properties.content_type()),
        expiry_s: message.expiry_s(now),
        user: properties
            .user_properties()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        audience: message.audience.as_deref().map(str::to_string),
    }
}
