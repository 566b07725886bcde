//! Topic names and filters (§4.7), and the form of a shared subscription (5.0 §4.8.2).
//!
//! Only what the standard says; who may use which topic is the broker's business.

use super::Malformed;

/// A topic name: at least one character, no wildcard, no U+0000, at most 65 535 bytes.
///
/// # Errors
/// The rule it breaks.
pub fn name(name: &str) -> Result<(), Malformed> {
    if name.is_empty() {
        return Err(Malformed::TopicNameEmpty);
    }
    if name.bytes().any(|byte| matches!(byte, b'#' | b'+' | 0)) {
        let null = name.bytes().any(|byte| byte == 0);
        return Err(if null { Malformed::NullCharacter } else { Malformed::TopicNameWildcard });
    }
    fits(name)
}

/// A topic filter: `+` fills a level, `#` fills the last one. `$share/..` is a filter like others here.
///
/// # Errors
/// The rule it breaks.
pub fn filter(filter: &str) -> Result<(), Malformed> {
    if filter.is_empty() {
        return Err(Malformed::TopicFilterEmpty);
    }
    // Bytes, not levels: 64 KiB of slashes are as cheap as 64 KiB of letters.
    let bytes = filter.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let starts_level = at == 0 || bytes[at - 1] == b'/';
        let next = bytes.get(at + 1);
        match byte {
            b'#' if !starts_level || next.is_some() => return Err(Malformed::MultiLevelWildcard),
            b'+' if !starts_level || next.is_some_and(|&next| next != b'/') => {
                return Err(Malformed::SingleLevelWildcard);
            }
            0 => return Err(Malformed::NullCharacter),
            _ => {}
        }
    }
    fits(filter)
}

fn fits(string: &str) -> Result<(), Malformed> {
    if string.len() <= usize::from(u16::MAX) { Ok(()) } else { Err(Malformed::PacketTooLarge) }
}

/// A shared subscription, `$share/group/filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared<'a> {
    /// The ShareName.
    pub group: &'a str,
    /// What the group subscribes to.
    pub filter: &'a str,
}

/// The parts of a shared subscription; `None` for an ordinary filter. `filter` has been checked as a
/// whole by [`filter`].
///
/// # Errors
/// When it begins with `$share/` and goes on wrong.
pub fn shared(filter: &str) -> Result<Option<Shared<'_>>, Malformed> {
    let Some(rest) = filter.strip_prefix("$share/") else { return Ok(None) };
    let (group, filter) = rest.split_once('/').unwrap_or((rest, ""));
    if group.is_empty() {
        return Err(Malformed::ShareNameEmpty);
    }
    if filter.is_empty() || group.contains(['+', '#']) {
        return Err(Malformed::ShareForm);
    }
    Ok(Some(Shared { group, filter }))
}
