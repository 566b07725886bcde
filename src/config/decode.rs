//! From a tree with places to real types, gathering every problem instead of stopping at the first.
//!
//! ```text
//!   impl Decode for Queue {
//!       fn decode(from: &Reader<'_>) -> Option<Queue> {
//!           let mut fields = from.fields()?;
//!           let queue = Queue {
//!               max_size: fields.or("max_size", Size(64 << 20)),
//!               max_age: fields.within("max_age", Span(MINUTE)..=Span(YEAR), Span(WEEK)),
//!           };
//!           fields.end();                     // unknown keys are errors, with the nearest name
//!           Some(queue)
//!       }
//!   }
//! ```
//! `None` means: told, and no value could be made of it.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::node::{Entry, Node, Style, Value};
use super::problem::{Mark, Report, Severity};
use super::units::{Size, Span};
use crate::contract::Role;
use crate::contract::nearest;

/// A value that can be read from a place in a file.
pub trait Decode: Sized {
    /// Reads it; what is wrong goes to the reader's report.
    fn decode(from: &Reader<'_>) -> Option<Self>;
}

/// One place in a file, and where to tell what is wrong with it.
pub struct Reader<'a> {
    node: &'a Node,
    /// Where a missing thing is missed: the key, or the value itself.
    told_at: Mark,
    path: String,
    report: &'a Report,
}

impl<'a> Reader<'a> {
    /// A reader for the whole of a file.
    pub fn new(node: &'a Node, report: &'a Report) -> Reader<'a> {
        Reader { node, told_at: node.at, path: String::new(), report }
    }

    /// The JSON Pointer of this place.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tree at this place.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Tells an error about this value.
    pub fn error(&self, message: impl Into<String>) {
        self.report.add(self.node.at, &self.path, Severity::Error, message);
    }

    /// Tells an error about this value, with what to write instead.
    pub fn error_with_hint(&self, message: impl Into<String>, hint: impl Into<String>) {
        let told = (message.into(), Some(hint.into()));
        self.report.add_with_hint(self.node.at, &self.path, Severity::Error, told);
    }

    /// Tells a warning about this value.
    pub fn warning(&self, message: impl Into<String>) {
        self.report.add(self.told_at, &self.path, Severity::Warning, message);
    }

    /// The text of a single value, whatever it looks like.
    pub fn text(&self) -> Option<&'a str> {
        let text = self.node.text();
        if text.is_none() {
            self.error(format!("a single value is expected here, not {}", self.node.kind()));
        }
        text
    }

    /// Whether the value is to be filled in, `{{VAR}}`, by what is not built yet.
    pub fn has_macro(&self) -> bool {
        let text = self.node.text().unwrap_or_default();
        text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"))
    }

    /// Tells that a macro cannot be what is wanted here; false when there is none.
    fn told_macro(&self) -> bool {
        if self.has_macro() {
            self.warning("macros are not built yet; the default is used");
        }
        self.has_macro()
    }

    /// The text of a single value that was not put in quotes.
    fn plain(&self, wanted: &str) -> Option<&'a str> {
        if self.told_macro() {
            return None;
        }
        match &self.node.value {
            Value::Scalar(scalar) if scalar.style == Style::Plain => Some(&scalar.text),
            Value::Scalar(_) => {
                self.error_with_hint(format!("{wanted} is expected here"), "remove the quotes");
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.error(format!("{wanted} is expected here, not {}", self.node.kind()));
                None
            }
        }
    }

    /// A value that parses from its text; its error is the message.
    pub fn parsed<T: std::str::FromStr<Err: Display>>(&self) -> Option<T> {
        let text = self.text()?;
        if self.told_macro() {
            return None;
        }
        text.parse().map_err(|error: T::Err| self.error(error.to_string())).ok()
    }

    /// One of a closed list of words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if self.told_macro() {
            return None;
        }
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.error(format!("`{text}` is none of {}", names.join(", ")));
        }
        found
    }

    /// The items of a list.
    pub fn items(&self) -> Option<Vec<Reader<'a>>> {
        let Value::List(items) = &self.node.value else {
            self.error(format!("a list is expected here, not {}", self.node.kind()));
            return None;
        };
        let item = |(index, node): (usize, &'a Node)| Reader {
            node,
            told_at: node.at,
            path: format!("{}/{index}", self.path),
            report: self.report,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The settings of a group.
    pub fn fields(&self) -> Option<Fields<'a>> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            Value::Scalar(_) | Value::List(_) => {
                self.error(format!("a group of settings is expected, not {}", self.node.kind()));
                return None;
            }
        };
        let report = self.report;
        Some(Fields { entries, at: self.told_at, path: self.path.clone(), known: vec![], report })
    }
}

/// The settings of one group, taken one by one by name.
pub struct Fields<'a> {
    entries: &'a [Entry],
    at: Mark,
    path: String,
    known: Vec<&'static str>,
    report: &'a Report,
}

impl<'a> Fields<'a> {
    /// The place of `key`, if it is set to something.
    pub fn take(&mut self, key: &'static str) -> Option<Reader<'a>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        if entry.node.value == Value::Null {
            return None;
        }
        Some(self.reader(entry))
    }

    fn reader(&self, entry: &'a Entry) -> Reader<'a> {
        Reader {
            node: &entry.node,
            told_at: entry.at,
            path: join(&self.path, &entry.key),
            report: self.report,
        }
    }

    /// The value of `key`; `None` when it is not set or not usable.
    pub fn optional<T: Decode>(&mut self, key: &'static str) -> Option<T> {
        T::decode(&self.take(key)?)
    }

    /// The value of `key`, else `default`.
    pub fn or<T: Decode>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The value of `key`; an error when it is not set.
    pub fn required<T: Decode>(&mut self, key: &'static str) -> Option<T> {
        match self.take(key) {
            Some(reader) => T::decode(&reader),
            None => {
                self.error(format!("`{key}` is missing"));
                None
            }
        }
    }

    /// The value of `key` if it lies in `range`, else `default`; an error when it lies outside.
    pub fn within<T>(&mut self, key: &'static str, range: RangeInclusive<T>, default: T) -> T
    where
        T: Decode + PartialOrd + Display,
    {
        let Some(reader) = self.take(key) else { return default };
        match T::decode(&reader) {
            Some(value) if range.contains(&value) => value,
            Some(value) => {
                let (low, high) = (range.start(), range.end());
                reader.error(format!("{value} is out of range: {low} to {high}"));
                default
            }
            None => default,
        }
    }

    /// Warns once if `key` is set: it has a meaning that this version does not carry out.
    pub fn not_built(&mut self, key: &'static str) {
        if let Some(reader) = self.take(key) {
            reader.warning("not built yet; it has no effect");
        }
    }

    /// Tells an error about the group as a whole, at its own key.
    pub fn error(&self, message: impl Into<String>) {
        self.report.add(self.at, &self.path, Severity::Error, message);
    }

    /// Ends the group: a key that nobody asked for is an error.
    pub fn end(self) {
        self.end_with(&|_| Severity::Error);
    }

    /// Ends the group: how bad a key is that nobody asked for, its place says.
    pub fn end_with(self, severity: &dyn Fn(Mark) -> Severity) {
        for entry in self.entries.iter().filter(|e| !self.known.contains(&e.key.as_str())) {
            let hint =
                nearest(&entry.key, self.known.iter().copied()).map(|name| format!("`{name}`?"));
            let message = "not a setting".to_owned();
            let path = join(&self.path, &entry.key);
            self.report.add_with_hint(entry.at, &path, severity(entry.at), (message, hint));
        }
    }
}

/// A JSON Pointer one level longer (RFC 6901 §3: `~` and `/` are escaped).
fn join(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

impl Decode for String {
    fn decode(from: &Reader<'_>) -> Option<String> {
        from.text().map(str::to_owned)
    }
}

impl Decode for PathBuf {
    fn decode(from: &Reader<'_>) -> Option<PathBuf> {
        let text = from.text()?;
        if text.is_empty() || text.contains('\0') {
            from.error("a path is expected here");
            return None;
        }
        Some(PathBuf::from(text))
    }
}

impl Decode for bool {
    fn decode(from: &Reader<'_>) -> Option<bool> {
        let wanted = "true or false";
        match from.plain(wanted)? {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            other => {
                from.error(format!("{wanted} is expected here, not `{other}`"));
                None
            }
        }
    }
}

macro_rules! decode_number {
    ($($number:ty: $wanted:literal),*) => {$(
        impl Decode for $number {
            fn decode(from: &Reader<'_>) -> Option<$number> {
                let text = from.plain($wanted)?;
                let number = text.parse().ok();
                if number.is_none() {
                    from.error(format!(concat!($wanted, " is expected here, not `{}`"), text));
                }
                number
            }
        }
    )*};
}
decode_number!(
    u8: "a whole number from 0 to 255", u16: "a whole number from 0 to 65535",
    u32: "a whole number", u64: "a whole number", usize: "a whole number", f64: "a number"
);

impl Decode for Span {
    fn decode(from: &Reader<'_>) -> Option<Span> {
        from.parsed()
    }
}

impl Decode for Duration {
    fn decode(from: &Reader<'_>) -> Option<Duration> {
        from.parsed::<Span>().map(|span| span.0)
    }
}

impl Decode for Size {
    fn decode(from: &Reader<'_>) -> Option<Size> {
        from.parsed()
    }
}

impl Decode for SocketAddr {
    fn decode(from: &Reader<'_>) -> Option<SocketAddr> {
        let text = from.text()?;
        if from.told_macro() {
            return None;
        }
        let address = text.parse().ok();
        if address.is_none() {
            from.error_with_hint(
                format!("`{text}` is not an address with a port"),
                "127.0.0.1:1883 or [::1]:1883",
            );
        }
        address
    }
}

impl Decode for Role {
    fn decode(from: &Reader<'_>) -> Option<Role> {
        from.word(&[
            ("observer", Role::Observer),
            ("app", Role::App),
            ("operator", Role::Operator),
            ("admin", Role::Admin),
        ])
    }
}

/// A list, leaving out the items that are not usable.
impl<T: Decode> Decode for Vec<T> {
    fn decode(from: &Reader<'_>) -> Option<Vec<T>> {
        Some(from.items()?.iter().filter_map(T::decode).collect())
    }
}
