//! CONNECT (§3.1): the packet that says which version the rest is in.

use super::{
    Frame, Malformed, PacketType, Places, Properties, Qos, Version, read::Cursor, topic,
    write::Sink,
};

/// A client opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// What both will speak.
    pub version: Version,
    /// Start without the session that may be there. In 3.1.1 also: forget it at the end.
    pub clean_start: bool,
    /// The client is heard of at least this often, in seconds; 0 is never.
    pub keep_alive_s: u16,
    /// Who; empty asks the server for a name.
    pub client_id: &'a str,
    /// What to publish when the connection breaks.
    pub will: Option<Will<'a>>,
    /// User name.
    pub username: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// MQTT 5 only.
    pub properties: Properties<'a>,
}

/// The message that a server publishes for a client that vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Quality of service.
    pub qos: Qos,
    /// Keep it.
    pub retain: bool,
    /// The will properties; MQTT 5 only.
    pub properties: Properties<'a>,
}

const RESERVED: u8 = 1;
const CLEAN: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_QOS: u8 = 0b11 << 3;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

/// Which version a CONNECT speaks, so that even one that is malformed further on can be answered.
///
/// # Errors
/// [`Malformed::OlderProtocol`]: answer in the form of 3.1.1. [`Malformed::NewerProtocol`]: answer in
/// the form of 5.0. Anything else is no MQTT: close.
pub fn connect_version(frame: &Frame<'_>) -> Result<Version, Malformed> {
    version(&mut Cursor::new(frame.body))
}

/// The CONNECT in a frame; it tells its own version.
///
/// # Errors
/// As [`connect_version`], and every rule of a CONNECT; [`Malformed::ConnectExpected`] for any other.
pub fn decode_connect<'a>(frame: &Frame<'a>) -> Result<Connect<'a>, Malformed> {
    match PacketType::of(frame.header)? {
        PacketType::Connect => Connect::decode(Cursor::new(frame.body)),
        PacketType::ConnAck
        | PacketType::Publish
        | PacketType::PubAck
        | PacketType::PubRec
        | PacketType::PubRel
        | PacketType::PubComp
        | PacketType::Subscribe
        | PacketType::SubAck
        | PacketType::Unsubscribe
        | PacketType::UnsubAck
        | PacketType::PingReq
        | PacketType::PingResp
        | PacketType::Disconnect
        | PacketType::Auth => Err(Malformed::ConnectExpected),
    }
}

fn version(body: &mut Cursor<'_>) -> Result<Version, Malformed> {
    let name = body.binary()?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(Malformed::ProtocolName);
    }
    // The highest bit is how mosquitto's bridges say that they are one (0x84); told no, they go on
    // without it.
    match (name, body.byte()?) {
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        (b"MQTT", level) if level & 0x7F >= 5 => Err(Malformed::NewerProtocol),
        _ => Err(Malformed::OlderProtocol),
    }
}

impl<'a> Connect<'a> {
    pub(super) fn decode(mut body: Cursor<'a>) -> Result<Connect<'a>, Malformed> {
        let version = version(&mut body)?;
        let flags = body.byte()?;
        check_flags(version, flags)?;
        let keep_alive_s = body.two_bytes()?;
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(&mut body, Places::CONNECT)?,
        };
        if properties.authentication_data().is_some()
            && properties.authentication_method().is_none()
        {
            return Err(Malformed::AuthenticationMethodMissing);
        }
        let client_id = body.string()?;
        let clean_start = flags & CLEAN != 0;
        if version == Version::V311 && client_id.is_empty() && !clean_start {
            return Err(Malformed::ClientIdentifierEmpty);
        }
        let will =
            if flags & WILL == 0 { None } else { Some(Will::decode(version, flags, &mut body)?) };
        let username = if flags & USER_NAME == 0 { None } else { Some(body.string()?) };
        let password = if flags & PASSWORD == 0 { None } else { Some(body.binary()?) };
        body.finish()?;
        Ok(Connect {
            version,
            clean_start,
            keep_alive_s,
            client_id,
            will,
            username,
            password,
            properties,
        })
    }

    pub(super) fn encode(&self, out: &mut impl Sink) {
        if self.version == Version::V311 && self.password.is_some() && self.username.is_none() {
            return out.refuse();
        }
        out.string("MQTT");
        out.byte(match self.version {
            Version::V311 => 4,
            Version::V5 => 5,
        });
        out.byte(self.flags());
        out.two_bytes(self.keep_alive_s);
        if self.version == Version::V5 {
            out.properties(self.properties);
        }
        out.string(self.client_id);
        if let Some(will) = &self.will {
            if self.version == Version::V5 {
                out.properties(will.properties);
            }
            out.string(will.topic);
            out.binary(will.payload);
        }
        if let Some(username) = self.username {
            out.string(username);
        }
        if let Some(password) = self.password {
            out.binary(password);
        }
    }

    fn flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| {
            WILL | (will.qos as u8) << 3 | if will.retain { WILL_RETAIN } else { 0 }
        });
        will | if self.clean_start { CLEAN } else { 0 }
            | if self.username.is_some() { USER_NAME } else { 0 }
            | if self.password.is_some() { PASSWORD } else { 0 }
    }
}

fn check_flags(version: Version, flags: u8) -> Result<(), Malformed> {
    let will = flags & WILL != 0;
    match flags {
        _ if flags & RESERVED != 0 => Err(Malformed::ConnectReserved),
        _ if !will && flags & WILL_QOS != 0 => Err(Malformed::WillQosWithoutWill),
        _ if flags & WILL_QOS == WILL_QOS => Err(Malformed::WillQos),
        _ if !will && flags & WILL_RETAIN != 0 => Err(Malformed::WillRetainWithoutWill),
        _ if version == Version::V311 && flags & (USER_NAME | PASSWORD) == PASSWORD => {
            Err(Malformed::PasswordWithoutUserName)
        }
        _ => Ok(()),
    }
}

impl<'a> Will<'a> {
    fn decode(version: Version, flags: u8, body: &mut Cursor<'a>) -> Result<Will<'a>, Malformed> {
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(body, Places::WILL)?,
        };
        let name = body.string()?;
        topic::name(name)?;
        Ok(Will {
            topic: name,
            payload: body.binary()?,
            qos: Qos::of((flags & WILL_QOS) >> 3).ok_or(Malformed::WillQos)?,
            retain: flags & WILL_RETAIN != 0,
            properties,
        })
    }
}
