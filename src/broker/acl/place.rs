//! Where a topic stands: below the root, beside it, or outside, with the apps.

use crate::contract::Kind;
use crate::topic::{Root, is_spelled};

/// Where a topic stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'t> {
    /// Below the root, in a class of the daemon, with its tail.
    Class(Kind, &'t str),
    /// Below the root, `app/<name>/<rest>`.
    App {
        /// The level of the name, as it is spelled.
        name: &'t str,
        /// What stands below it.
        rest: &'t str,
    },
    /// The daemon's beside the root.
    Beside(Kind),
    /// Below the root in no class, the root itself, or another `$..`.
    Nowhere,
    /// The apps'.
    Outside,
}

impl<'t> Place<'t> {
    /// The place of a whole topic.
    pub(super) fn of(root: &Root, topic: &'t str) -> Place<'t> {
        if topic.starts_with('$') {
            return Kind::of_absolute(topic).map_or(Place::Nowhere, Place::Beside);
        }
        let Some(tail) = root.tail(topic) else {
            return if topic == root.as_str() { Place::Nowhere } else { Place::Outside };
        };
        match Kind::of_tail(tail) {
            None => Place::Nowhere,
            Some(Kind::App) => match tail.split('/').nth(1).filter(|name| !name.is_empty()) {
                None => Place::Nowhere,
                Some(name) => match tail.get("app//".len() + name.len()..) {
                    Some(rest) if !rest.is_empty() => Place::App { name, rest },
                    Some(_) | None => Place::Nowhere,
                },
            },
            Some(kind) => Place::Class(kind, tail),
        }
    }

    /// Whether it is below `app/<name>` of the app that `principal_app` names.
    pub(super) fn is_own(self, principal_app: Option<&str>) -> bool {
        match (self, principal_app) {
            (Place::App { name, .. }, Some(app)) => is_spelled(name, app),
            (
                Place::App { .. }
                | Place::Class(..)
                | Place::Beside(_)
                | Place::Nowhere
                | Place::Outside,
                _,
            ) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_one_place() {
        let root = Root::default();
        let table = [
            ("maestro/state/stats/memory", Place::Class(Kind::State, "state/stats/memory")),
            ("maestro/app/thermo/state/hall", Place::App { name: "thermo", rest: "state/hall" }),
            ("maestro/app/thermo/", Place::Nowhere),
            ("maestro/app/thermo", Place::Nowhere),
            ("maestro/app//x", Place::Nowhere),
            ("maestro/app", Place::Nowhere),
            ("maestro", Place::Nowhere),
            ("maestro/", Place::Nowhere),
            ("maestro/sensors/x", Place::Nowhere),
            ("maestro/$SYS/x", Place::Nowhere),
            ("maestros/state/x", Place::Outside),
            ("sensors/hall", Place::Outside),
            ("/maestro/cmd/system/reboot", Place::Outside),
            ("$SYS/broker/uptime", Place::Beside(Kind::Sys)),
            ("$maestro/api/errors", Place::Beside(Kind::Api)),
            ("$maestro/x", Place::Nowhere),
            ("$other", Place::Nowhere),
        ];
        for (topic, place) in table {
            assert_eq!(Place::of(&root, topic), place, "{topic}");
        }
    }

    #[test]
    fn an_app_with_an_odd_name_owns_its_encoded_level_and_no_other() {
        let root = Root::default();
        let own = |topic, app| Place::of(&root, topic).is_own(Some(app));
        assert!(own("maestro/app/www%20data/state/x", "www data"));
        assert!(!own("maestro/app/www data/state/x", "www data"));
        assert!(!own("maestro/app/a%2Fb/x", "a%2Fb"));
        assert!(!own("maestro/app/thermo2/x", "thermo"));
        assert!(!own("sensors/thermo", "thermo"));
    }
}
