//! mosquitto_pub, mosquitto_sub and mosquitto_rr by both versions.

use std::process::Command;

use crate::support::{
    clock::PATIENCE,
    daemon::Daemon,
    peers::{self, last_line},
    process::Lines,
};

const VERSIONS: [&str; 2] = ["311", "5"];

fn run(mut command: Command, arguments: &[&str]) -> String {
    command.args(arguments);
    let output = peers::output(command, PATIENCE);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A session that is made and left: filter `q/#`.
fn leave_session(daemon: &Daemon, version: &str, id: &str) {
    let mut words = vec!["-V", version, "-i", id, "-c", "-q", "1", "-t", "q/#", "-E"];
    if version == "5" {
        words.extend(["-x", "3600"]);
    }
    run(daemon.peer("mosquitto_sub"), &words);
}

#[test]
fn mosquitto_pub_and_sub_pass_lines_at_each_quality() {
    let daemon = Daemon::start();
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let topic = format!("lines/{version}/{qos}");
            let mut command = daemon.peer("mosquitto_sub");
            // `-F` with %q tells the quality; the retained line tells that it has subscribed
            command.args(["-V", version, "-q", qos, "-t", &topic, "-F", "%q %r %p"]);
            let retained = ["-V", version, "-q", qos, "-r", "-t", &topic, "-m", "kept"];
            run(daemon.peer("mosquitto_pub"), &retained);
            let mut lines = Lines::start(command);
            lines.wait_for(PATIENCE, |line| line == format!("{qos} 1 kept"));
            run(daemon.peer("mosquitto_pub"), &["-V", version, "-q", qos, "-t", &topic, "-m", "é"]);
            lines.wait_for(PATIENCE, |line| line == format!("{qos} 0 é"));
        }
    }
}

#[test]
fn mosquitto_sub_gets_five_hundred_retained_messages_at_each_quality() {
    let daemon = Daemon::start();
    let mut writer = daemon.tcp_client("writer");
    for n in 0..500 {
        writer.publish_with(&format!("kept/{n}"), b"x", true, <_>::default());
    }
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let words = ["-V", version, "-q", qos, "-t", "kept/#", "-C", "500", "-W", "10"];
            let all = run(daemon.peer("mosquitto_sub"), &words);
            assert_eq!(all.lines().count(), 500, "version {version}, quality {qos}");
        }
    }
}

#[test]
fn mosquitto_sub_finds_what_was_sent_while_it_was_away() {
    let daemon = Daemon::start();
    for version in VERSIONS {
        let id = format!("away-{version}");
        leave_session(&daemon, version, &id);
    }
    run(daemon.peer("mosquitto_pub"), &["-q", "1", "-t", "q/a", "-m", "one"]);
    run(daemon.peer("mosquitto_pub"), &["-q", "2", "-t", "q/a", "-m", "two"]);
    for version in VERSIONS {
        let id = format!("away-{version}");
        let words = ["-V", version, "-i", &id, "-c", "-q", "1", "-t", "q/#", "-C", "2", "-W", "10"];
        assert_eq!(run(daemon.peer("mosquitto_sub"), &words), "one\ntwo\n", "version {version}");
    }
}

#[test]
fn mosquitto_rr_is_answered_by_another_mosquitto() {
    let daemon = Daemon::start();
    let mut command = daemon.peer("mosquitto_sub");
    command.args(["-V", "5", "-t", "rr/ask", "-F", "%R %D %p"]);
    run(daemon.peer("mosquitto_pub"), &["-r", "-t", "rr/ask", "-m", "ready"]);
    let mut requests = Lines::start(command);
    requests.wait_for(PATIENCE, |line| line.ends_with("ready"));
    let mut command = daemon.peer("mosquitto_rr");
    let words = ["-V", "5", "-t", "rr/ask", "-e", "rr/answer", "-D", "publish"];
    command.args(words).args(["correlation-data", "no7", "-m", "what?", "-W", "10"]);
    let requester = std::thread::spawn(move || peers::output(command, PATIENCE));
    let request = requests.wait_for(PATIENCE, |line| line.ends_with("what?"));
    let mut words = request.split(' ');
    let (topic, data) = (words.next().expect("a topic"), words.next().expect("its data"));
    assert_eq!((topic, data), ("rr/answer", "no7"));
    let answer = ["-V", "5", "-D", "publish", "correlation-data", data, "-t", topic, "-m", "that"];
    run(daemon.peer("mosquitto_pub"), &answer);
    assert_eq!(last_line(&requester.join().expect("it ran")), "that");
}

#[test]
fn the_will_of_mosquitto_sub_comes_when_it_is_killed() {
    let daemon = Daemon::start();
    for version in VERSIONS {
        let topic = format!("will/{version}");
        let mut watcher = daemon.tcp_client("watcher");
        watcher.subscribe(&topic, 1);
        watcher.subscribe("maestro/client/+", 1);
        let mut command = daemon.peer("mosquitto_sub");
        let id = format!("mortal-{version}");
        command.args(["-V", version, "-i", &id, "-t", "x"]);
        command.args(["--will-topic", &topic, "--will-payload", "gone", "--will-qos", "1"]);
        let lines = Lines::start(command);
        watcher.on(&format!("maestro/client/{id}"));
        drop(lines); // SIGKILL
        assert_eq!(watcher.on(&topic).text(), "gone");
    }
}
