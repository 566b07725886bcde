//! Topic names and filters as types. Parse and print are one tested pair.

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
    /// The whole topic of a tail: `state/stats/memory` -> `maestro/state/stats/memory`.
    pub fn join(&self, tail: &str) -> String {
        format!("{}/{tail}", self.0)
    }
    /// The tail below the root, if the topic is below it.
    pub fn tail<'t>(&self, topic: &'t str) -> Option<&'t str> {
        topic.strip_prefix(&*self.0)?.strip_prefix('/')
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
