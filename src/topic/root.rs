//! The first level of every topic of the daemon.

use super::filter::is_name;

/// The first level of every topic of the daemon, `maestro` unless configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(std::sync::Arc<str>);

impl Default for Root {
    fn default() -> Self {
        Root("maestro".into())
    }
}

impl Root {
    /// A root from the configuration; one or more levels without wildcards.
    pub fn new(name: &str) -> Root {
        Root(name.into())
    }
    /// Whether `name` can be a root: a topic name, no empty level, not beginning with `$`.
    pub fn is_root(name: &str) -> bool {
        is_name(name) && !name.starts_with('$') && !name.split('/').any(str::is_empty)
    }
    /// The whole topic of a tail: `state/stats/memory` -> `maestro/state/stats/memory`.
    pub fn join(&self, tail: &str) -> String {
        format!("{}/{tail}", self.0)
    }
    /// The tail below the root, if the topic is below it.
    pub fn tail<'t>(&self, topic: &'t str) -> Option<&'t str> {
        topic.strip_prefix(&*self.0)?.strip_prefix('/')
    }
    /// The root itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_what_stands_below_the_root_and_nothing_beside_it() {
        let root = Root::new("gw/GW1");
        assert_eq!(root.tail("gw/GW1/state/x"), Some("state/x"));
        assert_eq!(root.tail(&root.join("info")), Some("info"));
        for beside in ["gw/GW1", "gw/GW11/x", "gw", "x/gw/GW1/y", ""] {
            assert_eq!(root.tail(beside), None, "{beside}");
        }
    }

    #[test]
    fn a_root_is_one_or_more_plain_levels() {
        for good in ["maestro", "gw/GW1", "ä"] {
            assert!(Root::is_root(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "a/+", "#", "$SYS", "a\0"] {
            assert!(!Root::is_root(bad), "{bad}");
        }
    }
}
