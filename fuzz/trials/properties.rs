//! A property block in each place it can stand: what is taken reads the same by name, by iteration and
//! after being written again.
//!
//! The first byte of the input chooses the place.

use maestro::broker::wire::property::TABLE;
use maestro::broker::wire::{
    Frame, Packet, Properties, Property, PropertyBuffer, Value, Version, decode,
};

/// First byte, what stands before the block, what stands behind it.
const PLACES: [(u8, &[u8], &[u8]); 8] = [
    (0x10, b"\0\x04MQTT\x05\x02\0\0", b"\0\0"),
    (0x10, b"\0\x04MQTT\x05\x06\0\0\0\0\0", b"\0\x01w\0\0"),
    (0x20, b"\0\0", b""),
    (0x30, b"\0\x01t", b"payload"),
    (0x40, b"\0\x01\x80", b""),
    (0x82, b"\0\x01", b"\0\x01t\0"),
    (0xE0, b"\0", b""),
    (0xF0, b"\x18", b""),
];

pub(super) fn trial(input: &[u8]) {
    let Some((place, block)) = input.split_first() else { return };
    let (header, before, behind) = PLACES[usize::from(*place) % PLACES.len()];
    let Ok(size) = u16::try_from(block.len()) else { return };
    let mut body = before.to_vec();
    let mut left = size;
    loop {
        let seven = u8::try_from(left & 0x7F).unwrap();
        left >>= 7;
        body.push(if left > 0 { seven | 0x80 } else { seven });
        if left == 0 {
            break;
        }
    }
    body.extend(block);
    body.extend(behind);
    let frame = Frame { header, body: &body, size: body.len() + 2 };
    let Ok(packet) = decode(Version::V5, &frame) else { return };
    let properties = of(&packet);
    assert_eq!(properties.raw(), block);
    check(properties);
}

fn check(properties: Properties<'_>) {
    let mut seen = 0_u64;
    let mut again = PropertyBuffer::new();
    for (property, value) in properties.iter() {
        let row = TABLE.iter().find(|row| row.property == property).unwrap();
        if seen & 1 << property as u8 != 0 {
            assert!(matches!(property, Property::UserProperty | Property::SubscriptionIdentifier));
        }
        seen |= 1 << property as u8;
        match value {
            Value::Pair(name, value) => drop(again.user_property(name, value)),
            Value::Number(number) if property == Property::SubscriptionIdentifier => {
                again.subscription_identifier(number);
            }
            Value::Text(text) => assert!(!text.contains('\0'), "{}", row.name),
            Value::Number(_) | Value::Binary(_) => {}
        }
    }
    assert_eq!(
        again.as_properties().user_properties().count(),
        properties.user_properties().count()
    );
    assert!(
        again.as_properties().subscription_identifiers().eq(properties.subscription_identifiers())
    );
    assert_eq!(properties.is_empty(), properties.iter().next().is_none());
    assert!(properties.receive_maximum() != Some(0));
    assert!(properties.topic_alias() != Some(0));
    assert!(properties.maximum_packet_size() != Some(0));
    let has = |property: Property| seen & 1 << property as u8 != 0;
    assert_eq!(properties.reason_string().is_some(), has(Property::ReasonString));
    assert_eq!(properties.correlation_data().is_some(), has(Property::CorrelationData));
    assert_eq!(properties.server_keep_alive().is_some(), has(Property::ServerKeepAlive));
}

fn of<'a>(packet: &Packet<'a>) -> Properties<'a> {
    match packet {
        Packet::Connect(connect) => connect.will.map_or(connect.properties, |will| will.properties),
        Packet::ConnAck(ack) => ack.properties,
        Packet::Publish(publish) => publish.properties,
        Packet::PubAck(ack) => ack.properties,
        Packet::Subscribe(subscribe) => subscribe.properties,
        Packet::Disconnect(disconnect) => disconnect.properties,
        Packet::Auth(auth) => auth.properties,
        Packet::PubRec(_)
        | Packet::PubRel(_)
        | Packet::PubComp(_)
        | Packet::SubAck(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp => unreachable!("not among the places"),
    }
}
