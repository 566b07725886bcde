//! What a commit costs in bytes and time, and how long the store takes to open after SIGKILL:
//! `cargo bench --bench storage`. Prints a table and, with `--json`, the same figures for a program.
//!
//! The directory is a temporary one (`TMPDIR`): put it on the flash that is to be judged.

use std::path::Path;
use std::time::{Duration, Instant};

use maestro::storage::{Batch, Store, Table, Window};

const RECORD_BYTES: usize = 200;
const COMMITS: u32 = 300;

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    if !json {
        println!("{:<34} {:>12} {:>12} {:>12}", "", "B/record", "B/commit", "commits/s");
    }
    for (name, records) in [("one record of 200 B per commit", 1), ("100 records per commit", 100)]
    {
        let (bytes, commits, took) = runtime.block_on(commit(records));
        let per_commit = bytes / commits;
        let per_record = per_commit / u64::from(records);
        let rate = f64::from(COMMITS) / took.as_secs_f64();
        if json {
            println!(
                r#"{{"case":"{name}","bytes_per_record":{per_record},"bytes_per_commit":{per_commit},"commits_per_s":{rate:.0}}}"#
            );
        } else {
            println!("{name:<34} {per_record:>12} {per_commit:>12} {rate:>12.0}");
        }
    }
    for mib in [1, 16, 64] {
        let (took, file_bytes) = runtime.block_on(open_after_kill(mib));
        if json {
            println!(
                r#"{{"case":"open after SIGKILL","rows_mib":{mib},"file_bytes":{file_bytes},"open_ms":{:.1}}}"#,
                took.as_secs_f64() * 1e3
            );
        } else {
            println!(
                "open after SIGKILL, {mib:>2} MiB of rows {:>10.1} ms, file of {} MiB",
                took.as_secs_f64() * 1e3,
                file_bytes >> 20
            );
        }
    }
}

/// Bytes written, commits, and the time they took.
async fn commit(records: u32) -> (u64, u64, Duration) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path()).expect("a store");
    store.flush().await.expect("an empty commit");
    let before = store.counters();
    let began = now();
    for commit in 0..COMMITS {
        for record in 0..records {
            let key = (u64::from(commit) << 32 | u64::from(record)).to_be_bytes();
            let batch = Batch::default().put(Table::Ledger, key, vec![7; RECORD_BYTES]);
            store.write(batch, Window::Background, |_| ());
        }
        store.flush().await.expect("a commit");
    }
    let took = now() - began;
    let after = store.counters();
    (after.written_bytes - before.written_bytes, after.commits - before.commits, took)
}

/// The time to open a store of this size whose process was killed, and the size of its file. The file of
/// an open store, copied, is what a kill leaves behind.
async fn open_after_kill(mib: u32) -> (Duration, u64) {
    let (alive, killed) = (tempfile::tempdir(), tempfile::tempdir());
    let (alive, killed) = (alive.expect("a directory"), killed.expect("a directory"));
    let store = Store::open(alive.path()).expect("a store");
    let rows = mib * 1024 * 1024 / 1000;
    for row in 0..rows {
        let batch = Batch::default().put(Table::Queue, row.to_be_bytes(), vec![7; 1000]);
        store.write(batch, Window::Background, |_| ());
        if row % 500 == 499 {
            store.flush().await.expect("a commit");
        }
    }
    store.flush().await.expect("a commit");
    let file = |directory: &Path| directory.join("maestro.redb");
    let bytes = std::fs::copy(file(alive.path()), file(killed.path())).expect("a copy");
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
