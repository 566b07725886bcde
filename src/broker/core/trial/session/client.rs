//! What clients do: packets that make sense, mostly, and some that do not.

use std::collections::VecDeque;
use std::num::NonZeroU16;

use super::memory::Memory;
use super::{Chance, FILTERS, IDS, QOS, TOPICS, World};
use crate::broker::core::connection::State;
use crate::broker::core::{NONE, Origin};
use crate::broker::identity::{Owner, Transport};
use crate::broker::slots::Key;
use crate::broker::wire::{
    self, Ack, Connect, Disconnect, FilterBuffer, Options, Packet, PropertyBuffer, Publish, Reason,
    RetainHandling, Subscribe, SubscriptionBuffer, Unsubscribe, Version, Will,
};
use crate::bus::Qos;
use crate::contract::Role;

/// One connection as its client sees it.
pub(super) struct Client {
    /// What it calls itself.
    pub(super) id: &'static str,
    pub(super) key: Key,
    /// The most unacknowledged messages it takes.
    pub(super) window: usize,
    /// Takes nothing of what it is sent.
    pub(super) deaf: bool,
    /// First byte and packet identifier of what it should answer.
    pub(super) to_answer: VecDeque<(u8, NonZeroU16)>,
}

impl World {
    /// Whether the broker took all of it.
    fn bytes(&mut self, who: usize, bytes: &[u8]) -> bool {
        let Some(key) = self.clients[who].as_ref().map(|client| client.key) else { return false };
        let mut rest = bytes;
        // What is left over comes again with what follows, as the loop's buffer has it.
        while !rest.is_empty() && self.core.reading(key) {
            let done = self.core.received(key, rest, &mut self.fx);
            assert!(done <= rest.len());
            rest = &rest[done..];
            if done == 0 {
                break;
            }
        }
        rest.is_empty()
    }

    fn send(&mut self, who: usize, packet: &Packet<'_>) -> bool {
        let mut bytes = Vec::new();
        wire::encode(self.version(who), packet, &mut bytes);
        self.bytes(who, &bytes)
    }

    pub(super) fn come(&mut self, who: usize, chance: &mut Chance<'_>) {
        if let Some(client) = self.clients[who].take() {
            self.core.closed(client.key, &mut self.fx);
        }
        let uid = chance.one_of(&[0, 1, 2]);
        let owner = Owner { uid, login: format!("u{uid}"), groups: Vec::new() };
        let transport = Transport::Unix(owner);
        let origin = Origin { transport, address: None, listener: "unix", max_role: Role::Admin };
        let Some(key) = self.core.accept(origin, &mut self.fx) else { return };
        let version = if chance.often() { Version::V5 } else { Version::V311 };
        let (mut properties, mut of_will) = (PropertyBuffer::new(), PropertyBuffer::new());
        let (mut window, id) = (u16::MAX, chance.one_of(&IDS));
        if version == Version::V5 {
            properties.session_expiry_interval(chance.one_of(&[0, 0, 60, 3600, u32::MAX]));
            if chance.seldom() {
                window = chance.one_of(&[1, 2, u16::MAX]);
                properties.receive_maximum(window);
            }
            if chance.seldom() {
                properties.maximum_packet_size(chance.one_of(&[10, 40, 200]));
            }
            if chance.seldom() {
                properties.topic_alias_maximum(chance.one_of(&[1, 3]));
            }
            of_will.will_delay_interval(chance.one_of(&[0, 0, 30, 100_000]));
        }
        let will = chance.seldom().then(|| Will {
            topic: chance.one_of(&TOPICS[..7]),
            payload: b"gone",
            qos: chance.one_of(&QOS),
            retain: chance.seldom(),
            properties: of_will.as_properties(),
        });
        let login = chance.seldom();
        let connect = Connect {
            version,
            clean_start: chance.byte().is_multiple_of(3),
            keep_alive_s: chance.one_of(&[0, 0, 10]),
            client_id: id,
            will,
            username: login.then_some("bob"),
            password: login.then_some(b"secret"),
            properties: properties.as_properties(),
        };
        let mut bytes = Vec::new();
        wire::encode(version, &Packet::Connect(connect), &mut bytes);
        let (window, to_answer) = (window.into(), VecDeque::new());
        self.clients[who] = Some(Client { id, key, window, deaf: false, to_answer });
        self.bytes(who, &bytes);
    }

    pub(super) fn publish(&mut self, who: usize, chance: &mut Chance<'_>) {
        let qos = chance.one_of(&QOS);
        let mut properties = PropertyBuffer::new();
        if chance.seldom() {
            properties.message_expiry_interval(chance.one_of(&[0, 5, 500]));
        }
        let mut topic = chance.one_of(&TOPICS);
        if topic.is_empty() || chance.seldom() {
            properties.topic_alias(chance.one_of(&[1, 2, 99]));
        }
        if self.version(who) == Version::V311 {
            properties.clear();
            topic = if topic.is_empty() { "a" } else { topic };
        }
        let packet_id = packet_id(chance);
        self.send(
            who,
            &Packet::Publish(Publish {
                dup: qos > Qos::AtMostOnce && chance.seldom(),
                qos,
                retain: chance.seldom(),
                topic,
                packet_id: (qos > Qos::AtMostOnce).then_some(packet_id),
                properties: properties.as_properties(),
                payload: chance.one_of(&[&b""[..], b"x", &[b'y'; 100], &[b'z'; 500]]),
            }),
        );
    }

    fn version(&self, who: usize) -> Version {
        let key = self.clients[who].as_ref().map(|client| client.key);
        let found = key.and_then(|key| self.core.connections.get(key));
        found.map_or(Version::V5, |connection| connection.version)
    }

    pub(super) fn subscribe(&mut self, who: usize, chance: &mut Chance<'_>) {
        let mut subscriptions = SubscriptionBuffer::default();
        let five = self.version(who) == Version::V5;
        for _ in 0..1 + chance.below(3) {
            let filter = chance.one_of(&FILTERS);
            let mut options = Options::at(chance.one_of(&QOS));
            if five {
                options.no_local = chance.seldom() && !filter.starts_with("$share");
                options.retain_as_published = chance.seldom();
                options.retain_handling =
                    chance.one_of(&[RetainHandling::Send, RetainHandling::SendIfNew]);
            }
            let _ = subscriptions.push(filter, options);
        }
        let mut properties = PropertyBuffer::new();
        if five && chance.seldom() {
            properties.subscription_identifier(chance.one_of(&[1, 300]));
        }
        let (packet_id, properties) = (packet_id(chance), properties.as_properties());
        let subscriptions = subscriptions.as_subscriptions();
        self.send(who, &Packet::Subscribe(Subscribe { packet_id, properties, subscriptions }));
    }

    pub(super) fn unsubscribe(&mut self, who: usize, chance: &mut Chance<'_>) {
        let mut filters = FilterBuffer::default();
        let _ = filters.push(chance.one_of(&FILTERS));
        let unsubscribe = Unsubscribe {
            packet_id: packet_id(chance),
            properties: NONE,
            filters: filters.as_filters(),
        };
        self.send(who, &Packet::Unsubscribe(unsubscribe));
    }

    /// What the client owes, mostly; sometimes out of order, sometimes what nobody asked for.
    pub(super) fn answer(&mut self, who: usize, chance: &mut Chance<'_>) {
        let Some(client) = &mut self.clients[who] else { return };
        let owed = match client.to_answer.len() {
            0 => None,
            count if chance.seldom() => client.to_answer.remove(chance.below(count)),
            _ => client.to_answer.pop_front(),
        };
        let (header, packet_id) = match owed {
            Some(owed) if chance.often() => owed,
            Some(_) | None => (chance.one_of(&[0x40, 0x50, 0x62, 0x70]), packet_id(chance)),
        };
        let mut ack = Ack::success(packet_id);
        let refused = header == 0x50 && chance.seldom() && self.version(who) == Version::V5;
        if refused {
            ack.reason = Reason::UnspecifiedError;
        }
        let open = self.is_open(who);
        let taken = self.send(
            who,
            &match header {
                0x40 => Packet::PubAck(ack),
                0x50 => Packet::PubRec(ack),
                0x62 => Packet::PubRel(ack),
                _ => Packet::PubComp(ack),
            },
        );
        match self.memory(who) {
            Some(memory) if open && taken => memory.answered(header, packet_id, refused),
            Some(_) => self.forget(who),
            None => {}
        }
    }

    fn is_open(&self, who: usize) -> bool {
        let key = self.clients[who].as_ref().map(|client| client.key);
        let found = key.and_then(|key| self.core.connections.get(key));
        found.is_some_and(|connection| matches!(connection.state, State::Open(_)))
    }

    /// What a client remembers, if it still has the session.
    fn memory(&mut self, who: usize) -> Option<&mut Memory> {
        let client = self.clients[who].as_ref()?;
        self.memories.get_mut(client.id).filter(|memory| memory.is_of(client.key))
    }

    /// Nobody knows what a client said.
    fn forget(&mut self, who: usize) {
        if let Some(client) = &self.clients[who] {
            self.memories.remove(client.id);
        }
    }

    pub(super) fn raw(&mut self, who: usize, chance: &mut Chance<'_>) {
        let bytes = chance.bytes(60);
        self.bytes(who, bytes);
        self.forget(who);
    }

    pub(super) fn leave(&mut self, who: usize, chance: &mut Chance<'_>) {
        match chance.below(3) {
            0 => {
                let reason = chance.one_of(&[Reason::Success, Reason::DisconnectWithWill]);
                let reason =
                    if self.version(who) == Version::V5 { reason } else { Reason::Success };
                let properties = NONE;
                self.send(who, &Packet::Disconnect(Disconnect { reason, properties }));
            }
            1 => drop(self.core.expel(chance.one_of(&IDS), &mut self.fx)),
            _ => {
                if let Some(client) = self.clients[who].take() {
                    self.core.closed(client.key, &mut self.fx);
                }
            }
        }
    }
}

fn packet_id(chance: &mut Chance<'_>) -> NonZeroU16 {
    chance.one_of(&[1, 2, 3, 4, 65_535].map(|id| NonZeroU16::new(id).unwrap_or(NonZeroU16::MIN)))
}
