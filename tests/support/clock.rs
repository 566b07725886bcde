//! Waiting with an end: every wait in a test has a deadline and says what it waited for.

use std::time::{Duration, Instant};

/// How long a test waits for what should take milliseconds. Generous, since two cores may build
/// something else meanwhile; a test that passes never waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// The instant a wait ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// A deadline so far from now.
    pub(crate) fn after(wait: Duration) -> Deadline {
        Deadline(now() + wait)
    }
    /// What is left; `None` when it is over.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.checked_duration_since(now()).filter(|left| !left.is_zero())
    }
}

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "a scenario test runs in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// When the deadline passes first, naming `what`.
pub(crate) fn until<T>(what: &str, wait: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(wait);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(deadline.left().is_some(), "waited {wait:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
