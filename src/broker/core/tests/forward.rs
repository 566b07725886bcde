//! What of a message reaches its receiver, and what of it is each delivery's own (§3.3.2.3).

use super::bytes::properties;
use super::*;

#[test]
fn what_belongs_to_a_message_arrives_unaltered_and_in_order() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    for (filter, qos) in [("now", Qos::AtMostOnce), ("queued", Qos::AtLeastOnce)] {
        world.subscribe(reader, filter, qos);
        let own = properties(|p| {
            p.payload_format_indicator(1)
                .user_property("b", "1")
                .content_type("text/plain")
                .response_topic("back/to/me")
                .user_property("a", "2")
                .correlation_data(b"\0\xFF")
                .user_property("b", "1")
        });
        let publish = publish(filter, "x", qos);
        world.publish_with(writer, Publish { properties: own.as_properties(), ..publish });
        let got = world.each(reader, |packet| {
            let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
            let p = publish.properties;
            let user: Vec<String> =
                p.user_properties().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(p.payload_format_indicator(), Some(1));
            assert_eq!(p.content_type(), Some("text/plain"));
            assert_eq!(p.response_topic(), Some("back/to/me"));
            assert_eq!(p.correlation_data(), Some(&b"\0\xFF"[..]));
            user.join(" ")
        });
        assert_eq!(got, ["b=1 a=2 b=1"]);
    }
}

#[test]
fn a_will_keeps_its_properties_too() {
    let mut world = World::new();
    let reader = world.client(1, "reader");
    world.subscribe(reader, "w", Qos::AtMostOnce);
    let own = properties(|p| {
        p.will_delay_interval(0).user_property("z", "1").user_property("a", "2").content_type("t")
    });
    let will = Will {
        topic: "w",
        payload: b"x",
        qos: Qos::AtMostOnce,
        retain: false,
        properties: own.as_properties(),
    };
    let (key, _) = world.connected(2, Connect { will: Some(will), ..connect("a") });
    world.core.closed(key, &mut world.fx);
    let got = world.each(reader, |packet| {
        let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
        assert_eq!(publish.properties.content_type(), Some("t"));
        assert_eq!(publish.properties.will_delay_interval(), None);
        publish.properties.user_properties().map(|(name, _)| name.to_string()).collect::<String>()
    });
    assert_eq!(got, ["za"]);
}

/// A message for `reader` that ends after ten seconds.
fn perishable(world: &mut World, writer: Key) {
    let own = properties(|p| p.message_expiry_interval(10));
    let publish = publish("q", "x", Qos::AtLeastOnce);
    world.publish_with(writer, Publish { properties: own.as_properties(), ..publish });
}

#[test]
fn a_message_is_sent_with_the_time_it_has_left_and_not_at_all_after_it() {
    let mut world = World::new();
    world.lasting_reader("q", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    for (waits, left) in [(0, Some(10)), (3, Some(7)), (9, Some(1)), (10, None), (11, None)] {
        let (reader, _) = world.lasting(1, "reader");
        world.core.closed(reader, &mut world.fx);
        perishable(&mut world, writer);
        world.pass(waits);
        let (reader, _) = world.lasting(1, "reader");
        let got = world.each(reader, |packet| match packet {
            Packet::Publish(publish) => {
                Some((publish.packet_id, publish.properties.message_expiry_interval()))
            }
            Packet::ConnAck(_) => None,
            Packet::Connect(_)
            | Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::PubComp(_)
            | Packet::Subscribe(_)
            | Packet::SubAck(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => panic!("{packet:?}"),
        });
        let messages: Vec<_> = got.into_iter().flatten().collect();
        assert_eq!(messages.first().and_then(|(_, expiry)| *expiry), left, "after {waits} s");
        assert_eq!(messages.len(), usize::from(left.is_some()));
        for (packet_id, _) in messages {
            world.send(reader, &Packet::PubAck(Ack::success(packet_id.expect("QoS 1"))));
        }
    }
}

#[test]
fn a_message_too_large_for_its_client_is_as_good_as_delivered() {
    let mut world = World::new();
    let own = properties(|p| p.maximum_packet_size(30).receive_maximum(1));
    let small = Connect { properties: own.as_properties(), ..connect("small") };
    let (reader, _) = world.connected(1, small);
    let (other, writer) = (world.client(2, "other"), world.client(3, "writer"));
    for key in [reader, other] {
        world.subscribe(key, "q", Qos::AtLeastOnce);
    }
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let dropped = world.core.counters().dropped;
        world.publish(writer, "q", &"x".repeat(30), qos);
        assert_eq!(world.bytes(reader), b"");
        assert_eq!(world.got(other).len(), 1, "others get it");
        assert!(qos == Qos::AtMostOnce || world.core.counters().dropped == dropped + 1);
        world.publish(writer, "q", "small", qos);
        assert_eq!(world.got(reader).len(), 1, "nothing is in its way, {qos:?}");
        world.got(other);
    }
}

#[test]
fn a_packet_larger_than_ours_ends_the_connection() {
    let mut world = World::with(Limits { packet_size: 100, ..limits() }, &Store::in_memory());
    let (key, max) = world.connack(1, connect("a"), |ack| ack.properties.maximum_packet_size());
    assert_eq!(max, Some(100));
    world.publish(key, "t", &"x".repeat(90), Qos::AtMostOnce);
    assert!(!world.closing(key), "98 bytes");
    world.feed(key, b"\x30\x63\0\x01t");
    assert!(world.ended(key, Reason::PacketTooLarge));
}

#[test]
fn topics_are_compared_byte_by_byte_and_nothing_is_stripped() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    // é as one character and as two, a byte order mark, case, slashes at both ends.
    let topics = ["\u{e9}", "e\u{301}", "\u{feff}a", "a", "A", "/a", "a/", "a//b", "a/b"];
    for topic in topics {
        world.subscribe(reader, topic, Qos::AtMostOnce);
        for sent in topics {
            world.publish(writer, sent, "x", Qos::AtMostOnce);
        }
        assert_eq!(world.got(reader), [message(topic, "x")]);
        world.unsubscribe(reader, &[topic]);
    }
}

#[test]
fn messages_of_one_topic_and_quality_arrive_in_the_order_they_came() {
    let mut world = World::with(
        Limits { queue: Limits::of(&config::Limits::default()).queue, ..limits() },
        &Store::in_memory(),
    );
    let own = properties(|p| p.receive_maximum(10));
    let narrow = Connect { properties: own.as_properties(), ..connect("narrow") };
    let (reader, _) = world.connected(1, narrow);
    let writer = world.client(2, "writer");
    world.subscribe(reader, "q", Qos::ExactlyOnce);
    let mut seen = Vec::new();
    for number in 0..40 {
        let qos = if number % 2 == 0 { Qos::AtLeastOnce } else { Qos::AtMostOnce };
        world.publish(writer, "q", &number.to_string(), qos);
    }
    loop {
        let got = world.got(reader);
        if got.is_empty() {
            break;
        }
        for got in got {
            let Got::Publish { payload, qos, id: number, .. } = got else { panic!("{got:?}") };
            seen.push((qos, payload.parse::<u32>().expect("a number")));
            if qos > 0 {
                world.send(reader, &Packet::PubAck(Ack::success(id(number))));
            }
        }
    }
    for quality in [0, 1] {
        let of_it: Vec<u32> =
            seen.iter().filter(|(qos, _)| *qos == quality).map(|(_, number)| *number).collect();
        assert_eq!(of_it.len(), 20);
        assert!(of_it.is_sorted(), "{of_it:?}");
    }
}
