//! What the broker keeps on disk, and what it makes of it at start.
//!
//! | table | key | row |
//! |---|---|---|
//! | Retained | topic | the message |
//! | Session | client id | [`SessionRow`] |
//! | Queue | session's number, message's number (big endian: in order) | [`QueueRow`] |

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;

use super::{Core, Effects, Timer};
use crate::broker::message::{self, Message, Now};
use crate::broker::principal::Principal;
use crate::broker::queue::Waiting;
use crate::broker::session::{Options, Peer, Session};
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;
use crate::bus::Qos;
use crate::contract::Role;
use crate::storage::{Store, Table, Window};

/// A session that outlives its connection. Field numbers are on disk: never reuse one.
#[derive(Clone, PartialEq, prost::Message)]
struct SessionRow {
    #[prost(uint64, tag = "1")]
    row: u64,
    #[prost(string, tag = "2")]
    principal: String,
    /// The role when it was last here; judged anew when it comes back.
    #[prost(string, tag = "3")]
    role: String,
    #[prost(string, optional, tag = "4")]
    app: Option<String>,
    #[prost(uint32, tag = "5")]
    expiry_s: u32,
    /// When its connection was lost, ms since 1970; 0 while connected.
    #[prost(uint64, tag = "6")]
    left_ms: u64,
    #[prost(message, repeated, tag = "7")]
    filters: Vec<FilterRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FilterRow {
    #[prost(string, tag = "1")]
    filter: String,
    #[prost(uint32, tag = "2")]
    qos: u32,
    #[prost(bool, tag = "3")]
    no_local: bool,
    #[prost(bool, tag = "4")]
    retain_as_published: bool,
    #[prost(uint32, tag = "5")]
    identifier: u32,
}

/// A message that waits for a session. Field numbers are on disk: never reuse one.
#[derive(Clone, PartialEq, prost::Message)]
struct QueueRow {
    #[prost(bytes = "vec", tag = "1")]
    message: Vec<u8>,
    #[prost(uint32, tag = "2")]
    qos: u32,
    #[prost(bool, tag = "3")]
    retain: bool,
    #[prost(uint32, repeated, tag = "4")]
    identifiers: Vec<u32>,
}

/// Where a message of a session stands.
pub(super) fn queue_key(row: u64, seq: u64) -> Vec<u8> {
    [row.to_be_bytes(), seq.to_be_bytes()].concat()
}

/// What stands there.
pub(super) fn queue_row(
    message: &Message,
    identifiers: &[u32],
    (qos, retain): (Qos, bool),
    now: Now,
) -> Vec<u8> {
    let identifiers = identifiers.to_vec();
    QueueRow { message: message.encode(now), qos: qos as u32, retain, identifiers }.encode_to_vec()
}

impl Core {
    /// Writes a session that outlives its connection.
    pub(super) fn store_session(&mut self, key: Key, fx: &mut Effects) {
        let Some(session) = self.sessions.get(key) else { return };
        let Some(row) = session.row else { return };
        let filters = session.filters.iter().map(|(filter, options)| FilterRow {
            filter: filter.to_string(),
            qos: options.qos as u32,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            identifier: options.identifier,
        });
        let stored = SessionRow {
            row,
            principal: session.principal.name.clone(),
            role: session.principal.role.to_string(),
            app: session.principal.app.clone(),
            expiry_s: session.expiry_s,
            left_ms: if session.peer == Peer::Away { fx.now.wall_ms() } else { 0 },
            filters: filters.collect(),
        };
        let key = session.client.as_bytes().to_vec();
        fx.writes(Window::Promise).writes.push((Table::Session, key, Some(stored.encode_to_vec())));
    }

    /// Takes up what an earlier process left. Rows that cannot be read are left alone and counted.
    pub(crate) fn restore(&mut self, now: Now, store: &Store) -> usize {
        let mut unreadable = 0;
        store.scan(Table::Retained, &mut |_, row| match Message::decode(row, now) {
            Some(message) if !message.expired(now) => {
                if let Some(expires) = message.expires {
                    self.due_at(expires, Timer::Retained);
                }
                self.retained.keep(Arc::new(message));
            }
            Some(_) => {}
            None => unreadable += 1,
        });
        let mut rows = HashMap::new();
        store.scan(Table::Session, &mut |client, row| match std::str::from_utf8(client)
            .ok()
            .zip(SessionRow::decode(row).ok())
        {
            Some((client, stored)) => {
                rows.insert(stored.row, self.restore_session(now, client, &stored));
            }
            None => unreadable += 1,
        });
        self.next_row = rows.keys().max().map_or(1, |last| last + 1);
        store.scan(Table::Queue, &mut |key, row| {
            if self.restore_message(now, &rows, key, row).is_none() {
                unreadable += 1;
            }
        });
        unreadable
    }

    fn restore_session(&mut self, now: Now, client: &str, stored: &SessionRow) -> Key {
        let role = stored.role.parse().unwrap_or(Role::Observer);
        let principal =
            Principal { app: stored.app.clone(), ..Principal::new(&*stored.principal, role) };
        let client: Arc<str> = client.into();
        let mut session =
            Session::new(client.clone(), Arc::new(principal), self.setting.limits.queue);
        session.row = Some(stored.row);
        session.expiry_s = stored.expiry_s;
        if stored.expiry_s < u32::MAX {
            let left_ms = if stored.left_ms == 0 { now.wall_ms() } else { stored.left_ms };
            let gone = Duration::from_millis(now.wall_ms().saturating_sub(left_ms));
            let left = Duration::from_secs(stored.expiry_s.into()).saturating_sub(gone);
            session.ends_at = Some(now.at + left);
        }
        let ends_at = session.ends_at;
        let key = self.sessions.insert(session);
        self.clients.insert(client, key);
        if let Some(at) = ends_at {
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
                session.filters.insert(row.filter.as_str().into(), options);
                self.tree.insert(&row.filter, Subscriber { session: key, options });
            }
        }
        key
    }

    fn restore_message(
        &mut self,
        now: Now,
        rows: &HashMap<u64, Key>,
        key: &[u8],
        row: &[u8],
    ) -> Option<()> {
        let (session, seq) = key.split_first_chunk::<8>()?;
        let session = rows.get(&u64::from_be_bytes(*session))?;
        let seq = u64::from_be_bytes(seq.try_into().ok()?);
        let stored = QueueRow::decode(row).ok()?;
        let waiting = Waiting {
            message: Arc::new(Message::decode(&stored.message, now)?),
            qos: message::qos(stored.qos)?,
            retain: stored.retain,
            dup: true, // whether the earlier process had sent it is not known
            identifiers: stored.identifiers,
            seq,
        };
        let session = self.sessions.get_mut(*session)?;
        session.restored(seq);
        session.queue.push(waiting);
        Some(())
    }
}
