//! Every limit is reached, and counted under the key that an operator would change.

use super::*;
use crate::broker::limits::Limit;
use crate::broker::queue::{Bounds, Policy};

/// The keys that were hit, when only this much is allowed.
fn hit(limits: Limits, deed: impl FnOnce(&mut World)) -> Vec<&'static str> {
    let mut world = World::with(limits, &Store::in_memory());
    deed(&mut world);
    world.core.check();
    world.core.counters().limits.iter().map(|(key, _)| key).collect()
}

fn many_connections(world: &mut World) {
    for _ in 0..3 {
        world.raw(1);
    }
}

fn silence(world: &mut World) {
    world.raw(1);
    world.pass(10);
}

/// The head of a packet that is far too large.
fn large(world: &mut World, key: Key, header: u8) {
    world.core.received(key, &[header, 0xff, 0xff, 0xff, 0x7f], &mut world.fx);
    world.core.closed(key, &mut world.fx);
}

fn two_filters(world: &mut World) {
    let key = world.client(1, "a");
    world.subscribe(key, "a/b", Qos::AtMostOnce);
    world.subscribe(key, "c", Qos::AtMostOnce);
}

fn two_kept(world: &mut World) {
    let key = world.client(1, "a");
    for topic in ["a", "b"] {
        let kept = Publish { retain: true, ..publish(topic, "a long payload", Qos::AtMostOnce) };
        world.publish_with(key, kept);
    }
}

/// Two messages for somebody who is away, not acknowledged before the disk has them.
fn two_waiting(world: &mut World) {
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::AtLeastOnce);
    world.core.closed(away, &mut world.fx);
    let writer = world.client(2, "writer");
    for _ in 0..2 {
        world.publish(writer, "q", "x", Qos::AtLeastOnce);
    }
}

fn alias(world: &mut World) {
    let key = world.client(1, "a");
    let mut properties = PropertyBuffer::new();
    properties.topic_alias(7);
    let properties = properties.as_properties();
    world.publish_with(key, Publish { properties, ..publish("t", "x", Qos::AtMostOnce) });
}

fn command(world: &mut World) {
    let root = world.client(0, "root");
    world.publish(root, "maestro/cmd/system/ping", "{}", Qos::AtLeastOnce);
}

/// Two connections, each with half a packet; which of them are closed.
fn half_packets(world: &mut World) -> [bool; 2] {
    let keys = ["a", "b"].map(|id| world.client(1, id));
    for key in keys {
        world.pass(1);
        world.core.received(key, b"\x30\x7f\0\x01t", &mut world.fx);
        world.core.received(key, b"\x30\x7f\0\x01t\0 and more", &mut world.fx);
    }
    keys.map(|key| world.closing(key))
}

#[test]
fn who_is_silent_longest_goes_when_too_much_is_begun_and_not_finished() {
    let half = 15; // of one packet
    let most = |unfinished| Limits { unfinished, ..limits() };
    let closed = |limits| half_packets(&mut World::with(limits, &Store::in_memory()));
    assert_eq!(closed(most(2 * half)), [false, false]);
    assert_eq!(closed(most(2 * half - 1)), [true, false]);
}

#[test]
fn the_filters_of_one_principal_leave_room_for_those_of_others() {
    let mut world =
        World::with(Limits { subscriptions_size: 10_000, ..limits() }, &Store::in_memory());
    let granted = |world: &mut World, key: Key| -> usize {
        let filters = (0..30).map(|number| format!("{number}/{}", "x/".repeat(4)));
        let filters: Vec<_> = filters.collect();
        let answers = filters.iter().flat_map(|one| world.subscribe(key, one, Qos::AtMostOnce));
        answers.filter(|got| *got == Got::SubAck(vec![0])).count()
    };
    let (one, again) = (world.client(1, "one"), world.client(1, "again"));
    let first = granted(&mut world, one);
    assert!((1..5).contains(&first), "{first} of 800 bytes in a quarter of 10 000");
    assert_eq!(granted(&mut world, again), 0, "the same principal");
    let other = world.client(2, "other");
    assert_eq!(granted(&mut world, other), first);
    world.core.closed(one, &mut world.fx);
    assert_eq!(granted(&mut world, again), first, "given back");
}

#[test]
fn what_is_too_much_for_all_lasting_sessions_together_goes_to_none() {
    let mut world = World::with(Limits { queued_total: 1000, ..limits() }, &Store::in_memory());
    let readers = ["a", "b", "c"].map(|id| {
        let (key, _) = world.lasting(1, id);
        world.subscribe(key, "q", Qos::AtLeastOnce);
        key
    });
    let writer = world.client(2, "writer");
    world.publish(writer, "q", &"x".repeat(334), Qos::AtLeastOnce);
    world.commit();
    assert_eq!(world.got(writer), [Got::PubAck(7, Reason::QuotaExceeded)]);
    assert!(readers.iter().all(|&reader| world.got(reader).is_empty()));
    world.publish(writer, "q", &"x".repeat(333), Qos::AtLeastOnce);
    world.commit();
    assert_eq!(world.got(writer), [Got::PubAck(7, Reason::Success)]);
}

#[test]
fn every_limit_can_be_reached_and_is_counted_under_its_key() {
    let all = limits();
    let refuse = |count, bytes| Limits {
        queue: Bounds { count, bytes, policy: Policy::Refuse },
        ..limits()
    };
    let retained = |count, bytes| {
        let retained = crate::broker::retained::Bounds { count, bytes };
        Limits { retained, ..limits() }
    };
    let hits = [
        hit(Limits { connections: 2, ..all }, many_connections),
        hit(Limits { connections_per_uid: 2, ..all }, many_connections),
        hit(all, silence),
        hit(all, |world| {
            let key = world.raw(1);
            large(world, key, 0x10);
        }),
        hit(Limits { sessions: 1, ..all }, |world| {
            world.client(1, "a");
            world.connected(1, connect("b"));
        }),
        hit(Limits { subscriptions: 1, ..all }, two_filters),
        hit(Limits { subscriptions_size: 4 * 300, ..all }, two_filters),
        hit(Limits { levels: 1, ..all }, two_filters),
        hit(retained(2, 1 << 20), two_kept), // one tells who is there
        hit(retained(100, 100), two_kept),
        hit(all, |world| {
            let key = world.client(1, "a");
            large(world, key, 0x30);
        }),
        hit(Limits { receive_maximum: 1, ..all }, two_waiting),
        hit(refuse(1, 1 << 20), two_waiting),
        hit(refuse(100, 100), two_waiting),
        hit(Limits { queued_total: 100, ..refuse(100, 1 << 20) }, two_waiting),
        hit(Limits { topic_alias: 3, ..all }, alias),
        hit(Limits { held: 0, ..all }, command),
        hit(Limits { unfinished: 10, ..all }, |world| {
            half_packets(world);
        }),
    ];
    assert_eq!(hits, Limit::KEYS.map(|key| vec![key]));
}
