//! `$SYS`: there for who asks, costing nothing when nobody does.

use super::*;

/// Topic below `$SYS/broker/`, value and retain flag of what a client got.
fn figures(world: &mut World, key: Key) -> Vec<(String, String, bool)> {
    let got = world.got(key).into_iter().filter_map(|got| {
        let Got::Publish { topic, payload, retain, .. } = got else { return None };
        Some((topic.strip_prefix("$SYS/broker/")?.to_string(), payload, retain))
    });
    got.collect()
}

fn watcher(
    world: &mut World,
    id: &'static str,
    filter: &str,
) -> (Key, Vec<(String, String, bool)>) {
    let key = world.client(1, id);
    world.subscribe_raw(key, filter);
    let figures = figures(world, key);
    (key, figures)
}

#[test]
fn a_new_subscriber_gets_every_figure_as_if_it_were_retained() {
    let mut world = World::new();
    let op = Op::Unsubscribe { link: 99, filter: "x".into() };
    world.core.operation(op, &mut world.fx);
    world.pass(90);
    let (_, figures) = watcher(&mut world, "watcher", "$SYS/#");
    assert!(figures.iter().all(|(_, _, retain)| *retain));
    let value =
        |name: &str| figures.iter().find(|(topic, ..)| topic == name).map(|found| &*found.1);
    assert_eq!(value("version"), Some(concat!("maestro version ", env!("CARGO_PKG_VERSION"))));
    assert_eq!(value("uptime"), Some("90 seconds"));
    for (name, count) in [
        ("clients/connected", "1"),
        ("clients/total", "1"),
        ("clients/maximum", "1"),
        ("subscriptions/count", "1"),
        ("messages/received", "2"),
        ("publish/messages/received", "0"),
        ("retained messages/count", "1"), // presence
    ] {
        assert_eq!(value(name), Some(count), "{name}");
    }
    assert_eq!(value("load/messages/received/15min"), Some("0.00"));
    assert_eq!(figures.len(), 2 + 22 + 24);
    assert_eq!(watcher(&mut world, "one", "$SYS/broker/uptime").1.len(), 1);
    assert_eq!(watcher(&mut world, "some", "$SYS/broker/clients/+").1.len(), 7);
}

#[test]
fn figures_that_changed_are_said_again_while_somebody_listens_and_then_the_timer_is_gone() {
    let mut world = World::new();
    assert_eq!(world.core.wake(), None, "no timer");
    let (key, _) = watcher(&mut world, "watcher", "$SYS/broker/publish/messages/received");
    let writer = world.client(2, "writer");
    world.pass(10);
    assert_eq!(figures(&mut world, key), [], "nothing changed");
    world.publish(writer, "t", "x", Qos::AtMostOnce);
    world.pass(9);
    assert_eq!(figures(&mut world, key), []);
    world.pass(1);
    let name = "publish/messages/received".to_string();
    assert_eq!(figures(&mut world, key), [(name, "1".to_string(), false)]);
    assert!(world.core.wake().is_some());
    world.unsubscribe(key, &["$SYS/broker/publish/messages/received"]);
    world.pass(10);
    assert_eq!(world.core.timers.next(), None, "nobody listens");
}

#[test]
fn an_absent_watcher_keeps_no_timer_and_its_return_brings_it_back() {
    let mut world = World::new();
    let (key, _) = world.lasting(1, "watcher");
    world.subscribe_raw(key, "$SYS/broker/clients/total");
    world.settle();
    world.core.closed(key, &mut world.fx);
    world.pass(10);
    assert!(
        !matches!(world.core.timers.next(), Some(at) if at <= world.now.at + Duration::from_secs(10))
    );
    let (key, _) = world.lasting(1, "watcher");
    world.got(key);
    world.client(2, "another");
    world.pass(10);
    let name = "clients/total".to_string();
    assert_eq!(figures(&mut world, key), [(name, "2".to_string(), false)]);
}

#[test]
fn a_link_of_the_daemon_gets_figures_like_a_client_at_once_and_while_it_is_there() {
    let mut world = World::new();
    let bridge = Principal::bridge("cloud", Role::Operator, vec![]);
    world.core.attach(1, bridge, &mut world.fx);
    let subscribed = world.core.link_subscribe(
        1,
        "$SYS/broker/clients/connected",
        Qos::AtLeastOnce,
        &mut world.fx,
    );
    assert_eq!(subscribed, Ok(()));
    let told = |world: &mut World| {
        let told: Vec<_> = world.fx.deliver.drain(..).map(|(_, one)| one).collect();
        for one in &told {
            world.core.link_acknowledge(1, one.token, &mut world.fx);
        }
        told.iter().map(|one| one.message.payload.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut world), [b"0"]);
    world.client(2, "one");
    world.pass(10);
    assert_eq!(told(&mut world), [b"1"]);
    world.core.operation(Op::Detach { link: 1 }, &mut world.fx);
    world.pass(10);
    assert_eq!(world.core.timers.next(), None);
}

#[test]
fn nobody_gets_figures_by_a_wildcard_and_nobody_publishes_there() {
    let mut world = World::new();
    let root = world.client(0, "root");
    world.subscribe_raw(root, "#");
    assert_eq!(figures(&mut world, root), []);
    world.publish(root, "$SYS/broker/version", "mine", Qos::AtLeastOnce);
    assert_eq!(world.got(root).last(), Some(&Got::PubAck(7, Reason::NotAuthorized)));
}

#[test]
fn a_load_is_an_average_per_minute_that_fades() {
    let mut world = World::new();
    let (key, _) = watcher(&mut world, "watcher", "$SYS/broker/load/publish/received/+");
    let writer = world.client(2, "writer");
    for _ in 0..60 {
        for _ in 0..10 {
            world.publish(writer, "t", "x", Qos::AtMostOnce);
        }
        world.pass(10);
    }
    let seen = figures(&mut world, key);
    let last = |span: &str| {
        let found = seen.iter().rfind(|(topic, ..)| topic.ends_with(span)).expect("said");
        found.1.parse::<f64>().expect("a number")
    };
    assert!((last("/1min") - 60.0).abs() < 1.0, "{}", last("/1min"));
    assert!(last("/15min") > 20.0 && last("/15min") < 40.0, "{}", last("/15min"));
    world.pass(600);
    world.pass(600);
    let seen = figures(&mut world, key);
    let one = seen.iter().rfind(|(topic, ..)| topic.ends_with("/1min")).expect("said");
    assert_eq!(one.1, "0.00");
}
