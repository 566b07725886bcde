//! The broker among its clients: what outlives a kill, what a panic does, what it says when it cannot
//! have what it wants.

use std::net::TcpListener;
use std::time::Duration;

use rmqtt_codec::v5::Packet;

use crate::support::{
    client::Client,
    clock::PATIENCE,
    daemon::Daemon,
    long::count,
    peers::{self, peer},
    process::Lines,
};

fn state_of(client: &mut Client, topic: &str, state: &str) -> serde_json::Value {
    let like = |m: &crate::support::client::Message| m.topic == topic && m.json()["state"] == state;
    client.wait_for(PATIENCE, like).json()
}

/// mosquitto_sub that keeps its session.
fn keeper(daemon: &Daemon, more: &[&str]) -> String {
    let mut command = daemon.peer("mosquitto_sub");
    command.args(["-i", "keeper", "-c", "-q", "1", "-t", "q/#"]).args(more);
    String::from_utf8_lossy(&peers::output(command, PATIENCE).stdout).into_owned()
}

#[test]
fn what_was_acknowledged_outlives_a_kill_at_any_moment() {
    let mut daemon = Daemon::build().unwatched().start();
    keeper(&daemon, &["-E"]); // subscribes, and leaves
    let mut sent = 0;
    for round in 0..count(5, 30) {
        let mut writer = daemon.client("writer");
        for _ in 0..10 + round * 7 % 40 {
            sent += 1;
            assert_eq!(writer.publish("q/n", sent.to_string()).code, 0);
        }
        let kept =
            writer.publish_with("q/kept", round.to_string().as_bytes(), true, <_>::default());
        assert_eq!(kept.code, 0);
        daemon.kill(); // the moment after an acknowledgement
        daemon.start_again();
    }
    let all = (sent + count(5, 30)).to_string();
    let got = keeper(&daemon, &["-C", &all, "-W", "20", "-F", "%t %p"]);
    let numbers = got.lines().filter_map(|line| line.strip_prefix("q/n ")?.parse().ok());
    assert_eq!(numbers.collect::<Vec<usize>>(), (1..=sent).collect::<Vec<_>>(), "all, in order");
    let mut reader = daemon.client("reader");
    reader.subscribe("q/kept", 1);
    assert_eq!(reader.on("q/kept").text(), (count(5, 30) - 1).to_string());
}

#[test]
fn a_subsystem_that_panics_is_rebuilt_and_says_so_and_clients_notice_nothing() {
    let daemon = Daemon::build().unwatched().rehearsing("subsystem").start();
    let mut client = daemon.client("bystander");
    client.subscribe("maestro/status/#", 1);
    let failed = state_of(&mut client, "maestro/status/rehearsal", "failed");
    assert_eq!(failed["cause"]["code"], "daemon.panicked", "{failed}");
    let well = state_of(&mut client, "maestro/status/rehearsal", "ok");
    assert_eq!(well["restarts"], 1, "{well}");
    assert_eq!(well["last_cause"]["code"], "daemon.panicked", "{well}");
    assert_eq!(client.publish("a/b", "still served").code, 0);
}

#[test]
fn a_panic_of_the_core_ends_the_process_with_a_message() {
    let mut daemon = Daemon::build().unwatched().rehearsing("broker").spawn();
    let status = daemon.process().wait(PATIENCE);
    assert_eq!(status.code(), Some(70), "EX_SOFTWARE");
    let said = daemon.stderr();
    assert!(
        said.contains("the broker panicked; the process ends so that init restarts it"),
        "{said}"
    );
}

#[test]
fn a_taken_port_is_named_with_its_holder_and_the_daemon_goes_on_without() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let yaml = format!(
        "state_dir: {{dir}}/state\nbroker:\n  listeners:\n    - unix: {{dir}}/mqtt.sock\n    \
         - tcp: 127.0.0.1:{port}\n"
    );
    let daemon = Daemon::build().whole_config(&yaml).start();
    let mut client = daemon.client("me");
    client.subscribe("maestro/status/broker", 1);
    let status = state_of(&mut client, "maestro/status/broker", "degraded");
    let message = status["cause"]["message"].as_str().unwrap_or_default();
    let us = format!("(pid {})", std::process::id());
    assert!(message.contains(&format!("127.0.0.1:{port} is taken")), "{message}");
    assert!(message.contains(&us), "{message}");
    assert!(daemon.stderr().contains(message), "the same sentence for who starts it");
}

#[test]
fn an_operator_ends_a_connection_by_a_bare_word() {
    let daemon = Daemon::start();
    let mut victim = daemon.tcp_client("victim");
    let mut operator = daemon.peer("mosquitto_pub");
    operator.args(["-t", "maestro/cmd/broker/disconnect", "-m", "victim", "-q", "1"]);
    assert!(peers::output(operator, PATIENCE).status.success());
    let end = victim.packet(PATIENCE);
    assert!(matches!(&end, Some(Packet::Disconnect(_))), "{end:?}");
    assert_eq!(victim.packet(PATIENCE), None, "and closed");
}

#[test]
fn metrics_are_there_at_the_start_and_not_an_interval_later() {
    let daemon = Daemon::build().unwatched().spawn();
    let socket = daemon.socket();
    crate::support::clock::until("the socket", PATIENCE, || socket.exists().then_some(()));
    let mut command = peer("mosquitto_sub");
    command.arg("--unix").arg(&socket).args(["-v", "-t", "maestro/#", "-W", "3"]);
    let mut lines = Lines::start(command);
    let seen = lines.collect(Duration::from_secs(3)).join("\n");
    for topic in ["maestro/info {", "maestro/status {", "maestro/state/system/facts {"] {
        assert!(seen.contains(topic), "{topic} in\n{seen}");
    }
}
