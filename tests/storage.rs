//! The store on real files: killed at random, corrupted, full, read-only.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/long.rs"]
mod long;
#[path = "support/skip.rs"]
mod skip;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use maestro::storage::{Batch, OpenError, Store, Table, Unsafe, Window};

/// Set in a child process of a test: the directory it works in.
const CHILD: &str = "MAESTRO_TEST_STORE";
/// Bytes of a row in the test that kills: large enough for a checkpoint every few hundred.
const VALUE: usize = 2000;
/// Longer than any machine needs; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

type Row = (Vec<u8>, Vec<u8>);

fn wait<T>(deed: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, deed).await.expect("in time") })
}

fn commit(store: &Store, batch: Batch, window: Window) -> Result<(), Unsafe> {
    wait(store.commit(batch, window))
}

fn put(store: &Store, key: &str, value: &str) -> Result<(), Unsafe> {
    commit(store, Batch::default().put(Table::Meta, key, value), Window::Promise)
}

fn flush(store: &Store) {
    wait(store.flush()).unwrap();
}

fn trouble(store: &Store) -> Option<String> {
    store.status().borrow().trouble.as_ref().map(|cause| cause.code.clone())
}

/// Waits until the store says that all is well.
fn until_well(store: &Store) {
    wait(store.status().wait_for(|status| status.trouble.is_none())).unwrap();
}

fn rows(store: &Store, table: Table) -> Vec<Row> {
    let mut rows = Vec::new();
    store.scan(table, &mut |key, value| rows.push((key.to_vec(), value.to_vec())));
    rows
}

/// This test, run again as a child in which [`CHILD`] is set, under `wrapper` if there is one.
#[expect(clippy::disallowed_methods, reason = "a test starts processes of its own")]
fn again(test: &str, directory: &Path, wrapper: &[&str]) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(exe),
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args).arg(exe);
            command
        }
    };
    command.args(["--exact", test, "--nocapture"]).env(CHILD, directory);
    command
}

fn child_directory() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

#[test]
fn what_is_written_is_read_at_once_and_after_the_next_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.write(Batch::default().put(Table::Meta, "id", "GW-1"), Window::Background, |_| ());
    assert_eq!(store.read(Table::Meta, b"id"), Some(b"GW-1".to_vec()));
    assert_eq!(store.read(Table::Config, b"id"), None);
    store.shutdown();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.read(Table::Meta, b"id"), Some(b"GW-1".to_vec()));
    assert_eq!(trouble(&store), None);
}

#[test]
fn a_value_removed_inside_its_window_never_touches_the_disk_and_its_writer_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    flush(&store);
    let before = store.counters();
    let (told, heard) = mpsc::channel();
    for _ in 0..100 {
        let told = told.clone();
        let batch = Batch::default().put(Table::Queue, "k", vec![7; 1000]);
        store.write(batch, Window::Lazy, move |verdict| told.send(verdict).unwrap());
        store.write(Batch::default().delete(Table::Queue, "k"), Window::Lazy, |_| ());
    }
    flush(&store);
    assert_eq!(heard.try_iter().filter(Result::is_ok).count(), 100);
    assert_eq!(store.counters(), before);
    assert_eq!(rows(&store, Table::Queue), []);
}

#[test]
fn the_later_write_of_a_key_wins() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.write(Batch::default().put(Table::Meta, "k", "1"), Window::Background, |_| ());
    put(&store, "k", "2").unwrap();
    store.write(Batch::default().put(Table::Meta, "k", "3"), Window::Lazy, |_| ());
    store.write(Batch::default().put(Table::Meta, "k", "4"), Window::Promise, |_| ());
    drop(store);
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.read(Table::Meta, b"k"), Some(b"4".to_vec()));
}

#[test]
fn a_scan_merges_what_waits_with_what_is_on_disk_in_key_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut batch = Batch::default();
    for key in ["b", "d", "f"] {
        batch = batch.put(Table::Retained, key, "disk");
    }
    commit(&store, batch.put(Table::Session, "a", "x"), Window::Promise).unwrap();
    let batch = Batch::default()
        .put(Table::Retained, "a", "new")
        .put(Table::Retained, "d", "new")
        .delete(Table::Retained, "f")
        .put(Table::Retained, "g", "new");
    store.write(batch, Window::Background, |_| ());
    let seen: Vec<_> = rows(&store, Table::Retained)
        .into_iter()
        .map(|(k, v)| format!("{}={}", String::from_utf8_lossy(&k), String::from_utf8_lossy(&v)))
        .collect();
    assert_eq!(seen, ["a=new", "b=disk", "d=new", "g=new"]);
}

#[test]
fn many_writes_of_one_window_are_one_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    flush(&store);
    let before = store.counters().commits;
    for n in 0..1000_u32 {
        let batch = Batch::default().put(Table::Queue, n.to_be_bytes(), vec![1; 200]);
        store.write(batch, Window::Background, |_| ());
    }
    flush(&store);
    assert_eq!(store.counters().commits, before + 1);
}

#[test]
fn an_idle_store_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    put(&store, "k", "v").unwrap();
    let before = store.counters();
    assert!(store.read(Table::Meta, b"k").is_some());
    flush(&store);
    put(&store, "k", "v").unwrap();
    assert_eq!(store.counters(), before);
}

#[test]
fn two_daemons_cannot_have_one_store() {
    let directory = tempfile::tempdir().unwrap();
    let _store = Store::open(directory.path()).unwrap();
    let Err(refused @ OpenError::InUse { .. }) = Store::open(directory.path()) else {
        panic!("opened twice");
    };
    let told = refused.to_string();
    assert!(told.contains(&format!("(pid {})", std::process::id())), "{told}");
}

#[test]
fn what_would_wait_in_ram_without_bound_is_refused() {
    let store = Store::open(tempfile::tempdir().unwrap().path()).unwrap();
    // What finds little is taken whatever its size; these come faster than any disk takes them.
    let refused = (0..100_u32).find(|n| {
        let (told, heard) = mpsc::channel();
        let batch = Batch::default().put(Table::Queue, n.to_be_bytes(), vec![0; 9_000_000]);
        store.write(batch, Window::Background, move |verdict| drop(told.send(verdict)));
        matches!(heard.try_recv(), Ok(Err(refusal)) if refusal.code == "storage.busy")
    });
    let refused = refused.expect("900 MB are not taken");
    assert_eq!(store.read(Table::Queue, &refused.to_be_bytes()), None);
}

#[test]
fn nothing_acknowledged_is_lost_and_no_batch_is_halved_by_a_kill_at_any_instant() {
    if let Some(directory) = child_directory() {
        return acknowledge_for_ever(&directory);
    }
    let test = "nothing_acknowledged_is_lost_and_no_batch_is_halved_by_a_kill_at_any_instant";
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0_u32;
    for round in 0..long::count(12, 200) {
        let mut child = again(test, directory.path(), &[]).stdout(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut numbers = told.filter_map(|line| line.parse::<u32>().ok());
        // a different number of acknowledgements, so a different instant within a commit
        let heard = numbers.by_ref().take(1 + (round * 37) % 211).max();
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = acknowledged.max(heard.max(numbers.max()).unwrap_or(0));
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(trouble(&store), None);
        let (queue, ledger) = (rows(&store, Table::Queue), rows(&store, Table::Ledger));
        assert!(queue == ledger, "half a batch in round {round}");
        for number in 1..=acknowledged {
            let value = store.read(Table::Queue, &number.to_be_bytes());
            assert!(value == Some(vec![7; VALUE]), "{number} of {acknowledged}, round {round}");
        }
    }
    println!("{acknowledged} acknowledged, 0 lost");
    assert!(acknowledged > 100, "only {acknowledged} acknowledged");
}

/// Writes numbers, eight in flight, each in two tables; prints a number when it is acknowledged.
fn acknowledge_for_ever(directory: &Path) {
    let store = Store::open(directory).unwrap();
    let next = u32::try_from(rows(&store, Table::Queue).len()).unwrap() + 1;
    let (told, heard) = mpsc::channel();
    for number in next.. {
        let told = told.clone();
        let key = number.to_be_bytes();
        let value = vec![7; VALUE];
        let batch =
            Batch::default().put(Table::Queue, key, value.clone()).put(Table::Ledger, key, value);
        store.write(batch, Window::Promise, move |verdict| {
            verdict.unwrap();
            told.send(number).unwrap();
        });
        if number - next >= 8 {
            let number = heard.recv().unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "{number}").unwrap();
            out.flush().unwrap();
        }
    }
}

#[test]
fn a_corrupt_file_is_set_aside_and_said_and_a_new_store_begins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("maestro.redb");
    for _ in 0..5 {
        std::fs::write(&path, b"this is no database, this is a poem".repeat(1000)).unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(trouble(&store).as_deref(), Some("storage.corrupt"));
        put(&store, "k", "v").unwrap();
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(trouble(&store), None);
        assert_eq!(store.read(Table::Meta, b"k"), Some(b"v".to_vec()));
    }
    let entries = std::fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let aside = [3, 4, 5].map(|n| format!("maestro.redb.corrupt-{n}"));
    let whole = ["maestro.journal", "maestro.redb", "maestro.reserve"].map(str::to_owned);
    assert_eq!(names, [&whole[..2], &aside, &whole[2..]].concat());
}

#[test]
fn whatever_bytes_of_the_files_are_changed_the_store_opens_reads_and_writes() {
    let directory = tempfile::tempdir().unwrap();
    let files = ["maestro.redb", "maestro.journal"].map(|name| directory.path().join(name));
    let store = Store::open(directory.path()).unwrap();
    for n in 0..900_u32 {
        // more than the journal takes: some rows are in the one file, some in the other
        let batch = Batch::default().put(Table::Queue, n.to_be_bytes(), vec![7; 1500]);
        store.write(batch, Window::Background, |_| ());
        if n % 100 == 50 {
            flush(&store);
        }
    }
    drop(store);
    let good = files.clone().map(|path| std::fs::read(path).unwrap());
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % below
    };
    for round in 0..long::count(60, 2000) {
        let mut bytes = good.clone();
        for _ in 0..=(round % 7) {
            let bytes = &mut bytes[next(2)];
            let place = next(if round % 2 == 0 { 4096 } else { bytes.len() });
            let end = (place + 64).min(bytes.len());
            bytes[place..end].fill(u8::try_from(next(256)).unwrap());
        }
        if round % 10 == 9 {
            bytes[next(2)].truncate(next(good[0].len()));
        }
        for (path, bytes) in files.iter().zip(&bytes) {
            std::fs::write(path, bytes).unwrap();
        }
        let store = Store::open(directory.path()).unwrap();
        let _ = rows(&store, Table::Queue);
        let whole = store.read(Table::Queue, &7_u32.to_be_bytes());
        assert!(
            whole.is_none_or(|value| value == [7; 1500]),
            "round {round}: not what was written"
        );
        let written = put(&store, "k", "v");
        assert!(written.is_ok() || trouble(&store).is_some(), "round {round}: {written:?}");
        assert_eq!(store.read(Table::Meta, b"k"), Some(b"v".to_vec()), "round {round}");
    }
}

/// Runs the test again in a mount namespace of its own, on a tmpfs of this size.
fn in_small_tmpfs(test: &str, size: &str) {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    let mount = format!("mount -t tmpfs -o size={size},mode=700 tmpfs {place} || exit 77");
    let script = format!("{mount}; exec \"$@\"");
    let own = if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" };
    let wrapper = ["unshare", own, "--propagation", "private", "sh", "-c", &script, "sh"];
    let Ok(output) = again(test, directory.path(), &wrapper).output() else {
        return skip::skip("unshare is not there");
    };
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || errors.contains("unshare: ") {
        return skip::skip("no mount namespace can be made");
    }
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{errors}");
}

#[test]
fn a_disk_that_fills_up_loses_nothing_acknowledged_and_serves_again_when_it_has_room() {
    let Some(directory) = child_directory() else {
        return in_small_tmpfs(
            "a_disk_that_fills_up_loses_nothing_acknowledged_and_serves_again_when_it_has_room",
            "8m",
        );
    };
    let store = Store::open(&directory).unwrap();
    put(&store, "before", "v").unwrap();
    let ballast = directory.join("ballast");
    std::fs::write(&ballast, vec![0; 3_000_000]).unwrap();
    let mut acknowledged = Vec::new();
    let refused = loop {
        let key = u32::try_from(acknowledged.len()).unwrap().to_be_bytes();
        let batch = Batch::default().put(Table::Queue, key, vec![1; 50_000]);
        match commit(&store, batch, Window::Promise) {
            Ok(()) => acknowledged.push(key),
            Err(refused) => break refused,
        }
        assert!(acknowledged.len() < 1000, "the disk never fills up");
    };
    assert_eq!(refused.code, "storage.full");
    assert_eq!(trouble(&store).as_deref(), Some("storage.full"));
    for key in &acknowledged {
        assert!(store.read(Table::Queue, key).is_some());
    }
    assert_eq!(put(&store, "while full", "v").unwrap_err().code, "storage.full");
    assert_eq!(store.read(Table::Meta, b"while full"), Some(b"v".to_vec()));
    // what shrinks goes on, and is safe
    put(&store, "before", "").unwrap();
    let (gone, left) = acknowledged.split_at(acknowledged.len() / 2);
    for key in gone {
        commit(&store, Batch::default().delete(Table::Queue, *key), Window::Promise).unwrap();
    }
    std::fs::remove_file(&ballast).unwrap();
    until_well(&store);
    assert!(directory.join("maestro.reserve").exists());
    put(&store, "after", "v").unwrap();
    drop(store);
    let store = Store::open(&directory).unwrap();
    assert_eq!(trouble(&store), None);
    for key in left {
        assert_eq!(store.read(Table::Queue, key), Some(vec![1; 50_000]));
    }
    assert_eq!(rows(&store, Table::Queue).len(), left.len() + 1, "and the one that was refused");
    for (key, value) in [("before", ""), ("while full", "v"), ("after", "v")] {
        assert_eq!(store.read(Table::Meta, key.as_bytes()), Some(value.into()), "{key}");
    }
}

#[test]
fn a_full_disk_whose_rows_are_all_removed_serves_again_by_itself() {
    let Some(directory) = child_directory() else {
        return in_small_tmpfs(
            "a_full_disk_whose_rows_are_all_removed_serves_again_by_itself",
            "8m",
        );
    };
    let store = Store::open(&directory).unwrap();
    let key = |n: u32| n.to_be_bytes();
    let put = |n: u32| {
        let batch = Batch::default().put(Table::Queue, key(n), vec![1; 20_000]);
        commit(&store, batch, Window::Promise)
    };
    let full = (0..1000).find(|n| put(*n).is_err()).expect("the disk never fills up");
    for n in 0..=full {
        commit(&store, Batch::default().delete(Table::Queue, key(n)), Window::Promise).unwrap();
    }
    until_well(&store);
    for n in 0..full / 2 {
        put(n).unwrap();
    }
}

#[test]
fn a_disk_full_from_the_start_is_run_on_from_ram_until_it_has_room() {
    let Some(directory) = child_directory() else {
        return in_small_tmpfs(
            "a_disk_full_from_the_start_is_run_on_from_ram_until_it_has_room",
            "4m",
        );
    };
    let ballast = directory.join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let store = Store::open(&directory).unwrap();
    assert_eq!(trouble(&store).as_deref(), Some("storage.full"));
    put(&store, "k", "v").unwrap();
    assert_eq!(store.read(Table::Meta, b"k"), Some(b"v".to_vec()));
    std::fs::remove_file(&ballast).unwrap();
    drop(file);
    until_well(&store);
    drop(store);
    let store = Store::open(&directory).unwrap();
    assert_eq!(store.read(Table::Meta, b"k"), Some(b"v".to_vec()));
}

#[test]
fn a_read_only_directory_is_read_and_run_on_from_ram_until_it_can_be_written() {
    let Some(directory) = child_directory() else {
        return in_small_tmpfs(
            "a_read_only_directory_is_read_and_run_on_from_ram_until_it_can_be_written",
            "8m",
        );
    };
    let store = Store::open(&directory).unwrap();
    put(&store, "old", "1").unwrap();
    drop(store);
    remount(&directory, "ro");
    let store = Store::open(&directory).unwrap();
    assert_eq!(trouble(&store).as_deref(), Some("storage.read_only"));
    assert_eq!(store.read(Table::Meta, b"old"), Some(b"1".to_vec()));
    put(&store, "new", "2").unwrap();
    let seen = rows(&store, Table::Meta);
    assert_eq!(seen.iter().map(|(key, _)| &key[..]).collect::<Vec<_>>(), [b"new", b"old"]);
    remount(&directory, "rw");
    until_well(&store);
    drop(store);
    let store = Store::open(&directory).unwrap();
    assert_eq!(rows(&store, Table::Meta), seen);
}

#[expect(clippy::disallowed_methods, reason = "a test starts processes of its own")]
fn remount(directory: &Path, how: &str) {
    let options = format!("remount,{how}");
    let done = Command::new("mount").args(["-o", &options]).arg(directory).status().unwrap();
    assert!(done.success());
}
