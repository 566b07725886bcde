//! Sessions that outlive their connection, and the process.

use super::*;

#[test]
fn a_lost_connection_resumes_with_dup_and_the_same_identifier() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "x", Qos::AtLeastOnce);
    let first = world.got(reader);
    world.core.closed(reader, &mut world.fx);
    let (again, present) = world.lasting(1, "reader");
    assert!(present);
    let got = world.got(again);
    assert_eq!(got[0], Got::ConnAck { present: true, reason: Reason::Success });
    let [Got::Publish { id, dup: false, .. }] = first[..] else { panic!("{first:?}") };
    assert!(matches!(got[1], Got::Publish { id: same, dup: true, .. } if same == id), "{got:?}");
}

#[test]
fn sessions_queues_and_retained_messages_outlive_the_process() {
    let store = Store::in_memory();
    let mut world = World::with(limits(), &store);
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::AtLeastOnce);
    world.core.closed(reader, &mut world.fx);
    let writer = world.client(2, "writer");
    for payload in ["one", "two"] {
        world.publish(writer, "q", payload, Qos::AtLeastOnce);
    }
    world.publish_with(writer, Publish { retain: true, ..publish("kept", "x", Qos::AtLeastOnce) });
    world.store(&store, &Ok(()));

    let mut world = World::with(limits(), &store);
    let (reader, present) = world.lasting(1, "reader");
    assert!(present);
    let payloads: Vec<(String, bool)> = world
        .got(reader)
        .into_iter()
        .filter_map(|got| {
            let Got::Publish { payload, dup, .. } = got else { return None };
            Some((payload, dup))
        })
        .collect();
    assert_eq!(payloads, [("one".to_string(), true), ("two".to_string(), true)]);
    let got = world.subscribe(reader, "kept", Qos::AtMostOnce);
    assert!(matches!(&got[1], Got::Publish { retain: true, .. }), "{got:?}");
    for number in [1, 2] {
        world.send(reader, &Packet::PubAck(Ack::success(id(number))));
    }
    world.store(&store, &Ok(()));
    let mut left = 0;
    store.scan(Table::Queue, &mut |_, _| left += 1);
    assert_eq!(left, 0, "what is acknowledged leaves no row");
}

#[test]
fn an_offline_queue_is_bounded_and_keeps_the_newest() {
    let (mut world, store) = (World::new(), Store::in_memory());
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::AtLeastOnce);
    world.core.closed(away, &mut world.fx);
    let writer = world.client(2, "writer");
    for number in 0..8 {
        world.publish(writer, "q", &number.to_string(), Qos::AtLeastOnce);
    }
    world.store(&store, &Ok(()));
    let mut rows = 0;
    store.scan(Table::Queue, &mut |_, _| rows += 1);
    assert_eq!(rows, 5);
    let (back, _) = world.lasting(1, "away");
    let got = world.got(back);
    assert!(matches!(&got[1], Got::Publish { payload, .. } if payload == "3"), "{got:?}");
    assert_eq!(got.len(), 6);
}

#[test]
fn a_session_that_nobody_resumes_ends_when_its_time_is_over() {
    let (mut world, store) = (World::new(), Store::in_memory());
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::AtLeastOnce);
    world.core.closed(away, &mut world.fx);
    world.pass(3599);
    assert_eq!(world.core.sessions.len(), 1);
    world.pass(1);
    assert_eq!(world.core.sessions.len(), 0);
    world.store(&store, &Ok(()));
    store.scan(Table::Session, &mut |_, _| panic!("no row is left"));
}
