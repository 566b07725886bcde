//! What is held for all clients together stays within its bound, `max_queued_total_size`, so that who
//! never reads costs nobody else a message.
//!
//! ```text
//!   after each packet: does too much wait? ──> whose queue is the heaviest? ──> a message leaves it,
//!                                              at the end that the policy names
//!   is too much sent, and not acknowledged or not taken? ──> each connection has an even share
//! ```
//! Under the policy `refuse` nothing leaves: publishers were refused before. Connections have what was
//! sent beside what waits: at most as much again, and one message each.

use std::time::Instant;

use super::{Core, Effects, SECOND};
use crate::broker::notice::Drop;
use crate::broker::queue::{Policy, Queue, Waiting};
use crate::broker::slots::Key;

/// Where messages wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Session(Key),
    Group(Key),
}

/// Whose queue was the heaviest when that was looked for: it gives way until it is an eighth lighter,
/// because to look costs a walk through all sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heaviest {
    holder: Holder,
    until: usize,
    found: Instant,
}

/// What one connection may have been sent, bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// And not taken.
    pub(super) unread: usize,
    /// And not acknowledged, unless it is one message.
    pub(super) in_flight: usize,
}

impl Core {
    /// What a connection may have been sent now.
    pub(super) fn room(&self) -> Room {
        let limits = &self.setting.limits;
        let half = limits.queued_total / 2;
        let share = match self.sent.bytes() > half {
            true => half / self.connections.len().max(1),
            false => usize::MAX,
        };
        Room { unread: limits.outbox.min(share), in_flight: limits.queue.bytes.min(share) }
    }

    /// Makes room when more waits than may.
    pub(super) fn relieve(&mut self, fx: &mut Effects) {
        let policy = self.setting.limits.queue.policy;
        while self.queued.bytes() > self.setting.limits.queued_total && policy != Policy::Refuse {
            match self.heaviest(fx.now.at) {
                Some(Holder::Session(key)) => {
                    let queue = self.sessions.get_mut(key).map(|session| &mut session.queue);
                    let gone = queue.and_then(|queue| give_way(queue, policy));
                    self.discard(key, gone.into_iter().collect(), Drop::TotalSize, fx);
                }
                Some(Holder::Group(key)) => {
                    let queue = self.groups.get_mut(key).map(|group| &mut group.queue);
                    let gone = queue.and_then(|queue| give_way(queue, policy));
                    self.group_dropped(key, gone.into_iter().collect(), Drop::TotalSize, fx);
                }
                None => return,
            }
        }
    }

    fn heaviest(&mut self, now: Instant) -> Option<Holder> {
        if let Some(last) = self.heaviest
            && self.held_by(last.holder) >= last.until
            && now < last.found + SECOND
        {
            return Some(last.holder);
        }
        self.spent += self.sessions.len() / 4;
        let sessions = self.sessions.iter().map(|(key, _)| Holder::Session(key));
        let holders = sessions.chain(self.groups.iter().map(|(key, _)| Holder::Group(key)));
        let (bytes, holder) = holders
            .map(|holder| (self.held_by(holder), holder))
            .filter(|(bytes, _)| *bytes > 0)
            .max_by_key(|(bytes, _)| *bytes)?;
        self.heaviest = Some(Heaviest { holder, until: bytes - bytes / 8, found: now });
        Some(holder)
    }

    fn held_by(&self, holder: Holder) -> usize {
        match holder {
            Holder::Group(key) => self.groups.get(key).map_or(0, |group| group.queue.bytes()),
            Holder::Session(key) => self.sessions.get(key).map_or(0, |one| one.queue.bytes()),
        }
    }
}

/// Takes out what leaves first.
fn give_way(queue: &mut Queue, policy: Policy) -> Option<Waiting> {
    match policy {
        Policy::Oldest => queue.pop_oldest(),
        Policy::Newest => queue.pop_newest(),
        Policy::Refuse => None,
    }
}
