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
