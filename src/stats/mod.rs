//! Measures the box and says it on the bus.
//!
//! ```text
//!   config -> plan -> sampler --(what is due)--> task: probe reads /proc, kept open
//!                        ^                              | counters
//!   cmd/stats/sample ----+                              v
//!                                     meters (rates, shares) -> sample
//!                                       |                         |
//!                      notice: is it news?              batch: by count and age
//!                                       v                         v
//!              metric/<family>[/<instance>]       $maestro/batch/stats/<name>
//! ```
//! Eight families, each with its interval and change threshold: `cpu memory load disk io network
//! temperature daemon`. Metrics are told at once at the start, the first rates a second later. What the
//! kernel does not give degrades its own family; what this machine does not have is `absent`.
//! The original's `vm` and `disk` are `memory` and `disk`; a `name:` of theirs names their batch.

mod batch;
mod choice;
pub mod config;
mod family;
pub mod message;
mod meters;
mod notice;
mod plan;
mod rate;
mod sampler;
mod table;
mod task;

pub use family::{ALL, Families, Family};
pub use task::{Probe, Trouble};

use crate::service::{Restart, Spec};

/// How to (re)build the subsystem.
pub fn spec() -> Spec {
    Spec {
        name: "stats",
        restart: Restart::default(),
        build: Box::new(|scope| Box::pin(task::run(scope))),
    }
}
