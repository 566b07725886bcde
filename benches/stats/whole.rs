//! The whole daemon with and without its measurements, and collectd doing the same.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::peers;
use crate::support::ports::free_port;
use crate::support::process::{Process, command};

/// Until it has started and is only measuring.
const SETTLE: Duration = Duration::from_secs(3);
/// How long each is watched.
const WATCH_S: u64 = 30;

/// Microseconds of processor time a second, by what runs.
pub(crate) fn measure() -> Vec<(&'static str, f64)> {
    const NAMES: [&str; 8] =
        ["cpu", "memory", "load", "disk", "io", "network", "temperature", "daemon"];
    let sections = |value: &str| NAMES.map(|name| format!("{name}: {value}")).join(", ");
    let with = maestro(&format!("stats: {{{}}}", sections("1s")));
    let without = maestro(&format!("stats: {{{}}}", sections("off")));
    let mut figures = vec![
        ("maestro, all families each second", with),
        ("maestro, none", without),
        ("difference: measuring, batching, the broker's work", with - without),
    ];
    match peers::find("collectd") {
        Some(program) => figures.push(("collectd, the same each second", collectd(&program))),
        None => println!("no collectd: tests/peers collectd gets it"),
    }
    figures
}

fn maestro(stats: &str) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let (at, port) = (dir.path().display(), free_port());
    let text = format!(
        "gateway_id: GW-BENCH\nstate_dir: {at}/state\nbroker:\n  listeners:\n    \
         - unix: {at}/mqtt.sock\n    - tcp: 127.0.0.1:{port}\n{stats}\n"
    );
    let file = dir.path().join("maestro.yaml");
    fs::write(&file, text).expect("its configuration");
    let mut words = command("setpriv");
    if nix::unistd::geteuid().is_root() {
        words.args(["--bounding-set=-sys_time,-sys_boot", "--inh-caps=-sys_time,-sys_boot"]);
    }
    words.args(["--pdeathsig=KILL", env!("CARGO_BIN_EXE_maestro"), "run", "--config"]).arg(file);
    words.arg("--record-reboot").arg(dir.path().join("ends")).env("HOME", dir.path());
    watched(&Process::start(words, &dir.path().join("log")))
}

/// Without any output of its own: only what measuring costs.
fn collectd(program: &Path) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().display();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/collectd");
    let root = if root.is_dir() { root } else { "/".into() };
    let plugins = ["cpu", "memory", "load", "df", "disk", "interface", "thermal", "swap"];
    let plugins = plugins.map(|plugin| format!("LoadPlugin {plugin}\n")).concat();
    let text = format!(
        "FQDNLookup false\nHostname \"box\"\nBaseDir \"{at}\"\nPIDFile \"{at}/pid\"\nInterval 1\n\
         PluginDir \"{0}/usr/lib/collectd\"\nTypesDB \"{0}/usr/share/collectd/types.db\"\n\
         {plugins}PostCacheChain \"Drop\"\n<Chain \"Drop\">\n Target \"stop\"\n</Chain>\n",
        root.display()
    );
    let file = dir.path().join("collectd.conf");
    fs::write(&file, text).expect("its configuration");
    let mut words = command("setpriv");
    words.arg("--pdeathsig=KILL").arg(program).arg("-f").arg("-C").arg(file);
    watched(&Process::start(words, &dir.path().join("log")))
}

/// Microseconds of processor time a second, all threads.
fn watched(process: &Process) -> f64 {
    std::thread::sleep(SETTLE);
    let before = spent_ns(process.pid());
    std::thread::sleep(Duration::from_secs(WATCH_S));
    let after = spent_ns(process.pid());
    (after - before) as f64 / 1e3 / WATCH_S as f64
}

fn spent_ns(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let schedstat = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).ok();
    let first = |text: String| text.split_whitespace().next()?.parse::<u64>().ok();
    tasks.filter_map(schedstat).filter_map(first).sum()
}
