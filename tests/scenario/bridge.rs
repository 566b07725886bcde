//! The bridge against real clouds: mosquitto over TLS with client certificates, on another host;
//! rumqttd in this process.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    client::{self, Client, PublishProperties},
    clock::{PATIENCE, now, until},
    daemon::Daemon,
    mosquitto::Mosquitto,
    net::Link,
    ports::free_port,
    skip::skip,
};

/// Seconds; as short as the configuration allows.
const KEEPALIVE: u64 = 5;

const STATE: &str = "maestro/state/bridge/cloud";

/// What is relayed beside the default.
const SENSORS: &str = "rules:\n  - local: sensors/#\n";

/// Lines of a configuration that bring much to the cloud soon.
const EAGER: &str = "stats:\n  memory: {interval: 1s}\n  batch: {max_count: 2, max_age: 2s}\n";

fn bridge(url: &str, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "bridges:\n  - name: cloud\n    url: {url}\n    keepalive: {KEEPALIVE}s\n    \
         backoff: {{min: 100ms, max: 1s}}\n{more}"
    )
}

/// A bridge over TLS with a client certificate of the cloud's authority.
fn tls_bridge(cloud: &Mosquitto, more: &str) -> String {
    let (cert, key) = cloud.authority().issue("GW-TEST", &[]);
    let ca = cloud.authority().ca();
    let (ca, cert, key) = (ca.display(), cert.display(), key.display());
    bridge(&cloud.url(), &format!("ca: {ca}\ncert: {cert}\nkey: {key}\n{more}"))
}

/// Waits until a topic with JSON says so; what it said then.
fn wait_for_state(client: &mut Client, topic: &str, state: &str, wait: Duration) -> Value {
    let like = |m: &client::Message| {
        m.topic == topic
            && serde_json::from_slice::<Value>(&m.payload).is_ok_and(|json| json["state"] == state)
    };
    client.wait_for(wait, like).json()
}

fn connected(client: &mut Client) {
    wait_for_state(client, STATE, "connected", PATIENCE);
}

/// What the cloud sees and does in everybody's main job; `cloud` makes clients of it.
fn main_job(daemon: &Daemon, cloud: impl Fn(&str) -> Client) {
    let mut operator = cloud("operator");
    assert!(operator.subscribe("gw/#", 1) < 0x80);
    says(&mut operator, "gw/GW-TEST/availability", "online", PATIENCE);
    let batch = |m: &client::Message| m.topic.starts_with("gw/GW-TEST/batch/stats/");
    let batch = operator.wait_for(PATIENCE, batch).json();
    assert!(batch.to_string().contains("memory"), "{batch}");

    let mut thermo = daemon.client("thermo");
    thermo.publish("sensors/hall/t", "21.5");
    says(&mut operator, "gw/GW-TEST/sensors/hall/t", "21.5", PATIENCE);
    assert!(thermo.publish("maestro/state/system/facts", "{}").code >= 0x80);
    let event = operator.on("gw/GW-TEST/event/broker/thermo/refused").json();
    assert_eq!(event["topic"], "maestro/state/system/facts");

    let taken = operator.publish("gw/GW-TEST/cmd/system/ping", r#"{"id":"from-far-away"}"#);
    assert!(taken.code < 0x80);
    let reply = operator.on("gw/GW-TEST/reply/system/ping").json();
    assert_eq!((&reply["state"], &reply["id"]), (&"succeeded".into(), &"from-far-away".into()));

    operator.subscribe("ops/alice", 1);
    let properties = PublishProperties {
        response_topic: Some("ops/alice".into()),
        correlation_data: Some("7".into()),
        ..PublishProperties::default()
    };
    operator.publish_with("gw/GW-TEST/cmd/system/ping", b"", false, properties);
    let answer = operator.on("ops/alice");
    assert_eq!(answer.properties.correlation_data.as_deref(), Some(&b"7"[..]));

    // What is retained there was sent as retained: a client that comes later sees it.
    let mut later = cloud("later");
    later.subscribe("gw/GW-TEST/state/system/#", 1);
    let facts = later.wait_for(PATIENCE, |m| m.topic.starts_with("gw/GW-TEST/state/system/"));
    assert!(facts.retain);
}

/// Waits until a topic says this very text.
fn says(client: &mut Client, topic: &str, text: &str, wait: Duration) {
    client.wait_for(wait, |m| m.topic == topic && m.text() == text);
}

#[test]
fn over_tls_with_a_client_certificate_the_cloud_sees_the_box_and_commands_it() {
    let cloud = Mosquitto::tls();
    let config = format!("{EAGER}{}", tls_bridge(&cloud, SENSORS));
    let daemon = Daemon::build().config(&config).start();
    main_job(&daemon, |id| cloud.client(id));
}

#[test]
fn rumqttd_in_process_sees_the_box_and_commands_it() {
    let port = free_port();
    let connections = json!({
        "connection_timeout_ms": 5000, "max_payload_size": 1 << 20, "max_inflight_count": 100
    });
    let config = json!({
        "id": 0,
        "router": {
            "max_connections": 100, "max_outgoing_packet_count": 200,
            "max_segment_size": 10 << 20, "max_segment_count": 2
        },
        "v5": {"1": {
            "name": "v5", "listen": format!("127.0.0.1:{port}"), "next_connection_delay_ms": 1,
            "connections": connections
        }}
    });
    let config = serde_json::from_value(config).expect("a configuration of rumqttd");
    std::thread::spawn(move || drop(rumqttd::Broker::new(config).start()));
    let cloud = |id: &str| {
        let at = (std::net::Ipv4Addr::LOCALHOST, port).into();
        // rumqttd takes no client without a keepalive.
        let connect = || client::Connect { keep_alive: 60, ..client::connect(id) };
        until("rumqttd to answer", PATIENCE, || Client::tcp(at, connect()).ok()).0
    };
    drop(cloud("first"));
    let url = format!("mqtt://127.0.0.1:{port}");
    let daemon = Daemon::build().config(&format!("{EAGER}{}", bridge(&url, SENSORS))).start();
    main_job(&daemon, cloud);
}

#[test]
fn a_link_cut_without_a_word_is_known_on_both_sides_and_heals_by_itself() {
    let link = match Link::new() {
        Ok(link) => link,
        Err(reason) => return skip(&reason),
    };
    let cloud = Mosquitto::tls_on(&link.far);
    let config = tls_bridge(&cloud, SENSORS);
    let daemon = Daemon::build().config(&config).on(&link.near).start();
    let mut local = daemon.client("local");
    local.subscribe("maestro/state/bridge/#", 1);
    connected(&mut local);
    let mut operator = cloud.client("operator");
    operator.subscribe("gw/GW-TEST/availability", 1);
    says(&mut operator, "gw/GW-TEST/availability", "online", PATIENCE);

    link.cut();
    let cut = now();
    let limit = Duration::from_millis(KEEPALIVE * 1500);
    let state = wait_for_state(&mut local, STATE, "disconnected", limit);
    eprintln!("known here after {:?}: {}", cut.elapsed(), state["reason"]["message"]);
    assert_eq!(state["reason"]["code"], "bridge.silent");
    // mosquitto looks every few seconds whether 1.5 keepalives have passed.
    says(&mut operator, "gw/GW-TEST/availability", "offline", limit + Duration::from_secs(7));
    eprintln!("known there after {:?}", cut.elapsed());
    operator.subscribe("gw/GW-TEST/sensors/#", 1);
    local.publish("sensors/meanwhile", "kept");

    link.heal();
    let healed = now();
    connected(&mut local);
    eprintln!("healed after {:?}", healed.elapsed());
    says(&mut operator, "gw/GW-TEST/availability", "online", PATIENCE);
    says(&mut operator, "gw/GW-TEST/sensors/meanwhile", "kept", PATIENCE);
    operator.subscribe("gw/GW-TEST/reply/#", 1);
    operator.publish("gw/GW-TEST/cmd/system/ping", "");
    operator.on("gw/GW-TEST/reply/system/ping");
}

#[test]
fn what_happened_while_the_cloud_was_down_arrives_in_order_and_a_cloud_that_forgot_learns_all_again()
 {
    let mut cloud = Mosquitto::tls();
    let daemon = Daemon::build().config(&tls_bridge(&cloud, SENSORS)).start();
    let mut local = daemon.client("local");
    local.subscribe("maestro/state/bridge/#", 1);
    connected(&mut local);
    cloud.process().signal(nix::sys::signal::Signal::SIGKILL);
    let state = wait_for_state(&mut local, STATE, "disconnected", PATIENCE);
    assert!(state["reason"]["message"].as_str().is_some_and(|m| m.contains("mqtts://")), "{state}");
    for n in 0..2000 {
        local.publish("sensors/count", n.to_string());
    }
    cloud.start_again();
    let mut operator = cloud.client("operator");
    operator.subscribe("gw/#", 1);
    for n in 0..2000 {
        assert_eq!(operator.on("gw/GW-TEST/sensors/count").text(), n.to_string());
    }
    let mut later = cloud.client("later");
    later.subscribe("gw/GW-TEST/info", 1);
    assert!(later.on("gw/GW-TEST/info").retain, "mosquitto kept nothing over its restart");
}

#[test]
fn a_certificate_that_cannot_be_read_is_one_sentence_and_its_mend_is_noticed() {
    let cloud = Mosquitto::tls();
    let config = tls_bridge(&cloud, "");
    let key = cloud.dir().join("GW-TEST.key");
    let pem = std::fs::read(&key).expect("the key");
    std::fs::remove_file(&key).expect("remove the key");
    let daemon = Daemon::build().config(&config).start();
    let mut local = daemon.client("local");
    local.subscribe("maestro/state/bridge/#", 1);
    local.subscribe("maestro/status/bridge", 1);
    let state = wait_for_state(&mut local, STATE, "disconnected", PATIENCE);
    assert_eq!(state["reason"]["code"], "bridge.certificate");
    let sentence = state["reason"]["message"].as_str().expect("a sentence");
    assert!(sentence.contains("GW-TEST.key") && sentence.contains("No such file"), "{sentence}");
    let status = wait_for_state(&mut local, "maestro/status/bridge", "degraded", PATIENCE);
    assert_eq!(status["cause"]["code"], "bridge.certificate");
    std::fs::write(&key, pem).expect("write the key again");
    connected(&mut local);
}

#[test]
fn a_cloud_with_a_stranger_s_certificate_is_not_spoken_to() {
    let cloud = Mosquitto::tls();
    let stranger = Mosquitto::tls();
    let config = tls_bridge(&cloud, "").replace(
        &cloud.authority().ca().display().to_string(),
        &stranger.authority().ca().display().to_string(),
    );
    let daemon = Daemon::build().config(&config).start();
    let mut local = daemon.client("local");
    local.subscribe("maestro/state/bridge/#", 1);
    let state = wait_for_state(&mut local, STATE, "disconnected", PATIENCE);
    assert_eq!(state["reason"]["code"], "bridge.tls");
    let sentence = state["reason"]["message"].as_str().expect("a sentence");
    assert!(sentence.contains("is not accepted"), "{sentence}");
}

#[test]
fn a_host_that_does_not_exist_and_a_port_where_nobody_listens_are_one_sentence_each() {
    for (url, words) in [
        ("mqtt://no-such-host.invalid".to_owned(), "cannot resolve no-such-host.invalid"),
        (format!("mqtt://127.0.0.1:{}", free_port()), "Connection refused"),
    ] {
        let daemon = Daemon::build().config(&bridge(&url, "")).start();
        let mut local = daemon.client("local");
        local.subscribe("maestro/state/bridge/#", 1);
        let state = wait_for_state(&mut local, STATE, "disconnected", PATIENCE);
        assert_eq!(state["reason"]["code"], "bridge.unreachable");
        let sentence = state["reason"]["message"].as_str().expect("a sentence");
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn danger_from_the_cloud_needs_a_signature_or_the_bridge_s_word_and_always_a_date() {
    let cloud = Mosquitto::tls();
    let config = tls_bridge(&cloud, "unsigned: [system/reboot]");
    let daemon = Daemon::build().config(&config).start();
    let mut operator = cloud.client("operator");
    operator.subscribe("gw/GW-TEST/#", 1);
    says(&mut operator, "gw/GW-TEST/availability", "online", PATIENCE);
    let refused = |m: &client::Message| {
        m.topic.starts_with("gw/GW-TEST/event/broker/") && m.topic.ends_with("/refused")
    };
    operator.publish("gw/GW-TEST/cmd/system/shutdown", "");
    let event = operator.wait_for(PATIENCE, refused).json();
    assert_eq!(event["code"], "command.unsigned", "{event}");
    operator.publish("gw/GW-TEST/cmd/system/reboot", "");
    let event = operator.wait_for(PATIENCE, refused).json();
    assert_eq!(event["code"], "command.undated", "{event}");
    // Retained, it would come again at every start of the bridge.
    let properties = PublishProperties::default();
    operator.publish_with("gw/GW-TEST/cmd/system/ping", b"", true, properties);
    let mut local = daemon.client("local");
    local.subscribe("maestro/event/broker/+/refused", 1);
    operator.publish_with("gw/GW-TEST/cmd/system/ping", b"", true, PublishProperties::default());
    let event = local.wait_for(PATIENCE, |m| m.text().contains("command.retained"));
    assert!(event.topic.contains("bridge"), "{}", event.topic);
}

#[test]
fn danger_that_the_bridge_lifts_is_carried_out_once_and_answered() {
    let cloud = Mosquitto::tls();
    let config = tls_bridge(&cloud, "unsigned: [system/*]");
    let daemon = Daemon::build().config(&config).start();
    let mut operator = cloud.client("operator");
    operator.subscribe("gw/GW-TEST/#", 1);
    says(&mut operator, "gw/GW-TEST/availability", "online", PATIENCE);
    let command = r#"{"id":"once","expires":"60s"}"#;
    operator.publish("gw/GW-TEST/cmd/system/reboot", command);
    let task = operator.wait_for(PATIENCE, |m| m.topic == "gw/GW-TEST/task/once").json();
    assert_eq!(task["from"], "bridge:cloud", "{task}");
    let ends = daemon.dir().join("ends");
    until("the recorder to be asked", PATIENCE, || std::fs::read_to_string(&ends).ok());
    operator.publish("gw/GW-TEST/cmd/system/reboot", command);
    // Commands keep their order: when this one is answered, the other one was looked at.
    operator.publish("gw/GW-TEST/cmd/system/ping", "");
    operator.on("gw/GW-TEST/reply/system/ping");
    let recorded = std::fs::read_to_string(&ends).expect("the recorder's file");
    assert_eq!(recorded.lines().count(), 1, "{recorded}");
}

#[test]
fn a_stop_says_offline_itself() {
    let cloud = Mosquitto::tls();
    let mut daemon = Daemon::build().config(&tls_bridge(&cloud, "")).start();
    let mut operator = cloud.client("operator");
    operator.subscribe("gw/GW-TEST/availability", 1);
    says(&mut operator, "gw/GW-TEST/availability", "online", PATIENCE);
    daemon.stop();
    says(&mut operator, "gw/GW-TEST/availability", "offline", Duration::from_secs(1));
    let log = std::fs::read_to_string(cloud.dir().join("log")).expect("mosquitto's log");
    assert!(log.contains("Client GW-TEST disconnected."), "it did not vanish: {log}");
}
