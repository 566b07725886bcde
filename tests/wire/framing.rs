//! Where one packet ends and the next begins, and how early a bad one is refused.

use maestro::broker::wire::{
    Ack, Disconnect, Malformed, Packet, Properties, Publish, Reason, Version, encode,
    encode_within, frame, publish_size, size,
};
use maestro::bus::Qos;

use crate::bytes::{packet, properties, raw, read, written};

#[test]
fn a_packet_in_pieces_is_waited_for() {
    let bytes = packet("32 <a/b> 0001 [] 'payload'");
    for end in 0..bytes.len() {
        assert_eq!(frame(&bytes[..end], 100), Ok(None), "{end}");
    }
    let whole = frame(&bytes, 100).unwrap().unwrap();
    assert_eq!((whole.header, whole.size, whole.body), (0x32, bytes.len(), &bytes[2..]));
}

#[test]
fn what_follows_a_packet_is_left_alone() {
    let mut bytes = raw("C0 00");
    bytes.extend(raw("D0 00 FF"));
    assert_eq!(frame(&bytes, 100).unwrap().unwrap().size, 2);
    assert_eq!(frame(&bytes[2..], 100).unwrap().unwrap().header, 0xD0);
}

#[test]
fn a_bad_first_byte_is_refused_before_the_second_comes() {
    for header in 0..=255_u8 {
        let good = matches!(header, 0x30..=0x35 | 0x3A..=0x3D)
            || [0x10, 0x20, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0]
                .contains(&header);
        assert_eq!(frame(&[header], 100).is_ok(), good, "{header:#04x}");
    }
}

#[test]
fn a_packet_that_is_too_large_is_refused_with_its_length() {
    assert_eq!(frame(&raw("30 62"), 100), Ok(None));
    assert_eq!(frame(&raw("30 63"), 100), Err(Malformed::PacketTooLarge));
    assert_eq!(frame(&raw("30 FF FF FF 7F"), 100), Err(Malformed::PacketTooLarge));
    assert_eq!(frame(&raw("30 FF FF FF 7F"), usize::MAX), Ok(None));
    assert_eq!(frame(&raw("30 FF FF FF 7F"), 268_435_460), Ok(None));
    assert_eq!(frame(&raw("30 FF FF FF 7F"), 268_435_459), Err(Malformed::PacketTooLarge));
}

#[test]
fn lengths_change_their_size_where_the_standard_says() {
    for (remaining, bytes) in [
        (127, "7F"),
        (128, "80 01"),
        (16_383, "FF 7F"),
        (16_384, "80 80 01"),
        (2_097_151, "FF FF 7F"),
        (2_097_152, "80 80 80 01"),
    ] {
        let payload = vec![0; remaining - 3];
        let publish = Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: "t",
            packet_id: None,
            properties: Properties::NONE,
            payload: &payload,
        };
        let written = written(Version::V311, &Packet::Publish(publish));
        let length = raw(bytes);
        assert_eq!(written[1..=length.len()], length, "{remaining}");
        assert_eq!(written.len(), 1 + length.len() + remaining);
        assert_eq!(publish_size(Version::V311, &publish), written.len());
        assert_eq!(frame(&written, usize::MAX).unwrap().unwrap().size, written.len());
    }
}

#[test]
fn what_a_version_cannot_say_is_not_written() {
    let id = std::num::NonZeroU16::MIN;
    let publish = Publish {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: "t",
        packet_id: None,
        properties: Properties::NONE,
        payload: b"",
    };
    let long = "x".repeat(65_536);
    let mut out = vec![1];
    for packet in [
        Packet::Publish(publish),
        Packet::Publish(Publish { topic: &long, packet_id: Some(id), ..publish }),
    ] {
        encode(Version::V5, &packet, &mut out);
        assert_eq!(size(Version::V5, &packet), usize::MAX);
    }
    let auth = maestro::broker::wire::Auth {
        reason: Reason::ContinueAuthentication,
        properties: properties(|p| p.authentication_method("m")),
    };
    encode(Version::V311, &Packet::Auth(auth), &mut out);
    assert_eq!(out, [1]);
}

#[test]
fn comments_are_left_out_of_a_packet_that_would_be_too_large() {
    let ack = Ack {
        packet_id: std::num::NonZeroU16::MIN,
        reason: Reason::NotAuthorized,
        properties: properties(|p| p.reason_string("not for you").user_property("a", "b")),
    };
    let whole = size(Version::V5, &Packet::PubAck(ack));
    let mut out = Vec::new();
    encode_within(Version::V5, &Packet::PubAck(ack), whole, &mut out).unwrap();
    assert_eq!(out.len(), whole);
    out.clear();
    encode_within(Version::V5, &Packet::PubAck(ack), whole - 1, &mut out).unwrap();
    assert_eq!(out, packet("40 0001 87 []"));
    out.clear();
    assert!(encode_within(Version::V5, &Packet::PubAck(ack), 5, &mut out).is_err());
    assert!(out.is_empty());

    let disconnect = Disconnect {
        reason: Reason::UseAnotherServer,
        properties: properties(|p| p.reason_string("moved").server_reference("b:1")),
    };
    encode_within(Version::V5, &Packet::Disconnect(disconnect), 12, &mut out).unwrap();
    assert_eq!(out, packet("E0 9C [1C <b:1>]"));
}

#[test]
fn comments_are_left_out_of_every_kind_of_packet_that_has_them() {
    for (bytes, short) in [
        ("20 00 00 [1F <why> 21 0010 26 <a> <b>]", "20 00 00 [21 0010]"),
        ("40 0001 87 [1F <why>]", "40 0001 87 []"),
        ("40 0001 87 [26 <a> <b>]", "40 0001 87 []"),
        ("50 0001 97 [1F <why> 26 <a> <b>]", "50 0001 97 []"),
        ("62 0001 92 [1F <why> 26 <a> <b>]", "62 0001 92 []"),
        ("70 0001 92 [1F <why> 26 <a> <b>]", "70 0001 92 []"),
        ("90 0001 [1F <why> 26 <a> <b>] 00 87", "90 0001 [] 00 87"),
        ("B0 0001 [1F <why> 26 <a> <b>] 00 11", "B0 0001 [] 00 11"),
        ("E0 8B [1F <why> 26 <a> <b>]", "E0 8B []"),
        ("F0 18 [15 <m> 1F <why> 26 <a> <b>]", "F0 18 [15 <m>]"),
    ] {
        let whole = packet(bytes);
        let read = read(Version::V5, &whole).unwrap();
        let mut out = Vec::new();
        encode_within(Version::V5, &read, whole.len(), &mut out).unwrap();
        assert_eq!(out, whole, "{bytes}");
        out.clear();
        encode_within(Version::V5, &read, whole.len() - 1, &mut out).unwrap();
        assert_eq!(out, packet(short), "{bytes}");
    }
}

#[test]
fn a_publish_is_sent_whole_or_not_at_all() {
    let bytes = packet("30 <t> [26 <a> <b>] 'p'");
    let publish = read(Version::V5, &bytes).unwrap();
    let mut out = Vec::new();
    assert!(encode_within(Version::V5, &publish, bytes.len() - 1, &mut out).is_err());
    encode_within(Version::V5, &publish, bytes.len(), &mut out).unwrap();
    assert_eq!(out, bytes);
}

#[test]
fn a_megabyte_of_the_smallest_parts_is_read_in_one_pass() {
    // In a codec that looks back at every part these would take hours.
    let user = packet(&format!("30 <t> [{}]", "26 <> <>".repeat(200_000)));
    let Ok(Packet::Publish(publish)) = read(Version::V5, &user) else { panic!() };
    assert_eq!(publish.properties.user_properties().count(), 200_000);
    assert_eq!(publish.properties.content_type(), None);
    assert_eq!(written(Version::V5, &Packet::Publish(publish)), user);

    let filters = packet(&format!("82 0001 [] {}", "<a> 00".repeat(250_000)));
    let Ok(Packet::Subscribe(subscribe)) = read(Version::V5, &filters) else { panic!() };
    assert_eq!(subscribe.subscriptions.iter().count(), 250_000);

    let slashes = "/".repeat(65_535);
    let deep = packet(&format!("A2 0001 [] <{slashes}>"));
    assert!(read(Version::V5, &deep).is_ok());
}
