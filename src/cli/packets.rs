//! Between the client and the codec: packets out as bytes, packets in as owned facts.

use std::num::NonZeroU16;
use std::time::Duration;

use super::client::{Options, Refusal};
use crate::broker::wire::{
    Ack, Connect, Disconnect, Malformed, Options as Subscription, Packet, PacketType, Properties,
    PropertyBuffer, Publish, Reason, SubAck, Subscribe, SubscriptionBuffer, Version, encode,
    encode_within,
};
use crate::bus::{Message, Qos};

/// What a packet of the broker says.
pub(super) enum Heard {
    /// The answer to our CONNECT.
    Connected(Connected),
    /// A message (it is in the inbox).
    Published { qos: Qos, id: Option<NonZeroU16> },
    /// An answer, or a step of a QoS 2 exchange.
    Answer(Answer),
    /// The answer to a PINGREQ.
    Pong,
    /// The broker ends the connection.
    Closed(Refusal),
    /// Nothing this client has asked for.
    Other,
}

/// A CONNACK.
pub(super) struct Connected {
    pub(super) refusal: Option<Refusal>,
    pub(super) most_qos: Qos,
    pub(super) most_bytes: usize,
    /// What the broker wants in place of ours.
    pub(super) keep_alive: Option<Duration>,
}

/// A PUBACK and its like, a SUBACK.
pub(super) struct Answer {
    pub(super) packet: PacketType,
    pub(super) id: NonZeroU16,
    pub(super) refusal: Option<Refusal>,
    /// Which of the filters is refused.
    pub(super) place: usize,
}

impl Heard {
    pub(super) fn of(packet: &Packet<'_>) -> Heard {
        match packet {
            Packet::ConnAck(ack) => Heard::Connected(Connected {
                refusal: refusal(ack.reason, ack.properties),
                most_qos: match ack.properties.maximum_qos() {
                    Some(0) => Qos::AtMostOnce,
                    Some(1) => Qos::AtLeastOnce,
                    Some(_) | None => Qos::ExactlyOnce,
                },
                most_bytes: ack
                    .properties
                    .maximum_packet_size()
                    .map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
                keep_alive: ack
                    .properties
                    .server_keep_alive()
                    .map(|seconds| Duration::from_secs(seconds.into())),
            }),
            Packet::Publish(publish) => {
                Heard::Published { qos: publish.qos, id: publish.packet_id }
            }
            Packet::PubAck(ack)
            | Packet::PubRec(ack)
            | Packet::PubRel(ack)
            | Packet::PubComp(ack) => Heard::Answer(Answer {
                packet: packet.packet_type(),
                id: ack.packet_id,
                refusal: refusal(ack.reason, ack.properties),
                place: 0,
            }),
            Packet::SubAck(ack) | Packet::UnsubAck(ack) => Heard::Answer(Answer {
                packet: packet.packet_type(),
                id: ack.packet_id,
                refusal: refused(ack, packet.packet_type()),
                place: place(ack, packet.packet_type()).unwrap_or(0),
            }),
            Packet::PingResp => Heard::Pong,
            Packet::Disconnect(end) => Heard::Closed(farewell(end)),
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::Auth(_) => Heard::Other,
        }
    }
}

/// A DISCONNECT of the broker.
pub(super) fn farewell(end: &Disconnect<'_>) -> Refusal {
    Refusal { reason: end.reason, text: text(end.properties) }
}

fn text(properties: Properties<'_>) -> Option<String> {
    properties.reason_string().map(str::to_owned)
}

fn refusal(reason: Reason, properties: Properties<'_>) -> Option<Refusal> {
    reason.is_error().then(|| Refusal { reason, text: text(properties) })
}

fn place(ack: &SubAck<'_>, packet: PacketType) -> Option<usize> {
    ack.reasons(packet).position(Reason::is_error)
}

fn refused(ack: &SubAck<'_>, packet: PacketType) -> Option<Refusal> {
    let reason = ack.reasons(packet).nth(place(ack, packet)?)?;
    refusal(reason, ack.properties)
}

/// A delivery as a message.
pub(super) fn message(publish: &Publish<'_>) -> Message {
    let properties = publish.properties;
    Message {
        topic: publish.topic.to_owned(),
        payload: publish.payload.to_vec().into(),
        qos: publish.qos,
        retain: publish.retain,
        response_topic: properties.response_topic().map(str::to_owned),
        correlation_data: properties.correlation_data().map(|data| data.to_vec().into()),
        content_type: properties.content_type().map(str::to_owned),
        expiry_s: properties.message_expiry_interval(),
        user: properties.user_properties().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        ..Message::default()
    }
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(Version::V5, packet, &mut out);
    out
}

pub(super) fn connect(options: &Options) -> Vec<u8> {
    let keep_alive_s = u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX);
    bytes(&Packet::Connect(Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_s,
        client_id: "", // the broker names us: a command line that looks in is no presence
        will: None,
        username: options.login.as_ref().map(|(name, _)| name.as_str()),
        password: options.login.as_ref().map(|(_, password)| password.as_bytes()),
        properties: Properties::NONE,
    }))
}

pub(super) fn subscribe(id: NonZeroU16, filters: &[&str], qos: Qos) -> Result<Vec<u8>, Malformed> {
    let mut subscriptions = SubscriptionBuffer::default();
    for filter in filters {
        subscriptions.push(filter, Subscription::at(qos))?;
    }
    Ok(bytes(&Packet::Subscribe(Subscribe {
        packet_id: id,
        properties: Properties::NONE,
        subscriptions: subscriptions.as_subscriptions(),
    })))
}

/// `None` when it is larger than the broker takes.
pub(super) fn publish(
    message: &Message,
    qos: Qos,
    packet_id: Option<NonZeroU16>,
    most_bytes: usize,
) -> Option<Vec<u8>> {
    let mut properties = PropertyBuffer::new();
    if let Some(seconds) = message.expiry_s {
        properties.message_expiry_interval(seconds);
    }
    if let Some(kind) = &message.content_type {
        properties.content_type(kind);
    }
    if let Some(topic) = &message.response_topic {
        properties.response_topic(topic);
    }
    if let Some(data) = &message.correlation_data {
        properties.correlation_data(data);
    }
    for (name, value) in &message.user {
        properties.user_property(name, value);
    }
    let packet = Packet::Publish(Publish {
        dup: false,
        qos,
        retain: message.retain,
        topic: &message.topic,
        packet_id,
        properties: properties.as_properties(),
        payload: &message.payload,
    });
    let mut out = Vec::new();
    encode_within(Version::V5, &packet, most_bytes, &mut out).ok().map(|()| out)
}

/// A step of acknowledging: `of` is [`Packet::PubAck`] or its like.
pub(super) fn acknowledge(of: fn(Ack<'static>) -> Packet<'static>, id: NonZeroU16) -> Vec<u8> {
    bytes(&of(Ack::success(id)))
}

pub(super) fn ping() -> Vec<u8> {
    bytes(&Packet::PingReq)
}

pub(super) fn goodbye() -> Vec<u8> {
    bytes(&Packet::Disconnect(Disconnect { reason: Reason::Success, properties: Properties::NONE }))
}
