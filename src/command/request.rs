//! What a publish to `cmd/<subsystem>/<verb>` asks for. Pure.
//!
//! The payload is the arguments: an object, nothing, or a bare word or number that stands for the verb's
//! subject. `id`, `expires`, `dry_run`, `if_rev`, `sig` are about the command and never arguments.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::Span;
use crate::contract::{Class, Error, RESERVED, Verb};

/// The longest payload of a command. The broker looks for a dry run up to the same size.
const LONGEST_PAYLOAD: usize = 64 << 10;
const LONGEST_WORD: usize = 256;
const LONGEST_ID: usize = 64;

/// A command, read.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) verb: &'static Verb,
    pub(super) args: Map<String, Value>,
    pub(super) id: Option<String>,
    /// When it may no longer begin.
    pub(super) expires: Option<Expires>,
    pub(super) dry_run: bool,
    pub(super) if_rev: Option<u64>,
}

/// An end of patience, as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expires {
    /// A moment of the calendar, milliseconds since 1970.
    At(i64),
    /// A span from the arrival.
    In(Duration),
}

impl Request {
    /// Whether it leaves a record: it may change something.
    pub(super) fn is_recorded(&self) -> bool {
        !self.dry_run && self.verb.class != Class::Read
    }
}

/// Reads a payload. The message expiry of MQTT 5 is an `expires` where none is given.
///
/// # Errors
/// One refusal that names the field and the mend.
pub(super) fn parse(
    verb: &'static Verb,
    payload: &[u8],
    message_expiry_s: Option<u32>,
) -> Result<Request, Error> {
    let mut args = arguments(verb, payload)?;
    let reserved = RESERVED.map(|key| args.shift_remove(key).filter(|value| !value.is_null()));
    let [given_id, given_expires, given_dry_run, given_rev, _sig] = reserved;
    let id = given_id.map(id).transpose()?;
    let expires = given_expires.map(|value| expires(&value)).transpose()?;
    let dry_run = given_dry_run.map(|value| dry_run(verb, &value)).transpose()?.unwrap_or(false);
    let if_rev = given_rev.map(|value| if_rev(&value)).transpose()?;
    let message_expiry = message_expiry_s.map(|s| Expires::In(Duration::from_secs(s.into())));
    verb.check(&args)?;
    Ok(Request { verb, args, id, expires: expires.or(message_expiry), dry_run, if_rev })
}

/// The id in a payload that is refused for something else, so that its sender knows the answer.
pub(super) fn given_id(payload: &[u8]) -> Option<String> {
    if payload.len() > LONGEST_PAYLOAD {
        return None;
    }
    let Ok(Value::Object(mut given)) = serde_json::from_slice(payload) else { return None };
    id(given.remove("id")?).ok()
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new("command.malformed", message)
}

fn arguments(verb: &Verb, payload: &[u8]) -> Result<Map<String, Value>, Error> {
    if payload.len() > LONGEST_PAYLOAD {
        return Err(malformed(format!("the payload is longer than {LONGEST_PAYLOAD} bytes")));
    }
    let text = std::str::from_utf8(payload).map_err(|_| malformed("the payload is not UTF-8"))?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(Map::new());
    }
    let subject = if text.starts_with(['{', '[', '"']) {
        match serde_json::from_str(text)
            .map_err(|e| malformed(format!("the JSON breaks off: {e}")))?
        {
            Value::Object(args) => return Ok(args),
            word @ Value::String(_) => word,
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
                return Err(malformed(
                    "the payload is a JSON array; an object or a bare word is asked",
                ));
            }
        }
    } else {
        bare(text)?
    };
    match verb.subject {
        Some(key) => Ok(Map::from_iter([(key.to_owned(), subject)])),
        None => Err(malformed(format!("{}/{} takes no bare word", verb.subsystem, verb.name))
            .hint("send an object, or nothing")),
    }
}

fn bare(text: &str) -> Result<Value, Error> {
    if let Ok(number) = serde_json::from_str::<serde_json::Number>(text) {
        return Ok(Value::Number(number));
    }
    if text.len() > LONGEST_WORD || text.chars().any(char::is_control) {
        return Err(malformed("the payload is neither a JSON object nor a bare word"));
    }
    Ok(Value::String(text.to_owned()))
}

fn id(value: Value) -> Result<String, Error> {
    let id = match value {
        Value::String(id) => id,
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    };
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"_.-:".contains(&c);
    if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(fits) {
        return Err(
            malformed(format!("`id` is 1 to {LONGEST_ID} of A-Z a-z 0-9 _ . - :")).at("/id")
        );
    }
    Ok(id)
}

fn expires(value: &Value) -> Result<Expires, Error> {
    let text = value.as_str().unwrap_or_default();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Expires::At(at.as_millisecond()));
    }
    text.parse::<Span>().map(|span| Expires::In(span.0)).map_err(|_| {
        malformed("`expires` is a moment (2026-11-22T10:00:00Z) or a span (90s)").at("/expires")
    })
}

fn dry_run(verb: &Verb, value: &Value) -> Result<bool, Error> {
    let Value::Bool(asked) = value else {
        return Err(malformed("`dry_run` is true or false").at("/dry_run"));
    };
    if *asked && !verb.dry_run {
        let message = format!("{}/{} has no dry run", verb.subsystem, verb.name);
        return Err(Error::new("command.no_dry_run", message).at("/dry_run"));
    }
    Ok(*asked)
}

fn if_rev(value: &Value) -> Result<u64, Error> {
    value.as_u64().ok_or_else(|| malformed("`if_rev` is a whole number").at("/if_rev"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::{CHANGE, READ};

    fn read(payload: &str) -> Result<Request, Error> {
        parse(&CHANGE, payload.as_bytes(), None)
    }

    fn refusal(payload: &str) -> (String, Option<String>) {
        let error = read(payload).unwrap_err();
        (error.code, error.field.map(String::from))
    }

    #[test]
    fn a_refused_payload_still_tells_its_id() {
        assert_eq!(given_id(br#"{"famly":1,"id":"mine"}"#).as_deref(), Some("mine"));
        for none in [&b"word"[..], b"", b"{}", br#"{"id":""}"#, br#"{"id":"#] {
            assert_eq!(given_id(none), None);
        }
    }

    #[test]
    fn nothing_an_object_a_word_and_a_number_are_arguments() {
        let json = |payload: &str| Value::Object(read(payload).unwrap().args).to_string();
        assert_eq!(json(""), "{}");
        assert_eq!(json(" \n"), "{}");
        assert_eq!(json(r#"{"name":"thermo"}"#), r#"{"name":"thermo"}"#);
        assert_eq!(json("thermo"), r#"{"name":"thermo"}"#);
        assert_eq!(json("\"a b\"\n"), r#"{"name":"a b"}"#);
        assert_eq!(json("-1.5"), r#"{"name":-1.5}"#);
        assert_eq!(json("true"), r#"{"name":"true"}"#);
    }

    #[test]
    fn reserved_keys_are_taken_out_of_the_arguments() {
        let request = read(
            r#"{"name":"x","id":"a-1","expires":"90s","dry_run":true,"if_rev":3,"sig":{"k":"v"}}"#,
        )
        .unwrap();
        assert_eq!(Value::Object(request.args.clone()).to_string(), r#"{"name":"x"}"#);
        assert_eq!(request.id.as_deref(), Some("a-1"));
        assert_eq!(request.expires, Some(Expires::In(Duration::from_secs(90))));
        assert_eq!((request.dry_run, request.if_rev), (true, Some(3)));
        assert!(!request.is_recorded());
    }

    #[test]
    fn expires_is_a_moment_a_span_or_the_message_expiry() {
        let at = read(r#"{"expires":"2026-11-22T10:00:00Z"}"#).unwrap().expires;
        assert_eq!(at, Some(Expires::At(1_795_341_600_000)));
        let expiry = parse(&CHANGE, b"", Some(7)).unwrap().expires;
        assert_eq!(expiry, Some(Expires::In(Duration::from_secs(7))));
        assert_eq!(refusal(r#"{"expires":"soon"}"#).1.as_deref(), Some("/expires"));
        assert_eq!(refusal(r#"{"expires":90}"#).0, "command.malformed");
    }

    #[test]
    fn what_is_neither_is_malformed() {
        for payload in ["{", "[1]", "\"", "a\nb", "\u{7}", &"x".repeat(300), &" ".repeat(70_000)] {
            assert_eq!(refusal(payload).0, "command.malformed", "{payload:?}");
        }
        assert_eq!(parse(&CHANGE, &[0xff], None).unwrap_err().code, "command.malformed");
        assert_eq!(parse(&READ, b"word", None).unwrap_err().code, "command.malformed");
    }

    #[test]
    fn an_id_is_short_and_fits_a_topic_level() {
        assert_eq!(read(r#"{"id":42}"#).unwrap().id.as_deref(), Some("42"));
        for id in ["", "a/b", "+", "ä", &"x".repeat(65)] {
            let refused = refusal(&format!(r#"{{"id":"{id}"}}"#));
            assert_eq!(refused, ("command.malformed".into(), Some("/id".into())), "{id}");
        }
    }

    #[test]
    fn a_dry_run_of_a_verb_that_has_none_is_refused_before_anything_is_done() {
        let error = parse(&READ, br#"{"dry_run":true}"#, None).unwrap_err();
        assert_eq!(error.code, "command.no_dry_run");
    }

    #[test]
    fn an_argument_that_the_verb_does_not_know_is_refused() {
        let error = parse(&READ, br#"{"nmae":1}"#, None).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.field.as_deref()),
            ("command.unknown_argument", Some("/nmae"))
        );
    }
}
