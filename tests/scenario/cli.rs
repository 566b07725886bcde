//! The command line as a person and a script use it, against the daemon, and through a cloud.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    clock::{PATIENCE, until},
    daemon::Daemon,
    mosquitto::Mosquitto,
    peers,
    process::command,
};

/// Runs it to its end: exit code, standard output, standard error.
fn run(command: Command) -> (i32, String, String) {
    let output = peers::output(command, PATIENCE);
    (code(&output), text(&output.stdout), text(&output.stderr))
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Without `--url` of the daemon's socket.
fn bare(arguments: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_maestro"));
    command.args(arguments);
    command
}

/// With something on standard input.
fn fed(mut command: Command, input: &str) -> (i32, String, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start the command line");
    match child.stdin.take().expect("piped").write_all(input.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {} // it ended without asking
        written => written.expect("a pipe"),
    }
    let output = child.wait_with_output().expect("its end");
    (code(&output), text(&output.stdout), text(&output.stderr))
}

/// A daemon that has said all it has to say at its start.
fn started(daemon: Daemon) -> Daemon {
    let mut client = daemon.client("");
    for topic in ["maestro/status/stats", "$maestro/api/errors"] {
        client.subscribe(topic, 1);
        client.on(topic);
    }
    daemon
}

fn tcp(daemon: &Daemon) -> String {
    format!("mqtt://127.0.0.1:{}", daemon.port())
}

#[test]
fn status_is_one_screen_that_ends_with_a_line_to_copy() {
    let daemon = started(Daemon::start());
    let (code, shown, _) = run(daemon.cli(&["status"]));
    assert_eq!(code, 0, "{shown}");
    assert!(shown.starts_with("GW-TEST  "), "{shown}");
    for word in ["subsystem", "stats", "system", "memory", "MiB", "load"] {
        assert!(shown.contains(word), "no {word} in\n{shown}");
    }
    let last = format!("mosquitto_sub -v --unix {} -t 'maestro/#'", daemon.socket().display());
    assert_eq!(shown.lines().last(), Some(last.as_str()));
    assert!(shown.lines().count() <= 40, "{shown}");
    assert!(!shown.contains('\x1b'), "colours in a pipe");

    let (code, shown, _) = run(daemon.cli(&["status", "--json"]));
    let shown: Value = serde_json::from_str(&shown).expect("one JSON document");
    assert_eq!((code, &shown["info"]["gateway_id"]), (0, &"GW-TEST".into()));
    assert!(shown["sample"]["memory"]["total_bytes"].is_u64(), "{shown}");
}

#[test]
fn a_command_waits_for_its_end_and_every_end_has_its_exit_code() {
    let daemon = Daemon::start();
    let (code, shown, _) = run(daemon.cli(&["cmd", "system/ping"]));
    assert_eq!((code, shown.as_str()), (0, "pong  true\n"));
    let (code, shown, _) = run(daemon.cli(&["stats", "sample", "memory"]));
    assert_eq!(code, 0);
    assert!(shown.contains("total_bytes"), "{shown}");
    let (code, shown, _) = run(daemon.cli(&["cmd", "system/ping", "--json", "--id", "mine"]));
    let reply: Value = serde_json::from_str(&shown).expect("one JSON document");
    assert_eq!((code, &reply["result"]["pong"], &reply["id"]), (0, &true.into(), &"mine".into()));

    let refused = [
        (&["cmd", "system/pong"][..], "system/pong"),
        (&["cmd", "stats/sample", "famly=memory"], "family"),
        (&["cmd", "stats/sample", "family=7"], "family"),
    ];
    for (arguments, told) in refused {
        let (code, _, error) = run(daemon.cli(arguments));
        assert_eq!(code, 3, "{arguments:?}: {error}");
        assert!(error.contains(told), "{error}");
        assert_eq!(error.lines().count(), 1, "one sentence: {error}");
    }
    let (code, _, error) = run(daemon.cli(&["cmd", "ping"]));
    assert_eq!((code, error.as_str()), (2, "maestro: 'ping' is not <subsystem>/<verb>\n"));
}

#[test]
fn a_command_that_has_not_ended_in_time_can_be_asked_for_again() {
    let daemon = Daemon::start();
    let reboot = ["cmd", "system/reboot", "test", "delay=30s", "--id", "once", "--timeout", "1s"];
    for _ in 0..2 {
        let (code, _, error) = run(daemon.cli(&reboot));
        assert_eq!(code, 4, "{error}");
        assert!(error.contains("--id once"), "{error}");
    }
    let (code, _, error) = run(daemon.cli(&["cmd", "system/reboot", "other", "--id", "once"]));
    assert_eq!(code, 3, "{error}");
    assert!(error.contains("command.id_reused"), "{error}");
}

#[test]
fn who_may_not_is_told_so() {
    let daemon = Daemon::start();
    let (code, shown, _) = run(daemon.cli(&["whoami"]));
    assert_eq!(code, 0);
    assert!(shown.contains("role") && shown.contains("admin"), "{shown}");
    let (code, shown, _) = run(bare(&["--url", &tcp(&daemon), "whoami", "--json"]));
    let reply: Value = serde_json::from_str(&shown).expect("one JSON document");
    assert_eq!((code, &reply["result"]["role"]), (0, &"operator".into()));
    let (code, _, error) = run(bare(&["--url", &tcp(&daemon), "system", "reboot"]));
    assert_eq!(code, 3, "{error}");
    assert!(error.contains("refused"), "{error}");
    let mut wrong = bare(&["--url", &tcp(&daemon), "--username", "nobody", "whoami"]);
    wrong.env("MAESTRO_PASSWORD", "wrong");
    let (code, _, error) = run(wrong);
    assert_eq!(code, 3, "{error}");
    assert!(error.contains("not let in"), "{error}");
}

#[test]
fn without_a_daemon_the_sentence_says_how_to_start_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("mqtt.sock").display().to_string();
    let (code, shown, error) = run(bare(&["--url", &format!("unix://{socket}"), "status"]));
    assert_eq!((code, shown.as_str()), (5, ""));
    assert_eq!(error, format!("maestro: no daemon at {socket}: start it with 'maestro run'\n"));
}

#[test]
fn messages_go_in_and_come_out_as_they_are() {
    let daemon = Daemon::start();
    let (code, ..) = run(daemon.cli(&["pub", "plant/a", "hello", "--retain"]));
    assert_eq!(code, 0);
    let (code, ..) = fed(daemon.cli(&["pub", "plant/b", "-", "--retain", "--qos", "2"]), "x\ny");
    assert_eq!(code, 0);
    let (code, shown, _) = run(daemon.cli(&["sub", "plant/#", "--count", "2"]));
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    assert_eq!((code, lines), (0, vec!["plant/a hello", "plant/b x", "y"]));
    let (_, shown, _) = run(daemon.cli(&["sub", "plant/a", "--count", "1", "--json"]));
    assert_eq!(shown, "{\"topic\":\"plant/a\",\"payload\":\"hello\",\"qos\":1,\"retain\":true}\n");
    let (code, _, error) = run(daemon.cli(&["pub", "maestro/state/stats/x", "{}"]));
    assert_eq!(code, 3, "{error}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let daemon = Daemon::start();
    let line = format!(
        "'{}' --url 'unix://{}' sub 'maestro/#' | head -n 1",
        env!("CARGO_BIN_EXE_maestro"),
        daemon.socket().display()
    );
    let mut sub = command("sh");
    sub.args(["-c", &line]);
    let (_, shown, error) = run(sub);
    assert_eq!((shown.lines().count(), error.as_str()), (1, ""));
}

#[test]
fn the_contract_is_shown_as_the_box_tells_it() {
    let daemon = started(Daemon::start());
    let page = |arguments: &[&str]| {
        let (code, shown, error) = run(daemon.cli(&[&["api"], arguments].concat()));
        assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}");
        shown
    };
    assert!(page(&[]).contains("maestro/status/{subsystem}"));
    assert!(page(&["topics"]).starts_with("topic"));
    let verbs = page(&["verbs"]);
    let sample = verbs.lines().find(|line| line.starts_with("stats/sample")).expect("a verb");
    assert!(sample.contains("read") && sample.contains("family"), "{sample}");
    assert!(page(&["errors"]).contains("command.id_reused"));
    let document: Value = serde_json::from_str(&page(&["asyncapi"])).expect("JSON");
    assert_eq!(document["asyncapi"], "3.0.0");
    let schema: Value = serde_json::from_str(&page(&["schema", "stats.Memory"])).expect("JSON");
    assert_eq!(schema["title"], "stats.Memory");
    let (code, _, error) = run(daemon.cli(&["api", "schema", "stats.Memry"]));
    assert_eq!(
        (code, error.as_str()),
        (2, "maestro: there is no type stats.Memry: did you mean stats.Memory?\n")
    );
}

#[test]
fn a_user_that_was_added_logs_in_with_its_password_and_role() {
    let builder = Daemon::build();
    let users = builder.dir().join("users");
    let daemon = builder.broker(&format!("users: {}", users.display())).start();
    let config = daemon.dir().join("maestro.yaml").display().to_string();
    let add = ["user", "add", "alice", "--role", "observer", "--config", &config];
    let (code, shown, error) = fed(bare(&add), "correct horse\n");
    assert_eq!((code, error.as_str()), (0, ""), "{shown}");
    assert!(!shown.contains("horse"));
    let login = |password: &str| {
        let mut whoami = bare(&["--url", &tcp(&daemon), "--username", "alice", "--json", "whoami"]);
        whoami.env("MAESTRO_PASSWORD", password);
        run(whoami)
    };
    let (code, shown, error) = login("correct horse");
    assert_eq!(code, 0, "{error}");
    let reply: Value = serde_json::from_str(&shown).expect("one JSON document");
    assert_eq!(reply["result"]["role"], "observer");
    assert_eq!(login("battery staple").0, 3);
    let mut log =
        bare(&["--url", &tcp(&daemon), "--username", "alice", "sub", "a", "maestro/log/#"]);
    log.env("MAESTRO_PASSWORD", "correct horse");
    let (code, _, error) = run(log);
    assert_eq!(code, 3);
    assert!(error.contains("refused: no subscription to "), "{error}");
}

#[test]
fn every_mistake_in_a_file_is_told_with_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("maestro.yaml").display().to_string();
    let five = "gateway_idd: GW-1\nstate_dir: 7\nbroker:\n  listeners:\n    \
                - tcp: 127.0.0.1:99999\nbridges:\n  - name: c\n    url: http://x\n    role: root\n";
    std::fs::write(&file, five).expect("a file");
    let (code, shown, error) = run(bare(&["config", "check", &file]));
    assert_eq!((code, error.as_str()), (78, ""), "{shown}");
    for place in ["1:1", "2:12", "5:12", "8:10", "9:11"] {
        let place = format!("{file}:{place}: error: ");
        assert_eq!(shown.matches(&place).count(), 1, "{place}\n{shown}");
    }
    assert_eq!(shown.lines().count(), 5, "{shown}");
    let (code, shown, _) = run(bare(&["config", "check", &file, "--json"]));
    let first: Value = serde_json::from_str(shown.lines().next().expect("a line")).expect("JSON");
    assert_eq!((code, &first["line"], &first["severity"]), (78, &1.into(), &"error".into()));

    let (code, _, error) = fed(bare(&["user", "add", "alice", "--config", &file]), "secret\n");
    assert_eq!(code, 78, "{error}");
    assert!(error.contains("maestro config check"), "{error}");

    std::fs::write(&file, "gateway_id: GW-1\n").expect("a file");
    assert_eq!(run(bare(&["config", "check", &file])), (0, String::new(), String::new()));
}

#[test]
fn a_shell_gets_its_completions_and_a_typo_its_hint() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = run(bare(&["completions", shell]));
        assert_eq!(code, 0);
        assert!(script.contains("whoami"), "{shell}");
    }
    let (code, _, error) = run(bare(&["staus"]));
    assert_eq!(code, 2);
    assert!(error.contains("did you mean 'status'?"), "{error}");
}

#[test]
fn through_a_cloud_the_same_commands_work_with_the_root_of_the_box() {
    let cloud = Mosquitto::plain();
    let daemon = Daemon::build()
        .config(&format!("bridges:\n  - name: cloud\n    url: mqtt://127.0.0.1:{}\n", cloud.port()))
        .start();
    let url = format!("mqtt://127.0.0.1:{}", cloud.port());
    let remote = |arguments: &[&str]| {
        run(bare(&[&["--url", &url, "--root", "gw/GW-TEST"], arguments].concat()))
    };
    until("an answer over the cloud", PATIENCE, || {
        (remote(&["cmd", "system/ping", "--timeout", "1s"]).0 == 0).then_some(())
    });
    let (code, shown, _) = remote(&["cmd", "system/ping"]);
    assert_eq!((code, shown.as_str()), (0, "pong  true\n"));
    let (code, shown, _) = remote(&["stats", "sample", "memory", "--json"]);
    let reply: Value = serde_json::from_str(&shown).expect("one JSON document");
    assert_eq!(code, 0);
    assert!(reply["result"]["memory"]["total_bytes"].is_u64(), "{reply}");
    let (code, _, error) = remote(&["system", "reboot"]);
    assert_eq!(code, 3, "{error}");
    let (code, shown, error) = remote(&["status"]);
    assert_eq!(code, 0, "{error}");
    assert!(shown.starts_with("GW-TEST  ") && shown.contains("connected"), "{shown}");
    let last = format!("mosquitto_sub -v -h 127.0.0.1 -p {} -t 'gw/GW-TEST/#'", cloud.port());
    assert_eq!(shown.lines().last(), Some(last.as_str()));
    daemon.kept_the_contract();
}

#[test]
fn a_wait_is_over_at_ctrl_c() {
    let daemon = Daemon::start();
    let mut sub = daemon.cli(&["sub", "nothing/#"]);
    sub.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = sub.spawn().expect("start the command line");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    std::thread::sleep(Duration::from_millis(300));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("it is there");
    let output = child.wait_with_output().expect("its end");
    assert_eq!((code(&output), text(&output.stderr).as_str()), (130, ""));
}
