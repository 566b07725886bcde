//! Which wills fire, and when.
//!
//! ```text
//!   Armed ── connection lost ──> Due at one moment, or after a crash between two ──> Fired
//!     └── DISCONNECT ──> Forgotten <── back in time ──┘
//! ```

use super::message::Sent;
use super::{Fate, Number, Offer, Oracle};
use crate::broker::model::script::{Keep, Testament};
use crate::broker::wire::Qos;

/// What has just happened to a will may not be on disk yet.
const FRESH_MS: u64 = 50;

/// A will that has not been forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Legacy {
    pub(super) client: usize,
    testament: Testament,
    number: Number,
    /// When its CONNECT went to the broker.
    since: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Armed,
    /// It fires not before `early`; when `certain`, not after `late`.
    Due {
        early: u64,
        late: u64,
        certain: bool,
    },
    Fired {
        at: u64,
    },
    Forgotten {
        at: u64,
    },
}

impl Legacy {
    pub(super) fn is_armed(&self) -> bool {
        matches!(self.state, State::Armed)
    }
}

impl Oracle {
    /// A CONNECT with a will goes to the broker; the number is its payload.
    pub(in super::super) fn bequeathing(&mut self, client: usize, testament: Testament) -> Number {
        let number = self.messages.len();
        let keep = if testament.retain { Keep::Retain } else { Keep::Not };
        let offer = Offer { topic: testament.topic, qos: testament.qos, keep, expiry_s: 0 };
        self.messages.push(Sent::will(offer, self.now));
        let (since, state) = (self.now, State::Armed);
        self.wills.push(Legacy { client, testament, number, since, state });
        number
    }

    /// The client is back in time: its will is forgotten. Or its old session is discarded: it fires.
    pub(super) fn wills_of_returning(&mut self, client: usize, clean: bool) {
        let now = self.now;
        for will in self.wills.iter_mut().filter(|will| will.client == client) {
            let State::Due { early, certain, .. } = will.state else { continue };
            will.state = match (clean, early > now) {
                (true, _) => State::Due { early: early.min(now), late: now, certain },
                (false, true) => State::Forgotten { at: now },
                (false, false) => State::Due { early, late: now, certain: false },
            };
        }
        self.wills_due();
    }

    /// The connection of a client is gone: its will waits for its delay or the end of the session.
    pub(super) fn will_waits(&mut self, client: usize) {
        let (now, expiry_ms) = (self.now, self.lives[client].expiry_ms());
        for will in self.wills.iter_mut().filter(|will| will.client == client && will.is_armed()) {
            let at = now + (u64::from(will.testament.delay_s) * 1000).min(expiry_ms);
            will.state = State::Due { early: at, late: at, certain: true };
        }
        self.wills_due();
    }

    /// DISCONNECT: the will is forgotten.
    pub(super) fn will_forgotten(&mut self, client: usize) {
        let now = self.now;
        for will in self.wills.iter_mut().filter(|will| will.client == client && will.is_armed()) {
            will.state = State::Forgotten { at: now };
        }
    }

    /// After a crash: those who were there are missed from now on.
    pub(super) fn wills_crashed(&mut self, went: u64, known: u64) {
        let now = self.now;
        let fresh = |at: u64| at + FRESH_MS > known;
        for will in &mut self.wills {
            let expiry_ms = self.lives[will.client].expiry_ms();
            let delay_ms = (u64::from(will.testament.delay_s) * 1000).min(expiry_ms);
            will.state = match will.state {
                State::Armed => State::Due {
                    early: now.max(went + delay_ms),
                    late: now + delay_ms,
                    certain: expiry_ms > 0 && !fresh(will.since),
                },
                State::Due { early, late, certain } => State::Due {
                    early: early.max(now),
                    late: late.max(now + delay_ms),
                    certain: certain && !fresh(will.since),
                },
                State::Fired { at } | State::Forgotten { at } if fresh(at) => {
                    // What is on its way to the disk is with nobody who would remember it, unless the
                    // disk took nothing: then it goes out all the same, or a will would be lost.
                    if self.trouble.is_some() {
                        self.messages[will.number].sends += 1;
                        self.messages[will.number].doubtful += 1;
                    }
                    self.messages[will.number].fate = Fate::Unknown;
                    State::Due { early: now, late: now + delay_ms, certain: false }
                }
                old @ (State::Fired { .. } | State::Forgotten { .. }) => old,
            };
        }
    }

    /// Those whose time has come.
    pub(super) fn wills_due(&mut self) {
        let now = self.now;
        let due = |will: &&Legacy| matches!(will.state, State::Due { early, .. } if early <= now);
        let alone = self.wills.iter().filter(due).count() == 1; // or their order is not known
        for place in 0..self.wills.len() {
            let Legacy { client, number, testament, state, .. } = self.wills[place];
            let State::Due { early, late, certain } = state else { continue };
            if early > now {
                continue;
            }
            // Must it come? Only when it is known at which moment it fires.
            let certain = certain && early == late;
            self.messages[number].by = Some(self.lives[client].name());
            self.offer(number, certain);
            if testament.retain {
                self.topics.entry(testament.topic).or_default().may_hold(
                    number,
                    now,
                    certain && alone,
                );
                self.offer_to_replays(number);
            }
            if late <= now {
                self.wills[place].state = State::Fired { at: now };
            }
            if certain && testament.qos > Qos::AtMostOnce {
                self.messages[number].fate = Fate::Acknowledged;
            }
        }
    }
}
