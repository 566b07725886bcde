//! Retained messages for new subscriptions, a piece at a time: one SUBSCRIBE costs a few bytes and may
//! ask for all there is, and thousands of them come in one read.
//!
//! ```text
//!   SUBSCRIBE ──> first piece at once ──> the rest: one piece of one session in each turn,
//!                                         while that session has room for more
//! ```
//! How far it is stands in a durable session's row, together with the messages of the piece, before one of
//! them is sent: a kill loses none and sends none a second time. The next piece is made then. A piece
//! that a disk in trouble did not take is made again.
//!
//! A message of a topic that the replay has not come to is delivered at once, before what is retained
//! there: that is sent because of the SUBSCRIBE, not because it was published (§3.3.1.3).
//!
//! A session that is behind is passed over until its client has taken something ([`Core::pump`]).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Core, Effects};
use crate::broker::intake::Ticket;
use crate::broker::session::{Options, Peer};
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;

/// Topics looked at in one piece: a fraction of a millisecond.
const PIECE: usize = 1000;

/// What is still to be sent for one subscription.
#[derive(Clone, Debug)]
struct Replay {
    filter: Box<str>,
    options: Options,
    /// The last topic that was looked at.
    after: Option<Arc<str>>,
}

/// What is still to be sent to one session.
#[derive(Debug, Default)]
struct Rest {
    replays: VecDeque<Replay>,
    pause: Option<Pause>,
}

/// Why there is no next piece yet.
#[derive(Debug)]
enum Pause {
    /// The last one waits for its commit; where to go on from if that fails.
    Commit(Ticket, Option<Replay>),
    /// That failed.
    Trouble,
}

/// All that is still to be sent.
#[derive(Debug, Default)]
pub(super) struct Replays {
    sessions: HashMap<Key, Rest>,
    /// Those with room for more, in turn.
    ready: VecDeque<Key>,
}

impl Replays {
    fn add(&mut self, session: Key, replay: Replay) {
        let rest = self.sessions.entry(session).or_default();
        rest.replays.retain(|other| other.filter != replay.filter);
        rest.replays.push_back(replay);
        self.wake(session);
    }

    /// A filter has other options now: what is still to be sent for it goes on with them (MQTT-3.8.4-4).
    /// Or it is gone: then nothing is, also when it comes again.
    pub(super) fn change(&mut self, session: Key, filter: &str, options: Option<Options>) {
        let Some(rest) = self.sessions.get_mut(&session) else { return };
        let same = |replay: &Replay| &*replay.filter == filter;
        let again = match &mut rest.pause {
            Some(Pause::Commit(_, again)) => Some(again),
            Some(Pause::Trouble) | None => None,
        };
        match options {
            Some(options) => {
                let again = again.into_iter().flatten();
                let all = rest.replays.iter_mut().chain(again).filter(|replay| same(replay));
                all.for_each(|replay| replay.options = options);
            }
            None => {
                rest.replays.retain(|replay| !same(replay));
                again.and_then(|again| again.take_if(|replay| same(replay)));
                self.made(session);
            }
        }
    }

    /// The session has taken something, or is there again.
    pub(super) fn wake(&mut self, session: Key) {
        if !self.sessions.is_empty()
            && self.sessions.get(&session).is_some_and(|rest| rest.pause.is_none())
            && !self.ready.contains(&session)
        {
            self.ready.push_back(session);
        }
    }

    /// It is time to try again.
    pub(super) fn resume(&mut self, session: Key) {
        if let Some(rest) = self.sessions.get_mut(&session) {
            rest.pause.take_if(|pause| matches!(pause, Pause::Trouble));
        }
        self.wake(session);
    }

    /// The session is over.
    pub(super) fn forget(&mut self, session: Key) {
        self.sessions.remove(&session);
        self.ready.retain(|&ready| ready != session);
    }

    /// All of it is for sessions that are there.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self, there: impl Fn(Key) -> bool) {
        assert!(self.sessions.keys().chain(&self.ready).all(|&session| there(session)), "replays");
    }

    /// Behind which topic something is still to be sent for a filter.
    pub(super) fn unsent(&self, session: Key, filter: &str, options: &Options) -> Option<&str> {
        let rest = self.sessions.get(&session)?;
        let same = |one: &&Replay| &*one.filter == filter && one.options == *options;
        Some(rest.replays.iter().find(same)?.after.as_deref().unwrap_or_default())
    }

    /// An earlier process had not sent all of it.
    pub(super) fn restore(&mut self, subscriber: Subscriber, filter: &str, after: &str) {
        let after = (!after.is_empty()).then(|| after.into());
        let replay = Replay { filter: filter.into(), options: subscriber.options, after };
        self.add(subscriber.session, replay);
    }

    /// Takes out what is to be continued for a session.
    fn next(&mut self, session: Key) -> Option<Replay> {
        let rest = self.sessions.get_mut(&session).filter(|rest| rest.pause.is_none())?;
        rest.replays.pop_front()
    }

    /// No next piece until this is over.
    fn pause(&mut self, session: Key, pause: Pause) {
        if let Some(rest) = self.sessions.get_mut(&session) {
            rest.pause = Some(pause);
            self.ready.retain(|&ready| ready != session);
        }
    }

    /// A piece is made; with nothing left the session is done with.
    fn made(&mut self, session: Key) {
        match self.sessions.get(&session) {
            Some(Rest { replays, pause: None }) if replays.is_empty() => self.forget(session),
            Some(_) | None => self.wake(session),
        }
    }

    /// The commit of a piece is settled; true when it is to be made again.
    fn settle(&mut self, session: Key, ticket: Ticket, safe: bool) -> bool {
        let Some(rest) = self.sessions.get_mut(&session) else { return false };
        let ours = |pause: &mut Pause| matches!(pause, Pause::Commit(its, _) if *its == ticket);
        let Some(Pause::Commit(_, replay)) = rest.pause.take_if(ours) else { return false };
        if !safe && let Some(replay) = replay {
            // What is there of it is where it had come to, or a newer SUBSCRIBE that begins anew.
            let begins = |other: &Replay| other.filter == replay.filter && other.after.is_none();
            if !rest.replays.iter().any(begins) {
                rest.replays.retain(|other| other.filter != replay.filter);
                rest.replays.push_front(replay);
            }
            rest.pause = Some(Pause::Trouble);
        }
        self.made(session);
        !safe
    }
}

impl Core {
    /// Begins to send what is retained under a new subscription.
    pub(super) fn replay(&mut self, subscriber: Subscriber, filter: &str, fx: &mut Effects) {
        let first = !self.replays.sessions.contains_key(&subscriber.session);
        let replay = Replay { filter: filter.into(), options: subscriber.options, after: None };
        self.replays.add(subscriber.session, replay);
        if first {
            self.replay_piece(subscriber.session, false, fx);
        }
        if self.replays.unsent(subscriber.session, filter, &subscriber.options).is_some() {
            self.store_session(subscriber.session, fx);
        }
    }

    /// Whether there is something to go on with at once.
    pub(crate) fn unfinished(&self) -> bool {
        !self.replays.ready.is_empty()
    }

    /// The next piece of whoever has waited longest.
    pub(crate) fn go_on(&mut self, fx: &mut Effects) {
        let Some(session) = self.replays.ready.pop_front() else { return };
        self.replay_piece(session, true, fx);
        self.relieve(fx);
    }

    /// A piece of one session; whether it goes on is in its row.
    fn replay_piece(&mut self, key: Key, go_on: bool, fx: &mut Effects) {
        self.replays.ready.retain(|&ready| ready != key);
        let room = self.setting.limits.replay.waiting;
        let Some(session) = self.sessions.get(key) else { return self.replays.forget(key) };
        if session.peer == Peer::Away || session.queue.len() >= room {
            return; // until it wakes
        }
        let Some(replay) = self.replays.next(key) else { return };
        let row = session.durable_row();
        // It may have been taken back, or asked for in another way, meanwhile.
        if session.filters.get(&replay.filter) == Some(&replay.options) {
            let again = replay.clone();
            self.replay_one(key, replay, go_on && row.is_some(), fx);
            if go_on && row.is_some() {
                let ticket = self.promise(fx);
                self.session_waits(key, ticket);
                self.replays.pause(key, Pause::Commit(ticket, Some(again)));
            }
        }
        self.replays.made(key);
        if go_on {
            self.store_session(key, fx);
        }
    }

    /// One piece. Held, it waits for its commit.
    fn replay_one(&mut self, session: Key, replay: Replay, held: bool, fx: &mut Effects) {
        let Replay { filter, options, after } = replay;
        let most = (PIECE, self.setting.limits.replay.found);
        let piece = self.retained.piece(&filter, after.as_deref(), most, fx.now);
        self.spent += piece.looked_at;
        self.deliver_kept(Subscriber { session, options }, &piece.kept, held, fx);
        if let Some(after) = piece.after
            && let Some(rest) = self.replays.sessions.get_mut(&session)
        {
            rest.replays.push_front(Replay { filter, options, after: Some(after) });
        }
    }

    /// The commit of a piece is settled, if this was one's.
    pub(super) fn settle_piece(&mut self, key: Key, ticket: Ticket, safe: bool, fx: &mut Effects) {
        if self.replays.settle(key, ticket, safe) {
            self.replay_again(key, fx);
            self.store_session(key, fx); // a later commit may have said that it was sent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::slots::Slots;

    /// Where one filter's replay goes on from when a piece of it, made from `a` on, failed.
    fn goes_on(left: Option<&str>) -> Option<Arc<str>> {
        let session = Slots::default().insert(());
        let replay = |after: Option<&str>| Replay {
            filter: "t/#".into(),
            options: Options::default(),
            after: after.map(Arc::from),
        };
        let mut replays = Replays::default();
        replays.add(session, replay(left));
        replays.pause(session, Pause::Commit(7, Some(replay(Some("a")))));
        assert!(replays.settle(session, 7, false) && replays.ready.is_empty());
        replays.resume(session);
        replays.next(session).expect("the piece again").after
    }

    #[test]
    fn a_piece_that_failed_is_made_again_unless_its_filter_begins_anew() {
        assert_eq!(goes_on(Some("b")).as_deref(), Some("a"));
        assert_eq!(goes_on(None), None);
    }
}
