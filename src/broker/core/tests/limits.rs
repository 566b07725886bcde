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
    ];
    assert_eq!(hits, Limit::KEYS.map(|key| vec![key]));
}
