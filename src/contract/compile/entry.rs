//! The form of an entry, as `topics/README.md` tells it.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) topic: Vec<Topic>,
    #[serde(default)]
    pub(super) verb: Vec<Verb>,
    #[serde(default)]
    pub(super) error: Vec<Error>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Topic {
    pub(super) pattern: Spanned<String>,
    #[serde(rename = "type")]
    pub(super) payload: String,
    pub(super) meaning: String,
    pub(super) since: String,
    pub(super) role: Option<Spanned<String>>,
    pub(super) bridged: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) examples: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verb {
    pub(super) name: Spanned<String>,
    pub(super) class: Spanned<String>,
    pub(super) role: Option<Spanned<String>>,
    pub(super) subject: Option<String>,
    pub(super) args: Option<String>,
    pub(super) result: String,
    pub(super) timeout: Spanned<String>,
    #[serde(default)]
    pub(super) dry_run: bool,
    #[serde(default = "yes")]
    pub(super) remote: bool,
    pub(super) meaning: String,
    pub(super) since: String,
    pub(super) examples: Spanned<Vec<Spanned<Call>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) args: String,
    pub(super) result: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Error {
    pub(super) code: Spanned<String>,
    pub(super) meaning: String,
    #[serde(default = "unspecified")]
    pub(super) puback: u8,
}

/// Roles from least to most.
pub(super) const ROLES: [&str; 4] = ["observer", "app", "operator", "admin"];

fn yes() -> bool {
    true
}

/// MQTT 5: implementation specific error.
fn unspecified() -> u8 {
    0x83
}

impl Topic {
    pub(super) fn is_json(&self) -> bool {
        !matches!(self.payload.as_str(), "text" | "any")
    }
}

impl Verb {
    /// The least role of the class; `None` if there is no such class.
    pub(super) fn class_role(&self) -> Option<&'static str> {
        match self.class.get_ref().as_str() {
            "read" => Some("observer"),
            "change" => Some("operator"),
            "danger" => Some("admin"),
            _ => None,
        }
    }

    pub(super) fn role(&self) -> &str {
        match &self.role {
            Some(role) => role.get_ref(),
            None => self.class_role().unwrap_or("admin"),
        }
    }

    /// The time-out in milliseconds, if it is written as `500ms`, `5s`, `10m` or `1h`.
    pub(super) fn timeout_ms(&self) -> Option<u64> {
        let text = self.timeout.get_ref();
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).filter(|ms| *ms > 0)
    }
}
