//! Why the cloud is not there, in one sentence that names the mend where there is one.

use std::fmt::Display;
use std::time::Duration;

use crate::bridge::queue::BrokenBy;
use crate::contract::Error;

/// What ended a connection or an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// For the bus and a person.
    pub error: Error,
    /// Whether the cloud ended it, perhaps for what it had read.
    pub by: BrokenBy,
}

impl Trouble {
    /// Something between us and the cloud, or of ours.
    pub fn ours(code: &'static str, message: impl Into<String>) -> Trouble {
        Trouble { error: Error::new(code, message).retryable(), by: BrokenBy::Link }
    }

    /// The cloud's doing.
    pub fn theirs(code: &'static str, message: impl Into<String>) -> Trouble {
        Trouble { error: Error::new(code, message).retryable(), by: BrokenBy::Cloud }
    }

    /// What to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Trouble {
        Trouble { error: self.error.hint(hint), by: self.by }
    }

    /// Nothing was heard for too long.
    pub(super) fn silent(url: &str, silence: Duration) -> Trouble {
        let seconds = silence.as_secs();
        Trouble::ours("bridge.silent", format!("nothing heard from {url} for {seconds} s"))
    }

    /// The attempt took too long; `what` did not come.
    pub(super) fn late(url: &str, what: &str) -> Trouble {
        Trouble::ours("bridge.unreachable", format!("{url} gave {what} in time"))
    }

    /// The CONNECT was answered with a refusal.
    pub(super) fn rejected(url: &str, reason: &str) -> Trouble {
        Trouble::ours("bridge.rejected", format!("{url} does not let us in: {reason}")).hint(
            "check client_id, username, password and certificate against the cloud's settings",
        )
    }

    /// The cloud broke a rule of MQTT: whatever it read of ours is not to blame.
    pub fn protocol(url: &impl Display, rule: &impl Display) -> Trouble {
        Trouble::ours("bridge.protocol", format!("{url} breaks MQTT: {rule}"))
    }

    /// The cloud said goodbye.
    pub(super) fn goodbye(url: &str, reason: &str) -> Trouble {
        Trouble::theirs("bridge.closed", format!("{url} ended the connection: {reason}"))
    }
}
