//! What comes back to a shared subscription: from a member that leaves, or whose connection is lost, and
//! from the disk; and what does not, because it is somebody's own by now.

use std::ops::RangeInclusive;

use super::connection::Connection;
use super::rows::{group_key, group_row, queue_key, queue_row};
use super::{Core, Effects};
use crate::broker::group::{Group, Origin};
use crate::broker::intake::Ticket;
use crate::broker::queue::Waiting;
use crate::broker::session::Session;
use crate::broker::slots::Key;
use crate::storage::{Table, Window};

impl Core {
    /// A session's peer is gone: what it had of its groups goes back, and to other members at once.
    pub(super) fn land(&mut self, key: Key, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let back = session.land(key);
        self.give_back(key, back, fx);
    }

    pub(super) fn give_back(&mut self, session: Key, back: Vec<Waiting>, fx: &mut Effects) {
        let own_row = self.sessions.get(session).and_then(Session::durable_row);
        let mut by_group: Vec<(Key, Vec<Waiting>)> = Vec::new();
        for waiting in back {
            let Some(mut origin) = waiting.origin else { continue };
            let (message, key, seq) = (waiting.message, origin.group, origin.seq);
            if std::mem::take(&mut origin.moved) {
                let own = own_row.map(|row| (Table::Queue, queue_key(row, waiting.seq), None));
                fx.promise.batch.writes.extend(own);
                if let Some(group) = self.groups.get(key).filter(|group| group.durable) {
                    let row = group_row(&message.encode(fx.now), message.qos, origin.retain);
                    let row_key = group_key(&group.filter, seq);
                    fx.promise.batch.writes.push((Table::Group, row_key, Some(row)));
                }
            }
            // Its publisher may still be told that it was not taken.
            let promised = waiting.promised
                && self.groups.get(key).is_some_and(|group| group.promises.waits(seq));
            let origin = Some(origin);
            let waiting = Waiting::new(message.clone(), message.qos, seq);
            let waiting = Waiting { origin, promised, ..waiting };
            match by_group.iter_mut().find(|(group, _)| *group == key) {
                Some((_, list)) => list.push(waiting),
                None => by_group.push((key, vec![waiting])),
            }
        }
        for (key, waiting) in by_group {
            if let Some(group) = self.groups.get_mut(key) {
                group.take_back(waiting);
                self.pump_group(key, fx);
            }
        }
    }

    /// What former members have still to acknowledge is their own now, when the group has no rows any
    /// more.
    pub(super) fn adopt_strays(&mut self, key: Key, fx: &mut Effects) {
        let Core { groups, sessions, .. } = self;
        let Some(group) = groups.get_mut(key).filter(|group| group.strays) else { return };
        group.strays = false;
        for session in sessions.values_mut().filter(|session| !session.groups.contains(&key)) {
            for waiting in session.flight.published() {
                if let Some(origin) = waiting.origin.take_if(|origin| origin.group == key) {
                    let row = group_key(&group.filter, origin.seq);
                    fx.promise.batch.writes.push((Table::Group, row, None));
                }
            }
        }
    }

    /// A member leaves its group but not its connection: what it was sent is its own from now on. Where
    /// it has no rows the group keeps them, until they are acknowledged or come back.
    pub(super) fn keep_what_was_sent(&mut self, key: Key, group_of: Key, fx: &mut Effects) {
        let (Some(session), Some(group)) =
            (self.sessions.get_mut(key), self.groups.get_mut(group_of))
        else {
            return;
        };
        let own_row = session.durable_row();
        let of_group = |waiting: &Waiting| {
            waiting.origin.as_ref().is_some_and(|origin| origin.group == group_of)
        };
        let mut unsent = Vec::new();
        if session.queue.iter().any(of_group) {
            unsent = session.queue.retract(of_group);
        }
        for waiting in session.flight.published().filter(|waiting| of_group(waiting)) {
            if group.durable && own_row.is_none() {
                group.strays = true;
                continue;
            }
            let Some(origin) = waiting.origin.take().filter(|origin| !origin.moved) else {
                continue;
            };
            let writes = &mut fx.promise.batch.writes;
            if let Some(row) = own_row {
                let bytes = queue_row(&waiting.message.encode(fx.now), waiting);
                writes.push((Table::Queue, queue_key(row, waiting.seq), Some(bytes)));
            }
            if group.durable {
                writes.push((Table::Group, group_key(&group.filter, origin.seq), None));
            }
        }
        self.give_back(key, unsent, fx);
    }

    /// The end of a group did not reach the disk: what waited in it waits in the one that is there now.
    pub(super) fn continue_group(&mut self, mut old: Group, fx: &mut Effects) {
        let Some(&key) = self.group_keys.get(&old.filter) else { return };
        let Some(group) = self.groups.get_mut(key) else { return };
        let mut back = old.queue.retract(|_| true);
        for waiting in &mut back {
            waiting.promised = false; // what its publisher was told is settled: tickets are, in their order
            let Some(origin) = &mut waiting.origin else { continue };
            origin.group = key;
            if group.durable {
                let message = &waiting.message;
                let row = group_row(&message.encode(fx.now), message.qos, origin.retain);
                let row_key = group_key(&group.filter, waiting.seq);
                fx.promise.batch.writes.push((Table::Group, row_key, Some(row)));
            }
        }
        group.take_back(back);
        self.pump_group(key, fx);
    }

    /// A message of a group is done with; its row too, if it is the group's.
    pub(super) fn forget_of_group(&mut self, origin: &Origin, window: Window, fx: &mut Effects) {
        if let Some(group) = self.groups.get(origin.group).filter(|group| group.durable) {
            let row = group_key(&group.filter, origin.seq);
            fx.writes(window).writes.push((Table::Group, row, None));
        }
    }

    /// A ticket of a group's messages is settled; what is not safe and was not sent is taken back.
    pub(super) fn settle_group(&mut self, key: Key, ticket: Ticket, safe: bool, fx: &mut Effects) {
        let Some(group) = self.groups.get_mut(key) else {
            return self.settle_ended_group(key, ticket, safe);
        };
        let settled = group.promises.settle(ticket);
        let Some(numbers) = settled.filter(|_| !safe) else { return self.pump_group(key, fx) };
        let gone = |waiting: &Waiting| waiting.promised && numbers.contains(&waiting.seq);
        for waiting in group.queue.retract(gone) {
            let row = group_key(&group.filter, waiting.seq);
            fx.lazy.writes.push((Table::Group, row, None));
        }
        self.disown(key, &numbers, fx);
        self.pump_group(key, fx);
    }

    /// The same for one that ended, and may begin again.
    fn settle_ended_group(&mut self, key: Key, ticket: Ticket, safe: bool) {
        let mut ended = self.connections.values_mut().flat_map(Connection::ended_groups);
        let Some((_, group)) = ended.find(|(ended, _)| *ended == key) else { return };
        let Some(numbers) = group.promises.settle(ticket).filter(|_| !safe) else { return };
        group.queue.retract(|waiting| waiting.promised && numbers.contains(&waiting.seq));
    }

    /// What was refused to its publisher comes back to the group from no member: who was sent it keeps
    /// it, and it is sent to nobody else.
    fn disown(&mut self, key: Key, numbers: &RangeInclusive<u64>, fx: &mut Effects) {
        let Core { groups, sessions, .. } = self;
        let Some(group) = groups.get(key) else { return };
        let refused = |waiting: &Waiting| {
            let ours = |origin: &Origin| origin.group == key && numbers.contains(&origin.seq);
            waiting.promised && waiting.origin.as_deref().is_some_and(ours)
        };
        let may_have = |session: &&mut Session| group.strays || session.groups.contains(&key);
        for session in sessions.values_mut().filter(may_have) {
            let own = session.durable_row();
            let mut gone = Vec::new();
            if session.queue.iter().any(refused) {
                gone = session.queue.retract(refused);
            }
            if let Some(own) = own {
                let rows = gone.iter().map(|waiting| queue_key(own, waiting.seq));
                fx.lazy.writes.extend(rows.map(|row| (Table::Queue, row, None)));
            }
            let sent = session.flight.published().filter(|waiting| refused(waiting));
            let sent = sent.filter_map(|waiting| waiting.origin.take());
            let origins = gone.into_iter().filter_map(|waiting| waiting.origin).chain(sent);
            let rows = origins.map(|origin| group_key(&group.filter, origin.seq));
            fx.lazy.writes.extend(rows.map(|row| (Table::Group, row, None)));
        }
    }
}
