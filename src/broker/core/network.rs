//! Connections: the bytes that come and the bytes that go, and how one is ended.
//!
//! ```text
//!   accept ──> received ──> frame ──> decode ──> connect │ publish │ subscribe │ acknowledge │ ..
//!                 ^  │ slice                        │
//!                 └──┘                     malformed, silence ──> end ──> DISCONNECT, closed, will
//!
//!   outbox <── send <── everything that answers;  written ──> what waited for room
//! ```
//! A connection that costs much is served in slices: its bytes wait, the others have their turn.

use super::connection::{Connection, State};
use super::{Core, Effects, Timer};
use crate::broker::limits::Limit;
use crate::broker::slots::Key;
use crate::broker::wire::{
    self, Disconnect, Malformed, Packet, PacketType, PropertyBuffer, Reason, Version,
};

/// What one connection may cost before the loop looks at the clock, in steps of roughly 100 ns.
pub(super) const SLICE: usize = 500;
/// What it costs to write to one more connection.
const WRITE: usize = 30;

impl Core {
    /// Bytes came; returns how many of them are done with. Fewer than all means: wait for more, or
    /// (after a CONNECT that is not answered yet) until [`Core::reading`] again, or, when this was a slice of
    /// what there is to do ([`Core::sliced`]), let others have their turn and come back.
    pub(crate) fn received(&mut self, key: Key, bytes: &[u8], fx: &mut Effects) -> usize {
        let mut done = 0;
        self.spent = 0;
        if let Some(connection) = self.connections.get_mut(key) {
            connection.last_seen = fx.now.at;
        }
        while self.spent < SLICE
            && let Some(connection) = self.connections.get(key)
        {
            let max = match connection.state {
                State::Greeting => self.setting.limits.connect_size,
                State::Open(_) if connection.unanswered() => break,
                State::Open(_) => self.setting.limits.packet_size,
                State::Verifying(_) => break,
                State::Closing => return bytes.len(),
            };
            let frame = match wire::frame(&bytes[done..], max) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(malformed) => {
                    self.malformed(key, malformed, fx);
                    return bytes.len();
                }
            };
            done += frame.size;
            if let Some(connection) = self.connections.get_mut(key) {
                connection.traffic.came(frame.size);
            }
            self.spent += 5 + frame.size / 256;
            let dirty = fx.dirty.len();
            if let Err(malformed) = self.packet(key, &frame, fx) {
                self.malformed(key, malformed, fx);
                return bytes.len();
            }
            self.relieve(fx);
            self.spent += WRITE * (fx.dirty.len() - dirty);
        }
        self.note_unfinished(key, bytes.len() - done, fx);
        done
    }

    /// What a connection has begun to say. When all have begun too much, the one goes that has been silent
    /// longest of those with more than an even share.
    fn note_unfinished(&mut self, key: Key, bytes: usize, fx: &mut Effects) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let bytes = bytes + connection.aliases_in.bytes();
        if bytes != connection.unfinished_bytes.bytes() {
            connection.unfinished_bytes.set(bytes);
        }
        let most = self.setting.limits.unfinished;
        while self.unfinished.bytes() > most {
            self.spent += self.connections.len() / 4;
            let share = most / self.connections.len().max(1);
            let over = self.connections.iter().filter(|(_, one)| {
                one.unfinished_bytes.bytes() > share && !matches!(one.state, State::Closing)
            });
            let Some((longest, _)) = over.min_by_key(|(_, one)| one.last_seen) else { return };
            self.counters.limits.count(Limit::Unfinished);
            let text =
                "too much waits of packets that are not whole; send them one after the other";
            self.end(longest, Reason::QuotaExceeded, text, fx);
            if let Some(ended) = self.connections.get_mut(longest) {
                ended.unfinished_bytes.set(0); // nothing more is read from it
            }
        }
    }

    /// Whether a client is in: it was let in, and is not on its way out.
    pub(crate) fn is_in(&self, key: Key) -> bool {
        let open = |connection: &Connection| matches!(connection.state, State::Open(_));
        self.connections.get(key).is_some_and(open)
    }

    /// Whether the last [`Core::received`] stopped because it had cost enough.
    pub(crate) fn sliced(&self) -> bool {
        self.spent >= SLICE
    }

    /// Whether the loop should read from this connection.
    pub(crate) fn reading(&self, key: Key) -> bool {
        self.connections.get(key).is_some_and(|connection| match connection.state {
            State::Greeting => true,
            // Whoever does not take our answers gives us no more questions.
            State::Open(_) => {
                connection.out.len() <= self.setting.limits.outbox
                    && !connection.unanswered()
                    && connection.owed.len() <= self.setting.limits.owed
            }
            State::Verifying(_) | State::Closing => false,
        })
    }

    /// The bytes to write to a connection; the loop takes away what it wrote.
    pub(crate) fn outbox(&mut self, key: Key) -> Option<&mut Vec<u8>> {
        self.connections.get_mut(key).map(|connection| &mut connection.out)
    }

    /// The loop wrote what it could; a connection that has room again gets what waited.
    pub(crate) fn written(&mut self, key: Key, fx: &mut Effects) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.dirty = false;
        connection.note_unread();
        if connection.unsayable {
            let text = "an answer is larger than the client's maximum packet size";
            return self.end(key, Reason::PacketTooLarge, text, fx);
        }
        let (unread, state) = (connection.out.len(), &connection.state);
        if let State::Open(session) = *state
            && unread <= self.room().unread / 2
        {
            self.pump(session, fx);
        }
    }

    fn packet(
        &mut self,
        key: Key,
        frame: &wire::Frame<'_>,
        fx: &mut Effects,
    ) -> Result<(), Malformed> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        let State::Open(session) = connection.state else {
            let connect = wire::decode_connect(frame)?;
            self.connect(key, &connect, frame, fx);
            return Ok(());
        };
        // Before it is looked into: what is wrong with a CONNECT is no reason for a DISCONNECT.
        if PacketType::of(frame.header)? == PacketType::Connect {
            return Err(Malformed::SecondConnect);
        }
        let packet = wire::decode(connection.version, frame)?;
        packet.from_client()?;
        if self.too_many_filters(session, &packet) {
            let text = "more filters in one packet than broker.limits.max_subscriptions allows";
            self.end(key, Reason::QuotaExceeded, text, fx);
            return Ok(());
        }
        match packet {
            Packet::Publish(publish) => self.publish_in(key, &publish, fx),
            Packet::PubAck(ack) => self.puback(session, &ack, fx),
            Packet::PubRec(ack) => self.pubrec(key, &ack, fx),
            Packet::PubRel(ack) => self.pubrel(key, &ack, fx),
            Packet::PubComp(ack) => self.pubcomp(session, &ack, fx),
            Packet::Subscribe(subscribe) => self.subscribe(key, &subscribe, fx),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(key, &unsubscribe, fx),
            Packet::PingReq => self.send(key, &Packet::PingResp, fx),
            Packet::Disconnect(disconnect) => self.disconnected(key, &disconnect, fx),
            Packet::Auth(_) => {
                self.end(key, Reason::ProtocolError, "no extended authentication", fx)
            }
            Packet::Connect(_) => return Err(Malformed::SecondConnect),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(Malformed::NotFromClient);
            }
        }
        Ok(())
    }

    /// Whether one packet names more filters than a session may have. What few bytes ask for in a
    /// megabyte would keep everyone else waiting.
    fn too_many_filters(&mut self, session: Key, packet: &Packet<'_>) -> bool {
        let filters = if let Packet::Subscribe(subscribe) = packet {
            subscribe.subscriptions.iter().count()
        } else if let Packet::Unsubscribe(unsubscribe) = packet {
            unsubscribe.filters.iter().count()
        } else {
            return false;
        };
        // All filters of a durable session are written again.
        let written = self.sessions.get(session).map_or(0, |session| session.filters.len());
        self.spent += 20 + 20 * filters + 2 * written;
        filters > self.setting.limits.subscriptions
    }

    pub(super) fn greeting_due(&mut self, key: Key, fx: &mut Effects) {
        let greeting = |connection: &Connection| {
            matches!(connection.state, State::Greeting | State::Verifying(_))
        };
        if self.connections.get(key).is_some_and(greeting) {
            self.counters.limits.count(Limit::ConnectTimeout);
            self.cut(key, fx);
        }
    }

    /// §3.1.2.10: silence for one and a half keep-alives ends a connection.
    pub(super) fn alive_due(&mut self, key: Key, fx: &mut Effects) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(patience) = connection.patience else { return };
        let until = connection.last_seen + patience;
        if until <= fx.now.at {
            let text = "nothing came for one and a half times the keep-alive";
            self.end(key, Reason::KeepAliveTimeout, text, fx);
        } else {
            self.due_at(until, Timer::Alive(key));
        }
    }

    /// Appends a packet for a connection.
    pub(super) fn send(&mut self, key: Key, packet: &Packet<'_>, fx: &mut Effects) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.send(packet);
        touch(connection, key, fx);
    }

    /// The connection broke a rule of the protocol.
    pub(super) fn malformed(&mut self, key: Key, malformed: Malformed, fx: &mut Effects) {
        let Some(connection) = self.connections.get(key) else { return };
        if malformed == Malformed::PacketTooLarge {
            let greeting = matches!(connection.state, State::Greeting);
            let limit = if greeting { Limit::ConnectSize } else { Limit::PacketSize };
            self.counters.limits.count(limit);
        }
        match connection.state {
            State::Greeting => self.malformed_greeting(key, malformed, fx),
            State::Open(_) => {
                let text =
                    format!("{} ({})", malformed.text(), malformed.clause(connection.version));
                self.end(key, malformed.reason(), &text, fx);
            }
            State::Verifying(_) | State::Closing => self.cut(key, fx),
        }
    }

    /// Ends a connection: DISCONNECT with the reason where the version has it, then closed. The will
    /// fires.
    pub(super) fn end(&mut self, key: Key, reason: Reason, text: &str, fx: &mut Effects) {
        let Some(connection) = self.connections.get(key) else { return };
        let open = matches!(connection.state, State::Open(_)) && !connection.unanswered();
        if connection.version == Version::V5 && open {
            let mut properties = PropertyBuffer::new();
            if connection.wants_reasons && !text.is_empty() {
                properties.reason_string(text);
            }
            let properties = properties.as_properties();
            self.send(key, &Packet::Disconnect(Disconnect { reason, properties }), fx);
            fx.told.push(key);
        }
        self.cut(key, fx);
    }
}

/// Puts a connection on the list of those with bytes to write.
pub(super) fn touch(connection: &mut Connection, key: Key, fx: &mut Effects) {
    if !connection.dirty {
        connection.dirty = true;
        fx.dirty.push(key);
    }
}
