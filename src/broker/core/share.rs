//! Shared subscriptions (§4.8.2): what a group gets, which member gets it, and what comes back.
//!
//! | a message of the group | its row | a kill |
//! |---|---|---|
//! | waits | the group's | it waits |
//! | sent with QoS 1 | the group's, until PUBACK | another member may get it, with DUP |
//! | sent with QoS 2 to a durable session | that session's, before it is sent | it stays with that session |
//! | sent with QoS 2 to another | the group's, until PUBREC | another member may get it, with DUP |

use super::relieve::Room;
use super::rows::{group_key, group_row, queue_key, queue_row};
use super::{Core, Effects, Waiter};
use crate::broker::group::{Group, Origin, Tried};
use crate::broker::message::Incoming;
use crate::broker::notice::Drop;
use crate::broker::queue::Waiting;
use crate::broker::session::{Peer, Session};
use crate::broker::slots::{Key, Slots};
use crate::broker::tree::Subscriber;
use crate::bus::Qos;
use crate::storage::{Table, Window};
use crate::topic::Shared;

use super::connection::Connection;

impl Core {
    /// A session's filter takes its place, a shared one in its group.
    pub(super) fn place_filter(&mut self, filter: &str, subscriber: Subscriber, fx: &mut Effects) {
        let Some(shared) = Shared::parse(filter) else {
            return self.tree.insert(filter, subscriber);
        };
        let key = match self.group_keys.get(filter) {
            Some(&key) => key,
            None => {
                let mut group = Group::new(filter, self.setting.limits.queue, &self.queued);
                // What is removed lazily of an earlier group must not be this one's.
                group.restored(self.last_shared);
                let key = self.groups.insert(group);
                self.group_keys.insert(filter.into(), key);
                self.tree.insert_group(shared.filter, key);
                key
            }
        };
        if let Some(group) = self.groups.get_mut(key) {
            group.join(subscriber);
        }
        if let Some(session) = self.sessions.get_mut(subscriber.session)
            && !session.groups.contains(&key)
        {
            session.groups.push(key);
        }
        self.store_or_forget_group(key, fx);
    }

    /// The reverse. What the session has been sent of its group stays with it (MQTT-3.10.4-3); the last
    /// member takes the queue with it.
    pub(super) fn displace_filter(
        &mut self,
        filter: &str,
        session: Key,
        fx: &mut Effects,
    ) -> Option<(Key, Group)> {
        let (Some(shared), Some(&key)) = (Shared::parse(filter), self.group_keys.get(filter))
        else {
            self.tree.remove(filter, session);
            return None;
        };
        if let Some(session) = self.sessions.get_mut(session) {
            session.groups.retain(|group| *group != key);
        }
        // It leaves first: what it gives back is for the others.
        self.groups.get_mut(key)?.leave(session);
        self.keep_what_was_sent(session, key, fx);
        if self.groups.get(key).is_some_and(|group| !group.members.is_empty()) {
            self.store_or_forget_group(key, fx);
            self.pump_group(key, fx);
            return None;
        }
        self.tree.remove_group(shared.filter, key);
        self.group_keys.remove(filter);
        self.adopt_strays(key, fx);
        let group = self.groups.remove(key)?;
        self.last_shared = self.last_shared.max(group.last_seq());
        if group.durable {
            let rows = group.queue.iter().map(|waiting| group_key(&group.filter, waiting.seq));
            fx.promise.batch.writes.extend(rows.map(|row| (Table::Group, row, None)));
        }
        Some((key, group))
    }

    /// One message for a group; true when it is on its way to disk.
    pub(super) fn share_out(
        &mut self,
        key: Key,
        incoming: &Incoming<'_>,
        window: Window,
        fx: &mut Effects,
    ) -> bool {
        let Some(group) = self.groups.get(key) else { return false };
        let may = |member: &Subscriber| self.may_read(member.session, incoming);
        if !group.members.iter().any(may) {
            return false;
        }
        if group.qos(incoming.qos) == Qos::AtMostOnce {
            self.share_at_most_once(key, incoming, fx);
            return false;
        }
        let durable = group.durable;
        let promised = (durable || incoming.noted) && window == Window::Promise;
        let ticket = promised.then(|| self.promise(fx));
        let held = incoming.will;
        let Some(group) = self.groups.get_mut(key) else { return false };
        let seq = group.take_seq();
        let retain = incoming.retain;
        let tried = Tried::Nobody;
        let origin = Origin { group: key, seq, retain, tried, moved: false };
        let message = incoming.shared().clone();
        if durable {
            let row = group_row(self.encoded.of(&message, fx.now), message.qos, retain);
            let row_key = group_key(&group.filter, seq);
            fx.writes(window).writes.push((Table::Group, row_key, Some(row)));
        }
        let waiting = Waiting {
            promised: promised && !held, // see `enqueue`
            held,
            origin: Some(Box::new(origin)),
            ..Waiting::new(message, incoming.qos, seq)
        };
        let full = group.queue.full(waiting.message.weight());
        let expired = if full.is_some() { group.queue.expired(fx.now) } else { Vec::new() };
        let dropped = group.queue.push(waiting);
        if let Some(ticket) = ticket
            && group.promises.add(ticket, seq)
        {
            self.waiting.entry(ticket).or_default().push(Waiter::Group(key));
        }
        self.group_dropped(key, expired, Drop::Expired, fx);
        self.group_dropped(key, dropped, full.unwrap_or(Drop::QueueFull), fx);
        self.pump_group(key, fx);
        durable
    }

    /// QoS 0: to a member that is there and not behind, or to nobody.
    fn share_at_most_once(&mut self, key: Key, incoming: &Incoming<'_>, fx: &mut Effects) {
        let room = self.room();
        let Core { groups, sessions, connections, setting, .. } = self;
        let audience = incoming.audience.map(|audience| &**audience);
        let chosen = groups.get_mut(key).and_then(|group| {
            group.choose(|member| {
                sessions.get(member.session).is_some_and(|session| {
                    has_room(session, connections, room)
                        && setting.acl.may_read(&session.principal, incoming.topic, audience)
                })
            })
        });
        match chosen {
            Some(member) => self.deliver_to_member(member, incoming, fx),
            None => self.note_group_drops(key, Drop::Slow, 1, fx),
        }
    }

    /// Gives what waits to members that have room, each in turn.
    pub(super) fn pump_group(&mut self, key: Key, fx: &mut Effects) {
        loop {
            let room = self.room();
            let Core { groups, sessions, connections, setting, .. } = self;
            let Some(group) = groups.get_mut(key) else { return };
            if let Some(expired) = group.queue.pop_expired(fx.now) {
                self.group_dropped(key, vec![expired], Drop::Expired, fx);
                continue;
            }
            let Some(first) = group.queue.first().filter(|_| !group.rests) else { return };
            if first.held && group.promises.waits(first.seq) {
                return;
            }
            let (message, seq) = (first.message.clone(), first.seq);
            let chosen = group.choose(|member| {
                sessions.get(member.session).is_some_and(|session| {
                    let audience = message.audience.as_deref();
                    has_room(session, connections, room)
                        && setting.acl.may_read(&session.principal, &message.topic, audience)
                })
            });
            let Some(member) = chosen else { return };
            // What its publisher may send again goes where the disk has it, or after that.
            let durable =
                sessions.get(member.session).is_some_and(|one| one.durable_row().is_some());
            let once = message.qos.min(member.options.qos) == Qos::ExactlyOnce;
            if once && !durable && group.promises.waits(seq) {
                return;
            }
            let Some(waiting) = group.queue.pop() else { return };
            self.give(key, member, waiting, fx);
        }
    }

    fn give(&mut self, group: Key, member: Subscriber, mut waiting: Waiting, fx: &mut Effects) {
        let (Some(group), Some(session)) =
            (self.groups.get(group), self.sessions.get_mut(member.session))
        else {
            return;
        };
        let row = group.durable.then(|| group_key(&group.filter, waiting.seq));
        let unsettled = group.promises.waits(waiting.seq);
        waiting.qos = waiting.message.qos.min(member.options.qos);
        waiting.retain =
            member.options.retain_as_published && waiting.origin.as_ref().is_some_and(|o| o.retain);
        // MQTT-3.3.1-2: QoS 0 knows no DUP.
        waiting.dup = waiting.qos > Qos::AtMostOnce
            && waiting.origin.as_ref().is_some_and(|o| o.may_know(member.session));
        waiting.identifiers =
            Some(member.options.identifier).filter(|&number| number > 0).into_iter().collect();
        (waiting.promised, waiting.held) = (unsettled, false);
        let own_row = session.durable_row().filter(|_| waiting.qos == Qos::ExactlyOnce);
        let at_most_once = waiting.qos == Qos::AtMostOnce;
        if at_most_once && session.peer != Peer::Link {
            waiting.seq = 0;
        } else if own_row.is_none() {
            waiting.seq = session.take_seq();
        }
        if at_most_once {
            waiting.origin = None;
            fx.lazy.writes.extend(row.map(|row| (Table::Group, row, None)));
        } else if let Some(own_row) = own_row {
            self.move_to_member(member.session, (own_row, row), &mut waiting, fx);
        }
        if let Some(session) = self.sessions.get_mut(member.session) {
            session.queue.append(waiting);
        }
        self.pump_own(member.session, fx);
    }

    /// What goes out with QoS 2 is this member's from now on, in one batch, before it is sent.
    fn move_to_member(
        &mut self,
        member: Key,
        (own, row): (u64, Option<Vec<u8>>),
        waiting: &mut Waiting,
        fx: &mut Effects,
    ) {
        let ticket = self.promise(fx);
        let Some(session) = self.sessions.get_mut(member) else { return };
        session.promise(ticket);
        waiting.seq = session.take_seq();
        if let Some(origin) = &mut waiting.origin {
            origin.moved = true;
        }
        let bytes = queue_row(&waiting.message.encode(fx.now), waiting);
        let writes = &mut fx.promise.batch.writes;
        writes.push((Table::Queue, queue_key(own, waiting.seq), Some(bytes)));
        writes.extend(row.map(|row| (Table::Group, row, None)));
        self.session_waits(member, ticket);
    }

    pub(super) fn group_dropped(
        &mut self,
        key: Key,
        dropped: Vec<Waiting>,
        why: Drop,
        fx: &mut Effects,
    ) {
        let told = dropped.iter().filter(|waiting| !self.is_of_drops(&waiting.message)).count();
        self.counters.dropped(why, dropped.len() - told);
        self.note_group_drops(key, why, told, fx);
        let Some(group) = self.groups.get(key).filter(|group| group.durable) else { return };
        for waiting in dropped {
            let row = group_key(&group.filter, waiting.seq);
            fx.lazy.writes.push((Table::Group, row, None));
        }
    }

    /// A group is on disk while one of its members has a session that is.
    fn store_or_forget_group(&mut self, key: Key, fx: &mut Effects) {
        let Core { groups, sessions, .. } = self;
        let Some(group) = groups.get_mut(key) else { return };
        let sessions_of = || group.members.iter().filter_map(|one| sessions.get(one.session));
        let durable = sessions_of().any(|session| session.durable);
        if durable == group.durable {
            return;
        }
        if !durable && group.strays {
            self.adopt_strays(key, fx);
            return self.store_or_forget_group(key, fx);
        }
        let with_members =
            sessions_of().flat_map(|session| {
                let ours = |origin: &&Origin| origin.group == key && !origin.moved;
                session.flight.waiting().chain(session.queue.iter()).filter_map(move |waiting| {
                    Some((waiting, waiting.origin.as_deref().filter(ours)?))
                })
            });
        let queued =
            group.queue.iter().filter_map(|waiting| Some((waiting, waiting.origin.as_deref()?)));
        for (waiting, origin) in with_members.chain(queued) {
            let message = &waiting.message;
            let encoded = durable.then(|| message.encode(fx.now));
            let row = encoded.map(|encoded| group_row(&encoded, message.qos, origin.retain));
            let row_key = group_key(&group.filter, origin.seq);
            fx.promise.batch.writes.push((Table::Group, row_key, row));
        }
        group.durable = durable;
    }
}

/// Whether a member is there and can take one more: its window free, its connection not behind.
pub(super) fn has_room(session: &Session, connections: &Slots<Connection>, room: Room) -> bool {
    match session.peer {
        Peer::Away => false,
        Peer::Link => session.has_room(room.in_flight),
        Peer::Wire(connection) => {
            connections.get(connection).is_some_and(|connection| {
                connection.out.len() <= room.unread && !connection.holding()
            }) && session.has_room(room.in_flight)
        }
    }
}
