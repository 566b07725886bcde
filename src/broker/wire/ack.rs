//! PUBACK, PUBREC, PUBREL, PUBCOMP: one form (§3.4 to §3.7).

use std::num::NonZeroU16;

use super::{
    Malformed, PacketType, Places, Properties, Reason, Version, read::Cursor, write::Sink,
};

/// One step of acknowledging a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Of the PUBLISH.
    pub packet_id: NonZeroU16,
    /// How it went; always success in 3.1.1, which has no other answer.
    pub reason: Reason,
    /// Reason string and user properties.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// It went well, and there is nothing to add.
    pub const fn success(packet_id: NonZeroU16) -> Ack<'static> {
        Ack { packet_id, reason: Reason::Success, properties: Properties::NONE }
    }

    /// The reason and the properties may be missing: success, none (5.0 §3.4.2.1, §3.4.2.2.1).
    pub(super) fn decode(
        version: Version,
        packet: PacketType,
        mut body: Cursor<'a>,
    ) -> Result<Ack<'a>, Malformed> {
        let mut ack = Ack::success(body.packet_identifier()?);
        if version == Version::V5 && !body.is_empty() {
            ack.reason = Reason::read(body.byte()?, packet)?;
            if !body.is_empty() {
                ack.properties = Properties::read(&mut body, Places::packet(packet))?;
            }
        }
        body.finish()?;
        Ok(ack)
    }

    /// With a reason there are always properties, if none: `rumqttc` misreads the shorter form.
    pub(super) fn encode(&self, version: Version, out: &mut impl Sink) {
        out.two_bytes(self.packet_id.get());
        let brief = self.reason == Reason::Success && self.properties.is_empty();
        if version == Version::V5 && !brief {
            out.byte(self.reason as u8);
            out.properties(self.properties);
        }
    }
}
