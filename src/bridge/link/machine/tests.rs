//! The machine by its promises.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::bridge::Config;
use crate::bridge::config::{Backoff as Pauses, Policy};
use crate::bridge::queue::BrokenBy;
use crate::bridge::rule::Names;
use crate::service::Machine as _;
use crate::service::testing::at;
use crate::topic::Root;

const K: u64 = 60;

fn machine() -> Machine {
    let root = Root::default();
    let names = Names { root: &root, prefix: "gw", gateway: "GW1", principal: "bridge:cloud" };
    let rules = Rules::new(&Config::default(), names);
    let hello = Hello {
        client_id: "GW1".into(),
        keepalive_s: 60,
        availability: rules.availability(),
        username: None,
        password: None,
    };
    let settings = Settings {
        hello,
        url: "mqtts://cloud:8883".into(),
        principal: "bridge:cloud".into(),
        queue: config::Queue { max_count: 100, policy: Policy::Oldest, ..config::Queue::default() },
        backoff: Pauses { min: Duration::from_secs(1), max: Duration::from_secs(1) },
        seed: 7,
    };
    Machine::new(settings, rules, at(0))
}

fn welcome() -> Welcome {
    Welcome {
        session_present: true,
        receive_maximum: 20,
        max_packet_bytes: u32::MAX,
        keepalive_s: None,
        retain: true,
        acknowledges: true,
    }
}

/// The effects without the leave to read on, which tests of their own look at.
fn input(machine: &mut Machine, now: Instant, input: Input) -> Vec<Effect> {
    let mut effects = machine.handle(now, Event::Input(input));
    effects.retain(|effect| *effect != Effect::ReadOn);
    effects
}

fn hear(machine: &mut Machine, now: Instant, packet: Incoming) -> Vec<Effect> {
    let n = machine.connection;
    input(machine, now, Input::Received(n, vec![packet]))
}

/// Connects with this welcome; the effects of the CONNACK.
fn connect(machine: &mut Machine, now: Instant, welcome: Welcome) -> Vec<Effect> {
    let effects = machine.handle(now, Event::Due);
    assert_eq!(effects.last(), Some(&Effect::Dial(machine.connection)));
    let n = machine.connection;
    input(machine, now, Input::Dialled(n, Ok(())));
    hear(machine, now, Incoming::Welcome(welcome))
}

fn connected() -> Machine {
    let mut machine = machine();
    connect(&mut machine, at(0), welcome());
    let ack = Incoming::Acknowledged(id(2));
    hear(&mut machine, at(0), ack);
    machine
}

fn id(id: u16) -> NonZeroU16 {
    NonZeroU16::new(id).unwrap()
}

fn local(machine: &mut Machine, now: Instant, topic: &str, token: u64) -> Vec<Effect> {
    let message = Message::new(topic.into(), "{}").at_least_once();
    input(machine, now, Input::Local(Delivery { message, token, from: "maestro:x".into() }))
}

/// Topics and identifiers of the messages that go to the cloud.
fn sent(effects: &[Effect]) -> Vec<(u16, &str)> {
    let publishes = effects.iter().filter_map(|effect| {
        let Effect::Send(Outgoing::Publish(id, message)) = effect else { return None };
        Some((id.map_or(0, NonZeroU16::get), message.topic.as_str()))
    });
    publishes.collect()
}

fn said(effects: &[Effect]) -> Vec<(Link, Option<&str>)> {
    let standings = effects.iter().filter_map(|effect| {
        let Effect::Say(standing) = effect else { return None };
        Some((standing.link, standing.reason.as_ref().map(|reason| reason.code.as_str())))
    });
    standings.collect()
}

fn closed(machine: &mut Machine, now: Instant, by: BrokenBy) -> Vec<Effect> {
    let trouble = match by {
        BrokenBy::Cloud => Trouble::theirs("bridge.closed", "closed"),
        BrokenBy::Link => Trouble::ours("bridge.silent", "silent"),
    };
    let n = machine.connection;
    input(machine, now, Input::Closed(n, trouble))
}

#[test]
fn a_connection_begins_with_connect_then_subscriptions_and_the_birth() {
    let mut machine = machine();
    assert_eq!(machine.wake(), Wake::At(at(0)));
    assert_eq!(machine.handle(at(0), Event::Due), [Effect::Dial(1)]);
    let effects = input(&mut machine, at(1), Input::Dialled(1, Ok(())));
    let [Effect::Send(Outgoing::Connect(hello))] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(hello.availability, "gw/GW1/availability");

    let effects = hear(&mut machine, at(2), Incoming::Welcome(welcome()));
    assert_eq!(said(&effects), [(Link::Connected, None)]);
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Send(Outgoing::Subscribe(_, filters)) if filters.contains(&"gw/GW1/cmd/#".into())
    )));
    assert_eq!(sent(&effects), [(2, "gw/GW1/availability")]);
}

#[test]
fn a_local_message_is_released_only_when_the_cloud_has_it() {
    let mut machine = connected();
    let effects = local(&mut machine, at(1), "maestro/event/x/y/z", 41);
    assert_eq!(sent(&effects), [(3, "gw/GW1/event/x/y/z")]);
    assert!(!effects.contains(&Effect::Release(41)));
    let effects = hear(&mut machine, at(2), Incoming::Acknowledged(id(3)));
    assert_eq!(effects, [Effect::Release(41)]);
}

#[test]
fn what_no_rule_carries_and_what_the_bridge_itself_brought_is_released_at_once() {
    let mut machine = connected();
    assert_eq!(local(&mut machine, at(1), "maestro/log/err/x", 5), [Effect::Release(5)]);
    let message = Message::new("maestro/event/x/y/z".into(), "{}").at_least_once();
    let delivery = Delivery { message, token: 6, from: "bridge:cloud".into() };
    assert_eq!(input(&mut machine, at(1), Input::Local(delivery)), [Effect::Release(6)]);
}

#[test]
fn what_waits_goes_out_in_order_after_a_reconnect_and_what_was_in_flight_goes_again() {
    let mut machine = connected();
    local(&mut machine, at(1), "maestro/event/x/y/1", 1);
    local(&mut machine, at(1), "maestro/event/x/y/2", 2);
    let effects = closed(&mut machine, at(2), BrokenBy::Link);
    assert_eq!(said(&effects), [(Link::Disconnected, Some("bridge.silent"))]);
    assert!(effects.contains(&Effect::HangUp));
    assert!(local(&mut machine, at(3), "maestro/event/x/y/3", 3).is_empty());

    let effects = connect(&mut machine, at(10), welcome());
    let topics: Vec<&str> = sent(&effects).into_iter().map(|(_, topic)| topic).collect();
    assert_eq!(
        topics,
        ["gw/GW1/availability", "gw/GW1/event/x/y/1", "gw/GW1/event/x/y/2", "gw/GW1/event/x/y/3"]
    );
}

#[test]
fn no_more_fly_than_the_cloud_takes_and_each_acknowledgement_lets_one_more_go() {
    let mut machine = machine();
    for token in 1..=5 {
        local(&mut machine, at(0), "maestro/event/x/y/z", token);
    }
    let effects = connect(&mut machine, at(1), Welcome { receive_maximum: 3, ..welcome() });
    assert_eq!(sent(&effects).len(), 3, "the birth and two");
    let effects = hear(&mut machine, at(1), Incoming::Acknowledged(id(2)));
    assert_eq!(sent(&effects).len(), 1);
    let effects = hear(&mut machine, at(1), Incoming::Acknowledged(id(3)));
    assert_eq!((sent(&effects).len(), effects.contains(&Effect::Release(1))), (1, true));
}

#[test]
fn a_silent_cut_is_said_within_one_and_a_half_keepalives() {
    let mut machine = connected();
    hear(&mut machine, at(10), Incoming::Pong);
    let Wake::At(ask_at) = machine.wake() else { panic!() };
    let effects = machine.handle(ask_at, Event::Due);
    machine.report_at = None;
    assert!(effects.contains(&Effect::Send(Outgoing::Ping)) || ask_at <= at(10), "{effects:?}");
    let mut now = ask_at;
    while machine.standing.link == Link::Connected {
        let Wake::At(next) = machine.wake() else { panic!() };
        now = next.max(now);
        machine.handle(now, Event::Due);
    }
    assert!(now <= at(10 + K * 3 / 2), "{:?}", now - at(10));
    assert_eq!(machine.standing.reason.as_ref().unwrap().code, "bridge.silent");
}

#[test]
fn an_attempt_that_hangs_is_given_up_and_tried_again_within_the_back_off() {
    let mut machine = machine();
    machine.handle(at(0), Event::Due);
    let effects = machine.handle(at(30), Event::Due);
    assert_eq!(said(&effects), [(Link::Disconnected, Some("bridge.unreachable"))]);
    let Wake::At(retry_at) = machine.wake() else { panic!() };
    assert!(retry_at <= at(31));
    assert_eq!(machine.handle(at(31), Event::Due), [Effect::Dial(2)]);
    // Coming late, the first attempt is not heard.
    assert!(input(&mut machine, at(32), Input::Dialled(1, Ok(()))).is_empty());
    let trouble = Trouble::ours("bridge.unreachable", "no connection");
    let again = Trouble { error: machine.standing.reason.clone().unwrap(), ..trouble };
    let effects = input(&mut machine, at(33), Input::Dialled(2, Err(again)));
    assert!(said(&effects).is_empty(), "the same trouble is said once");
}

#[test]
fn a_command_is_acknowledged_to_the_cloud_when_our_broker_has_it_and_refused_with_its_reason() {
    let mut machine = connected();
    let command = |topic: &str| {
        let message =
            Message { response_topic: Some("x".into()), ..Message::new(topic.into(), "{}") };
        Incoming::Publish(NonZeroU16::new(9), Box::new(message))
    };
    let effects = hear(&mut machine, at(1), command("gw/GW1/cmd/system/ping"));
    let [Effect::Publish(1, Some(_), message)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(message.topic, "maestro/cmd/system/ping");
    assert_eq!(message.response_topic.as_deref(), Some("bridge/cloud/reply/x"));
    assert!(!message.retain);
    let effects = input(&mut machine, at(2), Input::Told(1, Some(id(9)), Ok(())));
    assert_eq!(effects, [Effect::Send(Outgoing::PubAck(id(9), Verdict::Taken))]);

    hear(&mut machine, at(3), command("gw/GW1/cmd/system/reboot"));
    let refused = Refused { code: "command.unsigned", message: "needs a signature".into() };
    let effects = input(&mut machine, at(4), Input::Told(1, Some(id(9)), Err(refused)));
    assert!(matches!(&effects[..], [Effect::Send(Outgoing::PubAck(_, Verdict::Refused(_, text)))]
        if text.contains("command.unsigned")));
    let effects = hear(&mut machine, at(5), command("gw/GW2/cmd/system/reboot"));
    assert_eq!(effects, [Effect::Send(Outgoing::PubAck(id(9), Verdict::Unasked))]);
}

/// A message of the cloud that is to be acknowledged.
fn command(packet_id: u16) -> Incoming {
    let message = Message::new("gw/GW1/cmd/system/ping".into(), "{}");
    Incoming::Publish(Some(id(packet_id)), Box::new(message))
}

#[test]
fn a_cloud_that_sends_more_at_once_than_the_receive_maximum_is_told_so_and_left() {
    let mut machine = connected();
    for packet_id in 1..=16 {
        hear(&mut machine, at(1), command(packet_id));
    }
    // One is acknowledged, so one more may come; those with QoS 0 do not count.
    input(&mut machine, at(1), Input::Told(1, Some(id(1)), Ok(())));
    hear(&mut machine, at(1), command(17));
    hear(&mut machine, at(1), letter());
    assert_eq!(machine.standing.link, Link::Connected);

    let packets = vec![command(18), command(19)];
    let effects = input(&mut machine, at(2), Input::Received(1, packets));
    let told = Effect::Send(Outgoing::Disconnect(Farewell::ReceiveMaximumExceeded));
    assert_eq!(effects[..2], [told, Effect::HangUp]);
    assert_eq!(said(&effects), [(Link::Disconnected, Some("bridge.protocol"))]);
    assert_eq!(effects.len(), 3, "what follows is not heard: {effects:?}");
    // Nothing follows a DISCONNECT (MQTT-3.14.4-1).
    assert!(input(&mut machine, at(2), Input::Told(1, Some(id(2)), Ok(()))).is_empty());
    assert!(input(&mut machine, at(2), Input::Received(1, vec![command(20)])).is_empty());

    connect(&mut machine, at(10), welcome());
    for packet_id in 1..=16 {
        hear(&mut machine, at(11), command(packet_id));
    }
    assert_eq!(machine.standing.link, Link::Connected, "a connection counts anew");
}

#[test]
fn what_no_rule_asked_for_is_acknowledged_at_once_and_counts_no_longer() {
    let mut machine = connected();
    for packet_id in 1..=100 {
        let message = Box::new(Message::new("gw/GW2/cmd/system/ping".into(), "{}"));
        hear(&mut machine, at(1), Incoming::Publish(Some(id(packet_id)), message));
    }
    assert_eq!(machine.standing.link, Link::Connected);
}

#[test]
fn a_cloud_that_does_not_take_our_acknowledgements_is_not_read_until_it_does() {
    let mut machine = connected();
    let unasked = |packet_id| {
        let message = Box::new(Message::new("gw/GW2/cmd/system/ping".into(), "{}"));
        Incoming::Publish(Some(id(packet_id)), message)
    };
    let mut heard = |n| machine.handle(at(1), Event::Input(Input::Received(1, vec![unasked(n)])));
    for packet_id in 1..=63 {
        assert_eq!(heard(packet_id).last(), Some(&Effect::ReadOn));
    }
    let effects = heard(64);
    assert!(effects.contains(&Effect::TellFlushed) && !effects.contains(&Effect::ReadOn));
    let effects = machine.handle(at(2), Event::Input(Input::Flushed(1)));
    assert_eq!(effects, [Effect::ReadOn]);
}

#[test]
fn a_message_before_the_session_is_open_ends_the_connection() {
    let mut machine = machine();
    machine.handle(at(0), Event::Due);
    input(&mut machine, at(0), Input::Dialled(1, Ok(())));
    let effects = hear(&mut machine, at(0), letter());
    assert_eq!(said(&effects), [(Link::Disconnected, Some("bridge.protocol"))]);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Publish(..))));
}

#[test]
fn a_retained_command_stays_retained_and_a_desired_document_becomes_so() {
    let mut machine = connected();
    let mut retain = |topic: &str, retain| {
        let message = Message { retain, ..Message::new(topic.into(), "{}") };
        let effects = hear(&mut machine, at(1), Incoming::Publish(None, Box::new(message)));
        let [Effect::Publish(_, None, message)] = &effects[..] else { panic!("{effects:?}") };
        message.retain
    };
    assert!(retain("gw/GW1/cmd/system/ping", true), "so that our broker refuses it");
    assert!(!retain("gw/GW1/cmd/system/ping", false));
    assert!(retain("gw/GW1/desired/jobs/thermo", false));
}

/// A message of the cloud with QoS 0.
fn letter() -> Incoming {
    Incoming::Publish(None, Box::new(Message::new("gw/GW1/cmd/system/ping".into(), "{}")))
}

/// Whether the connection may read on after these messages.
fn reads_on_after(machine: &mut Machine, now: Instant, letters: usize) -> bool {
    let n = machine.connection;
    let packets = (0..letters).map(|_| letter()).collect();
    let effects = machine.handle(now, Event::Input(Input::Received(n, packets)));
    effects.contains(&Effect::ReadOn)
}

/// Whether the connection may read on after an answer of our broker.
fn reads_on_after_answer(machine: &mut Machine, now: Instant) -> bool {
    let told = Input::Told(machine.connection, None, Ok(()));
    machine.handle(now, Event::Input(told)).contains(&Effect::ReadOn)
}

#[test]
fn a_cloud_that_sends_faster_than_our_broker_takes_is_not_read_until_it_has_taken_some() {
    let mut machine = connected();
    assert!(reads_on_after(&mut machine, at(1), 63));
    assert!(!reads_on_after(&mut machine, at(1), 64));
    for _ in 0..63 {
        assert!(!reads_on_after_answer(&mut machine, at(1)));
    }
    assert!(reads_on_after_answer(&mut machine, at(1)), "63 wait");
    assert!(!reads_on_after_answer(&mut machine, at(1)), "one leave for one turn");
    // What an earlier connection brought waits, too.
    assert!(!reads_on_after(&mut machine, at(1), 64));
    closed(&mut machine, at(2), BrokenBy::Cloud);
    machine.handle(at(10), Event::Due);
    let dialled = Input::Dialled(machine.connection, Ok(()));
    assert!(!machine.handle(at(10), Event::Input(dialled)).contains(&Effect::ReadOn));
    machine.handle(at(60), Event::Due);
    assert!(matches!(machine.state, State::Greeting { .. }), "nobody looked for the CONNACK");
    assert!((0..126).any(|_| reads_on_after_answer(&mut machine, at(60))));
}

#[test]
fn a_link_that_is_not_read_is_asked_in_time_but_never_dead() {
    let mut machine = connected();
    assert!(!reads_on_after(&mut machine, at(1), 64));
    let mut asked = Vec::new();
    for second in 2..=600 {
        let now = at(second);
        if matches!(machine.wake(), Wake::At(due) if due <= now) {
            let effects = machine.handle(now, Event::Due);
            asked.extend(effects.contains(&Effect::Send(Outgoing::Ping)).then_some(second));
        }
    }
    assert_eq!(asked, (1..=11).map(|n| n * K * 9 / 10).collect::<Vec<_>>());
    assert_eq!(machine.standing.link, Link::Connected);
    // From here on it must speak as ever.
    assert!(reads_on_after_answer(&mut machine, at(600)));
    assert_eq!(machine.wake(), Wake::At(at(600 + K / 2)));
    let effects = machine.handle(at(600 + K / 2), Event::Due);
    assert_eq!(said(&effects), [(Link::Disconnected, Some("bridge.silent"))]);
}

#[test]
fn an_answer_to_an_earlier_connection_is_not_sent_to_the_next() {
    let mut machine = connected();
    let message = Box::new(Message::new("gw/GW1/cmd/system/ping".into(), "{}"));
    hear(&mut machine, at(1), Incoming::Publish(Some(id(9)), message));
    closed(&mut machine, at(2), BrokenBy::Cloud);
    connect(&mut machine, at(10), welcome());
    assert!(input(&mut machine, at(11), Input::Told(1, Some(id(9)), Ok(()))).is_empty());
}

#[test]
fn a_cloud_that_forgot_us_is_told_everything_that_is_retained_once_more() {
    let mut machine = connected();
    closed(&mut machine, at(1), BrokenBy::Cloud);
    let effects = connect(&mut machine, at(10), Welcome { session_present: false, ..welcome() });
    let Some(Effect::Refresh(filters)) = effects.last() else { panic!("{effects:?}") };
    assert!(filters.contains(&"maestro/state/#".into()));
    assert!(!filters.contains(&"maestro/event/#".into()));
}

#[test]
fn a_refused_message_is_set_aside_and_said_without_stopping_the_rest() {
    let mut machine = connected();
    local(&mut machine, at(1), "maestro/event/x/y/1", 1);
    local(&mut machine, at(1), "maestro/event/x/y/2", 2);
    let effects = hear(&mut machine, at(2), Incoming::Refused(id(3), "Not authorized".into()));
    assert_eq!(said(&effects), [(Link::Connected, Some("bridge.refused"))]);
    assert!(effects.contains(&Effect::Release(1)));
    let effects = hear(&mut machine, at(2), Incoming::Acknowledged(id(4)));
    assert_eq!(effects, [Effect::Release(2)]);
    assert_eq!(machine.counted().dropped_refused, 1);
}

#[test]
fn a_message_too_large_for_the_cloud_is_set_aside() {
    let mut machine = machine();
    connect(&mut machine, at(0), Welcome { max_packet_bytes: 100, ..welcome() });
    let message = Message::new("maestro/event/x/y/z".into(), vec![b' '; 100]).at_least_once();
    let delivery = Delivery { message, token: 8, from: "maestro:x".into() };
    let effects = input(&mut machine, at(1), Input::Local(delivery));
    assert!(effects.contains(&Effect::Release(8)));
    assert_eq!(said(&effects), [(Link::Connected, Some("bridge.too_large"))]);
    assert_eq!(machine.counted().dropped_too_large, 1);
}

#[test]
fn a_message_that_no_packet_holds_is_set_aside_also_for_a_cloud_without_a_limit() {
    let mut machine = connected();
    // In the field it is the prefix at the cloud that makes a topic too long.
    let topic = format!("maestro/event/{}", "x".repeat(1 << 16));
    assert_eq!(packet::publish_bytes(&Message::new(topic.clone(), "{}")), None);
    let effects = local(&mut machine, at(1), &topic, 8);
    assert!(sent(&effects).is_empty() && effects.contains(&Effect::Release(8)));
    assert_eq!((machine.counted().sent, machine.counted().dropped_too_large), (0, 1));
}

#[test]
fn a_message_that_breaks_three_connections_is_set_aside_and_the_next_one_goes() {
    let mut machine = machine();
    local(&mut machine, at(0), "maestro/event/x/y/bad", 1);
    local(&mut machine, at(0), "maestro/event/x/y/good", 2);
    for attempt in 0..3 {
        let now = at(attempt * 10);
        let effects = connect(&mut machine, now, welcome());
        let expected = if attempt == 0 { 3 } else { 2 };
        assert_eq!(sent(&effects).len(), expected, "a suspect flies alone");
        closed(&mut machine, now, BrokenBy::Cloud);
    }
    let effects = connect(&mut machine, at(40), welcome());
    let topics: Vec<&str> = sent(&effects).into_iter().map(|(_, topic)| topic).collect();
    assert_eq!(topics, ["gw/GW1/availability", "gw/GW1/event/x/y/good"]);
    assert_eq!(machine.counted().dropped_poison, 1);
}

#[test]
fn quality_zero_is_not_kept_for_a_cloud_that_is_away() {
    let mut machine = machine();
    let message = Message::new("maestro/app/thermo/metric/t".into(), "1");
    let delivery = Delivery { message, token: 0, from: "app:thermo".into() };
    input(&mut machine, at(0), Input::Local(delivery));
    assert_eq!((machine.counted().dropped_offline, machine.counted().queued), (1, 0));
}

#[test]
fn what_does_not_leave_the_box_stops_more_from_being_written() {
    let mut machine = connected();
    let mut large = |token| {
        let message =
            Message::new("maestro/event/x/y/z".into(), vec![b' '; 40_000]).at_least_once();
        let delivery = Delivery { message, token, from: Arc::from("maestro:x") };
        input(&mut machine, at(1), Input::Local(delivery))
    };
    assert_eq!(sent(&large(1)).len(), 1);
    let effects = large(2);
    assert_eq!((sent(&effects).len(), effects.contains(&Effect::TellFlushed)), (1, true));
    assert!(sent(&large(3)).is_empty());
    assert_eq!(sent(&input(&mut machine, at(2), Input::Flushed(1))).len(), 1);
}

#[test]
fn the_backlog_is_said_in_classes_that_are_left_only_well_below_their_bounds() {
    let mut machine = machine();
    let mut classes = Vec::new();
    for token in 1..=100 {
        let effects = local(&mut machine, at(0), "maestro/event/x/y/z", token);
        for effect in effects {
            if let Effect::Say(standing) = effect {
                classes.push((token, standing.backlog));
            }
        }
    }
    assert_eq!(classes, [(50, Backlog::High), (95, Backlog::Full)]);
}

#[test]
fn counters_are_published_only_after_they_changed() {
    let mut machine = connected();
    let Wake::At(_) = machine.wake() else { panic!() };
    let effects = machine.handle(at(10), Event::Due);
    let Some(Effect::Report(counters)) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(counters.connects, 1);
    assert_eq!(machine.wake(), Wake::At(at(54)), "the ping, nothing else");
    local(&mut machine, at(20), "maestro/event/x/y/z", 1);
    assert_eq!(machine.wake(), Wake::At(at(30)));
}

#[test]
fn a_stop_says_offline_and_waits_for_its_acknowledgement_before_it_goes() {
    let mut machine = connected();
    let effects = machine.handle(at(1), Event::Shutdown);
    let [Effect::Send(Outgoing::Publish(Some(last), message))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((&message.payload[..], message.retain), (OFFLINE.as_bytes(), true));
    assert_eq!(machine.wake(), Wake::At(at(2)));
    let effects = hear(&mut machine, at(1), Incoming::Acknowledged(*last));
    assert_eq!(
        effects[..2],
        [Effect::Send(Outgoing::Disconnect(Farewell::Orderly)), Effect::HangUp]
    );
    assert_eq!(said(&effects), [(Link::Disconnected, Some("bridge.stopped"))]);
    assert_eq!(machine.wake(), Wake::Done);
}

#[test]
fn a_stop_does_not_wait_for_a_cloud_that_is_not_there() {
    let mut machine = machine();
    machine.handle(at(0), Event::Due);
    assert_eq!(machine.handle(at(1), Event::Shutdown), [Effect::HangUp]);
    assert_eq!(machine.wake(), Wake::Done);
    let mut machine = connected();
    machine.handle(at(1), Event::Shutdown);
    machine.handle(at(2), Event::Due);
    assert_eq!(machine.wake(), Wake::Done);
}
