//! Retained messages (§3.3.1.3) and what a subscription says about them (§3.8.3.1).

use super::*;

fn keep(world: &mut World, writer: Key, payload: &str, qos: Qos) {
    world.publish_with(writer, Publish { retain: true, ..publish("r", payload, qos) });
    world.got(writer);
}

fn handling(how: RetainHandling) -> wire::Options {
    wire::Options { retain_handling: how, ..wire::Options::at(Qos::ExactlyOnce) }
}

/// Payload, quality, retain flag of the messages that came with a new subscription.
fn kept(world: &mut World, reader: Key, options: wire::Options) -> Vec<(String, u8, bool)> {
    let got = world.subscribe_with(reader, "r", options, 0);
    let messages = got.into_iter().filter_map(|got| {
        let Got::Publish { payload, qos, retain, .. } = got else { return None };
        Some((payload, qos, retain))
    });
    messages.collect()
}

#[test]
fn the_last_retained_message_is_sent_to_a_new_subscription_flagged_and_in_its_quality() {
    let mut world = World::new();
    let (writer, reader) = (world.client(1, "writer"), world.client(2, "reader"));
    for (payload, qos) in
        [("one", Qos::ExactlyOnce), ("two", Qos::AtMostOnce), ("three", Qos::AtLeastOnce)]
    {
        keep(&mut world, writer, payload, qos);
        let got = kept(&mut world, reader, handling(RetainHandling::Send));
        assert_eq!(got, [(payload.to_string(), qos as u8, true)]);
        world.unsubscribe(reader, &["r"]);
    }
}

#[test]
fn an_empty_payload_is_delivered_and_clears_what_was_kept() {
    let mut world = World::new();
    let (writer, reader) = (world.client(1, "writer"), world.client(2, "reader"));
    keep(&mut world, writer, "one", Qos::AtMostOnce);
    world.subscribe(reader, "r", Qos::AtMostOnce);
    keep(&mut world, writer, "", Qos::AtMostOnce);
    assert_eq!(world.got(reader), [message("r", "")], "processed like any other");
    assert_eq!(kept(&mut world, reader, handling(RetainHandling::Send)), []);
    assert!(!world.core.retained.has("r"));
}

#[test]
fn a_message_without_the_retain_flag_neither_is_kept_nor_touches_what_is() {
    let mut world = World::new();
    let (writer, reader) = (world.client(1, "writer"), world.client(2, "reader"));
    world.publish(writer, "r", "plain", Qos::AtMostOnce);
    assert_eq!(kept(&mut world, reader, handling(RetainHandling::Send)), []);
    keep(&mut world, writer, "kept", Qos::AtMostOnce);
    for payload in ["plain", ""] {
        world.publish(writer, "r", payload, Qos::AtMostOnce);
    }
    world.got(reader);
    let got = kept(&mut world, reader, handling(RetainHandling::Send));
    assert_eq!(got, [("kept".to_string(), 0, true)]);
}

#[test]
fn retain_handling_says_whether_a_subscription_brings_what_is_kept() {
    let mut world = World::new();
    let writer = world.client(1, "writer");
    keep(&mut world, writer, "x", Qos::AtMostOnce);
    for (id, how, first, again) in [
        ("always", RetainHandling::Send, 1, 1),
        ("new", RetainHandling::SendIfNew, 1, 0),
        ("never", RetainHandling::DoNotSend, 0, 0),
    ] {
        let reader = world.client(2, id);
        assert_eq!(kept(&mut world, reader, handling(how)).len(), first, "{id}");
        assert_eq!(kept(&mut world, reader, handling(how)).len(), again, "{id}");
    }
}

#[test]
fn a_subscription_that_is_replaced_loses_no_message() {
    let mut world = World::new();
    let (writer, reader) = (world.client(1, "writer"), world.client(2, "reader"));
    world.subscribe(reader, "r", Qos::AtLeastOnce);
    world.publish(writer, "r", "before", Qos::AtLeastOnce);
    let options = handling(RetainHandling::DoNotSend);
    let got = world.subscribe_with(reader, "r", options, 0);
    assert!(matches!(&got[0], Got::Publish { payload, .. } if payload == "before"), "{got:?}");
    world.publish(writer, "r", "after", Qos::AtLeastOnce);
    assert_eq!(world.got(reader).len(), 1);
}

#[test]
fn the_retain_flag_goes_out_as_published_only_to_who_asked_for_it() {
    let mut world = World::new();
    let writer = world.client(1, "writer");
    let (plain, curious) = (world.client(2, "plain"), world.client(3, "curious"));
    let old = Connect { version: Version::V311, clean_start: true, ..connect("old") };
    let (old, _) = world.connected(4, old);
    let as_published =
        wire::Options { retain_as_published: true, ..wire::Options::at(Qos::AtMostOnce) };
    world.subscribe(plain, "r", Qos::AtMostOnce);
    world.subscribe(old, "r", Qos::AtMostOnce);
    world.subscribe_with(curious, "r", as_published, 0);
    for retain in [true, false] {
        world.publish_with(writer, Publish { retain, ..publish("r", "x", Qos::AtMostOnce) });
        for (reader, flag) in [(plain, false), (old, false), (curious, retain)] {
            let got = world.got(reader);
            assert!(matches!(got[..], [Got::Publish { retain, .. }] if retain == flag), "{got:?}");
        }
    }
}

#[test]
fn what_is_kept_outlives_the_session_that_sent_it() {
    let mut world = World::new();
    let (writer, reader) = (world.client(1, "writer"), world.client(2, "reader"));
    keep(&mut world, writer, "x", Qos::AtMostOnce);
    world.core.closed(writer, &mut world.fx);
    assert_eq!(kept(&mut world, reader, handling(RetainHandling::Send)).len(), 1);
}

#[test]
fn of_two_values_of_a_topic_in_one_turn_the_later_outlives_a_kill() {
    let (zero, one) = (Qos::AtMostOnce, Qos::AtLeastOnce);
    for (first, second) in [(zero, one), (one, zero)] {
        let mut world = World::new();
        let writer = world.client(1, "writer");
        for (qos, payload) in [(first, "old"), (second, "new")] {
            world.publish_with(writer, Publish { retain: true, ..publish("t", payload, qos) });
        }
        world.commit();
        let mut world = world.killed();
        let reader = world.client(1, "reader");
        let got = world.subscribe(reader, "t", Qos::AtMostOnce);
        assert_eq!(payloads(&got), [("new", false)], "{first:?} {second:?}");
    }
}

/// 200 retained messages: more than three pieces.
fn with_200_kept() -> World {
    let bounds = crate::broker::queue::Bounds { count: 1000, ..limits().queue };
    let mut world = World::with(Limits { queue: bounds, ..limits() }, &Store::in_memory());
    let writer = world.client(1, "writer");
    for number in 0..200 {
        let (topic, payload) = (format!("k/{number:03}"), number.to_string());
        let publish = publish(&topic, &payload, Qos::AtLeastOnce);
        world.publish_with(writer, Publish { retain: true, ..publish });
        world.commit();
        world.got(writer);
    }
    world
}

#[test]
fn a_kill_in_the_middle_of_what_is_retained_loses_nothing_and_queues_nothing_twice() {
    let mut world = with_200_kept();
    let (reader, _) = world.lasting(2, "reader");
    world.subscribe(reader, "k/#", Qos::AtLeastOnce);
    for _ in 0..2 {
        assert!(world.core.unfinished());
        world = world.killed();
        assert!(world.lasting(2, "reader").1);
        world.core.go_on(&mut world.fx);
        world.commit();
    }
    world = world.killed();
    world.lasting(2, "reader");
    while world.core.unfinished() {
        world.core.go_on(&mut world.fx);
        world.commit();
    }
    assert_eq!(world.rows(Table::Queue), 200, "each of them once");
    let mut world = world.killed();
    world.lasting(2, "reader");
    assert!(!world.core.unfinished());
}

/// All that comes, acknowledged.
fn take(world: &mut World, reader: Key, got: &mut Vec<Got>) {
    loop {
        let came = world.got(reader);
        for number in numbers(&came) {
            world.send(reader, &Packet::PubAck(Ack::success(id(number))));
        }
        match came.is_empty() {
            true => return,
            false => got.extend(came),
        }
    }
}

#[test]
fn a_piece_that_the_disk_did_not_take_is_sent_to_nobody_and_made_again() {
    let mut world = with_200_kept();
    let (reader, _) = world.lasting(2, "reader");
    let mut got = world.subscribe(reader, "k/#", Qos::AtLeastOnce);
    world.commit();
    take(&mut world, reader, &mut got);
    let mut bad = true;
    while payloads(&got).len() < 200 {
        assert!(world.core.unfinished(), "after {}", payloads(&got).len());
        world.core.go_on(&mut world.fx);
        assert_eq!(world.got(reader), [], "before its commit");
        if bad {
            world.full();
            assert_eq!(world.got(reader), []);
            assert!(!world.core.unfinished(), "the disk has a moment");
            world.pass(1);
        } else {
            world.commit();
        }
        bad = !bad;
        take(&mut world, reader, &mut got);
    }
    let once: std::collections::BTreeSet<_> = payloads(&got).into_iter().collect();
    assert_eq!((once.len(), payloads(&got).len()), (200, 200));
    assert!(!world.core.unfinished());
}

#[test]
fn a_topic_holds_what_it_held_when_the_disk_refuses_its_new_value() {
    let mut world = World::new();
    let writer = world.client(1, "writer");
    keep(&mut world, writer, "old", Qos::AtLeastOnce);
    world.commit();
    world.got(writer);
    for (payload, qos) in
        [("new", Qos::AtLeastOnce), ("", Qos::AtLeastOnce), ("new", Qos::ExactlyOnce)]
    {
        keep(&mut world, writer, payload, qos);
        world.full();
        let got = world.got(writer);
        let refused = matches!(got[..], [Got::PubAck(_, reason) | Got::PubRec(_, reason)] if reason.is_error());
        assert!(refused, "{got:?}");
        let held = world.core.retained.get("r").expect("a value");
        assert_eq!(held.payload, "old", "{payload:?} {qos:?}");
    }
    // Nobody was promised anything of this one.
    keep(&mut world, writer, "passing", Qos::AtMostOnce);
    world.full();
    assert_eq!(world.core.retained.get("r").expect("a value").payload, "passing");
}
