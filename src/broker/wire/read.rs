//! The reading end: a cursor over one packet's body.

use std::num::NonZeroU16;

use super::Malformed;

/// What is left of a packet.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Cursor<'a> {
        Cursor { rest }
    }
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    /// The packet must be over.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }
    pub(super) fn two_bytes(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }
    pub(super) fn four_bytes(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }
    pub(super) fn variable(&mut self) -> Result<u32, Malformed> {
        let (value, size) = variable_byte_integer(self.rest)?.ok_or(Malformed::Truncated)?;
        self.rest = &self.rest[size..];
        Ok(value)
    }
    pub(super) fn packet_identifier(&mut self) -> Result<NonZeroU16, Malformed> {
        NonZeroU16::new(self.two_bytes()?).ok_or(Malformed::PacketIdentifierZero)
    }
    pub(super) fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let size = self.two_bytes()?;
        self.take(usize::from(size))
    }
    /// A UTF-8 encoded string (5.0 §1.5.4): no surrogates, no U+0000; anything else may be there.
    pub(super) fn string(&mut self) -> Result<&'a str, Malformed> {
        let string = std::str::from_utf8(self.binary()?).map_err(|_| Malformed::Utf8)?;
        if string.as_bytes().contains(&0) { Err(Malformed::NullCharacter) } else { Ok(string) }
    }
}

/// A variable byte integer at the start of `buf` and how many bytes it takes; `None` when it goes on
/// after the end (5.0 §1.5.5).
pub(super) fn variable_byte_integer(buf: &[u8]) -> Result<Option<(u32, usize)>, Malformed> {
    let mut value = 0;
    for (at, &byte) in buf.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let minimal = at == 0 || byte != 0;
            return if minimal {
                Ok(Some((value, at + 1)))
            } else {
                Err(Malformed::LengthNotMinimal)
            };
        }
    }
    if buf.len() < 4 { Ok(None) } else { Err(Malformed::LengthTooLong) }
}
