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

use script::Script;

/// Steps of a script.
const STEPS: usize = 120;

/// Plays the scripts of every `stride`th seed from `first` until the power went `cases` times.
fn cases(first: u64, stride: usize, cases: usize) {
    let mut done = 0;
    for seed in (first..).step_by(stride) {
        let script = Script::of(seed, STEPS);
        match world::play(&script) {
            Ok(crashes) => done += crashes,
            Err(_) => panic!("{}", shrink::told(seed, &script)),
        }
        if done >= cases {
            return;
        }
    }
}

/// `MAESTRO_SEED=7` plays that one seed.
#[test]
fn what_was_acknowledged_outlives_any_crash() {
    if let Some(seed) = std::env::var("MAESTRO_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return cases(seed, 1, 1);
    }
    let count: usize = if std::env::var_os("MAESTRO_LONG").is_some() { 100_000 } else { 5_000 };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || cases(first as u64, threads, count.div_ceil(threads)));
        }
    });
}
