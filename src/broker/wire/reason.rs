//! The reason codes of MQTT 5.0 (§2.4): one table says which packets carry which, and what a 3.1.1
//! client is told instead.

use super::{Malformed, PacketType, packet_type::Places};

/// One row of the table.
struct Row {
    reason: Reason,
    text: &'static str,
    return_code: Option<u8>,
    places: Places,
}

macro_rules! reasons {
    ($($code:literal $name:ident $text:literal $return_code:expr, [$($place:ident)*];)*) => {
        /// Why something went as it did. Below 0x80 it went well.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = concat!($text, ".")] $name = $code,)*
        }
        const TABLE: &[Row] = &[$(Row {
            reason: Reason::$name,
            text: $text,
            return_code: $return_code,
            places: Places::any_of(&[$(Places::$place),*]),
        },)*];
    };
}

// Code, name, the standard's words, the return code of a 3.1.1 CONNACK (3.1.1 §3.2.2.3; with `None`
// the connection is closed without one, MQTT-3.2.2-6), the packets that carry it.
reasons! {
    0x00 Success "Success" Some(0), [CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK AUTH DISCONNECT];
    0x01 GrantedQos1 "Granted QoS 1" None, [SUBACK];
    0x02 GrantedQos2 "Granted QoS 2" None, [SUBACK];
    0x04 DisconnectWithWill "Disconnect with will message" None, [DISCONNECT];
    0x10 NoMatchingSubscribers "No matching subscribers" None, [PUBACK PUBREC];
    0x11 NoSubscriptionExisted "No subscription existed" None, [UNSUBACK];
    0x18 ContinueAuthentication "Continue authentication" None, [AUTH];
    0x19 ReAuthenticate "Re-authenticate" None, [AUTH];
    0x80 UnspecifiedError "Unspecified error" None, [CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT];
    0x81 MalformedPacket "Malformed packet" None, [CONNACK DISCONNECT];
    0x82 ProtocolError "Protocol error" None, [CONNACK DISCONNECT];
    0x83 ImplementationSpecificError "Implementation specific error" None, [CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT];
    0x84 UnsupportedProtocolVersion "Unsupported protocol version" Some(1), [CONNACK];
    0x85 ClientIdentifierNotValid "Client identifier not valid" Some(2), [CONNACK];
    0x86 BadUserNameOrPassword "Bad user name or password" Some(4), [CONNACK];
    0x87 NotAuthorized "Not authorized" Some(5), [CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT];
    0x88 ServerUnavailable "Server unavailable" Some(3), [CONNACK];
    0x89 ServerBusy "Server busy" Some(3), [CONNACK DISCONNECT];
    0x8A Banned "Banned" Some(5), [CONNACK];
    0x8B ServerShuttingDown "Server shutting down" None, [DISCONNECT];
    0x8C BadAuthenticationMethod "Bad authentication method" Some(4), [CONNACK DISCONNECT];
    0x8D KeepAliveTimeout "Keep alive timeout" None, [DISCONNECT];
    0x8E SessionTakenOver "Session taken over" None, [DISCONNECT];
    0x8F TopicFilterInvalid "Topic filter invalid" None, [SUBACK UNSUBACK DISCONNECT];
    0x90 TopicNameInvalid "Topic name invalid" None, [CONNACK PUBACK PUBREC DISCONNECT];
    0x91 PacketIdentifierInUse "Packet identifier in use" None, [PUBACK PUBREC SUBACK UNSUBACK];
    0x92 PacketIdentifierNotFound "Packet identifier not found" None, [PUBREL PUBCOMP];
    0x93 ReceiveMaximumExceeded "Receive maximum exceeded" None, [DISCONNECT];
    0x94 TopicAliasInvalid "Topic alias invalid" None, [DISCONNECT];
    0x95 PacketTooLarge "Packet too large" None, [CONNACK DISCONNECT];
    0x96 MessageRateTooHigh "Message rate too high" None, [DISCONNECT];
    0x97 QuotaExceeded "Quota exceeded" Some(3), [CONNACK PUBACK PUBREC SUBACK DISCONNECT];
    0x98 AdministrativeAction "Administrative action" None, [DISCONNECT];
    0x99 PayloadFormatInvalid "Payload format invalid" None, [CONNACK PUBACK PUBREC DISCONNECT];
    0x9A RetainNotSupported "Retain not supported" None, [CONNACK DISCONNECT];
    0x9B QosNotSupported "QoS not supported" None, [CONNACK DISCONNECT];
    0x9C UseAnotherServer "Use another server" Some(3), [CONNACK DISCONNECT];
    0x9D ServerMoved "Server moved" Some(3), [CONNACK DISCONNECT];
    0x9E SharedSubscriptionsNotSupported "Shared subscriptions not supported" None, [SUBACK DISCONNECT];
    0x9F ConnectionRateExceeded "Connection rate exceeded" Some(3), [CONNACK DISCONNECT];
    0xA0 MaximumConnectTime "Maximum connect time" None, [DISCONNECT];
    0xA1 SubscriptionIdentifiersNotSupported "Subscription identifiers not supported" None, [SUBACK DISCONNECT];
    0xA2 WildcardSubscriptionsNotSupported "Wildcard subscriptions not supported" None, [SUBACK DISCONNECT];
}

/// What each return code of a 3.1.1 CONNACK says, for a client that wants to speak of one thing.
const RETURN_CODES: [Reason; 6] = [
    Reason::Success,
    Reason::UnsupportedProtocolVersion,
    Reason::ClientIdentifierNotValid,
    Reason::ServerUnavailable,
    Reason::BadUserNameOrPassword,
    Reason::NotAuthorized,
];

impl Reason {
    /// The code, when this packet may carry it.
    pub fn of(code: u8, packet: PacketType) -> Option<Reason> {
        let row = TABLE.binary_search_by_key(&code, |row| row.reason as u8).ok()?;
        let row = &TABLE[row];
        row.places.contains(Places::packet(packet)).then_some(row.reason)
    }
    pub(super) fn read(code: u8, packet: PacketType) -> Result<Reason, Malformed> {
        Reason::of(code, packet).ok_or(match packet {
            PacketType::PubAck => Malformed::PubAckReason,
            PacketType::PubRec => Malformed::PubRecReason,
            PacketType::PubRel => Malformed::PubRelReason,
            PacketType::PubComp => Malformed::PubCompReason,
            PacketType::SubAck => Malformed::SubAckReason,
            PacketType::UnsubAck => Malformed::UnsubAckReason,
            PacketType::Disconnect => Malformed::DisconnectReason,
            PacketType::Auth => Malformed::AuthReason,
            PacketType::Connect
            | PacketType::ConnAck
            | PacketType::Publish
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::PingReq
            | PacketType::PingResp => Malformed::ConnAckReason,
        })
    }
    /// The reason for a 3.1.1 CONNACK's return code.
    pub fn of_return_code(code: u8) -> Option<Reason> {
        RETURN_CODES.get(usize::from(code)).copied()
    }
    /// The return code of a 3.1.1 CONNACK; `None` means that the connection is closed without one.
    pub fn return_code(self) -> Option<u8> {
        self.row().return_code
    }
    /// The standard's words.
    pub fn text(self) -> &'static str {
        self.row().text
    }
    /// Whether it went wrong.
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    fn row(self) -> &'static Row {
        let at = TABLE.partition_point(|row| row.reason < self);
        &TABLE[at]
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}
