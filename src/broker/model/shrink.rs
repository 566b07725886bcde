//! The shortest script that still breaks a promise, as a person would write it.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::script::Script;
use super::world;

/// What a failing seed comes down to.
pub(super) fn told(seed: u64, script: &Script) -> String {
    let least = shrunk(script);
    let mut text = format!("seed {seed}: {}\n", broken(&least).unwrap_or_default());
    let _ = writeln!(text, "    {:?},", least.house);
    for (client, profile) in least.profiles.iter().enumerate() {
        let _ = writeln!(text, "    client {client}: {profile:?},");
    }
    for step in &least.steps {
        let _ = writeln!(text, "    {step:?},");
    }
    text
}

fn broken(script: &Script) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| world::play(script))) {
        Ok(played) => played.err(),
        Err(_) => Some("a panic".to_owned()),
    }
}

/// Leaves out runs of steps, longest first, as long as something is still broken.
fn shrunk(script: &Script) -> Script {
    let mut least = script.clone();
    let mut width = least.steps.len() / 2;
    while width > 0 {
        let mut place = 0;
        while place + width <= least.steps.len() {
            let mut shorter = least.clone();
            shorter.steps.drain(place..place + width);
            if broken(&shorter).is_some() {
                least = shorter;
            } else {
                place += width.min(4);
            }
        }
        width /= 2;
    }
    least
}
