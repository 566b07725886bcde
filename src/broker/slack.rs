//! When the memory that a burst left behind goes back to the system. Pure.
//!
//! ```text
//!   1 MiB moved ──> due in 10 s ──> given back; counted anew
//! ```
//! A quiet gateway has no timer for it, and a busy one pays once in ten seconds.

use std::time::{Duration, Instant};

/// What may move before anything is due: less leaves little behind.
const ENOUGH_BYTES: usize = 1 << 20;
/// After a burst queues drain, buffers shrink, and the store has written what it kept (5 s) first.
const PAUSE: Duration = Duration::from_secs(10);

/// What has moved through the process since it last gave memory back.
#[derive(Debug, Default)]
pub(super) struct Slack {
    moved: usize,
    due: Option<Instant>,
}

impl Slack {
    /// Bytes came in or went out.
    pub(super) fn moved(&mut self, bytes: usize, now: Instant) {
        self.moved = self.moved.saturating_add(bytes);
        if self.moved >= ENOUGH_BYTES && self.due.is_none() {
            self.due = Some(now + PAUSE);
        }
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is time; says so once.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            *self = Slack::default();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    #[test]
    fn memory_is_given_back_once_after_a_burst_and_never_for_a_trickle() {
        let mut slack = Slack::default();
        slack.moved(ENOUGH_BYTES - 1, at(0));
        assert_eq!(slack.due(), None);
        slack.moved(1, at(1));
        slack.moved(ENOUGH_BYTES, at(3));
        assert_eq!(slack.due(), Some(at(11)));
        assert!(!slack.is_due(at(10)));
        assert!(slack.is_due(at(11)));
        assert!(!slack.is_due(at(60)));
        assert_eq!(slack.due(), None);
    }
}
