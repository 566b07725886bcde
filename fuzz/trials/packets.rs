//! A stream of packets, read as one from either side, written again and read once more.
//!
//! The first byte of the input chooses the version.

use maestro::broker::wire::{
    Packet, PropertyBuffer, Version, decode, encode, encode_within, frame, publish_size, size,
};

pub(super) fn trial(input: &[u8]) {
    let Some((version, mut stream)) = input.split_first() else { return };
    let mut version = if version & 1 == 0 { Version::V311 } else { Version::V5 };
    while let Ok(Some(frame)) = frame(stream, 1 << 16) {
        assert!(frame.size <= stream.len() && frame.body.len() < frame.size);
        if let Ok(packet) = decode(version, &frame) {
            if let Packet::Connect(connect) = packet {
                version = connect.version;
            }
            check(version, &packet, frame.size);
        }
        stream = &stream[frame.size..];
    }
}

fn check(version: Version, packet: &Packet<'_>, came: usize) {
    let _ = (packet.from_client(), packet.from_server());
    let mut bytes = Vec::new();
    encode(version, packet, &mut bytes);
    assert_eq!(bytes.len(), size(version, packet));
    // An acknowledgement without properties gets their length of 0, a DISCONNECT its reason too.
    assert!(bytes.len() <= came + 2);
    let whole = frame(&bytes, usize::MAX).unwrap().unwrap();
    assert_eq!(decode(version, &whole).as_ref(), Ok(packet));
    let mut short = Vec::new();
    let limit = bytes.len() / 2;
    if encode_within(version, packet, limit, &mut short).is_ok() {
        assert!(short.len() <= limit);
        let whole = frame(&short, usize::MAX).unwrap().unwrap();
        assert!(decode(version, &whole).is_ok());
    } else {
        assert!(short.is_empty());
    }
    if let Packet::Publish(publish) = packet {
        assert_eq!(publish_size(version, publish), bytes.len());
        let mut forwarded = PropertyBuffer::new();
        forwarded.forward(publish.properties);
        let again = PropertyBuffer::new().forward(forwarded.as_properties()).clone();
        assert_eq!(again, forwarded);
    }
    if let Packet::Subscribe(subscribe) = packet {
        assert!(subscribe.subscriptions.iter().all(|one| !one.filter.is_empty()));
        assert!(subscribe.subscriptions.iter().count() > 0);
    }
    if let Packet::Unsubscribe(unsubscribe) = packet {
        assert!(unsubscribe.filters.iter().count() > 0);
    }
}
