//! The board of states: what each subsystem last said, and what the box makes of it. Pure.
//!
//! ```text
//!              built            said ok / degraded / off
//!   (nothing) ------> starting -------------------------> ok, degraded, off
//!                        ^                                    | error, panic
//!                        |  delay over: rebuilt               v
//!                        +--------------------------------- failed ---- too often: given up
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Restart;
use super::message::State;
use crate::contract;

/// What one subsystem is, as last said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) since: String,
    pub(super) cause: Option<contract::Error>,
    pub(super) last_cause: Option<contract::Error>,
    pub(super) restarts: u32,
}

/// All subsystems.
#[derive(Debug, Default)]
pub(super) struct Board {
    entries: BTreeMap<&'static str, Entry>,
}

impl Board {
    /// Notes a state; true when it is news.
    pub(super) fn note(
        &mut self,
        name: &'static str,
        state: State,
        cause: Option<contract::Error>,
        time: &str,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(name) else {
            let since = time.to_string();
            let last_cause = cause.clone();
            self.entries.insert(name, Entry { state, since, cause, last_cause, restarts: 0 });
            return true;
        };
        if entry.state == state && entry.cause == cause {
            return false;
        }
        if entry.state != state {
            entry.since = time.to_string();
        }
        if cause.is_some() {
            entry.last_cause.clone_from(&cause);
        }
        entry.state = state;
        entry.cause = cause;
        true
    }

    /// Counts a rebuild.
    pub(super) fn rebuilt(&mut self, name: &'static str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.restarts += 1;
        }
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The worst state, and who is not ok for which reason. What is off by design is not worse than
    /// ok; what is starting is not yet an answer.
    pub(super) fn overall(&self) -> (State, BTreeMap<String, String>) {
        let worst = self.entries.values().map(|entry| entry.state).max().unwrap_or(State::Starting);
        let not_ok = self.entries.iter().filter(|(_, entry)| entry.state > State::Starting);
        let not_ok = not_ok.map(|(name, entry)| {
            let code = entry.cause.as_ref().map_or("", |cause| cause.code.as_str());
            ((*name).to_string(), code.to_string())
        });
        (worst.max(State::Ok), not_ok.collect())
    }
}

/// When a subsystem that failed is built again.
#[derive(Debug)]
pub(super) struct Backoff {
    rule: Restart,
    failures: VecDeque<Instant>,
}

impl Backoff {
    pub(super) fn new(rule: Restart) -> Backoff {
        Backoff { rule, failures: VecDeque::new() }
    }

    /// Notes a failure; gives the delay, or `None` when it failed too often.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        while self.failures.front().is_some_and(|&old| now - old > self.rule.window) {
            self.failures.pop_front();
        }
        let before = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        self.failures.push_back(now);
        if before + 1 > self.rule.limit {
            return None;
        }
        let delay = self.rule.first_delay.saturating_mul(2u32.saturating_pow(before));
        Some(delay.min(self.rule.last_delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    #[test]
    fn only_news_is_told_and_since_is_when_the_state_began() {
        let mut board = Board::default();
        assert!(board.note("stats", State::Starting, None, "t0"));
        assert!(board.note("stats", State::Ok, None, "t1"));
        assert!(!board.note("stats", State::Ok, None, "t2"));
        assert_eq!(board.entry("stats").expect("noted").since, "t1");
        let cause = contract::Error::new("stats.unreadable", "no /proc");
        assert!(board.note("stats", State::Degraded, Some(cause.clone()), "t3"));
        assert!(board.note("stats", State::Ok, None, "t4"));
        assert_eq!(board.entry("stats").expect("noted").last_cause, Some(cause));
    }

    #[test]
    fn the_box_is_as_its_worst_part_and_names_it() {
        let mut board = Board::default();
        board.note("stats", State::Ok, None, "t");
        board.note("bridge", State::Off, None, "t");
        assert_eq!(board.overall(), (State::Ok, BTreeMap::new()));
        let cause = contract::Error::new("system.broken", "x");
        board.note("system", State::Failed, Some(cause), "t");
        let (state, not_ok) = board.overall();
        assert_eq!(state, State::Failed);
        assert_eq!(not_ok["system"], "system.broken");
        assert_eq!(not_ok.len(), 1);
    }

    #[test]
    fn the_delay_doubles_to_its_limit_then_the_subsystem_is_given_up() {
        let rule = Restart {
            first_delay: Duration::from_secs(1),
            last_delay: Duration::from_secs(4),
            limit: 5,
            window: Duration::from_secs(60),
        };
        let mut backoff = Backoff::new(rule);
        let delays: Vec<_> = (0..6).map(|n| backoff.failed(at(n)).map(|d| d.as_secs())).collect();
        assert_eq!(delays, [Some(1), Some(2), Some(4), Some(4), Some(4), None]);
        assert_eq!(
            backoff.failed(at(200)).map(|d| d.as_secs()),
            Some(1),
            "old failures are forgotten"
        );
    }
}
