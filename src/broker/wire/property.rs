//! The properties of MQTT 5.0 (§2.2.2): one table says their identifiers, types, values and places.

use super::{Malformed, packet_type::Places};

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

pub(super) fn row_of(identifier: u32) -> Option<&'static Row> {
    let row = *ROW_OF.get(usize::try_from(identifier).ok()?)?;
    TABLE.get(usize::from(row).checked_sub(1)?)
}
