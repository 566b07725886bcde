//! Filters and their options; retained messages.

use super::*;

#[test]
fn subscription_options_do_what_they_say() {
    let mut world = World::new();
    let both = world.client(1, "both");
    let options = wire::Options { no_local: true, ..wire::Options::at(Qos::AtMostOnce) };
    world.subscribe_with(both, "a/#", options, 3);
    world.publish(both, "a/1", "x", Qos::AtMostOnce);
    assert_eq!(world.got(both), [], "no local");
    let other = world.client(2, "other");
    let options = wire::Options { retain_as_published: true, ..wire::Options::at(Qos::AtMostOnce) };
    world.subscribe_with(both, "a/+", options, 5);
    world.publish_with(other, Publish { retain: true, ..publish("a/2", "x", Qos::AtMostOnce) });
    let got = world.got(both);
    let [Got::Publish { retain: true, subs, .. }] = &got[..] else { panic!("{got:?}") };
    assert_eq!(subs, &[3, 5], "one delivery with both identifiers");
    let options = wire::Options {
        retain_handling: RetainHandling::SendIfNew,
        ..wire::Options::at(Qos::AtMostOnce)
    };
    assert_eq!(world.subscribe_with(other, "a/2", options, 0).len(), 2);
    assert_eq!(world.subscribe_with(other, "a/2", options, 0).len(), 1);
}

#[test]
fn a_retained_message_is_replaced_cleared_and_expires() {
    let mut world = World::new();
    let (writer, reader) = (world.client(1, "writer"), world.client(2, "reader"));
    let retained = |payload| Publish { retain: true, ..publish("r", payload, Qos::AtMostOnce) };
    let kept = |world: &mut World| world.subscribe(reader, "r", Qos::AtMostOnce).len() - 1;
    world.publish_with(writer, retained("one"));
    world.publish_with(writer, retained("two"));
    assert_eq!(kept(&mut world), 1);
    world.publish_with(writer, retained(""));
    world.got(reader);
    assert_eq!(kept(&mut world), 0);
    let mut properties = PropertyBuffer::new();
    properties.message_expiry_interval(10);
    world.publish_with(writer, Publish { properties: properties.as_properties(), ..retained("x") });
    world.got(reader);
    world.pass(9);
    assert_eq!(kept(&mut world), 1);
    world.pass(1);
    assert_eq!(kept(&mut world), 0);
    assert_eq!(world.core.retained.len(), 2, "presence of the two clients");
}
