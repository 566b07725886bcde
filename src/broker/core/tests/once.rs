//! Exactly once (§4.3.3), whenever the process is killed: in both directions.

use super::*;

fn twice(id_number: u16, payload: &str) -> Publish<'_> {
    Publish { packet_id: Some(id(id_number)), ..publish("q", payload, Qos::ExactlyOnce) }
}

fn ack(number: u16) -> Ack<'static> {
    Ack::success(id(number))
}

/// A reader with a session that stays, subscribed with QoS 2, and a writer with one, too.
fn pair(world: &mut World) -> (Key, Key) {
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::ExactlyOnce);
    let (writer, _) = world.lasting(2, "writer");
    world.commit();
    for key in [reader, writer] {
        world.got(key);
    }
    (reader, writer)
}

#[test]
fn a_durable_reader_sees_a_message_only_when_it_is_on_disk() {
    let mut world = World::new();
    let (reader, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    assert_eq!((world.got(reader), world.got(writer)), (vec![], vec![]));
    let mut world = world.killed();
    // Nobody has seen the message, so its identifier may carry another.
    let (reader, _) = world.lasting(1, "reader");
    assert_eq!(payloads(&world.got(reader)), []);
    let (writer, _) = world.lasting(2, "writer");
    world.publish_with(writer, Publish { dup: true, ..twice(1, "x") });
    world.commit();
    assert_eq!(payloads(&world.got(reader)), [("x", false)]);
}

#[test]
fn what_comes_again_after_a_kill_was_taken_before() {
    let mut world = World::new();
    let (_, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    world.commit();
    assert_eq!(world.got(writer), [Got::PubRec(1, Reason::Success)]);
    let mut world = world.killed();
    let (writer, _) = world.lasting(2, "writer");
    world.got(writer);
    world.publish_with(writer, Publish { dup: true, ..twice(1, "x") });
    assert_eq!(world.got(writer), [Got::PubRec(1, Reason::Success)]);
    let (reader, _) = world.lasting(1, "reader");
    assert_eq!(payloads(&world.got(reader)).len(), 1);
}

#[test]
fn an_identifier_is_on_disk_even_if_nobody_durable_gets_the_message() {
    let mut world = World::new();
    let reader = world.client(1, "reader");
    world.subscribe(reader, "q", Qos::ExactlyOnce);
    let (writer, _) = world.lasting(2, "writer");
    world.commit();
    world.got(writer);
    world.publish_with(writer, twice(1, "x"));
    assert_eq!(world.got(writer), [], "not before its commit");
    world.commit();
    assert_eq!(world.got(writer), [Got::PubRec(1, Reason::Success)]);
    assert_eq!(payloads(&world.got(reader)), [("x", false)]);
    assert_eq!(world.rows(Table::Received), 1);
}

#[test]
fn a_released_identifier_carries_another_message_even_after_a_kill() {
    let mut world = World::new();
    let (reader, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    world.commit();
    world.got(writer);
    world.send(writer, &Packet::PubRel(ack(1)));
    assert_eq!(world.got(writer), [], "PUBCOMP waits until the identifier is free on disk");
    world.commit();
    assert_eq!(world.got(writer), [Got::PubComp(1, Reason::Success)]);
    assert_eq!(world.rows(Table::Received), 0);
    world.got(reader);
    let mut world = world.killed();
    let (writer, _) = world.lasting(2, "writer");
    world.publish_with(writer, twice(1, "y"));
    world.commit();
    let (reader, _) = world.lasting(1, "reader");
    assert_eq!(payloads(&world.got(reader)), [("x", true), ("y", false)]);
}

#[test]
fn a_pubrel_after_a_kill_is_answered_whether_its_identifier_is_known_or_not() {
    let mut world = World::new();
    let (_, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    world.commit();
    let mut world = world.killed();
    let (writer, _) = world.lasting(2, "writer");
    world.got(writer);
    for reason in [Reason::Success, Reason::PacketIdentifierNotFound] {
        world.send(writer, &Packet::PubRel(ack(1)));
        world.commit();
        assert_eq!(world.got(writer), [Got::PubComp(1, reason)]);
    }
}

#[test]
fn a_publish_that_is_not_safe_leaves_no_identifier_and_no_message_behind() {
    let mut world = World::new();
    let (reader, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    world.full();
    let got = world.got(writer);
    assert!(matches!(got[..], [Got::PubRec(1, reason)] if reason.is_error()), "{got:?}");
    world.commit();
    world.publish_with(writer, twice(1, "x"));
    world.commit();
    assert_eq!(world.got(writer), [Got::PubRec(1, Reason::Success)]);
    assert_eq!(payloads(&world.got(reader)), [("x", false)], "once");
}

#[test]
fn a_pubcomp_that_is_not_safe_has_no_words_and_the_connection_is_closed() {
    let mut world = World::new();
    let (_, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    world.commit();
    world.got(writer);
    world.send(writer, &Packet::PubRel(ack(1)));
    world.full();
    assert_eq!((world.got(writer), &world.fx.close[..]), (vec![], &[writer][..]));
}

#[test]
fn a_publish_that_comes_again_on_a_new_connection_waits_for_the_same_commit() {
    let mut world = World::new();
    let (_, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    let (writer, _) = world.lasting(2, "writer");
    world.got(writer);
    world.publish_with(writer, Publish { dup: true, ..twice(1, "x") });
    assert_eq!(world.got(writer), []);
    world.commit();
    assert_eq!(world.got(writer), [Got::PubRec(1, Reason::Success)]);
}

#[test]
fn a_command_is_received_once_the_gate_and_the_disk_have_said_yes() {
    let mut world = World::new();
    let (root, _) = world.lasting(0, "root");
    world.commit();
    world.got(root);
    let ping = publish("maestro/cmd/system/ping", "", Qos::ExactlyOnce);
    world.publish_with(root, ping);
    world.publish_with(root, Publish { dup: true, ..ping });
    let hold = world.fx.hold.pop().expect("held");
    assert!(world.fx.hold.is_empty(), "asked once");
    let op = Op::Released { ticket: hold.ticket, verdict: Ok(()) };
    world.core.operation(op, &mut world.fx);
    assert_eq!(world.got(root), []);
    world.commit();
    let rec = Got::PubRec(7, Reason::Success);
    assert_eq!(world.got(root), [rec.clone(), rec]);
    assert_eq!(world.rows(Table::Received), 1);
}

#[test]
fn pubrel_waits_until_the_step_is_on_disk_and_is_all_that_is_repeated_after_a_kill() {
    let mut world = World::new();
    let (reader, writer) = pair(&mut world);
    for (number, payload) in [(1, "one"), (2, "two"), (3, "three")] {
        world.publish_with(writer, twice(number, payload));
    }
    world.commit();
    assert_eq!(payloads(&world.got(reader)).len(), 3);
    for number in [2, 1] {
        world.send(reader, &Packet::PubRec(ack(number)));
    }
    assert_eq!(world.got(reader), []);
    world.commit();
    assert_eq!(world.got(reader), [Got::PubRel(2), Got::PubRel(1)], "MQTT-4.6.0-4");
    let mut world = world.killed();
    let (reader, present) = world.lasting(1, "reader");
    assert!(present);
    world.commit();
    let got = world.got(reader);
    assert_eq!(got.iter().filter(|got| matches!(got, Got::PubRel(1 | 2))).count(), 2, "{got:?}");
    assert_eq!(payloads(&got), [("three", true)]);
    for number in [1, 2] {
        world.send(reader, &Packet::PubComp(ack(number)));
    }
    world.send(reader, &Packet::PubRec(ack(3)));
    world.commit();
    world.send(reader, &Packet::PubComp(ack(3)));
    world.commit();
    assert_eq!(world.rows(Table::Queue), 0);
}

#[test]
fn a_pubrel_overtaken_by_a_reconnect_still_waits_for_its_step() {
    let mut world = World::new();
    let (reader, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    world.commit();
    world.send(reader, &Packet::PubRec(ack(1)));
    let (reader, _) = world.lasting(1, "reader");
    let got = world.got(reader);
    assert!(!got.contains(&Got::PubRel(1)), "{got:?}");
    world.commit();
    assert_eq!(world.got(reader), [Got::PubRel(1)]);
}

#[test]
fn a_full_disk_does_not_keep_a_queue_from_draining() {
    let mut world = World::new();
    let (reader, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    world.commit();
    world.got(reader);
    world.send(reader, &Packet::PubRec(ack(1)));
    world.full();
    assert_eq!(world.got(reader), [Got::PubRel(1)]);
}

#[test]
fn a_pubrec_that_refuses_is_the_end_of_its_message() {
    let mut world = World::new();
    let (reader, writer) = pair(&mut world);
    world.publish_with(writer, twice(1, "x"));
    world.commit();
    world.got(reader);
    let refuse = Ack { reason: Reason::QuotaExceeded, ..ack(1) };
    world.send(reader, &Packet::PubRec(refuse));
    assert_eq!(world.got(reader), []);
    world.commit();
    assert_eq!(world.rows(Table::Queue), 0);
}

#[test]
fn what_expired_is_gone_from_the_disk_before_the_next_goes_out() {
    let mut world = World::new();
    let (_, writer) = pair(&mut world);
    let mut one = PropertyBuffer::new();
    one.session_expiry_interval(3600).receive_maximum(1);
    let one_at_a_time = Connect { properties: one.as_properties(), ..connect("reader") };
    let (reader, _) = world.connected(1, one_at_a_time);
    let mut mortal = PropertyBuffer::new();
    mortal.message_expiry_interval(1);
    world.publish_with(writer, twice(1, "x"));
    world.publish_with(writer, Publish { properties: mortal.as_properties(), ..twice(2, "y") });
    world.publish_with(writer, twice(3, "z"));
    world.commit();
    assert_eq!(payloads(&world.got(reader)), [("x", false)]);
    world.pass(2);
    world.send(reader, &Packet::PubRec(ack(1)));
    world.commit();
    world.got(reader);
    world.send(reader, &Packet::PubComp(ack(1)));
    assert_eq!(world.got(reader), [], "y may still come back");
    world.commit();
    assert_eq!(payloads(&world.got(reader)), [("z", false)]);
    let mut world = world.killed();
    let (reader, _) = world.lasting(1, "reader");
    assert_eq!(payloads(&world.got(reader)), [("z", true)]);
}

#[test]
fn a_publish_that_is_not_safe_was_with_nobody_whoever_they_are() {
    for filter in ["q", "$share/g/q"] {
        let mut world = World::new();
        let reader = world.client(1, "reader");
        world.subscribe(reader, filter, Qos::ExactlyOnce);
        let (writer, _) = world.lasting(2, "writer");
        world.commit();
        world.publish_with(writer, twice(1, "x"));
        assert_eq!(world.got(reader), [], "{filter}: nor will be, perhaps");
        world.full();
        world.publish_with(writer, Publish { dup: true, ..twice(1, "x") });
        world.commit();
        assert_eq!(payloads(&world.got(reader)), [("x", false)], "{filter}");
    }
}

#[test]
fn a_command_whose_record_is_on_disk_is_not_asked_for_again_after_a_kill() {
    let mut world = World::new();
    let (root, _) = world.lasting(0, "root");
    world.commit();
    let ping = publish("maestro/cmd/system/ping", "", Qos::ExactlyOnce);
    world.publish_with(root, ping);
    let hold = world.fx.hold.pop().expect("held");
    world.disk.write(hold.beside, crate::storage::Window::Promise, |_| {}); // with the record
    let mut world = world.killed();
    let (root, _) = world.lasting(0, "root");
    world.got(root);
    world.publish_with(root, Publish { dup: true, ..ping });
    assert!(world.fx.hold.is_empty());
    assert_eq!(world.got(root), [Got::PubRec(7, Reason::Success)]);
}
