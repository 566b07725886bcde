//! Who may send what: a client and a server may send different packets, reasons and properties.

use super::{Malformed, Packet, Reason};

impl Packet<'_> {
    /// Whether a client may send this.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn from_client(&self) -> Result<(), Malformed> {
        match self {
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(Malformed::NotFromClient)
            }
            Packet::Publish(publish)
                if publish.properties.subscription_identifiers().next().is_some() =>
            {
                Err(Malformed::SubscriptionIdentifierFromClient)
            }
            Packet::Disconnect(disconnect) if !client_ends_with(disconnect.reason) => {
                Err(Malformed::ReasonFromClient)
            }
            Packet::Auth(auth) if auth.reason == Reason::Success => {
                Err(Malformed::AuthReasonFromClient)
            }
            Packet::Connect(_)
            | Packet::Publish(_)
            | Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq
            | Packet::Disconnect(_)
            | Packet::Auth(_) => Ok(()),
        }
    }

    /// Whether a server may send this.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn from_server(&self) -> Result<(), Malformed> {
        match self {
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => Err(Malformed::NotFromServer),
            Packet::Disconnect(disconnect) if disconnect.reason == Reason::DisconnectWithWill => {
                Err(Malformed::ReasonFromServer)
            }
            Packet::Disconnect(disconnect)
                if disconnect.properties.session_expiry_interval().is_some() =>
            {
                Err(Malformed::SessionExpiryFromServer)
            }
            Packet::Auth(auth) if auth.reason == Reason::ReAuthenticate => {
                Err(Malformed::AuthReasonFromServer)
            }
            Packet::ConnAck(_)
            | Packet::Publish(_)
            | Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => Ok(()),
        }
    }
}

/// The reasons marked "Client" in 5.0 Table 3-10.
const fn client_ends_with(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Success
            | Reason::DisconnectWithWill
            | Reason::UnspecifiedError
            | Reason::MalformedPacket
            | Reason::ProtocolError
            | Reason::ImplementationSpecificError
            | Reason::TopicNameInvalid
            | Reason::ReceiveMaximumExceeded
            | Reason::TopicAliasInvalid
            | Reason::PacketTooLarge
            | Reason::MessageRateTooHigh
            | Reason::QuotaExceeded
            | Reason::AdministrativeAction
            | Reason::PayloadFormatInvalid
    )
}
