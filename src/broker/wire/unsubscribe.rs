//! UNSUBSCRIBE (§3.10).

use std::num::NonZeroU16;

use super::{Malformed, Places, Properties, Version, read::Cursor, topic, write::Sink};

/// A client no longer asks for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Answered by the UNSUBACK.
    pub packet_id: NonZeroU16,
    /// User properties; MQTT 5 only.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: Filters<'a>,
}

/// The filters of an UNSUBSCRIBE, checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters<'a> {
    raw: &'a [u8],
}

impl<'a> Filters<'a> {
    /// Each, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut rest = Cursor::new(self.raw);
        std::iter::from_fn(move || rest.string().ok())
    }

    fn read(version: Version, body: &Cursor<'a>) -> Result<Filters<'a>, Malformed> {
        let mut rest = Cursor::new(body.rest());
        if rest.is_empty() {
            return Err(Malformed::UnsubscribeEmpty);
        }
        while !rest.is_empty() {
            let filter = rest.string()?;
            topic::filter(filter)?;
            if version == Version::V5 {
                topic::shared(filter)?;
            }
        }
        Ok(Filters { raw: body.rest() })
    }
}

impl<'a> Unsubscribe<'a> {
    pub(super) fn decode(version: Version, mut body: Cursor<'a>) -> Result<Self, Malformed> {
        let packet_id = body.packet_identifier()?;
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(&mut body, Places::UNSUBSCRIBE)?,
        };
        let filters = Filters::read(version, &body)?;
        Ok(Unsubscribe { packet_id, properties, filters })
    }

    pub(super) fn encode(&self, version: Version, out: &mut impl Sink) {
        out.two_bytes(self.packet_id.get());
        if version == Version::V5 {
            out.properties(self.properties);
        }
        out.put(self.filters.raw);
    }
}

/// Filters to unsubscribe, on their way out.
#[derive(Clone, Debug, Default)]
pub struct FilterBuffer {
    raw: Vec<u8>,
}

impl FilterBuffer {
    /// Adds one.
    ///
    /// # Errors
    /// When it is not a filter.
    pub fn push(&mut self, filter: &str) -> Result<(), Malformed> {
        topic::filter(filter)?;
        topic::shared(filter)?;
        self.raw.string(filter);
        Ok(())
    }
    /// What is in it.
    pub fn as_filters(&self) -> Filters<'_> {
        Filters { raw: &self.raw }
    }
}
