//! ULIDs for commands that come without an id: 48 bits of milliseconds, 80 random ones, in Crockford's
//! base 32 (<https://github.com/ulid/spec>). They sort by time.

const ALPHABET: [u8; 32] = *b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The ULID of this time (milliseconds since 1970) and this randomness (its low 80 bits).
pub(crate) fn ulid(time_ms: u64, random: u128) -> String {
    let bits = (u128::from(time_ms) << 80) | (random & ((1 << 80) - 1));
    let digit = |place: u32| char::from(ALPHABET[((bits >> (5 * place)) & 31) as usize]);
    (0..26).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(ulid(1_469_918_176_385, 0), "01ARYZ6S410000000000000000");
        assert_eq!(ulid((1 << 48) - 1, u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(ulid(0, 31), "0000000000000000000000000Z");
    }

    #[test]
    fn a_later_one_sorts_after_an_earlier_one() {
        assert!(ulid(1, u128::MAX) < ulid(2, 0));
    }
}
