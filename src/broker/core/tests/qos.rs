//! Delivery at each quality of service (§4.3), sent and received, and again after a reconnect (§4.4).

use super::*;

fn numbered(world: &mut World, writer: Key, number: u16, dup: bool, qos: Qos) {
    let publish = Publish { packet_id: Some(id(number)), dup, ..publish("q", "x", qos) };
    world.publish_with(writer, publish);
}

/// Packet identifier and DUP flag of the messages that a client got.
fn sent(world: &mut World, reader: Key) -> Vec<(u16, bool)> {
    world.settle(); // QoS 2 for a lasting session goes out when it is on disk
    let messages = world.got(reader).into_iter().filter_map(|got| {
        let Got::Publish { id, dup, .. } = got else { return None };
        Some((id, dup))
    });
    messages.collect()
}

#[test]
fn each_quality_is_answered_with_its_packet_and_the_same_identifier() {
    for version in [Version::V5, Version::V311] {
        let mut world = World::new();
        let (key, _) = world.connected(1, Connect { version, clean_start: true, ..connect("a") });
        numbered(&mut world, key, 0x1234, false, Qos::AtMostOnce);
        assert_eq!(world.bytes(key), b"");
        numbered(&mut world, key, 0x1234, false, Qos::AtLeastOnce);
        assert_eq!(world.bytes(key), b"\x40\x02\x12\x34");
        numbered(&mut world, key, 0x1235, false, Qos::ExactlyOnce);
        assert_eq!(world.bytes(key), b"\x50\x02\x12\x35");
        assert!(world.feed(key, b"\x62\x02\x12\x35"));
        assert_eq!(world.bytes(key), b"\x70\x02\x12\x35");
    }
}

#[test]
fn an_identifier_that_was_done_with_is_a_new_message_whatever_dup_says() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    world.subscribe(reader, "q", Qos::AtMostOnce);
    for dup in [false, true, false] {
        numbered(&mut world, writer, 5, dup, Qos::AtLeastOnce);
        assert_eq!(world.got(reader).len(), 1, "after a PUBACK");
        numbered(&mut world, writer, 6, dup, Qos::ExactlyOnce);
        world.send(writer, &Packet::PubRel(Ack::success(id(6))));
        assert_eq!(world.got(reader).len(), 1, "after a PUBCOMP");
    }
}

#[test]
fn a_qos_2_publish_before_its_pubrel_is_acknowledged_again_and_not_delivered_again() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    world.subscribe(reader, "q", Qos::AtMostOnce);
    for dup in [false, true, true] {
        numbered(&mut world, writer, 6, dup, Qos::ExactlyOnce);
    }
    assert_eq!(world.got(reader).len(), 1);
    assert_eq!(world.got(writer), vec![Got::PubRec(6, Reason::Success); 3]);
}

#[test]
fn a_qos_2_publish_that_was_refused_is_a_new_message_the_next_time() {
    let mut world = World::new();
    let writer = world.client(2, "writer");
    let refused =
        Publish { packet_id: Some(id(6)), ..publish("maestro/info", "x", Qos::ExactlyOnce) };
    for _ in 0..2 {
        world.publish_with(writer, refused);
        assert_eq!(world.got(writer), [Got::PubRec(6, Reason::NotAuthorized)]);
    }
    let reader = world.client(1, "reader");
    world.subscribe(reader, "q", Qos::AtMostOnce);
    numbered(&mut world, writer, 6, false, Qos::ExactlyOnce);
    assert_eq!(world.got(reader).len(), 1);
}

#[test]
fn a_pubrel_of_nothing_is_answered_that_it_is_not_known() {
    let mut world = World::new();
    let writer = world.client(2, "writer");
    world.send(writer, &Packet::PubRel(Ack::success(id(6))));
    assert_eq!(world.got(writer), [Got::PubComp(6, Reason::PacketIdentifierNotFound)]);
    world.send(writer, &Packet::PubRec(Ack::success(id(9))));
    assert_eq!(world.bytes(writer), b"\x62\x04\0\x09\x92\0");
}

#[test]
fn dup_is_never_passed_on_and_a_first_sending_has_none() {
    let mut world = World::new();
    let writer = world.client(2, "writer");
    for (qos, reader) in
        [(Qos::AtMostOnce, "zero"), (Qos::AtLeastOnce, "one"), (Qos::ExactlyOnce, "two")]
    {
        let reader = world.client(1, reader);
        world.subscribe(reader, "q", qos);
        numbered(&mut world, writer, 9, true, Qos::AtLeastOnce);
        numbered(&mut world, writer, 9, true, Qos::ExactlyOnce);
        world.send(writer, &Packet::PubRel(Ack::success(id(9))));
        let sent = sent(&mut world, reader);
        assert_eq!(sent.len(), 2);
        assert!(sent.iter().all(|(_, dup)| !dup), "{sent:?}");
        world.core.closed(reader, &mut world.fx);
    }
}

#[test]
fn every_message_in_flight_has_an_identifier_of_its_own() {
    let mut limits = limits();
    limits.queue.count = 1000;
    let mut world = World::with(limits, &Store::in_memory());
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    world.subscribe(reader, "q", Qos::ExactlyOnce);
    let window = limits.in_flight;
    for number in 0..2 * window {
        let qos = if number % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        world.publish(writer, "q", "x", qos);
        world.send(writer, &Packet::PubRel(Ack::success(id(7))));
    }
    let mut ids: Vec<u16> = sent(&mut world, reader).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), window);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), window);
    assert!(ids[0] > 0);
}

#[test]
fn what_was_not_acknowledged_is_sent_again_in_order_with_its_identifier() {
    let mut world = World::new();
    let reader = world.lasting_reader("q", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        world.publish(writer, "q", "x", qos);
        world.send(writer, &Packet::PubRel(Ack::success(id(7))));
    }
    let first = sent(&mut world, reader);
    assert_eq!(first.len(), 4);
    world.send(reader, &Packet::PubAck(Ack::success(id(first[0].0))));
    world.core.closed(reader, &mut world.fx);
    for _ in 0..2 {
        let (reader, _) = world.lasting(1, "reader");
        let again = sent(&mut world, reader);
        let expected: Vec<_> = first[1..].iter().map(|(id, _)| (*id, true)).collect();
        assert_eq!(again, expected);
        world.core.closed(reader, &mut world.fx);
    }
}

#[test]
fn a_received_qos_2_message_is_released_and_released_again_but_never_sent_again() {
    let mut world = World::new();
    let reader = world.lasting_reader("q", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "x", Qos::ExactlyOnce);
    let number = sent(&mut world, reader)[0].0;
    world.send(reader, &Packet::PubRec(Ack::success(id(number))));
    world.settle();
    assert!(world.got(reader).contains(&Got::PubRel(number)));
    world.core.closed(reader, &mut world.fx);
    let (reader, _) = world.lasting(1, "reader");
    world.settle();
    let got = world.got(reader);
    assert_eq!(got[1..], [Got::PubRel(number)]);
    world.send(reader, &Packet::PubComp(Ack::success(id(number))));
    world.settle();
    world.core.closed(reader, &mut world.fx);
    let (reader, _) = world.lasting(1, "reader");
    assert_eq!(world.got(reader).len(), 1, "done with");
}

#[test]
fn a_message_that_its_client_refused_is_done_with() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut world = World::new();
        let reader = world.lasting_reader("q", qos);
        let writer = world.client(2, "writer");
        world.publish(writer, "q", "x", qos);
        let number = sent(&mut world, reader)[0].0;
        let refused = Ack { reason: Reason::QuotaExceeded, ..Ack::success(id(number)) };
        let refused = match qos {
            Qos::ExactlyOnce => Packet::PubRec(refused),
            Qos::AtMostOnce | Qos::AtLeastOnce => Packet::PubAck(refused),
        };
        world.send(reader, &refused);
        assert_eq!(world.got(reader), [], "{qos:?}");
        world.core.closed(reader, &mut world.fx);
        let (reader, _) = world.lasting(1, "reader");
        assert_eq!(world.got(reader).len(), 1, "only the CONNACK");
    }
}

#[test]
fn a_message_that_was_sent_does_not_expire_any_more() {
    let mut world = World::new();
    let reader = world.lasting_reader("q", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    let own = super::bytes::properties(|p| p.message_expiry_interval(10));
    let publish = publish("q", "x", Qos::ExactlyOnce);
    world.publish_with(writer, Publish { properties: own.as_properties(), ..publish });
    world.settle();
    let number = sent(&mut world, reader)[0].0;
    world.pass(11);
    world.send(writer, &Packet::PubRel(Ack::success(id(7))));
    world.settle();
    let done = Got::PubComp(7, Reason::Success);
    assert!(world.got(writer).contains(&done), "the sender's side goes on");
    world.send(reader, &Packet::PubRec(Ack::success(id(number))));
    world.settle();
    assert_eq!(world.got(reader), [Got::PubRel(number)], "so does the receiver's");
}

#[test]
fn acknowledgements_go_out_in_the_order_of_what_they_acknowledge() {
    let mut world = World::new();
    let (away, _) = world.lasting(1, "away");
    world.subscribe(away, "q", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    let publish_to = |world: &mut World, number, topic, qos| {
        world.publish_with(
            writer,
            Publish { packet_id: Some(id(number)), ..publish(topic, "x", qos) },
        );
    };
    publish_to(&mut world, 1, "q", Qos::AtLeastOnce); // waits for the disk
    publish_to(&mut world, 2, "free", Qos::AtLeastOnce);
    publish_to(&mut world, 3, "q", Qos::ExactlyOnce);
    publish_to(&mut world, 4, "free", Qos::ExactlyOnce);
    world.settle();
    let ok = Reason::Success;
    let acks = [Got::PubAck(1, ok), Got::PubAck(2, ok), Got::PubRec(3, ok), Got::PubRec(4, ok)];
    assert_eq!(world.got(writer), acks);
}

#[test]
fn pubrels_go_out_in_the_order_of_their_pubrecs() {
    let mut world = World::new();
    let reader = world.lasting_reader("q", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    for _ in 0..3 {
        world.publish(writer, "q", "x", Qos::ExactlyOnce);
        world.settle();
        world.send(writer, &Packet::PubRel(Ack::success(id(7))));
    }
    let numbers = sent(&mut world, reader);
    let [(one, _), (two, _), (three, _)] = numbers[..] else { panic!("{numbers:?}") };
    for number in [two, three, one] {
        world.send(reader, &Packet::PubRec(Ack::success(id(number))));
    }
    world.settle();
    assert_eq!(world.got(reader), [two, three, one].map(Got::PubRel));
}
