//! The properties of MQTT 5.0 (§2.2.2): one table says their identifiers, types, values and places.
//!
//! [`Properties`] is a validated slice of the packet it came in. Reading one property walks the
//! slice; nothing is allocated, and nothing costs anything when there are none.

use super::{Malformed, packet_type::Places, read::Cursor, topic};

/// A property, by its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the standard's names")]
pub enum Property {
    PayloadFormatIndicator = 0x01,
    MessageExpiryInterval = 0x02,
    ContentType = 0x03,
    ResponseTopic = 0x08,
    CorrelationData = 0x09,
    SubscriptionIdentifier = 0x0B,
    SessionExpiryInterval = 0x11,
    AssignedClientIdentifier = 0x12,
    ServerKeepAlive = 0x13,
    AuthenticationMethod = 0x15,
    AuthenticationData = 0x16,
    RequestProblemInformation = 0x17,
    WillDelayInterval = 0x18,
    RequestResponseInformation = 0x19,
    ResponseInformation = 0x1A,
    ServerReference = 0x1C,
    ReasonString = 0x1F,
    ReceiveMaximum = 0x21,
    TopicAliasMaximum = 0x22,
    TopicAlias = 0x23,
    MaximumQos = 0x24,
    RetainAvailable = 0x25,
    UserProperty = 0x26,
    MaximumPacketSize = 0x27,
    WildcardSubscriptionAvailable = 0x28,
    SubscriptionIdentifierAvailable = 0x29,
    SharedSubscriptionAvailable = 0x2A,
}

/// How a value is written, and which values there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A byte, 0 or 1.
    Flag,
    /// Two bytes.
    TwoByte,
    /// Two bytes, not zero; what zero breaks.
    TwoByteNonZero(Malformed),
    /// Four bytes.
    FourByte,
    /// Four bytes, not zero; what zero breaks.
    FourByteNonZero(Malformed),
    /// A variable byte integer, not zero; what zero breaks.
    VariableNonZero(Malformed),
    /// A UTF-8 string.
    Text,
    /// A UTF-8 string that is a topic name; what another breaks.
    TopicName(Malformed),
    /// Up to 65 535 bytes.
    Binary,
    /// Two UTF-8 strings.
    Pair,
}

/// One row of the table.
pub struct Row {
    /// The identifier.
    pub property: Property,
    /// The standard's name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Where it may stand.
    pub places: Places,
    /// Where it may stand more than once.
    pub repeats: Places,
}

const fn row(
    property: Property,
    name: &'static str,
    kind: Kind,
    places: &[Places],
    repeats: Places,
) -> Row {
    Row { property, name, kind, places: Places::any_of(places), repeats }
}

/// The table (5.0, Table 2-4).
#[rustfmt::skip]
pub const TABLE: [Row; 27] = {
    use {Kind as K, Places as P, Property as I};
    const ONCE: Places = Places::NONE;
    const ZERO: Malformed = Malformed::PropertyZero;
    [
        row(I::PayloadFormatIndicator, "Payload Format Indicator", K::Flag, &[P::PUBLISH, P::WILL], ONCE),
        row(I::MessageExpiryInterval, "Message Expiry Interval", K::FourByte, &[P::PUBLISH, P::WILL], ONCE),
        row(I::ContentType, "Content Type", K::Text, &[P::PUBLISH, P::WILL], ONCE),
        row(I::ResponseTopic, "Response Topic", K::TopicName(Malformed::ResponseTopic), &[P::PUBLISH, P::WILL], ONCE),
        row(I::CorrelationData, "Correlation Data", K::Binary, &[P::PUBLISH, P::WILL], ONCE),
        row(I::SubscriptionIdentifier, "Subscription Identifier", K::VariableNonZero(Malformed::SubscriptionIdentifierZero), &[P::PUBLISH, P::SUBSCRIBE], P::PUBLISH),
        row(I::SessionExpiryInterval, "Session Expiry Interval", K::FourByte, &[P::CONNECT, P::CONNACK, P::DISCONNECT], ONCE),
        row(I::AssignedClientIdentifier, "Assigned Client Identifier", K::Text, &[P::CONNACK], ONCE),
        row(I::ServerKeepAlive, "Server Keep Alive", K::TwoByte, &[P::CONNACK], ONCE),
        row(I::AuthenticationMethod, "Authentication Method", K::Text, &[P::CONNECT, P::CONNACK, P::AUTH], ONCE),
        row(I::AuthenticationData, "Authentication Data", K::Binary, &[P::CONNECT, P::CONNACK, P::AUTH], ONCE),
        row(I::RequestProblemInformation, "Request Problem Information", K::Flag, &[P::CONNECT], ONCE),
        row(I::WillDelayInterval, "Will Delay Interval", K::FourByte, &[P::WILL], ONCE),
        row(I::RequestResponseInformation, "Request Response Information", K::Flag, &[P::CONNECT], ONCE),
        row(I::ResponseInformation, "Response Information", K::Text, &[P::CONNACK], ONCE),
        row(I::ServerReference, "Server Reference", K::Text, &[P::CONNACK, P::DISCONNECT], ONCE),
        row(I::ReasonString, "Reason String", K::Text, &[P::CONNACK, P::PUBACK, P::PUBREC, P::PUBREL, P::PUBCOMP, P::SUBACK, P::UNSUBACK, P::DISCONNECT, P::AUTH], ONCE),
        row(I::ReceiveMaximum, "Receive Maximum", K::TwoByteNonZero(ZERO), &[P::CONNECT, P::CONNACK], ONCE),
        row(I::TopicAliasMaximum, "Topic Alias Maximum", K::TwoByte, &[P::CONNECT, P::CONNACK], ONCE),
        row(I::TopicAlias, "Topic Alias", K::TwoByteNonZero(Malformed::TopicAliasZero), &[P::PUBLISH], ONCE),
        row(I::MaximumQos, "Maximum QoS", K::Flag, &[P::CONNACK], ONCE),
        row(I::RetainAvailable, "Retain Available", K::Flag, &[P::CONNACK], ONCE),
        row(I::UserProperty, "User Property", K::Pair, &[P::ALL], P::ALL),
        row(I::MaximumPacketSize, "Maximum Packet Size", K::FourByteNonZero(ZERO), &[P::CONNECT, P::CONNACK], ONCE),
        row(I::WildcardSubscriptionAvailable, "Wildcard Subscription Available", K::Flag, &[P::CONNACK], ONCE),
        row(I::SubscriptionIdentifierAvailable, "Subscription Identifier Available", K::Flag, &[P::CONNACK], ONCE),
        row(I::SharedSubscriptionAvailable, "Shared Subscription Available", K::Flag, &[P::CONNACK], ONCE),
    ]
};

/// Where each identifier stands in the table; 0 is no identifier, so the first row is 1.
#[expect(clippy::cast_possible_truncation, reason = "there are 27 rows")]
const ROW_OF: [u8; 0x2B] = {
    let mut rows = [0; 0x2B];
    let mut at = 0;
    while at < TABLE.len() {
        rows[TABLE[at].property as usize] = at as u8 + 1;
        at += 1;
    }
    rows
};

fn row_of(identifier: u32) -> Option<&'static Row> {
    let row = *ROW_OF.get(usize::try_from(identifier).ok()?)?;
    TABLE.get(usize::from(row).checked_sub(1)?)
}

/// A property's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of one, two, four bytes, or variable.
    Number(u32),
    /// A string.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// A name and a value.
    Pair(&'a str, &'a str),
}

/// The properties of a packet, checked, in the order in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

impl<'a> Properties<'a> {
    /// Reads the length and as many bytes, and checks them for this place.
    pub(super) fn read(cursor: &mut Cursor<'a>, place: Places) -> Result<Self, Malformed> {
        let size = cursor.variable()?;
        let raw = cursor.take(usize::try_from(size).map_err(|_| Malformed::Truncated)?)?;
        let mut rest = Cursor::new(raw);
        let mut seen = 0_u64;
        while !rest.is_empty() {
            let identifier = rest.variable()?;
            let row = row_of(identifier).ok_or(Malformed::PropertyUnknown)?;
            if !row.places.contains(place) {
                return Err(Malformed::PropertyNotAllowed);
            }
            if seen & 1 << identifier != 0 && !row.repeats.contains(place) {
                return Err(Malformed::PropertyRepeated);
            }
            seen |= 1 << identifier;
            check(row.kind, value(row.kind, &mut rest)?)?;
        }
        Ok(Properties { raw })
    }

    /// None.
    pub const NONE: Properties<'static> = Properties { raw: &[] };

    /// As they stand in the packet, without the length.
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }
    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = (Property, Value<'a>)> {
        self.entries().filter_map(|entry| {
            let value = value(entry.row.kind, &mut Cursor::new(entry.value)).ok()?;
            Some((entry.row.property, value))
        })
    }
    /// The user properties, in order.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|(_, value)| match value {
            Value::Pair(name, value) => Some((name, value)),
            Value::Number(_) | Value::Text(_) | Value::Binary(_) => None,
        })
    }
    /// The subscription identifiers, in order.
    pub fn subscription_identifiers(self) -> impl Iterator<Item = u32> {
        self.iter().filter_map(|(property, value)| match value {
            Value::Number(number) if property == Property::SubscriptionIdentifier => Some(number),
            Value::Number(_) | Value::Text(_) | Value::Binary(_) | Value::Pair(..) => None,
        })
    }

    pub(super) fn entries(self) -> Entries<'a> {
        Entries { rest: self.raw }
    }
    pub(super) fn find(self, wanted: Property) -> Option<Value<'a>> {
        let mut entries = self.entries();
        let entry = entries.find(|entry| entry.row.property == wanted)?;
        value(entry.row.kind, &mut Cursor::new(entry.value)).ok()
    }
    pub(super) fn number(self, wanted: Property) -> Option<u32> {
        match self.find(wanted)? {
            Value::Number(number) => Some(number),
            Value::Text(_) | Value::Binary(_) | Value::Pair(..) => None,
        }
    }
    pub(super) fn text(self, wanted: Property) -> Option<&'a str> {
        match self.find(wanted)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Binary(_) | Value::Pair(..) => None,
        }
    }
    pub(super) fn binary(self, wanted: Property) -> Option<&'a [u8]> {
        match self.find(wanted)? {
            Value::Binary(bytes) => Some(bytes),
            Value::Number(_) | Value::Text(_) | Value::Pair(..) => None,
        }
    }

    /// Over bytes that are known to be properties.
    pub(crate) const fn trusted(raw: &'a [u8]) -> Properties<'a> {
        Properties { raw }
    }
}

/// Goes over [`Properties`] without looking into the values.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
}

/// One property as it stands in the packet.
pub(super) struct Entry<'a> {
    pub(super) row: &'static Row,
    /// The identifier and the value.
    pub(super) whole: &'a [u8],
    value: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;
    fn next(&mut self) -> Option<Entry<'a>> {
        let mut cursor = Cursor::new(self.rest);
        let row = row_of(cursor.variable().ok()?)?;
        let value = cursor.rest();
        skip(row.kind, &mut cursor).ok()?;
        let (whole, rest) = self.rest.split_at(self.rest.len() - cursor.rest().len());
        self.rest = rest;
        Some(Entry { row, whole, value })
    }
}

fn skip(kind: Kind, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    match kind {
        Kind::Flag => cursor.take(1).map(drop),
        Kind::TwoByte | Kind::TwoByteNonZero(_) => cursor.take(2).map(drop),
        Kind::FourByte | Kind::FourByteNonZero(_) => cursor.take(4).map(drop),
        Kind::VariableNonZero(_) => cursor.variable().map(drop),
        Kind::Text | Kind::TopicName(_) | Kind::Binary => cursor.binary().map(drop),
        Kind::Pair => cursor.binary().and_then(|_| cursor.binary()).map(drop),
    }
}

fn value<'a>(kind: Kind, cursor: &mut Cursor<'a>) -> Result<Value<'a>, Malformed> {
    Ok(match kind {
        Kind::Flag => Value::Number(cursor.byte()?.into()),
        Kind::TwoByte | Kind::TwoByteNonZero(_) => Value::Number(cursor.two_bytes()?.into()),
        Kind::FourByte | Kind::FourByteNonZero(_) => Value::Number(cursor.four_bytes()?),
        Kind::VariableNonZero(_) => Value::Number(cursor.variable()?),
        Kind::Text | Kind::TopicName(_) => Value::Text(cursor.string()?),
        Kind::Binary => Value::Binary(cursor.binary()?),
        Kind::Pair => Value::Pair(cursor.string()?, cursor.string()?),
    })
}

fn check(kind: Kind, value: Value<'_>) -> Result<(), Malformed> {
    match (kind, value) {
        (Kind::Flag, Value::Number(2..)) => Err(Malformed::PropertyValue),
        (
            Kind::TwoByteNonZero(zero) | Kind::FourByteNonZero(zero) | Kind::VariableNonZero(zero),
            Value::Number(0),
        ) => Err(zero),
        (Kind::TopicName(other), Value::Text(text)) => topic::name(text).map_err(|_| other),
        (_, Value::Number(_) | Value::Text(_) | Value::Binary(_) | Value::Pair(..)) => Ok(()),
    }
}
