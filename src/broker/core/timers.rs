//! What is due when. What no longer holds when it is due is passed over; when most of what is here no
//! longer holds, it is thrown out, so that a crowd that came and went leaves nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::Core;
use super::connection::State;
use crate::broker::slots::Key;

/// What is due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A CONNECT should be here.
    Greeting(Key),
    /// A client should have been heard of.
    Alive(Key),
    /// A will fires, or a session ends.
    Session(Key),
    /// What a session did not get is told.
    Dropped(Key),
    /// The same for a shared subscription.
    GroupDropped(Key),
    /// A retained message expires.
    Retained,
    /// The figures of `$SYS` are said again.
    Sys,
    /// What the disk did not take is tried again.
    Again,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
    /// The one for retained messages: the earliest is enough.
    retained: Option<Instant>,
    /// Throw out what does not hold when there are this many.
    crowded: usize,
}

/// Fewer than this are never looked through.
const FEW: usize = 256;

impl Timers {
    pub(super) fn add(&mut self, at: Instant, timer: Timer) {
        if timer == Timer::Retained {
            if self.retained.is_some_and(|earlier| earlier <= at) {
                return;
            }
            self.retained = Some(at);
        }
        self.heap.push(Reverse((at, timer)));
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next one that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Timer> {
        let Reverse((at, timer)) = self.heap.peek().copied()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        if timer == Timer::Retained {
            self.retained = None;
        }
        Some(timer)
    }

    /// Whether it is time to [`Timers::keep`].
    pub(super) fn crowded(&self) -> bool {
        self.heap.len() > self.crowded.max(FEW)
    }

    /// Throws out what does not hold any more.
    pub(super) fn keep(&mut self, holds: impl Fn(Instant, Timer) -> bool) {
        let retained = self.retained;
        self.heap.retain(|Reverse((at, timer))| match timer {
            Timer::Retained => Some(*at) == retained,
            Timer::Greeting(_)
            | Timer::Alive(_)
            | Timer::Session(_)
            | Timer::Dropped(_)
            | Timer::GroupDropped(_)
            | Timer::Sys
            | Timer::Again => holds(*at, *timer),
        });
        self.heap.shrink_to(FEW);
        self.crowded = 2 * self.heap.len();
    }
}

impl Core {
    /// Puts something on the clock.
    pub(super) fn due_at(&mut self, at: Instant, timer: Timer) {
        self.timers.add(at, timer);
        if self.timers.crowded() {
            let Core { connections, sessions, groups, timers, .. } = self;
            timers.keep(|at, timer| match timer {
                Timer::Greeting(key) => connections
                    .get(key)
                    .is_some_and(|connection| !matches!(connection.state, State::Open(_))),
                Timer::Alive(key) => connections.get(key).is_some(),
                // Not those of its earlier absences: who comes and goes would never be thrown out.
                Timer::Session(key) => sessions
                    .get(key)
                    .is_some_and(|session| [session.will_at, session.ends_at].contains(&Some(at))),
                Timer::Dropped(key) => sessions.get(key).is_some(),
                Timer::GroupDropped(key) => groups.get(key).is_some(),
                Timer::Retained | Timer::Sys | Timer::Again => true,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::slots::Slots;
    use crate::service::testing::at;

    #[test]
    fn a_crowd_that_came_and_went_leaves_nothing() {
        let mut timers = Timers::default();
        let mut slots = Slots::default();
        for second in 0..10_000 {
            let key = slots.insert(());
            timers.add(at(100_000 + second), Timer::Alive(key));
            slots.remove(key);
            if timers.crowded() {
                timers.keep(
                    |_, timer| matches!(timer, Timer::Alive(key) if slots.get(key).is_some()),
                );
            }
        }
        assert!(timers.heap.len() <= FEW + 1, "{}", timers.heap.len());
    }

    #[test]
    fn one_timer_serves_all_retained_messages() {
        let mut timers = Timers::default();
        for second in [30, 20, 40, 10] {
            timers.add(at(second), Timer::Retained);
        }
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.due(at(9)), None);
        assert_eq!(timers.due(at(10)), Some(Timer::Retained));
        timers.add(at(40), Timer::Retained);
        timers.keep(|_, _| false);
        assert_eq!(timers.heap.len(), 1);
    }
}
