//! Topic aliases, both ways (5.0 §3.3.2.3.4).

use super::bytes::properties;
use super::*;

/// A client that takes this many aliases.
fn taking(world: &mut World, uid: u32, id: &'static str, max: u16) -> Key {
    let own = properties(|p| p.topic_alias_maximum(max));
    let (key, _) = world.connected(uid, Connect { properties: own.as_properties(), ..connect(id) });
    key
}

fn said(world: &mut World, writer: Key, topic: &str, alias: u16) {
    let own = properties(|p| p.topic_alias(alias));
    let publish =
        Publish { properties: own.as_properties(), ..publish(topic, "x", Qos::AtMostOnce) };
    world.publish_with(writer, publish);
}

/// Topic and alias of every PUBLISH that a client got.
fn heard(world: &mut World, reader: Key) -> Vec<(String, Option<u16>)> {
    world.each(reader, |packet| {
        let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
        (publish.topic.to_string(), publish.properties.topic_alias())
    })
}

#[test]
fn an_alias_stands_for_the_topic_it_was_last_sent_with() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    world.subscribe(reader, "#", Qos::AtMostOnce);
    world.got(reader);
    for (topic, alias) in [("a/b", 1), ("", 1), ("c/d", 1), ("", 1), ("e", 16), ("", 16)] {
        said(&mut world, writer, topic, alias);
    }
    let topics = ["a/b", "a/b", "c/d", "c/d", "e", "e"];
    assert_eq!(world.got(reader), topics.map(|topic| message(topic, "x")));
}

#[test]
fn our_topic_alias_maximum_is_announced_and_an_alias_above_it_ends_the_connection() {
    let mut world = World::new();
    let (key, max) = world.connack(1, connect("a"), |ack| ack.properties.topic_alias_maximum());
    assert_eq!(max, Some(16));
    said(&mut world, key, "t", 17);
    assert!(world.ended(key, Reason::TopicAliasInvalid));
}

#[test]
fn an_alias_of_0_ends_the_connection() {
    let mut world = World::new();
    let key = world.client(1, "a");
    assert!(world.feed(key, b"\x30\x07\0\x01t\x03\x23\0\0"));
    assert!(world.ended(key, Reason::TopicAliasInvalid));
}

#[test]
fn an_alias_that_stands_for_nothing_is_a_protocol_error() {
    let mut world = World::new();
    let key = world.client(1, "a");
    said(&mut world, key, "", 3);
    assert!(world.ended(key, Reason::ProtocolError));
}

#[test]
fn without_topic_aliases_in_the_configuration_none_is_announced_and_none_taken() {
    let mut world = World::with(Limits { topic_alias: 0, ..limits() }, &Store::in_memory());
    let (key, max) = world.connack(1, connect("a"), |ack| ack.properties.topic_alias_maximum());
    assert_eq!(max, None);
    said(&mut world, key, "t", 1);
    assert!(world.ended(key, Reason::TopicAliasInvalid));
}

#[test]
fn a_new_connection_knows_no_alias_of_the_old_one_either_way() {
    let mut world = World::new();
    let (reader, writer) = (taking(&mut world, 1, "reader", 9), world.client(2, "writer"));
    world.subscribe(reader, "topic", Qos::AtMostOnce);
    said(&mut world, writer, "topic", 1);
    assert_eq!(heard(&mut world, reader)[0].0, "topic");
    let (reader, writer) = (taking(&mut world, 1, "reader", 9), world.client(2, "writer"));
    world.subscribe(reader, "topic", Qos::AtMostOnce);
    said(&mut world, writer, "topic", 2);
    assert_eq!(heard(&mut world, reader)[0].0, "topic", "said in full again");
    said(&mut world, writer, "", 1);
    assert!(world.ended(writer, Reason::ProtocolError));
}

#[test]
fn a_topic_sent_often_goes_out_as_a_number_to_a_client_that_takes_aliases() {
    let mut world = World::new();
    let (reader, plain) = (taking(&mut world, 1, "reader", 4), world.client(2, "plain"));
    let writer = world.client(3, "writer");
    world.subscribe(reader, "sensors/#", Qos::AtLeastOnce);
    world.subscribe(plain, "sensors/#", Qos::AtMostOnce);
    for _ in 0..3 {
        world.publish(writer, "sensors/hall", "21", Qos::AtLeastOnce);
    }
    let heard = heard(&mut world, reader);
    let alias = heard[0].1.expect("an alias");
    assert!((1..=4).contains(&alias), "{alias}");
    assert_eq!(heard[0].0, "sensors/hall");
    assert_eq!(heard[1..], [(String::new(), Some(alias)), (String::new(), Some(alias))]);
    let same = Got::Publish {
        topic: "sensors/hall".into(),
        payload: "21".into(),
        qos: 0,
        retain: false,
        dup: false,
        id: 0,
        subs: vec![],
    };
    assert_eq!(world.got(plain), [same.clone(), same.clone(), same]);
}

#[test]
fn no_alias_is_ever_above_what_the_client_takes() {
    let mut world = World::new();
    let (reader, writer) = (taking(&mut world, 1, "reader", 2), world.client(2, "writer"));
    world.subscribe(reader, "t/#", Qos::AtMostOnce);
    let mut aliases = 0;
    for number in 0..100 {
        world.publish(writer, &format!("t/number/{}", number % 10), "x", Qos::AtMostOnce);
        for (topic, alias) in heard(&mut world, reader) {
            assert!(alias.is_none_or(|alias| (1..=2).contains(&alias)), "{topic} {alias:?}");
            aliases += usize::from(alias.is_some());
        }
    }
    assert!(aliases > 10, "{aliases}");
}

#[test]
fn a_message_too_large_for_a_client_leaves_no_alias_behind() {
    let mut world = World::new();
    let own = properties(|p| p.topic_alias_maximum(4).maximum_packet_size(60));
    let small = Connect { properties: own.as_properties(), ..connect("small") };
    let (reader, _) = world.connected(1, small);
    let writer = world.client(2, "writer");
    world.subscribe(reader, "topic", Qos::AtMostOnce);
    world.publish(writer, "topic", &"x".repeat(100), Qos::AtMostOnce);
    world.publish(writer, "topic", &"x".repeat(50), Qos::AtMostOnce); // fits only without an alias
    world.publish(writer, "topic", "x", Qos::AtMostOnce);
    let heard = heard(&mut world, reader);
    assert_eq!(heard[0], ("topic".to_string(), None));
    assert_eq!(heard[1].0, "topic", "the number is said with the topic first");
}
