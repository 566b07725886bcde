//! FNV-1a, 64 bits: finds what a torn write or a failing flash did, not what an enemy did.
//!
//! Every step is a bijection of the state, so a single wrong byte is always found; anything else
//! escapes once in 2^64.

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Of these pieces, one after the other.
pub(super) fn checksum<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> u64 {
    pieces
        .into_iter()
        .flatten()
        .fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// The same in 32 bits, folded as its authors say.
pub(super) fn checksum32<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> u32 {
    let [a, b, c, d, e, f, g, h] = checksum(pieces).to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_fnv_1a() {
        // draft-eastlake-fnv, test vectors
        assert_eq!(checksum([b"".as_slice()]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum([b"foo".as_slice(), b"bar"]), 0x8594_4171_f739_67e8);
    }
}
