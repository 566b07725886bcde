//! A test that cannot run here says so by name; it never returns early and passes unseen.
//!
//! `tests/run` gives a file in `MAESTRO_SKIPS`; a skip is one line there, and one that is not in
//! `tests/skips.txt` fails the run. Without that file, a test that cannot run fails.

use std::io::Write;

/// Reports that the calling test cannot run.
///
/// # Panics
/// When nobody collects skips: `cargo test` by itself must not pass what it did not run.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let Some(file) = std::env::var_os("MAESTRO_SKIPS") else {
        panic!("{name} cannot run here: {reason} (tests/run gets what it needs)");
    };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
    let mut file = file.expect("open the file in MAESTRO_SKIPS");
    writeln!(file, "SKIP {name}: {reason}").expect("write the skip");
}
