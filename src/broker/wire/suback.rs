//! SUBACK (§3.9) and UNSUBACK (§3.11): one form.

use std::num::NonZeroU16;

use super::{
    Malformed, PacketType, Places, Properties, Reason, Version, read::Cursor, write::Sink,
};

/// The answer to a SUBSCRIBE or an UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// Of what it answers.
    pub packet_id: NonZeroU16,
    /// Reason string and user properties; MQTT 5 only.
    pub properties: Properties<'a>,
    /// A reason code for each filter, in order. None in an UNSUBACK of 3.1.1.
    pub codes: &'a [u8],
}

impl<'a> SubAck<'a> {
    /// The codes as reasons.
    pub fn reasons(&self, packet: PacketType) -> impl Iterator<Item = Reason> + use<'a> {
        self.codes.iter().filter_map(move |&code| Reason::of(code, packet))
    }

    pub(super) fn decode(
        version: Version,
        packet: PacketType,
        mut body: Cursor<'a>,
    ) -> Result<SubAck<'a>, Malformed> {
        let packet_id = body.packet_identifier()?;
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(&mut body, Places::packet(packet))?,
        };
        let codes = body.rest();
        match (version, packet == PacketType::SubAck) {
            (Version::V311, false) => body.finish()?,
            (_, true) if codes.is_empty() => return Err(Malformed::SubAckEmpty),
            (_, false) if codes.is_empty() => return Err(Malformed::UnsubAckEmpty),
            (Version::V311, true) if !codes.iter().all(|code| matches!(code, 0..=2 | 0x80)) => {
                return Err(Malformed::SubAckReason);
            }
            (Version::V5, _) => {
                codes.iter().try_for_each(|&code| Reason::read(code, packet).map(drop))?;
            }
            (Version::V311, true) => {}
        }
        Ok(SubAck { packet_id, properties, codes })
    }

    /// In 3.1.1 every refusal is 0x80, and an UNSUBACK says nothing but that it was heard.
    pub(super) fn encode(&self, version: Version, packet: PacketType, out: &mut impl Sink) {
        out.two_bytes(self.packet_id.get());
        match (version, packet == PacketType::SubAck) {
            (Version::V5, _) => {
                out.properties(self.properties);
                out.put(self.codes);
            }
            (Version::V311, true) => self.codes.iter().for_each(|&code| out.byte(code.min(0x80))),
            (Version::V311, false) => {}
        }
    }
}
