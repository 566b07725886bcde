//! CONNECT and its answer (§3.1, §3.2), statement by statement.

use super::bytes::properties;
use super::*;

/// CONNECT of 5.0, clean start, without a keep-alive, client id `c`.
const CONNECT: &[u8] = b"\x10\x0E\0\x04MQTT\x05\x02\0\0\0\0\x01c";
/// The same of 3.1.1.
const OLD: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01c";

fn old(id: &'static str, clean_start: bool) -> Connect<'static> {
    Connect { version: Version::V311, clean_start, ..connect(id) }
}

fn lasting(expiry: &PropertyBuffer, clean_start: bool) -> Connect<'_> {
    Connect { clean_start, properties: expiry.as_properties(), ..connect("a") }
}

/// Whether a session was there, said by the CONNACK of somebody let in.
fn present(world: &mut World, connect: Connect<'_>) -> (Key, bool) {
    let (key, got) = world.connected(1, connect);
    let Got::ConnAck { present, reason: Reason::Success } = got[0] else { panic!("{got:?}") };
    (key, present)
}

#[test]
fn connect_is_answered_by_one_connack_before_anything_else() {
    let mut world = World::new();
    for (connect, head) in [(CONNECT, &b"\0\0"[..]), (OLD, b"\0\0")] {
        let key = world.raw(1);
        let and_ping = [connect, b"\xC0\0"].concat();
        assert!(world.feed(key, &and_ping));
        let bytes = world.bytes(key);
        assert_eq!((bytes[0], &bytes[2..4]), (0x20, head), "{bytes:x?}");
        assert!(bytes.ends_with(b"\xD0\0"));
        let connacks = bytes.iter().filter(|&&byte| byte == 0x20).count();
        assert_eq!(connacks, 1, "{bytes:x?}");
    }
}

#[test]
fn a_connack_of_3_1_1_is_two_flags_and_nothing_more() {
    let mut world = World::new();
    let key = world.raw(1);
    assert!(world.feed(key, OLD));
    assert_eq!(world.bytes(key), b"\x20\x02\0\0");
}

#[test]
fn whoever_does_not_begin_with_connect_is_closed_without_a_word() {
    for first in [&b"\xC0\0"[..], b"\x30\x03\0\x01t", b"\xE0\0", b"GET / HTTP/1.1\r\n", b"\xF0\0"] {
        let mut world = World::new();
        let key = world.raw(1);
        world.feed(key, first);
        assert_eq!(world.bytes(key), b"", "{first:x?}");
        assert!(world.closing(key), "{first:x?}");
    }
}

#[test]
fn a_connect_that_breaks_a_rule_is_closed_and_no_disconnect_comes_before_a_connack() {
    let mut world = World::new();
    for wrong in [
        &b"\x10\x0E\0\x04MQTT\x05\x03\0\0\0\0\x01c"[..], // the reserved flag
        b"\x10\x0E\0\x04MQTT\x05\x0A\0\0\0\0\x01c",      // will QoS without a will
        b"\x10\x0E\0\x04MQTT\x05\x22\0\0\0\0\x01c",      // will retain without a will
        b"\x10\x0E\0\x04MQTT\x05\x82\0\0\0\0\x01c",      // a user name that is not there
        b"\x10\x0E\0\x04MQTT\x05\x42\0\0\0\0\x01c",      // a password that is not there
        b"\x10\x0E\0\x04MQTT\x05\x06\0\0\0\0\x01c",      // a will that is not there
        b"\x10\x0F\0\x04MQTT\x05\x02\0\0\0\0\x01cx",     // something behind the end
        b"\x10\x0E\0\x04MQTT\x05\x02\0\0\0\0\x01\xFF",   // a client id that is not UTF-8
        b"\x10\x0D\0\x04MQTT\x04\x03\0\0\0\x01c",
        b"\x10\x0F\0\x04MQTT\x04\x42\0\0\0\x01c\0\0", // 3.1.1: a password without a user name
        b"\x10\x0E\0\x04MQTS\x05\x02\0\0\0\0\x01c",   // another protocol
        b"\x11\x0E\0\x04MQTT\x05\x02\0\0\0\0\x01c",   // a reserved bit of the header
    ] {
        let key = world.raw(1);
        world.feed(key, wrong);
        let got = world.bytes(key);
        assert!(got.is_empty() || got[0] == 0x20 && got[3] >= 0x80, "{wrong:x?}: {got:x?}");
        assert!(world.closing(key), "{wrong:x?}");
        assert!(world.core.open_session(key).is_none());
    }
}

#[test]
fn an_unknown_protocol_level_is_refused_in_a_form_its_client_reads() {
    let mut world = World::new();
    for (connect, answer) in [
        (&b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01c"[..], &b"\x20\x02\0\x01"[..]), // MQTT 3.1
        (b"\x10\x0D\0\x04MQTT\x03\x02\0\0\0\x01c", b"\x20\x02\0\x01"),
        (b"\x10\x0E\0\x04MQTT\x06\x02\0\0\0\0\x01c", b"\x20\x03\0\x84\0"),
    ] {
        let key = world.raw(1);
        world.feed(key, connect);
        assert_eq!(world.bytes(key), answer, "{connect:x?}");
        assert!(world.closing(key));
    }
}

#[test]
fn what_follows_a_refused_connect_is_not_looked_at() {
    let mut world = World::new();
    let reader = world.client(2, "reader");
    world.subscribe(reader, "t", Qos::AtMostOnce);
    for refused in [
        &b"\x10\x12\0\x04MQTT\x05\x02\0\0\x04\x15\0\x01x\0\x01c"[..], // an authentication method
        b"\x10\x0C\0\x04MQTT\x04\0\0\0\0\0", // 3.1.1, no client id, no clean session
    ] {
        let key = world.raw(1);
        assert!(world.feed(key, &[refused, b"\x30\x04\0\x01t\0", b"\xC0\0"].concat()));
        let got = world.bytes(key);
        assert!(got[0] == 0x20 && got[2] == 0 && got[3] > 0, "no session is present: {got:x?}");
        assert_eq!(got.len(), usize::from(got[1]) + 2, "and nothing behind it");
        assert!(world.closing(key));
    }
    assert_eq!(world.got(reader), []);
}

#[test]
fn an_empty_client_id_of_3_1_1_needs_a_clean_session() {
    let mut world = World::new();
    let key = world.raw(1);
    world.feed(key, b"\x10\x0C\0\x04MQTT\x04\0\0\0\0\0");
    assert_eq!(world.bytes(key), b"\x20\x02\0\x02");
    assert!(world.closing(key));
    let key = world.raw(1);
    world.feed(key, b"\x10\x0C\0\x04MQTT\x04\x02\0\0\0\0");
    assert_eq!(world.bytes(key), b"\x20\x02\0\0");
}

#[test]
fn who_brings_no_client_id_gets_one_that_nobody_has() {
    let mut world = World::new();
    let id = |ack: &wire::ConnAck<'_>| {
        ack.properties.assigned_client_identifier().map(str::to_string).expect("assigned")
    };
    let (_, one) = world.connack(1, connect(""), id);
    let (second, other) = world.connack(1, connect(""), id);
    assert_ne!(one, other);
    let session = world.core.open_session(second).expect("open");
    assert_eq!(&*world.core.sessions.get(session).expect("there").client, other);
    let (_, none) = world
        .connack(1, connect("own"), |ack| ack.properties.assigned_client_identifier().is_none());
    assert!(none, "only who needs one");
}

#[test]
fn every_client_id_the_standard_promises_is_allowed() {
    let mut world = World::new();
    for id in
        ["a", "0", "Z", "abcdefghijklmnopqrstuvw", "0123456789ABCDEFGHIJKLM", "NOPQRSTUVWXYZxyz"]
    {
        let (key, got) = world.connected(1, old(id, true));
        assert_eq!(got[0], Got::ConnAck { present: false, reason: Reason::Success }, "{id}");
        world.core.closed(key, &mut world.fx);
    }
}

#[test]
fn a_session_is_present_exactly_when_it_was_kept_and_no_clean_start_asked_for() {
    let mut world = World::new();
    let expiry = properties(|p| p.session_expiry_interval(60));
    let (key, was) = present(&mut world, lasting(&expiry, false));
    assert!(!was, "nothing was there: a new one is made");
    world.subscribe(key, "t", Qos::AtLeastOnce);
    world.core.closed(key, &mut world.fx);
    let (key, was) = present(&mut world, lasting(&expiry, false));
    assert!(was, "it goes on");
    world.core.closed(key, &mut world.fx);
    let (key, was) = present(&mut world, lasting(&expiry, true));
    assert!(!was, "clean start");
    let session = world.core.open_session(key).expect("open");
    assert!(world.core.sessions.get(session).expect("there").filters.is_empty(), "a new one");
    world.core.closed(key, &mut world.fx);
    world.pass(60);
    assert!(!present(&mut world, lasting(&expiry, false)).1, "it expired");
}

#[test]
fn in_3_1_1_a_clean_session_ends_with_its_connection_and_another_waits() {
    let mut world = World::new();
    let (key, was) = present(&mut world, old("a", false));
    assert!(!was);
    world.subscribe(key, "q", Qos::AtLeastOnce);
    world.core.closed(key, &mut world.fx);
    let writer = world.client(2, "writer");
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        world.publish(writer, "q", "x", qos);
    }
    let (key, got) = world.connected(1, old("a", false));
    assert_eq!(got[0], Got::ConnAck { present: true, reason: Reason::Success });
    assert_eq!(got.len(), 3, "{got:?}");
    world.core.closed(key, &mut world.fx);
    let (key, was) = present(&mut world, old("a", true));
    assert!(!was, "discarded");
    world.core.closed(key, &mut world.fx);
    assert!(!present(&mut world, old("a", false)).1, "and nothing of the clean one is left");
}

#[test]
fn a_connection_that_takes_a_session_over_ends_the_older_one() {
    for (version, word) in [
        (Version::V5, vec![Got::Disconnect(Reason::SessionTakenOver)]),
        (Version::V311, vec![]), // 3.1.1 has no word for it
    ] {
        let mut world = World::new();
        let connect = Connect { version, clean_start: true, ..connect("a") };
        let (first, _) = world.connected(1, connect);
        let (second, got) = world.connected(1, connect);
        assert_eq!(got[0], Got::ConnAck { present: false, reason: Reason::Success });
        assert_eq!(world.got(first), word);
        assert!(world.closing(first) && !world.closing(second));
    }
}

#[test]
fn nothing_is_announced_as_missing_and_every_quality_and_retain_is_taken() {
    let mut world = World::new();
    let will =
        Will { topic: "w", payload: b"x", qos: Qos::ExactlyOnce, retain: true, properties: NONE };
    let (key, missing) = world.connack(1, Connect { will: Some(will), ..connect("a") }, |ack| {
        let p = ack.properties;
        [
            p.maximum_qos().is_some(),
            p.retain_available().is_some(),
            p.wildcard_subscription_available().is_some(),
            p.subscription_identifier_available().is_some(),
            p.shared_subscription_available().is_some(),
        ]
    });
    assert_eq!(missing, [false; 5]);
    for (qos, filter) in
        [(Qos::AtMostOnce, "a/#"), (Qos::AtLeastOnce, "b/+"), (Qos::ExactlyOnce, "$share/g/c")]
    {
        let options = wire::Options::at(qos);
        assert_eq!(world.subscribe_with(key, filter, options, 7), [Got::SubAck(vec![qos as u8])]);
    }
}

#[test]
fn without_an_authentication_method_no_auth_is_sent_nor_one_named() {
    let mut world = World::new();
    let (key, named) =
        world.connack(1, connect("a"), |ack| ack.properties.authentication_method().is_some());
    assert!(!named);
    world.feed(key, b"\xC0\0");
    assert_eq!(world.bytes(key), b"\xD0\0");
}

#[test]
fn a_reason_string_that_a_client_has_no_room_for_is_left_out_of_connack_and_disconnect() {
    let mut world = World::new();
    let own = properties(|p| p.maximum_packet_size(12).authentication_method("x"));
    let refused = Connect { properties: own.as_properties(), ..connect("a") };
    let key = world.raw(1);
    world.send(key, &Packet::Connect(refused));
    assert_eq!(world.bytes(key), b"\x20\x03\0\x8C\0");
    let own = properties(|p| p.maximum_packet_size(30));
    let (key, _) = world.connected(1, Connect { properties: own.as_properties(), ..connect("a") });
    world.feed(key, b"\x36\x03\0\x01t"); // QoS 3
    assert_eq!(world.bytes(key), b"\xE0\x02\x81\0");
    let roomy = world.client(1, "a");
    world.feed(roomy, b"\x36\x03\0\x01t");
    assert!(world.bytes(roomy).len() > 10, "told where there is room");
}

#[test]
fn who_wants_no_problem_information_gets_reasons_in_connack_and_disconnect_only() {
    let mut world = World::new();
    for wanted in [true, false] {
        let own = properties(|p| p.request_problem_information(wanted));
        let asking = Connect { properties: own.as_properties(), ..connect("a") };
        let (key, _) = world.connected(1, asking);
        world.publish(key, "maestro/info", "x", Qos::AtLeastOnce); // refused
        world.send(key, &Packet::PubRel(Ack::success(id(9)))); // of nothing
        world.subscribe_raw(key, "maestro/log/#");
        let told = world.each(key, |packet| match packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                assert!(ack.reason.is_error());
                ack.properties.reason_string().is_some()
            }
            Packet::SubAck(ack) => {
                assert_eq!(ack.codes, [0x87]);
                ack.properties.reason_string().is_some()
            }
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Publish(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => panic!("{packet:?}"),
        });
        assert_eq!(told, [wanted, false, wanted]);
    }
}
