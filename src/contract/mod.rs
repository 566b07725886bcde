//! The contract on the bus: `topics/*.toml` compiled in, the roles, the classes, the error codes.
//!
//! ```text
//!   topics/*.toml --build.rs--> TOPICS, VERBS, ERRORS (static)      message types --> TYPES (types.rs)
//!                                  |                                      |
//!       broker::acl, command, bridge ask            api.rs: AsyncAPI 3, JSON Schemas, error list
//! ```
//! `topics/README.md` tells how an entry is written. A wrong entry fails the build with its file and line.

pub mod api;
mod arguments;
#[cfg(test)]
mod compile;
mod error;
mod kind;
mod nearest;
mod role;
mod spec;
mod types;

pub use arguments::arguments;
pub use error::Error;
pub use kind::{Bridged, KINDS, Kept, Kind, Rules};
pub use nearest::nearest;
pub use role::{Class, Role};
pub use spec::{ErrorSpec, Example, Level, TopicSpec, Verb};
pub use types::{TYPES, Type, type_named};

use crate::topic::Root;

include!(concat!(env!("OUT_DIR"), "/contract.rs"));

/// Keys of a command that are never names of arguments.
pub const RESERVED: [&str; 5] = ["id", "expires", "dry_run", "if_rev", "sig"];

/// Every topic, by class, literal patterns first.
pub fn topics() -> &'static [TopicSpec] {
    TOPICS
}

/// Every verb, by subsystem and name.
pub fn verbs() -> &'static [Verb] {
    VERBS
}

/// Every error code, in order.
pub fn errors() -> &'static [ErrorSpec] {
    ERRORS
}

/// The subsystems that have verbs or topics: the files of `topics/`.
pub fn subsystems() -> &'static [&'static str] {
    SUBSYSTEMS
}

/// One verb.
pub fn verb(subsystem: &str, name: &str) -> Option<&'static Verb> {
    let at =
        VERBS.binary_search_by(|verb| (verb.subsystem, verb.name).cmp(&(subsystem, name))).ok()?;
    Some(&VERBS[at])
}

/// The entry of a tail below the root; never one beside it (`$..`). Does not allocate.
pub fn lookup(tail: &str) -> Option<&'static TopicSpec> {
    find(Kind::of_tail(tail)?, tail)
}

/// The entry of a whole topic, below the root or beside it.
pub fn lookup_topic(root: &Root, topic: &str) -> Option<&'static TopicSpec> {
    match Kind::of_absolute(topic) {
        Some(kind) => find(kind, topic),
        None => lookup(root.tail(topic)?),
    }
}

fn find(kind: Kind, topic: &str) -> Option<&'static TopicSpec> {
    let from = TOPICS.partition_point(|spec| spec.kind < kind);
    TOPICS[from..].iter().take_while(|spec| spec.kind == kind).find(|spec| spec.matches(topic))
}

/// One error code.
pub fn error(code: &str) -> Option<&'static ErrorSpec> {
    let at = ERRORS.binary_search_by(|error| error.code.cmp(code)).ok()?;
    Some(&ERRORS[at])
}

/// The MQTT 5 reason code of a dotted code; 0x83 (implementation specific) for all but a few.
pub fn reason_code(code: &str) -> u8 {
    error(code).map_or(0x83, |error| error.puback)
}

/// The verb of a subsystem that is spelled most like `name`, as `subsystem/verb`.
pub fn nearest_verb(subsystem: &str, name: &str) -> Option<String> {
    let known = nearest(subsystem, VERBS.iter().map(|verb| verb.subsystem))?;
    let verbs = VERBS.iter().filter(|verb| verb.subsystem == known).map(|verb| verb.name);
    nearest(name, verbs).map(|verb| format!("{known}/{verb}"))
}
