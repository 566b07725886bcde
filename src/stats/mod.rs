//! Measures the box and says it on the bus.

pub mod config;

use crate::service::{Restart, Spec};

/// How to (re)build the subsystem.
pub fn spec() -> Spec {
    Spec {
        name: "stats",
        restart: Restart::default(),
        build: Box::new(|scope| {
            Box::pin(async move {
                scope.health.ok();
                scope.stop.cancelled().await;
                Ok(())
            })
        }),
    }
}
