//! What is different when a session is resumed: a smaller window, a filter taken back, messages
//! acknowledged in another order than they were sent (§3.1.2.11.3, §3.10.4, §4.4, §4.6).

use super::bytes::properties;
use super::*;

/// The client id of everybody who comes back here.
const READER: &str = "reader";

/// A client that comes back and takes so many unacknowledged messages.
fn back(world: &mut World, window: u16) -> (Key, Vec<Got>) {
    let own = properties(|p| p.session_expiry_interval(3600).receive_maximum(window));
    let properties = own.as_properties();
    world.connected(1, Connect { properties, ..connect(READER) })
}

/// A session with a subscription, and a writer of numbered messages.
fn beginning(qos: Qos) -> (World, Key, Key) {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, READER);
    world.subscribe(reader, "q", qos);
    let writer = world.client(2, "writer");
    (world, reader, writer)
}

fn write(world: &mut World, writer: Key, payloads: &[&str], qos: Qos) {
    for payload in payloads {
        world.publish(writer, "q", payload, qos);
        world.send(writer, &Packet::PubRel(Ack::success(id(7))));
        world.commit();
    }
}

fn puback(world: &mut World, reader: Key, number: u16) {
    world.send(reader, &Packet::PubAck(Ack::success(id(number))));
    world.commit();
}

#[test]
fn a_client_that_comes_back_with_a_smaller_window_gets_one_after_another_what_was_in_flight() {
    let (mut world, reader, writer) = beginning(Qos::AtLeastOnce);
    write(&mut world, writer, &["a", "b", "c"], Qos::AtLeastOnce);
    let sent = numbers(&world.got(reader));
    assert_eq!(sent.len(), 3, "all at once in the old window");
    world.core.closed(reader, &mut world.fx);
    write(&mut world, writer, &["d"], Qos::AtLeastOnce);
    let (reader, mut got) = back(&mut world, 1);
    for (nth, expected) in [("a", true), ("b", true), ("c", true), ("d", false)].iter().enumerate()
    {
        assert_eq!(payloads(&got), [*expected], "no more than one at a time");
        let number = numbers(&got)[0];
        assert!(sent.get(nth).is_none_or(|sent| *sent == number), "the identifier it had");
        puback(&mut world, reader, number);
        got = world.got(reader);
    }
    assert_eq!(got, []);
    assert_eq!(world.rows(Table::Queue), 0);
}

#[test]
fn what_was_released_before_takes_its_place_in_the_smaller_window() {
    let (mut world, reader, writer) = beginning(Qos::ExactlyOnce);
    write(&mut world, writer, &["a", "b"], Qos::ExactlyOnce);
    let sent = numbers(&world.got(reader));
    world.send(reader, &Packet::PubRec(Ack::success(id(sent[0]))));
    world.commit();
    assert_eq!(world.got(reader), [Got::PubRel(sent[0])]);
    world.core.closed(reader, &mut world.fx);
    let (reader, mut got) = back(&mut world, 1);
    world.commit();
    got.extend(world.got(reader));
    assert_eq!(got[1..], [Got::PubRel(sent[0])], "its PUBCOMP first");
    world.send(reader, &Packet::PubComp(Ack::success(id(sent[0]))));
    world.commit();
    let got = world.got(reader);
    assert_eq!((payloads(&got), numbers(&got)), (vec![("b", true)], vec![sent[1]]));
}

#[test]
fn an_unsubscribe_after_a_resume_ends_what_is_new_and_not_what_waits() {
    let (mut world, reader, writer) = beginning(Qos::AtLeastOnce);
    write(&mut world, writer, &["in flight"], Qos::AtLeastOnce);
    let sent = numbers(&world.got(reader));
    world.core.closed(reader, &mut world.fx);
    write(&mut world, writer, &["waits", "waits, too"], Qos::AtLeastOnce);
    let (reader, got) = back(&mut world, 1);
    assert_eq!((payloads(&got), numbers(&got)), (vec![("in flight", true)], sent));
    assert_eq!(world.unsubscribe(reader, &["q"]), [0]);
    write(&mut world, writer, &["late"], Qos::AtLeastOnce);
    let mut came = Vec::new();
    let mut number = numbers(&got)[0];
    loop {
        puback(&mut world, reader, number);
        let got = world.got(reader);
        let Some(next) = numbers(&got).first().copied() else { break };
        came.extend(payloads(&got).into_iter().map(|(payload, dup)| (payload.to_owned(), dup)));
        number = next;
    }
    assert_eq!(came, [("waits".to_owned(), false), ("waits, too".to_owned(), false)]);
    assert_eq!(world.rows(Table::Queue), 0, "and nothing of it stays on disk");
}

#[test]
fn what_waits_of_a_filter_that_was_taken_back_outlives_a_kill() {
    let (mut world, reader, writer) = beginning(Qos::AtLeastOnce);
    world.core.closed(reader, &mut world.fx);
    write(&mut world, writer, &["waits"], Qos::AtLeastOnce);
    let (reader, got) = back(&mut world, 1);
    assert_eq!(payloads(&got), [("waits", false)]);
    assert_eq!(world.unsubscribe(reader, &["q"]), [0]);
    world.commit();
    let mut world = world.killed();
    let writer = world.client(2, "writer");
    write(&mut world, writer, &["late"], Qos::AtLeastOnce);
    let (_, got) = back(&mut world, 9);
    assert_eq!(payloads(&got), [("waits", true)], "the filter is gone, its message is not");
}

#[test]
fn acknowledgements_in_any_order_end_what_they_name_and_the_rest_comes_again_in_its_order() {
    for killed in [false, true] {
        let (mut world, reader, writer) = beginning(Qos::AtLeastOnce);
        write(&mut world, writer, &["a", "b", "c", "d"], Qos::AtLeastOnce);
        let sent = numbers(&world.got(reader));
        for nth in [3, 1] {
            puback(&mut world, reader, sent[nth]);
        }
        puback(&mut world, reader, sent[1]); // again: of nobody
        assert!(!world.closing(reader), "an acknowledgement of nothing is no offence");
        if killed {
            world = world.killed();
        } else {
            world.core.closed(reader, &mut world.fx);
        }
        let (reader, got) = back(&mut world, 9);
        assert_eq!(payloads(&got), [("a", true), ("c", true)]);
        assert_eq!(numbers(&got), [sent[0], sent[2]]);
        for nth in [2, 0] {
            puback(&mut world, reader, sent[nth]);
        }
        assert_eq!(world.rows(Table::Queue), 0);
    }
}

#[test]
fn receipts_in_any_order_release_what_they_name_and_one_of_the_wrong_kind_does_nothing() {
    let (mut world, reader, writer) = beginning(Qos::ExactlyOnce);
    write(&mut world, writer, &["a", "b", "c"], Qos::ExactlyOnce);
    let sent = numbers(&world.got(reader));
    puback(&mut world, reader, sent[0]); // QoS 2 knows no PUBACK
    world.send(reader, &Packet::PubComp(Ack::success(id(sent[1])))); // nor a PUBCOMP first
    for nth in [2, 0] {
        world.send(reader, &Packet::PubRec(Ack::success(id(sent[nth]))));
    }
    world.commit();
    assert_eq!(world.got(reader), [Got::PubRel(sent[2]), Got::PubRel(sent[0])]);
    world.send(reader, &Packet::PubComp(Ack::success(id(sent[0]))));
    world.commit();
    world.core.closed(reader, &mut world.fx);
    let (reader, mut got) = back(&mut world, 9);
    world.commit();
    got.extend(world.got(reader));
    assert_eq!(numbers(&got), [sent[1]], "only what it never said it had");
    assert_eq!(payloads(&got), [("b", true)]);
    assert!(got.contains(&Got::PubRel(sent[2])) && !got.contains(&Got::PubRel(sent[0])));
}
