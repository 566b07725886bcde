//! Messages from one real client to another: qualities, retained ones, sizes, properties, sharing.

use std::time::Duration;

use serde_json::json;

use super::agent::{Agent, Kind, Library, each, each_v5, texts};
use crate::support::daemon::Daemon;

/// A member of a group has all of its share when nothing has come for so long.
const SHARE: Duration = Duration::from_millis(1500);

#[test]
fn a_message_of_each_quality_arrives_once_and_whole() {
    let daemon = Daemon::start();
    each(|kind| {
        let mut agent = Agent::connected(kind, &daemon, &format!("{kind}"));
        let topic = format!("there/{kind}");
        assert_eq!(agent.subscribe(&topic, 2), 2);
        for qos in 0..3 {
            agent.publish(&topic, &format!("é {qos}"), qos);
        }
        let messages = agent.messages(3);
        let mut qualities: Vec<_> = messages.iter().map(|m| m["qos"].as_u64()).collect();
        qualities.sort_unstable(); // only each quality keeps its order (§4.6)
        assert_eq!(qualities, [Some(0), Some(1), Some(2)]);
        assert!(messages.iter().all(|m| m["retain"] == false && m["dup"] == false));
        assert!(agent.rest().is_empty(), "each once");
        agent.disconnect();
    });
}

#[test]
fn no_message_comes_with_more_quality_than_was_asked_for() {
    let daemon = Daemon::start();
    each(|kind| {
        let mut agent = Agent::connected(kind, &daemon, &format!("{kind}"));
        for asked in 0..3 {
            let topic = format!("at-most/{kind}/{asked}");
            assert_eq!(agent.subscribe(&topic, asked), u64::from(asked));
            for qos in 0..3 {
                agent.publish(&topic, "x", qos);
            }
            let messages = agent.messages(3);
            let most = messages.iter().filter_map(|m| m["qos"].as_u64()).max();
            assert_eq!(most, Some(u64::from(asked)));
        }
    });
}

#[test]
fn five_hundred_retained_messages_come_by_one_wildcard_at_each_quality() {
    let daemon = Daemon::start();
    let writer = Kind { library: Library::Rumqttc, version: 4 };
    let mut writer = Agent::connected(writer, &daemon, "writer");
    for qos in 0..3 {
        let how = json!({"qos": qos, "retain": true});
        writer.publish_many(&format!("kept/{qos}/{{n}}"), 500, how);
    }
    each(|kind| {
        let mut agent = Agent::new(kind, &daemon);
        for qos in 0..3u8 {
            agent.connect(&format!("{kind}"), json!({}));
            agent.subscribe(&format!("kept/{qos}/+"), qos);
            let messages = agent.messages(500);
            let as_kept = |m: &serde_json::Value| {
                m["retain"] == true && m["qos"].as_u64() == Some(qos.into())
            };
            assert!(messages.iter().all(as_kept), "quality {qos}");
            let mut topics: Vec<_> = messages.iter().filter_map(|m| m["topic"].as_str()).collect();
            topics.sort_unstable();
            topics.dedup();
            assert_eq!(topics.len(), 500, "each once");
            agent.disconnect();
        }
    });
}

#[test]
fn a_retained_message_lives_until_an_empty_one_comes_that_is_retained_too() {
    let daemon = Daemon::start();
    each(|kind| {
        let topic = format!("light/{kind}");
        let mut writer = Agent::connected(kind, &daemon, &format!("{kind}-writer"));
        let mut reader = Agent::new(kind, &daemon);
        let mut seen = Vec::new();
        for (payload, retain) in [("on", true), ("", false), ("off", true), ("", true)] {
            writer.publish_with(&topic, payload, json!({"qos": 1, "retain": retain}));
            reader.connect(&format!("{kind}-reader"), json!({}));
            reader.subscribe(&topic, 1);
            seen.push(texts(&reader.rest()).join(","));
            reader.disconnect();
        }
        assert_eq!(seen, ["on", "on", "off", ""]);
    });
}

#[test]
fn ten_megabytes_arrive_as_they_were_sent() {
    let limits = "limits: {max_packet_size: 11MiB, max_queued_size: 64MiB}";
    let daemon = Daemon::build().unwatched().broker(limits).start();
    each(|kind| {
        let mut agent = Agent::connected(kind, &daemon, &format!("{kind}"));
        let topic = format!("big/{kind}");
        agent.subscribe(&topic, 1);
        let how = json!({"qos": 1, "size": 10_000_000});
        let sent = agent.publish_with(&topic, "the start", how);
        let message = agent.messages(1).remove(0);
        assert_eq!(message["size"], 10_000_000);
        assert_eq!(message["sha256"], sent["sha256"]);
        agent.disconnect();
    });
}

#[test]
fn a_request_is_answered_where_it_says_with_what_it_says() {
    let daemon = Daemon::start();
    each_v5(|kind| {
        let (asks, answers) = (format!("ask/{kind}"), format!("answer/{kind}"));
        let mut responder = Agent::connected(kind, &daemon, &format!("{kind}-responder"));
        responder.subscribe(&asks, 1);
        let mut requester = Agent::connected(kind, &daemon, &format!("{kind}-requester"));
        requester.subscribe(&answers, 1);
        let how = json!({"qos": 1, "response": answers, "correlation": "no 7"});
        requester.publish_with(&asks, "what?", how);
        let request = responder.messages(1).remove(0);
        assert_eq!((&request["text"], &request["response"]), (&json!("what?"), &json!(answers)));
        let how = json!({"qos": 1, "correlation": request["correlation"]});
        responder.publish_with(request["response"].as_str().expect("a topic"), "that", how);
        let answer = requester.messages(1).remove(0);
        assert_eq!((&answer["text"], &answer["correlation"]), (&json!("that"), &json!("no 7")));
    });
}

#[test]
fn an_alias_stands_for_its_topic_until_the_connection_ends() {
    let daemon = Daemon::start();
    each_v5(|kind| {
        let id = format!("{kind}");
        let topics = ["a", "b"].map(|name| format!("alias/{kind}/{name}"));
        let mut reader = Agent::connected(kind, &daemon, &format!("{kind}-reader"));
        reader.subscribe(&format!("alias/{kind}/+"), 1);
        let mut writer = Agent::connected(kind, &daemon, &id);
        for (n, topic) in topics.iter().enumerate() {
            writer.publish_with(topic, "named", json!({"qos": 1, "alias": n + 1}));
        }
        for _ in 0..3 {
            writer.publish_with("", "by alias", json!({"qos": 1, "alias": 2}));
            writer.publish_with("", "by alias", json!({"qos": 1, "alias": 1}));
        }
        let messages = reader.messages(8);
        for topic in &topics {
            let of = messages.iter().filter(|m| m["topic"] == **topic).count();
            assert_eq!(of, 4, "{topic} of {messages:?}");
        }
    });
}

#[test]
fn a_client_that_takes_aliases_sees_the_topics_all_the_same() {
    let daemon = Daemon::start();
    // of these only MQTT.js resolves what a server aliases
    let kind = Kind { library: Library::MqttJs, version: 5 };
    let mut agent = Agent::new(kind, &daemon);
    agent.connect("reader", json!({"alias_maximum": 5, "auto_alias": true}));
    agent.subscribe("long/name/of/+", 1);
    let topics: Vec<String> = (0..30).map(|n| format!("long/name/of/{}", n % 10)).collect();
    for topic in &topics {
        agent.publish(topic, "x", 1);
    }
    let seen = agent.messages(30);
    let seen: Vec<_> = seen.iter().map(|m| m["topic"].as_str().unwrap_or_default()).collect();
    assert_eq!(seen, topics);
}

#[test]
fn a_shared_subscription_gives_each_message_to_one_member_also_when_one_leaves() {
    let daemon = Daemon::start();
    each(|kind| {
        let filter = format!("$share/group/work/{kind}");
        let mut members: Vec<Agent> = (0..3)
            .map(|n| {
                let mut member = Agent::connected(kind, &daemon, &format!("{kind}-{n}"));
                member.subscribe(&filter, 1);
                member
            })
            .collect();
        let mut writer = Agent::connected(kind, &daemon, &format!("{kind}-writer"));
        let mut shares = |members: &mut [Agent]| {
            writer.publish_many(&format!("work/{kind}"), 120, json!({"qos": 1}));
            let shares: Vec<_> = members.iter_mut().map(|m| texts(&m.up_to(120, SHARE))).collect();
            let mut all: Vec<usize> =
                shares.iter().flatten().filter_map(|text| text.trim().parse().ok()).collect();
            all.sort_unstable();
            assert_eq!(all, (0..120).collect::<Vec<_>>(), "each message once");
            assert!(shares.iter().all(|share| !share.is_empty()), "nobody idles");
        };
        shares(&mut members);
        members.remove(1).disconnect();
        shares(&mut members);
    });
}
