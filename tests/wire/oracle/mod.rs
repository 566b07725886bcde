//! A second codec, `rmqtt-codec`, asked about the same bytes, and every point where it is known to
//! judge otherwise. The standard decides, so each point names its clause. A difference that is not
//! listed is an error: ours or a new one of theirs.

mod ours;
mod theirs;

use maestro::broker::wire::{Malformed, Packet, Version, decode, frame};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// What is known to differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The other codec takes what breaks this rule.
    Taken(Malformed),
    /// The other codec refuses what the standard allows, or loses a part of it.
    Refused(&'static str),
}

/// Rules that the other codec does not enforce: version, statement or section, rule, and the packets
/// it takes nevertheless (`*`: any with such a part).
#[rustfmt::skip]
pub(crate) const TAKEN: &[(Version, &str, Malformed, &str)] = &[
    (V311, "2.2.3", Malformed::LengthNotMinimal, "*"),
    (V311, "2.2.3", Malformed::Trailing, "CONNECT CONNACK PINGREQ PINGRESP DISCONNECT"),
    (V311, "MQTT-1.5.3-2", Malformed::NullCharacter, "*"),
    (V311, "MQTT-3.1.2-2", Malformed::OlderProtocol, "CONNECT"),
    (V311, "MQTT-3.1.2-22", Malformed::PasswordWithoutUserName, "CONNECT"),
    (V311, "MQTT-4.7.3-1", Malformed::TopicNameEmpty, "CONNECT"),
    (V311, "MQTT-3.3.2-2", Malformed::TopicNameWildcard, "CONNECT PUBLISH"),
    (V311, "3.2.2.3", Malformed::ConnAckReason, "CONNACK"),
    (V311, "MQTT-3.2.2-4", Malformed::SessionPresentWithError, "CONNACK"),
    (V311, "MQTT-3.3.1-2", Malformed::PublishDup, "PUBLISH"),
    (V311, "MQTT-4.7.1-2", Malformed::MultiLevelWildcard, "SUBSCRIBE UNSUBSCRIBE"),
    (V311, "MQTT-4.7.1-3", Malformed::SingleLevelWildcard, "SUBSCRIBE UNSUBSCRIBE"),
    (V311, "MQTT-3-8.3-4", Malformed::SubscribeReserved, "SUBSCRIBE"),
    (V311, "MQTT-3.8.4-5", Malformed::SubAckEmpty, "SUBACK"),
    (V5, "MQTT-1.5.5-1", Malformed::LengthNotMinimal, "*"),
    (V5, "2.1.4", Malformed::Trailing, "CONNECT PINGREQ PINGRESP"),
    (V5, "2.1.4", Malformed::Truncated, "AUTH"),
    (V5, "MQTT-1.5.4-2", Malformed::NullCharacter, "*"),
    (V5, "3.1.2.11", Malformed::PropertyZero, "CONNACK"),
    (V5, "2.2.2.2", Malformed::PropertyValue, "CONNACK"),
    (V5, "MQTT-3.3.2-14", Malformed::ResponseTopic, "CONNECT PUBLISH"),
    (V5, "3.1.2.11.10", Malformed::AuthenticationMethodMissing, "CONNECT"),
    (V5, "3.15.2.2.2", Malformed::AuthMethodMissing, "AUTH"),
    (V5, "MQTT-3.1.2-11", Malformed::WillQosWithoutWill, "CONNECT"),
    (V5, "MQTT-3.1.2-13", Malformed::WillRetainWithoutWill, "CONNECT"),
    (V5, "MQTT-3.2.2-6", Malformed::SessionPresentWithError, "CONNACK"),
    (V5, "MQTT-3.3.1-2", Malformed::PublishDup, "PUBLISH"),
    (V5, "3.3.2.1", Malformed::TopicMissing, "PUBLISH"),
    (V5, "MQTT-3.3.2-2", Malformed::TopicNameWildcard, "CONNECT PUBLISH"),
    (V5, "MQTT-4.7.3-1", Malformed::TopicNameEmpty, "CONNECT"),
    (V5, "MQTT-4.7.3-1", Malformed::TopicFilterEmpty, "SUBSCRIBE UNSUBSCRIBE"),
    (V5, "MQTT-4.7.1-1", Malformed::MultiLevelWildcard, "SUBSCRIBE UNSUBSCRIBE"),
    (V5, "MQTT-4.7.1-2", Malformed::SingleLevelWildcard, "SUBSCRIBE UNSUBSCRIBE"),
    (V5, "MQTT-4.8.2-1", Malformed::ShareNameEmpty, "SUBSCRIBE UNSUBSCRIBE"),
    (V5, "MQTT-4.8.2-2", Malformed::ShareForm, "SUBSCRIBE UNSUBSCRIBE"),
    (V5, "MQTT-3.8.3-4", Malformed::NoLocalOnShared, "SUBSCRIBE"),
    (V5, "MQTT-3.8.4-6", Malformed::SubAckEmpty, "SUBACK"),
    (V5, "MQTT-3.11.3-1", Malformed::UnsubAckEmpty, "UNSUBACK"),
];

type Applies = fn(&Packet<'_>) -> bool;

/// What the other codec refuses though the standard allows it: name, section, and which packets.
pub(crate) const REFUSED: &[(&str, &str, Applies)] = &[
    (
        "empty client identifier with a session to resume",
        "3.1.3.1",
        |packet| matches!(packet, Packet::Connect(connect) if connect.client_id.is_empty() && !connect.clean_start),
    ),
    ("message expiry of 0 s", "3.3.2.3.3", |packet| {
        if let Packet::Connect(connect) = packet {
            connect.will.is_some_and(|will| will.properties.message_expiry_interval() == Some(0))
        } else if let Packet::Publish(publish) = packet {
            publish.properties.message_expiry_interval() == Some(0)
        } else {
            false
        }
    }),
];

/// Asks both. `Ok(None)`: they agree.
pub(crate) fn compare(version: Version, bytes: &[u8]) -> Result<Option<Known>, String> {
    let theirs = theirs::read(version, bytes);
    let ours = match frame(bytes, 1 << 20) {
        Ok(None) => return if theirs.is_some() { Err("we wait".into()) } else { Ok(None) },
        Ok(Some(frame)) => decode(version, &frame),
        Err(refused) => Err(refused),
    };
    match (ours, theirs) {
        (Err(_), None) => Ok(None),
        (Err(refused), Some(theirs)) => {
            let name = theirs.split(' ').next().unwrap_or_default();
            let listed = TAKEN.iter().any(|(at, _, rule, packets)| {
                (*at, *rule) == (version, refused)
                    && (*packets == "*" || packets.split(' ').any(|packet| packet == name))
            });
            let known = listed.then_some(Some(Known::Taken(refused)));
            known.ok_or_else(|| format!("only we refuse: {refused:?}; {theirs}"))
        }
        // What the packet itself says counts: ours reads both versions at any time.
        (Ok(Packet::Connect(connect)), None) if connect.version != version => Ok(None),
        (Ok(packet), theirs) => {
            let ours = ours::describe(version, &packet);
            if theirs.as_ref() == Some(&ours) {
                return Ok(None);
            }
            let known = REFUSED.iter().find(|(.., applies)| applies(&packet));
            known.map(|(name, ..)| Some(Known::Refused(name))).ok_or_else(|| {
                format!("ours:   {ours}\ntheirs: {}", theirs.as_deref().unwrap_or("refused"))
            })
        }
    }
}
