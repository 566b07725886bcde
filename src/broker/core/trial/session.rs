//! The session machine: several clients and a link, each free to do what it likes in any order; a disk
//! that takes what it is given or does not; a gate; a clock; kills.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::Chance;
use crate::broker::acl::Acl;
use crate::broker::config;
use crate::broker::core::{Core, Effects, Origin, Setting};
use crate::broker::identity::{Owner, Password, Transport};
use crate::broker::intake::Op;
use crate::broker::limits::Limits;
use crate::broker::message::Now;
use crate::broker::principal::Principal;
use crate::broker::queue::Policy;
use crate::broker::slots::Key;
use crate::broker::wire::{
    self, Ack, Connect, Disconnect, FilterBuffer, Options, Packet, PropertyBuffer, Publish, Reason,
    RetainHandling, Subscribe, SubscriptionBuffer, Unsubscribe, Version, Will,
};
use crate::bus::{Message, Qos};
use crate::contract::{self, Role};
use crate::service::Stamper;
use crate::storage::{Batch, Store, Unsafe, Window};
use crate::topic::Root;

const CLIENTS: usize = 6;
const IDS: [&str; 5] = ["", "one", "two", "+/#", "maestro:stats"];
const TOPICS: [&str; 8] = [
    "a",
    "a/b",
    "é/x",
    "a/b/c",
    "maestro/app/u1/state/x",
    "maestro/cmd/system/ping",
    "maestro/state/stats/memory",
    "",
];
const FILTERS: [&str; 9] =
    ["a", "a/#", "#", "+/b", "$share/g/a/#", "$share/g/+", "maestro/#", "é/+", "maestro/log/#"];
const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
const DAY: Duration = Duration::from_secs(86_400);
const LINK: u64 = 7;

/// One connection as its client sees it.
struct Client {
    key: Key,
    /// Takes nothing of what it is sent.
    deaf: bool,
    /// First byte and packet identifier of what it should answer.
    to_answer: VecDeque<(u8, NonZeroU16)>,
}

/// What a turn gave to the disk.
type Given = (Vec<Batch>, Vec<u64>);

struct World {
    core: Core,
    fx: Effects,
    disk: Store,
    pending: VecDeque<Given>,
    clients: [Option<Client>; CLIENTS],
    held: VecDeque<u64>,
    verify: VecDeque<Key>,
    tokens: VecDeque<u64>,
    linked: bool,
}

/// Reads deeds from the bytes and does them.
///
/// # Panics
/// When something that must hold does not.
pub fn trial(bytes: &[u8]) {
    let mut chance = Chance(bytes);
    let mut world = World::begin();
    while !chance.is_over() {
        world.deed(&mut chance);
        world.turn();
        world.core.check();
    }
    world.end();
}

#[expect(clippy::disallowed_methods, reason = "an Instant can only be made from the clock")]
fn begin() -> Instant {
    Instant::now()
}

fn core() -> Core {
    let mut limits = Limits::of(&config::Limits::default());
    (limits.connections, limits.connections_per_uid, limits.surplus) = (CLIENTS - 1, 4, 1);
    (limits.sessions, limits.subscriptions, limits.levels) = (5, 4, 4);
    (limits.packet_size, limits.connect_size) = (600, 200);
    (limits.queue.count, limits.queue.bytes) = (5, 2000);
    limits.queue.policy = Policy::Oldest;
    (limits.retained.count, limits.retained.bytes) = (8, 4000);
    (limits.in_flight, limits.receive_maximum) = (3, 3);
    (limits.outbox, limits.owed, limits.held) = (300, 4, 2);
    let root = Root::default();
    Core::new(Setting {
        acl: Acl::new(root.clone(), Vec::new()),
        root,
        limits,
        own_uid: 0,
        operators: None,
        stamper: Stamper::new("1f0c9a3e"),
    })
}

impl World {
    fn begin() -> World {
        let now = Now { at: begin(), wall: UNIX_EPOCH + 1000 * DAY };
        World {
            core: core(),
            fx: Effects::at(now),
            disk: Store::in_memory(),
            pending: VecDeque::new(),
            clients: Default::default(),
            held: VecDeque::new(),
            verify: VecDeque::new(),
            tokens: VecDeque::new(),
            linked: false,
        }
    }

    fn deed(&mut self, chance: &mut Chance<'_>) {
        let who = chance.below(CLIENTS);
        match chance.below(20) {
            0..=2 => self.come(who, chance),
            3..=5 => self.publish(who, chance),
            6 | 7 => self.subscribe(who, chance),
            8 => self.unsubscribe(who, chance),
            9..=11 => self.answer(who, chance),
            12 => self.raw(who, chance),
            13 => self.leave(who, chance),
            14 => self.pass(Duration::from_secs(u64::from(chance.byte()) * 20)),
            15 | 16 => self.commit(chance.often()),
            17 => self.of_this_process(chance),
            18 => self.gate(chance),
            _ => match chance.below(4) {
                0 => self.kill(),
                1 => self.core.go_on(&mut self.fx),
                _ => self.toggle(who),
            },
        }
    }

    fn bytes(&mut self, who: usize, bytes: &[u8]) {
        let Some(key) = self.clients[who].as_ref().map(|client| client.key) else { return };
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
    }

    fn send(&mut self, who: usize, packet: &Packet<'_>) {
        let Some(key) = self.clients[who].as_ref().map(|client| client.key) else { return };
        let version = self.core.connections.get(key).map_or(Version::V5, |found| found.version);
        let mut bytes = Vec::new();
        wire::encode(version, packet, &mut bytes);
        self.bytes(who, &bytes);
    }

    fn come(&mut self, who: usize, chance: &mut Chance<'_>) {
        if let Some(client) = self.clients[who].take() {
            self.core.closed(client.key, &mut self.fx);
        }
        let uid = chance.one_of(&[0, 1, 2]);
        let owner = Owner { uid, login: format!("u{uid}"), groups: Vec::new() };
        let transport = Transport::Unix(owner);
        let origin = Origin { transport, address: None, listener: "unix", max_role: Role::Admin };
        let Some(key) = self.core.accept(self.fx.now, origin) else { return };
        self.clients[who] = Some(Client { key, deaf: false, to_answer: VecDeque::new() });
        let version = if chance.often() { Version::V5 } else { Version::V311 };
        let (mut properties, mut of_will) = (PropertyBuffer::new(), PropertyBuffer::new());
        if version == Version::V5 {
            properties.session_expiry_interval(chance.one_of(&[0, 0, 60, 3600, u32::MAX]));
            if chance.seldom() {
                properties.receive_maximum(chance.one_of(&[1, 2, 65_535]));
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
            client_id: chance.one_of(&IDS),
            will,
            username: login.then_some("bob"),
            password: login.then_some(b"secret"),
            properties: properties.as_properties(),
        };
        let mut bytes = Vec::new();
        wire::encode(version, &Packet::Connect(connect), &mut bytes);
        self.bytes(who, &bytes);
    }

    fn publish(&mut self, who: usize, chance: &mut Chance<'_>) {
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

    fn subscribe(&mut self, who: usize, chance: &mut Chance<'_>) {
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

    fn unsubscribe(&mut self, who: usize, chance: &mut Chance<'_>) {
        let mut filters = FilterBuffer::default();
        let _ = filters.push(chance.one_of(&FILTERS));
        let unsubscribe = Unsubscribe {
            packet_id: packet_id(chance),
            properties: super::super::NONE,
            filters: filters.as_filters(),
        };
        self.send(who, &Packet::Unsubscribe(unsubscribe));
    }

    /// What the client owes, mostly; sometimes out of order, sometimes what nobody asked for.
    fn answer(&mut self, who: usize, chance: &mut Chance<'_>) {
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
        if header == 0x50 && chance.seldom() && self.version(who) == Version::V5 {
            ack.reason = Reason::UnspecifiedError;
        }
        self.send(
            who,
            &match header {
                0x40 => Packet::PubAck(ack),
                0x50 => Packet::PubRec(ack),
                0x62 => Packet::PubRel(ack),
                _ => Packet::PubComp(ack),
            },
        );
    }

    fn raw(&mut self, who: usize, chance: &mut Chance<'_>) {
        let bytes = chance.bytes(60);
        self.bytes(who, bytes);
    }

    fn leave(&mut self, who: usize, chance: &mut Chance<'_>) {
        match chance.below(3) {
            0 => {
                let reason = chance.one_of(&[Reason::Success, Reason::DisconnectWithWill]);
                let reason =
                    if self.version(who) == Version::V5 { reason } else { Reason::Success };
                let properties = super::super::NONE;
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

    fn pass(&mut self, time: Duration) {
        self.fx.now.at += time;
        self.fx.now.wall += time;
        self.core.due(&mut self.fx);
        let now = self.fx.now.at;
        assert!(self.core.wake().is_none_or(|wake| wake > now), "what is due is done");
    }

    /// The disk takes what is oldest, or does not.
    fn commit(&mut self, works: bool) {
        let Some((batches, tickets)) = self.pending.pop_front() else { return };
        if works {
            for batch in batches {
                self.disk.write(batch, Window::Lazy, |_| {});
            }
        }
        let failed = Unsafe { code: "storage.full", message: "no room".to_string() };
        for ticket in tickets {
            let result = if works { Ok(()) } else { Err(failed.clone()) };
            self.core.operation(Op::Stored { ticket, result }, &mut self.fx);
        }
    }

    fn of_this_process(&mut self, chance: &mut Chance<'_>) {
        let link = LINK;
        match chance.below(6) {
            0 => {
                let principal = Principal::daemon("stats");
                self.core.attach(link, principal, &mut self.fx);
                self.linked = true;
                self.tokens.clear();
            }
            1 => {
                self.core.operation(Op::Detach { link }, &mut self.fx);
                self.linked = false;
            }
            2 => {
                let (reply, _) = tokio::sync::oneshot::channel();
                let (filter, qos) = (chance.one_of(&FILTERS).to_string(), chance.one_of(&QOS));
                self.core.operation(Op::Subscribe { link, filter, qos, reply }, &mut self.fx);
            }
            3 => {
                let filter = chance.one_of(&FILTERS).to_string();
                self.core.operation(Op::Unsubscribe { link, filter }, &mut self.fx);
            }
            4 => {
                let token = self.tokens.pop_front().unwrap_or_default();
                self.core.operation(Op::Acknowledge { link, token }, &mut self.fx);
            }
            _ => {
                let (reply, _) = tokio::sync::oneshot::channel();
                let (topic, qos) = (chance.one_of(&TOPICS).to_string(), chance.one_of(&QOS));
                let message =
                    Message { qos, retain: chance.seldom(), ..Message::new(topic, "of ours") };
                let reply = chance.often().then_some(reply);
                let publish = Op::Publish { link, message: Box::new(message), reply };
                self.core.operation(publish, &mut self.fx);
            }
        }
    }

    /// The gate decides, or a password was looked at.
    fn gate(&mut self, chance: &mut Chance<'_>) {
        if let Some(ticket) = self.held.pop_front() {
            let refused = contract::Error::new("command.busy", "not now");
            let verdict = if chance.often() { Ok(()) } else { Err(refused) };
            self.core.operation(Op::Released { ticket, verdict }, &mut self.fx);
        }
        if let Some(connection) = self.verify.pop_front() {
            let right = Password::Right { name: "bob".to_string(), role: Role::Operator };
            let password = if chance.often() { right } else { Password::Wrong };
            self.core.operation(Op::Verified { connection, password }, &mut self.fx);
        }
    }

    fn toggle(&mut self, who: usize) {
        if let Some(client) = &mut self.clients[who] {
            client.deaf = !client.deaf;
            self.fx.dirty.push(client.key);
        }
    }

    /// The process is gone; what was committed is there for the next.
    fn kill(&mut self) {
        let (disk, now) = (self.disk.clone(), self.fx.now);
        *self = World { disk, fx: Effects::at(now), ..World::begin() };
        assert_eq!(self.core.restore(&self.disk, &mut self.fx), 0, "our own rows are readable");
    }

    /// Performs what was asked for, as the loop does.
    fn turn(&mut self) {
        for round in 0.. {
            assert!(round < 1000, "a turn that never ends");
            self.collect();
            let dirty = std::mem::take(&mut self.fx.dirty);
            let close = std::mem::take(&mut self.fx.close);
            if dirty.is_empty() && close.is_empty() {
                return;
            }
            for key in dirty {
                self.take_what_came(key);
                self.core.written(key, &mut self.fx);
            }
            for key in close {
                self.take_what_came(key);
                self.core.closed(key, &mut self.fx);
                for place in &mut self.clients {
                    if place.as_ref().is_some_and(|client| client.key == key) {
                        *place = None;
                    }
                }
            }
        }
    }

    fn collect(&mut self) {
        let mut given = Given::default();
        for writes in [&mut self.fx.promise, &mut self.fx.background] {
            given.0.push(std::mem::take(&mut writes.batch));
            given.1.extend(writes.ticket.take());
        }
        given.0.push(std::mem::take(&mut self.fx.lazy));
        if !given.1.is_empty() || given.0.iter().any(|batch| !batch.writes.is_empty()) {
            self.pending.push_back(given);
        }
        self.held.extend(self.fx.hold.drain(..).map(|hold| hold.ticket));
        self.verify.extend(self.fx.verify.drain(..).map(|verify| verify.connection));
        self.tokens.extend(self.fx.deliver.drain(..).map(|(_, delivery)| delivery.token));
        self.fx.answers.clear();
    }

    /// Everything a client is sent is what MQTT allows a server to send.
    fn take_what_came(&mut self, key: Key) {
        let client = self.clients.iter_mut().flatten().find(|client| client.key == key);
        let Some(connection) = self.core.connections.get_mut(key) else { return };
        let (version, max) = (connection.version, connection.max_packet);
        if client.as_ref().is_some_and(|client| client.deaf) {
            return;
        }
        let bytes = std::mem::take(&mut connection.out);
        let mut rest = &bytes[..];
        let mut owed = Vec::new();
        while let Some(frame) = wire::frame(rest, max).expect("no larger than the client takes") {
            rest = &rest[frame.size..];
            let packet = wire::decode(version, &frame).expect("well-formed");
            packet.from_server().expect("from a server");
            owed.extend(answer_to(&packet));
        }
        assert!(rest.is_empty(), "whole packets");
        if let Some(client) = client {
            client.to_answer.extend(owed);
        }
    }

    /// All leave, all is committed, a year goes by: nothing may be left.
    fn end(mut self) {
        for who in 0..CLIENTS {
            if let Some(client) = self.clients[who].take() {
                self.core.closed(client.key, &mut self.fx);
            }
        }
        self.turn();
        while let Some(ticket) = self.held.pop_front() {
            self.core.operation(Op::Released { ticket, verdict: Ok(()) }, &mut self.fx);
        }
        let detach = Op::Detach { link: LINK };
        self.core.operation(detach, &mut self.fx);
        for _ in 0..10 {
            self.turn();
            self.commit_all();
            self.pass(40 * DAY);
        }
        // A link's session waits for its owner for ever; that owner is one of ours.
        if let Some(&key) = self.core.clients.get("maestro:stats") {
            self.core.finish(key, &mut self.fx);
        }
        self.turn();
        self.commit_all();
        self.core.check_deserted();
    }

    fn commit_all(&mut self) {
        while !self.pending.is_empty() {
            self.commit(true);
            self.turn();
        }
    }
}

fn packet_id(chance: &mut Chance<'_>) -> NonZeroU16 {
    chance.one_of(&[1, 2, 3, 4, 65_535].map(|id| NonZeroU16::new(id).unwrap_or(NonZeroU16::MIN)))
}

/// What a good client says to this: first byte, packet identifier.
fn answer_to(packet: &Packet<'_>) -> Option<(u8, NonZeroU16)> {
    match packet {
        Packet::Publish(publish) => {
            let header = if publish.qos == Qos::AtLeastOnce { 0x40 } else { 0x50 };
            Some((header, publish.packet_id?))
        }
        Packet::PubRel(ack) => Some((0x70, ack.packet_id)),
        Packet::PubRec(ack) if !ack.reason.is_error() => Some((0x62, ack.packet_id)),
        Packet::PubRec(_)
        | Packet::PubAck(_)
        | Packet::PubComp(_)
        | Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::Subscribe(_)
        | Packet::SubAck(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Disconnect(_)
        | Packet::Auth(_) => None,
    }
}
