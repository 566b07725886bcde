//! Why a packet is refused: one row per rule of the standard.
//!
//! A row names the reason code that MQTT 5.0 wants in the CONNACK or DISCONNECT, the statement of
//! 5.0 and of 3.1.1 that was broken (a section number where the text has no numbered statement), and
//! a sentence for the log. MQTT 3.1.1 knows no reason codes: there the connection is closed.
//!
//! Where 5.0 gives no code it goes by §1.2: what has the wrong form is malformed (0x81); what can be
//! read but says what is not allowed is a protocol error (0x82). A topic with a wildcard in the wrong
//! place has the wrong form: 0x8F and 0x90 are for topics that are "correctly formed" (§3.14.2.1).

use super::{Reason, Version};

macro_rules! rules {
    ($($name:ident: $reason:ident, $v5:literal, $v311:literal, $text:literal;)*) => {
        /// A rule of MQTT that a packet broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Malformed {
            $(#[doc = concat!($text, " (", $v5, ", in 3.1.1 ", $v311, ").")] $name,)*
        }
        impl Malformed {
            /// What MQTT 5.0 answers before closing.
            pub const fn reason(self) -> Reason {
                match self { $(Malformed::$name => Reason::$reason,)* }
            }
            /// The statement that was broken, `MQTT-3.3.1-4`, or the section, `2.2.2.2`.
            pub const fn clause(self, version: Version) -> &'static str {
                match (self, version) {
                    $(
                        (Malformed::$name, Version::V5) => $v5,
                        (Malformed::$name, Version::V311) => $v311,
                    )*
                }
            }
            /// The rule in words.
            pub const fn text(self) -> &'static str {
                match self { $(Malformed::$name => $text,)* }
            }
            /// Every rule, for tests that look whether each is tried.
            pub const ALL: &'static [Malformed] = &[$(Malformed::$name,)*];
        }
    };
}

rules! {
    // The fixed header.
    PacketType: MalformedPacket, "2.1.2", "2.2.1", "packet type is reserved";
    HeaderFlags: MalformedPacket, "MQTT-2.1.3-1", "MQTT-2.2.2-2", "reserved bit of the fixed header is set";
    PubRelFlags: MalformedPacket, "MQTT-3.6.1-1", "MQTT-3.6.1-1", "fixed header of PUBREL is not 0x62";
    SubscribeFlags: MalformedPacket, "MQTT-3.8.1-1", "MQTT-3.8.1-1", "fixed header of SUBSCRIBE is not 0x82";
    UnsubscribeFlags: MalformedPacket, "MQTT-3.10.1-1", "MQTT-3.10.1-1", "fixed header of UNSUBSCRIBE is not 0xA2";
    DisconnectFlags: MalformedPacket, "MQTT-3.14.1-1", "MQTT-3.14.1-1", "fixed header of DISCONNECT is not 0xE0";
    AuthFlags: MalformedPacket, "MQTT-3.15.1-1", "2.2.1", "fixed header of AUTH is not 0xF0";
    PublishQos: MalformedPacket, "MQTT-3.3.1-4", "MQTT-3.3.1-4", "QoS of the PUBLISH is 3";
    PublishDup: MalformedPacket, "MQTT-3.3.1-2", "MQTT-3.3.1-2", "DUP is set on a QoS 0 PUBLISH";
    LengthTooLong: MalformedPacket, "1.5.5", "2.2.3", "variable byte integer has more than four bytes";
    LengthNotMinimal: MalformedPacket, "MQTT-1.5.5-1", "2.2.3", "variable byte integer has more bytes than its value needs";
    PacketTooLarge: PacketTooLarge, "MQTT-3.2.2-15", "2.2.3", "packet is larger than the receiver takes";
    // Parts.
    Truncated: MalformedPacket, "2.1.4", "2.2.3", "packet ends inside a field";
    Trailing: MalformedPacket, "2.1.4", "2.2.3", "packet goes on after its last field";
    Utf8: MalformedPacket, "MQTT-1.5.4-1", "MQTT-1.5.3-1", "string is not UTF-8";
    NullCharacter: MalformedPacket, "MQTT-1.5.4-2", "MQTT-1.5.3-2", "string contains U+0000";
    PacketIdentifierZero: ProtocolError, "MQTT-2.2.1-3", "MQTT-2.3.1-1", "packet identifier is 0";
    // Reason codes.
    ConnAckReason: ProtocolError, "MQTT-3.2.2-8", "3.2.2.3", "reason code is not one of a CONNACK";
    PubAckReason: ProtocolError, "MQTT-3.4.2-1", "3.4", "reason code is not one of a PUBACK";
    PubRecReason: ProtocolError, "MQTT-3.5.2-1", "3.5", "reason code is not one of a PUBREC";
    PubRelReason: ProtocolError, "MQTT-3.6.2-1", "3.6", "reason code is not one of a PUBREL";
    PubCompReason: ProtocolError, "MQTT-3.7.2-1", "3.7", "reason code is not one of a PUBCOMP";
    SubAckReason: ProtocolError, "MQTT-3.9.3-2", "MQTT-3.9.3-2", "reason code is not one of a SUBACK";
    UnsubAckReason: ProtocolError, "MQTT-3.11.3-2", "3.11", "reason code is not one of an UNSUBACK";
    DisconnectReason: ProtocolError, "MQTT-3.14.2-1", "3.14", "reason code is not one of a DISCONNECT";
    AuthReason: ProtocolError, "MQTT-3.15.2-1", "2.2.1", "reason code is not one of an AUTH";
    // Properties.
    PropertyUnknown: MalformedPacket, "2.2.2.2", "2.2.2.2", "property does not exist";
    PropertyNotAllowed: MalformedPacket, "2.2.2.2", "2.2.2.2", "property does not belong to this packet";
    PropertyRepeated: ProtocolError, "2.2.2.2", "2.2.2.2", "property is there more than once";
    PropertyValue: ProtocolError, "2.2.2.2", "2.2.2.2", "property has a value other than 0 and 1";
    PropertyZero: ProtocolError, "3.1.2.11", "3.1.2.11", "property has the value 0";
    SubscriptionIdentifierZero: ProtocolError, "3.8.2.1.2", "3.8.2.1.2", "subscription identifier is 0";
    TopicAliasZero: TopicAliasInvalid, "MQTT-3.3.2-8", "MQTT-3.3.2-8", "topic alias is 0";
    ResponseTopic: MalformedPacket, "MQTT-3.3.2-14", "MQTT-3.3.2-14", "response topic is not a topic name";
    AuthenticationMethodMissing: ProtocolError, "3.1.2.11.10", "3.1.2.11.10", "authentication data without authentication method";
    AuthMethodMissing: ProtocolError, "3.15.2.2.2", "3.15.2.2.2", "AUTH without authentication method";
    // CONNECT and CONNACK.
    ProtocolName: UnsupportedProtocolVersion, "MQTT-3.1.2-1", "MQTT-3.1.2-1", "protocol name is not MQTT";
    OlderProtocol: UnsupportedProtocolVersion, "MQTT-3.1.2-2", "MQTT-3.1.2-2", "protocol level is older than MQTT 3.1.1";
    NewerProtocol: UnsupportedProtocolVersion, "MQTT-3.1.2-2", "MQTT-3.1.2-2", "protocol level is newer than MQTT 5.0";
    ConnectReserved: MalformedPacket, "MQTT-3.1.2-3", "MQTT-3.1.2-3", "reserved connect flag is set";
    WillQos: MalformedPacket, "MQTT-3.1.2-12", "MQTT-3.1.2-14", "QoS of the will is 3";
    WillQosWithoutWill: MalformedPacket, "MQTT-3.1.2-11", "MQTT-3.1.2-13", "will QoS without a will";
    WillRetainWithoutWill: MalformedPacket, "MQTT-3.1.2-13", "MQTT-3.1.2-15", "will retain without a will";
    PasswordWithoutUserName: MalformedPacket, "3.1.2.9", "MQTT-3.1.2-22", "password without a user name";
    ClientIdentifierEmpty: ClientIdentifierNotValid, "MQTT-3.1.3-8", "MQTT-3.1.3-8", "empty client identifier without clean session";
    ConnAckFlags: MalformedPacket, "MQTT-3.2.2-1", "3.2.2.1", "reserved acknowledge flag is set";
    SessionPresentWithError: ProtocolError, "MQTT-3.2.2-6", "MQTT-3.2.2-4", "session present in a refusal";
    // Topics.
    TopicNameEmpty: MalformedPacket, "MQTT-4.7.3-1", "MQTT-4.7.3-1", "topic name is empty";
    TopicMissing: ProtocolError, "3.3.2.1", "MQTT-4.7.3-1", "PUBLISH has neither a topic nor an alias";
    TopicNameWildcard: MalformedPacket, "MQTT-3.3.2-2", "MQTT-3.3.2-2", "topic name contains a wildcard";
    TopicFilterEmpty: MalformedPacket, "MQTT-4.7.3-1", "MQTT-4.7.3-1", "topic filter is empty";
    MultiLevelWildcard: MalformedPacket, "MQTT-4.7.1-1", "MQTT-4.7.1-2", "# is not alone in the last level of the filter";
    SingleLevelWildcard: MalformedPacket, "MQTT-4.7.1-2", "MQTT-4.7.1-3", "+ is not alone in its level of the filter";
    ShareNameEmpty: MalformedPacket, "MQTT-4.8.2-1", "4.7.1", "share name is empty";
    ShareForm: MalformedPacket, "MQTT-4.8.2-2", "4.7.1", "share name is not followed by a filter, or contains a wildcard";
    // SUBSCRIBE, UNSUBSCRIBE and their answers.
    SubscribeEmpty: ProtocolError, "MQTT-3.8.3-2", "MQTT-3.8.3-3", "SUBSCRIBE without a filter";
    SubscribeQos: ProtocolError, "3.8.3.1", "MQTT-3-8.3-4", "maximum QoS of a subscription is 3";
    SubscribeReserved: MalformedPacket, "MQTT-3.8.3-5", "MQTT-3-8.3-4", "reserved subscription option is set";
    RetainHandling: ProtocolError, "3.8.3.1", "MQTT-3-8.3-4", "retain handling is 3";
    NoLocalOnShared: ProtocolError, "MQTT-3.8.3-4", "4.7.1", "no local on a shared subscription";
    UnsubscribeEmpty: ProtocolError, "MQTT-3.10.3-2", "MQTT-3.10.3-2", "UNSUBSCRIBE without a filter";
    SubAckEmpty: ProtocolError, "MQTT-3.8.4-6", "MQTT-3.8.4-5", "SUBACK without a reason code";
    UnsubAckEmpty: ProtocolError, "MQTT-3.11.3-1", "3.11.3", "UNSUBACK without a reason code";
    // Who may send what.
    ConnectExpected: ProtocolError, "MQTT-3.1.0-1", "MQTT-3.1.0-1", "first packet is not a CONNECT";
    SecondConnect: ProtocolError, "MQTT-3.1.0-2", "MQTT-3.1.0-2", "CONNECT on an open connection";
    NotFromClient: ProtocolError, "2.1.2", "2.2.1", "packet is not one that a client sends";
    NotFromServer: ProtocolError, "2.1.2", "2.2.1", "packet is not one that a server sends";
    SubscriptionIdentifierFromClient: ProtocolError, "MQTT-3.3.4-6", "MQTT-3.3.4-6", "PUBLISH of a client with a subscription identifier";
    ReasonFromClient: ProtocolError, "MQTT-3.14.2-1", "3.14", "reason code is not one that a client sends";
    ReasonFromServer: ProtocolError, "MQTT-3.14.2-1", "3.14", "reason code is not one that a server sends";
    AuthReasonFromClient: ProtocolError, "MQTT-3.15.2-1", "2.2.1", "AUTH of a client with success";
    AuthReasonFromServer: ProtocolError, "MQTT-3.15.2-1", "2.2.1", "AUTH of a server with re-authenticate";
    SessionExpiryFromServer: ProtocolError, "MQTT-3.14.2-2", "MQTT-3.14.2-2", "DISCONNECT of a server with a session expiry";
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.text(), self.clause(Version::V5))
    }
}

impl std::error::Error for Malformed {}
