//! The public Paho interoperability suite, against the daemon and against mosquitto in the same run.
//!
//! It needs a checkout of eclipse/paho.mqtt.testing, which is never part of this tree:
//! `MAESTRO_PAHO_TESTING=<checkout> tests/run paho::`. Where the suite itself is wrong,
//! `tests/interop/exceptions.toml` says so, with the clause of the specification.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::support::{daemon::Daemon, mosquitto::Mosquitto, peers, skip::skip};

const FILES: [&str; 2] = ["client_test.py", "client_test5.py"];

/// The tests of one file sleep for three minutes in all, and one that hangs is given up after one.
const WHOLE_FILE: Duration = Duration::from_secs(900);

/// Of each test by file and name what became of it: `passed`, or `failed: why`.
type Results = BTreeMap<(&'static str, String), String>;

#[derive(Deserialize)]
struct Exceptions {
    exception: Vec<Exception>,
}

/// A test that is wrong itself.
#[derive(Deserialize)]
struct Exception {
    file: String,
    test: String,
    clause: String,
    why: String,
}

/// What the suite takes for given: a filter nobody may subscribe to, a keep-alive of at most a minute, and that
/// nothing is retained on `+/+`, so the daemon's own topics are deeper.
fn daemon() -> Daemon {
    let broker = "acl:\n  - {role: operator, deny: read, filter: test/nosubscribe}\n\
                  limits: {max_keepalive: 60s}";
    Daemon::build().unwatched().config("root: a/b/maestro").broker(broker).start()
}

fn run(checkout: &Path, file: &'static str, broker: &str, port: u16) -> Results {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/suite.py");
    let mut command = peers::peer("python3");
    command.arg(script).arg(checkout).arg(file).arg(port.to_string());
    let output = peers::output(command, WHOLE_FILE);
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{file}.{broker}.log"));
    std::fs::write(&log, &output.stderr).expect("what the suite said");
    println!("what {file} said of {broker}: {}", log.display());
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let results = lines.lines().filter_map(|line| line.split_once(' '));
    results.map(|(test, result)| ((file, test.to_owned()), result.to_owned())).collect()
}

/// Both files against both, each with a broker of its own: the suite's client ids are always the same.
fn run_all(checkout: &Path) -> (Results, Results) {
    let ours = FILES.map(|file| (file, daemon()));
    let theirs = FILES.map(|file| (file, Mosquitto::plain()));
    std::thread::scope(|scope| {
        let ours = ours.each_ref().map(|(file, daemon)| {
            let port = daemon.port();
            scope.spawn(move || run(checkout, file, "maestro", port))
        });
        let theirs = theirs.each_ref().map(|(file, mosquitto)| {
            let port = mosquitto.port();
            scope.spawn(move || run(checkout, file, "mosquitto", port))
        });
        let of_both = |[a, b]: [std::thread::ScopedJoinHandle<'_, Results>; 2]| {
            let mut results = a.join().expect("the first file ran");
            results.extend(b.join().expect("the second file ran"));
            results
        };
        (of_both(ours), of_both(theirs))
    })
}

fn table(ours: &Results, theirs: &Results) -> String {
    let mut table = format!("{:<16} {:<32} {:<9} maestro\n", "file", "test", "mosquitto");
    for (name, result) in ours {
        let theirs = theirs.get(name).map_or("?", |result| &result[..6]);
        writeln!(table, "{:<16} {:<32} {theirs:<9} {result}", name.0, name.1).expect("a string");
    }
    table
}

#[test]
fn the_public_interoperability_suite_passes_except_where_it_is_wrong_itself() {
    let checkout = std::env::var_os("MAESTRO_PAHO_TESTING").filter(|dir| !dir.is_empty());
    let Some(checkout) = checkout else {
        return skip("no MAESTRO_PAHO_TESTING=<checkout of eclipse/paho.mqtt.testing>");
    };
    let text = include_str!("../interop/exceptions.toml");
    let Exceptions { exception: exceptions } = toml::from_str(text).expect("the exceptions");
    let (ours, theirs) = run_all(Path::new(&checkout));
    let table = table(&ours, &theirs);
    println!("{table}");
    let of = |file: &str| ours.keys().filter(|(of, _)| *of == file).count();
    assert_eq!(FILES.map(of), [10, 27], "every test ran");
    let mut wrong = Vec::new();
    for ((file, test), result) in &ours {
        let exception = exceptions.iter().find(|e| e.file == *file && e.test == *test);
        match (result.as_str(), exception) {
            ("passed", None) => {}
            ("passed", Some(_)) => wrong.push(format!("{file} {test} passes: no exception")),
            (_, Some(Exception { clause, why, .. })) => println!("{file} {test}: {clause}: {why}"),
            (result, None) => wrong.push(format!("{file} {test} {result}")),
        }
    }
    assert!(wrong.is_empty(), "{}\n{table}", wrong.join("\n"));
}
