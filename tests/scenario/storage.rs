//! The daemon on a disk that makes trouble: it says so, and goes on.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use crate::support::{
    clock::PATIENCE,
    daemon::{Builder, Daemon},
};

fn state(builder: &Builder) -> std::path::PathBuf {
    let state = builder.dir().join("state");
    std::fs::create_dir(&state).expect("a state directory");
    state
}

/// Says `status/storage` with this cause, and works: a retained message is kept, a command recorded.
fn goes_on_with(daemon: &Daemon, code: &str) {
    let mut client = daemon.client("me");
    client.subscribe("maestro/status/storage", 1);
    let status = client.wait_for(PATIENCE, |m| m.json()["state"] == "degraded").json();
    assert_eq!(status["cause"]["code"], code, "{status}");
    client.publish_with("own/topic", b"kept", true, Default::default());
    client.subscribe("own/topic", 1);
    assert_eq!(client.on("own/topic").text(), "kept");
    client.subscribe("maestro/reply/system/reboot", 1);
    let code = client.publish("maestro/cmd/system/reboot", r#"{"id":"r-1","delay":"5m"}"#);
    assert!(code.code < 0x80, "{code:?}");
    assert!(daemon.stderr().contains(status["cause"]["message"].as_str().expect("a sentence")));
}

#[test]
fn a_corrupt_store_is_set_aside_and_the_daemon_starts() {
    let builder = Daemon::build();
    let state = state(&builder);
    std::fs::write(state.join("maestro.redb"), "no database".repeat(1000)).expect("a bad file");
    let daemon = builder.start();
    goes_on_with(&daemon, "storage.corrupt");
    assert!(state.join("maestro.redb.corrupt-1").exists());
}

#[test]
fn a_state_directory_that_cannot_be_written_leaves_a_daemon_that_works() {
    let mut builder = Daemon::build();
    let state = state(&builder);
    if nix::unistd::geteuid().is_root() {
        builder = builder.uid(65534); // whom root's directory does not let write
    }
    std::fs::set_permissions(state, Permissions::from_mode(0o555)).expect("a closed directory");
    goes_on_with(&builder.start(), "storage.read_only");
}

#[test]
fn a_second_daemon_on_the_same_store_is_told_who_has_it() {
    let mut first = Daemon::start();
    let yaml = format!("state_dir: {}/state\n", first.dir().display());
    let mut second = Daemon::build().unwatched().whole_config(&yaml).spawn();
    let status = second.process().wait(PATIENCE);
    assert_eq!(status.code(), Some(1));
    let told = second.stderr();
    let holder =
        format!("maestro.redb is in use by another process (pid {})", first.process().pid());
    assert!(told.contains(&holder), "{told}");
}

#[test]
fn a_panic_of_the_storage_writer_ends_the_process_with_a_message() {
    let mut daemon = Daemon::build().unwatched().rehearsing("storage").spawn();
    let status = daemon.process().wait(PATIENCE);
    assert_eq!(status.signal(), Some(6), "{status}");
    let told = daemon.stderr();
    assert!(told.contains("the storage writer panicked, the daemon ends: rehearsed"), "{told}");
}
