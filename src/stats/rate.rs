//! From counters to rates and shares. A counter's first sample has no rate; one that went back was
//! reset (or was 32 bits wide and has wrapped), and a reset has no rate either.

use std::time::{Duration, Instant};

/// Below this, the noise of the clock and of the kernel's own accounting is larger than the rate.
const SHORTEST: Duration = Duration::from_millis(50);

/// How much was counted between two samples, and how long that took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step<C> {
    /// Counters before.
    pub(super) before: C,
    /// Counters now.
    pub(super) now: C,
    /// Seconds in between.
    pub(super) seconds: f64,
}

/// The last two samples of a set of counters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Meter<C> {
    last: Option<(Instant, C)>,
    step: Option<Step<C>>,
}

impl<C> Default for Meter<C> {
    fn default() -> Self {
        Meter { last: None, step: None }
    }
}

impl<C: Copy> Meter<C> {
    /// Takes the counters as they are now; `None` for the first sample. Two samples at almost the same
    /// moment share the step to the first of them.
    pub(super) fn step(&mut self, at: Instant, now: C) -> Option<Step<C>> {
        let Some((then, before)) = self.last else {
            self.last = Some((at, now));
            return None;
        };
        let elapsed = at.saturating_duration_since(then);
        if elapsed >= SHORTEST {
            self.step = Some(Step { before, now, seconds: elapsed.as_secs_f64() });
            self.last = Some((at, now));
        }
        self.step
    }
}

impl<C> Step<C> {
    /// What `counter` counted in between; `None` after a reset.
    pub(super) fn counted(&self, counter: impl Fn(&C) -> u64) -> Option<u64> {
        counted(counter(&self.before), counter(&self.now))
    }
    /// What `counter` counted per second, rounded.
    pub(super) fn per_second(&self, counter: impl Fn(&C) -> u64) -> Option<u64> {
        let rate = self.counted(counter)? as f64 / self.seconds;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "`as` saturates, and a rate is positive"
        )]
        #[expect(clippy::cast_sign_loss, reason = "a rate is positive")]
        Some(rate.round() as u64)
    }
}

/// From `before` to `now`. A counter below 2^32 that falls from its upper half into its lower half
/// has wrapped, as some are 32 bits wide; every other fall is a reset.
fn counted(before: u64, now: u64) -> Option<u64> {
    const WRAP: u64 = 1 << 32;
    match now.checked_sub(before) {
        Some(counted) => Some(counted),
        None if (WRAP / 2..WRAP).contains(&before) && now < WRAP / 2 => Some(now + WRAP - before),
        None => None,
    }
}

/// `part` of `whole` in percent with one decimal, 0 to 100; 0 of nothing.
pub(super) fn pct(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { tenths(part.min(whole) as f64 * 100.0 / whole as f64) }
}

/// Rounded to one decimal.
pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    #[test]
    fn the_first_sample_has_no_rate_and_the_second_has() {
        let mut meter = Meter::default();
        assert_eq!(meter.step(at(0), 1000u64), None);
        let step = meter.step(at(10), 3000).unwrap();
        assert_eq!(step.per_second(|c| *c), Some(200));
    }

    #[test]
    fn a_counter_that_was_reset_has_no_rate_until_the_next_sample() {
        let mut meter = Meter::default();
        meter.step(at(0), 5000u64);
        assert_eq!(meter.step(at(1), 10).unwrap().per_second(|c| *c), None);
        assert_eq!(meter.step(at(2), 30).unwrap().per_second(|c| *c), Some(20));
    }

    #[test]
    fn a_counter_of_32_bits_wraps() {
        assert_eq!(counted(u64::from(u32::MAX) - 9, 20), Some(30));
        assert_eq!(counted(1 << 40, 20), None);
        assert_eq!(counted(1 << 20, 20), None);
        assert_eq!(counted(7, 7), Some(0));
    }

    #[test]
    fn two_samples_at_the_same_moment_have_the_same_rate() {
        let mut meter = Meter::default();
        meter.step(at(0), 0u64);
        let step = meter.step(at(10), 100);
        assert_eq!(meter.step(at(10), 101), step);
        assert_eq!(meter.step(at(20), 300).unwrap().per_second(|c| *c), Some(20));
    }

    #[test]
    fn shares_have_one_decimal_and_stay_below_a_hundred() {
        assert_eq!(pct(1, 3).to_string(), "33.3");
        assert_eq!((pct(0, 0), pct(5, 4), pct(2, 3)), (0.0, 100.0, 66.7));
    }

    proptest::proptest! {
        #[test]
        fn no_counters_make_a_rate_panic(before: u64, now: u64, millis in 50u64..100_000) {
            let step = Step { before, now, seconds: millis as f64 / 1e3 };
            let _ = step.per_second(|c| *c);
            proptest::prop_assert!((0.0..=100.0).contains(&pct(before, now)));
        }
    }
}
