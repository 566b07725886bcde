//! What a message costs in bytes and time, what an hour of a cloud 200 ms away costs the flash, and how
//! long the store takes to open after SIGKILL: `cargo bench --bench storage`. Prints a table and, with
//! `--json`, the same figures for a program.
//!
//! The directory is a temporary one (`TMPDIR`): put it on the flash that is to be judged.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use maestro::storage::{Batch, Counters, Store, Table, Window};

/// A message of 256 B, its topic and what else its row has.
const ROW_BYTES: usize = 300;
const COMMITS: u32 = 300;
const MESSAGES: u32 = 10_000;
const IN_FLIGHT: u32 = 200;

fn main() {
    let out = Output { json: std::env::args().any(|argument| argument == "--json") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    for rows in [1, 10, 100, 200] {
        let (bytes, took) = runtime.block_on(commits(rows));
        let messages = u64::from(rows * COMMITS);
        out.messages(&format!("{rows} messages per commit"), messages, bytes, took);
    }
    let (bytes, took) = in_flight();
    out.messages("10 000 messages, 200 in flight", MESSAGES.into(), bytes, took);
    for (every, messages) in [("10 s", 360), ("second", 3600)] {
        let (bytes, syncs) = runtime.block_on(cloud(messages));
        out.hour(&format!("1 h of a message each {every}, gone 200 ms later"), bytes, syncs);
    }
    for mib in [1, 16, 64] {
        let (took, file_bytes) = runtime.block_on(open_after_kill(mib));
        out.opened(mib, took, file_bytes);
    }
}

struct Output {
    json: bool,
}

impl Output {
    fn messages(&self, case: &str, messages: u64, bytes: u64, took: Duration) {
        let (each, rate) =
            (bytes / messages, f64::from(u32::try_from(messages).unwrap_or(u32::MAX)));
        let rate = rate / took.as_secs_f64();
        if self.json {
            println!(
                r#"{{"case":"{case}","bytes_per_message":{each},"messages_per_s":{rate:.0}}}"#
            );
        } else {
            println!("{case:<50} {each:>8} B/message {rate:>10.0} messages/s");
        }
    }
    fn hour(&self, case: &str, bytes: u64, syncs: u64) {
        if self.json {
            println!(r#"{{"case":"{case}","bytes":{bytes},"syncs":{syncs}}}"#);
        } else {
            println!("{case:<50} {:>8} kB        {syncs:>10} syncs", bytes / 1000);
        }
    }
    fn opened(&self, mib: u32, took: Duration, file_bytes: u64) {
        let ms = took.as_secs_f64() * 1e3;
        if self.json {
            println!(
                r#"{{"case":"open after SIGKILL","rows_mib":{mib},"file_bytes":{file_bytes},"open_ms":{ms:.1}}}"#
            );
        } else {
            let case = format!("open after SIGKILL, {mib} MiB of rows");
            println!("{case:<50} {ms:>8.1} ms        {:>10} MiB", file_bytes >> 20);
        }
    }
}

fn message(key: u64) -> Batch {
    Batch::default().put(Table::Queue, key.to_be_bytes(), vec![7; ROW_BYTES])
}

fn written(store: &Store, before: Counters) -> u64 {
    store.counters().written_bytes - before.written_bytes
}

/// Bytes and time of commits of so many messages each.
async fn commits(rows: u32) -> (u64, Duration) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path()).expect("a store");
    let (before, began) = (store.counters(), now());
    for commit in 0..COMMITS {
        for row in 0..rows {
            let key = u64::from(commit * rows + row);
            store.write(message(key), Window::Background, |_| ());
        }
        store.flush().await.expect("a commit");
    }
    (written(&store, before), now() - began)
}

/// Bytes and time until the last of many messages is safe, as many of them under way as one client may
/// have.
fn in_flight() -> (u64, Duration) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path()).expect("a store");
    let (before, began) = (store.counters(), now());
    let (told, heard) = mpsc::channel();
    for key in 0..MESSAGES + IN_FLIGHT {
        if key >= IN_FLIGHT {
            let safe: Result<(), _> = heard.recv().expect("a verdict");
            safe.expect("safe");
        }
        if key < MESSAGES {
            let told = told.clone();
            store.write(message(key.into()), Window::Promise, move |verdict| {
                told.send(verdict).expect("somebody listens");
            });
        }
    }
    (written(&store, before), now() - began)
}

/// Bytes and syncs of messages that are each safe, and gone before the next comes.
async fn cloud(messages: u64) -> (u64, u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path()).expect("a store");
    let before = store.counters();
    for key in 0..messages {
        store.commit(message(key), Window::Promise).await.expect("safe");
        let gone = Batch::default().delete(Table::Queue, key.to_be_bytes());
        store.commit(gone, Window::Promise).await.expect("gone");
    }
    (written(&store, before), store.counters().syncs - before.syncs)
}

/// The time to open a store of this size whose process was killed, and the size of its files. The files
/// of an open store, copied, are what a kill leaves behind.
async fn open_after_kill(mib: u32) -> (Duration, u64) {
    let (alive, killed) = (tempfile::tempdir(), tempfile::tempdir());
    let (alive, killed) = (alive.expect("a directory"), killed.expect("a directory"));
    let store = Store::open(alive.path()).expect("a store");
    let rows = mib * 1024 * 1024 / 1000;
    for row in 0..rows {
        let batch = Batch::default().put(Table::Queue, row.to_be_bytes(), vec![7; 1000]);
        store.write(batch, Window::Background, |_| ());
        if row % 100 == 99 {
            store.flush().await.expect("a commit");
        }
    }
    store.flush().await.expect("a commit");
    let mut bytes = 0;
    for entry in std::fs::read_dir(alive.path()).expect("its files") {
        let entry = entry.expect("a file");
        bytes +=
            std::fs::copy(entry.path(), killed.path().join(entry.file_name())).expect("a copy");
    }
    let began = now();
    let opened = Store::open(killed.path()).expect("the killed store");
    let took = now() - began;
    assert!(opened.read(Table::Queue, &(rows - 1).to_be_bytes()).is_some());
    (took, bytes)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}
