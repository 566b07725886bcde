//! What the broker keeps on disk, row by row.
//!
//! | table | key | row |
//! |---|---|---|
//! | Retained | topic | the message |
//! | Session | client id | [`SessionRow`]: who it is, its filters, its will. Also without a future, for the will |
//! | Queue | session's number, message's number (big endian: in order) | [`QueueRow`] |
//! | Group | share filter, NUL, message's number | [`QueueRow`] |
//! | Received | session's number, packet identifier | nothing |
//!
//! | step | is on disk before |
//! |---|---|
//! | a message for a durable session | PUBACK, PUBREC to its publisher; with QoS 2 also the PUBLISH to the session |
//! | a QoS 2 packet identifier received, with its message, or with the record of its command | PUBREC |
//! | the same released | PUBCOMP: the client may use it for another message then |
//! | a message released by PUBREC | PUBREL: it must not be published again |
//! | filters, and how far what is retained was sent | SUBACK, UNSUBACK; the next piece of it |
//! | a will published | the will gone from its row: both in one batch |

use std::num::NonZeroU16;
use std::sync::Arc;

use prost::Message as _;

use super::publish::Publisher;
use super::{Core, Effects};
use crate::broker::intake::Ticket;
use crate::broker::message::{Message, Now};
use crate::broker::queue::Waiting;
use crate::broker::session::{Options, Peer};
use crate::broker::slots::Key;
use crate::bus::Qos;
use crate::storage::{Batch, Table};

/// A session that outlives its connection, or has a will: that is owed whatever becomes of us
/// (§3.1.2.5). Field numbers are on disk: never reuse one.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SessionRow {
    #[prost(uint64, tag = "1")]
    pub(super) row: u64,
    #[prost(string, tag = "2")]
    pub(super) principal: String,
    /// The role when it was last here; judged anew when it comes back.
    #[prost(string, tag = "3")]
    pub(super) role: String,
    #[prost(string, optional, tag = "4")]
    pub(super) app: Option<String>,
    #[prost(uint32, tag = "5")]
    pub(super) expiry_s: u32,
    /// When its connection was lost, ms since 1970; 0 while connected.
    #[prost(uint64, tag = "6")]
    pub(super) left_ms: u64,
    #[prost(message, repeated, tag = "7")]
    pub(super) filters: Vec<FilterRow>,
    #[prost(message, optional, tag = "8")]
    pub(super) will: Option<WillRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WillRow {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) message: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub(super) retain: bool,
    #[prost(uint32, tag = "3")]
    pub(super) delay_s: u32,
    #[prost(uint32, optional, tag = "4")]
    pub(super) expiry_s: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FilterRow {
    #[prost(string, tag = "1")]
    pub(super) filter: String,
    #[prost(uint32, tag = "2")]
    pub(super) qos: u32,
    #[prost(bool, tag = "3")]
    pub(super) no_local: bool,
    #[prost(bool, tag = "4")]
    pub(super) retain_as_published: bool,
    #[prost(uint32, tag = "5")]
    pub(super) identifier: u32,
    /// What is retained under it is still to be sent, behind this topic.
    #[prost(string, optional, tag = "6")]
    pub(super) kept_after: Option<String>,
}

/// A message that waits for a session. Field numbers are on disk: never reuse one.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct QueueRow {
    /// Empty when it is released.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) message: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(super) qos: u32,
    #[prost(bool, tag = "3")]
    pub(super) retain: bool,
    #[prost(uint32, repeated, tag = "4")]
    pub(super) identifiers: Vec<u32>,
    /// PUBREC came: only PUBREL is sent again.
    #[prost(bool, tag = "5")]
    pub(super) released: bool,
}

/// Where a message of a session stands.
pub(super) fn queue_key(row: u64, seq: u64) -> Vec<u8> {
    [row.to_be_bytes(), seq.to_be_bytes()].concat()
}

/// Where a received packet identifier of a session stands.
pub(super) fn received_key(row: u64, packet_id: NonZeroU16) -> Vec<u8> {
    [&row.to_be_bytes()[..], &packet_id.get().to_be_bytes()].concat()
}

/// The form on disk of the message that goes out now: made once, for however many sessions.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    last: Option<(Arc<Message>, Vec<u8>)>,
}

impl Encoded {
    pub(super) fn of(&mut self, message: &Arc<Message>, now: Now) -> &[u8] {
        if self.last.as_ref().is_some_and(|(last, _)| !Arc::ptr_eq(last, message)) {
            self.last = None;
        }
        let (_, bytes) = self.last.get_or_insert_with(|| (message.clone(), message.encode(now)));
        bytes
    }

    /// All who get it have it.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

/// The row of a message, in its form on disk, that waits.
pub(super) fn queue_row(message: &[u8], waiting: &Waiting) -> Vec<u8> {
    let rest = QueueRow {
        qos: waiting.qos as u32,
        retain: waiting.retain,
        identifiers: waiting.identifiers.clone(),
        ..QueueRow::default()
    };
    row_with(message, &rest)
}

/// `rest` with the message, which is copied once.
fn row_with(message: &[u8], rest: &QueueRow) -> Vec<u8> {
    const MESSAGE: u8 = 1 << 3 | 2; // field 1, a length and so many bytes
    let mut row = Vec::with_capacity(message.len() + rest.encoded_len() + 11);
    row.push(MESSAGE);
    let _ = prost::encode_length_delimiter(message.len(), &mut row); // a Vec has room
    row.extend_from_slice(message);
    let _ = rest.encode(&mut row);
    row
}

/// Where a message of a shared subscription stands. No filter has a NUL in it.
pub(super) fn group_key(filter: &str, seq: u64) -> Vec<u8> {
    [filter.as_bytes(), &[0], &seq.to_be_bytes()].concat()
}

/// The reverse of [`group_key`].
pub(super) fn group_of(key: &[u8]) -> Option<(&str, u64)> {
    let (filter, seq) = key.split_last_chunk::<8>()?;
    let filter = std::str::from_utf8(filter.strip_suffix(&[0])?).ok()?;
    Some((filter, u64::from_be_bytes(*seq)))
}

/// The row of a message of a shared subscription: as it was published.
pub(super) fn group_row(message: &[u8], qos: Qos, retain: bool) -> Vec<u8> {
    row_with(message, &QueueRow { qos: qos as u32, retain, ..QueueRow::default() })
}

impl Core {
    /// The ticket of this turn's promises.
    pub(super) fn promise(&mut self, fx: &mut Effects) -> Ticket {
        let next = &mut self.next_ticket;
        *fx.promise.ticket.get_or_insert_with(|| {
            *next += 1;
            *next - 1
        })
    }

    /// Writes a session that has a row.
    pub(super) fn store_session(&mut self, key: Key, fx: &mut Effects) {
        let Some(session) = self.sessions.get(key) else { return };
        let Some(row) = session.row else { return };
        let filters = session.filters.iter().filter(|_| session.durable);
        let filters = filters.map(|(filter, options)| {
            let kept_after = self.replays.unsent(key, filter, options).map(str::to_string);
            FilterRow { kept_after, ..filter_row(filter, options) }
        });
        let stored = SessionRow {
            row,
            principal: session.principal.name.clone(),
            role: session.principal.role.to_string(),
            app: session.principal.app.clone(),
            expiry_s: session.expiry_s,
            left_ms: if session.peer == Peer::Away { session.left_ms } else { 0 },
            filters: filters.collect(),
            will: session.will.as_ref().map(|will| WillRow {
                message: will.message.encode(fx.now),
                retain: will.retain,
                delay_s: will.delay_s,
                expiry_s: will.expiry_s,
            }),
        };
        let key = session.client.as_bytes().to_vec();
        fx.promise.batch.writes.push((Table::Session, key, Some(stored.encode_to_vec())));
    }

    /// Notes on disk what a durable session has received with QoS 2; the ticket is its commit's.
    pub(super) fn store_received(
        &mut self,
        session: Key,
        packet_id: NonZeroU16,
        fx: &mut Effects,
    ) -> Option<Ticket> {
        self.write_received(session, packet_id, Some(Vec::new()), fx)
    }

    /// The same row for somebody else's commit.
    pub(super) fn receipt(&self, publisher: Option<Publisher>) -> Batch {
        let row = publisher.and_then(|publisher| {
            let row = self.sessions.get(publisher.session)?.durable_row()?;
            Some(received_key(row, publisher.receipt?))
        });
        let batch = Batch::default();
        match row {
            Some(row) => batch.put(Table::Received, row, Vec::new()),
            None => batch,
        }
    }

    /// The reverse of [`Core::store_received`].
    pub(super) fn forget_received(
        &mut self,
        session: Key,
        packet_id: NonZeroU16,
        fx: &mut Effects,
    ) -> Option<Ticket> {
        self.write_received(session, packet_id, None, fx)
    }

    fn write_received(
        &mut self,
        session: Key,
        packet_id: NonZeroU16,
        value: Option<Vec<u8>>,
        fx: &mut Effects,
    ) -> Option<Ticket> {
        let row = self.sessions.get(session)?.durable_row()?;
        fx.promise.batch.writes.push((Table::Received, received_key(row, packet_id), value));
        Some(self.promise(fx))
    }

    /// The message of this number is released: its row says so; the ticket is its commit's.
    pub(super) fn store_released(
        &mut self,
        session: Key,
        seq: u64,
        fx: &mut Effects,
    ) -> Option<Ticket> {
        let row = self.sessions.get(session)?.durable_row()?;
        let released = QueueRow { released: true, ..QueueRow::default() }.encode_to_vec();
        fx.promise.batch.writes.push((Table::Queue, queue_key(row, seq), Some(released)));
        Some(self.promise(fx))
    }
}

fn filter_row(filter: &str, options: &Options) -> FilterRow {
    FilterRow {
        filter: filter.to_string(),
        qos: options.qos as u32,
        no_local: options.no_local,
        retain_as_published: options.retain_as_published,
        identifier: options.identifier,
        kept_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_put_together_is_the_row() {
        for length in [0, 1, 127, 128, 70_000] {
            let message = vec![7; length];
            let rest = QueueRow { qos: 2, identifiers: vec![3, 400], ..QueueRow::default() };
            let row = QueueRow::decode(&*row_with(&message, &rest)).expect("our own row");
            assert_eq!(row, QueueRow { message, ..rest });
        }
    }
}
