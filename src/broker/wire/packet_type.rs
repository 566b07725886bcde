//! The fifteen packet types, and sets of them for the two tables.

use super::Malformed;

/// MQTT control packet type (5.0 §2.1.2), the high half of the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the standard's names")]
pub enum PacketType {
    Connect = 1,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    PingReq,
    PingResp,
    Disconnect,
    Auth,
}

impl PacketType {
    /// Every type, in the order of the standard.
    pub const ALL: [PacketType; 15] = {
        use PacketType::*;
        [
            Connect,
            ConnAck,
            Publish,
            PubAck,
            PubRec,
            PubRel,
            PubComp,
            Subscribe,
            SubAck,
            Unsubscribe,
            UnsubAck,
            PingReq,
            PingResp,
            Disconnect,
            Auth,
        ]
    };

    /// The type and the flags of a first byte.
    ///
    /// # Errors
    /// When the type is reserved or a flag is not what the type wants.
    pub fn of(header: u8) -> Result<PacketType, Malformed> {
        let index = usize::from(header >> 4).checked_sub(1).ok_or(Malformed::PacketType)?;
        let packet_type = *PacketType::ALL.get(index).ok_or(Malformed::PacketType)?;
        if packet_type == PacketType::Publish {
            return match header & 0b1110 {
                0b0110 | 0b1110 => Err(Malformed::PublishQos),
                0b1000 => Err(Malformed::PublishDup),
                _ => Ok(packet_type),
            };
        }
        if header == packet_type.header() {
            Ok(packet_type)
        } else {
            Err(packet_type.wrong_flags())
        }
    }

    /// The first byte; of a PUBLISH, without its flags.
    pub const fn header(self) -> u8 {
        let flags = match self {
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
            PacketType::Connect
            | PacketType::ConnAck
            | PacketType::Publish
            | PacketType::PubAck
            | PacketType::PubRec
            | PacketType::PubComp
            | PacketType::SubAck
            | PacketType::UnsubAck
            | PacketType::PingReq
            | PacketType::PingResp
            | PacketType::Disconnect
            | PacketType::Auth => 0,
        };
        (self as u8) << 4 | flags
    }

    const fn wrong_flags(self) -> Malformed {
        match self {
            PacketType::PubRel => Malformed::PubRelFlags,
            PacketType::Subscribe => Malformed::SubscribeFlags,
            PacketType::Unsubscribe => Malformed::UnsubscribeFlags,
            PacketType::Disconnect => Malformed::DisconnectFlags,
            PacketType::Auth => Malformed::AuthFlags,
            PacketType::Connect
            | PacketType::ConnAck
            | PacketType::Publish
            | PacketType::PubAck
            | PacketType::PubRec
            | PacketType::PubComp
            | PacketType::SubAck
            | PacketType::UnsubAck
            | PacketType::PingReq
            | PacketType::PingResp => Malformed::HeaderFlags,
        }
    }
}

/// Places where a property or a reason code may stand: packet types, and the will inside a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places(u16);

#[expect(missing_docs, reason = "the standard's names")]
impl Places {
    pub const NONE: Places = Places(0);
    /// The will properties: a place of their own, though they travel in a CONNECT.
    pub const WILL: Places = Places(1);
    pub const CONNECT: Places = Places::packet(PacketType::Connect);
    pub const CONNACK: Places = Places::packet(PacketType::ConnAck);
    pub const PUBLISH: Places = Places::packet(PacketType::Publish);
    pub const PUBACK: Places = Places::packet(PacketType::PubAck);
    pub const PUBREC: Places = Places::packet(PacketType::PubRec);
    pub const PUBREL: Places = Places::packet(PacketType::PubRel);
    pub const PUBCOMP: Places = Places::packet(PacketType::PubComp);
    pub const SUBSCRIBE: Places = Places::packet(PacketType::Subscribe);
    pub const SUBACK: Places = Places::packet(PacketType::SubAck);
    pub const UNSUBSCRIBE: Places = Places::packet(PacketType::Unsubscribe);
    pub const UNSUBACK: Places = Places::packet(PacketType::UnsubAck);
    pub const DISCONNECT: Places = Places::packet(PacketType::Disconnect);
    pub const AUTH: Places = Places::packet(PacketType::Auth);
    pub const ALL: Places = Places(u16::MAX);

    /// The one packet.
    pub const fn packet(packet_type: PacketType) -> Places {
        Places(1 << packet_type as u16)
    }
    /// All of these.
    pub const fn any_of(places: &[Places]) -> Places {
        let (mut all, mut at) = (0, 0);
        while at < places.len() {
            all |= places[at].0;
            at += 1;
        }
        Places(all)
    }
    /// Whether one of `other` is among these.
    pub const fn contains(self, other: Places) -> bool {
        self.0 & other.0 != 0
    }
}
