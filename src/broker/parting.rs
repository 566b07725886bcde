//! Streams that were told why they end, and whose client may still be writing. Pure.
//!
//! ```text
//!   DISCONNECT, write side shut ──> kept a second ──> closed
//! ```
//! A stream that is closed while the other side writes is answered with a reset, and a client that gets
//! one from its next write seldom reads on to the reason (MQTT 5 §4.13.2). Nothing is read meanwhile.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Long enough for a client to read what has come, over any link.
const KEPT: Duration = Duration::from_secs(1);
/// They are no connections of the broker's any more, so they have a bound of their own.
const MOST: usize = 64;

/// The streams, those that are closed first at the front.
#[derive(Debug)]
pub(super) struct Partings<S> {
    streams: VecDeque<(Instant, S)>,
}

impl<S> Partings<S> {
    pub(super) fn new() -> Partings<S> {
        Partings { streams: VecDeque::new() }
    }

    /// Keeps one for a while; with too many, the oldest is closed now.
    pub(super) fn keep(&mut self, stream: S, now: Instant) {
        if self.streams.len() >= MOST {
            self.streams.pop_front();
        }
        self.streams.push_back((now + KEPT, stream));
    }

    /// When the next one is closed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.streams.front().map(|(due, _)| *due)
    }

    /// Closes those whose time has come.
    pub(super) fn close(&mut self, now: Instant) {
        while self.due().is_some_and(|due| due <= now) {
            self.streams.pop_front();
        }
        if self.streams.is_empty() {
            self.streams = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    #[test]
    fn a_stream_is_kept_a_second_and_never_too_many() {
        let mut partings = Partings::new();
        assert_eq!(partings.due(), None);
        partings.keep("a", at(1));
        partings.keep("b", at(5));
        assert_eq!(partings.due(), Some(at(2)));
        partings.close(at(2));
        assert_eq!(partings.due(), Some(at(6)));
        for second in 7..200 {
            partings.keep("c", at(second));
        }
        assert_eq!(partings.streams.len(), MOST);
        partings.close(at(1000));
        assert_eq!(partings.due(), None);
    }
}
