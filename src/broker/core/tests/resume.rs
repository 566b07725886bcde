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

#[test]
fn a_client_that_comes_and_goes_for_days_leaves_no_timers() {
    let mut world = World::new();
    for _ in 0..2000 {
        let (key, _) = world.lasting(1, "restless");
        world.core.closed(key, &mut world.fx);
        world.fx.close.clear();
        world.pass(1);
    }
    world.core.check();
}

#[test]
fn nobody_leaves_so_many_sessions_that_there_is_no_room_for_others() {
    let mut limits = limits();
    (limits.sessions, limits.connections_per_uid) = (6, 3);
    let mut world = World::with(limits, &Store::in_memory());
    for id in ["a", "b", "c"] {
        let (key, _) = world.lasting(1, id);
        world.core.closed(key, &mut world.fx);
    }
    let (_, got) = world.connected(1, connect("d"));
    assert_eq!(got, [Got::ConnAck { present: false, reason: Reason::QuotaExceeded }]);
    let (_, got) = world.connected(2, connect("other"));
    assert_eq!(got, [Got::ConnAck { present: false, reason: Reason::Success }]);
}
