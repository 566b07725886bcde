//! Wills fire when they should, and only then.

use super::*;

#[test]
fn a_will_fires_when_the_connection_breaks_and_not_when_it_ends() {
    let mut world = World::new();
    let reader = world.client(1, "reader");
    world.subscribe(reader, "wills/#", Qos::AtMostOnce);
    let will = Will {
        topic: "wills/a",
        payload: b"gone",
        qos: Qos::AtMostOnce,
        retain: false,
        properties: NONE,
    };
    for polite in [true, false] {
        let (key, _) = world.connected(2, Connect { will: Some(will), ..connect("a") });
        if polite {
            let disconnect = Disconnect { reason: Reason::Success, properties: NONE };
            world.send(key, &Packet::Disconnect(disconnect));
        }
        world.core.closed(key, &mut world.fx);
        let expected = if polite { vec![] } else { vec![message("wills/a", "gone")] };
        assert_eq!(world.got(reader), expected);
    }
    let will = Will { topic: "maestro/cmd/system/reboot", ..will };
    let (_, got) = world.connected(0, Connect { will: Some(will), ..connect("b") });
    assert!(matches!(got[0], Got::ConnAck { reason, .. } if reason.is_error()), "{got:?}");
}

#[test]
fn a_delayed_will_waits_and_a_return_forgets_it() {
    let mut world = World::new();
    let reader = world.client(1, "reader");
    world.subscribe(reader, "w", Qos::AtMostOnce);
    let mut delay = PropertyBuffer::new();
    delay.will_delay_interval(10);
    let mut expiry = PropertyBuffer::new();
    expiry.session_expiry_interval(60);
    let will = Will {
        topic: "w",
        payload: b"x",
        qos: Qos::AtMostOnce,
        retain: false,
        properties: delay.as_properties(),
    };
    let with_will =
        Connect { will: Some(will), properties: expiry.as_properties(), ..connect("a") };
    for back in [true, false] {
        let (key, _) = world.connected(2, with_will);
        world.core.closed(key, &mut world.fx);
        world.pass(9);
        assert_eq!(world.got(reader), []);
        if back {
            let (key, _) =
                world.connected(2, Connect { properties: expiry.as_properties(), ..connect("a") });
            world.pass(5);
            assert_eq!(world.got(reader), []);
            world.core.closed(key, &mut world.fx);
        } else {
            world.pass(1);
            assert_eq!(world.got(reader), [message("w", "x")]);
        }
    }
}

/// A CONNECT with a will on `w`, and the expiry of its session.
struct Willing {
    will: PropertyBuffer,
    session: PropertyBuffer,
    retain: bool,
}

impl Willing {
    fn new(delay_s: u32, session_expiry_s: u32) -> Willing {
        let (mut will, mut session) = (PropertyBuffer::new(), PropertyBuffer::new());
        if delay_s > 0 {
            will.will_delay_interval(delay_s);
        }
        if session_expiry_s > 0 {
            session.session_expiry_interval(session_expiry_s);
        }
        Willing { will, session, retain: false }
    }

    fn connect(&self, world: &mut World, id: &'static str) -> Key {
        let properties = self.will.as_properties();
        let (qos, retain) = (Qos::AtLeastOnce, self.retain);
        let will = Will { topic: "w", payload: b"gone", qos, retain, properties };
        let properties = self.session.as_properties();
        let (key, _) = world.connected(2, Connect { will: Some(will), properties, ..connect(id) });
        world.commit();
        key
    }
}

/// A session that stays and reads wills.
fn watch(world: &mut World) -> Key {
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "w", Qos::AtLeastOnce);
    reader
}

fn wills(world: &mut World) -> usize {
    let (reader, _) = world.lasting(1, "reader");
    world.commit();
    let got = world.got(reader);
    let fresh = payloads(&got).iter().filter(|(payload, _)| *payload == "gone").count();
    for got in got {
        if let Got::Publish { id: number, .. } = got {
            world.send(reader, &Packet::PubAck(Ack::success(id(number))));
        }
    }
    world.commit();
    fresh
}

#[test]
fn a_will_is_owed_by_the_next_process_once_whatever_session_it_belongs_to() {
    for session_expiry_s in [0, 60] {
        let mut world = World::new();
        watch(&mut world);
        Willing::new(0, session_expiry_s).connect(&mut world, "a");
        let mut world = world.killed();
        world.commit();
        assert_eq!(wills(&mut world), 1, "{session_expiry_s}");
        let mut world = world.killed();
        world.commit();
        assert_eq!(wills(&mut world), 0, "{session_expiry_s}");
        assert_eq!(world.rows(Table::Session), 1 + usize::from(session_expiry_s > 0));
    }
}

#[test]
fn a_kill_between_a_will_and_its_commit_makes_it_fire_again_and_nobody_had_it() {
    let mut world = World::new();
    watch(&mut world);
    let a = Willing::new(0, 0).connect(&mut world, "a");
    world.core.closed(a, &mut world.fx);
    let mut world = world.killed();
    assert_eq!(wills(&mut world), 1);
    assert_eq!(wills(&mut world), 0);
}

#[test]
fn a_will_survives_an_orderly_stop_and_not_a_disconnect() {
    for polite in [true, false] {
        let mut world = World::new();
        watch(&mut world);
        let a = Willing::new(0, 0).connect(&mut world, "a");
        if polite {
            let disconnect = Disconnect { reason: Reason::Success, properties: NONE };
            world.send(a, &Packet::Disconnect(disconnect));
            world.commit();
        }
        world.core.operation(Op::Stop, &mut world.fx);
        world.commit();
        let mut world = world.killed();
        assert_eq!(wills(&mut world), usize::from(!polite));
    }
}

#[test]
fn a_delay_goes_on_while_the_daemon_is_off_and_a_return_takes_the_will_back() {
    for back in [true, false] {
        let mut world = World::new();
        watch(&mut world);
        let willing = Willing::new(10, 60);
        let a = willing.connect(&mut world, "a");
        world.core.closed(a, &mut world.fx);
        world.commit();
        world.pass(4);
        let mut world = world.killed();
        assert_eq!(wills(&mut world), 0);
        world.pass(5);
        assert_eq!(wills(&mut world), 0);
        if back {
            willing.connect(&mut world, "a");
        }
        world.pass(1);
        assert_eq!(wills(&mut world), usize::from(!back));
    }
}

#[test]
fn a_will_lives_from_when_it_is_published_and_its_retained_copy_is_durable() {
    let mut world = World::new();
    let mut willing = Willing::new(0, 0);
    willing.will.message_expiry_interval(10);
    willing.retain = true;
    let a = willing.connect(&mut world, "a");
    world.pass(3600);
    world.core.closed(a, &mut world.fx);
    world.commit();
    let mut world = world.killed();
    world.pass(9);
    let reader = world.client(1, "plain");
    let got = world.subscribe(reader, "w", Qos::AtMostOnce);
    assert!(matches!(&got[1..], [Got::Publish { retain: true, .. }]), "{got:?}");
    world.pass(1);
    assert_eq!(world.subscribe(reader, "w", Qos::AtMostOnce).len(), 1);
}

#[test]
fn a_will_is_on_disk_before_it_is_with_a_session_that_would_get_it_twice() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        for filter in ["w", "$share/one/w"] {
            let mut world = World::new();
            let (reader, _) = world.lasting(1, "reader");
            world.subscribe(reader, filter, qos);
            let guest = world.client(3, "guest");
            world.subscribe(guest, "w", qos);
            let (topic, payload) = ("w", &b"gone"[..]);
            let will = Will { topic, payload, qos, retain: false, properties: NONE };
            let (key, _) = world.connected(2, Connect { will: Some(will), ..connect("a") });
            world.commit();
            world.core.closed(key, &mut world.fx);
            assert_eq!(payloads(&world.got(reader)), [], "{qos:?} {filter}");
            // Whoever does not outlive us cannot get it twice.
            assert_eq!(payloads(&world.got(guest)), [("gone", false)], "{qos:?} {filter}");
            world.commit();
            world.commit(); // a member of a group has a row of its own for QoS 2
            assert_eq!(payloads(&world.got(reader)), [("gone", false)], "{qos:?} {filter}");
        }
    }
}

#[test]
fn a_will_is_published_while_the_disk_is_full() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "w", Qos::AtLeastOnce);
    let (topic, payload, qos) = ("w", &b"gone"[..], Qos::AtLeastOnce);
    let will = Will { topic, payload, qos, retain: false, properties: NONE };
    let (key, _) = world.connected(2, Connect { will: Some(will), ..connect("a") });
    world.commit();
    world.core.closed(key, &mut world.fx);
    world.full();
    assert_eq!(payloads(&world.got(reader)), [("gone", false)]);
}

#[test]
fn a_will_with_qos_2_that_the_disk_does_not_take_waits_beside_the_queue_until_it_does() {
    let mut world = World::new();
    let (reader, _) = world.lasting(1, "reader");
    world.subscribe(reader, "w", Qos::ExactlyOnce);
    world.got(reader);
    let will =
        Will { topic: "w", payload: b"x", qos: Qos::ExactlyOnce, retain: false, properties: NONE };
    let (key, _) = world.connected(2, Connect { will: Some(will), ..connect("a") });
    world.commit();
    world.core.closed(key, &mut world.fx);
    world.full();
    world.pass(1);
    world.full();
    assert_eq!(payloads(&world.got(reader)), []);
    let writer = world.client(3, "writer");
    world.publish(writer, "w", "y", Qos::AtMostOnce);
    assert_eq!(payloads(&world.got(reader)), [("y", false)], "others go on");
    world.pass(1);
    world.commit();
    assert_eq!(payloads(&world.got(reader)), [("x", false)]);
    world.pass(2);
    assert_eq!(payloads(&world.got(reader)), []);
}
