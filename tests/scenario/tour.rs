//! The README's tour, with the programs people have: mosquitto_sub, mosquitto_pub, mosquitto_rr, paho.

use std::{process::Command, time::Duration};

use crate::support::{
    clock::PATIENCE,
    daemon::Daemon,
    peers::{self, last_line},
    process::Lines,
};

fn run(mut command: Command, arguments: &[&str]) -> String {
    command.args(arguments);
    let output = peers::output(command, PATIENCE);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    last_line(&output)
}

fn over_the_socket(daemon: &Daemon, program: &str) -> Command {
    let mut command = peers::peer(program);
    command.arg("--unix").arg(daemon.socket());
    command
}

/// What somebody sees who subscribes to everything: info, status, state, and measurements.
fn shows_the_box(mut subscriber: Command) {
    subscriber.args(["-v", "-t", "maestro/#"]);
    let mut lines = Lines::start(subscriber);
    let mut missing = vec![
        "maestro/info ",
        "maestro/status ",
        "maestro/status/stats ",
        "maestro/state/system/facts ",
        "maestro/metric/memory ",
        "maestro/metric/load ",
    ];
    while !missing.is_empty() {
        let line = lines.wait_for(Duration::from_secs(5), |line| {
            missing.iter().any(|topic| line.starts_with(topic))
        });
        missing.retain(|topic| !line.starts_with(topic));
    }
}

#[test]
fn a_subscriber_over_tcp_sees_the_box_with_first_measurements_at_once() {
    let daemon = Daemon::start();
    shows_the_box(daemon.peer("mosquitto_sub"));
}

#[test]
fn a_subscriber_over_the_unix_socket_sees_the_box_with_first_measurements_at_once() {
    let daemon = Daemon::start();
    shows_the_box(over_the_socket(&daemon, "mosquitto_sub"));
}

#[test]
fn a_ping_is_answered_to_the_response_topic_of_mosquitto_rr() {
    let daemon = Daemon::start();
    let arguments = ["-V", "5", "-t", "maestro/cmd/system/ping", "-e", "me/1", "-m", "", "-W", "5"];
    for command in [daemon.peer("mosquitto_rr"), over_the_socket(&daemon, "mosquitto_rr")] {
        let answer = run(command, &arguments);
        assert!(answer.contains("\"pong\":true"), "{answer}");
    }
}

#[test]
fn a_command_by_mqtt_3_1_1_is_answered_on_the_reply_topic_and_a_bare_word_is_its_subject() {
    let daemon = Daemon::start();
    let mut replies = daemon.tcp_client("watcher");
    replies.subscribe("maestro/reply/#", 1);
    let command = daemon.peer("mosquitto_pub");
    run(command, &["-V", "311", "-t", "maestro/cmd/stats/sample", "-m", "memory"]);
    let reply = replies.on("maestro/reply/stats/sample");
    assert!(reply.text().contains("total_bytes"), "{}", reply.text());
    let command = daemon.peer("mosquitto_pub");
    run(command, &["-V", "311", "-t", "maestro/cmd/system/ping", "-n"]);
    assert!(replies.on("maestro/reply/system/ping").text().contains("pong"));
}

#[test]
fn apps_talk_to_each_other_outside_the_root_and_retained_messages_wait_for_them() {
    let daemon = Daemon::start();
    run(daemon.peer("mosquitto_pub"), &["-r", "-q", "1", "-t", "kitchen/light", "-m", "on"]);
    let command = over_the_socket(&daemon, "mosquitto_sub");
    assert_eq!(run(command, &["-C", "1", "-W", "5", "-t", "kitchen/#"]), "on");
}

#[test]
fn paho_speaks_both_versions_with_it_at_every_quality_of_service() {
    let daemon = Daemon::start();
    let mut command = peers::peer("python3");
    command.arg("-c").arg(include_str!("tour.py")).arg(daemon.port().to_string());
    let output = peers::output(command, PATIENCE * 2);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), &output.stderr);
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(err));
    assert_eq!(out.lines().count(), 6, "{out}");
}
