//! The one shape of trouble on the bus.

use serde::{Deserialize, Serialize};

/// What went wrong, for a program (`code`, `field`, `retryable`) and a person (`message`, `hint`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Error {
    /// Stable dotted code, listed in `$maestro/api/errors`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// JSON Pointer to the offending field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Box<str>>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same request can succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// What caused it, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cause: Vec<Error>,
}

impl Error {
    /// An error with a code of `topics/errors.toml`.
    pub fn new(code: &'static str, message: impl Into<String>) -> Error {
        Error {
            code: code.into(),
            message: message.into(),
            field: None,
            hint: None,
            retryable: false,
            cause: Vec::new(),
        }
    }
    /// Names the field, as a JSON Pointer.
    pub fn at(mut self, field: impl Into<String>) -> Error {
        self.field = Some(field.into().into_boxed_str());
        self
    }
    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }
    /// The same request can succeed later.
    pub fn retryable(mut self) -> Error {
        self.retryable = true;
        self
    }
    /// What lies behind it.
    pub fn because(mut self, cause: Error) -> Error {
        self.cause.push(cause);
        self
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
impl std::error::Error for Error {}
