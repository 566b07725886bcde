//! Names of objects as one topic level: RFC 3986 percent-encoding of all but `[A-Za-z0-9_.-]`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The name as a topic level: `thermo 1` -> `thermo%201`. An empty name is `%`, which no other name is.
pub fn encode(name: &str) -> Cow<'_, str> {
    if name.is_empty() {
        return Cow::Borrowed("%");
    }
    if name.bytes().all(plain) {
        return Cow::Borrowed(name);
    }
    let mut level = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        if plain(byte) {
            level.push(char::from(byte));
        } else {
            let _ = write!(level, "%{byte:02X}");
        }
    }
    Cow::Owned(level)
}

/// The name a topic level stands for; `None` if it is not one that [`encode`] writes.
pub fn decode(level: &str) -> Option<Cow<'_, str>> {
    if level == "%" {
        return Some(Cow::Borrowed(""));
    }
    if level.is_empty() {
        return None;
    }
    if level.bytes().all(plain) {
        return Some(Cow::Borrowed(level));
    }
    let mut name = Vec::with_capacity(level.len());
    let mut rest = level.bytes();
    while let Some(byte) = rest.next() {
        if plain(byte) {
            name.push(byte);
            continue;
        }
        let value = match byte {
            b'%' => upper_hex(rest.next()?)? << 4 | upper_hex(rest.next()?)?,
            _ => return None,
        };
        if plain(value) {
            return None; // one name, one level
        }
        name.push(value);
    }
    String::from_utf8(name).ok().map(Cow::Owned)
}

/// Whether `level` is what [`encode`] writes for `name`. Does not allocate.
pub fn is_spelled(level: &str, name: &str) -> bool {
    if name.is_empty() {
        return level == "%";
    }
    let mut rest = level.bytes();
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
    let each = name.bytes().all(|byte| {
        if plain(byte) {
            return rest.next() == Some(byte);
        }
        [b'%', digit(byte >> 4), digit(byte & 15)].iter().all(|wanted| rest.next() == Some(*wanted))
    });
    each && rest.next().is_none()
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn upper_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_ordinary_name_stays_as_it_is() {
        for name in ["eth0.100", "NetworkManager", "my_app-2", "."] {
            assert_eq!(encode(name), name);
        }
    }

    #[test]
    fn what_would_change_the_topic_is_encoded() {
        for (name, level) in [
            ("a/b", "a%2Fb"),
            ("+", "%2B"),
            ("#", "%23"),
            ("50%", "50%25"),
            ("é", "%C3%A9"),
            ("", "%"),
        ] {
            assert_eq!(encode(name), level);
            assert_eq!(decode(level).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_level_that_encode_does_not_write_is_no_name() {
        for level in ["", "%2", "%zz", "%2f", "%61", "a b", "%FF", "%%", "+"] {
            assert_eq!(decode(level), None, "{level}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in ".{0,12}") {
            let level = encode(&name);
            prop_assert!(crate::topic::is_name(&level) && !level.contains('/'));
            let read = decode(&level);
            prop_assert_eq!(read.as_deref(), Some(name.as_str()));
        }

        #[test]
        fn a_level_is_spelled_for_one_name_only(name in ".{0,4}", other in ".{0,4}") {
            prop_assert!(is_spelled(&encode(&name), &name));
            prop_assert_eq!(is_spelled(&encode(&name), &other), name == other);
        }

        #[test]
        fn every_level_is_written_in_one_way(level in "[%0-9A-Fa-z/]{0,8}") {
            if let Some(name) = decode(&level) {
                prop_assert_eq!(encode(&name), level.as_str());
            }
        }
    }
}
