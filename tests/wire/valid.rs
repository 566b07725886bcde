//! Valid packets, byte for byte both ways.

use std::num::NonZeroU16;

use maestro::broker::wire::{
    Ack, Auth, ConnAck, Connect, Disconnect, FilterBuffer, Frame, Malformed, Options, Packet,
    Properties, Publish, Reason, RetainHandling, SubAck, Subscribe, SubscriptionBuffer,
    Subscriptions, Unsubscribe, Version, Will, connect_version, decode, decode_connect,
};
use maestro::bus::Qos;

use crate::bytes::{packet, properties, read, written};

const V311: Version = Version::V311;
const V5: Version = Version::V5;
const NONE: Properties<'static> = Properties::NONE;

fn id(id: u16) -> NonZeroU16 {
    NonZeroU16::new(id).unwrap()
}

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "c",
        will: None,
        username: None,
        password: None,
        properties: NONE,
    }
}

fn publish() -> Publish<'static> {
    Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: "a/b",
        packet_id: None,
        properties: NONE,
        payload: b"hi",
    }
}

fn will() -> Will<'static> {
    Will { topic: "w", payload: b"gone", qos: Qos::AtMostOnce, retain: false, properties: NONE }
}

fn subscriptions(all: &[(&str, Options)]) -> Subscriptions<'static> {
    let buffer = Box::leak(Box::new(SubscriptionBuffer::default()));
    for (filter, options) in all {
        buffer.push(filter, *options).unwrap();
    }
    buffer.as_subscriptions()
}

fn unsubscribe(filters: &[&str]) -> Unsubscribe<'static> {
    let buffer = Box::leak(Box::new(FilterBuffer::default()));
    for filter in filters {
        buffer.push(filter).unwrap();
    }
    Unsubscribe { packet_id: id(10), properties: NONE, filters: buffer.as_filters() }
}

type Row = (Version, &'static str, Packet<'static>);

fn connects() -> Vec<Row> {
    let full = Connect {
        clean_start: false,
        will: Some(Will { qos: Qos::ExactlyOnce, retain: true, ..will() }),
        username: Some("u"),
        password: Some(&[0, 0xFF]),
        ..connect(V311)
    };
    let v5 = Connect {
        version: V5,
        properties: properties(|p| p.session_expiry_interval(3600).receive_maximum(20)),
        will: full.will.map(|will| Will {
            properties: properties(|p| p.will_delay_interval(5).user_property("k", "v")),
            ..will
        }),
        ..full
    };
    vec![
        (V311, "10 <MQTT> 04 02 003C <c>", Packet::Connect(connect(V311))),
        (
            V311,
            "10 <MQTT> 04 02 003C <>",
            Packet::Connect(Connect { client_id: "", ..connect(V311) }),
        ),
        (V311, "10 <MQTT> 04 F4 003C <c> <w> <gone> <u> 0002 00FF", Packet::Connect(full)),
        (
            V311,
            "10 <MQTT> 04 82 0000 <c> <u>",
            Packet::Connect(Connect { username: Some("u"), keep_alive_s: 0, ..connect(V311) }),
        ),
        (
            V311,
            "10 <MQTT> 04 0E FFFF <c> <w> <>",
            Packet::Connect(Connect {
                keep_alive_s: 65_535,
                will: Some(Will { qos: Qos::AtLeastOnce, payload: b"", ..will() }),
                ..connect(V311)
            }),
        ),
        (V5, "10 <MQTT> 05 02 003C [] <c>", Packet::Connect(connect(V5))),
        (
            V5,
            "10 <MQTT> 05 00 003C [] <>",
            Packet::Connect(Connect { client_id: "", clean_start: false, ..connect(V5) }),
        ),
        (
            V5,
            "10 <MQTT> 05 F4 003C [11 00000E10 21 0014] <c> [18 00000005 26 <k> <v>] <w> <gone> <u> 0002 00FF",
            Packet::Connect(v5),
        ),
        // 5.0 §3.1.2.9: a password without a user name is allowed here.
        (
            V5,
            "10 <MQTT> 05 42 003C [] <c> <token>",
            Packet::Connect(Connect { password: Some(b"token"), ..connect(V5) }),
        ),
    ]
}

fn connacks() -> Vec<Row> {
    let ack = |session_present, reason, properties| {
        Packet::ConnAck(ConnAck { session_present, reason, properties })
    };
    vec![
        (V311, "20 00 00", ack(false, Reason::Success, NONE)),
        (V311, "20 01 00", ack(true, Reason::Success, NONE)),
        (V311, "20 00 01", ack(false, Reason::UnsupportedProtocolVersion, NONE)),
        (V311, "20 00 02", ack(false, Reason::ClientIdentifierNotValid, NONE)),
        (V311, "20 00 03", ack(false, Reason::ServerUnavailable, NONE)),
        (V311, "20 00 04", ack(false, Reason::BadUserNameOrPassword, NONE)),
        (V311, "20 00 05", ack(false, Reason::NotAuthorized, NONE)),
        (V5, "20 01 00 []", ack(true, Reason::Success, NONE)),
        (V5, "20 00 87 []", ack(false, Reason::NotAuthorized, NONE)),
        (
            V5,
            "20 00 00 [12 <x> 13 003C 24 01]",
            ack(
                false,
                Reason::Success,
                properties(|p| {
                    p.assigned_client_identifier("x").server_keep_alive(60).maximum_qos(1)
                }),
            ),
        ),
    ]
}

fn publishes() -> Vec<Row> {
    let at = |qos, packet_id| Publish { qos, packet_id: Some(id(packet_id)), ..publish() };
    vec![
        (V311, "30 <a/b> 'hi'", Packet::Publish(publish())),
        (V311, "31 <a/b>", Packet::Publish(Publish { retain: true, payload: b"", ..publish() })),
        (V311, "32 <a/b> 0001 'hi'", Packet::Publish(at(Qos::AtLeastOnce, 1))),
        (V311, "34 <a/b> FFFF 'hi'", Packet::Publish(at(Qos::ExactlyOnce, 65_535))),
        (
            V311,
            "3D <a/b> 0100 'hi'",
            Packet::Publish(Publish { dup: true, retain: true, ..at(Qos::ExactlyOnce, 256) }),
        ),
        (V5, "30 <a/b> [] 'hi'", Packet::Publish(publish())),
        (
            V5,
            "3A <a/b> 0001 [] 'hi'",
            Packet::Publish(Publish { dup: true, ..at(Qos::AtLeastOnce, 1) }),
        ),
        (
            V5,
            "30 <a/b> [02 00000000] 'hi'",
            Packet::Publish(Publish {
                properties: properties(|p| p.message_expiry_interval(0)),
                ..publish()
            }),
        ),
        (
            V5,
            "30 <> [23 0001] 'hi'",
            Packet::Publish(Publish {
                topic: "",
                properties: properties(|p| p.topic_alias(1)),
                ..publish()
            }),
        ),
        (
            V5,
            "32 <é/\u{FEFF}\u{FFFF}> 0001 [0B 01 0B FFFFFF7F 26 <> <>] 00 FF",
            Packet::Publish(Publish {
                topic: "é/\u{FEFF}\u{FFFF}",
                payload: &[0, 0xFF],
                properties: properties(|p| {
                    p.subscription_identifier(1)
                        .subscription_identifier(268_435_455)
                        .user_property("", "")
                }),
                ..at(Qos::AtLeastOnce, 1)
            }),
        ),
    ]
}

fn acks() -> Vec<Row> {
    let why = |reason| Ack {
        packet_id: id(0x1234),
        reason,
        properties: properties(|p| p.reason_string("why")),
    };
    let bare = |reason| Ack { properties: NONE, ..why(reason) };
    let good = Ack::success(id(0x1234));
    vec![
        (V311, "40 1234", Packet::PubAck(good)),
        (V311, "50 1234", Packet::PubRec(good)),
        (V311, "62 1234", Packet::PubRel(good)),
        (V311, "70 1234", Packet::PubComp(good)),
        (V5, "40 1234", Packet::PubAck(good)),
        (V5, "50 1234", Packet::PubRec(good)),
        (V5, "62 1234", Packet::PubRel(good)),
        (V5, "70 1234", Packet::PubComp(good)),
        (V5, "40 1234 10 []", Packet::PubAck(bare(Reason::NoMatchingSubscribers))),
        (V5, "50 1234 97 []", Packet::PubRec(bare(Reason::QuotaExceeded))),
        (V5, "62 1234 92 []", Packet::PubRel(bare(Reason::PacketIdentifierNotFound))),
        (V5, "70 1234 92 []", Packet::PubComp(bare(Reason::PacketIdentifierNotFound))),
        (V5, "40 1234 87 [1F <why>]", Packet::PubAck(why(Reason::NotAuthorized))),
        (V5, "40 1234 00 [1F <why>]", Packet::PubAck(why(Reason::Success))),
        (V5, "50 1234 00 [1F <why>]", Packet::PubRec(why(Reason::Success))),
        (V5, "62 1234 00 [1F <why>]", Packet::PubRel(why(Reason::Success))),
        (V5, "70 1234 00 [1F <why>]", Packet::PubComp(why(Reason::Success))),
    ]
}

fn subscribes() -> Vec<Row> {
    let all = Options {
        qos: Qos::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let subscribe = |properties, subscriptions| {
        Packet::Subscribe(Subscribe { packet_id: id(10), properties, subscriptions })
    };
    let shared =
        Options { retain_handling: RetainHandling::SendIfNew, ..Options::at(Qos::AtLeastOnce) };
    let codes = |codes, properties| SubAck { packet_id: id(10), properties, codes };
    vec![
        (
            V311,
            "82 000A <a/#> 01 <+> 02 <$share/> 00",
            Packet::Subscribe(Subscribe {
                packet_id: id(10),
                properties: NONE,
                // `$share/` is an ordinary filter in 3.1.1, and no buffer of ours would hold it.
                subscriptions: any("82 000A <a/#> 01 <+> 02 <$share/> 00"),
            }),
        ),
        (
            V5,
            "82 000A [0B 7F] <a/#> 2E <$share/g/+> 11",
            subscribe(
                properties(|p| p.subscription_identifier(127)),
                subscriptions(&[("a/#", all), ("$share/g/+", shared)]),
            ),
        ),
        (V311, "A2 000A <a> <b/#>", Packet::Unsubscribe(unsubscribe(&["a", "b/#"]))),
        (V5, "A2 000A [] <$share/g/a>", Packet::Unsubscribe(unsubscribe(&["$share/g/a"]))),
        (V311, "90 000A 00 01 02 80", Packet::SubAck(codes(&[0, 1, 2, 0x80], NONE))),
        (
            V5,
            "90 000A [1F <no>] 00 01 02 80 83 87 8F 91 97 9E A1 A2",
            Packet::SubAck(codes(
                &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2],
                properties(|p| p.reason_string("no")),
            )),
        ),
        (V311, "B0 000A", Packet::UnsubAck(codes(&[], NONE))),
        (
            V5,
            "B0 000A [] 00 11 80 83 87 8F 91",
            Packet::UnsubAck(codes(&[0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91], NONE)),
        ),
    ]
}

fn any(text: &str) -> Subscriptions<'static> {
    let Ok(Packet::Subscribe(subscribe)) = read(V311, Box::leak(packet(text).into_boxed_slice()))
    else {
        panic!("{text}")
    };
    subscribe.subscriptions
}

fn others() -> Vec<Row> {
    let end = |reason, properties| Packet::Disconnect(Disconnect { reason, properties });
    let auth = |reason, properties| Packet::Auth(Auth { reason, properties });
    vec![
        (V311, "C0", Packet::PingReq),
        (V5, "C0", Packet::PingReq),
        (V311, "D0", Packet::PingResp),
        (V5, "D0", Packet::PingResp),
        (V311, "E0", end(Reason::Success, NONE)),
        (V5, "E0 00 []", end(Reason::Success, NONE)),
        (V5, "E0 8E []", end(Reason::SessionTakenOver, NONE)),
        (V5, "E0 04 []", end(Reason::DisconnectWithWill, NONE)),
        (
            V5,
            "E0 00 [11 00000000]",
            end(Reason::Success, properties(|p| p.session_expiry_interval(0))),
        ),
        (V5, "F0", auth(Reason::Success, NONE)),
        (
            V5,
            "F0 18 [15 <m> 16 0001 FF]",
            auth(
                Reason::ContinueAuthentication,
                properties(|p| p.authentication_method("m").authentication_data(&[0xFF])),
            ),
        ),
        (
            V5,
            "F0 19 [15 <m>]",
            auth(Reason::ReAuthenticate, properties(|p| p.authentication_method("m"))),
        ),
    ]
}

pub(crate) fn packets() -> Vec<(Version, Vec<u8>)> {
    rows().into_iter().map(|(version, text, _)| (version, packet(text))).collect()
}

fn rows() -> Vec<Row> {
    [connects(), connacks(), publishes(), acks(), subscribes(), others()].concat()
}

#[test]
fn valid_packets_are_read_and_written_byte_for_byte() {
    let all = rows();
    assert!(all.len() > 60);
    for (version, text, expected) in all {
        let bytes = packet(text);
        let read = read(version, &bytes).unwrap_or_else(|refused| panic!("{text}: {refused}"));
        assert_eq!(read, expected, "{text}");
        assert_eq!(written(version, &expected), bytes, "{text}");
        assert_eq!(maestro::broker::wire::size(version, &expected), bytes.len(), "{text}");
    }
}

/// Table 2-6 of MQTT 5.0: which packets carry which reason code.
const REASON_CODES: &[(&str, &str)] = &[
    ("20", "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F"),
    ("40", "00 10 80 83 87 90 91 97 99"),
    ("50", "00 10 80 83 87 90 91 97 99"),
    ("62", "00 92"),
    ("70", "00 92"),
    ("90", "00 01 02 80 83 87 8F 91 97 9E A1 A2"),
    ("B0", "00 11 80 83 87 8F 91"),
    (
        "E0",
        "00 04 80 81 82 83 87 89 8B 8C 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 A1 A2",
    ),
    ("F0", "00 18 19"),
];

#[test]
fn every_reason_code_is_taken_on_its_packets_and_on_no_other() {
    for (header, allowed) in REASON_CODES {
        for code in 0..=255_u8 {
            let code_text = format!("{code:02X}");
            let bytes = packet(&match *header {
                "20" => format!("20 00 {code_text} []"),
                "E0" => format!("E0 {code_text} []"),
                "F0" => format!("F0 {code_text} [15 <m>]"),
                "90" | "B0" => format!("{header} 0001 [] {code_text}"),
                _ => format!("{header} 0001 {code_text} []"),
            });
            let taken = read(V5, &bytes);
            let expected = allowed.split(' ').any(|allowed| allowed == code_text);
            assert_eq!(taken.is_ok(), expected, "{header} {code_text}");
            if let Err(refused) = taken {
                assert_eq!(refused.reason() as u8, 0x82);
            }
        }
    }
}

#[test]
fn shorter_forms_that_the_standard_allows_are_read() {
    let brief = |version, text: &str| {
        let bytes = packet(text);
        written(version, &read(version, &bytes).unwrap())
    };
    // 5.0 §3.4.2.1: with a remaining length of 3 there are no properties.
    assert_eq!(brief(V5, "40 0001 87"), packet("40 0001 87 []"));
    assert_eq!(brief(V5, "40 0001 00"), packet("40 0001"));
    assert_eq!(brief(V5, "40 0001 00 []"), packet("40 0001"));
    assert_eq!(brief(V5, "70 0001 92"), packet("70 0001 92 []"));
    // 5.0 §3.14.2.2.1: with a remaining length below 2 there are none.
    assert_eq!(brief(V5, "E0 8E"), packet("E0 8E []"));
    assert_eq!(brief(V5, "E0 00"), packet("E0 00 []"));
    assert_eq!(brief(V5, "E0"), packet("E0 00 []"));
}

#[test]
fn a_disconnect_with_a_reason_is_written_so_that_rumqttc_reads_it() {
    let taken = Disconnect { reason: Reason::SessionTakenOver, properties: NONE };
    assert_eq!(written(V5, &Packet::Disconnect(taken)), [0xE0, 0x02, 0x8E, 0x00]);
}

#[test]
fn in_3_1_1_properties_and_reasons_are_left_out() {
    let ack = Ack {
        packet_id: id(1),
        reason: Reason::NotAuthorized,
        properties: properties(|p| p.reason_string("no")),
    };
    assert_eq!(written(V311, &Packet::PubAck(ack)), packet("40 0001"));
    let publish = Publish { properties: properties(|p| p.content_type("text")), ..publish() };
    assert_eq!(written(V311, &Packet::Publish(publish)), packet("30 <a/b> 'hi'"));
    let disconnect = Disconnect { reason: Reason::ServerBusy, properties: NONE };
    assert_eq!(written(V311, &Packet::Disconnect(disconnect)), packet("E0"));
    let codes = &[0, 2, 0x87, 0xA2];
    let suback = SubAck { packet_id: id(1), properties: NONE, codes };
    assert_eq!(written(V311, &Packet::SubAck(suback)), packet("90 0001 00 02 80 80"));
    assert_eq!(written(V311, &Packet::UnsubAck(suback)), packet("B0 0001"));
    let options = Options { no_local: true, ..Options::at(Qos::AtLeastOnce) };
    let subscribe = Subscribe {
        packet_id: id(1),
        properties: properties(|p| p.subscription_identifier(1)),
        subscriptions: subscriptions(&[("a", options)]),
    };
    assert_eq!(written(V311, &Packet::Subscribe(subscribe)), packet("82 0001 <a> 01"));
}

#[test]
fn a_connack_of_3_1_1_has_a_return_code_or_is_not_sent() {
    for (reason, code) in [
        (Reason::UnsupportedProtocolVersion, Some(1)),
        (Reason::ClientIdentifierNotValid, Some(2)),
        (Reason::ServerBusy, Some(3)),
        (Reason::ServerUnavailable, Some(3)),
        (Reason::BadUserNameOrPassword, Some(4)),
        (Reason::NotAuthorized, Some(5)),
        (Reason::Banned, Some(5)),
        (Reason::MalformedPacket, None),
        (Reason::UnspecifiedError, None),
    ] {
        let ack = ConnAck { session_present: false, reason, properties: NONE };
        let expected = code.map_or(Vec::new(), |code| vec![0x20, 2, 0, code]);
        assert_eq!(written(V311, &Packet::ConnAck(ack)), expected, "{reason}");
    }
}

#[test]
fn a_connect_tells_its_version_even_when_it_is_malformed_further_on() {
    let of = |text: &str| {
        let body = packet(text)[2..].to_vec();
        connect_version(&Frame { header: 0x10, body: &body, size: body.len() + 2 })
    };
    assert_eq!(of("10 <MQTT> 04 03"), Ok(V311));
    assert_eq!(of("10 <MQTT> 05 FF"), Ok(V5));
    assert_eq!(of("10 <MQIsdp> 03 02 003C <c>"), Err(Malformed::OlderProtocol));
    assert_eq!(of("10 <MQTT> 03 02 003C <c>"), Err(Malformed::OlderProtocol));
    assert_eq!(of("10 <MQTT> 84 02 003C <c>"), Err(Malformed::OlderProtocol));
    assert_eq!(of("10 <MQTT> 06 02 003C <c>"), Err(Malformed::NewerProtocol));
    assert_eq!(of("10 <HTTP> 04 02 003C <c>"), Err(Malformed::ProtocolName));
}

#[test]
fn the_first_packet_must_be_a_connect() {
    let frame = |header| Frame { header, body: &[], size: 2 };
    assert_eq!(decode_connect(&frame(0xC0)), Err(Malformed::ConnectExpected));
    assert_eq!(decode(V311, &frame(0xF0)), Err(Malformed::PacketType));
    let bytes = packet("10 <MQTT> 05 02 003C [] <c>");
    let whole = Frame { header: 0x10, body: &bytes[2..], size: bytes.len() };
    assert_eq!(decode_connect(&whole), Ok(connect(V5)));
}

#[test]
fn subscriptions_are_iterated_in_their_order() {
    let bytes = packet("82 0001 [] <a> 2E <$share/g/b> 01");
    let Ok(Packet::Subscribe(subscribe)) = read(V5, &bytes) else { panic!() };
    let filters: Vec<_> =
        subscribe.subscriptions.iter().map(|s| (s.filter, s.options.byte())).collect();
    assert_eq!(filters, [("a", 0x2E), ("$share/g/b", 0x01)]);
}
