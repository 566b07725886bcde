//! Configuration as a person meets it: the check, and a box whose file has been broken.

use std::path::Path;

use serde_json::Value;

use crate::support::{
    client::{Client, Message},
    clock::PATIENCE,
    daemon::Daemon,
    peers,
    process::command,
};

fn check(file: &Path) -> (Option<i32>, String) {
    let mut command = command(env!("CARGO_BIN_EXE_maestro"));
    command.args(["config", "check"]).arg(file);
    let output = peers::output(command, PATIENCE);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_check_of_five_mistakes_prints_five_places_and_exits_78() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config/five-mistakes.yaml");
    let (code, said) = check(&file);
    assert_eq!(code, Some(78), "{said}");
    for place in ["3:3", "6:22", "7:19", "9:5", "12:1"] {
        assert!(said.contains(&format!("five-mistakes.yaml:{place}: error: ")), "{place}: {said}");
    }
    assert_eq!(said.matches(": error: ").count(), 5, "{said}");
}

#[test]
fn a_file_that_only_warns_is_fine() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config");
    for (name, warns) in [("own.yaml", false), ("original-gateway.config", true)] {
        let (code, said) = check(&fixtures.join(name));
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.contains(": warning: "), warns, "{said}");
    }
}

/// Waits until the subsystem `config` says so; the status of the life before may come first.
fn says(client: &mut Client, state: &str) -> Value {
    let like = |m: &Message| m.topic == "maestro/status/config" && m.json()["state"] == state;
    client.wait_for(PATIENCE, like).json()
}

#[test]
fn a_broken_file_leaves_the_box_as_it_was_and_is_told_until_it_is_mended() {
    let whole = "gateway_id: GW-{port}\nstate_dir: {dir}/state\nbroker:\n  listeners:\n    \
                 - unix: {dir}/mqtt.sock\n    - tcp: 127.0.0.1:{port}\n";
    let mut daemon = Daemon::build().whole_config(whole).start();
    let name = format!("GW-{}", daemon.port());
    let asking = |daemon: &Daemon| {
        let mut client = daemon.client("asking");
        client.subscribe("maestro/status/config", 1);
        client
    };
    says(&mut asking(&daemon), "ok");
    daemon.stop();

    daemon.rewrite(&format!("{whole}stats:\n  cpu: 10 seconds\n  memry: 5s\n"));
    daemon.start_again();
    let mut client = asking(&daemon);
    let status = says(&mut client, "degraded");
    assert_eq!(status["cause"]["code"], "config.invalid");
    assert!(status.to_string().contains("maestro.yaml:8:8: error: stats.cpu"), "{status}");
    let said = daemon.stderr();
    assert!(
        said.contains("maestro.yaml:9:3: error: stats.memry: not a setting (`memory`?)"),
        "{said}"
    );
    client.subscribe("maestro/info", 1);
    assert_eq!(client.on("maestro/info").json()["gateway_id"], name);
    drop(client);
    daemon.stop();

    daemon.rewrite(whole);
    daemon.start_again();
    says(&mut asking(&daemon), "ok");
}
