//! Real bytes: what the clients send, and what they read out of what comes.

use std::num::NonZeroU16;

use super::client::payload;
use super::oracle::{Arrival, Number, Offer, Wish};
use super::script::{Bye, Keep, Profile, Testament};
use crate::broker::wire::{
    self, Connect, Disconnect, FilterBuffer, Frame, Options, Packet, Properties, PropertyBuffer,
    Publish, Qos, Reason, RetainHandling, Subscribe, SubscriptionBuffer, Unsubscribe, Version,
    Will,
};

/// The topics of the scripts; anything else is somebody else's.
pub(super) const TOPICS: [&str; 8] = ["a/x", "a/y", "a/z", "b/x", "b/y", "s/v", "s/w", "t/v"];

/// A packet of the broker, as far as a client looks.
#[derive(Clone, Debug)]
pub(super) enum Got {
    ConnAck {
        present: bool,
        reason: Reason,
        receive_maximum: u16,
    },
    Publish(Arrival),
    /// A PUBLISH without payload: its topic is cleared.
    Cleared {
        qos: Qos,
        packet_id: u16,
    },
    PubAck(NonZeroU16, Reason),
    PubRec(NonZeroU16, Reason),
    PubRel(NonZeroU16),
    PubComp(NonZeroU16),
    /// SUBACK and UNSUBACK, of one filter.
    SubAck(NonZeroU16, u8),
    /// DISCONNECT.
    Closing,
    Ignored,
}

pub(super) fn bytes(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(version, packet, &mut bytes);
    bytes
}

pub(super) fn connect(
    client: usize,
    profile: Profile,
    clean_start: bool,
    will: Option<(Testament, Number)>,
) -> Vec<u8> {
    let mut properties = PropertyBuffer::new();
    properties.session_expiry_interval(profile.expiry_s).receive_maximum(profile.receive_maximum);
    let (id, text) = (format!("c{client}"), will.map(|(_, number)| number.to_string()));
    let mut delay = PropertyBuffer::new();
    let will = will.zip(text.as_ref()).map(|((testament, _), text)| {
        delay.will_delay_interval(testament.delay_s);
        Will {
            topic: testament.topic,
            payload: text.as_bytes(),
            qos: testament.qos,
            retain: testament.retain,
            properties: delay.as_properties(),
        }
    });
    let connect = Connect {
        version: profile.version,
        clean_start,
        keep_alive_s: 0,
        client_id: &id,
        will,
        username: None,
        password: None,
        properties: properties.as_properties(),
    };
    bytes(profile.version, &Packet::Connect(connect))
}

pub(super) fn publish(
    version: Version,
    offer: Offer,
    number: Number,
    packet_id: Option<NonZeroU16>,
    dup: bool,
) -> Vec<u8> {
    let mut properties = PropertyBuffer::new();
    if offer.expiry_s > 0 {
        properties.message_expiry_interval(offer.expiry_s);
    }
    let payload = payload(offer, number);
    let publish = Publish {
        dup,
        qos: offer.qos,
        retain: offer.keep != Keep::Not,
        topic: offer.topic,
        packet_id,
        properties: properties.as_properties(),
        payload: payload.as_bytes(),
    };
    bytes(version, &Packet::Publish(publish))
}

pub(super) fn subscribe(version: Version, wish: Wish, packet_id: NonZeroU16) -> Vec<u8> {
    let retain_handling = if wish.kept { RetainHandling::Send } else { RetainHandling::DoNotSend };
    let mut options = Options::at(wish.qos);
    if version == Version::V5 {
        options = Options { no_local: wish.no_local, retain_handling, ..options };
    }
    let mut filters = SubscriptionBuffer::default();
    filters.push(wish.filter, options).expect("a filter");
    let subscribe = Subscribe {
        packet_id,
        properties: Properties::NONE,
        subscriptions: filters.as_subscriptions(),
    };
    bytes(version, &Packet::Subscribe(subscribe))
}

pub(super) fn unsubscribe(version: Version, filter: &str, packet_id: NonZeroU16) -> Vec<u8> {
    let mut filters = FilterBuffer::default();
    filters.push(filter).expect("a filter");
    let filters = filters.as_filters();
    let unsubscribe = Unsubscribe { packet_id, properties: Properties::NONE, filters };
    bytes(version, &Packet::Unsubscribe(unsubscribe))
}

pub(super) fn disconnect(version: Version, bye: Bye) -> Vec<u8> {
    let mut properties = PropertyBuffer::new();
    if bye == Bye::Forget {
        properties.session_expiry_interval(0);
    }
    let reason = if bye == Bye::WithWill { Reason::DisconnectWithWill } else { Reason::Success };
    let disconnect = Disconnect { reason, properties: properties.as_properties() };
    bytes(version, &Packet::Disconnect(disconnect))
}

/// What a frame of the broker says.
pub(super) fn read(version: Version, frame: &Frame<'_>) -> Result<Got, String> {
    let packet = wire::decode(version, frame).map_err(|broken| format!("{broken:?}"))?;
    packet.from_server().map_err(|broken| format!("{broken:?}"))?;
    Ok(match packet {
        Packet::ConnAck(ack) => Got::ConnAck {
            present: ack.session_present,
            reason: ack.reason,
            receive_maximum: ack.properties.receive_maximum().unwrap_or(u16::MAX),
        },
        Packet::Publish(publish) => arrival(&publish)?,
        Packet::PubAck(ack) => Got::PubAck(ack.packet_id, ack.reason),
        Packet::PubRec(ack) => Got::PubRec(ack.packet_id, ack.reason),
        Packet::PubRel(ack) => Got::PubRel(ack.packet_id),
        Packet::PubComp(ack) => Got::PubComp(ack.packet_id),
        Packet::SubAck(ack) => {
            Got::SubAck(ack.packet_id, ack.codes.first().copied().unwrap_or(0x80))
        }
        Packet::UnsubAck(ack) => {
            Got::SubAck(ack.packet_id, ack.codes.first().copied().unwrap_or(0))
        }
        Packet::Disconnect(_) => Got::Closing,
        Packet::Connect(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Auth(_) => Got::Ignored,
    })
}

fn arrival(publish: &Publish<'_>) -> Result<Got, String> {
    let packet_id = publish.packet_id.map_or(0, NonZeroU16::get);
    if publish.payload.is_empty() {
        return Ok(Got::Cleared { qos: publish.qos, packet_id });
    }
    let text = std::str::from_utf8(publish.payload).map_err(|_| "not our payload")?;
    let topic = TOPICS.iter().find(|topic| **topic == publish.topic);
    Ok(Got::Publish(Arrival {
        number: text.parse().map_err(|_| format!("not our payload: {text}"))?,
        topic_is: topic.ok_or_else(|| format!("not our topic: {}", publish.topic))?,
        qos: publish.qos,
        retain: publish.retain,
        dup: publish.dup,
        packet_id,
    }))
}
