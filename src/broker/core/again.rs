//! What may go out only from the disk, and a disk in trouble did not take: tried again each second, for
//! nobody else would. Whoever published it was told that it is safe, or could not be told.
//!
//! | what | meanwhile |
//! |---|---|
//! | a will, for a durable session with QoS 2 | it waits here: the session's queue goes on |
//! | a group's message, for a member with QoS 2 | it is the group's again, and the group rests |
//! | a piece of what is retained (`replay`) | it is to be made again, and the session's others rest |
//!
//! To send them all the same would be a packet identifier that a kill takes away (see `session`), and a
//! message of the group that comes a second time.

use std::time::Duration;

use super::{Core, Effects, Timer};
use crate::broker::notice::Drop;
use crate::broker::queue::Waiting;
use crate::broker::session::Session;
use crate::broker::slots::Key;
use crate::storage::{Table, Window};

/// How soon.
const PAUSE: Duration = Duration::from_secs(1);
/// What the wills among them may weigh together.
const MOST_BYTES: usize = 1 << 20;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// It is on the clock.
    waits: bool,
    wills: Vec<(Key, Waiting)>,
    bytes: usize,
    groups: Vec<Key>,
    replays: Vec<Key>,
}

impl Core {
    /// A session had these, and the disk did not take them.
    pub(super) fn try_again(&mut self, key: Key, unsafe_yet: Vec<Waiting>, fx: &mut Effects) {
        if unsafe_yet.is_empty() {
            return;
        }
        self.wait_again(fx);
        let (of_groups, wills): (Vec<_>, Vec<_>) =
            unsafe_yet.into_iter().partition(|waiting| waiting.origin.is_some());
        for origin in of_groups.iter().filter_map(|waiting| waiting.origin.as_deref()) {
            if let Some(group) = self.groups.get_mut(origin.group).filter(|group| !group.rests) {
                group.rests = true;
                self.again.groups.push(origin.group);
            }
        }
        self.give_back(key, of_groups, fx);
        let row = self.sessions.get(key).and_then(Session::durable_row);
        for will in wills {
            let row = row.map(|row| (Table::Queue, super::rows::queue_key(row, will.seq), None));
            fx.promise.batch.writes.extend(row);
            let bytes = self.again.bytes + will.message.weight();
            if bytes > MOST_BYTES {
                self.discard(key, vec![will], Drop::QueueFull, fx);
                continue;
            }
            self.again.bytes = bytes;
            self.again.wills.push((key, will));
        }
    }

    /// A session had a piece of what is retained, and the disk did not take it.
    pub(super) fn replay_again(&mut self, key: Key, fx: &mut Effects) {
        self.wait_again(fx);
        self.again.replays.push(key);
    }

    fn wait_again(&mut self, fx: &mut Effects) {
        if !std::mem::replace(&mut self.again.waits, true) {
            self.due_at(fx.now.at + PAUSE, Timer::Again);
        }
    }

    /// It is time to try.
    pub(super) fn again_due(&mut self, fx: &mut Effects) {
        let Again { wills, groups, replays, .. } = std::mem::take(&mut self.again);
        self.spent += 20 * (wills.len() + groups.len() + replays.len());
        for session in replays {
            self.replays.resume(session);
        }
        for group in groups {
            if let Some(resting) = self.groups.get_mut(group) {
                resting.rests = false;
                self.pump_group(group, fx);
            }
        }
        for (session, will) in wills {
            self.enqueue(session, will, Window::Promise, fx);
        }
    }
}
