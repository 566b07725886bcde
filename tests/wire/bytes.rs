//! Packets written so that a person can compare them with the standard.
//!
//! `30 <a/b> [23 0001] 'hi'`: hexadecimal bytes; `<..>` a string with its two bytes of length; `[..]` a
//! part with its variable byte integer of length; `'..'` plain text. [`packet`] puts the remaining
//! length behind the first byte, [`raw`] does not.

use maestro::broker::wire::{Malformed, Packet, PropertyBuffer, Version, decode, frame};
use maestro::broker::wire::{Properties, encode};

/// More than any packet here, but the ones made to be larger.
pub(crate) const ROOM: usize = 1 << 20;

pub(crate) fn raw(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut open = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let used = match first {
            '<' => {
                let end = rest.find('>').unwrap();
                let string = &rest.as_bytes()[1..end];
                bytes.extend(u16::try_from(string.len()).unwrap().to_be_bytes());
                bytes.extend(string);
                end + 1
            }
            '\'' => {
                let end = 1 + rest[1..].find('\'').unwrap();
                bytes.extend(&rest.as_bytes()[1..end]);
                end + 1
            }
            '[' => {
                open.push(bytes.len());
                1
            }
            ']' => {
                let part = bytes.split_off(open.pop().unwrap());
                bytes.extend(length(part.len()));
                bytes.extend(part);
                1
            }
            _ => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                2
            }
        };
        rest = rest[used..].trim_start();
    }
    assert!(open.is_empty(), "{text}");
    bytes
}

pub(crate) fn packet(text: &str) -> Vec<u8> {
    let parts = raw(text);
    let mut bytes = vec![parts[0]];
    bytes.extend(length(parts.len() - 1));
    bytes.extend(&parts[1..]);
    bytes
}

fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(value % 128).unwrap();
        value /= 128;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 128);
    }
}

pub(crate) fn read(version: Version, bytes: &[u8]) -> Result<Packet<'_>, Malformed> {
    let frame = frame(bytes, ROOM)?.expect("a whole packet");
    assert_eq!(frame.size, bytes.len());
    decode(version, &frame)
}

pub(crate) fn written(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(version, packet, &mut bytes);
    bytes
}

/// Properties that live as long as the test.
pub(crate) fn properties(
    fill: impl FnOnce(&mut PropertyBuffer) -> &mut PropertyBuffer,
) -> Properties<'static> {
    let buffer = Box::leak(Box::new(PropertyBuffer::new()));
    fill(buffer);
    buffer.as_properties()
}
