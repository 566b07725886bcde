//! Files of the original, maestro 2.7: the same keys, the same meaning.
//!
//! A file is the original's when it has a top-level key that only the original had (`config_end`,
//! `clientId`, `symphony`, ..), or one that both have (`jobs`, `network`, ..) and none of our own. In
//! such a file a top-level key that nobody knows is a warning; our own sections stay strict in it.
//!
//! What both can do is rewritten to our own keys before anything is merged or decoded:
//!
//! | 2.7 | here |
//! |---|---|
//! | `clientId` | `gateway_id` |
//! | `sys_stats.vm_stats: {every, name, disable}` | `stats.memory: {interval, name, on}` |
//! | `sys_stats.disk_stats` | `stats.disk`, its lists `stats.disks` |
//! | `symphony.sys_stats_count_threshold, _time_threshold` (ms)`, _max_buffer` | `stats.batch: {max_count, max_age, max_buffers}` |
//! | `symphony.disable_sys_stats` | `stats.batch.on` |
//!
//! What is done differently now, or not yet, is one warning each.

use std::time::Duration;

use super::node::{Entry, Node, Scalar, Style, Value};
use super::problem::{Mark, Report, Severity};
use super::units::Span;
use crate::contract::nearest;

/// Who a file was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// This daemon.
    Own,
    /// The original.
    Original,
}

impl Form {
    /// How bad it is when nobody knows a top-level key of such a file.
    pub(super) fn stray(self) -> Severity {
        match self {
            Form::Own => Severity::Error,
            Form::Original => Severity::Warning,
        }
    }
}

/// What has become of a top-level key of the original.
struct Key {
    name: &'static str,
    fate: Fate,
}

enum Fate {
    /// Only the original has it; it works here, by other keys or by itself.
    Works,
    /// Only the original has it; its job is done differently.
    Replaced(&'static str),
    /// Only the original has it; a later version does its job.
    Later,
    /// Part of our own form, too; a later version does its job.
    SharedLater,
    /// Part of our own form, too, and works.
    Shared,
}

const fn key(name: &'static str, fate: Fate) -> Key {
    Key { name, fate }
}

const NOT_THERE_EITHER: &str = "did nothing in 2.7 and does nothing here: take it out";
const KEYS: &[Key] = &[
    key("config_end", Fate::Works),
    key("clientId", Fate::Works),
    key("sys_stats", Fate::Shared),
    key(
        "symphony",
        Fate::Replaced(
            "replaced by `bridges`: write `- {name, url, ca, cert, key}`; of this section only \
             sys_stats_* and disable_sys_stats hold",
        ),
    ),
    key("httpUnixSocket", Fate::Replaced(HTTP)),
    key("apiUnixDgramSocket", Fate::Replaced(HTTP)),
    key("processes", Fate::Replaced("not needed: children are reaped as they end")),
    key("debug_opts", Fate::Replaced("replaced by `log_level` and by status on the bus")),
    key("config_db", Fate::Replaced("replaced by `state_dir`")),
    key("configDBPath", Fate::Replaced("replaced by `state_dir`")),
    key("tags", Fate::Replaced(NOT_THERE_EITHER)),
    key("plugins", Fate::Replaced(NOT_THERE_EITHER)),
    key("sysLogSocket", Fate::Later),
    key("unixLogSocket", Fate::Later),
    key("linuxKernelLog", Fate::Later),
    key("linuxKernelLogLegacy", Fate::Later),
    key("devicedb_conn_config", Fate::Later),
    key("gateway_capabilities", Fate::Later),
    key("imagePath", Fate::Later),
    key("scratchPath", Fate::Later),
    key("network", Fate::SharedLater),
    key("jobs", Fate::SharedLater),
    key("container_templates", Fate::SharedLater),
    key("targets", Fate::SharedLater),
    key("var_defs", Fate::SharedLater),
    key("platform_readers", Fate::SharedLater),
    key("static_file_generators", Fate::SharedLater),
    key("time_server", Fate::SharedLater),
    key("mdns", Fate::SharedLater),
    key("watchdog", Fate::SharedLater),
];
const HTTP: &str = "replaced by MQTT: see `broker.listeners`, `maestro cmd`, `maestro status`";
const NOT_BUILT: &str = "not built yet; it has no effect";

/// Who the file was written for. `own` are the names of our own sections.
pub(super) fn form(tree: &Node, own: &[&str]) -> Form {
    let has = |name: &str| tree.child(name).is_some();
    let only_original = KEYS.iter().any(|key| match key.fate {
        Fate::Works | Fate::Replaced(_) | Fate::Later => has(key.name),
        Fate::SharedLater | Fate::Shared => false,
    });
    let shared = KEYS.iter().any(|key| has(key.name));
    let old_stats = tree.child("stats").is_some_and(|stats| stats.entries().iter().any(is_old));
    if only_original || old_stats || (shared && !own.iter().any(|name| has(name))) {
        Form::Original
    } else {
        Form::Own
    }
}

/// A setting of 2.7's `stats:`, a section that nothing there read.
fn is_old(entry: &Entry) -> bool {
    entry.key == "interval" || entry.key.starts_with("check_")
}

/// Rewrites the original's keys to our own, and warns of what they cannot do here.
pub(super) fn translate(tree: Node, report: &Report) -> Node {
    let (at, value) = (tree.at, tree.value);
    let Value::Map(entries) = value else { return Node { at, value } };
    let mut ours = Node::empty(at);
    let mut originals = Vec::new();
    for mut entry in entries {
        if entry.key == "stats" {
            drop_old_stats(&mut entry, report);
        }
        match KEYS.iter().find(|key| key.name == entry.key) {
            Some(key) => originals.push((key, entry)),
            None => set(&mut ours, &[&entry.key], entry.at, entry.node),
        }
    }
    for (key, entry) in originals {
        let path = format!("/{}", entry.key);
        match key.fate {
            Fate::Works | Fate::Shared => {}
            Fate::Replaced(by) => report.add(entry.at, &path, Severity::Warning, by),
            Fate::Later | Fate::SharedLater => {
                report.add(entry.at, &path, Severity::Warning, NOT_BUILT);
            }
        }
        match key.name {
            "clientId" => set(&mut ours, &["gateway_id"], entry.at, entry.node),
            "sys_stats" => sys_stats(&mut ours, &entry, report),
            "symphony" => batches(&mut ours, &entry),
            _ => {}
        }
    }
    ours
}

/// Takes 2.7's settings out of `stats`, with one warning.
fn drop_old_stats(stats: &mut Entry, report: &Report) {
    let Value::Map(entries) = &mut stats.node.value else { return };
    let before = entries.len();
    entries.retain(|entry| !is_old(entry));
    if entries.len() < before {
        let message = "`interval` and `check_*` did nothing in 2.7 and do nothing here: write \
                       `cpu: {interval: 10s}` and so on";
        report.add(stats.at, "/stats", Severity::Warning, message);
    }
}

const VM: [&str; 3] = ["every", "name", "disable"];
const LISTS: [&str; 4] =
    ["ignore_mountpoints", "ignore_partitions", "white_list_mountpoints", "white_list_partitions"];

fn sys_stats(ours: &mut Node, section: &Entry, report: &Report) {
    for family in section.node.entries() {
        let path = format!("/sys_stats/{}", family.key);
        let ours_is = match family.key.as_str() {
            "vm_stats" => "memory",
            "disk_stats" => "disk",
            _ => {
                stray(report, family, &path, &["vm_stats", "disk_stats"]);
                continue;
            }
        };
        for entry in family.node.entries() {
            let path = format!("{path}/{}", entry.key);
            let to = |name| ["stats", ours_is, name];
            match entry.key.as_str() {
                "every" => set(ours, &to("interval"), entry.at, every(entry, &path, report)),
                "name" => set(ours, &to("name"), entry.at, entry.node.clone()),
                "disable" => set(ours, &to("on"), entry.at, negated(&entry.node)),
                list if ours_is == "disk" && LISTS.contains(&list) => {
                    set(ours, &["stats", "disks", list], entry.at, entry.node.clone());
                }
                regex if ours_is == "disk" && regex.ends_with("_regex") => {
                    report.add(entry.at, &path, Severity::Warning, NOT_BUILT);
                }
                _ => stray(report, entry, &path, &VM),
            }
        }
    }
}

fn stray(report: &Report, entry: &Entry, path: &str, known: &[&str]) {
    let hint = nearest(&entry.key, known.iter().copied()).map(|name| format!("`{name}`?"));
    let message = "not a setting".to_owned();
    report.add_with_hint(entry.at, path, Severity::Warning, (message, hint));
}

/// 2.7 took no interval below 400 ms either, but did not mind one.
fn every(entry: &Entry, path: &str, report: &Report) -> Node {
    let shortest = crate::stats::config::SHORTEST_INTERVAL;
    let span = entry.node.text().and_then(|text| text.parse::<Span>().ok());
    if span.is_some_and(|span| Duration::ZERO < span.0 && span.0 < shortest) {
        let message = format!("too short: {} it is", Span(shortest));
        report.add(entry.at, path, Severity::Warning, message);
        return plain(entry.node.at, Span(shortest).to_string());
    }
    entry.node.clone()
}

fn negated(node: &Node) -> Node {
    match node.text() {
        Some("true" | "True" | "TRUE" | "yes" | "on") => plain(node.at, "false".into()),
        Some("false" | "False" | "FALSE" | "no" | "off") => plain(node.at, "true".into()),
        Some(_) | None => node.clone(),
    }
}

fn batches(ours: &mut Node, symphony: &Entry) {
    for entry in symphony.node.entries() {
        let batch = |name| ["stats", "batch", name];
        match entry.key.as_str() {
            "disable_sys_stats" => set(ours, &batch("on"), entry.at, negated(&entry.node)),
            "sys_stats_count_threshold" => {
                set(ours, &batch("max_count"), entry.at, entry.node.clone());
            }
            "sys_stats_time_threshold" => {
                let text = entry.node.text().unwrap_or_default();
                let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let node = match all_digits {
                    true => plain(entry.node.at, format!("{text}ms")),
                    false => entry.node.clone(),
                };
                set(ours, &batch("max_age"), entry.at, node);
            }
            "sys_stats_max_buffer" => {
                set(ours, &batch("max_buffers"), entry.at, entry.node.clone());
            }
            _ => {} // the connection: one warning for the section says it all
        }
    }
}

fn plain(at: Mark, text: String) -> Node {
    Node { at, value: Value::Scalar(Scalar { text, style: Style::Plain }) }
}

/// Sets a value deep in a tree, unless something stands there: what is written in our own form wins.
fn set(tree: &mut Node, path: &[&str], at: Mark, node: Node) {
    let [first, rest @ ..] = path else { return };
    if tree.value == Value::Null {
        tree.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut tree.value else { return };
    if !entries.iter().any(|entry| entry.key == *first) {
        let node = if rest.is_empty() { node.clone() } else { Node::empty(at) };
        entries.push(Entry { key: (*first).to_owned(), at, node });
        if rest.is_empty() {
            return;
        }
    }
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *first)
        && !rest.is_empty()
    {
        set(&mut entry.node, rest, at, node);
    }
}
