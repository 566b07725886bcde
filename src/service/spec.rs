//! What the supervisor must know of a subsystem to build it again.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::Scope;

/// Any error that ends a subsystem's task; the supervisor logs it once and rebuilds.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A subsystem's task.
pub type BoxFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// One subsystem: a name, a restart rule, and how to build it from what is in storage.
pub struct Spec {
    /// The folder's name; also the subsystem in topics.
    pub name: &'static str,
    /// What happens when it ends by error or panic.
    pub restart: Restart,
    /// Builds the task. Called again after each failure, with a new scope.
    pub build: Box<dyn Fn(Scope) -> BoxFuture + Send + Sync>,
}

/// How often a subsystem may fail before it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    /// The first delay; doubles with each failure.
    pub first_delay: Duration,
    /// The longest delay.
    pub last_delay: Duration,
    /// Failures within [`Restart::window`] after which it is given up and `failed`.
    pub limit: u32,
    /// A failure older than this is forgotten.
    pub window: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Restart {
            first_delay: Duration::from_millis(200),
            last_delay: Duration::from_secs(60),
            limit: 10,
            window: Duration::from_secs(600),
        }
    }
}
