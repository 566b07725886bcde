//! DISCONNECT (§3.14) and AUTH (5.0 §3.15).

use super::{
    Malformed, PacketType, Places, Properties, Reason, Version, read::Cursor, write::Sink,
};

/// The connection ends on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; success is the normal end, without the will.
    pub reason: Reason,
    /// Session expiry, server reference, reason string, user properties.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// The reason may be missing: normal; the properties may be missing: none (5.0 §3.14.2).
    pub(super) fn decode(version: Version, mut body: Cursor<'a>) -> Result<Self, Malformed> {
        let mut disconnect = Disconnect { reason: Reason::Success, properties: Properties::NONE };
        if version == Version::V5 && !body.is_empty() {
            disconnect.reason = Reason::read(body.byte()?, PacketType::Disconnect)?;
            if !body.is_empty() {
                disconnect.properties = Properties::read(&mut body, Places::DISCONNECT)?;
            }
        }
        body.finish()?;
        Ok(disconnect)
    }

    /// Never shortened: `rumqttc` misreads a DISCONNECT without properties and refuses an empty one.
    pub(super) fn encode(&self, version: Version, out: &mut impl Sink) {
        if version == Version::V5 {
            out.byte(self.reason as u8);
            out.properties(self.properties);
        }
    }
}

/// A step of extended authentication. MQTT 5 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue or re-authenticate.
    pub reason: Reason,
    /// Method and data, reason string, user properties.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// Either empty (success without properties), or whole: there is no shorter form.
    pub(super) fn decode(version: Version, mut body: Cursor<'a>) -> Result<Self, Malformed> {
        if version == Version::V311 {
            return Err(Malformed::PacketType);
        }
        if body.is_empty() {
            return Ok(Auth { reason: Reason::Success, properties: Properties::NONE });
        }
        let reason = Reason::read(body.byte()?, PacketType::Auth)?;
        let properties = Properties::read(&mut body, Places::AUTH)?;
        body.finish()?;
        if properties.authentication_method().is_none() {
            return Err(Malformed::AuthMethodMissing);
        }
        Ok(Auth { reason, properties })
    }

    pub(super) fn encode(&self, version: Version, out: &mut impl Sink) {
        match version {
            Version::V311 => out.refuse(),
            Version::V5 if self.reason == Reason::Success && self.properties.is_empty() => {}
            Version::V5 => {
                out.byte(self.reason as u8);
                out.properties(self.properties);
            }
        }
    }
}
