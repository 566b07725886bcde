//! How long to wait before the next attempt: exponential with full jitter, so that a thousand boxes
//! that lost the same cloud do not come back in the same second.

use std::time::{Duration, Instant};

use crate::bridge::config;

/// Counts failures and draws pauses.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    bounds: config::Backoff,
    failures: u32,
    random: u64,
}

/// A connection that held this long was a good one: the next failure is the first again.
const GOOD: Duration = Duration::from_secs(30);

impl Backoff {
    /// `seed` makes the pauses of this box its own; any number will do.
    pub(super) fn new(bounds: config::Backoff, seed: u64) -> Backoff {
        Backoff { bounds, failures: 0, random: seed | 1 }
    }

    /// The pause after one more failure: anything between nothing and the current bound.
    pub(super) fn pause(&mut self) -> Duration {
        let doubled = self.bounds.min.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        let bound = doubled.min(self.bounds.max);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.draw() % nanos.max(1))
    }

    /// A connection that began at `since` has ended.
    pub(super) fn connected(&mut self, since: Instant, now: Instant) {
        if now.saturating_duration_since(since) >= GOOD.min(self.bounds.max) {
            self.failures = 0;
        }
    }

    /// xorshift64 (Marsaglia 2003): spreads pauses, guards nothing.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    fn seconds(min: u64, max: u64) -> config::Backoff {
        config::Backoff { min: Duration::from_secs(min), max: Duration::from_secs(max) }
    }

    #[test]
    fn pauses_grow_to_the_bound_and_fill_the_whole_range_below_it() {
        let mut longest = [Duration::ZERO; 10];
        for seed in 1..200 {
            let mut backoff = Backoff::new(seconds(1, 60), seed * 7919);
            for longest in &mut longest {
                *longest = backoff.pause().max(*longest);
            }
        }
        for (n, longest) in longest.iter().enumerate() {
            let bound = Duration::from_secs((1 << n).min(60));
            assert!(*longest <= bound, "pause {n}: {longest:?}");
            assert!(*longest > bound.mul_f32(0.8), "pause {n}: {longest:?}");
        }
    }

    #[test]
    fn only_a_connection_that_held_makes_the_next_pause_short_again() {
        let mut backoff = Backoff::new(seconds(1, 60), 1);
        for _ in 0..10 {
            backoff.pause();
        }
        backoff.connected(at(100), at(105));
        assert_eq!(backoff.failures, 10);
        backoff.connected(at(100), at(200));
        assert_eq!(backoff.failures, 0);
    }
}
