//! What `topics/*.toml` says, as static tables. `build.rs` writes the values.

use std::time::Duration;

use super::{Bridged, Class, Kind, Role};

/// One topic of the contract.
#[derive(Debug)]
pub struct TopicSpec {
    /// Below the root: `state/stats/{family}`; beside it: `$maestro/api/schema/{type}`.
    pub pattern: &'static str,
    /// The pattern, level by level.
    pub levels: &'static [Level],
    /// Its class; from it come retain, QoS and readers.
    pub kind: Kind,
    /// The file that tells of it.
    pub subsystem: &'static str,
    /// The least role that reads it; its audience does so whatever its role.
    pub role: Role,
    /// Name of the payload's type in [`super::TYPES`], or `text`, `any` JSON, `none` (a verb without
    /// arguments).
    pub payload: &'static str,
    /// What a message on it means.
    pub meaning: &'static str,
    /// The version of maestro it came with.
    pub since: &'static str,
    /// What a bridge with default rules does with it.
    pub bridged: Bridged,
    /// The verb, for `cmd/..` and `reply/..`.
    pub verb: Option<&'static Verb>,
    /// What each `{parameter}` stands for, in order.
    pub parameters: &'static [(&'static str, &'static str)],
    /// Payloads as they appear.
    pub examples: &'static [&'static str],
}

/// One level of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Exactly this word.
    Word(&'static str),
    /// Any one level, by this name.
    Any(&'static str),
    /// One or more levels to the end, by this name.
    Rest(&'static str),
}

/// One verb of a subsystem.
#[derive(Debug)]
pub struct Verb {
    /// The subsystem that carries it out.
    pub subsystem: &'static str,
    /// The last level of `cmd/<subsystem>/<verb>`.
    pub name: &'static str,
    /// What it can do to the box.
    pub class: Class,
    /// The least role that may use it.
    pub role: Role,
    /// The argument that a bare word or number stands for.
    pub subject: Option<&'static str>,
    /// Name of the arguments' type; `None` takes no arguments.
    pub args: Option<&'static str>,
    /// Name of the result's type.
    pub result: &'static str,
    /// The longest it may run before it is `timed_out`.
    pub timeout: Duration,
    /// Whether it can say what it would do and not do it. A dry run is of class read.
    pub dry_run: bool,
    /// Whether a bridge brings it in by default.
    pub remote: bool,
    /// What it does.
    pub meaning: &'static str,
    /// The version of maestro it came with.
    pub since: &'static str,
    /// Calls as they are made.
    pub examples: &'static [Example],
}

/// A call and its answer.
#[derive(Debug)]
pub struct Example {
    /// The payload of the command: empty, a bare word, or an object.
    pub args: &'static str,
    /// The `result` of the reply.
    pub result: &'static str,
}

/// One error code.
#[derive(Debug)]
pub struct ErrorSpec {
    /// The dotted code.
    pub code: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The MQTT 5 reason code that goes with it in a PUBACK, SUBACK or DISCONNECT.
    pub puback: u8,
}

impl TopicSpec {
    /// Whether the topic (below the root for most, whole for `$..`) is one of this pattern.
    pub fn matches(&self, topic: &str) -> bool {
        let mut given = topic.split('/');
        for level in self.levels {
            match (level, given.next()) {
                (Level::Word(word), Some(found)) if *word == found => {}
                (Level::Any(_), Some(found)) if !found.is_empty() => {}
                (Level::Rest(_), Some(_)) => return true,
                (Level::Word(_) | Level::Any(_) | Level::Rest(_), _) => return false,
            }
        }
        given.next().is_none()
    }

    /// Whether the payload is JSON of a registered type.
    pub fn is_typed(&self) -> bool {
        !matches!(self.payload, "text" | "any" | "none")
    }
}
