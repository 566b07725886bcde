//! Full queues: what gives way, who is told.

use super::*;
use crate::broker::queue::Policy;

fn with(policy: Policy) -> World {
    let mut limits = limits();
    limits.queue = crate::broker::queue::Bounds { count: 3, policy, ..limits.queue };
    World::with(limits, &Store::in_memory())
}

/// A session that is away, and a writer.
fn away(world: &mut World) -> Key {
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::AtLeastOnce);
    world.core.closed(away, &mut world.fx);
    world.commit();
    world.client(2, "writer")
}

fn drops(world: &mut World, watcher: Key) -> Vec<serde_json::Value> {
    let got = world.got(watcher);
    let payloads = payloads(&got);
    payloads.iter().map(|(payload, _)| serde_json::from_str(payload).expect("JSON")).collect()
}

#[test]
fn the_policy_decides_what_gives_way_and_operators_are_told_once_with_a_count() {
    for (policy, left) in [(Policy::Oldest, ["3", "4", "5"]), (Policy::Newest, ["1", "2", "3"])] {
        let mut world = with(policy);
        let root = world.client(0, "root");
        world.subscribe(root, "maestro/event/broker/+/dropped", Qos::AtMostOnce);
        let writer = away(&mut world);
        for payload in ["1", "2", "3", "4", "5"] {
            world.publish(writer, "q", payload, Qos::AtLeastOnce);
        }
        world.commit();
        assert_eq!(drops(&mut world, root).len(), 0);
        world.pass(1);
        let told = drops(&mut world, root);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["reason"], &told[0]["count"]), (&"queue_full".into(), &2.into()));
        assert_eq!(world.core.counters().dropped, 2);
        let (back, _) = world.lasting(1, "away");
        let got = world.got(back);
        assert_eq!(payloads(&got).iter().map(|(payload, _)| *payload).collect::<Vec<_>>(), left);
    }
}

#[test]
fn refuse_decides_before_anyone_gets_anything() {
    let mut world = with(Policy::Refuse);
    let reader = world.client(3, "reader");
    world.subscribe(reader, "q", Qos::AtLeastOnce);
    let writer = away(&mut world);
    for payload in ["1", "2", "3"] {
        world.publish(writer, "q", payload, Qos::AtLeastOnce);
        world.commit();
        let number = numbers(&world.got(reader))[0];
        world.send(reader, &Packet::PubAck(Ack::success(id(number))));
        assert_eq!(world.got(writer), [Got::PubAck(7, Reason::Success)]);
    }
    world.publish(writer, "q", "4", Qos::AtLeastOnce);
    assert_eq!(world.got(writer), [Got::PubAck(7, Reason::QuotaExceeded)]);
    assert_eq!(world.got(reader), [], "nobody got it");
    world.publish(writer, "q", "5", Qos::AtMostOnce);
    assert_eq!(world.got(reader).len(), 1, "QoS 0 waits in no queue");
    let old = Connect { version: Version::V311, clean_start: true, ..connect("old") };
    let (old, _) = world.connected(2, old);
    world.publish(old, "q", "6", Qos::AtLeastOnce);
    assert_eq!(world.got(old), [Got::PubAck(7, Reason::Success)], "3.1.1 has no refusal");
    assert_eq!(world.got(reader), []);
}

#[test]
fn refuse_counts_the_queue_of_a_shared_subscription_too() {
    let mut world = with(Policy::Refuse);
    let (a, _) = world.lasting(1, "a");
    world.subscribe(a, "$share/g/q", Qos::AtLeastOnce);
    world.core.closed(a, &mut world.fx);
    let writer = world.client(2, "writer");
    for _ in 0..4 {
        world.publish(writer, "q", "x", Qos::AtLeastOnce);
        world.commit();
    }
    assert_eq!(world.got(writer)[3], Got::PubAck(7, Reason::QuotaExceeded));
}

#[test]
fn news_of_drops_that_is_dropped_makes_no_news() {
    let mut world = with(Policy::Oldest);
    let (root, _) = world.lasting(0, "root");
    world.subscribe(root, "maestro/event/#", Qos::AtLeastOnce);
    world.core.closed(root, &mut world.fx);
    let writer = away(&mut world);
    for second in 0..20 {
        for _ in 0..10 {
            world.publish(writer, "q", "x", Qos::AtLeastOnce);
        }
        world.pass(1);
        assert!(second < 4 || world.core.counters().dropped > 0);
    }
    let before = world.core.counters().dropped;
    world.pass(3600 - 60);
    assert_eq!(world.core.counters().dropped, before);
}

#[test]
fn messages_expire_in_a_queue_over_a_restart_and_tell_the_time_they_have_left() {
    let mut world = World::new();
    let writer = away(&mut world);
    let say = |world: &mut World, payload: &str, seconds: u32| {
        let mut properties = PropertyBuffer::new();
        properties.message_expiry_interval(seconds);
        let properties = properties.as_properties();
        world.publish_with(
            writer,
            Publish { properties, ..publish("q", payload, Qos::AtLeastOnce) },
        );
    };
    say(&mut world, "short", 10);
    say(&mut world, "long", 100);
    world.commit();
    world.pass(6);
    let mut world = world.killed();
    world.pass(4);
    let (back, _) = world.lasting(1, "away");
    world.commit();
    let bytes = world.core.outbox(back).expect("open").clone();
    let got = world.got(back);
    assert_eq!(payloads(&got), [("long", true)]);
    assert!(bytes.windows(5).any(|five| five == [2, 0, 0, 0, 90]), "90 s are left of 100");
    world.commit();
    assert_eq!(world.rows(Table::Queue), 1);
}
