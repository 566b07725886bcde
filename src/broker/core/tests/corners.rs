//! Where two things meet: a turn and the next, a refusal and what came since, a queue and what was begun.

use super::bytes::properties;
use super::*;
use crate::broker::intake::Ticket;
use crate::broker::wire::{FilterBuffer, PacketType, Unsubscribe};

fn ack(number: u16) -> Ack<'static> {
    Ack::success(id(number))
}

fn ask(world: &mut World, key: Key, filter: &str, qos: Qos) {
    let mut subscriptions = SubscriptionBuffer::default();
    subscriptions.push(filter, wire::Options::at(qos)).expect("a filter");
    let subscriptions = subscriptions.as_subscriptions();
    let subscribe = Subscribe { packet_id: id(9), properties: NONE, subscriptions };
    world.send(key, &Packet::Subscribe(subscribe));
}

fn take_back(world: &mut World, key: Key, filter: &str) {
    let mut filters = FilterBuffer::default();
    filters.push(filter).expect("a filter");
    let filters = filters.as_filters();
    let unsubscribe = Unsubscribe { packet_id: id(9), properties: NONE, filters };
    world.send(key, &Packet::Unsubscribe(unsubscribe));
}

/// A turn ends; its commit is still under way, and will go as it is told here.
fn turn(world: &mut World, safe: bool) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    let disk = if safe { world.disk.clone() } else { Store::in_memory() };
    for (writes, window) in world.fx.stored() {
        disk.write(writes.batch, window, |_| {});
        tickets.extend(writes.ticket);
    }
    tickets
}

fn told(world: &mut World, tickets: Vec<Ticket>, safe: bool) {
    for ticket in tickets {
        let full = Unsafe { code: "storage.full", message: "no space".into() };
        let result = if safe { Ok(()) } else { Err(full) };
        world.core.operation(Op::Stored { ticket, result }, &mut world.fx);
    }
}

#[test]
fn an_assigned_client_id_is_nobody_elses() {
    let mut world = World::new();
    let number = world.core.next_ticket + 10;
    let name = Box::leak(format!("auto-1f0c9a3e-{number}").into_boxed_str());
    let (first, _) = world.lasting(1, name);
    world.subscribe(first, "q", Qos::AtLeastOnce);
    while world.core.next_ticket < number {
        world.core.ticket();
    }
    let (other, (present, given)) = world.connack(2, connect(""), |ack| {
        (ack.session_present, ack.properties.assigned_client_identifier().map(str::to_string))
    });
    let writer = world.client(3, "writer");
    world.publish(writer, "q", "for u1", Qos::AtLeastOnce);
    world.commit();
    let (got, first_closed) = (world.got(other), world.closing(first));
    assert_eq!((present, got, first_closed), (false, vec![], false), "{given:?} was {name}");
}

#[test]
fn no_local_subscription_is_not_named_in_what_it_does_not_want() {
    let mut world = World::new();
    let one = world.client(1, "one");
    let no_local = wire::Options { no_local: true, ..wire::Options::at(Qos::AtMostOnce) };
    world.subscribe_with(one, "a/#", no_local, 1);
    world.subscribe_with(one, "a/b", wire::Options::at(Qos::AtMostOnce), 2);
    world.publish(one, "a/b", "x", Qos::AtMostOnce);
    let got = world.got(one);
    let [Got::Publish { subs, .. }] = &got[..] else { panic!("{got:?}") };
    assert_eq!(*subs, [2]);
}

#[test]
fn a_packet_identifier_in_use_is_not_given_again() {
    let mut world = World::new();
    let reader = world.lasting_reader("q", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    let pass = |world: &mut World, reader: Key, qos: Qos| -> Option<u16> {
        world.publish(writer, "q", "x", qos);
        world.commit();
        world.send(writer, &Packet::PubRel(ack(7)));
        world.commit();
        world.got(writer);
        let got = world.got(reader);
        numbers(&got).last().copied()
    };
    let stuck = pass(&mut world, reader, Qos::AtLeastOnce);
    assert_eq!(stuck, Some(1));
    for _ in 2..40_000 {
        let number = pass(&mut world, reader, Qos::AtLeastOnce).expect("a message");
        world.send(reader, &Packet::PubAck(ack(number)));
    }
    let released = pass(&mut world, reader, Qos::ExactlyOnce).expect("a message");
    world.send(reader, &Packet::PubRec(ack(released)));
    world.commit();
    world.core.closed(reader, &mut world.fx);
    let (reader, _) = world.lasting(1, "reader");
    world.commit();
    assert_eq!(numbers(&world.got(reader)), [1], "again");
    for _ in 0..26_000 {
        let number = pass(&mut world, reader, Qos::AtLeastOnce);
        assert_ne!(number, stuck, "its first message is still not acknowledged");
        let Some(number) = number else { return }; // it waits until that one is
        world.send(reader, &Packet::PubAck(ack(number)));
    }
}

#[test]
fn what_was_begun_is_sent_again_although_its_queue_is_full() {
    let mut world = World::new();
    let reader = world.lasting_reader("q", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    let say = |world: &mut World, payload: &str| {
        world.publish(writer, "q", payload, Qos::ExactlyOnce);
        world.commit();
        world.send(writer, &Packet::PubRel(ack(7)));
        world.commit();
        world.got(writer);
    };
    say(&mut world, "1");
    assert_eq!(numbers(&world.got(reader)), [1]); // its client has it, and holds identifier 1
    world.core.closed(reader, &mut world.fx);
    for payload in ["2", "3", "4", "5", "6"] {
        say(&mut world, payload);
    }
    let (reader, _) = world.lasting(1, "reader");
    world.commit();
    let got = world.got(reader);
    assert!(payloads(&got).contains(&("1", true)), "MQTT-4.4.0-1: {:?}", payloads(&got));
}

#[test]
fn an_identifier_that_its_client_holds_hides_no_other_message() {
    let mut world = World::new();
    let reader = world.lasting_reader("q", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    let say = |world: &mut World, writer: Key, payload: &str| {
        world.publish(writer, "q", payload, Qos::ExactlyOnce);
        world.commit();
        world.send(writer, &Packet::PubRel(ack(7)));
        world.commit();
        world.got(writer);
    };
    say(&mut world, writer, "1");
    // What the client holds: identifiers received and not released (4.3.3).
    let mut held = numbers(&world.got(reader));
    world.core.closed(reader, &mut world.fx); // before its PUBREC
    for payload in ["2", "3", "4", "5", "6"] {
        say(&mut world, writer, payload);
    }
    let (reader, _) = world.lasting(1, "reader");
    world.commit();
    let mut had = vec!["1".to_string()];
    let mut take = |world: &mut World, reader: Key| {
        loop {
            let came = world.got(reader);
            if came.is_empty() {
                return;
            }
            for one in came {
                if let Got::Publish { id: number, payload, .. } = one {
                    if !held.contains(&number) {
                        held.push(number);
                        had.push(payload);
                    }
                    world.send(reader, &Packet::PubRec(ack(number)));
                } else if let Got::PubRel(number) = one {
                    held.retain(|one| *one != number);
                    world.send(reader, &Packet::PubComp(ack(number)));
                }
                world.commit();
            }
        }
    };
    take(&mut world, reader);
    let mut world = world.killed();
    let writer = world.client(2, "writer");
    let (reader, _) = world.lasting(1, "reader");
    world.commit();
    take(&mut world, reader);
    say(&mut world, writer, "7");
    take(&mut world, reader);
    assert!(had.contains(&"7".to_string()), "acknowledged, and lost: {had:?}");
}

fn with_200_kept(qos: Qos) -> World {
    let bounds = crate::broker::queue::Bounds { count: 1000, ..limits().queue };
    let mut world = World::with(Limits { queue: bounds, ..limits() }, &Store::in_memory());
    let writer = world.client(1, "writer");
    for number in 0..200 {
        let (topic, payload) = (format!("k/{number:03}"), number.to_string());
        let publish = publish(&topic, &payload, qos);
        world.publish_with(writer, Publish { retain: true, ..publish });
        world.commit();
        world.got(writer);
    }
    world
}

fn take(world: &mut World, reader: Key, got: &mut Vec<Got>) {
    loop {
        let came = world.got(reader);
        for number in numbers(&came) {
            if number > 0 {
                world.send(reader, &Packet::PubAck(ack(number)));
            }
        }
        match came.is_empty() {
            true => return,
            false => got.extend(came),
        }
    }
}

#[test]
fn replacing_a_subscription_loses_nothing_of_what_is_kept() {
    for (handling, how) in
        [(RetainHandling::SendIfNew, "if new"), (RetainHandling::DoNotSend, "not")]
    {
        let mut world = with_200_kept(Qos::AtLeastOnce);
        let reader = world.client(2, "reader");
        let mut got = world.subscribe(reader, "k/#", Qos::AtMostOnce);
        take(&mut world, reader, &mut got);
        let options =
            wire::Options { retain_handling: handling, ..wire::Options::at(Qos::AtLeastOnce) };
        got.extend(world.subscribe_with(reader, "k/#", options, 0));
        take(&mut world, reader, &mut got);
        while world.core.unfinished() {
            world.core.go_on(&mut world.fx);
            world.commit();
            take(&mut world, reader, &mut got);
        }
        assert_eq!(payloads(&got).len(), 200, "{how}");
    }
}

#[test]
fn a_refused_unsubscribe_leaves_the_group_its_messages() {
    let mut world = World::with(Limits { in_flight: 1, ..limits() }, &Store::in_memory());
    let (a, _) = world.lasting(1, "a");
    world.subscribe(a, "$share/g/q", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    for payload in ["1", "2", "3"] {
        world.publish(writer, "q", payload, Qos::AtLeastOnce);
        world.commit();
        assert_eq!(world.got(writer), [Got::PubAck(7, Reason::Success)]);
    }
    assert_eq!(payloads(&world.got(a)), [("1", false)]);
    take_back(&mut world, a, "$share/g/q");
    world.full();
    assert_eq!(world.got(a), [Got::Other(PacketType::UnsubAck)]); // 0x83: it stays
    let mut got = Vec::new();
    world.send(a, &Packet::PubAck(ack(1)));
    world.commit();
    take(&mut world, a, &mut got);
    assert_eq!(payloads(&got), [("2", false), ("3", false)]);
}

#[test]
fn a_filter_that_was_granted_is_there_although_an_earlier_subscribe_was_refused() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.commit();
    world.got(reader);
    ask(&mut world, reader, "q", Qos::AtMostOnce);
    let first = turn(&mut world, false);
    ask(&mut world, reader, "q", Qos::AtLeastOnce);
    let second = turn(&mut world, true);
    told(&mut world, first, false);
    told(&mut world, second, true);
    assert_eq!(world.got(reader), [Got::SubAck(vec![0x83]), Got::SubAck(vec![1])]);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "x", Qos::AtLeastOnce);
    world.commit();
    assert_eq!(payloads(&world.got(reader)), [("x", false)]);
}

#[test]
fn a_filter_granted_anew_is_not_undone_by_an_unsubscribe_that_failed() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "q", Qos::AtMostOnce);
    take_back(&mut world, reader, "q");
    let first = turn(&mut world, false);
    ask(&mut world, reader, "q", Qos::AtLeastOnce);
    let second = turn(&mut world, true);
    told(&mut world, first, false);
    told(&mut world, second, true);
    let got = world.got(reader);
    assert_eq!(got, [Got::Other(PacketType::UnsubAck), Got::SubAck(vec![1])]);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "x", Qos::AtLeastOnce);
    world.commit();
    let got = world.got(reader);
    assert!(matches!(got[..], [Got::Publish { qos: 1, .. }]), "{got:?}");
}

#[test]
fn what_was_refused_twice_is_not_there() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.commit();
    world.got(reader);
    ask(&mut world, reader, "q", Qos::AtMostOnce);
    let first = turn(&mut world, false);
    ask(&mut world, reader, "q", Qos::AtLeastOnce);
    let second = turn(&mut world, false);
    told(&mut world, first, false);
    told(&mut world, second, false);
    assert_eq!(world.got(reader), [Got::SubAck(vec![0x83]), Got::SubAck(vec![0x83])]);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "x", Qos::AtLeastOnce);
    world.commit();
    assert_eq!(payloads(&world.got(reader)), []);
}

#[test]
fn a_connack_that_its_client_cannot_take_closes_the_connection() {
    let mut world = World::new();
    let own = properties(|p| p.maximum_packet_size(10));
    let key = world.raw(1);
    world.send(
        key,
        &Packet::Connect(Connect { properties: own.as_properties(), ..connect("tiny") }),
    );
    let got = world.bytes(key);
    assert!(!got.is_empty() || world.closing(key), "no CONNACK, and open");
}

#[test]
fn a_qos_1_message_that_was_sent_is_sent_again_although_it_expired() {
    let mut world = World::new();
    let reader = world.lasting_reader("q", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    let own = properties(|p| p.message_expiry_interval(10));
    let publish = publish("q", "x", Qos::AtLeastOnce);
    world.publish_with(writer, Publish { properties: own.as_properties(), ..publish });
    world.commit();
    assert_eq!(payloads(&world.got(reader)), [("x", false)]);
    world.core.closed(reader, &mut world.fx);
    world.pass(11);
    let (reader, _) = world.lasting(1, "reader");
    world.commit();
    assert_eq!(payloads(&world.got(reader)), [("x", true)], "MQTT-4.4.0-1");
}

#[test]
fn no_local_holds_for_what_is_kept_too() {
    let mut world = World::new();
    let one = world.client(1, "one");
    world.publish_with(one, Publish { retain: true, ..publish("a/b", "x", Qos::AtMostOnce) });
    let no_local = wire::Options { no_local: true, ..wire::Options::at(Qos::AtMostOnce) };
    let got = world.subscribe_with(one, "a/b", no_local, 0);
    assert_eq!(payloads(&got), [], "MQTT-3.8.3-3");
}

#[test]
fn what_is_kept_with_qos_0_comes_once_although_the_disk_refused_its_piece() {
    let mut world = with_200_kept(Qos::AtMostOnce);
    let (reader, _) = world.lasting(2, "reader");
    let mut got = world.subscribe(reader, "k/#", Qos::AtMostOnce);
    take(&mut world, reader, &mut got);
    let mut bad = true;
    for _ in 0..30 {
        if !world.core.unfinished() {
            break;
        }
        world.core.go_on(&mut world.fx);
        if bad {
            world.full();
            world.pass(1);
        } else {
            world.commit();
        }
        bad = !bad;
        take(&mut world, reader, &mut got);
    }
    assert_eq!(payloads(&got).len(), 200);
}

#[test]
fn every_alias_that_we_announce_is_taken() {
    let limits = Limits { packet_size: 1 << 20, ..limits() };
    let mut world = World::with(limits, &Store::in_memory());
    let (writer, max) =
        world.connack(2, connect("writer"), |ack| ack.properties.topic_alias_maximum());
    assert!(max >= Some(2));
    let long = "x".repeat(40_000);
    for (alias, topic) in [(1, format!("a{long}")), (2, format!("b{long}"))] {
        let own = properties(|p| p.topic_alias(alias));
        let publish = publish(&topic, "x", Qos::AtMostOnce);
        world.publish_with(writer, Publish { properties: own.as_properties(), ..publish });
    }
    assert!(!world.closing(writer), "MQTT-3.3.2-12: {:?}", world.got(writer));
}

#[test]
fn a_suback_that_its_client_cannot_take_is_not_simply_missing() {
    let mut world = World::new();
    let own = properties(|p| p.maximum_packet_size(40));
    let properties = own.as_properties();
    let (key, _) = world.connected(1, Connect { properties, ..connect("small") });
    let mut subscriptions = SubscriptionBuffer::default();
    for number in 0..50 {
        subscriptions
            .push(&format!("t/{number}"), wire::Options::at(Qos::AtMostOnce))
            .expect("a filter");
    }
    let subscriptions = subscriptions.as_subscriptions();
    world.send(
        key,
        &Packet::Subscribe(Subscribe { packet_id: id(9), properties: NONE, subscriptions }),
    );
    world.commit();
    let got = world.got(key);
    assert!(!got.is_empty() || world.closing(key), "no SUBACK (MQTT-3.8.4-1), and open");
}

#[test]
fn a_new_subscription_that_wants_nothing_kept_gets_nothing_kept() {
    let mut world = with_200_kept(Qos::AtLeastOnce);
    let reader = world.client(2, "reader");
    let mut got = world.subscribe(reader, "k/#", Qos::AtLeastOnce);
    take(&mut world, reader, &mut got);
    world.unsubscribe(reader, &["k/#"]);
    let options = wire::Options {
        retain_handling: RetainHandling::DoNotSend,
        ..wire::Options::at(Qos::AtLeastOnce)
    };
    let mut got = world.subscribe_with(reader, "k/#", options, 0);
    while world.core.unfinished() {
        world.core.go_on(&mut world.fx);
        world.commit();
        take(&mut world, reader, &mut got);
    }
    assert_eq!(payloads(&got).len(), 0, "3.8.3.1: do not send retained messages");
}

#[test]
fn a_share_that_begins_anew_in_the_same_turn_loses_nothing_by_a_kill() {
    let mut world = World::new();
    let (a, _) = world.lasting(1, "a");
    world.subscribe(a, "$share/g/q", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "1", Qos::AtLeastOnce);
    world.commit();
    world.got(writer);
    assert_eq!(payloads(&world.got(a)), [("1", false)]);
    world.send(a, &Packet::PubAck(ack(1)));
    take_back(&mut world, a, "$share/g/q");
    ask(&mut world, a, "$share/g/q", Qos::AtLeastOnce);
    world.publish(writer, "q", "2", Qos::AtLeastOnce);
    world.commit();
    assert_eq!(world.got(writer), [Got::PubAck(7, Reason::Success)]);
    let mut world = world.killed();
    let (a, _) = world.lasting(1, "a");
    world.commit();
    assert_eq!(payloads(&world.got(a)), [("2", true)], "acknowledged to its publisher");
}

#[test]
fn what_is_kept_with_qos_0_comes_once_although_a_kill_comes_between() {
    let mut world = with_200_kept(Qos::AtMostOnce);
    world.pass(10);
    world.commit();
    let (reader, _) = world.lasting(2, "reader");
    let mut got = world.subscribe(reader, "k/#", Qos::AtMostOnce);
    take(&mut world, reader, &mut got);
    world.core.go_on(&mut world.fx);
    take(&mut world, reader, &mut got); // sent before its commit
    let mut world = world.killed();
    let (reader, _) = world.lasting(2, "reader");
    world.commit();
    take(&mut world, reader, &mut got);
    while world.core.unfinished() {
        world.core.go_on(&mut world.fx);
        world.commit();
        take(&mut world, reader, &mut got);
    }
    assert_eq!(payloads(&got).len(), 200);
}

#[test]
fn a_message_that_is_not_begun_gives_way_to_one_that_is_in_the_total_too() {
    // MQTT-4.4.0-1 again, by broker.limits.max_queued_total_size.
    let mut limits = limits();
    limits.queue.count = 1000;
    limits.queued_total = 1000;
    let mut world = World::with(limits, &Store::in_memory());
    let reader = world.lasting_reader("q", Qos::ExactlyOnce);
    let writer = world.client(2, "writer");
    let say = |world: &mut World, payload: &str| {
        world.publish(writer, "q", payload, Qos::ExactlyOnce);
        world.commit();
        world.send(writer, &Packet::PubRel(ack(7)));
        world.commit();
        world.got(writer);
    };
    say(&mut world, "1");
    assert_eq!(numbers(&world.got(reader)), [1]);
    world.core.closed(reader, &mut world.fx);
    for _ in 0..30 {
        say(&mut world, "x");
    }
    let (reader, _) = world.lasting(1, "reader");
    world.commit();
    let got = world.got(reader);
    assert!(payloads(&got).contains(&("1", true)), "{:?}", payloads(&got));
}

#[test]
fn the_same_from_one_client_in_one_write() {
    let mut world = World::new();
    let (a, _) = world.lasting(1, "a");
    world.subscribe(a, "$share/g/q", Qos::AtLeastOnce);
    let writer = world.client(2, "writer");
    world.publish(writer, "q", "1", Qos::AtLeastOnce);
    world.commit();
    assert_eq!(payloads(&world.got(a)), [("1", false)]);
    let burst = [
        &b"\x40\x02\0\x01"[..],                  // PUBACK 1
        b"\xA2\x0F\0\x02\0\0\x0A$share/g/q",     // UNSUBSCRIBE
        b"\x82\x10\0\x03\0\0\x0A$share/g/q\x01", // SUBSCRIBE
        b"\x32\x07\0\x01q\0\x04\x002",           // PUBLISH "2", QoS 1
    ]
    .concat();
    assert!(world.feed(a, &burst));
    world.commit();
    let got = world.got(a);
    assert!(got.contains(&Got::PubAck(4, Reason::Success)), "{got:?}");
    let mut world = world.killed();
    let (a, _) = world.lasting(1, "a");
    world.commit();
    assert_eq!(payloads(&world.got(a)), [("2", true)], "acknowledged to its publisher");
}
