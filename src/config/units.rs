//! What a person sets: `90s`, `64MiB`. Parse and print are one tested pair.
//!
//! Spans: `ms s m h d w`, with fractions (`1.5s`) and in a row (`1h30m`, as Go writes them).
//! Sizes: bytes, `kB MB GB` by 1000, `KiB MiB GiB` by 1024 (IEC 80000-13).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A length of time as a person writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// An amount of bytes as a person writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Nanoseconds per unit, longest first.
const SPANS: [(&str, u64); 6] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Bytes per unit; printing takes the first that divides without a rest.
const SIZES: [(&str, u64); 6] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
];

/// Not a span or size; says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotAUnit {
    /// What is wrong.
    pub message: &'static str,
}

const NOT_A_SPAN: NotAUnit =
    NotAUnit { message: "not a length of time; write it as 500ms, 90s, 5m, 1h30m or 7d" };
const SPAN_WITHOUT_UNIT: NotAUnit =
    NotAUnit { message: "a length of time needs its unit: 500ms, 90s, 5m, 1h30m or 7d" };
const NOT_A_SIZE: NotAUnit =
    NotAUnit { message: "not a size; write it as 4096, 64KiB, 64MiB or 20MB" };

/// `1.5` of `unit`, exact to the unit's last digit; `None` when it is no number or too large.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || (number.contains('.') && !digits(fraction)) || fraction.len() > 9 {
        return None;
    }
    let mut total = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() {
        let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
        let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / u128::from(scale);
        total = total.checked_add(u64::try_from(part).ok()?)?;
    }
    Some(total)
}

impl FromStr for Span {
    type Err = NotAUnit;
    fn from_str(text: &str) -> Result<Span, NotAUnit> {
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Span::default());
        }
        let mut nanos: u64 = 0;
        let mut previous = u64::MAX;
        while !rest.is_empty() {
            let number = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
            if number == rest.len() {
                return Err(SPAN_WITHOUT_UNIT);
            }
            let after = &rest[number..];
            let unit = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
            let (_, size) =
                SPANS.iter().find(|(name, _)| *name == &after[..unit]).ok_or(NOT_A_SPAN)?;
            if *size >= previous {
                return Err(NOT_A_SPAN); // `30m1h`: a slip rather than an intention
            }
            previous = *size;
            let part = scaled(&rest[..number], *size).ok_or(NOT_A_SPAN)?;
            nanos = nanos.checked_add(part).ok_or(NOT_A_SPAN)?;
            rest = &after[unit..];
        }
        if previous == u64::MAX { Err(NOT_A_SPAN) } else { Ok(Span(Duration::from_nanos(nanos))) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        if nanos == 0 {
            return f.write_str("0s");
        }
        if let Some((name, size)) = SPANS.iter().find(|(_, size)| nanos.is_multiple_of(*size)) {
            return write!(f, "{}{name}", nanos / size);
        }
        let digits = format!("{:09}", nanos % 1_000_000_000);
        write!(f, "{}.{}s", nanos / 1_000_000_000, digits.trim_end_matches('0'))
    }
}

impl FromStr for Size {
    type Err = NotAUnit;
    fn from_str(text: &str) -> Result<Size, NotAUnit> {
        let text = text.trim();
        let number = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
        let unit = match text[number..].trim_start() {
            "" | "B" => 1,
            name => SIZES.iter().find(|(known, _)| *known == name).ok_or(NOT_A_SIZE)?.1,
        };
        scaled(&text[..number], unit).map(Size).ok_or(NOT_A_SIZE)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZES.iter().find(|(_, size)| self.0 != 0 && self.0.is_multiple_of(*size)) {
            Some((name, size)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

/// JSON writes the text; it reads the text or, for sizes, a number of bytes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        match Written::deserialize(from)? {
            Written::Number(bytes) => Ok(Size(bytes)),
            Written::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}
impl schemars::JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time: 500ms, 90s, 5m, 1h30m, 7d.",
            "pattern": "^(0|([0-9]+(\\.[0-9]+)?(ms|s|m|h|d|w))+)$"
        })
    }
}
impl schemars::JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "description": "An amount of bytes: 4096, 64KiB, 64MiB, 20MB.",
            "pattern": "^[0-9]+(\\.[0-9]+)? ?(B|kB|MB|GB|KiB|MiB|GiB)?$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_in_every_unit() {
        for (text, millis) in [
            ("0", 0),
            ("500ms", 500),
            ("90s", 90_000),
            ("1.5s", 1_500),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("2w", 1_209_600_000),
        ] {
            assert_eq!(text.parse::<Span>(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_span_says_what_one_looks_like() {
        for text in ["", "s", "-1s", "1.s", ".5s", "1e3s", "5 minutes", "30m1h", "1s1s", "9999999w"]
        {
            assert_eq!(text.parse::<Span>(), Err(NOT_A_SPAN), "{text}");
        }
        assert_eq!("90".parse::<Span>(), Err(SPAN_WITHOUT_UNIT));
        assert_eq!("1h30".parse::<Span>(), Err(SPAN_WITHOUT_UNIT));
    }

    #[test]
    fn a_size_is_read_in_every_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 65_536),
            ("64 MiB", 67_108_864),
            ("20MB", 20_000_000),
            ("1.5GiB", 1_610_612_736),
            ("7B", 7),
        ] {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "64M", "1.2.3", "99999999999GiB", "1 2"] {
            assert_eq!(text.parse::<Size>(), Err(NOT_A_SIZE), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        for text in ["0s", "500ms", "90s", "5m", "90m", "7d", "1.000000005s"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse(), Ok(span), "{text}");
        }
        for text in ["0", "4097", "64KiB", "64MiB", "20MB", "3GB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn json_reads_and_writes_the_text() {
        let size: Size = serde_json::from_str("\"64MiB\"").unwrap();
        assert_eq!(serde_json::to_string(&size).unwrap(), "\"64MiB\"");
        assert_eq!(serde_json::from_str::<Size>("4096").unwrap(), Size(4096));
        assert!(serde_json::from_str::<Span>("90").is_err());
    }
}
