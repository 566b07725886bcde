//! Tests by the byte: what a client writes, and what it reads back, as the standard draws it.

use super::*;

impl World {
    /// Bytes from a client; returns whether all of them were done with.
    pub(super) fn feed(&mut self, key: Key, bytes: &[u8]) -> bool {
        self.core.received(key, bytes, &mut self.fx) == bytes.len()
    }

    /// The bytes a client got since it was last asked.
    pub(super) fn bytes(&mut self, key: Key) -> Vec<u8> {
        let Some(connection) = self.core.connections.get_mut(key) else { return vec![] };
        let bytes = std::mem::take(&mut connection.out);
        self.core.written(key, &mut self.fx);
        bytes
    }

    /// Looks at every packet a client got since it was last asked.
    pub(super) fn each<T>(&mut self, key: Key, look: impl FnMut(&Packet<'_>) -> T) -> Vec<T> {
        let version = self.core.connections.get(key).map_or(Version::V5, |known| known.version);
        let bytes = self.bytes(key);
        packets(version, &bytes, look)
    }

    /// What the CONNACK to this CONNECT says.
    pub(super) fn connack<T>(
        &mut self,
        uid: u32,
        connect: Connect<'_>,
        look: impl Fn(&wire::ConnAck<'_>) -> T,
    ) -> (Key, T) {
        let key = self.raw(uid);
        self.send(key, &Packet::Connect(connect));
        self.settle_connect(key);
        let mut seen = self.each(key, |packet| {
            let Packet::ConnAck(ack) = packet else { panic!("{packet:?}") };
            look(ack)
        });
        assert_eq!(seen.len(), 1);
        (key, seen.remove(0))
    }

    /// Subscribes and leaves the answer to be read.
    pub(super) fn subscribe_raw(&mut self, key: Key, filter: &str) {
        let mut subscriptions = SubscriptionBuffer::default();
        subscriptions.push(filter, wire::Options::at(Qos::AtMostOnce)).expect("a filter");
        let subscriptions = subscriptions.as_subscriptions();
        self.send(
            key,
            &Packet::Subscribe(Subscribe { packet_id: id(9), properties: NONE, subscriptions }),
        );
    }

    /// Unsubscribes; the codes of the UNSUBACK.
    pub(super) fn unsubscribe(&mut self, key: Key, filters: &[&str]) -> Vec<u8> {
        let mut buffer = wire::FilterBuffer::default();
        filters.iter().for_each(|filter| buffer.push(filter).expect("a filter"));
        let packet = wire::Unsubscribe {
            packet_id: id(0x2345),
            properties: NONE,
            filters: buffer.as_filters(),
        };
        self.send(key, &Packet::Unsubscribe(packet));
        self.commit();
        let mut codes = self.each(key, |packet| {
            let Packet::UnsubAck(ack) = packet else { panic!("{packet:?}") };
            assert_eq!(ack.packet_id, id(0x2345));
            ack.codes.to_vec()
        });
        assert_eq!(codes.len(), 1);
        codes.remove(0)
    }

    /// A client `reader` whose session stays, with this subscription; its SUBACK is taken away.
    pub(super) fn lasting_reader(&mut self, filter: &str, qos: Qos) -> Key {
        let (reader, _) = self.lasting(1, "reader");
        self.subscribe(reader, filter, qos);
        self.settle();
        self.got(reader);
        reader
    }

    /// A disk that takes everything at once.
    pub(super) fn settle(&mut self) {
        self.store(&Store::in_memory(), &Ok(()));
    }

    /// Whether the broker closed this connection, or is about to.
    pub(super) fn closing(&self, key: Key) -> bool {
        self.fx.close.contains(&key)
    }

    /// Whether the last word on a connection was DISCONNECT with this reason, and it is closed.
    pub(super) fn ended(&mut self, key: Key, reason: Reason) -> bool {
        self.got(key).last() == Some(&Got::Disconnect(reason)) && self.closing(key)
    }
}

/// Looks at every packet in some bytes.
pub(super) fn packets<T>(
    version: Version,
    bytes: &[u8],
    mut look: impl FnMut(&Packet<'_>) -> T,
) -> Vec<T> {
    let (mut rest, mut seen) = (bytes, Vec::new());
    while let Some(frame) = wire::frame(rest, usize::MAX).expect("ours") {
        rest = &rest[frame.size..];
        seen.push(look(&wire::decode(version, &frame).expect("ours")));
    }
    seen
}

/// Properties made on the spot.
pub(super) fn properties(
    make: impl FnOnce(&mut PropertyBuffer) -> &mut PropertyBuffer,
) -> PropertyBuffer {
    let mut buffer = PropertyBuffer::new();
    make(&mut buffer);
    buffer
}
