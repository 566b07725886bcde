//! A long queue for somebody who is away.

use serde_json::json;

use super::agent::{Agent, Kind, Library};
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
