//! A command as it is kept in the ledger, and the digests by which it is known again.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::message::{Task, TaskState};
use crate::contract;
use crate::service::{Stamp, rfc3339};

/// 128 bits of SHA-256: what was asked, without keeping it (arguments may be secret).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(super) struct Digest([u8; 16]);

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) state: TaskState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<contract::Error>,
    /// `<subsystem>/<verb>`.
    pub(super) command: String,
    pub(super) from: String,
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Key>,
    /// Of the arguments.
    pub(super) args: Digest,
    /// Milliseconds since 1970.
    pub(super) received_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_ms: Option<i64>,
    /// The boot whose end is the success of this command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ends_boot: Option<String>,
}

/// What makes two commands the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Key {
    /// Principal, verb and id; known as long as the record is.
    Id(Digest),
    /// Client id, verb and correlation data; known for a minute only.
    Correlation(Digest),
}

impl Record {
    /// As it is told.
    pub(super) fn task(&self, stamp: Stamp) -> Task {
        Task {
            state: self.state,
            result: self.result.clone(),
            error: self.error.clone(),
            command: self.command.clone(),
            from: self.from.clone(),
            step: None,
            progress_pct: None,
            duplicate: false,
            dry_run: false,
            received: calendar(self.received_ms),
            ended: self.ended_ms.map(calendar),
            id: self.id.clone(),
            stamp,
        }
    }
    pub(super) fn to_row(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // its keys are strings: it cannot fail
    }
    pub(super) fn of_row(row: &[u8]) -> Option<Record> {
        serde_json::from_slice(row).ok()
    }
}

/// Milliseconds since 1970 as a message shows them.
fn calendar(ms: i64) -> String {
    let since = std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    rfc3339(std::time::UNIX_EPOCH + since)
}

impl Digest {
    /// Of these parts, in this order.
    pub(super) fn of(parts: &[&[u8]]) -> Digest {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes()); // so that no two lists look alike
            context.update(part);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&context.finish().as_ref()[..16]);
        Digest(digest)
    }
    /// Of arguments, whatever the order of their keys.
    pub(super) fn of_args(args: &Map<String, Value>, if_rev: Option<u64>) -> Digest {
        let mut canonical = String::new();
        object(args, &mut canonical);
        Digest::of(&[
            canonical.as_bytes(),
            if_rev.map_or(String::new(), |r| r.to_string()).as_bytes(),
        ])
    }
}

fn object(map: &Map<String, Value>, out: &mut String) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    for (key, value) in entries {
        out.push_str(&Value::String(key.clone()).to_string());
        out.push(':');
        canonical(value, out);
        out.push(',');
    }
    out.push('}');
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => object(map, out),
        Value::Array(values) => {
            out.push('[');
            for value in values {
                canonical(value, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        format!("{:032x}", u128::from_be_bytes(digest.0))
    }
}

impl From<String> for Digest {
    /// What is no digest becomes the one of nothing, which no command has.
    fn from(hex: String) -> Digest {
        Digest(u128::from_str_radix(&hex, 16).unwrap_or(0).to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(json: &str) -> Digest {
        Digest::of_args(&serde_json::from_str(json).unwrap(), None)
    }

    #[test]
    fn the_order_of_keys_is_no_difference_and_everything_else_is() {
        let one = digest(r#"{"a":1,"b":{"c":[1,2],"d":null}}"#);
        assert_eq!(one, digest(r#"{"b":{"d":null,"c":[1,2]},"a":1}"#));
        for other in
            [r#"{"a":"1","b":{"c":[1,2],"d":null}}"#, r#"{"a":1,"b":{"c":[2,1],"d":null}}"#, "{}"]
        {
            assert_ne!(one, digest(other));
        }
        assert_ne!(Digest::of(&[b"ab", b"c"]), Digest::of(&[b"a", b"bc"]));
        let args = Map::new();
        assert_ne!(Digest::of_args(&args, None), Digest::of_args(&args, Some(1)));
    }

    #[test]
    fn a_record_is_the_same_after_it_was_kept() {
        let record = Record {
            state: TaskState::Failed,
            result: None,
            error: Some(contract::Error::new("command.failed", "no")),
            command: "system/reboot".into(),
            from: "admin:root".into(),
            id: "a-1".into(),
            key: Some(Key::Id(Digest::of(&[b"x"]))),
            args: digest("{}"),
            received_ms: 1_795_341_600_000,
            ended_ms: Some(1_795_341_601_000),
            ends_boot: Some("1f0c9a3e".into()),
        };
        assert_eq!(Record::of_row(&record.to_row()), Some(record.clone()));
        let task = record.task(Stamp::default());
        assert_eq!(task.ended.as_deref(), Some("2026-11-22T10:00:01.000Z"));
        assert_eq!(Record::of_row(b"{"), None);
    }
}
