//! The properties of one packet: a validated slice of it.
//!
//! Reading one property walks the slice; nothing is allocated, and nothing costs anything when there
//! are none.

use super::{
    Malformed, Property,
    packet_type::Places,
    property::{Kind, Row, row_of},
    read::Cursor,
    topic,
};

/// A property's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of one, two, four bytes, or variable.
    Number(u32),
    /// A string.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// A name and a value.
    Pair(&'a str, &'a str),
}

/// The properties of a packet, checked, in the order in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

impl<'a> Properties<'a> {
    /// Reads the length and as many bytes, and checks them for this place.
    pub(super) fn read(cursor: &mut Cursor<'a>, place: Places) -> Result<Self, Malformed> {
        let size = cursor.variable()?;
        let raw = cursor.take(usize::try_from(size).map_err(|_| Malformed::Truncated)?)?;
        let mut rest = Cursor::new(raw);
        let mut seen = 0_u64;
        while !rest.is_empty() {
            let identifier = rest.variable()?;
            let row = row_of(identifier).ok_or(Malformed::PropertyUnknown)?;
            if !row.places.contains(place) {
                return Err(Malformed::PropertyNotAllowed);
            }
            if seen & 1 << identifier != 0 && !row.repeats.contains(place) {
                return Err(Malformed::PropertyRepeated);
            }
            seen |= 1 << identifier;
            check(row.kind, value(row.kind, &mut rest)?)?;
        }
        Ok(Properties { raw })
    }

    /// None.
    pub const NONE: Properties<'static> = Properties { raw: &[] };

    /// As they stand in the packet, without the length.
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }
    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = (Property, Value<'a>)> {
        self.entries().filter_map(|entry| {
            let value = value(entry.row.kind, &mut Cursor::new(entry.value)).ok()?;
            Some((entry.row.property, value))
        })
    }
    /// The user properties, in order.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values(Property::UserProperty).filter_map(|value| match value {
            Value::Pair(name, value) => Some((name, value)),
            Value::Number(_) | Value::Text(_) | Value::Binary(_) => None,
        })
    }
    /// The subscription identifiers, in order.
    pub fn subscription_identifiers(self) -> impl Iterator<Item = u32> {
        self.values(Property::SubscriptionIdentifier).filter_map(|value| match value {
            Value::Number(number) => Some(number),
            Value::Text(_) | Value::Binary(_) | Value::Pair(..) => None,
        })
    }

    pub(super) fn entries(self) -> Entries<'a> {
        Entries { rest: self.raw }
    }
    /// The values of one property; only these are looked into.
    fn values(self, wanted: Property) -> impl Iterator<Item = Value<'a>> {
        self.entries()
            .filter(move |entry| entry.row.property == wanted)
            .filter_map(|entry| value(entry.row.kind, &mut Cursor::new(entry.value)).ok())
    }
    fn find(self, wanted: Property) -> Option<Value<'a>> {
        self.values(wanted).next()
    }
    pub(super) fn number(self, wanted: Property) -> Option<u32> {
        match self.find(wanted)? {
            Value::Number(number) => Some(number),
            Value::Text(_) | Value::Binary(_) | Value::Pair(..) => None,
        }
    }
    pub(super) fn text(self, wanted: Property) -> Option<&'a str> {
        match self.find(wanted)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Binary(_) | Value::Pair(..) => None,
        }
    }
    pub(super) fn binary(self, wanted: Property) -> Option<&'a [u8]> {
        match self.find(wanted)? {
            Value::Binary(bytes) => Some(bytes),
            Value::Number(_) | Value::Text(_) | Value::Pair(..) => None,
        }
    }

    /// Over bytes that are known to be properties.
    pub(crate) const fn trusted(raw: &'a [u8]) -> Properties<'a> {
        Properties { raw }
    }
}

/// Goes over [`Properties`] without looking into the values.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    rest: &'a [u8],
}

/// One property as it stands in the packet.
pub(super) struct Entry<'a> {
    pub(super) row: &'static Row,
    /// The identifier and the value.
    pub(super) whole: &'a [u8],
    value: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;
    fn next(&mut self) -> Option<Entry<'a>> {
        let mut cursor = Cursor::new(self.rest);
        let row = row_of(cursor.variable().ok()?)?;
        let value = cursor.rest();
        skip(row.kind, &mut cursor).ok()?;
        let (whole, rest) = self.rest.split_at(self.rest.len() - cursor.rest().len());
        self.rest = rest;
        Some(Entry { row, whole, value })
    }
}

fn skip(kind: Kind, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    match kind {
        Kind::Flag => cursor.take(1).map(drop),
        Kind::TwoByte | Kind::TwoByteNonZero(_) => cursor.take(2).map(drop),
        Kind::FourByte | Kind::FourByteNonZero(_) => cursor.take(4).map(drop),
        Kind::VariableNonZero(_) => cursor.variable().map(drop),
        Kind::Text | Kind::TopicName(_) | Kind::Binary => cursor.binary().map(drop),
        Kind::Pair => cursor.binary().and_then(|_| cursor.binary()).map(drop),
    }
}

fn value<'a>(kind: Kind, cursor: &mut Cursor<'a>) -> Result<Value<'a>, Malformed> {
    Ok(match kind {
        Kind::Flag => Value::Number(cursor.byte()?.into()),
        Kind::TwoByte | Kind::TwoByteNonZero(_) => Value::Number(cursor.two_bytes()?.into()),
        Kind::FourByte | Kind::FourByteNonZero(_) => Value::Number(cursor.four_bytes()?),
        Kind::VariableNonZero(_) => Value::Number(cursor.variable()?),
        Kind::Text | Kind::TopicName(_) => Value::Text(cursor.string()?),
        Kind::Binary => Value::Binary(cursor.binary()?),
        Kind::Pair => Value::Pair(cursor.string()?, cursor.string()?),
    })
}

fn check(kind: Kind, value: Value<'_>) -> Result<(), Malformed> {
    match (kind, value) {
        (Kind::Flag, Value::Number(2..)) => Err(Malformed::PropertyValue),
        (
            Kind::TwoByteNonZero(zero) | Kind::FourByteNonZero(zero) | Kind::VariableNonZero(zero),
            Value::Number(0),
        ) => Err(zero),
        (Kind::TopicName(other), Value::Text(text)) => topic::name(text).map_err(|_| other),
        (_, Value::Number(_) | Value::Text(_) | Value::Binary(_) | Value::Pair(..)) => Ok(()),
    }
}
