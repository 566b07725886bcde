//! All packets: decoding by type, encoding.

use super::{
    Ack, Auth, ConnAck, Connect, Disconnect, Frame, Malformed, PacketType, Properties,
    PropertyBuffer, Publish, SubAck, Subscribe, Unsubscribe, Version,
    read::Cursor,
    write::{Sink, Size, variable_size},
};

/// One packet, borrowing from the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard's names")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(SubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

/// The packet in a frame. A CONNECT tells its own version.
///
/// # Errors
/// The rule it breaks.
pub fn decode<'a>(version: Version, frame: &Frame<'a>) -> Result<Packet<'a>, Malformed> {
    let body = Cursor::new(frame.body);
    let packet_type = PacketType::of(frame.header)?;
    Ok(match packet_type {
        PacketType::Publish => Packet::Publish(Publish::decode(version, frame.header, body)?),
        PacketType::Connect => Packet::Connect(Connect::decode(body)?),
        PacketType::ConnAck => Packet::ConnAck(ConnAck::decode(version, body)?),
        PacketType::PubAck => Packet::PubAck(Ack::decode(version, packet_type, body)?),
        PacketType::PubRec => Packet::PubRec(Ack::decode(version, packet_type, body)?),
        PacketType::PubRel => Packet::PubRel(Ack::decode(version, packet_type, body)?),
        PacketType::PubComp => Packet::PubComp(Ack::decode(version, packet_type, body)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(version, body)?),
        PacketType::SubAck => Packet::SubAck(SubAck::decode(version, packet_type, body)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(version, body)?),
        PacketType::UnsubAck => Packet::UnsubAck(SubAck::decode(version, packet_type, body)?),
        PacketType::PingReq => body.finish().map(|()| Packet::PingReq)?,
        PacketType::PingResp => body.finish().map(|()| Packet::PingResp)?,
        PacketType::Disconnect => Packet::Disconnect(Disconnect::decode(version, body)?),
        PacketType::Auth => Packet::Auth(Auth::decode(version, body)?),
    })
}

/// Appends a packet. Nothing is appended when the version cannot say it: a string or a payload beyond
/// MQTT's sizes, QoS without a packet identifier, an AUTH in 3.1.1, a CONNACK whose reason 3.1.1 has no
/// return code for (it wants the connection closed without one). In 3.1.1 properties and reasons are
/// left out. A CONNECT is written in its own version.
pub fn encode(version: Version, packet: &Packet<'_>, out: &mut Vec<u8>) {
    let Some(remaining) = packet.remaining(version) else { return };
    out.reserve(5 + remaining);
    out.push(packet.header());
    out.variable(remaining);
    packet.body(version, out);
}

/// The packet would be larger than its receiver takes; nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet is larger than its receiver takes")]
pub struct TooLarge;

/// Appends a packet of at most `max_size` bytes: without reason string and user properties when it
/// needs that (MQTT-3.2.2-19, MQTT-3.4.2-2, -3 and their like). A PUBLISH or a CONNECT is sent whole
/// or not at all (MQTT-3.1.2-25).
///
/// # Errors
/// When it is still too large, or the version cannot say it.
pub fn encode_within(
    version: Version,
    packet: &Packet<'_>,
    max_size: usize,
    out: &mut Vec<u8>,
) -> Result<(), TooLarge> {
    if size(version, packet) <= max_size {
        encode(version, packet, out);
        return Ok(());
    }
    let mut packet = *packet;
    let mut short = PropertyBuffer::new();
    let properties = packet.comments().ok_or(TooLarge)?;
    short.without_comments(*properties);
    *properties = short.as_properties();
    if size(version, &packet) > max_size {
        return Err(TooLarge);
    }
    encode(version, &packet, out);
    Ok(())
}

/// Bytes of the whole packet; `usize::MAX` when [`encode`] would append nothing.
pub fn size(version: Version, packet: &Packet<'_>) -> usize {
    whole(packet.remaining(version))
}

/// Bytes of the whole PUBLISH; `usize::MAX` when [`encode`] would append nothing.
pub fn publish_size(version: Version, publish: &Publish<'_>) -> usize {
    let mut size = Size::default();
    publish.encode(version, &mut size);
    whole(size.remaining())
}

fn whole(remaining: Option<usize>) -> usize {
    remaining.map_or(usize::MAX, |remaining| 1 + variable_size(remaining) + remaining)
}

impl<'a> Packet<'a> {
    /// The type.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::ConnAck(_) => PacketType::ConnAck,
            Packet::Publish(_) => PacketType::Publish,
            Packet::PubAck(_) => PacketType::PubAck,
            Packet::PubRec(_) => PacketType::PubRec,
            Packet::PubRel(_) => PacketType::PubRel,
            Packet::PubComp(_) => PacketType::PubComp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::SubAck(_) => PacketType::SubAck,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::UnsubAck(_) => PacketType::UnsubAck,
            Packet::PingReq => PacketType::PingReq,
            Packet::PingResp => PacketType::PingResp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }

    fn header(&self) -> u8 {
        let flags = if let Packet::Publish(publish) = self { publish.flags() } else { 0 };
        self.packet_type().header() | flags
    }

    fn remaining(&self, version: Version) -> Option<usize> {
        let mut size = Size::default();
        self.body(version, &mut size);
        size.remaining()
    }

    #[inline]
    fn body(&self, version: Version, out: &mut impl Sink) {
        match self {
            Packet::Publish(publish) => publish.encode(version, out),
            Packet::Connect(connect) => connect.encode(out),
            Packet::ConnAck(ack) => ack.encode(version, out),
            Packet::PubAck(ack)
            | Packet::PubRec(ack)
            | Packet::PubRel(ack)
            | Packet::PubComp(ack) => ack.encode(version, out),
            Packet::Subscribe(subscribe) => subscribe.encode(version, out),
            Packet::SubAck(ack) | Packet::UnsubAck(ack) => {
                ack.encode(version, self.packet_type(), out);
            }
            Packet::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
            Packet::PingReq | Packet::PingResp => {}
            Packet::Disconnect(disconnect) => disconnect.encode(version, out),
            Packet::Auth(auth) => auth.encode(version, out),
        }
    }

    /// The properties among which the comments for people may be left out.
    fn comments(&mut self) -> Option<&mut Properties<'a>> {
        match self {
            Packet::ConnAck(ack) => Some(&mut ack.properties),
            Packet::PubAck(ack)
            | Packet::PubRec(ack)
            | Packet::PubRel(ack)
            | Packet::PubComp(ack) => Some(&mut ack.properties),
            Packet::SubAck(ack) | Packet::UnsubAck(ack) => Some(&mut ack.properties),
            Packet::Disconnect(disconnect) => Some(&mut disconnect.properties),
            Packet::Auth(auth) => Some(&mut auth.properties),
            Packet::Publish(_)
            | Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::PingResp => None,
        }
    }
}
