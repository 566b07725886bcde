//! What each part of a turn may take. A turn is as long as its parts, and whoever has little to say waits
//! for one turn at most: so no part may take long, whatever there is to do.
//!
//! ```text
//!   a turn: │ those with little to say │ their effects │ accept, dear, late, last words │ effects │
//!   at most   SLICE each                 WRITING         SHARE each                       WRITING
//! ```
//! What is over is over when it is looked at: one packet, one write, one accept is never broken off.

use std::time::{Duration, Instant};

/// What one connection may take of the broker before others have their turn.
pub(super) const SLICE: Duration = Duration::from_micros(100);
/// A connection that took less than this of a slice has little to say.
pub(super) const LITTLE: Duration = Duration::from_micros(25);
/// What operations of this process, those who wait, and what is left to write may take, each.
pub(super) const SHARE: Duration = Duration::from_micros(250);
/// What the writes of a turn's effects may take.
pub(super) const WRITING: Duration = Duration::from_micros(300);

/// A part of a turn that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    began: Instant,
    most: Duration,
}

impl Meter {
    pub(super) fn new(began: Instant, most: Duration) -> Meter {
        Meter { began, most }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.took(now) >= self.most
    }

    pub(super) fn took(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}
