//! A shared subscription (§4.8.2): each message goes to one of its members.
//!
//! ```text
//!            push             a member has room            acknowledged
//!  fan-out ───────> queue ──────────────────────> in flight ───────────> gone
//!                     ^                               |
//!                     └── member gone: QoS 1, and whatever was not sent, in order
//! ```
//! What was sent with QoS 2 stays with its member, and is never given to another (MQTT-4.8.2-4, -5). The
//! group lives as long as it has members, connected or not; its queue is on disk while one of them has a
//! session that is.

use super::drops::Drops;
use super::promises::Promises;
use super::queue::{Bounds, Queue, Waiting};
use super::slots::Key;
use super::total::Total;
use super::tree::Subscriber;
use crate::bus::Qos;

/// Who may have got a message already, and not acknowledged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    Nobody,
    /// The session of one member.
    One(Key),
    /// More than one, or one of an earlier process.
    Some,
}

/// Where a message of a group comes from, while a member has it.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) group: Key,
    /// Its number in the group.
    pub(crate) seq: u64,
    /// It came with RETAIN.
    pub(crate) retain: bool,
    pub(crate) tried: Tried,
    /// Its row is the member's now, not the group's.
    pub(crate) moved: bool,
}

impl Origin {
    /// A member may have got it.
    pub(crate) fn try_with(&mut self, session: Key) {
        self.tried = match self.tried {
            Tried::Nobody => Tried::One(session),
            Tried::One(earlier) if earlier == session => Tried::One(session),
            Tried::One(_) | Tried::Some => Tried::Some,
        };
    }

    /// Whether this member may have got it before (§3.3.1.1).
    pub(crate) fn may_know(&self, session: Key) -> bool {
        match self.tried {
            Tried::Nobody => false,
            Tried::One(earlier) => earlier == session,
            Tried::Some => true,
        }
    }
}

/// One shared subscription.
#[derive(Debug)]
pub(crate) struct Group {
    /// `$share/<name>/<filter>`.
    pub(crate) filter: Box<str>,
    pub(crate) members: Vec<Subscriber>,
    next: usize,
    pub(crate) queue: Queue,
    next_seq: u64,
    pub(crate) promises: Promises,
    /// Its queue is on disk.
    pub(crate) durable: bool,
    /// The disk did not take what a member was to get: it waits a moment.
    pub(crate) rests: bool,
    /// A former member has perhaps still to acknowledge something of it.
    pub(crate) strays: bool,
    /// What nobody got, and nobody was told.
    pub(crate) drops: Drops,
}

impl Group {
    pub(crate) fn new(filter: &str, bounds: Bounds, total: &Total) -> Group {
        Group {
            filter: filter.into(),
            members: Vec::new(),
            next: 0,
            queue: Queue::new(bounds, total),
            next_seq: 1,
            promises: Promises::default(),
            durable: false,
            rests: false,
            strays: false,
            drops: Drops::default(),
        }
    }

    /// A session joins, or changes its options.
    pub(crate) fn join(&mut self, member: Subscriber) {
        match self.members.iter_mut().find(|other| other.session == member.session) {
            Some(other) => *other = member,
            None => self.members.push(member),
        }
    }

    pub(crate) fn leave(&mut self, session: Key) {
        self.members.retain(|member| member.session != session);
    }

    /// The most a message of this quality can be delivered with.
    pub(crate) fn qos(&self, published: Qos) -> Qos {
        let granted = self.members.iter().map(|member| member.options.qos).max();
        granted.unwrap_or_default().min(published)
    }

    pub(crate) fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// The highest number that was given.
    pub(crate) fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Sets the numbering behind what was found on disk.
    pub(crate) fn restored(&mut self, seq: u64) {
        self.next_seq = self.next_seq.max(seq + 1);
    }

    /// The next member that can take something: each in turn.
    pub(crate) fn choose(&mut self, can: impl Fn(&Subscriber) -> bool) -> Option<Subscriber> {
        let count = self.members.len();
        let place = (0..count).map(|step| (self.next + step) % count);
        let place = place.into_iter().find(|&place| can(&self.members[place]))?;
        self.next = (place + 1) % count;
        Some(self.members[place])
    }

    /// Takes back what a member had, to its place in the order.
    pub(crate) fn take_back(&mut self, mut waiting: Vec<Waiting>) {
        waiting.sort_by_key(|waiting| waiting.seq);
        self.queue.put_back(waiting.into_iter());
        self.queue.sort();
    }
}
