//! Who may publish, read and subscribe to what. Pure.

use serde::{Deserialize, Serialize};

use super::Principal;
use crate::contract::Role;
use crate::topic::Root;

/// Why something is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Dotted code of the contract.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

/// One line of `broker.acl`: more or less than the roles give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rule {
    /// Whom it is about.
    pub who: Who,
    /// A deny beats an allow.
    pub effect: Effect,
    /// Reading or writing.
    pub access: Access,
    /// A topic filter, root included.
    pub filter: String,
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// The principal of this name, `app:thermo`, `user:bob`.
    Principal(String),
    /// Everyone of exactly this role.
    Role(Role),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Gives, never past the listener's `max_role` and never the daemon's own classes.
    Allow,
    /// Takes away.
    Deny,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Getting messages.
    Read,
    /// Publishing.
    Write,
}

/// The rights of every principal.
#[derive(Clone, Debug, Default)]
pub struct Acl {
    root: Root,
    rules: Vec<Rule>,
}

impl Acl {
    /// The default rights below `root`, and the rules of the configuration.
    pub fn new(root: Root, rules: Vec<Rule>) -> Acl {
        Acl { root, rules }
    }

    /// Whether a publish is taken. The payload decides only whether a command is a dry run.
    ///
    /// # Errors
    /// `broker.not_authorized`, `topic.unknown`, `command.retained`, `command.unknown_verb`,
    /// `desired.unknown_object`.
    pub fn may_publish(&self, who: &Principal, what: &Publish<'_>) -> Result<(), Denied> {
        let _ = (who, what, &self.root, &self.rules);
        Ok(())
    }

    /// Whether a will is taken; asked at CONNECT and when it fires.
    ///
    /// # Errors
    /// As [`Acl::may_publish`]; never to `cmd/#`.
    pub fn may_will(&self, who: &Principal, what: &Publish<'_>) -> Result<(), Denied> {
        self.may_publish(who, what)
    }

    /// Whether a message may be delivered, asked at delivery. Does not allocate. `audience` is the
    /// message's: that principal reads it whatever its role.
    pub fn may_read(&self, who: &Principal, topic: &str, audience: Option<&str>) -> bool {
        let _ = (who, topic, audience);
        true
    }

    /// Whether anything under a filter (without `$share/<group>/`) can be read; if not, the
    /// subscription is refused.
    pub fn filter_readable(&self, who: &Principal, filter: &str) -> bool {
        let _ = (who, filter);
        true
    }

    /// Whether an answer may go to this response topic: one the requester may publish to itself, and
    /// never a place for commands or wanted state.
    pub fn may_respond(&self, who: &Principal, topic: &str) -> bool {
        let _ = (who, topic);
        true
    }
}

/// What of a publish is judged.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'p> {
    /// The whole topic.
    pub topic: &'p str,
    /// Its retain flag.
    pub retain: bool,
    /// Its payload.
    pub payload: &'p [u8],
}
