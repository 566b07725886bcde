//! What a topic holds (RETAIN, §3.3.1.3), and what it holds again when the disk does not take its new
//! value.
//!
//! ```text
//!   PUBLISH ──> held in RAM, found by who subscribes ──> commit ──> PUBACK
//!                                                          └─ not ──> refused: as it was before
//! ```
//! Only what somebody is told waits here. What a will says, or the daemon of itself, is true whatever the
//! disk does; QoS 0 follows the disk when it can.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Core, Effects, Timer};
use crate::broker::acl::Denied;
use crate::broker::intake::Ticket;
use crate::broker::message::{Incoming, Message};
use crate::storage::Window;

/// A value, or nothing.
type Value = Option<Arc<Message>>;

/// Topics with values on their way to disk.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    topics: HashMap<Arc<str>, Values>,
    /// Which of them wait for a commit.
    commits: HashMap<Ticket, Vec<Arc<str>>>,
}

/// One topic's: what it held before them, and they in order.
#[derive(Debug)]
struct Values {
    before: Value,
    given: VecDeque<(Ticket, Value)>,
}

impl Unsettled {
    /// A topic that held `before` holds something that waits for a commit.
    fn give(&mut self, topic: &Arc<str>, before: Value, ticket: Ticket, value: Value) {
        let fresh = || Values { before, given: VecDeque::new() };
        let values = self.topics.entry(topic.clone()).or_insert_with(fresh);
        values.given.push_back((ticket, value));
        self.commits.entry(ticket).or_default().push(topic.clone());
    }

    /// A topic holds something that stays, whatever becomes of what it held before.
    fn overrule(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// A commit is settled. Gives the topics that hold what it refused, and what they are to hold.
    pub(super) fn settle(&mut self, ticket: Ticket, safe: bool) -> Vec<(Arc<str>, Value)> {
        let mut back = Vec::new();
        for topic in self.commits.remove(&ticket).unwrap_or_default() {
            let Some(values) = self.topics.get_mut(&topic) else { continue };
            let last = values.given.back().map(|(ticket, _)| *ticket);
            while let Some(place) = values.given.iter().position(|(its, _)| *its == ticket) {
                let value = values.given.remove(place).and_then(|(_, value)| value);
                if safe {
                    values.before = value;
                }
            }
            if !safe && last == Some(ticket) {
                let left = values.given.back().map_or(&values.before, |(_, value)| value);
                back.push((topic.clone(), left.clone()));
            }
            if values.given.is_empty() {
                self.topics.remove(&topic);
            }
        }
        if self.topics.is_empty() && self.topics.capacity() > 64 {
            *self = Unsettled::default(); // a burst's memory is given back
        }
        back
    }

    /// Nothing is kept for a commit that is settled.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self) {
        let commits =
            |values: &Values| values.given.iter().all(|one| self.commits.contains_key(&one.0));
        assert!(self.topics.values().all(commits), "values of a settled commit");
    }
}

impl Core {
    /// Whether there is room for a retained message; one without a payload needs none.
    pub(super) fn may_keep(
        &mut self,
        topic: &str,
        payload: &[u8],
        weight: usize,
    ) -> Result<(), Denied> {
        let Some(full) = self.retained.full(topic, weight).filter(|_| !payload.is_empty()) else {
            return Ok(());
        };
        self.counters.limits.count(full);
        let key = full.key();
        let message =
            format!("there is no room for another retained message; see broker.limits.{key}");
        Err(Denied { code: "broker.quota", message })
    }

    /// Keeps a retained message; true when its publisher must wait for the disk.
    pub(super) fn keep(
        &mut self,
        incoming: &Incoming<'_>,
        window: Window,
        fx: &mut Effects,
    ) -> bool {
        self.spent += 20;
        let message = incoming.shared().clone();
        if let Some(expires) = message.expires {
            self.due_at(expires, Timer::Retained);
        }
        // The daemon says it anew at each start: what describes it costs no flash.
        if incoming.topic.starts_with('$') {
            self.retained.keep(message);
            return false;
        }
        let row = (!message.payload.is_empty()).then(|| message.encode(fx.now));
        if window == Window::Promise && !incoming.will {
            let before = self.retained.get(incoming.topic);
            let value = row.is_some().then(|| message.clone());
            let ticket = self.promise(fx);
            self.unsettled.give(&message.topic, before, ticket, value);
        } else {
            self.unsettled.overrule(incoming.topic);
        }
        // Cleared before is not yet cleared on disk: with a promise it is written again, which costs
        // nothing there when it is.
        if !self.retained.keep(message) && window == Window::Lazy {
            return false;
        }
        self.spent += fx.lazy.writes.len() / 64; // it looks through these
        fx.keep(window, incoming.topic, row);
        window != Window::Lazy
    }

    /// A commit is settled: topics that hold what was refused hold again what they held.
    pub(super) fn settle_kept(&mut self, ticket: Ticket, safe: bool, fx: &mut Effects) {
        for (topic, value) in self.unsettled.settle(ticket, safe) {
            let value = value.filter(|value| !value.expired(fx.now));
            // Its row may have gone meanwhile, when the new value expired.
            fx.keep(Window::Lazy, &topic, value.as_ref().map(|value| value.encode(fx.now)));
            match value {
                Some(value) => {
                    if let Some(expires) = value.expires {
                        self.due_at(expires, Timer::Retained);
                    }
                    self.retained.keep(value);
                }
                None => drop(self.retained.clear(&topic)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(payload: &'static str) -> Value {
        Some(Arc::new(Message::any("t", payload)))
    }

    /// What the topic holds after these commits, given in pairs (ticket, payload), were settled so.
    fn holds(given: &[(Ticket, &'static str)], settled: &[(Ticket, bool)]) -> Option<String> {
        let (topic, mut unsettled) = (Arc::from("t"), Unsettled::default());
        let mut now = value("old");
        for &(ticket, payload) in given {
            unsettled.give(&topic, now, ticket, value(payload));
            now = value(payload);
        }
        for &(ticket, safe) in settled {
            for (_, back) in unsettled.settle(ticket, safe) {
                now = back;
            }
        }
        assert!(unsettled.topics.is_empty() && unsettled.commits.is_empty());
        Some(String::from_utf8_lossy(&now?.payload).into_owned())
    }

    #[test]
    fn a_topic_holds_the_last_that_was_not_refused() {
        for (given, settled, left) in [
            (&[(1, "a")][..], &[(1, true)][..], "a"),
            (&[(1, "a")], &[(1, false)], "old"),
            (&[(1, "a"), (1, "b")], &[(1, false)], "old"),
            (&[(1, "a"), (2, "b")], &[(1, true), (2, true)], "b"),
            (&[(1, "a"), (2, "b")], &[(1, false), (2, true)], "b"),
            (&[(1, "a"), (2, "b")], &[(1, true), (2, false)], "a"),
            (&[(1, "a"), (2, "b")], &[(1, false), (2, false)], "old"),
        ] {
            assert_eq!(holds(given, settled).as_deref(), Some(left), "{given:?} {settled:?}");
        }
    }

    #[test]
    fn what_was_overruled_stays() {
        let (topic, mut unsettled) = (Arc::from("t"), Unsettled::default());
        unsettled.give(&topic, None, 1, value("a"));
        unsettled.overrule("t");
        assert!(unsettled.settle(1, false).is_empty());
    }
}
