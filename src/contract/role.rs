//! Who may do what: four roles, three classes of verbs.

use serde::{Deserialize, Serialize};

/// What a principal may do; each role may do all that the one before it may.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads what is.
    Observer,
    /// A program on the box: its own `app/<name>/#`, and every topic outside the root.
    App,
    /// Runs the box: verbs of class change.
    Operator,
    /// Owns the box: verbs of class danger.
    Admin,
}

impl Role {
    /// Every role, least first.
    pub const ALL: [Role; 4] = [Role::Observer, Role::App, Role::Operator, Role::Admin];

    /// The word for it, everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Role::Observer => "observer",
            Role::App => "app",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

impl std::str::FromStr for Role {
    type Err = ();

    fn from_str(word: &str) -> Result<Role, ()> {
        Role::ALL.into_iter().find(|role| role.word() == word).ok_or(())
    }
}

/// What a verb can do to the box.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Answers; no record, no write.
    Read,
    /// Starts, stops, adjusts what exists.
    Change,
    /// Can name a program, a user, a path, an address or a security setting; or ends the box.
    Danger,
}

impl Class {
    /// The least role that may use a verb of this class.
    pub fn least_role(self) -> Role {
        match self {
            Class::Read => Role::Observer,
            Class::Change => Role::Operator,
            Class::Danger => Role::Admin,
        }
    }
}
