//! Every property on every packet: Table 2-4 of MQTT 5.0, written down once more from the standard, so
//! that the codec's own table is not its only witness.

use maestro::broker::wire::{Packet, Properties, PropertyBuffer, Version};

use crate::bytes::{packet, read, written};

/// Where a property can stand, in the words of Table 2-4.
const PLACES: [&str; 14] = [
    "CONNECT",
    "Will",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "DISCONNECT",
    "AUTH",
];
const EVERYWHERE: &str = "CONNECT CONNACK PUBLISH Will PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH";
const ANSWERS: &str = "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH";

struct Row {
    identifier: u8,
    /// The value as bytes.
    value: &'static str,
    places: &'static str,
    write: fn(&mut PropertyBuffer) -> &mut PropertyBuffer,
    read: fn(Properties<'_>) -> bool,
}

macro_rules! row {
    ($identifier:literal, $value:literal, $places:expr, $name:ident: $typed:expr) => {
        Row {
            identifier: $identifier,
            value: $value,
            places: $places,
            write: |buffer| buffer.$name($typed),
            read: |properties| properties.$name() == Some($typed),
        }
    };
}

const TABLE: &[Row] = &[
    row!(0x01, "01", "PUBLISH Will", payload_format_indicator: 1),
    row!(0x02, "01020304", "PUBLISH Will", message_expiry_interval: 0x0102_0304),
    row!(0x03, "<text/plain>", "PUBLISH Will", content_type: "text/plain"),
    row!(0x08, "<reply/to>", "PUBLISH Will", response_topic: "reply/to"),
    row!(0x09, "0003 00FF80", "PUBLISH Will", correlation_data: &[0, 0xFF, 0x80]),
    Row {
        identifier: 0x0B,
        value: "80 80 01",
        places: "PUBLISH SUBSCRIBE",
        write: |buffer| buffer.subscription_identifier(16_384),
        read: |properties| properties.subscription_identifiers().eq([16_384]),
    },
    row!(0x11, "FFFFFFFF", "CONNECT CONNACK DISCONNECT", session_expiry_interval: u32::MAX),
    row!(0x12, "<made-up>", "CONNACK", assigned_client_identifier: "made-up"),
    row!(0x13, "003C", "CONNACK", server_keep_alive: 60),
    row!(0x15, "<SCRAM-SHA-1>", "CONNECT CONNACK AUTH", authentication_method: "SCRAM-SHA-1"),
    row!(0x16, "0002 0001", "CONNECT CONNACK AUTH", authentication_data: &[0, 1]),
    row!(0x17, "00", "CONNECT", request_problem_information: false),
    row!(0x18, "00000000", "Will", will_delay_interval: 0),
    row!(0x19, "01", "CONNECT", request_response_information: true),
    row!(0x1A, "<mine/>", "CONNACK", response_information: "mine/"),
    row!(0x1C, "<other:1883>", "CONNACK DISCONNECT", server_reference: "other:1883"),
    row!(0x1F, "<why>", ANSWERS, reason_string: "why"),
    row!(0x21, "0014", "CONNECT CONNACK", receive_maximum: 20),
    row!(0x22, "0000", "CONNECT CONNACK", topic_alias_maximum: 0),
    row!(0x23, "FFFF", "PUBLISH", topic_alias: 0xFFFF),
    row!(0x24, "01", "CONNACK", maximum_qos: 1),
    row!(0x25, "00", "CONNACK", retain_available: false),
    Row {
        identifier: 0x26,
        value: "<name> <>",
        places: EVERYWHERE,
        write: |buffer| buffer.user_property("name", ""),
        read: |properties| properties.user_properties().eq([("name", "")]),
    },
    row!(0x27, "00000001", "CONNECT CONNACK", maximum_packet_size: 1),
    row!(0x28, "00", "CONNACK", wildcard_subscription_available: false),
    row!(0x29, "01", "CONNACK", subscription_identifier_available: true),
    row!(0x2A, "00", "CONNACK", shared_subscription_available: false),
];

/// The smallest packet with a property block there.
fn with(place: &str, block: &str) -> Vec<u8> {
    packet(&match place {
        "CONNECT" => format!("10 <MQTT> 05 02 0000 [{block}] <>"),
        "Will" => format!("10 <MQTT> 05 06 0000 [] <> [{block}] <t> <p>"),
        "CONNACK" => format!("20 00 00 [{block}]"),
        "PUBLISH" => format!("30 <t> [{block}] 'p'"),
        "PUBACK" => format!("40 0001 00 [{block}]"),
        "PUBREC" => format!("50 0001 00 [{block}]"),
        "PUBREL" => format!("62 0001 00 [{block}]"),
        "PUBCOMP" => format!("70 0001 00 [{block}]"),
        "SUBSCRIBE" => format!("82 0001 [{block}] <t> 00"),
        "SUBACK" => format!("90 0001 [{block}] 00"),
        "UNSUBSCRIBE" => format!("A2 0001 [{block}] <t>"),
        "UNSUBACK" => format!("B0 0001 [{block}] 00"),
        "DISCONNECT" => format!("E0 00 [{block}]"),
        "AUTH" => format!("F0 18 [{block}]"),
        _ => unreachable!("{place}"),
    })
}

/// What must stand beside a property for the packet to be right.
fn beside(place: &str, identifier: u8) -> &'static str {
    match (place, identifier) {
        ("AUTH", 0x15) => "",
        ("AUTH", _) | ("CONNECT", 0x16) => "15 <m>",
        _ => "",
    }
}

fn of<'a>(packet: &Packet<'a>, place: &str) -> Properties<'a> {
    match packet {
        Packet::Connect(connect) => match (place, &connect.will) {
            ("Will", Some(will)) => will.properties,
            _ => connect.properties,
        },
        Packet::ConnAck(ack) => ack.properties,
        Packet::Publish(publish) => publish.properties,
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack.properties
        }
        Packet::Subscribe(subscribe) => subscribe.properties,
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => ack.properties,
        Packet::Unsubscribe(unsubscribe) => unsubscribe.properties,
        Packet::Disconnect(disconnect) => disconnect.properties,
        Packet::Auth(auth) => auth.properties,
        Packet::PingReq | Packet::PingResp => Properties::NONE,
    }
}

fn pairs() -> impl Iterator<Item = (&'static Row, &'static str, bool)> {
    TABLE.iter().flat_map(|row| {
        PLACES
            .iter()
            .map(move |&place| (row, place, row.places.split(' ').any(|allowed| allowed == place)))
    })
}

/// Each property in each place, allowed or not.
pub(crate) fn packets() -> impl Iterator<Item = Vec<u8>> {
    pairs().map(|(row, place, _)| {
        let beside = beside(place, row.identifier);
        with(place, &format!("{:02X} {} {beside}", row.identifier, row.value))
    })
}

#[test]
fn every_property_of_the_standard_is_tried_on_every_packet() {
    assert_eq!(TABLE.len(), 27);
    assert_eq!(pairs().count(), 27 * 14);
    assert_eq!(pairs().filter(|(.., allowed)| *allowed).count(), 64);
}

#[test]
fn a_property_is_read_and_written_byte_for_byte_where_the_standard_allows_it() {
    for (row, place, _) in pairs().filter(|(.., allowed)| *allowed) {
        let block =
            format!("{:02X} {} {}", row.identifier, row.value, beside(place, row.identifier));
        let bytes = with(place, &block);
        let packet = read(Version::V5, &bytes)
            .unwrap_or_else(|refused| panic!("{:#04x} in {place}: {refused}", row.identifier));
        assert_eq!(written(Version::V5, &packet), bytes, "{:#04x} in {place}", row.identifier);
        assert!((row.read)(of(&packet, place)), "{:#04x} in {place}", row.identifier);
    }
}

#[test]
fn a_property_is_written_as_the_standard_shows_it() {
    for row in TABLE {
        let mut buffer = PropertyBuffer::new();
        (row.write)(&mut buffer);
        let expected = crate::bytes::raw(&format!("{:02X} {}", row.identifier, row.value));
        assert_eq!(buffer.as_properties().raw(), expected, "{:#04x}", row.identifier);
        assert!((row.read)(buffer.as_properties()), "{:#04x}", row.identifier);
    }
}

#[test]
fn a_property_is_malformed_where_the_standard_does_not_allow_it() {
    for (row, place, _) in pairs().filter(|(.., allowed)| !*allowed) {
        let block =
            format!("{} {:02X} {}", beside(place, row.identifier), row.identifier, row.value);
        let bytes = with(place, &block);
        let refused = read(Version::V5, &bytes).expect_err(place);
        assert_eq!(refused.reason() as u8, 0x81, "{:#04x} in {place}", row.identifier);
        assert_eq!(refused.clause(Version::V5), "2.2.2.2", "{:#04x} in {place}", row.identifier);
    }
}

#[test]
fn a_property_twice_is_a_protocol_error_but_for_user_properties_and_published_identifiers() {
    for (row, place, _) in pairs().filter(|(.., allowed)| *allowed) {
        let block = format!(
            "{0:02X} {1} {2} {0:02X} {1}",
            row.identifier,
            row.value,
            beside(place, row.identifier)
        );
        let bytes = with(place, &block);
        let may_repeat = row.identifier == 0x26 || (row.identifier == 0x0B && place == "PUBLISH");
        match read(Version::V5, &bytes) {
            Ok(packet) => {
                assert!(may_repeat, "{:#04x} twice in {place}", row.identifier);
                assert_eq!(written(Version::V5, &packet), bytes);
            }
            Err(refused) => {
                assert!(!may_repeat, "{:#04x} twice in {place}: {refused}", row.identifier);
                assert_eq!(refused.reason() as u8, 0x82, "{:#04x} in {place}", row.identifier);
            }
        }
    }
}

#[test]
fn an_identifier_that_is_none_is_malformed_everywhere() {
    let known: Vec<u8> = TABLE.iter().map(|row| row.identifier).collect();
    for identifier in (0..0x80).filter(|identifier| !known.contains(identifier)) {
        for place in PLACES {
            let bytes = with(place, &format!("{identifier:02X} 00000000"));
            let refused = read(Version::V5, &bytes).expect_err(place);
            assert_eq!(refused.reason() as u8, 0x81);
            assert_eq!(refused.clause(Version::V5), "2.2.2.2");
        }
    }
}

#[test]
fn a_property_cut_off_at_any_byte_is_malformed() {
    for (row, place, _) in pairs().filter(|(.., allowed)| *allowed) {
        let whole = crate::bytes::raw(&format!("{:02X} {}", row.identifier, row.value));
        for cut in 1..whole.len() {
            let mut block = String::from(beside(place, row.identifier));
            whole[..cut].iter().for_each(|byte| block.push_str(&format!(" {byte:02X}")));
            assert!(read(Version::V5, &with(place, &block)).is_err(), "{block} in {place}");
        }
    }
}

#[test]
fn what_a_server_sends_on_is_copied_as_it_came_and_in_its_order() {
    let bytes = packet(
        "32 <t> 0001 [26 <b> <2> 03 <text> 02 0000000A 26 <a> <1> 01 01 23 0001 09 0001 FF 08 <r> 26 <b> <3>] 'p'",
    );
    let Ok(Packet::Publish(publish)) = read(Version::V5, &bytes) else { panic!() };
    let mut buffer = PropertyBuffer::new();
    buffer.forward(publish.properties);
    assert_eq!(
        buffer.as_properties().raw(),
        crate::bytes::raw("26 <b> <2> 03 <text> 26 <a> <1> 01 01 09 0001 FF 08 <r> 26 <b> <3>"),
    );
}

#[test]
fn what_cannot_be_a_string_of_mqtt_is_left_out_but_a_reason_is_mended() {
    let long = "é".repeat(40_000);
    let mut buffer = PropertyBuffer::new();
    buffer.user_property("a\0b", "").user_property("a", &long).content_type("\0");
    buffer.correlation_data(&[0; 65_536]);
    assert!(buffer.as_properties().is_empty());
    buffer.reason_string("key \0 is not known");
    assert_eq!(buffer.as_properties().reason_string(), Some("key \u{FFFD} is not known"));
    buffer.clear().reason_string(&long);
    assert_eq!(buffer.as_properties().reason_string().map(str::len), Some(65_534));
}
