//! Exactly once and shared, on real sockets, through SIGKILL between any two steps.

use std::num::NonZeroU16;

use rmqtt_codec::{
    types::{Publish, QoS},
    v5::{
        Connect, Packet, PublishAck, PublishAck2, PublishAck2Reason, PublishAckReason, Subscribe,
        SubscriptionOptions,
    },
};

use crate::support::{
    client::{Client, connect},
    clock::PATIENCE,
    daemon::Daemon,
    long::count,
    peers,
};

const ID: NonZeroU16 = NonZeroU16::new(7).expect("not zero");

/// A client with a session that stays, and what its CONNACK says of it.
fn lasting(daemon: &Daemon, id: &str) -> (Client, bool) {
    let lasting = Connect { clean_start: false, session_expiry_interval_secs: 3600, ..connect(id) };
    let (client, ack) = Client::unix(&daemon.socket(), lasting).expect("let in");
    (client, ack.session_present)
}

fn subscribe(client: &mut Client, filter: &str) {
    let options = SubscriptionOptions { qos: QoS::ExactlyOnce, ..SubscriptionOptions::default() };
    let topic_filters = vec![(filter.into(), options)];
    let (id, user_properties) = (None, Vec::new());
    let subscribe = Subscribe { packet_id: ID, id, user_properties, topic_filters };
    client.send(Packet::Subscribe(subscribe));
    assert!(matches!(client.packet(PATIENCE), Some(Packet::SubscribeAck(_))));
}

fn publish(client: &mut Client, payload: &str, dup: bool) {
    client.send(Packet::Publish(Box::new(Publish {
        dup,
        retain: false,
        qos: QoS::ExactlyOnce,
        topic: "once".into(),
        packet_id: Some(ID),
        payload: payload.as_bytes().to_vec().into(),
        properties: Some(<_>::default()),
    })));
}

fn ack() -> PublishAck {
    let (reason_code, properties) = (PublishAckReason::Success, Vec::new());
    PublishAck { packet_id: ID, reason_code, properties, reason_string: None }
}

fn release(packet_id: NonZeroU16) -> PublishAck2 {
    let (reason_code, properties) = (PublishAck2Reason::Success, Vec::new());
    PublishAck2 { packet_id, reason_code, properties, reason_string: None }
}

#[test]
fn a_message_reaches_its_reader_once_though_the_daemon_is_killed_after_every_step() {
    let mut daemon = Daemon::build().unwatched().start();
    subscribe(&mut lasting(&daemon, "reader").0, "once");
    for round in 0..count(3, 20) {
        let text = round.to_string();
        // In: PUBLISH, kill, PUBLISH again, kill, PUBREL, kill, PUBREL again.
        let (mut writer, _) = lasting(&daemon, "writer");
        publish(&mut writer, &text, false);
        assert!(matches!(writer.packet(PATIENCE), Some(Packet::PublishReceived(_))));
        daemon.kill();
        daemon.start_again();
        let (mut writer, present) = lasting(&daemon, "writer");
        assert!(present);
        publish(&mut writer, &text, true);
        assert!(matches!(writer.packet(PATIENCE), Some(Packet::PublishReceived(_))));
        writer.send(Packet::PublishRelease(release(ID)));
        assert!(matches!(writer.packet(PATIENCE), Some(Packet::PublishComplete(_))));
        daemon.kill();
        daemon.start_again();
        // Out: PUBLISH, kill, PUBLISH again, PUBREC, PUBREL, kill, PUBREL only.
        let (mut reader, _) = lasting(&daemon, "reader");
        let Some(Packet::Publish(first)) = reader.packet(PATIENCE) else { panic!("no PUBLISH") };
        assert_eq!(first.payload, text.as_bytes());
        daemon.kill();
        daemon.start_again();
        let (mut reader, _) = lasting(&daemon, "reader");
        let Some(Packet::Publish(again)) = reader.packet(PATIENCE) else { panic!("no PUBLISH") };
        assert_eq!((again.dup, again.packet_id), (true, first.packet_id));
        let packet_id = first.packet_id.expect("QoS 2");
        reader.send(Packet::PublishReceived(PublishAck { packet_id, ..ack() }));
        assert!(matches!(reader.packet(PATIENCE), Some(Packet::PublishRelease(_))));
        daemon.kill();
        daemon.start_again();
        let (mut reader, _) = lasting(&daemon, "reader");
        assert!(matches!(reader.packet(PATIENCE), Some(Packet::PublishRelease(_))));
        reader.send(Packet::PublishComplete(release(packet_id)));
        // Nothing of it is left: the next thing to come is the next round's.
        let (mut writer, _) = lasting(&daemon, "writer");
        publish(&mut writer, "marker", false);
        assert!(matches!(writer.packet(PATIENCE), Some(Packet::PublishReceived(_))));
        writer.send(Packet::PublishRelease(release(ID)));
        assert!(matches!(writer.packet(PATIENCE), Some(Packet::PublishComplete(_))));
        let Some(Packet::Publish(next)) = reader.packet(PATIENCE) else { panic!("no PUBLISH") };
        assert_eq!((&next.payload[..], next.dup), (&b"marker"[..], false));
        let packet_id = next.packet_id.expect("QoS 2");
        reader.send(Packet::PublishReceived(PublishAck { packet_id, ..ack() }));
        assert!(matches!(reader.packet(PATIENCE), Some(Packet::PublishRelease(_))));
        reader.send(Packet::PublishComplete(release(packet_id)));
    }
}

/// mosquitto with a session that stays.
fn reader(daemon: &Daemon, id: &str, filter: &str, more: &[&str]) -> String {
    let mut command = daemon.peer("mosquitto_sub");
    command.args(["-V", "5", "-i", id, "-c", "-x", "3600", "-q", "2", "-t", filter]).args(more);
    String::from_utf8_lossy(&peers::output(command, PATIENCE).stdout).into_owned()
}

#[test]
fn a_shared_queue_and_a_plain_one_lose_and_double_nothing_over_kills() {
    let mut daemon = Daemon::build().unwatched().start();
    reader(&daemon, "plain", "once", &["-E"]);
    for member in ["one", "two"] {
        reader(&daemon, member, "$share/g/once", &["-E"]);
    }
    let total = count(4, 20) * 10;
    for number in 0..total {
        let mut command = daemon.peer("mosquitto_pub");
        command.args(["-q", "2", "-t", "once", "-m", &number.to_string()]);
        assert!(peers::output(command, PATIENCE).status.success());
        if number % 10 == 9 {
            daemon.kill();
            daemon.start_again();
        }
    }
    let all: Vec<usize> = (0..total).collect();
    let numbers =
        |text: &str| -> Vec<usize> { text.lines().filter_map(|line| line.parse().ok()).collect() };
    let got = numbers(&reader(&daemon, "plain", "once", &["-C", &total.to_string(), "-W", "20"]));
    assert_eq!(got, all, "plain: all, once, in order");
    let got = reader(&daemon, "one", "$share/g/once", &["-C", &total.to_string(), "-W", "20"]);
    assert_eq!(numbers(&got), all, "shared: whoever comes first gets what waited");
    daemon.kill();
    daemon.start_again();
    let left = reader(&daemon, "two", "$share/g/once", &["-W", "1"]);
    assert!(numbers(&left).is_empty(), "nothing is given twice: {left}");
}

#[test]
fn a_will_that_a_kill_cut_off_is_published_at_the_next_start() {
    let mut daemon = Daemon::build().unwatched().start();
    reader(&daemon, "watcher", "wills", &["-E"]);
    let mut command = daemon.peer("mosquitto_sub");
    command.args(["-i", "dying", "-t", "x", "-E", "--will-topic", "wills"]);
    command.args(["--will-payload", "polite", "--will-qos", "1"]);
    peers::output(command, PATIENCE); // leaves with a DISCONNECT: nothing is owed
    let will = rmqtt_codec::v5::LastWill {
        qos: QoS::AtLeastOnce,
        retain: true,
        topic: "wills".into(),
        message: b"cut off".to_vec().into(),
        will_delay_interval_sec: None,
        correlation_data: None,
        message_expiry_interval: None,
        content_type: None,
        user_properties: Vec::new(),
        is_utf8_payload: None,
        response_topic: None,
    };
    let dying = Connect { last_will: Some(will), ..connect("dying") };
    let (mut dying, _) = Client::unix(&daemon.socket(), dying).expect("let in");
    assert_eq!(dying.publish("x", "its row is older than this").code, 0);
    reader(&daemon, "other", "y", &["-E"]); // a commit later
    daemon.kill();
    daemon.start_again();
    let got = reader(&daemon, "watcher", "wills", &["-C", "1", "-W", "10"]);
    assert_eq!(got.trim(), "cut off");
    let mut late = daemon.client("late");
    late.subscribe("wills", 0);
    assert!(late.on("wills").retain, "its retained copy is on disk, too");
}
