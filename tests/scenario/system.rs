//! System: what the box is, who asks, and its end, which the next boot answers.

use serde_json::Value;

use crate::support::{
    client::Client,
    clock::{PATIENCE, until},
    daemon::{Builder, Daemon},
    skip::skip,
};

const FIRST_BOOT: &str = "11111111-0000-4000-8000-000000000000\n";
const SECOND_BOOT: &str = "22222222-0000-4000-8000-000000000000\n";

fn ask(client: &mut Client, verb: &str, arguments: &str) -> Value {
    let code = client.publish(&format!("maestro/cmd/system/{verb}"), arguments);
    assert!(code.code < 0x80, "{code:?}");
    client.on(&format!("maestro/reply/system/{verb}")).json()
}

fn asking(daemon: &Daemon) -> Client {
    let mut client = daemon.client("me");
    client.subscribe("maestro/reply/system/#", 1);
    client
}

/// The record of a command once it has ended; what is retained may be its beginning.
fn end_of(client: &mut Client, id: &str) -> Value {
    let topic = format!("maestro/task/{id}");
    client.subscribe(&topic, 1);
    let over = |task: &Value| !matches!(task["state"].as_str(), Some("accepted" | "running"));
    client.wait_for(PATIENCE, |m| m.topic == topic && over(&m.json())).json()
}

/// What the recorder wrote in place of ending the box.
fn ends(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.dir().join("ends")).unwrap_or_default()
}

/// A daemon whose kernel seems to have the boot id in `{dir}/boot_id`.
fn in_a_boot(id: &str) -> Option<Builder> {
    let builder = Daemon::build();
    let path = builder.dir().join("boot_id");
    std::fs::write(&path, id).expect("a boot id");
    match builder.over("/proc/sys/kernel/random/boot_id", &path) {
        Ok(builder) => Some(builder),
        Err(reason) => {
            skip(&reason);
            None
        }
    }
}

#[test]
fn facts_are_retained_without_what_counts_and_answered_with_it() {
    let daemon = Daemon::start();
    let mut client = asking(&daemon);
    client.subscribe("maestro/state/system/facts", 1);
    client.on("maestro/state/system/facts");
    let mut later = daemon.client("later");
    later.subscribe("maestro/state/system/facts", 1);
    let state = later.on("maestro/state/system/facts");
    assert!(state.retain);
    let state = state.json();
    assert!(state["memory_bytes"].as_u64() > Some(1 << 20), "{state}");
    assert!(state["uptime_s"].is_null(), "{state}");
    let answer = ask(&mut client, "facts", "");
    assert_eq!(answer["result"]["kernel"], state["kernel"]);
    assert!(answer["result"]["uptime_s"].is_u64(), "{answer}");
}

#[test]
fn a_caller_learns_who_it_is() {
    let daemon = Daemon::start();
    let uid = nix::unistd::geteuid().as_raw();
    let answer = ask(&mut asking(&daemon), "whoami", "");
    assert_eq!(answer["result"]["role"], "admin", "{answer}");
    assert_eq!(answer["result"]["uid"], uid, "{answer}");
    let mut remote = daemon.tcp_client("me-too");
    remote.subscribe("maestro/reply/system/#", 1);
    let answer = ask(&mut remote, "whoami", "");
    assert_ne!(answer["result"]["role"], "admin", "{answer}");
}

#[test]
fn a_reboot_is_told_recorded_and_answered_by_the_next_boot() {
    let Some(builder) = in_a_boot(FIRST_BOOT) else { return };
    let mut daemon = builder.start();
    let mut client = asking(&daemon);
    client.subscribe("maestro/event/system/box/#", 1);
    client.publish("maestro/cmd/system/reboot", r#"{"reason":"kernel update","id":"r-1"}"#);
    let event = client.on("maestro/event/system/box/reboot").json();
    assert_eq!((&event["reason"], &event["id"]), (&"kernel update".into(), &"r-1".into()));
    until("the hand", PATIENCE, || (ends(&daemon) == "reboot\n").then_some(()));
    daemon.kill();
    std::fs::write(daemon.dir().join("boot_id"), SECOND_BOOT).expect("another boot id");
    daemon.start_again();
    let mut client = daemon.client("me");
    let task = end_of(&mut client, "r-1");
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(task["result"]["boot_before"], "11111111", "{task}");
    assert_eq!(task["result"]["boot_after"], "22222222", "{task}");
    assert_eq!(ends(&daemon), "reboot\n");
}

#[test]
fn a_reboot_that_did_not_happen_is_interrupted_and_not_done_again() {
    let Some(builder) = in_a_boot(FIRST_BOOT) else { return };
    let mut daemon = builder.start();
    let mut client = asking(&daemon);
    client.publish("maestro/cmd/system/shutdown", r#"{"reason":"maintenance","id":"s-1"}"#);
    until("the hand", PATIENCE, || (ends(&daemon) == "power_off\n").then_some(()));
    daemon.kill();
    daemon.start_again();
    let mut client = asking(&daemon);
    let task = end_of(&mut client, "s-1");
    assert_eq!(task["state"], "interrupted", "{task}");
    let again = ask(&mut client, "shutdown", r#"{"reason":"maintenance","id":"s-1"}"#);
    assert_eq!((&again["state"], &again["duplicate"]), (&"interrupted".into(), &true.into()));
    assert_eq!(ends(&daemon), "power_off\n");
}

#[test]
fn while_one_end_waits_another_is_refused_and_a_dry_run_ends_nothing() {
    let daemon = Daemon::start();
    let mut client = asking(&daemon);
    let dry = ask(&mut client, "reboot", r#"{"dry_run":true}"#);
    assert_eq!((&dry["state"], &dry["dry_run"]), (&"succeeded".into(), &true.into()), "{dry}");
    client.publish("maestro/cmd/system/reboot", r#"{"delay":"60s","id":"later"}"#);
    let second = ask(&mut client, "shutdown", "now");
    assert_eq!(second["error"]["code"], "system.ending", "{second}");
    let wrong = ask(&mut client, "shutdown", r#"{"delay":"soon"}"#);
    assert_eq!(wrong["error"]["field"], "/delay", "{wrong}");
    assert_eq!(ends(&daemon), "");
}

#[test]
fn without_the_privilege_the_box_stays_and_the_caller_learns_why() {
    if !nix::unistd::geteuid().is_root() {
        return skip("needs root, to run the daemon as somebody else");
    }
    let daemon = Daemon::build().uid(65534).unrecorded().start();
    let reply = ask(&mut asking(&daemon), "reboot", "please");
    assert_eq!(reply["state"], "failed", "{reply}");
    assert_eq!(reply["error"]["code"], "system.not_permitted", "{reply}");
}
