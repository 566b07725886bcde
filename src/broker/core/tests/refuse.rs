//! What a role may not do is refused, and told.

use super::*;

#[test]
fn a_filter_wider_than_the_role_is_trimmed_at_delivery() {
    let mut world = World::new();
    let (app, other, root) =
        (world.client(1, "app"), world.client(2, "other"), world.client(0, "root"));
    world.subscribe(app, "#", Qos::AtMostOnce);
    world.got(app);
    world.publish(root, "maestro/app/u2/cmd/go", "x", Qos::AtMostOnce); // an operator's word to u2
    world.publish(other, "maestro/app/u2/state/led", "on", Qos::AtMostOnce);
    world.publish(other, "sensors/hall", "21", Qos::AtMostOnce);
    let got = world.got(app);
    assert_eq!(got, [message("maestro/app/u2/state/led", "on"), message("sensors/hall", "21")]);
    let got = world.subscribe(app, "maestro/log/#", Qos::AtMostOnce);
    assert_eq!(got.last(), Some(&Got::SubAck(vec![0x87])), "nothing under it is readable");
}

#[test]
fn a_refused_publish_is_told_to_its_author_and_not_delivered() {
    let mut world = World::new();
    let app = world.client(1, "app");
    world.subscribe(app, "maestro/event/broker/app/refused", Qos::AtMostOnce);
    world.publish(app, "maestro/status/stats", "{}", Qos::AtLeastOnce);
    let got = world.got(app);
    assert!(
        matches!(&got[0], Got::Publish { payload, .. } if payload.contains("broker.not_authorized")),
        "{got:?}"
    );
    assert_eq!(got[1], Got::PubAck(7, Reason::NotAuthorized));
}

#[test]
fn a_flood_of_refusals_is_not_told_as_a_flood() {
    let mut world = World::new();
    let (app, root) = (world.client(1, "app"), world.client(0, "root"));
    world.subscribe(root, "maestro/event/#", Qos::AtMostOnce);
    for _ in 0..1000 {
        world.publish(app, "maestro/info", "x", Qos::AtMostOnce);
    }
    assert_eq!(world.got(root).len(), 5);
    world.pass(2);
    world.publish(app, "maestro/info", "x", Qos::AtMostOnce);
    assert_eq!(world.got(root).len(), 1);
}

#[test]
fn a_command_waits_for_the_gate_and_its_watchers_see_it_only_when_it_passed() {
    let mut world = World::new();
    let root = world.client(0, "root");
    world.subscribe(root, "maestro/cmd/#", Qos::AtMostOnce);
    for (verdict, seen) in
        [(Ok(()), true), (Err(crate::contract::Error::new("command.malformed", "no")), false)]
    {
        world.publish(root, "maestro/cmd/system/ping", "", Qos::AtLeastOnce);
        assert_eq!(world.got(root), []);
        let hold = world.fx.hold.pop().expect("held");
        let reason = if verdict.is_ok() { Reason::Success } else { reason(&verdict) };
        let op = Op::Released { ticket: hold.ticket, verdict };
        world.core.operation(op, &mut world.fx);
        let got = world.got(root);
        let watched = got.contains(&message("maestro/cmd/system/ping", ""));
        assert_eq!(watched, seen, "{got:?}");
        assert_eq!(got.last(), Some(&Got::PubAck(7, reason)));
    }
}

fn reason(verdict: &Result<(), crate::contract::Error>) -> Reason {
    crate::broker::core::publish::reason_of(&verdict.as_ref().expect_err("an error").code)
}

#[test]
fn a_response_topic_below_cmd_is_refused() {
    let mut world = World::new();
    let root = world.client(0, "root");
    for (topic, allowed) in
        [("me/1", true), ("maestro/cmd/system/reboot", false), ("maestro/status", false)]
    {
        let mut properties = PropertyBuffer::new();
        properties.response_topic(topic);
        let ping = publish("maestro/cmd/system/ping", "", Qos::AtLeastOnce);
        world.publish_with(root, Publish { properties: properties.as_properties(), ..ping });
        let hold = world.fx.hold.pop();
        assert_eq!(hold.is_some(), allowed, "{topic}");
        if let Some(hold) = hold {
            let op = Op::Released { ticket: hold.ticket, verdict: Ok(()) };
            world.core.operation(op, &mut world.fx);
        }
        let reason = if allowed { Reason::Success } else { Reason::NotAuthorized };
        assert_eq!(world.got(root), [Got::PubAck(7, reason)], "{topic}");
    }
}
