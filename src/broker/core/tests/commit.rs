//! What a durable session is told waits for the disk; what the disk does not take is as if it never was.

use super::*;
use crate::broker::wire::{FilterBuffer, PacketType, Unsubscribe};

fn ask(world: &mut World, key: Key, filter: &str) {
    let mut subscriptions = SubscriptionBuffer::default();
    subscriptions.push(filter, wire::Options::at(Qos::AtLeastOnce)).expect("a filter");
    let subscriptions = subscriptions.as_subscriptions();
    let subscribe = Subscribe { packet_id: id(9), properties: NONE, subscriptions };
    world.send(key, &Packet::Subscribe(subscribe));
}

fn take_back(world: &mut World, key: Key, filter: &str) {
    let mut filters = FilterBuffer::default();
    filters.push(filter).expect("a filter");
    let filters = filters.as_filters();
    let unsubscribe = Unsubscribe { packet_id: id(9), properties: NONE, filters };
    world.send(key, &Packet::Unsubscribe(unsubscribe));
}

fn keep(world: &mut World, topic: &str, payload: &str, qos: Qos) {
    let writer = world.client(3, "keeper");
    world.publish_with(writer, Publish { retain: true, ..publish(topic, payload, qos) });
    world.commit();
    world.core.closed(writer, &mut world.fx);
}

/// Payloads, and where among them an acknowledgement stands.
fn order(got: &[Got]) -> Vec<String> {
    let word = |got: &Got| {
        if let Got::Publish { payload, .. } = got {
            return payload.clone();
        }
        if let Got::SubAck(codes) = got { format!("suback {codes:?}") } else { format!("{got:?}") }
    };
    got.iter().map(word).collect()
}

#[test]
fn a_suback_waits_for_its_row_and_what_it_brings_comes_after_it_in_order() {
    let mut world = World::new();
    keep(&mut world, "t/0", "kept 0", Qos::AtMostOnce);
    keep(&mut world, "t/1", "kept 1", Qos::AtLeastOnce);
    let (reader, _) = world.lasting(1, "reader");
    let writer = world.client(2, "writer");
    world.commit();
    world.got(reader);
    ask(&mut world, reader, "t/+");
    world.publish(writer, "t/0", "new 0", Qos::AtMostOnce);
    world.publish(writer, "t/1", "new 1", Qos::AtLeastOnce);
    assert_eq!(world.got(reader), []);
    world.commit();
    let got = order(&world.got(reader));
    assert_eq!(got, ["suback [1]", "kept 0", "kept 1", "new 0", "new 1"]);
}

#[test]
fn a_session_that_ends_with_its_connection_waits_for_nothing() {
    let mut world = World::new();
    let reader = world.client(1, "reader");
    ask(&mut world, reader, "t");
    assert_eq!(order(&world.got(reader)), ["suback [1]"]);
    take_back(&mut world, reader, "t");
    assert_eq!(world.got(reader), [Got::Other(PacketType::UnsubAck)]);
}

#[test]
fn filters_are_as_they_were_acknowledged_whenever_it_is_killed() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    ask(&mut world, reader, "a");
    world.commit();
    ask(&mut world, reader, "b");
    let world = world.killed();
    let session = world.core.sessions.iter().next().expect("restored").1;
    assert_eq!(session.filters.iter().map(|(filter, _)| filter).collect::<Vec<_>>(), ["a"]);

    let mut world = world;
    let (reader, _) = world.lasting(1, "reader");
    world.got(reader);
    take_back(&mut world, reader, "a");
    assert_eq!(world.got(reader), [], "not before it is on disk");
    world.commit();
    assert_eq!(world.got(reader), [Got::Other(PacketType::UnsubAck)]);
    let world = world.killed();
    assert!(world.core.sessions.iter().next().expect("restored").1.filters.is_empty());
}

#[test]
fn filters_that_are_not_safe_are_refused_and_forgotten() {
    let mut world = World::new();
    keep(&mut world, "b", "kept", Qos::AtLeastOnce);
    let (reader, _) = world.lasting(1, "reader");
    let writer = world.client(2, "writer");
    ask(&mut world, reader, "a");
    world.commit();
    world.got(reader);
    ask(&mut world, reader, "b");
    take_back(&mut world, reader, "a");
    world.full();
    let got = world.got(reader);
    assert_eq!(got, [Got::SubAck(vec![0x83]), Got::Other(PacketType::UnsubAck)]);
    world.publish(writer, "b", "x", Qos::AtMostOnce);
    world.publish(writer, "a", "y", Qos::AtMostOnce);
    assert_eq!(order(&world.got(reader)), ["y"]);
    world.commit();
    let world = world.killed();
    let session = world.core.sessions.iter().next().expect("restored").1;
    assert_eq!(session.filters.iter().map(|(filter, _)| filter).collect::<Vec<_>>(), ["a"]);
    assert_eq!(world.rows(Table::Queue), 0);
}

#[test]
fn in_3_1_1_a_subscription_that_is_not_safe_closes_the_connection() {
    let mut world = World::new();
    let (old, _) = world.connected(1, Connect { version: Version::V311, ..connect("old") });
    ask(&mut world, old, "a");
    world.full();
    assert_eq!((world.got(old), &world.fx.close[..]), (vec![], &[old][..]));
}

#[test]
fn a_message_that_is_not_safe_is_not_queued_for_whoever_is_away() {
    let mut world = World::new();
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::AtLeastOnce);
    world.core.closed(away, &mut world.fx);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "first", Qos::AtLeastOnce);
    world.full();
    world.publish(writer, "q", "again", Qos::AtLeastOnce);
    world.commit();
    assert_eq!(world.got(writer).len(), 2);
    let mut world = world.killed();
    let (away, _) = world.lasting(1, "away");
    let got = order(&world.got(away));
    assert_eq!(got[1..], ["again"]);
}

#[test]
fn what_nobody_owns_on_disk_is_deleted_at_the_next_start() {
    let disk = Store::in_memory();
    let lost = crate::storage::Batch::default().put(Table::Queue, rows::queue_key(7, 1), "").put(
        Table::Received,
        rows::received_key(7, id(1)),
        "",
    );
    disk.write(lost, crate::storage::Window::Promise, |_| {});
    let mut world = World::with(limits(), &disk);
    world.commit();
    assert_eq!((world.rows(Table::Queue), world.rows(Table::Received)), (0, 0));
    let (first, _) = world.lasting(1, "first");
    let session = world.core.open_session(first).expect("open");
    let row = world.core.sessions.get(session).expect("there").row;
    assert!(row > Some(7), "a number that had rows is not given again: {row:?}");
}
