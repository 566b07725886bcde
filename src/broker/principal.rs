//! Who a session belongs to, and what that one may do.

use std::sync::Arc;

use crate::contract::Role;

const DAEMON: &str = "maestro:";

/// An identity the broker has established.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// `root`, `operator:alice`, `app:nobody`, `user:bob`, `bridge:cloud`, `maestro:stats`.
    pub name: String,
    /// What it may do, the listener's `max_role` already applied.
    pub role: Role,
    /// The listener's `max_role`: no rule of `broker.acl` gives more than this role has.
    pub max_role: Role,
    /// Its own `app/<name>` if it is one.
    pub app: Option<String>,
    /// The kernel's uid where the transport knows it.
    pub uid: Option<u32>,
    /// What came over a bridge is judged more strictly; `None` for whoever is on the box.
    pub bridge: Option<Arc<Bridged>>,
}

/// What a bridge's configuration says about commands that come over it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bridged {
    /// Verbs of class danger that need no signature: `system/reboot`, `network/*`.
    pub unsigned: Vec<String>,
}

impl Principal {
    /// A principal of this role and no more, without an app or a uid.
    pub fn new(name: impl Into<String>, role: Role) -> Principal {
        Principal { name: name.into(), role, max_role: role, app: None, uid: None, bridge: None }
    }

    /// A link of the daemon's own, `maestro:<name>`.
    pub fn daemon(name: &str) -> Principal {
        Principal::new(format!("{DAEMON}{name}"), Role::Admin)
    }

    /// Whether it is a link of the daemon's own: it alone publishes the daemon's classes. The prefix
    /// is given by [`Principal::daemon`] only; users, apps and bridges carry prefixes of their own.
    pub fn is_daemon(&self) -> bool {
        self.name.starts_with(DAEMON)
    }

    /// Whether it is of this process: a subsystem's or a bridge's.
    pub(crate) fn is_link(&self) -> bool {
        self.is_daemon() || self.bridge.is_some()
    }

    /// The session of the bridge `name`.
    pub fn bridge(name: &str, role: Role, unsigned: Vec<String>) -> Principal {
        Principal {
            bridge: Some(Arc::new(Bridged { unsigned })),
            ..Principal::new(format!("bridge:{name}"), role)
        }
    }
}

impl Bridged {
    /// Whether a verb of class danger, named `<subsystem>/<verb>`, is lifted to whatever role the
    /// bridge has. If not, it is refused with `command.unsigned`, even for a bridge that is admin.
    pub fn lifts(&self, verb: &str) -> bool {
        self.unsigned.iter().any(|pattern| match pattern.strip_suffix("/*") {
            Some(subsystem) => {
                verb.strip_prefix(subsystem).is_some_and(|rest| rest.starts_with('/'))
            }
            None => pattern == verb,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_lifts_the_verbs_it_names_and_no_other() {
        let bridged = Bridged { unsigned: vec!["system/reboot".into(), "network/*".into()] };
        for verb in ["system/reboot", "network/set", "network/confirm"] {
            assert!(bridged.lifts(verb), "{verb}");
        }
        for verb in ["system/shutdown", "system/reboot2", "networks/set", "network", "reboot"] {
            assert!(!bridged.lifts(verb), "{verb}");
        }
    }
}
