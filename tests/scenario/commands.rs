//! Commands: recorded before they are acknowledged, done once, refused with a reason.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::Duration;

use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::{Packet, PublishProperties};
use serde_json::Value;

use crate::support::{
    client::Client,
    clock::{PATIENCE, until},
    daemon::Daemon,
    long::count,
};

const REBOOT: &str = "maestro/cmd/system/reboot";
const REPLY: &str = "maestro/reply/system/reboot";

/// A command with an id that nothing ends soon: the first waits, the others are refused by the
/// subsystem. All are recorded.
fn command(id: &str) -> String {
    format!(r#"{{"reason":"test","delay":"5m","id":"{id}"}}"#)
}

fn reply(client: &mut Client, id: &str) -> Value {
    let is_it = |payload: &Value| payload["id"] == id;
    client.wait_for(PATIENCE, |m| m.topic == REPLY && is_it(&m.json())).json()
}

fn send(client: &mut Client, number: u16, id: &str) {
    client.send(Packet::Publish(Box::new(Publish {
        dup: false,
        retain: false,
        qos: QoS::AtLeastOnce,
        topic: REBOOT.into(),
        packet_id: NonZeroU16::new(number),
        payload: command(id).into_bytes().into(),
        properties: Some(PublishProperties::default()),
    })));
}

/// The numbers acknowledged as taken from now on, until `enough` or the end of the connection.
fn acknowledged(client: &mut Client, enough: usize) -> BTreeSet<u16> {
    let mut numbers = BTreeSet::new();
    while numbers.len() < enough {
        match client.packet(Duration::from_secs(5)) {
            Some(Packet::PublishAck(ack)) if u8::from(ack.reason_code) < 0x80 => {
                numbers.insert(ack.packet_id.get());
            }
            Some(_) => {}
            None => break,
        }
    }
    numbers
}

#[test]
fn a_puback_for_a_command_is_never_followed_by_a_missing_record() {
    let mut daemon = Daemon::build().unwatched().start();
    let mut promised = BTreeSet::new();
    for round in 0..count(8, 60) {
        let mut client = daemon.client("sender");
        let sent = 8;
        for number in 1..=sent {
            send(&mut client, number, &format!("{round}-{number}"));
        }
        let mut numbers = acknowledged(&mut client, round % 8);
        daemon.kill();
        numbers.append(&mut acknowledged(&mut client, usize::from(sent)));
        promised.extend(numbers.iter().map(|number| format!("{round}-{number}")));
        daemon.start_again();
    }
    assert!(promised.len() > 8, "only {} acknowledged", promised.len());
    let mut client = daemon.client("asker");
    client.subscribe(REPLY, 1);
    for id in &promised {
        client.publish(REBOOT, command(id));
        // what the last start ended is told as well, and is no answer to this
        let is_answer = |told: &Value| {
            told["id"] == **id && (told["duplicate"] == true || told["state"] != "interrupted")
        };
        let told = client.wait_for(PATIENCE, |m| m.topic == REPLY && is_answer(&m.json())).json();
        assert_eq!(told["duplicate"], true, "{id} has no record: {told}");
    }
}

#[test]
fn an_id_sent_twice_is_done_once_and_with_other_arguments_refused() {
    let mut daemon = Daemon::start();
    let mut client = daemon.client("me");
    client.subscribe("maestro/reply/system/#", 1);
    let now = r#"{"reason":"once","id":"r-1"}"#;
    assert!(client.publish(REBOOT, now).code < 0x80);
    let ends = daemon.dir().join("ends");
    until("the end of the box to be written down", PATIENCE, || ends.exists().then_some(()));
    daemon.kill();
    daemon.start_again();
    let mut client = daemon.client("me");
    client.subscribe("maestro/reply/system/#", 1);
    client.subscribe("maestro/task/#", 1);
    client.wait_for(PATIENCE, |m| {
        m.topic == "maestro/task/r-1" && m.json()["state"] == "interrupted"
    });
    assert!(client.publish(REBOOT, now).code < 0x80);
    let again = reply(&mut client, "r-1");
    assert_eq!((&again["state"], &again["duplicate"]), (&"interrupted".into(), &true.into()));
    let reused = client.publish(REBOOT, r#"{"reason":"other","id":"r-1"}"#);
    assert_eq!(reused.code, 0x83);
    let told = reply(&mut client, "r-1");
    assert_eq!(told["error"]["code"], "command.id_reused");
    let ends = std::fs::read_to_string(ends).expect("one end was written");
    assert_eq!(ends.matches("reboot").count(), 1, "{ends}");
}

#[test]
fn what_is_wrong_with_a_command_is_in_its_puback_and_its_reply() {
    let daemon = Daemon::start();
    let mut client = daemon.client("me");
    client.subscribe("maestro/reply/#", 1);
    let cases = [
        ("stats/sample", "{", 0x99, "command.malformed"),
        ("stats/sample", r#"{"famly":"memory"}"#, 0x99, "command.unknown_argument"),
        ("system/ping", "hello", 0x99, "command.malformed"),
        ("system/reboot", r#"{"expires":"2001-01-01T00:00:00Z"}"#, 0x83, "command.expired"),
        ("system/ping", r#"{"dry_run":true}"#, 0x99, "command.no_dry_run"),
        ("system/reboot", r#"{"id":"a/b"}"#, 0x99, "command.malformed"),
    ];
    for (verb, payload, code, name) in cases {
        let answer = client.publish(&format!("maestro/cmd/{verb}"), payload);
        assert_eq!(answer.code, code, "{payload}: {answer:?}");
        let told = client.on(&format!("maestro/reply/{verb}")).json();
        assert_eq!(told["error"]["code"], name, "{told}");
    }
    let retained = client.publish_with(REBOOT, b"", true, PublishProperties::default());
    assert!(retained.code >= 0x80, "{retained:?}");
}

#[test]
fn more_commands_than_can_wait_are_refused_and_not_kept() {
    let daemon = Daemon::build().unwatched().start();
    // Several clients, because one may have 100 under way (receive maximum).
    let mut crowd: Vec<_> = (0..5).map(|n| daemon.client(&format!("flood{n}"))).collect();
    let mut busy = 0;
    for (n, client) in crowd.iter_mut().enumerate() {
        for number in 1..=80 {
            send(client, number, &format!("f-{n}-{number}"));
        }
    }
    for client in &mut crowd {
        for _ in 0..80 {
            let ack = loop {
                match client.packet(PATIENCE) {
                    Some(Packet::PublishAck(ack)) => break ack,
                    Some(_) => {}
                    None => panic!("the daemon closed the connection"),
                }
            };
            busy += usize::from(u8::from(ack.reason_code) == 0x97);
        }
    }
    assert!(busy > 0, "all 400 were taken");
    let client = &mut crowd[0];
    client.subscribe("maestro/reply/system/ping", 1);
    client.publish("maestro/cmd/system/ping", "");
    client.on("maestro/reply/system/ping");
}
