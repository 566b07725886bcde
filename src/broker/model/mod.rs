//! The whole core on a disk that fails, against a plain list of promises.
//!
//! ```text
//!   seed ──> script ──> world ── bytes ──> core ── writes ──> store on a faulty disk
//!                         |  ^─ bytes ─────┘ ^── committed, or not ──┘
//!                         v
//!                      oracle: what was promised, against what came
//! ```
//! A run is a script of a seed: clients of both versions connect, publish, subscribe, read and answer
//! when they like; the power goes at any write of the disk and comes back. At its end everyone comes back, and everything that was acknowledged must
//! have arrived as it was promised; then all sessions end, and no row may be left.
//!
//! A script that breaks a promise is shortened as far as it still does, and printed as Rust, ready to
//! become a test in `found`.

mod chance;
mod client;
mod disk;
mod found;
mod oracle;
mod packet;
mod script;
mod shrink;
mod world;

use script::{Luck, Script};

/// Steps of a script.
const STEPS: usize = 120;

/// Plays the scripts of every `stride`th seed from `first` until the power went `cases` times.
fn cases(luck: Luck, (first, stride): (u64, usize), cases: usize) {
    let mut done = 0;
    for seed in (first..).step_by(stride) {
        let script = Script::of(seed, STEPS, luck);
        match world::play(&script) {
            Ok(crashes) => done += crashes,
            Err(_) => panic!("{}", shrink::told(seed, &script)),
        }
        if done >= cases {
            return;
        }
    }
}

/// Plays these seeds and tells each that breaks a promise.
fn survey(luck: Luck, seeds: std::ops::Range<u64>) {
    let (mut crashes, mut broken) = (0, 0);
    for seed in seeds.clone() {
        let script = Script::of(seed, STEPS, luck);
        let what = match std::panic::catch_unwind(|| world::play(&script)) {
            Ok(Ok(count)) => {
                crashes += count;
                continue;
            }
            Ok(Err(what)) => what,
            Err(_) => "a panic".to_owned(),
        };
        broken += 1;
        println!("seed {seed}: {what}");
    }
    println!("{seeds:?}: {crashes} crashes, {broken} seeds broken");
    assert_eq!(broken, 0);
}

/// `MAESTRO_SEED=7` plays that one seed, and shortens it; `MAESTRO_SEED=0..1000` tells which of these
/// break a promise. `MAESTRO_LONG=1` plays until the power went 100 000 times.
fn plays(luck: Luck, few: usize) {
    if let Ok(seeds) = std::env::var("MAESTRO_SEED") {
        let number = |text: &str| text.parse().expect("a number");
        return match seeds.split_once("..") {
            Some((first, last)) => survey(luck, number(first)..number(last)),
            None => cases(luck, (number(&seeds), 1), 1),
        };
    }
    let count = if std::env::var_os("MAESTRO_LONG").is_some() { 100_000 } else { few };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let share = count.div_ceil(threads);
            scope.spawn(move || cases(luck, (first as u64, threads), share));
        }
    });
}

#[test]
fn what_was_acknowledged_outlives_any_crash() {
    plays(Luck::PowerCuts, 5_000);
}

#[test]
fn what_was_acknowledged_outlives_a_bad_disk() {
    plays(Luck::BadDisk, 2_000);
}
