//! Anything that can be said is read as it was written; anything at all is read without harm.

use std::num::NonZeroU16;

use maestro::broker::wire::{
    Connect, Packet, Properties, PropertyBuffer, Publish, Version, Will, decode, encode, frame,
    publish_size, size, topic,
};
use maestro::bus::Qos;
use proptest::prelude::*;

use crate::bytes::{ROOM, read, written};

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

fn qos() -> impl Strategy<Value = Qos> {
    prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)]
}

fn string() -> impl Strategy<Value = String> {
    "[^\u{0}]{0,12}"
}

fn topic_name() -> impl Strategy<Value = String> {
    "[^\u{0}+#]{1,20}"
}

fn message_properties() -> impl Strategy<Value = PropertyBuffer> {
    (
        prop::option::of(0..=1_u8),
        prop::option::of(any::<u32>()),
        prop::option::of(string()),
        prop::option::of(topic_name()),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
        prop::collection::vec((string(), string()), 0..4),
    )
        .prop_map(|(format, expiry, content, response, correlation, user)| {
            let mut buffer = PropertyBuffer::new();
            if let Some(value) = format {
                buffer.payload_format_indicator(value);
            }
            if let Some(value) = expiry {
                buffer.message_expiry_interval(value);
            }
            if let Some(value) = &content {
                buffer.content_type(value);
            }
            if let Some(value) = &response {
                buffer.response_topic(value);
            }
            if let Some(value) = &correlation {
                buffer.correlation_data(value);
            }
            for (name, value) in &user {
                buffer.user_property(name, value);
            }
            buffer
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_publish_is_read_as_it_was_written(
        (version, dup, qos, retain) in (version(), any::<bool>(), qos(), any::<bool>()),
        topic in topic_name(),
        packet_id in 1..=u16::MAX,
        properties in message_properties(),
        payload in prop::collection::vec(any::<u8>(), 0..20_000),
    ) {
        let publish = Publish {
            dup: dup && qos > Qos::AtMostOnce,
            qos,
            retain,
            topic: &topic,
            packet_id: (qos > Qos::AtMostOnce).then(|| NonZeroU16::new(packet_id).unwrap()),
            properties: match version {
                Version::V311 => Properties::NONE,
                Version::V5 => properties.as_properties(),
            },
            payload: &payload,
        };
        let bytes = written(version, &Packet::Publish(publish));
        prop_assert_eq!(bytes.len(), publish_size(version, &publish));
        prop_assert_eq!(read(version, &bytes), Ok(Packet::Publish(publish)));
    }

    #[test]
    fn a_connect_is_read_as_it_was_written(
        (version, clean_start, keep_alive_s) in (version(), any::<bool>(), any::<u16>()),
        client_id in "[^\u{0}]{1,12}",
        will in prop::option::of((topic_name(), qos(), any::<bool>())),
        properties in message_properties(),
        username in prop::option::of(string()),
        password in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    ) {
        let connect = Connect {
            version,
            clean_start,
            keep_alive_s,
            client_id: &client_id,
            will: will.as_ref().map(|(topic, qos, retain)| Will {
                topic,
                payload: b"gone",
                qos: *qos,
                retain: *retain,
                properties: match version {
                    Version::V311 => Properties::NONE,
                    Version::V5 => properties.as_properties(),
                },
            }),
            username: username.as_deref(),
            password: password.as_deref().filter(|_| version == Version::V5 || username.is_some()),
            properties: Properties::NONE,
        };
        let bytes = written(version, &Packet::Connect(connect));
        prop_assert_eq!(read(version, &bytes), Ok(Packet::Connect(connect)));
    }

    #[test]
    fn any_bytes_are_refused_or_read_and_then_written_the_same_again(
        version in version(),
        header in any::<u8>(),
        body in prop::collection::vec(prop_oneof![any::<u8>(), 0..0x30_u8], 0..60),
    ) {
        let mut bytes = vec![header, u8::try_from(body.len()).unwrap()];
        bytes.extend(&body);
        if let Ok(Some(frame)) = frame(&bytes, ROOM)
            && let Ok(packet) = decode(version, &frame)
        {
            let version = if let Packet::Connect(connect) = packet { connect.version } else { version };
            let mut again = Vec::new();
            encode(version, &packet, &mut again);
            prop_assert_eq!(size(version, &packet), again.len());
            // Shorter forms are written in their whole form, all others as they came.
            prop_assert!(again.len() <= bytes.len() + 2);
            prop_assert_eq!(read(version, &again), Ok(packet));
        }
    }

    #[test]
    fn a_filter_is_what_the_standard_calls_one(filter in "[a/+#$]{0,8}") {
        let levels: Vec<_> = filter.split('/').collect();
        let last = levels.len() - 1;
        let good = !filter.is_empty() && levels.iter().enumerate().all(|(at, level)| {
            !level.contains(['+', '#']) || *level == "+" || (*level == "#" && at == last)
        });
        prop_assert_eq!(topic::filter(&filter).is_ok(), good);
    }
}
