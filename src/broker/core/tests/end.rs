//! The end of a connection (§3.14, §4.13): who says why, and what becomes of session and will.

use super::bytes::properties;
use super::*;

fn will(retain: bool) -> Will<'static> {
    Will { topic: "w", payload: b"gone", qos: Qos::AtMostOnce, retain, properties: NONE }
}

fn disconnect(reason: Reason) -> Packet<'static> {
    Packet::Disconnect(Disconnect { reason, properties: NONE })
}

#[test]
fn whatever_breaks_a_rule_ends_the_connection_with_its_reason() {
    for (packet, reason) in [
        (&b"\x36\x03\0\x01t"[..], 0x81_u8),              // QoS 3
        (b"\x30\x04\0\x01#\0", 0x81),                    // a wildcard in a topic name
        (b"\x30\x04\0\x01\xFF\0", 0x81),                 // not UTF-8
        (b"\x30\x03\0\0\0", 0x82),                       // no topic, no alias
        (b"\x32\x06\0\x01t\0\0\0", 0x82),                // packet identifier 0
        (b"\x60\x02\0\x01", 0x81),                       // flags of PUBREL
        (b"\x80\x07\0\x01\0\0\x01a\0", 0x81),            // flags of SUBSCRIBE
        (b"\x82\x03\0\x01\0", 0x82),                     // no filter
        (b"\x82\x07\0\x01\0\0\x01a\x40", 0x81),          // a reserved option
        (b"\x82\x10\0\x01\0\0\x0A$share/g/a\x04", 0x82), // no local on a shared subscription
        (b"\xA0\x06\0\x01\0\0\x01a", 0x81),              // flags of UNSUBSCRIBE
        (b"\xA2\x03\0\x01\0", 0x82),                     // no filter
        (b"\xE1\x00", 0x81),                             // flags of DISCONNECT
        (b"\xF1\x00", 0x81),                             // flags of AUTH
        (b"\x20\x03\0\0\0", 0x82),                       // a CONNACK
        (b"\xD0\x00", 0x82),                             // a PINGRESP
        (b"\x30\x06\0\x01t\x02\x0B\x01", 0x82),          // a subscription identifier
        (b"\x30\x0B\0\x01t\x07\x08\0\x04a/#b", 0x81),    // a response topic with a wildcard
        (b"\x00\x00", 0x81),
    ] {
        let mut world = World::new();
        let reader = world.client(2, "reader");
        world.subscribe(reader, "#", Qos::AtMostOnce);
        let key = world.client(1, "a");
        world.got(reader);
        world.feed(key, &[packet, b"\xC0\0"].concat());
        let got = world.bytes(key);
        assert_eq!((got.first(), got.get(2)), (Some(&0xE0), Some(&reason)), "{packet:x?} {got:x?}");
        assert_eq!(got.len(), usize::from(got[1]) + 2, "the last word: {packet:x?}");
        assert!(world.closing(key), "{packet:x?}");
        let seen = world.got(reader);
        assert!(
            seen.iter().all(|got| !matches!(got, Got::Publish { payload, .. } if payload == "t"))
        );
    }
}

#[test]
fn in_3_1_1_whatever_breaks_a_rule_is_closed_without_a_word() {
    for packet in [
        &b"\x36\x03\0\x01t"[..],
        b"\x30\x03\0\x01#",
        b"\x30\x03\0\x01\xFF",
        b"\x30\x04\0\x02a\0",
        b"\x60\x02\0\x01",
        b"\x80\x06\0\x01\0\x01a\0",
        b"\x82\x02\0\x01",
        b"\x82\x06\0\x01\0\x01a\x03",
        b"\xA0\x05\0\x01\0\x01a",
        b"\xA2\x02\0\x01",
        b"\xE1\x00",
        b"\xF0\x00",
        b"\x20\x02\0\0",
        b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01a", // a second CONNECT
    ] {
        let mut world = World::new();
        let old = Connect { version: Version::V311, clean_start: true, ..connect("a") };
        let (key, _) = world.connected(1, old);
        world.feed(key, packet);
        assert_eq!(world.bytes(key), b"", "{packet:x?}");
        assert!(world.closing(key), "{packet:x?}");
    }
}

#[test]
fn a_will_is_published_once_and_as_its_retain_flag_says() {
    for retain in [false, true] {
        let mut world = World::new();
        let reader = world.client(1, "reader");
        world.subscribe(reader, "w", Qos::AtMostOnce);
        let (key, _) = world.connected(2, Connect { will: Some(will(retain)), ..connect("a") });
        assert_eq!(world.got(reader), [], "stored, not published");
        world.core.closed(key, &mut world.fx);
        assert_eq!(world.got(reader), [message("w", "gone")]);
        assert_eq!(world.core.retained.has("w"), retain);
        let again = world.client(2, "a");
        world.core.closed(again, &mut world.fx);
        world.pass(1000);
        assert_eq!(world.got(reader), [], "it was taken from the session");
    }
}

#[test]
fn a_will_fires_for_every_end_but_a_normal_disconnect() {
    type End = fn(&mut World, Key);
    let fires: [(&str, End); 5] = [
        ("the network", |world, key| world.core.closed(key, &mut world.fx)),
        ("a broken rule", |world, key| assert!(world.feed(key, b"\x36\x03\0\x01t"))),
        ("silence", |world, _| world.pass(15)),
        ("on request", |world, key| world.send(key, &disconnect(Reason::DisconnectWithWill))),
        ("with an error", |world, key| world.send(key, &disconnect(Reason::UnspecifiedError))),
    ];
    for (how, end) in fires {
        let mut world = World::new();
        let reader = world.client(1, "reader");
        world.subscribe(reader, "w", Qos::AtMostOnce);
        let dying = Connect { will: Some(will(false)), keep_alive_s: 10, ..connect("a") };
        let (key, _) = world.connected(2, dying);
        end(&mut world, key);
        assert_eq!(world.got(reader), [message("w", "gone")], "{how}");
    }
    for version in [Version::V5, Version::V311] {
        let mut world = World::new();
        let reader = world.client(1, "reader");
        world.subscribe(reader, "w", Qos::AtMostOnce);
        let polite =
            Connect { will: Some(will(false)), version, clean_start: true, ..connect("a") };
        let (key, _) = world.connected(2, polite);
        world.send(key, &disconnect(Reason::Success));
        world.core.closed(key, &mut world.fx);
        assert_eq!(world.got(reader), [], "{version:?}");
        assert!(world.closing(key));
    }
    let mut world = World::new();
    let reader = world.client(1, "reader");
    world.subscribe(reader, "w", Qos::AtMostOnce);
    let key = world.client(2, "a");
    world.core.closed(key, &mut world.fx);
    assert_eq!(world.got(reader), [], "without a will there is none");
}

#[test]
fn nothing_is_taken_or_sent_after_a_disconnect() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    world.subscribe(reader, "t", Qos::AtMostOnce);
    assert!(world.feed(reader, b"\xE0\0\x30\x04\0\x01t\0\xC0\0"));
    world.publish(writer, "t", "x", Qos::AtMostOnce);
    assert_eq!(world.bytes(reader), b"");
    assert!(world.closing(reader));
    let broken = world.client(1, "broken");
    world.subscribe(broken, "t", Qos::AtMostOnce);
    world.feed(broken, b"\x36\x03\0\x01t");
    world.publish(writer, "t", "x", Qos::AtMostOnce);
    let got = world.got(broken);
    assert_eq!(got, [Got::Disconnect(Reason::MalformedPacket)], "the last word");
}

#[test]
fn a_disconnect_changes_the_session_expiry_but_revives_nothing() {
    let mut world = World::new();
    let minute = properties(|p| p.session_expiry_interval(60));
    let lasting = Connect { properties: minute.as_properties(), ..connect("a") };
    for (expiry, left_after) in [(0, 0), (5, 1)] {
        let (key, _) = world.connected(1, lasting);
        let own = properties(|p| p.session_expiry_interval(expiry));
        let properties = own.as_properties();
        world.send(key, &Packet::Disconnect(Disconnect { reason: Reason::Success, properties }));
        assert_eq!(world.core.sessions.len(), left_after);
        world.pass(5);
        assert_eq!(world.core.sessions.len(), 0);
    }
    let short = world.client(1, "short");
    let properties = minute.as_properties();
    world.send(short, &Packet::Disconnect(Disconnect { reason: Reason::Success, properties }));
    assert!(world.ended(short, Reason::ProtocolError));
    assert_eq!(world.core.sessions.len(), 0);
}

#[test]
fn what_a_server_says_at_the_end_never_has_a_session_expiry() {
    let mut world = World::new();
    let (key, _) = world.lasting(1, "a");
    world.bytes(key);
    world.core.stop(&mut world.fx);
    let ends = world.each(key, |packet| {
        let Packet::Disconnect(end) = packet else { panic!("{packet:?}") };
        assert_eq!(end.properties.session_expiry_interval(), None);
        end.reason
    });
    assert_eq!(ends, [Reason::ServerShuttingDown]);
    assert!(world.closing(key));
}

#[test]
fn a_ping_is_answered() {
    for version in [Version::V5, Version::V311] {
        let mut world = World::new();
        let (key, _) = world.connected(1, Connect { version, clean_start: true, ..connect("a") });
        assert!(world.feed(key, b"\xC0\0\xC0\0"));
        assert_eq!(world.bytes(key), b"\xD0\0\xD0\0");
    }
}

#[test]
fn in_3_1_1_a_publish_that_is_not_allowed_is_acknowledged_and_dropped() {
    let mut world = World::new();
    let root = world.client(0, "root");
    world.subscribe(root, "maestro/info", Qos::AtMostOnce);
    let old = Connect { version: Version::V311, clean_start: true, ..connect("old") };
    let (key, _) = world.connected(1, old);
    world.publish(key, "maestro/info", "x", Qos::AtLeastOnce);
    assert_eq!(world.bytes(key), b"\x40\x02\0\x07");
    world.publish(key, "maestro/info", "x", Qos::ExactlyOnce);
    assert_eq!(world.bytes(key), b"\x50\x02\0\x07");
    assert_eq!(world.got(root), []);
}

#[test]
fn a_session_stays_while_its_connection_is_open() {
    let mut world = World::new();
    let short = properties(|p| p.session_expiry_interval(1));
    let (key, _) =
        world.connected(1, Connect { properties: short.as_properties(), ..connect("a") });
    world.subscribe(key, "t", Qos::AtMostOnce);
    world.pass(1_000_000);
    let writer = world.client(2, "writer");
    world.publish(writer, "t", "x", Qos::AtMostOnce);
    assert_eq!(world.got(key), [message("t", "x")]);
    world.core.closed(key, &mut world.fx);
    world.pass(1);
    assert_eq!(world.core.sessions.len(), 1, "the writer's");
}
