//! Who a session belongs to, and what that one may do.

use std::sync::Arc;

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
    /// The session of the bridge `name`.
    pub fn bridge(name: &str, role: Role, unsigned: Vec<String>) -> Principal {
        Principal {
            name: format!("bridge:{name}"),
            role,
            app: None,
            uid: None,
            bridge: Some(Arc::new(Bridged { unsigned })),
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
