//! Promises of the broker, in microseconds: a core, clients that are bytes, a clock of our own.

use std::num::NonZeroU16;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::broker::config;
use crate::broker::identity::{Owner, Password, Transport};
use crate::broker::principal::Principal;
use crate::broker::session::Peer;
use crate::broker::wire::{
    self, Ack, Connect, Publish, RetainHandling, SubAck, Subscribe, SubscriptionBuffer, Will,
};
use crate::bus::Qos;
use crate::contract::Role;
use crate::service::testing::at;
use crate::storage::{Store, Table, Unsafe, Window};

/// A broker with everything that it asked for so far.
struct World {
    core: Core,
    now: Now,
    fx: Effects,
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
        let now = Now { at: at(0), wall: UNIX_EPOCH + Duration::from_secs(1_000_000) };
        assert_eq!(core.restore(now, store), 0);
        World { core, now, fx: Effects::at(now) }
    }

    fn pass(&mut self, seconds: u64) {
        self.now.at += Duration::from_secs(seconds);
        self.now.wall += Duration::from_secs(seconds);
        self.fx.now = self.now;
        self.core.due(&mut self.fx);
    }

    /// What the disk does at the end of a turn.
    fn store(&mut self, store: &Store, result: &Result<(), Unsafe>) {
        for window in [Window::Promise, Window::Background, Window::Lazy] {
            let batch = std::mem::take(self.fx.writes(window));
            store.write(batch, window, |_| {});
        }
        let tickets = [self.fx.promise.ticket.take(), self.fx.background.ticket.take()];
        for ticket in tickets.into_iter().flatten() {
            let op = Op::Stored { ticket, result: result.clone() };
            self.core.operation(op, &mut self.fx);
        }
    }

    fn raw(&mut self, uid: u32) -> Key {
        self.core.accept(self.now, origin(uid)).expect("room")
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
        let got = self.got(key);
        (key, got)
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
        self.got(key)
    }

    fn publish(&mut self, key: Key, topic: &str, payload: &str, qos: Qos) {
        self.publish_with(key, publish(topic, payload, qos));
    }

    fn publish_with(&mut self, key: Key, publish: Publish<'_>) {
        self.send(key, &Packet::Publish(publish));
    }
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

#[test]
fn each_quality_reaches_a_subscriber_of_at_least_that_quality() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    assert_eq!(world.subscribe(reader, "a/+", Qos::ExactlyOnce), [Got::SubAck(vec![2])]);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        world.publish(writer, "a/b", "x", qos);
        let got = world.got(reader);
        assert!(
            matches!(&got[..], [Got::Publish { qos: got, .. }] if *got == qos as u8),
            "{got:?}"
        );
    }
    let acks = [Got::PubAck(7, Reason::Success), Got::PubRec(7, Reason::Success)];
    assert_eq!(world.got(writer), acks);
    world.send(writer, &Packet::PubRel(Ack::success(id(7))));
    assert_eq!(world.got(writer), [Got::PubComp(7, Reason::Success)]);
}

#[test]
fn a_repeated_qos_2_publish_is_delivered_once() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    world.subscribe(reader, "a", Qos::AtMostOnce);
    world.publish(writer, "a", "x", Qos::ExactlyOnce);
    let again = Publish { dup: true, ..publish("a", "x", Qos::ExactlyOnce) };
    world.publish_with(writer, again);
    assert_eq!(world.got(reader), [message("a", "x")]);
    let rec = Got::PubRec(7, Reason::Success);
    assert_eq!(world.got(writer), [rec.clone(), rec]);
}

#[test]
fn a_publish_for_a_lasting_session_is_acknowledged_only_after_the_commit_and_in_order() {
    let (mut world, store) = (World::new(), Store::in_memory());
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    world.publish_with(
        writer,
        Publish { packet_id: Some(id(1)), ..publish("q", "x", Qos::AtLeastOnce) },
    );
    world.publish_with(
        writer,
        Publish { packet_id: Some(id(2)), ..publish("free", "x", Qos::AtLeastOnce) },
    );
    assert_eq!(world.got(writer), [], "the second waits for the first (MQTT-4.6.0-2)");
    world.store(&store, &Ok(()));
    assert_eq!(
        world.got(writer),
        [Got::PubAck(1, Reason::Success), Got::PubAck(2, Reason::Success)]
    );
}

#[test]
fn what_the_disk_did_not_take_is_refused_in_5_and_closed_without_a_word_in_3_1_1() {
    let (mut world, store) = (World::new(), Store::in_memory());
    let full = Err(Unsafe { code: "storage.full", message: "no space".into() });
    let keep = |world: &mut World, writer| {
        world.publish_with(
            writer,
            Publish { retain: true, ..publish("keep", "x", Qos::AtLeastOnce) },
        );
    };
    let five = world.client(1, "five");
    keep(&mut world, five);
    world.store(&store, &full);
    assert!(matches!(world.got(five)[..], [Got::PubAck(7, reason)] if reason.is_error()));
    let old = Connect { version: Version::V311, clean_start: true, ..connect("old") };
    let (old, _) = world.connected(2, old);
    keep(&mut world, old);
    world.store(&store, &full);
    assert_eq!(world.got(old), []);
    assert_eq!(world.fx.close, [old]);
}

#[test]
fn a_lost_connection_resumes_with_dup_and_the_same_identifier() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "x", Qos::AtLeastOnce);
    let first = world.got(reader);
    world.core.closed(reader, &mut world.fx);
    let (again, present) = world.lasting(1, "reader");
    assert!(present);
    let got = world.got(again);
    assert_eq!(got[0], Got::ConnAck { present: true, reason: Reason::Success });
    let [Got::Publish { id, dup: false, .. }] = first[..] else { panic!("{first:?}") };
    assert!(matches!(got[1], Got::Publish { id: same, dup: true, .. } if same == id), "{got:?}");
}

#[test]
fn sessions_queues_and_retained_messages_outlive_the_process() {
    let store = Store::in_memory();
    let mut world = World::with(limits(), &store);
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::AtLeastOnce);
    world.core.closed(reader, &mut world.fx);
    let writer = world.client(2, "writer");
    for payload in ["one", "two"] {
        world.publish(writer, "q", payload, Qos::AtLeastOnce);
    }
    world.publish_with(writer, Publish { retain: true, ..publish("kept", "x", Qos::AtLeastOnce) });
    world.store(&store, &Ok(()));

    let mut world = World::with(limits(), &store);
    let (reader, present) = world.lasting(1, "reader");
    assert!(present);
    let payloads: Vec<(String, bool)> = world
        .got(reader)
        .into_iter()
        .filter_map(|got| {
            let Got::Publish { payload, dup, .. } = got else { return None };
            Some((payload, dup))
        })
        .collect();
    assert_eq!(payloads, [("one".to_string(), true), ("two".to_string(), true)]);
    let got = world.subscribe(reader, "kept", Qos::AtMostOnce);
    assert!(matches!(&got[1], Got::Publish { retain: true, .. }), "{got:?}");
    for number in [1, 2] {
        world.send(reader, &Packet::PubAck(Ack::success(id(number))));
    }
    world.store(&store, &Ok(()));
    let mut left = 0;
    store.scan(Table::Queue, &mut |_, _| left += 1);
    assert_eq!(left, 0, "what is acknowledged leaves no row");
}

#[test]
fn a_client_id_belongs_to_the_principal_that_made_the_session() {
    let mut world = World::new();
    let (_, _) = world.lasting(1, "mine");
    let (_, got) = world.connected(2, connect("mine"));
    assert_eq!(got[0], Got::ConnAck { present: false, reason: Reason::ClientIdentifierNotValid });
    for ours in ["maestro:stats", "bridge:cloud"] {
        let (_, got) = world.connected(0, connect(ours));
        let reason = Reason::ClientIdentifierNotValid;
        assert_eq!(got[0], Got::ConnAck { present: false, reason }, "{ours}");
    }
}

#[test]
fn a_link_never_shares_a_session_with_a_connection_of_the_same_name() {
    let mut world = World::new();
    let squatter = world.client(1, "plain");
    let link = Principal::new("plain", Role::Admin);
    world.core.attach(1, link, &mut world.fx);
    assert_eq!(world.got(squatter), [Got::Disconnect(Reason::SessionTakenOver)]);
    let session = world.core.session_of(1).expect("attached");
    assert_eq!(world.core.sessions.get(session).expect("its own").peer, Peer::Link);
    assert_eq!(world.core.open_session(squatter), None);
}

#[test]
fn the_same_principal_takes_its_client_id_over() {
    let mut world = World::new();
    let old = world.client(1, "mine");
    let (_, got) = world.connected(1, connect("mine"));
    assert_eq!(got[0], Got::ConnAck { present: false, reason: Reason::Success });
    assert_eq!(world.got(old), [Got::Disconnect(Reason::SessionTakenOver)]);
    assert_eq!(world.fx.close, [old]);
}

#[test]
fn a_filter_wider_than_the_role_is_trimmed_at_delivery() {
    let mut world = World::new();
    let (app, other, root) =
        (world.client(1, "app"), world.client(2, "other"), world.client(0, "root"));
    world.subscribe(app, "#", Qos::AtMostOnce);
    world.got(app);
    world.publish(root, "maestro/app/u2/cmd/go", "x", Qos::AtMostOnce); // an operator's word to u2
    world.publish(other, "maestro/app/u2/state/led", "on", Qos::AtMostOnce);
    world.publish(other, "sensors/hall", "21", Qos::AtMostOnce);
    let got = world.got(app);
    assert_eq!(got, [message("maestro/app/u2/state/led", "on"), message("sensors/hall", "21")]);
    let got = world.subscribe(app, "maestro/log/#", Qos::AtMostOnce);
    assert_eq!(got.last(), Some(&Got::SubAck(vec![0x87])), "nothing under it is readable");
}

#[test]
fn a_refused_publish_is_told_to_its_author_and_not_delivered() {
    let mut world = World::new();
    let app = world.client(1, "app");
    world.subscribe(app, "maestro/event/broker/app/refused", Qos::AtMostOnce);
    world.publish(app, "maestro/status/stats", "{}", Qos::AtLeastOnce);
    let got = world.got(app);
    assert!(
        matches!(&got[0], Got::Publish { payload, .. } if payload.contains("broker.not_authorized")),
        "{got:?}"
    );
    assert_eq!(got[1], Got::PubAck(7, Reason::NotAuthorized));
}

#[test]
fn a_flood_of_refusals_is_not_told_as_a_flood() {
    let mut world = World::new();
    let (app, root) = (world.client(1, "app"), world.client(0, "root"));
    world.subscribe(root, "maestro/event/#", Qos::AtMostOnce);
    for _ in 0..1000 {
        world.publish(app, "maestro/info", "x", Qos::AtMostOnce);
    }
    assert_eq!(world.got(root).len(), 5);
    world.pass(2);
    world.publish(app, "maestro/info", "x", Qos::AtMostOnce);
    assert_eq!(world.got(root).len(), 1);
}

#[test]
fn a_command_waits_for_the_gate_and_its_watchers_see_it_only_when_it_passed() {
    let mut world = World::new();
    let root = world.client(0, "root");
    world.subscribe(root, "maestro/cmd/#", Qos::AtMostOnce);
    for (verdict, seen) in
        [(Ok(()), true), (Err(crate::contract::Error::new("command.malformed", "no")), false)]
    {
        world.publish(root, "maestro/cmd/system/ping", "", Qos::AtLeastOnce);
        assert_eq!(world.got(root), []);
        let hold = world.fx.hold.pop().expect("held");
        let reason = if verdict.is_ok() { Reason::Success } else { reason(&verdict) };
        let op = Op::Released { ticket: hold.ticket, verdict };
        world.core.operation(op, &mut world.fx);
        let got = world.got(root);
        let watched = got.contains(&message("maestro/cmd/system/ping", ""));
        assert_eq!(watched, seen, "{got:?}");
        assert_eq!(got.last(), Some(&Got::PubAck(7, reason)));
    }
}

fn reason(verdict: &Result<(), crate::contract::Error>) -> Reason {
    publish::reason_of(&verdict.as_ref().expect_err("an error").code)
}

#[test]
fn a_response_topic_below_cmd_is_refused() {
    let mut world = World::new();
    let root = world.client(0, "root");
    for (topic, allowed) in
        [("me/1", true), ("maestro/cmd/system/reboot", false), ("maestro/status", false)]
    {
        let mut properties = PropertyBuffer::new();
        properties.response_topic(topic);
        let ping = publish("maestro/cmd/system/ping", "", Qos::AtLeastOnce);
        world.publish_with(root, Publish { properties: properties.as_properties(), ..ping });
        let hold = world.fx.hold.pop();
        assert_eq!(hold.is_some(), allowed, "{topic}");
        if let Some(hold) = hold {
            let op = Op::Released { ticket: hold.ticket, verdict: Ok(()) };
            world.core.operation(op, &mut world.fx);
        }
        let reason = if allowed { Reason::Success } else { Reason::NotAuthorized };
        assert_eq!(world.got(root), [Got::PubAck(7, reason)], "{topic}");
    }
}

#[test]
fn a_will_fires_when_the_connection_breaks_and_not_when_it_ends() {
    let mut world = World::new();
    let reader = world.client(1, "reader");
    world.subscribe(reader, "wills/#", Qos::AtMostOnce);
    let will = Will {
        topic: "wills/a",
        payload: b"gone",
        qos: Qos::AtMostOnce,
        retain: false,
        properties: NONE,
    };
    for polite in [true, false] {
        let (key, _) = world.connected(2, Connect { will: Some(will), ..connect("a") });
        if polite {
            let disconnect = Disconnect { reason: Reason::Success, properties: NONE };
            world.send(key, &Packet::Disconnect(disconnect));
        }
        world.core.closed(key, &mut world.fx);
        let expected = if polite { vec![] } else { vec![message("wills/a", "gone")] };
        assert_eq!(world.got(reader), expected);
    }
    let will = Will { topic: "maestro/cmd/system/reboot", ..will };
    let (_, got) = world.connected(0, Connect { will: Some(will), ..connect("b") });
    assert!(matches!(got[0], Got::ConnAck { reason, .. } if reason.is_error()), "{got:?}");
}

#[test]
fn a_delayed_will_waits_and_a_return_forgets_it() {
    let mut world = World::new();
    let reader = world.client(1, "reader");
    world.subscribe(reader, "w", Qos::AtMostOnce);
    let mut delay = PropertyBuffer::new();
    delay.will_delay_interval(10);
    let mut expiry = PropertyBuffer::new();
    expiry.session_expiry_interval(60);
    let will = Will {
        topic: "w",
        payload: b"x",
        qos: Qos::AtMostOnce,
        retain: false,
        properties: delay.as_properties(),
    };
    let with_will =
        Connect { will: Some(will), properties: expiry.as_properties(), ..connect("a") };
    for back in [true, false] {
        let (key, _) = world.connected(2, with_will);
        world.core.closed(key, &mut world.fx);
        world.pass(9);
        assert_eq!(world.got(reader), []);
        if back {
            let (key, _) =
                world.connected(2, Connect { properties: expiry.as_properties(), ..connect("a") });
            world.pass(5);
            assert_eq!(world.got(reader), []);
            world.core.closed(key, &mut world.fx);
        } else {
            world.pass(1);
            assert_eq!(world.got(reader), [message("w", "x")]);
        }
    }
}

#[test]
fn silence_for_one_and_a_half_keep_alives_ends_a_connection() {
    let mut world = World::new();
    let (key, _) = world.connected(1, Connect { keep_alive_s: 10, ..connect("quiet") });
    world.pass(14);
    world.send(key, &Packet::PingReq);
    world.pass(14);
    assert_eq!(world.got(key), [Got::Other(wire::PacketType::PingResp)]);
    world.pass(1);
    assert_eq!(world.got(key), [Got::Disconnect(Reason::KeepAliveTimeout)]);
}

#[test]
fn whoever_says_nothing_or_too_much_before_connect_is_closed() {
    let mut world = World::new();
    let silent = world.raw(1);
    world.pass(10);
    assert_eq!(world.fx.close, [silent]);
    world.fx.close.clear();
    let loud = world.raw(1);
    let huge = [0x10, 0xFF, 0xFF, 0x7F]; // a CONNECT of 2 MiB
    world.core.received(loud, &huge, &mut world.fx);
    assert_eq!(world.fx.close, [loud]);
}

#[test]
fn a_second_connect_is_a_protocol_error_whatever_it_holds() {
    for second in
        [&b"\x10\x0D\0\x04MQTT\x05\x02\0\0\0\0\0"[..], b"\x10\x0C\0\x04MQTT\x03\x02\0\0\0\0"]
    {
        let mut world = World::new();
        let key = world.client(1, "c");
        world.core.received(key, second, &mut world.fx);
        assert_eq!(world.got(key), [Got::Disconnect(Reason::ProtocolError)]);
    }
}

#[test]
fn a_full_house_refuses_and_has_room_again() {
    let mut world = World::new();
    let keys: Vec<Key> = (0..20).map(|_| world.raw(1)).collect();
    assert!(world.core.accept(world.now, origin(1)).is_none());
    world.core.closed(keys[0], &mut world.fx);
    assert!(world.core.accept(world.now, origin(1)).is_some());
}

#[test]
fn a_slow_reader_loses_its_own_messages_only() {
    let mut world = World::new();
    let (slow, quick, writer) =
        (world.client(1, "slow"), world.client(2, "quick"), world.client(3, "writer"));
    world.subscribe(slow, "t", Qos::AtMostOnce);
    world.subscribe(quick, "t", Qos::AtMostOnce);
    let payload = "x".repeat(100_000);
    let mut taken = 0;
    for _ in 0..100 {
        world.publish(writer, "t", &payload, Qos::AtMostOnce);
        taken += world.got(quick).len();
    }
    assert_eq!(taken, 100);
    let behind = world.core.connections.get(slow).expect("still there").out.len();
    assert!(behind < 2 * world.core.setting.limits.outbox, "{behind}");
    assert!(world.core.counters().dropped > 80);
}

#[test]
fn an_offline_queue_is_bounded_and_keeps_the_newest() {
    let (mut world, store) = (World::new(), Store::in_memory());
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::AtLeastOnce);
    world.core.closed(away, &mut world.fx);
    let writer = world.client(2, "writer");
    for number in 0..8 {
        world.publish(writer, "q", &number.to_string(), Qos::AtLeastOnce);
    }
    world.store(&store, &Ok(()));
    let mut rows = 0;
    store.scan(Table::Queue, &mut |_, _| rows += 1);
    assert_eq!(rows, 5);
    let (back, _) = world.lasting(1, "away");
    let got = world.got(back);
    assert!(matches!(&got[1], Got::Publish { payload, .. } if payload == "3"), "{got:?}");
    assert_eq!(got.len(), 6);
}

#[test]
fn subscription_options_do_what_they_say() {
    let mut world = World::new();
    let both = world.client(1, "both");
    let options = wire::Options { no_local: true, ..wire::Options::at(Qos::AtMostOnce) };
    world.subscribe_with(both, "a/#", options, 3);
    world.publish(both, "a/1", "x", Qos::AtMostOnce);
    assert_eq!(world.got(both), [], "no local");
    let other = world.client(2, "other");
    let options = wire::Options { retain_as_published: true, ..wire::Options::at(Qos::AtMostOnce) };
    world.subscribe_with(both, "a/+", options, 5);
    world.publish_with(other, Publish { retain: true, ..publish("a/2", "x", Qos::AtMostOnce) });
    let got = world.got(both);
    let [Got::Publish { retain: true, subs, .. }] = &got[..] else { panic!("{got:?}") };
    assert_eq!(subs, &[3, 5], "one delivery with both identifiers");
    let options = wire::Options {
        retain_handling: RetainHandling::SendIfNew,
        ..wire::Options::at(Qos::AtMostOnce)
    };
    assert_eq!(world.subscribe_with(other, "a/2", options, 0).len(), 2);
    assert_eq!(world.subscribe_with(other, "a/2", options, 0).len(), 1);
}

#[test]
fn a_retained_message_is_replaced_cleared_and_expires() {
    let mut world = World::new();
    let (writer, reader) = (world.client(1, "writer"), world.client(2, "reader"));
    let retained = |payload| Publish { retain: true, ..publish("r", payload, Qos::AtMostOnce) };
    let kept = |world: &mut World| world.subscribe(reader, "r", Qos::AtMostOnce).len() - 1;
    world.publish_with(writer, retained("one"));
    world.publish_with(writer, retained("two"));
    assert_eq!(kept(&mut world), 1);
    world.publish_with(writer, retained(""));
    world.got(reader);
    assert_eq!(kept(&mut world), 0);
    let mut properties = PropertyBuffer::new();
    properties.message_expiry_interval(10);
    world.publish_with(writer, Publish { properties: properties.as_properties(), ..retained("x") });
    world.got(reader);
    world.pass(9);
    assert_eq!(kept(&mut world), 1);
    world.pass(1);
    assert_eq!(kept(&mut world), 0);
    assert_eq!(world.core.retained.len(), 2, "presence of the two clients");
}

#[test]
fn a_session_that_nobody_resumes_ends_when_its_time_is_over() {
    let (mut world, store) = (World::new(), Store::in_memory());
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::AtLeastOnce);
    world.core.closed(away, &mut world.fx);
    world.pass(3599);
    assert_eq!(world.core.sessions.len(), 1);
    world.pass(1);
    assert_eq!(world.core.sessions.len(), 0);
    world.store(&store, &Ok(()));
    store.scan(Table::Session, &mut |_, _| panic!("no row is left"));
}

#[test]
fn presence_tells_who_is_there_and_clears_when_the_session_is_gone() {
    let mut world = World::new();
    let root = world.client(0, "root");
    world.subscribe(root, "maestro/client/+", Qos::AtMostOnce);
    let a = world.client(1, "a");
    let got = world.got(root);
    assert!(
        matches!(&got[0], Got::Publish { topic, payload, .. }
        if topic == "maestro/client/a" && payload.contains(r#""state":"online""#)),
        "{got:?}"
    );
    world.core.closed(a, &mut world.fx);
    assert_eq!(world.got(root), [message("maestro/client/a", "")]);
}

#[test]
fn a_password_is_waited_for_and_a_wrong_one_is_refused() {
    let mut world = World::new();
    for (right, reason) in [(true, Reason::Success), (false, Reason::BadUserNameOrPassword)] {
        let key = world.raw(1);
        let asked = Connect { username: Some("bob"), password: Some(b"pw"), ..connect("a") };
        world.send(key, &Packet::Connect(asked));
        let verify = world.fx.verify.pop().expect("asked");
        assert_eq!((verify.username.as_deref(), &verify.password[..]), (Some("bob"), &b"pw"[..]));
        assert!(!world.core.reading(key));
        let password = if right {
            Password::Right { name: "bob".into(), role: Role::Operator }
        } else {
            Password::Wrong
        };
        let op = Op::Verified { connection: key, password };
        world.core.operation(op, &mut world.fx);
        assert!(matches!(world.got(key)[0], Got::ConnAck { reason: got, .. } if got == reason));
    }
}

#[test]
fn any_bytes_are_survived_and_another_client_is_served_meanwhile() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    world.subscribe(reader, "t", Qos::AtMostOnce);
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..3000 {
        let key = if round % 2 == 0 { world.raw(3) } else { world.client(3, "fuzz") };
        let bytes: Vec<u8> = (0..64)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_le_bytes()[0]
            })
            .collect();
        world.core.received(key, &bytes, &mut world.fx);
        world.core.closed(key, &mut world.fx);
        world.fx = Effects::at(world.now);
        world.publish(writer, "t", "x", Qos::AtMostOnce);
        assert_eq!(world.got(reader), [message("t", "x")]);
    }
    assert_eq!(world.core.connections.len(), 2);
}
