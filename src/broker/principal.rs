//! Who a session belongs to, and what that one may do.

use crate::contract::Role;

/// An identity the broker has established.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// `root`, `operator:alice`, `app:nobody`, `user:bob`, `bridge:cloud`, `maestro:stats`.
    pub name: String,
    /// What it may do, the listener's `max_role` already applied.
    pub role: Role,
    /// Its own `app/<name>` if it is one.
    pub app: Option<String>,
    /// The kernel's uid where the transport knows it.
    pub uid: Option<u32>,
}
