//! Acknowledgements (§4.3), both ways: with which a client ends a message of ours, and what it is owed
//! for its own.

use super::connection::{Answer, Owed};
use super::{Core, Effects};
use crate::broker::flight::Acknowledged;
use crate::broker::group::Origin;
use crate::broker::queue::Waiting;
use crate::broker::session::Session;
use crate::broker::slots::Key;
use crate::broker::wire::{Ack, Reason};
use crate::bus::Qos;
use crate::storage::{Table, Window};

impl Core {
    /// PUBACK from a client.
    pub(super) fn puback(&mut self, key: Key, ack: &Ack<'_>, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Acknowledged::Done(seq, sent) =
            session.flight.complete(ack.packet_id, Qos::AtLeastOnce)
        {
            self.done(key, seq, sent, fx);
        }
    }

    /// PUBREC from a client: answered with PUBREL, for a durable session when that step is on disk.
    pub(super) fn pubrec(&mut self, key: Key, ack: &Ack<'_>, fx: &mut Effects) {
        let Some(session_key) = self.open_session(key) else { return };
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let (reason, ticket) = match session.flight.receipt(ack.packet_id, ack.reason.is_error()) {
            Acknowledged::Done(seq, sent) => return self.done(session_key, seq, sent, fx),
            Acknowledged::Released(seq, sent) => {
                let origin = sent.and_then(|sent| sent.origin).filter(|origin| !origin.moved);
                if let Some(origin) = origin {
                    self.forget_of_group(&origin, Window::Promise, fx);
                }
                (Reason::Success, self.store_released(session_key, seq, fx))
            }
            Acknowledged::Unknown => (Reason::PacketIdentifierNotFound, None),
        };
        let owed = Owed::success(Answer::PubRel(ack.packet_id), ticket);
        self.owe(key, Owed { reason, ..owed }, fx);
    }

    /// PUBCOMP from a client.
    pub(super) fn pubcomp(&mut self, key: Key, ack: &Ack<'_>, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Acknowledged::Done(seq, sent) =
            session.flight.complete(ack.packet_id, Qos::ExactlyOnce)
        {
            self.done(key, seq, sent, fx);
        }
    }

    /// PUBREL: the packet identifier is free again (§4.3.3), for a durable session when that is on disk.
    pub(super) fn pubrel(&mut self, key: Key, ack: &Ack<'_>, fx: &mut Effects) {
        let Some(session_key) = self.open_session(key) else { return };
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let known = session.received.free(ack.packet_id);
        let reason = if known { Reason::Success } else { Reason::PacketIdentifierNotFound };
        let ticket = self.forget_received(session_key, ack.packet_id, fx);
        let owed = Owed::success(Answer::PubComp(ack.packet_id), ticket);
        self.owe(key, Owed { reason, ..owed }, fx);
    }

    /// Sends an acknowledgement in its place in the order, now or later.
    pub(super) fn owe(&mut self, key: Key, owed: Owed, fx: &mut Effects) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let ticket = owed.ticket;
        connection.owe(owed);
        super::touch(connection, key, fx);
        if let Some(ticket) = ticket {
            self.connection_waits(key, ticket);
        }
    }

    /// A message is done with.
    pub(super) fn done(&mut self, key: Key, seq: u64, sent: Option<Waiting>, fx: &mut Effects) {
        let origin = sent.as_ref().and_then(|sent| sent.origin.as_deref());
        self.forget(key, seq, origin, fx);
        self.pump(key, fx);
    }

    /// The row of a message that is done with goes, wherever it is.
    pub(super) fn forget(&mut self, key: Key, seq: u64, origin: Option<&Origin>, fx: &mut Effects) {
        match origin.filter(|origin| !origin.moved) {
            Some(origin) => self.forget_of_group(origin, Window::Lazy, fx),
            None => {
                let row = self.sessions.get(key).and_then(Session::durable_row);
                self.forget_rows(row, std::iter::once(seq), fx);
            }
        }
    }

    /// Rows of messages that are done with.
    pub(super) fn forget_rows(
        &mut self,
        row: Option<u64>,
        numbers: impl Iterator<Item = u64>,
        fx: &mut Effects,
    ) {
        let Some(row) = row else { return };
        for seq in numbers.filter(|&seq| seq > 0) {
            fx.lazy.writes.push((Table::Queue, super::rows::queue_key(row, seq), None));
        }
    }
}
