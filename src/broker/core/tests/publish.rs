//! PUBLISH from a client: taken once, acknowledged when it is safe.

use super::*;

#[test]
fn each_quality_reaches_a_subscriber_of_at_least_that_quality() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    assert_eq!(world.subscribe(reader, "a/+", Qos::ExactlyOnce), [Got::SubAck(vec![2])]);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        world.publish(writer, "a/b", "x", qos);
        let got = world.got(reader);
        assert!(
            matches!(&got[..], [Got::Publish { qos: got, .. }] if *got == qos as u8),
            "{got:?}"
        );
    }
    let acks = [Got::PubAck(7, Reason::Success), Got::PubRec(7, Reason::Success)];
    assert_eq!(world.got(writer), acks);
    world.send(writer, &Packet::PubRel(Ack::success(id(7))));
    assert_eq!(world.got(writer), [Got::PubComp(7, Reason::Success)]);
}

#[test]
fn a_repeated_qos_2_publish_is_delivered_once() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    world.subscribe(reader, "a", Qos::AtMostOnce);
    world.publish(writer, "a", "x", Qos::ExactlyOnce);
    let again = Publish { dup: true, ..publish("a", "x", Qos::ExactlyOnce) };
    world.publish_with(writer, again);
    assert_eq!(world.got(reader), [message("a", "x")]);
    let rec = Got::PubRec(7, Reason::Success);
    assert_eq!(world.got(writer), [rec.clone(), rec]);
}

#[test]
fn a_publish_for_a_lasting_session_is_acknowledged_only_after_the_commit_and_in_order() {
    let (mut world, store) = (World::new(), Store::in_memory());
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    world.publish_with(
        writer,
        Publish { packet_id: Some(id(1)), ..publish("q", "x", Qos::AtLeastOnce) },
    );
    world.publish_with(
        writer,
        Publish { packet_id: Some(id(2)), ..publish("free", "x", Qos::AtLeastOnce) },
    );
    assert_eq!(world.got(writer), [], "the second waits for the first (MQTT-4.6.0-2)");
    world.store(&store, &Ok(()));
    assert_eq!(
        world.got(writer),
        [Got::PubAck(1, Reason::Success), Got::PubAck(2, Reason::Success)]
    );
}

#[test]
fn what_the_disk_did_not_take_is_refused_in_5_and_closed_without_a_word_in_3_1_1() {
    let (mut world, store) = (World::new(), Store::in_memory());
    let full = Err(Unsafe { code: "storage.full", message: "no space".into() });
    let keep = |world: &mut World, writer| {
        world.publish_with(
            writer,
            Publish { retain: true, ..publish("keep", "x", Qos::AtLeastOnce) },
        );
    };
    let five = world.client(1, "five");
    keep(&mut world, five);
    world.store(&store, &full);
    assert!(matches!(world.got(five)[..], [Got::PubAck(7, reason)] if reason.is_error()));
    let old = Connect { version: Version::V311, clean_start: true, ..connect("old") };
    let (old, _) = world.connected(2, old);
    keep(&mut world, old);
    world.store(&store, &full);
    assert_eq!(world.got(old), []);
    assert_eq!(world.fx.close, [old]);
}

#[test]
fn a_slow_reader_loses_its_own_messages_only() {
    let mut world = World::new();
    let (slow, quick, writer) =
        (world.client(1, "slow"), world.client(2, "quick"), world.client(3, "writer"));
    world.subscribe(slow, "t", Qos::AtMostOnce);
    world.subscribe(quick, "t", Qos::AtMostOnce);
    let payload = "x".repeat(100_000);
    let mut taken = 0;
    for _ in 0..100 {
        world.publish(writer, "t", &payload, Qos::AtMostOnce);
        taken += world.got(quick).len();
    }
    assert_eq!(taken, 100);
    let behind = world.core.connections.get(slow).expect("still there").out.len();
    assert!(behind < 2 * world.core.setting.limits.outbox, "{behind}");
    assert!(world.core.counters().dropped > 80);
}
