//! What is held for all clients together: who gives way when it is too much.

use super::*;
use crate::broker::notice::Drop;
use crate::broker::queue::{Bounds, Policy};

/// A message of 1000 bytes weighs so much in a queue.
const WEIGHT: usize = 1000 + 64 + 1;

fn payload(number: usize) -> String {
    format!("{number:01000}")
}

/// Room for so many messages in all, and for all of those in each queue.
fn with(policy: Policy, room: usize) -> World {
    let mut limits = limits();
    limits.queue = Bounds { count: 1000, bytes: 1 << 20, policy };
    limits.queued_total = room * WEIGHT;
    World::with(limits, &Store::in_memory())
}

/// A session that is away and gets one topic.
fn away(world: &mut World, client: &'static str, topic: &str) {
    let (key, _) = world.lasting(1, client);
    world.subscribe(key, topic, Qos::AtLeastOnce);
    world.core.closed(key, &mut world.fx);
    world.commit();
}

/// The numbers of what a client has got; it acknowledges them.
fn taken(world: &mut World, key: Key) -> Vec<usize> {
    let got = world.got(key);
    for got in &got {
        if let Got::Publish { id: number, .. } = got {
            world.send(key, &Packet::PubAck(Ack::success(id(*number))));
        }
    }
    numbers(&got)
}

/// The same for a session that comes back, until nothing is left.
fn back(world: &mut World, client: &'static str) -> Vec<usize> {
    let (key, _) = world.lasting(1, client);
    let mut all = Vec::new();
    loop {
        let more = taken(world, key);
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

fn numbers(got: &[Got]) -> Vec<usize> {
    payloads(got).iter().map(|(payload, _)| payload.parse().expect("a number")).collect()
}

fn hits(world: &World) -> Vec<(&'static str, u64)> {
    world.core.counters().limits.iter().collect()
}

#[test]
fn who_has_most_gives_way_and_nobody_else_loses_anything() {
    for (policy, left) in [(Policy::Oldest, [12, 13, 14]), (Policy::Newest, [0, 1, 2])] {
        let mut world = with(policy, 6);
        let root = world.client(0, "root");
        world.subscribe(root, "maestro/event/broker/+/dropped", Qos::AtMostOnce);
        let writer = world.client(2, "writer");
        away(&mut world, "hog", "h");
        away(&mut world, "small", "s");
        for number in 0..15 {
            if number % 5 == 0 {
                world.publish(writer, "s", &payload(number), Qos::AtLeastOnce);
            }
            world.publish(writer, "h", &payload(number), Qos::AtLeastOnce);
            assert!(world.core.queued.bytes() <= 6 * WEIGHT);
            world.core.check();
        }
        world.commit();
        assert_eq!(world.rows(Table::Queue), 6, "what left has left the disk, too");
        world.pass(1);
        let got = world.got(root);
        let [(told, _)] = payloads(&got)[..] else { panic!("{got:?}") };
        let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
        assert_eq!((&told["reason"], &told["count"]), (&"total_size".into(), &12.into()));
        let counters = world.core.counters();
        let drops: Vec<_> = counters.drops.iter().collect();
        assert_eq!((counters.dropped, drops), (12, vec![(Drop::TotalSize, 12)]));
        assert_eq!(back(&mut world, "small"), [0, 5, 10]);
        assert_eq!(back(&mut world, "hog"), left);
    }
}

#[test]
fn the_queue_of_a_shared_subscription_gives_way_like_any_other() {
    let mut world = with(Policy::Oldest, 4);
    let writer = world.client(2, "writer");
    away(&mut world, "member", "$share/g/h");
    away(&mut world, "small", "s");
    world.publish(writer, "s", &payload(0), Qos::AtLeastOnce);
    for number in 0..9 {
        world.publish(writer, "h", &payload(number), Qos::AtLeastOnce);
    }
    world.core.check();
    assert_eq!(back(&mut world, "member"), [6, 7, 8]);
    assert_eq!(back(&mut world, "small"), [0]);
}

#[test]
fn refuse_refuses_what_would_wait_and_serves_who_takes_it() {
    let mut world = with(Policy::Refuse, 4);
    let reader = world.client(3, "reader");
    world.subscribe(reader, "r", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    away(&mut world, "hog", "h");
    away(&mut world, "small", "s");
    for number in 0..4 {
        world.publish(writer, "h", &payload(number), Qos::AtLeastOnce);
    }
    world.commit();
    assert!(world.got(writer).iter().all(|got| *got == Got::PubAck(7, Reason::Success)));
    for topic in ["h", "s"] {
        world.publish(writer, topic, &payload(4), Qos::AtLeastOnce);
        assert_eq!(world.got(writer), [Got::PubAck(7, Reason::QuotaExceeded)]);
    }
    assert_eq!(hits(&world), [("max_queued_total_size", 2)]);
    for number in 5..9 {
        world.publish(writer, "r", &payload(number), Qos::AtLeastOnce);
        assert_eq!(taken(&mut world, reader), [number], "it goes out at once");
    }
    assert_eq!(back(&mut world, "hog"), [0, 1, 2, 3], "what was taken stays");
}

#[test]
fn who_never_acknowledges_has_an_even_share_once_half_of_the_room_is_sent() {
    let mut world = with(Policy::Oldest, 40);
    let writer = world.client(2, "writer");
    let silent: Vec<Key> = ["a", "b", "c"].map(|client| world.client(1, client)).into();
    for &key in &silent {
        world.subscribe(key, "h", Qos::AtLeastOnce);
    }
    let reader = world.client(3, "reader");
    world.subscribe(reader, "r", Qos::AtLeastOnce);
    away(&mut world, "small", "s");
    world.publish(writer, "s", &payload(0), Qos::AtLeastOnce);
    world.commit();
    for number in 0..100 {
        world.publish(writer, "h", &payload(number), Qos::AtLeastOnce);
        world.publish(writer, "r", &payload(number), Qos::AtLeastOnce);
        assert_eq!(taken(&mut world, reader), [number], "who acknowledges goes on");
        silent.iter().for_each(|&key| drop(world.got(key)));
        world.core.check();
        assert!(world.core.sent.bytes() <= 22 * WEIGHT, "{}", world.core.sent.bytes());
        assert!(world.core.queued.bytes() <= 40 * WEIGHT);
    }
    assert_eq!(back(&mut world, "small"), [0]);
}

#[test]
fn who_never_reads_keeps_an_even_share_unread_once_half_of_the_room_is_sent() {
    let mut world = with(Policy::Oldest, 40);
    let writer = world.client(2, "writer");
    let deaf: Vec<Key> = ["a", "b", "c"].map(|client| world.client(1, client)).into();
    for &key in &deaf {
        world.subscribe(key, "h", Qos::AtMostOnce);
    }
    for number in 0..100 {
        world.publish(writer, "h", &payload(number), Qos::AtMostOnce);
        deaf.iter().for_each(|&key| world.core.written(key, &mut world.fx)); // the kernel takes nothing
    }
    assert!(world.core.sent.bytes() <= 23 * WEIGHT, "{}", world.core.sent.bytes());
    let counters = world.core.counters();
    assert_eq!(counters.drops.iter().map(|(why, _)| why).collect::<Vec<_>>(), [Drop::Slow]);
    let reader = world.client(3, "reader");
    world.subscribe(reader, "h", Qos::AtMostOnce);
    world.publish(writer, "h", &payload(100), Qos::AtMostOnce);
    assert_eq!(numbers(&world.got(reader)), [100]);
}

#[test]
fn one_message_larger_than_everything_may_be_is_still_delivered_to_who_takes_it() {
    for policy in [Policy::Oldest, Policy::Refuse] {
        let mut world = with(policy, 1);
        let reader = world.client(1, "reader");
        world.subscribe(reader, "h", Qos::AtLeastOnce);
        let writer = world.client(2, "writer");
        world.publish(writer, "h", &"7".repeat(9000), Qos::AtLeastOnce);
        assert_eq!(payloads(&world.got(reader)).len(), 1, "{policy:?}");
    }
}

#[test]
fn no_more_bytes_are_in_flight_to_a_client_than_may_wait_for_it() {
    let mut limits = limits();
    limits.queue = Bounds { count: 1000, bytes: 3 * WEIGHT, policy: Policy::Oldest };
    let mut world = World::with(limits, &Store::in_memory());
    let reader = world.client(1, "reader");
    world.subscribe(reader, "h", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    for number in 0..5 {
        world.publish(writer, "h", &payload(number), Qos::AtLeastOnce);
    }
    let got = world.got(reader);
    assert_eq!(numbers(&got), [0, 1, 2], "of 100 by count");
    world.send(reader, &Packet::PubAck(Ack::success(id(1))));
    assert_eq!(numbers(&world.got(reader)), [3]);
}

#[test]
fn a_smaller_bound_holds_for_what_an_earlier_process_took() {
    let mut world = with(Policy::Oldest, 100);
    let writer = world.client(2, "writer");
    away(&mut world, "hog", "h");
    away(&mut world, "small", "s");
    world.publish(writer, "s", &payload(0), Qos::AtLeastOnce);
    for number in 0..9 {
        world.publish(writer, "h", &payload(number), Qos::AtLeastOnce);
    }
    world.commit();
    world.core.setting.limits.queued_total = 3 * WEIGHT;
    let mut world = world.killed();
    world.pass(1);
    assert_eq!(back(&mut world, "hog"), [7, 8]);
    assert_eq!(back(&mut world, "small"), [0]);
}

#[test]
fn a_queue_full_by_bytes_says_so() {
    let mut limits = limits();
    limits.queue = Bounds { count: 1000, bytes: 2 * WEIGHT, policy: Policy::Oldest };
    let mut world = World::with(limits, &Store::in_memory());
    let writer = world.client(2, "writer");
    away(&mut world, "away", "h");
    for number in 0..5 {
        world.publish(writer, "h", &payload(number), Qos::AtLeastOnce);
    }
    let drops: Vec<_> = world.core.counters().drops.iter().collect();
    assert_eq!(drops, [(Drop::QueueSize, 3)]);
}
