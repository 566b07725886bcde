//! Rules of the configuration, beside what the roles give.

use serde::{Deserialize, Serialize};

use super::{Principal, Right};
use crate::contract::Role;
use crate::topic::{covers, matches, overlaps};

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

impl Rule {
    fn is_about(&self, who: &Principal, access: Access) -> bool {
        self.access == access
            && match &self.who {
                Who::Principal(name) => *name == who.name,
                Who::Role(role) => *role == who.role,
            }
    }
}

/// The roles' verdict and the rules' together: a deny beats an allow, an allow lifts up to `max_role`.
pub(super) fn allows(
    rules: &[Rule],
    who: &Principal,
    topic: &str,
    access: Access,
    right: Right,
) -> bool {
    let by_role = right.by_role && who.role >= right.least;
    if rules.is_empty() {
        return by_role;
    }
    let says = |effect| {
        rules.iter().any(|rule| {
            rule.effect == effect && rule.is_about(who, access) && matches(&rule.filter, topic)
        })
    };
    !says(Effect::Deny) && (by_role || who.max_role >= right.least && says(Effect::Allow))
}

/// Whether a deny takes all that a filter could read.
pub(super) fn denies_all(rules: &[Rule], who: &Principal, filter: &str) -> bool {
    rules.iter().any(|rule| {
        rule.effect == Effect::Deny
            && rule.is_about(who, Access::Read)
            && covers(&rule.filter, filter)
    })
}

/// Whether an allow gives something that a filter could read.
pub(super) fn allows_some(rules: &[Rule], who: &Principal, filter: &str) -> bool {
    rules.iter().any(|rule| {
        rule.effect == Effect::Allow
            && rule.is_about(who, Access::Read)
            && overlaps(&rule.filter, filter)
    })
}
