//! What one sample of all families costs this machine's processor.
//!
//! `cargo bench --bench stats`, in two parts, as a table and as JSON in `target/bench/stats.json`:
//! reading, counting and encoding alone, in this process, by getrusage(2) over many samples, family by
//! family (the kernel's part, making the text of /proc, is in it); then the whole daemon with all
//! families each second, less the same daemon with none, beside collectd with the same measurements
//! where `tests/peers collectd` has put it.

#[expect(dead_code, reason = "the scenario tests' harness; a benchmark needs a part of it")]
#[path = "../../tests/support/mod.rs"]
mod support;
mod whole;

use std::time::{Duration, Instant};

use maestro::service::Stamper;
use maestro::stats::config::Disks;
use maestro::stats::message::{Metric, Sample};
use maestro::stats::{ALL, Families, Probe};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;

/// Samples of each measurement: enough for the microseconds to be steady.
const SAMPLES: u32 = 5_000;
/// What one sample of all families may cost.
const BUDGET_US: f64 = 200.0;

fn main() {
    let host = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned();
    println!("load before: {}", host());
    let mut figures = serde_json::Map::new();
    figures.insert("load_before".into(), host().into());
    let start = tokio::time::Instant::now().into_std();
    let stamper = Stamper::new("1f0c9a3e");
    println!("{:<14} {:>12} {:>12} {:>8}", "family", "us a sample", "of it kernel", "bytes");
    for family in ALL {
        let one = measure(family.name(), [family].into_iter().collect(), start, &stamper);
        figures.insert(format!("{}_us", family.name()), one.into());
    }
    let whole = measure("all", ALL.into_iter().collect(), start, &stamper);
    let word = if whole <= BUDGET_US { "within" } else { "over" };
    println!("{whole:.0} us a sample of all families, {word} the budget of {BUDGET_US:.0} us");
    figures.insert("all_us".into(), whole.into());
    for (name, us) in whole::measure() {
        println!("{us:>8.0} us a second: {name}");
        figures.insert(format!("{name}, us a second"), us.into());
    }
    println!("load after: {}", host());
    figures.insert("load_after".into(), host().into());
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/stats.json");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("target/bench");
    let json = serde_json::Value::Object(figures);
    std::fs::write(&file, format!("{json:#}\n")).expect("write the figures");
}

/// Microseconds of processor time a sample, encoded as metrics and once more as part of a batch.
fn measure(name: &str, families: Families, start: Instant, stamper: &Stamper) -> f64 {
    let mut probe = Probe::new(Disks::default());
    probe.sample(families, start); // opens the files, and has the one look at the memory map
    let mut bytes = 0;
    let before = spent();
    for second in 1..=SAMPLES {
        let at = start + Duration::from_millis(100) * second;
        bytes = encode(&probe.sample(families, at), stamper);
    }
    let after = spent();
    let per_sample = |us: i64| us as f64 / f64::from(SAMPLES);
    let (user, system) = (per_sample(after.0 - before.0), per_sample(after.1 - before.1));
    println!("{name:<14} {:>12.1} {system:>12.1} {bytes:>8}", user + system);
    user + system
}

fn encode(sample: &Sample, stamper: &Stamper) -> usize {
    let mut bytes = serde_json::to_vec(sample).expect("a sample").len();
    let mut metric = |json: Vec<u8>| bytes += json.len();
    sample.cpu.iter().for_each(|values| metric(one(values, stamper)));
    sample.memory.iter().for_each(|values| metric(one(values, stamper)));
    sample.load.iter().for_each(|values| metric(one(values, stamper)));
    sample.disk.values().for_each(|values| metric(one(values, stamper)));
    sample.io.values().for_each(|values| metric(one(values, stamper)));
    sample.network.values().for_each(|values| metric(one(values, stamper)));
    sample.temperature.values().for_each(|values| metric(one(values, stamper)));
    sample.daemon.iter().for_each(|values| metric(one(values, stamper)));
    bytes
}

fn one<T: Serialize + Clone>(values: &T, stamper: &Stamper) -> Vec<u8> {
    let metric = Metric { values: values.clone(), stamp: stamper.stamp() };
    serde_json::to_vec(&metric).expect("a metric")
}

fn spent() -> (i64, i64) {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    (usage.user_time().num_microseconds(), usage.system_time().num_microseconds())
}
