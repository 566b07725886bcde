//! Promises of the broker, in microseconds: a core, clients that are bytes, a clock of our own.

mod accept;
mod alias;
mod bytes;
mod commit;
mod connack;
mod connect;
mod corners;
mod end;
mod filters;
mod flow;
mod forward;
mod full;
mod handshake;
mod limits;
mod once;
mod publish;
mod qos;
mod refuse;
mod resume;
mod resumed;
mod retain;
mod share;
mod subscribe;
mod sys;
mod total;
mod will;

use std::num::NonZeroU16;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::broker::config;
use crate::broker::identity::{Owner, Password, Transport};
use crate::broker::message::Now;
use crate::broker::principal::Principal;
use crate::broker::session::Peer;
use crate::broker::wire::{
    self, Ack, Connect, Disconnect, Packet, Publish, Reason, RetainHandling, SubAck, Subscribe,
    SubscriptionBuffer, Version, Will,
};
use crate::bus::Qos;
use crate::contract::Role;
use crate::service::testing::at;
use crate::storage::{Store, Table, Unsafe};

/// A broker with everything that it asked for so far.
struct World {
    core: Core,
    now: Now,
    fx: Effects,
    /// What a kill leaves: everything that was [`World::commit`]ted.
    disk: Store,
}

/// What a client got.
#[derive(Clone, Debug, PartialEq)]
enum Got {
    ConnAck {
        present: bool,
        reason: Reason,
    },
    Publish {
        topic: String,
        payload: String,
        qos: u8,
        retain: bool,
        dup: bool,
        id: u16,
        subs: Vec<u32>,
    },
    PubAck(u16, Reason),
    PubRec(u16, Reason),
    PubRel(u16),
    PubComp(u16, Reason),
    SubAck(Vec<u8>),
    Other(wire::PacketType),
    Disconnect(Reason),
}

fn message(topic: &str, payload: &str) -> Got {
    Got::Publish {
        topic: topic.into(),
        payload: payload.into(),
        qos: 0,
        retain: false,
        dup: false,
        id: 0,
        subs: vec![],
    }
}

fn limits() -> Limits {
    let mut limits = Limits::of(&config::Limits::default());
    limits.connections = 20;
    limits.queue.count = 5;
    limits
}

fn origin(uid: u32) -> Origin {
    let login = if uid == 0 { "root".to_string() } else { format!("u{uid}") };
    let owner = Owner { uid, login, groups: vec![] };
    let transport = Transport::Unix(owner);
    Origin { transport, address: None, listener: "unix", max_role: Role::Admin }
}

fn connect(id: &'static str) -> Connect<'static> {
    Connect {
        version: Version::V5,
        clean_start: false,
        keep_alive_s: 0,
        client_id: id,
        will: None,
        username: None,
        password: None,
        properties: NONE,
    }
}

impl World {
    fn new() -> World {
        World::with(limits(), &Store::in_memory())
    }

    fn with(limits: Limits, store: &Store) -> World {
        let now = Now { at: at(0), wall: UNIX_EPOCH + Duration::from_secs(1_000_000) };
        World::begun(limits, store, now)
    }

    fn begun(limits: Limits, store: &Store, now: Now) -> World {
        let root = Root::default();
        let setting = Setting {
            acl: Acl::new(root.clone(), vec![]),
            root,
            limits,
            own_uid: 0,
            operators: None,
            stamper: Stamper::new("1f0c9a3e"),
        };
        let mut core = Core::new(setting);
        let mut fx = Effects::at(now);
        assert_eq!(core.restore(store, &mut fx), 0);
        World { core, now, fx, disk: store.clone() }
    }

    fn pass(&mut self, seconds: u64) {
        self.now.at += Duration::from_secs(seconds);
        self.now.wall += Duration::from_secs(seconds);
        self.fx.now = self.now;
        self.core.due(&mut self.fx);
    }

    /// What the disk does at the end of a turn.
    fn store(&mut self, store: &Store, result: &Result<(), Unsafe>) {
        let mut tickets = Vec::new();
        for (writes, window) in self.fx.stored() {
            store.write(writes.batch, window, |_| {});
            tickets.extend(writes.ticket);
        }
        for ticket in tickets {
            let op = Op::Stored { ticket, result: result.clone() };
            self.core.operation(op, &mut self.fx);
        }
    }

    /// A turn ends, and the disk has taken it.
    fn commit(&mut self) {
        self.store(&self.disk.clone(), &Ok(()));
    }

    /// A turn ends, and the disk is full.
    fn full(&mut self) {
        let full = Unsafe { code: "storage.full", message: "no space".into() };
        self.store(&Store::in_memory(), &Err(full));
    }

    /// SIGKILL, and another process after it.
    fn killed(self) -> World {
        World::begun(self.core.setting.limits, &self.disk, self.now)
    }

    /// How many rows of a table are on disk.
    fn rows(&self, table: Table) -> usize {
        let mut rows = 0;
        self.disk.scan(table, &mut |_, _| rows += 1);
        rows
    }

    fn raw(&mut self, uid: u32) -> Key {
        self.core.accept(origin(uid), &mut self.fx).expect("room")
    }

    fn send(&mut self, key: Key, packet: &Packet<'_>) {
        let version = self.core.connections.get(key).map_or(Version::V5, |known| known.version);
        let mut bytes = Vec::new();
        wire::encode(version, packet, &mut bytes);
        assert_eq!(self.core.received(key, &bytes, &mut self.fx), bytes.len());
    }

    /// Everything a client got since it was last asked.
    fn got(&mut self, key: Key) -> Vec<Got> {
        let Some(connection) = self.core.connections.get_mut(key) else { return vec![] };
        let (version, bytes) = (connection.version, std::mem::take(&mut connection.out));
        self.core.written(key, &mut self.fx);
        let mut got = Vec::new();
        let mut rest = &bytes[..];
        while let Some(frame) = wire::frame(rest, usize::MAX).expect("ours") {
            rest = &rest[frame.size..];
            let packet = wire::decode(version, &frame).expect("ours");
            packet.from_server().expect("ours");
            got.push(read(&packet));
        }
        got
    }

    fn connected(&mut self, uid: u32, connect: Connect<'_>) -> (Key, Vec<Got>) {
        let key = self.raw(uid);
        self.send(key, &Packet::Connect(connect));
        self.settle_connect(key);
        let got = self.got(key);
        (key, got)
    }

    /// A CONNECT that changes what the disk has of a session is answered after the commit.
    fn settle_connect(&mut self, key: Key) {
        if self.core.connections.get(key).is_some_and(|one| one.unanswered()) {
            self.commit();
        }
    }

    /// A client that is in.
    fn client(&mut self, uid: u32, id: &'static str) -> Key {
        let (key, got) = self.connected(uid, connect(id));
        assert_eq!(got[0], Got::ConnAck { present: false, reason: Reason::Success }, "{id}");
        key
    }

    /// A client whose session stays, there or not.
    fn lasting(&mut self, uid: u32, id: &'static str) -> (Key, bool) {
        let mut properties = PropertyBuffer::new();
        properties.session_expiry_interval(3600);
        let connect = Connect { properties: properties.as_properties(), ..connect(id) };
        let key = self.raw(uid);
        self.send(key, &Packet::Connect(connect));
        self.settle_connect(key);
        let session = self.core.open_session(key).expect("open");
        let present = self.core.sessions.get(session).is_some_and(|open| !open.filters.is_empty());
        (key, present)
    }

    fn subscribe(&mut self, key: Key, filter: &str, qos: Qos) -> Vec<Got> {
        self.subscribe_with(key, filter, wire::Options::at(qos), 0)
    }

    fn subscribe_with(
        &mut self,
        key: Key,
        filter: &str,
        options: wire::Options,
        identifier: u32,
    ) -> Vec<Got> {
        let mut subscriptions = SubscriptionBuffer::default();
        subscriptions.push(filter, options).expect("a filter");
        let mut properties = PropertyBuffer::new();
        if identifier > 0 {
            properties.subscription_identifier(identifier);
        }
        let subscribe = Subscribe {
            packet_id: id(9),
            properties: properties.as_properties(),
            subscriptions: subscriptions.as_subscriptions(),
        };
        self.send(key, &Packet::Subscribe(subscribe));
        self.commit();
        self.got(key)
    }

    fn publish(&mut self, key: Key, topic: &str, payload: &str, qos: Qos) {
        self.publish_with(key, publish(topic, payload, qos));
    }

    fn publish_with(&mut self, key: Key, publish: Publish<'_>) {
        self.send(key, &Packet::Publish(publish));
    }
}

/// The messages among what a client got: payload, DUP.
fn payloads(got: &[Got]) -> Vec<(&str, bool)> {
    got.iter()
        .filter_map(|got| {
            let Got::Publish { payload, dup, .. } = got else { return None };
            Some((payload.as_str(), *dup))
        })
        .collect()
}

/// The packet identifiers of the messages among them.
fn numbers(got: &[Got]) -> Vec<u16> {
    got.iter()
        .filter_map(|got| {
            let Got::Publish { id, .. } = got else { return None };
            Some(*id)
        })
        .collect()
}

fn id(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("not zero")
}

fn publish<'a>(topic: &'a str, payload: &'a str, qos: Qos) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id: (qos > Qos::AtMostOnce).then(|| id(7)),
        properties: NONE,
        payload: payload.as_bytes(),
    }
}

fn read(packet: &Packet<'_>) -> Got {
    match packet {
        Packet::ConnAck(ack) => Got::ConnAck { present: ack.session_present, reason: ack.reason },
        Packet::Publish(publish) => Got::Publish {
            topic: publish.topic.into(),
            payload: String::from_utf8_lossy(publish.payload).into(),
            qos: publish.qos as u8,
            retain: publish.retain,
            dup: publish.dup,
            id: publish.packet_id.map_or(0, NonZeroU16::get),
            subs: publish.properties.subscription_identifiers().collect(),
        },
        Packet::PubAck(ack) => Got::PubAck(ack.packet_id.get(), ack.reason),
        Packet::PubRec(ack) => Got::PubRec(ack.packet_id.get(), ack.reason),
        Packet::PubRel(ack) => Got::PubRel(ack.packet_id.get()),
        Packet::PubComp(ack) => Got::PubComp(ack.packet_id.get(), ack.reason),
        Packet::SubAck(SubAck { codes, .. }) => Got::SubAck(codes.to_vec()),
        Packet::Disconnect(disconnect) => Got::Disconnect(disconnect.reason),
        Packet::Connect(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Auth(_) => Got::Other(packet.packet_type()),
    }
}
