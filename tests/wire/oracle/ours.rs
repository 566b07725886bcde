//! Our reading of a packet in words, for comparison.

use maestro::broker::wire::{
    Ack, ConnAck, Connect, Packet, Properties, Publish, SubAck, Version, Will,
};

/// A packet in words, so far as both codecs know them: theirs fills in defaults.
pub(super) fn describe(version: Version, packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(connect) => describe_connect(connect),
        Packet::ConnAck(ack) => describe_connack(version, ack),
        Packet::Publish(publish) => describe_publish(version, publish),
        Packet::PubAck(ack) => describe_ack("PUBACK", ack),
        Packet::PubRec(ack) => describe_ack("PUBREC", ack),
        Packet::PubRel(ack) => describe_ack("PUBREL", ack),
        Packet::PubComp(ack) => describe_ack("PUBCOMP", ack),
        Packet::Subscribe(subscribe) => {
            let all: Vec<_> =
                subscribe.subscriptions.iter().map(|s| (s.filter, s.options.byte())).collect();
            let p = subscribe.properties;
            let identifier = p.subscription_identifiers().next();
            format!("SUBSCRIBE {:?}", (subscribe.packet_id, identifier, user(p), all))
        }
        Packet::SubAck(ack) => describe_sub_ack("SUBACK", ack),
        Packet::UnsubAck(ack) => describe_sub_ack("UNSUBACK", ack),
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<_> = unsubscribe.filters.iter().collect();
            let user = user(unsubscribe.properties);
            format!("UNSUBSCRIBE {:?}", (unsubscribe.packet_id, user, filters))
        }
        Packet::PingReq => "PINGREQ".into(),
        Packet::PingResp => "PINGRESP".into(),
        Packet::Disconnect(disconnect) => {
            let p = disconnect.properties;
            let told = (p.session_expiry_interval(), p.server_reference(), p.reason_string());
            format!("DISCONNECT {:?}", (disconnect.reason as u8, told, user(p)))
        }
        Packet::Auth(auth) => {
            let p = auth.properties;
            let told = (p.authentication_method(), p.authentication_data(), p.reason_string());
            format!("AUTH {:?}", (auth.reason as u8, told, user(p)))
        }
    }
}

fn user(properties: Properties<'_>) -> Vec<(&str, &str)> {
    properties.user_properties().collect()
}

fn describe_connect(connect: &Connect<'_>) -> String {
    let p = connect.properties;
    let head = (connect.clean_start, connect.keep_alive_s, connect.client_id);
    let limits = (
        p.session_expiry_interval().unwrap_or(0),
        p.receive_maximum(),
        p.topic_alias_maximum().unwrap_or(0),
        p.maximum_packet_size(),
        p.request_problem_information().unwrap_or(true),
        p.request_response_information().unwrap_or(false),
    );
    let auth = (p.authentication_method(), p.authentication_data(), user(p));
    let will = connect.will.as_ref().map(|will: &Will<'_>| {
        let p = will.properties;
        let timing = (p.will_delay_interval(), p.message_expiry_interval());
        let kind = (p.payload_format_indicator().map(|indicator| indicator == 1), p.content_type());
        let request = (p.response_topic(), p.correlation_data(), user(p));
        (will.qos as u8, will.retain, will.topic, will.payload, timing, kind, request)
    });
    format!("CONNECT {:?}", (head, limits, auth, will, connect.username, connect.password))
}

fn describe_publish(version: Version, publish: &Publish<'_>) -> String {
    let flags = (publish.dup, publish.qos as u8, publish.retain);
    let properties = (version == Version::V5).then(|| {
        let p = publish.properties;
        let kind = (p.payload_format_indicator() == Some(1), p.content_type());
        let request = (p.response_topic(), p.correlation_data(), user(p));
        let identifiers: Vec<_> = p.subscription_identifiers().collect();
        (p.topic_alias(), p.message_expiry_interval(), kind, request, identifiers)
    });
    format!("PUBLISH {:?}", (flags, publish.topic, publish.packet_id, properties, publish.payload))
}

fn describe_ack(name: &str, ack: &Ack<'_>) -> String {
    let p = ack.properties;
    format!("{name} {:?}", (ack.packet_id, ack.reason as u8, p.reason_string(), user(p)))
}

fn describe_sub_ack(name: &str, ack: &SubAck<'_>) -> String {
    let p = ack.properties;
    format!("{name} {:?}", (ack.packet_id, p.reason_string(), user(p), ack.codes))
}

fn describe_connack(version: Version, ack: &ConnAck<'_>) -> String {
    let p = ack.properties;
    let reason = match version {
        Version::V5 => ack.reason as u8,
        Version::V311 => ack.reason.return_code().unwrap(),
    };
    let limits = (
        p.session_expiry_interval(),
        p.receive_maximum().unwrap_or(65_535),
        p.maximum_qos().unwrap_or(2),
        p.maximum_packet_size(),
        p.topic_alias_maximum().unwrap_or(0),
        p.server_keep_alive(),
    );
    let abilities = (
        p.retain_available().unwrap_or(true),
        p.wildcard_subscription_available().unwrap_or(true),
        p.subscription_identifier_available().unwrap_or(true),
        p.shared_subscription_available().unwrap_or(true),
    );
    let names = (p.assigned_client_identifier(), p.response_information(), p.server_reference());
    let auth = (p.authentication_method(), p.authentication_data());
    let comments = (p.reason_string(), user(p));
    format!("CONNACK {:?}", (ack.session_present, reason, limits, abilities, names, auth, comments))
}
