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
        let mut seen = self.each(key, |packet| {
            let Packet::ConnAck(ack) = packet else { panic!("{packet:?}") };
            look(ack)
        });
        assert_eq!(seen.len(), 1);
        (key, seen.remove(0))
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
