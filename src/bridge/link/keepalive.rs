//! Whether the cloud is still there (MQTT 5 §3.1.2.10), with a promise of our own on top: a link cut
//! without a word is known within 1.5 keepalives.
//!
//! ```text
//!   heard ──── 0.9 K ────> PINGREQ ──── 0.5 K, nothing heard ────> dead      K: the keepalive
//! ```
//! While we do not read, nothing can be heard, and that is not the cloud's fault: nobody is dead then,
//! but the cloud still hears from us in time. A line that is cut meanwhile is TCP's to notice: it has
//! our questions to deliver, and gives up after one keepalive (`linux::tcp::tune`).

use std::time::{Duration, Instant};

/// The times of one connection.
#[derive(Clone, Debug)]
pub(super) struct Keepalive {
    period: Duration,
    heard: Instant,
    spoke: Instant,
    asked: Option<Instant>,
    /// We do not read.
    deaf: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// A PINGREQ.
    Ask,
    /// The cloud has not answered.
    Dead,
}

impl Keepalive {
    pub(super) fn new(period: Duration, now: Instant) -> Keepalive {
        Keepalive { period, heard: now, spoke: now, asked: None, deaf: false }
    }

    /// A whole packet came: any packet proves that the cloud is there.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// We sent something: the cloud counts from here.
    pub(super) fn spoke(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// We stop reading.
    pub(super) fn deafened(&mut self) {
        self.deaf = true;
    }

    /// We read again: the answer to a question may stand behind all that waits to be read.
    pub(super) fn listens(&mut self, now: Instant) {
        if std::mem::take(&mut self.deaf) && self.asked.is_some() {
            self.asked = Some(now);
        }
    }

    /// What is due now; [`Due::Ask`] is noted as done.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if now < self.next() {
            return Due::Nothing;
        }
        if self.asked.is_some() && !self.deaf {
            return Due::Dead;
        }
        self.asked = Some(now);
        Due::Ask
    }

    /// When something will be due.
    pub(super) fn next(&self) -> Instant {
        match self.asked {
            Some(_) if self.deaf => self.spoke + self.period * 9 / 10,
            Some(asked) => asked + self.period / 2,
            None => self.heard.min(self.spoke) + self.period * 9 / 10,
        }
    }

    /// How long nothing was heard.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    #[test]
    fn a_silent_cut_is_known_within_one_and_a_half_keepalives() {
        let mut keepalive = Keepalive::new(Duration::from_secs(10), at(0));
        keepalive.heard(at(5));
        keepalive.spoke(at(5)); // and here the cable is cut
        assert_eq!(keepalive.due(at(13)), Due::Nothing);
        assert_eq!(keepalive.next(), at(14));
        assert_eq!(keepalive.due(at(14)), Due::Ask);
        assert_eq!(keepalive.due(at(18)), Due::Nothing);
        assert_eq!(keepalive.next(), at(19));
        assert_eq!(keepalive.due(at(19)), Due::Dead);
        assert!(keepalive.silence(at(19)) < Duration::from_secs(15));
    }

    #[test]
    fn talking_into_a_dead_line_does_not_put_the_question_off() {
        let mut keepalive = Keepalive::new(Duration::from_secs(10), at(0));
        keepalive.spoke(at(8));
        assert_eq!(keepalive.due(at(9)), Due::Ask);
        keepalive.spoke(at(12));
        assert_eq!(keepalive.due(at(14)), Due::Dead);
    }

    #[test]
    fn while_we_do_not_read_the_cloud_hears_from_us_and_is_not_dead() {
        let mut keepalive = Keepalive::new(Duration::from_secs(10), at(0));
        keepalive.deafened();
        for now in [9, 18, 27] {
            assert_eq!(keepalive.next(), at(now));
            assert_eq!(keepalive.due(at(now)), Due::Ask);
            keepalive.spoke(at(now));
        }
        keepalive.listens(at(30));
        assert_eq!(keepalive.due(at(34)), Due::Nothing);
        assert_eq!(keepalive.due(at(35)), Due::Dead);
    }

    #[test]
    fn whoever_only_listens_still_speaks_in_time() {
        let mut keepalive = Keepalive::new(Duration::from_secs(10), at(0));
        keepalive.heard(at(8));
        assert_eq!(keepalive.due(at(9)), Due::Ask);
        keepalive.spoke(at(9));
        keepalive.heard(at(10));
        assert_eq!(keepalive.next(), at(18));
    }
}
