//! A connection of a client that keeps its session state itself: QoS 2, DUP, packet identifiers.

use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroU16;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use maestro::broker::wire::{
    self, Ack, Connect, Options, Packet, Properties, PropertyBuffer, Qos, Reason, Subscribe,
    SubscriptionBuffer, Version,
};

use crate::support::clock::{Deadline, PATIENCE};

/// What a packet of the broker says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Got {
    ConnAck { present: bool },
    Publish { topic: String, number: u32, qos: Qos, dup: bool, retain: bool, id: u16 },
    PubAck(NonZeroU16, Reason),
    PubRec(NonZeroU16, Reason),
    PubRel(NonZeroU16),
    PubComp(NonZeroU16),
    SubAck(u8),
    Other,
}

/// One connection.
pub(super) struct Peer {
    stream: UnixStream,
    version: Version,
    buffer: Vec<u8>,
}

impl Peer {
    /// Connects to a session that lasts; whether it was there.
    pub(super) fn connect(socket: &Path, id: &str) -> Option<(Peer, bool)> {
        Peer::connect_as(socket, id, Version::V5, 3600)
    }

    pub(super) fn connect_as(
        socket: &Path,
        id: &str,
        version: Version,
        expiry_s: u32,
    ) -> Option<(Peer, bool)> {
        let stream = UnixStream::connect(socket).ok()?;
        let mut peer = Peer { stream, version, buffer: Vec::new() };
        let mut properties = PropertyBuffer::new();
        properties.session_expiry_interval(expiry_s).receive_maximum(500);
        peer.send(&Packet::Connect(Connect {
            version,
            clean_start: expiry_s == 0,
            keep_alive_s: 0,
            client_id: id,
            will: None,
            username: None,
            password: None,
            properties: properties.as_properties(),
        }));
        let got = peer.next(PATIENCE)?;
        let Got::ConnAck { present } = got else { panic!("CONNECT of {id} got {got:?}") };
        Some((peer, present))
    }

    /// Subscribes and waits for the SUBACK; the messages before it are none.
    pub(super) fn subscribe(&mut self, filter: &str) -> u8 {
        let mut filters = SubscriptionBuffer::default();
        filters.push(filter, Options::at(Qos::ExactlyOnce)).expect("a filter");
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: NonZeroU16::MAX,
            properties: Properties::NONE,
            subscriptions: filters.as_subscriptions(),
        }));
        match self.next(PATIENCE) {
            Some(Got::SubAck(code)) => code,
            other => panic!("SUBSCRIBE to {filter} was answered by {other:?}"),
        }
    }

    /// A broker that has just gone is for the next read to see.
    pub(super) fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        wire::encode(self.version, packet, &mut bytes);
        let _ = self.stream.write_all(&bytes);
    }

    pub(super) fn answer(
        &mut self,
        answer: impl Fn(Ack<'static>) -> Packet<'static>,
        id: NonZeroU16,
    ) {
        self.send(&answer(Ack::success(id)));
    }

    /// The next packet; `None` when none comes in time or the connection ended.
    pub(super) fn next(&mut self, wait: Duration) -> Option<Got> {
        let deadline = Deadline::after(wait);
        loop {
            let frame = wire::frame(&self.buffer, usize::MAX).expect("a frame");
            if let Some(frame) = frame {
                let packet = wire::decode(self.version, &frame).expect("what MQTT allows");
                let (got, size) = (read(&packet), frame.size);
                self.buffer.drain(..size);
                return Some(got);
            }
            self.stream.set_read_timeout(Some(deadline.left()?)).expect("a time-out");
            let mut bytes = [0; 16384];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}

fn read(packet: &Packet<'_>) -> Got {
    match packet {
        Packet::ConnAck(ack) => {
            assert_eq!(ack.reason, Reason::Success);
            Got::ConnAck { present: ack.session_present }
        }
        Packet::Publish(publish) => {
            let text = String::from_utf8_lossy(publish.payload);
            let number = text.split(' ').next().and_then(|number| number.parse().ok());
            Got::Publish {
                topic: publish.topic.to_owned(),
                number: number.unwrap_or_else(|| panic!("{}: {text}", publish.topic)),
                qos: publish.qos,
                dup: publish.dup,
                retain: publish.retain,
                id: publish.packet_id.map_or(0, NonZeroU16::get),
            }
        }
        Packet::PubAck(ack) => Got::PubAck(ack.packet_id, ack.reason),
        Packet::PubRec(ack) => Got::PubRec(ack.packet_id, ack.reason),
        Packet::PubRel(ack) => Got::PubRel(ack.packet_id),
        Packet::PubComp(ack) => Got::PubComp(ack.packet_id),
        Packet::SubAck(ack) => Got::SubAck(ack.codes.first().copied().unwrap_or(0x80)),
        Packet::Connect(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::UnsubAck(_)
        | Packet::PingReq
        | Packet::PingResp
        | Packet::Disconnect(_)
        | Packet::Auth(_) => Got::Other,
    }
}
