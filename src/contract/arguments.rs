//! The arguments of a verb as its own type, with one precise refusal: which key, and what was meant.

use std::cell::Cell;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde_json::{Map, Value};

use super::types::{keys, type_named};
use super::{Error, Verb, nearest};

/// The arguments of a command as `T`.
///
/// # Errors
/// `command.unknown_argument` with the nearest known name, or `command.malformed`; both name the field.
pub fn arguments<T: DeserializeOwned>(args: &Map<String, Value>) -> Result<T, Error> {
    let known = keys::<T>();
    if let Some(key) = args.keys().find(|key| !known.is_empty() && !known.contains(&key.as_str())) {
        return Err(unknown(key, known));
    }
    let last = Cell::new(None);
    let entries = args.iter().map(|(key, value)| {
        last.set(Some(key.as_str()));
        (key.as_str(), Valued(value))
    });
    T::deserialize(MapDeserializer::new(entries)).map_err(|e: serde_json::Error| {
        let error = Error::new("command.malformed", e.to_string());
        let missing = e.to_string().starts_with("missing field");
        match last.get().filter(|_| !missing) {
            Some(key) => error.at(format!("/{}", pointer(key))),
            None => error,
        }
    })
}

impl Verb {
    /// Whether these are arguments of this verb.
    ///
    /// # Errors
    /// As [`arguments`] of the verb's own type.
    pub fn check(&self, args: &Map<String, Value>) -> Result<(), Error> {
        match (self.args, args.keys().next()) {
            (Some(name), _) => type_named(name).map_or(Ok(()), |known| (known.arguments)(args)),
            (None, None) => Ok(()),
            (None, Some(key)) => {
                let message = format!("{}/{} takes no arguments", self.subsystem, self.name);
                Err(Error::new("command.unknown_argument", message)
                    .at(format!("/{}", pointer(key))))
            }
        }
    }
}

fn unknown(key: &str, known: &[&str]) -> Error {
    let error = Error::new("command.unknown_argument", format!("there is no argument `{key}`"))
        .at(format!("/{}", pointer(key)));
    match nearest(key, known.iter().copied()) {
        Some(meant) => error.hint(format!("did you mean `{meant}`?")),
        None => error.hint(format!("the arguments are: {}", known.join(", "))),
    }
}

/// RFC 6901 §3.
fn pointer(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Lets serde's map deserializer walk borrowed values.
struct Valued<'v>(&'v Value);

impl<'v> IntoDeserializer<'v, serde_json::Error> for Valued<'v> {
    type Deserializer = &'v Value;

    fn into_deserializer(self) -> &'v Value {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Args {
        family: String,
        #[serde(default)]
        count: u32,
    }

    fn parse(json: &str) -> Result<Args, Error> {
        arguments(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn arguments_become_their_type() {
        let args = parse(r#"{"family":"cpu","count":3}"#).unwrap();
        assert_eq!(args, Args { family: "cpu".into(), count: 3 });
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_name() {
        let error = parse(r#"{"famly":"cpu"}"#).unwrap_err();
        assert_eq!(error.code, "command.unknown_argument");
        assert_eq!(error.field.as_deref(), Some("/famly"));
        assert_eq!(error.hint.as_deref(), Some("did you mean `family`?"));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_field() {
        let error = parse(r#"{"family":"cpu","count":"three"}"#).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.field.as_deref()),
            ("command.malformed", Some("/count"))
        );
        let error = parse("{}").unwrap_err();
        assert_eq!((error.code.as_str(), error.field), ("command.malformed", None));
        assert_eq!(error.message, "missing field `family`");
    }
}
