//! Sessions of real clients: what outlives a connection, and what a connection leaves behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::time::Duration;

use rmqtt_codec::v5::{Packet, PublishAck, PublishAckReason};
use serde_json::json;

use super::agent::{Agent, each, each_v5, texts};
use crate::support::{
    client::{Client, connect},
    clock::PATIENCE,
    daemon::Daemon,
};

#[test]
fn a_will_comes_when_the_connection_is_lost_and_not_after_a_clean_end() {
    let daemon = Daemon::start();
    each(|kind| {
        let topic = format!("will/{kind}");
        let mut watcher = Agent::connected(kind, &daemon, &format!("{kind}-watcher"));
        watcher.subscribe(&topic, 1);
        let will = |payload| json!({"will": {"topic": topic, "payload": payload, "qos": 1, "retain": false}});
        let mut agent = Agent::new(kind, &daemon);
        agent.connect(&format!("{kind}"), will("clean"));
        agent.disconnect();
        agent.connect(&format!("{kind}"), will("lost"));
        agent.drop_connection();
        assert_eq!(watcher.texts(1), ["lost"]);
        assert!(watcher.rest().is_empty());
    });
}

#[test]
fn a_will_with_a_delay_waits_and_does_not_come_when_its_client_does() {
    let daemon = Daemon::start();
    each_v5(|kind| {
        let topic = format!("late/{kind}");
        let mut watcher = Agent::connected(kind, &daemon, &format!("{kind}-watcher"));
        watcher.subscribe(&topic, 1);
        let how = |payload, delay| {
            let will = json!({"topic": topic, "payload": payload, "qos": 1, "retain": false, "delay": delay});
            json!({"will": will, "session_expiry": 60, "clean": false})
        };
        let mut agent = Agent::new(kind, &daemon);
        agent.connect(&format!("{kind}"), how("never", 2));
        agent.drop_connection();
        assert!(agent.connect(&format!("{kind}"), how("late", 2)), "its session is there");
        agent.drop_connection();
        assert!(watcher.rest().is_empty(), "not within a second");
        assert_eq!(watcher.texts(1), ["late"]);
        assert!(watcher.rest().is_empty());
    });
}

#[test]
fn a_message_that_has_expired_is_not_delivered_and_another_says_what_is_left() {
    let daemon = Daemon::start();
    each_v5(|kind| {
        let (id, topic) = (format!("{kind}"), format!("milk/{kind}"));
        let mut agent = Agent::new(kind, &daemon);
        agent.resume(&id);
        agent.subscribe(&topic, 1);
        agent.drop_connection();
        let mut writer = Agent::connected(kind, &daemon, &format!("{kind}-writer"));
        writer.publish_with(&topic, "short", json!({"qos": 1, "expiry": 1}));
        writer.publish_with(&topic, "long", json!({"qos": 1, "expiry": 100}));
        writer.publish_with(&topic, "for ever", json!({"qos": 1}));
        std::thread::sleep(Duration::from_millis(2100));
        assert!(agent.resume(&id));
        let messages = agent.messages(2);
        assert_eq!(texts(&messages), ["long", "for ever"]);
        let left = messages[0]["expiry"].as_u64().expect("an expiry");
        assert!((90..=98).contains(&left), "{left}");
        assert!(messages[1]["expiry"].is_null());
    });
}

#[test]
fn a_session_is_there_until_it_expires() {
    let daemon = Daemon::start();
    each_v5(|kind| {
        let id = format!("{kind}");
        let mut agent = Agent::new(kind, &daemon);
        let short = || json!({"clean": false, "session_expiry": 2});
        assert!(!agent.connect(&id, short()));
        agent.drop_connection();
        assert!(agent.connect(&id, short()), "at once");
        agent.drop_connection();
        std::thread::sleep(Duration::from_millis(3200));
        assert!(!agent.connect(&id, short()), "a second after its end");
    });
}

#[test]
fn whoever_comes_with_the_same_name_takes_the_session_over() {
    let daemon = Daemon::start();
    each(|kind| {
        let (id, topic) = (format!("{kind}"), format!("over/{kind}"));
        let mut first = Agent::new(kind, &daemon);
        assert!(!first.resume(&id));
        first.subscribe(&topic, 1);
        let mut second = Agent::new(kind, &daemon);
        assert!(second.resume(&id), "the session is there");
        let reason = first.wait_end();
        if kind.version == 5 {
            assert_eq!(reason, 0x8E, "session taken over");
        }
        second.publish(&topic, "mine", 1);
        assert_eq!(second.texts(1), ["mine"]);
    });
}

#[test]
fn what_was_not_acknowledged_comes_again_in_order() {
    let daemon = Daemon::start();
    each(|kind| {
        let (id, topic) = (format!("{kind}"), format!("again/{kind}"));
        let mut agent = Agent::new(kind, &daemon);
        agent.resume(&id);
        agent.subscribe(&topic, 1);
        agent.drop_connection();
        let mut writer = Agent::connected(kind, &daemon, &format!("{kind}-writer"));
        writer.publish_many(&topic, 5, json!({"qos": 1}));
        let hold = json!({"clean": false, "session_expiry": 3600, "hold": true});
        assert!(agent.connect(&id, hold));
        assert_eq!(agent.texts(1), ["0 "]);
        agent.drop_connection();
        assert!(agent.resume(&id));
        let messages = agent.messages(5);
        assert_eq!(texts(&messages), ["0 ", "1 ", "2 ", "3 ", "4 "]);
        assert_eq!(messages[0]["dup"], true, "it was sent before (§3.3.1.1)");
        assert!(agent.rest().is_empty(), "each once");
        agent.disconnect();
        assert!(agent.resume(&id));
        assert!(agent.rest().is_empty(), "now they are acknowledged");
        agent.disconnect();
    });
}

#[test]
fn a_filter_given_up_on_a_resumed_session_is_given_up_for_good() {
    let daemon = Daemon::start();
    each(|kind| {
        let id = format!("{kind}");
        let [kept, given_up] = ["kept", "given-up"].map(|name| format!("un/{kind}/{name}"));
        let mut agent = Agent::new(kind, &daemon);
        agent.resume(&id);
        agent.subscribe(&kept, 1);
        agent.subscribe(&given_up, 1);
        agent.drop_connection();
        assert!(agent.resume(&id));
        agent.unsubscribe(&given_up);
        for again in [false, true] {
            if again {
                agent.disconnect();
                assert!(agent.resume(&id));
            }
            agent.publish(&given_up, "no", 1);
            agent.publish(&kept, "yes", 1);
            assert_eq!(agent.texts(1), ["yes"]);
            assert!(agent.rest().is_empty());
        }
    });
}

#[test]
fn acknowledgements_out_of_order_free_what_they_name_and_nothing_else() {
    let daemon = Daemon::start();
    let resume = || {
        let mut connect = connect("careless");
        connect.clean_start = false;
        connect.session_expiry_interval_secs = 3600;
        Client::tcp(daemon.tcp(), connect).expect("a connection").0
    };
    let publishes = |client: &mut Client, count: usize| {
        let mut found: Vec<(String, NonZeroU16, bool)> = Vec::new();
        while found.len() < count {
            let packet = client.packet(PATIENCE).expect("a packet");
            let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
            found.push((
                String::from_utf8_lossy(&publish.payload).into_owned(),
                publish.packet_id.expect("quality 1"),
                publish.dup,
            ));
        }
        found
    };
    let acknowledge = |client: &mut Client, packet_id| {
        client.send(Packet::PublishAck(PublishAck {
            packet_id,
            reason_code: PublishAckReason::Success,
            properties: Vec::new(),
            reason_string: None,
        }));
    };
    let mut client = resume();
    client.subscribe("o", 1);
    let mut writer = daemon.tcp_client("writer");
    for n in 0..6 {
        writer.publish("o", n.to_string());
    }
    let first = publishes(&mut client, 6);
    for n in [3, 1, 2] {
        acknowledge(&mut client, first[n].1);
    }
    drop(client);
    let mut client = resume();
    let again = publishes(&mut client, 3);
    let again: Vec<_> = again.into_iter().map(|(text, id, dup)| (text, dup, id)).collect();
    let expected: Vec<_> = [0, 4, 5].iter().map(|n| (n.to_string(), true, first[*n].1)).collect();
    assert_eq!(again, expected, "in order, with DUP and the identifier of the first time (§4.4)");
    for (_, _, id) in again.into_iter().rev() {
        acknowledge(&mut client, id);
    }
    writer.publish("o", "next");
    assert_eq!(publishes(&mut client, 1)[0].0, "next");
}

#[test]
fn a_client_that_goes_on_writing_still_hears_why_its_connection_ended() {
    let daemon = Daemon::start();
    let mut stream = TcpStream::connect(daemon.tcp()).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let connect = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03abc";
    stream.write_all(connect).expect("CONNECT");
    let mut connack = [0; 2];
    stream.read_exact(&mut connack).expect("CONNACK");
    std::io::copy(&mut (&stream).take(connack[1].into()), &mut std::io::sink()).expect("the rest");
    stream.write_all(b"\x30\x07\x00\x01a\x03\x23\x00\x00").expect("PUBLISH with topic alias 0");
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(b"\xC0\x00").expect("PINGREQ, and no reset");
    }
    let mut end = Vec::new();
    stream.read_to_end(&mut end).expect("what came, to its end");
    assert_eq!((end[0], end[2]), (0xE0, 0x94), "DISCONNECT, topic alias invalid: {end:?}");
}
