//! PUBLISH (§3.3), the packet that must be cheap.

use std::num::NonZeroU16;

use super::{Malformed, Places, Properties, Qos, Version, read::Cursor, topic, write::Sink};

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It may have been sent before.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// To the server: keep it. From the server: it was kept.
    pub retain: bool,
    /// The topic name; empty when a topic alias stands for it.
    pub topic: &'a str,
    /// There with QoS 1 and 2 only.
    pub packet_id: Option<NonZeroU16>,
    /// MQTT 5 only.
    pub properties: Properties<'a>,
    /// The message itself.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    pub(super) fn decode(
        version: Version,
        header: u8,
        mut body: Cursor<'a>,
    ) -> Result<Publish<'a>, Malformed> {
        let qos = Qos::of(header >> 1 & 0b11).ok_or(Malformed::PublishQos)?;
        let name = body.string()?;
        let packet_id = match qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce | Qos::ExactlyOnce => Some(body.packet_identifier()?),
        };
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(&mut body, Places::PUBLISH)?,
        };
        if !name.is_empty() {
            topic::name(name)?;
        } else if properties.topic_alias().is_none() {
            return Err(Malformed::TopicMissing);
        }
        let (dup, retain) = (header & 0b1000 != 0, header & 1 != 0);
        Ok(Publish { dup, qos, retain, topic: name, packet_id, properties, payload: body.rest() })
    }

    /// The flags of the first byte.
    pub(super) const fn flags(&self) -> u8 {
        (self.dup as u8) << 3 | (self.qos as u8) << 1 | self.retain as u8
    }

    #[inline]
    pub(super) fn encode(&self, version: Version, out: &mut impl Sink) {
        out.string(self.topic);
        match (self.qos, self.packet_id) {
            (Qos::AtMostOnce, _) => {}
            (Qos::AtLeastOnce | Qos::ExactlyOnce, Some(id)) => out.two_bytes(id.get()),
            (Qos::AtLeastOnce | Qos::ExactlyOnce, None) => out.refuse(),
        }
        if version == Version::V5 {
            out.properties(self.properties);
        }
        out.put(self.payload);
    }
}
