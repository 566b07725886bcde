//! What the bridge says to the cloud and hears from it: MQTT 5 as a client, over the codec of the
//! broker.

use std::num::NonZeroU16;

use crate::broker::wire::{
    self, Ack, Connect, Disconnect, Malformed, Options, Packet, PropertyBuffer, Publish, Reason,
    RetainHandling, Subscribe, SubscriptionBuffer, Version, Will,
};
use crate::bus::{Message, Qos};

/// Bytes of the largest packet the cloud may send.
pub const MAX_PACKET_BYTES: u32 = 1 << 20;

/// Messages the cloud may send before the first is acknowledged: commands, each waiting for its
/// record.
pub const RECEIVE_MAXIMUM: u16 = 16;

/// How long the cloud keeps our session while we are away: as long as the ledger remembers ids.
const SESSION_EXPIRY_S: u32 = 7 * 86_400;

/// A packet to the cloud.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// Opens the session.
    Connect(Hello),
    /// Asks for topics; the answer carries the same identifier.
    Subscribe(NonZeroU16, Vec<String>),
    /// A message; with an identifier it is to be acknowledged.
    Publish(Option<NonZeroU16>, Message),
    /// A message of the cloud is safe here, or refused with a reason.
    PubAck(NonZeroU16, Verdict),
    /// Is anybody there?
    Ping,
    /// The end, and why.
    Disconnect(Farewell),
}

/// Why we end a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The orderly end: no will.
    Orderly,
    /// The cloud sent more than [`RECEIVE_MAXIMUM`] messages that are not acknowledged.
    ReceiveMaximumExceeded,
}

/// What became of a message of the cloud.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is safe here.
    Taken,
    /// No rule asked for it.
    Unasked,
    /// Our broker refused it: MQTT 5 reason code and words.
    Refused(u8, String),
}

/// What a session is opened with.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// Client id.
    pub client_id: String,
    /// Seconds.
    pub keepalive_s: u16,
    /// Where the cloud says `offline` for us when we vanish.
    pub availability: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<crate::config::Secret>,
}

/// A packet from the cloud.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The session is open.
    Welcome(Welcome),
    /// The session is not opened: the reason, in words.
    Rejected(String),
    /// How many of the asked filters were refused.
    Subscribed(NonZeroU16, usize),
    /// A message; with an identifier it wants an acknowledgement.
    Publish(Option<NonZeroU16>, Box<Message>),
    /// A message is safe there.
    Acknowledged(NonZeroU16),
    /// A message is not wanted there: the reason, in words.
    Refused(NonZeroU16, String),
    /// Somebody is there.
    Pong,
    /// The cloud ends the session: the reason, in words.
    Goodbye(String),
}

/// What the cloud can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// It remembers us.
    pub session_present: bool,
    /// The most unacknowledged messages it takes.
    pub receive_maximum: u16,
    /// The largest packet it takes, in bytes.
    pub max_packet_bytes: u32,
    /// The keepalive it wants instead of ours, in seconds.
    pub keepalive_s: Option<u16>,
    /// Whether it keeps messages.
    pub retain: bool,
    /// Whether it acknowledges.
    pub acknowledges: bool,
}

impl Outgoing {
    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut properties = PropertyBuffer::new();
        match self {
            Outgoing::Connect(hello) => hello.encode(out),
            Outgoing::Subscribe(packet_id, filters) => subscribe(*packet_id, filters, out),
            Outgoing::Publish(packet_id, message) => {
                let publish = publish(*packet_id, message, &mut properties);
                wire::encode(Version::V5, &Packet::Publish(publish), out);
            }
            Outgoing::PubAck(packet_id, verdict) => {
                let mut ack = Ack::success(*packet_id);
                match verdict {
                    Verdict::Taken => {}
                    Verdict::Unasked => ack.reason = Reason::NoMatchingSubscribers,
                    Verdict::Refused(code, words) => {
                        ack.reason = Reason::of(*code, wire::PacketType::PubAck)
                            .unwrap_or(Reason::ImplementationSpecificError);
                        ack.properties = properties.reason_string(words).as_properties();
                    }
                }
                wire::encode(Version::V5, &Packet::PubAck(ack), out);
            }
            Outgoing::Ping => wire::encode(Version::V5, &Packet::PingReq, out),
            Outgoing::Disconnect(farewell) => {
                let reason = match farewell {
                    Farewell::Orderly => Reason::Success,
                    Farewell::ReceiveMaximumExceeded => Reason::ReceiveMaximumExceeded,
                };
                let end = Disconnect { reason, properties: Default::default() };
                wire::encode(Version::V5, &Packet::Disconnect(end), out);
            }
        }
    }
}

/// Bytes of a message as a packet with an identifier; `None` when no packet holds it, as with a topic
/// of 64 KiB. Not a large number then: where addresses have 32 bits it would be the limit of a cloud
/// that knows none.
pub fn publish_bytes(message: &Message) -> Option<u32> {
    let mut properties = PropertyBuffer::new();
    let publish = publish(Some(NonZeroU16::MIN), message, &mut properties);
    let bytes = u32::try_from(wire::publish_size(Version::V5, &publish)).ok();
    bytes.filter(|bytes| *bytes < u32::MAX)
}

fn publish<'m>(
    packet_id: Option<NonZeroU16>,
    message: &'m Message,
    properties: &'m mut PropertyBuffer,
) -> Publish<'m> {
    if let Some(seconds) = message.expiry_s {
        properties.message_expiry_interval(seconds);
    }
    if let Some(content_type) = &message.content_type {
        properties.content_type(content_type);
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
    Publish {
        dup: false,
        qos: if packet_id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce },
        retain: message.retain,
        topic: &message.topic,
        packet_id,
        properties: properties.as_properties(),
        payload: &message.payload,
    }
}

fn subscribe(packet_id: NonZeroU16, filters: &[String], out: &mut Vec<u8>) {
    let options = Options {
        qos: Qos::AtLeastOnce,
        no_local: true,
        // A retained command must be seen as one, so that it is refused instead of run.
        retain_as_published: true,
        retain_handling: RetainHandling::Send,
    };
    let mut buffer = SubscriptionBuffer::default();
    for filter in filters {
        let _ = buffer.push(filter, options); // the rules were checked with the configuration
    }
    let properties = Default::default();
    let subscriptions = buffer.as_subscriptions();
    let subscribe = Subscribe { packet_id, properties, subscriptions };
    wire::encode(Version::V5, &Packet::Subscribe(subscribe), out);
}

impl Hello {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut properties = PropertyBuffer::new();
        properties
            .session_expiry_interval(SESSION_EXPIRY_S)
            .receive_maximum(RECEIVE_MAXIMUM)
            .maximum_packet_size(MAX_PACKET_BYTES);
        let will = Will {
            topic: &self.availability,
            payload: OFFLINE.as_bytes(),
            qos: Qos::AtLeastOnce,
            retain: true,
            properties: Default::default(),
        };
        let connect = Connect {
            version: Version::V5,
            clean_start: false,
            keep_alive_s: self.keepalive_s,
            client_id: &self.client_id,
            will: Some(will),
            username: self.username.as_deref(),
            password: self.password.as_ref().map(|secret| secret.reveal().as_bytes()),
            properties: properties.as_properties(),
        };
        wire::encode(Version::V5, &Packet::Connect(connect), out);
    }
}

/// What stands on the availability topic while we are there.
pub const ONLINE: &str = "online";
/// What stands there while we are not.
pub const OFFLINE: &str = "offline";

/// The packet at the start of `bytes` and how many it takes; `None` when more are needed.
///
/// # Errors
/// The rule of MQTT that the cloud broke.
pub fn decode(bytes: &[u8]) -> Result<Option<(Incoming, usize)>, Malformed> {
    let Some(frame) = wire::frame(bytes, MAX_PACKET_BYTES as usize)? else { return Ok(None) };
    let incoming = match wire::decode(Version::V5, &frame)? {
        Packet::ConnAck(ack) if ack.reason.is_error() => {
            Incoming::Rejected(in_words(ack.reason, ack.properties.reason_string()))
        }
        Packet::ConnAck(ack) => Incoming::Welcome(Welcome {
            session_present: ack.session_present,
            receive_maximum: ack.properties.receive_maximum().unwrap_or(u16::MAX),
            max_packet_bytes: ack.properties.maximum_packet_size().unwrap_or(u32::MAX),
            keepalive_s: ack.properties.server_keep_alive(),
            retain: ack.properties.retain_available().unwrap_or(true),
            acknowledges: ack.properties.maximum_qos() != Some(0),
        }),
        Packet::SubAck(ack) => {
            Incoming::Subscribed(ack.packet_id, ack.codes.iter().filter(|c| **c >= 0x80).count())
        }
        Packet::Publish(publish) => Incoming::Publish(publish.packet_id, received(&publish)),
        Packet::PubAck(ack) if ack.reason.is_error() => {
            Incoming::Refused(ack.packet_id, in_words(ack.reason, ack.properties.reason_string()))
        }
        Packet::PubAck(ack) => Incoming::Acknowledged(ack.packet_id),
        Packet::PingResp => Incoming::Pong,
        Packet::Disconnect(end) => {
            Incoming::Goodbye(in_words(end.reason, end.properties.reason_string()))
        }
        // We ask for QoS 1 at most, never unsubscribe and never authenticate.
        Packet::PubRec(_)
        | Packet::PubRel(_)
        | Packet::PubComp(_)
        | Packet::UnsubAck(_)
        | Packet::Auth(_)
        | Packet::Connect(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::PingReq => return Err(Malformed::NotFromServer),
    };
    Ok(Some((incoming, frame.size)))
}

fn received(publish: &Publish<'_>) -> Box<Message> {
    let properties = publish.properties;
    let user = properties.user_properties();
    Box::new(Message {
        topic: publish.topic.to_string(),
        payload: bytes::Bytes::copy_from_slice(publish.payload),
        qos: publish.qos,
        retain: publish.retain,
        response_topic: properties.response_topic().map(Into::into),
        correlation_data: properties.correlation_data().map(bytes::Bytes::copy_from_slice),
        content_type: properties.content_type().map(Into::into),
        expiry_s: properties.message_expiry_interval(),
        user: user.map(|(name, value)| (name.into(), value.into())).collect(),
        audience: None,
    })
}

fn in_words(reason: Reason, comment: Option<&str>) -> String {
    match comment {
        Some(comment) => format!("{reason}: {comment}"),
        None => reason.to_string(),
    }
}
