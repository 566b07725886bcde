//! The harness itself, against real peers: what others' tests stand on.

use std::time::Duration;

use crate::support::{
    clock::PATIENCE, mosquitto::Mosquitto, net::Link, peers, process::Lines, skip::skip,
};

#[test]
fn a_real_broker_passes_messages_between_a_real_client_and_ours() {
    let broker = Mosquitto::plain();
    let mut client = broker.client("ours");
    assert_eq!(client.subscribe("a/#", 1), 1);
    let port = broker.port().to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port, "-t", "a/b", "-m", "hello", "-q", "1"];
    assert!(peers::run("mosquitto_pub", &arguments, PATIENCE).status.success());
    assert_eq!(client.on("a/b").text(), "hello");
}

#[test]
fn a_real_broker_lets_in_only_clients_of_its_authority() {
    let broker = Mosquitto::tls();
    let (certificate, key) = broker.authority().issue("GW-TEST", &[]);
    let (port, ca) = (broker.tls_port().to_string(), broker.authority().ca());
    let base = ["-h", "127.0.0.1", "-p", &port, "-t", "a", "-m", "x", "--cafile"];
    let publish = |more: &[&str]| {
        let mut words = base.to_vec();
        words.push(ca.to_str().expect("a path in UTF-8"));
        words.extend(more);
        peers::run("mosquitto_pub", &words, PATIENCE).status.success()
    };
    assert!(!publish(&[]));
    let paths = [certificate.to_str(), key.to_str()].map(|path| path.expect("a path in UTF-8"));
    assert!(publish(&["--cert", paths[0], "--key", paths[1]]));
}

#[test]
fn a_cut_link_is_silent_and_heals() {
    let link = match Link::new() {
        Ok(link) => link,
        Err(reason) => return skip(&reason),
    };
    let broker = Mosquitto::tls_on(&link.far);
    let mut watcher = broker.client("watcher");
    watcher.subscribe("a", 1);
    let far = link.far.address().to_string();
    let port = broker.port().to_string();
    let mut command = link.near.peer("mosquitto_sub");
    command.args(["-h", &far, "-p", &port, "-t", "b"]);
    let mut lines = Lines::start(command);
    std::thread::sleep(Duration::from_millis(500));
    watcher.publish("b", "before");
    lines.wait_for(PATIENCE, |line| line == "before");
    link.cut();
    watcher.publish("b", "during");
    assert!(lines.collect(Duration::from_millis(600)).is_empty());
    link.heal();
    lines.wait_for(PATIENCE, |line| line == "during");
}
