//! Whether a measurement is news: the change threshold of a family.

use std::time::{Duration, Instant};

/// However little it changes, a value is told this often: metrics are not retained, and whoever came
/// later must learn it.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// How a change is measured against the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Answer {
    /// A share or a temperature: in points, in degrees.
    Points(f64),
    /// Everything else: in percent of the larger of both.
    Amount(f64),
}

/// What was told last of one measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notice {
    told: Option<(Instant, f64)>,
}

impl Notice {
    /// Whether to tell it, and if so takes it as told. A threshold of 0 tells everything.
    pub(super) fn is_due(
        &mut self,
        at: Instant,
        answer: Option<Answer>,
        threshold_pct: f64,
    ) -> bool {
        let Some(answer) = answer else { return true }; // nothing to compare: a first sample
        let (Answer::Points(now) | Answer::Amount(now)) = answer;
        let due = threshold_pct <= 0.0
            || self.told.is_none_or(|(then, before)| {
                at.saturating_duration_since(then) >= LONGEST_SILENCE
                    || answer.moved_from(before) > threshold_pct
            });
        if due {
            self.told = Some((at, now));
        }
        due
    }
}

impl Answer {
    fn moved_from(self, before: f64) -> f64 {
        match self {
            Answer::Points(now) => (now - before).abs(),
            Answer::Amount(now) => {
                let larger = now.abs().max(before.abs());
                if larger > 0.0 { (now - before).abs() / larger * 100.0 } else { 0.0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    #[test]
    fn small_steps_add_up_until_they_are_news() {
        let mut notice = Notice::default();
        let told = [50.0, 50.5, 51.0, 51.5, 51.6]
            .map(|value| notice.is_due(at(1), Some(Answer::Points(value)), 1.0));
        assert_eq!(told, [true, false, false, true, false]);
    }

    #[test]
    fn an_amount_moves_by_its_share() {
        let mut notice = Notice::default();
        let told = [1000.0, 1090.0, 1200.0, 0.0, 0.0]
            .map(|value| notice.is_due(at(1), Some(Answer::Amount(value)), 10.0));
        assert_eq!(told, [true, false, true, true, false]);
    }

    #[test]
    fn silence_has_an_end() {
        let mut notice = Notice::default();
        assert!(notice.is_due(at(0), Some(Answer::Points(5.0)), 50.0));
        assert!(!notice.is_due(at(299), Some(Answer::Points(5.0)), 50.0));
        assert!(notice.is_due(at(300), Some(Answer::Points(5.0)), 50.0));
    }

    #[test]
    fn without_a_threshold_everything_is_told() {
        let mut notice = Notice::default();
        assert!((0..3).all(|i| notice.is_due(at(i), Some(Answer::Points(5.0)), 0.0)));
    }
}
