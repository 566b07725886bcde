//! Flow control (5.0 §4.9): no more unacknowledged publishes than the other side takes.

use super::bytes::properties;
use super::*;

fn numbered(world: &mut World, writer: Key, number: u16, qos: Qos) {
    let publish = Publish { packet_id: Some(id(number)), ..publish("q", "x", qos) };
    world.publish_with(writer, publish);
}

#[test]
fn more_unacknowledged_publishes_than_the_receive_maximum_end_the_connection() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut world = World::with(Limits { receive_maximum: 3, ..limits() }, &Store::in_memory());
        let (away, _) = world.lasting(1, "away");
        world.subscribe(away, "q", Qos::AtLeastOnce);
        let (writer, max) =
            world.connack(2, connect("writer"), |ack| ack.properties.receive_maximum());
        assert_eq!(max, Some(3));
        for number in 1..=3 {
            numbered(&mut world, writer, number, qos); // acknowledged only after the commit
        }
        assert!(!world.closing(writer));
        numbered(&mut world, writer, 4, qos);
        assert!(world.ended(writer, Reason::ReceiveMaximumExceeded), "{qos:?}");
    }
}

#[test]
fn a_publish_that_was_acknowledged_counts_no_longer() {
    let store = Store::in_memory();
    let mut world = World::with(Limits { receive_maximum: 2, ..limits() }, &store);
    let writer = world.client(2, "writer");
    for number in 1..=9 {
        numbered(&mut world, writer, number, Qos::AtLeastOnce);
        numbered(&mut world, writer, number + 100, Qos::ExactlyOnce);
        world.store(&store, &Ok(()));
        world.send(writer, &Packet::PubRel(Ack::success(id(number + 100))));
        world.store(&store, &Ok(()));
    }
    numbered(&mut world, writer, 200, Qos::AtMostOnce);
    assert!(!world.closing(writer));
    assert_eq!(world.got(writer).len(), 27);
}

#[test]
fn a_qos_2_publish_counts_until_its_pubcomp_and_a_refused_one_only_until_its_pubrec() {
    let mut world = World::with(Limits { receive_maximum: 2, ..limits() }, &Store::in_memory());
    let writer = world.client(2, "writer");
    for number in 1..=9 {
        let refused = publish("maestro/info", "x", Qos::ExactlyOnce);
        world.publish_with(writer, Publish { packet_id: Some(id(number)), ..refused });
    }
    assert!(!world.closing(writer), "PUBREC with an error is the end of each");
    for number in 11..=12 {
        numbered(&mut world, writer, number, Qos::ExactlyOnce);
    }
    let again =
        Publish { dup: true, packet_id: Some(id(12)), ..publish("q", "x", Qos::ExactlyOnce) };
    world.publish_with(writer, again);
    assert!(!world.closing(writer), "the same one again is not another one");
    world.send(writer, &Packet::PingReq);
    numbered(&mut world, writer, 13, Qos::ExactlyOnce);
    assert!(world.ended(writer, Reason::ReceiveMaximumExceeded));
}

#[test]
fn a_client_gets_no_more_unacknowledged_messages_than_it_takes() {
    let mut world = World::new();
    let own = properties(|p| p.receive_maximum(2));
    let narrow = Connect { properties: own.as_properties(), ..connect("narrow") };
    let (reader, _) = world.connected(1, narrow);
    let writer = world.client(2, "writer");
    world.subscribe(reader, "q", Qos::ExactlyOnce);
    world.got(reader);
    for qos in [Qos::ExactlyOnce, Qos::AtLeastOnce, Qos::AtLeastOnce, Qos::AtMostOnce] {
        numbered(&mut world, writer, 7, qos);
        world.send(writer, &Packet::PubRel(Ack::success(id(7))));
    }
    let quality = |got: &Got| {
        let Got::Publish { qos, id, .. } = got else { panic!("{got:?}") };
        (*qos, *id)
    };
    let got: Vec<_> = world.got(reader).iter().map(quality).collect();
    let [(2, first), (1, second), (0, 0)] = got[..] else { panic!("{got:?}") };
    world.send(reader, &Packet::PubRec(Ack::success(id(first))));
    world.send(reader, &Packet::PingReq);
    let got = world.got(reader);
    assert_eq!(got, [Got::PubRel(first), Got::Other(wire::PacketType::PingResp)], "no room yet");
    world.send(reader, &Packet::PubComp(Ack::success(id(first))));
    assert_eq!(quality(&world.got(reader)[0]).0, 1, "room for the third");
    world.send(reader, &Packet::PubAck(Ack::success(id(second))));
    assert_eq!(world.got(reader), []);
}
