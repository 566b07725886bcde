//! The writing end: every packet's body is written by one function, run twice: into [`Size`] to know
//! its length, then into the buffer.

use super::Properties;

/// The largest value of a variable byte integer, and so the largest remaining length.
pub(super) const VARIABLE_MAX: usize = 268_435_455;

/// Where the bytes of a packet go.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
    /// The packet cannot be written in this version.
    fn refuse(&mut self);

    fn byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }
    fn two_bytes(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }
    fn binary(&mut self, bytes: &[u8]) {
        let Ok(size) = u16::try_from(bytes.len()) else { return self.refuse() };
        self.two_bytes(size);
        self.put(bytes);
    }
    fn string(&mut self, string: &str) {
        self.binary(string.as_bytes());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seven bits each; checked against the maximum"
    )]
    fn variable(&mut self, mut value: usize) {
        if value > VARIABLE_MAX {
            return self.refuse();
        }
        while value > 0x7F {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }
    fn properties(&mut self, properties: Properties<'_>) {
        self.variable(properties.raw().len());
        self.put(properties.raw());
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    fn refuse(&mut self) {
        debug_assert!(false, "refused when measured");
    }
}

/// Counts.
#[derive(Default)]
pub(super) struct Size {
    bytes: usize,
    refused: bool,
}

impl Size {
    /// The remaining length, when the packet can be written.
    pub(super) fn remaining(&self) -> Option<usize> {
        (!self.refused && self.bytes <= VARIABLE_MAX).then_some(self.bytes)
    }
}

impl Sink for Size {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }
    fn refuse(&mut self) {
        self.refused = true;
    }
}

/// How many bytes a variable byte integer takes.
pub(super) const fn variable_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}
