//! CONNACK (§3.2): what the server tells of itself, and what it gives instead of what was asked.

use super::bytes::properties;
use super::*;

#[test]
fn a_keep_alive_is_cut_to_the_limit_and_the_client_is_told() {
    let limit = NonZeroU16::new(60);
    let mut world = World::with(Limits { keep_alive_s: limit, ..limits() }, &Store::in_memory());
    for (asked, told) in [(0, Some(60)), (30, None), (60, None), (61, Some(60))] {
        let asking = Connect { keep_alive_s: asked, ..connect("a") };
        let (_, got) = world.connack(1, asking, |ack| ack.properties.server_keep_alive());
        assert_eq!(got, told, "{asked}");
    }
    let (silent, _) = world.connected(2, connect("silent"));
    world.pass(89);
    assert_eq!(world.got(silent), []);
    world.pass(1);
    assert_eq!(world.got(silent), [Got::Disconnect(Reason::KeepAliveTimeout)]);
}

#[test]
fn without_a_limit_every_keep_alive_is_taken_none_included() {
    let mut world = World::new();
    for asked in [0, 65_535] {
        let asking = Connect { keep_alive_s: asked, ..connect("a") };
        let (_, got) = world.connack(1, asking, |ack| ack.properties.server_keep_alive());
        assert_eq!(got, None);
    }
    let key = world.client(2, "patient");
    world.pass(1_000_000);
    assert!(!world.closing(key));
}

#[test]
fn a_3_1_1_client_keeps_the_keep_alive_it_asked_for() {
    let limit = NonZeroU16::new(60);
    let mut world = World::with(Limits { keep_alive_s: limit, ..limits() }, &Store::in_memory());
    let old = Connect { version: Version::V311, clean_start: true, ..connect("old") };
    let (key, got) = world.connected(1, old);
    assert_eq!(got[0], Got::ConnAck { present: false, reason: Reason::Success });
    world.pass(100_000);
    assert!(!world.closing(key));
}

#[test]
fn response_information_is_given_when_asked_for_and_is_a_place_where_its_client_may_publish() {
    let mut world = World::new();
    for (uid, asked, told) in [
        (5, Some(true), Some("maestro/app/u5/reply/")),
        (5, Some(false), None),
        (5, None, None),
        (0, Some(true), Some("maestro/app/root/reply/")),
    ] {
        let own = properties(|p| match asked {
            Some(asked) => p.request_response_information(asked),
            None => p,
        });
        let asking = Connect { properties: own.as_properties(), ..connect("") };
        let (key, got) = world
            .connack(uid, asking, |ack| ack.properties.response_information().map(str::to_string));
        assert_eq!(got.as_deref(), told, "{uid} {asked:?}");
        if let Some(prefix) = got {
            let topic = format!("{prefix}ping/1");
            world.subscribe(key, &topic, Qos::AtMostOnce);
            world.publish(key, &topic, "x", Qos::AtMostOnce);
            assert_eq!(world.got(key), [message(&topic, "x")]);
        }
    }
}

#[test]
fn an_authentication_method_is_refused_and_an_auth_packet_is_a_protocol_error() {
    let mut world = World::new();
    let own = properties(|p| p.authentication_method("SCRAM-SHA-1"));
    let asking = Connect { properties: own.as_properties(), ..connect("a") };
    let (key, got) = world.connected(1, asking);
    let reason = Reason::BadAuthenticationMethod;
    assert_eq!(got, [Got::ConnAck { present: false, reason }]);
    assert!(world.closing(key));
    for auth in [&b"\xF0\x00"[..], b"\xF0\x05\x19\x03\x15\0\0", b"\xF0\x06\x18\x04\x15\0\x01x"] {
        let key = world.client(2, "b");
        world.feed(key, auth);
        assert!(world.ended(key, Reason::ProtocolError), "{auth:x?}");
    }
}

#[test]
fn a_session_expiry_is_cut_to_the_limit_and_the_client_is_told() {
    let mut world = World::with(Limits { session_expiry_s: 100, ..limits() }, &Store::in_memory());
    for (asked, told) in [(None, None), (Some(100), None), (Some(101), Some(100))] {
        let own = properties(|p| match asked {
            Some(asked) => p.session_expiry_interval(asked),
            None => p,
        });
        let asking = Connect { properties: own.as_properties(), ..connect("a") };
        let (key, got) = world.connack(1, asking, |ack| ack.properties.session_expiry_interval());
        assert_eq!(got, told, "{asked:?}");
        world.core.closed(key, &mut world.fx);
    }
}

#[test]
fn a_clean_start_is_answered_when_the_old_session_is_gone_from_the_disk() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::AtLeastOnce);
    let key = world.raw(1);
    let clean = Connect { clean_start: true, ..connect("reader") };
    world.send(key, &Packet::Connect(clean));
    assert_eq!(world.got(key), [], "not on disk yet");
    assert!(!world.core.reading(key));
    world.commit();
    assert_eq!(world.got(key), [Got::ConnAck { present: false, reason: Reason::Success }]);
    assert_eq!(world.rows(Table::Session), 0);
}

#[test]
fn a_session_that_is_resumed_is_not_alone_any_more_on_disk_either() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::AtLeastOnce);
    world.core.closed(reader, &mut world.fx);
    world.commit();
    world.pass(3599);
    let (reader, present) = world.lasting(1, "reader");
    assert!(present && !world.got(reader).is_empty());
    let mut world = world.killed();
    world.pass(3599); // its hour begins anew
    assert!(world.lasting(1, "reader").1);
}

#[test]
fn a_clean_start_is_answered_although_the_disk_is_full() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::AtLeastOnce);
    let key = world.raw(1);
    world.send(key, &Packet::Connect(Connect { clean_start: true, ..connect("reader") }));
    world.full();
    assert_eq!(world.got(key), [Got::ConnAck { present: false, reason: Reason::Success }]);
}

#[test]
fn who_comes_back_is_greeted_when_a_session_that_ended_is_gone_from_the_disk() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::AtLeastOnce);
    world.core.closed(reader, &mut world.fx);
    world.commit();
    world.pass(3600);
    let key = world.raw(1);
    world.send(key, &Packet::Connect(connect("reader")));
    assert_eq!(world.got(key), [], "a kill would bring it back");
    world.commit();
    assert_eq!(world.got(key), [Got::ConnAck { present: false, reason: Reason::Success }]);
    assert!(!world.killed().lasting(1, "reader").1);
}
