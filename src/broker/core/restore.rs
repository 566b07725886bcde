//! What an earlier process left on disk is taken up. Rows of nobody are deleted; rows that cannot be
//! read are left alone.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;

use super::rows::{QueueRow, SessionRow, group_of};
use super::{Core, Effects, Timer};
use crate::broker::group::{Origin, Tried};
use crate::broker::message::{self, Message, Now};
use crate::broker::principal::Principal;
use crate::broker::queue::Waiting;
use crate::broker::session::{Options, Session, Will};
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;
use crate::contract::Role;
use crate::storage::{Rows, Table};

/// What became of a row.
enum Found {
    Taken,
    /// Its session is not there.
    Orphan,
    Unreadable,
}

impl Core {
    /// Takes up what an earlier process left; gives how many rows could not be read.
    pub(crate) fn restore(&mut self, store: &impl Rows, fx: &mut Effects) -> usize {
        let now = fx.now;
        let mut unreadable = self.restore_retained(store, fx);
        let mut rows = HashMap::new();
        store.scan(Table::Session, &mut |client, row| match std::str::from_utf8(client)
            .ok()
            .zip(SessionRow::decode(row).ok())
        {
            Some((client, stored)) => {
                rows.insert(stored.row, self.restore_session(client, &stored, fx));
            }
            None => unreadable += 1,
        });
        self.next_row = rows.keys().max().map_or(1, |last| last + 1);
        // Rows may be those of a session that could not be read.
        let tidy = unreadable == 0;
        let mut orphans = Vec::new();
        for table in [Table::Queue, Table::Received] {
            store.scan(table, &mut |key, row| {
                let Some(&number) = key.first_chunk::<8>() else { return unreadable += 1 };
                let number = u64::from_be_bytes(number);
                self.next_row = self.next_row.max(number + 1);
                let session = rows.get(&number).copied();
                let found = match (session, table) {
                    (None, _) => Found::Orphan,
                    (Some(session), Table::Queue) => self.restore_message(now, session, key, row),
                    (Some(session), _) => self.restore_received(session, key),
                };
                match found {
                    Found::Taken => {}
                    Found::Orphan if tidy => orphans.push((table, key.to_vec(), None)),
                    Found::Orphan | Found::Unreadable => unreadable += 1,
                }
            });
        }
        store.scan(Table::Group, &mut |key, row| match self.restore_shared(now, key, row) {
            Found::Taken => {}
            Found::Orphan if tidy => orphans.push((Table::Group, key.to_vec(), None)),
            Found::Orphan | Found::Unreadable => unreadable += 1,
        });
        fx.lazy.writes.append(&mut orphans);
        self.due(fx); // wills that are owed go out before anyone comes
        unreadable
    }

    fn restore_retained(&mut self, store: &impl Rows, fx: &mut Effects) -> usize {
        let mut unreadable = 0;
        store.scan(Table::Retained, &mut |topic, row| match Message::decode(row, fx.now) {
            Some(message) if message.expired(fx.now) => {
                fx.lazy.writes.push((Table::Retained, topic.to_vec(), None));
            }
            Some(message) => {
                if let Some(expires) = message.expires {
                    self.due_at(expires, Timer::Retained);
                }
                self.retained.keep(Arc::new(message));
            }
            None => unreadable += 1,
        });
        unreadable
    }

    fn restore_session(&mut self, client: &str, stored: &SessionRow, fx: &mut Effects) -> Key {
        let now = fx.now;
        let role = stored.role.parse().unwrap_or(Role::Observer);
        let principal =
            Principal { app: stored.app.clone(), ..Principal::new(&*stored.principal, role) };
        let client: Arc<str> = client.into();
        let mut session = Session::new(
            client.clone(),
            Arc::new(principal),
            self.setting.limits.queue,
            (&self.queued, &self.sent, &self.subscribed),
        );
        session.row = Some(stored.row);
        session.durable = true;
        // Of one that was connected at the end nothing is known but that it is not any more.
        session.left_ms = if stored.left_ms == 0 { now.wall_ms() } else { stored.left_ms };
        let gone = Duration::from_millis(now.wall_ms().saturating_sub(session.left_ms));
        let after =
            |seconds: u32| now.at + Duration::from_secs(seconds.into()).saturating_sub(gone);
        session.expiry_s = stored.expiry_s;
        session.ends_at = (stored.expiry_s < u32::MAX).then(|| after(stored.expiry_s));
        session.will = stored.will.as_ref().and_then(|will| {
            let message = Arc::new(Message::decode(&will.message, now)?);
            let (retain, delay_s, expiry_s) = (will.retain, will.delay_s, will.expiry_s);
            Some(Will { message, retain, delay_s, expiry_s })
        });
        let delay_s = session.will.as_ref().map(|will| will.delay_s.min(stored.expiry_s));
        session.will_at = delay_s.map(after);
        let (will_at, ends_at) = (session.will_at, session.ends_at);
        let key = self.sessions.insert(session);
        self.clients.insert(client, key);
        for at in will_at.into_iter().chain(ends_at) {
            self.due_at(at, Timer::Session(key));
        }
        for row in &stored.filters {
            let options = Options {
                qos: message::qos(row.qos).unwrap_or_default(),
                no_local: row.no_local,
                retain_as_published: row.retain_as_published,
                identifier: row.identifier,
            };
            if let Some(session) = self.sessions.get_mut(key) {
                session.filters.insert(&row.filter, options);
                let subscriber = Subscriber { session: key, options };
                self.place_filter(&row.filter, subscriber, fx);
                if let Some(after) = &row.kept_after {
                    self.replays.restore(subscriber, &row.filter, after);
                }
            }
        }
        key
    }

    fn restore_message(&mut self, now: Now, session: Key, key: &[u8], row: &[u8]) -> Found {
        let seq = key.get(8..).and_then(|seq| seq.try_into().ok()).map(u64::from_be_bytes);
        let (Some(seq), Ok(stored), Some(session)) =
            (seq, QueueRow::decode(row), self.sessions.get_mut(session))
        else {
            return Found::Unreadable;
        };
        if stored.released {
            session.restored(seq);
            session.flight.restore_released(seq);
            return Found::Taken;
        }
        let message = Message::decode(&stored.message, now);
        let (Some(message), Some(qos)) = (message, message::qos(stored.qos)) else {
            return Found::Unreadable;
        };
        session.restored(seq);
        session.queue.append(Waiting {
            retain: stored.retain,
            dup: true, // whether the earlier process had sent it is not known
            identifiers: stored.identifiers,
            ..Waiting::new(Arc::new(message), qos, seq)
        });
        Found::Taken
    }

    fn restore_shared(&mut self, now: Now, key: &[u8], row: &[u8]) -> Found {
        let (Some((filter, seq)), Ok(stored)) = (group_of(key), QueueRow::decode(row)) else {
            return Found::Unreadable;
        };
        let Some(&key) = self.group_keys.get(filter) else { return Found::Orphan };
        let message = Message::decode(&stored.message, now);
        let (Some(message), Some(group)) = (message, self.groups.get_mut(key)) else {
            return Found::Unreadable;
        };
        group.restored(seq);
        let (tried, retain) = (Tried::Some, stored.retain); // whom it was sent to is not known
        let origin = Origin { group: key, seq, retain, tried, moved: false };
        let qos = message.qos;
        let waiting = Waiting::new(Arc::new(message), qos, seq);
        group.queue.append(Waiting { origin: Some(Box::new(origin)), ..waiting });
        Found::Taken
    }

    fn restore_received(&mut self, session: Key, key: &[u8]) -> Found {
        let packet_id = key.get(8..).and_then(|id| id.try_into().ok()).map(u16::from_be_bytes);
        match (packet_id.and_then(NonZeroU16::new), self.sessions.get_mut(session)) {
            (Some(packet_id), Some(session)) => {
                session.received.take(packet_id, None);
                Found::Taken
            }
            (None, _) | (_, None) => Found::Unreadable,
        }
    }
}
