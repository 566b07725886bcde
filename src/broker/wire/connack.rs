//! CONNACK (§3.2).

use super::{
    Malformed, PacketType, Places, Properties, Reason, Version, read::Cursor, write::Sink,
};

/// The server's answer to a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The session goes on where it was.
    pub session_present: bool,
    /// Success, or why not.
    pub reason: Reason,
    /// What the server can do; MQTT 5 only.
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    pub(super) fn decode(version: Version, mut body: Cursor<'a>) -> Result<Self, Malformed> {
        let flags = body.byte()?;
        if flags > 1 {
            return Err(Malformed::ConnAckFlags);
        }
        let (session_present, code) = (flags == 1, body.byte()?);
        let reason = match version {
            Version::V311 => Reason::of_return_code(code).ok_or(Malformed::ConnAckReason)?,
            Version::V5 => Reason::read(code, PacketType::ConnAck)?,
        };
        if session_present && reason != Reason::Success {
            return Err(Malformed::SessionPresentWithError);
        }
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(&mut body, Places::CONNACK)?,
        };
        body.finish()?;
        Ok(ConnAck { session_present, reason, properties })
    }

    /// A reason that 3.1.1 has no return code for cannot be written: the connection is closed without
    /// a CONNACK (MQTT-3.2.2-6 of 3.1.1).
    pub(super) fn encode(&self, version: Version, out: &mut impl Sink) {
        out.byte(self.session_present.into());
        match (version, self.reason.return_code()) {
            (Version::V5, _) => {
                out.byte(self.reason as u8);
                out.properties(self.properties);
            }
            (Version::V311, Some(code)) => out.byte(code),
            (Version::V311, None) => out.refuse(),
        }
    }
}
