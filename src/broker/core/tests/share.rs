//! Shared subscriptions (§4.8.2): one member gets it, nobody's absence loses it, no kill doubles it.

use super::*;
use crate::broker::wire::{FilterBuffer, Unsubscribe};

const SHARED: &str = "$share/g/q";

fn ack(number: u16) -> Ack<'static> {
    Ack::success(id(number))
}

/// A member with a session that stays.
fn member(world: &mut World, id: &'static str, qos: Qos) -> Key {
    let (key, _) = world.lasting(1, id);
    world.subscribe(key, SHARED, qos);
    world.got(key);
    key
}

fn back(world: &mut World, id: &'static str) -> Key {
    let (key, present) = world.lasting(1, id);
    assert!(present);
    key
}

/// Publishes one by one, each committed.
fn say(world: &mut World, writer: Key, qos: Qos, payloads: &[&str]) {
    for payload in payloads {
        world.publish(writer, "q", payload, qos);
        world.commit();
        if qos == Qos::ExactlyOnce {
            world.send(writer, &Packet::PubRel(ack(7)));
            world.commit();
        }
        world.got(writer);
    }
}

/// What a member gets now, without its CONNACK: payload, DUP.
fn gets(world: &mut World, key: Key) -> Vec<(String, bool)> {
    let got = world.got(key);
    payloads(&got).iter().map(|(payload, dup)| (payload.to_string(), *dup)).collect()
}

fn fresh(payloads: &[&str]) -> Vec<(String, bool)> {
    payloads.iter().map(|payload| (payload.to_string(), false)).collect()
}

fn again(payloads: &[&str]) -> Vec<(String, bool)> {
    payloads.iter().map(|payload| (payload.to_string(), true)).collect()
}

#[test]
fn members_that_are_there_take_turns_at_every_quality() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut world = World::new();
        let members = [member(&mut world, "a", qos), member(&mut world, "b", qos)];
        let writer = world.client(2, "writer");
        say(&mut world, writer, qos, &["1", "2", "3", "4"]);
        let counts = members.map(|key| gets(&mut world, key).len());
        assert_eq!(counts, [2, 2], "{qos:?}");
    }
}

#[test]
fn what_comes_while_nobody_is_there_waits_in_order_for_whoever_comes_first() {
    let mut world = World::new();
    let (a, b) =
        (member(&mut world, "a", Qos::AtLeastOnce), member(&mut world, "b", Qos::AtLeastOnce));
    for key in [a, b] {
        world.core.closed(key, &mut world.fx);
    }
    let writer = world.client(2, "writer");
    say(&mut world, writer, Qos::AtLeastOnce, &["1", "2", "3"]);
    let mut world = world.killed();
    let b = back(&mut world, "b");
    // Whether the earlier process had sent them to anyone is not known.
    assert_eq!(gets(&mut world, b), again(&["1", "2", "3"]));
    for number in 1..=3 {
        world.send(b, &Packet::PubAck(ack(number)));
    }
    world.commit();
    assert_eq!(world.rows(Table::Group), 0);
    let mut world = world.killed();
    let a = back(&mut world, "a");
    assert_eq!(gets(&mut world, a), []);
}

#[test]
fn a_member_whose_window_is_full_gets_no_more_while_another_has_room() {
    let mut world = World::with(Limits { in_flight: 1, ..limits() }, &Store::in_memory());
    let a = member(&mut world, "a", Qos::AtLeastOnce);
    let b = member(&mut world, "b", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    say(&mut world, writer, Qos::AtLeastOnce, &["1", "2", "3"]);
    assert_eq!((gets(&mut world, a).len(), gets(&mut world, b).len()), (1, 1));
    world.send(b, &Packet::PubAck(ack(1)));
    assert_eq!(gets(&mut world, b), fresh(&["3"]), "it pulls when it has room");
    assert_eq!(gets(&mut world, a), []);
}

#[test]
fn what_a_member_leaves_unacknowledged_goes_to_another_at_once_and_in_order() {
    let mut world = World::new();
    let a = member(&mut world, "a", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    say(&mut world, writer, Qos::AtLeastOnce, &["1", "2", "3"]);
    assert_eq!(gets(&mut world, a), fresh(&["1", "2", "3"]));
    world.send(a, &Packet::PubAck(ack(2)));
    let b = member(&mut world, "b", Qos::AtLeastOnce);
    world.core.closed(a, &mut world.fx);
    assert_eq!(gets(&mut world, b), fresh(&["1", "3"]), "new to this client");
    world.core.closed(b, &mut world.fx);
    let b = back(&mut world, "b");
    assert_eq!(gets(&mut world, b), again(&["1", "3"]), "the same client again");
}

#[test]
fn what_was_sent_with_qos_2_stays_with_its_client_even_over_a_kill() {
    let mut world = World::new();
    let a = member(&mut world, "a", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    say(&mut world, writer, Qos::ExactlyOnce, &["1"]);
    assert_eq!(gets(&mut world, a), fresh(&["1"]));
    let b = member(&mut world, "b", Qos::ExactlyOnce);
    world.core.closed(a, &mut world.fx);
    world.commit();
    assert_eq!(gets(&mut world, b), [], "MQTT-4.8.2-4");
    let mut world = world.killed();
    let b = back(&mut world, "b");
    assert_eq!(gets(&mut world, b), []);
    let a = back(&mut world, "a");
    assert_eq!(gets(&mut world, a), again(&["1"]));
    world.send(a, &Packet::PubRec(ack(1)));
    world.commit();
    world.send(a, &Packet::PubComp(ack(1)));
    world.commit();
    assert_eq!((world.rows(Table::Queue), world.rows(Table::Group)), (0, 0));
}

#[test]
fn what_was_sent_with_qos_2_is_given_to_nobody_else_when_the_session_ends() {
    let mut world = World::new();
    let plain = world.client(3, "plain");
    world.subscribe(plain, SHARED, Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    say(&mut world, writer, Qos::ExactlyOnce, &["1"]);
    assert_eq!(gets(&mut world, plain), fresh(&["1"]));
    let b = member(&mut world, "b", Qos::ExactlyOnce);
    world.core.closed(plain, &mut world.fx);
    world.commit();
    assert_eq!(gets(&mut world, b), [], "MQTT-4.8.2-5");
    assert_eq!(world.rows(Table::Group), 0);
}

#[test]
fn what_was_given_with_qos_2_and_not_sent_goes_back() {
    let mut world = World::new();
    let a = member(&mut world, "a", Qos::ExactlyOnce);
    let b = member(&mut world, "b", Qos::ExactlyOnce);
    let (writer, _) = world.lasting(2, "writer");
    world.commit();
    world.publish(writer, "q", "1", Qos::ExactlyOnce);
    // It waits for its commit with one of them; that one goes.
    let holder = [a, b].into_iter().find(|&key| {
        let session = world.core.open_session(key).and_then(|key| world.core.sessions.get(key));
        session.is_some_and(|session| !session.queue.is_empty())
    });
    let other = if holder == Some(a) { b } else { a };
    world.core.closed(holder.expect("given"), &mut world.fx);
    world.commit();
    assert_eq!(gets(&mut world, other), fresh(&["1"]));
}

#[test]
fn a_refusal_by_a_member_is_the_end_of_a_message() {
    let mut world = World::new();
    let a = member(&mut world, "a", Qos::ExactlyOnce);
    let b = member(&mut world, "b", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    say(&mut world, writer, Qos::AtLeastOnce, &["1", "2"]);
    for key in [a, b] {
        world.got(key);
        let refuse = Ack { reason: Reason::QuotaExceeded, ..ack(1) };
        world.send(key, &Packet::PubAck(refuse));
    }
    world.commit();
    assert_eq!(world.rows(Table::Group), 0);
    world.core.closed(a, &mut world.fx);
    assert_eq!(gets(&mut world, b), [], "MQTT-4.8.2-6");
}

#[test]
fn the_last_member_takes_the_queue_with_it() {
    let mut world = World::new();
    let a = member(&mut world, "a", Qos::AtLeastOnce);
    world.core.closed(a, &mut world.fx);
    let writer = world.client(2, "writer");
    say(&mut world, writer, Qos::AtLeastOnce, &["1", "2"]);
    assert_eq!(world.rows(Table::Group), 2);
    world.pass(3601);
    world.commit();
    assert_eq!((world.rows(Table::Group), world.core.groups.len()), (0, 0));
    say(&mut world, writer, Qos::AtLeastOnce, &["3"]);
    let b = member(&mut world, "b", Qos::AtLeastOnce);
    assert_eq!(gets(&mut world, b), []);
}

#[test]
fn unsubscribing_finishes_what_was_sent_and_gives_the_rest_to_others() {
    let mut world = World::with(Limits { in_flight: 1, ..limits() }, &Store::in_memory());
    let a = member(&mut world, "a", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    say(&mut world, writer, Qos::AtLeastOnce, &["1", "2"]);
    assert_eq!(gets(&mut world, a), fresh(&["1"]));
    let session = world.core.open_session(a).expect("open");
    let b = member(&mut world, "b", Qos::AtLeastOnce);
    assert_eq!(gets(&mut world, b), []);
    world.core.drop_filter(session, SHARED, &mut world.fx);
    world.commit();
    let mut world = world.killed();
    let a = back(&mut world, "a");
    assert_eq!(gets(&mut world, a), again(&["1"]), "MQTT-3.10.4-3");
}

#[test]
fn a_group_of_passing_clients_writes_nothing_until_one_stays() {
    let mut world = World::with(Limits { in_flight: 1, ..limits() }, &Store::in_memory());
    let passing = world.client(3, "passing");
    world.subscribe(passing, SHARED, Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    for payload in ["1", "2"] {
        world.publish(writer, "q", payload, Qos::AtLeastOnce);
        assert_eq!(world.got(writer), [Got::PubAck(7, Reason::Success)]);
    }
    assert_eq!(world.rows(Table::Group), 0);
    let (a, _) = world.lasting(1, "a");
    let got = world.subscribe(a, SHARED, Qos::AtLeastOnce);
    assert_eq!(world.rows(Table::Group), 2);
    assert_eq!(payloads(&got), [("2", false)]);
    let mut world = world.killed();
    let a = back(&mut world, "a");
    assert_eq!(gets(&mut world, a), again(&["1"]), "one at a time");
}

#[test]
fn a_share_that_is_not_safe_is_refused_and_taken_back() {
    let mut world = World::new();
    let a = member(&mut world, "a", Qos::AtLeastOnce);
    world.core.closed(a, &mut world.fx);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "1", Qos::AtLeastOnce);
    world.full();
    assert!(matches!(world.got(writer)[..], [Got::PubAck(7, reason)] if reason.is_error()));
    world.commit();
    let a = back(&mut world, "a");
    assert_eq!(gets(&mut world, a), []);
}

/// Leaves the group, and reads the answer away.
fn leave(world: &mut World, key: Key) {
    let mut filters = FilterBuffer::default();
    filters.push(SHARED).expect("a filter");
    let filters = filters.as_filters();
    world.send(
        key,
        &Packet::Unsubscribe(Unsubscribe { packet_id: id(9), properties: NONE, filters }),
    );
}

#[test]
fn the_last_member_that_leaves_takes_what_it_was_not_sent_yet_with_it() {
    let mut world = World::new();
    let a = member(&mut world, "a", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "1", Qos::ExactlyOnce); // sent only when its row is on disk
    world.publish(writer, "q", "2", Qos::AtLeastOnce);
    leave(&mut world, a);
    world.commit();
    for (payload, _) in gets(&mut world, a) {
        assert_eq!(payload, "2");
        world.send(a, &Packet::PubAck(ack(2)));
    }
    world.commit();
    assert_eq!((world.rows(Table::Group), world.rows(Table::Queue)), (0, 0));
}

#[test]
fn what_a_member_without_a_session_was_sent_before_it_left_is_not_lost_by_a_kill() {
    let mut world = World::new();
    let guest = world.client(1, "guest");
    world.subscribe(guest, SHARED, Qos::AtLeastOnce);
    world.got(guest);
    let b = member(&mut world, "b", Qos::AtLeastOnce);
    world.core.closed(b, &mut world.fx);
    let writer = world.client(2, "writer");
    say(&mut world, writer, Qos::AtLeastOnce, &["1", "2"]);
    assert_eq!(gets(&mut world, guest), fresh(&["1", "2"]));
    leave(&mut world, guest);
    world.send(guest, &Packet::PubAck(ack(1)));
    world.commit();
    let mut world = world.killed();
    let b = back(&mut world, "b");
    assert_eq!(gets(&mut world, b), again(&["2"]));
    world.send(b, &Packet::PubAck(ack(1)));
    world.commit();
    assert_eq!(world.rows(Table::Group), 0);
}

#[test]
fn what_a_member_is_to_get_with_qos_2_stays_the_groups_until_the_disk_has_it_otherwise() {
    let mut world = World::new();
    let a = member(&mut world, "a", Qos::ExactlyOnce);
    world.core.closed(a, &mut world.fx);
    world.commit();
    let (writer, _) = world.lasting(2, "writer");
    world.publish(writer, "q", "1", Qos::ExactlyOnce);
    world.commit();
    let (a, _) = world.lasting(1, "a");
    world.got(a);
    world.full();
    assert_eq!(gets(&mut world, a), []);
    world.pass(1);
    world.full();
    assert_eq!(gets(&mut world, a), []);
    world.pass(1);
    world.commit();
    assert_eq!(gets(&mut world, a), fresh(&["1"]));
    assert_eq!((world.rows(Table::Group), world.rows(Table::Queue)), (0, 1));
}
