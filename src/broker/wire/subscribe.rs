//! SUBSCRIBE (§3.8).

use std::num::NonZeroU16;

use super::{Malformed, Places, Properties, Qos, Version, read::Cursor, topic, write::Sink};

/// A client asks for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Answered by the SUBACK.
    pub packet_id: NonZeroU16,
    /// Subscription identifier and user properties; MQTT 5 only.
    pub properties: Properties<'a>,
    /// At least one.
    pub subscriptions: Subscriptions<'a>,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The topic filter; [`topic::shared`] takes a shared one apart.
    pub filter: &'a str,
    /// What to do with what matches.
    pub options: Options,
}

/// Subscription options (5.0 §3.8.3.1). 3.1.1 knows the quality only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// The most that deliveries come with.
    pub qos: Qos,
    /// Not what this client itself publishes.
    pub no_local: bool,
    /// Deliveries keep the retain flag they were published with.
    pub retain_as_published: bool,
    /// Whether retained messages follow the SUBACK.
    pub retain_handling: RetainHandling,
}

/// Whether retained messages are sent when a subscription is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// When the subscription is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl Options {
    /// Only the quality.
    pub const fn at(qos: Qos) -> Options {
        Options {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }

    /// The options of a byte.
    ///
    /// # Errors
    /// When it has none of this version.
    pub fn of(version: Version, byte: u8) -> Result<Options, Malformed> {
        let reserved = match version {
            Version::V311 => 0b1111_1100,
            Version::V5 => 0b1100_0000,
        };
        if byte & reserved != 0 {
            return Err(Malformed::SubscribeReserved);
        }
        let retain_handling = match byte >> 4 & 0b11 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(Malformed::RetainHandling),
        };
        Ok(Options {
            qos: Qos::of(byte & 0b11).ok_or(Malformed::SubscribeQos)?,
            no_local: byte & 1 << 2 != 0,
            retain_as_published: byte & 1 << 3 != 0,
            retain_handling,
        })
    }

    /// The byte of MQTT 5; its two lowest bits are that of 3.1.1.
    pub const fn byte(self) -> u8 {
        self.qos as u8
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }
}

/// The filters of a SUBSCRIBE, checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions<'a> {
    raw: &'a [u8],
}

impl<'a> Subscriptions<'a> {
    /// Each, in order.
    pub fn iter(self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        let mut rest = Cursor::new(self.raw);
        std::iter::from_fn(move || {
            let filter = rest.string().ok()?;
            let options = Options::of(Version::V5, rest.byte().ok()?).ok()?;
            Some(Subscription { filter, options })
        })
    }

    fn read(version: Version, body: &Cursor<'a>) -> Result<Subscriptions<'a>, Malformed> {
        let mut rest = Cursor::new(body.rest());
        if rest.is_empty() {
            return Err(Malformed::SubscribeEmpty);
        }
        while !rest.is_empty() {
            let filter = rest.string()?;
            topic::filter(filter)?;
            let options = Options::of(version, rest.byte()?)?;
            if version == Version::V5 && topic::shared(filter)?.is_some() && options.no_local {
                return Err(Malformed::NoLocalOnShared);
            }
        }
        Ok(Subscriptions { raw: body.rest() })
    }
}

impl<'a> Subscribe<'a> {
    pub(super) fn decode(version: Version, mut body: Cursor<'a>) -> Result<Self, Malformed> {
        let packet_id = body.packet_identifier()?;
        let properties = match version {
            Version::V311 => Properties::NONE,
            Version::V5 => Properties::read(&mut body, Places::SUBSCRIBE)?,
        };
        let subscriptions = Subscriptions::read(version, &body)?;
        Ok(Subscribe { packet_id, properties, subscriptions })
    }

    pub(super) fn encode(&self, version: Version, out: &mut impl Sink) {
        out.two_bytes(self.packet_id.get());
        match version {
            Version::V5 => {
                out.properties(self.properties);
                out.put(self.subscriptions.raw);
            }
            Version::V311 => {
                for Subscription { filter, options } in self.subscriptions.iter() {
                    out.string(filter);
                    out.byte(options.qos as u8);
                }
            }
        }
    }
}

/// Subscriptions on their way out.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionBuffer {
    raw: Vec<u8>,
}

impl SubscriptionBuffer {
    /// Adds one.
    ///
    /// # Errors
    /// When it is not a filter, or asks for no local on a shared subscription.
    pub fn push(&mut self, filter: &str, options: Options) -> Result<(), Malformed> {
        topic::filter(filter)?;
        if topic::shared(filter)?.is_some() && options.no_local {
            return Err(Malformed::NoLocalOnShared);
        }
        self.raw.string(filter);
        self.raw.byte(options.byte());
        Ok(())
    }
    /// What is in it.
    pub fn as_subscriptions(&self) -> Subscriptions<'_> {
        Subscriptions { raw: &self.raw }
    }
}
