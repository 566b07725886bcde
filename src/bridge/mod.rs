//! The bridge: relays chosen topics between the broker and a cloud.
//!
//! ```text
//!   broker <-- bus::Link "bridge:<name>" --> task --> link::Machine --> TLS --> any MQTT 5 cloud
//!              judged by the bridge's role    queue (ours: in order, bounded)
//! ```

pub mod config;
pub mod envelope;
pub mod queue;
pub mod rule;

pub use config::Config;

use crate::{broker, service};

/// How to (re)build the bridges of the configuration. The subsystem is `off` when there is none.
pub fn spec(broker: broker::Handle) -> service::Spec {
    service::Spec {
        name: "bridge",
        restart: service::Restart::default(),
        build: Box::new(move |scope| {
            let broker = broker.clone();
            Box::pin(async move {
                let _ = (scope, broker);
                Ok(())
            })
        }),
    }
}
