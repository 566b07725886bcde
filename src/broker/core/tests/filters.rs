//! SUBSCRIBE and UNSUBSCRIBE, and their answers (§3.8 to §3.11).

use super::*;

fn subscribe_all(world: &mut World, key: Key, number: u16, filters: &[(&str, Qos)]) {
    let mut subscriptions = SubscriptionBuffer::default();
    for (filter, qos) in filters {
        subscriptions.push(filter, wire::Options::at(*qos)).expect("a filter");
    }
    let subscribe = Subscribe {
        packet_id: id(number),
        properties: NONE,
        subscriptions: subscriptions.as_subscriptions(),
    };
    world.send(key, &Packet::Subscribe(subscribe));
}

#[test]
fn a_subscribe_of_many_filters_has_one_answer_with_a_code_for_each_in_order() {
    let mut world = World::new();
    let key = world.client(1, "a");
    let filters = [
        ("a", Qos::AtLeastOnce),
        ("maestro/log/#", Qos::AtMostOnce), // not readable
        ("b/+", Qos::ExactlyOnce),
        ("c/#", Qos::AtMostOnce),
    ];
    subscribe_all(&mut world, key, 0x1234, &filters);
    let answers = world.each(key, |packet| {
        let Packet::SubAck(ack) = packet else { panic!("{packet:?}") };
        (ack.packet_id.get(), ack.codes.to_vec())
    });
    assert_eq!(answers, [(0x1234, vec![1, 0x87, 2, 0])]);
    let session = world.core.open_session(key).expect("open");
    assert_eq!(world.core.sessions.get(session).expect("there").filters.len(), 3);
}

#[test]
fn in_3_1_1_a_refused_filter_is_0x80() {
    let mut world = World::new();
    let old = Connect { version: Version::V311, clean_start: true, ..connect("old") };
    let (key, _) = world.connected(1, old);
    let filters = [("maestro/log/#", Qos::AtMostOnce), ("a", Qos::ExactlyOnce)];
    subscribe_all(&mut world, key, 1, &filters);
    assert_eq!(world.bytes(key), b"\x90\x04\0\x01\x80\x02");
}

#[test]
fn the_same_filter_again_replaces_the_subscription() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    for qos in [Qos::ExactlyOnce, Qos::AtMostOnce, Qos::AtLeastOnce] {
        world.subscribe(reader, "t", qos);
        world.publish(writer, "t", "x", Qos::ExactlyOnce);
        world.send(writer, &Packet::PubRel(Ack::success(id(7))));
        let got = world.got(reader);
        assert!(
            matches!(got[..], [Got::Publish { qos: got, .. }] if got == qos as u8),
            "one message: {got:?}"
        );
    }
}

#[test]
fn a_message_goes_out_with_the_lesser_of_its_quality_and_the_subscription_s() {
    let mut world = World::new();
    let writer = world.client(2, "writer");
    let qualities = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
    for (granted, reader) in qualities.into_iter().zip(["zero", "one", "two"]) {
        let reader = world.client(1, reader);
        world.subscribe(reader, "t", granted);
        for sent in qualities {
            world.publish(writer, "t", "x", sent);
            world.send(writer, &Packet::PubRel(Ack::success(id(7))));
            let got = world.got(reader);
            let least = sent.min(granted) as u8;
            assert!(matches!(got[..], [Got::Publish { qos, .. }] if qos == least), "{got:?}");
        }
    }
}

#[test]
fn overlapping_subscriptions_bring_one_copy_with_the_highest_quality_and_all_identifiers() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    for (filter, qos, identifier) in [
        ("a/#", Qos::AtMostOnce, 1),
        ("a/b", Qos::ExactlyOnce, 268_435_455),
        ("a/+", Qos::AtLeastOnce, 0),
    ] {
        world.subscribe_with(reader, filter, wire::Options::at(qos), identifier);
    }
    world.publish(writer, "a/b", "x", Qos::ExactlyOnce);
    let got = world.got(reader);
    let [Got::Publish { qos: 2, subs, .. }] = &got[..] else { panic!("{got:?}") };
    let mut subs = subs.clone();
    subs.sort_unstable();
    assert_eq!(subs, [1, 268_435_455]);
}

#[test]
fn a_client_that_wants_no_local_messages_gets_those_of_others_only() {
    let mut world = World::new();
    let (one, other) = (world.client(1, "one"), world.client(2, "other"));
    let options = wire::Options { no_local: true, ..wire::Options::at(Qos::AtLeastOnce) };
    world.subscribe_with(one, "t", options, 0);
    world.publish(one, "t", "own", Qos::AtLeastOnce);
    assert_eq!(world.got(one), [Got::PubAck(7, Reason::Success)]);
    world.publish(other, "t", "x", Qos::AtMostOnce);
    assert_eq!(world.got(one), [message("t", "x")]);
}

#[test]
fn an_unsubscribe_is_answered_for_each_filter_and_ends_exactly_those() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    for filter in ["a/+", "a/b", "c"] {
        world.subscribe(reader, filter, Qos::AtMostOnce);
    }
    let codes = world.unsubscribe(reader, &["a/b", "never/there", "c", "a/#"]);
    assert_eq!(codes, [0x00, 0x11, 0x00, 0x11], "a filter is no pattern here");
    for (topic, left) in [("a/b", 1), ("c", 0)] {
        world.publish(writer, topic, "x", Qos::AtMostOnce);
        assert_eq!(world.got(reader).len(), left, "{topic}");
    }
}

#[test]
fn in_3_1_1_an_unsuback_says_only_what_it_answers() {
    let mut world = World::new();
    let old = Connect { version: Version::V311, clean_start: true, ..connect("old") };
    let (key, _) = world.connected(1, old);
    assert!(world.feed(key, b"\xA2\x08\x12\x34\0\x01a\0\x01b"));
    assert_eq!(world.bytes(key), b"\xB0\x02\x12\x34");
}

#[test]
fn what_was_sent_before_an_unsubscribe_is_delivered_to_its_end() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    let writer = world.client(2, "writer");
    world.subscribe(reader, "q", Qos::ExactlyOnce);
    world.publish(writer, "q", "x", Qos::ExactlyOnce);
    world.settle();
    let got = world.got(reader);
    let [Got::Publish { id: number, .. }] = got[..] else { panic!("{got:?}") };
    world.unsubscribe(reader, &["q"]);
    world.publish(writer, "q", "late", Qos::AtLeastOnce);
    assert_eq!(world.got(reader), [], "nothing new");
    world.core.closed(reader, &mut world.fx);
    let (reader, _) = world.lasting(1, "reader");
    let got = world.got(reader);
    assert!(matches!(got[1], Got::Publish { id, dup: true, .. } if id == number), "{got:?}");
    world.send(reader, &Packet::PubRec(Ack::success(id(number))));
    world.settle();
    assert!(world.got(reader).contains(&Got::PubRel(number)));
}

#[test]
fn wildcards_do_not_reach_topics_that_begin_with_a_dollar() {
    let mut world = World::new();
    let root = world.client(0, "root");
    let link = Principal::new("plain", Role::Admin);
    world.core.attach(1, link, &mut world.fx);
    for filter in ["#", "+/broker/#"] {
        world.subscribe(root, filter, Qos::AtMostOnce);
    }
    world.got(root);
    let incoming = Message {
        topic: "$SYS/broker/x".into(),
        payload: ::bytes::Bytes::new(),
        qos: Qos::AtMostOnce,
        properties: Box::default(),
        expires: None,
        from: "maestro:broker".into(),
        client: None,
        audience: None,
    };
    let incoming = std::sync::Arc::new(incoming);
    let incoming = crate::broker::message::Incoming::of(&incoming, false);
    world.core.publish(&incoming, None, &mut world.fx);
    assert_eq!(world.got(root), []);
    world.subscribe(root, "$SYS/broker/x", Qos::AtMostOnce);
    world.got(root);
    world.core.publish(&incoming, None, &mut world.fx);
    assert_eq!(world.got(root).len(), 1);
}

#[test]
fn a_shared_subscription_respects_the_quality_granted_to_who_gets_the_message() {
    let mut world = World::new();
    let (low, high) = (world.client(1, "low"), world.client(2, "high"));
    let writer = world.client(3, "writer");
    world.subscribe(low, "$share/g/t", Qos::AtMostOnce);
    world.subscribe(high, "$share/g/t", Qos::AtLeastOnce);
    let mut seen = [0, 0];
    for _ in 0..4 {
        world.publish(writer, "t", "x", Qos::AtLeastOnce);
        for (reader, granted) in [(low, 0), (high, 1)] {
            for got in world.got(reader) {
                assert!(matches!(got, Got::Publish { qos, .. } if qos == granted), "{got:?}");
                seen[usize::from(granted)] += 1;
                if let Got::Publish { id: number @ 1.., .. } = got {
                    world.send(reader, &Packet::PubAck(Ack::success(id(number))));
                }
            }
        }
    }
    assert_eq!(seen.iter().sum::<u32>(), 4, "each message once");
}

#[test]
fn a_new_shared_subscription_brings_no_retained_messages() {
    let mut world = World::new();
    let (writer, reader) = (world.client(1, "writer"), world.client(2, "reader"));
    world.publish_with(writer, Publish { retain: true, ..publish("t", "x", Qos::AtMostOnce) });
    assert_eq!(world.subscribe(reader, "$share/g/t", Qos::AtMostOnce), [Got::SubAck(vec![0])]);
}

#[test]
fn a_message_that_a_member_of_a_group_refuses_goes_to_nobody_else() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut world = World::new();
        let members = [world.client(1, "one"), world.client(2, "two")];
        let writer = world.client(3, "writer");
        for member in members {
            world.subscribe(member, "$share/g/t", qos);
        }
        world.publish(writer, "t", "x", qos);
        for (at, member) in members.into_iter().enumerate() {
            let got = world.got(member);
            let [Got::Publish { id: number, .. }] = got[..] else { continue };
            let refused = Ack { reason: Reason::UnspecifiedError, ..Ack::success(id(number)) };
            let refused = match qos {
                Qos::ExactlyOnce => Packet::PubRec(refused),
                Qos::AtMostOnce | Qos::AtLeastOnce => Packet::PubAck(refused),
            };
            world.send(member, &refused);
            assert_eq!(world.got(member), []);
            assert_eq!(world.got(members[1 - at]), []);
            world.core.closed(member, &mut world.fx);
            assert_eq!(world.got(members[1 - at]), []);
        }
    }
}

#[test]
fn a_qos_2_message_that_a_member_of_a_group_has_begun_is_his_to_the_end() {
    for comes_back in [true, false] {
        let mut world = World::new();
        let member = world.lasting_reader("$share/g/t", Qos::ExactlyOnce);
        let writer = world.client(3, "writer");
        world.publish(writer, "t", "x", Qos::ExactlyOnce);
        world.settle();
        let got = world.got(member);
        let [Got::Publish { id: number, .. }] = got[..] else { panic!("{got:?}") };
        let other = world.client(2, "other");
        world.subscribe(other, "$share/g/t", Qos::ExactlyOnce);
        world.got(other);
        world.core.closed(member, &mut world.fx);
        assert_eq!(world.got(other), [], "not another's while he is away");
        if comes_back {
            let (member, _) = world.lasting(1, "reader");
            let got = world.got(member);
            assert!(
                matches!(got[1], Got::Publish { id, dup: true, .. } if id == number),
                "{got:?}"
            );
        } else {
            world.pass(3600);
        }
        assert_eq!(world.got(other), [], "nor afterwards");
    }
}
