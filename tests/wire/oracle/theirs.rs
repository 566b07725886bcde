//! The other codec's reading of a packet, in the same words.

use bytes::BytesMut;
use maestro::broker::wire::Version;
use rmqtt_codec::{v3, v5};
use tokio_util::codec::Decoder;

/// Their reading, in the words of ours; `None` when they refuse or wait.
pub(super) fn read(version: Version, bytes: &[u8]) -> Option<String> {
    let mut bytes = BytesMut::from(bytes);
    match version {
        Version::V311 => {
            v3::Codec::default().decode(&mut bytes).ok()?.map(|(packet, _)| describe_v3(&packet))
        }
        Version::V5 => {
            v5::Codec::default().decode(&mut bytes).ok()?.map(|(packet, _)| describe_v5(&packet))
        }
    }
}

macro_rules! user {
    ($properties:expr) => {
        $properties.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<(&str, &str)>>()
    };
}

macro_rules! ack {
    ($name:literal, $ack:ident) => {{
        let (reason, user) = ($ack.reason_code as u8, user!($ack.properties));
        format!("{} {:?}", $name, ($ack.packet_id, reason, $ack.reason_string.as_deref(), user))
    }};
}

macro_rules! sub_ack {
    ($name:literal, $ack:ident) => {{
        let codes: Vec<_> = $ack.status.iter().map(|&code| code as u8).collect();
        let user = user!($ack.properties);
        format!("{} {:?}", $name, ($ack.packet_id, $ack.reason_string.as_deref(), user, codes))
    }};
}

/// What 3.1.1 has none of.
const NO_USER: &[(&str, &str)] = &[];

fn describe_v5(packet: &v5::Packet) -> String {
    use v5::Packet as P;
    match packet {
        P::Connect(c) => describe_connect_v5(c),
        P::ConnectAck(a) => describe_connack_v5(a),
        P::Publish(p) => describe_publish_v5(p),
        P::PublishAck(a) => ack!("PUBACK", a),
        P::PublishReceived(a) => ack!("PUBREC", a),
        P::PublishRelease(a) => ack!("PUBREL", a),
        P::PublishComplete(a) => ack!("PUBCOMP", a),
        P::Subscribe(s) => describe_subscribe_v5(s),
        P::SubscribeAck(a) => sub_ack!("SUBACK", a),
        P::Unsubscribe(u) => {
            let filters: Vec<&str> = u.topic_filters.iter().map(|filter| &**filter).collect();
            format!("UNSUBSCRIBE {:?}", (u.packet_id, user!(u.user_properties), filters))
        }
        P::UnsubscribeAck(a) => sub_ack!("UNSUBACK", a),
        P::PingRequest => "PINGREQ".into(),
        P::PingResponse => "PINGRESP".into(),
        P::Disconnect(d) => {
            let told = (
                d.session_expiry_interval_secs,
                d.server_reference.as_deref(),
                d.reason_string.as_deref(),
            );
            format!("DISCONNECT {:?}", (d.reason_code as u8, told, user!(d.user_properties)))
        }
        P::Auth(a) => {
            let told =
                (a.auth_method.as_deref(), a.auth_data.as_deref(), a.reason_string.as_deref());
            format!("AUTH {:?}", (a.reason_code as u8, told, user!(a.user_properties)))
        }
    }
}

fn describe_connect_v5(c: &v5::Connect) -> String {
    let head = (c.clean_start, c.keep_alive, &*c.client_id);
    let limits = (
        c.session_expiry_interval_secs,
        c.receive_max,
        c.topic_alias_max,
        c.max_packet_size,
        c.request_problem_info,
        c.request_response_info,
    );
    let auth = (c.auth_method.as_deref(), c.auth_data.as_deref(), user!(c.user_properties));
    let will = c.last_will.as_ref().map(|w| {
        let timing = (w.will_delay_interval_sec, w.message_expiry_interval);
        let kind = (w.is_utf8_payload, w.content_type.as_deref());
        let correlation = w.correlation_data.as_deref();
        let request = (w.response_topic.as_deref(), correlation, user!(w.user_properties));
        (w.qos as u8, w.retain, &*w.topic, &*w.message, timing, kind, request)
    });
    format!(
        "CONNECT {:?}",
        (head, limits, auth, will, c.username.as_deref(), c.password.as_deref())
    )
}

fn describe_v3(packet: &v3::Packet) -> String {
    use v3::Packet as P;
    let ack = |name, id| format!("{name} {:?}", (id, 0, None::<&str>, NO_USER));
    match packet {
        P::Connect(c) => describe_connect_v3(c),
        P::ConnectAck(a) => {
            let limits = (None::<u32>, 65_535, 2, None::<u32>, 0, None::<u16>);
            let names = (None::<&str>, None::<&str>, None::<&str>);
            let auth = (None::<&str>, None::<&[u8]>);
            let comments = (None::<&str>, NO_USER);
            let abilities = (true, true, true, true);
            let code = a.return_code as u8;
            format!(
                "CONNACK {:?}",
                (a.session_present, code, limits, abilities, names, auth, comments)
            )
        }
        P::Publish(p) => {
            let flags = (p.dup, p.qos as u8, p.retain);
            format!("PUBLISH {:?}", (flags, &*p.topic, p.packet_id, None::<()>, &*p.payload))
        }
        P::PublishAck { packet_id } => ack("PUBACK", packet_id),
        P::PublishReceived { packet_id } => ack("PUBREC", packet_id),
        P::PublishRelease { packet_id } => ack("PUBREL", packet_id),
        P::PublishComplete { packet_id } => ack("PUBCOMP", packet_id),
        P::Subscribe { packet_id, topic_filters } => {
            let all: Vec<_> =
                topic_filters.iter().map(|(filter, qos)| (&**filter, *qos as u8)).collect();
            format!("SUBSCRIBE {:?}", (packet_id, None::<u32>, NO_USER, all))
        }
        P::SubscribeAck { packet_id, status } => {
            let codes: Vec<_> = status
                .iter()
                .map(|code| match code {
                    v3::SubscribeReturnCode::Success(qos) => *qos as u8,
                    v3::SubscribeReturnCode::Failure => 0x80,
                })
                .collect();
            format!("SUBACK {:?}", (packet_id, None::<&str>, NO_USER, codes))
        }
        P::Unsubscribe { packet_id, topic_filters } => {
            let filters: Vec<&str> = topic_filters.iter().map(|filter| &**filter).collect();
            format!("UNSUBSCRIBE {:?}", (packet_id, NO_USER, filters))
        }
        P::UnsubscribeAck { packet_id } => {
            format!("UNSUBACK {:?}", (packet_id, None::<&str>, NO_USER, [0_u8; 0]))
        }
        P::PingRequest => "PINGREQ".into(),
        P::PingResponse => "PINGRESP".into(),
        P::Disconnect => {
            let told = (None::<u32>, None::<&str>, None::<&str>);
            format!("DISCONNECT {:?}", (0, told, NO_USER))
        }
    }
}

fn describe_connack_v5(a: &v5::ConnectAck) -> String {
    let limits = (
        a.session_expiry_interval_secs,
        a.receive_max.get(),
        a.max_qos as u8,
        a.max_packet_size,
        a.topic_alias_max,
        a.server_keepalive_sec,
    );
    let abilities = (
        a.retain_available,
        a.wildcard_subscription_available,
        a.subscription_identifiers_available,
        a.shared_subscription_available,
    );
    let names = (
        a.assigned_client_id.as_deref(),
        a.response_info.as_deref(),
        a.server_reference.as_deref(),
    );
    let auth = (a.auth_method.as_deref(), a.auth_data.as_deref());
    let comments = (a.reason_string.as_deref(), user!(a.user_properties));
    let reason = a.reason_code as u8;
    format!("CONNACK {:?}", (a.session_present, reason, limits, abilities, names, auth, comments))
}

fn describe_publish_v5(p: &rmqtt_codec::types::Publish) -> String {
    let flags = (p.dup, p.qos as u8, p.retain);
    let properties = p.properties.as_ref().map(|p| {
        let kind = (p.is_utf8_payload, p.content_type.as_deref());
        let correlation = p.correlation_data.as_deref();
        let request = (p.response_topic.as_deref(), correlation, user!(p.user_properties));
        (p.topic_alias, p.message_expiry_interval, kind, request, &p.subscription_ids)
    });
    format!("PUBLISH {:?}", (flags, &*p.topic, p.packet_id, properties, &*p.payload))
}

fn describe_subscribe_v5(s: &v5::Subscribe) -> String {
    let all: Vec<_> = s
        .topic_filters
        .iter()
        .map(|(filter, o)| {
            let flags = u8::from(o.no_local) << 2 | u8::from(o.retain_as_published) << 3;
            (&**filter, o.qos as u8 | flags | (o.retain_handling as u8) << 4)
        })
        .collect();
    format!("SUBSCRIBE {:?}", (s.packet_id, s.id, user!(s.user_properties), all))
}

fn describe_connect_v3(c: &v3::Connect) -> String {
    let head = (c.clean_session, c.keep_alive, &*c.client_id);
    let limits = (0, None::<u16>, 0, None::<u32>, true, false);
    let auth = (None::<&str>, None::<&[u8]>, NO_USER);
    let will = c.last_will.as_ref().map(|w| {
        let timing = (None::<u32>, None::<u32>);
        let kind = (None::<bool>, None::<&str>);
        let request = (None::<&str>, None::<&[u8]>, NO_USER);
        (w.qos as u8, w.retain, &*w.topic, &*w.message, timing, kind, request)
    });
    let (user_name, password) = (c.username.as_deref(), c.password.as_deref());
    format!("CONNECT {:?}", (head, limits, auth, will, user_name, password))
}
