//! Stats: what a subscriber sees of this machine, at once, on demand and in batches for the cloud.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    client::Client,
    clock::{PATIENCE, now},
    daemon::Daemon,
};

/// Asks for a sample and gives the reply.
fn sample(client: &mut Client, family: &str) -> Value {
    assert!(client.publish("maestro/cmd/stats/sample", family).code < 0x80);
    client.on("maestro/reply/stats/sample").json()
}

#[test]
fn the_first_measurements_come_at_once_and_the_first_rates_a_second_later() {
    let mut daemon = Daemon::build().config("stats: {daemon: 10s, disk: 10s}").start();
    let mut client = daemon.client("watcher");
    client.subscribe("maestro/metric/#", 0);
    daemon.process(); // it runs; what follows came from its start
    let began = now();
    let rate = client.wait_for(PATIENCE, |message| {
        message.topic == "maestro/metric/cpu" && message.json()["used_pct"].is_number()
    });
    assert!(now() - began < Duration::from_secs(5), "an interval later: {}", rate.text());
    let daemon = client.on("maestro/metric/daemon").json();
    assert!(daemon["threads"].as_u64() >= Some(3), "{daemon}");
}

#[test]
fn a_bare_word_samples_one_family_and_no_word_all_of_them() {
    let daemon = Daemon::start();
    let mut client = daemon.client("me");
    client.subscribe("maestro/reply/stats/sample", 1);
    let memory = sample(&mut client, "memory");
    assert_eq!(memory["state"], "succeeded");
    assert!(memory["result"]["memory"]["total_bytes"].as_u64() > Some(1 << 20), "{memory}");
    assert!(memory["result"]["load"].is_null());
    assert!(sample(&mut client, "vm")["result"]["memory"].is_object());
    let all = sample(&mut client, "");
    for family in ["cpu", "memory", "load", "daemon"] {
        assert!(all["result"][family].is_object(), "{family}: {all}");
    }
}

#[test]
fn a_sample_is_published_too_whatever_its_threshold_says() {
    let daemon = Daemon::build().config("stats: {memory: {threshold_pct: 100}}").start();
    let mut client = daemon.client("me");
    client.subscribe("maestro/metric/memory", 0);
    for _ in 0..2 {
        client.publish("maestro/cmd/stats/sample", "memory");
        assert!(client.on("maestro/metric/memory").json()["used_pct"].is_number());
    }
}

#[test]
fn a_misspelled_family_is_refused_with_the_nearest_name() {
    let daemon = Daemon::start();
    let mut client = daemon.client("me");
    client.subscribe("maestro/reply/stats/sample", 1);
    let reply = sample(&mut client, "memroy");
    assert_eq!(reply["error"]["code"], "stats.unknown_family", "{reply}");
    assert_eq!(reply["error"]["hint"], "`memory`?", "{reply}");
}

#[test]
fn samples_go_to_the_cloud_in_batches_and_the_last_one_goes_before_the_end() {
    let config = "stats: {load: 500ms, batch: {max_count: 3, max_age: 1h}}";
    let mut daemon = Daemon::build().config(config).start();
    let mut client = daemon.client("cloud");
    client.subscribe("$maestro/batch/stats/#", 1);
    let batch = client.on("$maestro/batch/stats/system").json();
    let samples = batch["samples"].as_array().expect("samples");
    assert_eq!(samples.len(), 3, "{batch}");
    assert!(samples.iter().all(|sample| sample["load"]["load1"].is_number()), "{batch}");
    client.subscribe("maestro/metric/load", 0);
    client.on("maestro/metric/load");
    daemon.stop();
    assert!(client.on("$maestro/batch/stats/system").json()["samples"].is_array());
}

#[test]
fn the_originals_names_make_its_batches() {
    let config = "sys_stats:\n  vm_stats: {every: 500ms, name: vm}\n  disk_stats: {every: 500ms, name: disk}\n\
        symphony: {sys_stats_count_threshold: 2, sys_stats_time_threshold: 60000}";
    let daemon = Daemon::build().config(config).start();
    let mut client = daemon.client("cloud");
    client.subscribe("$maestro/batch/stats/#", 1);
    let vm = client.on("$maestro/batch/stats/vm").json();
    assert!(vm["samples"][0]["memory"]["used_pct"].is_number(), "{vm}");
    assert!(vm["samples"][0]["load"].is_null(), "{vm}");
}

#[test]
fn a_family_that_is_off_is_silent_but_answers_when_asked() {
    let daemon = Daemon::build().config("stats: {load: off}").start();
    let mut client = daemon.client("me");
    client.subscribe("maestro/state/stats/families", 1);
    client.subscribe("maestro/reply/stats/sample", 1);
    let state = client.on("maestro/state/stats/families").json();
    assert_eq!(state["families"]["load"]["state"], "off", "{state}");
    assert_eq!(state["families"]["memory"]["state"], "ok", "{state}");
    assert!(sample(&mut client, "load")["result"]["load"]["load1"].is_number());
}

#[test]
fn what_this_machine_does_not_have_is_said_so() {
    let daemon = Daemon::start();
    let mut client = daemon.client("me");
    client.subscribe("maestro/reply/stats/sample", 1);
    let reply = sample(&mut client, "temperature");
    match reply["state"].as_str() {
        Some("succeeded") => assert!(reply["result"]["temperature"].is_object(), "{reply}"),
        _ => assert_eq!(reply["error"]["code"], "stats.absent", "{reply}"),
    }
}
