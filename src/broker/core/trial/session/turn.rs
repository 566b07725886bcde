//! The loop's part: what the core asked for is performed, and what clients are sent is looked at.

use std::num::NonZeroU16;

use super::memory::{Circumstances, Memory};
use super::{Given, World};
use crate::broker::core::connection::State;
use crate::broker::slots::Key;
use crate::broker::wire::{self, Packet};
use crate::bus::Qos;

impl World {
    /// Performs what was asked for, as the loop does.
    pub(super) fn turn(&mut self) {
        for round in 0.. {
            assert!(round < 1000, "a turn that never ends");
            self.collect();
            let dirty = std::mem::take(&mut self.fx.dirty);
            let close = std::mem::take(&mut self.fx.close);
            if dirty.is_empty() && close.is_empty() {
                return;
            }
            for key in dirty {
                self.take_what_came(key);
                self.core.written(key, &mut self.fx);
            }
            for key in close {
                self.take_what_came(key);
                self.core.closed(key, &mut self.fx);
                for place in &mut self.clients {
                    if place.as_ref().is_some_and(|client| client.key == key) {
                        *place = None;
                    }
                }
            }
        }
    }

    fn collect(&mut self) {
        let mut given = Given::default();
        for (writes, _) in self.fx.stored() {
            given.0.push(writes.batch);
            given.1.extend(writes.ticket);
        }
        if !given.1.is_empty() || given.0.iter().any(|batch| !batch.writes.is_empty()) {
            self.pending.push_back(given);
        }
        self.held.extend(self.fx.hold.drain(..).map(|hold| hold.ticket));
        self.verify.extend(self.fx.verify.drain(..).map(|verify| verify.connection));
        self.tokens.extend(self.fx.deliver.drain(..).map(|(_, delivery)| delivery.token));
        self.fx.answers.clear();
    }

    /// Everything a client is sent is what MQTT allows a server to send, and what it remembers.
    fn take_what_came(&mut self, key: Key) {
        let client = self.clients.iter_mut().flatten().find(|client| client.key == key);
        let Some(connection) = self.core.connections.get_mut(key) else { return };
        let (version, max) = (connection.version, connection.max_packet);
        if client.as_ref().is_some_and(|client| client.deaf) {
            return;
        }
        let bytes = std::mem::take(&mut connection.out);
        let shares = match connection.state {
            State::Open(session) => self.core.sessions.get(session).map(|open| &open.groups),
            State::Greeting | State::Verifying(_) | State::Closing => None,
        };
        let now = Circumstances {
            dropped: self.core.counters.dropped,
            window: client.as_ref().map_or(usize::MAX, |client| client.window),
            excused: max < usize::MAX || !shares.is_some_and(Vec::is_empty),
        };
        let mut rest = &bytes[..];
        let mut came = Vec::new();
        while let Some(frame) = wire::frame(rest, max).expect("no larger than the client takes") {
            rest = &rest[frame.size..];
            let packet = wire::decode(version, &frame).expect("well-formed");
            packet.from_server().expect("from a server");
            came.push(packet);
        }
        assert!(rest.is_empty(), "whole packets");
        let Some(client) = client else { return };
        client.to_answer.extend(came.iter().filter_map(answer_to));
        let id = client.id;
        came.iter().for_each(|packet| self.remember((id, key), packet, &now));
    }

    fn remember(
        &mut self,
        (id, key): (&'static str, Key),
        packet: &Packet<'_>,
        now: &Circumstances,
    ) {
        if let Packet::ConnAck(connack) = packet {
            if !connack.reason.is_error() && !id.is_empty() {
                let before = self.memories.remove(id);
                self.memories.insert(id, Memory::resumed(before, key, connack, now));
            }
        } else if let Packet::Publish(publish) = packet
            && let Some(memory) = self.memories.get_mut(id).filter(|memory| memory.is_of(key))
        {
            memory.publish(publish, now);
        }
    }
}

/// What a good client says to this: first byte, packet identifier.
fn answer_to(packet: &Packet<'_>) -> Option<(u8, NonZeroU16)> {
    match packet {
        Packet::Publish(publish) => {
            let header = if publish.qos == Qos::AtLeastOnce { 0x40 } else { 0x50 };
            Some((header, publish.packet_id?))
        }
        Packet::PubRel(ack) => Some((0x70, ack.packet_id)),
        Packet::PubRec(ack) if !ack.reason.is_error() => Some((0x62, ack.packet_id)),
        Packet::PubRec(_)
        | Packet::PubAck(_)
        | Packet::PubComp(_)
        | Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::Subscribe(_)
        | Packet::SubAck(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Disconnect(_)
        | Packet::Auth(_) => None,
    }
}
