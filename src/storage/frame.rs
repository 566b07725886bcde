//! One commit in the journal.
//!
//! ```text
//!   0  magic       4  "mjn1"
//!   4  length      4  of the body
//!   8  generation  8  which checkpoint it comes after: a random number, also in the tree
//!  16  nonce       8  random, of the process that wrote it
//!  24  previous    8  the checksum of the frame before; the generation, in the first
//!  32  checksum    8  of everything above and the body
//!  40  body           entries: kind, then what it needs (little endian, lengths as LEB128)
//! ```
//!
//! A frame is of a chain only if `previous` is the checksum of the frame before it, in which that
//! one's nonce counts: what an earlier process or generation left behind a torn frame never fits.
//! Pure: bytes in, bytes out.

use super::checksum::checksum;

const MAGIC: [u8; 4] = *b"mjn1";
/// Bytes of a frame before its body.
pub(super) const HEADER_BYTES: usize = 40;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'b> {
    /// A row is removed.
    Delete(&'b [u8]),
    /// A row has this value.
    Put(&'b [u8], &'b [u8]),
    /// A checkpoint that may have reached the disk or not: if the tree says this generation, it has
    /// everything in the frames before this one.
    Attempt(u64),
    /// The generation before this one: a tree that says so is older than it was.
    Follows(u64),
}

/// Where a chain of frames stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) generation: u64,
    pub(super) nonce: u64,
    pub(super) last: u64,
}

impl Chain {
    pub(super) fn start(generation: u64, nonce: u64) -> Chain {
        Chain { generation, nonce, last: generation }
    }
}

/// Builds one frame.
#[derive(Debug)]
pub(super) struct Builder<'o> {
    out: &'o mut Vec<u8>,
}

impl Builder<'_> {
    /// Begins with an empty body.
    pub(super) fn on(out: &mut Vec<u8>) -> Builder<'_> {
        out.clear();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        Builder { out }
    }
    pub(super) fn entry(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Delete(key) => {
                self.out.push(0);
                self.bytes(key);
            }
            Entry::Put(key, value) => {
                self.out.push(1);
                self.bytes(key);
                self.bytes(value);
            }
            Entry::Attempt(generation) => {
                self.out.push(2);
                self.out.extend_from_slice(&generation.to_le_bytes());
            }
            Entry::Follows(generation) => {
                self.out.push(3);
                self.out.extend_from_slice(&generation.to_le_bytes());
            }
        }
    }
    fn bytes(&mut self, bytes: &[u8]) {
        let mut len = bytes.len();
        while len >= 0x80 {
            self.out.push(low_bits(len) | 0x80);
            len >>= 7;
        }
        self.out.push(low_bits(len));
        self.out.extend_from_slice(bytes);
    }
    /// Writes the header; gives the chain with this frame in it. `None`: too long for a frame.
    pub(super) fn seal(self, chain: Chain) -> Option<Chain> {
        let len = u32::try_from(self.out.len() - HEADER_BYTES).ok()?;
        self.out[..4].copy_from_slice(&MAGIC);
        self.out[4..8].copy_from_slice(&len.to_le_bytes());
        self.out[8..16].copy_from_slice(&chain.generation.to_le_bytes());
        self.out[16..24].copy_from_slice(&chain.nonce.to_le_bytes());
        self.out[24..32].copy_from_slice(&chain.last.to_le_bytes());
        let last = checksum([&self.out[..32], &self.out[HEADER_BYTES..]]);
        self.out[32..40].copy_from_slice(&last.to_le_bytes());
        Some(Chain { last, ..chain })
    }
}

fn low_bits(n: usize) -> u8 {
    n.to_le_bytes()[0] & 0x7f
}

/// A frame that is what was written, of whatever chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'b> {
    pub(super) generation: u64,
    pub(super) previous: u64,
    pub(super) checksum: u64,
    body: &'b [u8],
}

impl<'b> Frame<'b> {
    /// The frame that these bytes begin with.
    pub(super) fn decode(bytes: &'b [u8]) -> Option<Frame<'b>> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        if header[..4] != MAGIC {
            return None;
        }
        let len = u32::from_le_bytes(header[4..8].try_into().ok()?);
        let body = rest.get(..usize::try_from(len).ok()?)?;
        let word = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let sum = word(32)?;
        if sum != checksum([&header[..32], body]) {
            return None;
        }
        Some(Frame { generation: word(8)?, previous: word(24)?, checksum: sum, body })
    }
    /// Bytes, with the header.
    pub(super) fn len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
    /// What it says; `None`: nothing this program writes.
    pub(super) fn entries(&self) -> Option<Vec<Entry<'b>>> {
        let mut entries = Vec::new();
        let mut body = self.body;
        while let Some((kind, rest)) = body.split_first() {
            body = rest;
            entries.push(match kind {
                0 => Entry::Delete(take_bytes(&mut body)?),
                1 => Entry::Put(take_bytes(&mut body)?, take_bytes(&mut body)?),
                2 => Entry::Attempt(take_word(&mut body)?),
                3 => Entry::Follows(take_word(&mut body)?),
                _ => return None,
            });
        }
        Some(entries)
    }
}

fn take_word(body: &mut &[u8]) -> Option<u64> {
    let (word, rest) = body.split_first_chunk::<8>()?;
    *body = rest;
    Some(u64::from_le_bytes(*word))
}

fn take_bytes<'b>(body: &mut &'b [u8]) -> Option<&'b [u8]> {
    let mut len = 0_usize;
    for shift in (0..32).step_by(7) {
        let (byte, rest) = body.split_first()?;
        *body = rest;
        len |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            let (bytes, rest) = body.split_at_checked(len)?;
            *body = rest;
            return Some(bytes);
        }
    }
    None
}

/// Whether somewhere in these bytes lies a good frame of one of these generations. Whoever makes a
/// payload look like frames cannot guess a generation, so a checksum is taken of few of them.
pub(super) fn any_frame(bytes: &[u8], generations: [u64; 2]) -> bool {
    let named = generations.map(u64::to_le_bytes);
    let mut places = bytes.windows(16).enumerate().filter(|(_, header)| {
        header[..4] == MAGIC && named.iter().any(|generation| header[8..] == *generation)
    });
    places.any(|(at, _)| Frame::decode(&bytes[at..]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(entries: &[Entry<'_>], chain: Chain) -> (Vec<u8>, Chain) {
        let mut out = Vec::new();
        let mut builder = Builder::on(&mut out);
        entries.iter().for_each(|entry| builder.entry(*entry));
        let chain = builder.seal(chain).unwrap();
        (out, chain)
    }

    #[test]
    fn a_frame_is_what_the_page_above_says() {
        let (bytes, chain) = frame(&[Entry::Put(b"\x01k", b"v")], Chain::start(7, 9));
        assert_eq!(bytes[..8], *b"mjn1\x06\0\0\0");
        assert_eq!(bytes[8..32], [7_u64, 9, 7].map(u64::to_le_bytes).concat());
        assert_eq!(bytes[32..40], chain.last.to_le_bytes());
        assert_eq!(bytes[40..], *b"\x01\x02\x01k\x01v");
    }

    #[test]
    fn the_same_rows_of_another_process_are_another_chain() {
        let (_, one) = frame(&[Entry::Delete(b"k")], Chain::start(7, 1));
        let (_, other) = frame(&[Entry::Delete(b"k")], Chain::start(7, 2));
        assert_ne!(one.last, other.last);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_one_wrong_byte_is_found(
            rows in proptest::collection::vec((".{0,200}", proptest::option::of(".{0,300}")), 0..9),
            wrong in any::<proptest::sample::Index>(),
            bits in 1_u8..,
        ) {
            let mut entries: Vec<_> = rows.iter().map(|(key, value)| match value {
                Some(value) => Entry::Put(key.as_bytes(), value.as_bytes()),
                None => Entry::Delete(key.as_bytes()),
            }).collect();
            entries.extend([Entry::Attempt(u64::MAX), Entry::Follows(1)]);
            let (mut bytes, _) = frame(&entries, Chain::start(7, 9));
            prop_assert_eq!(Frame::decode(&bytes).unwrap().entries(), Some(entries));
            let at = wrong.index(bytes.len());
            bytes[at] ^= bits;
            prop_assert!(Frame::decode(&bytes).is_none());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let body = bytes.clone();
            let frame = Frame { generation: 0, previous: 0, checksum: 0, body: &body };
            let _ = frame.entries();
            let _ = Frame::decode(&[&MAGIC, bytes.as_slice()].concat());
        }
    }
}
