//! Long queues for somebody who is away, and what they may cost together.

use serde_json::json;

use super::agent::{Agent, Kind, Library};
use crate::support::clock::PATIENCE;
use crate::support::daemon::Daemon;

const COUNT: usize = 10_000;

#[test]
fn ten_thousand_messages_of_2_kb_wait_in_order_through_a_kill_and_a_restart() {
    let limits = "limits: {max_queued: 20000, max_queued_size: 64MiB}";
    let mut daemon = Daemon::build().unwatched().broker(limits).start();
    let kinds = [
        Kind { library: Library::Paho2, version: 5 },
        Kind { library: Library::MqttJs, version: 4 },
    ];
    for kind in kinds {
        let mut agent = Agent::new(kind, &daemon);
        agent.resume(&format!("{kind}"));
        agent.subscribe("long/queue", 1);
        agent.drop_connection();
    }
    let writer = Kind { library: Library::Rumqttc, version: 4 };
    let mut writer = Agent::connected(writer, &daemon, "writer");
    writer.publish_many("long/queue", COUNT, json!({"qos": 1, "size": 2000}));
    daemon.kill(); // the moment after the last acknowledgement
    daemon.start_again();
    all_in_order(kinds[0], &daemon);
    daemon.stop();
    daemon.start_again();
    all_in_order(kinds[1], &daemon);
}

fn all_in_order(kind: Kind, daemon: &Daemon) {
    let mut agent = Agent::new(kind, daemon);
    assert!(agent.resume(&format!("{kind}")), "{kind}: its session is there");
    let messages = agent.messages(COUNT);
    assert!(messages.iter().all(|m| m["size"] == 2000));
    let numbers = messages.iter().filter_map(|m| m["text"].as_str()?.split(' ').next());
    let numbers: Vec<usize> = numbers.filter_map(|number| number.parse().ok()).collect();
    assert_eq!(numbers, (0..COUNT).collect::<Vec<_>>(), "{kind}");
    agent.disconnect();
}

/// A session with a filter, left by its client.
fn left(kind: Kind, daemon: &Daemon, id: &str) {
    let mut agent = Agent::new(kind, daemon);
    agent.resume(id);
    agent.subscribe(&format!("{id}/#"), 1);
    agent.drop_connection();
}

const PAHO: Kind = Kind { library: Library::Paho2, version: 5 };

#[test]
fn the_heaviest_queue_gives_way_when_all_together_are_too_long_and_the_others_lose_nothing() {
    let limits = "limits: {max_queued_total_size: 1MiB, max_queued: 100000}";
    let daemon = Daemon::build().broker(limits).start();
    let mut watcher = daemon.client("watcher");
    watcher.subscribe("maestro/event/broker/+/dropped", 1);
    for id in ["hog", "small"] {
        left(PAHO, &daemon, id);
    }
    let writer = Kind { library: Library::Rumqttc, version: 4 };
    let mut writer = Agent::connected(writer, &daemon, "writer");
    for (topic, count) in [("small/a", 100), ("hog/a", 3000), ("small/b", 100)] {
        writer.publish_many(topic, count, json!({"qos": 1, "size": 1000}));
    }
    let told = watcher.wait_for(PATIENCE, |m| m.topic.ends_with("/hog/dropped")).json();
    assert_eq!(told["reason"], "total_size", "{told}");
    let mut small = Agent::new(PAHO, &daemon);
    assert!(small.resume("small"));
    assert_eq!(small.messages(200).len(), 200, "all of it");
    let mut hog = Agent::new(PAHO, &daemon);
    assert!(hog.resume("hog"));
    let rest = hog.rest().len();
    assert!((500..1000).contains(&rest), "about as much as has room: {rest}");
}

#[test]
fn refuse_tells_the_publisher_that_all_queues_together_are_full() {
    let limits = "limits: {max_queued_total_size: 64KiB, queue_policy: refuse}";
    let daemon = Daemon::build().broker(limits).start();
    for id in ["hog", "small"] {
        left(PAHO, &daemon, id);
    }
    let mut writer = daemon.client("writer");
    let payload = [b'x'; 8000];
    let answers: Vec<u8> = (0..10).map(|_| writer.publish("hog/a", payload).code).collect();
    assert_eq!(answers, [0, 0, 0, 0, 0, 0, 0, 0, 0x97, 0x97]);
    assert_eq!(writer.publish("small/a", payload).code, 0x97, "it would wait, too");
    let mut reader = daemon.client("reader");
    reader.subscribe("here", 1);
    assert_eq!(writer.publish("here", payload).code, 0, "it goes out at once");
    assert_eq!(reader.on("here").payload.len(), 8000);
    let mut hog = Agent::new(PAHO, &daemon);
    assert!(hog.resume("hog"));
    assert_eq!(hog.messages(8).len(), 8, "what was taken is there");
}
